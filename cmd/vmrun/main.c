/* vmrun: run virtual machines in the foreground.  The table of its commands. */
#include <stdio.h>

#include "vmrun.h"
#include "x86/insn.h"

static void version(bool verbose)
{
	int major, minor;

	printf("vmrun %s\n", RING1_VERSION);
	if (!verbose)
		return;
	if (x86_capstone(&major, &minor))
		printf("capstone: %d.%d\n", major, minor);
	else
		printf("capstone: none\n");
	run_print_engines();
}

static const struct cli_cmd cmds[] = {
	{
		"run", run_main,
		"[--kernel K [--initrd I] [--append S]] [--bios F] [--memory 512M]\n"
		"[--disk FILE[,KEY=VALUE...]] [--cdrom ISO[,KEY=VALUE...]]\n"
		"[--controller scsiN=TYPE] [--allow-outside]\n"
		"[--boot WHAT[,WHAT...]]\n"
		"[--cpus 1] [--cpu host|x86-64-v2|x86-64-v3] [--accel auto|kvm|bt|interp]\n"
		"[--serial stdio|none|file:F|unix:S|pty] [--debug-exit]\n"
		"[--timeout S] [--stats[=json]] [--verify]\n"
		"[--trace KINDS[:FILE]] [--no-reboot] [--bt-form mixed|soft|window]\n"
		"[-v]",
		"Boot a kernel or a ROM image and run the machine to its end.",
		run_opts,
	},
	{
		"disk", disk_main,
		"list|add|remove [--cdrom] [--allow-outside] [--timeout S]\n"
		"[--check] [--json] [VM [FILE[,KEY=VALUE...]|PLACE]]",
		"List, add and remove disks of machines that run.",
		disk_opts,
	},
	{
		"disas", disas_main,
		"[--bits 16|32|64] [--at ADDR] [--offset N] [--length N]\n"
		"[--bt-form soft|window] FILE",
		"Show what the translator makes of a piece of code, side by side.",
		disas_opts,
	},
	{ NULL },
};

static const struct cli_tool vmrun = {
	.name = "vmrun",
	.help = "Runs virtual machines: one process each, in the foreground.",
	.cmds = cmds,
	.version = version,
};

int main(int argc, char **argv)
{
	return cli_main(&vmrun, argc, argv);
}
