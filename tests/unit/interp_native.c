/*
 * Every user-level instruction with random operands, natively against the
 * interpreter: registers, defined flags, memory, x87, SSE and AVX state, and
 * the exception where there is one.
 *
 *	interp_native [cases [seed]]	default 500000 cases
 */

#include <errno.h>
#include <stddef.h>

#include "base/le.h"
#include "check.h"
#include "interp/core.h"
#include "native.h"
#include "native_rand.h"
#include "native_vm.h"

static bool segmented;		/* small segments, see native_segments() */
static uint64_t seed, left, done, faults, printed, by_op[X86_OP_COUNT];

/* The case under way. */
static struct {
	struct x86_insn in;
	uint8_t code[X86_INSN_MAX];
	unsigned bits;
	uint64_t rip;		/* of the instruction: offset in CS */
	struct native_state st;
	uint64_t seed;
	uint8_t before[64];	/* vector and x87 instructions in front of it */
	unsigned nbefore, count;	/* bytes, instructions */
} now;

/* --- random instructions --------------------------------------------------------- */

/* User-level instructions that the host and the interpreter can both run. */
static bool wanted(const struct x86_insn *in, const uint8_t *code)
{
	if (in->priv || (in->feat != X86_F_BASE && !x86_model_has(&vm->model, in->feat)))
		return false;
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_SEG)
			return false;
	if (in->prefixes & X86_P_SEG && in->seg == X86_FS)
		return false;	/* the C library's */
	if (!segmented && in->adsize == 2 && in->has_modrm && in->modrm < 0xc0 && in->op != X86_LEA)
		return false;	/* addresses that cannot be mapped */
	if (in->mode != 64 && in->map == 3 && (code[in->opcode_off - 1] & 0x80) &&
	    (in->opcode == 0x16 || in->opcode == 0x22))
		return false;	/* AMD: #UD; Intel: W is ignored */
	if (in->unit != X86_U_INT)
		return in->op != X86_FXSAVE && in->op != X86_FXRSTOR;
	switch (in->op) {
	case X86_INS: case X86_OUTS: case X86_IN: case X86_OUT:
		return false;
	case X86_XLAT: case X86_MOVS: case X86_STOS: case X86_LODS: case X86_CMPS:
	case X86_SCAS: case X86_CLZERO:
		return segmented || in->adsize != 2;
	case X86_JMP: case X86_CALL: case X86_RET: case X86_JCC: case X86_LOOP:
	case X86_LOOPE: case X86_LOOPNE: case X86_JCXZ:
		/* AMD's processors take 66 in 64-bit code for 16 bits, Intel's ignore it */
		return !(in->mode == 64 && (in->prefixes & X86_P_OPSIZE));
	case X86_NOP:
		return !(in->map == 1 && in->opcode == 0x0d);	/* AMD: #UD */
	case X86_CLFLUSH: case X86_CLFLUSHOPT: case X86_CLWB: case X86_PREFETCH:
	case X86_LFENCE: case X86_MFENCE: case X86_SFENCE: case X86_MOVNTI:
	case X86_MOVDIRI: case X86_PUSH: case X86_POP: case X86_PUSHA: case X86_POPA:
	case X86_PUSHF: case X86_POPF: case X86_ENTER: case X86_LEAVE:
		return true;
	default:
		return in->op < X86_IN;
	}
}

/* --- operands in reach -------------------------------------------------------------- */

/* Offsets in DS and SS. */
static uint64_t random_place(unsigned room)
{
	uint64_t base = segmented ? NATIVE_DATA : 0;

	if (segmented && !below(16))
		return NATIVE_LIMIT - below(room + 1);
	switch (below(24)) {
	case 0: return NATIVE_DATA - base + NATIVE_RW_LEN - below(room + 1); /* read-only */
	case 1: return NATIVE_DATA - base + NATIVE_DATA_LEN - below(room + 1); /* nothing */
	case 2: return NATIVE_DATA - base + 0x1000 - below(room + 1);	/* across pages */
	case 3: return NATIVE_DATA - base - below(room + 1);
	default: break;
	}
	return (NATIVE_DATA - base + 0x400 + below(0x2000)) & ~(uint64_t)(below(2) ? 31 : 0);
}

