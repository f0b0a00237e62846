/*
 * Random 64-bit code, translated against interpreted (which tests/unit/interp_native
 * compares with the host): as bt_diff, in long mode.  The same megabyte stands at
 * four places of the address space, one of them in the kernel's half.
 *
 *	bt_diff64 [cases [seed [form]]]	default 9000 cases, all forms
 */
#include <unistd.h>

#include "check.h"
#include "bt/unit.h"
#include "bt/window.h"
#include "bt_rig.h"
#include "bt_diff64_code.h"

#define STEPS_MAX	40000u
#define SELF_PAGE	0x1f0000u

static struct rig bt, oracle;
static uint8_t memory[RIG_MEM];		/* as it is at first */
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

/* --- the machine -------------------------------------------------------------------- */

static void desc64(uint8_t *low, unsigned sel, uint32_t hi)
{
	le32_put(low + RIG_GDT + sel, 0xffff);
	le32_put(low + RIG_GDT + sel + 4, hi);
}

static void tables(uint8_t *low)
{
	memset(low, 0, 0x10000);
	desc64(low, RIG_CS0, 0x00af9b00);
	desc64(low, RIG_DS0, 0x00cf9300);
	desc64(low, RIG_CS3 & ~7u, 0x00affb00);
	desc64(low, RIG_DS3 & ~7u, 0x00cff300);
	rig_desc(low, RIG_TR, RIG_TSS, 0x67, 0x8b);
	for (unsigned i = 0; i < 256; i++) {
		uint32_t h = RIG_HANDLER + 16 * i;

		le32_put(low + RIG_IDT + 16 * i, RIG_CS0 << 16 | (h & 0xffff));
		le32_put(low + RIG_IDT + 16 * i + 4, (h & 0xffff0000) | 0x8e00 | (i >= 0x80 ? 0x6000 : 0));
	}
	le64_put(low + RIG_TSS + 4, RIG_STACK);
	le64_put(low + PML4, PDPT | 7);
	le64_put(low + PML4 + 8 * 254, PDPT | 7);
	le64_put(low + PML4 + 8 * 170, PDPT | 7);
	le64_put(low + PML4 + 8 * 273, PDPT | 7);
	le64_put(low + PDPT, PD | 7);
	le64_put(low + PDPT + 8, PD | 7);
	le64_put(low + PD, PT | 7);
	for (uint32_t i = 0; i < RIG_MEM >> 12; i++) {
		uint32_t pte = i << 12 | 7;

		if (i >= RIG_DATA >> 12 && i < (RIG_DATA + RIG_DATA_LEN) >> 12)
			pte = rig_pte(i - (RIG_DATA >> 12));
		le64_put(low + PT + 8 * i, pte);
	}
	/* the last page of the lower half: the last of memory */
	le64_put(low + PML4 + 8 * 255, PDPT | 7);
	le64_put(low + PDPT + 8 * 511, PD | 7);
	le64_put(low + PD + 8 * 511, PT | 7);
	le64_put(low + PT + 8 * 511, (RIG_MEM - 4096) | 7);
	/* the supervisor's, but for one view */
	for (uint32_t i = 0; i < 512; i++)
		le64_put(low + PML4_KERNEL + 8 * i,
			 le64_get(low + PML4 + 8 * i) & (i == 254 ? ~0ull : ~4ull));
	le64_put(low + PDPT_OTHER + 8, PD_OTHER | 7);
	le64_put(low + PD_OTHER, PT_OTHER | 7);
	for (uint32_t i = 0; i < RIG_MEM >> 12; i++)
		le64_put(low + PT_OTHER + 8 * i, (i ^ 1) << 12 | 7);
}

static void cpu_make(struct x86_cpu *c)
{
	rig_cpu(c, RIG_FLAT, now.cpl);
	c->cr0 |= X86_CR0_PG;
	c->cr4 |= X86_CR4_PAE;
	c->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
	c->long_mode = true;
	c->cr3 = now.cr3;
	c->seg[X86_CS].attr = (c->seg[X86_CS].attr & ~X86_SEG_DB) | X86_SEG_L;
	c->idtr.limit = 256 * 16 - 1;
	c->seg[X86_GS] = c->seg[X86_FS];
	c->seg[X86_GS].base = views[1] + RIG_DATA;
	x86_cpu_update_mode(c);
}

