/*
 * stamp: run a command and put times before the lines that it prints.
 *
 *	stamp [-t SECONDS] [-u TEXT] [-m NAME] [-a TEXT=REPLY]... COMMAND [ARG...]
 *
 * Each line of the command's standard output becomes
 *	WALL CPU LINE
 * with the seconds from the start to its end, and the CPU seconds that the
 * process had used by then (all its threads): what counts where the machine is shared.  The
 * last line is `WALL CPU stamp: exit CODE` (128 + signal, 124: out of time).
 * With -u, the command is ended by SIGTERM as soon as TEXT (at most
 * 128 characters) has appeared, and CODE is then 0; if it never does, it is not.
 * With -m, a line `WALL CPU stamp: memory KIB` comes before it: the most that the
 * process had in memory, looked at five times a second: its share of what is
 * mapped (PSS), but of mappings whose name has NAME in it, and its page tables.
 * Standard input is open and silent, but that with -a, when TEXT has appeared,
 * REPLY and a line feed are sent: each once, in their order.  Carriage returns are dropped.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double clock_s(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t) < 0)
		return 0;
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static pid_t start(char **argv, int *in_w, int *out)
{
	int p[2], in[2];
	pid_t pid;

	if (pipe(p) < 0 || pipe(in) < 0 || (pid = fork()) < 0) {
		perror("stamp");
		exit(1);
	}
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(p[1], 1);
		close(in[0]);
		close(in[1]);
		close(p[0]);
		close(p[1]);
		setpgid(0, 0);
		execvp(argv[0], argv);
		fprintf(stderr, "stamp: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(p[1]);
	close(in[0]);
	*in_w = in[1];	/* stays open until we end */
	*out = p[0];
	return pid;
}

enum ending { ENDED, FOUND, LATE };

/* A line as far as it has come; over-long ones are broken. */
static char line[1024];
static size_t line_len;

/* The last characters, for -u: lines do not matter there. */
static char tail[128];

static void tail_add(char c)
{
	memmove(tail, tail + 1, sizeof(tail) - 1);
	tail[sizeof(tail) - 1] = c;
}

static bool tail_is(const char *text, size_t n)
{
	return n <= sizeof(tail) && !memcmp(tail + sizeof(tail) - n, text, n);
}

/* What -a asks for, each "TEXT=REPLY"; the first `said` are done. */
static struct {
	const char *pair[16];
	unsigned count, said;
	int fd;
} answers;

/* Reply if the output ends with the next text that is waited for. */
static void answer(void)
{
	const char *pair, *is;

	if (answers.said == answers.count)
		return;
	pair = answers.pair[answers.said];
	is = strchr(pair, '=');
	if (!tail_is(pair, is - pair))
		return;
	dprintf(answers.fd, "%s\n", is + 1);
	answers.said++;
}

static void line_end(double began, clockid_t cpu)
{
	printf("%.4f %.4f %.*s\n", clock_s(CLOCK_MONOTONIC) - began, clock_s(cpu),
	       (int)line_len, line);
	line_len = 0;
}

/* The number behind `key` in a line of /proc, or 0 where it starts otherwise. */
static long field(const char *text, const char *key)
{
	size_t n = strlen(key);

	return strncmp(text, key, n) ? 0 : atol(text + n);
}

/* Memory of the process in KiB, see -m above; 0 if it has ended. */
static long memory_kib(pid_t pid, const char *but)
{
	char path[64], *text = NULL;
	size_t size = 0;
	long sum = 0;
	bool counts = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "re");
	while (f && getline(&text, &size, f) > 0) {
		/* a mapping begins with its addresses, in hex; keys have capitals */
		if (strchr("0123456789abcdef", *text))
			counts = !strstr(text, but);
		else if (counts)
			sum += field(text, "Pss:");
	}
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && getline(&text, &size, f) > 0)
		sum += field(text, "VmPTE:");
	if (f)
		fclose(f);
	free(text);
	return sum;
}

/* What -m asks for: whom to look at, and the most seen. */
static struct {
	const char *but;	/* NULL: no -m */
	pid_t pid;
	double next;
	long most_kib;
} mem;

