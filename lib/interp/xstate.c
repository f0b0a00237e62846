/*
 * FXSAVE, FXRSTOR and the XSAVE family, on the image in cpu.xsave (standard
 * layout, legacy part always complete).  SDM vol. 1 chapters 10.5 and 13.
 */

#include "interp/system.h"

#include <string.h>

#include "base/le.h"

enum {
	X_FCW = 0, X_FSW = 2, X_FOP = 6, X_MXCSR = 24, X_MXCSR_MASK = 28, X_ST = 32, X_XMM = 160,
	X_LEGACY_END = 416, X_HEADER = 512, X_XCOMP_BV = 520, X_AVX = 576,
	X_END = 832,
};

enum { BV_X87 = 1, BV_SSE = 2, BV_AVX = 4 };

#define MXCSR_VALID	0xffffu
#define XCOMP_COMPACT	(1ull << 63)

/* Registers that the code size can name: 8, or 16 in 64-bit code. */
static unsigned vector_bytes(const struct x86_cpu *c)
{
	return (c->code_bits == 64 ? 16 : 8) * 16;
}

/* An area in guest memory, checked for alignment and access as a whole. */
static int area_check(struct vcpu *v, const struct x86_insn *in, unsigned len,
		      unsigned align, bool write, uint64_t *gva)
{
	struct x86_cpu *c = &v->cpu;
	enum tlb_mode mode = vcpu_tlb_mode(v);
	unsigned at;

	if (seg_linear(v, in->seg, interp_ea(v, in), len, write, gva) != X86_OK)
		return X86_FAULT;
	if (*gva & (align - 1))
		return raise_gp(c);
	/* Aligned: pages change only between pieces of 16 bytes. */
	for (at = 0; write && at < len; at += 16)
		if ((at == 0 || ((*gva + at) & 0xfff) == 0) &&
		    vcpu_probe_write(v, *gva + at, 16, mode) != X86_OK)
			return X86_FAULT;
	return X86_OK;
}

static int area_read(struct vcpu *v, uint64_t gva, uint8_t *buf, unsigned from,
		     unsigned to)
{
	for (unsigned at = from; at < to; at += 16)
		if (vcpu_read(v, gva + at, buf + at, 16, vcpu_tlb_mode(v)) != X86_OK)
			return X86_FAULT;
	return X86_OK;
}

/* Bytes [from, to) of the image; in units of 4 so that fields can be left out. */
static int area_write(struct vcpu *v, uint64_t gva, const uint8_t *buf,
		      unsigned from, unsigned to)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);

	while (from < to) {
		unsigned n = 16 - from % 16;

		if (n > to - from)
			n = to - from;
		if (vcpu_write(v, gva + from, buf + from, n, mode) != X86_OK)
			return X86_FAULT;
		from += n;
	}
	return X86_OK;
}

/*
 * The image as the guest shall see it: its MXCSR_MASK, not the host's, and no
 * pointers to the last x87 instruction, which are the host's too: FOP, FIP and FDP
 * are 0, as AMD processors save them while no exception is pending.
 */
static void image_get(const struct x86_cpu *c, uint8_t *buf)
{
	memcpy(buf, c->xsave, X_END);
	memset(buf + X_FOP, 0, X_MXCSR - X_FOP);
	le32_put(buf + X_MXCSR_MASK, MXCSR_VALID);
}

/* --- into the image ------------------------------------------------------------- */

static void x87_load(struct x86_cpu *c, const uint8_t *buf)
{
	uint16_t fcw = le16_get(buf + X_FCW), fsw = le16_get(buf + X_FSW);

	memcpy(c->xsave, buf, X_MXCSR);
	memcpy(c->xsave + X_ST, buf + X_ST, X_XMM - X_ST);
	/* Reserved: the last six bytes of each register; bits 6, 7 and 13 to 15 of FCW, of which 6 reads as 1; byte 5.
	 * ES and B say whether an exception is pending. */
	le16_put(c->xsave + X_FCW, (fcw & 0x1f3f) | 0x40);
	le16_put(c->xsave + X_FSW, (fsw & 0x7f7f) | (fsw & ~fcw & 0x3f ? 0x8080 : 0));
	c->xsave[5] = 0;
	for (unsigned i = X_ST; i < X_XMM; i += 16)
		memset(c->xsave + i + 10, 0, 6);
}

