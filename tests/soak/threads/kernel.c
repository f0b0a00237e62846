/* Futexes, signals, timers, pipes, and registers that are kept while others run. */
#include "threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- futex ---------------------------------------------------------------------------- */

static _Atomic int turn;

static void futex(int op, int val)
{
	struct timespec second = { .tv_sec = 1 };

	syscall(SYS_futex, &turn, op, val, op == FUTEX_WAIT_PRIVATE ? &second : NULL, NULL, 0);
}

static void pingpong_side(unsigned me)
{
	unsigned long n = 0;

	while (!stopped()) {
		int t = turn;

		if ((t & 1) != (int)me) {
			futex(FUTEX_WAIT_PRIVATE, t);
			continue;
		}
		if (!atomic_compare_exchange_strong(&turn, &t, t + 1))
			wrong("%d changed out of turn", t);
		futex(FUTEX_WAKE_PRIVATE, INT_MAX);
		n++;
	}
	did(n);
}

static void pingpong_run(void)
{
	turn = 0;
	together(2, pingpong_side);
}

/* --- mutex and condition: a queue ------------------------------------------------------ */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t some, room;
	unsigned slot[16];
	unsigned in, out;
	bool end;
	_Atomic unsigned long put, got;
} queue;

static void queue_put(unsigned me)
{
	for (unsigned v = me; !stopped(); v++) {
		pthread_mutex_lock(&queue.lock);
		while (queue.in - queue.out == 16)
			pthread_cond_wait(&queue.room, &queue.lock);
		queue.slot[queue.in++ % 16] = v;
		pthread_cond_signal(&queue.some);
		pthread_mutex_unlock(&queue.lock);
		queue.put += v;
		did(1);
	}
	pthread_mutex_lock(&queue.lock);
	queue.end = true;
	pthread_cond_broadcast(&queue.some);
	pthread_mutex_unlock(&queue.lock);
}

static void queue_get(void)
{
	pthread_mutex_lock(&queue.lock);
	for (;;) {
		while (queue.in == queue.out && !queue.end)
			pthread_cond_wait(&queue.some, &queue.lock);
		if (queue.in == queue.out)
			break;
		queue.got += queue.slot[queue.out++ % 16];
		pthread_cond_signal(&queue.room);
	}
	pthread_mutex_unlock(&queue.lock);
}

/* One puts, the others take. */
static void queue_side(unsigned me)
{
	if (me)
		queue_get();
	else
		queue_put(1);
}

static void queue_run(void)
{
	memset(&queue, 0, sizeof(queue));
	pthread_mutex_init(&queue.lock, NULL);
	pthread_cond_init(&queue.some, NULL);
	pthread_cond_init(&queue.room, NULL);
	together(workers(), queue_side);
	if (queue.put != queue.got)
		wrong("%lu were put, %lu taken", (unsigned long)queue.put, (unsigned long)queue.got);
}

/* --- signals ----------------------------------------------------------------------------- */

static _Thread_local volatile unsigned hits;
static pthread_t target[THREADS_MAX];
static pthread_barrier_t all_there;
static _Atomic unsigned long sent, came;

static void on_signal(int sig)
{
	volatile double d = hits;

	d = d * 1.5 + sig;		/* registers of the FPU, too */
	hits++;
	if (sig == SIGUSR1)
		atomic_fetch_add(&came, 1);
}

/* Each sends to the next and waits until it has answered, as its own work goes on. */
static void signals_side(unsigned me)
{
	unsigned n = workers(), sum = 0, wanted = 0;
	double x = me, y = me;

	target[me] = pthread_self();
	pthread_barrier_wait(&all_there);
	while (!stopped()) {
		if (!pthread_kill(target[(me + 1) % n], SIGUSR1))
			atomic_fetch_add(&sent, 1);
		for (unsigned i = 0; i < 3000; i++) {
			sum += i ^ me;
			x += 0.5;
		}
		for (unsigned i = 0; i < 3000; i++)
			wanted += i ^ me;
		y += 1500;
		if (sum != wanted || x != y) {
			wrong("%u for %u, %f for %f", sum, wanted, x, y);
			x = y;
			sum = wanted;
		}
		did(1);
	}
	/* Nobody ends before all have sent their last one. */
	pthread_barrier_wait(&all_there);
}

static void signals_run(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sent = came = 0;
	sigaction(SIGUSR1, &sa, NULL);
	pthread_barrier_init(&all_there, NULL, workers());
	together(workers(), signals_side);
	pthread_barrier_destroy(&all_there);
	if (came > sent)
		wrong("%lu signals of %lu", (unsigned long)came, (unsigned long)sent);
}

