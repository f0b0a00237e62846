/*
 * Random code, translated against interpreted (which tests/unit/interp_native
 * compares with the host): sequences of user-level and some system instructions
 * with faults, page crossings, device memory, aliased pages, loops and stores
 * into themselves; paging off, 2-level and PAE; CPL 0 and 3; in soft, window and
 * mixed form.  Registers, flags, FPU state and all memory must end up equal.
 *
 *	bt_diff [cases [seed [form]]]	default 12000 cases, all forms
 */
#include <unistd.h>

#include "check.h"
#include "bt_rig.h"
#include "x86/insn.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "native_rand.h"
#pragma GCC diagnostic pop

#define CODE_MAX	700u
#define STEPS_MAX	40000u

static struct rig bt, oracle;
static uint8_t memory[RIG_MEM];	/* as it is at first */
static uint8_t pool[2 * RIG_DATA_LEN];	/* data is from here */
static uint64_t left, by_op[X86_OP_COUNT], discarded, too_long, faults, printed;
static const char *form_name;

static struct {
	uint64_t seed;
	uint8_t code[CODE_MAX + 64];
	unsigned len;
	uint32_t at;			/* where the code stands */
	unsigned off[64], n;		/* of each instruction */
	struct { unsigned at, insn; bool abs; } fix[64];	/* targets: rel32 or address */
	unsigned nfix;
	uint32_t undefined;		/* flags at the end */
	bool tainted;
	unsigned vector;		/* 256: none */
	enum rig_paging paging;
	unsigned cpl;
} now;

/* --- making code ---------------------------------------------------------------- */

static void put(const void *b, unsigned n)
{
	memcpy(now.code + now.len, b, n);
	now.len += n;
}

static void put8(unsigned b)
{
	now.code[now.len++] = (uint8_t)b;
}

static void put32(uint32_t a)
{
	put(&a, 4);
}

static void mov_ri(unsigned reg, uint32_t val)
{
	put8(0xb8 | reg);
	put32(val);
}

/* An address of data, often near the end of a page. */
static uint32_t place(void)
{
	uint32_t page = RIG_DATA + below(16) * 4096;

	if (below(3))
		page = RIG_DATA + (below(2) ? below(3) : 9 + below(7)) * 4096;
	switch (below(4)) {
	case 0: return page + 4096 - below(40);
	case 1: return page + below(4096);
	default: return page + below(256) * 16;
	}
}

static bool wanted(const struct x86_insn *in)
{
	if (in->priv == 1 || !x86_model_has(&bt.vm.model, in->feat))
		return false;
	switch (in->op) {
	/* another result each time, or the pointers to the last x87 instruction */
	case X86_RDTSC: case X86_RDTSCP: case X86_RDRAND: case X86_RDSEED: case X86_RDPMC:
	case X86_FXSAVE: case X86_FNSTENV: case X86_FNSAVE: case X86_XSAVE:
	case X86_XSAVEOPT: case X86_XSAVEC: case X86_XRSTOR: case X86_CPUID: case X86_RDPID:
	case X86_FXRSTOR: case X86_HLT: case X86_MONITOR: case X86_MWAIT:
	/* modes and tables stay */
	case X86_IRET: case X86_JMPF: case X86_CALLF: case X86_RETF: case X86_SGDT:
	case X86_SIDT: case X86_POPF: case X86_SYSENTER: case X86_SYSEXIT:
	case X86_SYSCALL: case X86_SYSRET:
		return false;
	case X86_JMP: case X86_CALL: case X86_RET: case X86_JCC: case X86_LOOP:
	case X86_LOOPE: case X86_LOOPNE: case X86_JCXZ:
		return !below(16);	/* put_branch() makes better ones */
	case X86_SHLD: case X86_SHRD:
		return in->opsize == 4;
	}
	return in->feat != X86_F_SHA || !x86_has_mem(in);	/* see interp_native */
}

