#include "bt/verify_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A unit is compared as often as this, then one time in so many: a boot executes
 * 500 million units, few of which are anything new. */
#define VERIFY_ALWAYS		4096u
#define VERIFY_SOMETIMES	32u

static bool trial_store(struct vcpu_trial *t, uint8_t *hva, uint64_t len)
{
	return line_note((struct bt_verify *)t, hva, len);
}

struct bt_verify *verify_new(struct bt_vcpu *b)
{
	struct bt_verify *y = calloc(1, sizeof(*y));

	if (y) {
		y->b = b;
		y->trial.store = trial_store;
	}
	return y;
}

void verify_free(struct bt_verify *y)
{
	free(y);
}

static enum skip excluded(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_IN: case X86_OUT: case X86_INS: case X86_OUTS: case X86_RDMSR: case X86_WRMSR:
		return SKIP_DEVICE;
	case X86_RDTSC: case X86_RDTSCP: case X86_RDPMC: case X86_MWAIT:
		return SKIP_TIME;
	case X86_RDRAND: case X86_RDSEED:
		return SKIP_RANDOM;
	}
	return SKIP_NOT;
}

bool verify_excluded(const struct x86_insn *in)
{
	return excluded(in) != SKIP_NOT;
}

bool verify_note(struct bt_unit *u, struct vcpu *v, const struct x86_insn *in,
		 unsigned n, unsigned pure)
{
	uint64_t eip = u->eip, wrap = u->mode & BT_M_LONG ? UINT64_MAX : UINT32_MAX;

	u->npure = (uint8_t)pure;
	u->insn = calloc(n ? n : 1, sizeof(*u->insn));
	if (!u->insn)
		return false;
	for (unsigned i = 0; i < n; i++) {
		u->insn[i] = (struct bt_callout){ .in = in[i], .eip = eip,
			.fn = interp_function(v, &in[i]), .next = (eip + in[i].len) & wrap };
		eip = u->insn[i].next;
	}
	u->ninsns = (uint8_t)n;
	return true;
}

/* --- the interpreter's run ------------------------------------------------------ */

static void snapshot_take(struct bt_verify *y, const struct vcpu *v, unsigned i)
{
	struct snapshot *s = &y->s[i];

	memcpy(s->gpr, v->cpu.gpr, sizeof(s->gpr));
	s->rip = v->cpu.rip;
	s->rflags = v->cpu.rflags;
}

static void fpu_take(struct bt_verify *y, const struct vcpu *v, unsigned i)
{
	memcpy(y->fpu[y->nfpu], v->cpu.xsave, FPU_LEN);
	y->s[i].fpu = (uint8_t)y->nfpu++;
}

static void whole_take(struct bt_verify *y, const struct vcpu *v, unsigned i)
{
	system_take(&y->system[y->nsystem], &v->cpu);
	y->s[i].system = (uint8_t)y->nsystem++;
}

static unsigned count_of(const struct vcpu *v, const struct x86_insn *in)
{
	const struct x86_operand *o = &in->o[in->nops ? in->nops - 1 : 0];

	return (unsigned)(o->kind == X86_O_GPR ? v->cpu.gpr[X86_RCX] : (uint64_t)in->imm);
}

/* In a trial every store has to take the slow path. */
static void wtags_clear(struct tlb *t)
{
	for (unsigned i = 0; i < t->nlist; i++)
		t->e[t->list[i] / TLB_SIZE][t->list[i] % TLB_SIZE].wtag = TLB_NOTAG;
}

/* A REP that the vCPU's requests interrupt goes on. */
static int execute(struct vcpu *v, const struct bt_callout *c)
{
	int rc;

	do {
		v->cpu.inhibit = false;
		v->cpu.rip = c->next;
		rc = c->fn(v, &c->in);
	} while (rc == X86_OK && is_rep(&c->in) && v->cpu.rip == c->eip);
	return rc;
}

/* A callout or a REP: what it stores and walks is not known before. */
static int execute_trial(struct bt_verify *y, const struct bt_callout *c)
{
	struct vcpu *v = y->b->v;
	int rc;

	wtags_clear(&v->tlb);
	y->trial.refused = 0;
	y->trial.walked = false;
	v->trial = &y->trial;
	rc = execute(v, c);
	v->trial = NULL;
	y->stop = (enum skip)y->trial.refused;
	if (y->trial.walked) {	/* stays, but for entries that earlier accesses noted */
		y->walked = true;
		for (unsigned i = 0; i < y->nentries; i++)
			y->entry[i].may |= *y->entry[i].hva & PTE_AD;
	}
	return rc;
}

