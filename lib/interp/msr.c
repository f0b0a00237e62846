/* Model-specific registers.  SDM vol. 4; AMD APM vol. 2 appendix A.  What is not
 * here raises #GP, as on a processor that lacks it. */

#include "interp/system.h"

enum {
	MSR_TSC = 0x10, MSR_PLATFORM_ID = 0x17, MSR_APIC_BASE = 0x1b,
	MSR_TSC_ADJUST = 0x3b, MSR_PATCH_LEVEL = 0x8b, MSR_P6_PMC0 = 0xc1,
	MSR_P6_PMC1 = 0xc2, MSR_MTRR_CAP = 0xfe, MSR_ARCH_CAPS = 0x10a, MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176, MSR_MCG_CAP = 0x179,
	MSR_MCG_STATUS = 0x17a, MSR_P6_SEL0 = 0x186, MSR_P6_SEL1 = 0x187,
	MSR_MISC_ENABLE = 0x1a0, MSR_DEBUGCTL = 0x1d9, MSR_MTRR_VAR = 0x200,
	MSR_MTRR_VAR_END = 0x20f, MSR_MTRR_FIX_64K = 0x250,
	MSR_MTRR_FIX_16K = 0x258, MSR_MTRR_FIX_16K_END = 0x259,
	MSR_MTRR_FIX_4K = 0x268, MSR_MTRR_FIX_4K_END = 0x26f, MSR_PAT = 0x277,
	MSR_MTRR_DEF = 0x2ff, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800,
	MSR_X2APIC_END = 0x8ff, MSR_XSS = 0xda0,
};

enum {
	MSR_EFER = 0xc0000080, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
	MSR_FS_BASE = 0xc0000100, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_TSC_AUX,
	MSR_K7_EVNTSEL0 = 0xc0010000, MSR_K7_PERFCTR3 = 0xc0010007,
	MSR_K8_SYSCFG = 0xc0010010, MSR_K7_HWCR = 0xc0010015,
	MSR_K8_TOP_MEM = 0xc001001a, MSR_K8_TOP_MEM2 = 0xc001001d,
	MSR_AMD64_NB_CFG = 0xc001001f, MSR_K8_INT_PENDING = 0xc0010055,
	MSR_AMD64_DE_CFG = 0xc0011029,
};

static bool has_long_msrs(const struct vcpu *v)
{
	return x86_model_has(&v->vm->model, X86_F_LM);
}

/* PAT and fixed MTRRs: a memory type in each byte. */
static bool types_valid(uint64_t val, unsigned uc_minus)
{
	for (unsigned i = 0; i < 8; i++, val >>= 8) {
		unsigned t = val & 0xff;

		if (t > uc_minus || t == 2 || t == 3)
			return false;
	}
	return true;
}

/* Where a fixed-range MTRR is kept, or -1. */
static int mtrr_fix_index(uint32_t msr)
{
	if (msr == MSR_MTRR_FIX_64K)
		return 0;
	if (msr >= MSR_MTRR_FIX_16K && msr <= MSR_MTRR_FIX_16K_END)
		return 1 + (int)(msr - MSR_MTRR_FIX_16K);
	if (msr >= MSR_MTRR_FIX_4K && msr <= MSR_MTRR_FIX_4K_END)
		return 3 + (int)(msr - MSR_MTRR_FIX_4K);
	return -1;
}

static bool is_mtrr_var(uint32_t msr)
{
	return msr >= MSR_MTRR_VAR && msr <= MSR_MTRR_VAR_END;
}

static bool is_apic(uint32_t msr)
{
	return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE ||
		(msr >= MSR_X2APIC && msr <= MSR_X2APIC_END);
}

/* Counters that count nothing and configuration that changes nothing: kernels
 * for these processors touch them without asking first. */
static bool is_zero(uint32_t msr)
{
	switch (msr) {
	case MSR_PLATFORM_ID:
	case MSR_P6_PMC0: case MSR_P6_PMC1: case MSR_P6_SEL0: case MSR_P6_SEL1:
	case MSR_MCG_CAP: case MSR_DEBUGCTL:
	case MSR_K8_SYSCFG: case MSR_K8_TOP_MEM: case MSR_K8_TOP_MEM2:
	case MSR_AMD64_NB_CFG: case MSR_K8_INT_PENDING:
		return true;
	}
	return msr >= MSR_K7_EVNTSEL0 && msr <= MSR_K7_PERFCTR3;
}