/* Registers in front of a memory operand, so that it hits data. */
static void steer(struct x86_insn *in, uint8_t *b)
{
	uint32_t target = place(), base = in->seg == X86_FS ? RIG_DATA : 0, index = below(64);
	uint32_t disp = (uint32_t)in->disp;

	if (in->adsize == 2) {
		target &= 0xffff;
		if (in->base == X86_NOREG && in->index == X86_NOREG)
			return;
	} else {
		target -= base;
	}
	if (in->index != X86_NOREG && !in->vsib && in->index != in->base) {
		mov_ri(in->index, index);
		target -= index << in->scale;
	}
	if (in->base != X86_NOREG)
		mov_ri(in->base, target - disp);
	else if (in->disp_len == 4)
		memcpy(b + in->disp_off, &target, 4);
}

static void put_random(void)
{
	uint8_t b[X86_INSN_MAX + 1];
	struct x86_insn in;
	int len;

	do {
		random_bytes(b, 32);
		len = x86_decode(&in, b, X86_INSN_MAX, 32);
	} while (len < 0 || !wanted(&in));
	if (x86_has_mem(&in) && below(16))
		steer(&in, b);
	switch (in.op) {
	case X86_MOVS: case X86_STOS: case X86_LODS: case X86_CMPS: case X86_SCAS:
	case X86_MASKMOVQ: case X86_MASKMOVDQU: case X86_INS: case X86_OUTS:
		mov_ri(X86_RSI, place());
		mov_ri(X86_RDI, place());
		mov_ri(X86_RCX, below(3) ? below(16) : below(5000));
		break;
	case X86_XLAT:
		mov_ri(X86_RBX, place());
		break;
	case X86_ENTER:
		b[in.imm_off + 1] = 0;
		b[in.imm_off + 2] &= 7;
		break;
	case X86_LEAVE:
		mov_ri(X86_RBP, place() & ~3u);
		break;
	case X86_BT: case X86_BTS: case X86_BTR: case X86_BTC:
		if (in.o[1].kind == X86_O_GPR && in.o[1].reg != in.base && in.o[1].reg != in.index)
			mov_ri(in.o[1].reg, below(4096) - 2048);
		break;
	case X86_MOV_SEG: case X86_LSL: case X86_LAR: case X86_VERR: case X86_VERW:
		if (in.o[0].kind == X86_O_SEG && (in.o[0].reg == X86_SS || below(2)))
			mov_ri(in.o[1].reg & 7, now.cpl ? RIG_DS3 : RIG_DS0);
		break;
	}
	put(b, (unsigned)len);
	by_op[in.op]++;
}

static void fix_up(unsigned insn, bool absolute)
{
	now.fix[now.nfix].at = now.len;
	now.fix[now.nfix].insn = insn;
	now.fix[now.nfix++].abs = absolute;
	put32(0);
}

/* A transfer to one of the next instructions. */
static void put_branch(unsigned i)
{
	unsigned to = i + 1 + below(3), reg = below(8);

	if (reg == X86_RSP)
		reg = X86_RAX;
	switch (below(8)) {
	case 0:			/* jmp */
		put8(0xe9), fix_up(to, false);
		break;
	case 1:			/* call */
		put8(0xe8), fix_up(to, false);
		break;
	case 2:			/* push; ret, or ret n */
		put8(0x68), fix_up(to, true);
		if (below(2))
			put8(0xc3);
		else
			put8(0xc2), put8(below(16) * 4), put8(0);
		break;
	case 3:			/* mov; jmp or call reg */
		put8(0xb8 | reg), fix_up(to, true);
		put8(0xff), put8((below(2) ? 0xe0 : 0xd0) | reg);
		break;
	case 4: {		/* mov [m], to; jmp or call [m] */
		uint32_t m = RIG_DATA + below(3) * 4096 + below(1020) * 4;

		put8(0xc7), put8(0x05), put32(m), fix_up(to, true);
		put8(0xff), put8(below(2) ? 0x25 : 0x15), put32(m);
		break;
	}
	case 5:			/* jecxz, loop over a byte that is one instruction */
		put8(0xe0 + below(4)), put8(1), put8(0x40 | reg);
		break;
	default:
		put8(0x0f), put8(0x80 | below(16)), fix_up(to, false);
	}
}

