#include "random32.h"

#include <string.h>

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };
/* Room kept for what must follow: the end of the slot. */
enum { TAIL = 4, LONGEST = 40 };

struct gen {
	uint64_t *rng;
	uint8_t *slot;
	unsigned at, len;
	uint32_t where;			/* linear address of the slot */
	bool tame, smc, simd, kernel;
	unsigned clean;		/* registers that still point into the window */
	bool in_loop;		/* ECX is taken */
	unsigned imm[16], nimm;	/* offsets in the slot of 32-bit immediates */
	unsigned ops[16], nops;	/* of ModRM bytes whose reg field is the operation */
};

static uint32_t rnd(struct gen *g)
{
	*g->rng = *g->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*g->rng >> 33);
}

static unsigned below(struct gen *g, unsigned n)
{
	return rnd(g) % n;
}

static void b1(struct gen *g, unsigned v)
{
	g->slot[g->at++] = (uint8_t)v;
}

static void b4(struct gen *g, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		b1(g, v >> 8 * i);
}

static void op2(struct gen *g, unsigned a, unsigned b)
{
	b1(g, a);
	b1(g, b);
}

static bool room(const struct gen *g)
{
	return g->at + LONGEST + TAIL <= g->len;
}

/* In a loop, what comes earlier in its body still needs the counter and pointers. */
static bool taken(struct gen *g, unsigned r)
{
	if (!g->in_loop)
		return false;
	return r == ECX || ((g->clean >> r & 1) && (g->tame || below(g, 8)));
}

/* A register to write. */
static unsigned dest(struct gen *g)
{
	unsigned r;

	do
		r = below(g, 8);
	while (r == ESP || taken(g, r));
	g->clean &= ~(1u << r);
	return r;
}

static unsigned any(struct gen *g)
{
	unsigned r;

	do
		r = below(g, 8);
	while (r == ESP);
	return r;
}

/* A byte register to write. */
static unsigned dest8(struct gen *g)
{
	unsigned r;

	do
		r = below(g, 8);
	while (taken(g, r & 3));
	g->clean &= ~(1u << (r & 3));
	return r;
}

static int32_t small(struct gen *g)
{
	static const int32_t odd[] = { 0, 1, -1, 4, -4, 0xffd, 0x1000, 0x7f, -0x80 };

	return below(g, 3) ? (int32_t)below(g, 0x2000) - 0x1000 : odd[below(g, 9)];
}

/* ModRM, SIB, displacement of a memory operand; reg is the other field. */
static void mem(struct gen *g, unsigned reg)
{
	unsigned base, tries = 0;
	int32_t d = small(g);

	do
		base = below(g, 8);
	while ((base == ESP || !(g->clean >> base & 1)) && ++tries < 64);
	if (tries >= 64 || (!g->tame && !below(g, 30))) {
		/* no clean one, or on purpose: the stack */
		b1(g, 0x84 | reg << 3);
		b1(g, 0x24);
		b4(g, 0x40 + (uint32_t)(d & 0xfbc));	/* not a return address */
		return;
	}
	if (!g->tame && !below(g, 80)) {		/* an index, mostly wild */
		unsigned index = any(g);

		b1(g, 0x84 | reg << 3);
		b1(g, below(g, 4) << 6 | index << 3 | base);
		b4(g, (uint32_t)d);
		return;
	}
	if (d >= -128 && d < 128) {
		op2(g, 0x40 | reg << 3 | base, (uint8_t)d);
		return;
	}
	b1(g, 0x80 | reg << 3 | base);
	b4(g, (uint32_t)d);
}

static void modrm(struct gen *g, unsigned reg)
{
	if (below(g, 2))
		mem(g, reg);
	else
		b1(g, 0xc0 | reg << 3 | any(g));
}

static void define_flags(struct gen *g)
{
	op2(g, 0x39, 0xc0 | any(g) << 3 | any(g));	/* cmp r, r */
}

/* --- groups of instructions: each emits at most LONGEST bytes ------------------- */

