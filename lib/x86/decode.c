/*
 * The decoder: prefixes, then a walk through the opcode tables, then operands.
 * Source: Intel SDM vol. 2, chapter 2.
 */
#include <errno.h>
#include <string.h>

#include "x86/table.h"

struct dec {
	struct x86_insn *in;
	const uint8_t *buf;
	unsigned pos, end;	/* end <= X86_INSN_MAX */
	bool w;			/* REX.W, VEX.W; in 64-bit code only */
	bool vex_w;		/* VEX.W in any mode */
	uint8_t vvvv;		/* VEX.vvvv, not inverted */
};

/* What a letter asks of the modrm byte and of VEX. */
enum {
	NEED_MODRM = 1, NEED_MEM = 2, NEED_REG = 4, NO_MEM = 8, USES_VVVV = 16,
	NEED_VSIB = 32,
};

static const uint8_t src_needs[] = {
	[X86_S_E] = NEED_MODRM, [X86_S_EW] = NEED_MODRM, [X86_S_EB] = NEED_MODRM,
	[X86_S_G] = NEED_MODRM, [X86_S_M] = NEED_MODRM | NEED_MEM,
	[X86_S_R] = NEED_MODRM | NEED_REG, [X86_S_RX] = NEED_MODRM | NO_MEM,
	[X86_S_SW] = NEED_MODRM, [X86_S_CR] = NEED_MODRM | NO_MEM,
	[X86_S_DR] = NEED_MODRM | NO_MEM,
	[X86_S_P] = NEED_MODRM, [X86_S_Q] = NEED_MODRM,
	[X86_S_N] = NEED_MODRM | NEED_REG,
	[X86_S_V] = NEED_MODRM, [X86_S_W] = NEED_MODRM,
	[X86_S_U] = NEED_MODRM | NEED_REG,
	[X86_S_H] = USES_VVVV, [X86_S_B] = USES_VVVV,
	[X86_S_VSIB] = NEED_MODRM | NEED_MEM | NEED_VSIB,
};

struct letter {
	uint8_t src, size, needs;
};

static const struct letter letters[X86_LETTERS] = {
#define OPERAND(name, src_, size_) [name] = { X86_S_##src_, size_, 0 },
	X86_OPERANDS
#undef OPERAND
};

/* Take n bytes, little-endian.  Longer than 15 bytes is a #GP, whatever the
 * bytes beyond would be. */
static int fetch(struct dec *d, unsigned n, uint64_t *val)
{
	uint64_t v = 0;

	if (d->pos + n > d->end) {
		d->pos = d->end;
		return d->end == X86_INSN_MAX ? -E2BIG : -EAGAIN;
	}
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)d->buf[d->pos + i] << (8 * i);
	d->pos += n;
	*val = v;
	return 0;
}

static int fetch8(struct dec *d, uint8_t *val)
{
	if (d->pos >= d->end)
		return d->end == X86_INSN_MAX ? -E2BIG : -EAGAIN;
	*val = d->buf[d->pos++];
	return 0;
}

static int64_t sign_extend(uint64_t v, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return (int64_t)(v << shift) >> shift;
}

/* Record a legacy prefix; false: the byte is none. */
static bool prefix_take(struct x86_insn *in, uint8_t b)
{
	switch (b) {
	case 0xf0:
		in->prefixes |= X86_P_LOCK;
		return true;
	case 0xf2:	/* the last of F2 and F3 counts */
		in->prefixes = (in->prefixes & ~X86_P_REP) | X86_P_REPNE;
		return true;
	case 0xf3:
		in->prefixes = (in->prefixes & ~X86_P_REPNE) | X86_P_REP;
		return true;
	case 0x66:
		in->prefixes |= X86_P_OPSIZE;
		return true;
	case 0x67:
		in->prefixes |= X86_P_ADSIZE;
		return true;
	case 0x26: case 0x2e: case 0x36: case 0x3e:
		if (in->mode != 64) {	/* in 64-bit code they mean nothing */
			in->seg = b >> 3 & 3;
			in->prefixes |= X86_P_SEG;
		}
		return true;
	case 0x64: case 0x65:
		in->seg = b - 0x64 + X86_FS;
		in->prefixes |= X86_P_SEG;
		return true;
	}
	return false;
}