static void put_flags(void)
{
	static const uint8_t cpl0[] = { 0x9c, 0xfa, 0xfb, 0xfc, 0x9c, 0x9f, 0xfd };
	static const uint8_t cpl3[] = { 0x9c, 0x9e, 0xf5, 0xfc, 0x9c, 0x9f, 0xfd };

	if (below(4)) {
		put8((now.cpl ? cpl3 : cpl0)[below(7)]);
		return;
	}
	/* push flags; popf */
	put8(0x68);
	put32((uint32_t)rnd() & (X86_FL_ARITH | (below(4) ? X86_FL_IF : X86_FL_IF | X86_FL_DF |
				 X86_FL_NT | X86_FL_AC | X86_FL_ID)));
	put8(0x9d);
}

/* A store into the immediate of the mov behind it, by its own or an alias page. */
static void put_patch(void)
{
	uint32_t to = now.at + now.len;
	unsigned n = below(3) ? 0 : 8;	/* others in between */

	to += 10 + n + 1 + below(4);
	if (now.paging != RIG_FLAT && to >> 12 == (RIG_CODE >> 12) + 1 && below(2))
		to += RIG_DATA + 7 * 4096 - (RIG_CODE + 4096);
	put8(0xc7), put8(0x05), put32(to), put32((uint32_t)rnd());
	while (n--)
		put8(0x90);
	mov_ri(below(4), (uint32_t)rnd());
	put32(0x90909090);
}

/* Frequent forms, so that units look like compiled code. */
static void put_usual(void)
{
	unsigned reg = below(8), other = below(8);

	switch (below(8)) {
	case 0: put8(0x50 | reg); break;
	case 1: put8(0x58 | (reg == X86_RSP ? X86_RAX : reg)); break;
	case 2: put8(0x8b), put8(0x44 | reg << 3), put8(0x24), put8(below(16) * 4); break;
	case 3: put8(0x89), put8(0x44 | reg << 3), put8(0x24), put8(below(16) * 4); break;
	case 4: put8(0x8d), put8(0x80 | reg << 3 | (other == 4 ? 5 : other)), put32((uint32_t)value());
		break;
	case 5: put8(below(8) * 8 | 1 | below(2) << 1), put8(0xc0 | reg << 3 | other); break;
	case 6: put8(0x83), put8(0xc0 | below(8) << 3 | (reg == 4 ? 0 : reg)), put8((uint8_t)rnd());
		break;
	default: put8(0x8f + below(1)), put8(0x05), put32(place()); break;
	}
}

static void put_end(void)
{
	if (now.cpl)
		put8(0xcd), put8(0x80);		/* int 0x80 */
	else
		put8(0xf4);			/* hlt */
}

static void code_make(void)
{
	unsigned n = 1 + below(below(4) ? 12 : 30), loops = below(6) ? 0 : below(3) ? 3 : 500;
	uint32_t counter = RIG_DATA + 15 * 4096 + 64;

	now.len = now.n = now.nfix = 0;
	if (loops)
		put8(0xc7), put8(0x05), put32(counter), put32(loops);
	for (unsigned i = 0; i < n && now.len < CODE_MAX - 100; i++) {
		now.off[now.n++] = now.len;
		switch (below(12)) {
		case 0: put_branch(i); break;
		case 1: put_flags(); break;
		case 2: case 3: case 4: put_usual(); break;
		case 5:
			if (!below(4)) {
				put_patch();
				break;
			}
			/* fall through */
		default: put_random();
		}
	}
	for (unsigned i = 0; i < 5; i++)
		now.off[now.n++] = now.len;
	if (loops) {
		put8(0xff), put8(0x0d), put32(counter);		/* dec [counter] */
		put8(0x0f), put8(0x85), put32(10 - (now.len + 4));	/* jnz: behind the mov */
	}
	put_end();
	for (unsigned i = 0; i < now.nfix; i++) {
		uint32_t to = now.off[now.fix[i].insn < now.n ? now.fix[i].insn : now.n - 1];

		le32_put(now.code + now.fix[i].at, now.fix[i].abs ? now.at + to :
			 to - (now.fix[i].at + 4));
	}
}

