#include "bt/emit.h"

static void put_opcode(struct emit *e, unsigned op)
{
	if (op > 0xff)
		e8(e, (uint8_t)(op >> 8));
	e8(e, (uint8_t)op);
}

void emit_rm(struct emit *e, unsigned op, unsigned reg, unsigned base,
	     unsigned index, unsigned scale, int32_t disp, unsigned w)
{
	bool nobase = base == X86_NOREG, noindex = index == X86_NOREG;
	unsigned rex = w | (reg & 8) >> 1 | (noindex ? 0 : (index & 8) >> 2) |
		       (nobase ? 0 : (base & 8) >> 3);
	unsigned mod;

	if (rex)
		e8(e, (uint8_t)(0x40 | rex));
	put_opcode(e, op);
	if (nobase)
		mod = 0;
	else if (disp == 0 && (base & 7) != X86_RBP)
		mod = 0;
	else
		mod = disp >= -128 && disp <= 127 ? 1 : 2;
	if (nobase || !noindex || (base & 7) == X86_RSP) {
		e8(e, (uint8_t)(mod << 6 | (reg & 7) << 3 | 4));
		e8(e, (uint8_t)(scale << 6 | (noindex ? 4 : index & 7) << 3 |
				(nobase ? 5 : base & 7)));
	} else {
		e8(e, (uint8_t)(mod << 6 | (reg & 7) << 3 | (base & 7)));
	}
	if (nobase || mod == 2)
		e32(e, (uint32_t)disp);
	else if (mod == 1)
		e8(e, (uint8_t)disp);
}

