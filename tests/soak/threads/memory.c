/*
 * Address spaces that change under the threads that use them: when a system call has
 * come back, no other processor may go by what was before.
 */
#include "threads.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

static void spin(unsigned n)
{
	while (n--)
		__builtin_ia32_pause();
}

/* --- mprotect ------------------------------------------------------------------------ */

static struct {
	volatile unsigned long *page;
	_Atomic unsigned long denied;
} protect;

static void store_some(void *ptr)
{
	volatile unsigned long *p = ptr;

	for (unsigned i = 0; i < 50; i++)
		p[i % 8]++;
}

/* Nothing is stored to a page that was made read-only, or taken away, before. */
static void protect_owner(void)
{
	unsigned long before[8];

	for (unsigned n = 0; !stopped(); n++) {
		mprotect((void *)protect.page, PAGE, PROT_READ | PROT_WRITE);
		spin(n % 64 * 16);
		if (n % 16 == 0)
			sched_yield();
		mprotect((void *)protect.page, PAGE, PROT_READ);
		memcpy(before, (const void *)protect.page, sizeof(before));
		spin(n % 32 * 32);
		if (memcmp(before, (const void *)protect.page, sizeof(before)))
			wrong("a store came behind mprotect()");
		did(1);
	}
	mprotect((void *)protect.page, PAGE, PROT_READ | PROT_WRITE);
}

static void protect_side(unsigned me)
{
	if (!me) {
		protect_owner();
		return;
	}
	while (!stopped())
		if (!survives(store_some, (void *)protect.page))
			atomic_fetch_add(&protect.denied, 1);
}

static void protect_run(void)
{
	protect.denied = 0;
	protect.page = pages_new(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	together(workers(), protect_side);
	munmap((void *)protect.page, PAGE);
}

/* --- munmap -------------------------------------------------------------------------- */

static struct {
	uint8_t *at;
	_Atomic bool there;
} gone;

static void scribble(void *ptr)
{
	memset(ptr, 0xee, PAGE);
	memset((uint8_t *)ptr + PAGE, 0xee, PAGE);
}

/* What was unmapped serves others at once: stores by its old address must not be seen. */
static void gone_owner(void)
{
	for (unsigned n = 0; !stopped(); n++) {
		uint8_t *p = mmap(gone.at, 2 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), *q;

		if (p == MAP_FAILED)
			cannot("mmap");
		gone.there = true;
		spin(n % 64 * 16);
		if (n % 8 == 0)
			sched_yield();
		if (n % 2)
			mmap(p, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		else
			madvise(p, 2 * PAGE, MADV_DONTNEED), mprotect(p, 2 * PAGE, PROT_NONE);
		gone.there = false;
		q = pages_new(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		memset(q, (int)n & 0x7f, 4 * PAGE);
		spin(n % 16 * 16);
		for (unsigned i = 0; i < 4 * PAGE; i++)
			if (q[i] != (n & 0x7f)) {
				wrong("%x in a page that was given anew", q[i]);
				break;
			}
		munmap(q, 4 * PAGE);
		did(1);
	}
}

static void gone_side(unsigned me)
{
	if (!me) {
		gone_owner();
		return;
	}
	while (!stopped())
		survives(scribble, gone.at);
}

static void gone_run(void)
{
	gone.at = pages_new(2 * PAGE, PROT_NONE, MAP_PRIVATE);
	together(workers(), gone_side);
	munmap(gone.at, 2 * PAGE);
}

/* --- mremap -------------------------------------------------------------------------- */

static struct {
	volatile unsigned *at;
	_Atomic unsigned version;
} moved;

/* A page takes another one's place: none but the new one is seen behind the message. */
static void moved_side(unsigned me)
{
	if (!me) {
		for (unsigned v = 1; !stopped(); v++) {
			unsigned *p = pages_new(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

			for (unsigned i = 0; i < PAGE / sizeof(*p); i += 64)
				p[i] = v;
			if (mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				   (void *)moved.at) == MAP_FAILED)
				cannot("mremap");
			atomic_store(&moved.version, v);
			spin(v % 64 * 8);
			did(1);
		}
		return;
	}
	while (!stopped())
		for (unsigned i = 0; i < PAGE / sizeof(unsigned); i += 64) {
			unsigned least = moved.version, got = 0;

			/* Between two of them there may be none. */
			while (!got && !stopped())
				got = __atomic_load_n(&moved.at[i], __ATOMIC_ACQUIRE);
			if (got < least && got)
				wrong("%u behind %u", got, least);
		}
}

struct moved_reader { unsigned me; };

static void moved_guarded(void *ptr)
{
	moved_side(((struct moved_reader *)ptr)->me);
}

static void moved_thread(unsigned me)
{
	struct moved_reader r = { me };

	while (!stopped())
		survives(moved_guarded, &r);
}

static void moved_run(void)
{
	moved.version = 0;
	moved.at = pages_new(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	together(workers(), moved_thread);
	munmap((void *)moved.at, PAGE);
}

/* --- fork ---------------------------------------------------------------------------- */

#define COW_PAGES 8
#define COW_WORDS (COW_PAGES * PAGE / sizeof(unsigned long))

static struct {
	volatile unsigned long *words;	/* the threads count in them meanwhile */
	unsigned long *mine;		/* nobody writes in them but the child */
} cow;

static _Noreturn void cow_child(unsigned n)
{
	static unsigned long seen[COW_PAGES * 64];

	for (unsigned i = 0; i < COW_PAGES * 64; i++)
		seen[i] = cow.words[i * 8 % COW_WORDS];
	for (unsigned i = 0; i < COW_WORDS; i++)
		cow.mine[i] = 0xdead;
	spin(n % 64 * 32);
	if (n % 4 == 0)
		sched_yield();
	for (unsigned i = 0; i < COW_PAGES * 64; i++)
		if (seen[i] != cow.words[i * 8 % COW_WORDS])
			_exit(1);
	_exit(0);
}

static void cow_forker(void)
{
	for (unsigned n = 0; !stopped(); n++) {
		int status;
		pid_t pid = fork();

		if (!pid)
			cow_child(n);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			cannot("fork");
		if (status)
			wrong("the child saw its parent's stores: status %x", status);
		for (unsigned i = 0; i < COW_WORDS; i++)
			if (cow.mine[i] != i) {
				wrong("the child's store is seen: word %u is %lx", i, cow.mine[i]);
				cow.mine[i] = i;
			}
		did(1);
	}
}

static void cow_side(unsigned me)
{
	uint32_t random = me;

	if (!me) {
		cow_forker();
		return;
	}
	while (!stopped())
		for (unsigned i = 0; i < 1000; i++)
			__atomic_fetch_add(&cow.words[next_random(&random) % (COW_WORDS / 8) * 8], 1,
					   __ATOMIC_RELAXED);
}

static void cow_run(void)
{
	unsigned n = workers();

	cow.words = pages_new(COW_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	cow.mine = pages_new(COW_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (unsigned i = 0; i < COW_WORDS; i++)
		cow.mine[i] = i;
	together(n, cow_side);
	munmap((void *)cow.words, COW_PAGES * PAGE);
	munmap(cow.mine, COW_PAGES * PAGE);
}

const struct test memory_tests[] = {
	{ "protect", protect_run },
	{ "gone", gone_run },
	{ "moved", moved_run },
	{ "cow", cow_run },
	{ 0 },
};
