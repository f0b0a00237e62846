#include "bt/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "bt/bt.h"
#include "bt/layout.h"
#include "interp/core.h"
#include "interp/interp.h"
#include "vmm/access.h"
#include "x86/walk.h"

#define FPU_LEN		(576 + 256)	/* legacy area, header, upper YMM halves */
#define LINE		64u
#define ACCESSES_MAX	3
/* Each access touches at most two lines of two pages. */
#define JOURNAL_MAX	(BT_INSNS_MAX * ACCESSES_MAX * 2)

/* A 64-byte piece of guest memory that an instruction stores to. */
struct line {
	uint8_t *hva;
	uint8_t insn;
	uint8_t before[LINE], after[LINE];
};

struct snapshot {
	uint64_t gpr[8], rip, rflags;
	uint32_t undefined;	/* arithmetic flags that mean nothing here */
	uint8_t fpu;		/* index of the FPU image */
};

struct bt_verify {
	unsigned n;		/* states 0..n are there */
	bool tainted;		/* undefined flags may have reached elsewhere .. */
	unsigned taint;		/* .. by this instruction */
	bool walked;		/* a page walk set A or D where the unit stores */
	struct snapshot s[BT_INSNS_MAX + 1];
	unsigned nfpu;
	uint8_t fpu[BT_INSNS_MAX + 1][FPU_LEN];
	struct line line[JOURNAL_MAX];
	unsigned nlines;
	uint64_t units, insns, skipped;
};

struct bt_verify *verify_new(void)
{
	return calloc(1, sizeof(struct bt_verify));
}

void verify_free(struct bt_verify *y)
{
	free(y);
}

bool verify_note(struct bt_unit *u, struct vcpu *v, const struct x86_insn *in,
		 unsigned n, unsigned pure)
{
	uint32_t eip = u->eip;

	u->npure = (uint8_t)pure;
	u->callout = calloc(n ? n : 1, sizeof(*u->callout));
	if (!u->callout)
		return false;
	for (unsigned i = 0; i < n; i++) {
		u->callout[i] = (struct bt_callout){ .in = in[i], .eip = eip,
			.fn = interp_function(v, &in[i]), .next = eip + in[i].len };
		eip += in[i].len;
	}
	u->ncallouts = (uint8_t)n;
	return true;
}

/* --- what an instruction touches --------------------------------------------- */

struct access {
	uint32_t gva;
	unsigned len;
	bool write;
};

static uint32_t linear(const struct vcpu *v, unsigned seg, uint64_t off)
{
	return (uint32_t)(v->cpu.seg[seg].base + off);
}

static uint32_t stack(const struct vcpu *v, uint64_t sp)
{
	return linear(v, X86_SS, v->cpu.stack_bytes == 2 ? sp & 0xffff : (uint32_t)sp);
}

/* SI or DI as wide as addresses are. */
static uint32_t element(const struct vcpu *v, const struct x86_insn *in, unsigned seg,
			unsigned reg)
{
	return linear(v, seg, v->cpu.gpr[reg] & sz_mask(in->adsize));
}

/* bt/bts/btr/btc [mem], reg reach beyond their operand. */
static int32_t bit_offset(const struct vcpu *v, const struct x86_insn *in)
{
	uint64_t reg = v->cpu.gpr[in->o[1].reg & 7];
	int32_t bit = in->opsize == 2 ? (int16_t)reg : (int32_t)reg;

	if (in->o[1].kind != X86_O_GPR)
		return 0;
	return in->opsize == 2 ? (bit >> 4) * 2 : (bit >> 5) * 4;
}

static unsigned operand_access(const struct vcpu *v, const struct x86_insn *in,
			       struct access *a)
{
	for (unsigned i = 0; i < in->nops; i++) {
		const struct x86_operand *o = &in->o[i];
		uint64_t ea;

		if (o->kind != X86_O_MEM || !o->access)
			continue;
		ea = interp_ea(v, in);
		if (in->op == X86_BT || in->op == X86_BTS || in->op == X86_BTR ||
		    in->op == X86_BTC)
			ea += (uint64_t)(int64_t)bit_offset(v, in);
		if (in->op == X86_POP && in->base == X86_RSP)
			ea += in->opsize;
		*a = (struct access){ linear(v, in->seg, ea & sz_mask(in->adsize)), o->size ? o->size : 4,
				      o->access & X86_A_W };
		return 1;
	}
	return 0;
}