static void raised_take(struct bt_verify *y, const struct vcpu *v)
{
	memcpy(y->raised.gpr, v->cpu.gpr, sizeof(y->raised.gpr));
	y->raised.dr6 = v->cpu.dr[6];
	y->raised.mxcsr = le32_get(v->cpu.xsave + X_LEGACY_MXCSR);
}

/* One instruction; false: it is not for this run. */
static bool interpret(struct bt_verify *y, const struct bt_unit *u, unsigned i)
{
	const struct bt_callout *c = &u->insn[i];
	struct snapshot *s = &y->s[i];
	struct vcpu *v = y->b->v;
	uint32_t undefined = x86_flags_undefined(&c->in, count_of(v, &c->in));
	bool called = u->called >> i & 1;

	y->insn = i;
	if (!y->tainted && (x86_flags_read(&c->in) & s->undefined)) {
		y->tainted = true;
		y->taint = i;
	}
	if (called || is_rep(&c->in)) {
		if (execute_trial(y, c) != X86_OK || y->stop) {
			raised_take(y, v);
			return false;
		}
	} else {
		v->cpu.rip = c->next;	/* addresses may be relative to it */
		if (!verify_touch(y, &c->in) || execute(v, c) != X86_OK) {
			raised_take(y, v);
			return false;
		}
	}
	snapshot_take(y, v, i + 1);
	y->s[i + 1].undefined = (s->undefined & ~x86_flags_killed(&c->in)) | undefined;
	y->s[i + 1].fpu = s->fpu;
	y->s[i + 1].system = s->system;
	if (c->in.unit != X86_U_INT || called)
		fpu_take(y, v, i + 1);
	if (called) {
		whole_take(y, v, i + 1);
		interp_state_changed(v);
	}
	return true;
}

/* Memory, from the last store to the first; what a line holds after its own
 * instruction, before any later one's, is found on the way. */
static void undo(struct bt_verify *y)
{
	unsigned n = y->nentries;

	for (unsigned i = y->nlines; ; i--) {
		while (n && y->entry[n - 1].line >= i) {
			struct entry *e = &y->entry[--n];

			if ((*e->hva & PTE_AD) != e->before)
				*e->hva = (uint8_t)((*e->hva & ~PTE_AD) | e->before);
		}
		if (!i)
			break;
		memcpy(y->line[i - 1].after, y->line[i - 1].hva, LINE);
		memcpy(y->line[i - 1].hva, y->line[i - 1].before, LINE);
	}
}

static void cpu_restore(struct bt_verify *y, const struct bt_unit *u)
{
	struct vcpu *v = y->b->v;
	struct x86_cpu *c = &v->cpu;
	uint64_t cr0 = c->cr0, cr3 = c->cr3, cr4 = c->cr4;

	if (y->whole) {
		memcpy(c, y->cpu, sizeof(y->cpu));
	} else {
		memcpy(c->gpr, y->s[0].gpr, sizeof(y->s[0].gpr));
		c->rip = y->s[0].rip;
		c->rflags = y->s[0].rflags;
		c->inhibit = y->inhibit;
		c->exc = y->exc;
	}
	if (u->fpu || y->whole)
		memcpy(c->xsave, y->fpu[0], FPU_LEN);
	if (y->walked)		/* A and D were taken back: to be set again */
		tlb_flush(&v->tlb);
	if (!y->whole)
		return;
	interp_state_changed(v);
	if (cr0 != c->cr0 || cr3 != c->cr3 || cr4 != c->cr4) {
		tlb_flush(&v->tlb);
		v->on_tlb_flush(v, 0, VCPU_FLUSH_ALL);
	}
}

void verify_begin(struct bt_verify *y, struct bt_unit *u)
{
	struct vcpu *v = y->b->v;

	y->on = ++u->runs <= VERIFY_ALWAYS || u->runs % VERIFY_SOMETIMES == 0;
	if (!y->on) {
		y->hot++;
		return;
	}
	interp_state_changed(v);
	y->nlines = y->nentries = y->nfpu = y->nsystem = 0;
	y->run++;
	y->tainted = y->walked = false;
	y->stop = SKIP_NOT;
	y->whole = u->called;
	y->inhibit = v->cpu.inhibit;
	y->exc = v->cpu.exc;
	if (y->whole)
		memcpy(y->cpu, &v->cpu, sizeof(y->cpu));
	snapshot_take(y, v, 0);
	y->s[0].undefined = 0;
	y->s[0].fpu = y->s[0].system = 0;
	if (u->fpu || y->whole)
		fpu_take(y, v, 0);
	if (y->whole)
		whole_take(y, v, 0);
	for (y->n = 0; y->n < u->npure && interpret(y, u, y->n); y->n++)
		;
	undo(y);
	cpu_restore(y, u);
}

