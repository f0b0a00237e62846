#include "random16.h"

#include <string.h>

enum { AX, CX, DX, BX, SP, BP, SI, DI };
enum { LONGEST = 48, TAIL = 4 };

struct gen {
	uint64_t *rng;
	uint8_t *slot;
	unsigned at, len;
	bool simd, smc, in_loop;	/* in_loop: CX is taken */
	bool cs_writable;		/* V86 mode: a store through CS would go anywhere */
	bool wide, wide_address;	/* prefixes of the current instruction */
	unsigned imm[16], nimm;		/* offsets of immediates */
};

static unsigned below(struct gen *g, unsigned n)
{
	*g->rng = *g->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*g->rng >> 33) % n;
}

static void b1(struct gen *g, unsigned v)
{
	g->slot[g->at++] = (uint8_t)v;
}

static void op2(struct gen *g, unsigned a, unsigned b)
{
	b1(g, a);
	b1(g, b);
}

static void bytes(struct gen *g, unsigned n)
{
	while (n--)
		b1(g, below(g, 256));
}

/* An immediate of the operand size, perhaps to be changed later. */
static void imm(struct gen *g)
{
	if (g->nimm < 16)
		g->imm[g->nimm++] = g->at;
	bytes(g, g->wide ? 4 : 2);
}

static unsigned dest(struct gen *g)
{
	unsigned r;

	do
		r = below(g, 8);
	while (r == SP || (r == CX && g->in_loop));
	return r;
}

static unsigned dest8(struct gen *g)
{
	unsigned r;

	do
		r = below(g, 8);
	while ((r & 3) == CX && g->in_loop);
	return r;
}

/* Operand size, address size, segment. */
static void prefixes(struct gen *g)
{
	static const uint8_t seg[] = { 0x26, 0x26, 0x36, 0x36, 0x65, 0x3e };

	g->wide = !below(g, 5);
	g->wide_address = !below(g, 6);
	if (g->wide)
		b1(g, 0x66);
	if (g->wide_address)
		b1(g, 0x67);
	if (!below(g, 5))
		b1(g, below(g, 40) ? seg[below(g, 6)] : g->cs_writable ? 0x3e : 0x2e);
}