static void case_make(struct x86_cpu *c)
{
	struct native_state st;

	now.paging = below(3);
	now.cpl = below(2) ? 3 : 0;
	now.at = RIG_CODE + (below(2) ? 0xf00 + below(0x100) : below(0x1000));
	code_make();
	rig_cpu(c, now.paging, now.cpl);
	for (unsigned i = 0; i < 8; i++)
		c->gpr[i] = (uint32_t)(below(2) ? value() : place());
	c->gpr[X86_RSP] = RIG_DATA + (below(4) ? 0x2800 + below(64) * 4 : below(0x10000));
	random_fpu(&st);
	if (below(8)) {
		st.fx[0] |= 0x3f;
		st.fx[2] &= 0xc0 ^ 0xff;
		st.fx[3] &= 0x7f;
		st.fx[24] |= 0x80, st.fx[25] |= 0x1f;
	}
	memcpy(c->xsave, st.fx, sizeof(st.fx));
	memcpy(c->xsave + 576, st.ymmh, 256);
	c->xsave[512] = 7;
	c->rflags = (rnd() & X86_FL_ARITH) | X86_FL_FIXED | (below(2) ? X86_FL_IF : 0) |
		    (below(16) ? 0 : X86_FL_DF);
	c->rip = now.at;
	if (below(8) == 0)
		c->cr0 &= ~(uint64_t)X86_CR0_WP;
	if (below(8) == 0)
		c->cr0 |= X86_CR0_TS;
	if (below(8) == 0)
		c->xcr0 = below(2) ? 3 : 1;
}

/* Tables, data and this case's code into both machines. */
static void memory_make(void)
{
	struct rig *r[2] = { &oracle, &bt };

	memcpy(memory + RIG_DATA, pool + (now.seed & 0xfff8), RIG_DATA_LEN);
	memcpy(memory + now.at, now.code, now.len);
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < RIG_MEM; i += 4096)
			if (memcmp(rig_at(r[k], i), memory + i, 4096))
				mem_write(r[k]->vm.mem, i, memory + i, 4096);
	memset(memory + now.at, 0xf4, now.len);
}

/* --- the oracle's run ------------------------------------------------------------ */

static bool peek_insn(struct vcpu *v, struct x86_insn *in)
{
	uint8_t b[X86_INSN_MAX];
	uint64_t gpa;

	for (unsigned i = 0; i < sizeof(b); i++) {
		if (!vcpu_peek(v, (uint32_t)v->cpu.rip + i, &gpa))
			return false;
		mem_read(v->vm->mem, gpa, &b[i], 1);
	}
	return x86_decode(in, b, sizeof(b), 32) > 0;
}

static bool in_handler(const struct vcpu *v)
{
	return v->cpu.rip - RIG_HANDLER < 0x1000;
}

/* Run to HLT or shutdown, following what is undefined.  false: too long. */
static bool oracle_run(void)
{
	struct vcpu *v = oracle.v;
	struct x86_cpu *c = &v->cpu;

	now.undefined = 0;
	now.tainted = false;
	now.vector = 256;
	for (unsigned n = 0; n < STEPS_MAX; n++) {
		struct x86_insn in;
		uint32_t count = (uint32_t)c->gpr[X86_RCX];
		bool known = !in_handler(v) && peek_insn(v, &in);
		enum interp_result r;

		if (known) {
			const struct x86_operand *o = &in.o[in.nops ? in.nops - 1 : 0];

			if (in.prefixes & (X86_P_REP | X86_P_REPNE) &&
			    in.how == X86_HOW_STRING && count > 100000)
				return false;
			if (o->kind == X86_O_IMM)
				count = (uint32_t)in.imm;
			now.tainted |= (x86_flags_read(&in) & now.undefined) != 0;
		}
		r = interp_step(v);
		if (r == INTERP_SHUTDOWN || c->halted)
			return true;
		if (in_handler(v) && now.vector == 256)
			now.vector = (unsigned)(c->rip - RIG_HANDLER) / 16;
		else if (known)
			now.undefined = (now.undefined & ~x86_flags_killed(&in)) |
					x86_flags_undefined(&in, count);
	}
	return false;
}