/* Prefixes, up to and with the first byte that is none. */
static int prefixes_decode(struct dec *d, uint8_t *opcode)
{
	struct x86_insn *in = d->in;
	uint8_t b;

	for (;;) {
		if (d->pos >= d->end)
			return d->end == X86_INSN_MAX ? -E2BIG : -EAGAIN;
		b = d->buf[d->pos++];
		if (in->mode == 64 && (b & 0xf0) == 0x40)
			in->rex = b;
		else if (prefix_take(in, b))
			in->rex = 0;	/* REX counts only next to the opcode */
		else
			break;
	}
	if (in->rex)
		in->prefixes |= X86_P_REX;
	d->w = in->rex & 8;
	*opcode = b;
	return 0;
}

static void sizes_set(struct dec *d)
{
	struct x86_insn *in = d->in;
	bool p66 = in->prefixes & X86_P_OPSIZE, p67 = in->prefixes & X86_P_ADSIZE;

	if (in->mode == 64) {
		in->opsize = d->w ? 8 : p66 ? 2 : 4;
		in->adsize = p67 ? 4 : 8;
	} else {
		in->opsize = (in->mode == 32) != p66 ? 4 : 2;
		in->adsize = (in->mode == 32) != p67 ? 4 : 2;
	}
	if (in->prefixes & X86_P_REPNE)
		in->pp = 3;
	else if (in->prefixes & X86_P_REP)
		in->pp = 2;
	else
		in->pp = p66;
}

/* VEX: SDM vol. 2, 2.3.5.  The byte C4 or C5 has been taken. */
static int vex_decode(struct dec *d, uint8_t first, const struct x86_row **map)
{
	struct x86_insn *in = d->in;
	uint8_t b1, b2, select = 1;
	int rc;

	if (in->prefixes & (X86_P_LOCK | X86_P_REP | X86_P_REPNE | X86_P_OPSIZE |
			    X86_P_REX))
		return -EINVAL;
	rc = fetch8(d, &b1);
	if (rc)
		return rc;
	in->rex = 0x40 | (~b1 >> 5 & 4);
	b2 = b1 & 0x7f;
	if (first == 0xc4) {
		rc = fetch8(d, &b2);
		if (rc)
			return rc;
		in->rex |= (~b1 >> 5 & 3) | (b2 >> 4 & 8);
		select = b1 & 0x1f;
	}
	if (in->mode != 64)
		in->rex &= 0x48;
	d->vex_w = in->rex & 8;
	d->w = d->vex_w && in->mode == 64;
	d->vvvv = ~b2 >> 3 & 15;
	in->vvvv = in->mode == 64 ? d->vvvv : d->vvvv & 7;
	in->vl = b2 >> 2 & 1;
	in->prefixes |= X86_P_VEX;
	sizes_set(d);
	in->opsize = d->w ? 8 : 4;
	in->pp = b2 & 3;
	in->map = select;
	if (select < 1 || select > 3)
		return -EINVAL;
	*map = select == 1 ? x86_vex1 : select == 2 ? x86_vex2 : x86_vex3;
	return fetch8(d, &in->opcode);
}

/* The opcode bytes: finds the map, leaves in->opcode and opcode_off. */
static int opcode_decode(struct dec *d, const struct x86_row **map)
{
	struct x86_insn *in = d->in;
	uint8_t b;
	int rc;

	rc = prefixes_decode(d, &b);
	if (rc)
		return rc;
	if (b == 0xc4 || b == 0xc5 || b == 0x62) {
		/* LES, LDS and BOUND have no register form, nor 64-bit one */
		bool vector = in->mode == 64;

		if (!vector) {
			if (d->pos >= d->end)
				return fetch8(d, &b);
			vector = d->buf[d->pos] >= 0xc0;
		}
		if (vector)
			return b == 0x62 ? -EINVAL : vex_decode(d, b, map);
	}
	sizes_set(d);
	*map = x86_map1;
	in->opcode = b;
	if (b != 0x0f)
		return 0;
	rc = fetch8(d, &b);
	if (rc)
		return rc;
	in->map = 1;
	*map = x86_map2;
	if (b == 0x38 || b == 0x3a) {
		in->map = b == 0x38 ? 2 : 3;
		*map = b == 0x38 ? x86_map38 : x86_map3a;
		rc = fetch8(d, &b);
		if (rc)
			return rc;
	}
	in->opcode = b;
	return 0;
}

