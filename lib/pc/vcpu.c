/*
 * A vCPU's thread: it runs its engine until a request or an exit.
 *
 * The timers of its local APIC fire on it, those of devices on vCPU 0's: while it
 * runs guest code a POSIX timer interrupts it with the kick signal, whose handler
 * sets VCPU_REQ_TIMER; while it is halted it sleeps in a futex until the next
 * deadline.  No other thread is woken for a tick.
 *
 * Example, a tick of the 8254: the guest writes the counter -> pit.c calls
 * timer_set() -> timerq calls rearm -> timer_settime() here.  At the deadline the
 * signal hits vCPU 0's thread, run() returns VCPU_EXIT_REQ, timerq_run() calls
 * pit.c, which raises IRQ 0, which requests VCPU_REQ_INTR; run() is entered
 * again and takes the interrupt.
 */
#include "pc/machine.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* --- the kick signal and the timer ------------------------------------------ */

static void on_kick(int sig, siginfo_t *si, void *context)
{
	struct vcpu *v = si->si_value.sival_ptr;
	int saved = errno;

	if (si->si_code == SI_TIMER)
		vcpu_request(v, VCPU_REQ_TIMER);
	else if (si->si_code == SI_QUEUE && si->si_pid == getpid())
		v->vm->engine->kick(v);
	else
		v = NULL;	/* not one of ours */
	if (v && v->vm->engine->kicked && pthread_equal(v->thread, pthread_self()))
		v->vm->engine->kicked(v, context);
	errno = saved;
}

int vcpu_install_kick(struct err *e)
{
	struct sigaction sa = { .sa_sigaction = on_kick,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

	sigfillset(&sa.sa_mask);
	sigdelset(&sa.sa_mask, SIGSEGV);
	return sigaction(VCPU_KICK_SIGNAL, &sa, NULL) ? err_sys(e, -errno, "sigaction") : 0;
}

/* timerq's rearm: on the vCPU's own thread or another's, vm->lock held. */
static void rearm(void *ptr, uint64_t next_ns)
{
	struct pc_thread *t = ptr;
	struct itimerspec its = { .it_value = to_timespec(next_ns) };

	if (next_ns == UINT64_MAX)
		its.it_value = (struct timespec){ 0 };
	else if (!next_ns)
		its.it_value.tv_nsec = 1;	/* 0 would disarm */
	timer_settime(t->timer, TIMER_ABSTIME, &its, NULL);
}

static int make_timer(struct pc_thread *t, struct err *e)
{
	struct vcpu *v = t->v;
	struct timerq *q = vcpu_timers(v);
	struct sigevent sev = { .sigev_notify = SIGEV_THREAD_ID,
				.sigev_signo = VCPU_KICK_SIGNAL,
				.sigev_value.sival_ptr = v };

	sev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &sev, &t->timer))
		return err_sys(e, -errno, "cannot make a timer (ulimit -i?)");
	pthread_mutex_lock(&v->vm->lock);
	t->have_timer = true;
	q->rearm = rearm;
	q->rearm_ptr = t;
	if (q->next_ns != UINT64_MAX)
		rearm(t, q->next_ns);
	pthread_mutex_unlock(&v->vm->lock);
	return 0;
}

static void drop_timer(struct pc_thread *t)
{
	struct vcpu *v = t->v;

	pthread_mutex_lock(&v->vm->lock);
	vcpu_timers(v)->rearm = NULL;
	pthread_mutex_unlock(&v->vm->lock);
	if (t->have_timer)
		timer_delete(t->timer);
	t->have_timer = false;
}

static void run_timers(struct vcpu *v)
{
	pthread_mutex_lock(&v->vm->lock);
	if (!v->id)
		vm_run_work(v->vm);
	timerq_run(vcpu_timers(v), clock_ns());
	pthread_mutex_unlock(&v->vm->lock);
}

/* --- sleep ---------------------------------------------------------------------- */

#define POLL_MIN_NS	4000u
#define POLL_MAX_NS	32000u

/* What ends a vCPU's sleep: an interrupt that is masked wakes no one, nor does one
 * that waits for a start-up IPI listen to more. */
