/* vmrun run: boot a machine and run it to its end. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "disk/files.h"
#include "pc/pc.h"
#include "vmx/users.h"
#include "disks.h"
#include "vmrun.h"

#define SEABIOS "/usr/share/seabios/bios-256k.bin"	/* Debian's package */

enum { STATS_OFF, STATS_TEXT, STATS_JSON };

struct run_args {
	const char *kernel, *initrd, *append, *bios, *boot, *serial, *trace;
	uint64_t memory;
	unsigned cpus;
	int accel, cpu, bt_form, stats;
	double timeout_s;
	bool debug_exit, verify, no_reboot, verbose, allow_outside;
	struct cli_list disks, cdroms, controllers;
};

#define AT(field) offsetof(struct run_args, field)

const struct cli_opt run_opts[] = {
	{ "kernel", 0, CLI_STRING, "K", AT(kernel), 1, 0,
	  "Linux bzImage, or Multiboot 1 or 2 kernel" },
	{ "initrd", 0, CLI_STRING, "I", AT(initrd), 1, 0,
	  "initial RAM disk; Multiboot: modules A[,B...]" },
	{ "append", 0, CLI_STRING, "S", AT(append), 0, 0, "kernel command line" },
	{ "bios", 0, CLI_STRING, "F", AT(bios), 1, 0,
	  "ROM image, started at the reset vector (default, with\n"
	  "disks and no kernel: SeaBIOS)" },
	{ "disk", 0, CLI_LIST, "FILE[,KEY=VALUE...]", AT(disks), 1, 0,
	  "a virtual disk; keys: controller=scsi0:0|ide0:0,\n"
	  "type=lsilogic|buslogic|lsisas1068|pvscsi, mode=persistent|\n"
	  "independent-persistent|independent-nonpersistent|undoable" },
	{ "cdrom", 0, CLI_LIST, "ISO[,KEY=VALUE...]", AT(cdroms), 1, 0,
	  "a CD-ROM drive with an image; keys: controller, type" },
	{ "controller", 0, CLI_LIST, "scsiN=TYPE", AT(controllers), 1, 0,
	  "a SCSI adapter even without disks: they may come later" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(allow_outside), 0, 0,
	  "descriptors of disks may name files in other folders, and\n"
	  "devices (raw device mappings)" },
	{ "boot", 0, CLI_STRING, "WHAT[,WHAT...]", AT(boot), 1, 0,
	  "what SeaBIOS tries: disk, cdrom, a place like scsi0:1;\n"
	  "menu: it asks (default disk,cdrom)" },
	{ "memory", 0, CLI_SIZE, "SIZE", AT(memory), MEM_SIZE_MIN, MEM_SIZE_MAX,
	  "guest memory, 1M to 64G (default 512M)" },
	{ "cpus", 0, CLI_NUMBER, "N", AT(cpus), 1, VM_CPUS_MAX,
	  "virtual CPUs, 1 to 8 (default 1)" },
	{ "cpu", 0, CLI_CHOICE, "host|x86-64-v2|x86-64-v3", AT(cpu), 0, 0,
	  "what the guest sees: the host's processor (default),\n"
	  "or a level of the x86-64 ABI and no more" },
	{ "accel", 0, CLI_CHOICE, "auto|kvm|bt|interp", AT(accel), 0, 0,
	  "what runs the guest's code (default auto)" },
	{ "serial", 0, CLI_STRING, "WHERE", AT(serial), 1, 0,
	  "the first serial port: stdio (default; ^A x ends the\n"
	  "machine), none, file:F, unix:S or pty" },
	{ "debug-exit", 0, CLI_FLAG, NULL, AT(debug_exit), 0, 0,
	  "a byte v written to port 0xf4 ends with (v << 1) | 1" },
	{ "timeout", 0, CLI_SECONDS, "S", AT(timeout_s), 0, 1000000000,
	  "stop after S seconds, loading included, with exit\n"
	  "code 124" },
	{ "stats", 0, CLI_OPTIONAL, "json", AT(stats), 0, 0,
	  "at the end, counters of the engine on stderr" },
	{ "verify", 0, CLI_FLAG, NULL, AT(verify), 0, 0,
	  "bt: in lock-step with the interpreter" },
	{ "trace", 0, CLI_STRING, "KINDS[:FILE]", AT(trace), 1, 0,
	  "trace units,exits,mmu,irq,firmware (default file: stderr)" },
	{ "no-reboot", 0, CLI_FLAG, NULL, AT(no_reboot), 0, 0,
	  "end when the guest resets" },
	{ "bt-form", 0, CLI_CHOICE, "mixed|soft|window", AT(bt_form), 0, 0,
	  "bt: how guest memory is accessed (default mixed)" },
	{ "verbose", 'v', CLI_FLAG, NULL, AT(verbose), 0, 0, "say what is done" },
	{ NULL },
};

