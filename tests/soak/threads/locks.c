/* Atomic operations, mutexes, and the order of loads and stores (x86-TSO). */
#include "threads.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- sums --------------------------------------------------------------------------- */

static struct {
	pthread_mutex_t mutex;
	unsigned long guarded, guarded_twice;
	_Atomic unsigned long added, swapped;
	_Alignas(8) _Atomic uint64_t wide;
	_Atomic unsigned long wanted, wanted_swaps;
	unsigned spin;
	unsigned long spun;
} sums;

static void sum(unsigned me)
{
	unsigned long n = 0;
	uint64_t old;

	while (!stopped()) {
		for (unsigned i = 0; i < 200; i++, n++) {
			pthread_mutex_lock(&sums.mutex);
			sums.guarded++;
			sums.guarded_twice += 2;
			pthread_mutex_unlock(&sums.mutex);
			atomic_fetch_add(&sums.added, me + 1);
			old = sums.wide;
			while (!atomic_compare_exchange_weak(&sums.wide, &old, old + 0x100000001ull))
				;
			/* XCHG as a lock */
			while (__atomic_exchange_n(&sums.spin, 1, __ATOMIC_ACQUIRE))
				sched_yield();
			sums.spun++;
			__atomic_store_n(&sums.spin, 0, __ATOMIC_RELEASE);
		}
	}
	atomic_fetch_add(&sums.wanted, n);
	atomic_fetch_add(&sums.wanted_swaps, n * (me + 1));
	did(n);
}

static void sums_run(void)
{
	uint64_t wide;

	memset(&sums, 0, sizeof(sums));
	pthread_mutex_init(&sums.mutex, NULL);
	together(workers(), sum);
	wide = (uint64_t)(uint32_t)sums.wanted * 0x100000001ull;
	if (sums.guarded != sums.wanted || sums.guarded_twice != 2 * sums.wanted)
		wrong("mutex: %lu and %lu for %lu", sums.guarded, sums.guarded_twice, sums.wanted);
	if (sums.added != sums.wanted_swaps)
		wrong("lock add: %lu for %lu", sums.added, sums.wanted_swaps);
	if (sums.wide != wide)
		wrong("cmpxchg8b: %llx for %llx", (unsigned long long)sums.wide,
		      (unsigned long long)wide);
	if (sums.spun != sums.wanted)
		wrong("xchg: %lu for %lu", sums.spun, sums.wanted);
}

/* --- a locked operation on two pages that are no neighbours in memory ----------------- */

static struct {
	uint8_t *at;
	_Atomic unsigned long wanted;
} split;

static void split_add(unsigned me)
{
	uint32_t *cell = (uint32_t *)(split.at + 4096 - 2);
	unsigned long n = 0;

	while (!stopped()) {
		for (unsigned i = 0; i < 8; i++, n++)
			__asm__ volatile("lock addl %1, %0" : "+m"(*cell) : "r"(0x10001 + me));
		usleep(300);
		atomic_fetch_add(&split.wanted, 8 * (0x10001 + me));
	}
	did(n);
}

static void split_run(void)
{
	int fd = memfd_create("split", MFD_CLOEXEC);
	uint32_t got;

	if (fd < 0 || ftruncate(fd, 4 * 4096))
		cannot("memfd");
	split.wanted = 0;
	split.at = pages_new(2 * 4096, PROT_NONE, MAP_PRIVATE);
	if (mmap(split.at, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 2 * 4096) ==
	    MAP_FAILED || mmap(split.at + 4096, 4096, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		cannot("mmap");
	together(workers(), split_add);
	memcpy(&got, split.at + 4096 - 2, 4);
	if (got != (uint32_t)split.wanted)
		wrong("%x for %lx", (unsigned)got, (unsigned long)split.wanted);
	munmap(split.at, 2 * 4096);
	close(fd);
}

/* --- litmus tests ---------------------------------------------------------------------- */

#define LINES 4096

static struct {
	struct { volatile unsigned x, y; char pad[56]; } line[LINES];
	struct { unsigned a, b; } got[2][LINES];
	pthread_barrier_t barrier;
	_Atomic bool end;
} litmus;

/* Message passing: whoever sees y has to see x.  Store buffers: with a fence, or a locked
 * instruction in between, not both may read 0. */
static void litmus_side(unsigned me)
{
	for (unsigned round = 0;; round++) {
		pthread_barrier_wait(&litmus.barrier);
		if (litmus.end)
			return;
		for (unsigned i = 0; i < LINES; i++) {
			volatile unsigned *mine = me ? &litmus.line[i].y : &litmus.line[i].x;
			volatile unsigned *other = me ? &litmus.line[i].x : &litmus.line[i].y;
			unsigned dummy = 1;

			switch (round % 3) {
			case 0:
				if (me) {
					litmus.got[1][i].a = litmus.line[i].y;
					litmus.got[1][i].b = litmus.line[i].x;
				} else {
					litmus.line[i].x = 1;
					litmus.line[i].y = 1;
				}
				break;
			case 1:
				*mine = 1;
				__asm__ volatile("lock; addl $0, (%0)" : : "r"(&dummy) : "memory");
				litmus.got[me][i].a = *other;
				break;
			default:
				__asm__ volatile("xchg %0, %1" : "+r"(dummy), "+m"(*mine));
				litmus.got[me][i].a = *other;
			}
		}
		pthread_barrier_wait(&litmus.barrier);
		if (me)
			continue;
		for (unsigned i = 0; i < LINES; i++) {
			if (round % 3 == 0 ? litmus.got[1][i].a && !litmus.got[1][i].b :
			    !litmus.got[0][i].a && !litmus.got[1][i].a)
				wrong("order %u, line %u", round % 3, i);
			litmus.line[i].x = litmus.line[i].y = 0;
			litmus.got[0][i].a = litmus.got[1][i].a = litmus.got[1][i].b = 0;
		}
		did(1);
		litmus.end = stopped();
	}
}

static void litmus_run(void)
{
	litmus.end = false;
	pthread_barrier_init(&litmus.barrier, NULL, 2);
	together(2, litmus_side);
	pthread_barrier_destroy(&litmus.barrier);
}

const struct test locks_tests[] = {
	{ "sums", sums_run },
	{ "split", split_run },
	{ "litmus", litmus_run },
	{ 0 },
};