/* MSRs of the other vendor's processors raise #GP. */
static bool is_foreign(const struct vcpu *v, uint32_t msr)
{
	if (msr >> 16 == 0xc001)
		return !v->vm->model.amd;
	switch (msr) {
	case MSR_PLATFORM_ID: case MSR_MISC_ENABLE:
	case MSR_P6_PMC0: case MSR_P6_PMC1: case MSR_P6_SEL0: case MSR_P6_SEL1:
		return v->vm->model.amd;
	}
	return false;
}

static int apic_msr_read(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	bool ok = false;

	if (v->apic_rdmsr)
		*val = v->apic_rdmsr(v->lapic, msr, &ok);
	return ok ? X86_OK : raise_gp(&v->cpu);
}

static int apic_msr_write(struct vcpu *v, uint32_t msr, uint64_t val)
{
	bool ok = false;

	if (v->apic_wrmsr)
		v->apic_wrmsr(v->lapic, msr, val, &ok);
	return ok ? X86_OK : raise_gp(&v->cpu);
}

/* --- RDMSR ----------------------------------------------------------------- */

/* The MSRs of AMD64.  false: not one of them. */
static bool long_msr_read(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	struct x86_cpu *c = &v->cpu;

	switch (msr) {
	case MSR_STAR: *val = c->star; return true;
	case MSR_LSTAR: *val = c->lstar; return true;
	case MSR_CSTAR: *val = c->cstar; return true;
	case MSR_SFMASK: *val = c->sfmask; return true;
	case MSR_FS_BASE: *val = c->seg[X86_FS].base; return true;
	case MSR_GS_BASE: *val = c->seg[X86_GS].base; return true;
	case MSR_KERNEL_GS_BASE: *val = c->kernel_gs_base; return true;
	}
	return false;
}

int msr_read(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	struct x86_cpu *c = &v->cpu;
	int fix = mtrr_fix_index(msr);

	if (is_foreign(v, msr))
		return raise_gp(c);
	if (is_apic(msr))
		return apic_msr_read(v, msr, val);
	if (has_long_msrs(v) && long_msr_read(v, msr, val))
		return X86_OK;
	*val = 0;
	if (fix >= 0) {
		*val = c->mtrr_fix[fix];
		return X86_OK;
	}
	if (is_mtrr_var(msr)) {
		*val = c->mtrr_var[msr - MSR_MTRR_VAR];
		return X86_OK;
	}
	if (is_zero(msr))
		return X86_OK;
	switch (msr) {
	case MSR_TSC: *val = vcpu_tsc(v); break;
	case MSR_PATCH_LEVEL: *val = 0x01000000; break;
	case MSR_MTRR_CAP: *val = 8 | 1 << 8 | 1 << 10; break;
	case MSR_SYSENTER_CS: *val = c->sysenter_cs; break;
	case MSR_SYSENTER_ESP: *val = c->sysenter_esp; break;
	case MSR_SYSENTER_EIP: *val = c->sysenter_eip; break;
	case MSR_MCG_STATUS: *val = c->mcg_status; break;
	case MSR_MISC_ENABLE: *val = c->misc_enable; break;
	case MSR_PAT: *val = c->pat; break;
	case MSR_MTRR_DEF: *val = c->mtrr_def; break;
	case MSR_EFER: *val = c->efer; break;
	case MSR_K7_HWCR: *val = 1 << 24; break;	/* the TSC counts at P0 speed */
	case MSR_AMD64_DE_CFG: *val = 2; break;		/* LFENCE serializes */
	case MSR_TSC_AUX:
		if (!x86_model_has(&v->vm->model, X86_F_RDTSCP))
			return raise_gp(c);
		*val = c->tsc_aux;
		break;
	case MSR_ARCH_CAPS:
		if (!x86_model_arch_caps(&v->vm->model))
			return raise_gp(c);
		*val = v->vm->model.arch_caps;
		break;
	case MSR_XSS:
		if (!x86_model_has(&v->vm->model, X86_F_XSAVES))
			return raise_gp(c);
		*val = c->xss;
		break;
	default:
		return raise_gp(c);
	}
	return X86_OK;
}

