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

/*
 * FIP, FCS, FDP, FDS and FOP read as 0: cpu.xsave has those of the host's x87
 * instructions, whose addresses no guest may see.
 */
static void env_make(struct x86_cpu *c, const struct x86_insn *in, uint8_t *b)
{
	uint16_t head[3] = { *fpu_u16(c, XS_FCW), *fpu_u16(c, XS_FSW), tags_full(c) };

	memset(b, 0, 28);
	if (in->opsize == 2) {
		memcpy(b, head, 6);
		return;
	}
	for (unsigned i = 0; i < 3; i++)
		le32_put(b + 4 * i, 0xffff0000u | head[i]);
	if (x86_protected(c))
		le16_put(b + 26, 0xffff);
}

static void env_take(struct x86_cpu *c, const struct x86_insn *in, const uint8_t *b)
{
	unsigned step = in->opsize == 2 ? 2 : 4;
	uint16_t fcw = le16_get(b), fsw = le16_get(b + step) & 0x7f7f;

	memset(c->xsave + XS_FOP, 0, XS_MXCSR - XS_FOP);
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

enum env_access { ENV_READ, ENV_PROBE, ENV_WRITE };

/* n bytes at offset i of the image. */
static int env_piece(struct vcpu *v, const struct x86_insn *in, uint8_t *b, unsigned i,
		     unsigned n, enum env_access how)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);
	uint64_t gva;

	if (seg_linear(v, in->seg, interp_ea(v, in) + i, n, how != ENV_READ, &gva))
		return X86_FAULT;
	switch (how) {
	case ENV_READ: return vcpu_read(v, gva, b + i, n, mode);
	case ENV_PROBE: return vcpu_probe_write(v, gva, n, mode);
	default: return vcpu_write(v, gva, b + i, n, mode);
	}
}

/* The image in guest memory in the order of AMD's processors, which decides what
 * faults: its first word, its last byte, then all of it. */
static int env_access(struct vcpu *v, const struct x86_insn *in, uint8_t *b, unsigned len,
		      enum env_access how)
{
	unsigned word = in->opsize == 2 ? 2 : 4;

	if (env_piece(v, in, b, 0, word, how) || env_piece(v, in, b, len - 1, 1, how))
		return X86_FAULT;
	for (unsigned i = word; i < len; i += word)
		if (env_piece(v, in, b, i, word, how))
			return X86_FAULT;
	return X86_OK;
}

static int env_store(struct vcpu *v, const struct x86_insn *in, unsigned env, bool all)
{
	struct x86_cpu *c = &v->cpu;
	unsigned len = env + (all ? 80 : 0);
	uint8_t b[28 + 80];

	env_make(c, in, b);
	for (unsigned i = 0; i < 8; i++)
		memcpy(b + env + 10 * i, c->xsave + XS_ST + 16 * i, 10);
	if (env_access(v, in, b, len, ENV_PROBE) || env_access(v, in, b, len, ENV_WRITE))
		return X86_FAULT;
	if (all) {
		fpu_init(c);
		return X86_OK;
	}
	*fpu_u16(c, XS_FCW) |= 0x3f;
	*fpu_u16(c, XS_FSW) &= 0x7f7f;
	return X86_OK;
}

static int env_load(struct vcpu *v, const struct x86_insn *in, unsigned env, bool all)
{
	struct x86_cpu *c = &v->cpu;
	uint8_t b[28 + 80];

	if (env_access(v, in, b, env + (all ? 80 : 0), ENV_READ))
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
	unsigned env = env_size(in);

	return store ? env_store(v, in, env, all) : env_load(v, in, env, all);
}
