/*
 * The engine's loop, single steps, and requests between instructions.
 *
 * Frequent instructions run in run_fast(), which stays in one page's lines as
 * long as it can.  Whatever may change mode, mappings or the interrupt flag
 * ends it (INTERP_SYNC), and what was derived from them is derived again.
 * While TF, RF, a breakpoint or an interrupt shadow is at work, instructions
 * go one by one through step_careful().
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "interp/core.h"

/* --- what the fast paths rely on --------------------------------------------- */

static bool seg_flat(const struct x86_seg *s, uint32_t need)
{
	uint32_t bad = X86_SEG_NULL | X86_SEG_CODE | X86_SEG_DC;

	return s->limit == 0xffffffffu && !(s->attr & bad) && (s->attr & need) == need;
}

static void derive_segments(const struct x86_cpu *c, struct interp *it)
{
	bool prot = x86_protected(c);

	it->flat_r = it->flat_w = 0;
	for (unsigned i = 0; i < X86_SEGS; i++) {
		const struct x86_seg *s = &c->seg[i];
		bool r, w;

		if (c->code_bits == 64) {
			it->base[i] = i == X86_FS || i == X86_GS ? s->base : 0;
			r = w = true;
		} else {
			it->base[i] = s->base;
			w = prot && seg_flat(s, X86_SEG_RW);
			r = prot && (seg_flat(s, 0) ||
				     (s->limit == 0xffffffffu && !(s->attr & X86_SEG_NULL) &&
				      (s->attr & X86_SEG_CODE) && (s->attr & X86_SEG_RW)));
		}
		it->flat_r |= r << i;
		it->flat_w |= w << i;
	}
	/* Alignment checks and data breakpoints are in the careful path. */
	if ((c->cpl == 3 && (c->rflags & X86_FL_AC) && (c->cr0 & X86_CR0_AM)) ||
	    (c->dr[7] & 0xff))
		it->flat_r = it->flat_w = 0;
}

/* What finding the instruction needs: all that a single step does, as the general
 * functions look at v->cpu themselves. */
static void derive_code(const struct x86_cpu *c, struct interp *it)
{
	icache_leave(it);
	it->ip_mask = c->code_bits == 64 ? ~0ull : 0xffffffffull;
}

static void derive(struct vcpu *v, struct interp *it)
{
	const struct x86_cpu *c = &v->cpu;

	derive_code(c, it);
	it->lin_mask = c->code_bits == 64 ? ~0ull : 0xffffffffull;
	it->tlb = v->tlb.e[vcpu_tlb_mode(v)];
	derive_segments(c, it);
	it->stack = (it->flat_w >> X86_SS & 1) && c->stack_bytes >= 4 ? c->stack_bytes : 0;
	it->vectors = simd_ready(c);
	it->special = (c->rflags & (X86_FL_TF | X86_FL_RF)) || c->inhibit || (c->dr[7] & 0xff);
}

void interp_state_changed(struct vcpu *v)
{
	derive(v, interp_of(v));
}

int interp_vcpu_create(struct vcpu *v, struct err *e)
{
	struct interp *it = aligned_alloc(64, (sizeof(*it) + 63) & ~63ull);
	int rc;

	if (!it)
		return err_set(e, -ENOMEM, "no memory for the interpreter");
	*it = (struct interp){ .ivm = v->vm->interp, .smp = v->vm->ncpus > 1 };
	v->interp = it;
	rc = icache_create(it, v->vm, e);
	if (!rc)
		rc = simd_create(v, e);
	if (rc) {
		interp_vcpu_destroy(v);
		return rc;
	}
	derive(v, it);
	return 0;
}

void interp_vcpu_destroy(struct vcpu *v)
{
	struct interp *it = interp_of(v);

	if (!it)
		return;
	simd_destroy(it);
	icache_destroy(it);
	free(it);
	v->interp = NULL;
}

/* --- one instruction ---------------------------------------------------------- */

/* Another vCPU may clear it: to be read once for each look at a line. */
static inline uint64_t tag_of(const struct interp *it)
{
	return atomic_load_explicit(&it->tag, memory_order_relaxed);
}

static int find_line(struct vcpu *v, struct interp *it, struct iline **out)
{
	uint64_t o = v->cpu.rip - it->lo, tag = tag_of(it);

	if (o >= it->span || !tag) {
		if (icache_enter(v, it))
			return X86_FAULT;
		o = v->cpu.rip - it->lo;
		tag = tag_of(it);
	}
	*out = it->line + o;
	if (tag && (*out)->tag == tag + o)
		return X86_OK;
	return icache_fill(v, it, out);
}

