/* The options table: every kind, both forms of an argument, and what is refused. */
#include "base/cli.h"

#include <string.h>
#include <unistd.h>

#include "check.h"

struct args {
	bool flag, quick;
	const char *text;
	uint64_t size, address;
	unsigned number;
	double seconds;
	int choice, optional;
};

#define AT(f) offsetof(struct args, f)

static const struct cli_opt opts[] = {
	{ "flag", 0, CLI_FLAG, NULL, AT(flag), 0, 0, "a flag" },
	{ "quick", 'q', CLI_FLAG, NULL, AT(quick), 0, 0, "a flag with a letter" },
	{ "text", 't', CLI_STRING, "T", AT(text), 1, 0, "a text" },
	{ "size", 0, CLI_SIZE, "SIZE", AT(size), 1024, 1 << 20, "a size" },
	{ "address", 0, CLI_ADDRESS, "A", AT(address), 16, UINT64_MAX, "an address" },
	{ "number", 0, CLI_NUMBER, "N", AT(number), 1, 8, "a number" },
	{ "seconds", 0, CLI_SECONDS, "S", AT(seconds), 0, 100, "seconds" },
	{ "choice", 0, CLI_CHOICE, "one|two|three", AT(choice), 0, 0, "a choice" },
	{ "optional", 0, CLI_OPTIONAL, "json|xml", AT(optional), 0, 0, "optional" },
	{ NULL },
};

static const struct cli_cmd cmd = { .name = "cmd", .synopsis = "", .help = "", .opts = opts };
static const struct cli_tool tool = { .name = "tool", .cmds = &cmd };

/* Parse a line of words; returns the code of cli_parse, operands joined by ','. */
static int parse(const char *line, struct args *a, char *operands)
{
	static char buf[256];
	char *argv[16] = { (char *)"cmd" }, *w, *save = NULL;
	struct cli c = { .tool = &tool, .cmd = &cmd };
	int argc = 1, rc;

	memset(a, 0, sizeof(*a));
	a->choice = -1;
	snprintf(buf, sizeof(buf), "%s", line);
	for (w = strtok_r(buf, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	rc = cli_parse(&c, a, &argc, argv);
	operands[0] = 0;
	for (int i = 0; rc < 0 && i < argc; i++)
		sprintf(operands + strlen(operands), "%s,", argv[i]);
	return rc;
}

static const char *const refused[] = {
	"--none", "-x", "-qq", "--fla", "--flag=1", "--text", "--size", "--size 1023",
	"--size 1025k", "--size k", "--size=", "--number 0", "--number 9", "--number -1",
	"--number 1x", "--number 4294967297", "--seconds 0", "--seconds 101", "--seconds 1e1",
	"--seconds nan", "--seconds .", "--seconds 1.2.3", "--choice", "--choice on",
	"--text=",
	"--choice one|two", "--choice=", "--optional=", "--optional=yaml",
};

int main(void)
{
	struct args a;
	char ops[256];

	check(parse("", &a, ops) == -1 && !ops[0], "nothing");
	check(parse("--flag a -q b", &a, ops) == -1 && a.flag && a.quick, "flags");
	check(!strcmp(ops, "a,b,"), "%s", ops);
	check(parse("-- --flag -q", &a, ops) == -1 && !a.flag && !a.quick, "after --");
	check(!strcmp(ops, "--flag,-q,"), "%s", ops);
	check(parse("- --text -- x", &a, ops) == -1 && !strcmp(a.text, "--"), "argument --");
	check(!strcmp(ops, "-,x,"), "%s", ops);
	check(parse("--text=a=b", &a, ops) == -1 && !strcmp(a.text, "a=b"), "=");
	check(parse("--text -h", &a, ops) == -1 && !strcmp(a.text, "-h"), "-h as argument");
	check(parse("-t a --text b", &a, ops) == -1 && !strcmp(a.text, "b"), "the last wins");
	check(parse("--size 1k", &a, ops) == -1 && a.size == 1024, "size min");
	check(parse("--size=1M", &a, ops) == -1 && a.size == 1 << 20, "size max");
	check(parse("--address 0x10", &a, ops) == -1 && a.address == 16, "address min");
	check(parse("--address 16", &a, ops) == -1 && a.address == 16, "decimal");
	check(parse("--address=0XffffFFFFffffFFFF", &a, ops) == -1 && a.address == UINT64_MAX,
	      "address max");
	check(parse("--number 1", &a, ops) == -1 && a.number == 1, "number min");
	check(parse("--number 8", &a, ops) == -1 && a.number == 8, "number max");
	check(parse("--seconds .25", &a, ops) == -1 && a.seconds == .25, "seconds");
	check(parse("--seconds 100", &a, ops) == -1 && a.seconds == 100, "seconds max");
	check(parse("--choice one", &a, ops) == -1 && a.choice == 0, "choice first");
	check(parse("--choice three", &a, ops) == -1 && a.choice == 2, "choice last");
	check(parse("--optional x", &a, ops) == -1 && a.optional == 1, "optional alone");
	check(!strcmp(ops, "x,"), "%s", ops);
	check(parse("--optional=xml", &a, ops) == -1 && a.optional == 3, "optional given");

	/* What is refused is said on stderr, which nobody needs to see here. */
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		check(parse(refused[i], &a, ops) == CLI_USAGE, "'%s'", refused[i]);
	return check_done();
}
