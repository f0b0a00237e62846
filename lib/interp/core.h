#ifndef INTERP_CORE_H
#define INTERP_CORE_H
/*
 * The interpreter's private state: decode cache, and what is derived from the
 * vCPU's mode so that frequent instructions need not look at segments.
 */

#include "interp/exec.h"
#include "interp/interp.h"
#include "interp/flags.h"

/* What a line's function returns besides X86_OK and X86_FAULT. */
enum {
	INTERP_JUMP = 2,	/* cpu.rip is not simply the next instruction */
	INTERP_SYNC = 3,	/* mode, mappings or interrupt flag may have changed */
};

struct iline;
typedef int line_fn(struct vcpu *v, const struct iline *e);

/* One cached instruction: what frequent forms need, in one cache line. */
struct iline {
	uint64_t tag;			/* see icache.c; 0: empty */
	line_fn *fn;
	interp_fn *exec;		/* the general function */
	uint8_t len;
	uint8_t size;			/* operand size */
	uint8_t r0, r1;			/* registers: destination, source */
	uint8_t base, index, scale, seg;
	uint8_t cond;
	uint8_t bare;			/* address is [base + disp], base present */
	uint8_t mem_size, align;	/* vectors: bytes; alignment wanted less 1 */
	uint32_t idx;			/* of the whole x86_insn */
	uint64_t disp;
	uint64_t imm;
	uint64_t amask;			/* address size */
};

_Static_assert(sizeof(struct iline) == 64, "a line is a cache line");

#define ICACHE_BITS	16	/* log2 of the lines; vCPUs share them out, */
#define ICACHE_BITS_STEPS 14	/* beside an engine that hands over single steps */
#define ICACHE_BITS_MIN	13	/* down to these, so that all take the room of one */

struct simd;

struct interp {
	/* The page under RIP: rip in [lo, lo + span) has its line at line[rip -
	 * lo], valid when its tag is tag + (rip - lo).  tag 0: look again. */
	uint64_t lo, span;
	_Atomic uint64_t tag;
	struct iline *line;
	_Atomic uint64_t off;		/* of lo in the memfd */

	uint64_t ip_mask;		/* 32 bits also in 16-bit code: its limit stops it */
	uint64_t lin_mask;		/* linear addresses: 32 or 64 bits */
	struct tlb_entry *tlb;		/* of the current access mode */
	uint64_t base[X86_SEGS];	/* 0 where 64-bit code ignores it */
	uint16_t flat_r, flat_w;	/* bit a segment: accesses need no checks */
	uint8_t stack;			/* 4, 8: SS is flat and of that size; else 0 */
	uint8_t vectors;		/* simd_ready() */
	bool fpu_resident;		/* fpu.c */
	bool fpu_waiting;		/* while resident: an exception is pending */
	bool special;			/* TF, RF, breakpoints, shadow: slow stepping */
	bool smp;			/* there are other vCPUs */
	uint8_t pauses;			/* PAUSEs executed, modulo 256 */
	uint8_t dr_hits;		/* data breakpoints met by this instruction */

	uint8_t page_shift;		/* of a page's 32-bit hash: its first line */
	struct iline *lines;		/* icache_lines() */
	struct x86_insn *insns;		/* the same */
	uint8_t (*bytes)[16];		/* the same: the code they stand for */
	struct iline one;		/* an instruction that is not cached */
	struct x86_insn one_insn;
	struct interp_vm *ivm;
	struct simd *simd;
};

struct interp_vm {
	uint64_t npages;
	_Atomic uint32_t *gen;		/* a page of the memfd */
	_Atomic uint64_t *code;		/* bit a 64-byte piece: holds cached code */
};

static inline struct interp *interp_of(struct vcpu *v)
{
	return v->interp;
}

static inline const struct x86_insn *line_insn(struct interp *it,
					       const struct iline *e)
{
	return e == &it->one ? &it->one_insn : &it->insns[e->idx];
}

/* icache.c */
/* How many there are: a page's never wrap. */
static inline size_t icache_lines(const struct interp *it)
{
	return (1ull << (32 - it->page_shift)) + PAGE_SIZE;
}

int icache_create(struct interp *it, const struct vm *vm, struct err *e);
void icache_destroy(struct interp *it);
/* Make it->lo.. describe the page of cpu.rip.  X86_FAULT with exc set. */
int icache_enter(struct vcpu *v, struct interp *it);
/*
 * The line of the instruction at cpu.rip, decoded now.
 * *out       the line, or &it->one when it cannot be cached
 */
int icache_fill(struct vcpu *v, struct interp *it, struct iline **out);
/* Do the bytes in memory still say what the line was decoded from?  For single
 * steps beside an engine whose own stores are not told to mem->on_write. */
bool icache_fresh(const struct vcpu *v, const struct interp *it, const struct iline *e);

/* The page under RIP has to be found again. */
static inline void icache_leave(struct interp *it)
{
	atomic_store_explicit(&it->tag, 0, memory_order_relaxed);
	it->span = 0;
}

/* --- what line functions share ----------------------------------------------- */

#define ALWAYS static inline __attribute__((always_inline))

/* reg may be X86_RIP, which follows the general registers. */
ALWAYS uint64_t reg_any(const struct x86_cpu *c, unsigned reg)
{
	return *(const uint64_t *)((const char *)c + 8 * reg);
}

