/* Does /dev/kvm run stock guests?  Some can only emulate a few modes. */
#include "kvm/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/le.h"

extern const uint8_t kvm_probe_guest[], kvm_probe_guest_end[];

/* The guest's memory. */
enum { CODE = 0x1000, PD = 0x2000, PT = 0x3000, DATA = 0x4000, MEM_LEN = 0x10000 };
enum { PORT = 0xf4, INPUT = 100, OUTPUT = 2 * INPUT + 2, EXITS_MAX = 16 };

struct probe {
	int sys_fd, vm_fd, vcpu_fd;
	uint8_t *mem;
	struct kvm_run *run;
	size_t run_size;
};

static void load(uint8_t *mem)
{
	memcpy(mem + CODE, kvm_probe_guest, (size_t)(kvm_probe_guest_end - kvm_probe_guest));
	le32_put(mem + PD, PT | 3);		/* 0..4 MiB: one to one */
	le32_put(mem + PD + 4, PT | 3);		/* 4 MiB: page 0 is DATA.. */
	for (uint32_t i = 1; i < MEM_LEN >> PAGE_SHIFT; i++)
		le32_put(mem + PT + 4 * i, i << PAGE_SHIFT | 3);
	le32_put(mem + PT, DATA | 3);		/* ..and so is page 0 here */
	le32_put(mem + DATA, INPUT);
}

/* CPUID as KVM offers it: the guest uses nothing that it does not. */
static int set_cpuid(struct probe *p, struct err *e)
{
	enum { ENTRIES = 128 };
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + ENTRIES * sizeof(c->entries[0]));
	int rc = 0;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->nent = ENTRIES;
	if (ioctl(p->sys_fd, KVM_GET_SUPPORTED_CPUID, c) ||
	    ioctl(p->vcpu_fd, KVM_SET_CPUID2, c))
		rc = err_sys(e, -errno, "KVM_SET_CPUID2");
	free(c);
	return rc;
}

static int make(struct probe *p, struct err *e)
{
	struct kvm_userspace_memory_region slot = { .memory_size = MEM_LEN };
	int size, rc = kvm_open(&p->sys_fd, e);

	if (!rc)
		rc = kvm_new_vm(p->sys_fd, &p->vm_fd, e);
	if (rc)
		return rc;
	p->mem = mmap(NULL, MEM_LEN, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->mem == MAP_FAILED)
		return err_sys(e, -ENOMEM, "guest memory");
	load(p->mem);
	slot.userspace_addr = (uintptr_t)p->mem;
	if (ioctl(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot))
		return err_sys(e, -errno, "KVM_SET_USER_MEMORY_REGION");
	p->vcpu_fd = ioctl(p->vm_fd, KVM_CREATE_VCPU, 0UL);
	if (p->vcpu_fd < 0)
		return err_sys(e, -errno, "KVM_CREATE_VCPU");
	size = ioctl(p->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(*p->run))
		return err_set(e, -ENODEV, "KVM_GET_VCPU_MMAP_SIZE gives %d", size);
	p->run_size = (size_t)size;
	p->run = mmap(NULL, p->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu_fd, 0);
	if (p->run == MAP_FAILED)
		return err_sys(e, -errno, "mapping struct kvm_run");
	return set_cpuid(p, e);
}

static void destroy(struct probe *p)
{
	if (p->run != MAP_FAILED)
		munmap(p->run, p->run_size);
	if (p->mem != MAP_FAILED)
		munmap(p->mem, MEM_LEN);
	if (p->vcpu_fd >= 0)
		close(p->vcpu_fd);
	if (p->vm_fd >= 0)
		close(p->vm_fd);
	if (p->sys_fd >= 0)
		close(p->sys_fd);
}

/* Flat 32-bit protected mode, paging off. */
static int start(struct probe *p, struct err *e)
{
	struct x86_seg code = { .limit = 0xffffffff, .sel = 8,
		.attr = X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_RW |
			X86_SEG_ACCESSED | X86_SEG_DB | X86_SEG_G };
	struct x86_seg data = code;
	struct kvm_regs r = { .rip = CODE, .rflags = X86_FL_FIXED, .rsp = MEM_LEN };
	struct kvm_sregs s;

	data.sel = 16;
	data.attr &= ~X86_SEG_CODE;
	if (ioctl(p->vcpu_fd, KVM_GET_SREGS, &s))
		return err_sys(e, -errno, "KVM_GET_SREGS");
	s.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	kvm_seg_put(&s.cs, &code);
	kvm_seg_put(&s.ds, &data);
	s.es = s.fs = s.gs = s.ss = s.ds;
	if (ioctl(p->vcpu_fd, KVM_SET_SREGS, &s))
		return err_sys(e, -errno, "KVM_SET_SREGS");
	if (ioctl(p->vcpu_fd, KVM_SET_REGS, &r))
		return err_sys(e, -errno, "KVM_SET_REGS");
	return 0;
}

static const char *run_to_out(struct probe *p, uint32_t *val)
{
	for (unsigned i = 0; i < EXITS_MAX; i++) {
		if (ioctl(p->vcpu_fd, KVM_RUN, 0)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return "KVM_RUN fails";
		}
		switch (p->run->exit_reason) {
		case KVM_EXIT_INTR:
			continue;
		case KVM_EXIT_IO:
			if (p->run->io.port != PORT || p->run->io.size != 4)
				return "it went astray";
			*val = le32_get((uint8_t *)p->run + p->run->io.data_offset);
			return NULL;
		case KVM_EXIT_SHUTDOWN:
			return "it ends in a triple fault";
		case KVM_EXIT_INTERNAL_ERROR:
			return "an instruction cannot be emulated";
		case KVM_EXIT_FAIL_ENTRY:
			return "it cannot be entered";
		default:
			return "it went astray";
		}
	}
	return "it does not get on";
}

int kvm_probe_stock(struct err *e)
{
	struct probe p = { .sys_fd = -1, .vm_fd = -1, .vcpu_fd = -1,
			   .mem = MAP_FAILED, .run = MAP_FAILED };
	const char *why;
	uint32_t val = 0;
	int rc = make(&p, e);

	if (!rc)
		rc = start(&p, e);
	if (!rc) {
		why = run_to_out(&p, &val);
		if (!why && val != OUTPUT)
			why = "it computes wrongly";
		if (why)
			rc = err_set(e, -ENOTSUP, "/dev/kvm cannot run a guest with 32-bit "
				     "paging and SSE: %s", why);
	}
	destroy(&p);
	return rc;
}
