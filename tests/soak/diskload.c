/*
 * diskload: write a file, and read back what was written.  Runs in the guest.
 *
 *	diskload FILE MIB SECONDS
 *
 * MIB go there one after the other; behind a dropped page cache they are read and compared.
 * Then, for SECONDS, each of four threads writes, reads, flushes and punches holes at
 * random in its own quarter, past the page cache and through it, and compares what it reads
 * with what it knows; at last all is compared again.
 * Prints `diskload: write MB/s read MB/s random OPS`, or what was wrong, and exits 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, BIG = 256, THREADS = 4 };	/* bytes; blocks; */

static const char *path;
static int direct, cached;	/* the file, past the page cache and through it */
static uint32_t *known;		/* of each block, which writing of it it holds; 0: zeros */
static uint64_t blocks, end_ns;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	printf("diskload: FAILED: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void fill(uint64_t *buf, uint64_t block)
{
	uint64_t x = block * 0x9e3779b97f4a7c15u ^ known[block];

	for (unsigned i = 0; i < BLOCK / 8; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		buf[i] = known[block] ? x : 0;
	}
}

static void compare(const char *buf, uint64_t at, unsigned n)
{
	uint64_t want[BLOCK / 8];

	for (unsigned i = 0; i < n; i++) {
		fill(want, at + i);
		if (memcmp(want, buf + (size_t)i * BLOCK, BLOCK)) {
			errno = EIO;
			printf("diskload: block %llu, written %u times, is not what it was\n",
			       (unsigned long long)(at + i), known[at + i]);
			die("compare");
		}
	}
}

static void *buffer(void)
{
	void *buf;

	if (posix_memalign(&buf, BLOCK, (size_t)BIG * BLOCK))
		die("memory");
	return buf;
}

static void write_at(int fd, char *buf, uint64_t at, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		known[at + i]++;
		fill((uint64_t *)(void *)(buf + (size_t)i * BLOCK), at + i);
	}
	if (pwrite(fd, buf, (size_t)n * BLOCK, (off_t)(at * BLOCK)) != (ssize_t)n * BLOCK)
		die("write");
}

static void read_at(int fd, char *buf, uint64_t at, unsigned n)
{
	if (pread(fd, buf, (size_t)n * BLOCK, (off_t)(at * BLOCK)) != (ssize_t)n * BLOCK)
		die("read");
	compare(buf, at, n);
}

/* All of it, MB/s. */
static double pass(void (*move)(int, char *, uint64_t, unsigned))
{
	uint64_t began = now_ns();
	char *buf = buffer();

	for (uint64_t at = 0; at < blocks; at += BIG)
		move(cached, buf, at, BIG);
	if (fdatasync(cached))
		die("flush");
	free(buf);
	return (double)blocks * BLOCK / 1e6 / ((double)(now_ns() - began) / 1e9);
}

static void forget_cache(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	if (fd < 0 || write(fd, "3", 1) != 1)
		die("drop_caches");
	close(fd);
}

struct worker {
	pthread_t thread;
	uint64_t first, x, done;
};

static void punch(uint64_t at, unsigned n)
{
	if (fallocate(cached, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)(at * BLOCK), (off_t)n * BLOCK))
		die("punch");
	memset(known + at, 0, n * sizeof(*known));
}

static void *work(void *ptr)
{
	struct worker *w = ptr;
	char *buf = buffer();

	while (now_ns() < end_ns) {
		uint64_t len = blocks / THREADS, at;
		unsigned n, what;

		w->x = w->x * 6364136223846793005u + 1442695040888963407u;
		n = (w->x >> 60) ? 1 + (w->x >> 32) % 16 : 1 + (w->x >> 32) % BIG;
		at = w->first + (w->x >> 20) % (len - n);
		what = (w->x >> 40) % 32;
		if (what < 14)
			write_at(what < 10 ? direct : cached, buf, at, n);
		else if (what < 30)
			read_at(what < 26 ? direct : cached, buf, at, n);
		else if (what == 30)
			punch(at, n);
		else if (fdatasync(cached))
			die("flush");
		w->done++;
	}
	free(buf);
	return NULL;
}

int main(int argc, char **argv)
{
	struct worker w[THREADS];
	uint64_t done = 0;
	double written, read;

	if (argc != 4) {
		printf("usage: diskload FILE MIB SECONDS\n");
		return 2;
	}
	path = argv[1];
	blocks = (uint64_t)atoi(argv[2]) * (1048576 / BLOCK);
	known = calloc(blocks, sizeof(*known));
	cached = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	direct = open(path, O_RDWR | O_DIRECT);
	if (!known || cached < 0 || direct < 0 || blocks < THREADS * 2 * BIG)
		die(path);
	written = pass(write_at);
	forget_cache();
	read = pass(read_at);
	end_ns = now_ns() + (uint64_t)(atof(argv[3]) * 1e9);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .first = i * (blocks / THREADS), .x = 88172645463325252u + i };
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			die("thread");
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		done += w[i].done;
	}
	if (fsync(cached))
		die("flush");
	forget_cache();
	pass(read_at);
	printf("diskload: write %.0f MB/s, read %.0f MB/s, random %llu\n", written, read,
	       (unsigned long long)done);
	return 0;
}