static uint32_t wakers(const struct pc_thread *t)
{
	const struct x86_cpu *c = &t->v->cpu;
	uint32_t mask = VCPU_REQ_STOP | VCPU_REQ_TIMER | VCPU_REQ_INIT | VCPU_REQ_SIPI;

	if (t->wait_sipi)
		return mask;
	return mask | VCPU_REQ_FLUSH | (c->rflags & X86_FL_IF ? VCPU_REQ_INTR : 0) |
		(c->nmi_masked ? 0 : VCPU_REQ_NMI);
}

/*
 * Before it sleeps a vCPU looks a while whether it is woken at once, as waking a
 * thread takes longer than most answers of another vCPU: twice as long after each
 * success, half as long after each failure.  Not when others want the processor.
 */
static bool poll_requests(struct pc_thread *t, uint32_t mask)
{
	struct vcpu *v = t->v;
	uint64_t end;

	if (v->vm->ncpus == 1 || atomic_load(&t->pc->running) >= t->pc->host_cpus)
		return false;
	end = clock_ns() + t->poll_ns;
	do {
		if (atomic_load(&v->req) & mask) {
			t->poll_ns = t->poll_ns < POLL_MAX_NS / 2 ? t->poll_ns * 2 : POLL_MAX_NS;
			return true;
		}
		__builtin_ia32_pause();
	} while (clock_ns() < end);
	t->poll_ns = t->poll_ns > POLL_MIN_NS * 2 ? t->poll_ns / 2 : POLL_MIN_NS;
	return false;
}

/* In a futex on v->req until it has one of mask, or the deadline. */
static void futex_sleep(struct vcpu *v, uint32_t mask, uint64_t until_ns)
{
	struct timespec ts = to_timespec(until_ns);
	uint32_t req;
	long rc = 0;

	atomic_store(&v->sleeping, true);
	while (!((req = atomic_load(&v->req)) & mask) && rc == 0)
		rc = syscall(SYS_futex, &v->req, FUTEX_WAIT_BITSET_PRIVATE, req,
			     until_ns == UINT64_MAX ? NULL : &ts, NULL,
			     FUTEX_BITSET_MATCH_ANY);
	atomic_store(&v->sleeping, false);
}

/* The lead is too long: sleep until the main loop takes the request back. */
static void vcpu_costop(struct pc_thread *t)
{
	struct vcpu *v = t->v;
	uint32_t req, others = VCPU_REQ_STOP | (VCPU_REQ_CALLER & ~VCPU_REQ_COSTOP);
	uint64_t from = clock_ns();
	long rc = 0;

	atomic_store(&v->sleeping, true);
	while ((req = atomic_load(&v->req)) & VCPU_REQ_COSTOP && !(req & others) && rc == 0)
		rc = syscall(SYS_futex, &v->req, FUTEX_WAIT_PRIVATE, req, NULL, NULL, 0);
	atomic_store(&v->sleeping, false);
	t->costop_ns += clock_ns() - from;
}

/* Halted: sleep until someone requests something or a timer is due. */
static void vcpu_sleep(struct pc_thread *t)
{
	struct vcpu *v = t->v;
	struct vm *vm = v->vm;
	uint32_t mask = wakers(t);
	uint64_t next;

	if (atomic_load(&v->req) & mask || poll_requests(t, mask))
		return;
	pthread_mutex_lock(&vm->lock);
	next = vcpu_timers(v)->next_ns;
	pthread_mutex_unlock(&vm->lock);
	futex_sleep(v, mask, next);
	if (clock_ns() >= next) {
		atomic_fetch_and(&v->req, ~(uint32_t)VCPU_REQ_TIMER);
		run_timers(v);
	}
}

/* --- requests that the engine leaves to us ------------------------------------------ */

/* INIT: wait for a start-up IPI, but for the boot processor, which starts at
 * the reset vector.  SDM vol. 3, 9.4 and 10.4.7.3. */
static void vcpu_init(struct pc_thread *t)
{
	struct vcpu *v = t->v;

	v->vm->engine->sync_out(v);
	x86_cpu_init(&v->cpu);
	if (v->id)
		v->cpu.gpr[X86_RDX] = 0;
	tlb_flush(&v->tlb);
	atomic_fetch_and(&v->req, ~(uint32_t)VCPU_REQ_NMI);
	atomic_fetch_or(&v->req, VCPU_REQ_FLUSH);
	v->vm->engine->sync_in(v);
	t->wait_sipi = v->id != 0;
}

