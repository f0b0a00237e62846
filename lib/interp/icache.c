/*
 * The decode cache.
 *
 * A direct-mapped array of decoded instructions, filled by guest-physical
 * place: an instruction at memfd offset o of page p stands at line hash(p) +
 * (o & 4095), so that within a page the next instruction's line is len lines
 * on and no address is translated.  A line is valid when its tag equals
 *
 *	generation of the page << 39 | code size << 37 | memfd offset
 *
 * A write to a 64-byte piece of a page that holds cached code raises the page's
 * generation, which empties all lines of the page at once.  Pieces of other
 * data in the page may be written freely (but slowly).
 *
 *	page 5 (generation 1), 32-bit code, offset 0x10: tag 1<<39 | 1<<37 | 0x5010
 *	store to 0x5018: code[5] bit 0 is set -> gen[5] = 2; the line is dead
 *	store to 0x5800: bit 32 of code[5] is clear -> nothing happens
 *
 * Each vCPU has lines of its own; the generations, and the bits of the pieces, are
 * shared.  The bits are set and cleared, and generations raised, under
 * mem->code_lock; the order in which each side does it makes a line die that was
 * decoded from bytes that another vCPU was just replacing:
 *
 *	reader: generation -> bits, CODE (page_mark) -> bytes -> the line's tag
 *	writer: bytes -> bits are set? -> clear them -> generation + 1 -> CODE
 *
 * A page whose generations are used up is never cached again.  Instructions
 * that cross pages or stand outside memory are decoded each time.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "interp/core.h"

#define GEN_SHIFT	39
#define GEN_MAX		((1u << 25) - 1)
#define MODE_SHIFT	37

int interp_vm_create(struct vm *vm, struct err *e)
{
	struct interp_vm *ivm = calloc(1, sizeof(*ivm));
	uint64_t pages = vm->mem->len >> PAGE_SHIFT;

	if (!ivm)
		return err_set(e, -ENOMEM, "no memory for the decode cache");
	ivm->npages = pages;
	ivm->gen = calloc(pages, sizeof(*ivm->gen));
	ivm->code = calloc(pages, sizeof(*ivm->code));
	if (!ivm->gen || !ivm->code) {
		free(ivm->gen);
		free(ivm->code);
		free(ivm);
		return err_set(e, -ENOMEM, "no memory for the decode cache");
	}
	vm->interp = ivm;
	/* The guest's page tables are none of the host's.  A kernel that knows will not have
	 * two sets of them, and two MOV CR3 a system call. */
	vm->model.arch_caps = X86_ARCH_CAP_RDCL_NO;
	return vm->ncpus > 1 ? vm_barrier_init(e) : 0;
}

void interp_vm_destroy(struct vm *vm)
{
	struct interp_vm *ivm = vm->interp;

	if (!ivm)
		return;
	free(ivm->gen);
	free(ivm->code);
	free(ivm);
	vm->interp = NULL;
}

