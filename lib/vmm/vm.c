#include "vmm/vm.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static void futex_wake_all(_Atomic uint32_t *word)
{
	int saved = errno;	/* we may be in a signal handler */

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
	errno = saved;
}

void vcpu_request(struct vcpu *v, uint32_t bits)
{
	const struct engine_ops *engine = v->vm->engine;

	atomic_fetch_or(&v->req, bits);
	if (atomic_load(&v->sleeping))
		futex_wake_all(&v->req);
	else if (engine && v->engine)
		engine->kick(v);
}

void vcpu_withdraw(struct vcpu *v, uint32_t bits)
{
	atomic_fetch_and(&v->req, ~bits);
	if (atomic_load(&v->sleeping))
		futex_wake_all(&v->req);
}

/* --- barriers and told pages ----------------------------------------------------- */

int vm_barrier_init(struct err *e)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
		return err_sys(e, -ENOTSUP, "several processors need membarrier(2)");
	return 0;
}

/* Are vCPUs in the guest, but for this thread's? */
static bool others_in_guest(const struct vm *vm)
{
	pthread_t self = pthread_self();

	for (unsigned i = 0; i < vm->ncpus; i++)
		if (atomic_load(&vm->vcpu[i]->in_guest) &&
		    !pthread_equal(vm->vcpu[i]->thread, self))
			return true;
	return false;
}

void vm_barrier(struct vm *vm)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (others_in_guest(vm) || atomic_load(&vm->alone))
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

struct vcpu *vm_self(const struct vm *vm)
{
	pthread_t self = pthread_self();

	if (vm->ncpus == 1)
		return vm->vcpu[0];	/* others are quiet when a vCPU's state is touched */
	for (unsigned i = 0; i < vm->ncpus; i++)
		if (pthread_equal(vm->vcpu[i]->thread, self))
			return vm->vcpu[i];
	return NULL;
}

bool vm_may_tell(const struct vm *vm)
{
	pthread_t self = pthread_self();

	for (unsigned i = 0; i < vm->ncpus; i++)
		if (pthread_equal(vm->vcpu[i]->thread, self))
			return true;
	return !others_in_guest(vm);
}

void vm_protect_page(struct vm *vm, uint64_t page, uint8_t flag)
{
	struct vcpu *self = vm_self(vm);
	struct mem *m = vm->mem;

	atomic_fetch_or(&m->pflags[page], flag);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		if (v == self) {
			tlb_protect_hva(&v->tlb, m->hva + (page << PAGE_SHIFT));
			continue;
		}
		atomic_store(&v->tlb.recheck, true);
		if (vm->engine && vm->engine->nudge && v->engine)
			vm->engine->nudge(v);
	}
	if (vm->ncpus > 1)
		vm_barrier(vm);
	if (m->on_told)
		m->on_told(m->on_write_ptr, page);
}

/* --- alone ------------------------------------------------------------------------ */

void vm_alone_init(struct vm *vm)
{
	pthread_mutex_init(&vm->alone_lock, NULL);
	pthread_cond_init(&vm->alone_cond, NULL);
}

void vm_alone_fini(struct vm *vm)
{
	pthread_cond_destroy(&vm->alone_cond);
	pthread_mutex_destroy(&vm->alone_lock);
}

/* With alone_lock held: wait, out of the guest, until nobody is alone. */
static void wait_company(struct vcpu *v)
{
	struct vm *vm = v->vm;

	atomic_store(&v->in_guest, false);
	pthread_cond_broadcast(&vm->alone_cond);
	while (atomic_load(&vm->alone))
		pthread_cond_wait(&vm->alone_cond, &vm->alone_lock);
}

/* Either we see who is alone, or they see us: both store first, then load. */
void vcpu_enter(struct vcpu *v)
{
	struct vm *vm = v->vm;

	atomic_store(&v->in_guest, true);
	if (!atomic_load(&vm->alone))
		return;
	pthread_mutex_lock(&vm->alone_lock);
	wait_company(v);
	atomic_store(&v->in_guest, true);
	pthread_mutex_unlock(&vm->alone_lock);
}

void vcpu_leave(struct vcpu *v)
{
	struct vm *vm = v->vm;

	atomic_store(&v->in_guest, false);
	if (!atomic_load(&vm->alone))
		return;
	pthread_mutex_lock(&vm->alone_lock);
	pthread_cond_broadcast(&vm->alone_cond);
	pthread_mutex_unlock(&vm->alone_lock);
}

void vcpu_pause(struct vcpu *v)
{
	atomic_fetch_and(&v->req, ~(uint32_t)VCPU_REQ_PAUSE);
	vcpu_leave(v);
	vcpu_enter(v);
}

void vm_stop_others(struct vcpu *v)
{
	struct vm *vm = v->vm;

	pthread_mutex_lock(&vm->alone_lock);
	wait_company(v);
	atomic_store(&vm->alone, v);
	for (unsigned i = 0; i < vm->ncpus; i++)
		if (vm->vcpu[i] != v && atomic_load(&vm->vcpu[i]->in_guest))
			vcpu_request(vm->vcpu[i], VCPU_REQ_PAUSE);
	while (others_in_guest(vm))
		pthread_cond_wait(&vm->alone_cond, &vm->alone_lock);
	pthread_mutex_unlock(&vm->alone_lock);
}

void vm_resume_others(struct vcpu *v)
{
	struct vm *vm = v->vm;

	pthread_mutex_lock(&vm->alone_lock);
	atomic_store(&vm->alone, NULL);
	atomic_store(&v->in_guest, true);
	pthread_cond_broadcast(&vm->alone_cond);
	pthread_mutex_unlock(&vm->alone_lock);
}

/* --- the memory layout --------------------------------------------------------------- */

int vm_layout(struct vm *vm, struct vcpu *v, struct err *e)
{
	int rc = 0;

	if (v)
		vm_stop_others(v);
	pthread_mutex_lock(&vm->lock);
	mem_shadow_apply(vm->mem);
	if (vm->engine->layout)
		rc = vm->engine->layout(vm, e);
	pthread_mutex_unlock(&vm->lock);
	for (unsigned i = 0; i < vm->ncpus; i++)
		if (vm->vcpu[i] != v)
			vcpu_request(vm->vcpu[i], VCPU_REQ_FLUSH);
	if (!v)
		return rc;
	tlb_flush(&v->tlb);
	if (v->on_tlb_flush)
		v->on_tlb_flush(v, 0, VCPU_FLUSH_LAYOUT);
	vm_resume_others(v);
	return rc;
}
