/*
 * Running the machine: vCPU threads and the main loop.
 *
 * A vCPU thread runs its engine until a request or an exit.  Device timers fire
 * on vCPU 0's thread: while it runs guest code a POSIX timer interrupts it with
 * the kick signal, whose handler sets VCPU_REQ_TIMER; while it is halted it
 * sleeps in a futex until the next deadline.  No other thread is woken for a
 * tick.
 *
 * Example, a tick of the 8254: the guest writes the counter -> pit.c calls
 * timer_set() -> timerq calls rearm -> timer_settime() here.  At the deadline the
 * signal hits the same thread, run() returns VCPU_EXIT_REQ, timerq_run() calls
 * pit.c, which raises IRQ 0, which requests VCPU_REQ_INTR; run() is entered
 * again and takes the interrupt.
 */
#include "pc/machine.h"
#include "pc/shutdown.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "dev/acpipm.h"
#include "dev/uart.h"

#define VCPU_STACK (1u << 20)

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_SEC),
				  .tv_nsec = (long)(ns % NS_PER_SEC) };
}

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

static int install_kick(struct err *e)
{
	struct sigaction sa = { .sa_sigaction = on_kick,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

	sigfillset(&sa.sa_mask);
	sigdelset(&sa.sa_mask, SIGSEGV);
	return sigaction(VCPU_KICK_SIGNAL, &sa, NULL) ? err_sys(e, -errno, "sigaction") : 0;
}

/* timerq's rearm: on vCPU 0's thread or another's, vm->lock held. */
static void rearm(void *ptr, uint64_t next_ns)
{
	struct pc *pc = ptr;
	struct itimerspec its = { .it_value = to_timespec(next_ns) };

	if (next_ns == UINT64_MAX)
		its.it_value = (struct timespec){ 0 };
	else if (!next_ns)
		its.it_value.tv_nsec = 1;	/* 0 would disarm */
	timer_settime(pc->timer, TIMER_ABSTIME, &its, NULL);
}

static int make_timer(struct pc *pc, struct vcpu *v, struct err *e)
{
	struct sigevent sev = { .sigev_notify = SIGEV_THREAD_ID,
				.sigev_signo = VCPU_KICK_SIGNAL,
				.sigev_value.sival_ptr = v };

	sev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &sev, &pc->timer))
		return err_sys(e, -errno, "cannot make a timer (ulimit -i?)");
	pthread_mutex_lock(&pc->vm.lock);
	pc->have_timer = true;
	pc->vm.timers.rearm = rearm;
	pc->vm.timers.rearm_ptr = pc;
	if (pc->vm.timers.next_ns != UINT64_MAX)
		rearm(pc, pc->vm.timers.next_ns);
	pthread_mutex_unlock(&pc->vm.lock);
	return 0;
}

/* --- a vCPU's thread ---------------------------------------------------------- */

static void run_timers(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	timerq_run(&vm->timers, clock_ns());
	pthread_mutex_unlock(&vm->lock);
}

/* Halted: sleep until someone requests something or a timer is due. */
static void vcpu_sleep(struct pc_thread *t)
{
	struct vcpu *v = t->v;
	struct vm *vm = v->vm;
	uint64_t next = UINT64_MAX;
	struct timespec ts;
	/* An interrupt that is masked wakes no one. */
	uint32_t masked = v->cpu.rflags & X86_FL_IF ? 0 : VCPU_REQ_INTR, req;
	long rc = 0;

	if (v->id == 0) {
		pthread_mutex_lock(&vm->lock);
		next = vm->timers.next_ns;
		pthread_mutex_unlock(&vm->lock);
	}
	ts = to_timespec(next);
	atomic_store(&v->sleeping, true);
	while (!((req = atomic_load(&v->req)) & ~masked) && rc == 0)
		rc = syscall(SYS_futex, &v->req, FUTEX_WAIT_BITSET_PRIVATE, req,
			     next == UINT64_MAX ? NULL : &ts, NULL,
			     FUTEX_BITSET_MATCH_ANY);
	atomic_store(&v->sleeping, false);
	if (v->id == 0 && clock_ns() >= next) {
		atomic_fetch_and(&v->req, ~(uint32_t)VCPU_REQ_TIMER);
		run_timers(vm);
	}
}

/* INIT: wait for a start-up IPI, but for the boot processor, which starts at
 * the reset vector.  SDM vol. 3, 9.4 and 10.4.7.3. */
static void vcpu_init(struct pc_thread *t)
{
	struct vcpu *v = t->v;
	int64_t tsc_offset = v->cpu.tsc_offset;

	v->vm->engine->sync_out(v);
	x86_cpu_reset(&v->cpu);
	v->cpu.tsc_offset = tsc_offset;
	tlb_flush(&v->tlb);
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
	uint32_t mine = VCPU_REQ_TIMER | VCPU_REQ_INIT | VCPU_REQ_SIPI;
	uint32_t req = atomic_fetch_and(&v->req, ~mine);

	if (req & VCPU_REQ_TIMER)
		run_timers(v->vm);
	if (req & VCPU_REQ_INIT)
		vcpu_init(t);
	if (req & VCPU_REQ_SIPI)
		vcpu_sipi(t);
}