/* Instruction breakpoints: SDM vol. 3, 17.3.1.1. */
static bool code_breakpoint(struct vcpu *v)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t lin = c->rip + (c->code_bits == 64 ? 0 : c->seg[X86_CS].base);
	unsigned hit = 0;

	if (c->code_bits != 64)
		lin = (uint32_t)lin;
	for (unsigned i = 0; i < 4; i++)
		if ((c->dr[7] >> 2 * i & 3) && !(c->dr[7] >> (16 + 4 * i) & 15) &&
		    c->dr[i] == lin)
			hit |= 1u << i;
	if (!hit)
		return false;
	c->dr[6] = (c->dr[6] & ~15ull) | hit;
	x86_raise(c, X86_EXC_DB);
	return true;
}

/* kinds: bit n when DR7's R/W value n meets this access. */
static void watch(struct vcpu *v, uint64_t at, unsigned len, unsigned kinds)
{
	static const uint8_t length[4] = { 1, 2, 8, 4 };
	const struct x86_cpu *c = &v->cpu;

	for (unsigned i = 0; i < 4; i++) {
		unsigned rw = c->dr[7] >> (16 + 4 * i) & 3;
		unsigned n = length[c->dr[7] >> (18 + 4 * i) & 3];
		uint64_t from = c->dr[i] & ~(uint64_t)(n - 1);

		if ((c->dr[7] >> 2 * i & 3) && (kinds >> rw & 1) &&
		    at < from + n && from < at + len)
			interp_of(v)->dr_hits |= (uint8_t)(1u << i);
	}
}

void interp_watch(struct vcpu *v, uint64_t gva, unsigned len, bool write)
{
	watch(v, gva, len, write ? 1u << 1 | 1u << 3 : 1u << 3);
}

void interp_watch_port(struct vcpu *v, uint16_t port, unsigned size)
{
	if (v->cpu.cr4 & X86_CR4_DE)
		watch(v, port, size, 1u << 2);
}

static bool loads_ss(const struct x86_insn *in)
{
	return in->op == X86_LSS || ((in->op == X86_MOV_SEG || in->op == X86_POP) &&
				     in->o[0].kind == X86_O_SEG && in->o[0].reg == X86_SS);
}

/* Does an instruction that TF was set at end in a single-step trap? */
static bool stepped(const struct x86_cpu *c, const struct x86_insn *in)
{
	switch (in->op) {
	case X86_INT: case X86_INT3: case X86_INTO: case X86_INT1:
	case X86_SYSRET:	/* raises its own */
		return false;
	case X86_SYSCALL:	/* not where the mask has just cleared TF */
		return c->rflags & X86_FL_TF;
	default:
		return !loads_ss(in);
	}
}

/* Traps behind an instruction that went well: SDM vol. 3, 6.9. */
static enum interp_result trap(struct vcpu *v, struct interp *it, bool tf,
			       const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t cause = it->dr_hits;

	if (tf && stepped(c, in))
		cause |= X86_DR6_BS;
	if (!cause)
		return INTERP_OK;
	c->dr[6] = (c->dr[6] & ~15ull) | cause;
	x86_raise(c, X86_EXC_DB);
	return interp_exception(v);
}

static enum interp_result step_careful(struct vcpu *v, struct interp *it)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t rip = c->rip;
	bool tf = c->rflags & X86_FL_TF;
	const struct x86_insn *in;
	struct iline *e;
	enum interp_result r;

	if ((c->dr[7] & 0xff) && !(c->rflags & X86_FL_RF) && code_breakpoint(v))
		return interp_exception(v);
	if (find_line(v, it, &e) || (!icache_fresh(v, it, e) && icache_fill(v, it, &e)))
		return interp_exception(v);
	in = line_insn(it, e);
	c->inhibit = false;
	c->rflags &= ~(uint64_t)X86_FL_RF;
	it->dr_hits = 0;
	c->rip = (rip + in->len) & it->ip_mask;
	if (e->exec(v, in)) {
		if (!c->exc.soft && !c->exc.at_rip)
			c->rip = rip;
		return interp_exception(v);
	}
	v->insns++;
	r = tf || it->dr_hits ? trap(v, it, tf, in) : INTERP_OK;
	return r == INTERP_OK && c->halted ? INTERP_HLT : r;
}

enum interp_result interp_step(struct vcpu *v)
{
	struct interp *it = interp_of(v);

	derive_code(&v->cpu, it);
	return step_careful(v, it);
}

