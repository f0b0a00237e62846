#ifndef VMDK_H
#define VMDK_H
/* The commands of vmdk, one file each, and what they share. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cli.h"
#include "base/json.h"
#include "disk/convert.h"
#include "disk/create.h"

/* The formats that -f takes, in the order of enum disk_format. */
#define VMDK_FORMATS "sparse|2gbsparse|flat|2gbflat|thin|zeroedthick|eagerzeroedthick|" \
	"vmfssparse|sesparse|stream|raw"
#define VMDK_ADAPTERS "ide|buslogic|lsilogic|lsisas1068|pvscsi"	/* in the order of disk_adapter_name */

extern const struct cli_tool vmdk_tool;

/* Where disks may lie besides this host: on web servers. */
extern const struct disk_backend *const vmdk_backends[];

extern const struct cli_opt create_opts[], info_opts[], map_opts[], check_opts[],
	resize_opts[], delete_opts[], rename_opts[], diff_opts[], clone_opts[], convert_opts[], compact_opts[],
	inflate_opts[],
	snapshot_opts[], chain_opts[], old_opts[];
int create_main(struct cli *c, int argc, char **argv);
int info_main(struct cli *c, int argc, char **argv);
int map_main(struct cli *c, int argc, char **argv);
int check_main(struct cli *c, int argc, char **argv);
int resize_main(struct cli *c, int argc, char **argv);
int delete_main(struct cli *c, int argc, char **argv);
int rename_main(struct cli *c, int argc, char **argv);
int diff_main(struct cli *c, int argc, char **argv);
int clone_main(struct cli *c, int argc, char **argv);
int convert_main(struct cli *c, int argc, char **argv);
int compact_main(struct cli *c, int argc, char **argv);
int inflate_main(struct cli *c, int argc, char **argv);
int snapshot_main(struct cli *c, int argc, char **argv);
int chain_main(struct cli *c, int argc, char **argv);
int old_main(struct cli *c, int argc, char **argv);

/* The spellings of vmkfstools and vmware-vdiskmanager: "vmdk -c 10G x.vmdk". */
int legacy_main(int argc, char **argv);

/* What each command that changes something takes. */
struct change_args {
	bool check;		/* change nothing, say what would be changed */
	bool json;		/* say it as one object */
};
#define CHANGE_OPTS(at, check_help) \
	{ "check", 0, CLI_FLAG, NULL, (at) + offsetof(struct change_args, check), 0, 0, \
	  check_help }, \
	{ "json", 0, CLI_FLAG, NULL, (at) + offsetof(struct change_args, json), 0, 0, \
	  "say so as JSON" }

/*
 * Say what a change did, or would do: with --json as an object (j with path, action,
 * check and changed), with --check alone as a sentence on stdout, else nothing.
 *
 * j          what else the object holds; taken
 * Returns    the exit code
 */
int say_change(struct cli *c, const struct change_args *a, struct json *j,
	       const char *path, const char *action, bool changed, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));

/* The same of a disk that was made as p says, from source (NULL: from nothing), and a warning
 * if it is raw and looks like another; files: of
 * its files, taken.  And when that failed: say so, files are taken, too. */
int say_made(struct cli *c, const struct change_args *a, const char *action, const char *source,
	     const char *path, const struct disk_create *p, struct json *files);
int fail_made(struct cli *c, struct json *files, const struct err *e);

/* Print one object and take it.  Returns the exit code. */
int print_json(struct cli *c, struct json *j);

/* As printf(), for what others wrote: one line, and nothing that a terminal obeys. */
void print_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Parse the options, and see to it that there are as many operands as names ("SRC DST").
 * As cli_parse(). */
int parse_line(struct cli *c, void *args, int *argc, char **argv, const char *names);

/* Complain unless there are as many operands as names ("SRC DST").  -1: there are. */
int want_operands(struct cli *c, int argc, char **argv, const char *names);

/*
 * Make what p describes a child of the disk parent: size and adapter, where p has none,
 * are the parent's.  *hint belongs to p->parent and is the caller's to free.
 */
struct child_of {
	bool outside;		/* the parent may lie in another folder */
	bool any_format;	/* p->format is to be one that suits the parent */
};
int use_parent(struct disk_create *p, char **hint, const char *path, const char *parent,
	       const struct child_of *k, struct err *e);

/* Create dst as p says, and fill it: under another name until it is complete
 * (disk/part.h). */
int convert_to_disk(const struct convert_end *from, const char *dst, const struct disk_create *p,
		    const struct convert_opts *how, struct err *e);

/* -EEXIST: the disk that is to be replaced belongs to a snapshot. */
int refuse_replacing(const char *path, struct err *e);

/* -ENOTSUP: what is to be copied is taken for raw, and looks like a format that is not
 * done here; unless --raw said so. */
int refuse_foreign(const struct disk *d, bool raw, struct err *e);

/* As disk_create.made: append path to the array that ptr is. */
void add_file(void *ptr, const char *path);

/*
 * What takes long says on a terminal's stderr how far it is, or as a JSON object a
 * second, and stops when SIGINT, SIGTERM or SIGHUP asks for it.
 */
enum progress_how { PROGRESS_TTY, PROGRESS_NONE, PROGRESS_JSON };
struct progress_args {
	bool quiet;
	int json;		/* 1: as JSON, when asked for */
};
#define PROGRESS_OPTS(at) \
	{ "quiet", 'q', CLI_FLAG, NULL, (at) + offsetof(struct progress_args, quiet), 0, 0, \
	  "no progress" }, \
	{ "progress", 0, CLI_CHOICE, "tty|json", (at) + offsetof(struct progress_args, json), 0, 0, \
	  "how to say it on stderr (default tty: if that is one)" }
static inline enum progress_how progress_how(const struct progress_args *a)
{
	return a->quiet ? PROGRESS_NONE : a->json ? PROGRESS_JSON : PROGRESS_TTY;
}
void progress_begin(struct cli *c, enum progress_how how);
bool progress_step(void *ptr, uint64_t done, uint64_t total);	/* as disk_create.progress */
void progress_end(void);
#endif
