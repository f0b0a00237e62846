/*
 * The spellings of vmkfstools (virtual disks only) and vmware-vdiskmanager, so that old
 * scripts run: a command line in either becomes one of vmdk's own.
 *
 *   -c 10G -d thin x.vmdk            create -s 10737418240 -f thin x.vmdk
 *   -r a.vmdk -t 5 b.vmdk            convert -f stream a.vmdk b.vmdk
 *
 * The two share letters.  A line is vmware-vdiskmanager's when it has one of -s, -n, -R and
 * -p, -t with -c or -r, -r with a VMDK, which is no device, or one of vmkfstools' letters
 * without the argument that it has there.
 * Success is told as those tools do it, for scripts that look for their words.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "disk/disk.h"
#include "disk/files.h"
#include "vmdk.h"

#define WORDS 16	/* of a command line of vmdk's own */

struct line {
	struct cli *cli;
	char *word[WORDS + 1];
	int n;
	const char *verb;	/* the option that says what to do */
	char verb_letter;
	const char *done;	/* what it says at the end, or NULL */
	const char *arg;	/* its argument */
	const char *size, *format, *adapter, *type;	/* -s or -c N, -d, -a, -t */
	const char *operand[3];	/* two at most are read, a third may be added */
	int operands;
	bool quiet;
	char number[24];	/* a size in bytes */
};

enum what {		/* what becomes of an option */
	VERB,		/* it says what to do */
	SIZE, FORMAT, ADAPTER, TYPE,
	QUIET,
	SKIP,		/* nothing here depends on it */
	ELSEWHERE,	/* it is another command's; why says whose */
};

#define LONG 1		/* no letter */

struct option {
	char letter;
	const char *name;	/* long form, vmkfstools only */
	bool arg;
	enum what what;
	const char *why;	/* of a VERB: the line that says that it is done */
};

#define SHRUNK "Shrink completed successfully."
#define VOLUME "file systems are not this command's"
#define VM_ONLY "it is done inside the guest; vmdk compact gives back the room of zeros"
#define REMOTE "disks of other hosts are read from URLs: vmdk convert https://..."

static const struct option vmkfstools[] = {
	{ 'c', "createvirtualdisk", true, VERB, "Create: 100% done." },
	{ 'w', "writezeros", false, VERB, NULL },
	{ 'j', "inflatedisk", false, VERB, NULL },
	{ 'k', "eagerzero", false, VERB, NULL },
	{ 'K', "punchzero", false, VERB, NULL },
	{ 'U', "deletevirtualdisk", false, VERB, NULL },
	{ 'E', "renamevirtualdisk", true, VERB, NULL },
	{ 'i', "clonevirtualdisk", true, VERB, "Clone: 100% done." },
	{ 'X', "extendvirtualdisk", true, VERB, "Grow: 100% done." },
	{ 'r', "createrdm", true, VERB, NULL },
	{ 'z', "createrdmpassthru", true, VERB, NULL },
	{ 'q', "queryrdm", false, VERB, NULL },
	{ 'g', "geometry", false, VERB, NULL },
	{ 'x', "fix", true, VERB, NULL },
	{ 'e', "chainConsistent", false, VERB, "Disk chain is consistent." },
	{ 't', "mapping", true, VERB, NULL },
	{ 'I', "snapshotdisk", false, ELSEWHERE, "vmdk snapshot takes snapshots" },
	{ 'd', "diskformat", true, FORMAT, NULL },
	{ 'a', "adaptertype", true, ADAPTER, NULL },
	{ 'W', "objecttype", true, SKIP, NULL },
	{ 'N', "avoidnativeclone", false, SKIP, NULL },
	{ 'v', "verbose", true, SKIP, NULL },
	{ LONG, "policyFile", true, SKIP, NULL },
	{ LONG, "uniqueblocks", false, ELSEWHERE, "vmdk map says what each layer has" },
	{ 'M', "migratevirtualdisk", false, ELSEWHERE, "vmdk convert makes disks of other formats" },
	{ 'D', "dumplock", false, VERB, NULL },
	{ 'L', "lock", true, ELSEWHERE, "reservations of devices" },
	{ 'B', "breaklock", true, ELSEWHERE, VOLUME },
	{ 'b', "blocksize", true, ELSEWHERE, VOLUME },
	{ 'C', "createfs", true, ELSEWHERE, VOLUME },
	{ 'S', "setfsname", true, ELSEWHERE, VOLUME },
	{ 'Z', "spanfs", true, ELSEWHERE, VOLUME },
	{ 'G', "growfs", true, ELSEWHERE, VOLUME },
	{ 'P', "queryfs", false, ELSEWHERE, VOLUME },
	{ 'T', "upgradevmfs", false, ELSEWHERE, VOLUME },
	{ 'y', "reclaimBlocks", false, ELSEWHERE, VOLUME },
	{ LONG, "reclaimBlocksUnit", true, ELSEWHERE, VOLUME },
	{ 0 },
};

