#include "bt/verify_impl.h"

#include "bt/window.h"
#include "vmm/access.h"
#include "x86/walk.h"

/* --- what an instruction touches --------------------------------------------- */

struct access {
	uint64_t gva;
	unsigned len;
	bool write;
};

static uint64_t linear(const struct vcpu *v, unsigned seg, uint64_t off)
{
	if (v->cpu.code_bits == 64)
		return off + (seg == X86_FS || seg == X86_GS ? v->cpu.seg[seg].base : 0);
	return (uint32_t)(v->cpu.seg[seg].base + off);
}

static uint64_t stack(const struct vcpu *v, uint64_t sp)
{
	return linear(v, X86_SS, sp & sz_mask(v->cpu.stack_bytes));
}

/* SI or DI as wide as addresses are. */
static uint64_t element(const struct vcpu *v, const struct x86_insn *in, unsigned seg,
			unsigned reg)
{
	return linear(v, seg, v->cpu.gpr[reg] & sz_mask(in->adsize));
}

/* bt/bts/btr/btc [mem], reg reach beyond their operand. */
static int64_t bit_offset(const struct vcpu *v, const struct x86_insn *in)
{
	uint64_t reg = v->cpu.gpr[in->o[1].reg & 15];

	if (in->o[1].kind != X86_O_GPR)
		return 0;
	switch (in->opsize) {
	case 2:
		return ((int16_t)reg >> 4) * 2;
	case 4:
		return ((int32_t)reg >> 5) * 4;
	default:
		return ((int64_t)reg >> 6) * 8;
	}
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
			ea += (uint64_t)bit_offset(v, in);
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

/* --- lines ------------------------------------------------------------------------ */

static unsigned line_slot(const struct bt_verify *y, uint8_t *hva)
{
	unsigned i = (unsigned)((uintptr_t)hva / LINE * 0x9e3779b1u >> 7) % LINE_HASH;

	while (y->hash[i].run == y->run && y->hash[i].hva != hva)
		i = (i + 1) % LINE_HASH;
	return i;
}

uint32_t line_find(const struct bt_verify *y, uint8_t *hva)
{
	unsigned i = line_slot(y, (uint8_t *)((uintptr_t)hva & ~(uintptr_t)(LINE - 1)));

	return y->hash[i].run == y->run ? y->hash[i].line : NONE;
}

bool line_note(struct bt_verify *y, uint8_t *hva, uint64_t len)
{
	uint8_t *at = (uint8_t *)((uintptr_t)hva & ~(uintptr_t)(LINE - 1));

	for (; at < hva + len; at += LINE) {
		unsigned slot = line_slot(y, at);
		uint32_t prev = y->hash[slot].run == y->run ? y->hash[slot].line : NONE;
		struct line *l = &y->line[y->nlines];

		if (prev != NONE && y->line[prev].insn == y->insn)
			continue;
		if (y->nlines == LINES_MAX)
			return false;
		l->hva = at;
		l->prev = prev;
		l->next = NONE;
		l->insn = (uint8_t)y->insn;
		memcpy(l->before, at, LINE);
		if (prev != NONE)
			y->line[prev].next = y->nlines;
		y->hash[slot].hva = at;
		y->hash[slot].run = y->run;
		y->hash[slot].line = y->nlines++;
	}
	return true;
}

/* --- page-table entries ------------------------------------------------------------- */

#define TABLE	0xffffffffff000ull

/* Host addresses of the entries that gva is translated by; how many. */
static unsigned entries_of(const struct vcpu *v, uint64_t gva, uint8_t *at[LEVELS_MAX])
{
	const struct x86_cpu *c = &v->cpu;
	bool pae = c->cr4 & X86_CR4_PAE;
	unsigned size = pae ? 8 : 4, bits = pae ? 9 : 10, level = c->long_mode ? 4 : 2, n = 0;
	uint64_t table = c->cr3 & (c->long_mode ? TABLE : 0xfffff000), e = 0;

	if (pae && !c->long_mode)
		table = c->pdpte[gva >> 30 & 3] & TABLE;
	for (; level; level--) {
		unsigned index = gva >> (12 + (level - 1) * bits) & ((1u << bits) - 1);

		at[n] = mem_ptr(v->vm->mem, table + index * size, size);
		if (!at[n])
			break;
		memcpy(&e, at[n++], size);
		if (!(e & 1) || (level > 1 && (e & 0x80) && (pae || (c->cr4 & X86_CR4_PSE))))
			break;
		table = e & (pae ? TABLE : 0xfffff000);
	}
	return n;
}

/* Note the entries of an access before it is made. */
static unsigned entries_note(struct bt_verify *y, const struct vcpu *v, uint64_t gva,
			     bool write)
{
	uint8_t *at[LEVELS_MAX];
	unsigned n;

	if (!x86_paging(&v->cpu))
		return 0;
	n = entries_of(v, gva, at);
	for (unsigned i = 0; i < n; i++)
		y->entry[y->nentries++] = (struct entry){ .hva = at[i], .line = y->nlines,
			.insn = (uint8_t)y->insn, .before = *at[i] & PTE_AD,
			.may = write && i == n - 1 ? PTE_AD : PTE_AD & 0x20 };
	return n;
}

/* Host address of gva; NULL: not to be touched here. */
static uint8_t *touch(struct bt_verify *y, struct vcpu *v, uint64_t gva, bool write)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);
	const struct tlb_entry *t = &v->tlb.e[mode][gva >> PAGE_SHIFT & (TLB_SIZE - 1)];
	unsigned n = entries_note(y, v, gva, write);
	struct mem *m = v->vm->mem;
	uint64_t gpa, off;
	int rc;

	if ((write ? t->wtag : t->rtag) == (gva & PAGE_MASK))
		return (uint8_t *)(uintptr_t)(gva + t->addend);
	rc = tlb_fill(v, gva, write ? X86_WALK_W : X86_WALK_R, mode, &gpa);
	for (; n; n--) {
		struct entry *e = &y->entry[y->nentries - n];

		e->must = *e->hva & PTE_AD & (uint8_t)~e->before;
		y->walked |= e->must;
		if (e->must && window_holds(y->b->bt, y->b, gva, write))
			e->must = 0;	/* no walk there */
	}
	if (rc != X86_OK)
		return NULL;
	off = mem_off(m, gpa);
	if (off == UINT64_MAX)
		y->stop = SKIP_DEVICE;
	else if (write && (m->pflags[off >> PAGE_SHIFT] & MEM_PF_SLOWWRITE))
		y->stop = SKIP_TOLD;
	return y->stop ? NULL : m->hva + off;
}

bool verify_touch(struct bt_verify *y, const struct x86_insn *in)
{
	struct vcpu *v = y->b->v;
	struct access a[ACCESSES_MAX];
	unsigned n = accesses(v, in, a);

	for (unsigned k = 0; k < n; k++) {
		uint64_t gva = a[k].gva;
		unsigned left = a[k].len;

		while (left) {
			unsigned here = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));
			uint8_t *p = touch(y, v, gva, a[k].write);

			if (!p)
				return false;
			if (here > left)
				here = left;
			if (a[k].write && !line_note(y, p, here)) {
				y->stop = SKIP_LONG;
				return false;
			}
			gva += here;
			if (v->cpu.code_bits != 64)
				gva = (uint32_t)gva;
			left -= here;
		}
	}
	return true;
}
