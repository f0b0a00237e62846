/* Register access of a local APIC: xAPIC page and x2APIC MSRs. */
#include "dev/lapic_impl.h"

#define MSR_APIC_BASE		0x1bu
#define MSR_TSC_DEADLINE	0x6e0u
#define MSR_X2APIC		0x800u
#define VERSION			(0x14u | (LVT_COUNT - 1) << 16)

/* Bits of the LVT entries that can be written. */
static const uint32_t lvt_mask[LVT_COUNT] = {
	[LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_ERROR] = 0x100ff,
};

static uint32_t vecset_word(const struct vecset *s, unsigned i)
{
	return s->w[i >> 1] >> (i & 1) * 32;
}

/* Returns false: there is no such readable register in either mode. */
static bool reg_read(struct lapic *l, unsigned reg, uint32_t *val)
{
	switch (reg) {
	case REG_ID:
		*val = lapic_is_x2(l) ? l->id : l->id << 24;
		return true;
	case REG_VERSION:
		*val = VERSION;
		return true;
	case REG_TPR:
		*val = l->tpr;
		return true;
	case REG_PPR:
		*val = lapic_ppr(l);
		return true;
	case REG_LDR:
		*val = l->ldr;
		return true;
	case REG_SVR:
		*val = l->svr;
		return true;
	case REG_ISR ... REG_ISR + 7:
		*val = vecset_word(&l->isr, reg - REG_ISR);
		return true;
	case REG_TMR ... REG_TMR + 7:
		*val = vecset_word(&l->tmr, reg - REG_TMR);
		return true;
	case REG_IRR ... REG_IRR + 7:
		*val = vecset_word(&l->irr, reg - REG_IRR);
		return true;
	case REG_ESR:
		*val = l->esr;
		return true;
	case REG_ICR:
		*val = l->icr;
		return true;
	case REG_LVT ... REG_LVT + LVT_COUNT - 1:
		*val = l->lvt[reg - REG_LVT];
		return true;
	case REG_INIT_COUNT:
		*val = l->init_count;
		return true;
	case REG_CUR_COUNT:
		*val = lapic_timer_current(l, vm_now_ns(l->ls->vm));
		return true;
	case REG_DIVIDE:
		*val = l->divide;
		return true;
	default:
		return false;
	}
}

static void svr_write(struct lapic *l, uint32_t val)
{
	l->svr = val & 0x3ff;
	if (!(val & SVR_ENABLE)) {
		for (unsigned i = 0; i < LVT_COUNT; i++)
			l->lvt[i] |= LVT_MASKED;
		lapic_timer_arm(l, vm_now_ns(l->ls->vm));
	}
	lapic_update(l);
}

static void lvt_write(struct lapic *l, enum lapic_lvt n, uint32_t val)
{
	val &= lvt_mask[n];
	if (!(l->svr & SVR_ENABLE))
		val |= LVT_MASKED;
	if (n == LVT_TIMER) {
		lapic_timer_lvt(l, val);
		return;
	}
	l->lvt[n] = val;
	if (n == LVT_LINT0)
		lapic_update(l);	/* the 8259 may have been waiting */
}

static bool reg_write(struct lapic *l, unsigned reg, uint32_t val)
{
	switch (reg) {
	case REG_TPR:
		l->tpr = val & 0xff;
		lapic_update(l);
		return true;
	case REG_EOI:
		lapic_eoi(l);
		return true;
	case REG_SVR:
		svr_write(l, val);
		return true;
	case REG_ESR:
		l->esr = l->esr_next;
		l->esr_next = 0;
		return true;
	case REG_ICR:
		l->icr = (l->icr & ~0xffffffffull) | (val & 0xccfff);
		lapic_ipi(l);
		return true;
	case REG_LVT ... REG_LVT + LVT_COUNT - 1:
		lvt_write(l, reg - REG_LVT, val);
		return true;
	case REG_INIT_COUNT:
		lapic_timer_count(l, val);
		return true;
	case REG_DIVIDE:
		lapic_timer_divide(l, val & 0xb);
		return true;
	default:
		return false;
	}
}

/* The LAPIC of the vCPU whose thread this is. */
static struct lapic *lapic_current(struct lapics *ls)
{
	pthread_t self = pthread_self();

	for (unsigned i = 1; i < ls->n; i++)
		if (pthread_equal(ls->l[i].v->thread, self))
			return &ls->l[i];
	return &ls->l[0];
}

/* Is the page there?  It is neither when disabled nor in x2APIC mode. */
static bool page_on(const struct lapic *l)
{
	return (l->base & (BASE_ENABLE | BASE_X2)) == BASE_ENABLE;
}

/* Registers are 32 bits wide at multiples of 16; what else an access touches
 * is reserved and reads as 0. */
