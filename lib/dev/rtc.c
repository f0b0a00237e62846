/*
 * The clock is an offset to the host's: nothing ticks while no interrupt is
 * enabled.  The flags of register C are worked out when it is read, from what
 * passed since it was read last.
 */
#include "dev/rtc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dev/tick.h"

#define CMOS_SIZE	128u
#define DAY_S		86400

enum rtc_reg {
	RTC_SEC = 0, RTC_SEC_ALARM = 1, RTC_MIN = 2, RTC_MIN_ALARM = 3,
	RTC_HOUR = 4, RTC_HOUR_ALARM = 5, RTC_WDAY = 6, RTC_MDAY = 7,
	RTC_MON = 8, RTC_YEAR = 9, RTC_A = 10, RTC_B = 11, RTC_C = 12, RTC_D = 13,
};

#define A_UIP		0x80
#define A_DV		0x70
#define A_DV_RUN	0x20
#define A_RS		0x0f
#define B_SET		0x80
#define B_PIE		0x40
#define B_AIE		0x20
#define B_UIE		0x10
#define B_BINARY	0x04
#define B_24H		0x02
#define C_IRQF		0x80
#define C_PF		0x40
#define C_AF		0x20
#define C_UF		0x10
#define D_VRT		0x80

/* UIP rises 244 us before the update, which takes 1984 us (32 kHz crystal). */
#define UPDATE_NS	(1984000u + 244000u)

struct rtc {
	struct vm *vm;
	uint8_t index;
	uint8_t cmos[CMOS_SIZE];	/* clock bytes: as of the last sync */
	int64_t offset_ns;	/* UTC since 1970 = vm_now_ns() + offset_ns */
	uint64_t phase_ns;	/* while stopped: of the second, when it starts again */
	uint64_t seen_ns;	/* flags of C are complete up to here */
	uint64_t period_due_ns;
	struct timer periodic, second;	/* second: update and alarm */
	bool muted;
	void (*rise)(void *ptr);	/* who else hears of interrupts, or NULL */
	void *rise_ptr;
};

static bool rtc_runs(const struct rtc *r)
{
	return !(r->cmos[RTC_B] & B_SET) && (r->cmos[RTC_A] & A_DV) == A_DV_RUN;
}

static uint8_t enc(const struct rtc *r, unsigned n)
{
	return r->cmos[RTC_B] & B_BINARY ? n : n / 10 % 10 << 4 | n % 10;
}

static unsigned dec(const struct rtc *r, uint8_t n)
{
	return r->cmos[RTC_B] & B_BINARY ? n : (n >> 4) * 10 + (n & 15);
}

static uint8_t enc_hour(const struct rtc *r, unsigned h)
{
	if (r->cmos[RTC_B] & B_24H)
		return enc(r, h);
	return enc(r, h % 12 ? h % 12 : 12) | (h >= 12 ? 0x80 : 0);
}