static void alu(struct gen *g)
{
	unsigned op = below(g, 8), form = below(g, 5);
	bool half = !below(g, 6);

	if (op == 2 || op == 3)
		define_flags(g);
	if (half && form != 2)
		b1(g, 0x66);
	switch (form) {
	case 0:				/* op r/m, r */
		b1(g, op << 3 | 1);
		if (below(g, 2)) {
			mem(g, any(g));
		} else {
			unsigned s = any(g);

			b1(g, 0xc0 | s << 3 | (op == 7 ? any(g) : dest(g)));
		}
		break;
	case 1: {			/* op r, m */
		unsigned d = op == 7 ? any(g) : dest(g);

		b1(g, op << 3 | 3);
		mem(g, d);
		break;
	}
	case 2:				/* op r8, m8 or r8 */
		b1(g, op << 3 | 2);
		if (below(g, 2))
			mem(g, dest8(g));
		else
			b1(g, 0xc0 | dest8(g) << 3 | below(g, 8));
		break;
	case 3:				/* op m, imm8 */
		b1(g, 0x83);
		mem(g, op);
		b1(g, rnd(g));
		break;
	default:			/* op r, imm32 */
		if (half) {
			b1(g, 0x83);
			b1(g, 0xc0 | op << 3 | dest(g));
			b1(g, rnd(g));
			break;
		}
		b1(g, 0x81);
		if (g->nops < 16)
			g->ops[g->nops++] = g->at;
		b1(g, 0xc0 | op << 3 | dest(g));
		if (g->nimm < 16)
			g->imm[g->nimm++] = g->at;
		b4(g, rnd(g));
	}
}

static void move(struct gen *g)
{
	unsigned s;

	switch (below(g, 9)) {
	case 0: b1(g, 0x89); mem(g, any(g)); break;
	case 1: s = dest(g); b1(g, 0x8b); mem(g, s); break;
	case 2: b1(g, 0x88); mem(g, below(g, 8)); break;
	case 3: s = dest8(g); b1(g, 0x8a); mem(g, s); break;
	case 4: op2(g, 0x66, 0x89); mem(g, any(g)); break;
	case 5: b1(g, 0xc7); mem(g, 0); b4(g, rnd(g)); break;
	case 6: s = dest(g); op2(g, 0x0f, below(g, 2) ? 0xb6 : 0xbf); mem(g, s); break;
	case 7: s = dest(g); b1(g, 0x8d); mem(g, s); break;
	default:
		s = dest(g);
		b1(g, 0xb8 | s);
		if (g->nimm < 16)
			g->imm[g->nimm++] = g->at;
		b4(g, rnd(g));
	}
}

static void shift(struct gen *g)
{
	static const uint8_t ops[] = { 0, 1, 2, 3, 4, 5, 7 };
	unsigned op = ops[below(g, 7)];

	define_flags(g);
	if (below(g, 2)) {
		b1(g, below(g, 2) ? 0xc1 : 0xc0);
		mem(g, op);
		b1(g, rnd(g) & 31);
	} else {
		b1(g, 0xd3);
		b1(g, 0xc0 | op << 3 | dest(g));
	}
	define_flags(g);
}

static void bits(struct gen *g)
{
	static const uint8_t bt[] = { 0xa3, 0xab, 0xb3, 0xbb };
	unsigned s = any(g), d;

	switch (below(g, 6)) {
	case 0: op2(g, 0x0f, bt[below(g, 4)]); b1(g, 0xc0 | s << 3 | dest(g)); break;
	case 1: op2(g, 0x0f, 0xba); mem(g, 4 + below(g, 4)); b1(g, rnd(g) & 31); break;
	case 2: d = dest(g); op2(g, 0x0f, 0xbc | below(g, 2)); op2(g, 0xc0 | d << 3 | s, 0x90); break;
	case 3: op2(g, 0x0f, 0xc8 | dest(g)); break;
	case 4: op2(g, 0x0f, below(g, 2) ? 0xa4 : 0xac); mem(g, s); b1(g, rnd(g) & 31); break;
	default:			/* popcnt: its flags are defined */
		d = dest(g);
		b1(g, 0xf3);
		op2(g, 0x0f, 0xb8);
		mem(g, d);
	}
	define_flags(g);
}