static void put_disp(uint64_t disp)
{
	memcpy(now.code + now.in.disp_off, &disp, now.in.disp_len);
	now.in.disp = now.in.disp_len == 8 ? (int64_t)disp :
		      sz_sext(disp, now.in.disp_len);
}

/* Make the memory operand's address be target, as far as it goes. */
static void steer(uint64_t target)
{
	struct x86_insn *in = &now.in;
	uint64_t *g = now.st.gpr, index;

	if (in->disp_len == 4 && in->base != X86_NOREG && in->base != X86_RIP)
		put_disp(rnd() & 0xff);
	if (in->vsib) {
		uint8_t *lo = now.st.fx + 160 + 16 * in->index, *hi = now.st.ymmh + 16 * in->index;
		bool quad = in->opcode & 1;

		for (unsigned i = 0; i < 16; i += quad ? 8 : 4) {
			int64_t a = (int64_t)below(512) - 256, b = (int64_t)below(512) - 256;

			memcpy(lo + i, &a, quad ? 8 : 4);
			memcpy(hi + i, &b, quad ? 8 : 4);
		}
	}
	if (in->index != X86_NOREG && !in->vsib && in->base != X86_NOREG)
		g[in->index] = below(4) ? below(256) : g[in->index];
	index = in->index != X86_NOREG && !in->vsib ? g[in->index] << in->scale : 0;
	if (in->base == X86_RIP) {
		put_disp(target - (now.rip + in->len));
	} else if (in->base != X86_NOREG) {
		if (in->base == in->index && !in->vsib)
			g[in->base] = (target - (uint64_t)in->disp) / (1 + (1u << in->scale));
		else
			g[in->base] = target - (uint64_t)in->disp - index;
	} else if (in->index != X86_NOREG && !in->vsib) {
		put_disp(below(256));
		g[in->index] = (target - (uint64_t)in->disp) >> in->scale;
	} else if (in->disp_len >= in->adsize) {
		put_disp(target);
	}
}

static uint64_t code_place(void)
{
	return below(2) ? now.rip - 64 + below(60) : now.rip + 16 + below(60);
}

/* Store into both memories. */
static void poke(uint64_t at, const void *p, size_t n)
{
	at += segmented ? NATIVE_DATA : 0;
	if (at < NATIVE_DATA || at + n > NATIVE_DATA + NATIVE_RW_LEN)
		return;
	memcpy((void *)at, p, n);
	memcpy(gdata + (at - NATIVE_DATA), p, n);
}

/* The address needs this register. */
static bool addresses(const struct x86_insn *in, unsigned reg)
{
	return x86_has_mem(in) && (in->base == reg || (in->index == reg && !in->vsib));
}

/* What CMPXCHG compares with: often what is there. */
static void prepare_cmpxchg(uint64_t ea)
{
	const struct x86_insn *in = &now.in;
	uint64_t *g = now.st.gpr;
	unsigned n = in->op == X86_CMPXCHG ? in->o[0].size : in->op == X86_CMPXCHG8B ? 4 : 8;

	ea += segmented ? NATIVE_DATA : 0;
	if (ea < NATIVE_DATA || ea + 16 > NATIVE_DATA + NATIVE_RW_LEN || below(2))
		return;
	if (!addresses(in, X86_RAX))
		memcpy(&g[X86_RAX], (void *)ea, n);
	if (in->op != X86_CMPXCHG && !addresses(in, X86_RDX))
		memcpy(&g[X86_RDX], (void *)(ea + n), n);
}

/* What single instructions need so that something happens; what makes the memory
 * operand's address stays. */
