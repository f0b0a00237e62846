#ifndef INTERP_SIMD_H
#define INTERP_SIMD_H
/*
 * x87, MMX, SSE and AVX by the host's own units: thunks (thunk.c), what is done
 * around them (simd.c), and what is done in C (fpuenv.c, vmask.c).
 */

#include "interp/core.h"

/* Offsets in the XSAVE area: SDM vol. 1, 13.4. */
enum {
	XS_FCW = 0, XS_FSW = 2, XS_FTW = 4, XS_FOP = 6, XS_FIP = 8, XS_FCS = 12,
	XS_FDP = 16, XS_FDS = 20, XS_MXCSR = 24, XS_ST = 32, XS_XMM = 160,
	XS_HEADER = 512, XS_YMMH = 576,
};

/* What a thunk is given in RDI, and gives back. */
struct simd_frame {
	uint64_t rax, rcx, rdx, flags;
	void *mem;		/* the memory operand */
	uint8_t *xsave;		/* the guest's state */
	uint32_t mxcsr, mxcsr_out, mxcsr_host;
	uint32_t trap;		/* MXCSR exception bits that would trap; or the FSW after it */
};

typedef void thunk_fn(struct simd_frame *f);

#define THUNKS		1024u	/* slots of code */
#define THUNK_BUCKETS	4096u
#define THUNK_PROBES	4u
#define THUNK_BYTES	256u

struct thunk {
	uint64_t key;		/* 0: empty */
	thunk_fn *fn;
	bool fpu, mxcsr, gpr, flags;
};

struct simd {
	uint8_t *rw, *rx;	/* THUNKS * THUNK_BYTES, one memory mapped twice */
	unsigned used;
	struct thunk hash[THUNK_BUCKETS + THUNK_PROBES];
};

/* thunk.c: the thunk for in, from the cache or made now. */
const struct thunk *thunk_get(struct simd *s, const struct x86_insn *in, bool resident);
int thunk_create(struct simd *s, struct err *e);
void thunk_destroy(struct simd *s);

static inline struct thunk *thunk_bucket(struct simd *s, uint64_t key)
{
	return &s->hash[key * 0x9e3779b97f4a7c15ull >> 52];
}

static inline struct thunk *thunk_find(struct simd *s, uint64_t key)
{
	struct thunk *t = thunk_bucket(s, key);

	for (unsigned i = 0; i < THUNK_PROBES; i++, t++)
		if (t->key == key)
			return t;
	return NULL;
}

/* Bit of a key: the x87 state is in the host's registers. */
#define THUNK_RESIDENT	(1ull << 62)

uint64_t thunk_key(const struct x86_insn *in);
/* No x87 state, no implied registers, no store that a trap must undo. */
bool thunk_is_plain(const struct x86_insn *in);

static inline uint16_t *fpu_u16(struct x86_cpu *c, unsigned off)
{
	return (uint16_t *)(c->xsave + off);
}

static inline uint32_t *fpu_u32(struct x86_cpu *c, unsigned off)
{
	return (uint32_t *)(c->xsave + off);
}

/* Upper halves of YMM are zero until XSTATE_BV says otherwise. */
void simd_touch_ymm(struct x86_cpu *c);

/* simd.c: an unmasked x87 exception waits for the next waiting instruction. */
bool fpu_pending(struct x86_cpu *c);

/* fpuenv.c */
/* Change TOP; the saved registers are in the stack's order. */
void fpu_set_top(struct x86_cpu *c, unsigned top);
int fpu_env(struct vcpu *v, const struct x86_insn *in);
/* vmask.c */
int vec_masked(struct vcpu *v, const struct x86_insn *in);
bool vec_is_masked(const struct x86_insn *in);
#endif
