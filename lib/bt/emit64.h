#ifndef BT_EMIT64_H
#define BT_EMIT64_H
/* Host code for 64-bit guest instructions; see emit.h and layout64.h. */
#include "bt/emit.h"

/* op reg, fs:[off]: off is a T_* number; op as in emit_rm(), w EMIT_64 or EMIT_32.
 * mov r15, fs:[x] = 64 4c 8b 3c 25 disp32 */
void emit_tls(struct emit *e, unsigned op, unsigned reg, int32_t off, unsigned w);
static inline void emit_tls_load(struct emit *e, unsigned reg, int32_t off)
{
	emit_tls(e, 0x8b, reg, off, EMIT_64);
}

static inline void emit_tls_store(struct emit *e, int32_t off, unsigned reg)
{
	emit_tls(e, 0x89, reg, off, EMIT_64);
}

void emit_tls_imm(struct emit *e, int32_t off, uint32_t imm);	/* 32 bits */
void emit_tls_jmp(struct emit *e, int32_t off);

/* reg = imm, in the shortest form; the flags stay. */
void emit_mov_imm(struct emit *e, unsigned reg, uint64_t imm);

/* reg16 = imm.  mov r15w, 1 = 66 41 bf 01 00 */
void emit_mov16(struct emit *e, unsigned reg, uint16_t imm);

/* r15 = what T_MASK keeps of reg, the rest 0, or 1 (high: reg is r15); the flags stay. */
void emit_fold(struct emit *e, unsigned reg, bool high);

/* The same of r15, which takes the flags. */
void emit_fold_flags(struct emit *e, bool high);

/* alu (emit_alu_ri) r64, simm32 */
void emit_alu64_ri(struct emit *e, unsigned alu, unsigned reg, int32_t imm);

/* [base + (index << scale) + disp], or that in gs; index X86_NOREG for none.  base is
 * not R12, R13, RSP or RBP. */
struct emit_mem {
	uint8_t base, index, scale;
	bool gs;
	int32_t disp;
};

/*
 * A guest instruction with its memory operand at m: the bytes around it stay.  With
 * AH..BH m has registers without REX.
 */
void emit_guest64(struct emit *e, const struct x86_insn *in, const uint8_t *bytes,
		  const struct emit_mem *m);
#endif
