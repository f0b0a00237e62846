/*
 * stamp: run a command and put times before the lines that it prints.
 *
 *	stamp [-t SECONDS] COMMAND [ARG...]
 *
 * Each line of the command's standard output becomes
 *	WALL CPU LINE
 * with the seconds from the start to its end, and the CPU seconds that the
 * process had used by then (all its threads): what counts where the machine is shared.  The
 * last line is `WALL CPU stamp: exit CODE` (128 + signal, 124: out of time).
 * Standard input is empty.  Carriage returns are dropped.
 */

#include <errno.h>
#include <fcntl.h>
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

static pid_t start(char **argv, int *out)
{
	int p[2], null;
	pid_t pid;

	if (pipe(p) < 0 || (pid = fork()) < 0) {
		perror("stamp");
		exit(1);
	}
	if (pid == 0) {
		null = open("/dev/null", O_RDONLY);
		dup2(null, 0);
		dup2(p[1], 1);
		close(null);
		close(p[0]);
		close(p[1]);
		setpgid(0, 0);
		execvp(argv[0], argv);
		fprintf(stderr, "stamp: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(p[1]);
	*out = p[0];
	return pid;
}

/* A line as far as it has come; over-long ones are broken. */
static char line[1024];
static size_t line_len;

static void line_end(double began, clockid_t cpu)
{
	printf("%.4f %.4f %.*s\n", clock_s(CLOCK_MONOTONIC) - began, clock_s(cpu),
	       (int)line_len, line);
	line_len = 0;
}

/* Pass lines on until the output ends.  Returns false when time ran out. */
static bool pass_lines(int in, clockid_t cpu, double began, double limit)
{
	char buf[4096];

	for (;;) {
		struct pollfd p = { .fd = in, .events = POLLIN };
		double left = began + limit - clock_s(CLOCK_MONOTONIC);
		ssize_t n;

		if (left <= 0)
			return false;
		if (poll(&p, 1, left * 1000 + 1) <= 0)
			continue;
		n = read(in, buf, sizeof(buf));
		if (n <= 0)
			return true;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n' && buf[i] != '\r')
				line[line_len++] = buf[i];
			if (buf[i] == '\n' || line_len == sizeof(line))
				line_end(began, cpu);
		}
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	double limit = 3600, began;
	struct rusage use;
	bool in_time;
	int c, out, status = 0;
	clockid_t cpu;
	pid_t pid;

	while ((c = getopt(argc, argv, "+t:")) == 't')
		limit = atof(optarg);
	if (c != -1 || optind >= argc) {
		fprintf(stderr, "usage: stamp [-t seconds] command [arg ...]\n");
		return 2;
	}
	began = clock_s(CLOCK_MONOTONIC);
	pid = start(argv + optind, &out);
	if (clock_getcpuclockid(pid, &cpu) != 0)
		cpu = CLOCK_MONOTONIC;
	in_time = pass_lines(out, cpu, began, limit);
	if (line_len)
		line_end(began, cpu);
	if (!in_time)
		kill(-pid, SIGKILL);
	while (wait4(pid, &status, 0, &use) < 0 && errno == EINTR)
		;
	c = !in_time ? 124 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	printf("%.4f %.4f stamp: exit %d\n", clock_s(CLOCK_MONOTONIC) - began,
	       use.ru_utime.tv_sec + use.ru_stime.tv_sec +
	       (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6, c);
	return c;
}