static void mem(struct gen *g, unsigned reg)
{
	static const uint8_t bases[] = { BX, BP, SI, DI };
	unsigned mod = below(g, 3), rm = below(g, 8);

	if (!g->wide_address) {
		b1(g, mod << 6 | reg << 3 | rm);
		bytes(g, mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
		return;
	}
	rm = bases[below(g, 4)];
	if (!below(g, 12)) {		/* with an index or ESP */
		op2(g, 0x44 | reg << 3, below(g, 2) << 6 | below(g, 8) << 3 | below(g, 8));
		bytes(g, 1);
	} else {
		op2(g, 0x40 | reg << 3 | rm, below(g, 256));
	}
}

static void modrm(struct gen *g, unsigned reg, bool writes)
{
	if (below(g, 3))
		mem(g, reg);
	else
		b1(g, 0xc0 | reg << 3 | (writes ? dest(g) : below(g, 8)));
}

/* cmp r, r: what the manual leaves undefined ends here. */
static void define_flags(struct gen *g)
{
	op2(g, 0x39, 0xc0 | below(g, 64));
}

/* --- groups: each emits at most LONGEST bytes ---------------------------------- */

static void alu(struct gen *g)
{
	unsigned op = below(g, 8);

	if (op == 2 || op == 3)
		define_flags(g);
	prefixes(g);
	switch (below(g, 6)) {
	case 0: b1(g, op << 3 | 1); modrm(g, below(g, 8), op != 7); break;
	case 1: b1(g, op << 3 | 3); modrm(g, op == 7 ? below(g, 8) : dest(g), false); break;
	case 2: b1(g, op << 3); mem(g, below(g, 8)); break;
	case 3: b1(g, op << 3 | 2); mem(g, dest8(g)); break;
	case 4: b1(g, 0x81); modrm(g, op, op != 7); imm(g); break;
	default: b1(g, 0x83); modrm(g, op, op != 7); bytes(g, 1);
	}
}

static void move(struct gen *g)
{
	prefixes(g);
	switch (below(g, 10)) {
	case 0: b1(g, 0x89); modrm(g, below(g, 8), true); break;
	case 1: b1(g, 0x8b); modrm(g, dest(g), false); break;
	case 2: b1(g, 0x88); mem(g, below(g, 8)); break;
	case 3: b1(g, 0x8a); mem(g, dest8(g)); break;
	case 4: b1(g, 0xc7); mem(g, 0); imm(g); break;
	case 5: b1(g, 0xc6); mem(g, 0); bytes(g, 1); break;
	case 6: b1(g, 0xa0 | below(g, 4)); bytes(g, 2);
		if (g->wide_address)
			op2(g, 0, 0);
		break;
	case 7: b1(g, 0x8d); mem(g, dest(g)); break;
	case 8: op2(g, 0x0f, 0xb6 | below(g, 2) << 3 | below(g, 2)); mem(g, dest(g)); break;
	default: b1(g, 0xb8 | dest(g)); imm(g);
	}
}

static void shift(struct gen *g)
{
	static const uint8_t ops[] = { 0, 1, 2, 3, 4, 5, 7 };
	unsigned op = ops[below(g, 7)];

	define_flags(g);
	prefixes(g);
	if (!below(g, 4)) {
		op2(g, 0x0f, below(g, 2) ? 0xa4 : 0xac);
		modrm(g, below(g, 8), true);
		b1(g, below(g, 16));
	} else if (below(g, 2)) {
		b1(g, below(g, 2) ? 0xc1 : 0xc0);
		mem(g, op);
		b1(g, below(g, 32));
	} else {
		b1(g, 0xd3);
		modrm(g, op, true);
	}
	define_flags(g);
}

static void bits(struct gen *g)
{
	static const uint8_t bt[] = { 0xa3, 0xab, 0xb3, 0xbb };

	prefixes(g);
	switch (below(g, 4)) {
	case 0:
	case 1: op2(g, 0x0f, bt[below(g, 4)]); modrm(g, below(g, 8), true); break;
	case 2: op2(g, 0x0f, 0xba); modrm(g, 4 + below(g, 4), true); bytes(g, 1); break;
	default: b1(g, 0xf3); op2(g, 0x0f, 0xb8); modrm(g, dest(g), false);
	}
	define_flags(g);
}

static void arithmetic(struct gen *g)
{
	unsigned op = 2 + below(g, 6);

	if (op >= 6 && below(g, 4))
		op2(g, 0x31, 0xd2);	/* xor dx, dx: fewer overflows */
	prefixes(g);
	switch (below(g, 4)) {
	case 0: b1(g, 0xff); modrm(g, below(g, 2), true); break;
	case 1: op2(g, 0x0f, 0xaf); modrm(g, dest(g), false); break;
	case 2: b1(g, 0x98 | below(g, 2)); break;
	default: b1(g, below(g, 4) ? 0xf7 : 0xf6); mem(g, op);
	}
	define_flags(g);
}

static void stack(struct gen *g)
{
	bool loop = g->in_loop;

	prefixes(g);
	switch (below(g, 12)) {
	case 0: b1(g, 0x50 | below(g, 8)); break;
	case 1: b1(g, 0x58 | dest(g)); break;
	case 2: b1(g, 0x68); imm(g); break;
	case 3: op2(g, 0x6a, below(g, 256)); break;
	case 4: b1(g, 0xff); mem(g, 6); break;
	case 5: b1(g, 0x8f); mem(g, 0); break;
	case 6: b1(g, loop ? 0x60 : 0x60 | below(g, 2)); break;
	case 7: define_flags(g); op2(g, 0x9c, 0x9d); break;
	case 8: b1(g, 0xc8); op2(g, below(g, 64), 0); b1(g, below(g, 3)); break;
	case 9: b1(g, 0xc9); break;
	case 10: b1(g, below(g, 2) ? 0x06 : 0x16); break;	/* push es, ss */
	default: op2(g, 0x06, 0x1f); op2(g, 0x1e, 0x07);	/* exchange es, ds */
	}
}

static void segments(struct gen *g)
{
	prefixes(g);
	switch (below(g, 6)) {
	case 0: b1(g, 0x8c); modrm(g, 0, true); break;
	case 1: b1(g, 0x8c); modrm(g, 3, true); break;
	case 2: op2(g, 0x8c, 0xd8); op2(g, 0x8e, 0xc0); break;	/* es = ds */
	case 3: b1(g, 0xd7); break;				/* xlat */
	case 4: define_flags(g); op2(g, 0x9f, 0x9e); break;
	default:
		if (!below(g, 20) && !g->smc) {		/* V86: it may reach the code */
			b1(g, 0xc4 | below(g, 2));
			mem(g, dest(g));
		}
	}
}

static void exchange(struct gen *g)
{
	prefixes(g);
	switch (below(g, 4)) {
	case 0: op2(g, 0x0f, 0xc1); mem(g, dest(g)); break;
	case 1: op2(g, 0x0f, 0xb1); mem(g, below(g, 8)); break;
	case 2: op2(g, 0x0f, 0xc7); mem(g, 1); break;
	default: b1(g, 0x87); mem(g, dest(g));
	}
}

static void conditional(struct gen *g)
{
	unsigned cc = below(g, 16);

	define_flags(g);
	prefixes(g);
	if (below(g, 2)) {
		op2(g, 0x0f, 0x90 | cc);
		mem(g, 0);
	} else {
		op2(g, 0x0f, 0x40 | cc);
		modrm(g, dest(g), false);
	}
}

static void strings(struct gen *g)
{
	static const uint8_t ops[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xa7,
				       0xae, 0xaf };
	bool down = !below(g, 4), rep = !g->in_loop && !below(g, 3);

	if (down)
		b1(g, 0xfd);
	if (rep) {
		b1(g, 0x66);
		b1(g, 0xb9);
		op2(g, below(g, 256), below(g, 4) ? 0 : below(g, 9));
		op2(g, 0, 0);
	}
	prefixes(g);
	if (rep)
		b1(g, 0xf2 | below(g, 2));
	b1(g, ops[below(g, 10)]);
	if (down)
		b1(g, 0xfc);
}

static void vector(struct gen *g)
{
	unsigned x = below(g, 4);

	if (!g->simd)
		return;
	g->wide_address = false;
	switch (below(g, 5)) {
	case 0: op2(g, 0xf3, 0x0f); b1(g, 0x6f); mem(g, x); break;
	case 1: op2(g, 0xf3, 0x0f); b1(g, 0x7f); mem(g, x); break;
	case 2: op2(g, 0x66, 0x0f); op2(g, 0xfe, 0xc0 | x << 3 | below(g, 4)); break;
	case 3: op2(g, 0x66, 0x0f); b1(g, 0x6e); mem(g, x); break;
	default: b1(g, 0xdb); mem(g, 0); b1(g, 0xdd); mem(g, 3);
	}
}

static void self_modify(struct gen *g)
{
	unsigned at;

	if (!g->smc || !g->nimm || (g->in_loop && below(g, 6)))
		return;
	at = SLOT16_IP + g->imm[below(g, g->nimm)];
	b1(g, 0x64);
	if (below(g, 2)) {
		op2(g, 0xc7, 0x06);
		op2(g, at & 255, at >> 8);
		bytes(g, 2);
	} else {
		op2(g, 0x88, 0x06 | below(g, 8) << 3);
		op2(g, at & 255, at >> 8);
	}
}

/* Stores nothing, as a wild return could loop for ever. */
static void leaf(struct gen *g)
{
	prefixes(g);
	b1(g, below(g, 2) ? 0x8b : 8 * below(g, 2) * 5 + 3);	/* mov, add, sub */
	modrm(g, dest(g), false);
}

static void (*const groups[])(struct gen *) = {
	alu, alu, alu, move, move, move, move, shift, bits, arithmetic, stack, stack,
	segments, exchange, conditional, strings, strings, vector, self_modify,
};

static bool room(const struct gen *g)
{
	return g->at + LONGEST + TAIL <= g->len;
}

static void some(struct gen *g, unsigned n)
{
	while (n-- && room(g))
		groups[below(g, sizeof(groups) / sizeof(groups[0]))](g);
}

/* --- control flow --------------------------------------------------------------- */

/* A jump over a few instructions: short, near, with the other operand size. */
static void branch(struct gen *g)
{
	unsigned form = below(g, 4), from;

	define_flags(g);
	if (form == 3)
		b1(g, 0x66);
	if (form == 0)
		b1(g, 0x70 | below(g, 16));
	else if (form == 1)
		b1(g, g->in_loop ? 0xeb : 0xe3);
	else
		op2(g, 0x0f, 0x80 | below(g, 16));
	g->at += form < 2 ? 1 : form == 2 ? 2 : 4;
	from = g->at;
	some(g, 1 + below(g, 2));
	memset(g->slot + from - (form < 2 ? 1 : form == 2 ? 2 : 4), 0,
	       form < 2 ? 1 : form == 2 ? 2 : 4);
	g->slot[from - (form < 2 ? 1 : form == 2 ? 2 : 4)] = (uint8_t)(g->at - from);
}

static void loop(struct gen *g)
{
	unsigned start, n = 1 + below(g, below(g, 4) ? 12 : 150);

	if (g->in_loop || g->at + 3 * LONGEST + TAIL > g->len)
		return;
	op2(g, 0x66, 0xb9);
	op2(g, n & 255, n >> 8);
	op2(g, 0, 0);
	g->in_loop = true;
	start = g->at;
	for (n = 1 + below(g, 3); n && room(g) && g->at - start < 70; n--)
		some(g, 1);
	g->in_loop = false;
	n = below(g, 6);
	if (!n)
		b1(g, 0x67);
	op2(g, n > 3 ? 0xe0 | (n & 1) : 0xe2, 0);
	g->slot[g->at - 1] = (uint8_t)(start - g->at);
}

/* jmp over a function that is then called */
static void call(struct gen *g)
{
	unsigned jump, fn, r = dest(g), wide = !below(g, 4);

	if (g->in_loop || g->at + 3 * LONGEST + TAIL > g->len)
		return;
	op2(g, 0xeb, 0);
	jump = fn = g->at;
	for (unsigned n = 1 + below(g, 2); n; n--)
		leaf(g);
	if (wide)
		b1(g, 0x66);
	b1(g, 0xc3);
	g->slot[jump - 1] = (uint8_t)(g->at - jump);
	if (below(g, 2)) {
		if (wide)
			b1(g, 0x66);
		b1(g, 0xe8);
		g->at += wide ? 4 : 2;
		memset(g->slot + g->at - (wide ? 4 : 2), 0xff, wide ? 4 : 2);
		jump = fn - g->at;
		g->slot[g->at - (wide ? 4 : 2)] = (uint8_t)jump;
		g->slot[g->at - (wide ? 3 : 1)] = (uint8_t)(jump >> 8);
	} else {
		b1(g, 0x66);
		b1(g, 0xb8 | r);
		op2(g, (SLOT16_IP + fn) & 255, (SLOT16_IP + fn) >> 8);
		if (below(g, 40))
			op2(g, 0, 0);
		else
			bytes(g, 2);		/* beyond the limit */
		if (wide)
			b1(g, 0x66);
		op2(g, 0xff, 0xd0 | r);
	}
}

void random16_slot(uint8_t *slot, unsigned len, uint64_t *rng, bool simd, bool smc,
		   bool v86)
{
	struct gen g = { .rng = rng, .slot = slot, .len = len, .simd = simd, .smc = smc,
			 .cs_writable = v86 && smc };

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
