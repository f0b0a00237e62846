#ifndef NATIVE_RAND_H
#define NATIVE_RAND_H
/* Random values, FPU states and instruction bytes with a bias to what matters. */

#include "native.h"
#include "x86/cpu.h"
#include "x86/insn.h"

static uint64_t rng;		/* the whole state: a case can be made again */

/* The seed: an argument, RING1_SEED, or always the same one. */
static uint64_t seed_chosen(const char *arg)
{
	if (!arg)
		arg = getenv("RING1_SEED");
	return arg ? strtoull(arg, NULL, 0) : 20260101;
}

static uint64_t rnd(void)
{
	uint64_t z = rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned below(unsigned n)
{
	return (unsigned)(rnd() >> 32) % n;
}

/* --- random values ------------------------------------------------------------ */

static uint64_t value(void)
{
	static const uint64_t nice[] = {
		0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
		0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull,
		0x3ff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000,
		0x0000000000000001, 0x3f800000bf800000, 0x7f80000000000001,
		0x0010000000000000, 0x0000000180000000, 0x4059000040590000,
	};

	switch (below(6)) {
	case 0: return nice[below(sizeof(nice) / sizeof(nice[0]))];
	case 1: return rnd() & 0xff;
	case 2: return rnd() & 0xffffffff;
	case 3: return 0x3ff0000000000000 + (rnd() >> 12) - ((rnd() & 31) << 52);
	default: return rnd();
	}
}

static void fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t a = value();

		memcpy(p + i, &a, 8);
	}
}

static void random_st(uint8_t *p)
{
	uint64_t mant = value() | 1ull << 63;
	uint16_t exp = (uint16_t)(0x3fff + below(80) - 40);

	switch (below(8)) {
	case 0: mant = 0, exp = 0; break;
	case 1: mant = 1ull << 63, exp = 0x7fff; break;
	case 2: exp = 0x7fff; break;
	case 3: exp = (uint16_t)rnd() & 0x7fff; break;
	case 4: mant = value(), exp = below(2) ? 0 : (uint16_t)(rnd() & 0x7fff); break;
	default: break;
	}
	exp |= (uint16_t)(below(2) << 15);
	memcpy(p, &mant, 8);
	memcpy(p + 8, &exp, 2);
	memset(p + 10, 0, 6);
}

static void random_fpu(struct native_state *st)
{
	uint16_t fcw = 0x37f, fsw = (uint16_t)(rnd() & 0x7f00);
	uint32_t mxcsr = 0x1f80;

	memset(st->fx, 0, 160);
	fcw = (uint16_t)((fcw & ~0xf00) | below(4) << 10 | (below(4) ? 3 : below(2) * 2) << 8);
	if (!below(8))
		fcw &= (uint16_t)(rnd() | ~0x3full);
	if (!below(4))
		fsw |= (uint16_t)(rnd() & 0x7f);
	if (below(8) && (fsw & ~fcw & 0x3f))
		fsw &= (uint16_t)~0x3f;
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	mxcsr |= below(4) << 13 | (uint32_t)(rnd() & 0x3f);
	if (!below(4))
		mxcsr |= (uint32_t)(rnd() & 0x8040);
	if (!below(8))
		mxcsr &= (uint32_t)(rnd() | ~0x1f80ull);
	memcpy(st->fx, &fcw, 2);
	memcpy(st->fx + 2, &fsw, 2);
	st->fx[4] = below(3) ? 0xff : (uint8_t)rnd();
	memcpy(st->fx + 24, &mxcsr, 4);
	st->fx[28] = st->fx[29] = 0xff;
	for (unsigned i = 0; i < 8; i++)
		random_st(st->fx + 32 + 16 * i);
	fill(st->fx + 160, 256);
	fill(st->ymmh, 256);
}

static unsigned random_bytes(uint8_t *b, unsigned bits)
{
	static const uint8_t prefix[] = { 0x66, 0x67, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x65 };
	unsigned n = 0, kind = below(8);

	if (kind < 5) {
		if (!below(3))
			b[n++] = prefix[below(below(2) ? 4 : sizeof(prefix))];
		if (kind > 2 && below(2))
			b[n++] = (uint8_t[]){ 0x66, 0xf2, 0xf3 }[below(3)];
		if (!below(20))
			b[n++] = 0xf0;
		if (bits == 64 && below(2))
			b[n++] = 0x40 | below(16);
		if (kind > 2) {
			b[n++] = 0x0f;
			if (!below(2))
				b[n++] = below(2) ? 0x38 : 0x3a;
		}
	} else {
		bool three = below(4);

		if (!below(12))
			b[n++] = prefix[4 + below(5)];
		b[n++] = three ? 0xc4 : 0xc5;
		if (three)
			b[n++] = (uint8_t)(below(8) << 5 | (1 + below(3)));
		b[n++] = (uint8_t)rnd();
		if (bits == 32)
			b[1 + (b[0] != 0xc4 && b[0] != 0xc5)] |= 0xc0;
	}
	while (n < X86_INSN_MAX)
		b[n++] = (uint8_t)rnd();
	if (!below(3) && bits == 64)	/* more register forms */
		b[2 + below(4)] |= 0xc0;
	return n;
}
#endif
