/*
 * struct x86_cpu to and from the kernel.
 *
 * Order matters: CPUID before everything (it decides which MSRs and XCR0 bits
 * exist), SREGS before REGS (flags are checked against the mode), MSRs before
 * XCRS and XSAVE, events last.
 */
#include "kvm/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/le.h"

#define MSR_TSC		0x10
#define XSTATE_BV	512	/* offset in the XSAVE area */

struct msr {
	uint32_t index;
	uint32_t at;		/* offset in struct x86_cpu */
	bool must;		/* a guest cannot live without it */
};
#define MSR(index, field, must) { index, offsetof(struct x86_cpu, field), must }

/* SDM vol. 4, table 2-2; AMD APM vol. 2, appendix A. */
static const struct msr msrs[] = {
	MSR(0x174, sysenter_cs, true),
	MSR(0x175, sysenter_esp, true),
	MSR(0x176, sysenter_eip, true),
	MSR(0x277, pat, true),
	MSR(0x3b, tsc_adjust, false),
	MSR(0x48, spec_ctrl, false),
	MSR(0x17a, mcg_status, false),
	MSR(0x1a0, misc_enable, false),
	MSR(0xda0, xss, false),
	MSR(0xc0000081, star, false),
	MSR(0xc0000082, lstar, false),
	MSR(0xc0000083, cstar, false),
	MSR(0xc0000084, sfmask, false),
	MSR(0xc0000102, kernel_gs_base, false),
	MSR(0xc0000103, tsc_aux, false),
	MSR(0x250, mtrr_fix[0], false),
	MSR(0x258, mtrr_fix[1], false), MSR(0x259, mtrr_fix[2], false),
	MSR(0x268, mtrr_fix[3], false), MSR(0x269, mtrr_fix[4], false),
	MSR(0x26a, mtrr_fix[5], false), MSR(0x26b, mtrr_fix[6], false),
	MSR(0x26c, mtrr_fix[7], false), MSR(0x26d, mtrr_fix[8], false),
	MSR(0x26e, mtrr_fix[9], false), MSR(0x26f, mtrr_fix[10], false),
	MSR(0x200, mtrr_var[0], false), MSR(0x201, mtrr_var[1], false),
	MSR(0x202, mtrr_var[2], false), MSR(0x203, mtrr_var[3], false),
	MSR(0x204, mtrr_var[4], false), MSR(0x205, mtrr_var[5], false),
	MSR(0x206, mtrr_var[6], false), MSR(0x207, mtrr_var[7], false),
	MSR(0x208, mtrr_var[8], false), MSR(0x209, mtrr_var[9], false),
	MSR(0x20a, mtrr_var[10], false), MSR(0x20b, mtrr_var[11], false),
	MSR(0x20c, mtrr_var[12], false), MSR(0x20d, mtrr_var[13], false),
	MSR(0x20e, mtrr_var[14], false), MSR(0x20f, mtrr_var[15], false),
	MSR(0x2ff, mtrr_def, false),
};
#define MSRS (sizeof(msrs) / sizeof(msrs[0]))

static int vcpu_ioctl(const struct kvm_vcpu *k, unsigned long rq, void *arg,
		      const char *name, struct err *e)
{
	return ioctl(k->fd, rq, arg) ? err_sys(e, -errno, "%s", name) : 0;
}
#define IOCTL(k, rq, arg, e) vcpu_ioctl(k, rq, arg, #rq, e)

void kvm_seg_put(struct kvm_segment *d, const struct x86_seg *s)
{
	*d = (struct kvm_segment){
		.base = s->base, .limit = s->limit, .selector = s->sel,
		.type = s->attr & X86_SEG_TYPE,
		.s = !!(s->attr & X86_SEG_S),
		.dpl = (s->attr & X86_SEG_DPL) >> 5,
		.present = !!(s->attr & X86_SEG_P),
		.avl = !!(s->attr & X86_SEG_AVL),
		.l = !!(s->attr & X86_SEG_L),
		.db = !!(s->attr & X86_SEG_DB),
		.g = !!(s->attr & X86_SEG_G),
		.unusable = !!(s->attr & X86_SEG_NULL) || !(s->attr & X86_SEG_P),
	};
}

