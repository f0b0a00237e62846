/* The main counter is an offset to the host's clock; a comparator is a timer
 * on that clock. */
#include "dev/hpet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dev/tick.h"

#define TIMERS		3
#define FS_PER_NS	1000000u
/* IOAPIC pins that a comparator may be routed to; 0 and 8 by legacy routing. */
#define ROUTE_PINS	0x00f00000u

enum hpet_reg {
	REG_CAP = 0x000, REG_CONFIG = 0x010, REG_STATUS = 0x020,
	REG_COUNTER = 0x0f0, REG_TIMER = 0x100, REG_END = REG_TIMER + TIMERS * 0x20,
};
/* In a timer's block of 0x20 bytes. */
enum hpet_timer_reg { TIMER_CONFIG = 0x00, TIMER_COMPARATOR = 0x08, TIMER_FSB = 0x10 };

#define CONFIG_ENABLE	1u
#define CONFIG_LEGACY	2u

#define T_LEVEL		0x0002u
#define T_ENABLE	0x0004u
#define T_PERIODIC	0x0008u
#define T_PERIODIC_CAP	0x0010u
#define T_SIZE_CAP	0x0020u
#define T_SET_VALUE	0x0040u
#define T_32BIT		0x0100u
#define T_ROUTE		0x3e00u
#define T_FSB		0x4000u
#define T_FSB_CAP	0x8000u
#define T_WRITABLE	(T_LEVEL | T_ENABLE | T_PERIODIC | T_32BIT | T_ROUTE | T_FSB)
#define T_CAPS	(T_PERIODIC_CAP | T_SIZE_CAP | T_FSB_CAP)

struct hpet_timer {
	struct hpet *h;
	uint64_t config;
	uint64_t comparator, period;
	uint64_t fsb;		/* address high, data low */
	bool set_value;		/* the next write goes to the accumulator too */
	struct timer timer;
	uint64_t due_ns;	/* when the comparator matches */
};

struct hpet {
	struct vm *vm;
	struct pit *pit;
	struct rtc *rtc;
	uint64_t config;
	uint32_t status;	/* level interrupts that are active */
	uint64_t counter;	/* while stopped, and at start_ns */
	uint64_t start_ns;
	struct hpet_timer t[TIMERS];
};

static uint64_t ticks_to_ns(uint64_t ticks)
{
	unsigned __int128 fs = (unsigned __int128)ticks * HPET_PERIOD_FS;

	if (fs >> 64 >= FS_PER_NS / 2)	/* hundreds of years: never */
		return UINT64_MAX / 2;
	return (fs + FS_PER_NS - 1) / FS_PER_NS;
}

static uint64_t hpet_counter(const struct hpet *h, uint64_t now)
{
	if (!(h->config & CONFIG_ENABLE))
		return h->counter;
	return h->counter + (unsigned __int128)(now - h->start_ns) * FS_PER_NS /
			    HPET_PERIOD_FS;
}

static unsigned timer_index(const struct hpet_timer *t)
{
	return t - t->h->t;
}

/* Does legacy replacement route this timer? */
static bool timer_legacy(const struct hpet_timer *t)
{
	return t->h->config & CONFIG_LEGACY && timer_index(t) < 2;
}

static unsigned timer_line(const struct hpet_timer *t)
{
	if (timer_legacy(t))
		return timer_index(t) == 0 ? 0 : 8;
	return (t->config & T_ROUTE) >> 9;
}

static bool routable(const struct hpet_timer *t, unsigned line)
{
	return timer_legacy(t) || (line < IRQ_LINES && ROUTE_PINS >> line & 1);
}

/* Drive the line of a level timer by its status bit. */
static void timer_level(struct hpet_timer *t, bool on)
{
	unsigned line = timer_line(t);

	if (!(t->h->status >> timer_index(t) & 1) || !routable(t, line))
		return;
	irq_set(&t->h->vm->irq, line, on && t->config & T_ENABLE);
}

static void timer_interrupt(struct hpet_timer *t)
{
	struct irq *q = &t->h->vm->irq;
	unsigned line = timer_line(t);

	if (t->config & T_FSB && !timer_legacy(t)) {
		irq_msi(q, t->fsb >> 32, t->fsb);
	} else if (t->config & T_LEVEL) {
		t->h->status |= 1u << timer_index(t);
		timer_level(t, true);
	} else if (routable(t, line)) {
		irq_pulse(q, line);
	}
}

static void status_clear(struct hpet *h, uint32_t bits)
{
	for (unsigned i = 0; i < TIMERS; i++)
		if (bits >> i & 1)
			timer_level(&h->t[i], false);
	h->status &= ~bits;
}

