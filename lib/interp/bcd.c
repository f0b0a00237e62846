/* Decimal and ASCII adjustments (16 and 32-bit code).  SDM vol. 2. */

#include "interp/core.h"

/* aaa aas */
int op_ascii_adjust(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint16_t ax = (uint16_t)c->gpr[X86_RAX];
	uint32_t fl = 0;

	if ((ax & 15) > 9 || (c->rflags & X86_FL_AF)) {
		ax = in->op == X86_AAA ? ax + 0x106 : ax - 0x106;
		fl = X86_FL_AF | X86_FL_CF;
	}
	ax &= 0xff0f;
	gpr_put(c, X86_RAX, 2, ax);
	fl_set(c, X86_FL_ARITH, fl | fl_szp(ax & 0xff, 1));
	return X86_OK;
}

/* daa das */
int op_decimal_adjust(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint8_t al = (uint8_t)c->gpr[X86_RAX], old = al;
	bool sub = in->op == X86_DAS, cf = c->rflags & X86_FL_CF, carry = false;
	uint32_t fl = 0;

	if ((al & 15) > 9 || (c->rflags & X86_FL_AF)) {
		carry = sub && (cf || al < 6);
		al = sub ? al - 6 : al + 6;
		fl |= X86_FL_AF;
	}
	if (old > 0x99 || cf) {
		al = sub ? al - 0x60 : al + 0x60;
		carry = true;
	}
	gpr_put(c, X86_RAX, 1, al);
	fl_set(c, X86_FL_ARITH, fl | carry * X86_FL_CF | fl_szp(al, 1));
	return X86_OK;
}

int op_aam(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint8_t al = (uint8_t)c->gpr[X86_RAX], base = (uint8_t)in->imm;

	if (!base)
		return x86_raise(c, X86_EXC_DE);
	gpr_put(c, X86_RAX, 2, (uint64_t)(al / base) << 8 | al % base);
	fl_set(c, X86_FL_ARITH, fl_szp(al % base, 1));
	return X86_OK;
}

int op_aad(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint16_t ax = (uint16_t)c->gpr[X86_RAX];
	uint8_t al = (uint8_t)(ax + (ax >> 8) * (uint8_t)in->imm);

	gpr_put(c, X86_RAX, 2, al);
	fl_set(c, X86_FL_ARITH, fl_szp(al, 1));
	return X86_OK;
}