/* The machine that SIGTERM and SIGINT stop, as soon as there is one. */
static struct pc *volatile running;
static struct cli *run_cli;

static void on_stop(int sig)
{
	pc_stop(running);
}

/* What kills or stops a process does not leave its terminal in raw mode. */
static void on_death(int sig)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };

	pc_console_leave(running);
	sigaction(sig, &sa, NULL);
	raise(sig);
}

static void on_pause(int sig)
{
	pc_console_leave(running);
	raise(SIGSTOP);
}

static void on_resume(int sig)
{
	pc_console_take(running);
}

static void catch_signals(void)
{
	static const struct {
		int sig;
		void (*handler)(int);
	} table[] = {
		{ SIGTERM, on_stop }, { SIGINT, on_stop }, { SIGHUP, on_stop },
		{ SIGTSTP, on_pause }, { SIGCONT, on_resume },
		{ SIGQUIT, on_death }, { SIGABRT, on_death }, { SIGALRM, on_death },
		{ SIGUSR1, on_death }, { SIGUSR2, on_death }, { SIGXCPU, on_death },
		{ SIGVTALRM, on_death }, { SIGPROF, on_death },
		{ SIGXFSZ, SIG_IGN },	/* write() says EFBIG */
	};
	struct sigaction old, sa = { .sa_flags = SA_RESTART };

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		bool asked = table[i].sig == SIGTERM || table[i].sig == SIGINT;

		/* What was ignored, as by nohup, stays so; but a script's background
		 * jobs are born with SIGINT ignored. */
		sigaction(table[i].sig, NULL, &old);
		sa.sa_handler = table[i].handler;
		if (asked || old.sa_handler != SIG_IGN)
			sigaction(table[i].sig, &sa, NULL);
	}
}

static void ignore_stops(void)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTSTP, SIG_DFL);
	signal(SIGCONT, SIG_DFL);
}

static void say(const char *line)
{
	cli_say(run_cli, "%s", line);
}

/* "units,irq:FILE" -> kinds and an open file. */
static int parse_trace(const char *s, struct pc_config *cfg, struct err *e)
{
	static const char *const names[] = { "units", "exits", "mmu", "irq", "firmware" };
	static const unsigned kinds[] = { TRACE_UNITS, TRACE_EXITS, TRACE_MMU, TRACE_IRQ,
					  TRACE_FIRMWARE };
	const size_t count = sizeof(kinds) / sizeof(kinds[0]);
	const char *colon = strchr(s, ':');
	size_t end = colon ? (size_t)(colon - s) : strlen(s);

	for (size_t at = 0; at <= end;) {
		size_t n = strcspn(s + at, ",:"), i;

		for (i = 0; i < count; i++)
			if (strlen(names[i]) == n && !memcmp(s + at, names[i], n))
				break;
		if (i == count)
			return err_set(e, -EINVAL, "--trace: %.*s: not one of "
				       "units,exits,mmu,irq,firmware",
				       (int)(n < 40 ? n : 40), s + at);
		cfg->trace_kinds |= kinds[i];
		at += n + 1;
	}
	if (colon && !colon[1])
		return err_set(e, -EINVAL, "--trace: the name of the file is missing");
	cfg->trace_out = stderr;
	cfg->trace_file = colon ? colon + 1 : NULL;
	return 0;
}

