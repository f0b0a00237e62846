/*
 * dk: how fast a block device is, past the page cache.  Runs in the guest, and natively.
 *
 *	dk DEVICE SECONDS
 *
 * Each line is `dk NAME VALUE UNIT`, each test takes that long: 1 MiB sequentially, 4 KiB
 * at random, alone and four at a time, and 4 KiB with a flush behind each.
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
	bool write, random, flush;
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
	while (now_ns() < end_ns) {
		ssize_t n;

		if (w->random) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			at = (x >> 33) % (size / w->block);
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
	struct work each[8];
	pthread_t t[8];
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

int main(int argc, char **argv)
{
	struct stat st;

	if (argc != 3 || (seconds = atof(argv[2])) <= 0) {
		printf("usage: dk DEVICE SECONDS\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0 || fstat(fd, &st))
		die(argv[1]);
	size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &size))
		die("size");
	test("seqwrite", (struct work){ .write = true, .block = BIG }, 1);
	test("seqread", (struct work){ .block = BIG }, 1);
	test("randread", (struct work){ .random = true, .block = SMALL }, 1);
	test("randwrite", (struct work){ .write = true, .random = true, .block = SMALL }, 1);
	test("randread4", (struct work){ .random = true, .block = SMALL }, 4);
	test("randwrite4", (struct work){ .write = true, .random = true, .block = SMALL }, 4);
	test("syncwrite", (struct work){ .write = true, .random = true, .flush = true,
					 .block = SMALL }, 1);
	return 0;
}