ALWAYS uint64_t line_ea(const struct x86_cpu *c, const struct iline *e)
{
	uint64_t ea = e->disp;

	if (e->bare)
		return (ea + reg_any(c, e->base)) & e->amask;
	if (e->base != X86_NOREG)
		ea += reg_any(c, e->base);
	if (e->index != X86_NOREG)
		ea += c->gpr[e->index] << e->scale;
	return ea & e->amask;
}

ALWAYS void *line_hit(uint64_t tag, uint64_t addend, uint64_t lin, unsigned sz)
{
	if (__builtin_expect(tag != (lin & PAGE_MASK) || (lin & 4095) > 4096 - sz, 0))
		return NULL;
	return (void *)(uintptr_t)(lin + addend);
}

/* The host address of the memory operand, or NULL: take the general way. */
ALWAYS void *line_mem(struct vcpu *v, const struct iline *e, unsigned sz, bool write)
{
	struct interp *it = interp_of(v);
	uint64_t lin = (it->base[e->seg] + line_ea(&v->cpu, e)) & it->lin_mask;
	const struct tlb_entry *t = &it->tlb[lin >> 12 & (TLB_SIZE - 1)];

	if (!((write ? it->flat_w : it->flat_r) >> e->seg & 1))
		return NULL;
	return line_hit(write ? t->wtag : t->rtag, t->addend, lin, sz);
}

/* Behind a store at p, which line_mem() gave. */
ALWAYS int line_stored(struct vcpu *v, const void *p, unsigned sz)
{
	vcpu_stored(v, p, sz);
	return X86_OK;
}

/* dispatch.c */
/* Set e->fn and e->exec. */
void interp_pick(const struct vcpu *v, struct iline *e, const struct x86_insn *in);

/* fast.c: a function for a frequent form, or NULL. */
line_fn *fast_pick(struct iline *e, const struct x86_insn *in);

/* simd.c */
int simd_create(struct vcpu *v, struct err *e);
/* What kinds of vector code may run now: bit 0 SSE, bit 1 AVX, bit 2 x87. */
uint8_t simd_ready(const struct x86_cpu *c);
line_fn *simd_pick(struct iline *e, const struct x86_insn *in);
void simd_destroy(struct interp *it);

/* fpu.c: the x87 state may stay in the host's registers inside the loop. */
line_fn *fpu_pick(struct iline *e, const struct x86_insn *in);
void fpu_store(struct vcpu *v);

static inline void fpu_leave(struct vcpu *v)
{
	if (interp_of(v)->fpu_resident)
		fpu_store(v);
}

/* operand.c: a destination that is read first, perhaps by a LOCK instruction. */
struct rmw {
	uint64_t old;
	uint64_t gva, gpa;
	void *hva;		/* memory: where to store, or NULL: through vcpu_write */
	uint64_t gpa2;		/* of its part in a second page, when size2 is not 0 */
	unsigned size;
	uint8_t kind;		/* enum x86_okind */
	uint8_t reg;
	uint8_t size2;
	bool lock, slow;
	bool alone;		/* vm_stop_others() */
};

/* Read operand i, with all checks of a write to it made; then rmw_put.  A
 * caller that gives up in between calls rmw_drop. */
int rmw_get(struct vcpu *v, const struct x86_insn *in, unsigned i, struct rmw *r);
int rmw_get_at(struct vcpu *v, uint64_t gva, unsigned size, bool lock, struct rmw *r);
/* Store; false: another processor changed it, old is fresh: compute again. */
bool rmw_put(struct vcpu *v, struct rmw *r, uint64_t val);
void rmw_drop(struct vcpu *v, struct rmw *r);

static inline void gpr_put(struct x86_cpu *c, unsigned reg, unsigned size, uint64_t val)
{
	switch (size) {
	case 1: c->gpr[reg] = (c->gpr[reg] & ~0xffull) | (val & 0xff); break;
	case 2: c->gpr[reg] = (c->gpr[reg] & ~0xffffull) | (val & 0xffff); break;
	case 4: c->gpr[reg] = (uint32_t)val; break;
	default: c->gpr[reg] = val; break;
	}
}

static inline uint64_t gpr_get(const struct x86_cpu *c, unsigned reg, unsigned size)
{
	return c->gpr[reg] & sz_mask(size);
}

/* RIP as near transfers leave it; checks the target first. */
int branch_to(struct vcpu *v, uint64_t target, unsigned opsize);

/* Data breakpoints: called for every checked access while DR7 has any. */
void interp_watch(struct vcpu *v, uint64_t gva, unsigned len, bool write);

/* The general functions of the core. */
interp_fn op_ud, op_nop, op_fence, op_pause, op_alu, op_inc_dec, op_neg, op_not, op_test,
	op_mul, op_imul, op_div, op_idiv, op_mulx,
	op_rotate, op_shift, op_shld_shrd, op_shift_x, op_rorx,
	op_bt, op_bsf_bsr, op_tzcnt_lzcnt, op_popcnt, op_crc32, op_movbe,
	op_adx, op_andn, op_bextr, op_bls, op_bzhi, op_pdep, op_pext,
	op_ascii_adjust, op_decimal_adjust, op_aad, op_aam,
	op_mov, op_movsx, op_movsxd, op_lea, op_xchg, op_xadd, op_cmpxchg, op_cmpxchg8b,
	op_cmpxchg16b, op_bswap, op_xlat, op_setcc, op_cmovcc, op_cbw, op_cwd,
	op_flag, op_lahf, op_sahf, op_salc, op_clflush, op_clzero, op_rdrand,
	op_push, op_pop, op_pusha, op_popa, op_enter, op_leave,
	op_jmp, op_jcc, op_call, op_ret, op_loop, op_jcxz, op_string;
#endif