/* Bits of v->req that something can be done about now. */
static uint32_t actionable(const struct vcpu *v)
{
	uint32_t req = atomic_load_explicit(&v->req, memory_order_relaxed);

	if (__builtin_expect(!req, 1))
		return 0;
	if (!(v->cpu.rflags & X86_FL_IF) || v->cpu.inhibit)
		req &= ~(uint32_t)VCPU_REQ_INTR;
	if (v->cpu.nmi_masked || v->cpu.inhibit)
		req &= ~(uint32_t)VCPU_REQ_NMI;
	return req;
}

/* --- the loop ------------------------------------------------------------------- */

/*
 * Run until something needs a look: a request, a change of mode, a halt.  All
 * that is needed is in registers and one line of the decode cache.
 */
static enum interp_result run_fast(struct vcpu *v, struct interp *it)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t rip = c->rip, o, span, tag, n = 0;
	struct iline *e;
	int r;

	for (;;) {
		if (find_line(v, it, &e))
			goto fault;
		o = rip - it->lo;
		span = e == &it->one ? 0 : it->span;
		do {
			uint64_t len = e->len, next = (rip + len) & it->ip_mask;

			c->rip = next;
			r = e->fn(v, e);
			n++;
			if (__builtin_expect(r == X86_OK, 1)) {
				rip = next;
				o += len;
				e += len;
				continue;
			}
			if (r == X86_FAULT)
				goto fault;
			rip = c->rip;
			if (r == INTERP_SYNC || actionable(v))
				goto out;
			o = rip - it->lo;
			if (o >= span)
				break;
			e = it->line + o;
		} while (o < span && (tag = tag_of(it)) && e->tag == tag + o);
		if (actionable(v))	/* code without jumps, page after page */
			goto out;
	}
out:
	fpu_leave(v);
	v->insns += n;
	return c->halted ? INTERP_HLT : INTERP_OK;
fault:
	fpu_leave(v);
	if (!c->exc.soft && !c->exc.at_rip)
		c->rip = rip;
	v->insns += n;
	return interp_exception(v);
}

static enum vcpu_exit run(struct vcpu *v)
{
	struct interp *it = interp_of(v);
	struct x86_cpu *c = &v->cpu;
	enum interp_result r;
	enum vcpu_exit exit;

	derive(v, it);
	for (;;) {
		if (actionable(v)) {
			if (interp_service_requests(v, &exit))
				return exit;
			derive(v, it);
		}
		if (c->halted)
			return VCPU_EXIT_HLT;
		r = it->special ? step_careful(v, it) : run_fast(v, it);
		derive(v, it);
		if (r == INTERP_SHUTDOWN)
			return VCPU_EXIT_SHUTDOWN;
	}
}

static enum vcpu_exit engine_run(struct vcpu *v)
{
	enum vcpu_exit exit;

	vcpu_enter(v);
	exit = run(v);
	vcpu_leave(v);
	return exit;
}

/* --- the engine ------------------------------------------------------------------ */

static void on_write(void *ptr, uint64_t gpa, uint64_t len)
{
	struct vm *vm = ptr;

	assert(vm_may_tell(vm));
	/* Page-table pages are not traced here, so CODE is the only reason. */
	if (interp_code_written(vm, gpa, len))
		for (uint64_t a = gpa & PAGE_MASK; a < gpa + len; a += PAGE_SIZE)
			if (mem_off(vm->mem, a) != UINT64_MAX)
				atomic_fetch_and(&vm->mem->pflags[mem_off(vm->mem, a) >> PAGE_SHIFT],
						 (uint8_t)~MEM_PF_CODE);
}

static int engine_probe(struct vm *vm, struct err *e)
{
	return 0;
}

static int engine_vm_create(struct vm *vm, struct err *e)
{
	int rc = interp_vm_create(vm, e);

	if (rc)
		return rc;
	vm->mem->on_write = on_write;
	vm->mem->on_write_ptr = vm;
	return 0;
}

static void engine_vm_destroy(struct vm *vm)
{
	vm->mem->on_write = NULL;
	interp_vm_destroy(vm);
}

static void engine_sync(struct vcpu *v)
{
	derive(v, interp_of(v));
}

/* The loop looks at v->req by itself. */
static void engine_kick(struct vcpu *v)
{
}

static void engine_stats(struct vm *vm, void (*put)(void *ptr, const char *name,
			 uint64_t value), void *ptr)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < vm->ncpus; i++)
		n += vm->vcpu[i]->insns;
	put(ptr, "instructions", n);
}

const struct engine_ops interp_engine = {
	.name = "interp",
	.probe = engine_probe,
	.vm_create = engine_vm_create,
	.vm_destroy = engine_vm_destroy,
	.create = interp_vcpu_create,
	.destroy = interp_vcpu_destroy,
	.run = engine_run,
	.sync_out = engine_sync,
	.sync_in = engine_sync,
	.kick = engine_kick,
	.print_stats = engine_stats,
};
