#include <stddef.h>

#include "bt/gen.h"

#define SEG_SEL(n) ((int32_t)offsetof(struct vcpu, cpu.seg[n].sel))
#define V_REQ ((int32_t)offsetof(struct vcpu, req))

static const struct x86_operand *mem_operand(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_MEM)
			return &in->o[i];
	return NULL;
}

static bool has_high_byte(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_GPRH)
			return true;
	return false;
}

static bool unit_state_ok(const struct gen *g, const struct x86_insn *in)
{
	static const uint32_t need[] = {
		[X86_U_X87] = BT_M_X87, [X86_U_MMX] = BT_M_X87,
		[X86_U_SSE] = BT_M_SSE, [X86_U_AVX] = BT_M_AVX,
	};

	if (in->unit == X86_U_INT)
		return true;
	return g->mode & need[in->unit];
}

/* lea with 16-bit addressing */
static void gen_lea16(struct gen *g)
{
	const struct x86_insn *in = g->in;

	emit_lea(&g->e, X86_R8, in->base, in->index, in->scale,
		 (int32_t)in->disp, EMIT_32);
	emit_rr(&g->e, 0x0fb7, X86_R8, X86_R8, EMIT_32);
	if (in->opsize == 2)
		e8(&g->e, 0x66);
	emit_rr(&g->e, 0x89, X86_R8, in->o[0].reg, EMIT_32);
}

static bool is_bit_string(const struct x86_insn *in)
{
	return (in->op == X86_BT || in->op == X86_BTS || in->op == X86_BTR ||
		in->op == X86_BTC) && in->o[1].kind == X86_O_GPR;
}

/* bt/bts/btr/btc [mem], reg: the offset register reaches beyond the operand.
 * Adds its whole units to r8d and leaves the rest in r13d. */
static void gen_bit_address(struct gen *g)
{
	const struct x86_insn *in = g->in;
	struct emit *e = &g->e;
	unsigned reg = in->o[1].reg;

	if (in->opsize == 2) {
		emit_rr(e, 0x0fbf, X86_R13, reg, EMIT_32);	/* movsx */
		reg = X86_R13;
	}
	emit_mov_ri(e, X86_R10, in->opsize == 2 ? 4 : 5);
	emit_shiftx(e, 2, X86_R9, reg, X86_R10);
	emit_lea(e, X86_R8, X86_R8, X86_R9, in->opsize == 2 ? 1 : 2, 0, EMIT_32);
	emit_mov_ri(e, X86_R10, in->opsize == 2 ? 28 : 27);
	emit_shiftx(e, 1, X86_R13, reg, X86_R10);
	emit_shiftx(e, 3, X86_R13, X86_R13, X86_R10);
}

static void emit_bit_op(struct gen *g)
{
	struct emit *e = &g->e;

	if (g->in->prefixes & X86_P_LOCK)
		e8(e, 0xf0);
	if (g->in->opsize == 2)
		e8(e, 0x66);
	emit_rm(e, 0x0f00 | g->in->opcode, X86_R13, X86_R8, X86_R9, 0, 0, EMIT_32);
}

/* [r8 + r9] for an instruction that names AH..BH: no REX prefix is possible. */
static void emit_high_byte(struct gen *g)
{
	struct emit *e = &g->e;
	struct x86_insn m = *g->in;

	emit_lea(e, X86_R10, X86_R8, X86_R9, 0, 0, EMIT_64);
	emit_mov_rr(e, X86_R9, X86_RDI);
	emit_mov_rr(e, X86_RDI, X86_R10);
	m.modrm = (uint8_t)((m.modrm & 0x38) | X86_RDI);
	emit_guest(e, &m, g->bytes, EMIT_REG);
	emit_mov_rr(e, X86_RDI, X86_R9);
}

static void gen_same_soft(struct gen *g, const struct x86_operand *m)
{
	bool bits = is_bit_string(g->in);

	gen_ea(g, g->in, 0);
	if (bits)
		gen_bit_address(g);
	if (bits && g->in->adsize == 2)
		emit_rr(&g->e, 0x0fb7, X86_R8, X86_R8, EMIT_32);
	gen_seg(g, g->in->seg, m->size, m->access & X86_A_W);
	gen_check(g, m->size, m->access & X86_A_W);
	gen_flags_before(g);
	gen_site_again(g);
	if (bits)
		emit_bit_op(g);
	else if (has_high_byte(g->in))
		emit_high_byte(g);
	else
		emit_guest(&g->e, g->in, g->bytes, EMIT_HOST);
}