static void muldiv(struct gen *g)
{
	unsigned op = 4 + below(g, 4);

	g->clean &= ~(1u << EAX | 1u << EDX);
	if (op >= 6 && below(g, 4))
		op2(g, 0x31, 0xd2);		/* xor %edx, %edx: fewer overflows */
	if (!below(g, 3)) {
		unsigned d = dest(g);

		op2(g, 0x0f, 0xaf);
		mem(g, d);
	} else {
		b1(g, below(g, 4) ? 0xf7 : 0xf6);
		modrm(g, op);
	}
	define_flags(g);
}

static void unary(struct gen *g)
{
	switch (below(g, 5)) {
	case 0: b1(g, 0xff); mem(g, below(g, 2)); break;	/* inc, dec */
	case 1: b1(g, 0xf7); mem(g, 2 + below(g, 2)); break;	/* not, neg */
	case 2: b1(g, 0x40 | below(g, 2) << 3 | dest(g)); break;
	case 3: b1(g, 0xfe); mem(g, below(g, 2)); break;
	default: b1(g, 0x98 | below(g, 2)); g->clean &= ~(1u << EAX | 1u << EDX);
	}
}

static void locked(struct gen *g)
{
	unsigned s = dest(g);

	if (below(g, 2))
		b1(g, 0xf0);
	switch (below(g, 4)) {
	case 0: op2(g, 0x0f, 0xc1); mem(g, s); break;		/* xadd */
	case 1: op2(g, 0x0f, 0xb1); mem(g, s); g->clean &= ~1u; break;	/* cmpxchg */
	case 2: op2(g, 0x0f, 0xc7); mem(g, 1); g->clean &= ~5u; break;	/* cmpxchg8b */
	default: b1(g, 0x87); mem(g, s);			/* xchg */
	}
}

static void conditional(struct gen *g)
{
	unsigned cc = below(g, 16), d;

	define_flags(g);
	switch (below(g, 3)) {
	case 0: op2(g, 0x0f, 0x90 | cc); mem(g, 0); break;
	case 1: op2(g, 0x0f, 0x90 | cc); b1(g, 0xc0 | dest8(g)); break;
	default: d = dest(g); op2(g, 0x0f, 0x40 | cc); mem(g, d);
	}
}

/* Balanced but for faults; memory operands go to the window. */
static void stack(struct gen *g)
{
	switch (below(g, 6)) {
	case 0: b1(g, 0x50 | any(g)); b1(g, 0x58 | dest(g)); break;
	case 1: b1(g, 0x68); b4(g, rnd(g)); b1(g, 0x8f); mem(g, 0); break;
	case 2: b1(g, 0xff); mem(g, 6); b1(g, 0x58 | dest(g)); break;
	case 3:
		if (g->in_loop)
			break;
		op2(g, 0x60, 0x61);
		break;
	case 4: define_flags(g); op2(g, 0x9c, 0x9d); break;
	default:			/* enter n, level; leave */
		b1(g, 0xc8);
		op2(g, below(g, 64), 0);
		op2(g, below(g, 3), 0xc9);
	}
}

/* REP strings with a bounded count, in both directions. */
static void strings(struct gen *g)
{
	static const uint8_t ops[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xa7,
				       0xae, 0xaf };
	unsigned op = ops[below(g, 10)];
	bool down = !below(g, 3), rep = !g->in_loop && below(g, 4);
	unsigned need = 1u << ESI | 1u << EDI;

	if ((g->clean & need) != need)
		return;
	if (down)
		b1(g, 0xfd);
	if (rep) {
		b1(g, 0xb9);
		b4(g, below(g, 4) ? below(g, 40) : below(g, 0x900));
		g->clean &= ~(1u << ECX);
		b1(g, op >= 0xa6 && op != 0xaa && op != 0xab && op != 0xac && op != 0xad ?
			0xf2 | below(g, 2) : 0xf3);
	}
	if (!below(g, 4) && (op & 1))
		b1(g, 0x66);
	b1(g, op);
	g->clean &= ~(1u << EAX);
	if (rep)		/* it may have gone far */
		g->clean &= ~need;
	if (down)
		b1(g, 0xfc);
}

