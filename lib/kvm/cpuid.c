/* The guest's CPUID under KVM: the machine's model, less what KVM cannot do. */
#include "kvm/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define ENTRIES_MAX	128
/* Leaf 1 ECX.  KVM does not list the first everywhere; the others need its own
 * local APIC. */
#define HYPERVISOR	(1u << 31)
#define X2APIC		(1u << 21)
#define TSC_DEADLINE	(1u << 24)

/* The leaves of x86_cpuid(), each with its subleaves. */
static const struct leaf {
	uint32_t leaf;
	uint8_t subs;		/* 0: ECX does not matter */
} leaves[] = {
	{ 0, 0 }, { 1, 0 }, { 2, 0 }, { 4, 8 }, { 5, 0 }, { 6, 0 }, { 7, 1 },
	{ 0xb, 3 }, { 0xd, 3 },
	{ 0x40000000, 0 }, { 0x40000010, 0 },
	{ 0x80000000, 0 }, { 0x80000001, 0 }, { 0x80000002, 0 }, { 0x80000003, 0 },
	{ 0x80000004, 0 }, { 0x80000005, 0 }, { 0x80000006, 0 }, { 0x80000007, 0 },
	{ 0x80000008, 0 },
};

static struct kvm_cpuid2 *supported(int sys_fd, struct err *e)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + ENTRIES_MAX * sizeof(c->entries[0]));

	if (!c) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	c->nent = ENTRIES_MAX;
	if (ioctl(sys_fd, KVM_GET_SUPPORTED_CPUID, c)) {
		err_sys(e, -errno, "KVM_GET_SUPPORTED_CPUID");
		free(c);
		return NULL;
	}
	return c;
}

/* Feature bits that KVM does not offer go; other leaves are values, not bits. */
static void restrict_to(struct kvm_cpuid_entry2 *d, const struct kvm_cpuid2 *can)
{
	const struct kvm_cpuid_entry2 *s = NULL;

	for (unsigned i = 0; i < can->nent; i++)
		if (can->entries[i].function == d->function &&
		    (can->entries[i].index == d->index || !d->flags))
			s = &can->entries[i];
	if (!s)
		return;
	switch (d->function) {
	case 1:
		d->ecx &= (s->ecx | HYPERVISOR) & ~(X2APIC | TSC_DEADLINE);
		d->edx &= s->edx;
		break;
	case 7:
		d->ebx &= s->ebx;
		d->ecx &= s->ecx;
		d->edx &= s->edx;
		break;
	case 0xd:
		if (d->index == 1)
			d->eax &= s->eax;
		break;
	case 0x80000001:
		d->ecx &= s->ecx;
		d->edx &= s->edx;
		break;
	}
}

int kvm_restrict_model(struct vm *vm, struct err *e)
{
	struct kvm_vm *kvm = vm->engine_vm;
	struct kvm_cpuid2 *can = supported(kvm->sys_fd, e);
	struct x86_model *m = &vm->model;

	if (!can)
		return e ? e->code : -EIO;
	for (unsigned i = 0; i < m->nhost; i++) {
		struct x86_host_leaf *h = &m->host[i];
		struct kvm_cpuid_entry2 d = { .function = h->leaf, .index = h->sub,
			.flags = h->leaf == 7 || h->leaf == 0xd ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = h->r[0], .ebx = h->r[1], .ecx = h->r[2], .edx = h->r[3] };

		restrict_to(&d, can);
		h->r[0] = d.eax, h->r[1] = d.ebx, h->r[2] = d.ecx, h->r[3] = d.edx;
	}
	free(can);
	x86_model_update(m);
	return 0;
}

int kvm_set_cpuid(struct vcpu *v, struct err *e)
{
	struct kvm_vm *kvm = v->vm->engine_vm;
	struct kvm_vcpu *k = v->engine;
	struct kvm_cpuid2 *can = supported(kvm->sys_fd, e), *c;
	/* It gives the same in all modes. */
	struct x86_cpu as = { .apic_base = v->cpu.apic_base, .cr4 = v->cpu.cr4,
		.xcr0 = v->cpu.xcr0, .long_mode = true, .code_bits = 64 };
	int rc = 0;

	if (!can)
		return e ? e->code : -EIO;
	c = calloc(1, sizeof(*c) + ENTRIES_MAX * sizeof(c->entries[0]));
	if (!c) {
		free(can);
		return err_set(e, -ENOMEM, "out of memory");
	}
	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		unsigned subs = leaves[i].subs ? leaves[i].subs : 1;

		for (unsigned sub = 0; sub < subs; sub++) {
			struct kvm_cpuid_entry2 *d = &c->entries[c->nent++];
			uint32_t r[4];

			x86_cpuid(&v->vm->model, &as, v->id, leaves[i].leaf, sub, r);
			*d = (struct kvm_cpuid_entry2){
				.function = leaves[i].leaf, .index = sub,
				.flags = leaves[i].subs ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
				.eax = r[0], .ebx = r[1], .ecx = r[2], .edx = r[3] };
			restrict_to(d, can);
		}
	}
	if (ioctl(k->fd, KVM_SET_CPUID2, c))
		rc = err_sys(e, -errno, "KVM_SET_CPUID2");
	free(c);
	free(can);
	return rc;
}
