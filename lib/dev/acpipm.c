#include "dev/acpipm.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

/* PM1 status and enable bits */
enum { TMR_STS = 1, BM_STS = 0x10, GBL_STS = 0x20, PWRBTN_STS = 0x100,
	RTC_STS = 0x400, PM1_STS_ALL = TMR_STS | BM_STS | GBL_STS | PWRBTN_STS |
	RTC_STS | 0x8000, PM1_EN_ALL = TMR_STS | GBL_STS | PWRBTN_STS | RTC_STS };
/* PM1 control bits */
enum { SCI_EN = 1, BM_RLD = 2, SLP_TYP_SHIFT = 10, SLP_TYP = 7 << SLP_TYP_SHIFT,
	SLP_EN = 0x2000 };

#define TMR_BITS 24
#define TMR_MASK ((1u << TMR_BITS) - 1)

struct acpipm {
	struct vm *vm;
	uint16_t base;
	uint16_t sts, en, cnt, gpe_sts, gpe_en;
	uint64_t epoch_ns;	/* when the timer was zero */
	struct timer carry;	/* the top bit of the timer changes */
};

static uint64_t ticks_at(const struct acpipm *a, uint64_t now_ns)
{
	return (uint64_t)((unsigned __int128)(now_ns - a->epoch_ns) * ACPIPM_TIMER_HZ /
			  NS_PER_SEC);
}

static void sci_update(struct acpipm *a)
{
	irq_set(&a->vm->irq, ACPIPM_SCI, (a->sts & a->en) || (a->gpe_sts & a->gpe_en));
}

/* A host timer for TMR_STS only while its interrupt is wanted. */
static void carry_arm(struct acpipm *a)
{
	uint64_t half = 1ull << (TMR_BITS - 1), next;

	if (!(a->en & TMR_STS)) {
		timer_stop(&a->vm->timers, &a->carry);
		return;
	}
	next = (ticks_at(a, vm_now_ns(a->vm)) / half + 1) * half;
	timer_set(&a->vm->timers, &a->carry, a->epoch_ns + 1 +
		  (uint64_t)((unsigned __int128)next * NS_PER_SEC / ACPIPM_TIMER_HZ));
}

static void carry_fire(void *ptr, uint64_t now_ns)
{
	struct acpipm *a = ptr;

	a->sts |= TMR_STS;
	carry_arm(a);
	sci_update(a);
}

/* SLP_EN: soft off is the one sleep state there is. */
static void cnt_write(struct acpipm *a, uint16_t val)
{
	a->cnt = (val & (BM_RLD | SLP_TYP)) | SCI_EN;
	if ((val & SLP_EN) && (val & SLP_TYP) >> SLP_TYP_SHIFT == ACPIPM_SLP_S5) {
		atomic_store(&a->vm->want_poweroff, true);
		vm_stop(a->vm);
	}
}

static uint16_t *reg16(struct acpipm *a, unsigned off)
{
	switch (off) {
	case ACPIPM_PM1_STS: return &a->sts;
	case ACPIPM_PM1_EN: return &a->en;
	case ACPIPM_PM1_CNT: return &a->cnt;
	case ACPIPM_GPE0_STS: return &a->gpe_sts;
	case ACPIPM_GPE0_EN: return &a->gpe_en;
	default: return NULL;
	}
}

static void reg16_write(struct acpipm *a, unsigned off, uint16_t val, uint16_t mask)
{
	uint16_t *r = reg16(a, off);

	if (!r)
		return;
	switch (off) {
	case ACPIPM_PM1_STS:
	case ACPIPM_GPE0_STS:
		*r &= ~(val & mask);
		break;
	case ACPIPM_PM1_CNT:
		cnt_write(a, (*r & ~mask) | (val & mask));
		break;
	case ACPIPM_PM1_EN:
		*r = ((*r & ~mask) | (val & mask)) & PM1_EN_ALL;
		carry_arm(a);
		break;
	default:
		*r = (*r & ~mask) | (val & mask);
	}
	sci_update(a);
}

static uint8_t read_byte(struct acpipm *a, unsigned off, uint32_t tmr)
{
	const uint16_t *r = reg16(a, off & ~1u);

	if (off >= ACPIPM_TMR && off < ACPIPM_TMR + 4)
		return (uint8_t)(tmr >> 8 * (off - ACPIPM_TMR));
	return r ? (uint8_t)(*r >> 8 * (off & 1)) : 0;
}

static uint64_t acpipm_read(void *ptr, uint64_t off, unsigned size)
{
	struct acpipm *a = ptr;
	uint32_t tmr = ticks_at(a, vm_now_ns(a->vm)) & TMR_MASK;
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)read_byte(a, (unsigned)off + i, tmr) << (8 * i);
	return v;
}

static void acpipm_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct acpipm *a = ptr;

	if (size == 1) {
		unsigned shift = 8 * (off & 1);

		reg16_write(a, (unsigned)off & ~1u, (uint16_t)(val << shift),
			    (uint16_t)(0xff << shift));
		return;
	}
	for (unsigned i = 0; i < size; i += 2)
		reg16_write(a, (unsigned)off + i, (uint16_t)(val >> (8 * i)), 0xffff);
}

void acpipm_power_button(struct acpipm *a)
{
	a->sts |= PWRBTN_STS;
	sci_update(a);
}

void acpipm_rtc(void *acpipm)
{
	struct acpipm *a = acpipm;

	a->sts |= RTC_STS;
	sci_update(a);
}

void acpipm_reset(struct acpipm *a)
{
	a->sts = a->en = a->gpe_sts = a->gpe_en = 0;
	a->cnt = SCI_EN;
	a->epoch_ns = vm_now_ns(a->vm);
	timer_stop(&a->vm->timers, &a->carry);
	sci_update(a);
}

static int place(struct acpipm *a, uint16_t base, struct err *e)
{
	struct bus_range r = { .base = base, .len = ACPIPM_LEN, .read = acpipm_read,
			       .write = acpipm_write, .ptr = a, .name = "acpipm" };
	int rc = bus_add_pio(&a->vm->bus, r, e);

	a->base = rc ? 0 : base;
	return rc;
}

void acpipm_move(void *acpipm, uint16_t base)
{
	struct acpipm *a = acpipm;
	struct err taken;

	if (a->base == base)
		return;
	if (a->base)
		bus_del_pio(&a->vm->bus, a->base);
	a->base = 0;
	if (base)
		place(a, base, &taken);	/* where others are there is none */
}

struct acpipm *acpipm_new(struct vm *vm, uint16_t base, struct err *e)
{
	struct acpipm *a = calloc(1, sizeof(*a));

	if (!a) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	a->vm = vm;
	if (place(a, base, e)) {
		free(a);
		return NULL;
	}
	timer_add(&vm->timers, &a->carry, carry_fire, a);
	acpipm_reset(a);
	return a;
}

void acpipm_free(struct acpipm *a)
{
	if (!a)
		return;
	if (a->base)
		bus_del_pio(&a->vm->bus, a->base);
	free(a);
}
