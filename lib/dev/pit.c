/*
 * Nothing counts here: a channel remembers when its count was loaded, and all
 * that can be seen of it follows from the ticks that went by since.
 */
#include "dev/pit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dev/tick.h"

#define CHANNELS	3
#define SPEAKER		2	/* the channel that port 0x61 gates */
#define REFRESH_NS	15085u	/* the refresh toggle's half period */

/* How the two bytes of a count are accessed: control word bits 5-4. */
enum pit_rw { RW_LATCH = 0, RW_LOW = 1, RW_HIGH = 2, RW_BOTH = 3 };

struct pit_chan {
	uint8_t mode;		/* 0-5 */
	uint8_t rw;		/* enum pit_rw, not RW_LATCH */
	bool bcd;
	bool gate;
	bool loaded;		/* a count was written after the control word */
	bool triggered;		/* modes 1 and 5: by the gate, since then */
	bool write_high, read_high;	/* RW_BOTH: which byte is next */
	uint8_t low;		/* first byte of a count being written */
	uint32_t count;		/* 1..65536 (10000 in BCD) */
	uint32_t next_count;	/* modes 2, 3: from the next period, 0: none */
	uint64_t next_ns;	/* when that is */
	uint64_t start_ns;	/* when count was loaded into the counter */
	uint64_t held_ticks;	/* gate low in modes 0, 4: ticks done so far */
	uint16_t latch;
	uint8_t latched;	/* bytes of latch still to be read */
	uint8_t status;
	bool status_latched;
};

struct pit {
	struct vm *vm;
	struct pit_chan chan[CHANNELS];
	struct timer timer;	/* OUT0's next rise */
	uint64_t due_ns;
	uint8_t port61;		/* bits 0-3 as written */
	bool muted;
};

static uint64_t ns_to_ticks(uint64_t ns)
{
	return (unsigned __int128)ns * PIT_HZ / NS_PER_SEC;
}