/* VEX is undefined outside protected mode; a mandatory 66 of integer instructions
 * cannot be told from an operand size in 16-bit code. */
static bool host_has_form(const struct gen *g)
{
	const struct x86_insn *in = g->in;

	if (in->prefixes & X86_P_VEX)
		return !(g->mode & BT_M_REAL);
	return in->mode != 16 || in->map < 2 || in->unit != X86_U_INT ||
	       in->op == X86_MOVBE || in->op == X86_CRC32;
}

bool gen_same(struct gen *g)
{
	const struct x86_insn *in = g->in;
	const struct x86_operand *m = mem_operand(in);
	bool through_r8, seg = g->mode & BT_M_SEG;

	if (!unit_state_ok(g, in) || (seg && !host_has_form(g)) ||
	    !x86_model_has(&g->bt->vm->model, in->feat) ||
	    (in->prefixes & X86_P_REP && in->prefixes & X86_P_REPNE))
		return false;
	if (!m || !m->access) {
		gen_flags_before(g);
		if (in->op == X86_LEA && in->adsize == 2)
			gen_lea16(g);
		else if (in->op == X86_LEA)
			emit_guest(&g->e, in, g->bytes, EMIT_ADDR32);
		else if (!m && in->op != X86_NOP && in->op != X86_PREFETCH &&
			 in->op != X86_ENDBR)	/* hints: dropped */
			emit_guest(&g->e, in, g->bytes, EMIT_REG);
		gen_flags_after(g);
		return true;
	}
	if (!m->size || !gen_seg_ok(g, in->seg, m->access & X86_A_W) || in->vsib)
		return false;
	if (!seg && in->adsize == 2 && is_bit_string(in))
		return false;	/* it wraps before the base is added */
	through_r8 = seg || in->seg == X86_FS || in->seg == X86_GS || in->adsize == 2;
	if (g->soft || (through_r8 && has_high_byte(in)) || (seg && is_bit_string(in))) {
		gen_same_soft(g, m);
	} else if (through_r8) {
		gen_ea(g, in, 0);
		gen_seg(g, in->seg, m->size, m->access & X86_A_W);
		gen_flags_before(g);
		emit_guest(&g->e, in, g->bytes, EMIT_WINDOW_R8);
	} else {
		gen_flags_before(g);
		emit_guest(&g->e, in, g->bytes, EMIT_WINDOW);
	}
	gen_flags_after(g);
	return true;
}

static void add_esp(struct gen *g, int32_t n)
{
	gen_set_sp(g, X86_RSP, n);
}

static bool gen_push(struct gen *g)
{
	const struct x86_insn *in = g->in;
	unsigned size = in->opsize;

	switch (in->o[0].kind) {
	case X86_O_GPR:
		gen_store(g, X86_RSP, -(int32_t)size, in->o[0].reg, size);
		break;
	case X86_O_IMM:
		gen_store_imm(g, X86_RSP, -(int32_t)size, (uint32_t)in->imm, size);
		break;
	case X86_O_MEM:
		if (!gen_seg_ok(g, in->seg, false))
			return false;
		gen_ea(g, in, 0);
		gen_seg(g, in->seg, size, false);
		gen_load_r8(g, X86_R13, size);
		gen_store(g, X86_RSP, -(int32_t)size, X86_R13, size);
		break;
	case X86_O_SEG:
		emit_rm(&g->e, 0x0fb7, X86_R13, X86_R15, X86_NOREG, 0,
			SEG_SEL(in->o[0].reg), EMIT_32);
		gen_store(g, X86_RSP, -(int32_t)size, X86_R13, size);
		break;
	default:
		return false;
	}
	add_esp(g, -(int32_t)size);
	return true;
}

static bool gen_pop(struct gen *g)
{
	const struct x86_insn *in = g->in;
	unsigned size = in->opsize;

	switch (in->o[0].kind) {
	case X86_O_GPR:
		if (size == 4 && in->o[0].reg != X86_RSP) {
			gen_load(g, in->o[0].reg, X86_RSP, 0, 4);
			add_esp(g, 4);
			return true;
		}
		gen_load(g, X86_R13, X86_RSP, 0, size);
		add_esp(g, (int32_t)size);
		if (size == 2)
			e8(&g->e, 0x66);
		emit_rr(&g->e, 0x89, X86_R13, in->o[0].reg, EMIT_32);
		return true;
	case X86_O_MEM:
		if (!gen_seg_ok(g, in->seg, true) ||
		    (g->mode & BT_M_STACK16 && in->base == X86_RSP))
			return false;
		gen_load(g, X86_R13, X86_RSP, 0, size);
		gen_ea(g, in, (int32_t)size);
		gen_seg(g, in->seg, size, true);
		gen_store_r8(g, X86_R13, size);
		add_esp(g, (int32_t)size);
		return true;
	default:
		return false;
	}
}