static unsigned dec_hour(const struct rtc *r, uint8_t v)
{
	if (r->cmos[RTC_B] & B_24H)
		return dec(r, v);
	return dec(r, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* Days from 1970-01-01 of a date of the Gregorian calendar, and back.  Years
 * are counted from March, so that the leap day is the last of them. */
static int64_t date_to_days(unsigned year, unsigned mon, unsigned mday)
{
	unsigned y = mon > 2 ? year : year - 1;
	unsigned yday = (153 * (mon > 2 ? mon - 3 : mon + 9) + 2) / 5 + mday - 1;

	return 365ll * y + y / 4 - y / 100 + y / 400 + yday - 719468;
}

static void days_to_date(int64_t days, unsigned *year, unsigned *mon, unsigned *mday)
{
	uint64_t d = (uint64_t)(days + 719468);		/* since 0000-03-01 */
	unsigned era = d / 146097, in_era = d % 146097;
	unsigned y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	unsigned yday = in_era - (365 * y + y / 4 - y / 100);
	unsigned m = (5 * yday + 2) / 153;

	*mday = yday - (153 * m + 2) / 5 + 1;
	*mon = m < 10 ? m + 3 : m - 9;
	*year = era * 400 + y + (m >= 10);
}

/* UTC in nanoseconds at a moment of the host's.  It can be set to years 1900 to
 * 2199, which 63 bits of nanoseconds hold. */
static int64_t rtc_utc(const struct rtc *r, uint64_t now)
{
	return (int64_t)(now + (uint64_t)r->offset_ns);
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Nanoseconds of the second under way. */
static uint64_t rtc_phase(const struct rtc *r, uint64_t now)
{
	int64_t utc = rtc_utc(r, now);

	return utc - floor_div(utc, (int64_t)NS_PER_SEC) * (int64_t)NS_PER_SEC;
}

/* Bring the bytes of the clock up to date. */
static void rtc_sync(struct rtc *r, uint64_t now)
{
	int64_t secs, days;
	unsigned year, mon, mday, sod;

	if (!rtc_runs(r))
		return;
	secs = floor_div(rtc_utc(r, now), (int64_t)NS_PER_SEC);
	days = floor_div(secs, DAY_S);
	sod = secs - days * DAY_S;
	days_to_date(days, &year, &mon, &mday);
	r->cmos[RTC_SEC] = enc(r, sod % 60);
	r->cmos[RTC_MIN] = enc(r, sod / 60 % 60);
	r->cmos[RTC_HOUR] = enc_hour(r, sod / 3600);
	r->cmos[RTC_WDAY] = enc(r, (unsigned)((days % 7 + 7 + 4) % 7) + 1);
	r->cmos[RTC_MDAY] = enc(r, mday);
	r->cmos[RTC_MON] = enc(r, mon);
	r->cmos[RTC_YEAR] = enc(r, year % 100);
	r->cmos[RTC_CENTURY] = enc(r, year / 100);
}

static unsigned bound(unsigned n, unsigned lo, unsigned hi)
{
	return n < lo ? lo : n > hi ? hi : n;
}

/* The bytes say what time it is, phase_ns into the second. */
static void rtc_take(struct rtc *r, uint64_t now, uint64_t phase_ns)
{
	unsigned year = dec(r, r->cmos[RTC_CENTURY]) * 100 +
			bound(dec(r, r->cmos[RTC_YEAR]), 0, 99);
	int64_t days = date_to_days(bound(year, 1900, 2199),
				    bound(dec(r, r->cmos[RTC_MON]), 1, 12),
				    bound(dec(r, r->cmos[RTC_MDAY]), 1, 31));
	int64_t secs = days * DAY_S +
		       bound(dec_hour(r, r->cmos[RTC_HOUR]), 0, 23) * 3600 +
		       bound(dec(r, r->cmos[RTC_MIN]), 0, 59) * 60 +
		       bound(dec(r, r->cmos[RTC_SEC]), 0, 59);

	r->offset_ns = secs * (int64_t)NS_PER_SEC + (int64_t)phase_ns - (int64_t)now;
}

/* Nanoseconds between periodic flags, 0: none. */
static uint64_t period_ns(const struct rtc *r)
{
	unsigned rs = r->cmos[RTC_A] & A_RS;

	if (!rs || (r->cmos[RTC_A] & A_DV) != A_DV_RUN)
		return 0;
	if (rs < 3)	/* 1 and 2 are 256 and 128 Hz with a 32 kHz crystal */
		rs += 7;
	return (NS_PER_SEC << (rs - 1)) / 32768;
}

/* Does the alarm byte fit the value?  0xc0-0xff fits all. */
static bool alarm_fits(uint8_t alarm, uint8_t val)
{
	return alarm >= 0xc0 || alarm == val;
}

/* Seconds after sod (of the day, 0..86399) to the next alarm: 1..86400, or 0
 * when the alarm bytes are never met. */
static unsigned alarm_in(const struct rtc *r, unsigned sod)
{
	unsigned t = sod + 1, end = sod + DAY_S, s0 = 0;

	while (s0 < 60 && !alarm_fits(r->cmos[RTC_SEC_ALARM], enc(r, s0)))
		s0++;
	if (s0 == 60)
		return 0;
	while (t <= end) {
		unsigned s = t % DAY_S;

		if (!alarm_fits(r->cmos[RTC_HOUR_ALARM], enc_hour(r, s / 3600)))
			t += 3600 - s % 3600;
		else if (!alarm_fits(r->cmos[RTC_MIN_ALARM], enc(r, s / 60 % 60)))
			t += 60 - s % 60;
		else if (!alarm_fits(r->cmos[RTC_SEC_ALARM], enc(r, s % 60)))
			t++;
		else
			return t - sod;
	}
	return 0;
}

/* When, after now, the alarm flag rises next. */
static uint64_t alarm_ns(const struct rtc *r, uint64_t now)
{
	int64_t secs = floor_div(rtc_utc(r, now), (int64_t)NS_PER_SEC);
	unsigned in = alarm_in(r, secs - floor_div(secs, DAY_S) * DAY_S);

	if (!in)
		return UINT64_MAX;
	return now + in * NS_PER_SEC - rtc_phase(r, now);
}

static uint64_t second_ns(const struct rtc *r, uint64_t now)
{
	return now + NS_PER_SEC - rtc_phase(r, now);
}

/* Flags of what passed in (seen_ns, now]. */
static void rtc_flags(struct rtc *r, uint64_t now)
{
	uint64_t period = period_ns(r);

	if (now <= r->seen_ns)
		return;
	if (period && (uint64_t)rtc_utc(r, now) / period !=
		      (uint64_t)rtc_utc(r, r->seen_ns) / period)
		r->cmos[RTC_C] |= C_PF;
	if (rtc_runs(r)) {
		if (second_ns(r, r->seen_ns) <= now)
			r->cmos[RTC_C] |= C_UF;
		if (alarm_ns(r, r->seen_ns) <= now)
			r->cmos[RTC_C] |= C_AF;
	}
	r->seen_ns = now;
}

static void rtc_irq(struct rtc *r)
{
	uint8_t *c = &r->cmos[RTC_C], was = *c & C_IRQF;

	*c &= ~C_IRQF;
	if (*c & r->cmos[RTC_B] & (C_PF | C_AF | C_UF))
		*c |= C_IRQF;
	if (!was && *c & C_IRQF && r->rise)
		r->rise(r->rise_ptr);
	if (!r->muted)
		irq_set(&r->vm->irq, 8, *c & C_IRQF);
}

/* Flags, line and timers after anything changed. */
static void rtc_update(struct rtc *r, uint64_t now)
{
	uint8_t b = r->cmos[RTC_B];
	uint64_t at = UINT64_MAX, alarm, period = period_ns(r);

	rtc_irq(r);
	if (rtc_runs(r) && b & (B_UIE | B_AIE)) {
		if (b & B_UIE)
			at = second_ns(r, now);
		if (b & B_AIE && (alarm = alarm_ns(r, now)) < at)
			at = alarm;
	}
	timer_set(&r->vm->timers, &r->second, at);
	if (!(b & B_PIE) || !period) {
		timer_stop(&r->vm->timers, &r->periodic);
	} else if (r->periodic.deadline_ns == UINT64_MAX) {
		r->period_due_ns = now + period - (uint64_t)rtc_utc(r, now) % period;
		timer_set(&r->vm->timers, &r->periodic, r->period_due_ns);
	}
}

static void rtc_second(void *ptr, uint64_t now)
{
	rtc_flags(ptr, now);
	rtc_update(ptr, now);
}

static void rtc_period(void *ptr, uint64_t now)
{
	struct rtc *r = ptr;
	uint64_t period = period_ns(r);

	rtc_flags(r, now);
	r->cmos[RTC_C] |= C_PF;
	rtc_irq(r);
	if (period)
		timer_set(&r->vm->timers, &r->periodic,
			  tick_next(&r->period_due_ns, period, now));
}

static bool clock_byte(uint8_t i)
{
	return i == RTC_SEC || i == RTC_MIN || i == RTC_HOUR ||
	       (i >= RTC_WDAY && i <= RTC_YEAR) || i == RTC_CENTURY;
}

static void rtc_write_ab(struct rtc *r, uint8_t i, uint8_t val, uint64_t now)
{
	bool ran = rtc_runs(r);
	uint8_t old_a = r->cmos[RTC_A];

	rtc_sync(r, now);
	if (i == RTC_A)
		r->cmos[RTC_A] = val & ~A_UIP;
	else
		r->cmos[RTC_B] = val & B_SET ? val & ~B_UIE : val;
	if (ran && !rtc_runs(r))
		r->phase_ns = rtc_phase(r, now);
	/* Out of the divider's reset the first update comes in half a second. */
	if ((old_a & A_DV) != A_DV_RUN && (r->cmos[RTC_A] & A_DV) == A_DV_RUN)
		r->phase_ns = NS_PER_SEC / 2;
	if (!ran && rtc_runs(r)) {
		rtc_take(r, now, r->phase_ns);
		r->seen_ns = now;
	}
	if (i == RTC_A)
		timer_stop(&r->vm->timers, &r->periodic);	/* another rate */
}

static void rtc_data_write(struct rtc *r, uint8_t val)
{
	uint64_t now = vm_now_ns(r->vm);
	uint8_t i = r->index;

	rtc_flags(r, now);
	if (i == RTC_A || i == RTC_B) {
		rtc_write_ab(r, i, val, now);
	} else if (i != RTC_C && i != RTC_D) {
		if (clock_byte(i))
			rtc_sync(r, now);
		r->cmos[i] = val;
		if (clock_byte(i) && rtc_runs(r))
			rtc_take(r, now, rtc_phase(r, now));
	}
	if (i < 14)
		rtc_update(r, now);
}

static uint8_t rtc_data_read(struct rtc *r)
{
	uint64_t now;
	uint8_t i = r->index, val;

	if (i > RTC_C && i != RTC_CENTURY)
		return r->cmos[i];
	now = vm_now_ns(r->vm);
	switch (i) {
	case RTC_A:
		val = r->cmos[RTC_A];
		if (rtc_runs(r) && second_ns(r, now) - now <= UPDATE_NS)
			val |= A_UIP;
		return val;
	case RTC_C:
		rtc_flags(r, now);
		rtc_irq(r);
		val = r->cmos[RTC_C];
		r->cmos[RTC_C] = 0;
		rtc_irq(r);
		return val;
	default:
		if (clock_byte(i))
			rtc_sync(r, now);
		return r->cmos[i];
	}
}

static void rtc_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct rtc *r = ptr;

	for (unsigned i = 0; i < size; i++, off++, val >>= 8) {
		if (off == 0)
			r->index = val & (CMOS_SIZE - 1);	/* bit 7 masks NMIs */
		else
			rtc_data_write(r, val);
	}
}

static uint64_t rtc_read(void *ptr, uint64_t off, unsigned size)
{
	struct rtc *r = ptr;
	uint64_t val = 0;

	for (unsigned i = 0; i < size; i++, off++)
		val |= (uint64_t)(off == 0 ? 0xff : rtc_data_read(r)) << i * 8;
	return val;
}

static void put16(struct rtc *r, uint8_t i, uint64_t val)
{
	if (val > 0xffff)
		val = 0xffff;
	r->cmos[i] = val;
	r->cmos[i + 1] = val >> 8;
}

/* Memory sizes and the checksum over 0x10-0x2d, as an AT BIOS keeps them. */
static void cmos_memory(struct rtc *r)
{
	uint64_t ram = r->vm->mem ? r->vm->mem->ram_size : 0;
	uint64_t low = ram < MEM_LOW_MAX ? ram : MEM_LOW_MAX, high = (ram - low) >> 16;
	uint64_t ext_kib = low > 1 << 20 ? (low >> 10) - 1024 : 0;
	unsigned sum = 0;

	put16(r, 0x15, 640);
	put16(r, 0x17, ext_kib);
	put16(r, 0x30, ext_kib);
	put16(r, 0x34, low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0);
	r->cmos[0x5b] = high;
	r->cmos[0x5c] = high >> 8;
	r->cmos[0x5d] = high >> 16;
	r->cmos[0x14] = 0x06;	/* equipment: FPU, PS/2 mouse */
	for (unsigned i = 0x10; i < 0x2e; i++)
		sum += r->cmos[i];
	r->cmos[0x2e] = sum >> 8;
	r->cmos[0x2f] = sum;
}

void rtc_set_cmos(struct rtc *r, uint8_t index, uint8_t val)
{
	if (index < CMOS_SIZE && index > RTC_D && index != RTC_CENTURY)
		r->cmos[index] = val;
}

void rtc_on_interrupt(struct rtc *r, void (*rise)(void *ptr), void *ptr)
{
	r->rise = rise;
	r->rise_ptr = ptr;
}

void rtc_mute(struct rtc *r, bool mute)
{
	r->muted = mute;
	if (!mute)
		rtc_irq(r);
}

/* The RESET pin: the clock goes on, interrupts are off. */
void rtc_reset(struct rtc *r)
{
	uint64_t now = vm_now_ns(r->vm);

	r->cmos[RTC_B] &= ~(B_PIE | B_AIE | B_UIE);
	r->cmos[RTC_C] = 0;
	r->index = 0;
	r->muted = false;
	rtc_update(r, now);
}

static void rtc_power_on(struct rtc *r)
{
	uint64_t now = vm_now_ns(r->vm);
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	r->offset_ns = t.tv_sec * (int64_t)NS_PER_SEC + t.tv_nsec - (int64_t)now;
	r->seen_ns = now;
	r->cmos[RTC_A] = A_DV_RUN | 6;
	r->cmos[RTC_B] = B_24H;
	r->cmos[RTC_D] = D_VRT;
	cmos_memory(r);
}

struct rtc *rtc_new(struct vm *vm, struct err *e)
{
	struct rtc *r = calloc(1, sizeof(*r));

	if (!r) {
		err_sys(e, -ENOMEM, "cannot allocate the clock");
		return NULL;
	}
	r->vm = vm;
	if (bus_add_pio(&vm->bus, (struct bus_range){
			.base = 0x70, .len = 2, .read = rtc_read,
			.write = rtc_write, .ptr = r, .name = "rtc" }, e)) {
		rtc_free(r);
		return NULL;
	}
	timer_add(&vm->timers, &r->periodic, rtc_period, r);
	timer_add(&vm->timers, &r->second, rtc_second, r);
	rtc_power_on(r);
	rtc_reset(r);
	return r;
}

void rtc_free(struct rtc *r)
{
	free(r);
}
