/*
 * Code that one thread writes and others execute: SDM vol. 3, 8.1.3, "Handling Self- and
 * Cross-Modifying Code".  Functions are `mov eax, imm32; ret`.
 */
#include "threads.h"

#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define CODE_PAGES 16
#define SLOTS (CODE_PAGES * 4096 / 64)

typedef unsigned (*function)(void);

static void function_put(uint8_t *at, uint32_t value)
{
	at[0] = 0xb8;
	memcpy(at + 1, &value, 4);
	at[5] = 0xc3;
}

static unsigned call(const uint8_t *at)
{
	return ((function)(uintptr_t)at)();
}

/* --- fresh functions in pages that others are executing ------------------------------ */

static struct {
	uint8_t *code;
	_Atomic unsigned published;	/* functions [0, published) are ready */
	_Atomic unsigned round;
	_Atomic unsigned ready;		/* readers that have seen this round */
} fresh;

static uint32_t fresh_value(unsigned round, unsigned n)
{
	return round * 0x9e3779b1u + n * 77u;
}

/* Slots are used in an order that jumps between pages and lines. */
static uint8_t *fresh_slot(unsigned n)
{
	return fresh.code + (n * 37u % SLOTS) * 64 + (n & 1 ? 59 : 3);
}

static void fresh_writer(void)
{
	unsigned readers = workers() - 1;

	for (unsigned round = 1;; round++) {
		fresh.ready = 0;
		fresh.published = 0;
		fresh.round = round;
		while (fresh.ready < readers && !stopped())
			sched_yield();
		if (stopped())
			break;
		for (unsigned n = 0; n < SLOTS; n++) {
			function_put(fresh_slot(n), fresh_value(round, n));
			atomic_store(&fresh.published, n + 1);
			if (n % 64 == 0)
				sched_yield();
		}
		did(SLOTS);
	}
}

static void fresh_reader(unsigned me)
{
	uint32_t random = me;

	for (unsigned round = 0;;) {
		unsigned n, at, got;

		while (fresh.round == round) {
			n = fresh.published;
			if (!n)
				continue;
			at = next_random(&random) % 4 ? n - 1 : next_random(&random) % n;
			/* Old code of this address may have been executed here before. */
			serialize();
			got = call(fresh_slot(at));
			if (got != fresh_value(round, at) && round)
				wrong("function %u of round %u: %x for %x", at, round, got,
				      fresh_value(round, at));
			if (stopped())
				return;
		}
		round = fresh.round;
		fresh.ready++;
		while (!fresh.published)
			if (stopped())
				return;
	}
}

static void fresh_side(unsigned me)
{
	if (me)
		fresh_reader(me);
	else
		fresh_writer();
}

static void fresh_run(void)
{
	memset(&fresh, 0, sizeof(fresh));
	fresh.code = pages_new((CODE_PAGES + 1) * 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);
	together(workers(), fresh_side);
	munmap(fresh.code, (CODE_PAGES + 1) * 4096);
}

/* --- one function that is written again and again ------------------------------------ */

#define PLACES 4

struct again {
	uint8_t *code, *alias;		/* the same pages */
	uint8_t *place[PLACES], *write[PLACES];
	_Atomic unsigned version, published, reading;
};

static struct again patched, rewritten;

/* Its immediate, aligned, changes while others execute it: they see an old one or the new
 * one; behind the message and a serializing instruction no older one than that. */
static void patch_writer(void)
{
	for (uint32_t v = 1; !stopped(); v++) {
		for (unsigned i = 0; i < 2; i++)
			__atomic_store_n((uint32_t *)(patched.write[i] + 1), v, __ATOMIC_RELEASE);
		atomic_store(&patched.published, v);
		if (v % 16 == 0)
			sched_yield();
		for (unsigned i = v % 64 * 10; i; i--)
			__builtin_ia32_pause();
		did(1);
	}
}

static void patch_reader(unsigned me)
{
	unsigned last[2] = { 0 };

	while (!stopped())
		for (unsigned i = 0; i < 200; i++) {
			unsigned least = patched.published, which = (i + me) % 2, got;

			if (i % 4 == 0)
				serialize();
			got = call(patched.place[which]);
			if ((i % 4 == 0 && got < least) || got < last[which] ||
			    got > patched.published + 1)
				wrong("%u, published %u, seen %u", got, least, last[which]);
			last[which] = got;
		}
}

/* All of its bytes change, while nobody executes it; it stands in one page or in two. */
static void rewrite_writer(void)
{
	for (uint32_t v = 1; !stopped(); v++) {
		atomic_fetch_add(&rewritten.version, 1);	/* odd: away from it */
		while (rewritten.reading)
			if (stopped())
				return;
		for (unsigned i = 2; i < PLACES; i++) {
			memset(rewritten.write[i], 0x90, 12);
			function_put(rewritten.write[i] + v % 7, v * i);
		}
		atomic_store(&rewritten.published, v);
		atomic_fetch_add(&rewritten.version, 1);
		did(1);
		for (unsigned i = v % 32 * 20; i; i--)
			__builtin_ia32_pause();
	}
}

static void rewrite_reader(unsigned me)
{
	while (!stopped()) {
		unsigned which = 2 + me % 2, got;

		atomic_fetch_add(&rewritten.reading, 1);
		if (!(rewritten.version & 1) && rewritten.published) {
			serialize();
			for (unsigned i = 0; i < 3; i++) {
				got = call(rewritten.place[which]);
				if (got != rewritten.published * which)
					wrong("place %u: %u for %u", which, got,
					      rewritten.published * which);
			}
		}
		atomic_fetch_sub(&rewritten.reading, 1);
		sched_yield();
		me++;
	}
}

static void patch_side(unsigned me)
{
	if (me)
		patch_reader(me);
	else
		patch_writer();
}

static void rewrite_side(unsigned me)
{
	if (me)
		rewrite_reader(me);
	else
		rewrite_writer();
}

static void again_open(struct again *a)
{
	static const unsigned offset[PLACES] = { 7, 4096 + 1023, 512, 2 * 4096 - 6 };
	int fd = memfd_create("code", MFD_CLOEXEC);

	memset(a, 0, sizeof(*a));
	if (fd < 0 || ftruncate(fd, 3 * 4096))
		cannot("memfd");
	a->code = mmap(NULL, 3 * 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	a->alias = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (a->code == MAP_FAILED || a->alias == MAP_FAILED)
		cannot("mmap");
	for (unsigned i = 0; i < PLACES; i++) {
		a->place[i] = a->code + offset[i];
		a->write[i] = a->alias + offset[i];
		function_put(a->write[i], 0);
	}
}

static void again_close(struct again *a)
{
	munmap(a->code, 3 * 4096);
	munmap(a->alias, 3 * 4096);
}

static void patch_run(void)
{
	again_open(&patched);
	together(workers(), patch_side);
	again_close(&patched);
}

static void rewrite_run(void)
{
	again_open(&rewritten);
	together(workers(), rewrite_side);
	again_close(&rewritten);
}

const struct test code_tests[] = {
	{ "fresh", fresh_run },
	{ "patch", patch_run },
	{ "rewrite", rewrite_run },
	{ 0 },
};