static void case_make(struct x86_cpu *c)
{
	struct native_state st;

	now.cpl = below(2) ? 3 : 0;
	now.cr3 = now.cpl || below(4) == 0 ? PML4 : PML4_KERNEL;
	now.at = view() + RIG_CODE + (below(2) ? 0xf00 + below(0x100) : below(0x1000));
	code_make();
	cpu_make(c);
	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = below(2) ? value() : place();
	c->gpr[X86_RSP] = view() + RIG_DATA + (below(4) ? 0x2800 + below(64) * 8 : below(0x10000));
	if (!below(16))
		c->gpr[X86_RSP] = odd_place();
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
	if (!now.cpl && !below(2) && x86_model_has(now.model, X86_F_SMAP)) {
		c->cr4 |= X86_CR4_SMAP;
		c->rflags |= below(2) ? X86_FL_AC : 0;
	}
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
	uint32_t at = (uint32_t)now.at & 0xfffff;

	memcpy(memory + RIG_DATA, pool + (ran.seed & 0xfff8), RIG_DATA_LEN);
	memcpy(memory + at, now.code, now.len);
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < RIG_MEM; i += 4096)
			if (memcmp(rig_at(r[k], i), memory + i, 4096))
				mem_write(r[k]->vm.mem, i, memory + i, 4096);
	memset(memory + at, 0xf4, now.len);
}

/* --- the oracle's run ------------------------------------------------------------ */

static bool peek_insn(struct vcpu *v, struct x86_insn *in)
{
	uint8_t b[X86_INSN_MAX];
	uint64_t gpa;

	for (unsigned i = 0; i < sizeof(b); i++) {
		if (!vcpu_peek(v, v->cpu.rip + i, &gpa) || gpa >= RIG_MEM)
			return false;
		mem_read(v->vm->mem, gpa, &b[i], 1);
	}
	return x86_decode(in, b, sizeof(b), 64) > 0;
}

static bool in_handler(const struct vcpu *v)
{
	return v->cpu.rip - RIG_HANDLER < 0x1000;
}

/* Under a PML4 entry that leads nowhere windows may show what stands elsewhere at the
 * same place of its 512 GiB, instead of faulting: winwide.c. */
static bool aliases(const struct vcpu *v, uint64_t gva)
{
	const uint8_t *pml4 = rig_at(&oracle, (uint32_t)v->cpu.cr3);
	unsigned first = gva >> 63 ? 256 : 0;
	uint64_t gpa;

	if (le64_get(pml4 + 8 * (gva >> 39 & 511)) & 1)
		return false;
	for (unsigned i = first; i < first + 256; i++)
		if (vcpu_peek(v, (gva & ~(255ull << 39)) | (uint64_t)(i & 255) << 39, &gpa))
			return true;
	return false;
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
		uint64_t count = c->gpr[X86_RCX];
		bool known = !in_handler(v) && peek_insn(v, &in);
		struct rig_own_bytes own = { .len = 0 };
		enum interp_result r;

		if (known) {
			const struct x86_operand *o = &in.o[in.nops ? in.nops - 1 : 0];

			if (in.prefixes & (X86_P_REP | X86_P_REPNE) &&
			    in.how == X86_HOW_STRING && count > 100000)
				return false;
			if (o->kind == X86_O_IMM)
				count = (uint64_t)in.imm;
			count &= in.nops && in.o[0].size == 8 ? 63 : 31;
			ran.tainted |= (x86_flags_read(&in) & ran.undefined) != 0 ||
				       rig_another_result(in.op);
			rig_own_bytes_take(&own, &oracle, c->rip, UINT64_MAX, in.len);
		}
		r = interp_step(v);
		ran.shutdown = r == INTERP_SHUTDOWN;
		ran.tainted |= rig_own_bytes_changed(&own, &oracle);
		if (ran.shutdown || c->halted) {
			ran.tainted |= aliases(v, c->cr2);
			return true;
		}
		if (in_handler(v) && ran.vector == 256)
			ran.vector = (unsigned)(c->rip - RIG_HANDLER) / 16;
		else if (known)
			ran.undefined = (ran.undefined & ~x86_flags_killed(&in)) |
					x86_flags_undefined(&in, (unsigned)count);
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

	if (memcmp(x, y, 5) && (memcmp(x, y, 4) || x[4] != y[4]))
		complain("fcw, fsw, ftw", 0, le64_get(x), le64_get(y));
	if ((le32_get(x + 24) ^ le32_get(y + 24)) & ~ignore)
		complain("mxcsr", 0, le32_get(x + 24), le32_get(y + 24));
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(x + 32 + 16 * i, y + 32 + 16 * i, 10))
			complain("st%u", i, le64_get(x + 32 + 16 * i), le64_get(y + 32 + 16 * i));
	for (unsigned i = 0; i < 32; i++)
		if (memcmp(x + 160 + 8 * i, y + 160 + 8 * i, 8))
			complain("xmm half %u", i, le64_get(x + 160 + 8 * i), le64_get(y + 160 + 8 * i));
	for (unsigned i = 0; i < 32; i++)
		if (memcmp(x + 576 + 8 * i, y + 576 + 8 * i, 8))
			complain("ymm half %u", i, le64_get(x + 576 + 8 * i), le64_get(y + 576 + 8 * i));
}