void kvm_seg_get(struct x86_seg *d, const struct kvm_segment *s)
{
	*d = (struct x86_seg){
		.base = s->base, .limit = s->limit, .sel = s->selector,
		.attr = (s->type & X86_SEG_TYPE) | (s->s ? X86_SEG_S : 0) |
			(s->dpl & 3u) << 5 | (s->present ? X86_SEG_P : 0) |
			(s->avl ? X86_SEG_AVL : 0) | (s->l ? X86_SEG_L : 0) |
			(s->db ? X86_SEG_DB : 0) | (s->g ? X86_SEG_G : 0) |
			(s->unusable ? X86_SEG_NULL : 0),
	};
}

/* enum x86_segreg -> the kernel's field. */
static struct kvm_segment *seg_field(struct kvm_sregs *s, unsigned i)
{
	struct kvm_segment *const f[X86_SEGS] = {
		[X86_ES] = &s->es, [X86_CS] = &s->cs, [X86_SS] = &s->ss,
		[X86_DS] = &s->ds, [X86_FS] = &s->fs, [X86_GS] = &s->gs };

	return f[i];
}

static int put_sregs(struct vcpu *v, struct err *e)
{
	struct kvm_vcpu *k = v->engine;
	const struct x86_cpu *c = &v->cpu;
	struct kvm_sregs s = {
		.gdt = { .base = c->gdtr.base, .limit = c->gdtr.limit },
		.idt = { .base = c->idtr.base, .limit = c->idtr.limit },
		.cr0 = c->cr0, .cr2 = c->cr2, .cr3 = c->cr3, .cr4 = c->cr4,
		.efer = c->efer, .apic_base = c->apic_base,
	};

	if (v->apic_tpr)
		s.cr8 = v->apic_tpr(v->lapic) & 15;
	for (unsigned i = 0; i < X86_SEGS; i++)
		kvm_seg_put(seg_field(&s, i), &c->seg[i]);
	kvm_seg_put(&s.tr, &c->tr);
	kvm_seg_put(&s.ldt, &c->ldtr);
	k->run->cr8 = s.cr8;
	return IOCTL(k, KVM_SET_SREGS, &s, e);
}

static int get_sregs(struct vcpu *v, struct err *e)
{
	struct x86_cpu *c = &v->cpu;
	struct kvm_sregs s;
	int rc = IOCTL((struct kvm_vcpu *)v->engine, KVM_GET_SREGS, &s, e);

	if (rc)
		return rc;
	for (unsigned i = 0; i < X86_SEGS; i++)
		kvm_seg_get(&c->seg[i], seg_field(&s, i));
	kvm_seg_get(&c->tr, &s.tr);
	kvm_seg_get(&c->ldtr, &s.ldt);
	c->gdtr = (struct x86_dtr){ s.gdt.base, s.gdt.limit };
	c->idtr = (struct x86_dtr){ s.idt.base, s.idt.limit };
	c->cr0 = s.cr0;
	c->cr2 = s.cr2;
	c->cr3 = s.cr3;
	c->cr4 = s.cr4;
	c->efer = s.efer;
	c->apic_base = s.apic_base;
	return 0;
}

int kvm_regs_put(struct vcpu *v, struct err *e)
{
	const uint64_t *g = v->cpu.gpr;
	struct kvm_regs r = {
		.rax = g[X86_RAX], .rbx = g[X86_RBX], .rcx = g[X86_RCX], .rdx = g[X86_RDX],
		.rsi = g[X86_RSI], .rdi = g[X86_RDI], .rsp = g[X86_RSP], .rbp = g[X86_RBP],
		.r8 = g[8], .r9 = g[9], .r10 = g[10], .r11 = g[11],
		.r12 = g[12], .r13 = g[13], .r14 = g[14], .r15 = g[15],
		.rip = v->cpu.rip, .rflags = v->cpu.rflags | X86_FL_FIXED,
	};

	return IOCTL((struct kvm_vcpu *)v->engine, KVM_SET_REGS, &r, e);
}

