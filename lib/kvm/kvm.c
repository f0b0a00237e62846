/* /dev/kvm, a VM on it, and the engine's table. */
#include "kvm/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Three pages and one that some Intel processors need for real mode: in the
 * gap between the local APIC and the ROMs. */
#define IDENTITY_MAP_ADDR	0xfeffc000ull
#define TSS_ADDR		0xfeffd000ull

static const struct need {
	int cap;
	const char *what;
} needs[] = {
	{ KVM_CAP_USER_MEMORY, "user memory" },
	{ KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR" },
	{ KVM_CAP_EXT_CPUID, "SET_CPUID2" },
	{ KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS" },
	{ KVM_CAP_DEBUGREGS, "DEBUGREGS" },
	{ KVM_CAP_XSAVE, "XSAVE" },
	{ KVM_CAP_XCRS, "XCRS" },
	{ KVM_CAP_READONLY_MEM, "read-only memory" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exits" },
};

static int open_device(struct err *e)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return err_set(e, -ENOENT, "there is no /dev/kvm here");
	if (errno == EACCES || errno == EPERM)
		return err_set(e, -EACCES, "no permission to open /dev/kvm "
			       "(its group, often kvm, may)");
	return err_sys(e, -ENODEV, "cannot open /dev/kvm");
}

int kvm_open(int *fd, struct err *e)
{
	int rc = 0, k = open_device(e);

	if (k < 0)
		return k;
	if (ioctl(k, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		rc = err_set(e, -ENOTSUP, "/dev/kvm speaks another version");
	for (unsigned i = 0; !rc && i < sizeof(needs) / sizeof(needs[0]); i++)
		if (ioctl(k, KVM_CHECK_EXTENSION, needs[i].cap) <= 0)
			rc = err_set(e, -ENOTSUP, "/dev/kvm cannot do %s", needs[i].what);
	if (rc)
		close(k);
	else
		*fd = k;
	return rc;
}

int kvm_new_vm(int sys_fd, int *vm_fd, struct err *e)
{
	uint64_t identity = IDENTITY_MAP_ADDR;
	int rc, fd;

	do
		fd = ioctl(sys_fd, KVM_CREATE_VM, 0);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return err_sys(e, -errno, "KVM_CREATE_VM");
	rc = 0;
	if (ioctl(sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0 &&
	    ioctl(fd, KVM_SET_IDENTITY_MAP_ADDR, &identity))
		rc = err_sys(e, -errno, "KVM_SET_IDENTITY_MAP_ADDR");
	else if (ioctl(fd, KVM_SET_TSS_ADDR, TSS_ADDR))
		rc = err_sys(e, -errno, "KVM_SET_TSS_ADDR");
	if (rc) {
		close(fd);
		return rc;
	}
	*vm_fd = fd;
	return 0;
}

static int kvm_probe(struct vm *vm, struct err *e)
{
	int fd, rc = kvm_open(&fd, e);

	if (!rc)
		close(fd);
	return rc;
}

static void kvm_vm_destroy(struct vm *vm)
{
	struct kvm_vm *k = vm->engine_vm;

	if (!k)
		return;
	if (k->vm_fd >= 0)
		close(k->vm_fd);
	if (k->sys_fd >= 0)
		close(k->sys_fd);
	free(k);
	vm->engine_vm = NULL;
}

static int kvm_vm_create(struct vm *vm, struct err *e)
{
	struct kvm_vm *k = calloc(1, sizeof(*k));
	int rc, size;

	if (!k)
		return err_set(e, -ENOMEM, "out of memory");
	k->sys_fd = k->vm_fd = -1;
	vm->engine_vm = k;
	rc = kvm_open(&k->sys_fd, e);
	if (!rc)
		rc = kvm_new_vm(k->sys_fd, &k->vm_fd, e);
	if (rc)
		goto out;
	size = ioctl(k->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run)) {
		rc = err_set(e, -ENODEV, "KVM_GET_VCPU_MMAP_SIZE gives %d", size);
		goto out;
	}
	k->run_size = (size_t)size;
	vm->model.x2apic = false;	/* its MSRs would need KVM's own local APIC */
	k->have_nmi = ioctl(k->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_NMI) > 0;
	rc = kvm_set_slots(vm, e);
	if (!rc)
		rc = kvm_restrict_model(vm, e);
out:
	if (rc)
		kvm_vm_destroy(vm);
	return rc;
}

static void kvm_print_stats(struct vm *vm, void (*put)(void *ptr, const char *name,
			    uint64_t value), void *ptr)
{
	static const char *const names[KVM_COUNTS] = {
		[KVM_COUNT_IO] = "kvm_exits_io",
		[KVM_COUNT_MMIO] = "kvm_exits_mmio",
		[KVM_COUNT_HLT] = "kvm_exits_hlt",
		[KVM_COUNT_WINDOW] = "kvm_exits_interrupt_window",
		[KVM_COUNT_SIGNAL] = "kvm_exits_signal",
		[KVM_COUNT_OTHER] = "kvm_exits_other",
		[KVM_COUNT_INJECTED] = "kvm_interrupts",
	};
	const struct kvm_vm *k = vm->engine_vm;

	for (unsigned i = 0; k && i < KVM_COUNTS; i++) {
		uint64_t sum = 0;

		for (unsigned n = 0; n < vm->ncpus; n++)
			sum += k->count[n][i];
		put(ptr, names[i], sum);
	}
}

const struct engine_ops kvm_engine = {
	.name = "kvm",
	.probe = kvm_probe,
	.vm_create = kvm_vm_create,
	.vm_destroy = kvm_vm_destroy,
	.create = kvm_vcpu_create,
	.destroy = kvm_vcpu_destroy,
	.run = kvm_vcpu_run,
	.sync_out = kvm_vcpu_sync_out,
	.sync_in = kvm_vcpu_sync_in,
	.kick = kvm_vcpu_kick,
	.layout = kvm_set_slots,
	.print_stats = kvm_print_stats,
};
