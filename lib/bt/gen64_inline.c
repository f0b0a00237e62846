/* 64-bit instructions that are some host instructions on the vCPU's fields. */
#include "bt/gen64.h"

#include <stddef.h>

#include "bt/emit64.h"
#include "bt/layout64.h"

#define HOT(n) ((int32_t)(n) * 8)
#define V_REQ ((int32_t)offsetof(struct vcpu, req))
#define SEG_SEL(n) ((int32_t)offsetof(struct vcpu, cpu.seg[n].sel))

static void set_if(struct gen *g, uint32_t value)
{
	emit_tls_load(&g->e, X86_R15, T_VCPU);
	gen64_r15_lost(g);
	emit_store_imm32(&g->e, HOT(H_IF), value);
}

static bool sti(struct gen *g)
{
	struct emit *e = &g->e;
	uint8_t *ok;

	set_if(g, X86_FL_IF);
	/* Something pending?  Without touching the flags: jrcxz. */
	emit_tls_store(e, T_CX, X86_RCX);
	emit_load(e, X86_RCX, V_REQ, EMIT_32);
	ok = emit_jrcxz(e);
	gen_stub_add(g, emit_jmp_open(e), NULL, g->next, BT_EXIT_STI, 0);
	g->stub[g->nstubs - 1].saved = false;
	emit_close8(e, ok);
	emit_tls_load(e, X86_RCX, T_CX);
	return true;
}

/* SMAP on or off: another part of the soft TLB.  Windows have no user pages here. */
static bool set_ac(struct gen *g, bool on)
{
	struct emit *e = &g->e;
	unsigned mode = on ? TLB_KERNEL_AC : TLB_KERNEL;

	if (g->mode & BT_M_USER || !x86_model_has(&g->bt->vm->model, X86_F_SMAP))
		return false;
	emit_tls_load(e, X86_R15, T_VCPU);
	gen64_r15_lost(g);
	emit_store_imm32(e, HOT(H_AC), on ? X86_FL_AC : 0);
	emit_lea(e, X86_R15, X86_R15, X86_NOREG, 0,
		 (int32_t)offsetof(struct vcpu, tlb.e) +
		 (int32_t)(mode * sizeof(((struct tlb *)NULL)->e[0])), EMIT_64);
	emit_tls_store(e, T_TLB, X86_R15);
	return true;
}

/* The value travels in RDI. */
static bool pushf(struct gen *g)
{
	struct emit *e = &g->e;

	if (g->in->opsize != 8)
		return false;
	emit_tls_store(e, T_TMP, X86_RDI);
	gen64_flags_away(e);
	emit_rr(e, 0x0fb6, X86_RDI, X86_RAX, EMIT_32);		/* movzx edi, al: OF */
	emit_rr(e, 0xc1, 4, X86_RDI, EMIT_32), e8(e, 11);	/* shl edi, 11 */
	e8(e, 0x0f), e8(e, 0xb6), e8(e, 0xc4);			/* movzx eax, ah */
	emit_rr(e, 0x09, X86_RAX, X86_RDI, EMIT_32);
	emit_tls_load(e, X86_RAX, T_VCPU);
	emit_rm(e, 0x0b, X86_RDI, X86_RAX, X86_NOREG, 0, HOT(H_IF), EMIT_64);
	emit_rm(e, 0x0b, X86_RDI, X86_RAX, X86_NOREG, 0, HOT(H_AC), EMIT_64);
	emit_rm(e, 0x0b, X86_RDI, X86_RAX, X86_NOREG, 0, HOT(H_SYSFLAGS), EMIT_64);
	gen64_flags_back(e);
	gen64_site(g, X86_RDI);
	gen64_at(g, X86_RSP, -8, 8, true);
	gen64_mem(g, 0x89, X86_RDI, 0, EMIT_64);
	emit_tls_load(e, X86_RDI, T_TMP);
	gen64_add_rsp(g, -8);
	return true;
}

/* rorx rdx, reg, 32: halves change places, the flags stay */
static void halves(struct emit *e, unsigned reg)
{
	e8(e, 0xc4), e8(e, 0xe3), e8(e, 0xfb), e8(e, 0xf0);
	e8(e, (uint8_t)(0xc0 | X86_RDX << 3 | reg));
	e8(e, 32);
}

static bool rdtsc(struct gen *g)
{
	struct emit *e = &g->e;

	if (!(g->mode & BT_M_TSC) || !x86_model_has(&g->bt->vm->model, g->in->feat))
		return false;
	emit_tls_load(e, X86_R15, T_VCPU);
	gen64_r15_lost(g);
	e8(e, 0x0f), e8(e, 0x31);
	halves(e, X86_RDX);
	emit_lea(e, X86_RAX, X86_RAX, X86_RDX, 0, 0, EMIT_64);
	emit_rm(e, 0x8b, X86_RDX, X86_R15, X86_NOREG, 0,
		(int32_t)offsetof(struct vcpu, cpu.tsc_offset), EMIT_64);
	emit_lea(e, X86_RAX, X86_RAX, X86_RDX, 0, 0, EMIT_64);
	halves(e, X86_RAX);
	emit_rr(e, 0x89, X86_RDX, X86_RDX, EMIT_32);
	emit_rr(e, 0x89, X86_RAX, X86_RAX, EMIT_32);
	if (g->in->op == X86_RDTSCP)
		emit_rm(e, 0x8b, X86_RCX, X86_R15, X86_NOREG, 0,
			(int32_t)offsetof(struct vcpu, cpu.tsc_aux), EMIT_32);
	return true;
}

/* mov reg, segment register */
static bool read_seg(struct gen *g)
{
	const struct x86_insn *in = g->in;
	struct emit *e = &g->e;

	if (in->o[0].kind != X86_O_GPR || in->o[1].kind != X86_O_SEG ||
	    (in->o[0].reg == X86_R15 && in->opsize == 2))
		return false;
	emit_tls_load(e, X86_R15, T_VCPU);
	gen64_r15_lost(g);
	emit_rm(e, 0x0fb7, X86_R15, X86_R15, X86_NOREG, 0, SEG_SEL(in->o[1].reg), EMIT_32);
	if (in->o[0].reg == X86_R15) {
		emit_tls_store(e, T_R15, X86_R15);
		return true;
	}
	if (in->opsize == 2)
		e8(e, 0x66);
	emit_rr(e, 0x89, X86_R15, in->o[0].reg, EMIT_32);
	return true;
}

bool gen64_inline(struct gen *g)
{
	bool kernel = !(g->mode & BT_M_USER);

	switch (g->in->op) {
	case X86_CLI:
		if (kernel)
			set_if(g, 0);
		return kernel;
	case X86_STI:
		return kernel && sti(g);
	case X86_STAC: case X86_CLAC:
		return set_ac(g, g->in->op == X86_STAC);
	case X86_PUSHF:
		return pushf(g);
	case X86_RDTSC: case X86_RDTSCP:
		return rdtsc(g);
	case X86_MOV_SEG:
		return read_seg(g);
	case X86_CLD:
		return !(g->mode & BT_M_DF);
	case X86_PAUSE:		/* as in 32-bit code */
		return !g->bt->smp;
	}
	return false;
}
