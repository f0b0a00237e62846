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
#include "bt_diff_code.h"

#define STEPS_MAX	40000u

static struct rig bt, oracle;
static uint8_t memory[RIG_MEM];	/* as it is at first */
static uint8_t pool[2 * RIG_DATA_LEN];	/* data is from here */
static uint64_t left, discarded, too_long, faults, printed;
static const char *form_name;

static struct {
	uint64_t seed;
	uint32_t undefined;		/* flags at the end */
	bool tainted;
	bool shutdown;			/* also of a HLT: a step's trap follows it */
	unsigned vector;		/* of the first exception; 256: none */
} ran;


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

	memcpy(memory + RIG_DATA, pool + (ran.seed & 0xfff8), RIG_DATA_LEN);
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

	ran.undefined = 0;
	ran.tainted = false;
	ran.vector = 256;
	for (unsigned n = 0; n < STEPS_MAX; n++) {
		struct x86_insn in;
		uint32_t count = (uint32_t)c->gpr[X86_RCX];
		bool known = !in_handler(v) && peek_insn(v, &in);
		struct rig_own_bytes own = { .len = 0 };
		enum interp_result r;

		if (known) {
			const struct x86_operand *o = &in.o[in.nops ? in.nops - 1 : 0];

			if (in.prefixes & (X86_P_REP | X86_P_REPNE) &&
			    in.how == X86_HOW_STRING && count > 100000)
				return false;
			if (o->kind == X86_O_IMM)
				count = (uint32_t)in.imm;
			ran.tainted |= (x86_flags_read(&in) & ran.undefined) != 0 ||
				       rig_another_result(in.op);
			rig_own_bytes_take(&own, &oracle, c->rip, UINT32_MAX, in.len);
		}
		r = interp_step(v);
		ran.shutdown = r == INTERP_SHUTDOWN;
		ran.tainted |= rig_own_bytes_changed(&own, &oracle);
		if (ran.shutdown || c->halted)
			return true;
		if (in_handler(v) && ran.vector == 256)
			ran.vector = (unsigned)(c->rip - RIG_HANDLER) / 16;
		else if (known)
			ran.undefined = (ran.undefined & ~x86_flags_killed(&in)) |
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
	       (unsigned long)interp, (unsigned long)ours, ran.vector, (unsigned long)ran.seed);
}

static void compare_fpu(const uint8_t *x, const uint8_t *y)
{
	uint32_t ignore = ran.vector == X86_EXC_XM ? 0x3f : 0;

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

	if (ran.vector > 31)
		return;
	if (ran.vector == 8 || (ran.vector >= 10 && ran.vector <= 14) || ran.vector == 17)
		at += 4;
	for (unsigned i = 0; i < 4; i++)
		if (vcpu_peek(oracle.v, at + i, &gpa) && gpa < RIG_MEM) {
			uint8_t keep = (uint8_t)(ran.undefined >> 8 * i);
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
	if ((x->rflags ^ y->rflags) & ~(uint64_t)ran.undefined)
		complain("eflags", 0, x->rflags, y->rflags);
	if (x->cr2 != y->cr2)
		complain("cr2", 0, x->cr2, y->cr2);
	/* STI's shadow is of no account in a machine that shut down behind it. */
	if (x->cpl != y->cpl || (x->halted && x->inhibit != y->inhibit))
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
	int n = snprintf(text, sizeof(text), "hangs: seed %#lx\n", (unsigned long)ran.seed);

	n = (int)write(1, text, (size_t)n);
	_exit(1);
}

static void one_case(void)
{
	static struct x86_cpu c;
	uint64_t before = check_failed;
	enum vcpu_exit ex;
	bool ended;

	ran.seed = rng;
	case_make(&c);
	memory_make();
	oracle.v->cpu = c;
	oracle.ops->sync_in(oracle.v);
	tlb_flush(&oracle.v->tlb);
	ended = oracle_run();
	ran.tainted |= rig_tables_written(&oracle, memory);
	if (!ended || ran.tainted) {
		discarded += ran.tainted;
		too_long += !ran.tainted;
		return;
	}
	bt.v->cpu = c;
	tlb_flush(&bt.v->tlb);
	bt.ops->sync_in(bt.v);
	alarm(60);
	ex = bt.ops->run(bt.v);
	alarm(0);
	check_count++;
	faults += ran.vector < 32;
	if (ex != (ran.shutdown ? VCPU_EXIT_SHUTDOWN : VCPU_EXIT_HLT))
		complain("exit", 0, ran.shutdown, ex);
	compare();
	if (check_failed != before)
		show_code();
}

static void run_form(enum bt_form form, const char *name, uint64_t cases)
{
	form_name = name;
	rig_new(&oracle, &interp_engine, 0, false);
	rig_new(&bt, &bt_engine, form, false);
	now.model = &bt.vm.model;
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
