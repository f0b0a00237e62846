#include "base/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/size.h"

void cli_say(const struct cli *c, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* A message is one line, whatever is in a file's name. */
	for (char *s = line; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	fprintf(stderr, "%s: %s%s%s\n", c->tool->name, c->cmd ? c->cmd->name : "",
		c->cmd ? ": " : "", line);
}

int cli_exit_code(int rc)
{
	switch (-rc) {
	case 0:
		return CLI_DONE;
	case EINVAL:
	case ERANGE:
		return CLI_USAGE;
	case EBADMSG:
	case ENOTSUP:
	case EISDIR:
	case EFBIG:
		return CLI_MALFORMED;
	case ENOENT:
	case ENOTDIR:
	case ENODEV:
		return CLI_NOT_FOUND;
	case EACCES:
	case EPERM:
		return CLI_PERMISSION;
	case EBUSY:
	case EADDRINUSE:
		return CLI_BUSY;
	case EAGAIN:
		return CLI_AGAIN;
	case ETIMEDOUT:
		return CLI_TIMEOUT;
	default:
		return CLI_FAILED;
	}
}

int cli_fail(const struct cli *c, const struct err *e)
{
	cli_say(c, "%s", e->msg);
	return cli_exit_code(e->code);
}

/* Help */

static void print_usage(const struct cli_tool *t, const struct cli_cmd *k)
{
	const char *s = k->synopsis;
	size_t n = strcspn(s, "\n");

	printf("usage: %s %s %.*s\n", t->name, k->name, (int)n, s);
	while (s[n]) {
		s += n + 1;
		n = strcspn(s, "\n");
		printf("           %.*s\n", (int)n, s);
	}
}

static void print_opt(const struct cli_opt *o)
{
	char left[160], letter[8] = "    ";
	const char *eq = o->kind == CLI_FLAG ? "" : o->kind == CLI_OPTIONAL ? "[=" : " ";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(left, sizeof(left), "%s--%s%s%s%s", letter, o->name, eq,
		 o->kind == CLI_FLAG ? "" : o->arg, o->kind == CLI_OPTIONAL ? "]" : "");
	for (const char *s = o->help; s;) {
		size_t n = strcspn(s, "\n");

		if (s == o->help && strlen(left) > 29)
			printf("  %s\n  %-30s%.*s\n", left, "", (int)n, s);
		else
			printf("  %-30s%.*s\n", s == o->help ? left : "", (int)n, s);
		s = s[n] ? s + n + 1 : NULL;
	}
}

static int cmd_help(const struct cli_tool *t, const struct cli_cmd *k)
{
	print_usage(t, k);
	printf("\n%s\n\n", k->help);
	for (const struct cli_opt *o = k->opts; o->name; o++)
		print_opt(o);
	return CLI_DONE;
}

/* Options */

/* The index of s in "a|b|c", or -1. */
static int choice_find(const char *choices, const char *s)
{
	size_t n = strlen(s);
	int i = 0;

	for (const char *p = choices; p; i++) {
		size_t len = strcspn(p, "|");

		if (len == n && !memcmp(p, s, n))
			return i;
		p = p[len] ? p + len + 1 : NULL;
	}
	return -1;
}

static int parse_size(const struct cli_opt *o, const char *s, void *at, struct err *e)
{
	char lo[24], hi[24];
	uint64_t v;
	int rc = size_parse(s, &v, e);

	if (rc)
		return rc;
	if (v < o->min || v > o->max)
		return err_set(e, -ERANGE, "%.40s: out of range (%s to %s)", s,
			       size_format(lo, o->min), size_format(hi, o->max));
	*(uint64_t *)at = v;
	return 0;
}

static bool is_hex(const char *s)
{
	return s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
}

static int parse_address(const struct cli_opt *o, const char *s, void *at, struct err *e)
{
	bool hex = is_hex(s);
	const char *digits = hex ? s + 2 : s;
	size_t n = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
	unsigned long long v;

	if (!n || digits[n])
		return err_set(e, -EINVAL, "%.40s: not an address", s);
	errno = 0;
	v = strtoull(digits, NULL, hex ? 16 : 10);
	if (errno || v < o->min || v > o->max)
		return err_set(e, -ERANGE, "%.40s: out of range (0x%" PRIx64 " to 0x%" PRIx64 ")",
			       s, o->min, o->max);
	*(uint64_t *)at = v;
	return 0;
}

static int parse_number(const struct cli_opt *o, const char *s, void *at, struct err *e)
{
	size_t n = strspn(s, "0123456789");
	unsigned long v = n && n < 10 ? strtoul(s, NULL, 10) : ULONG_MAX;

	if (!n || s[n])
		return err_set(e, -EINVAL, "%.40s: not a number", s);
	if (v < o->min || v > o->max)
		return err_set(e, -ERANGE, "%.40s: out of range (%" PRIu64 " to %" PRIu64 ")",
			       s, o->min, o->max);
	*(unsigned *)at = (unsigned)v;
	return 0;
}

static int parse_seconds(const struct cli_opt *o, const char *s, void *at, struct err *e)
{
	size_t n = strspn(s, "0123456789.");
	char *end;
	double v = strtod(s, &end);

	if (!n || s[n] || *end)
		return err_set(e, -EINVAL, "%.40s: not a number of seconds", s);
	if (!(v > 0) || v > (double)o->max)
		return err_set(e, -ERANGE, "%.40s: out of range (above 0, at most %" PRIu64 ")",
			       s, o->max);
	*(double *)at = v;
	return 0;
}

static int list_add(const struct cli_opt *o, const char *val, struct cli_list *l, struct err *e)
{
	if (strlen(val) < o->min)
		return err_set(e, -EINVAL, "its argument is empty");
	if (l->n == CLI_LIST_MAX)
		return err_set(e, -EINVAL, "given more than %d times", CLI_LIST_MAX);
	l->v[l->n++] = (char *)val;	/* argv's */
	return 0;
}

/* Store one option; val is NULL when none was given. */
static int opt_store(const struct cli_opt *o, const char *val, void *out, struct err *e)
{
	void *at = (char *)out + o->off;
	int i;

	switch (o->kind) {
	case CLI_FLAG:
		*(bool *)at = true;
		return 0;
	case CLI_STRING:
		if (strlen(val) < o->min)
			return err_set(e, -EINVAL, "its argument is empty");
		*(const char **)at = val;
		return 0;
	case CLI_LIST:
		return list_add(o, val, at, e);
	case CLI_SIZE:
		return parse_size(o, val, at, e);
	case CLI_ADDRESS:
		return parse_address(o, val, at, e);
	case CLI_OFFSET:
		return is_hex(val) ? parse_address(o, val, at, e) : parse_size(o, val, at, e);
	case CLI_NUMBER:
		return parse_number(o, val, at, e);
	case CLI_SECONDS:
		return parse_seconds(o, val, at, e);
	case CLI_CHOICE:
	case CLI_OPTIONAL:
		i = val ? choice_find(o->arg, val) : -1;
		if (val && i < 0)
			return err_set(e, -EINVAL, "%.40s: not one of %s", val, o->arg);
		*(int *)at = o->kind == CLI_CHOICE ? i : val ? i + 2 : 1;
		return 0;
	}
	return 0;
}

static bool is_help(const char *s)
{
	return !strcmp(s, "-h") || !strcmp(s, "--help");
}

/* The option that the word begins; *val is what follows a '='. */
static const struct cli_opt *opt_find(const struct cli_opt *o, const char *word,
				      const char **val)
{
	size_t n;

	*val = NULL;
	if (word[1] != '-') {
		for (; o->name; o++)
			if (o->letter == word[1] && !word[2])
				return o;
		return NULL;
	}
	word += 2;
	n = strcspn(word, "=");
	for (; o->name; o++) {
		if (strlen(o->name) == n && !memcmp(o->name, word, n)) {
			*val = word[n] ? word + n + 1 : NULL;
			return o;
		}
	}
	return NULL;
}

int cli_parse(struct cli *c, void *out, int *argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < *argc; i++) {
		struct err e = { 0 };
		const struct cli_opt *o;
		const char *val;

		if (!strcmp(argv[i], "--")) {
			while (++i < *argc)
				argv[n++] = argv[i];
			break;
		}
		if (argv[i][0] != '-' || !argv[i][1]) {
			argv[n++] = argv[i];
			continue;
		}
		if (is_help(argv[i]))
			return cmd_help(c->tool, c->cmd);
		o = opt_find(c->cmd->opts, argv[i], &val);
		if (!o) {
			cli_say(c, "%s: unknown option (%s %s -h lists them)", argv[i],
				c->tool->name, c->cmd->name);
			return CLI_USAGE;
		}
		if (o->kind == CLI_FLAG && val) {
			cli_say(c, "--%s: takes no argument", o->name);
			return CLI_USAGE;
		}
		if (o->kind != CLI_FLAG && o->kind != CLI_OPTIONAL && !val) {
			if (i + 1 >= *argc) {
				cli_say(c, "--%s: needs an argument", o->name);
				return CLI_USAGE;
			}
			val = argv[++i];
		}
		if (opt_store(o, val, out, &e)) {
			cli_say(c, "--%s: %s", o->name, e.msg);
			return CLI_USAGE;
		}
	}
	argv[n] = NULL;
	*argc = n;
	return -1;
}