/* --- comparison -------------------------------------------------------------------- */

static void complain(const char *what, unsigned i, uint64_t interp, uint64_t ours)
{
	check_failed++;
	if (printed++ >= 40)
		return;
	printf("%s: ", form_name);
	printf(what, i);
	printf(": interpreted %#lx, translated %#lx (vector %u, seed %#lx)\n",
	       (unsigned long)interp, (unsigned long)ours, now.vector, (unsigned long)now.seed);
}

static void compare_fpu(const uint8_t *x, const uint8_t *y)
{
	uint32_t ignore = now.vector == X86_EXC_XM ? 0x3f : 0;

	if (le16_get(x) != le16_get(y))
		complain("fcw", 0, le16_get(x), le16_get(y));
	if (le16_get(x + 2) != le16_get(y + 2))
		complain("fsw", 0, le16_get(x + 2), le16_get(y + 2));
	if (x[4] != y[4])
		complain("ftw", 0, x[4], y[4]);
	if ((le32_get(x + 24) ^ le32_get(y + 24)) & ~ignore)
		complain("mxcsr", 0, le32_get(x + 24), le32_get(y + 24));
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(x + 32 + 16 * i, y + 32 + 16 * i, 10))
			complain("st%u", i, le64_get(x + 32 + 16 * i), le64_get(y + 32 + 16 * i));
	/* 32-bit code has eight; VZEROALL may clear the others. */
	for (unsigned i = 0; i < 16; i++)
		if (memcmp(x + 160 + 8 * i, y + 160 + 8 * i, 8))
			complain("xmm half %u", i, le64_get(x + 160 + 8 * i), le64_get(y + 160 + 8 * i));
	for (unsigned i = 0; i < 16; i++)
		if (memcmp(x + 576 + 8 * i, y + 576 + 8 * i, 8))
			complain("ymm half %u", i, le64_get(x + 576 + 8 * i), le64_get(y + 576 + 8 * i));
}

/* The flags that an exception has pushed: what is undefined is made equal. */
static void forget_pushed_flags(void)
{
	uint32_t at = (uint32_t)oracle.v->cpu.gpr[X86_RSP] + 8;
	uint64_t gpa;

	if (now.vector > 31)
		return;
	if (now.vector == 8 || (now.vector >= 10 && now.vector <= 14) || now.vector == 17)
		at += 4;
	if (!vcpu_peek(oracle.v, at, &gpa) || gpa + 4 > RIG_MEM ||
	    !vcpu_peek(oracle.v, at + 3, &gpa) || gpa + 4 > RIG_MEM)
		return;
	for (unsigned i = 0; i < 4; i++)
		if (vcpu_peek(oracle.v, at + i, &gpa)) {
			uint8_t keep = (uint8_t)(now.undefined >> 8 * i);
			uint8_t *a = rig_at(&oracle, (uint32_t)gpa), *b = rig_at(&bt, (uint32_t)gpa);

			*b = (uint8_t)((*b & ~keep) | (*a & keep));
		}
}

