#ifndef INTERP_FLAGS_H
#define INTERP_FLAGS_H
/*
 * Arithmetic with flags, on values zero-extended to 64 bits; sz is the operand
 * size in bytes.  SDM vol. 1, 3.4.3.1; vol. 2 "Flags Affected".
 */

#include "x86/cpu.h"

static inline uint64_t sz_mask(unsigned sz)
{
	return ~0ull >> (64 - 8 * sz);
}

static inline int64_t sz_sext(uint64_t v, unsigned sz)
{
	return (int64_t)(v << (64 - 8 * sz)) >> (64 - 8 * sz);
}

/* SF, ZF and PF of a result already cut to its size. */
static inline uint32_t fl_szp(uint64_t r, unsigned sz)
{
	return (r >> (8 * sz - 1) & 1) * X86_FL_SF | (r == 0) * X86_FL_ZF |
	       (__builtin_parity(r & 0xff) ^ 1) * X86_FL_PF;
}

static inline uint64_t fl_add(uint64_t a, uint64_t b, unsigned cin, unsigned sz,
			      uint32_t *fl)
{
	uint64_t r = (a + b + cin) & sz_mask(sz);
	uint64_t carry = (a & b) | ((a | b) & ~r), over = (a ^ r) & (b ^ r);
	unsigned msb = 8 * sz - 1;

	*fl = fl_szp(r, sz) | (carry >> msb & 1) * X86_FL_CF |
	      (over >> msb & 1) * X86_FL_OF | ((a ^ b ^ r) & X86_FL_AF);
	return r;
}

static inline uint64_t fl_sub(uint64_t a, uint64_t b, unsigned cin, unsigned sz,
			      uint32_t *fl)
{
	uint64_t r = (a - b - cin) & sz_mask(sz);
	uint64_t borrow = (~a & b) | ((~a | b) & r), over = (a ^ b) & (a ^ r);
	unsigned msb = 8 * sz - 1;

	*fl = fl_szp(r, sz) | (borrow >> msb & 1) * X86_FL_CF |
	      (over >> msb & 1) * X86_FL_OF | ((a ^ b ^ r) & X86_FL_AF);
	return r;
}

static inline void fl_set(struct x86_cpu *c, uint32_t mask, uint32_t fl)
{
	c->rflags = (c->rflags & ~(uint64_t)mask) | fl;
}

/* Condition codes of Jcc, SETcc, CMOVcc: SDM vol. 1, appendix B. */
static inline bool fl_cond(uint32_t f, unsigned cond)
{
	bool r;

	switch (cond >> 1 & 7) {
	case 0: r = f & X86_FL_OF; break;
	case 1: r = f & X86_FL_CF; break;
	case 2: r = f & X86_FL_ZF; break;
	case 3: r = f & (X86_FL_CF | X86_FL_ZF); break;
	case 4: r = f & X86_FL_SF; break;
	case 5: r = f & X86_FL_PF; break;
	case 6: r = !(f & X86_FL_SF) != !(f & X86_FL_OF); break;
	default: r = (f & X86_FL_ZF) || !(f & X86_FL_SF) != !(f & X86_FL_OF); break;
	}
	return r ^ (cond & 1);
}
#endif
