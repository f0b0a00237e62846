/*
 * As guest.c, in long mode: soup64.S with random 64-bit code, page tables whose entries
 * are anything, and addresses where something ends: of pages that are mapped, of PML4
 * entries, of halves, and of what this process has.
 *
 * Translated code has no sanitizer, so it is looked at from outside.  A fault of its may
 * only be for an address in its windows, or for none that a process can have; and pages
 * all over this process, which no guest has, must stay as they are.
 */
#include <dlfcn.h>
#include <signal.h>
#include <ucontext.h>

#include "bt/bt.h"
#include "bt/unit.h"
#include "bt/window.h"
#include "soup.h"

enum {
	CHUNK = SOUP_CHUNK, CHUNKS_MAX = 512, ENTRIES = 512,
	/* offsets in the image, which begins at 1 MiB; see soup64.S */
	POOL = 0x1e000, PLACES = 0x1f000, PML4 = 0x20000, HOSTILE = 0x23000, TABLES = 13,
	IMAGE = HOSTILE + TABLES * 4096, CANARIES = 48,
};

static uint64_t *canary[CANARIES];
static struct vm *now;			/* the machine that runs */
static uint64_t faults;
static void (*engine_handler)(int, siginfo_t *, void *);

/* --- what is around the guest ------------------------------------------------------- */