void emit_rr(struct emit *e, unsigned op, unsigned reg, unsigned rm, unsigned w)
{
	unsigned rex = w | (reg & 8) >> 1 | (rm & 8) >> 3;

	if (rex)
		e8(e, (uint8_t)(0x40 | rex));
	put_opcode(e, op);
	e8(e, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

void emit_mov_rr(struct emit *e, unsigned dst, unsigned src)
{
	emit_rr(e, 0x89, src, dst, EMIT_64);
}

void emit_mov_ri(struct emit *e, unsigned dst, uint32_t imm)
{
	if (dst & 8)
		e8(e, 0x41);
	e8(e, (uint8_t)(0xb8 | (dst & 7)));
	e32(e, imm);
}

void emit_lea(struct emit *e, unsigned dst, unsigned base, unsigned index,
	      unsigned scale, int32_t disp, unsigned w)
{
	emit_rm(e, 0x8d, dst, base, index, scale, disp, w);
}

void emit_load(struct emit *e, unsigned dst, int32_t off, unsigned w)
{
	emit_rm(e, 0x8b, dst, X86_R15, X86_NOREG, 0, off, w);
}

void emit_store(struct emit *e, int32_t off, unsigned src, unsigned w)
{
	emit_rm(e, 0x89, src, X86_R15, X86_NOREG, 0, off, w);
}

void emit_store_imm32(struct emit *e, int32_t off, uint32_t imm)
{
	emit_rm(e, 0xc7, 0, X86_R15, X86_NOREG, 0, off, EMIT_32);
	e32(e, imm);
}

void emit_alu_ri(struct emit *e, unsigned alu, unsigned reg, uint32_t imm)
{
	emit_rr(e, 0x81, alu, reg, EMIT_32);
	e32(e, imm);
}

void emit_rorx(struct emit *e, unsigned dst, unsigned src, unsigned n)
{
	/* VEX.LZ.F2.0F3A.W0 F0 /r ib */
	e8(e, 0xc4);
	e8(e, (uint8_t)((dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 3));
	e8(e, 0x7b);
	e8(e, 0xf0);
	e8(e, (uint8_t)(0xc0 | (dst & 7) << 3 | (src & 7)));
	e8(e, (uint8_t)n);
}

void emit_shiftx(struct emit *e, unsigned pp, unsigned dst, unsigned src,
		 unsigned count)
{
	/* VEX.LZ.pp.0F38.W0 F7 /r, count in vvvv */
	e8(e, 0xc4);
	e8(e, (uint8_t)((dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 2));
	e8(e, (uint8_t)((~count & 15) << 3 | pp));
	e8(e, 0xf7);
	e8(e, (uint8_t)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

static void put_rel32(struct emit *e, uint8_t *at, const uint8_t *target)
{
	int64_t rel = target - (at + 4 + e->exec_delta);
	int32_t r32 = (int32_t)rel;

	if (r32 != rel)
		e->overflow = true;
	if (!e->overflow)
		memcpy(at, &r32, 4);
}

void emit_jmp(struct emit *e, const void *target)
{
	emit_close32_to(e, emit_jmp_open(e), target);
}

void emit_jmp_mem(struct emit *e, unsigned base, unsigned index, int32_t disp)
{
	emit_rm(e, 0xff, 4, base, index, 0, disp, EMIT_32);
}

uint8_t *emit_jcc(struct emit *e, unsigned cond)
{
	e8(e, 0x0f);
	e8(e, (uint8_t)(0x80 | cond));
	e32(e, 0);
	return e->p - 4;
}

uint8_t *emit_jmp_open(struct emit *e)
{
	e8(e, 0xe9);
	e32(e, 0);
	return e->p - 4;
}

uint8_t *emit_jrcxz(struct emit *e)
{
	e8(e, 0xe3);
	e8(e, 0);
	return e->p - 1;
}

uint8_t *emit_loop(struct emit *e)
{
	e8(e, 0xe2);
	e8(e, 0);
	return e->p - 1;
}

void emit_close32(struct emit *e, uint8_t *at)
{
	put_rel32(e, at, e->p + e->exec_delta);
}

void emit_close32_to(struct emit *e, uint8_t *at, const void *target)
{
	put_rel32(e, at, target);
}

void emit_close8(struct emit *e, uint8_t *at)
{
	if (!e->overflow)
		*at = (uint8_t)(e->p - (at + 1));
}

void emit_flags_save(struct emit *e)
{
	emit_mov_rr(e, X86_R11, X86_RAX);
	e8(e, 0x9f);				/* lahf */
	e8(e, 0x0f), e8(e, 0x90), e8(e, 0xc0);	/* seto al */
	emit_mov_rr(e, X86_R12, X86_RAX);
	emit_mov_rr(e, X86_RAX, X86_R11);
}

void emit_flags_restore(struct emit *e)
{
	emit_mov_rr(e, X86_R11, X86_RAX);
	emit_mov_rr(e, X86_RAX, X86_R12);
	e8(e, 0x04), e8(e, 0x7f);		/* add al, 0x7f */
	e8(e, 0x9e);				/* sahf */
	emit_mov_rr(e, X86_RAX, X86_R11);
}

/* The memory operand of in with 32-bit addressing, as the host encodes it: only
 * [disp32] changes its form (it would be rip-relative). */
static void put_guest_modrm(struct emit *e, const struct x86_insn *in)
{
	unsigned reg = in->modrm >> 3 & 7;

	if (!in->has_modrm || (in->modrm & 0xc7) == 0x05) {
		e8(e, (uint8_t)(reg << 3 | 4));
		e8(e, 0x25);
		e32(e, (uint32_t)in->disp);
		return;
	}
	e8(e, in->modrm);
	if ((in->modrm & 7) == 4)
		e8(e, in->sib);
	if (in->disp_len == 1)
		e8(e, (uint8_t)in->disp);
	else if (in->disp_len)
		e32(e, (uint32_t)in->disp);
}

static void put_modrm(struct emit *e, const struct x86_insn *in,
		      enum emit_form form)
{
	unsigned reg = in->modrm >> 3 & 7;

	switch (form) {
	case EMIT_REG:
		e8(e, in->modrm);
		break;
	case EMIT_ADDR32:
	case EMIT_WINDOW:
		put_guest_modrm(e, in);
		break;
	case EMIT_WINDOW_R8:
		e8(e, (uint8_t)(reg << 3));
		break;
	case EMIT_HOST:
		e8(e, (uint8_t)(reg << 3 | 4));
		e8(e, 0x08);	/* [r8 + r9] with REX.B and REX.X */
		break;
	}
}

static void put_vex(struct emit *e, const struct x86_insn *in, enum emit_form form)
{
	bool b = form == EMIT_HOST || form == EMIT_WINDOW_R8, x = form == EMIT_HOST;
	/* outside 64-bit code it does not make an operand larger */
	unsigned w = in->rex & 8 && !x86_w_is_gpr_size(in) ? 0x80 : 0;

	e8(e, 0xc4);
	e8(e, (uint8_t)(0x80 | (x ? 0 : 0x40) | (b ? 0 : 0x20) | in->map));
	e8(e, (uint8_t)(w | (~in->vvvv & 15) << 3 | in->vl << 2 | in->pp));
}

/* Opcodes whose one-byte form means something else in 64-bit code. */
static bool put_special(struct emit *e, const struct x86_insn *in)
{
	if (in->map == 0 && in->opcode >= 0x40 && in->opcode <= 0x4f) {
		e8(e, 0xff);
		e8(e, (uint8_t)(0xc0 | (in->opcode & 8) | (in->opcode & 7)));
		return true;
	}
	return false;
}

/* In 16-bit code the prefix means the other size, unless it is part of the opcode. */
static bool needs_opsize(const struct x86_insn *in)
{
	if (in->mode != 16 || in->unit == X86_U_SSE || in->unit == X86_U_MMX)
		return in->prefixes & X86_P_OPSIZE;
	if (in->opsize != 2)
		return false;
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].size == 2)
			return true;
	return in->op == X86_CBW || in->op == X86_CWD;
}

void emit_guest(struct emit *e, const struct x86_insn *in, const uint8_t *bytes,
		enum emit_form form)
{
	unsigned opcode = in->opcode;
	bool moffs = !in->has_modrm && form != EMIT_REG;

	if (in->prefixes & X86_P_LOCK)
		e8(e, 0xf0);
	if (form == EMIT_ADDR32 || form == EMIT_WINDOW || form == EMIT_WINDOW_R8)
		e8(e, 0x67);
	if (form == EMIT_WINDOW || form == EMIT_WINDOW_R8)
		e8(e, 0x65);
	if (in->prefixes & X86_P_VEX) {
		put_vex(e, in, form);
	} else {
		if (needs_opsize(in))
			e8(e, 0x66);
		if (in->prefixes & X86_P_REPNE)
			e8(e, 0xf2);
		else if (in->prefixes & X86_P_REP)
			e8(e, 0xf3);
		if (form == EMIT_HOST)
			e8(e, 0x43);
		else if (form == EMIT_WINDOW_R8)
			e8(e, 0x41);
		if (put_special(e, in))
			return;
		if (in->map)
			e8(e, 0x0f);
		if (in->map == 2)
			e8(e, 0x38);
		else if (in->map == 3)
			e8(e, 0x3a);
	}
	if (moffs)	/* a0-a3: mov al/eax, moffs is 88-8b in its general form */
		opcode = (uint8_t)(0x88 | (in->opcode & 1) | (in->opcode & 2 ? 0 : 2));
	if (in->map == 0 && opcode == 0x82)	/* alias of 80 */
		opcode = 0x80;
	e8(e, (uint8_t)opcode);
	if (moffs) {
		struct x86_insn m = *in;

		m.modrm = 0;
		if (form == EMIT_WINDOW || form == EMIT_ADDR32)
			put_guest_modrm(e, &m);
		else
			put_modrm(e, &m, form);
		return;
	}
	if (in->has_modrm)
		put_modrm(e, in, form);
	ebytes(e, bytes + in->imm_off, in->imm_len);
}