/* --- afterwards ------------------------------------------------------------------- */

/* How many instructions were done when translated code left at rip? */
static unsigned done(const struct bt_unit *u, unsigned reason, uint64_t rip)
{
	if (reason == BT_EXIT_LINK || reason == BT_EXIT_LOOKUP)
		return u->npure;
	for (unsigned i = 0; i < u->ninsns; i++)
		if (u->insn[i].eip == rip)
			return i;
	return u->npure;
}

/* Left in a REP: the registers it counts in are open. */
static void rep_open(struct bt_verify *y, unsigned m)
{
	static const uint8_t open[] = { X86_RAX, X86_RCX, X86_RSI, X86_RDI };
	const struct x86_cpu *c = &y->b->v->cpu;

	for (unsigned i = 0; i < sizeof(open); i++)
		y->s[m].gpr[open[i]] = c->gpr[open[i]];
	y->s[m].rflags = c->rflags;
}

/* Left at instruction m, which raises an exception: what may be changed before that. */
static void raised_allow(struct bt_verify *y, const struct bt_unit *u, unsigned m,
			 unsigned reason)
{
	const struct vcpu *v = y->b->v;
	struct snapshot *s = &y->s[m];

	/* It may have loaded some registers before it faulted. */
	if (reason == BT_EXIT_RAISE && u->insn[m].in.op == X86_POPA)
		memcpy(s->gpr, y->raised.gpr, sizeof(s->gpr));
	if (reason == BT_EXIT_RAISE && y->whole)
		y->system[s->system].dr[6] = y->raised.dr6;
	/* #XM: the flags in MXCSR are set. */
	if ((u->fpu || y->whole) && le32_get(v->cpu.xsave + X_LEGACY_MXCSR) == y->raised.mxcsr)
		le32_put(y->fpu[s->fpu] + X_LEGACY_MXCSR, y->raised.mxcsr);
}

int verify_end(struct bt_verify *y, const struct bt_unit *u, unsigned reason)
{
	struct vcpu *v = y->b->v;
	unsigned m;
	bool rep;
	int left = 0;

	if (!y->on)
		return 0;
	m = done(u, reason, v->cpu.rip);
	rep = m < u->npure && is_rep(&u->insn[m].in);
	y->units++;
	y->insns += m;
	if (rep && m < y->n && v->cpu.gpr[X86_RCX] != y->s[m].gpr[X86_RCX]) {
		/* The interpreter came through: it does the rest. */
		if (reason == BT_EXIT_RAISE || execute(v, &u->insn[m]) != X86_OK)
			return verify_complain(y, u, m + 1, "exception", v->cpu.exc.vector, 0);
		m++;
		rep = false;
		left = 1;
	}
	if (m > y->n) {
		/* In line only a REP can be too long for the journal. */
		if (y->stop != SKIP_NOT &&
		    (u->called >> y->n & 1 || is_rep(&u->insn[y->n].in))) {
			y->skipped[y->stop]++;
			return 0;
		}
		return verify_complain(y, u, y->n + 1, "instructions done", m, y->n);
	}
	if (m < u->ninsns && !rep && excluded(&u->insn[m].in))
		y->skipped[excluded(&u->insn[m].in)]++;
	else if (m == y->n && y->stop != SKIP_NOT)
		y->skipped[y->stop]++;
	if (rep)
		rep_open(y, m);
	if (m == y->n && m < u->npure && y->stop == SKIP_NOT)
		raised_allow(y, u, m, reason);
	return verify_compare(y, u, m, rep) ? -EIO : left;
}

void verify_print_stats(const struct bt_verify *y,
			void (*put)(void *, const char *, uint64_t), void *ptr)
{
	static const char *const name[SKIPS] = {
		[SKIP_DEVICE] = "verify_skipped_device", [SKIP_TOLD] = "verify_skipped_told",
		[SKIP_LONG] = "verify_skipped_long", [SKIP_TIME] = "verify_skipped_time",
		[SKIP_RANDOM] = "verify_skipped_random", [SKIP_FLAGS] = "verify_skipped_flags",
	};

	put(ptr, "verified_units", y->units);
	put(ptr, "verified_insns", y->insns);
	put(ptr, "verify_skipped_hot_units", y->hot);
	for (unsigned i = SKIP_DEVICE; i < SKIPS; i++)
		put(ptr, name[i], y->skipped[i]);
}