static void x87_init(struct x86_cpu *c)
{
	memset(c->xsave, 0, X_MXCSR);
	memset(c->xsave + X_ST, 0, X_XMM - X_ST);
	le16_put(c->xsave + X_FCW, 0x037f);
}

static void avx_put(struct x86_cpu *c, const uint8_t *buf)
{
	unsigned n = vector_bytes(c);

	if (!(c->xsave[X_HEADER] & BV_AVX))
		memset(c->xsave + X_AVX, 0, X_END - X_AVX);
	if (buf)
		memcpy(c->xsave + X_AVX, buf + X_AVX, n);
	else
		memset(c->xsave + X_AVX, 0, n);
	if (buf || n < X_END - X_AVX)
		c->xsave[X_HEADER] |= BV_AVX;
	else
		c->xsave[X_HEADER] &= ~BV_AVX;
}

static void sse_put(struct x86_cpu *c, const uint8_t *buf)
{
	if (buf)
		memcpy(c->xsave + X_XMM, buf + X_XMM, vector_bytes(c));
	else
		memset(c->xsave + X_XMM, 0, vector_bytes(c));
}

/* --- FXSAVE, FXRSTOR -------------------------------------------------------------- */

static int fx_usable(struct x86_cpu *c)
{
	if (c->cr0 & (X86_CR0_EM | X86_CR0_TS))
		return x86_raise(c, X86_EXC_NM);
	return X86_OK;
}

int op_fxsave(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint8_t buf[X_END];
	uint64_t gva;

	if (fx_usable(c) != X86_OK ||
	    area_check(v, in, 512, 16, true, &gva) != X86_OK)
		return X86_FAULT;
	image_get(c, buf);
	return area_write(v, gva, buf, 0, X_XMM + vector_bytes(c));
}

int op_fxrstor(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint8_t buf[512];
	uint64_t gva;

	if (fx_usable(c) != X86_OK ||
	    area_check(v, in, 512, 16, false, &gva) != X86_OK ||
	    area_read(v, gva, buf, 0, 512) != X86_OK)
		return X86_FAULT;
	if (le32_get(buf + X_MXCSR) & ~MXCSR_VALID)
		return raise_gp(c);
	x87_load(c, buf);
	le32_put(c->xsave + X_MXCSR, le32_get(buf + X_MXCSR));
	sse_put(c, buf);
	return X86_OK;
}

/* --- the XSAVE family --------------------------------------------------------------- */

static int xsave_usable(struct x86_cpu *c, bool supervisor)
{
	if (!(c->cr4 & X86_CR4_OSXSAVE))
		return raise_ud(c);
	if (supervisor && c->cpl)
		return raise_gp(c);
	if (c->cr0 & X86_CR0_TS)
		return x86_raise(c, X86_EXC_NM);
	return X86_OK;
}

static uint64_t xsave_rfbm(const struct x86_cpu *c)
{
	return c->xcr0 & (c->gpr[X86_RDX] << 32 | (uint32_t)c->gpr[X86_RAX]);
}

/* Write the components in bv; mxcsr: also when SSE is not among them. */
static int xsave_components(struct vcpu *v, uint64_t gva, const uint8_t *buf,
			    uint64_t bv, bool mxcsr)
{
	unsigned n = vector_bytes(&v->cpu);

	if ((bv & BV_X87) &&
	    (area_write(v, gva, buf, 0, X_MXCSR) != X86_OK ||
	     area_write(v, gva, buf, X_ST, X_XMM) != X86_OK))
		return X86_FAULT;
	if (mxcsr && area_write(v, gva, buf, X_MXCSR, X_ST) != X86_OK)
		return X86_FAULT;
	if ((bv & BV_SSE) && area_write(v, gva, buf, X_XMM, X_XMM + n) != X86_OK)
		return X86_FAULT;
	if (bv & BV_AVX)
		return area_write(v, gva, buf, X_AVX, X_AVX + n);
	return X86_OK;
}

