#include "dev/pic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CASCADE		2u	/* the master's input that the slave drives */
#define NO_IRQ		8u

/* OCW2 commands, bits 7-5: R, SL, EOI. */
enum pic_ocw2 {
	OCW2_ROTATE_AEOI_CLEAR = 0, OCW2_EOI = 1, OCW2_NOP = 2,
	OCW2_EOI_SPECIFIC = 3, OCW2_ROTATE_AEOI_SET = 4, OCW2_ROTATE_EOI = 5,
	OCW2_SET_PRIORITY = 6, OCW2_ROTATE_EOI_SPECIFIC = 7,
};

/* Which byte the odd port expects. */
enum pic_step { STEP_OCW1, STEP_ICW2, STEP_ICW3, STEP_ICW4 };

struct pic_chip {
	struct pic *pair;
	uint8_t lines;		/* inputs as they are */
	uint8_t edges;		/* rising edges not yet acknowledged */
	uint8_t elcr, elcr_mask;	/* 1: level triggered */
	uint8_t imr, isr;
	uint8_t base;		/* vector of input 0 */
	uint8_t top;		/* input of the highest priority */
	enum pic_step step;
	bool need_icw4, single;
	bool ready;		/* the ICW sequence is complete */
	bool aeoi, rotate_aeoi, sfnm, special_mask;
	bool read_isr, poll;
	bool master;
};

struct pic {
	struct vm *vm;
	struct pic_chip chip[2];
	bool intr;
	void (*notify)(void *ptr);
	void *notify_ptr;
};

static uint8_t chip_irr(const struct pic_chip *c)
{
	return (c->edges & ~c->elcr) | (c->lines & c->elcr);
}

/* The input of highest priority in mask; its rank (0 first) in *rank. */
static unsigned chip_first(const struct pic_chip *c, uint8_t mask, unsigned *rank)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned n = (c->top + i) & 7;

		if (mask >> n & 1) {
			*rank = i;
			return n;
		}
	}
	*rank = NO_IRQ;
	return NO_IRQ;
}

/* The input that may interrupt now, or NO_IRQ. */
static unsigned chip_pending(const struct pic_chip *c)
{
	unsigned rank, busy_rank, n;
	uint8_t busy = c->isr;

	if (!c->ready)
		return NO_IRQ;
	n = chip_first(c, chip_irr(c) & ~c->imr, &rank);
	if (n == NO_IRQ)
		return NO_IRQ;
	if (c->special_mask)
		busy &= ~c->imr;
	if (c->sfnm && c->master)
		busy &= ~(1u << CASCADE);
	chip_first(c, busy, &busy_rank);
	return rank < busy_rank ? n : NO_IRQ;
}

static void pic_update(struct pic *p)
{
	struct pic_chip *m = &p->chip[0];
	bool was = p->intr;

	/* The cascade follows the slave's output: it is never stuck. */
	if (chip_pending(&p->chip[1]) != NO_IRQ)
		m->edges |= 1u << CASCADE;
	else
		m->edges &= ~(1u << CASCADE);
	p->intr = chip_pending(m) != NO_IRQ;
	if (p->intr && !was && p->notify)
		p->notify(p->notify_ptr);
}

static void pic_set(void *ptr, unsigned gsi, bool level)
{
	struct pic *p = ptr;
	struct pic_chip *c;
	uint8_t bit;

	if (gsi > 15 || gsi == CASCADE)
		return;
	c = &p->chip[gsi >> 3];
	bit = 1u << (gsi & 7);
	if (level) {
		if (!(c->lines & bit))
			c->edges |= bit;
		c->lines |= bit;
	} else {
		c->lines &= ~bit;
	}
	pic_update(p);
}

bool pic_intr(const struct pic *p)
{
	return p->intr;
}

static void chip_intack(struct pic_chip *c, unsigned n)
{
	c->edges &= ~(1u << n);
	if (!c->aeoi)
		c->isr |= 1u << n;
	else if (c->rotate_aeoi)
		c->top = (n + 1) & 7;
}

static uint8_t chip_ack(struct pic_chip *c, unsigned n)
{
	if (n == NO_IRQ)
		return c->base + 7;
	chip_intack(c, n);
	return c->base + n;
}

uint8_t pic_ack(struct pic *p)
{
	struct pic_chip *m = &p->chip[0], *s = &p->chip[1];
	unsigned n = chip_pending(m);
	uint8_t vector = chip_ack(m, n);

	if (n == CASCADE)
		vector = chip_ack(s, chip_pending(s));
	p->intr = false;
	pic_update(p);
	return vector;
}

static void chip_icw1(struct pic_chip *c, uint8_t val)
{
	c->edges = c->imr = c->isr = c->top = 0;
	c->aeoi = c->rotate_aeoi = c->sfnm = c->special_mask = false;
	c->read_isr = c->poll = c->ready = false;
	c->need_icw4 = val & 1;
	c->single = val & 2;
	c->step = STEP_ICW2;
}

