/*
 * Running the machine: the main loop, which starts and stops the vCPUs (vcpu.c).
 */
#include "pc/machine.h"
#include "pc/shutdown.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "dev/acpipm.h"
#include "dev/uart.h"
#include "pc/control.h"

#define VCPU_STACK (1u << 20)

void run_wake(void *ptr)
{
	struct pc *pc = ptr;
	uint64_t one = 1;
	ssize_t n = write(pc->wake_fd, &one, sizeof(one));

	(void)n;	/* full: it is awake */
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
	int rc = vcpu_install_kick(e);

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

/* --- co-scheduling -------------------------------------------------------------- */

#define COSCHED_LIMIT_NS	3000000u	/* the skew at which leaders stop */
#define COSCHED_PERIOD_NS	2000000u
#define COSCHED_LINGER_NS	100000000u	/* how long one vCPU alone is looked at */

static struct cosched_sample cosched_sample(struct pc_thread *t, uint64_t now)
{
	int64_t halted = atomic_load(&t->halted);
	struct cosched_sample s;
	struct timespec ts;

	clock_gettime(t->cpu_clock, &ts);
	s.progress_ns = (uint64_t)(ts.tv_sec * (int64_t)NS_PER_SEC + ts.tv_nsec +
				   halted_ns(halted, now));
	s.idle = halted & 1 || atomic_load_explicit(&t->v->yielding, memory_order_relaxed);
	return s;
}

static void cosched_apply(struct pc *pc, unsigned stop)
{
	for (unsigned i = 0; i < pc->vm.ncpus; i++) {
		struct vcpu *v = pc->vm.vcpu[i];
		bool is = atomic_load(&v->req) & VCPU_REQ_COSTOP;

		if (stop >> i & 1 && !is)
			vcpu_request(v, VCPU_REQ_COSTOP);
		else if (!(stop >> i & 1) && is)
			vcpu_withdraw(v, VCPU_REQ_COSTOP);
	}
}

/* Compare the vCPUs while there are several to compare.  Returns when next, of
 * clock_ns(); a vCPU that is no longer alone wakes the main loop before that. */
static uint64_t cosched_tick(struct pc *pc, uint64_t now)
{
	struct cosched_sample s[VM_CPUS_MAX];

	if (pc->vm.ncpus == 1)
		return UINT64_MAX;
	if (atomic_load(&pc->running) > 1)
		pc->cosched_until = now + COSCHED_LINGER_NS;
	if (now >= pc->cosched_until) {
		atomic_store(&pc->cosched_on, false);
		cosched_restart(&pc->cosched);
		cosched_apply(pc, 0);
		if (atomic_load(&pc->running) <= 1)
			return UINT64_MAX;
	}
	atomic_store(&pc->cosched_on, true);
	for (unsigned i = 0; i < pc->vm.ncpus; i++)
		s[i] = cosched_sample(&pc->thread[i], now);
	cosched_apply(pc, cosched_step(&pc->cosched, s, pc->vm.ncpus, COSCHED_LIMIT_NS));
	return now + COSCHED_PERIOD_NS;
}

void pc_stats(struct pc *pc, void (*put)(void *ptr, const char *name, uint64_t value), void *ptr)
{
	for (unsigned i = 0; i < pc->vm.ncpus; i++) {
		const struct pc_thread *t = &pc->thread[i];
		uint64_t halted = (uint64_t)halted_ns(t->halted, 0);
		uint64_t used = t->cpu_ns + halted + t->costop_ns;
		const struct {
			const char *name;
			uint64_t value;
		} row[] = {
			{ "halted_ns", halted },
			{ "ready_ns", t->run_ns > used ? t->run_ns - used : 0 },
			{ "costop_ns", t->costop_ns },
			{ "skew_max_ns", pc->cosched.skew_max_ns[i] },
		};
		char name[32];

		for (unsigned k = 0; k < sizeof(row) / sizeof(row[0]); k++) {
			snprintf(name, sizeof(name), "cpu%u_%s", i, row[k].name);
			put(ptr, name, row[k].value);
		}
	}
	put(ptr, "disk_inline", pc->vm.io.here);
	put(ptr, "disk_uring", pc->vm.io.started);
	put(ptr, "disk_threads", pc->vm.io.threads);
}

/* Serve the console until a vCPU parks, the machine is to stop, or it is time.
 * Returns true on timeout. */
static bool main_loop(struct pc *pc, uint64_t deadline_ns)
{
	struct pollfd p[2 + CHARDEV_POLLFDS];
	struct timespec ts;
	uint64_t now, next, count;
	ssize_t n;

	while (!atomic_load(&pc->stop) && !any_parked(pc) && !pc->at_reset) {
		now = clock_ns();
		if (now >= deadline_ns)
			return true;
		next = cosched_tick(pc, now);
		next = next < deadline_ns ? next : deadline_ns;
		ts = to_timespec(next - now);
		p[0] = (struct pollfd){ .fd = pc->wake_fd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = control_fd(pc), .events = POLLIN };
		chardev_poll(pc->serial, p + 2);
		if (ppoll(p, 2 + CHARDEV_POLLFDS,
			  next == UINT64_MAX ? NULL : &ts, NULL) <= 0)
			continue;
		n = read(pc->wake_fd, &count, sizeof(count));
		(void)n;	/* EAGAIN: it was another descriptor */
		if (atomic_exchange(&pc->take_console, false))
			chardev_raw(pc->serial);
		handle_serial(pc, p + 2);
		check_output(pc);
		if (p[0].revents || p[1].revents)
			control_handle(pc);
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
	return atomic_load(&vm->want_reset) && pc->cfg.no_reboot && !pc->at_reset;
}

static enum pc_end run_to_end(struct pc *pc, int *code, struct err *e)
{
	enum pc_end end;
	bool timeout;

	do {
		if (pc_reset(pc, e))
			return PC_END_ERROR;
		cosched_restart(&pc->cosched);
		release(pc, PC_RUN);
		timeout = main_loop(pc, pc->wait.deadline_ns);
		vm_stop(&pc->vm);
		wait_parked(pc);
		if (timeout && atomic_load(&pc->vm.debug_exit) < 0)
			return PC_END_TIMEOUT;
	} while (!find_end(pc, &end, code, e));
	return end;
}

static void open_control(struct pc *pc)
{
	struct err e = { 0 };

	if (!pc->cfg.control || !control_open(pc, &e) || !pc->cfg.warn)
		return;
	err_in(&e, e.code, "no control socket, so no snapshots while it runs");
	pc->cfg.warn(e.msg);
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
	open_control(pc);
	block_sigpipe(&old);
	chardev_raw(pc->serial);
	atomic_store(&pc->on_console, true);
	end = run_to_end(pc, code, e);
	control_close(pc);
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
