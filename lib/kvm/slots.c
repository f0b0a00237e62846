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

int kvm_set_slots(struct vm *vm, struct err *e)
{
	struct kvm_vm *k = vm->engine_vm;
	const struct mem *m = vm->mem;
	int rc = 0;

	for (unsigned i = 0; i < m->nslots && !rc; i++) {
		k->slot[i] = (struct kvm_userspace_memory_region){
			.slot = i,
			.flags = m->slot[i].rom ? KVM_MEM_READONLY : 0,
			.guest_phys_addr = m->slot[i].gpa,
			.memory_size = m->slot[i].len,
			.userspace_addr = (uintptr_t)m->hva + m->slot[i].off,
		};
		rc = put_slot(k, &k->slot[i], e);
		if (!rc)
			k->nslots = i + 1;
	}
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
