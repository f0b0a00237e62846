/*
 * The decoder: prefixes, then a walk through the opcode tables, then operands.
 * Source: Intel SDM vol. 2, chapter 2.
 */
#include <string.h>

#include "x86/decode.h"

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
static int prefixes_decode(struct x86_dec *d, uint8_t *opcode)
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

static void sizes_set(struct x86_dec *d)
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
static int vex_decode(struct x86_dec *d, uint8_t first, const struct x86_row **map)
{
	struct x86_insn *in = d->in;
	uint8_t b1, b2, select = 1;
	int rc;

	if (in->prefixes & (X86_P_LOCK | X86_P_REP | X86_P_REPNE | X86_P_OPSIZE |
			    X86_P_REX))
		return -EINVAL;
	rc = x86_fetch8(d, &b1);
	if (rc)
		return rc;
	in->rex = 0x40 | (~b1 >> 5 & 4);
	b2 = b1 & 0x7f;
	if (first == 0xc4) {
		rc = x86_fetch8(d, &b2);
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
	return x86_fetch8(d, &in->opcode);
}

/* The opcode bytes: finds the map, leaves in->opcode and opcode_off. */
static int opcode_decode(struct x86_dec *d, const struct x86_row **map)
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
				return x86_fetch8(d, &b);
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
	rc = x86_fetch8(d, &b);
	if (rc)
		return rc;
	in->map = 1;
	*map = x86_map2;
	if (b == 0x38 || b == 0x3a) {
		in->map = b == 0x38 ? 2 : 3;
		*map = b == 0x38 ? x86_map38 : x86_map3a;
		rc = x86_fetch8(d, &b);
		if (rc)
			return rc;
	}
	in->opcode = b;
	return 0;
}

/* Follow the splits to an instruction's row, NULL in *out if there is none. */
static int row_find(struct x86_dec *d, const struct x86_row *row,
		    const struct x86_row **out)
{
	struct x86_insn *in = d->in;

	while (row->split != X86_SPLIT_NONE) {
		unsigned i = 0;
		int rc;

		if (row->split <= X86_SPLIT_X87) {
			rc = x86_modrm_fetch(d);
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

static int rules_check(struct x86_dec *d, const struct x86_row *row)
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

/* Gathers fault when two of destination, index and mask are the same register:
 * SDM vol. 2, VPGATHERDD. */
static bool gather_clash(const struct x86_insn *in)
{
	return in->o[0].reg == in->index || in->o[0].reg == in->o[2].reg ||
	       in->index == in->o[2].reg;
}

/* The columns that are copied, and what follows from the operands. */
static int row_apply(struct x86_dec *d, const struct x86_row *row)
{
	struct x86_insn *in = d->in;

	in->op = row->op;
	in->how = d->only32 ? X86_HOW_CALLOUT : row->how;
	in->unit = row->unit;
	in->feat = row->feat;
	if (in->feat == X86_F_LAHF64 && in->mode != 64)
		in->feat = X86_F_BASE;	/* every processor has it in legacy code */
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
	struct x86_dec d = { .in = in, .buf = buf };
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
		rc = x86_operands_decode(&d, row);
	if (!rc)
		rc = row_apply(&d, row);
	in->len = d.pos;
	return rc ? rc : (int)d.pos;
}