static void canaries_make(struct fuzz *f)
{
	for (unsigned i = 0; i < CANARIES; i++) {
		/* Among what this process has, and wherever windows may come to be. */
		void *hint = i % 2 ? NULL : (void *)(fuzz_next(f) >> 17 & ~0xfffull);
		uint64_t *p = mmap(hint, 4096, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		fuzz_check(p != MAP_FAILED, "mmap");
		for (unsigned k = 0; k < 512; k++)
			p[k] = (uintptr_t)(p + k) * 0x9e3779b97f4a7c15;
		canary[i] = p;
	}
}

static void canaries_check(void)
{
	for (unsigned i = 0; i < CANARIES; i++)
		for (unsigned k = 0; k < 512; k++)
			fuzz_check(canary[i][k] == (uintptr_t)(canary[i] + k) * 0x9e3779b97f4a7c15,
				   "%p is %#llx", (void *)(canary[i] + k),
				   (unsigned long long)canary[i][k]);
}

/* Is it in a window of b's, or where nothing is mapped around one? */
static bool in_windows(const struct bt_vcpu *b, uint64_t at)
{
	const struct bt_window_set *s = b->windows;
	const uint64_t narrow = (4ull << 30) + (1 << 20), wide = (1ull << 39) + 2 * WIDE_EDGE;

	if (!s)
		return false;
	if (at - (uintptr_t)s->none < narrow)
		return true;
	for (unsigned i = 0; i < s->n; i++) {
		const struct bt_window *w = &s->w[i];

		if (w->base && !w->wide && at - (uintptr_t)w->base < narrow)
			return true;
		for (unsigned k = 0; w->base && w->wide && k < wide_slots(w); k++)
			if (at - (uintptr_t)wide_slot_at(w, k) + WIDE_EDGE < wide)
				return true;
	}
	return false;
}

/* In front of the engine's handler. */
static void on_fault(int sig, siginfo_t *si, void *context)
{
	const ucontext_t *uc = context;
	uint64_t at = (uintptr_t)si->si_addr;

	faults++;
	if (sig == SIGSEGV && si->si_code > 0 && si->si_code != SI_KERNEL && !(at >> 47) && now &&
	    !in_windows(now->vcpu[0]->engine, at)) {
		dprintf(1, "host address %#llx touched from %#llx\n", (unsigned long long)at,
			(unsigned long long)uc->uc_mcontext.gregs[REG_RIP]);
		_exit(1);
	}
	engine_handler(sig, si, context);
}

/* The engine comes here for its handler of SIGSEGV. */
int sigaction(int sig, const struct sigaction *sa, struct sigaction *old)
{
	int (*real)(int, const struct sigaction *, struct sigaction *) =
		(int (*)(int, const struct sigaction *, struct sigaction *))dlsym(RTLD_NEXT, "sigaction");
	struct sigaction ours;

	if (sig != SIGSEGV || !now || !sa || !(sa->sa_flags & SA_SIGINFO))
		return real(sig, sa, old);
	engine_handler = sa->sa_sigaction;
	ours = *sa;
	ours.sa_sigaction = on_fault;
	return real(sig, &ours, old);
}

static void ready(struct vm *vm)
{
	now = vm;
	if (!vm)
		canaries_check();
}

/* --- the guest -------------------------------------------------------------------- */

/* An instruction that decodes; many with a plausible memory operand. */
static unsigned random_insn(struct fuzz *f, uint8_t *b, unsigned room)
{
	static const uint8_t bases[] = { 3, 6, 7, 5 };	/* RBX, RSI, RDI, RBP, or R11... */
	struct x86_insn in;

	for (unsigned tries = 0; tries < 64; tries++) {
		uint8_t t[X86_INSN_MAX];
		int len;

		for (unsigned i = 0; i < sizeof(t); i++)
			t[i] = (uint8_t)fuzz_next(f);
		if (fuzz_below(f, 2))
			t[0] = (uint8_t)(0x40 | fuzz_below(f, 16));
		len = x86_decode(&in, t, sizeof(t), 64);
		if (len > 0 && in.has_modrm && fuzz_below(f, 2)) {
			t[in.modrm_off] = (uint8_t)((t[in.modrm_off] & 0x38) | 0x40 << fuzz_below(f, 2) |
						    bases[fuzz_below(f, 4)]);
			if (fuzz_below(f, 2))	/* a short distance */
				memset(t + in.modrm_off + 2, fuzz_below(f, 2) ? 0 : 0xff, 3);
			len = x86_decode(&in, t, sizeof(t), 64);
		}
		if (len < 1 || (unsigned)len > room)
			continue;
		memcpy(b, t, (size_t)len);
		return (unsigned)len;
	}
	return 0;
}

/* Half of them loop, as R13 says. */
static void make_chunk(struct fuzz *f, uint8_t *b)
{
	static const uint8_t loop[] = { 0x49, 0xff, 0xcd, 0x75, 0 };
	unsigned at = 0, n, end = 1 + fuzz_below(f, CHUNK - 8);

	memset(b, 0xcc, CHUNK);
	if (!fuzz_below(f, 8)) {
		for (; at < CHUNK - 1; at++)
			b[at] = (uint8_t)fuzz_next(f);
		return;
	}
	while (at < end && (n = random_insn(f, b + at, end - at)))
		at += n;
	if (fuzz_below(f, 2)) {
		memcpy(b + at, loop, sizeof(loop));
		b[at + 4] = (uint8_t)-(int)(at + 5);
	}
}

/* A page-table entry of any kind. */
static uint64_t entry(struct fuzz *f)
{
	uint64_t low = (fuzz_below(f, 4) ? 7 : fuzz_below(f, 8)) | (fuzz_below(f, 8) ? 0x20 : 0) |
		       (fuzz_below(f, 2) ? 0x40 : 0);

	switch (fuzz_below(f, 16)) {
	case 0: return fuzz_next(f);				/* reserved bits, no memory */
	case 1: return fuzz_next(f) & 0xfffffff000 ? low | (fuzz_next(f) & 0xffffff000) : low;
	case 2: return low | (0xfee00000 + (fuzz_below(f, 2) ? 0 : 0xb8000 - 0xfee00000));
	case 3: return low | 0x80 | (uint64_t)fuzz_below(f, 8) << 21;
	case 4: return low | 0x100 | 0x200000 | (uint64_t)fuzz_below(f, 64) << 12;
	case 5: return low | 1ull << 63 | 0x200000 | (uint64_t)fuzz_below(f, 64) << 12;
	case 6: return low | (0x100000 + PML4 + fuzz_below(f, 3) * 4096u);
	case 7 ... 9: return low | 0x200000 | (uint64_t)fuzz_below(f, 64) << 12;
	case 10: return 0;
	default: return low | (0x100000 + HOSTILE + fuzz_below(f, TABLES) * 4096u);
	}
}

static void make_tables(struct fuzz *f, uint8_t *image, uint64_t rights)
{
	unsigned few = 1 + fuzz_below(f, 40);

	memset(image + PML4, 0, IMAGE - PML4);
	for (unsigned i = 0; i < ENTRIES; i++) {
		le64_put(image + POOL + 8 * i, entry(f));
		if (!fuzz_below(f, few))
			le64_put(image + PML4 + 8 * i, entry(f));
	}
	for (unsigned i = 0; i < TABLES * ENTRIES; i++)
		if (fuzz_below(f, 2))
			le64_put(image + HOSTILE + 8 * i, entry(f));
	le64_put(image + PML4, (0x100000 + PML4 + 4096) | rights);
	le64_put(image + PML4 + 272 * 8, (0x100000 + PML4 + 4096) | rights);
	le64_put(image + PML4 + 4096, (0x100000 + PML4 + 2 * 4096) | rights);
	for (unsigned i = 0; i < 8; i++)
		le64_put(image + PML4 + 2 * 4096 + 8 * i, (uint64_t)i << 21 | 0xe0 | rights);
}

/* PML4 and PDPT entries with low or high numbers, often, and the same page over again. */
static uint64_t place(struct fuzz *f)
{
	uint64_t a = (fuzz_next(f) & 0x1ff000) | (uint64_t)fuzz_below(f, 4) << 21;

	if (fuzz_below(f, 2))
		a |= (uint64_t)(fuzz_below(f, 2) ? fuzz_below(f, 4) : fuzz_below(f, 512)) << 30;
	if (fuzz_below(f, 4))
		a |= (uint64_t)fuzz_below(f, 512) << 39;
	if (fuzz_below(f, 4))
		a += 4096 - fuzz_below(f, 80);
	else
		a += fuzz_next(f) & 0xfff;
	if (!fuzz_below(f, 8))
		a = ((uint64_t)fuzz_below(f, 513) << 39) - fuzz_below(f, 160) + 80;
	return (uint64_t)((int64_t)(a << 16) >> 16);
}

static void make_places(struct fuzz *f, uint8_t *image)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		uint64_t a = place(f);

		if (i >= 64 && !fuzz_below(f, 4))
			a = (uintptr_t)(canary[fuzz_below(f, CANARIES)] + fuzz_below(f, 512));
		if (i >= 64 && !fuzz_below(f, 4))
			a += fuzz_below(f, 2) ? fuzz_next(f) << 47 : 1ull << (39 + fuzz_below(f, 25));
		if (i >= 64 && !fuzz_below(f, 8))
			a = fuzz_below(f, 4096);
		le64_put(image + PLACES + 8 * i, a);
	}
}

int main(int argc, char **argv)
{
	static uint8_t image[IMAGE];
	unsigned ends[PC_END_ERROR + 1] = { 0 };
	size_t len = soup_read(image, POOL - CHUNKS_MAX * CHUNK, argv[0], "soup64.bin");
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];
	struct fuzz f;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fuzz_start(&f, argc, argv);
	canaries_make(&f);
	do {
		unsigned n = 1 + fuzz_below(&f, CHUNKS_MAX), user = fuzz_below(&f, 2);

		le32_put(image + SOUP_USER, user);
		le32_put(image + SOUP_CHUNKS, n);
		for (unsigned i = 0; i < n; i++)
			make_chunk(&f, image + len + i * CHUNK);
		make_tables(&f, image, user || !fuzz_below(&f, 4) ? 7 : 3);
		make_places(&f, image);
		soup_write(fd, image, IMAGE);
		f.runs++;
		soup_run(&f, path, ends, ready);
	} while (clock_ns() < f.end_ns);
	soup_say(ends);
	printf("%llu faults of translated code\n", (unsigned long long)faults);
	return fuzz_done(&f);
}
