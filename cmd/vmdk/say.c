/* What the commands of vmdk print, the same way all of them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/size.h"
#include "disk/foreign.h"
#include "vmdk.h"
#include "vmx/users.h"

const struct disk_backend *const vmdk_backends[] = { &file_http, NULL };

void print_text(const char *fmt, ...)
{
	char *line;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	for (int i = 0; i < n; i++)
		if (((unsigned char)line[i] < ' ' || line[i] == 0x7f) &&
		    !(line[i] == '\n' && i == n - 1))
			line[i] = '?';
	fputs(line, stdout);
	free(line);
}

int print_json(struct cli *c, struct json *j)
{
	char *line = json_line(j);

	if (!line) {
		cli_say(c, "out of memory");
		return CLI_FAILED;
	}
	fputs(line, stdout);
	free(line);
	return CLI_DONE;
}

int say_change(struct cli *c, const struct change_args *a, struct json *j,
	       const char *path, const char *action, bool changed, const char *fmt, ...)
{
	va_list ap;

	if (a->json) {
		json_put_text(j, "path", path);
		json_put_text(j, "action", action);
		json_put_bool(j, "check", a->check);
		json_put_bool(j, "changed", changed);
		return print_json(c, j);
	}
	free(json_line(j));
	if (!a->check)
		return CLI_DONE;
	printf("%s: ", path);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	return CLI_DONE;
}

/* A raw disk's first bytes are a guest's, who may have wanted it to be taken for another. */
static void warn_ambiguous(const struct cli *c, const char *dst)
{
	char head[SECTOR];
	int fd = open(dst, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);
	struct stat st;

	if (n > 0 && !fstat(fd, &st) && image_probe(head, (size_t)n, (uint64_t)st.st_size))
		cli_say(c, "%s: what the disk holds makes it look like a VMDK: read it with --raw "
			"only, or convert to another format", dst);
	if (fd >= 0)
		close(fd);
}

int say_made(struct cli *c, const struct change_args *a, const char *action, const char *source,
	     const char *path, const struct disk_create *p, struct json *files)
{
	struct json j = { 0 };
	char size[24];

	if (source)
		json_put_text(&j, "source", source);
	if (p->format == DISK_RAW && !p->dry)
		warn_ambiguous(c, path);
	json_put_text(&j, "format", disk_format_name[p->format]);
	if (p->size)		/* a device knows its own */
		json_put_u64(&j, "capacity_bytes", p->size);
	json_put_array(&j, "files", files);
	return say_change(c, a, &j, path, action, true, "would be created: %s, %s",
			  disk_format_name[p->format],
			  p->device ? p->device : size_format(size, p->size));
}

int fail_made(struct cli *c, struct json *files, const struct err *e)
{
	free(json_line(files));
	return cli_fail(c, e);
}

int want_operands(struct cli *c, int argc, char **argv, const char *names)
{
	const char *name = names;
	int n;

	for (n = 0; *name && n < argc; n++) {
		name += strcspn(name, " ");
		name += strspn(name, " ");
	}
	if (*name) {
		cli_say(c, "%.*s is missing", (int)strcspn(name, " "), name);
		return CLI_USAGE;
	}
	if (argc > n) {
		cli_say(c, "%s: one operand too many", argv[n]);
		return CLI_USAGE;
	}
	return -1;
}

int parse_line(struct cli *c, void *args, int *argc, char **argv, const char *names)
{
	int rc = cli_parse(c, args, argc, argv);

	return rc >= 0 ? rc : want_operands(c, *argc, argv, names);
}

int refuse_foreign(const struct disk *d, bool raw, struct err *e)
{
	const struct image *base = disk_layer((struct disk *)d, 0);
	const char *what = raw ? NULL : image_foreign(base);

	return what ? err_set(e, -ENOTSUP, "%s: is %s (--raw takes it as it is)", base->path, what)
		    : 0;
}

int refuse_replacing(const char *path, struct err *e)
{
	struct vmx_users users;
	int rc = vmx_users_of(&users, path, e);

	if (rc)
		return rc;
	rc = vmx_users_refuse(&users, path, VMX_REFUSE_FROZEN | VMX_REFUSE_TOP,
			      "delete its snapshots first (vmdk snapshot delete)", e);
	vmx_users_free(&users);
	return rc;
}

/* Progress */

#define FIRST_NS	NS_PER_SEC		/* nothing is said about what is quicker */
#define STEP_NS		(NS_PER_SEC / 5)

static volatile sig_atomic_t stop;

static struct {
	struct cli *cli;
	enum progress_how how;
	bool shown;		/* a line stands there */
	uint64_t next_ns;
} meter;

static void on_stop(int sig)
{
	stop = 1;
}

void progress_begin(struct cli *c, enum progress_how how)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old, sa = { .sa_handler = on_stop };

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		sigaction(sigs[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			sigaction(sigs[i], &sa, NULL);
	}
	meter.cli = c;
	meter.how = how == PROGRESS_TTY && !isatty(STDERR_FILENO) ? PROGRESS_NONE : how;
	meter.shown = false;
	meter.next_ns = how == PROGRESS_JSON ? 0 : clock_ns() + FIRST_NS;
}

bool progress_step(void *ptr, uint64_t done, uint64_t total)
{
	bool json = meter.how == PROGRESS_JSON;
	uint64_t now;

	if (stop)
		return false;
	if (meter.how == PROGRESS_NONE || !total)	/* 0: it is only asked whether to go on */
		return true;
	now = clock_ns();
	if (now < meter.next_ns && !(json && done == total))
		return true;
	if (json)
		fprintf(stderr, "{\"done_bytes\":%" PRIu64 ",\"total_bytes\":%" PRIu64 "}\n", done,
			total);
	else
		fprintf(stderr, "\r%s: %s: %3u %%", meter.cli->tool->name, meter.cli->cmd->name,
			(unsigned)((double)done * 100 / (double)total));
	meter.shown = !json;
	meter.next_ns = now + (json ? NS_PER_SEC : STEP_NS);
	return true;
}

void progress_end(void)
{
	if (meter.shown)
		fprintf(stderr, "\r%*s\r", 40, "");
	meter.shown = false;
}
