#include "bt/emit64.h"

#include "bt/layout64.h"
#include "bt/tls64.h"

static void put_op(struct emit *e, unsigned op)
{
	if (op > 0xff)
		e8(e, (uint8_t)(op >> 8));
	e8(e, (uint8_t)op);
}

/* [disp32] without rip: mod 0, rm 4, sib 0x25. */
static void put_tls(struct emit *e, unsigned op, unsigned reg, int32_t off, unsigned w)
{
	unsigned rex = w | (reg & 8) >> 1;

	e8(e, 0x64);
	if (rex)
		e8(e, (uint8_t)(0x40 | rex));
	put_op(e, op);
	e8(e, (uint8_t)((reg & 7) << 3 | 4));
	e8(e, 0x25);
	e32(e, (uint32_t)(bt_tls_offset() + off));
}

void emit_tls(struct emit *e, unsigned op, unsigned reg, int32_t off, unsigned w)
{
	put_tls(e, op, reg, off, w);
}

void emit_tls_imm(struct emit *e, int32_t off, uint32_t imm)
{
	put_tls(e, 0xc7, 0, off, EMIT_32);
	e32(e, imm);
}

void emit_tls_jmp(struct emit *e, int32_t off)
{
	put_tls(e, 0xff, 4, off, EMIT_32);
}

void emit_mov_imm(struct emit *e, unsigned reg, uint64_t imm)
{
	if (imm <= 0xffffffff) {
		emit_mov_ri(e, reg, (uint32_t)imm);
	} else if ((int64_t)imm == (int32_t)imm) {
		emit_rr(e, 0xc7, 0, reg, EMIT_64);
		e32(e, (uint32_t)imm);
	} else {
		e8(e, (uint8_t)(0x48 | (reg & 8) >> 3));
		e8(e, (uint8_t)(0xb8 | (reg & 7)));
		e64(e, imm);
	}
}

void emit_mov16(struct emit *e, unsigned reg, uint16_t imm)
{
	e8(e, 0x66);
	if (reg & 8)
		e8(e, 0x41);
	e8(e, (uint8_t)(0xb8 | (reg & 7)));
	e8(e, (uint8_t)imm), e8(e, (uint8_t)(imm >> 8));
}

/* pext, pdep r15, src, fs:[T_MASK] = VEX.LZ.F3 (pp 2), F2 (pp 3).0F38.W1 F5 */
static void put_pext(struct emit *e, unsigned src, unsigned pp)
{
	e8(e, 0x64);
	e8(e, 0xc4), e8(e, 0x62), e8(e, (uint8_t)(0x80 | (~src & 15) << 3 | pp)), e8(e, 0xf5);
	e8(e, 0x3c), e8(e, 0x25);
	e32(e, (uint32_t)(bt_tls_offset() + T_MASK));
}

void emit_fold(struct emit *e, unsigned reg, bool high)
{
	if (high)
		emit_rr(e, 0xf7, 2, X86_R15, EMIT_64);	/* not r15 */
	put_pext(e, reg, 2);
	put_pext(e, X86_R15, 3);
	if (high)
		emit_rr(e, 0xf7, 2, X86_R15, EMIT_64);
}

void emit_fold_flags(struct emit *e, bool high)
{
	/* or, and r15, fs:[] */
	emit_tls(e, high ? 0x0b : 0x23, X86_R15, high ? T_NMASK : T_MASK, EMIT_64);
}

void emit_alu64_ri(struct emit *e, unsigned alu, unsigned reg, int32_t imm)
{
	emit_rr(e, 0x81, alu, reg, EMIT_64);
	e32(e, (uint32_t)imm);
}

/* X and B as in a REX prefix */
static unsigned rex_xb(const struct emit_mem *m)
{
	return (m->index != X86_NOREG && m->index & 8 ? 2 : 0) | m->base >> 3;
}

static void put_vex(struct emit *e, const struct x86_insn *in, unsigned xb)
{
	unsigned r = in->rex & 4 ? 0 : 0x80;

	e8(e, 0xc4);
	e8(e, (uint8_t)(r | (~xb & 3) << 5 | in->map));
	e8(e, (uint8_t)((in->rex & 8 ? 0x80 : 0) | (~in->vvvv & 15) << 3 | in->vl << 2 |
			in->pp));
}

/* Prefixes that are part of the opcode or set a size, the REX byte, the escape. */
static void put_legacy(struct emit *e, const struct x86_insn *in, unsigned xb)
{
	if (in->prefixes & X86_P_OPSIZE)
		e8(e, 0x66);
	if (in->prefixes & X86_P_REPNE)
		e8(e, 0xf2);
	else if (in->prefixes & X86_P_REP)
		e8(e, 0xf3);
	if (in->prefixes & X86_P_REX || xb)	/* without modrm, R means nothing */
		e8(e, (uint8_t)(0x40 | (in->rex & (in->has_modrm ? 12 : 8)) | xb));
	if (in->map)
		e8(e, 0x0f);
	if (in->map == 2)
		e8(e, 0x38);
	else if (in->map == 3)
		e8(e, 0x3a);
}

static void put_mem(struct emit *e, unsigned reg, const struct emit_mem *m)
{
	unsigned mod = !m->disp ? 0 : m->disp == (int8_t)m->disp ? 1 : 2;
	bool sib = m->index != X86_NOREG;

	e8(e, (uint8_t)(mod << 6 | reg << 3 | (sib ? 4 : m->base & 7)));
	if (sib)
		e8(e, (uint8_t)(m->scale << 6 | (m->index & 7) << 3 | (m->base & 7)));
	if (mod == 1)
		e8(e, (uint8_t)m->disp);
	else if (mod == 2)
		e32(e, (uint32_t)m->disp);
}

void emit_guest64(struct emit *e, const struct x86_insn *in, const uint8_t *bytes,
		  const struct emit_mem *m)
{
	unsigned opcode = in->opcode;
	bool moffs = !in->has_modrm;

	if (in->prefixes & X86_P_LOCK)
		e8(e, 0xf0);
	if (m->gs)
		e8(e, 0x65);
	if (in->prefixes & X86_P_VEX)
		put_vex(e, in, rex_xb(m));
	else
		put_legacy(e, in, rex_xb(m));
	if (moffs)	/* a0-a3: mov al/rax, moffs is 88-8b in its general form */
		opcode = 0x88 | (opcode & 1) | (opcode & 2 ? 0 : 2);
	e8(e, (uint8_t)opcode);
	put_mem(e, moffs ? 0 : in->modrm >> 3 & 7, m);
	if (!moffs)
		ebytes(e, bytes + in->imm_off, in->imm_len);
}
