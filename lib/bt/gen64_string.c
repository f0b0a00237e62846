/* String instructions of 64-bit code. */
#include "bt/gen64.h"

#include "bt/emit64.h"
#include "bt/layout64.h"

/* A register of the guest's becomes the host address it stands for in the window; what
 * it was is kept at began. */
static void to_host(struct gen *g, unsigned reg, int32_t began)
{
	struct emit *e = &g->e;

	emit_tls_store(e, began, reg);
	gen64_r15_lost(g);
	gen64_fold(g, reg);
	emit_tls_load(e, reg, T_WINDOW);
	emit_lea(e, reg, reg, X86_R15, 0, 0, EMIT_64);
}

/* Behind all of the elements, whose number is in R15. */
static void from_host(struct gen *g, unsigned reg, int32_t began, unsigned shift)
{
	emit_tls_load(&g->e, reg, began);
	emit_lea(&g->e, reg, reg, X86_R15, shift, 0, EMIT_64);
}

/*
 * REP MOVS and STOS through a window are the host's own, with host pointers in RDI and
 * RSI:
 *
 *	fs:[T_DI]=rdi; r15=fold(rdi); mov rdi,fs:[T_WINDOW]; lea rdi,[rdi+r15]
 *	fs:[T_CX]=rcx; rep stosd
 *	mov r15,fs:[T_CX]; mov rdi,fs:[T_DI]; lea rdi,[rdi+4*r15]
 *
 * A run that leaves a slot faults in its guard.  After a fault the signal handler
 * turns the pointers back (bt64_string_gva()).
 */
bool gen64_string(struct gen *g)
{
	const struct x86_insn *in = g->in;
	struct emit *e = &g->e;
	unsigned size = in->opcode & 1 ? in->opsize : 1;
	bool src = in->op == X86_MOVS;

	if (g->soft || in->adsize != 8 || g->mode & BT_M_DF || in->seg == X86_FS ||
	    in->seg == X86_GS || !(in->prefixes & (X86_P_REP | X86_P_REPNE)) ||
	    (in->op != X86_MOVS && in->op != X86_STOS))
		return false;
	to_host(g, X86_RDI, T_DI);
	if (src)
		to_host(g, X86_RSI, T_SI);
	emit_tls_store(e, T_CX, X86_RCX);
	gen64_site(g, X86_NOREG);
	g->u->site[g->u->nsites - 1].string = src ? 2 : 1;
	if (size == 2)
		e8(e, 0x66);
	e8(e, 0xf3);
	if (size == 8)
		e8(e, 0x48);
	e8(e, in->opcode);
	emit_tls_load(e, X86_R15, T_CX);
	from_host(g, X86_RDI, T_DI, (unsigned)__builtin_ctz(size));
	if (src)
		from_host(g, X86_RSI, T_SI, (unsigned)__builtin_ctz(size));
	gen64_r15_lost(g);
	return true;
}