static void prepare(void)
{
	struct x86_insn *in = &now.in;
	uint64_t *g = now.st.gpr, ea = 0, a;
	bool mem = x86_has_mem(in);

	g[X86_RSP] = random_place(64) & ~(uint64_t)(below(8) ? 7 : 0);
	if (mem)
		steer(random_place(in->op == X86_FNSAVE ? 108 : 64));
	if (mem && in->base != X86_RIP) {
		memcpy(cpu->cpu.gpr, g, sizeof(cpu->cpu.gpr));
		ea = interp_ea(cpu, in);
	}
	switch (in->op) {
	case X86_MOVS: case X86_STOS: case X86_LODS: case X86_CMPS: case X86_SCAS:
	case X86_MASKMOVQ: case X86_MASKMOVDQU:
		g[X86_RSI] = random_place(64);
		g[X86_RDI] = below(4) ? random_place(64) : g[X86_RSI] + below(32) - 16;
		g[X86_RCX] = below(2) ? below(8) : below(300);
		break;
	case X86_XLAT:
		g[X86_RBX] = random_place(64) - (g[X86_RAX] & 0xff);
		break;
	case X86_CLZERO:
		g[X86_RAX] = random_place(64);
		break;
	case X86_ENTER: case X86_LEAVE:
		g[X86_RBP] = random_place(64);
		break;
	case X86_BT: case X86_BTS: case X86_BTR: case X86_BTC:
		if (mem && in->o[1].kind == X86_O_GPR && !addresses(in, in->o[1].reg))
			g[in->o[1].reg] = below(2048) - 1024ull;
		break;
	case X86_DIV: case X86_IDIV:
		if (below(4) && !addresses(in, X86_RDX))
			g[X86_RDX] = below(3) - 1ull;
		break;
	case X86_CMPXCHG: case X86_CMPXCHG8B: case X86_CMPXCHG16B:
		prepare_cmpxchg(ea);
		break;
	case X86_POPF:	/* TF and AC would meet the host's handler, ID is not restored */
		a = (rnd() & (X86_FL_ARITH | X86_FL_DF)) | X86_FL_FIXED;
		g[X86_RSP] = NATIVE_DATA - (segmented ? NATIVE_DATA : 0) + 0x400 + below(0x2000);
		poke(g[X86_RSP], &a, in->opsize);
		break;
	case X86_RET:
		a = code_place();
		poke(g[X86_RSP], &a, in->opsize);
		break;
	case X86_JMP: case X86_CALL:
		a = code_place();
		if (in->o[0].kind == X86_O_GPR)
			g[in->o[0].reg] = a;
		else if (mem)
			poke(ea, &a, in->opsize);
		break;
	default:
		break;
	}
}

/* Relative branches stay in the code pages. */
static void bend(void)
{
	struct x86_insn *in = &now.in;
	/* never into the instruction itself, which would go on for ever */
	int64_t to = below(2) ? (int64_t)below(64) : -(int64_t)(in->len + 1 + below(60));

	if (in->nops && in->o[0].kind == X86_O_REL) {
		memcpy(now.code + in->imm_off, &to, in->imm_len);
		in->imm = to;
	}
	if (in->op == X86_ENTER) {
		now.code[in->imm_off + 1] &= 3;
		now.code[in->imm_off + 2] = (uint8_t)below(4);
	}
}

