/* vmdk: virtual disks.  The table of its commands. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

#include "vmdk.h"

static void version(bool verbose)
{
	printf("vmdk %s\n", RING1_VERSION);
	if (verbose)
		printf("jansson: %s\ncurl: %s\n", jansson_version_str(),
		       curl_version_info(CURLVERSION_NOW)->version);
}

static const struct cli_cmd cmds[] = {
	{
		"create", create_main,
		"-s SIZE [-f FORMAT] [-a ADAPTER] [--parent P]\n"
		"[--rdm DEV [--physical]] [--grain SIZE] [--allow-outside]\n"
		"[--force] [--check] [--json] [-q] [--progress tty|json] FILE",
		"Create a disk.",
		create_opts,
	},
	{
		"info", info_main,
		"[--chain] [--geometry] [--rdm] [--raw] [--allow-outside]\n"
		"[--json] FILE",
		"Say what a disk is and what it consists of.",
		info_opts,
	},
	{
		"map", map_main, "[--raw] [--allow-outside] [--json] FILE",
		"Say what each range of a disk holds, and where that lies.",
		map_opts,
	},
	{
		"check", check_main,
		"[--repair] [--chain] [--raw] [--allow-outside] [--json] [-q]\n"
		"[--progress tty|json] FILE",
		"Look for damage, and mend what can be mended.",
		check_opts,
	},
	{
		"resize", resize_main, "[-f] [--allow-outside] [--check] [--json] FILE SIZE",
		"Make a disk larger or smaller.",
		resize_opts,
	},
	{
		"delete", delete_main, "[-f] [--allow-outside] [--check] [--json] FILE",
		"Remove a disk's own files.",
		delete_opts,
	},
	{
		"rename", rename_main, "[-f] [--allow-outside] [--check] [--json] A B",
		"Give a disk and its files another name.",
		rename_opts,
	},
	{
		"diff", diff_main, "[--raw] [--allow-outside] [--json] [-q]\n"
		"[--progress tty|json] A B",
		"Say where the contents of two disks differ.",
		diff_opts,
	},
	{
		"clone", clone_main,
		"[--linked] [-f FORMAT] [--rdm DEV [--physical]] [--raw]\n"
		"[--allow-outside] [--force] [--check] [--json] [-q]\n"
		"[--progress tty|json] SRC DST",
		"Make a second disk of what one holds.",
		clone_opts,
	},
	{
		"convert", convert_main,
		"[-f FORMAT] [-j N] [--level N] [--bwlimit RATE]\n"
		"[--raw [-s SIZE]] [--allow-outside] [--force] [--check] [--json]\n"
		"[-q] [--progress tty|json] SRC DST",
		"Make a disk of another format of what one holds; - is a pipe.",
		convert_opts,
	},
	{
		"compact", compact_main,
		"[--allow-outside] [--check] [--json] [-q]\n"
		"[--progress tty|json] FILE",
		"Give back the room of what a disk holds only zeros in.",
		compact_opts,
	},
	{
		"inflate", inflate_main,
		"[--zero] [--allow-outside] [--check] [--json] [-q]\n"
		"[--progress tty|json] FILE",
		"Take all the room that a disk may need.",
		inflate_opts,
	},
	{
		"snapshot", snapshot_main,
		"create|list|tree|revert|delete|consolidate\n"
		"[--children] [-d TEXT] [--max-stun MS] [--allow-outside]\n"
		"[--check] [--json] [-q] [--progress tty|json] VM.vmx|DISK.vmdk\n"
		"[NAME]",
		"Take, show, go back to and delete snapshots.",
		snapshot_opts,
	},
	{
		"chain", chain_main,
		"[--fix [--parent P] [--check]] [--allow-outside] [--json] FILE",
		"Show the layers of a disk, and mend what links them.",
		chain_opts,
	},
	{
		"old", old_main, "[--older-than AGE] [--json] DIR...",
		"Find forgotten snapshots: exit code 8 when there are any.",
		old_opts,
	},
	{ NULL },
};

const struct cli_tool vmdk_tool = {
	.name = "vmdk",
	.help = "Looks into virtual disks, makes, changes and repairs them.",
	.cmds = cmds,
	.version = version,
};

/* A line that begins with an option is an old spelling. */
static bool is_legacy(int argc, char **argv)
{
	return argc > 1 && argv[1][0] == '-' && strcmp(argv[1], "-h") &&
	       strcmp(argv[1], "--help") && strcmp(argv[1], "--version");
}

int main(int argc, char **argv)
{
	signal(SIGXFSZ, SIG_IGN);	/* write() says EFBIG */
	return is_legacy(argc, argv) ? legacy_main(argc, argv)
				     : cli_main(&vmdk_tool, argc, argv);
}