/* Run guest code until something ends it. */
static enum vcpu_exit vcpu_run(struct pc_thread *t)
{
	struct vcpu *v = t->v;
	enum vcpu_exit ex;

	v->vm->engine->sync_in(v);
	for (;;) {
		if (t->wait_sipi)
			ex = atomic_load(&v->req) & VCPU_REQ_STOP ?
				VCPU_EXIT_STOP : VCPU_EXIT_HLT;
		else
			ex = v->vm->engine->run(v);
		if (ex == VCPU_EXIT_HLT)
			vcpu_sleep(t);
		else if (ex != VCPU_EXIT_REQ)
			break;
		serve_requests(t);
	}
	v->vm->engine->sync_out(v);
	return ex;
}

void run_wake(void *ptr)
{
	struct pc *pc = ptr;
	uint64_t one = 1;
	ssize_t n = write(pc->wake_fd, &one, sizeof(one));

	(void)n;	/* full: it is awake */
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
	if (v->id == 0)
		rc = make_timer(t->pc, v, &v->err);
	sigemptyset(&kick);
	sigaddset(&kick, VCPU_KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	return rc;
}

static void *vcpu_main(void *ptr)
{
	struct pc_thread *t = ptr;

	t->exit = vcpu_create(t) ? VCPU_EXIT_ERROR : VCPU_EXIT_STOP;
	while (vcpu_park(t) != PC_QUIT)
		t->exit = vcpu_run(t);
	if (t->created)
		t->v->vm->engine->destroy(t->v);
	return NULL;
}

/* --- the caller's side --------------------------------------------------------- */

/* Let parked threads go on. */
static void release(struct pc *pc, enum pc_phase phase)
{
	pthread_mutex_lock(&pc->run_lock);
	pc->phase = phase;
	for (unsigned i = 0; i < pc->vm.ncpus; i++)
		pc->thread[i].parked = false;
	pthread_cond_broadcast(&pc->run_cond);
	pthread_mutex_unlock(&pc->run_lock);
}

static bool any_parked(struct pc *pc)
{
	bool any = false;

	pthread_mutex_lock(&pc->run_lock);
	for (unsigned i = 0; i < pc->vm.ncpus; i++)
		any |= pc->thread[i].parked;
	pthread_mutex_unlock(&pc->run_lock);
	return any;
}

static void wait_parked(struct pc *pc)
{
	pthread_mutex_lock(&pc->run_lock);
	for (unsigned i = 0; i < pc->vm.ncpus; i++)
		while (pc->thread[i].started && !pc->thread[i].parked)
			pthread_cond_wait(&pc->run_cond, &pc->run_lock);
	pthread_mutex_unlock(&pc->run_lock);
}

/* vCPU threads take no signals but the kick: the rest is the main thread's. */
static int start_threads(struct pc *pc, struct err *e)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc = install_kick(e);

	if (rc)
		return rc;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	/* Enough, whatever ulimit -s says. */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, VCPU_STACK);
	for (unsigned i = 0; i < pc->vm.ncpus && !rc; i++) {
		struct pc_thread *t = &pc->thread[i];

		rc = -pthread_create(&t->v->thread, &attr, vcpu_main, t);
		t->started = !rc;
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return err_sys(e, rc, "cannot start a thread");
	wait_parked(pc);
	for (unsigned i = 0; i < pc->vm.ncpus; i++)
		if (pc->thread[i].exit == VCPU_EXIT_ERROR) {
			*e = pc->vm.vcpu[i]->err;
			return e->code;
		}
	return 0;
}

void run_quit(struct pc *pc)
{
	release(pc, PC_QUIT);
	for (unsigned i = 0; i < pc->vm.ncpus; i++)
		if (pc->thread[i].started)
			pthread_join(pc->vm.vcpu[i]->thread, NULL);
	if (pc->have_timer)
		timer_delete(pc->timer);
	pc->vm.timers.rearm = NULL;
}

static void handle_serial(struct pc *pc, const struct pollfd *p)
{
	struct uart *u = pc->dev[PC_DEV_UART];
	unsigned ev = chardev_handle(pc->serial, p);

	if (ev & (CHARDEV_RX | CHARDEV_TX | CHARDEV_POWER)) {
		pthread_mutex_lock(&pc->vm.lock);
		if (ev & CHARDEV_RX)
			uart_rx_ready(u);
		if (ev & CHARDEV_TX)
			uart_tx_ready(u);
		if (ev & CHARDEV_POWER)
			acpipm_power_button(pc->dev[PC_DEV_ACPIPM]);
		pthread_mutex_unlock(&pc->vm.lock);
	}
	if (ev & (CHARDEV_QUIT | CHARDEV_GONE))
		atomic_store(&pc->stop, true);
}