/* Sequences: the interpreter keeps x87 state in the host between instructions. */
static void before_make(void)
{
	struct x86_insn in;
	uint8_t code[X86_INSN_MAX];

	now.nbefore = now.count = 0;
	if (below(3) || (now.in.nops && now.in.o[0].kind == X86_O_REL) ||
	    now.in.op == X86_JMP || now.in.op == X86_CALL || now.in.op == X86_RET)
		return;
	for (unsigned n = 1 + below(4); now.count < n; ) {
		if (below(3)) {
			fill(code, 8);
			fill(code + 7, 8);
			code[0] = 0xd8 | below(8);
			code[1] |= 0xc0;
		} else {
			random_bytes(code, now.bits);
		}
		if (x86_decode(&in, code, X86_INSN_MAX, now.bits) < 0 ||
		    in.unit == X86_U_INT || x86_has_mem(&in) || !wanted(&in, code))
			continue;
		if ((in.nops && in.o[0].kind == X86_O_GPR) || in.op == X86_MASKMOVQ ||
		    in.op == X86_MASKMOVDQU || in.op == X86_VMASKMOVDQU ||
		    in.op == X86_PCMPESTRI || in.op == X86_PCMPISTRI ||
		    in.op == X86_VPCMPESTRI || in.op == X86_VPCMPISTRI)
			continue;
		memcpy(now.before + now.nbefore, code, in.len);
		now.nbefore += in.len;
		now.count++;
	}
}

static void case_make(void)
{
	struct native_state *st = &now.st;

	for (;;) {
		now.seed = rng;
		now.bits = segmented ? 16u << below(2) : 32u << below(2);
		random_bytes(now.code, now.bits);
		if (x86_decode(&now.in, now.code, X86_INSN_MAX, now.bits) > 0 && wanted(&now.in, now.code))
			break;
	}
	now.rip = (now.bits == 16 ? 0 : NATIVE_CODE) + 0x800 + (below(16) ? 0 : 0x800 - below(16));
	for (unsigned i = 0; i < 16; i++)
		st->gpr[i] = value();
	random_fpu(st);
	st->flags = (rnd() & (X86_FL_ARITH | X86_FL_DF)) | X86_FL_IF | X86_FL_FIXED;
	st->rip = now.rip;
	bend();
	prepare();
	if (now.bits != 64)
		for (unsigned i = 0; i < 16; i++)
			st->gpr[i] = i < 8 ? (uint32_t)st->gpr[i] : 0;
	x86_decode(&now.in, now.code, X86_INSN_MAX, now.bits);
	before_make();
	st->rip -= now.nbefore;
}

/* --- the interpreter's side ------------------------------------------------------------ */

static void mode_set(struct x86_cpu *c, unsigned bits)
{
	bool wide = bits == 64;

	c->code_bits = (uint8_t)bits;
	c->stack_bytes = wide ? 8 : segmented ? 2 : 4;
	c->long_mode = wide;
	c->efer = wide ? X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE : 0;
	c->cr3 = wide ? GPA_PML4 : GPA_PAE;
	c->pdpte[0] = GPA_PD | 1;
	c->seg[X86_CS].attr = X86_SEG_P | X86_SEG_S | X86_SEG_DPL | X86_SEG_CODE | X86_SEG_RW |
			      X86_SEG_ACCESSED | X86_SEG_G |
			      (wide ? X86_SEG_L : bits == 32 ? X86_SEG_DB : 0);
	c->seg[X86_CS].base = bits == 16 ? NATIVE_CODE : 0;
	c->seg[X86_CS].limit = bits == 16 ? NATIVE_CODE_LEN - 1 : 0xffffffff;
	for (unsigned i = 0; segmented && i <= X86_DS; i++)
		if (i != X86_CS)
			c->seg[i] = (struct x86_seg){ .base = NATIVE_DATA, .limit = NATIVE_LIMIT,
				.sel = native_ss, .attr = X86_SEG_P | X86_SEG_S | X86_SEG_DPL |
				X86_SEG_RW | X86_SEG_ACCESSED };
}

