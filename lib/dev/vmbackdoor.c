#include "dev/vmbackdoor.h"

#include <errno.h>
#include <stdlib.h>

#include "dev/lapic.h"
#include "vmm/vmware.h"

enum { VERSION = 6, PRODUCT_ESX = 2, VCPU_LEGACY_X2APIC = 1 << 3 };

struct vmbackdoor {
	struct vm *vm;
};

static struct vcpu *current_vcpu(const struct vm *vm)
{
	for (unsigned i = 1; i < vm->ncpus; i++)
		if (pthread_equal(vm->vcpu[i]->thread, pthread_self()))
			return vm->vcpu[i];
	return vm->vcpu[0];
}

static uint64_t vmbackdoor_read(void *ptr, uint64_t off, unsigned size)
{
	const struct vmbackdoor *b = ptr;
	struct vcpu *v = current_vcpu(b->vm);
	uint64_t *gpr = v->cpu.gpr, hz = b->vm->model.tsc_hz;

	if (!vmware_call(&v->cpu, (uint16_t)(VMWARE_PORT + off), size))
		return ~0ull;
	switch (gpr[X86_RCX] & 0xffff) {
	case VMBACKDOOR_GETVERSION:
		gpr[X86_RBX] = VMWARE_MAGIC;
		gpr[X86_RCX] = PRODUCT_ESX;
		return VERSION;
	case VMBACKDOOR_GETHZ:
		gpr[X86_RBX] = hz >> 32;
		gpr[X86_RCX] = LAPIC_TIMER_HZ;
		return hz & 0xffffffff;
	case VMBACKDOOR_GETVCPU_INFO:
		return b->vm->model.x2apic ? VCPU_LEGACY_X2APIC : 0;
	default:
		return ~0ull;
	}
}

/* There is no state. */
void vmbackdoor_reset(struct vmbackdoor *b)
{
}

struct vmbackdoor *vmbackdoor_new(struct vm *vm, struct err *e)
{
	struct vmbackdoor *b = calloc(1, sizeof(*b));
	struct bus_range r = { .base = VMWARE_PORT, .len = 4,
			       .read = vmbackdoor_read, .ptr = b,
			       .name = "vmbackdoor" };

	if (!b) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	b->vm = vm;
	if (bus_add_pio(&vm->bus, r, e)) {
		free(b);
		return NULL;
	}
	return b;
}

void vmbackdoor_free(struct vmbackdoor *b)
{
	if (!b)
		return;
	bus_del_pio(&b->vm->bus, VMWARE_PORT);
	free(b);
}