/* The accesses of an instruction that is translated without a callout. */
static unsigned accesses(const struct vcpu *v, const struct x86_insn *in, struct access *a)
{
	const uint64_t *g = v->cpu.gpr;
	unsigned n = operand_access(v, in, a), size = in->opsize;
	unsigned unit = in->opcode & 1 ? in->opsize : 1;

	switch (in->op) {
	case X86_PUSH: case X86_PUSHF: case X86_CALL:
		a[n++] = (struct access){ stack(v, g[X86_RSP] - size), size, true };
		break;
	case X86_POP: case X86_POPF: case X86_RET:
		a[n++] = (struct access){ stack(v, g[X86_RSP]), size, false };
		break;
	case X86_LEAVE:
		a[n++] = (struct access){ stack(v, g[X86_RBP]), size, false };
		break;
	case X86_MOVS: case X86_CMPS: case X86_LODS:
		a[n++] = (struct access){ element(v, in, in->seg, X86_RSI), unit, false };
		if (in->op == X86_LODS)
			break;
		a[n++] = (struct access){ element(v, in, X86_ES, X86_RDI), unit,
					  in->op == X86_MOVS };
		break;
	case X86_STOS: case X86_SCAS:
		a[n++] = (struct access){ element(v, in, X86_ES, X86_RDI), unit,
					  in->op == X86_STOS };
		break;
	}
	return n;
}

/* --- the interpreter's run ------------------------------------------------------ */

static uint64_t lines_sum(const struct bt_verify *y)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < y->nlines; i++)
		for (unsigned k = 0; k < LINE; k += 8)
			sum = sum * 31 + le64_get(y->line[i].hva + k);
	return sum;
}

/* Host address of gva; NULL: not to be touched here. */
static uint8_t *touch(struct bt_verify *y, struct vcpu *v, uint32_t gva, bool write)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);
	const struct tlb_entry *e = &v->tlb.e[mode][gva >> PAGE_SHIFT & (TLB_SIZE - 1)];
	struct mem *m = v->vm->mem;
	uint64_t gpa, off, sum;
	int rc;

	if ((write ? e->wtag : e->rtag) == (gva & PAGE_MASK))
		return (uint8_t *)(uintptr_t)(gva + e->addend);
	sum = lines_sum(y);
	rc = tlb_fill(v, gva, write ? X86_WALK_W : X86_WALK_R, mode, &gpa);
	y->walked |= sum != lines_sum(y);
	if (rc != X86_OK)
		return NULL;
	off = mem_off(m, gpa);
	if (off == UINT64_MAX ||
	    (write && (m->pflags[off >> PAGE_SHIFT] & MEM_PF_SLOWWRITE)))
		return NULL;
	return m->hva + off;
}

static void journal(struct bt_verify *y, unsigned insn, uint8_t *hva, unsigned len)
{
	uint8_t *at = (uint8_t *)((uintptr_t)hva & ~(uintptr_t)(LINE - 1));

	for (; at < hva + len && y->nlines < JOURNAL_MAX; at += LINE) {
		struct line *l = &y->line[y->nlines++];

		l->hva = at;
		l->insn = (uint8_t)insn;
		memcpy(l->before, at, LINE);
	}
}

/* Can instruction i be taken back?  Notes what it will store to. */
static bool prepare(struct bt_verify *y, struct vcpu *v, unsigned i,
		    const struct x86_insn *in)
{
	struct access a[ACCESSES_MAX];
	unsigned n = accesses(v, in, a);

	for (unsigned k = 0; k < n; k++) {
		uint32_t gva = a[k].gva;
		unsigned left = a[k].len;

		while (left) {
			unsigned here = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));
			uint8_t *p = touch(y, v, gva, a[k].write);

			if (!p)
				return false;
			if (here > left)
				here = left;
			if (a[k].write)
				journal(y, i, p, here);
			gva += here;
			left -= here;
		}
	}
	return true;
}

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

static unsigned count_of(const struct vcpu *v, const struct x86_insn *in)
{
	const struct x86_operand *o = &in->o[in->nops ? in->nops - 1 : 0];

	return (unsigned)(o->kind == X86_O_GPR ? v->cpu.gpr[X86_RCX] : (uint64_t)in->imm);
}

static void undo(struct bt_verify *y)
{
	for (unsigned i = y->nlines; i--; ) {
		struct line *l = &y->line[i];

		memcpy(l->after, l->hva, LINE);
		memcpy(l->hva, l->before, LINE);
	}
}