/* --- WRMSR ----------------------------------------------------------------- */

static int efer_write(struct vcpu *v, uint64_t val)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t valid = X86_EFER_NXE, changed;

	if (has_long_msrs(v))
		valid |= X86_EFER_LME | X86_EFER_LMA;
	if (x86_model_has(&v->vm->model, X86_F_SYSCALL))
		valid |= X86_EFER_SCE;
	val = (val & ~(uint64_t)X86_EFER_LMA) | (c->efer & X86_EFER_LMA);
	changed = val ^ c->efer;
	if ((val & ~valid) || ((changed & X86_EFER_LME) && x86_paging(c)))
		return raise_gp(c);
	c->efer = val;
	if (changed & X86_EFER_NXE)
		sys_flush(v, VCPU_FLUSH_ALL, 0);
	return X86_OK;
}

/* The MSRs of AMD64.  false: not one of them; else *rc. */
static bool long_msr_write(struct vcpu *v, uint32_t msr, uint64_t val, int *rc)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t *to;

	switch (msr) {
	case MSR_STAR: c->star = val; return true;
	case MSR_SFMASK: c->sfmask = (uint32_t)val; return true;
	case MSR_LSTAR: to = &c->lstar; break;
	case MSR_CSTAR: to = &c->cstar; break;
	case MSR_FS_BASE: to = &c->seg[X86_FS].base; break;
	case MSR_GS_BASE: to = &c->seg[X86_GS].base; break;
	case MSR_KERNEL_GS_BASE: to = &c->kernel_gs_base; break;
	default: return false;
	}
	if (canonical(val))
		*to = val;
	else
		*rc = raise_gp(c);
	return true;
}

static int mtrr_var_write(struct vcpu *v, uint32_t msr, uint64_t val)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t valid = ((1ull << X86_PHYS_BITS) - 0x1000) |
		(msr & 1 ? 0x800 : 0xff);
	unsigned type = val & 0xff;

	if ((val & ~valid) ||
	    (!(msr & 1) && (type > 6 || type == 2 || type == 3)))
		return raise_gp(c);
	c->mtrr_var[msr - MSR_MTRR_VAR] = val;
	return X86_OK;
}

static int tsc_write(struct vcpu *v, uint64_t val)
{
	v->cpu.tsc_offset = (int64_t)(val - __builtin_ia32_rdtsc());
	return X86_OK;
}

/* A register that refuses some values. */
static int checked(struct vcpu *v, uint64_t *to, uint64_t val, bool valid)
{
	if (!valid)
		return raise_gp(&v->cpu);
	*to = val;
	return X86_OK;
}

int msr_write(struct vcpu *v, uint32_t msr, uint64_t val)
{
	struct x86_cpu *c = &v->cpu;
	int rc = X86_OK, fix = mtrr_fix_index(msr);
	bool wide = has_long_msrs(v);
	unsigned type;

	if (is_foreign(v, msr))
		return raise_gp(c);
	if (is_apic(msr))
		return apic_msr_write(v, msr, val);
	if (wide && long_msr_write(v, msr, val, &rc))
		return rc;
	if (fix >= 0)
		return checked(v, &c->mtrr_fix[fix], val, types_valid(val, 6));
	if (is_mtrr_var(msr))
		return mtrr_var_write(v, msr, val);
	if (msr == MSR_MCG_CAP || msr == MSR_PLATFORM_ID)
		return raise_gp(c);
	if (is_zero(msr))
		return X86_OK;
	switch (msr) {
	case MSR_TSC: return tsc_write(v, val);
	case MSR_PATCH_LEVEL:
	case MSR_K7_HWCR:
	case MSR_AMD64_DE_CFG:
		return X86_OK;
	case MSR_SYSENTER_CS: c->sysenter_cs = (uint32_t)val; return X86_OK;
	case MSR_SYSENTER_ESP:
		return checked(v, &c->sysenter_esp, wide ? val : (uint32_t)val,
			       !wide || canonical(val));
	case MSR_SYSENTER_EIP:
		return checked(v, &c->sysenter_eip, wide ? val : (uint32_t)val,
			       !wide || canonical(val));
	case MSR_MCG_STATUS: return checked(v, &c->mcg_status, val, val == 0);
	case MSR_MISC_ENABLE: c->misc_enable = val; return X86_OK;
	case MSR_PAT: return checked(v, &c->pat, val, types_valid(val, 7));
	case MSR_MTRR_DEF:
		type = val & 0xff;
		return checked(v, &c->mtrr_def, val, !(val & ~0xcffull) &&
			       type <= 6 && type != 2 && type != 3);
	case MSR_EFER: return efer_write(v, val);
	case MSR_TSC_AUX:
		return checked(v, &c->tsc_aux, val, !(val >> 32) &&
			       x86_model_has(&v->vm->model, X86_F_RDTSCP));
	case MSR_XSS:
		return checked(v, &c->xss, val, !val &&
			       x86_model_has(&v->vm->model, X86_F_XSAVES));
	}
	return raise_gp(c);
}