/* What the options table cannot know. */
static int check_args(const struct run_args *a, struct err *e)
{
	if (!a->kernel && !a->bios)
		return err_set(e, -EINVAL, "nothing to boot: --kernel, --disk, --cdrom or "
			       "--bios is needed");
	if (a->kernel && a->boot)
		return err_set(e, -EINVAL, "--boot: not together with --kernel");
	if (a->kernel && a->bios)
		return err_set(e, -EINVAL, "--bios: not together with --kernel");
	if ((a->initrd || a->append) && !a->kernel)
		return err_set(e, -EINVAL, "--%s: needs --kernel",
			       a->initrd ? "initrd" : "append");
	if (a->memory % PAGE_SIZE)
		return err_set(e, -EINVAL, "--memory: not a multiple of 4k");
	if (a->verify && a->accel != PC_ACCEL_BT && a->accel != PC_ACCEL_AUTO)
		return err_set(e, -EINVAL, "--verify: only with --accel bt");
	return 0;
}

struct stats_out {
	bool json;
	unsigned n;
};

static void put_stat(void *ptr, const char *name, uint64_t value)
{
	struct stats_out *s = ptr;

	if (s->json)
		fprintf(stderr, "%s\"%s\":%" PRIu64, s->n++ ? "," : "{", name, value);
	else
		fprintf(stderr, "%-32s %" PRIu64 "\n", name, value);
}

static void print_stats(struct pc *pc, bool json, uint64_t run_ns)
{
	struct vm *vm = pc_vm(pc);
	struct stats_out s = { .json = json };

	put_stat(&s, "run_ns", run_ns);
	pc_stats(pc, put_stat, &s);
	if (vm->engine->print_stats)
		vm->engine->print_stats(vm, put_stat, &s);
	if (json)
		fprintf(stderr, "}\n");
}

static int end_code(struct cli *c, struct pc *pc, enum pc_end end, int code,
		    const struct err *e)
{
	switch (end) {
	case PC_END_POWEROFF:
	case PC_END_RESET:
		return CLI_DONE;
	case PC_END_DEBUG_EXIT:
		return code;
	case PC_END_TIMEOUT:
		cli_say(c, "timed out");
		return CLI_TIMEOUT;
	case PC_END_CRASH:
		cli_say(c, "the guest crashed: triple fault");
		pc_dump(pc, stderr);
		return CLI_FAILED;
	case PC_END_NOT_STARTED:
		return cli_fail(c, e);
	case PC_END_LOST:
		return CLI_FAILED;
	case PC_END_ERROR:
		break;
	}
	cli_say(c, "%s", e->msg);
	pc_dump(pc, stderr);
	return CLI_FAILED;
}

/* A disk on which others hang is refused.  If its folder says where it goes on, so do we. */
static bool say_present(struct cli *c, const struct pc_config *cfg)
{
	for (unsigned i = 0; i < cfg->ndisks; i++) {
		const struct pc_disk *d = &cfg->disks[i];
		bool kept = d->cd || d->mode == PC_DISK_UNDOABLE || d->mode == PC_DISK_NONPERSISTENT;
		char *top = d->path && !kept ? vmx_present_above(d->path) : NULL;
		const char *name;

		if (!top)
			continue;
		name = disk_base_name(top);
		cli_say(c, "--disk: %s: has snapshots, and goes on in %s: give that instead, --disk %.*s%s",
			d->path, name, (int)(disk_base_name(d->path) - d->path), d->path, name);
		free(top);
		return true;
	}
	return false;
}

