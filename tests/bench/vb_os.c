/* vb: tests of the kernel under the program. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vb.h"

static uint32_t wait_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		vb_fail("child");
	return WEXITSTATUS(status);
}

/* --- getpid ---------------------------------------------------------------- */

#define GETPID_N 1000

static uint32_t getpid_run(uint64_t passes)
{
	long pid = getpid();

	while (passes--)
		for (int i = 0; i < GETPID_N; i++)
			if (syscall(SYS_getpid) != pid)
				vb_fail("getpid");
	return GETPID_N;
}

/* --- pipe: one byte to another process and back ---------------------------- */

#define PIPE_N 100

static void pipe_echo(int in, int out)
{
	uint8_t b;

	while (read(in, &b, 1) == 1) {
		b ^= 0x5a;
		if (write(out, &b, 1) != 1)
			break;
	}
	_exit(0);
}

static uint32_t pipe_run(uint64_t passes)
{
	int to[2], from[2];
	uint32_t sum = 0;
	pid_t pid;

	if (pipe(to) < 0 || pipe(from) < 0 || (pid = fork()) < 0)
		vb_fail("pipe");
	if (pid == 0) {
		close(to[1]);
		close(from[0]);
		pipe_echo(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	while (passes--) {
		sum = 0;
		for (int i = 0; i < PIPE_N; i++) {
			uint8_t b = i;

			if (write(to[1], &b, 1) != 1 || read(from[0], &b, 1) != 1)
				vb_fail("pipe");
			sum = vb_mix(sum, b);
		}
	}
	close(to[1]);
	close(from[0]);
	wait_child(pid);
	return sum;
}

/* --- fork + exit + wait, and fork + exec + wait ---------------------------- */

static uint32_t fork_run(uint64_t passes)
{
	uint32_t sum = 0;

	while (passes--) {
		pid_t pid = fork();

		if (pid < 0)
			vb_fail("fork");
		if (pid == 0)
			_exit(42);
		sum = wait_child(pid);
	}
	return sum;
}

static uint32_t exec_run(uint64_t passes)
{
	uint32_t sum = 0;

	while (passes--) {
		pid_t pid = fork();

		if (pid < 0)
			vb_fail("fork");
		if (pid == 0) {
			execl("/proc/self/exe", "vb", "exit", "43", (char *)NULL);
			_exit(127);
		}
		sum = wait_child(pid);
	}
	return sum;
}

/* --- mmap: map, touch and unmap; per page ---------------------------------- */

#define MMAP_PAGES 256

static uint32_t mmap_run(uint64_t passes)
{
	uint32_t sum = 0;

	while (passes--) {
		uint8_t *p = vb_alloc(MMAP_PAGES * 4096, PROT_READ | PROT_WRITE);

		sum = 0;
		for (unsigned i = 0; i < MMAP_PAGES; i++) {
			p[i * 4096u + i] += i;
			sum = vb_mix(sum, p[i * 4096u + i]);
		}
		munmap(p, MMAP_PAGES * 4096);
	}
	return sum;
}

/* --- signal: send one to oneself, handle it -------------------------------- */

#define SIGNAL_N 100
static volatile sig_atomic_t signal_seen;

static void signal_handler(int sig)
{
	signal_seen++;
}

static uint32_t signal_run(uint64_t passes)
{
	struct sigaction sa = { .sa_handler = signal_handler };
	uint32_t sum = 0;

	sigaction(SIGUSR1, &sa, NULL);
	while (passes--) {
		signal_seen = 0;
		for (int i = 0; i < SIGNAL_N; i++)
			raise(SIGUSR1);
		sum = signal_seen;
	}
	return sum;
}

/* --- gzip: busybox gzip of a text in memory -------------------------------- */

#define GZIP_BYTES (4u << 20)
static char gzip_in[256], gzip_out[256];

static void gzip_clean(void)
{
	unlink(gzip_in);
	unlink(gzip_out);
}

static void gzip_write_text(int fd)
{
	static char words[512][12], buf[65536];
	uint32_t x = 11, left = GZIP_BYTES;

	for (int i = 0; i < 512; i++) {
		int n = 2 + vb_rand(&x) % 9;

		for (int j = 0; j < n; j++)
			words[i][j] = 'a' + vb_rand(&x) % 26;
	}
	while (left) {
		uint32_t n = 0, want = left < sizeof(buf) ? left : sizeof(buf);

		while (n < want) {
			uint32_t r = vb_rand(&x);

			/* few set bits: some words are frequent */
			for (const char *c = words[r & r >> 9 & 511]; *c && n < want; c++)
				buf[n++] = *c;
			if (n < want)
				buf[n++] = r & 0x10000 ? ' ' : '\n';
		}
		if (write(fd, buf, want) != (ssize_t)want)
			vb_fail("gzip: cannot write its text");
		left -= want;
	}
}

static void gzip_setup(void)
{
	int fd;

	snprintf(gzip_in, sizeof(gzip_in), "%s/vb-%d.txt", vb_place.dir, getpid());
	snprintf(gzip_out, sizeof(gzip_out), "%s/vb-%d.gz", vb_place.dir, getpid());
	fd = open(gzip_in, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		vb_fail("gzip: cannot create its text");
	atexit(gzip_clean);
	gzip_write_text(fd);
	close(fd);
}

/* Of the compressed bytes behind the header, which holds a time. */
static uint32_t gzip_sum(void)
{
	static uint8_t buf[65536];
	uint32_t sum = 0, at = 0;
	ssize_t n;
	int fd = open(gzip_out, O_RDONLY);

	if (fd < 0)
		vb_fail("gzip: no result");
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (at++ >= 10)
				sum = vb_mix(sum, buf[i]);
	close(fd);
	return sum;
}

static uint32_t gzip_run(uint64_t passes)
{
	while (passes--) {
		pid_t pid = fork();

		if (pid < 0)
			vb_fail("fork");
		if (pid == 0) {
			int in = open(gzip_in, O_RDONLY);
			int out = open(gzip_out, O_WRONLY | O_CREAT | O_TRUNC, 0600);

			if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0)
				_exit(126);
			execl(vb_place.busybox, "busybox", "gzip", "-c", (char *)NULL);
			_exit(127);
		}
		if (wait_child(pid) != 0)
			vb_fail("gzip: busybox did not run");
	}
	return gzip_sum();
}

/* --- pair: two processes that compute, for how much a second CPU adds ------- */

#define PAIR_STEPS 20000
static uint32_t *pair_sums;

static void pair_setup(void)
{
	pair_sums = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pair_sums == MAP_FAILED)
		vb_fail("pair");
}

/* Integer arithmetic, and loads and stores in a table that fits a core's cache. */
static uint32_t pair_pass(void)
{
	static uint32_t table[4096];
	uint32_t x = 13, sum = 0;

	for (int i = 0; i < 4096; i++)
		table[i] = i;
	for (int i = 0; i < PAIR_STEPS; i++) {
		uint32_t a = vb_rand(&x) & 4095, b = sum & 4095, t = table[a];

		table[a] = table[b];
		table[b] = t;
		sum = vb_mix(sum, t);
	}
	return sum;
}

/* Both do `passes`; together that is 2 operations a pass. */
static uint32_t pair_run(uint64_t passes)
{
	pid_t pid[2];

	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] < 0)
			vb_fail("fork");
		if (pid[i] == 0) {
			for (uint64_t n = 0; n < passes; n++)
				pair_sums[i] = pair_pass();
			_exit(0);
		}
	}
	wait_child(pid[0]);
	wait_child(pid[1]);
	if (pair_sums[0] != pair_sums[1])
		vb_fail("pair: the two differ");
	return pair_sums[0];
}

const struct vb_test vb_os_tests[] = {
	{ "getpid", VB_NS, GETPID_N, 0, NULL, getpid_run },
	{ "pipe", VB_NS, PIPE_N, VB_PIN, NULL, pipe_run },
	{ "fork", VB_NS, 1, VB_PIN, NULL, fork_run },
	{ "exec", VB_NS, 1, VB_PIN, NULL, exec_run },
	{ "mmap", VB_NS, MMAP_PAGES, 0, NULL, mmap_run },
	{ "signal", VB_NS, SIGNAL_N, 0, NULL, signal_run },
	{ "gzip", VB_MBS, GZIP_BYTES, 0, gzip_setup, gzip_run },
	{ "pair", VB_NS, 2, VB_BY_NAME, pair_setup, pair_run },
};
const unsigned vb_os_count = sizeof(vb_os_tests) / sizeof(*vb_os_tests);
