/*
 * A virtual CPU on KVM: its run loop and its exits.
 *
 * A kick sets run->immediate_exit and, from another thread, sends the kick signal:
 * KVM_RUN then returns EINTR at once or does not start.  The flag is cleared
 * before v->req is looked at, so that a request made in between is not lost.
 *
 * Interrupts: the controller is asked before each KVM_RUN.  When the guest can
 * take one now, its vector is acknowledged and queued; when not, KVM is asked for
 * an exit as soon as it can.
 */
#include "kvm/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/vmware.h"

/* How often an instruction may go on with another access (REP OUTS, a page
 * crossing) when it is finished off outside of run(). */
#define FINISH_MAX	100000

int kvm_vcpu_create(struct vcpu *v, struct err *e)
{
	struct kvm_vm *vm = v->vm->engine_vm;
	struct kvm_vcpu *k = calloc(1, sizeof(*k));
	int rc;

	if (!k)
		return err_set(e, -ENOMEM, "out of memory");
	k->count = vm->count[v->id];
	k->run = MAP_FAILED;
	k->fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, (unsigned long)v->id);
	if (k->fd < 0) {
		rc = err_sys(e, -errno, "KVM_CREATE_VCPU");
		goto out_free;
	}
	k->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
	if (k->run == MAP_FAILED) {
		rc = err_sys(e, -errno, "mapping struct kvm_run");
		goto out_free;
	}
	v->engine = k;
	rc = kvm_set_cpuid(v, e);
	if (!rc)
		return 0;
	v->engine = NULL;
	munmap(k->run, vm->run_size);
out_free:
	if (k->fd >= 0)
		close(k->fd);
	free(k);
	return rc;
}

void kvm_vcpu_destroy(struct vcpu *v)
{
	struct kvm_vm *vm = v->vm->engine_vm;
	struct kvm_vcpu *k = v->engine;

	if (!k)
		return;
	v->engine = NULL;
	munmap(k->run, vm->run_size);
	close(k->fd);
	free(k);
}

void kvm_vcpu_kick(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;

	__atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (!pthread_equal(pthread_self(), v->thread))
		pthread_sigqueue(v->thread, VCPU_KICK_SIGNAL,
				 (union sigval){ .sival_ptr = v });
}

/* --- exits -------------------------------------------------------------------- */

/*
 * VMware's backdoor, whose handler works on v->cpu.gpr.  The kernel takes registers
 * set in between over into the instruction, but its emulator then forgets to put the
 * value read into EAX: we do both.
 */
static int backdoor(struct vcpu *v, uint64_t *val)
{
	struct kvm_vcpu *k = v->engine;
	int rc = kvm_regs_get(v, &v->err);

	if (rc)
		return rc;
	*val = bus_pio_read(&v->vm->bus, k->run->io.port, 4) & 0xffffffff;
	v->cpu.gpr[X86_RAX] = *val;
	return kvm_regs_put(v, &v->err);
}

static bool is_backdoor(const struct kvm_run *r)
{
	return r->io.port == VMWARE_PORT && r->io.size == 4 && r->io.count == 1 &&
		r->io.direction == KVM_EXIT_IO_IN;
}

static int exit_io(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;
	struct kvm_run *r = k->run;
	unsigned size = r->io.size;
	uint8_t *p = (uint8_t *)r + r->io.data_offset;
	uint64_t val = 0;
	int rc = 0;

	trace_line(v->vm, TRACE_EXITS, "kvm: %s port 0x%x size %u count %u\n",
		   r->io.direction == KVM_EXIT_IO_OUT ? "out" : "in", r->io.port, size,
		   r->io.count);
	for (uint32_t i = 0; i < r->io.count; i++, p += size) {
		val = 0;
		if (r->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&val, p, size);
			bus_pio_write(&v->vm->bus, r->io.port, val, size);
			if (atomic_load(&v->vm->mem->moves) && !rc)
				rc = vm_layout(v->vm, v, &v->err);
			continue;
		}
		if (is_backdoor(r))
			rc = backdoor(v, &val);
		else
			val = bus_pio_read(&v->vm->bus, r->io.port, size);
		memcpy(p, &val, size);
	}
	k->pending_io = true;
	return rc;
}