static const struct option vdiskmanager[] = {
	{ 'c', NULL, false, VERB, "Virtual disk creation successful." },
	{ 'd', NULL, false, VERB, "Defragmentation completed successfully." },
	{ 'k', NULL, false, VERB, SHRUNK },
	{ 'n', NULL, true, VERB, "Renaming completed successfully." },
	{ 'r', NULL, true, VERB, "Virtual disk conversion successful." },
	{ 'x', NULL, true, VERB, "Disk expansion completed successfully." },
	{ 'R', NULL, false, VERB, NULL },
	{ 'e', NULL, false, VERB, "Disk chain is consistent." },
	{ 'D', NULL, false, VERB, NULL },
	{ 'U', NULL, false, VERB, NULL },
	{ 's', NULL, true, SIZE, NULL },
	{ 't', NULL, true, TYPE, NULL },
	{ 'a', NULL, true, ADAPTER, NULL },
	{ 'q', NULL, false, QUIET, NULL },
	{ 'p', NULL, true, ELSEWHERE, VM_ONLY },
	{ 'h', NULL, true, ELSEWHERE, REMOTE },
	{ 'u', NULL, true, ELSEWHERE, REMOTE },
	{ 'f', NULL, true, ELSEWHERE, REMOTE },
	{ 'P', NULL, true, ELSEWHERE, REMOTE },
	{ 'S', NULL, true, ELSEWHERE, REMOTE },
	{ 0 },
};

/* -d of vmkfstools -> -f. */
static const char *const diskformats[][2] = {
	{ "thin", "thin" }, { "zeroedthick", "zeroedthick" }, { "thick", "zeroedthick" },
	{ "eagerzeroedthick", "eagerzeroedthick" }, { "2gbsparse", "2gbsparse" },
	{ "monosparse", "sparse" }, { "monoflat", "flat" }, { "sesparse", "sesparse" },
	{ NULL },
};

/* -t of vmware-vdiskmanager -> -f. */
static const char *const types[] = {
	"sparse", "2gbsparse", "flat", "2gbflat", "zeroedthick", "stream", "thin",
};

/* -a of either -> -a. */
static const char *const adapters[][2] = {
	{ "ide", "ide" }, { "buslogic", "buslogic" }, { "lsilogic", "lsilogic" },
	{ "lsisas", "lsisas1068" }, { "lsisas1068", "lsisas1068" }, { "pvscsi", "pvscsi" },
	{ NULL },
};

static int say(struct line *l, int code, const char *fmt, const char *a, const char *b)
{
	cli_say(l->cli, fmt, a, b);
	return code;
}

static const char *look_up(const char *const (*table)[2], const char *word)
{
	for (; (*table)[0]; table++)
		if (!strcasecmp((*table)[0], word))
			return (*table)[1];
	return NULL;
}

static void add(struct line *l, const char *word)
{
	if (l->n < WORDS)
		l->word[l->n++] = (char *)word;
}

/*
 * A size in either spelling: a number, one of b s k m g t, for vmware-vdiskmanager with a
 * B behind it; without a unit bytes, or there sectors.  (-1: refused, and said so.)
 */