/* The first nanosecond at which ticks have passed. */
static uint64_t ticks_to_ns(uint64_t ticks)
{
	return ((unsigned __int128)ticks * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ;
}

static bool periodic(const struct pit_chan *c)
{
	return c->mode == 2 || c->mode == 3;
}

static bool strobe(const struct pit_chan *c)
{
	return c->mode == 1 || c->mode == 5;	/* triggered by the gate */
}

/* Is the counter counting? */
static bool running(const struct pit_chan *c)
{
	return c->loaded && (strobe(c) ? c->triggered : c->gate);
}

static void chan_sync(struct pit_chan *c, uint64_t now)
{
	if (c->next_count && now >= c->next_ns) {
		c->count = c->next_count;
		c->start_ns = c->next_ns;
		c->next_count = 0;
	}
}

static uint64_t chan_ticks(const struct pit_chan *c, uint64_t now)
{
	if (!running(c))
		return c->held_ticks;
	return c->held_ticks + (now > c->start_ns ? ns_to_ticks(now - c->start_ns) : 0);
}

static uint16_t to_bcd(uint32_t n)
{
	return n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12;
}

static uint32_t from_bcd(uint16_t n)
{
	return (n & 15) + (n >> 4 & 15) * 10 + (n >> 8 & 15) * 100 + (n >> 12) * 1000;
}

static uint16_t chan_counter(const struct pit_chan *c, uint64_t now)
{
	uint64_t d = chan_ticks(c, now);
	uint32_t modulus = c->bcd ? 10000 : 65536, n;

	if (c->mode == 2) {
		n = c->count - d % c->count;
	} else if (c->mode == 3) {
		/* Counts down by twos, twice a period; even values only. */
		uint32_t high = (c->count + 1) / 2, at = d % c->count;

		n = (c->count & ~1u) - 2 * (at < high ? at : at - high);
		if (n > c->count)
			n = 0;
	} else {
		n = (c->count + modulus - d % modulus) % modulus;
	}
	n %= modulus;
	return c->bcd ? to_bcd(n) : n;
}

static bool chan_out(const struct pit_chan *c, uint64_t now)
{
	uint64_t d = chan_ticks(c, now);

	switch (c->mode) {
	case 0:
		return c->loaded && d >= c->count;
	case 1:
		return !running(c) || d >= c->count;
	case 2:
		return !running(c) || d % c->count != c->count - 1;
	case 3:
		return !running(c) || d % c->count < (c->count + 1) / 2;
	default:
		return !c->loaded || d != c->count;
	}
}

/* Ticks from loading the count to the next rise of OUT, or the only one. */
static uint64_t chan_rise_ticks(const struct pit_chan *c, uint64_t now)
{
	if (periodic(c))
		return (chan_ticks(c, now) / c->count + 1) * c->count;
	return c->mode == 4 || c->mode == 5 ? (uint64_t)c->count + 1 : c->count;
}

static void pit_arm(struct pit *p)
{
	const struct pit_chan *c = &p->chan[0];

	if (!running(c) || p->muted) {
		timer_stop(&p->vm->timers, &p->timer);
		return;
	}
	p->due_ns = c->start_ns + ticks_to_ns(chan_rise_ticks(c, vm_now_ns(p->vm)));
	timer_set(&p->vm->timers, &p->timer, p->due_ns);
}

/* OUT0 drives IRQ 0 while the HPET does not; as an edge is all that counts,
 * the low phases of modes 2 to 5 are shown as a moment. */
static void pit_irq(struct pit *p, bool level)
{
	if (!p->muted)
		irq_set(&p->vm->irq, 0, level);
}

static void pit_fire(void *ptr, uint64_t now)
{
	struct pit *p = ptr;
	struct pit_chan *c = &p->chan[0];
	uint64_t next, n;

	pit_irq(p, false);
	pit_irq(p, true);
	if (!periodic(c))
		return;
	chan_sync(c, now);
	next = tick_next(&p->due_ns, ticks_to_ns(c->count), now);
	/* Whole periods from the start, lest rounding adds up. */
	n = (ns_to_ticks(p->due_ns - c->start_ns) + c->count / 2) / c->count;
	p->due_ns = c->start_ns + ticks_to_ns(n * c->count);
	timer_set(&p->vm->timers, &p->timer, next);
}

static void chan_start(struct pit *p, unsigned i, uint32_t count, uint64_t now)
{
	struct pit_chan *c = &p->chan[i];

	if (periodic(c) && running(c)) {	/* after the period under way */
		uint64_t done = chan_ticks(c, now) / c->count;

		c->next_count = count;
		c->next_ns = c->start_ns + ticks_to_ns((done + 1) * c->count);
		return;
	}
	if (strobe(c) && c->triggered) {	/* after the next trigger */
		c->next_count = count;
		c->next_ns = UINT64_MAX;
		return;
	}
	c->count = count;
	c->next_count = 0;
	c->loaded = true;
	c->held_ticks = 0;
	c->start_ns = now;
	if (i == 0) {
		pit_irq(p, chan_out(c, now));
		pit_arm(p);
	}
}

/* A whole count was written; 0 means the largest one.  Counts of 1 in modes 2
 * and 3 are illegal: they count as 2, as in mode 3 with its pairs. */
static void chan_load(struct pit *p, unsigned i, uint16_t val, uint64_t now)
{
	struct pit_chan *c = &p->chan[i];
	uint32_t count = c->bcd ? from_bcd(val) : val;

	if (!count)
		count = c->bcd ? 10000 : 65536;
	if (count == 1 && periodic(c))
		count = 2;
	chan_start(p, i, count, now);
}

static void chan_write(struct pit *p, unsigned i, uint8_t val)
{
	struct pit_chan *c = &p->chan[i];
	uint64_t now = vm_now_ns(p->vm);

	chan_sync(c, now);
	if (c->rw == RW_LOW) {
		chan_load(p, i, val, now);
	} else if (c->rw == RW_HIGH) {
		chan_load(p, i, val << 8, now);
	} else if (!c->write_high) {
		c->low = val;
		c->write_high = true;
		if (c->mode == 0) {	/* the first byte stops the count */
			c->held_ticks = 0;
			c->loaded = false;
			if (i == 0) {
				pit_irq(p, false);
				pit_arm(p);
			}
		}
	} else {
		c->write_high = false;
		chan_load(p, i, val << 8 | c->low, now);
	}
}

static uint8_t chan_read(struct pit *p, unsigned i)
{
	struct pit_chan *c = &p->chan[i];
	uint64_t now = vm_now_ns(p->vm);
	uint16_t n;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latched) {
		n = c->latched == 1 && c->rw != RW_LOW ? c->latch >> 8 : c->latch;
		c->latched--;
		return n;
	}
	chan_sync(c, now);
	n = chan_counter(c, now);
	if (c->rw == RW_BOTH)
		c->read_high = !c->read_high;
	return c->rw == RW_HIGH || (c->rw == RW_BOTH && !c->read_high) ? n >> 8 : n;
}

static void chan_latch(struct pit_chan *c, uint64_t now)
{
	if (c->latched)
		return;
	chan_sync(c, now);
	c->latch = chan_counter(c, now);
	c->latched = c->rw == RW_BOTH ? 2 : 1;
	c->read_high = false;
}