bool gen_stack(struct gen *g)
{
	switch (g->in->op) {
	case X86_PUSH:
		return gen_push(g);
	case X86_POP:
		return gen_pop(g);
	case X86_LEAVE:
		gen_load(g, X86_R13, X86_RBP, 0, g->in->opsize);
		gen_set_sp(g, X86_RBP, g->in->opsize);
		if (g->in->opsize == 2)
			gen_mov16(g, X86_RBP, X86_R13);
		else
			emit_rr(&g->e, 0x89, X86_R13, X86_RBP, EMIT_32);
		return true;
	}
	return false;
}

static void emit_acc_op(struct gen *g, unsigned op, unsigned size, unsigned reg,
			unsigned rm)
{
	if (size == 2)
		e8(&g->e, 0x66);
	emit_rr(&g->e, size == 1 ? op - 1 : op, reg, rm, EMIT_32);
}

static void add_base(struct gen *g, unsigned reg)
{
	emit_lea(&g->e, reg, reg, X86_R13, 0, 0, EMIT_64);
}

/*
 * REP MOVS and STOS through a window: RSI and RDI become host pointers for the
 * time of the host's own REP, without touching the flags.  A run that leaves
 * the window ends in its guard; the signal handler turns the pointers back.
 */
static bool gen_rep(struct gen *g, unsigned size, bool src)
{
	const struct x86_insn *in = g->in;
	struct emit *e = &g->e;

	if (g->soft || in->seg == X86_FS || in->seg == X86_GS || g->mode & BT_M_SEG ||
	    (in->op != X86_MOVS && in->op != X86_STOS))
		return false;
	emit_load(e, X86_R13, H_GSBASE * 8, EMIT_64);
	add_base(g, X86_RDI);
	if (src)
		add_base(g, X86_RSI);
	gen_site_again(g);
	g->u->site[g->u->nsites - 1].string = src ? 2 : 1;
	if (size == 2)
		e8(e, 0x66);
	e8(e, 0xf3);
	e8(e, in->opcode);
	emit_load(e, X86_R13, H_GSBASE * 8, EMIT_64);	/* it may have moved */
	emit_rr(e, 0xf7, 2, X86_R13, EMIT_64);		/* not */
	emit_lea(e, X86_RDI, X86_RDI, X86_R13, 0, 1, EMIT_32);
	if (src)
		emit_lea(e, X86_RSI, X86_RSI, X86_R13, 0, 1, EMIT_32);
	return true;
}

static void advance(struct gen *g, unsigned reg, unsigned size)
{
	if (g->in->adsize == 4) {
		emit_lea(&g->e, reg, reg, X86_NOREG, 0, (int32_t)size, EMIT_32);
		return;
	}
	emit_lea(&g->e, X86_R8, reg, X86_NOREG, 0, (int32_t)size, EMIT_32);
	gen_mov16(g, reg, X86_R8);
}

/* r13 = the element at (E)SI */
static void load_source(struct gen *g, unsigned size)
{
	struct x86_insn m = *g->in;

	m.base = X86_RSI;
	m.index = X86_NOREG;
	m.disp = 0;
	gen_ea(g, &m, 0);
	gen_seg(g, m.seg, size, false);
	gen_load_r8(g, X86_R13, size);
}