static int read_size(struct line *l, const char *s, bool sectors)
{
	size_t digits = strspn(s, "0123456789."), units = strlen(s + digits);
	uint64_t bytes, unit = sectors && !units ? SECTOR : 1;
	char text[40];
	struct err e;

	snprintf(text, sizeof(text), "%s", s);
	if (units == 2 && strchr("bB", s[digits + 1]) && strlen(s) < sizeof(text))
		text[digits + 1] = 0;
	if (units && strchr("sSbB", s[digits]) && digits < sizeof(text)) {
		unit = strchr("sS", s[digits]) ? SECTOR : 1;
		text[digits] = 0;
	}
	if (units > 2 || strlen(s) >= sizeof(text) || size_parse(text, &bytes, &e) ||
	    bytes > DISK_SIZE_MAX / unit)
		return say(l, CLI_USAGE, "%s: not a size%s", s, "");
	snprintf(l->number, sizeof(l->number), "%" PRIu64, bytes * unit);
	return -1;
}

static int add_format(struct line *l, const char *otherwise)
{
	const char *f = otherwise;

	if (l->type) {
		if (strlen(l->type) != 1 || l->type[0] < '0' || l->type[0] > '6')
			return say(l, CLI_USAGE, "-t %s: not a type from 0 to 6%s", l->type, "");
		f = types[l->type[0] - '0'];
	} else if (l->format) {
		f = look_up(diskformats, l->format);
		if (!f)
			return say(l, CLI_USAGE, "-d %s: not a disk format%s", l->format, "");
	}
	if (f) {
		add(l, "-f");
		add(l, f);
	}
	return -1;
}

static int add_adapter(struct line *l)
{
	const char *a = l->adapter ? look_up(adapters, l->adapter) : NULL;

	if (l->adapter && !a)
		return say(l, CLI_USAGE, "-a %s: not an adapter%s", l->adapter, "");
	if (a) {
		add(l, "-a");
		add(l, a);
	}
	return -1;
}

/* Are there as many operands as the option takes? */
static int want(struct line *l, int n)
{
	if (l->operands < n)
		return say(l, CLI_USAGE, "%s: the name of a disk is missing%s", l->verb, "");
	if (l->operands > n)
		return say(l, CLI_USAGE, "%s: %s: one operand too many", l->verb, l->operand[n]);
	return -1;
}

static void put_first(struct line *l, const char *operand)
{
	memmove(l->operand + 1, l->operand, (size_t)l->operands * sizeof(*l->operand));
	l->operand[0] = operand;
	l->operands++;
}

/* Each writes vmdk's own line.  -1: it stands there; else the exit code. */

static int do_create(struct line *l, const char *size, bool sectors, const char *format)
{
	int rc = want(l, 1);

	if (rc < 0 && !size)
		rc = say(l, CLI_USAGE, "%s: needs -s%s", l->verb, "");
	add(l, "create");
	if (rc < 0)
		rc = read_size(l, size, sectors);
	add(l, "-s");
	add(l, l->number);
	if (rc < 0)
		rc = add_format(l, format);
	if (rc < 0)
		rc = add_adapter(l);
	return rc;
}

static int do_two(struct line *l, const char *command, const char *format)
{
	int rc = want(l, 1);

	if (command)
		add(l, command);
	if (rc < 0 && format)
		rc = add_format(l, format);
	put_first(l, l->arg);
	return rc;
}

static int do_one(struct line *l, const char *command, const char *option)
{
	add(l, command);
	if (option)
		add(l, option);
	return want(l, 1);
}

static int do_clone(struct line *l)
{
	const char *f = l->format;
	bool physical = f && !strncasecmp(f, "rdmp:", 5);

	if (!f || (strncasecmp(f, "rdm:", 4) && !physical))
		return do_two(l, "convert", "zeroedthick");
	add(l, "clone");
	add(l, "--rdm");
	add(l, strchr(f, ':') + 1);
	if (physical)
		add(l, "--physical");
	return do_two(l, NULL, NULL);
}