static void say_lost(struct pc *pc, int rc, const char *what)
{
	struct err e;

	err_sys(&e, rc, "%s", what);
	if (pc->cfg.warn)
		pc->cfg.warn(e.msg);
}

/* Say once, when it happens, that output can no longer be written. */
static void check_output(struct pc *pc)
{
	int serial = chardev_error(pc->serial), trace = pc->vm.trace.error;

	if (serial && !pc->said_serial)
		say_lost(pc, serial, "serial port: the guest's output is lost");
	if (trace && !pc->said_trace)
		say_lost(pc, trace, "--trace: the rest of the trace is lost");
	pc->said_serial = serial;
	pc->said_trace = trace;
}

/* Serve the console until a vCPU parks, the machine is to stop, or it is time.
 * Returns true on timeout. */
static bool main_loop(struct pc *pc, uint64_t deadline_ns)
{
	struct pollfd p[1 + CHARDEV_POLLFDS];
	struct timespec ts;
	uint64_t now, count;
	ssize_t n;

	while (!atomic_load(&pc->stop) && !any_parked(pc)) {
		now = clock_ns();
		if (now >= deadline_ns)
			return true;
		ts = to_timespec(deadline_ns - now);
		p[0] = (struct pollfd){ .fd = pc->wake_fd, .events = POLLIN };
		chardev_poll(pc->serial, p + 1);
		if (ppoll(p, 1 + CHARDEV_POLLFDS,
			  deadline_ns == UINT64_MAX ? NULL : &ts, NULL) <= 0)
			continue;
		n = read(pc->wake_fd, &count, sizeof(count));
		(void)n;	/* EAGAIN: it was another descriptor */
		if (atomic_exchange(&pc->take_console, false))
			chardev_raw(pc->serial);
		handle_serial(pc, p + 1);
		check_output(pc);
	}
	return false;
}

/* Why the machine has come to a halt; all vCPUs are parked. */
static bool find_end(struct pc *pc, enum pc_end *end, int *code, struct err *e)
{
	struct vm *vm = &pc->vm;

	*code = atomic_load(&vm->debug_exit);
	if (*code >= 0) {
		*end = PC_END_DEBUG_EXIT;
		return true;
	}
	for (unsigned i = 0; i < vm->ncpus; i++) {
		if (pc->thread[i].exit == VCPU_EXIT_ERROR)
			*e = vm->vcpu[i]->err;
		else if (pc->thread[i].exit != VCPU_EXIT_SHUTDOWN)
			continue;
		else if (shutdown_is_reset(vm->vcpu[i])) {
			*end = PC_END_RESET;
			return pc->cfg.no_reboot;
		}
		*end = pc->thread[i].exit == VCPU_EXIT_ERROR ? PC_END_ERROR : PC_END_CRASH;
		return true;
	}
	*end = PC_END_POWEROFF;
	if (atomic_load(&vm->want_poweroff) || atomic_load(&pc->stop))
		return true;
	*end = PC_END_RESET;
	return atomic_load(&vm->want_reset) && pc->cfg.no_reboot;
}

static enum pc_end run_to_end(struct pc *pc, int *code, struct err *e)
{
	enum pc_end end;
	bool timeout;

	do {
		pc_reset(pc);
		release(pc, PC_RUN);
		timeout = main_loop(pc, pc->wait.deadline_ns);
		vm_stop(&pc->vm);
		wait_parked(pc);
		if (timeout && atomic_load(&pc->vm.debug_exit) < 0)
			return PC_END_TIMEOUT;
	} while (!find_end(pc, &end, code, e));
	return end;
}

/* A reader that closed the pipe gives EPIPE, not the end of the process. */
static void block_sigpipe(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, old);
}

static void unblock_sigpipe(const sigset_t *old)
{
	struct timespec none = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	if (!sigismember(old, SIGPIPE))
		while (sigtimedwait(&set, NULL, &none) > 0)
			;
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

enum pc_end pc_run(struct pc *pc, int *code, struct err *e)
{
	struct err mine = { 0 };
	enum pc_end end;
	sigset_t old;
	int dummy;

	e = e ? e : &mine;
	code = code ? code : &dummy;
	if (start_threads(pc, e))
		return PC_END_NOT_STARTED;
	block_sigpipe(&old);
	chardev_raw(pc->serial);
	atomic_store(&pc->on_console, true);
	end = run_to_end(pc, code, e);
	chardev_drain(pc->serial, &pc->wait);
	atomic_store(&pc->on_console, false);
	chardev_cooked(pc->serial);
	trace_flush(&pc->vm.trace);
	check_output(pc);
	unblock_sigpipe(&old);
	if ((pc->said_serial || pc->said_trace) &&
	    (end == PC_END_POWEROFF || end == PC_END_RESET))
		return PC_END_LOST;
	return end;
}