static bool timer_periodic(const struct hpet_timer *t)
{
	return t->config & T_PERIODIC;
}

/* Ticks to the next match.  An accumulator that was passed while nobody looked
 * is brought forward. */
static uint64_t timer_left(struct hpet_timer *t, uint64_t now)
{
	uint64_t left = t->comparator - hpet_counter(t->h, now);
	int64_t ahead = t->config & T_32BIT ? (int32_t)left : (int64_t)left;

	if (ahead < 0 && timer_periodic(t) && t->period) {
		uint64_t steps = (-(uint64_t)ahead - 1) / t->period + 1;

		t->comparator += steps * t->period;
		left += steps * t->period;
	}
	if (t->config & T_32BIT) {
		t->comparator = (uint32_t)t->comparator;
		left = (uint32_t)left;
	}
	return left;
}

/* Arm t for the next match after now.  Without T_ENABLE only the status bit
 * of a level timer would show: nobody waits for that, so it is not timed. */
static void timer_arm(struct hpet_timer *t, uint64_t now)
{
	struct hpet *h = t->h;
	uint64_t left;

	if (!(h->config & CONFIG_ENABLE) || !(t->config & T_ENABLE)) {
		timer_stop(&h->vm->timers, &t->timer);
		return;
	}
	left = timer_left(t, now);
	t->due_ns = now + ticks_to_ns(left);
	timer_set(&h->vm->timers, &t->timer, t->due_ns);
}

/* When the counter matches or matched the comparator, not far from now. */
static uint64_t match_ns(const struct hpet_timer *t, uint64_t now)
{
	int64_t diff = t->comparator - hpet_counter(t->h, now);

	if (t->config & T_32BIT)
		diff = (int32_t)diff;
	return diff < 0 ? now - ticks_to_ns(-(uint64_t)diff) : now + ticks_to_ns(diff);
}

static void timer_fire_periodic(struct hpet_timer *t, uint64_t now)
{
	uint64_t step = t->period, step_ns = ticks_to_ns(step);
	uint64_t before = t->due_ns, next;

	if (step_ns < TICK_MIN_NS) {	/* several at once */
		step *= TICK_MIN_NS / step_ns + 1;
		step_ns = ticks_to_ns(step);
	}
	next = tick_next(&t->due_ns, step_ns, now);
	t->comparator += (t->due_ns - before) / step_ns * step;
	if (t->config & T_32BIT)
		t->comparator = (uint32_t)t->comparator;
	t->due_ns = match_ns(t, now);	/* lest rounding adds up */
	timer_set(&t->h->vm->timers, &t->timer, next);
}

static void timer_fire(void *ptr, uint64_t now)
{
	struct hpet_timer *t = ptr;

	if (timer_periodic(t) && t->period)
		timer_fire_periodic(t, now);
	else if (t->config & T_32BIT)
		timer_arm(t, now + 1000);	/* again when it wraps around */
	timer_interrupt(t);
}

static void hpet_arm_all(struct hpet *h, uint64_t now)
{
	for (unsigned i = 0; i < TIMERS; i++)
		timer_arm(&h->t[i], now);
}

static void config_write(struct hpet *h, uint64_t val, uint64_t now)
{
	bool legacy = val & CONFIG_LEGACY;
	bool change = legacy != !!(h->config & CONFIG_LEGACY);

	h->counter = hpet_counter(h, now);
	h->start_ns = now;
	if (change) {
		status_clear(h, ~0u);
		irq_set(&h->vm->irq, 0, false);
		irq_set(&h->vm->irq, 8, false);
	}
	h->config = val & (CONFIG_ENABLE | CONFIG_LEGACY);
	if (change && h->pit)
		pit_mute(h->pit, legacy);
	if (change && h->rtc)
		rtc_mute(h->rtc, legacy);
	hpet_arm_all(h, now);
}

static void timer_config_write(struct hpet_timer *t, uint64_t val, uint64_t now)
{
	timer_level(t, false);
	t->config = val & T_WRITABLE;
	t->set_value = val & T_SET_VALUE;
	if (!(t->config & T_LEVEL))
		t->h->status &= ~(1u << timer_index(t));
	timer_level(t, true);
	if (t->config & T_32BIT) {
		t->comparator = (uint32_t)t->comparator;
		t->period = (uint32_t)t->period;
	}
	timer_arm(t, now);
}

/* In periodic mode a write sets the period, and after T_SET_VALUE also the
 * accumulator.  1.0a, 2.3.9.2.2. */