/* --- the instructions --------------------------------------------------------- */

static void put_edx_eax(struct x86_cpu *c, uint64_t val)
{
	c->gpr[X86_RAX] = (uint32_t)val;
	c->gpr[X86_RDX] = val >> 32;
}

static uint64_t get_edx_eax(const struct x86_cpu *c)
{
	return c->gpr[X86_RDX] << 32 | (uint32_t)c->gpr[X86_RAX];
}

int op_rdmsr(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t val;

	if (c->cpl)
		return raise_gp(c);
	if (msr_read(v, (uint32_t)c->gpr[X86_RCX], &val) != X86_OK)
		return X86_FAULT;
	put_edx_eax(c, val);
	return X86_OK;
}

int op_wrmsr(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	interp_serialize();
	if (c->cpl)
		return raise_gp(c);
	return msr_write(v, (uint32_t)c->gpr[X86_RCX], get_edx_eax(c));
}

static bool tsc_forbidden(const struct x86_cpu *c)
{
	return c->cpl && (c->cr4 & X86_CR4_TSD);
}

int op_rdtsc(struct vcpu *v, const struct x86_insn *in)
{
	if (tsc_forbidden(&v->cpu))
		return raise_gp(&v->cpu);
	put_edx_eax(&v->cpu, vcpu_tsc(v));
	return X86_OK;
}

int op_rdtscp(struct vcpu *v, const struct x86_insn *in)
{
	if (tsc_forbidden(&v->cpu))
		return raise_gp(&v->cpu);
	put_edx_eax(&v->cpu, vcpu_tsc(v));
	v->cpu.gpr[X86_RCX] = (uint32_t)v->cpu.tsc_aux;
	return X86_OK;
}

int op_rdpid(struct vcpu *v, const struct x86_insn *in)
{
	return interp_put(v, in, 0, v->cpu.tsc_aux);
}

/* Four counters that stand still, as their MSRs say. */
int op_rdpmc(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	if ((c->cpl && !(c->cr4 & X86_CR4_PCE)) || (uint32_t)c->gpr[X86_RCX] > 3)
		return raise_gp(c);
	put_edx_eax(c, 0);
	return X86_OK;
}

int op_xgetbv(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint32_t index = (uint32_t)c->gpr[X86_RCX];

	if (!(c->cr4 & X86_CR4_OSXSAVE))
		return raise_ud(c);
	if (index > 1 || (index && !x86_model_has(&v->vm->model, X86_F_XGETBV1)))
		return raise_gp(c);
	/* 1: what is in use; the legacy parts count as used always */
	put_edx_eax(c, index ? c->xcr0 & (3 | c->xsave[512]) : c->xcr0);
	return X86_OK;
}

int op_xsetbv(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t val = get_edx_eax(c);

	if (!(c->cr4 & X86_CR4_OSXSAVE))
		return raise_ud(c);
	if (c->cpl || (uint32_t)c->gpr[X86_RCX] || !(val & 1) ||
	    (val & ~v->vm->model.xcr0_max) || (val & 6) == 4)
		return raise_gp(c);
	c->xcr0 = val;
	return X86_OK;
}
