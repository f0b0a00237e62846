#ifndef NATIVE_H
#define NATIVE_H
/*
 * Run one user-level instruction on the host, in 64, 32 or 16-bit code, from a
 * complete register state to the complete state behind it.
 *
 * Everything happens in one signal handler: a trap of the instruction, or of the
 * int3 behind it, delivers its state; the handler's caller puts the next state
 * into the same context and returns into it.  Linux restores CS from there.
 */

#include <asm/ldt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* Fixed places below 4 GiB, that 32-bit code can reach. */
#define NATIVE_CODE	0x20000000ul
#define NATIVE_CODE_LEN	0x2000ul
#define NATIVE_DATA	0x10000000ul
#define NATIVE_RW_LEN	0x3000ul	/* then one page that is read-only */
#define NATIVE_DATA_LEN	0x4000ul	/* then nothing */
#define NATIVE_GS	0x120ul		/* GS base, which 64-bit code uses */

struct native_state {
	uint64_t gpr[16], rip, flags;
	uint8_t fx[416];	/* the legacy XSAVE area up to XMM15 */
	uint8_t ymmh[256];
};

struct native_stop {
	int sig, code;
	uint64_t err, trapno, cr2;
};

/* Called in the handler: take the state, leave the next one.  false: end. */
typedef bool native_fn(const struct native_stop *stop, struct native_state *st,
		       unsigned *bits);

static native_fn *native_next;
static bool native_inside;
static sigjmp_buf native_out;
static uint16_t native_ss = 0x2b;

static const int native_greg[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static void native_load(const ucontext_t *uc, struct native_state *st)
{
	const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
	uint64_t bv;

	for (unsigned i = 0; i < 16; i++)
		st->gpr[i] = (uint64_t)uc->uc_mcontext.gregs[native_greg[i]];
	st->rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	st->flags = (uint64_t)uc->uc_mcontext.gregs[REG_EFL];
	memcpy(st->fx, fp, sizeof(st->fx));
	memcpy(&bv, fp + 512, 8);
	memset(st->ymmh, 0, sizeof(st->ymmh));
	if (bv & 4)
		memcpy(st->ymmh, fp + 576, sizeof(st->ymmh));
}

static void native_store(ucontext_t *uc, const struct native_state *st, unsigned bits)
{
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
	uint64_t bv = 7;
	greg_t *sel = &uc->uc_mcontext.gregs[REG_CSGSFS];

	for (unsigned i = 0; i < 16; i++)
		uc->uc_mcontext.gregs[native_greg[i]] = (greg_t)st->gpr[i];
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)st->rip;
	uc->uc_mcontext.gregs[REG_EFL] = (greg_t)st->flags;
	/* CS in bits 0-15, SS in 48-63 */
	*sel = (greg_t)(((uint64_t)*sel & 0x0000ffffffff0000ull) | (uint64_t)native_ss << 48 |
			(bits == 64 ? 0x33 : bits == 32 ? 0x23 : 7));
	memcpy(fp, st->fx, sizeof(st->fx));
	memcpy(fp + 512, &bv, 8);
	memcpy(fp + 576, st->ymmh, sizeof(st->ymmh));
}

static void native_handler(int sig, siginfo_t *si, void *ptr)
{
	static struct native_state st;
	ucontext_t *uc = ptr;
	struct native_stop stop = {
		.sig = sig, .code = si->si_code,
		.err = (uint64_t)uc->uc_mcontext.gregs[REG_ERR],
		.trapno = (uint64_t)uc->uc_mcontext.gregs[REG_TRAPNO],
		.cr2 = (uint64_t)uc->uc_mcontext.gregs[REG_CR2],
	};
	unsigned bits;

	/* Our own code went wrong while it looked at a case. */
	if (native_inside) {
		printf("signal %d at %#lx, address %p\n", sig,
		       (unsigned long)uc->uc_mcontext.gregs[REG_RIP], si->si_addr);
		fflush(stdout);
		abort();
	}
	native_inside = true;
	native_load(uc, &st);
	if (!native_next(&stop, &st, &bits))
		siglongjmp(native_out, 1);
	native_inside = false;
	native_store(uc, &st, bits);
}

static void *native_map(uint64_t at, size_t len, int prot)
{
	void *p = mmap((void *)at, len, prot, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)at) {
		printf("cannot map memory at %#lx\n", (unsigned long)at);
		exit(77);
	}
	return p;
}

/* Data and stack segments of the LDT: base NATIVE_DATA, and this limit. */
#define NATIVE_LIMIT	0x3effu

/*
 * Make the next cases run with small segments: CS of 16-bit code at NATIVE_CODE,
 * DS, ES and a 16-bit SS at NATIVE_DATA.  false: the kernel has no LDTs.
 */
static bool native_segments(void)
{
	struct user_desc d = { .entry_number = 0, .base_addr = NATIVE_CODE,
			       .limit = NATIVE_CODE_LEN - 1, .contents = 2, .useable = 1 };

	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d)))
		return false;
	d = (struct user_desc){ .entry_number = 1, .base_addr = NATIVE_DATA,
				.limit = NATIVE_LIMIT, .useable = 1 };
	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d)))
		return false;
	native_ss = 1 << 3 | 7;
	return true;
}

/* Run cases until next returns false. */
static void native_run(native_fn *next)
{
	static const int sigs[] = { SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGUSR1 };
	struct sigaction sa = { .sa_sigaction = native_handler,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t ss = { .ss_sp = malloc(1 << 20), .ss_size = 1 << 20 };

	native_next = next;
	native_inside = false;
	sigaltstack(&ss, NULL);
	for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &sa, NULL);
	syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, NATIVE_GS);
	/* 32-bit code needs flat data segments; 64-bit code does not care. */
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"((uint32_t)native_ss));
	if (!sigsetjmp(native_out, 1))
		raise(SIGUSR1);
	for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		signal(sigs[i], SIG_DFL);
	free(ss.ss_sp);
}
#endif