/* A string instruction; DF is clear. */
bool gen_string(struct gen *g)
{
	const struct x86_insn *in = g->in;
	unsigned size;
	bool seg = g->mode & BT_M_SEG, src = in->op == X86_MOVS || in->op == X86_LODS || in->op == X86_CMPS;
	bool dst = in->op != X86_LODS;

	size = in->opcode & 1 ? in->opsize : 1;
	if ((in->adsize != 4 && !seg) || g->mode & BT_M_DF ||
	    (dst && !(g->mode & (BT_M_ES | BT_M_SEG))) || (src && !gen_seg_ok(g, in->seg, false)))
		return false;
	if (in->prefixes & (X86_P_REP | X86_P_REPNE))
		return gen_rep(g, size, src);
	/* Which operand of CMPS faults first: as in the interpreter. */
	if (in->op == X86_CMPS && g->bt->vm->model.amd) {
		gen_load(g, X86_R14, X86_RDI, 0, size);
		load_source(g, size);
	} else {
		if (src)
			load_source(g, size);
		if (in->op == X86_SCAS || in->op == X86_CMPS)
			gen_load(g, X86_R14, X86_RDI, 0, size);
	}
	if (in->op == X86_MOVS)
		gen_store(g, X86_RDI, 0, X86_R13, size);
	else if (in->op == X86_STOS)
		gen_store(g, X86_RDI, 0, X86_RAX, size);
	if (in->op == X86_LODS)
		emit_acc_op(g, 0x89, size, X86_R13, X86_RAX);
	if (in->op == X86_SCAS)
		emit_acc_op(g, 0x39, size, X86_R14, X86_RAX);
	if (in->op == X86_CMPS)
		emit_acc_op(g, 0x39, size, X86_R14, X86_R13);
	gen_flags_after(g);
	if (src)
		advance(g, X86_RSI, size);
	if (dst)
		advance(g, X86_RDI, size);
	return true;
}

static bool gen_sti(struct gen *g)
{
	struct emit *e = &g->e;
	uint8_t *ok;

	emit_store_imm32(e, H_IF * 8, X86_FL_IF);
	/* Something pending?  Without touching the flags: jrcxz. */
	emit_mov_rr(e, X86_R9, X86_RCX);
	emit_load(e, X86_RCX, V_REQ, EMIT_32);
	ok = emit_jrcxz(e);
	gen_stub_add(g, emit_jmp_open(e), NULL, g->next, BT_EXIT_STI, 0);
	g->stub[g->nstubs - 1].rcx_in_r9 = true;
	g->stub[g->nstubs - 1].saved = g->flags == GEN_SAVED;
	emit_close8(e, ok);
	emit_mov_rr(e, X86_RCX, X86_R9);
	return true;
}

/* IOPL-sensitive in V86 mode. */
static bool is_v86(const struct gen *g)
{
	return g->mode & BT_M_REAL && g->mode & BT_M_USER;
}

static bool gen_pushf(struct gen *g)
{
	struct emit *e = &g->e;
	unsigned size = g->in->opsize;

	if (is_v86(g))
		return false;
	gen_need_host(g);
	emit_mov_rr(e, X86_R13, X86_RSP);
	emit_load(e, X86_RSP, H_HOST_RSP * 8, EMIT_64);
	e8(e, 0x9c);				/* pushfq */
	e8(e, 0x41), e8(e, 0x5e);		/* pop r14 */
	emit_mov_rr(e, X86_RSP, X86_R13);
	/* The host's word has bit 1 and IF set and no system flags. */
	emit_lea(e, X86_R14, X86_R14, X86_NOREG, 0, -(int32_t)X86_FL_IF, EMIT_32);
	emit_load(e, X86_R9, H_IF * 8, EMIT_32);
	emit_lea(e, X86_R14, X86_R14, X86_R9, 0, 0, EMIT_32);
	emit_load(e, X86_R9, H_SYSFLAGS * 8, EMIT_32);
	emit_lea(e, X86_R14, X86_R14, X86_R9, 0, 0, EMIT_32);
	gen_store(g, X86_RSP, -(int32_t)size, X86_R14, size);
	add_esp(g, -(int32_t)size);
	return true;
}