/* One instruction; false: it is not for this run. */
static bool interpret(struct bt_verify *y, struct vcpu *v, const struct bt_callout *c,
		      unsigned i)
{
	struct snapshot *s = &y->s[i];
	uint32_t undefined = x86_flags_undefined(&c->in, count_of(v, &c->in));
	unsigned lines = y->nlines;

	if (!prepare(y, v, i, &c->in)) {
		y->nlines = lines;
		return false;
	}
	if (!y->tainted && (x86_flags_read(&c->in) & s->undefined)) {
		y->tainted = true;
		y->taint = i;
	}
	v->cpu.inhibit = false;
	v->cpu.rip = c->next;
	if (c->fn(v, &c->in) != X86_OK) {
		y->nlines = lines;
		return false;
	}
	snapshot_take(y, v, i + 1);
	y->s[i + 1].undefined = (s->undefined & ~x86_flags_killed(&c->in)) | undefined;
	y->s[i + 1].fpu = s->fpu;
	if (c->in.unit != X86_U_INT)
		fpu_take(y, v, i + 1);
	return true;
}

void verify_begin(struct bt_vcpu *b, const struct bt_unit *u)
{
	struct bt_verify *y = b->verify;
	struct vcpu *v = b->v;
	struct x86_cpu *c = &v->cpu;
	struct x86_exc exc = c->exc;
	bool inhibit = c->inhibit;
	unsigned i;

	interp_state_changed(v);
	y->nlines = y->nfpu = 0;
	y->tainted = y->walked = false;
	snapshot_take(y, v, 0);
	y->s[0].undefined = 0;
	y->s[0].fpu = 0;
	if (u->fpu)
		fpu_take(y, v, 0);
	for (i = 0; i < u->npure; i++)
		if (!interpret(y, v, &u->callout[i], i))
			break;
	y->n = i;
	/* The state after a line's own instruction, before any later one's: found
	 * from the last to the first. */
	undo(y);
	if (y->walked)		/* A and D were taken back: to be set again */
		tlb_flush(&v->tlb);
	memcpy(c->gpr, y->s[0].gpr, sizeof(y->s[0].gpr));
	c->rip = y->s[0].rip;
	c->rflags = y->s[0].rflags;
	c->inhibit = inhibit;
	c->exc = exc;
	if (u->fpu)
		memcpy(c->xsave, y->fpu[0], FPU_LEN);
}

/* --- comparison ------------------------------------------------------------------ */

struct difference {
	char what[24];
	uint64_t ours, interp;
};

static bool differ(struct difference *d, const char *what, unsigned i, uint64_t ours,
		   uint64_t interp)
{
	snprintf(d->what, sizeof(d->what), what, i);
	d->ours = ours;
	d->interp = interp;
	return true;
}

static bool regs_differ(const struct vcpu *v, const struct snapshot *s, struct difference *d)
{
	static const char *const name[8] = {
		"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" };
	const struct x86_cpu *c = &v->cpu;

	for (unsigned i = 0; i < 8; i++)
		if (c->gpr[i] != s->gpr[i])
			return differ(d, name[i], 0, c->gpr[i], s->gpr[i]);
	if (c->rip != s->rip)
		return differ(d, "eip", 0, c->rip, s->rip);
	if ((c->rflags ^ s->rflags) & ~(uint64_t)(s->undefined | X86_FL_RF))
		return differ(d, "eflags", 0, c->rflags, s->rflags);
	return false;
}

/* The pointers to the last x87 instruction are not kept exactly. */
static bool fpu_differ(const uint8_t *x, const uint8_t *y, bool avx, struct difference *d)
{
	if (le16_get(x) != le16_get(y))
		return differ(d, "fcw", 0, le16_get(x), le16_get(y));
	if (le16_get(x + 2) != le16_get(y + 2))
		return differ(d, "fsw", 0, le16_get(x + 2), le16_get(y + 2));
	if (x[4] != y[4])
		return differ(d, "ftw", 0, x[4], y[4]);
	if (le32_get(x + 24) != le32_get(y + 24))
		return differ(d, "mxcsr", 0, le32_get(x + 24), le32_get(y + 24));
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(x + 32 + 16 * i, y + 32 + 16 * i, 10))
			return differ(d, "st%u", i, le64_get(x + 32 + 16 * i),
				      le64_get(y + 32 + 16 * i));
	/* 32-bit code has eight; VZEROALL may clear the others. */
	for (unsigned i = 0; i < 8; i++)
		for (unsigned k = 0; k < 16; k += 8)
			if (memcmp(x + 160 + 16 * i + k, y + 160 + 16 * i + k, 8))
				return differ(d, k ? "xmm%u (upper)" : "xmm%u", i,
					      le64_get(x + 160 + 16 * i + k),
					      le64_get(y + 160 + 16 * i + k));
	for (unsigned i = 0; avx && i < 16; i++)
		if (memcmp(x + 576 + 8 * i, y + 576 + 8 * i, 8))
			return differ(d, "ymm%u (upper)", i / 2, le64_get(x + 576 + 8 * i),
				      le64_get(y + 576 + 8 * i));
	return false;
}