static int interp_one(void)
{
	struct x86_cpu *c = &cpu->cpu;
	struct interp *it = interp_of(cpu);
	struct iline *e;
	bool fast = below(2);
	int r = X86_OK;

	memcpy(c->gpr, now.st.gpr, sizeof(c->gpr));
	c->rip = now.st.rip;
	c->rflags = now.st.flags;
	memcpy(c->xsave, now.st.fx, sizeof(now.st.fx));
	memcpy(c->xsave + 576, now.st.ymmh, 256);
	c->xsave[512] = 7;
	c->exc.vector = 0;
	mode_set(c, now.bits);
	interp_state_changed(cpu);
	for (unsigned i = 0; i <= now.count && r != X86_FAULT; i++) {
		uint64_t rip = c->rip;

		/* The decoded line, as the loop would find it. */
		if (icache_enter(cpu, it) || icache_fill(cpu, it, &e)) {
			r = X86_FAULT;
			break;
		}
		c->rip = (rip + e->len) & it->ip_mask;
		r = fast ? e->fn(cpu, e) : e->exec(cpu, line_insn(it, e));
		if (r == X86_FAULT)
			c->rip = rip;
	}
	fpu_leave(cpu);
	return r;
}

/* --- comparison ----------------------------------------------------------------------- */

/* The count of a shift, its last operand. */
static unsigned shift_count(void)
{
	const struct x86_operand *o = &now.in.o[now.in.nops ? now.in.nops - 1 : 0];
	uint64_t n = o->kind == X86_O_GPR ? now.st.gpr[X86_RCX] : (uint64_t)now.in.imm;

	return (unsigned)n & (now.in.o[0].size == 8 ? 63 : 31);
}

static bool result_undefined(void)
{
	const struct x86_insn *in = &now.in;

	return (in->op == X86_SHLD || in->op == X86_SHRD) &&
	       shift_count() > 8u * in->o[0].size;
}

/* Faults that the manuals leave to the processor. */
static bool fault_undefined(bool ours, unsigned host, const struct native_state *st)
{
	uint8_t vector = cpu->cpu.exc.vector;

	/* AMD's MXCSR has a bit 17 (MISALIGNSSE), which no guest is offered. */
	if (now.in.op == X86_LDMXCSR || now.in.op == X86_VLDMXCSR)
		return ours && vector == X86_EXC_GP && host == 256 &&
		       le32_get(st->fx + 24) >> 16 == 2;
	/* Misaligned and beyond the stack's limit: #GP or #SS. */
	if (ours && host == X86_EXC_GP && vector == X86_EXC_SS)
		return now.in.aligned;
	/* AMD processors do not want SHA's operands aligned. */
	return ours && now.in.feat == X86_F_SHA && vector == X86_EXC_GP;
}

static unsigned vector_of(const struct native_stop *stop)
{
	return stop->trapno == 3 ? 256 : (unsigned)stop->trapno;
}

static void complain(const char *what, uint64_t host, uint64_t ours)
{
	char text[128];

	check_failed++;
	if (printed++ >= 40)
		return;
	x86_disas(text, sizeof(text), now.code, now.in.len, now.rip, now.bits);
	printf("%s%u-bit %s (", segmented ? "segmented " : "", now.bits, text);
	for (unsigned i = 0; i < now.in.len; i++)
		printf("%02x", now.code[i]);
	printf(now.count ? " behind " : "");
	for (unsigned i = 0; i < now.nbefore; i++)
		printf("%02x", now.before[i]);
	printf("): %s: host %#lx, ours %#lx (case seed %#lx)\n", what,
	       (unsigned long)host, (unsigned long)ours, (unsigned long)now.seed);
}

static void compare_regs(const struct native_state *host)
{
	static const char *const name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
		"rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	const struct x86_cpu *c = &cpu->cpu;
	uint64_t mask = (X86_FL_ARITH | X86_FL_DF) & ~(uint64_t)x86_flags_undefined(&now.in, shift_count());

	for (unsigned i = 0; i < (now.bits == 64 ? 16u : 8u); i++)
		/* A 16-bit stack leaks the kernel's upper RSP to 64-bit code. */
		if ((host->gpr[i] ^ c->gpr[i]) & (now.bits == 64 ? ~0ull : 0xffffffff))
			complain(name[i], host->gpr[i], c->gpr[i]);
	if ((host->flags ^ c->rflags) & mask)
		complain("flags", host->flags & mask, c->rflags & mask);
}

