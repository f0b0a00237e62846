#include "bt/verify_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/access.h"

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
	static const char *const name[16] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	const struct x86_cpu *c = &v->cpu;

	for (unsigned i = 0; i < 16; i++)
		if (c->gpr[i] != s->gpr[i])
			return differ(d, name[i], 0, c->gpr[i], s->gpr[i]);
	if (c->rip != s->rip)
		return differ(d, "rip", 0, c->rip, s->rip);
	if ((c->rflags ^ s->rflags) & ~(uint64_t)(s->undefined | X86_FL_RF))
		return differ(d, "rflags", 0, c->rflags, s->rflags);
	return false;
}

/* The pointers to the last x87 instruction are not kept exactly.  32-bit code has eight
 * XMM registers; VZEROALL may clear the others. */
static bool fpu_differ(const uint8_t *x, const uint8_t *y, unsigned nxmm, bool avx,
		       struct difference *d)
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
	for (unsigned i = 0; i < nxmm; i++)
		for (unsigned k = 0; k < 16; k += 8)
			if (memcmp(x + 160 + 16 * i + k, y + 160 + 16 * i + k, 8))
				return differ(d, k ? "xmm%u (upper)" : "xmm%u", i,
					      le64_get(x + 160 + 16 * i + k),
					      le64_get(y + 160 + 16 * i + k));
	for (unsigned i = 0; avx && i < 2 * nxmm; i++)
		if (memcmp(x + 576 + 8 * i, y + 576 + 8 * i, 8))
			return differ(d, "ymm%u (upper)", i / 2, le64_get(x + 576 + 8 * i),
				      le64_get(y + 576 + 8 * i));
	return false;
}

/* --- system state ------------------------------------------------------------------ */

void system_take(struct system_state *s, const struct x86_cpu *c)
{
	memset(s, 0, sizeof(*s));	/* its padding is compared, too */
	for (unsigned i = 0; i < X86_SEGS; i++) {
		s->seg[i].base = c->seg[i].base;
		s->seg[i].limit = c->seg[i].limit;
		s->seg[i].attr = c->seg[i].attr;
		s->seg[i].sel = c->seg[i].sel;
	}
	s->ldtr.base = c->ldtr.base, s->ldtr.limit = c->ldtr.limit;
	s->ldtr.attr = c->ldtr.attr, s->ldtr.sel = c->ldtr.sel;
	s->tr.base = c->tr.base, s->tr.limit = c->tr.limit;
	s->tr.attr = c->tr.attr, s->tr.sel = c->tr.sel;
	s->gdtr.base = c->gdtr.base, s->gdtr.limit = c->gdtr.limit;
	s->idtr.base = c->idtr.base, s->idtr.limit = c->idtr.limit;
	s->cr[0] = c->cr0, s->cr[1] = c->cr2, s->cr[2] = c->cr3, s->cr[3] = c->cr4;
	memcpy(s->dr, c->dr, sizeof(s->dr));
	s->efer = c->efer;
	s->xcr0 = c->xcr0;
	memcpy(s->pdpte, c->pdpte, sizeof(s->pdpte));
	s->kernel_gs_base = c->kernel_gs_base;
}

static bool system_differs(const struct x86_cpu *c, const struct system_state *want,
			   struct difference *d)
{
	struct system_state now;
	const uint8_t *a = (const uint8_t *)&now, *b = (const uint8_t *)want;

	system_take(&now, c);
	for (unsigned i = 0; i + 8 <= sizeof(now); i += 8)
		if (memcmp(a + i, b + i, 8))
			return differ(d, "system state + %u", i, le64_get(a + i), le64_get(b + i));
	return false;
}

/* --- memory ------------------------------------------------------------------------- */

/* Is the byte the first of an entry that an instruction before m went through? */
static bool is_entry(const struct bt_verify *y, const uint8_t *at, unsigned m)
{
	for (unsigned i = 0; i < y->nentries; i++)
		if (y->entry[i].hva == at && y->entry[i].insn < m)
			return true;
	return false;
}

static bool line_differs(const struct bt_verify *y, const struct line *l,
			 const uint8_t *want, unsigned m, struct difference *d)
{
	if (!memcmp(l->hva, want, LINE))
		return false;
	for (unsigned k = 0; k < LINE; k++) {
		uint8_t bits = l->hva[k] ^ want[k];

		if (bits & ~PTE_AD || (bits && !is_entry(y, l->hva + k, m)))
			return differ(d, "memory at line + %u", k, l->hva[k], want[k]);
	}
	return false;
}