int op_xsave(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	bool compact = in->op == X86_XSAVEC || in->op == X86_XSAVES;
	uint64_t rfbm = xsave_rfbm(c), gva, old, bv, in_use;
	uint8_t buf[X_END];
	bool mxcsr;

	if (xsave_usable(c, in->op == X86_XSAVES) != X86_OK ||
	    area_check(v, in, rfbm & BV_AVX ? X_END : X_AVX, 64, true, &gva) != X86_OK ||
	    vcpu_read(v, gva + X_HEADER, &old, 8, vcpu_tlb_mode(v)) != X86_OK)
		return X86_FAULT;
	image_get(c, buf);
	/* x87 and SSE count as in use always. */
	in_use = BV_X87 | BV_SSE | (c->xsave[X_HEADER] & BV_AVX);
	if (!(in_use & BV_AVX))
		memset(buf + X_AVX, 0, X_END - X_AVX);
	bv = rfbm & in_use;
	mxcsr = compact ? bv & BV_SSE : rfbm & (BV_SSE | BV_AVX);
	/* Plain XSAVE writes unused components too, as zeros. */
	if (xsave_components(v, gva, buf, in->op == X86_XSAVE ? rfbm : bv, mxcsr) != X86_OK)
		return X86_FAULT;
	le64_put(buf + X_HEADER, compact ? bv : (old & ~rfbm) | bv);
	le64_put(buf + X_XCOMP_BV, rfbm | XCOMP_COMPACT);
	return area_write(v, gva, buf, X_HEADER, X_HEADER + (compact ? 16 : 8));
}

static bool all_zero(const uint8_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* SDM vol. 1, 13.8: what XRSTOR refuses. */
static bool header_valid(const struct vcpu *v, const struct x86_insn *in,
			 const uint8_t *h)
{
	uint64_t bv = le64_get(h), comp = le64_get(h + 8);
	uint64_t xcr0 = v->cpu.xcr0;

	if (!(comp & XCOMP_COMPACT))
		return in->op == X86_XRSTOR && !(bv & ~xcr0) && all_zero(h + 8, 16);
	return x86_model_has(&v->vm->model, X86_F_XSAVEC) &&
		!(comp & ~XCOMP_COMPACT & ~xcr0) && !(bv & ~comp) &&
		!(bv & XCOMP_COMPACT) && all_zero(h + 16, 48);
}

static void xrstor_load(struct x86_cpu *c, const uint8_t *buf, uint64_t rfbm,
			uint64_t bv, bool compact)
{
	if (rfbm & BV_X87) {
		if (bv & BV_X87)
			x87_load(c, buf);
		else
			x87_init(c);
	}
	if (compact ? (rfbm & bv & BV_SSE) : (rfbm & (BV_SSE | BV_AVX)))
		le32_put(c->xsave + X_MXCSR, le32_get(buf + X_MXCSR));
	else if (compact && (rfbm & BV_SSE))
		le32_put(c->xsave + X_MXCSR, 0x1f80);
	if (rfbm & BV_SSE)
		sse_put(c, bv & BV_SSE ? buf : NULL);
	if (rfbm & BV_AVX)
		avx_put(c, bv & BV_AVX ? buf : NULL);
}

int op_xrstor(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t rfbm = xsave_rfbm(c), gva, bv;
	uint8_t buf[X_END] = { 0 };
	bool compact, mxcsr;

	if (xsave_usable(c, in->op == X86_XRSTORS) != X86_OK ||
	    area_check(v, in, X_AVX, 64, false, &gva) != X86_OK ||
	    area_read(v, gva, buf, 0, X_AVX) != X86_OK)
		return X86_FAULT;
	if (!header_valid(v, in, buf + X_HEADER))
		return raise_gp(c);
	bv = le64_get(buf + X_HEADER);
	compact = le64_get(buf + X_XCOMP_BV) & XCOMP_COMPACT;
	mxcsr = compact ? rfbm & bv & BV_SSE : rfbm & (BV_SSE | BV_AVX);
	if (mxcsr && (le32_get(buf + X_MXCSR) & ~MXCSR_VALID))
		return raise_gp(c);
	if ((rfbm & bv & BV_AVX) &&
	    (area_check(v, in, X_END, 64, false, &gva) != X86_OK ||
	     area_read(v, gva, buf, X_AVX, X_END) != X86_OK))
		return X86_FAULT;
	xrstor_load(c, buf, rfbm, bv, compact);
	return X86_OK;
}