static void chip_ocw2(struct pic_chip *c, uint8_t val)
{
	uint8_t busy = c->special_mask ? c->isr & ~c->imr : c->isr;
	unsigned n, rank;

	switch ((enum pic_ocw2)(val >> 5)) {
	case OCW2_ROTATE_AEOI_CLEAR:
		c->rotate_aeoi = false;
		break;
	case OCW2_ROTATE_AEOI_SET:
		c->rotate_aeoi = true;
		break;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		n = chip_first(c, busy, &rank);
		if (n == NO_IRQ)
			break;
		c->isr &= ~(1u << n);
		if (val >> 5 == OCW2_ROTATE_EOI)
			c->top = (n + 1) & 7;
		break;
	case OCW2_EOI_SPECIFIC:
		c->isr &= ~(1u << (val & 7));
		break;
	case OCW2_ROTATE_EOI_SPECIFIC:
		c->isr &= ~(1u << (val & 7));
		c->top = (val + 1) & 7;
		break;
	case OCW2_SET_PRIORITY:
		c->top = (val + 1) & 7;
		break;
	case OCW2_NOP:
		break;
	}
}

static void chip_ocw3(struct pic_chip *c, uint8_t val)
{
	if (val & 0x40)
		c->special_mask = val & 0x20;
	if (val & 4)
		c->poll = true;
	else if (val & 2)
		c->read_isr = val & 1;
}

static void chip_write_odd(struct pic_chip *c, uint8_t val)
{
	switch (c->step) {
	case STEP_OCW1:
		c->imr = val;
		return;
	case STEP_ICW2:
		c->base = val & 0xf8;
		c->step = !c->single ? STEP_ICW3 : c->need_icw4 ? STEP_ICW4 : STEP_OCW1;
		break;
	case STEP_ICW3:	/* the wiring is what it is */
		c->step = c->need_icw4 ? STEP_ICW4 : STEP_OCW1;
		break;
	case STEP_ICW4:
		c->aeoi = val & 2;
		c->sfnm = val & 0x10;
		c->step = STEP_OCW1;
		break;
	}
	c->ready = c->step == STEP_OCW1;
}

static void pic_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct pic_chip *c = ptr;

	for (unsigned i = 0; i < size; i++, off++, val >>= 8) {
		if (off)
			chip_write_odd(c, val);
		else if (val & 0x10)
			chip_icw1(c, val);
		else if (val & 8)
			chip_ocw3(c, val);
		else
			chip_ocw2(c, val);
	}
	pic_update(c->pair);
}

static uint8_t chip_read(struct pic_chip *c, bool odd)
{
	unsigned n;

	if (c->poll) {	/* this read is the acknowledge, from either port */
		c->poll = false;
		n = chip_pending(c);
		if (n == NO_IRQ)
			return 0x07;
		chip_intack(c, n);
		pic_update(c->pair);
		return 0x80 | n;
	}
	if (odd)
		return c->imr;
	return c->read_isr ? c->isr : chip_irr(c);
}

static uint64_t pic_read(void *ptr, uint64_t off, unsigned size)
{
	uint64_t val = 0;

	for (unsigned i = 0; i < size; i++)
		val |= (uint64_t)chip_read(ptr, off + i) << i * 8;
	return val;
}

static uint64_t elcr_read(void *ptr, uint64_t off, unsigned size)
{
	struct pic *p = ptr;

	if (size != 1)
		return p->chip[0].elcr | p->chip[1].elcr << 8;
	return p->chip[off & 1].elcr;
}

static void elcr_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct pic *p = ptr;

	for (unsigned i = 0; i < size; i++, off++, val >>= 8)
		if (off < 2)
			p->chip[off].elcr = val & p->chip[off].elcr_mask;
	pic_update(p);
}

void pic_reset(struct pic *p)
{
	for (unsigned i = 0; i < 2; i++) {
		struct pic_chip *c = &p->chip[i];
		uint8_t lines = c->lines;

		memset(c, 0, sizeof(*c));
		c->pair = p;
		c->lines = lines;
		c->master = i == 0;
		/* IRQ 0, 1, 2, 8 and 13 are edges always. */
		c->elcr_mask = i == 0 ? 0xf8 : 0xde;
	}
	p->intr = false;
}

static int pic_register(struct pic *p, struct err *e)
{
	static const uint16_t ports[2] = { 0x20, 0xa0 };

	for (unsigned i = 0; i < 2; i++) {
		int rc = bus_add_pio(&p->vm->bus, (struct bus_range){
			.base = ports[i], .len = 2, .read = pic_read,
			.write = pic_write, .ptr = &p->chip[i], .name = "8259" }, e);

		if (rc)
			return rc;
	}
	return bus_add_pio(&p->vm->bus, (struct bus_range){
		.base = 0x4d0, .len = 2, .read = elcr_read, .write = elcr_write,
		.ptr = p, .name = "elcr" }, e);
}

struct pic *pic_new(struct vm *vm, struct err *e)
{
	struct pic *p = calloc(1, sizeof(*p));

	if (!p) {
		err_sys(e, -ENOMEM, "cannot allocate the 8259");
		return NULL;
	}
	p->vm = vm;
	pic_reset(p);
	if (pic_register(p, e)) {
		pic_free(p);
		return NULL;
	}
	irq_add_sink(&vm->irq, pic_set, p);
	return p;
}

void pic_connect(struct pic *p, void (*intr)(void *ptr), void *ptr)
{
	p->notify = intr;
	p->notify_ptr = ptr;
}

void pic_free(struct pic *p)
{
	free(p);
}