/* POPF at CPL 0 where only arithmetic flags and IF change; else a step. */
static bool gen_popf(struct gen *g)
{
	struct emit *e = &g->e;
	uint32_t system = X86_FL_TF | X86_FL_DF | X86_FL_IOPL | X86_FL_NT | X86_FL_AC |
			  X86_FL_ID | X86_FL_VIF | X86_FL_VIP;
	unsigned size = g->in->opsize;
	uint8_t *skip;

	if (g->mode & (BT_M_USER | BT_M_DF))
		return false;
	gen_load(g, X86_R13, X86_RSP, 0, size);
	gen_need_saved(g);
	emit_rr(e, 0x89, X86_R13, X86_R8, EMIT_32);
	emit_rm(e, 0x33, X86_R8, X86_R15, X86_NOREG, 0, H_SYSFLAGS * 8, EMIT_32);
	emit_rr(e, 0xf7, 0, X86_R8, EMIT_32);	/* test r8d, imm32 */
	e32(e, size == 2 ? system & 0xffff : system);
	g->flags = GEN_SAVED;
	gen_stub_add(g, emit_jcc(e, 5), NULL, g->eip, BT_EXIT_STEP, 0);
	add_esp(g, (int32_t)size);
	/* R12: AH = low byte, AL = OF */
	emit_rr(e, 0x89, X86_R13, X86_R8, EMIT_32);
	emit_rr(e, 0xc1, 5, X86_R8, EMIT_32), e8(e, 11);	/* shr r8d, 11 */
	emit_alu_ri(e, 4, X86_R8, 1);
	emit_rr(e, 0x0fb6, X86_R12, X86_R13, EMIT_32);	/* movzx r12d, r13b */
	emit_rr(e, 0xc1, 4, X86_R12, EMIT_32), e8(e, 8);	/* shl r12d, 8 */
	emit_rr(e, 0x09, X86_R8, X86_R12, EMIT_32);
	emit_alu_ri(e, 4, X86_R13, X86_FL_IF);
	emit_store(e, H_IF * 8, X86_R13, EMIT_32);
	skip = emit_jcc(e, 4);			/* IF clear: nothing to take */
	emit_rm(e, 0x83, 7, X86_R15, X86_NOREG, 0, V_REQ, EMIT_32);	/* cmp req, 0 */
	e8(e, 0);
	gen_stub_add(g, emit_jcc(e, 5), NULL, g->next, BT_EXIT_REQ, 0);
	emit_close32(e, skip);
	return true;
}

static bool gen_rdtsc(struct gen *g)
{
	struct emit *e = &g->e;

	if (!(g->mode & BT_M_TSC) || !x86_model_has(&g->bt->vm->model, g->in->feat))
		return false;
	gen_need_saved(g);
	e8(e, 0x0f), e8(e, 0x31);
	emit_rr(e, 0xc1, 4, X86_RDX, EMIT_64), e8(e, 32);
	emit_rr(e, 0x09, X86_RDX, X86_RAX, EMIT_64);
	emit_rm(e, 0x03, X86_RAX, X86_R15, X86_NOREG, 0,
		(int32_t)offsetof(struct vcpu, cpu.tsc_offset), EMIT_64);
	emit_mov_rr(e, X86_RDX, X86_RAX);
	emit_rr(e, 0xc1, 5, X86_RDX, EMIT_64), e8(e, 32);
	emit_rr(e, 0x89, X86_RAX, X86_RAX, EMIT_32);
	if (g->in->op == X86_RDTSCP)
		emit_load(e, X86_RCX, (int32_t)offsetof(struct vcpu, cpu.tsc_aux),
			  EMIT_32);
	g->flags = GEN_SAVED;
	return true;
}

static bool gen_read_seg(struct gen *g)
{
	const struct x86_insn *in = g->in;

	if (in->o[0].kind != X86_O_GPR || in->o[1].kind != X86_O_SEG)
		return false;
	emit_rm(&g->e, 0x0fb7, X86_R8, X86_R15, X86_NOREG, 0,
		SEG_SEL(in->o[1].reg), EMIT_32);
	if (in->opsize == 2)
		e8(&g->e, 0x66);
	emit_rr(&g->e, 0x89, X86_R8, in->o[0].reg, EMIT_32);
	return true;
}

bool gen_inline(struct gen *g)
{
	bool kernel = !(g->mode & BT_M_USER);

	switch (g->in->op) {
	case X86_CLI:
		if (!kernel)
			return false;
		emit_store_imm32(&g->e, H_IF * 8, 0);
		return true;
	case X86_STI:
		return kernel && gen_sti(g);
	case X86_PUSHF:
		return gen_pushf(g);
	case X86_POPF:
		return gen_popf(g);
	case X86_RDTSC:
	case X86_RDTSCP:
		return gen_rdtsc(g);
	case X86_MOV_SEG:
		return gen_read_seg(g);
	case X86_PUSH:		/* of a segment register */
		return g->in->o[0].kind == X86_O_SEG && gen_push(g);
	case X86_CLD:
		return !(g->mode & BT_M_DF);
	case X86_PAUSE:		/* dear on virtual hosts; it may be another vCPU's turn: op_pause() */
		return !g->bt->smp;
	}
	return false;
}