static int tool_help(const struct cli_tool *t, FILE *out)
{
	fprintf(out, "usage: %s command [options]\n       %s --version [-v]\n\n%s\n\n",
		t->name, t->name, t->help);
	for (const struct cli_cmd *k = t->cmds; k->name; k++)
		fprintf(out, "  %-10s%s\n", k->name, k->help);
	fprintf(out, "\n`%s command -h` shows the options; more in %s(1).\n", t->name, t->name);
	return out == stdout ? CLI_DONE : CLI_USAGE;
}

static const struct cli_cmd *find_cmd(struct cli *c, const char *name)
{
	for (const struct cli_cmd *k = c->tool->cmds; k->name; k++)
		if (!strcmp(k->name, name))
			return k;
	cli_say(c, "%s: unknown command (%s --help lists them)", name, c->tool->name);
	return NULL;
}

/* "tool help" and "tool help command", as many others have it. */
static int help(struct cli *c, int argc, char **argv)
{
	const struct cli_cmd *k = argc > 2 ? find_cmd(c, argv[2]) : NULL;

	if (argc > 3) {
		cli_say(c, "help: %s: one operand too many", argv[3]);
		return CLI_USAGE;
	}
	return argc == 2 ? tool_help(c->tool, stdout) : k ? cmd_help(c->tool, k) : CLI_USAGE;
}

