/*
 * dk: how fast a block device is, past the page cache.  Runs in the guest, and natively.
 *
 *	dk DEVICE SECONDS [TEST...]
 *
 * Each line is `dk NAME VALUE UNIT`, each test takes that long: 1 MiB sequentially, 4 KiB
 * at random, alone, four and 32 at a time, and 4 KiB with a flush behind each.  newwrite, only
 * when it is asked for: 4 KiB into each 64 KiB once, which a snapshot has to copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BIG	(1u << 20)
#define SMALL	4096u
#define GRAIN	65536u
#define THREADS	32

static int fd;
static uint64_t size, end_ns;
static double seconds;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	printf("dk: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct work {
	bool write, random, flush, fresh;
	size_t block;
	uint64_t seed, done;
};

static void *run(void *ptr)
{
	struct work *w = ptr;
	uint64_t at = 0, x = w->seed;
	char *buf;

	if (posix_memalign((void **)&buf, SMALL, w->block))
		die("memory");
	memset(buf, 0x5a, w->block);
	while (now_ns() < end_ns && !(w->fresh && w->done == size / GRAIN)) {
		ssize_t n;

		if (w->random) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			at = (x >> 33) % (size / w->block);
		} else if (w->fresh) {	/* a prime number of grains further on */
			at = w->done * 1000003 % (size / GRAIN) * (GRAIN / SMALL) + 5;
		}
		n = w->write ? pwrite(fd, buf, w->block, (off_t)(at * w->block)) :
			       pread(fd, buf, w->block, (off_t)(at * w->block));
		if (n != (ssize_t)w->block)
			die(w->write ? "write" : "read");
		if (w->flush && fdatasync(fd))
			die("flush");
		at = (at + 1) % (size / w->block);
		w->done++;
	}
	free(buf);
	return NULL;
}

static void test(const char *name, struct work w, unsigned threads)
{
	struct work each[THREADS];
	pthread_t t[THREADS];
	uint64_t began = now_ns(), done = 0;
	double took;

	end_ns = began + (uint64_t)(seconds * 1e9);
	for (unsigned i = 0; i < threads; i++) {
		each[i] = w;
		each[i].seed = 88172645463325252u + i;
		if (pthread_create(&t[i], NULL, run, &each[i]))
			die("thread");
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(t[i], NULL);
		done += each[i].done;
	}
	took = (double)(now_ns() - began) / 1e9;
	if (w.block == BIG)
		printf("dk %s %.1f MB/s\n", name, (double)done * BIG / 1e6 / took);
	else
		printf("dk %s %.0f /s\n", name, (double)done / took);
	fflush(stdout);
}

static const struct {
	const char *name;
	unsigned threads;
	struct work w;
} tests[] = {
	{ "seqwrite", 1, { .write = true, .block = BIG } },
	{ "seqread", 1, { .block = BIG } },
	{ "randread", 1, { .random = true, .block = SMALL } },
	{ "newwrite", 1, { .write = true, .fresh = true, .block = SMALL } },
	{ "randwrite", 1, { .write = true, .random = true, .block = SMALL } },
	{ "randread4", 4, { .random = true, .block = SMALL } },
	{ "randwrite4", 4, { .write = true, .random = true, .block = SMALL } },
	{ "randread32", 32, { .random = true, .block = SMALL } },
	{ "syncwrite", 1, { .write = true, .random = true, .flush = true, .block = SMALL } },
};

static bool wanted(const char *name, bool always, char **argv)
{
	if (!*argv)
		return always;
	while (*argv && strcmp(*argv, name))
		argv++;
	return *argv;
}

int main(int argc, char **argv)
{
	struct stat st;

	if (argc < 3 || (seconds = atof(argv[2])) <= 0) {
		printf("usage: dk DEVICE SECONDS [TEST...]\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0 || fstat(fd, &st))
		die(argv[1]);
	size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &size))
		die("size");
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (wanted(tests[i].name, !tests[i].w.fresh, argv + 3))
			test(tests[i].name, tests[i].w, tests[i].threads);
	return 0;
}
