/*
 * Which arithmetic flags an instruction reads, changes and surely overwrites.
 * Source: SDM vol. 2, "Flags Affected" of each; flags that are left undefined
 * count as changed but not as overwritten, unless every processor is known to
 * write them (AF of the logical instructions).
 */
#include "x86/cpu.h"

static const uint32_t flags[X86_OP_COUNT][2] = {
#define OP(name, read, changed) [X86_##name] = { read, changed },
#include "x86/ops.def"
#undef OP
};

#define SZP (X86_FL_SF | X86_FL_ZF | X86_FL_PF)

uint32_t x86_flags_read(const struct x86_insn *in)
{
	static const uint32_t cond[8] = {
		X86_FL_OF, X86_FL_CF, X86_FL_ZF, X86_FL_CF | X86_FL_ZF,
		X86_FL_SF, X86_FL_PF, X86_FL_SF | X86_FL_OF,
		X86_FL_SF | X86_FL_OF | X86_FL_ZF,
	};

	switch (in->op) {
	case X86_JCC: case X86_SETCC: case X86_CMOVCC:
		return cond[in->cond >> 1 & 7];
	}
	return in->op < X86_OP_COUNT ? flags[in->op][0] : 0;
}

/* The count of a shift or rotation: its immediate, masked as the processor
 * does; -1 when it is in CL. */
static int shift_count(const struct x86_insn *in)
{
	const struct x86_operand *o = &in->o[in->nops - 1];

	if (o->kind != X86_O_IMM)
		return -1;
	return in->imm & (in->o[0].size == 8 ? 63 : 31);
}

static bool is_shift(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_ROL: case X86_ROR: case X86_RCL: case X86_RCR:
	case X86_SHL: case X86_SHR: case X86_SAR: case X86_SHLD: case X86_SHRD:
		return true;
	}
	return false;
}

uint32_t x86_flags_changed(const struct x86_insn *in)
{
	if (is_shift(in) && shift_count(in) == 0)
		return 0;
	return in->op < X86_OP_COUNT ? flags[in->op][1] : 0;
}

static uint32_t shift_killed(const struct x86_insn *in)
{
	int count = shift_count(in);

	if (count <= 0)
		return 0;
	switch (in->op) {
	case X86_ROL: case X86_ROR:
		return count == 1 ? X86_FL_CF | X86_FL_OF : X86_FL_CF;
	case X86_RCL: case X86_RCR:
		return count == 1 ? X86_FL_CF | X86_FL_OF : 0;
	case X86_SHLD: case X86_SHRD:
		if (count > 8 * in->o[0].size)
			return 0;
		return SZP | X86_FL_CF;
	}
	return SZP | X86_FL_CF | (count == 1 ? X86_FL_OF : 0);
}

uint32_t x86_flags_killed(const struct x86_insn *in)
{
	if (is_shift(in))
		return shift_killed(in);
	switch (in->op) {
	case X86_CMPS: case X86_SCAS:
		/* with a count of 0 nothing is compared */
		if (in->prefixes & (X86_P_REP | X86_P_REPNE))
			return 0;
		break;
	case X86_MUL: case X86_IMUL:
		return X86_FL_CF | X86_FL_OF;
	case X86_DIV: case X86_IDIV: case X86_MOV_CR:
		return 0;
	case X86_BT: case X86_BTS: case X86_BTR: case X86_BTC:
		return X86_FL_CF;
	case X86_BSF: case X86_BSR:
		return X86_FL_ZF;
	case X86_TZCNT: case X86_LZCNT:
		return X86_FL_ZF | X86_FL_CF;
	case X86_ANDN: case X86_BLSI: case X86_BLSMSK: case X86_BLSR:
	case X86_BZHI:
		return X86_FL_CF | X86_FL_OF | X86_FL_ZF | X86_FL_SF;
	case X86_BEXTR:
		return X86_FL_CF | X86_FL_OF | X86_FL_ZF;
	case X86_AAA: case X86_AAS:
		return X86_FL_AF | X86_FL_CF;
	case X86_DAA: case X86_DAS:
		return SZP | X86_FL_AF | X86_FL_CF;
	case X86_AAD: case X86_AAM:
		return SZP;
	case X86_FCOMI: case X86_FCOMIP: case X86_FUCOMI: case X86_FUCOMIP:
		return X86_FL_ZF | X86_FL_PF | X86_FL_CF;
	case X86_RSM: case X86_SYSCALL:
		return 0;
	}
	return x86_flags_changed(in);
}

/* Flags that the manuals leave undefined: SDM vol. 1, appendix A. */
uint32_t x86_flags_undefined(const struct x86_insn *in, unsigned count)
{
	const uint32_t C = X86_FL_CF, P = X86_FL_PF, A = X86_FL_AF, Z = X86_FL_ZF,
		       S = X86_FL_SF, O = X86_FL_OF;
	unsigned bits = 8u * in->o[0].size, n = count & (in->o[0].size == 8 ? 63 : 31);

	switch (in->op) {
	case X86_MUL: case X86_IMUL: return S | Z | A | P;
	case X86_DIV: case X86_IDIV: return X86_FL_ARITH;
	case X86_AND: case X86_OR: case X86_XOR: case X86_TEST: return A;
	case X86_BSF: case X86_BSR: return C | O | S | A | P;
	case X86_BT: case X86_BTS: case X86_BTR: case X86_BTC: return O | S | A | P;
	case X86_TZCNT: case X86_LZCNT: return O | S | P | A;
	case X86_ANDN: case X86_BLSI: case X86_BLSMSK: case X86_BLSR: case X86_BZHI:
		return A | P;
	case X86_BEXTR: return A | S | P;
	case X86_AAA: case X86_AAS: return O | S | Z | P;
	case X86_AAD: case X86_AAM: return O | A | C;
	case X86_DAA: case X86_DAS: return O;
	case X86_SHL: case X86_SHR: case X86_SAR:
		return n ? A | (n > 1 ? O : 0) | (n >= bits ? C : 0) : 0;
	case X86_SHLD: case X86_SHRD:
		return n > bits ? X86_FL_ARITH : n ? A | (n > 1 ? O : 0) : 0;
	case X86_ROL: case X86_ROR: case X86_RCL: case X86_RCR:
		return n > 1 ? O : 0;
	default:
		return 0;
	}
}
