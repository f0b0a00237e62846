#ifndef BASE_CLI_H
#define BASE_CLI_H
/*
 * Command lines of all ring1 commands: `tool command [options] operands`.
 * A tool is a table of commands, a command a table of options; help texts and
 * shell completion come from the same tables.  This is the only part of lib/
 * that writes to stderr: one line a mistake, `tool: command: sentence`.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Exit codes, the same for every command. */
enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_MALFORMED = 3,	/* input malformed or unsupported */
	CLI_NOT_FOUND = 4,
	CLI_PERMISSION = 5,
	CLI_BUSY = 6,
	CLI_NOT_RUNNING = 7,
	CLI_DIFFERS = 8,	/* a check found differences or damage */
	CLI_AGAIN = 75,
	CLI_TIMEOUT = 124,
};

enum cli_kind {		/* what lies at opt.off of the options struct */
	CLI_FLAG,	/* bool */
	CLI_STRING,	/* const char *, at least min bytes long */
	CLI_LIST,	/* struct cli_list: one that may be given several times */
	CLI_SIZE,	/* uint64_t, bytes, min..max */
	CLI_ADDRESS,	/* uint64_t, 0x and hexadecimal or decimal, min..max */
	CLI_OFFSET,	/* uint64_t, bytes as in CLI_SIZE or CLI_ADDRESS, min..max */
	CLI_NUMBER,	/* unsigned, min..max */
	CLI_SECONDS,	/* double, above 0 and at most max */
	CLI_CHOICE,	/* int: the index in arg, which is "a|b|c" */
	CLI_OPTIONAL,	/* int: 1 for --name, 2... for --name=a, arg "a|b" */
};

#define CLI_LIST_MAX 64

/* The arguments in order; they may be changed. */
struct cli_list {
	char *v[CLI_LIST_MAX];
	unsigned n;
};

struct cli_opt {
	const char *name;	/* without dashes; NULL ends the table */
	char letter;		/* short form, or 0 */
	enum cli_kind kind;
	const char *arg;	/* argument as the help shows it, or the choices */
	size_t off;		/* offset in the options struct */
	uint64_t min, max;
	const char *help;	/* what it does; lines after the first by '\n' */
};

struct cli {
	const struct cli_tool *tool;
	const struct cli_cmd *cmd;
};

struct cli_cmd {
	const char *name;	/* NULL ends the table */
	/* Returns the exit code; argv[0] is the command's name. */
	int (*run)(struct cli *c, int argc, char **argv);
	const char *synopsis;	/* after "tool name "; lines are kept */
	const char *help;	/* one line */
	const struct cli_opt *opts;
};

struct cli_tool {
	const char *name, *help;
	const struct cli_cmd *cmds;
	void (*version)(bool verbose);	/* prints to stdout */
};

/* The main() of a tool: finds the command, answers --help and --version. */
int cli_main(const struct cli_tool *t, int argc, char **argv);

/*
 * Parse the options of c->cmd.  Options may follow operands; "--" ends them.
 *
 * out        the options struct, holding the defaults
 * argc, argv in: as given to run(); out: *argc operands at argv[0...]
 * Returns    -1: go on; else the exit code to end with at once, because help
 *            was asked for and shown, or after having said what is wrong
 */
int cli_parse(struct cli *c, void *out, int *argc, char **argv);

/* Say `tool: command: ...` on stderr. */
void cli_say(const struct cli *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Say an error and return its exit code. */
int cli_fail(const struct cli *c, const struct err *e);

/* The exit code for -errno. */
int cli_exit_code(int rc);
#endif