static void vector(struct gen *g)
{
	/* paddd psubd pxor por pand pmulludq pcmpeqd punpckldq packsswb */
	static const uint8_t ops[] = { 0xfe, 0xfa, 0xef, 0xeb, 0xdb, 0xf4, 0x76, 0x62, 0x63 };
	unsigned x = below(g, 4);

	if (!g->simd)
		return;
	switch (below(g, 8)) {
	case 0: op2(g, 0xf3, 0x0f); b1(g, 0x6f); mem(g, x); break;	/* movdqu load */
	case 1: op2(g, 0xf3, 0x0f); b1(g, 0x7f); mem(g, x); break;	/* and store */
	case 2: op2(g, 0x66, 0x0f); b1(g, ops[below(g, 9)]); b1(g, 0xc0 | x << 3 | below(g, 4)); break;
	case 3: op2(g, 0x66, 0x0f); b1(g, 0x6e); mem(g, x); break;	/* movd */
	case 4: op2(g, 0x66, 0x0f); b1(g, 0xd6); mem(g, x); break;	/* movq store */
	case 6: op2(g, 0x66, 0x0f); b1(g, 0x6f | below(g, 2) << 4); mem(g, x); break;	/* movdqa: often #GP */
	case 5: b1(g, 0xdb); mem(g, 0); b1(g, 0xdd); mem(g, 3); break;	/* fild, fstpl */
	default: op2(g, 0xd9, 0xe8); op2(g, 0xdb, 0xc0); op2(g, 0xdd, 0xd8);	/* x87 stack */
	}
}

/* Change an immediate of this slot, before or behind us. */
static void self_modify(struct gen *g)
{
	uint32_t at;

	if (!g->smc || !g->nimm)
		return;
	at = g->where + g->imm[below(g, g->nimm)];
	/* absolute address, DS base 0 only */
	switch (below(g, 4)) {
	case 0: op2(g, 0xc7, 0x05); b4(g, at); b4(g, rnd(g)); break;
	case 1: op2(g, 0x80, 0x05); b4(g, at + below(g, 4)); b1(g, rnd(g)); break;
	case 2: op2(g, 0x89, 0x05 | any(g) << 3); b4(g, at); break;
	default:
		if (!g->nops)
			break;
		op2(g, 0x80, 0x35);	/* xorb $0x28: add <-> sub, or <-> and.. */
		b4(g, g->where + g->ops[below(g, g->nops)]);
		b1(g, 0x28);
	}
}

/* push address of what follows behind n more bytes */
static void push_behind(struct gen *g, unsigned n)
{
	b1(g, 0x68);
	b4(g, g->where + g->at + 4 + n);
}

/* Far returns, jumps and IRET to the next instruction. */
static void far_transfer(struct gen *g)
{
	switch (below(g, 3)) {
	case 0:
		b1(g, 0x0e), push_behind(g, 1), b1(g, 0xcb);
		break;
	case 1:
		b1(g, 0xea);
		b4(g, g->where + g->at + 6);
		op2(g, g->kernel ? 0x08 : 0x1b, 0);
		break;
	default:
		define_flags(g);
		op2(g, 0x9c, 0x0e), push_behind(g, 1), b1(g, 0xcf);
	}
}

/* Segment registers: stored, and loaded with what they hold. */
static void segment(struct gen *g)
{
	unsigned d;

	switch (below(g, 5)) {
	case 0: op2(g, 0x1e, 0x07); break;			/* push ds; pop es */
	case 1: op2(g, 0x16, 0x17); break;			/* push ss; pop ss */
	case 2: b1(g, 0x8c); mem(g, below(g, 4)); break;
	case 3:
		d = dest(g);
		op2(g, 0x8c, 0xd8 | d), op2(g, 0x8e, 0xc0 | d);	/* mov d, ds; mov es, d */
		break;
	default:			/* push ds; push imm; les d, [esp] */
		d = dest(g);
		op2(g, 0x1e, 0x68), b4(g, rnd(g));
		op2(g, 0xc4, 0x04 | d << 3), b1(g, 0x24);
		op2(g, 0x8d, 0x64), op2(g, 0x24, 0x08);
	}
}