static void exit_mmio(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;
	struct kvm_run *r = k->run;
	unsigned len = r->mmio.len <= 8 ? r->mmio.len : 8;
	uint64_t gpa = r->mmio.phys_addr, val = 0;

	trace_line(v->vm, TRACE_EXITS, "kvm: mmio %s 0x%" PRIx64 " size %u\n",
		   r->mmio.is_write ? "write" : "read", gpa, len);
	/* The bus knows sizes 1, 2, 4, 8: others come from accesses cut at a page. */
	if (len & (len - 1)) {
		for (unsigned i = 0; i < len; i++) {
			if (r->mmio.is_write)
				bus_mmio_write(&v->vm->bus, gpa + i, r->mmio.data[i], 1);
			else
				r->mmio.data[i] = (uint8_t)bus_mmio_read(&v->vm->bus, gpa + i, 1);
		}
	} else if (r->mmio.is_write) {
		memcpy(&val, r->mmio.data, len);
		bus_mmio_write(&v->vm->bus, gpa, val, len);
	} else {
		val = bus_mmio_read(&v->vm->bus, gpa, len);
		memcpy(r->mmio.data, &val, len);
	}
	k->pending_io = true;
}

/* RIP and the bytes there, for a message. */
static void where(struct vcpu *v, char *buf, size_t len)
{
	struct kvm_vcpu *k = v->engine;
	struct kvm_regs r;
	struct kvm_sregs s;
	struct kvm_translation t;
	uint8_t code[8];
	int n;

	buf[0] = 0;
	if (ioctl(k->fd, KVM_GET_REGS, &r) || ioctl(k->fd, KVM_GET_SREGS, &s))
		return;
	n = snprintf(buf, len, " at %04x:%" PRIx64, s.cs.selector, (uint64_t)r.rip);
	t = (struct kvm_translation){ .linear_address = s.cs.base + r.rip };
	if (ioctl(k->fd, KVM_TRANSLATE, &t) || !t.valid ||
	    !mem_read(v->vm->mem, t.physical_address, code, sizeof(code)))
		return;
	for (unsigned i = 0; i < sizeof(code) && (size_t)n + 4 < len; i++)
		n += snprintf(buf + n, len - (size_t)n, "%s%02x", i ? " " : ": ", code[i]);
}