static void compare(void)
{
	static const char *const reg[8] = {
		"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" };
	const struct x86_cpu *x = &oracle.v->cpu, *y = &bt.v->cpu;
	const uint8_t *a = rig_at(&oracle, 0), *b = rig_at(&bt, 0);

	for (unsigned i = 0; i < 8; i++)
		if (x->gpr[i] != y->gpr[i])
			complain(reg[i], 0, x->gpr[i], y->gpr[i]);
	if (x->rip != y->rip)
		complain("eip", 0, x->rip, y->rip);
	if ((x->rflags ^ y->rflags) & ~(uint64_t)now.undefined)
		complain("eflags", 0, x->rflags, y->rflags);
	if (x->cr2 != y->cr2)
		complain("cr2", 0, x->cr2, y->cr2);
	if (x->cpl != y->cpl || x->inhibit != y->inhibit)
		complain("cpl, inhibit", 0, x->cpl << 8 | x->inhibit, y->cpl << 8 | y->inhibit);
	for (unsigned i = 0; i < X86_SEGS; i++)
		if (x->seg[i].sel != y->seg[i].sel || x->seg[i].base != y->seg[i].base ||
		    x->seg[i].limit != y->seg[i].limit || x->seg[i].attr != y->seg[i].attr)
			complain("segment %u", i, x->seg[i].sel, y->seg[i].sel);
	compare_fpu(x->xsave, y->xsave);
	if (!memcmp(a, b, RIG_MEM))
		return;
	forget_pushed_flags();
	for (unsigned i = 0; i < RIG_MEM; i++)
		if (a[i] != b[i]) {
			complain("memory at %#x", i, a[i], b[i]);
			break;
		}
}

static void show_code(void)
{
	char text[96];

	if (printed > 40)
		return;
	printf("paging %u, cpl %u:", now.paging, now.cpl);
	for (unsigned i = 0; i < now.len; ) {
		int n = x86_disas(text, sizeof(text), now.code + i, now.len - i, now.at + i, 32);

		printf("\n  %x: %s", now.at + i, text);
		i += (unsigned)n;
	}
	printf("\n");
}

/* In case of an endless loop: say which. */
static void on_alarm(int sig)
{
	char text[80];
	int n = snprintf(text, sizeof(text), "hangs: seed %#lx\n", (unsigned long)now.seed);

	n = (int)write(1, text, (size_t)n);
	_exit(1);
}

static void one_case(void)
{
	static struct x86_cpu c;
	uint64_t before = check_failed;
	enum vcpu_exit ex;

	now.seed = rng;
	case_make(&c);
	memory_make();
	oracle.v->cpu = c;
	oracle.ops->sync_in(oracle.v);
	tlb_flush(&oracle.v->tlb);
	if (!oracle_run() || now.tainted) {
		discarded += now.tainted;
		too_long += !now.tainted;
		return;
	}
	bt.v->cpu = c;
	tlb_flush(&bt.v->tlb);
	bt.ops->sync_in(bt.v);
	alarm(60);
	ex = bt.ops->run(bt.v);
	alarm(0);
	check_count++;
	faults += now.vector < 32;
	if ((ex == VCPU_EXIT_HLT) != oracle.v->cpu.halted)
		complain("exit", 0, !oracle.v->cpu.halted, ex);
	compare();
	if (check_failed != before)
		show_code();
}

static void run_form(enum bt_form form, const char *name, uint64_t cases)
{
	form_name = name;
	rig_new(&oracle, &interp_engine, 0, false);
	rig_new(&bt, &bt_engine, form, false);
	oracle.vm.model = bt.vm.model;
	for (uint64_t i = 0; i < cases && check_failed < 40; i++)
		one_case();
	rig_free(&bt);
	rig_free(&oracle);
}

int main(int argc, char **argv)
{
	static const char *const name[] = {
		[BT_MIXED] = "mixed", [BT_SOFT] = "soft", [BT_WINDOW] = "window" };
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK };
	uint64_t seed;

	left = argc > 1 ? strtoull(argv[1], NULL, 0) : 12000;
	seed = seed_chosen(argc > 2 ? argv[2] : NULL);
	rng = 1;
	fill(pool, sizeof(pool));
	rig_tables(memory);
	memset(memory + RIG_HANDLER, 0xf4, RIG_DATA - RIG_HANDLER);
	rng = seed;
	sigaction(SIGALRM, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned f = 0; f < 3; f++)
		if (argc < 4 || !strcmp(argv[3], name[f]))
			run_form(f, name[f], argc < 4 ? left / 3 : left);
	printf("seed %#lx, %u cases, %lu faults, %lu undefined, %lu too long: ", (unsigned long)seed,
	       check_count, (unsigned long)faults, (unsigned long)discarded, (unsigned long)too_long);
	return check_done();
}
