#ifndef KVM_INTERNAL_H
#define KVM_INTERNAL_H
/* What the files of this folder share.  Source: the kernel's
 * Documentation/virt/kvm/api.rst and <linux/kvm.h>. */

#include <linux/kvm.h>
#include <stddef.h>

#include "kvm/kvm.h"

/* Why KVM_RUN returned, for --stats. */
enum kvm_count {
	KVM_COUNT_IO, KVM_COUNT_MMIO, KVM_COUNT_HLT, KVM_COUNT_WINDOW,
	KVM_COUNT_SIGNAL, KVM_COUNT_OTHER, KVM_COUNT_INJECTED, KVM_COUNTS
};

struct kvm_vm {
	int sys_fd, vm_fd;
	size_t run_size;	/* bytes of struct kvm_run's mapping */
	bool have_nmi;
	bool logging;		/* memory slots have KVM_MEM_LOG_DIRTY_PAGES */
	unsigned nslots;
	struct kvm_userspace_memory_region slot[MEM_SLOTS];
	uint64_t count[VM_CPUS_MAX][KVM_COUNTS];
};

struct kvm_vcpu {
	int fd;
	struct kvm_run *run;
	uint64_t *count;	/* of kvm_vm */
	bool pending_io;	/* an access is finished by the next KVM_RUN */
	bool bad;		/* v->err is set: the next run() reports it */
	bool tsc_attr;		/* the TSC offset can be set as such */
	/* What KVM was in the middle of injecting at the last sync_out, and the
	 * state it belongs to: injected again only into that. */
	struct kvm_vcpu_events held;
	uint64_t held_rip, held_rsp, held_cr3;
	bool have_held;
};

/* /dev/kvm of a usable version with all we need; -ENOENT, -EACCES, -ENODEV, -ENOTSUP. */
int kvm_open(int *fd, struct err *e);
/* A VM with the addresses that some processors' real mode needs set. */
int kvm_new_vm(int sys_fd, int *vm_fd, struct err *e);

/* slots.c: hand mem->slot[] to the kernel, at first and after it changed. */
int kvm_set_slots(struct vm *vm, struct err *e);

/* cpuid.c: take from the model what KVM does not offer. */
int kvm_restrict_model(struct vm *vm, struct err *e);
/* The model's CPUID, less what KVM cannot do. */
int kvm_set_cpuid(struct vcpu *v, struct err *e);

/* state.c: v->cpu to and from the kernel; 0 or -errno with *e. */
int kvm_state_put(struct vcpu *v, struct err *e);
int kvm_state_get(struct vcpu *v, struct err *e);
/* Only the general registers, RIP and flags. */
int kvm_regs_put(struct vcpu *v, struct err *e);
int kvm_regs_get(struct vcpu *v, struct err *e);
void kvm_seg_put(struct kvm_segment *d, const struct x86_seg *s);
void kvm_seg_get(struct x86_seg *d, const struct kvm_segment *s);

/* vcpu.c */
int kvm_vcpu_create(struct vcpu *v, struct err *e);
void kvm_vcpu_destroy(struct vcpu *v);
enum vcpu_exit kvm_vcpu_run(struct vcpu *v);
void kvm_vcpu_sync_out(struct vcpu *v);
void kvm_vcpu_sync_in(struct vcpu *v);
void kvm_vcpu_kick(struct vcpu *v);
#endif