static void compare_fpu(const struct native_state *host)
{
	const uint8_t *x = cpu->cpu.xsave;
	uint32_t ignore = 0;
	char what[16];

	/* With underflow unmasked, inexact refers to an unbounded exponent; dot
	 * products trap at one of their steps. */
	if (cpu->cpu.exc.vector == X86_EXC_XM)
		ignore = now.in.map == 3 ? 0x3f : 0x20;

	/* The pointers to the last x87 instruction are not kept exactly. */
	if (memcmp(host->fx, x, 2))
		complain("fcw", le16_get(host->fx), le16_get(x));
	if (memcmp(host->fx + 2, x + 2, 2))
		complain("fsw", le16_get(host->fx + 2), le16_get(x + 2));
	if (host->fx[4] != x[4])
		complain("ftw", host->fx[4], x[4]);
	if ((le32_get(host->fx + 24) ^ le32_get(x + 24)) & ~ignore)
		complain("mxcsr", le32_get(host->fx + 24), le32_get(x + 24));
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(host->fx + 32 + 16 * i, x + 32 + 16 * i, 10)) {
			snprintf(what, sizeof(what), "st%u", i);
			complain(what, le64_get(host->fx + 32 + 16 * i), le64_get(x + 32 + 16 * i));
		}
	for (unsigned i = 0; i < 32; i++)
		if (memcmp(host->fx + 160 + 8 * i, x + 160 + 8 * i, 8)) {
			snprintf(what, sizeof(what), "xmm%u.%u", i / 2, i & 1);
			complain(what, le64_get(host->fx + 160 + 8 * i), le64_get(x + 160 + 8 * i));
		}
	for (unsigned i = 0; i < 32; i++)
		if (memcmp(host->ymmh + 8 * i, x + 576 + 8 * i, 8)) {
			snprintf(what, sizeof(what), "ymm%u.%u", i / 2, 2 + (i & 1));
			complain(what, le64_get(host->ymmh + 8 * i), le64_get(x + 576 + 8 * i));
		}
}

/* What FNSTENV stores of the last x87 instruction: the host's must not be seen, so
 * ours are 0, and are here made equal. */
static void compare_pointers(void)
{
	const struct x86_cpu *c = &cpu->cpu;
	bool wide = now.in.opsize != 2, based = now.bits != 64 || now.in.seg == X86_GS;
	uint64_t at = interp_ea(cpu, &now.in) + (based ? c->seg[now.in.seg].base : 0) - NATIVE_DATA;

	for (unsigned i = wide ? 12 : 6; i < (wide ? 26u : 14u); i++) {
		if (at + i >= NATIVE_RW_LEN)
			continue;
		if (gdata[at + i])
			complain("pointer", i, gdata[at + i]);
		gdata[at + i] = ((const uint8_t *)NATIVE_DATA)[at + i];
	}
}

