#ifndef BT_EMIT_H
#define BT_EMIT_H
/*
 * Host code emission: forward only, into the writable mapping of the code
 * memory, with a sticky overflow flag.  64-bit host encodings.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "x86/insn.h"

struct emit {
	uint8_t *p;		/* next byte, writable mapping */
	uint8_t *start, *end;
	intptr_t exec_delta;	/* executable address = writable address + this */
	bool overflow;
};

static inline void e8(struct emit *e, uint8_t v)
{
	if (e->p < e->end)
		*e->p++ = v;
	else
		e->overflow = true;
}

static inline void e32(struct emit *e, uint32_t v)
{
	if (e->end - e->p >= 4) {
		memcpy(e->p, &v, 4);
		e->p += 4;
	} else {
		e->overflow = true;
	}
}

static inline void e64(struct emit *e, uint64_t v)
{
	e32(e, (uint32_t)v);
	e32(e, (uint32_t)(v >> 32));
}

static inline void ebytes(struct emit *e, const uint8_t *b, unsigned n)
{
	while (n--)
		e8(e, *b++);
}

/* Executable address of the next byte. */
static inline const uint8_t *emit_here(const struct emit *e)
{
	return e->p + e->exec_delta;
}

enum { EMIT_32 = 0, EMIT_64 = 8 };	/* REX.W */

/* op reg, [base + index*2^scale + disp]; index X86_NOREG for none, base
 * X86_NOREG for [index*s + disp32] or [disp32].  op: one or two opcode bytes,
 * 0x0fxx as such.  w: EMIT_64 or EMIT_32.  mov r8d,[r15+8] = 45 8b 47 08 */
void emit_rm(struct emit *e, unsigned op, unsigned reg, unsigned base,
	     unsigned index, unsigned scale, int32_t disp, unsigned w);
/* op reg, rm (registers).  mov r9, rax = 49 89 c1 (op 0x89, reg rax, rm r9) */
void emit_rr(struct emit *e, unsigned op, unsigned reg, unsigned rm, unsigned w);

/* mov dst, src; 64-bit */
void emit_mov_rr(struct emit *e, unsigned dst, unsigned src);
void emit_mov_ri(struct emit *e, unsigned dst, uint32_t imm);	/* zero-extends */
void emit_lea(struct emit *e, unsigned dst, unsigned base, unsigned index,
	      unsigned scale, int32_t disp, unsigned w);
/* hot words of struct vcpu and other fields at [r15 + off] */
void emit_load(struct emit *e, unsigned dst, int32_t off, unsigned w);
void emit_store(struct emit *e, int32_t off, unsigned src, unsigned w);
void emit_store_imm32(struct emit *e, int32_t off, uint32_t imm);
/* alu op (0 add 1 or 4 and 5 sub 6 xor 7 cmp) r32, imm32 */
void emit_alu_ri(struct emit *e, unsigned alu, unsigned reg, uint32_t imm);
/* rorx dst, src, n: 32-bit, leaves the flags alone */
void emit_rorx(struct emit *e, unsigned dst, unsigned src, unsigned n);
/* shlx/shrx/sarx dst, src, count: 32-bit; pp 1 shlx, 3 shrx, 2 sarx */
void emit_shiftx(struct emit *e, unsigned pp, unsigned dst, unsigned src,
		 unsigned count);

/* jmp rel32 to an executable address. */
void emit_jmp(struct emit *e, const void *target);
void emit_jmp_mem(struct emit *e, unsigned base, unsigned index, int32_t disp);
/* jcc rel32 with the displacement left open; returns its position. */
uint8_t *emit_jcc(struct emit *e, unsigned cond);
uint8_t *emit_jmp_open(struct emit *e);
/* jrcxz rel8 / jecxz rel8 left open */
uint8_t *emit_jrcxz(struct emit *e);
/* loop rel8 left open: with rcx = n + 1 it is taken when n is not 0.  Flags stay. */
uint8_t *emit_loop(struct emit *e);
/* Close an open rel32, rel8 to here. */
void emit_close32(struct emit *e, uint8_t *at);
void emit_close8(struct emit *e, uint8_t *at);
void emit_close32_to(struct emit *e, uint8_t *at, const void *target);

/* R12 = the arithmetic flags: AH as LAHF gives them, AL = OF.  Uses r11. */
void emit_flags_save(struct emit *e);
/* ... and back.  Uses r11. */
void emit_flags_restore(struct emit *e);

/*
 * Re-encode a guest instruction for the host.
 *
 * in, bytes  the instruction and its code bytes
 * form       where its memory operand is
 */
enum emit_form {
	EMIT_REG,	/* no memory operand */
	EMIT_ADDR32,	/* the guest's own operand, address size 32 (lea) */
	EMIT_WINDOW,	/* the same through GS */
	EMIT_WINDOW_R8,	/* gs:[r8d] */
	EMIT_HOST,	/* [r8 + r9]: host address */
};
void emit_guest(struct emit *e, const struct x86_insn *in, const uint8_t *bytes,
		enum emit_form form);
#endif