int kvm_regs_get(struct vcpu *v, struct err *e)
{
	struct kvm_regs r;
	int rc = IOCTL((struct kvm_vcpu *)v->engine, KVM_GET_REGS, &r, e);
	const uint64_t g[16] = {
		[X86_RAX] = r.rax, [X86_RCX] = r.rcx, [X86_RDX] = r.rdx, [X86_RBX] = r.rbx,
		[X86_RSP] = r.rsp, [X86_RBP] = r.rbp, [X86_RSI] = r.rsi, [X86_RDI] = r.rdi,
		r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15 };

	if (rc)
		return rc;
	memcpy(v->cpu.gpr, g, sizeof(g));
	v->cpu.rip = r.rip;
	v->cpu.rflags = r.rflags;
	return 0;
}

struct msr_one {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

/* One at a time: the kernel stops at the first that this processor lacks. */
static int put_msr(const struct kvm_vcpu *k, uint32_t index, uint64_t val)
{
	struct msr_one m = { .head.nmsrs = 1, .entry = { .index = index, .data = val } };

	return ioctl(k->fd, KVM_SET_MSRS, &m) == 1 ? 0 : -ENOTSUP;
}

static int get_msr(const struct kvm_vcpu *k, uint32_t index, uint64_t *val)
{
	struct msr_one m = { .head.nmsrs = 1, .entry = { .index = index } };

	if (ioctl(k->fd, KVM_GET_MSRS, &m) != 1)
		return -ENOTSUP;
	*val = m.entry.data;
	return 0;
}

static int put_tsc(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;
	uint64_t offset = (uint64_t)v->cpu.tsc_offset;
	struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset };

	k->tsc_attr = !ioctl(k->fd, KVM_SET_DEVICE_ATTR, &a);
	return k->tsc_attr ? 0 : put_msr(k, MSR_TSC, vcpu_tsc(v));
}

static void get_tsc(struct vcpu *v)
{
	struct kvm_vcpu *k = v->engine;
	uint64_t val;
	struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&val };

	if (k->tsc_attr && !ioctl(k->fd, KVM_GET_DEVICE_ATTR, &a))
		v->cpu.tsc_offset = (int64_t)val;
	else if (!get_msr(k, MSR_TSC, &val))
		v->cpu.tsc_offset = (int64_t)(val - __builtin_ia32_rdtsc());
}

static int put_msrs(struct vcpu *v, struct err *e)
{
	const struct kvm_vcpu *k = v->engine;

	for (unsigned i = 0; i < MSRS; i++) {
		uint64_t val;

		memcpy(&val, (const char *)&v->cpu + msrs[i].at, sizeof(val));
		if (put_msr(k, msrs[i].index, val) && msrs[i].must)
			return err_set(e, -ENOTSUP, "KVM_SET_MSRS: 0x%x is refused",
				       msrs[i].index);
	}
	return put_tsc(v) ? err_set(e, -ENOTSUP, "KVM_SET_MSRS: the TSC is refused") : 0;
}

static void get_msrs(struct vcpu *v)
{
	const struct kvm_vcpu *k = v->engine;
	uint64_t val;

	for (unsigned i = 0; i < MSRS; i++)
		if (!get_msr(k, msrs[i].index, &val))
			memcpy((char *)&v->cpu + msrs[i].at, &val, sizeof(val));
	get_tsc(v);
}

/* XCR0 and the XSAVE area, which KVM also keeps in the standard format. */
static int put_fpu(struct vcpu *v, struct err *e)
{
	struct kvm_vcpu *k = v->engine;
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = v->cpu.xcr0 };
	struct kvm_xsave s = { 0 };

	memcpy(s.region, v->cpu.xsave, sizeof(s.region));
	le64_put((uint8_t *)s.region + XSTATE_BV,
		 (le64_get(v->cpu.xsave + XSTATE_BV) & v->vm->model.xcr0_max) | 3);
	memset((uint8_t *)s.region + XSTATE_BV + 8, 0, 56);
	if ((v->vm->model.xcr0_max & 2) && ioctl(k->fd, KVM_SET_XCRS, &x))
		return err_sys(e, -errno, "KVM_SET_XCRS");
	return IOCTL(k, KVM_SET_XSAVE, &s, e);
}

