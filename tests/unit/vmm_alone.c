/* vm_stop_others() among threads that run, pause, leave and want to be alone, too. */
#include <stdlib.h>

#include "check.h"
#include "vmm/vm.h"

#define CPUS	4
#define TURNS	300000u

static struct vm vm;
static pthread_barrier_t start;
static _Atomic unsigned steps[CPUS];	/* what each "executes" between enter and leave */
static _Atomic unsigned met, times;

static unsigned others(unsigned me)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < CPUS; i++)
		sum += i == me ? 0 : atomic_load(&steps[i]);
	return sum;
}

static void alone(struct vcpu *v)
{
	unsigned before, after = 0;

	vm_stop_others(v);
	before = others(v->id);
	for (unsigned i = 0; i < 50; i++)
		after = others(v->id);
	if (before != after)
		atomic_fetch_add(&met, 1);
	atomic_fetch_add(&times, 1);
	vm_resume_others(v);
}

static void *thread(void *ptr)
{
	struct vcpu *v = ptr;

	v->thread = pthread_self();
	pthread_barrier_wait(&start);
	vcpu_enter(v);
	for (unsigned i = 1; i <= TURNS; i++) {
		if (atomic_load(&v->req) & VCPU_REQ_PAUSE)
			vcpu_pause(v);
		atomic_fetch_add(&steps[v->id], 1);
		if (i % (97 + v->id) == 0)
			alone(v);
		if (i % 61 == 0) {
			vcpu_leave(v);
			vcpu_enter(v);
		}
	}
	vcpu_leave(v);
	return NULL;
}

int main(void)
{
	pthread_t t[CPUS];
	unsigned want = 0;

	vm.ncpus = CPUS;
	vm_alone_init(&vm);
	pthread_barrier_init(&start, NULL, CPUS);
	for (unsigned i = 0; i < CPUS; i++) {
		vm.vcpu[i] = calloc(1, sizeof(*vm.vcpu[i]));
		vm.vcpu[i]->id = i;
		vm.vcpu[i]->vm = &vm;
		want += TURNS / (97 + i);
	}
	for (unsigned i = 0; i < CPUS; i++)
		check(!pthread_create(&t[i], NULL, thread, vm.vcpu[i]), "no thread");
	for (unsigned i = 0; i < CPUS; i++)
		pthread_join(t[i], NULL);
	check(met == 0, "%u times someone else ran", met);
	check(times == want, "alone %u times of %u", times, want);
	check(!atomic_load(&vm.alone), "nobody is left alone");
	for (unsigned i = 0; i < CPUS; i++) {
		check(steps[i] == TURNS && !atomic_load(&vm.vcpu[i]->in_guest), "vCPU %u", i);
		free(vm.vcpu[i]);
	}
	vm_alone_fini(&vm);
	pthread_barrier_destroy(&start);
	return check_done();
}
