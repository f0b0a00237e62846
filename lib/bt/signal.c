/*
 * Signals raised by translated code.
 *
 * A fault in translated code belongs to a guest instruction, found in the
 * unit's site table.  A fault in a window is first offered to window_fault();
 * everything else leaves translated code at that instruction, which the
 * interpreter then executes: it raises the guest's exception, or does the
 * device access.  The handler leaves only by sigreturn: to leave translated
 * code it edits the interrupted context.
 *
 * The kick: no translated code polls.  The handler unlinks the running unit's
 * direct exits and lets the jump cache miss, so that the unit leaves at its end.
 *   When the thread is already past (in the exit sequence or the glue) the
 * signal is sent again a little later.
 */
#include "bt/signal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "bt/bt.h"
#include "bt/bt64.h"
#include "bt/layout.h"
#include "bt/smp.h"
#include "bt/window.h"

extern const char bt_exit[], bt_exit_saved[];

#define ALTSTACK (64u << 10)
#define RETRY_NS 30000

/* Not in the C library's headers.  Without it the kernel takes a guest's RSP that is an
 * address in there for a handler that is running, and writes the frame there. */
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

/* The handler finds its vCPU at the bottom of the aligned alternate stack. */
static struct bt_vcpu *current_vcpu(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	struct bt_vcpu **p = (void *)(here & ~(uintptr_t)(ALTSTACK - 1));

	return *p;
}

static struct bt_site *site_find(struct bt_unit *u, const uint8_t *pc)
{
	struct bt_site *s = NULL;
	ptrdiff_t off = pc - u->code;

	for (unsigned i = 0; i < u->nsites && u->site[i].host <= off; i++)
		s = &u->site[i];
	return s;
}

static const uint8_t greg[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
	REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static void leave64(const struct bt_vcpu *b, struct bt_unit *u, const struct bt_site *s,
		    greg_t *r)
{
	uint64_t borrowed;

	if (s->string)
		r[REG_RDI] = (greg_t)bt64_string_gva(b, true, (uint64_t)r[REG_RDI]);
	if (s->string == 2)
		r[REG_RSI] = (greg_t)bt64_string_gva(b, false, (uint64_t)r[REG_RSI]);
	r[REG_RIP] = (greg_t)(uintptr_t)bt64_leave_at(u, s, &borrowed);
	if (s->borrowed != X86_NOREG)
		r[greg[s->borrowed]] = (greg_t)borrowed;
	for (unsigned i = 0; i < u->naway; i++)
		r[greg[u->away[i]]] = (greg_t)bt64_away(i);
}

static void leave(struct bt_vcpu *b, struct bt_unit *u, struct bt_site *s, greg_t *r)
{
	b->fault_unit = u;
	b->fault_site = s;
	if (u->mode & BT_M_LONG) {
		leave64(b, u, s, r);
		return;
	}
	if (s->string)
		r[REG_RDI] = (uint32_t)(r[REG_RDI] - (greg_t)b->v->hot[H_GSBASE]);
	if (s->string == 2)
		r[REG_RSI] = (uint32_t)(r[REG_RSI] - (greg_t)b->v->hot[H_GSBASE]);
	r[REG_R8] = (greg_t)(uint32_t)(u->eip + s->guest);
	r[REG_R9] = 0;
	r[REG_R10] = BT_EXIT_FAULT;
	r[REG_RIP] = (greg_t)(uintptr_t)(s->flags_in_r12 ? bt_exit_saved : bt_exit);
}

/* Not from translated code: our own bug, to be seen as such. */
static void give_up(int sig)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };

	sigaction(sig, &sa, NULL);
}

/* A fault in a window that was mended: the instruction is tried again.  If not, is its
 * site to blame? */
static bool window_mended(struct bt_vcpu *b, const struct bt_unit *u, struct bt_site *s,
			  const uint8_t *addr, greg_t *r, bool *blame)
{
	struct vcpu *v = b->v;
	uint64_t base = v->hot[H_GSBASE], moved;
	bool write = r[REG_ERR] & 2;
	enum window_result w;

	if (u->mode & BT_M_LONG) {
		uint64_t gpr[16], ea;

		for (unsigned i = 0; i < 16; i++)
			gpr[i] = (uint64_t)r[greg[i]];
		ea = s->string ? bt64_string_gva(b, write, (uint64_t)(uintptr_t)addr) :
				 bt64_site_ea(u, s, gpr);
		w = window_fault_wide(b->bt, b, ea, addr, write);
	} else {
		w = window_fault(b->bt, b, addr, write);
	}

	*blame = w != WINDOW_OTHER;
	/* dead: A or D was set in bytes that are this unit's code, too */
	if (w == WINDOW_STEP || w == WINDOW_OTHER || u->dead)
		return false;
	moved = v->hot[H_GSBASE] - base;
	if (moved) {
		__asm__ volatile("wrgsbase %0" : : "r"(v->hot[H_GSBASE]));
		if (s->string)
			r[REG_RDI] += (greg_t)moved;
		if (s->string == 2)
			r[REG_RSI] += (greg_t)moved;
	}
	if (w == WINDOW_RETRY_FEW && s->fills < 255 && ++s->fills >= BT_SITE_FILLS_MAX &&
	    b->bt->want_mixed)
		return false;	/* leave, to be made soft */
	return true;
}