/* --- timers ------------------------------------------------------------------------------ */

static void timer_side(unsigned me)
{
	struct sigevent sev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2 };
	struct itimerspec its = { .it_value.tv_nsec = 2000000, .it_interval.tv_nsec = 2000000 };
	struct timespec from, to;
	unsigned long n = 0;
	timer_t timer;
	long ms;

	hits = 0;
	sev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &sev, &timer))
		cannot("timer_create");
	timer_settime(timer, 0, &its, NULL);
	clock_gettime(CLOCK_MONOTONIC, &from);
	while (!stopped()) {
		clock_gettime(CLOCK_MONOTONIC, &to);
		ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
		if (ms < 0)
			wrong("thread %u: the clock went back: %ld ms", me, ms);
		n++;
	}
	timer_delete(timer);
	if (hits)
		did(n);
}

static void timer_run(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigaction(SIGUSR2, &sa, NULL);
	together(workers(), timer_side);
}

/* --- registers ---------------------------------------------------------------------------- */

/* Fill SSE and x87 registers with what is of this thread, and look at them later. */
static void registers_side(unsigned me)
{
	uint32_t in[4], out[4], random = me + 1;

	while (!stopped()) {
		float back = 0;
		float f = (float)(next_random(&random) % 1000 + me * 1000);
		unsigned turns = 200 + next_random(&random) % 3000;

		for (unsigned i = 0; i < 4; i++)
			in[i] = next_random(&random) | me << 24;
		__asm__ volatile("movdqu (%2), %%xmm0\n"
				 "movdqa %%xmm0, %%xmm7\n"
				 "flds %4\n"
				 "1: movdqa %%xmm7, %%xmm3\n"
				 "pxor %%xmm0, %%xmm3\n"
				 "paddd %%xmm3, %%xmm7\n"
				 "pause\n"
				 "decl %0\n"
				 "jnz 1b\n"
				 "fstps %1\n"
				 "movdqu %%xmm7, (%3)\n"
				 : "+r"(turns), "=m"(back)
				 : "r"(in), "r"(out), "m"(f)
				 : "xmm0", "xmm3", "xmm7", "memory");
		if (back != f || memcmp(in, out, sizeof(in)))
			wrong("thread %u: %f for %f, %x for %x", me, (double)back, (double)f, out[0], in[0]);
		if (random & 0x100)
			sched_yield();
		did(1);
	}
}

static void registers_run(void)
{
	together(2 * workers() > THREADS_MAX ? THREADS_MAX : 2 * workers(), registers_side);
}

/* --- processes ------------------------------------------------------------------------------ */

static _Noreturn void pipe_child(int from, int to)
{
	unsigned char buf[512];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			buf[i] ^= 0x5a;
		if (write(to, buf, (size_t)n) != n)
			_exit(1);
	}
	_exit(0);
}

static bool exchange(int to, int from, uint32_t *random)
{
	unsigned char out[512], in[512];
	size_t len = 1 + next_random(random) % sizeof(out);

	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char)next_random(random);
	if (write(to, out, len) != (ssize_t)len)
		return false;
	for (size_t at = 0; at < len;) {
		ssize_t n = read(from, in + at, len - at);

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	for (size_t i = 0; i < len; i++)
		if ((in[i] ^ 0x5a) != out[i])
			return false;
	return true;
}

/* A child that comes and goes, and answers through pipes meanwhile. */
static void pipes_run(void)
{
	uint32_t random = 1;

	while (!stopped()) {
		int to[2], from[2], status = -1;
		pid_t pid;

		if (pipe(to) || pipe(from) || (pid = fork()) < 0)
			cannot("pipe and fork");
		if (!pid) {
			close(to[1]);
			close(from[0]);
			pipe_child(to[0], from[1]);
		}
		close(to[0]);
		close(from[1]);
		for (unsigned i = 0; i < 50 && !stopped(); i++) {
			if (!exchange(to[1], from[0], &random))
				wrong("other bytes came back");
			did(1);
		}
		close(to[1]);
		close(from[0]);
		/* Another test's child may hold the pipe open for a while. */
		if (waitpid(pid, &status, 0) != pid || status)
			wrong("status %x", status);
	}
}

const struct test kernel_tests[] = {
	{ "pingpong", pingpong_run },
	{ "queue", queue_run },
	{ "signals", signals_run },
	{ "timer", timer_run },
	{ "registers", registers_run },
	{ "pipes", pipes_run },
	{ 0 },
};