static enum vcpu_exit exit_bad(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;
	struct kvm_run *r = k->run;
	char at[80];

	where(v, at, sizeof(at));
	if (r->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		err_set(&v->err, -EIO, "KVM internal error %u%s%s", r->internal.suberror,
			r->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ?
			" (it cannot emulate the instruction)" : "", at);
	else if (r->exit_reason == KVM_EXIT_FAIL_ENTRY)
		err_set(&v->err, -EIO, "KVM cannot enter the guest: reason 0x%" PRIx64 "%s",
			(uint64_t)r->fail_entry.hardware_entry_failure_reason, at);
	else
		err_set(&v->err, -EIO, "KVM: unknown exit %u%s", r->exit_reason, at);
	return VCPU_EXIT_ERROR;
}

/* Handle the exit in k->run.  Returns true when run() has to return *ex. */
static bool handle_exit(struct vcpu *v, enum vcpu_exit *ex)
{
	struct kvm_vcpu *k = v->engine;

	switch (k->run->exit_reason) {
	case KVM_EXIT_IO:
		k->count[KVM_COUNT_IO]++;
		if (!exit_io(v))
			return false;
		*ex = VCPU_EXIT_ERROR;
		return true;
	case KVM_EXIT_MMIO:
		k->count[KVM_COUNT_MMIO]++;
		exit_mmio(v);
		return false;
	case KVM_EXIT_HLT:
		k->count[KVM_COUNT_HLT]++;
		trace_line(v->vm, TRACE_EXITS, "kvm: hlt\n");
		v->cpu.halted = true;
		/* Whoever puts the vCPU to sleep asks whether an interrupt wakes it. */
		v->cpu.rflags &= ~(uint64_t)X86_FL_IF;
		if (k->run->if_flag)
			v->cpu.rflags |= X86_FL_IF;
		return false;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		k->count[KVM_COUNT_WINDOW]++;
		return false;
	case KVM_EXIT_INTR:
		k->count[KVM_COUNT_SIGNAL]++;
		return false;
	case KVM_EXIT_SET_TPR:
		k->count[KVM_COUNT_OTHER]++;
		return false;
	case KVM_EXIT_SHUTDOWN:
		trace_line(v->vm, TRACE_EXITS, "kvm: shutdown\n");
		*ex = VCPU_EXIT_SHUTDOWN;
		return true;
	default:
		k->count[KVM_COUNT_OTHER]++;
		*ex = exit_bad(v);
		return true;
	}
}

/* --- interrupts --------------------------------------------------------------- */

static void take_nmi(struct vcpu *v)
{
	struct kvm_vm *vm = v->vm->engine_vm;
	struct kvm_vcpu *k = v->engine;

	if (vm->have_nmi)
		ioctl(k->fd, KVM_NMI);
	v->cpu.halted = false;
}

/* Queue an interrupt if the guest can take it now, else ask for a window. */
static int inject(struct vcpu *v, struct err *e)
{
	struct kvm_vcpu *k = v->engine;
	struct kvm_run *r = k->run;
	struct kvm_interrupt irq;
	int vector;

	r->request_interrupt_window = 0;
	if (!v->intr_pending || !v->intr_pending(v->intr_ptr))
		return 0;
	if (!r->ready_for_interrupt_injection) {
		r->request_interrupt_window = 1;
		return 0;
	}
	vector = v->intr_ack(v->intr_ptr);
	if (vector < 0)
		return 0;
	trace_line(v->vm, TRACE_IRQ, "kvm: interrupt 0x%02x\n", vector);
	irq = (struct kvm_interrupt){ .irq = (uint32_t)vector };
	if (ioctl(k->fd, KVM_INTERRUPT, &irq))
		return err_sys(e, -errno, "KVM_INTERRUPT");
	k->count[KVM_COUNT_INJECTED]++;
	v->cpu.halted = false;
	r->ready_for_interrupt_injection = 0;
	/* Another one behind it? */
	r->request_interrupt_window = v->intr_pending(v->intr_ptr);
	return 0;
}

/* Before each KVM_RUN: what was asked of us.  True: run() returns *ex. */
static bool service_requests(struct vcpu *v, enum vcpu_exit *ex)
{
	struct kvm_vcpu *k = v->engine;
	uint32_t req = atomic_fetch_and(&v->req, ~(uint32_t)(VCPU_REQ_INTR | VCPU_REQ_NMI |
							     VCPU_REQ_FLUSH));

	if (req & VCPU_REQ_NMI)
		take_nmi(v);
	if (req & VCPU_REQ_PAUSE)
		vcpu_pause(v);
	if (req & VCPU_REQ_STOP) {
		*ex = VCPU_EXIT_STOP;
		return true;
	}
	if (req & VCPU_REQ_CALLER) {
		*ex = VCPU_EXIT_REQ;
		return true;
	}
	/* A halted guest is not entered for a window: IF says whether one is open. */
	if (v->cpu.halted && k->run->if_flag)
		k->run->ready_for_interrupt_injection = 1;
	if (inject(v, &v->err)) {
		*ex = VCPU_EXIT_ERROR;
		return true;
	}
	if (v->cpu.halted) {
		*ex = VCPU_EXIT_HLT;
		return true;
	}
	return false;
}

/* --- engine_ops ---------------------------------------------------------------- */

/* KVM_RUN: 0 with an exit to handle, -EINTR, or another -errno. */
static int enter(struct kvm_vcpu *k)
{
	int rc = ioctl(k->fd, KVM_RUN, 0) < 0 ? -errno : 0;

	k->pending_io = false;
	if (rc == -EINTR || rc == -EAGAIN) {
		k->count[KVM_COUNT_SIGNAL]++;
		return -EINTR;
	}
	return rc;
}

static enum vcpu_exit run(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;
	enum vcpu_exit ex;
	int rc;

	if (k->bad)
		return VCPU_EXIT_ERROR;
	for (;;) {
		__atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		if (service_requests(v, &ex))
			return ex;
		if (v->apic_tpr)
			k->run->cr8 = v->apic_tpr(v->lapic) & 15;
		rc = enter(k);
		if (v->apic_set_tpr && v->cpu.long_mode)
			v->apic_set_tpr(v->lapic, k->run->cr8 & 15);
		if (rc == -EINTR)
			continue;
		if (rc) {
			err_sys(&v->err, rc, "KVM_RUN");
			return VCPU_EXIT_ERROR;
		}
		if (handle_exit(v, &ex))
			return ex;
	}
}

enum vcpu_exit kvm_vcpu_run(struct vcpu *v)
{
	enum vcpu_exit ex;

	vcpu_enter(v);
	ex = run(v);
	vcpu_leave(v);
	return ex;
}

/* An access under way is part of its instruction: let KVM finish that. */
static void finish_io(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;
	enum vcpu_exit ex;

	for (unsigned i = 0; k->pending_io && i < FINISH_MAX; i++) {
		__atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		if (enter(k) || handle_exit(v, &ex))
			return;
	}
}

void kvm_vcpu_sync_out(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;
	struct err e;

	finish_io(v);
	if (kvm_state_get(v, &e) && !k->bad) {
		v->err = e;
		k->bad = true;
	}
}

void kvm_vcpu_sync_in(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;

	k->bad = kvm_state_put(v, &v->err) != 0;
	k->run->if_flag = !!(v->cpu.rflags & X86_FL_IF);
	k->run->ready_for_interrupt_injection = 0;
	k->run->request_interrupt_window = 0;
}