static void compare(const struct native_stop *stop, const struct native_state *host)
{
	const uint8_t *data = (const uint8_t *)NATIVE_DATA;
	int r = interp_one();
	unsigned hv = vector_of(stop);
	uint64_t rip = host->rip - (hv == 256);
	struct x86_exc *exc = &cpu->cpu.exc;

	/* Ours went on and stopped at the next fetch: the host reports that. */
	if (r != X86_FAULT && hv != 256 && rip != now.rip)
		hv = 256;
	/* Into its own middle: the host has gone on there. */
	if (r != X86_FAULT && cpu->cpu.rip > now.rip && cpu->cpu.rip < now.rip + now.in.len) {
		memcpy(gdata, data, NATIVE_DATA_LEN);
		return;
	}
	if (fault_undefined(r == X86_FAULT, hv, host)) {
		memcpy(gdata, data, NATIVE_DATA_LEN);
		return;
	}
	if ((r == X86_FAULT ? exc->vector : 256u) != hv) {
		complain("vector", hv, r == X86_FAULT ? exc->vector : 256u);
		memcpy(gdata, data, NATIVE_DATA_LEN);
		return;
	}
	if (rip != cpu->cpu.rip)
		complain("rip", rip, cpu->cpu.rip);
	faults += hv != 256;
	/* Above 4 GiB the host has pages of its own, which the error code tells. */
	if (hv == X86_EXC_PF &&
	    (stop->cr2 != exc->cr2 || (stop->cr2 >> 32 == 0 && stop->err != exc->error)))
		complain("cr2, error", stop->cr2 << 8 | stop->err, exc->cr2 << 8 | exc->error);
	if (!result_undefined())
		compare_regs(host);
	compare_fpu(host);
	if (r != X86_FAULT && (now.in.op == X86_FNSTENV || now.in.op == X86_FNSAVE))
		compare_pointers();
	if (memcmp(gdata, data, NATIVE_DATA_LEN)) {
		for (unsigned i = 0; i < NATIVE_DATA_LEN; i++)
			if (gdata[i] != data[i] && !result_undefined()) {
				complain("memory", (uint64_t)i << 8 | data[i], (uint64_t)i << 8 | gdata[i]);
				break;
			}
		memcpy(gdata, data, NATIVE_DATA_LEN);
	}
}

static bool next(const struct native_stop *stop, struct native_state *st, unsigned *bits)
{
	uint8_t *code;

	if (stop->sig != SIGUSR1) {
		compare(stop, st);
		check_count++;
		by_op[now.in.op]++;
		if (++done >= left)
			return false;
	}
	if (done % 128 == 0) {
		fill((uint8_t *)NATIVE_DATA, NATIVE_RW_LEN);
		memcpy(gdata, (void *)NATIVE_DATA, NATIVE_DATA_LEN);
	}
	case_make();
	/* int3 everywhere else */
	memset((uint8_t *)NATIVE_CODE + 0x700, 0xcc, 0xa00);
	code = (uint8_t *)(now.bits == 16 ? NATIVE_CODE : 0) + now.rip;
	memcpy(code, now.code, now.in.len);
	memcpy(code - now.nbefore, now.before, now.nbefore);
	mem_write(vm->mem, NATIVE_CODE + 0x700, (void *)(NATIVE_CODE + 0x700), 0xa00);
	*st = now.st;
	*bits = now.bits;
	return true;
}

int main(int argc, char **argv)
{
	unsigned ops = 0;

	left = argc > 1 ? strtoull(argv[1], NULL, 0) : 500000;
	seed = seed_chosen(argc > 2 ? argv[2] : NULL);
	rng = seed;
	native_map(NATIVE_CODE, NATIVE_CODE_LEN, PROT_READ | PROT_WRITE | PROT_EXEC);
	native_map(NATIVE_DATA, NATIVE_DATA_LEN, PROT_READ | PROT_WRITE);
	fill((uint8_t *)NATIVE_DATA, NATIVE_DATA_LEN);
	mprotect((void *)(NATIVE_DATA + NATIVE_RW_LEN), NATIVE_DATA_LEN - NATIVE_RW_LEN, PROT_READ);
	machine_make();
	memset((void *)NATIVE_CODE, 0xcc, NATIVE_CODE_LEN);
	mem_write(vm->mem, NATIVE_CODE, (void *)NATIVE_CODE, NATIVE_CODE_LEN);
	native_run(next);
	if (native_segments()) {
		segmented = true;
		left += left / 2;
		native_run(next);
	}
	for (unsigned i = 0; i < X86_OP_COUNT; i++)
		ops += by_op[i] != 0;
	check(ops > 300 || left < 100000, "only %u mnemonics were met", ops);
	printf("seed %#lx, %lu cases, %lu faults, %u mnemonics: ", (unsigned long)seed,
	       (unsigned long)done, (unsigned long)faults, ops);
	interp_engine.destroy(cpu);
	interp_engine.vm_destroy(vm);
	mem_free(vm->mem);
	free(cpu);
	free(vm);
	return check_done();
}