static int modrm_fetch(struct dec *d)
{
	struct x86_insn *in = d->in;

	if (in->has_modrm)
		return 0;
	in->has_modrm = true;
	in->modrm_off = d->pos;
	return fetch8(d, &in->modrm);
}

/* Follow the splits to an instruction's row, NULL in *out if there is none. */
static int row_find(struct dec *d, const struct x86_row *row,
		    const struct x86_row **out)
{
	struct x86_insn *in = d->in;

	while (row->split != X86_SPLIT_NONE) {
		unsigned i = 0;
		int rc;

		if (row->split <= X86_SPLIT_X87) {
			rc = modrm_fetch(d);
			if (rc)
				return rc;
		}
		switch ((enum x86_split)row->split) {
		case X86_SPLIT_NONE:
			break;
		case X86_SPLIT_REG:
			i = in->modrm >> 3 & 7;
			break;
		case X86_SPLIT_RM:
			i = in->modrm & 7;
			break;
		case X86_SPLIT_MOD:
			i = in->modrm >= 0xc0;
			break;
		case X86_SPLIT_X87:
			i = in->modrm & 63;
			break;
		case X86_SPLIT_PP:
			i = in->pp;
			break;
		case X86_SPLIT_F3:
			i = in->pp == 2;
			break;
		case X86_SPLIT_W:
			i = d->vex_w;
			break;
		case X86_SPLIT_W64:
			i = d->w;
			break;
		case X86_SPLIT_L:
			i = in->vl;
			break;
		case X86_SPLIT_B:
			i = in->rex & 1;
			break;
		case X86_SPLIT_64:
			i = in->mode == 64;
			break;
		}
		row = row->sub + i;
	}
	*out = row;
	return row->op == X86_INVALID ? -EINVAL : 0;
}

static int rules_check(struct dec *d, const struct x86_row *row)
{
	struct x86_insn *in = d->in;
	uint32_t r = row->rules;

	if (r & (in->mode == 64 ? I64 : O64))
		return -EINVAL;
	if (r & (NP | NFX)) {
		if (in->prefixes & (X86_P_REP | X86_P_REPNE))
			return -EINVAL;
		if (r & NP && in->prefixes & X86_P_OPSIZE)
			return -EINVAL;
	}
	if (r & ((in->vl ? L0 : L1) | (d->vex_w ? W0 : W1)))
		return -EINVAL;
	if (in->mode == 64 && r & (D64 | F64)) {
		if (r & F64 || in->opsize != 2 || d->w)
			in->opsize = 8;
	}
	return 0;
}

/* LOCK needs a memory destination of one of these.  SDM vol. 2, LOCK. */
static bool lock_allowed(const struct x86_insn *in)
{
	if (in->o[0].kind != X86_O_MEM)
		return false;
	switch (in->op) {
	case X86_ADD: case X86_OR: case X86_ADC: case X86_SBB: case X86_AND:
	case X86_SUB: case X86_XOR: case X86_INC: case X86_DEC: case X86_NEG:
	case X86_NOT: case X86_XCHG: case X86_XADD: case X86_CMPXCHG:
	case X86_CMPXCHG8B: case X86_CMPXCHG16B:
	case X86_BTS: case X86_BTR: case X86_BTC:
		return true;
	}
	return false;
}

static int disp_fetch(struct dec *d, unsigned n)
{
	struct x86_insn *in = d->in;
	uint64_t v;
	int rc;

	in->disp_off = d->pos;
	in->disp_len = n;
	rc = fetch(d, n, &v);
	if (!rc)
		in->disp = sign_extend(v, n);
	return rc;
}

