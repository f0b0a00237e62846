/*
 * fnstenv fldenv fnsave frstor: their memory formats depend on the operand size
 * and the mode.  SDM vol. 1, figures 8-9 to 8-12.
 */

#include <string.h>

#include "base/le.h"
#include "interp/simd.h"

/* The tag of a register from its contents: valid, zero, special. */
static unsigned tag_of(const uint8_t *st)
{
	uint64_t mant = le64_get(st);
	unsigned exp = le16_get(st + 8) & 0x7fff;

	if (exp == 0 && mant == 0)
		return 1;
	return exp == 0 || exp == 0x7fff || !(mant >> 63) ? 2 : 0;
}

/* Full tags are by physical register, the saved registers by stack position. */
static uint16_t tags_full(struct x86_cpu *c)
{
	unsigned top = *fpu_u16(c, XS_FSW) >> 11 & 7, tags = 0;

	for (unsigned i = 0; i < 8; i++) {
		unsigned t = 3;

		if (c->xsave[XS_FTW] >> i & 1)
			t = tag_of(c->xsave + XS_ST + 16 * ((i - top) & 7));
		tags |= t << 2 * i;
	}
	return (uint16_t)tags;
}

static uint8_t tags_short(uint16_t full)
{
	unsigned tags = 0;

	for (unsigned i = 0; i < 8; i++)
		tags |= ((full >> 2 * i & 3) != 3) << i;
	return (uint8_t)tags;
}

static unsigned env_size(const struct x86_insn *in)
{
	return in->opsize == 2 ? 14 : 28;
}

static void env_make(struct x86_cpu *c, const struct x86_insn *in, uint8_t *b)
{
	uint16_t head[3] = { *fpu_u16(c, XS_FCW), *fpu_u16(c, XS_FSW), tags_full(c) };
	uint32_t fip = le32_get(c->xsave + XS_FIP), fdp = le32_get(c->xsave + XS_FDP);
	uint16_t fcs = le16_get(c->xsave + XS_FCS), fds = le16_get(c->xsave + XS_FDS);
	uint16_t fop = le16_get(c->xsave + XS_FOP) & 0x7ff;
	bool prot = x86_protected(c);

	if (in->opsize == 2) {
		memcpy(b, head, 6);
		le16_put(b + 6, (uint16_t)fip);
		le16_put(b + 8, prot ? fcs : (uint16_t)((fip >> 16 & 15) << 12 | fop));
		le16_put(b + 10, (uint16_t)fdp);
		le16_put(b + 12, prot ? fds : (uint16_t)((fdp >> 16 & 15) << 12));
		return;
	}
	for (unsigned i = 0; i < 3; i++)
		le32_put(b + 4 * i, 0xffff0000u | head[i]);
	if (prot) {
		le32_put(b + 12, fip);
		le32_put(b + 16, fcs | (uint32_t)fop << 16);
		le32_put(b + 20, fdp);
		le32_put(b + 24, 0xffff0000u | fds);
	} else {
		le32_put(b + 12, fip & 0xffff);
		le32_put(b + 16, (fip >> 16) << 12 | fop);
		le32_put(b + 20, fdp & 0xffff);
		le32_put(b + 24, (fdp >> 16) << 12);
	}
}

static void env_take(struct x86_cpu *c, const struct x86_insn *in, const uint8_t *b)
{
	unsigned step = in->opsize == 2 ? 2 : 4;
	uint16_t fcw = le16_get(b), fsw = le16_get(b + step) & 0x7f7f;
	uint32_t fip = 0, fdp = 0;

	if (x86_protected(c)) {
		fip = step == 2 ? le16_get(b + 6) : le32_get(b + 12);
		le16_put(c->xsave + XS_FCS, le16_get(b + (step == 2 ? 8 : 16)));
		fdp = step == 2 ? le16_get(b + 10) : le32_get(b + 20);
		le16_put(c->xsave + XS_FDS, le16_get(b + (step == 2 ? 12 : 24)));
	}
	if (step == 4)
		le16_put(c->xsave + XS_FOP, le16_get(b + 18) & 0x7ff);
	le32_put(c->xsave + XS_FIP, fip);
	le32_put(c->xsave + XS_FDP, fdp);
	fpu_set_top(c, fsw >> 11 & 7);
	/* Bits 6, 7 and 15 to 13 of FCW are reserved; bit 6 reads as 1. */
	*fpu_u16(c, XS_FCW) = (fcw & 0x1f3f) | 0x40;
	/* ES and B say whether an exception is pending. */
	*fpu_u16(c, XS_FSW) = fsw | (fsw & ~fcw & 0x3f ? 0x8080 : 0);
	c->xsave[XS_FTW] = tags_short(le16_get(b + 2 * step));
}

