/*
 * Vector accesses under a mask, element by element: maskmovq maskmovdqu
 * vmaskmov vpmaskmov, gathers.  Elements that are masked out never fault.
 * SDM vol. 2.
 */

#include <string.h>

#include "base/le.h"
#include "interp/simd.h"

bool vec_is_masked(const struct x86_insn *in)
{
	if (in->map == 1)
		return in->opcode == 0xf7;
	return in->map == 2 && (in->prefixes & X86_P_VEX) &&
	       ((in->opcode >= 0x2c && in->opcode <= 0x2f) || in->opcode == 0x8c ||
		in->opcode == 0x8e || (in->opcode >= 0x90 && in->opcode <= 0x93));
}

/* A vector register as bytes: low and high half. */
static void vec_get(const struct x86_cpu *c, unsigned reg, uint8_t b[32])
{
	memcpy(b, c->xsave + XS_XMM + 16 * reg, 16);
	memcpy(b + 16, c->xsave + XS_YMMH + 16 * reg, 16);
}

static void vec_put(struct x86_cpu *c, unsigned reg, const uint8_t b[32])
{
	memcpy(c->xsave + XS_XMM + 16 * reg, b, 16);
	memcpy(c->xsave + XS_YMMH + 16 * reg, b + 16, 16);
}

/* Write the elements of size n whose mask has its top bit set, all or none. */
static int masked_store(struct vcpu *v, unsigned seg, uint64_t ea, uint64_t ea_mask,
			const uint8_t *data, const uint8_t *mask, unsigned len, unsigned n)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);
	uint64_t gva[32];

	for (unsigned i = 0; i < len; i += n) {
		if (!(mask[i + n - 1] & 0x80))
			continue;
		if (seg_linear(v, seg, (ea + i) & ea_mask, n, true, &gva[i]) ||
		    vcpu_probe_write(v, gva[i], n, mode))
			return X86_FAULT;
	}
	for (unsigned i = 0; i < len; i += n)
		if ((mask[i + n - 1] & 0x80) && vcpu_write(v, gva[i], data + i, n, mode))
			return X86_FAULT;
	return X86_OK;
}

/* maskmovq, maskmovdqu, vmaskmovdqu: bytes to [rDI] */
static int maskmov_bytes(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	bool mmx = in->o[0].kind == X86_O_MMX, amd = v->vm->model.amd;
	unsigned len = mmx ? 8 : 16;
	unsigned at = mmx ? XS_ST : XS_XMM;
	unsigned top = *fpu_u16(c, XS_FSW) >> 11 & 7;
	unsigned data = in->o[0].reg, mask = in->o[1].reg;
	uint64_t amask = sz_mask(in->adsize), gva;

	/* MMX registers are physical ones; the area holds the stack's order. */
	if (mmx) {
		data = (data - top) & 7;
		mask = (mask - top) & 7;
	}
	/* AMD's processors have switched to MMX when it faults. */
	if (mmx && amd) {
		fpu_set_top(c, 0);
		c->xsave[XS_FTW] = 0xff;
		data = in->o[0].reg;
		mask = in->o[1].reg;
	}
	/* AMD's processors check both halves, segment and pages, whatever the mask. */
	for (unsigned i = 0; amd && i < len; i += 8)
		if (seg_linear(v, in->seg, (c->gpr[X86_RDI] & amask) + i, 8, true, &gva) ||
		    vcpu_probe_write(v, gva, 8, vcpu_tlb_mode(v)))
			return X86_FAULT;
	/* The segment is checked whatever the mask. */
	if (seg_linear(v, in->seg, c->gpr[X86_RDI] & amask, len, true, &gva) ||
	    masked_store(v, in->seg, c->gpr[X86_RDI] & amask, amask,
			 c->xsave + at + 16 * data, c->xsave + at + 16 * mask,
			 len, 1))
		return X86_FAULT;
	if (mmx) {
		fpu_set_top(c, 0);
		c->xsave[XS_FTW] = 0xff;
	}
	return X86_OK;
}

/* vmaskmovps/pd, vpmaskmovd/q */
static int maskmov_elements(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	bool dword = in->opcode >= 0x8c ? !(in->rex & 8) : !(in->opcode & 1);
	unsigned n = dword ? 4 : 8, len = in->vl ? 32 : 16;
	bool store = in->o[0].kind == X86_O_MEM;
	uint64_t ea = interp_ea(v, in), amask = sz_mask(in->adsize);
	uint8_t mask[32], data[32] = { 0 };

	vec_get(c, in->o[1].reg, mask);
	if (store) {
		vec_get(c, in->o[2].reg, data);
		return masked_store(v, in->seg, ea, amask, data, mask, len, n);
	}
	for (unsigned i = 0; i < len; i += n)
		if ((mask[i + n - 1] & 0x80) &&
		    seg_read(v, in->seg, (ea + i) & amask, data + i, n))
			return X86_FAULT;
	vec_put(c, in->o[0].reg, data);
	return X86_OK;
}

/* vpgatherdd and its kin: dst, [base + index vector], mask */
static int gather(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned n = in->rex & 8 ? 8 : 4, isz = in->opcode & 1 ? 8 : 4;
	unsigned len = in->vl ? 32 : 16, count = len / (n > isz ? n : isz);
	uint64_t amask = sz_mask(in->adsize), base = interp_ea(v, in);
	uint8_t dst[32], idx[32], mask[32];

	vec_get(c, in->o[0].reg, dst);
	vec_get(c, in->index, idx);
	vec_get(c, in->o[2].reg, mask);
	for (unsigned i = 0; i < count; i++) {
		int64_t k = isz == 8 ? (int64_t)le64_get(idx + 8 * i)
				     : (int32_t)le32_get(idx + 4 * i);

		if (mask[i * n + n - 1] & 0x80 &&
		    seg_read(v, in->seg, (base + ((uint64_t)k << in->scale)) & amask,
			     dst + i * n, n)) {
			/* What is done stays done: the mask says where to go on. */
			vec_put(c, in->o[0].reg, dst);
			vec_put(c, in->o[2].reg, mask);
			return X86_FAULT;
		}
		memset(mask + i * n, 0, n);
	}
	memset(mask, 0, sizeof(mask));
	memset(dst + count * n, 0, sizeof(dst) - count * n);
	vec_put(c, in->o[0].reg, dst);
	vec_put(c, in->o[2].reg, mask);
	return X86_OK;
}

int vec_masked(struct vcpu *v, const struct x86_insn *in)
{
	if (in->unit == X86_U_AVX)
		simd_touch_ymm(&v->cpu);
	if (in->map == 1)
		return maskmov_bytes(v, in);
	if (in->opcode >= 0x90)
		return gather(v, in);
	return maskmov_elements(v, in);
}