/* SDM vol. 2, table 2-1. */
static int mem16_decode(struct dec *d)
{
	static const uint8_t base[8] = {
		X86_RBX, X86_RBX, X86_RBP, X86_RBP, X86_RSI, X86_RDI, X86_RBP, X86_RBX,
	};
	static const uint8_t index[8] = {
		X86_RSI, X86_RDI, X86_RSI, X86_RDI,
		X86_NOREG, X86_NOREG, X86_NOREG, X86_NOREG,
	};
	struct x86_insn *in = d->in;
	unsigned mod = in->modrm >> 6, rm = in->modrm & 7;

	if (mod == 0 && rm == 6)
		return disp_fetch(d, 2);
	in->base = base[rm];
	in->index = index[rm];
	return mod ? disp_fetch(d, mod) : 0;
}

/* SDM vol. 2, tables 2-2 and 2-3. */
static int mem32_decode(struct dec *d, bool vsib)
{
	struct x86_insn *in = d->in;
	unsigned mod = in->modrm >> 6, base = in->modrm & 7;
	int rc;

	if (base == 4) {
		unsigned index;

		rc = fetch8(d, &in->sib);
		if (rc)
			return rc;
		base = in->sib & 7;
		index = (in->sib >> 3 & 7) | (in->rex & 2) << 2;
		in->scale = in->sib >> 6;
		if (index != 4 || vsib)
			in->index = index;
		in->vsib = vsib;
	} else if (vsib) {
		return -EINVAL;
	} else if (base == 5 && mod == 0) {
		if (in->mode == 64)
			in->base = X86_RIP;
		return disp_fetch(d, 4);
	}
	if (base == 5 && mod == 0)
		return disp_fetch(d, 4);
	in->base = base | (in->rex & 1) << 3;
	if (mod == 0)
		return 0;
	return disp_fetch(d, mod == 1 ? 1 : 4);
}

static int mem_decode(struct dec *d, bool vsib)
{
	struct x86_insn *in = d->in;
	int rc;

	if (in->adsize == 2)
		rc = vsib ? -EINVAL : mem16_decode(d);
	else
		rc = mem32_decode(d, vsib);
	if (!(in->prefixes & X86_P_SEG) &&
	    (in->base == X86_RSP || in->base == X86_RBP))
		in->seg = X86_SS;
	return rc;
}

static unsigned size_of(const struct dec *d, uint8_t size)
{
	const struct x86_insn *in = d->in;

	if (size < X86_SZ_V)
		return size;
	switch ((enum x86_size)size) {
	case X86_SZ_V:
		return in->opsize;
	case X86_SZ_Z:
		return in->opsize == 2 ? 2 : 4;
	case X86_SZ_Y:
		return d->w ? 8 : 4;
	case X86_SZ_N:
		return in->mode == 64 ? 8 : 4;
	case X86_SZ_P:
		return in->opsize + 2;
	case X86_SZ_S:
		return in->mode == 64 ? 10 : 6;
	case X86_SZ_A:
		return 2 * in->opsize;
	case X86_SZ_X:
		return 16 << in->vl;
	case X86_SZ_X2:
		return 8 << in->vl;
	case X86_SZ_X4:
		return 4 << in->vl;
	case X86_SZ_X8:
		return 2 << in->vl;
	case X86_SZ_D:
		return in->vl ? 32 : 8;
	}
	return 0;
}

static void gpr_set(const struct x86_insn *in, struct x86_operand *o, unsigned reg)
{
	o->kind = X86_O_GPR;
	o->reg = reg;
	if (o->size == 1 && reg >= 4 && reg < 8 && !in->rex) {
		o->kind = X86_O_GPRH;
		o->reg = reg - 4;
	}
}

static void vec_set(struct x86_operand *o, unsigned reg)
{
	o->kind = o->size == 32 ? X86_O_YMM : X86_O_XMM;
	o->reg = reg;
}

/* An immediate of n bytes; the second one of an instruction goes to imm2. */
static int imm_fetch(struct dec *d, unsigned n, bool is_signed)
{
	struct x86_insn *in = d->in;
	bool second = in->imm_len != 0;
	uint64_t v = 0;
	int rc;

	if (!second)
		in->imm_off = d->pos;
	in->imm_len += n;
	rc = fetch(d, n, &v);
	if (is_signed)
		v = sign_extend(v, n);
	if (second)
		in->imm2 = v;
	else
		in->imm = v;
	return rc;
}

