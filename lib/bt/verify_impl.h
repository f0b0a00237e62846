#ifndef BT_VERIFY_IMPL_H
#define BT_VERIFY_IMPL_H
/*
 * What the parts of the lock-step share: verify.c runs and takes back,
 * verify_touch.c knows what an instruction touches, verify_compare.c judges.
 */
#include <stddef.h>

#include "base/le.h"
#include "bt/bt.h"
#include "bt/layout.h"
#include "bt/verify.h"
#include "interp/core.h"
#include "interp/interp.h"

#define FPU_LEN		(576 + 256)	/* legacy area, header, upper YMM halves */
#define LINE		64u
#define ACCESSES_MAX	3
#define LINES_MAX	4096u		/* a REP may store 256 KiB */
#define LINE_HASH	8192u
#define LEVELS_MAX	4
/* Two pages an access. */
#define ENTRIES_MAX	(BT_INSNS_MAX * ACCESSES_MAX * 2 * LEVELS_MAX)
#define NONE		UINT32_MAX
#define PTE_AD		0x60		/* accessed, dirty */

/* A 64-byte piece of guest memory that an instruction stores to. */
struct line {
	uint8_t *hva;
	uint32_t prev, next;	/* the same piece, of other instructions */
	uint8_t insn;
	uint8_t before[LINE], after[LINE];
};

/* A page-table entry that an access goes through. */
struct entry {
	uint8_t *hva;
	uint32_t line;		/* nlines when it was noted */
	uint8_t insn;
	uint8_t before;		/* A and D before the access */
	uint8_t may, must;	/* what the access may set, has to set */
};

/* Descriptor tables, segments, control registers: what callouts change. */
struct system_state {
	struct x86_seg seg[X86_SEGS], ldtr, tr;
	struct x86_dtr gdtr, idtr;
	uint64_t cr[4], dr[8], efer, xcr0, pdpte[4], kernel_gs_base;
};

struct snapshot {
	uint64_t gpr[16], rip, rflags;
	uint32_t undefined;	/* arithmetic flags that mean nothing here */
	uint8_t fpu, system;	/* which image */
};

/* Why something was not compared. */
enum skip { SKIP_NOT, SKIP_DEVICE, SKIP_TOLD, SKIP_LONG, SKIP_TIME, SKIP_RANDOM,
	    SKIP_FLAGS, SKIPS };
_Static_assert(SKIP_DEVICE == (int)VCPU_TRIAL_DEVICE && SKIP_TOLD == (int)VCPU_TRIAL_TOLD &&
	       SKIP_LONG == (int)VCPU_TRIAL_FULL, "vm.h");

struct bt_verify {
	struct vcpu_trial trial;	/* first */
	struct bt_vcpu *b;
	unsigned n;		/* states 0..n are there */
	unsigned insn;		/* under way */
	enum skip stop;		/* why there are no more; NOT: a fault, or the end */
	bool tainted;		/* undefined flags may have reached elsewhere .. */
	unsigned taint;		/* .. by this instruction */
	bool on;		/* the unit under way is compared */
	bool walked;		/* A or D was set and taken back */
	bool whole;		/* there are callouts: system state and FPU count */
	/* What an instruction that raises an exception may have changed. */
	struct { uint64_t gpr[16], dr6; uint32_t mxcsr; } raised;
	/* As it was at first, cpu when whole: */
	bool inhibit;
	struct x86_exc exc;
	uint8_t cpu[offsetof(struct x86_cpu, xsave)];
	struct snapshot s[BT_INSNS_MAX + 1];
	unsigned nfpu, nsystem;
	uint8_t fpu[BT_INSNS_MAX + 1][FPU_LEN];
	struct system_state system[BT_INSNS_MAX + 1];
	struct line line[LINES_MAX];
	unsigned nlines;
	struct entry entry[ENTRIES_MAX];
	unsigned nentries;
	struct { uint8_t *hva; uint32_t run, line; } hash[LINE_HASH];
	uint32_t run;		/* other entries of the hash are old */
	uint64_t units, insns, hot, skipped[SKIPS];
};

static inline bool is_rep(const struct x86_insn *in)
{
	return in->how == X86_HOW_STRING && (in->prefixes & (X86_P_REP | X86_P_REPNE));
}

/* verify_touch.c */
/* Note what instruction y->insn will store to and walk through.  false: it cannot
 * be executed now, or not be taken back (then y->stop says why). */
bool verify_touch(struct bt_verify *y, const struct x86_insn *in);
/* The instruction under way is going to store to [hva, hva + len).  false: no room. */
bool line_note(struct bt_verify *y, uint8_t *hva, uint64_t len);
/* The last line of a piece, or NONE. */
uint32_t line_find(const struct bt_verify *y, uint8_t *hva);

/* verify_compare.c */
void system_take(struct system_state *s, const struct x86_cpu *c);
/*
 * Is the state what it has to be after m instructions of u?
 * rep        the REP behind them is under way
 * Returns    0, or -EIO: they differ, v->err says where
 */
int verify_compare(struct bt_verify *y, const struct bt_unit *u, unsigned m, bool rep);
int verify_complain(struct bt_verify *y, const struct bt_unit *u, unsigned m,
		    const char *what, uint64_t ours, uint64_t interp);
#endif