/* A fault of translated code, under the lock; false: it is not one. */
static bool fault(struct bt_vcpu *b, int sig, const siginfo_t *si, greg_t *r)
{
	const uint8_t *pc = (const uint8_t *)(uintptr_t)r[REG_RIP];
	struct bt_unit *u = tcache_find(&b->bt->tc, pc);
	struct bt_site *s = u ? site_find(u, pc) : NULL;
	bool blame = true;

	if (!s)
		return false;
	b->stats.seg_faults++;
	/* Another vCPU may have changed this one's window while we waited for it. */
	if (b->bt->smp && b->v->hot[H_KICK])
		blame = false;
	else if (sig == SIGSEGV && (!(u->mode & BT_M_LONG) || u->form == BT_WINDOW) &&
		 si->si_code > 0 &&
		 (si->si_code != SI_KERNEL || (u->mode & BT_M_LONG && window_none(b))) &&
		 window_mended(b, u, s, si->si_addr, r, &blame))
		return true;
	leave(b, u, s, r);
	if (!blame)
		b->fault_site = NULL;
	return true;
}

/* While it waits for the lock the vCPU counts as outside: it is between two
 * instructions, and looks at H_KICK then. */
static void on_fault(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;
	greg_t *r = uc->uc_mcontext.gregs;
	struct bt_vcpu *b = current_vcpu();
	bool ours;

	if (!b || !tcache_holds(&b->bt->tc, (const uint8_t *)(uintptr_t)r[REG_RIP])) {
		give_up(sig);
		return;
	}
	__atomic_store_n(&b->v->hot[H_IN_TC], 0, __ATOMIC_SEQ_CST);
	bt_lock(b->bt);
	__atomic_store_n(&b->v->hot[H_IN_TC], 1, __ATOMIC_SEQ_CST);
	ours = fault(b, sig, si, r);
	bt_unlock(b->bt);
	if (!ours)
		give_up(sig);
}

/* Does unlinking make a thread at pc leave u for C?  Not when it may be past the
 * load from the jump cache or the return cache, or in a stub. */
static bool leaves_unlinked(const struct bt *bt, const struct bt_unit *u,
			    const uint8_t *pc)
{
	if (pc < u->code + u->exit_off)
		return true;
	for (unsigned i = 0; i < u->nlinks && !u->looks_up; i++)
		if (pc < u->link[i].slot - bt->tc.len)
			return true;
	return false;
}

void bt_signal_kicked(struct bt_vcpu *b, void *context)
{
	ucontext_t *uc = context;
	greg_t *r = uc->uc_mcontext.gregs;
	const uint8_t *pc = (const uint8_t *)(uintptr_t)r[REG_RIP];
	struct bt_unit *u;

	bool locked;

	bt_nudge(b->v);
	if (!b->v->hot[H_IN_TC])
		return;
	b->stats.kicks++;
	if (!b->kick_tsc)
		b->kick_tsc = __builtin_ia32_rdtsc();
	b->v->hot[H_JTAG] = BT_JTAG_NONE;
	b->v->hot[H_RETURNS] = (uint64_t)(uintptr_t)bt_returns_none;
	bt64_jtag_off();
	if (!bt_handler_lock(b, &locked)) {
		bt_signal_retry(b, RETRY_NS);
		return;
	}
	u = tcache_find(&b->bt->tc, pc);
	for (unsigned i = 0; u && i < u->nlinks; i++)
		link_clear(b->bt, &u->link[i]);
	/* Another vCPU may link it again before this one has left. */
	if (!u || b->bt->smp || !leaves_unlinked(b->bt, u, pc))
		bt_signal_retry(b, RETRY_NS);
	bt_handler_unlock(b, locked);
}

void bt_signal_retry(struct bt_vcpu *b, unsigned ns)
{
	struct itimerspec its = { .it_value.tv_nsec = ns };

	timer_settime(b->retry, 0, &its, NULL);
}

int bt_signal_init(struct bt_vcpu *b, struct err *e)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = on_fault,
				.sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigevent sev = { .sigev_notify = SIGEV_THREAD_ID,
				.sigev_signo = VCPU_KICK_SIGNAL,
				.sigev_value.sival_ptr = b->v };
	stack_t ss = { .ss_size = ALTSTACK, .ss_flags = (int)SS_AUTODISARM };
	sigset_t ours;
	int rc;

	rc = posix_memalign(&b->altstack, ALTSTACK, ALTSTACK);
	if (rc)
		return err_sys(e, -rc, "alternate signal stack");
	*(struct bt_vcpu **)b->altstack = b;
	ss.ss_sp = b->altstack;
	if (sigaltstack(&ss, NULL) < 0)
		return err_sys(e, -errno, "sigaltstack");
	sigfillset(&sa.sa_mask);
	sigemptyset(&ours);
	for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		sigaddset(&ours, sigs[i]);
		if (sigaction(sigs[i], &sa, NULL) < 0)
			return err_sys(e, -errno, "sigaction");
	}
	pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
	sev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &sev, &b->retry) < 0)
		return err_sys(e, -errno, "cannot make a timer (ulimit -i?)");
	b->have_retry = true;
	return 0;
}

void bt_signal_fini(struct bt_vcpu *b)
{
	stack_t ss = { .ss_flags = SS_DISABLE };

	if (b->have_retry)
		timer_delete(b->retry);
	if (b->altstack) {
		sigaltstack(&ss, NULL);
		free(b->altstack);
	}
}
