/* Guest memory as KVM sees it, and its dirty log. */
#include "kvm/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static int put_slot(struct kvm_vm *k, struct kvm_userspace_memory_region *s, struct err *e)
{
	if (ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, s))
		return err_sys(e, -errno, "KVM_SET_USER_MEMORY_REGION");
	return 0;
}

/* One slot's log, a bit a page from bit 0 of the first byte. */
static int collect_slot(struct vm *vm, const struct kvm_userspace_memory_region *s,
			struct err *e)
{
	struct kvm_vm *k = vm->engine_vm;
	uint64_t pages = s->memory_size >> PAGE_SHIFT;
	uint64_t first = (s->userspace_addr - (uintptr_t)vm->mem->hva) >> PAGE_SHIFT;
	uint64_t *bits = calloc((pages + 63) / 64, sizeof(*bits));
	struct kvm_dirty_log log = { .slot = s->slot, .dirty_bitmap = bits };
	int rc = 0;

	if (!bits)
		return err_set(e, -ENOMEM, "out of memory");
	if (ioctl(k->vm_fd, KVM_GET_DIRTY_LOG, &log))
		rc = err_sys(e, -errno, "KVM_GET_DIRTY_LOG");
	for (uint64_t w = 0; !rc && w < (pages + 63) / 64; w++)
		for (uint64_t left = bits[w]; left; left &= left - 1) {
			uint64_t page = w * 64 + (unsigned)__builtin_ctzll(left);

			if (page < pages)
				atomic_fetch_or(&vm->mem->pflags[first + page], MEM_PF_DIRTY);
		}
	free(bits);
	return rc;
}

/* mem->slot[i] as the kernel wants it; length 0: there is none. */
static struct kvm_userspace_memory_region slot_wanted(const struct vm *vm, unsigned i)
{
	struct kvm_vm *k = vm->engine_vm;
	const struct mem *m = vm->mem;
	struct kvm_userspace_memory_region s = { .slot = i };

	if (i >= m->nslots)
		return s;
	s.flags = m->slot[i].rom ? KVM_MEM_READONLY : k->logging ? KVM_MEM_LOG_DIRTY_PAGES : 0;
	s.guest_phys_addr = m->slot[i].gpa;
	s.memory_size = m->slot[i].len;
	s.userspace_addr = (uintptr_t)m->hva + m->slot[i].off;
	return s;
}

static bool slot_is(const struct kvm_userspace_memory_region *a,
		    const struct kvm_userspace_memory_region *b)
{
	return a->flags == b->flags && a->guest_phys_addr == b->guest_phys_addr &&
		a->memory_size == b->memory_size && a->userspace_addr == b->userspace_addr;
}

/* Slots that moved go before others come: they may not meet. */
int kvm_set_slots(struct vm *vm, struct err *e)
{
	struct kvm_vm *k = vm->engine_vm;
	int rc = 0;

	for (unsigned i = 0; i < MEM_SLOTS && !rc; i++) {
		struct kvm_userspace_memory_region s = slot_wanted(vm, i);

		if (!k->slot[i].memory_size || slot_is(&k->slot[i], &s))
			continue;
		if (k->slot[i].flags & KVM_MEM_LOG_DIRTY_PAGES)
			rc = collect_slot(vm, &k->slot[i], e);
		k->slot[i].memory_size = 0;
		if (!rc)
			rc = put_slot(k, &k->slot[i], e);
	}
	for (unsigned i = 0; i < MEM_SLOTS && !rc; i++) {
		struct kvm_userspace_memory_region s = slot_wanted(vm, i);

		if (k->slot[i].memory_size || !s.memory_size)
			continue;
		rc = put_slot(k, &s, e);
		if (!rc)
			k->slot[i] = s;
	}
	k->nslots = vm->mem->nslots;
	return rc;
}

static int set_logging(struct vm *vm, bool on, struct err *e)
{
	struct kvm_vm *k = vm->engine_vm;
	int rc = 0;

	for (unsigned i = 0; i < k->nslots && !rc; i++) {
		struct kvm_userspace_memory_region *s = &k->slot[i];

		if (s->flags & KVM_MEM_READONLY)
			continue;
		s->flags = on ? KVM_MEM_LOG_DIRTY_PAGES : 0;
		rc = put_slot(k, s, e);
	}
	k->logging = on && !rc;
	return rc;
}

int kvm_dirty_start(struct vm *vm, struct err *e)
{
	struct mem *m = vm->mem;
	int rc = set_logging(vm, true, e);

	for (uint64_t p = 0; !rc && p < m->len >> PAGE_SHIFT; p++)
		atomic_fetch_and(&m->pflags[p], (uint8_t)~MEM_PF_DIRTY);
	return rc;
}

int kvm_dirty_stop(struct vm *vm, struct err *e)
{
	return set_logging(vm, false, e);
}

int kvm_dirty_collect(struct vm *vm, struct err *e)
{
	struct kvm_vm *k = vm->engine_vm;
	int rc = 0;

	if (!k->logging)
		return err_set(e, -EINVAL, "the dirty log is off");
	for (unsigned i = 0; i < k->nslots && !rc; i++)
		if (k->slot[i].flags & KVM_MEM_LOG_DIRTY_PAGES)
			rc = collect_slot(vm, &k->slot[i], e);
	return rc;
}