/* Lines of instructions before m must be as after them, the others untouched. */
static bool memory_differs(const struct bt_verify *y, unsigned m, bool rep,
			   struct difference *d)
{
	for (unsigned i = 0; i < y->nlines; i++) {
		const struct line *l = &y->line[i];

		if (l->insn >= m) {
			/* A REP under way has stored some of its elements. */
			if (l->prev == NONE && !(rep && l->insn == m) &&
			    line_differs(y, l, l->before, l->insn + 1u, d))
				return true;
			continue;
		}
		if (l->next != NONE && y->line[l->next].insn < m)
			continue;
		if (rep && l->next != NONE && y->line[l->next].insn == m)
			continue;
		if (line_differs(y, l, l->after, m, d))
			return true;
	}
	return false;
}

/* What accesses of instructions up to m may have set in the entry at hva. */
static uint8_t entry_may(const struct bt_verify *y, const uint8_t *hva, unsigned m)
{
	uint8_t may = 0;

	for (unsigned i = 0; i < y->nentries; i++)
		if (y->entry[i].hva == hva && y->entry[i].insn <= m)
			may |= y->entry[i].may;
	return may;
}

static uint8_t entry_before(const struct bt_verify *y, const uint8_t *hva)
{
	unsigned i = 0;

	while (y->entry[i].hva != hva)
		i++;
	return y->entry[i].before;
}

/*
 * A and D.  Translated code may walk where the interpreter's TLB hits, and hit in a
 * window where the interpreter walks; else both set the same.  Instruction m, where
 * it was left, may have walked.
 */
static bool entries_differ(const struct bt_verify *y, unsigned m, struct difference *d)
{
	for (unsigned i = 0; i < y->nentries; i++) {
		const struct entry *e = &y->entry[i];
		uint8_t now = *e->hva & PTE_AD, extra;

		if (now == e->before && !e->must)
			continue;
		if (line_find(y, e->hva) != NONE)	/* the guest stores to it, too */
			continue;
		if (e->insn < m && e->must & ~now)
			return differ(d, "A and D", 0, now, now | e->must);
		extra = now & (uint8_t)~entry_before(y, e->hva);
		if (extra & ~entry_may(y, e->hva, m))
			return differ(d, "A and D", 0, now, now & (uint8_t)~extra);
	}
	return false;
}

/* --- all ------------------------------------------------------------------------------ */

int verify_complain(struct bt_verify *y, const struct bt_unit *u, unsigned m,
		    const char *what, uint64_t ours, uint64_t interp)
{
	/* The last one done may have been wrong. */
	const struct bt_callout *c = &u->insn[m ? m - 1 : 0];
	uint8_t bytes[X86_INSN_MAX] = { 0 };
	struct vcpu *v = y->b->v;
	char text[80], at[2][24];
	uint64_t gpa;

	for (unsigned i = 0; i < c->in.len; i++)
		if (vcpu_peek(v, c->eip + i, &gpa))
			mem_read(v->vm->mem, gpa, &bytes[i], 1);
	x86_disas(text, sizeof(text), bytes, c->in.len, c->eip, u->mode & BT_M_LONG ? 64 : 32);
	snprintf(at[0], sizeof(at[0]), "%08llx", (unsigned long long)c->eip);
	snprintf(at[1], sizeof(at[1]), "%08llx", (unsigned long long)u->eip);
	return err_set(&v->err, -EIO, "verify: behind %s (%s, instruction %u of the %s "
		       "unit at %s): %s is %llx, %llx in the interpreter", text, at[0], m,
		       u->form == BT_WINDOW ? "window" : "soft", at[1], what,
		       (unsigned long long)ours, (unsigned long long)interp);
}

int verify_compare(struct bt_verify *y, const struct bt_unit *u, unsigned m, bool rep)
{
	const struct vcpu *v = y->b->v;
	const struct snapshot *s = &y->s[m];
	struct difference d;

	if (!regs_differ(v, s, &d) && !memory_differs(y, m, rep, &d) &&
	    !entries_differ(y, m, &d) &&
	    !((u->fpu || y->whole) && fpu_differ(v->cpu.xsave, y->fpu[s->fpu],
						 u->mode & BT_M_LONG ? 16 : 8,
						 v->hot[H_XMASK] & 4, &d)) &&
	    !(y->whole && system_differs(&v->cpu, &y->system[s->system], &d)))
		return 0;
	if (y->tainted && y->taint < m) {
		y->skipped[SKIP_FLAGS]++;
		return 0;
	}
	return verify_complain(y, u, m, d.what, d.ours, d.interp);
}