/* What depends on privilege, and rare forms. */
static void system_insn(struct gen *g)
{
	unsigned s = any(g);

	switch (below(g, 9)) {
	case 0: op2(g, 0x66, 0x9c), op2(g, 0x66, 0x9d); break;	/* pushfw; popfw */
	case 1:
		if (g->kernel || !below(g, 8))
			b1(g, 0xfa);	/* cli: no interrupts here */
		break;
	case 2:				/* in and out, where there is nothing */
		if (!g->kernel && below(g, 8))
			break;
		g->clean &= ~(1u << EDX | 1u << EAX);
		b1(g, 0xba), b4(g, 0x1230 + below(g, 8));
		b1(g, 0xec | below(g, 4));
		break;
	case 3:
		if (below(g, 4))
			break;
		b1(g, 0x62), mem(g, s);		/* bound: mostly #BR */
		break;
	case 4: b1(g, 0x63), mem(g, s), define_flags(g); break;	/* arpl */
	case 5: g->clean &= ~1u; b1(g, 0xd7); break;		/* xlat */
	case 6: define_flags(g), g->clean &= ~1u, op2(g, 0x9f, 0x9e); break;	/* lahf; sahf */
	case 7: segment(g); break;
	default:
		if (!g->in_loop || below(g, 2))
			far_transfer(g);
	}
}

static void (*const groups[])(struct gen *) = {
	alu, alu, alu, move, move, move, move, shift, bits, muldiv, unary, locked,
	conditional, stack, strings, strings, vector, self_modify, self_modify,
	system_insn,
};

static void some(struct gen *g, unsigned n)
{
	while (n-- && room(g))
		groups[below(g, sizeof(groups) / sizeof(groups[0]))](g);
}

/* --- control flow --------------------------------------------------------------- */

static void branch(struct gen *g)
{
	unsigned from;

	define_flags(g);
	op2(g, 0x70 | below(g, 16), 0);
	from = g->at;
	for (unsigned n = below(g, 3) + 1; n && room(g) && g->at - from < 80; n--)
		some(g, 1);
	g->slot[from - 1] = (uint8_t)(g->at - from);
}

static void loop(struct gen *g)
{
	unsigned start;

	if (g->in_loop || g->at + 3 * LONGEST + TAIL > g->len)
		return;
	b1(g, 0xb9);
	b4(g, 1 + below(g, below(g, 4) ? 12 : 300));
	g->clean &= ~(1u << ECX);
	g->in_loop = true;
	start = g->at;
	for (unsigned n = 1 + below(g, 3); n && room(g) && g->at - start < 70; n--)
		some(g, 1);
	g->in_loop = false;
	op2(g, 0xe2, (uint8_t)(start - (g->at + 2)));
}

/* jmp over a function that is then called, directly or through a register */
static void call(struct gen *g)
{
	unsigned jump, fn, r;

	if (g->in_loop || g->at + 3 * LONGEST + TAIL > g->len)
		return;
	r = dest(g);			/* before the function, which runs after */
	op2(g, 0xeb, 0);
	jump = g->at;
	fn = g->at;
	some(g, 1 + below(g, 2));
	b1(g, 0xc3);
	g->slot[jump - 1] = (uint8_t)(g->at - jump);
	if (below(g, 2)) {
		b1(g, 0xe8);
		b4(g, fn - (g->at + 4));
	} else {
		b1(g, 0xb8 | r);
		b4(g, g->where + fn);
		op2(g, 0xff, 0xd0 | r);
	}
}

void random32_slot(uint8_t *slot, unsigned len, uint32_t where, uint64_t *rng,
		   struct random32 how)
{
	struct gen g = { .rng = rng, .slot = slot, .len = len, .where = where,
			 .tame = how.tame, .smc = how.smc, .simd = how.simd,
			 .kernel = how.kernel,
			 .clean = 1u << EBX | 1u << EBP | 1u << ESI | 1u << EDI };

	memset(slot, 0x90, len);
	while (room(&g)) {
		switch (below(&g, 8)) {
		case 0: branch(&g); break;
		case 1: loop(&g); break;
		case 2: call(&g); break;
		default: some(&g, 1);
		}
	}
	op2(&g, 0xcd, 0x41);
}