static void vcpu_sipi(struct pc_thread *t)
{
	struct vcpu *v = t->v;

	if (!t->wait_sipi)
		return;
	v->vm->engine->sync_out(v);
	v->cpu.seg[X86_CS].sel = (uint16_t)(v->sipi_vector << 8);
	v->cpu.seg[X86_CS].base = (uint64_t)v->sipi_vector << 12;
	v->cpu.rip = 0;
	v->vm->engine->sync_in(v);
	t->wait_sipi = false;
}

static void serve_requests(struct pc_thread *t)
{
	struct vcpu *v = t->v;
	uint32_t mine = VCPU_REQ_CALLER & ~VCPU_REQ_COSTOP;
	uint32_t req = atomic_fetch_and(&v->req, ~mine);

	if (req & VCPU_REQ_TIMER)
		run_timers(v);
	if (req & VCPU_REQ_INIT)
		vcpu_init(t);
	if (req & VCPU_REQ_SIPI)
		vcpu_sipi(t);
	if (req & VCPU_REQ_COSTOP)
		vcpu_costop(t);
}

/* --- the thread ----------------------------------------------------------------------- */

/* One of several that are not halted: the main loop compares their progress. */
static void run_begin(struct pc *pc)
{
	if (atomic_fetch_add(&pc->running, 1) > 0 && !atomic_load(&pc->cosched_on))
		run_wake(pc);
}

static void vcpu_halt(struct pc_thread *t)
{
	int64_t before = halted_ns(atomic_load(&t->halted), 0);

	atomic_store(&t->halted, (before - (int64_t)clock_ns()) * 2 + 1);
	atomic_fetch_sub(&t->pc->running, 1);
	vcpu_sleep(t);
	run_begin(t->pc);
	atomic_store(&t->halted, halted_ns(atomic_load(&t->halted), clock_ns()) * 2);
}

static uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Run guest code until something ends it. */
static enum vcpu_exit vcpu_run(struct pc_thread *t)
{
	struct vcpu *v = t->v;
	uint64_t cpu = thread_ns(), from = clock_ns();
	enum vcpu_exit ex;

	v->vm->engine->sync_in(v);
	run_begin(t->pc);
	for (;;) {
		if (t->wait_sipi)
			ex = atomic_load(&v->req) & VCPU_REQ_STOP ?
				VCPU_EXIT_STOP : VCPU_EXIT_HLT;
		else
			ex = v->vm->engine->run(v);
		if (ex == VCPU_EXIT_HLT)
			vcpu_halt(t);
		else if (ex != VCPU_EXIT_REQ)
			break;
		serve_requests(t);
	}
	atomic_fetch_sub(&t->pc->running, 1);
	v->vm->engine->sync_out(v);
	t->cpu_ns += thread_ns() - cpu;
	t->run_ns += clock_ns() - from;
	return ex;
}

/* Wait, parked, for what comes next. */
static enum pc_phase vcpu_park(struct pc_thread *t)
{
	struct pc *pc = t->pc;
	enum pc_phase phase;

	pthread_mutex_lock(&pc->run_lock);
	t->parked = true;
	pthread_cond_broadcast(&pc->run_cond);
	run_wake(pc);
	while (t->parked)
		pthread_cond_wait(&pc->run_cond, &pc->run_lock);
	phase = pc->phase;
	pthread_mutex_unlock(&pc->run_lock);
	return phase;
}

static int vcpu_create(struct pc_thread *t)
{
	struct vcpu *v = t->v;
	sigset_t kick;
	int rc = v->vm->engine->create(v, &v->err);

	if (rc)
		return rc;
	t->created = true;
	t->poll_ns = POLL_MIN_NS;
	pthread_getcpuclockid(pthread_self(), &t->cpu_clock);
	rc = make_timer(t, &v->err);
	sigemptyset(&kick);
	sigaddset(&kick, VCPU_KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	return rc;
}

void *vcpu_main(void *ptr)
{
	struct pc_thread *t = ptr;

	t->exit = vcpu_create(t) ? VCPU_EXIT_ERROR : VCPU_EXIT_STOP;
	while (vcpu_park(t) != PC_QUIT)
		t->exit = vcpu_run(t);
	drop_timer(t);
	if (t->created)
		t->v->vm->engine->destroy(t->v);
	return NULL;
}