/* Is a later line of an instruction before m the same piece? */
static bool line_superseded(const struct bt_verify *y, unsigned i, unsigned m)
{
	for (unsigned k = i + 1; k < y->nlines; k++)
		if (y->line[k].hva == y->line[i].hva && y->line[k].insn < m)
			return true;
	return false;
}

/* Is the piece also of an earlier line? */
static bool line_known(const struct bt_verify *y, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (y->line[k].hva == y->line[i].hva)
			return true;
	return false;
}

/* Lines of instructions before m must be as after them, the others untouched;
 * which walk has set A and D (bits 5 and 6) already is open. */
static bool memory_differs(const struct bt_verify *y, unsigned m, struct difference *d)
{
	for (unsigned i = 0; i < y->nlines; i++) {
		const struct line *l = &y->line[i];
		const uint8_t *want = l->after;

		if (l->insn >= m) {
			if (line_known(y, i))
				continue;
			want = l->before;
		} else if (line_superseded(y, i, m)) {
			continue;
		}
		for (unsigned k = 0; k < LINE; k++)
			if ((l->hva[k] ^ want[k]) & (y->walked && k % 4 == 0 ? ~0x60 : 0xff))
				return differ(d, "memory at line + %u", k, l->hva[k], want[k]);
	}
	return false;
}

/* How many instructions were done when translated code left at rip? */
static unsigned done(const struct bt_unit *u, unsigned reason, uint64_t rip)
{
	if (reason == BT_EXIT_LINK || reason == BT_EXIT_LOOKUP)
		return u->npure;
	for (unsigned i = 0; i < u->ncallouts; i++)
		if (u->callout[i].eip == rip)
			return i;
	return u->npure;
}

/* The instruction to name: the last one done that may have been wrong. */
static const struct bt_callout *culprit(const struct bt_unit *u, unsigned m)
{
	return &u->callout[m ? m - 1 : 0];
}

static int complain(struct bt_vcpu *b, const struct bt_unit *u, unsigned m,
		    const struct difference *d)
{
	const struct bt_callout *c = culprit(u, m);
	uint8_t bytes[X86_INSN_MAX] = { 0 };
	struct vcpu *v = b->v;
	char text[80];
	uint64_t gpa;

	for (unsigned i = 0; i < c->in.len; i++)
		if (vcpu_peek(v, c->eip + i, &gpa))
			mem_read(v->vm->mem, gpa, &bytes[i], 1);
	x86_disas(text, sizeof(text), bytes, c->in.len, c->eip, 32);
	return err_set(&v->err, -EIO, "verify: behind %s (%08x, instruction %u of the %s "
		       "unit at %08x): %s is %llx, %llx in the interpreter", text, c->eip, m,
		       u->form == BT_WINDOW ? "window" : "soft", u->eip, d->what,
		       (unsigned long long)d->ours, (unsigned long long)d->interp);
}

int verify_end(struct bt_vcpu *b, const struct bt_unit *u, unsigned reason)
{
	struct bt_verify *y = b->verify;
	struct vcpu *v = b->v;
	unsigned m = done(u, reason, v->cpu.rip);
	struct difference d;
	bool bad;

	y->units++;
	y->insns += m;
	if (m > y->n) {
		differ(&d, "instructions done", 0, m, y->n);
		return complain(b, u, y->n + 1, &d);
	}
	bad = regs_differ(v, &y->s[m], &d) || memory_differs(y, m, &d) ||
	      (u->fpu && fpu_differ(v->cpu.xsave, y->fpu[y->s[m].fpu],
				    v->hot[H_XMASK] & 4, &d));
	if (!bad)
		return 0;
	if (y->tainted && y->taint < m) {
		y->skipped++;
		return 0;
	}
	return complain(b, u, m, &d);
}

void verify_print_stats(const struct bt_verify *y,
			void (*put)(void *, const char *, uint64_t), void *ptr)
{
	put(ptr, "verified_units", y->units);
	put(ptr, "verified_insns", y->insns);
	put(ptr, "verify_skipped", y->skipped);
}