uint64_t lapic_mmio_read(void *ptr, uint64_t off, unsigned size)
{
	struct lapic *l = lapic_current(ptr);
	unsigned reg = off >> 4;
	uint32_t val = 0;

	if (!page_on(l))
		return ~0ull;
	if ((off & 15) > 3)
		return 0;
	if (reg == REG_DFR)
		val = l->dfr;
	else if (reg == REG_ICR2)
		val = l->icr >> 32;
	else if (reg != REG_APR && reg != REG_EOI && !reg_read(l, reg, &val))
		lapic_error(l, ESR_REGISTER);
	return val >> (off & 3) * 8;
}

void lapic_mmio_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct lapic *l = lapic_current(ptr);
	unsigned reg = off >> 4;

	if (!page_on(l) || off & 15 || size < 4)
		return;
	switch (reg) {
	case REG_DFR:
		l->dfr = val | 0x0fffffff;
		break;
	case REG_LDR:
		l->ldr = val & 0xff000000;
		break;
	case REG_ICR2:
		l->icr = (uint32_t)l->icr | (val & 0xff000000) << 32;
		break;
	case REG_ID:	/* read-only, as since Nehalem */
	case REG_VERSION:
		break;
	default:
		if (!reg_write(l, reg, val))
			lapic_error(l, ESR_REGISTER);
	}
}

static bool x2_read(struct lapic *l, unsigned reg, uint64_t *val)
{
	uint32_t v;

	if (reg == REG_ICR) {
		*val = l->icr;
		return true;
	}
	if (!reg_read(l, reg, &v))
		return false;
	*val = v;
	return true;
}

/* Reserved bits that are set make a #GP.  SDM vol. 3A, table 10-6. */
static bool x2_write(struct lapic *l, unsigned reg, uint64_t val)
{
	if (reg == REG_ICR) {
		if (val & 0xfff33000)
			return false;
		l->icr = val;
		lapic_ipi(l);
		return true;
	}
	if (val >> 32)
		return false;
	switch (reg) {
	case REG_SELF_IPI:
		if (val > 0xff)
			return false;
		if (val < 16)
			lapic_error(l, ESR_SEND_VECTOR);
		else
			lapic_fixed(l, val, false);
		return true;
	case REG_TPR:
		if (val > 0xff)
			return false;
		break;
	case REG_SVR:
		if (val & ~0x3ffull)
			return false;
		break;
	case REG_EOI:
	case REG_ESR:
		if (val)
			return false;
		break;
	case REG_DIVIDE:
		if (val & ~0xbull)
			return false;
		break;
	case REG_LVT ... REG_LVT + LVT_COUNT - 1:
		/* Delivery status and remote IRR are read-only. */
		if (val & ~(lvt_mask[reg - REG_LVT] | 0x5000ull))
			return false;
		break;
	}
	return reg_write(l, reg, val);
}

/* SDM vol. 3A, 10.12.5: no way from x2APIC to xAPIC but through disabled, nor
 * from disabled to x2APIC. */
static bool base_write(struct lapic *l, uint64_t val)
{
	uint64_t old = l->base & (BASE_ENABLE | BASE_X2);
	uint64_t new = val & (BASE_ENABLE | BASE_X2);

	if ((val & ~(uint64_t)(BASE_BSP | BASE_ENABLE | BASE_X2)) != LAPIC_BASE)
		return false;	/* reserved bits, or moved: not done here */
	if (new & BASE_X2 && (!l->ls->vm->model.x2apic || !(new & BASE_ENABLE) || !old))
		return false;
	if (old & BASE_X2 && new == BASE_ENABLE)
		return false;
	l->base = LAPIC_BASE | new | (l->base & BASE_BSP);
	l->v->cpu.apic_base = l->base;
	if (!new || (!old && new))
		lapic_init(l);
	else if (new & BASE_X2)
		l->ldr = (l->id >> 4) << 16 | 1u << (l->id & 15);
	lapic_update(l);
	return true;
}

uint64_t lapic_rdmsr(void *ptr, uint32_t msr, bool *ok)
{
	struct lapic *l = ptr;
	uint64_t val = 0;

	pthread_mutex_lock(&l->ls->vm->lock);
	*ok = true;
	if (msr == MSR_APIC_BASE)
		val = l->base;
	else if (msr == MSR_TSC_DEADLINE)
		val = l->tsc_deadline;
	else
		*ok = lapic_is_x2(l) && msr - MSR_X2APIC < LAPIC_REGS &&
		      x2_read(l, msr - MSR_X2APIC, &val);
	pthread_mutex_unlock(&l->ls->vm->lock);
	return val;
}

void lapic_wrmsr(void *ptr, uint32_t msr, uint64_t val, bool *ok)
{
	struct lapic *l = ptr;

	pthread_mutex_lock(&l->ls->vm->lock);
	*ok = true;
	if (msr == MSR_APIC_BASE)
		*ok = base_write(l, val);
	else if (msr == MSR_TSC_DEADLINE)
		lapic_timer_deadline(l, val);
	else
		*ok = lapic_is_x2(l) && msr - MSR_X2APIC < LAPIC_REGS &&
		      x2_write(l, msr - MSR_X2APIC, val);
	pthread_mutex_unlock(&l->ls->vm->lock);
}