/* Fresh anonymous memory: pages that are never used cost nothing. */
static void *lazy_map(const struct interp *it, size_t size)
{
	void *p = mmap(NULL, icache_lines(it) * size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int icache_create(struct interp *it, const struct vm *vm, struct err *e)
{
	unsigned bits = vm->engine == &interp_engine ? ICACHE_BITS : ICACHE_BITS_STEPS;

	for (unsigned n = 1; n < vm->ncpus && bits > ICACHE_BITS_MIN; n *= 2)
		bits--;
	it->page_shift = (uint8_t)(32 - bits);
	it->lines = lazy_map(it, sizeof(*it->lines));
	it->insns = lazy_map(it, sizeof(*it->insns));
	it->bytes = lazy_map(it, sizeof(*it->bytes));
	if (!it->lines || !it->insns || !it->bytes) {
		icache_destroy(it);
		return err_set(e, -ENOMEM, "no memory for the decode cache");
	}
	return 0;
}

static void lazy_unmap(const struct interp *it, void *p, size_t size)
{
	if (p)
		munmap(p, icache_lines(it) * size);
}

void icache_destroy(struct interp *it)
{
	lazy_unmap(it, it->lines, sizeof(*it->lines));
	lazy_unmap(it, it->insns, sizeof(*it->insns));
	lazy_unmap(it, it->bytes, sizeof(*it->bytes));
	it->lines = NULL;
	it->insns = NULL;
	it->bytes = NULL;
}

/* Lines are named by place in the memfd and die with a write there, so that a
 * change of the memory layout only makes the page under RIP another one. */
void icache_flush(struct vcpu *v)
{
	icache_leave(interp_of(v));
}

/* --- the page under RIP ---------------------------------------------------- */

static uint64_t page_tag(struct interp *it, uint64_t off, unsigned code_bits)
{
	uint64_t page = off >> PAGE_SHIFT, gen;

	if (page >= it->ivm->npages)
		return 0;
	gen = atomic_load_explicit(&it->ivm->gen[page], memory_order_acquire) + 1ull;
	if (gen >= GEN_MAX)
		return 0;
	return gen << GEN_SHIFT | (uint64_t)(code_bits >> 5) << MODE_SHIFT | off;
}

/* Limit and canonical checks of a fetch of one byte at rip. */
static int fetch_linear(struct vcpu *v, uint64_t rip, uint64_t *gva)
{
	struct x86_cpu *c = &v->cpu;

	if (c->code_bits == 64) {
		if ((int64_t)(rip << 16) >> 16 != (int64_t)rip)
			return x86_raise_err(c, X86_EXC_GP, 0);
		*gva = rip;
		return X86_OK;
	}
	if (rip > c->seg[X86_CS].limit)
		return x86_raise_err(c, X86_EXC_GP, 0);
	*gva = (uint32_t)(c->seg[X86_CS].base + rip);
	return X86_OK;
}

static int fetch_offset(struct vcpu *v, uint64_t gva, uint64_t *off)
{
	const struct tlb_entry *e = &v->tlb.e[v->cpu.cpl == 3 ? TLB_USER : TLB_KERNEL]
					     [gva >> 12 & (TLB_SIZE - 1)];
	uint64_t gpa;

	if (e->xtag == (gva & PAGE_MASK)) {
		*off = gva + e->addend - (uint64_t)(uintptr_t)v->vm->mem->hva;
		return X86_OK;
	}
	if (vcpu_fetch_gpa(v, gva, &gpa))
		return X86_FAULT;
	*off = mem_off(v->vm->mem, gpa);
	return X86_OK;
}

/*
 * A writer of the page raises the generation, then clears the tags of who is in it:
 * we must not put an old one back.  (It uses vm_barrier() in between.)
 */
static void tag_set(struct vcpu *v, struct interp *it, uint64_t off)
{
	uint64_t tag = 0, was;

	if (off == UINT64_MAX)
		return;
	do {
		was = tag;
		tag = page_tag(it, off, v->cpu.code_bits);
		atomic_store_explicit(&it->tag, tag, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
	} while (it->smp && tag != was);
}

int icache_enter(struct vcpu *v, struct interp *it)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t gva, off, back, ahead, page;

	icache_leave(it);
	if (fetch_linear(v, c->rip, &gva) || fetch_offset(v, gva, &off))
		return X86_FAULT;
	/* From the page's start, or the segment's when that is later, to the
	 * page's end, or the limit when that is earlier. */
	back = gva & 4095;
	ahead = 4096 - back;
	if (c->code_bits != 64) {
		if (back > c->rip)
			back = c->rip;
		if (ahead > c->seg[X86_CS].limit - c->rip + 1ull)
			ahead = c->seg[X86_CS].limit - c->rip + 1ull;
	}
	it->lo = c->rip - back;
	it->span = back + ahead;
	page = off >> PAGE_SHIFT;
	off = off == UINT64_MAX ? off : off - back;
	atomic_store_explicit(&it->off, off, memory_order_relaxed);
	it->line = it->lines + ((uint32_t)(page * 0x9e3779b1u) >> it->page_shift) + (off & 4095);
	tag_set(v, it, off);
	return X86_OK;
}

bool icache_fresh(const struct vcpu *v, const struct interp *it, const struct iline *e)
{
	uint64_t off = it->off + (v->cpu.rip - it->lo);

	return e == &it->one || !memcmp(it->bytes[e->idx], v->vm->mem->hva + off, e->len);
}

/* --- decoding --------------------------------------------------------------- */

/* Tell memory that this page holds cached code, before its bytes are read. */
static void page_mark(struct vcpu *v, struct interp *it, uint64_t off, unsigned len)
{
	struct mem *m = v->vm->mem;
	uint64_t page = off >> PAGE_SHIFT, first = off >> 6 & 63, last = (off + len - 1) >> 6 & 63;
	uint64_t bits = (~0ull >> (63 - last)) & (~0ull << first);

	if ((it->ivm->code[page] & bits) == bits && m->pflags[page] & MEM_PF_CODE)
		return;
	pthread_mutex_lock(&m->code_lock);
	atomic_fetch_or(&it->ivm->code[page], bits);
	if (!(m->pflags[page] & MEM_PF_CODE))
		vm_protect_page(v->vm, page, MEM_PF_CODE);
	pthread_mutex_unlock(&m->code_lock);
}

/* The page has no lines any more; whoever runs it looks again. */
static void page_forget(struct vm *vm, uint64_t page)
{
	struct interp_vm *ivm = vm->interp;

	atomic_store(&ivm->code[page], 0);
	if (ivm->gen[page] < GEN_MAX)
		atomic_fetch_add(&ivm->gen[page], 1);
	if (vm->ncpus > 1)
		vm_barrier(vm);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct interp *it = vm->vcpu[i] ? vm->vcpu[i]->interp : NULL;

		if (it && it->off >> PAGE_SHIFT == page)
			atomic_store(&it->tag, 0);
	}
}

bool interp_code_written(struct vm *vm, uint64_t gpa, uint64_t len)
{
	struct interp_vm *ivm = vm->interp;
	bool none = true;

	while (len) {
		uint64_t off = mem_off(vm->mem, gpa), n = PAGE_SIZE - (gpa & (PAGE_SIZE - 1));
		uint64_t page = off >> PAGE_SHIFT, bits;

		if (n > len)
			n = len;
		if (off != UINT64_MAX && page < ivm->npages) {
			bits = (~0ull >> (63 - ((off + n - 1) >> 6 & 63))) & (~0ull << (off >> 6 & 63));
			if (ivm->code[page] & bits)
				page_forget(vm, page);
			none = none && !ivm->code[page];
		}
		gpa += n;
		len -= n;
	}
	return none;
}

/* Bytes of the instruction at rip one page at a time; for what is not cached. */
static int fetch_slow(struct vcpu *v, struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint8_t buf[X86_INSN_MAX];
	unsigned have = 0;
	uint64_t gva, gpa, n;
	int rc;

	for (;;) {
		uint64_t rip = c->rip + have;

		/* At the end of 16 and 32-bit segments the limit faults. */
		if (fetch_linear(v, rip, &gva) || vcpu_fetch_gpa(v, gva, &gpa))
			return X86_FAULT;
		n = 4096 - (gva & 4095);
		if (c->code_bits != 64 && n > c->seg[X86_CS].limit - rip + 1ull)
			n = c->seg[X86_CS].limit - rip + 1ull;
		if (n > sizeof(buf) - have)
			n = sizeof(buf) - have;
		mem_read(v->vm->mem, gpa, buf + have, n);
		have += (unsigned)n;
		rc = x86_decode(in, buf, have, c->code_bits);
		if (rc != -EAGAIN)
			break;
		if (have == sizeof(buf)) {
			rc = -E2BIG;
			break;
		}
	}
	if (rc == -E2BIG)
		return x86_raise_err(c, X86_EXC_GP, 0);
	return rc < 0 ? x86_raise(c, X86_EXC_UD) : X86_OK;
}

static void line_fill(struct vcpu *v, struct iline *e, const struct x86_insn *in)
{
	e->len = in->len;
	e->cond = in->cond;
	e->base = in->base;
	e->index = in->index;
	e->scale = in->scale;
	e->seg = in->seg;
	e->disp = (uint64_t)in->disp;
	e->imm = (uint64_t)in->imm;
	e->amask = in->adsize ? sz_mask(in->adsize) : ~0ull;
	e->size = in->nops ? in->o[0].size : 0;
	e->bare = in->base != X86_NOREG && in->index == X86_NOREG && !in->vsib;
	interp_pick(v, e, in);
}

int icache_fill(struct vcpu *v, struct interp *it, struct iline **out)
{
	uint64_t o = v->cpu.rip - it->lo, off = it->off + o;
	const struct mem *m = v->vm->mem;
	struct iline *e = it->line + o;
	uint64_t avail = it->span - o, tag = it->tag;
	struct x86_insn *in;
	int rc = -EAGAIN;

	if (tag) {
		/* A guess of the length, so that the mark precedes the read. */
		unsigned guess = avail < X86_INSN_MAX ? (unsigned)avail : X86_INSN_MAX;

		page_mark(v, it, off, guess);
		e->tag = 0;
		e->idx = (uint32_t)(e - it->lines);
		in = &it->insns[e->idx];
		/* From a copy: another processor may be writing. */
		memcpy(it->bytes[e->idx], m->hva + off, guess);
		rc = x86_decode(in, it->bytes[e->idx], guess, v->cpu.code_bits);
		if (rc == -EAGAIN && guess == X86_INSN_MAX)
			rc = -E2BIG;
	}
	if (rc == -E2BIG)
		return x86_raise_err(&v->cpu, X86_EXC_GP, 0);
	if (rc == -EINVAL)
		return x86_raise(&v->cpu, X86_EXC_UD);
	if (rc < 0) {
		e = &it->one;
		in = &it->one_insn;
		if (fetch_slow(v, in))
			return X86_FAULT;
	}
	line_fill(v, e, in);
	e->tag = e == &it->one ? 0 : tag + o;
	*out = e;
	return X86_OK;
}