static void comparator_write(struct hpet_timer *t, uint64_t val, uint64_t mask,
			     uint64_t now)
{
	if (t->config & T_32BIT) {
		mask = (uint32_t)mask;
		val = (uint32_t)val;
	}
	if (!timer_periodic(t) || t->set_value)
		t->comparator = (t->comparator & ~mask) | val;
	if (timer_periodic(t))
		t->period = (t->period & ~mask) | val;
	t->set_value = false;
	timer_arm(t, now);
}

static uint64_t reg_read(struct hpet *h, unsigned reg)
{
	struct hpet_timer *t;

	switch (reg) {
	case REG_CAP:
		return (uint64_t)HPET_PERIOD_FS << 32 | HPET_ID;
	case REG_CONFIG:
		return h->config;
	case REG_STATUS:
		return h->status;
	case REG_COUNTER:
		return hpet_counter(h, vm_now_ns(h->vm));
	}
	if (reg < REG_TIMER || reg >= REG_END)
		return 0;
	t = &h->t[(reg - REG_TIMER) / 0x20];
	switch (reg & 0x1f) {
	case TIMER_CONFIG:
		return (uint64_t)ROUTE_PINS << 32 | T_CAPS | t->config;
	case TIMER_COMPARATOR:
		return t->comparator;
	case TIMER_FSB:
		return t->fsb;
	}
	return 0;
}

/* mask: the bits that are written; the others in val are as they were. */
static void reg_write(struct hpet *h, unsigned reg, uint64_t val, uint64_t mask)
{
	uint64_t now = vm_now_ns(h->vm);
	struct hpet_timer *t;

	switch (reg) {
	case REG_CONFIG:
		config_write(h, val, now);
		return;
	case REG_STATUS:
		status_clear(h, val);
		return;
	case REG_COUNTER:
		h->counter = val;
		h->start_ns = now;
		hpet_arm_all(h, now);
		return;
	}
	if (reg < REG_TIMER || reg >= REG_END)
		return;
	t = &h->t[(reg - REG_TIMER) / 0x20];
	switch (reg & 0x1f) {
	case TIMER_CONFIG:
		timer_config_write(t, val, now);
		break;
	case TIMER_COMPARATOR:
		comparator_write(t, val & mask, mask, now);
		break;
	case TIMER_FSB:
		t->fsb = val;
		break;
	}
}

static uint64_t hpet_read(void *ptr, uint64_t off, unsigned size)
{
	return reg_read(ptr, off & ~7ull) >> (off & 7) * 8;
}

/* Half a register is written by merging: the other half keeps its value. */
static void hpet_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct hpet *h = ptr;
	unsigned reg = off & ~7u, shift = (off & 7) * 8;
	uint64_t mask = size >= 8 ? ~0ull : ((1ull << size * 8) - 1) << shift;
	uint64_t old;

	if (size < 4)	/* 1.0a, 2.3.1: 32 and 64-bit accesses only */
		return;
	if (reg == REG_STATUS)
		old = 0;	/* write 1 to clear */
	else
		old = reg_read(h, reg);
	reg_write(h, reg, (old & ~mask) | (val << shift & mask), mask);
}

void hpet_reset(struct hpet *h)
{
	if (h->config & CONFIG_LEGACY) {
		if (h->pit)
			pit_mute(h->pit, false);
		if (h->rtc)
			rtc_mute(h->rtc, false);
	}
	status_clear(h, ~0u);
	h->config = h->counter = 0;
	for (unsigned i = 0; i < TIMERS; i++) {
		struct hpet_timer *t = &h->t[i];

		t->config = t->period = t->fsb = 0;
		t->comparator = UINT64_MAX;
		t->set_value = false;
		timer_stop(&h->vm->timers, &t->timer);
	}
}

struct hpet *hpet_new(struct vm *vm, struct pit *pit, struct rtc *rtc,
		      struct err *e)
{
	struct hpet *h = calloc(1, sizeof(*h));

	if (!h) {
		err_sys(e, -ENOMEM, "cannot allocate the HPET");
		return NULL;
	}
	h->vm = vm;
	h->pit = pit;
	h->rtc = rtc;
	if (bus_add_mmio(&vm->bus, (struct bus_range){
			.base = HPET_BASE, .len = 1024, .read = hpet_read,
			.write = hpet_write, .ptr = h, .name = "hpet" }, e)) {
		hpet_free(h);
		return NULL;
	}
	for (unsigned i = 0; i < TIMERS; i++) {
		h->t[i].h = h;
		timer_add(&vm->timers, &h->t[i].timer, timer_fire, &h->t[i]);
	}
	hpet_reset(h);
	return h;
}

void hpet_free(struct hpet *h)
{
	free(h);
}
