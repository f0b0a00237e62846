/*
 * Operands: modrm, SIB, displacement, immediates, by the letters of a table row.
 * Source: Intel SDM vol. 2, 2.1 and appendix A.2.
 */
#include "x86/decode.h"

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

/* Take n bytes, little-endian. */
static int fetch(struct x86_dec *d, unsigned n, uint64_t *val)
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

static int64_t sign_extend(uint64_t v, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return (int64_t)(v << shift) >> shift;
}

static int disp_fetch(struct x86_dec *d, unsigned n)
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
static int mem16_decode(struct x86_dec *d)
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
static int mem32_decode(struct x86_dec *d, bool vsib)
{
	struct x86_insn *in = d->in;
	unsigned mod = in->modrm >> 6, base = in->modrm & 7;
	int rc;

	if (base == 4) {
		unsigned index;

		rc = x86_fetch8(d, &in->sib);
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

static int mem_decode(struct x86_dec *d, bool vsib)
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

static unsigned size_of(const struct x86_dec *d, uint8_t size)
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
static int imm_fetch(struct x86_dec *d, unsigned n, bool is_signed)
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

static int imm_decode(struct x86_dec *d, unsigned src, struct x86_operand *o)
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

static int special_decode(struct x86_dec *d, unsigned src, struct x86_operand *o)
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
		d->only32 = in->mode != 64 && in->imm & 0x80;
		return rc;
	}
	return -EINVAL;
}

static int operand_decode(struct x86_dec *d, unsigned src, struct x86_operand *o)
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

int x86_operands_decode(struct x86_dec *d, const struct x86_row *row)
{
	struct x86_insn *in = d->in;
	unsigned needs = 0, n;
	int rc;

	for (n = 0; n < 4 && row->o[n]; n++)
		needs |= src_needs[letters[row->o[n]].src];
	if (needs & NEED_MODRM) {
		rc = x86_modrm_fetch(d);
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

		/* W for a general register counts in 64-bit code only */
		if (l->size == X86_SZ_Y && !d->w)
			in->rex &= ~8;
		o->size = size_of(d, l->size);
		o->access = row->access >> (2 * i) & 3;
		rc = operand_decode(d, l->src, o);
		if (rc)
			return rc;
	}
	return 0;
}