static void memory_look(void)
{
	double now = clock_s(CLOCK_MONOTONIC);
	long kib;

	if (!mem.but || now < mem.next)
		return;
	kib = memory_kib(mem.pid, mem.but);
	if (kib > mem.most_kib)
		mem.most_kib = kib;
	mem.next = clock_s(CLOCK_MONOTONIC) + 0.2;
}

/* Pass lines on until the output ends, has had `until`, or it is late. */
static enum ending pass_lines(int in, clockid_t cpu, double began, double limit,
			      const char *until)
{
	char buf[4096];

	for (;;) {
		struct pollfd p = { .fd = in, .events = POLLIN };
		double left = began + limit - clock_s(CLOCK_MONOTONIC);
		ssize_t n;

		if (left <= 0)
			return LATE;
		memory_look();
		if (poll(&p, 1, mem.but && left > 0.1 ? 100 : left * 1000 + 1) <= 0)
			continue;
		n = read(in, buf, sizeof(buf));
		if (n <= 0)
			return ENDED;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n' && buf[i] != '\r' && buf[i])
				line[line_len++] = buf[i];
			if (buf[i] == '\n' || line_len == sizeof(line))
				line_end(began, cpu);
			tail_add(buf[i]);
			answer();
			if (until && tail_is(until, strlen(until)))
				return FOUND;
		}
		fflush(stdout);
	}
}

/* Ask it to end; after `patience` seconds do not ask. */
static void stop(pid_t pid, int out, double patience)
{
	double until = clock_s(CLOCK_MONOTONIC) + patience;
	struct pollfd p = { .fd = out, .events = POLLIN };
	char buf[4096];

	kill(-pid, SIGTERM);
	while (clock_s(CLOCK_MONOTONIC) < until)
		if (poll(&p, 1, 100) > 0 && read(out, buf, sizeof(buf)) <= 0)
			return;
	kill(-pid, SIGKILL);
}

static void end_line(double began, const struct rusage *use, const char *what, long value)
{
	printf("%.4f %.4f stamp: %s %ld\n", clock_s(CLOCK_MONOTONIC) - began,
	       use->ru_utime.tv_sec + use->ru_stime.tv_sec +
	       (use->ru_utime.tv_usec + use->ru_stime.tv_usec) * 1e-6, what, value);
}

static void usage(void)
{
	fprintf(stderr, "usage: stamp [-t seconds] [-u text] [-m name] [-a text=reply] "
		"command [arg ...]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	const char *until = NULL;
	double limit = 3600, began;
	enum ending ending;
	struct rusage use;
	int c, out, status = 0;
	clockid_t cpu;
	pid_t pid;

	while ((c = getopt(argc, argv, "+t:u:m:a:")) != -1)
		switch (c) {
		case 't':
			limit = atof(optarg);
			break;
		case 'u':
			until = optarg;
			break;
		case 'm':
			mem.but = optarg;
			break;
		case 'a':
			if (answers.count < 16 && strchr(optarg, '=')) {
				answers.pair[answers.count++] = optarg;
				break;
			}
			/* fall through */
		default:
			usage();
		}
	if (optind >= argc)
		usage();
	began = clock_s(CLOCK_MONOTONIC);
	pid = start(argv + optind, &answers.fd, &out);
	signal(SIGPIPE, SIG_IGN);	/* a reply may come too late */
	mem.pid = pid;
	if (clock_getcpuclockid(pid, &cpu) != 0)
		cpu = CLOCK_MONOTONIC;
	ending = pass_lines(out, cpu, began, limit, until);
	if (line_len)
		line_end(began, cpu);
	if (ending == FOUND)
		stop(pid, out, 5);
	else if (ending == LATE)
		kill(-pid, SIGKILL);
	while (wait4(pid, &status, 0, &use) < 0 && errno == EINTR)
		;
	c = ending == LATE ? 124 : ending == FOUND ? 0 :
		WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
		WEXITSTATUS(status) ? WEXITSTATUS(status) : until ? 1 : 0;
	if (mem.but)
		end_line(began, &use, "memory", mem.most_kib);
	end_line(began, &use, "exit", c);
	return c;
}