/* The flags that an exception has pushed: what is undefined is made equal. */
static void forget_pushed_flags(void)
{
	uint64_t at = oracle.v->cpu.gpr[X86_RSP] + 16;
	uint64_t gpa;

	if (ran.vector > 31)
		return;
	if (ran.vector == 8 || (ran.vector >= 10 && ran.vector <= 14) || ran.vector == 17)
		at += 8;
	for (unsigned i = 0; i < 4; i++)
		if (vcpu_peek(oracle.v, at + i, &gpa) && gpa < RIG_MEM) {
			uint8_t keep = (uint8_t)(ran.undefined >> 8 * i);
			uint8_t *a = rig_at(&oracle, (uint32_t)gpa), *b = rig_at(&bt, (uint32_t)gpa);

			*b = (uint8_t)((*b & ~keep) | (*a & keep));
		}
}

static void compare(void)
{
	static const char *const reg[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
		"rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	const struct x86_cpu *x = &oracle.v->cpu, *y = &bt.v->cpu;
	const uint8_t *a = rig_at(&oracle, 0), *b = rig_at(&bt, 0);

	for (unsigned i = 0; i < 16; i++)
		if (x->gpr[i] != y->gpr[i])
			complain(reg[i], 0, x->gpr[i], y->gpr[i]);
	if (x->rip != y->rip)
		complain("rip", 0, x->rip, y->rip);
	if ((x->rflags ^ y->rflags) & ~(uint64_t)ran.undefined)
		complain("rflags", 0, x->rflags, y->rflags);
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
	printf("cpl %u:", now.cpl);
	for (unsigned i = 0; i < now.len; ) {
		int n = x86_disas(text, sizeof(text), now.code + i, now.len - i, now.at + i, 64);

		printf("\n  %lx: %s", (unsigned long)now.at + i, text);
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

/* Is at in the slots of a window, or where nothing is mapped around them? */
static bool in_slots(const struct bt_window *w, uint64_t at)
{
	for (unsigned i = 0; w->base && i < wide_slots(w); i++)
		if (at - (uintptr_t)wide_slot_at(w, i) + WIDE_EDGE < (1ull << 39) + 2 * WIDE_EDGE)
			return true;
	return false;
}

/* Whatever is folded, and whatever it is off then: the window's slots, their guards, or
 * what is none of a process's.  (A processor may look at the offset alone and fault
 * because it is not canonical, or at the sum with the GS base.) */
static void folds_check(void)
{
	struct bt_vcpu *b = bt.v->engine;
	uint64_t gs, at;

	gs = window_base(b->bt, b);
	for (unsigned n = 0; n < 64 && b->mode & BT_M_LONG && b->windows; n++) {
		uint64_t ea = rnd() >> below(64) ^ (below(2) ? 0 : ~0ull >> below(64));
		int64_t off = (int64_t)(rnd() % (2 * WIDE_EDGE - 16)) - (WIDE_EDGE - 8);
		bool found = false;

		at = gs + (uint64_t)off + (b->mode & BT_M_HIGH ? ea | ~b->wide_mask : ea & b->wide_mask);
		for (unsigned i = 0; i < b->windows->n; i++)
			found |= in_slots(&b->windows->w[i], at);
		if (!found && !(at >> 47))
			complain("mode %#x: address in this process", b->mode, ea + (uint64_t)off, at);
	}
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
	if (host_word != 0x1122334455667788)
		complain("memory of this process", 0, 0x1122334455667788, host_word);
	host_word = 0x1122334455667788;
	folds_check();
	if (check_failed != before)
		show_code();
}

/* A case of its own: code at CPL 3, until it faults. */
static void fixed_case(uint64_t at, const char *code, unsigned len, uint64_t rsp)
{
	static struct x86_cpu c;
	enum vcpu_exit ex;

	now.cpl = 3;
	now.cr3 = PML4;
	now.at = at;
	now.len = len;
	memcpy(now.code, code, now.len);
	cpu_make(&c);
	c.rip = at;
	c.gpr[X86_RDX] = 0;
	c.gpr[X86_RSI] = SELF_PAGE;
	c.gpr[X86_RSP] = rsp;
	memory_make();
	bt.v->cpu = c;
	tlb_flush(&bt.v->tlb);
	bt.ops->sync_in(bt.v);
	ex = bt.ops->run(bt.v);
	check(ex == VCPU_EXIT_HLT, "%s: exit %u", form_name, ex);
	folds_check();
}

/* RSP is data, also where it is an address of the stack that host signals come on. */
static void rsp_case(void)
{
	const struct bt_vcpu *b = bt.v->engine;
	uint64_t rsp = (uintptr_t)b->altstack + 0x400;

	fixed_case(RIG_CODE, "\x31\xc9\xf7\xf1", 4, rsp);	/* xor ecx, ecx; div ecx */
	check(bt.v->cpu.rip == RIG_HANDLER + 1, "%s: not #DE", form_name);
	check(le64_get(rig_at(&bt, RIG_STACK - 16)) == rsp, "%s: RSP pushed", form_name);
}

/* What ends where the lower half ends is executed once; the next fetch faults. */
static void edge_case(void)
{
	fixed_case(0x7ffffffffffd, "\x48\xff\xc0", 3, 0);	/* inc rax */
	check(bt.v->cpu.rip == RIG_HANDLER + 16 * X86_EXC_GP + 1, "%s: not #GP", form_name);
	check(bt.v->cpu.gpr[X86_RAX] == 1, "%s: RAX %lu", form_name,
	      (unsigned long)bt.v->cpu.gpr[X86_RAX]);
	check(le64_get(rig_at(&bt, RIG_STACK - 40)) == 0x800000000000, "%s: RIP pushed %#lx",
	      form_name, (unsigned long)le64_get(rig_at(&bt, RIG_STACK - 40)));
}

/* A load sets A in a page-table entry that is the code behind it: the entry was
 * add eax, 0xff0 and becomes and eax, 0xff0. */
static void self_case(void)
{
	fixed_case(PT + SELF_PAGE / 512 - 2,
		   "\x8a\x1e"				/* mov bl, [rsi] */
		   "\x05\xf0\x0f\0\0\0\0\0\xf4\xf4",	/* add; add [rax], al; add ah, dh; hlt */
		   12, 0);
	check(bt.v->cpu.rip == RIG_HANDLER + 16 * X86_EXC_GP + 1, "%s: not #GP", form_name);
	check(bt.v->cpu.gpr[X86_RAX] == 0, "%s: RAX %#lx", form_name,
	      (unsigned long)bt.v->cpu.gpr[X86_RAX]);
}

static void run_form(enum bt_form form, const char *name, uint64_t cases)
{
	form_name = name;
	rig_new(&oracle, &interp_engine, 0, false);
	rig_new(&bt, &bt_engine, form, false);
	oracle.vm.model = bt.vm.model;
	now.model = &bt.vm.model;
	rsp_case();
	edge_case();
	self_case();
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

	left = argc > 1 ? strtoull(argv[1], NULL, 0) : 9000;
	seed = seed_chosen(argc > 2 ? argv[2] : NULL);
	rng = 1;
	fill(pool, sizeof(pool));
	tables(memory);
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