static int do_rdm(struct line *l, const char *physical)
{
	int rc = want(l, 1);

	add(l, "create");
	add(l, "--rdm");
	add(l, l->arg);
	if (physical)
		add(l, physical);
	return rc < 0 ? add_adapter(l) : rc;
}

static int do_resize(struct line *l, bool sectors)
{
	int rc = want(l, 1);

	add(l, "resize");
	if (rc < 0)
		rc = read_size(l, l->arg, sectors);
	l->operand[l->operands++] = l->number;
	return rc;
}

static int do_fix(struct line *l)
{
	if (!strcmp(l->arg, "check"))
		return do_one(l, "check", NULL);
	if (!strcmp(l->arg, "repair"))
		return do_one(l, "check", "--repair");
	return say(l, CLI_USAGE, "-x %s: not check or repair%s", l->arg, "");
}

/* On ESX -k writes zeros to what is not written yet; on a desktop it shrinks. */
static int do_k(struct line *l)
{
	int rc = want(l, 1);
	struct disk_opts o = { .no_lock = true, .allow_outside = true };
	struct err e = { 0 };
	struct image *im;
	bool esx;

	if (rc >= 0)
		return rc;
	if (image_open(&im, l->operand[0], &o, &e))
		return cli_fail(l->cli, &e);
	esx = im->desc && !strncmp(im->desc->create_type, "vmfs", 4);
	image_close(im);
	if (!esx)
		l->done = SHRUNK;
	return do_one(l, esx ? "inflate" : "compact", NULL);
}

static int translate_vmkfstools(struct line *l)
{
	switch (l->verb_letter) {
	case 'c':
		return do_create(l, l->arg, false, "zeroedthick");
	case 'w':
		return do_one(l, "inflate", "--zero");
	case 'j':
		return do_one(l, "inflate", NULL);
	case 'k':
		return do_k(l);
	case 'K':
		return do_one(l, "compact", NULL);
	case 'U':
		return do_one(l, "delete", NULL);
	case 'E':
		return do_two(l, "rename", NULL);
	case 'i':
		return do_clone(l);
	case 'X':
		return do_resize(l, false);
	case 'r':
	case 'z':
		return do_rdm(l, l->verb_letter == 'z' ? "--physical" : NULL);
	case 'q':
		return do_one(l, "info", "--rdm");
	case 'D':
		return do_one(l, "info", "--allow-outside");
	case 't':
		return do_one(l, "map", "--allow-outside");
	case 'g':
		return do_one(l, "info", "--geometry");
	case 'x':
		return do_fix(l);
	default:	/* e */
		return do_one(l, "check", "--chain");
	}
}

static int translate_vdiskmanager(struct line *l)
{
	switch (l->verb_letter) {
	case 'c':
		return do_create(l, l->size, true, "sparse");
	case 'd':
		return do_one(l, "compact", NULL);
	case 'k':
		return do_k(l);
	case 'n':
		return do_two(l, "rename", NULL);
	case 'r':
		return do_two(l, "convert", "sparse");
	case 'x':
		return do_resize(l, true);
	case 'R':
		return do_one(l, "check", "--repair");
	case 'e':
		return do_one(l, "check", "--chain");
	case 'D':
		return say(l, CLI_MALFORMED, "-D: disks are always deletable: vmdk delete%s%s", "", "");
	default:	/* U */
		return do_one(l, "delete", NULL);
	}
}

/* Reading the line */

static const struct option *find(const struct option *t, const char *word, const char **val)
{
	size_t n;

	*val = NULL;
	if (word[1] != '-') {
		for (; t->letter; t++) {
			if (t->letter == word[1] && (!word[2] || t->arg)) {
				*val = word[2] ? word + 2 : NULL;
				return t;
			}
		}
		return NULL;
	}
	word += 2;
	n = strcspn(word, "=");
	for (; t->letter; t++) {
		if (t->name && strlen(t->name) == n && !strncasecmp(t->name, word, n)) {
			*val = word[n] ? word + n + 1 : NULL;
			return t;
		}
	}
	return NULL;
}

