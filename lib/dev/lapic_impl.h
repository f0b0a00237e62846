#ifndef DEV_LAPIC_IMPL_H
#define DEV_LAPIC_IMPL_H
/* What lapic.c, lapic_regs.c and lapic_timer.c share. */

#include "dev/lapic.h"

/* Register numbers: offset in the page >> 4, MSR number - 0x800. */
enum lapic_reg {
	REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_APR = 0x09,
	REG_PPR = 0x0a, REG_EOI = 0x0b, REG_LDR = 0x0d, REG_DFR = 0x0e,
	REG_SVR = 0x0f, REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20,
	REG_ESR = 0x28, REG_ICR = 0x30, REG_ICR2 = 0x31, REG_LVT = 0x32,
	REG_INIT_COUNT = 0x38, REG_CUR_COUNT = 0x39, REG_DIVIDE = 0x3e,
	REG_SELF_IPI = 0x3f, LAPIC_REGS = 0x40,
};

/* Local vector table, in the order of its registers. */
enum lapic_lvt {
	LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR,
	LVT_COUNT
};

#define LVT_MASKED	0x10000u
#define SVR_ENABLE	0x100u
#define BASE_BSP	0x100u
#define BASE_X2		0x400u
#define BASE_ENABLE	0x800u
#define ESR_SEND_VECTOR	0x20u
#define ESR_RECV_VECTOR	0x40u
#define ESR_REGISTER	0x80u

/* A set of vectors. */
struct vecset {
	uint64_t w[4];
};

static inline bool vecset_has(const struct vecset *s, uint8_t v)
{
	return s->w[v >> 6] >> (v & 63) & 1;
}

static inline void vecset_add(struct vecset *s, uint8_t v)
{
	s->w[v >> 6] |= 1ull << (v & 63);
}

static inline void vecset_del(struct vecset *s, uint8_t v)
{
	s->w[v >> 6] &= ~(1ull << (v & 63));
}

/* The highest vector, or -1. */
static inline int vecset_top(const struct vecset *s)
{
	for (int i = 3; i >= 0; i--)
		if (s->w[i])
			return i * 64 + 63 - __builtin_clzll(s->w[i]);
	return -1;
}

struct lapic {
	struct lapics *ls;
	struct vcpu *v;
	uint64_t base;		/* IA32_APIC_BASE */
	uint32_t id;
	uint32_t tpr, ldr, dfr, svr, esr, esr_next;
	uint64_t icr;
	uint32_t lvt[LVT_COUNT];
	struct vecset irr, isr, tmr;
	struct timer timer;
	uint32_t init_count, divide;
	uint64_t start_ns;	/* when init_count was written */
	uint64_t due_ns;
	uint64_t tsc_deadline;	/* 0: none */
};

struct lapics {
	struct vm *vm;
	struct pic *pic;
	void (*eoi)(void *ptr, uint8_t vector);
	void *eoi_ptr;
	unsigned next_lowest;	/* where the search for the lowest priority begins */
	/* The TSC's period as it is: 2^-32 ns.  0: not measured yet. */
	uint64_t tsc_period;
	uint64_t ref_tsc, ref_ns;	/* when it was measured last */
	unsigned n;
	struct lapic l[VM_CPUS_MAX];
};

static inline bool lapic_is_x2(const struct lapic *l)
{
	return l->base & BASE_X2;
}

/* lapic.c */
uint8_t lapic_ppr(const struct lapic *l);
void lapic_update(struct lapic *l);		/* tell the vCPU if need be */
void lapic_fixed(struct lapic *l, uint8_t vector, bool level);
void lapic_local(struct lapic *l, enum lapic_lvt n);	/* a local source fires */
void lapic_error(struct lapic *l, uint32_t esr_bit);
void lapic_eoi(struct lapic *l);
void lapic_ipi(struct lapic *l);		/* send what the ICR says */
void lapic_init(struct lapic *l);		/* power-on and INIT state */

/* lapic_regs.c */
uint64_t lapic_mmio_read(void *ptr, uint64_t off, unsigned size);
void lapic_mmio_write(void *ptr, uint64_t off, uint64_t val, unsigned size);
uint64_t lapic_rdmsr(void *ptr, uint32_t msr, bool *ok);
void lapic_wrmsr(void *ptr, uint32_t msr, uint64_t val, bool *ok);

/* lapic_timer.c */
void lapic_timer_fire(void *ptr, uint64_t now);
void lapic_timer_arm(struct lapic *l, uint64_t now);	/* after any change */
void lapic_timer_count(struct lapic *l, uint32_t count);
void lapic_timer_divide(struct lapic *l, uint32_t divide);
void lapic_timer_lvt(struct lapic *l, uint32_t lvt);
void lapic_timer_deadline(struct lapic *l, uint64_t tsc);
uint32_t lapic_timer_current(const struct lapic *l, uint64_t now);
#endif