static void chan_latch_status(struct pit_chan *c, uint64_t now)
{
	if (c->status_latched)
		return;
	chan_sync(c, now);
	c->status = chan_out(c, now) << 7 | (!c->loaded || c->next_count) << 6 |
		    c->rw << 4 | c->mode << 1 | c->bcd;
	c->status_latched = true;
}

static void pit_control(struct pit *p, uint8_t val)
{
	uint64_t now = vm_now_ns(p->vm);
	struct pit_chan *c;

	if (val >> 6 == 3) {	/* read-back */
		for (unsigned i = 0; i < CHANNELS; i++) {
			if (!(val >> (i + 1) & 1))
				continue;
			if (!(val & 0x20))
				chan_latch(&p->chan[i], now);
			if (!(val & 0x10))
				chan_latch_status(&p->chan[i], now);
		}
		return;
	}
	c = &p->chan[val >> 6];
	if ((val >> 4 & 3) == RW_LATCH) {
		chan_latch(c, now);
		return;
	}
	*c = (struct pit_chan){
		.mode = (val >> 1 & 7) > 5 ? (val >> 1 & 3) : val >> 1 & 7,
		.rw = val >> 4 & 3, .bcd = val & 1, .gate = c->gate,
		.count = val & 1 ? 10000 : 65536, .start_ns = now,
	};
	if (c == &p->chan[0]) {
		pit_irq(p, c->mode != 0);
		pit_arm(p);
	}
}

static void speaker_gate(struct pit *p, bool gate)
{
	struct pit_chan *c = &p->chan[SPEAKER];
	uint64_t now = vm_now_ns(p->vm);

	if (gate == c->gate)
		return;
	chan_sync(c, now);
	if (c->mode == 0 || c->mode == 4) {
		c->held_ticks = chan_ticks(c, now);	/* pause and go on */
		c->start_ns = now;
	} else if (gate && c->loaded) {		/* start again */
		if (c->next_count)
			c->count = c->next_count;
		c->next_count = 0;
		c->triggered = true;
		c->start_ns = now;
	}
	c->gate = gate;
}

static uint8_t port61_value(struct pit *p)
{
	uint64_t now = vm_now_ns(p->vm);
	struct pit_chan *c = &p->chan[SPEAKER];

	chan_sync(c, now);
	return p->port61 | (now / REFRESH_NS & 1) << 4 | chan_out(c, now) << 5;
}

static uint64_t port61_read(void *ptr, uint64_t off, unsigned size)
{
	return port61_value(ptr);
}

static void port61_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct pit *p = ptr;

	p->port61 = val & 0x0f;
	speaker_gate(p, val & 1);
}

static void pit_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	for (unsigned i = 0; i < size; i++, off++, val >>= 8) {
		if (off < CHANNELS)
			chan_write(ptr, off, val);
		else
			pit_control(ptr, val);
	}
}

static uint64_t pit_read(void *ptr, uint64_t off, unsigned size)
{
	uint64_t val = 0;

	for (unsigned i = 0; i < size; i++, off++)
		val |= (uint64_t)(off < CHANNELS ? chan_read(ptr, off) : 0xff) << i * 8;
	return val;
}

void pit_mute(struct pit *p, bool mute)
{
	p->muted = mute;
	pit_arm(p);
}

void pit_reset(struct pit *p)
{
	uint64_t now = vm_now_ns(p->vm);

	for (unsigned i = 0; i < CHANNELS; i++)
		p->chan[i] = (struct pit_chan){
			.mode = 3, .rw = RW_BOTH, .gate = i != SPEAKER,
			.count = 65536, .start_ns = now,
		};
	p->port61 = 0;
	p->muted = false;
	irq_set(&p->vm->irq, 0, false);
	timer_stop(&p->vm->timers, &p->timer);
}

struct pit *pit_new(struct vm *vm, struct err *e)
{
	struct pit *p = calloc(1, sizeof(*p));

	if (!p) {
		err_sys(e, -ENOMEM, "cannot allocate the 8254");
		return NULL;
	}
	p->vm = vm;
	if (bus_add_pio(&vm->bus, (struct bus_range){
			.base = 0x40, .len = 4, .read = pit_read,
			.write = pit_write, .ptr = p, .name = "8254" }, e) ||
	    bus_add_pio(&vm->bus, (struct bus_range){
			.base = 0x61, .len = 1, .read = port61_read,
			.write = port61_write, .ptr = p, .name = "port61" }, e)) {
		pit_free(p);
		return NULL;
	}
	timer_add(&vm->timers, &p->timer, pit_fire, p);
	pit_reset(p);
	return p;
}

void pit_free(struct pit *p)
{
	free(p);
}