static int dispatch(struct cli *c, int argc, char **argv)
{
	const struct cli_tool *t = c->tool;

	if (argc < 2)
		return tool_help(t, stderr);
	if (is_help(argv[1]))
		return tool_help(t, stdout);
	if (!strcmp(argv[1], "--version")) {
		bool verbose = argc > 2 && !strcmp(argv[2], "-v");

		if (argc > 2 + verbose) {
			cli_say(c, "--version: %s: only -v may follow", argv[2 + verbose]);
			return CLI_USAGE;
		}
		t->version(verbose);
		return CLI_DONE;
	}
	if (!strcmp(argv[1], "help"))
		return help(c, argc, argv);
	c->cmd = find_cmd(c, argv[1]);
	return c->cmd ? c->cmd->run(c, argc - 1, argv + 1) : CLI_USAGE;
}

/* A disk may consist of thousands of files, a chain of hundreds of disks; the soft limit
 * is small for the sake of programs that use select(). */
static void allow_files(void)
{
	struct rlimit l;

	if (!getrlimit(RLIMIT_NOFILE, &l) && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* With 0-2 closed, a guest's file would become our stderr.  What is written to a stdout
 * that was closed fails, so that nobody takes it for having arrived. */
static void open_standard(void)
{
	for (int i = 0; i <= 2; i++)
		if (fcntl(i, F_GETFD) < 0 && open("/dev/null", i == 1 ? O_RDONLY : O_RDWR) < 0)
			return;
}

int cli_main(const struct cli_tool *t, int argc, char **argv)
{
	struct cli c = { .tool = t };
	int code;

	open_standard();
	allow_files();
	code = dispatch(&c, argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		cli_say(&c, "standard output: %s", strerror(errno));
		return code ? code : CLI_FAILED;
	}
	return code;
}