static int get_fpu(struct vcpu *v, struct err *e)
{
	struct kvm_vcpu *k = v->engine;
	struct kvm_xcrs x = { 0 };
	struct kvm_xsave s = { 0 };
	int rc = IOCTL(k, KVM_GET_XSAVE, &s, e);

	if (rc)
		return rc;
	memcpy(v->cpu.xsave, s.region, sizeof(s.region));
	if ((v->vm->model.xcr0_max & 2) && !ioctl(k->fd, KVM_GET_XCRS, &x))
		for (unsigned i = 0; i < x.nr_xcrs && i < KVM_MAX_XCRS; i++)
			if (x.xcrs[i].xcr == 0)
				v->cpu.xcr0 = x.xcrs[i].value;
	return 0;
}

static int put_debug(struct vcpu *v, struct err *e)
{
	struct kvm_debugregs d = { .dr6 = v->cpu.dr[6], .dr7 = v->cpu.dr[7] };

	memcpy(d.db, v->cpu.dr, sizeof(d.db));
	return IOCTL((struct kvm_vcpu *)v->engine, KVM_SET_DEBUGREGS, &d, e);
}

static int get_debug(struct vcpu *v, struct err *e)
{
	struct kvm_debugregs d;
	int rc = IOCTL((struct kvm_vcpu *)v->engine, KVM_GET_DEBUGREGS, &d, e);

	if (rc)
		return rc;
	memcpy(v->cpu.dr, d.db, sizeof(d.db));
	v->cpu.dr[6] = d.dr6;
	v->cpu.dr[7] = d.dr7;
	return 0;
}

/* The same point of the same guest as when KVM was interrupted in an injection? */
static bool held_fits(const struct kvm_vcpu *k, const struct x86_cpu *c)
{
	return k->have_held && k->held_rip == c->rip &&
		k->held_rsp == c->gpr[X86_RSP] && k->held_cr3 == c->cr3;
}

static int put_events(struct vcpu *v, struct err *e)
{
	struct kvm_vcpu *k = v->engine;
	struct kvm_vcpu_events ev = { 0 };

	if (held_fits(k, &v->cpu))
		ev = k->held;
	ev.interrupt.shadow = v->cpu.inhibit ?
		KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS : 0;
	ev.nmi.masked = v->cpu.nmi_masked;
	ev.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	k->have_held = false;
	return IOCTL(k, KVM_SET_VCPU_EVENTS, &ev, e);
}

static int get_events(struct vcpu *v, struct err *e)
{
	struct kvm_vcpu *k = v->engine;
	struct kvm_vcpu_events ev;
	int rc = IOCTL(k, KVM_GET_VCPU_EVENTS, &ev, e);

	if (rc)
		return rc;
	v->cpu.inhibit = ev.interrupt.shadow;
	v->cpu.nmi_masked = ev.nmi.masked;
	k->held = ev;
	k->held_rip = v->cpu.rip;
	k->held_rsp = v->cpu.gpr[X86_RSP];
	k->held_cr3 = v->cpu.cr3;
	k->have_held = ev.interrupt.injected || ev.exception.injected ||
		ev.exception.pending || ev.nmi.injected || ev.nmi.pending;
	return 0;
}

int kvm_state_put(struct vcpu *v, struct err *e)
{
	int rc = put_sregs(v, e);

	if (!rc)
		rc = kvm_regs_put(v, e);
	if (!rc)
		rc = put_msrs(v, e);
	if (!rc)
		rc = put_fpu(v, e);
	if (!rc)
		rc = put_debug(v, e);
	return rc ? rc : put_events(v, e);
}

int kvm_state_get(struct vcpu *v, struct err *e)
{
	struct x86_cpu *c = &v->cpu;
	int rc = get_sregs(v, e);

	if (!rc)
		rc = kvm_regs_get(v, e);
	if (!rc)
		rc = get_fpu(v, e);
	if (!rc)
		rc = get_debug(v, e);
	if (!rc)
		rc = get_events(v, e);
	if (rc)
		return rc;
	get_msrs(v);
	if (!(c->cr0 & X86_CR0_PE))
		c->cpl = 0;
	else if (c->rflags & X86_FL_VM)
		c->cpl = 3;
	else
		c->cpl = (c->seg[X86_SS].attr & X86_SEG_DPL) >> 5;
	x86_cpu_update_mode(c);
	return 0;
}