static int imm_decode(struct dec *d, unsigned src, struct x86_operand *o)
{
	struct x86_insn *in = d->in;
	unsigned n = o->size;
	int rc;

	o->kind = in->imm_len ? X86_O_IMM2 : X86_O_IMM;
	switch (src) {
	case X86_S_I:
		return imm_fetch(d, n, false);
	case X86_S_IS:
		return imm_fetch(d, n == 8 ? 4 : n, true);
	case X86_S_IBS:
		return imm_fetch(d, 1, true);
	case X86_S_ONE:
		in->imm = 1;
		return 0;
	case X86_S_J:
		o->kind = X86_O_REL;
		o->size = in->opsize;
		return imm_fetch(d, n, true);
	case X86_S_AP:
		o->kind = X86_O_FAR;
		rc = imm_fetch(d, in->opsize, false);
		return rc ? rc : imm_fetch(d, 2, false);
	}
	return -EINVAL;
}

static int special_decode(struct dec *d, unsigned src, struct x86_operand *o)
{
	struct x86_insn *in = d->in;
	unsigned reg = in->modrm >> 3 & 7;
	uint64_t v;
	int rc;

	switch (src) {
	case X86_S_O:
		o->kind = X86_O_MEM;
		in->disp_off = d->pos;
		in->disp_len = in->adsize;
		rc = fetch(d, in->adsize, &v);
		if (!rc)
			in->disp = v;
		return rc;
	case X86_S_SW:
		o->kind = X86_O_SEG;
		o->reg = reg;
		if (reg > X86_GS || (reg == X86_CS && o == in->o))
			return -EINVAL;
		return 0;
	case X86_S_SEG:
		o->kind = X86_O_SEG;
		o->reg = o->size;
		o->size = 2;
		return 0;
	case X86_S_CR:
		o->kind = X86_O_CR;
		o->reg = reg | (in->rex & 4) << 1;
		return 1u << o->reg & 0x11d ? 0 : -EINVAL;
	case X86_S_DR:
		o->kind = X86_O_DR;
		o->reg = reg;
		return in->rex & 4 ? -EINVAL : 0;
	case X86_S_ST0: case X86_S_STI:
		o->kind = X86_O_ST;
		o->reg = src == X86_S_STI ? in->modrm & 7 : 0;
		return 0;
	case X86_S_L:
		rc = imm_fetch(d, 1, false);
		vec_set(o, (unsigned)in->imm >> 4 & (in->mode == 64 ? 15 : 7));
		return rc;
	}
	return -EINVAL;
}

static int operand_decode(struct dec *d, unsigned src, struct x86_operand *o)
{
	struct x86_insn *in = d->in;
	unsigned rm = (in->modrm & 7) | (in->rex & 1) << 3;
	unsigned reg = (in->modrm >> 3 & 7) | (in->rex & 4) << 1;
	bool mem = in->modrm < 0xc0;

	switch ((enum x86_src)src) {
	case X86_S_EW: case X86_S_EB:
		if (mem)
			o->size = src == X86_S_EW ? 2 : 1;
		/* fall through */
	case X86_S_E:
		if (mem)
			break;
		/* fall through */
	case X86_S_R: case X86_S_RX:
		gpr_set(in, o, rm);
		return 0;
	case X86_S_G:
		gpr_set(in, o, reg);
		return 0;
	case X86_S_Z:
		gpr_set(in, o, (in->opcode & 7) | (in->rex & 1) << 3);
		return 0;
	case X86_S_B:
		gpr_set(in, o, in->vvvv);
		return 0;
	case X86_S_AX: case X86_S_CX: case X86_S_DX:
		o->kind = X86_O_GPR;
		o->reg = src - X86_S_AX;
		return 0;
	case X86_S_M: case X86_S_VSIB:
		break;
	case X86_S_P:
		o->kind = X86_O_MMX;
		o->reg = reg & 7;
		return 0;
	case X86_S_Q:
		if (mem)
			break;
		/* fall through */
	case X86_S_N:
		o->kind = X86_O_MMX;
		o->reg = rm & 7;
		return 0;
	case X86_S_V:
		vec_set(o, reg);
		return 0;
	case X86_S_W:
		if (mem)
			break;
		/* fall through */
	case X86_S_U:
		vec_set(o, rm);
		return 0;
	case X86_S_H:
		vec_set(o, in->vvvv);
		return 0;
	case X86_S_XMM0:
		vec_set(o, 0);
		return 0;
	case X86_S_I: case X86_S_IS: case X86_S_IBS: case X86_S_ONE:
	case X86_S_J: case X86_S_AP:
		return imm_decode(d, src, o);
	default:
		return special_decode(d, src, o);
	}
	o->kind = X86_O_MEM;
	return 0;
}