void fpu_set_top(struct x86_cpu *c, unsigned top)
{
	uint16_t *fsw = fpu_u16(c, XS_FSW);
	unsigned old = *fsw >> 11 & 7;
	uint8_t st[8][16];

	memcpy(st, c->xsave + XS_ST, sizeof(st));
	for (unsigned i = 0; i < 8; i++)
		memcpy(c->xsave + XS_ST + 16 * i, st[(i + top - old) & 7], 16);
	*fsw = (uint16_t)((*fsw & ~0x3800) | top << 11);
}

static void fpu_init(struct x86_cpu *c)
{
	fpu_set_top(c, 0);
	memset(c->xsave, 0, 24);
	*fpu_u16(c, XS_FCW) = 0x37f;
}

static int env_store(struct vcpu *v, const struct x86_insn *in, uint64_t gva, bool all)
{
	struct x86_cpu *c = &v->cpu;
	enum tlb_mode mode = vcpu_tlb_mode(v);
	unsigned env = env_size(in), len = env + (all ? 80 : 0);
	uint8_t b[28 + 80];

	env_make(c, in, b);
	for (unsigned i = 0; i < 8; i++)
		memcpy(b + env + 10 * i, c->xsave + XS_ST + 16 * i, 10);
	/* At most 64 bytes at a time; all of them are checked first. */
	if (vcpu_probe_write(v, gva, 1, mode) || vcpu_probe_write(v, gva + len - 1, 1, mode))
		return X86_FAULT;
	for (unsigned done = 0; done < len; done += 54)
		if (vcpu_write(v, gva + done, b + done, len - done < 54 ? len - done : 54, mode))
			return X86_FAULT;
	if (all)
		fpu_init(c);
	else
		*fpu_u16(c, XS_FCW) |= 0x3f;
	if (!all)
		*fpu_u16(c, XS_FSW) &= 0x7f7f;
	return X86_OK;
}

static int env_load(struct vcpu *v, const struct x86_insn *in, uint64_t gva, bool all)
{
	struct x86_cpu *c = &v->cpu;
	enum tlb_mode mode = vcpu_tlb_mode(v);
	unsigned env = env_size(in), len = env + (all ? 80 : 0);
	uint8_t b[28 + 80];

	for (unsigned done = 0; done < len; done += 54)
		if (vcpu_read(v, gva + done, b + done, len - done < 54 ? len - done : 54, mode))
			return X86_FAULT;
	env_take(c, in, b);
	for (unsigned i = 0; all && i < 8; i++) {
		memset(c->xsave + XS_ST + 16 * i, 0, 16);
		memcpy(c->xsave + XS_ST + 16 * i, b + env + 10 * i, 10);
	}
	return X86_OK;
}

int fpu_env(struct vcpu *v, const struct x86_insn *in)
{
	bool all = in->op == X86_FNSAVE || in->op == X86_FRSTOR;
	bool store = in->op == X86_FNSAVE || in->op == X86_FNSTENV;
	unsigned len = env_size(in) + (all ? 80 : 0);
	uint64_t gva;

	if (seg_linear(v, in->seg, interp_ea(v, in), len, store, &gva))
		return X86_FAULT;
	return store ? env_store(v, in, gva, all) : env_load(v, in, gva, all);
}