static int take(struct line *l, const struct option *o, const char *word, const char *val)
{
	switch (o->what) {
	case VERB:
		if (l->verb)
			return say(l, CLI_USAGE, "%s: not together with %s", word, l->verb);
		l->verb = word;
		l->verb_letter = o->letter;
		l->done = o->why;
		l->arg = val;
		break;
	case SIZE:
		l->size = val;
		break;
	case FORMAT:
		l->format = val;
		break;
	case ADAPTER:
		l->adapter = val;
		break;
	case TYPE:
		l->type = val;
		break;
	case QUIET:
		l->quiet = true;
		break;
	case SKIP:
		break;
	case ELSEWHERE:
		return say(l, CLI_MALFORMED, "%s: not done here: %s", word, o->why);
	}
	return -1;
}

static int read_line(struct line *l, const struct option *table, int argc, char **argv)
{
	bool only = false;	/* behind -- there are operands only */

	for (int i = 1; i < argc; i++) {
		const struct option *o;
		const char *val;
		int rc;

		if (!only && !strcmp(argv[i], "--")) {
			only = true;
			continue;
		}
		if (only || argv[i][0] != '-' || !argv[i][1]) {
			if (l->operands == 2)
				return say(l, CLI_USAGE, "%s: one operand too many%s", argv[i], "");
			l->operand[l->operands++] = argv[i];
			continue;
		}
		o = find(table, argv[i], &val);
		if (!o)
			return say(l, CLI_USAGE, "%s: unknown option (vmdk(1), OLD SPELLINGS, "
				   "lists them)%s", argv[i], "");
		if (o->arg && !val) {
			if (i + 1 >= argc)
				return say(l, CLI_USAGE, "%s: needs an argument%s", argv[i], "");
			val = argv[i + 1];
		}
		rc = take(l, o, argv[i], val);
		if (rc >= 0)
			return rc;
		i += val && val == argv[i + 1];
	}
	return l->verb ? -1 : say(l, CLI_USAGE, "%s: does not say what to do%s", argv[1], "");
}

static bool has_option(int argc, char **argv, const char *option)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], option))
			return true;
	return false;
}

static bool is_vdiskmanager(int argc, char **argv)
{
	bool makes = has_option(argc, argv, "-c") || has_option(argc, argv, "-r");

	for (int i = 1; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : "";

		if (argv[i][0] != '-' || !argv[i][1] || argv[i][2])
			continue;
		if (strchr("snRp", argv[i][1]) || (argv[i][1] == 't' && makes))
			return true;
		if (argv[i][1] == 'r' && next[disk_stem(next)])
			return true;
		if (argv[i][1] == 'c' && next[0] == '-')
			return true;
		if (argv[i][1] == 'q' && next[0] == '-')
			return true;
		if (argv[i][1] == 'x' && strcmp(next, "check") && strcmp(next, "repair"))
			return true;
		/* Alone, -d is no disk format. */
		if (argv[i][1] == 'd' && argc == 3)
			return true;
	}
	return false;
}

int legacy_main(int argc, char **argv)
{
	struct cli cli = { .tool = &vmdk_tool };
	struct line l = { .cli = &cli };
	bool desktop = is_vdiskmanager(argc, argv);
	int rc = read_line(&l, desktop ? vdiskmanager : vmkfstools, argc, argv);

	l.word[l.n++] = argv[0];
	if (rc < 0)
		rc = desktop ? translate_vdiskmanager(&l) : translate_vmkfstools(&l);
	if (rc >= 0)
		return rc;
	if (l.quiet && (l.verb_letter == 'c' || l.verb_letter == 'r'))
		add(&l, "-q");
	add(&l, "--");
	for (int i = 0; i < l.operands; i++)
		add(&l, l.operand[i]);
	l.word[l.n] = NULL;
	rc = cli_main(&vmdk_tool, l.n, l.word);
	if (rc || !l.done || l.quiet)
		return rc;
	puts(l.done);
	return fflush(stdout) ? CLI_FAILED : CLI_DONE;
}