/* Gathers fault when two of destination, index and mask are the same register:
 * SDM vol. 2, VPGATHERDD. */
static bool gather_clash(const struct x86_insn *in)
{
	return in->o[0].reg == in->index || in->o[0].reg == in->o[2].reg ||
	       in->index == in->o[2].reg;
}

static int operands_decode(struct dec *d, const struct x86_row *row)
{
	struct x86_insn *in = d->in;
	unsigned needs = 0, n;
	int rc;

	for (n = 0; n < 4 && row->o[n]; n++)
		needs |= src_needs[letters[row->o[n]].src];
	if (needs & NEED_MODRM) {
		rc = modrm_fetch(d);
		if (rc)
			return rc;
	}
	if (needs & (in->modrm >= 0xc0 ? NEED_MEM : NEED_REG))
		return -EINVAL;
	if (in->prefixes & X86_P_VEX && !(needs & USES_VVVV) && d->vvvv)
		return -EINVAL;
	if (in->has_modrm && in->modrm < 0xc0 && !(needs & NO_MEM)) {
		rc = mem_decode(d, needs & NEED_VSIB);
		if (rc)
			return rc;
	}
	in->nops = n;
	for (unsigned i = 0; i < n; i++) {
		const struct letter *l = &letters[row->o[i]];
		struct x86_operand *o = &in->o[i];

		o->size = size_of(d, l->size);
		o->access = row->access >> (2 * i) & 3;
		rc = operand_decode(d, l->src, o);
		if (rc)
			return rc;
	}
	return 0;
}

/* The columns that are copied, and what follows from the operands. */
static int row_apply(struct dec *d, const struct x86_row *row)
{
	struct x86_insn *in = d->in;

	in->op = row->op;
	in->how = row->how;
	in->unit = row->unit;
	in->feat = row->feat;
	in->cond = in->opcode & 15;
	in->priv = row->rules & PRIV ? 1 : row->rules & IOPL ? 2 : 0;
	if (in->vl && row->rules & A2)
		in->feat = X86_F_AVX2;
	if (in->vl && row->rules & VA)
		in->feat = in->feat == X86_F_AES ? X86_F_VAES : X86_F_VPCLMUL;
	if (row->rules & GATHER && gather_clash(in))
		return -EINVAL;
	if (row->rules & AL_) {
		in->aligned = 1;
	} else if (row->unit == X86_U_SSE && !(row->rules & UA)) {
		for (unsigned i = 0; i < in->nops; i++)
			if (in->o[i].kind == X86_O_MEM && in->o[i].size == 16)
				in->aligned = 1;
	}
	if (in->prefixes & X86_P_LOCK && !lock_allowed(in))
		return -EINVAL;
	return 0;
}

int x86_decode(struct x86_insn *in, const uint8_t *buf, size_t len, unsigned mode)
{
	const struct x86_row *map = NULL, *row = NULL;
	struct dec d = { .in = in, .buf = buf };
	int rc;

	memset(in, 0, sizeof(*in));
	in->mode = mode;
	in->seg = X86_DS;
	in->base = in->index = X86_NOREG;
	d.end = len < X86_INSN_MAX ? len : X86_INSN_MAX;

	rc = opcode_decode(&d, &map);
	if (!rc) {
		in->opcode_off = d.pos - 1;
		rc = row_find(&d, map + in->opcode, &row);
	}
	if (!rc)
		rc = rules_check(&d, row);
	if (!rc)
		rc = operands_decode(&d, row);
	if (!rc)
		rc = row_apply(&d, row);
	in->len = d.pos;
	return rc ? rc : (int)d.pos;
}