static int load_machine(struct cli *c, struct pc *pc, const struct pc_config *cfg)
{
	struct err e = { 0 };
	int rc = pc_load(pc, &e);


	if (rc == -EINTR)
		return CLI_DONE;
	if (rc && (rc != -EEXIST || !say_present(c, cfg)))
		cli_say(c, "%s", e.msg);
	/* What does not fit needs another --memory, not another disk. */
	return rc == -ENOSPC || rc == -E2BIG ? CLI_USAGE : rc ? cli_exit_code(rc) : -1;
}

static int run_machine(struct cli *c, const struct run_args *a, const struct pc_config *cfg)
{
	struct err e = { 0 };
	int code = 0;
	uint64_t start;
	enum pc_end end;

	running = pc_new(cfg, &e);
	if (!running)
		return cli_fail(c, &e);
	catch_signals();
	code = load_machine(c, running, cfg);
	if (code < 0) {
		if (pc_serial_name(running))
			cli_say(c, "serial port: %s", pc_serial_name(running));
		start = clock_ns();
		end = pc_run(running, &code, &e);
		code = end_code(c, running, end, code, &e);
		if (a->stats != STATS_OFF)
			print_stats(running, a->stats == STATS_JSON, clock_ns() - start);
	}
	ignore_stops();
	pc_free(running);
	return code;
}

int run_main(struct cli *c, int argc, char **argv)
{
	struct run_args a = { .memory = 512ull << 20, .cpus = 1, .serial = "stdio" };
	struct pc_config cfg = { 0 };
	struct err e = { 0 };
	struct disk_args d;
	int rc = cli_parse(c, &a, &argc, argv);

	if (rc >= 0)
		return rc;
	if (argc) {
		cli_say(c, "%s: unexpected operand (a kernel is given with --kernel)", argv[0]);
		return CLI_USAGE;
	}
	if (!a.kernel && !a.bios && (a.disks.n || a.cdroms.n))
		a.bios = SEABIOS;
	rc = check_args(&a, &e);
	if (!rc && a.trace)
		rc = parse_trace(a.trace, &cfg, &e);
	if (!rc)
		rc = disks_parse(&d, &a.disks, &a.cdroms, &e);
	if (!rc)
		rc = adapters_parse(&cfg, &d, &a.controllers, &e);
	if (!rc)
		rc = boot_parse(&cfg, &d, a.boot ? a.boot : "disk,cdrom", &e);
	if (rc)
		return cli_fail(c, &e);
	run_cli = c;
	cfg.kernel = a.kernel;
	cfg.initrd = a.initrd;
	cfg.append = a.append;
	cfg.bios = a.bios;
	cfg.disks = d.disk;
	cfg.ndisks = d.n;
	cfg.allow_outside = a.allow_outside;
	cfg.disk_threads = getenv("RING1_IO") && !strcmp(getenv("RING1_IO"), "threads");
	cfg.memory = a.memory;
	cfg.cpus = a.cpus;
	cfg.cpu_level = a.cpu ? (unsigned)a.cpu + 1 : 0;	/* v2, v3 */
	cfg.accel = a.verify ? PC_ACCEL_BT : (enum pc_accel)a.accel;
	cfg.serial = a.serial;
	cfg.debug_exit = a.debug_exit;
	cfg.timeout_s = a.timeout_s;
	cfg.no_reboot = a.no_reboot;
	cfg.control = true;
	cfg.bt.form = (enum bt_form)a.bt_form;
	cfg.bt.verify = a.verify;
	cfg.say = a.verbose ? say : NULL;
	cfg.warn = say;
	return run_machine(c, &a, &cfg);
}

static void print_engine(void *ptr, const char *name, const char *why)
{
	printf("%s: %s\n", name, why ? why : "yes");
}

void run_print_engines(void)
{
	pc_engines(print_engine, NULL);
}
