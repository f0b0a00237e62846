#ifndef BT_GEN_H
#define BT_GEN_H
/*
 * Code generation for one unit.
 *
 * Flags.  The guest's arithmetic flags are in the host's flags (HOST), in R12
 * as emit_flags_save() leaves them (SAVED), or in both (BOTH).  A soft access
 * needs a compare: it saves them first if they are only in the host's, and they
 * are brought back only where an instruction reads them or keeps some of them:
 *
 *	mov eax,[m]	save; check; load	-> SAVED
 *	mov ebx,[n]	check; load		-> SAVED
 *	test eax,eax	(overwrites all)	-> HOST
 */

#include "bt/bt.h"
#include "bt/emit.h"
#include "bt/layout.h"
#include "bt/unit.h"
#include "x86/insn.h"

enum gen_flags { GEN_HOST, GEN_BOTH, GEN_SAVED };

#define GEN_STUBS_MAX 512

struct gen_stub {
	uint8_t *at;		/* the open rel32 that leads here */
	const uint8_t *retry;	/* TLB miss: where to go on; NULL: leave with reason */
	uint64_t eip;
	uint8_t reason;		/* enum bt_exit */
	uint16_t miss;		/* BT_MISS_* */
	bool saved, rcx_in_r9;
};

/* 64-bit code in a window: R15 is the folded address of base + index * 2^scale + disp,
 * as these registers are now. */
struct gen_fold {
	bool valid;
	uint8_t base, index, scale;
	int64_t disp;
};

/* 64-bit: how the flags can be had again, see gen64_flags.c. */
struct gen_recipe {
	uint8_t kind, reg, other, w;
	int32_t imm;
	const uint8_t *bytes;
	uint8_t len, size;
	uint16_t regs;		/* bitmap: these must stay */
	bool test;		/* TEST, else CMP */
	bool keepable, kept;	/* the registers could be, are in memory */
};

#define GEN_RECIPES 24

/* 64-bit loops: base + (index << scale), folded, is in reg; see gen64_loop.c. */
struct gen_carried {
	uint8_t base, index, scale, reg;
};

#define GEN_CARRIED BT_AWAY

struct gen_loop {
	struct gen_carried key[GEN_CARRIED];
	uint8_t n;
	bool away;		/* the registers were the guest's */
};

struct gen {
	struct emit e;
	struct bt *bt;
	struct vcpu *v;
	struct bt_unit *u;
	enum tc_space space;	/* where the unit is made */
	uint32_t mode;
	const uint8_t *bytes;	/* of the current instruction */
	const struct x86_insn *in;
	uint64_t eip, next;	/* of the current instruction and the one behind */
	unsigned behind;	/* how many instructions of the unit follow it */
	bool soft;		/* the current instruction uses soft access */
	struct bt_site ea;	/* 64-bit: the address at hand, as sites say it */
	bool ea_known;		/* it can be said so */
	struct gen_fold fold;	/* 64-bit: what R15 holds, ... */
	struct gen_recipe recipe[GEN_RECIPES];
	uint8_t nrecipes;
	uint8_t recipe_now;	/* of the flags as they are: number + 1; 0: none */
	bool flags_lost;	/* the host's are not the guest's */
	bool old_kept;		/* what the current instruction shifts is at T_OLD */
	bool guest_r15;		/* ... or it is the guest's, which is at T_R15, too, ... */
	bool r15_newer;		/* ... but that is an older one */
	int32_t off;		/* 64-bit: the access at hand is at [R15 + off] */
	struct gen_loop loop;
	uint8_t at_reg;		/* 64-bit: the access at hand is by this register, R15 as a rule */
	uint32_t bound[16];	/* 64-bit: how large registers are at most, see gen64_bounds.c */
	uint8_t near_index;	/* ... and to that this is added, X86_NOREG: nothing */
	bool fs_ok, gs_ok;	/* checked in this unit */
	bool ended;		/* the exit sequence was emitted */
	enum gen_flags flags;
	struct gen_stub stub[GEN_STUBS_MAX];
	unsigned nstubs;
};

/* Make R12 valid; make the host's flags valid; the current instruction has
 * overwritten the host's flags. */
void gen_need_saved(struct gen *g);
void gen_need_host(struct gen *g);
static inline void gen_flags_set(struct gen *g) { g->flags = GEN_HOST; }
/* Before a host instruction that stands for in: bring the flags back if in reads
 * or keeps any; after it: note what it changed. */
void gen_flags_before(struct gen *g);
void gen_flags_after(struct gen *g);

/* Can a memory operand through this segment be accessed inline?  The first use of
 * FS or GS emits a check: call it before anything else of the instruction. */
bool gen_seg_ok(struct gen *g, unsigned seg, bool write);

/* r8d = linear address of the operand of in (segment base added); ESP counts
 * esp_bias more than the register holds (pop to memory).  BT_M_SEG: the offset,
 * and gen_seg() follows. */
void gen_ea(struct gen *g, const struct x86_insn *in, int32_t esp_bias);

/* BT_M_SEG: check the offset at r8d of an access to size bytes, add the segment's
 * base; else nothing.  The limits are in hot words, the bases in the segments:
 * loads of segment registers leave units as they are.
 *
 *	lea r10,[r8+size-1]; cmp r10,[last]; jg step; mov r9d,[base]; lea r8d,[r8+r9] */
void gen_seg(struct gen *g, unsigned seg, unsigned size, bool write);

/* Soft form: check access to size bytes at r8d, r9 = addend: then [r8 + r9]. */
void gen_check(struct gen *g, unsigned size, bool write);

/* dst (not r8, r9) = zero-extended size bytes at [base + disp] in a flat
 * segment (BT_M_SEG: ES for EDI, else SS); the address at r8d already. */
void gen_load(struct gen *g, unsigned dst, unsigned base, int32_t disp, unsigned size);
void gen_load_r8(struct gen *g, unsigned dst, unsigned size);
void gen_store(struct gen *g, unsigned base, int32_t disp, unsigned src, unsigned size);
void gen_store_imm(struct gen *g, unsigned base, int32_t disp, uint32_t imm, unsigned size);
void gen_store_r8(struct gen *g, unsigned src, unsigned size);

/* Exits.  All end the unit. */
void gen_exit_jump(struct gen *g, uint32_t eip);	/* direct */
void gen_exit_jcc(struct gen *g, unsigned cond, uint32_t taken, uint32_t next);
/* As jcc, behind a two-byte jump of the host (loop, jecxz) whose rel8 at taken8
 * is open.  Returns true. */
bool gen_exit_pair(struct gen *g, uint8_t *taken8, uint32_t taken, uint32_t next);
void gen_exit_lookup(struct gen *g);			/* r8d = eip */
void gen_exit_icache(struct gen *g);			/* r8d = eip */
void gen_exit_return(struct gen *g);			/* r8d = eip */
/* CALL: predict its return (unit.h). */
void gen_returns(struct gen *g);
/* Behind an exit: where links lead while they are not linked. */
void gen_link_stubs(struct gen *g);
/* The entry for returns, right before that for lookups. */
void gen_return_check(struct gen *g);
void gen_exit_step(struct gen *g, uint32_t eip);	/* the interpreter does it */
/* Leave for reason at eip when ECX-like test: value in r8d is zero/non-zero. */
void gen_stub_add(struct gen *g, uint8_t *at, const uint8_t *retry, uint64_t eip,
		  unsigned reason, unsigned miss);
void gen_stubs(struct gen *g);

/* Another site in the current instruction, behind what it changed so far. */
void gen_site_again(struct gen *g);
/* Low half of a register, without touching the rest. */
void gen_mov16(struct gen *g, unsigned dst, unsigned src);
/* (E)SP = reg + n, as wide as the stack. */
void gen_set_sp(struct gen *g, unsigned reg, int32_t n);

/* Sites that one instruction can have. */
#define GEN_SITES 6

/* One instruction.  false: not done inline, the unit ends with a step. */
bool gen_same(struct gen *g);
bool gen_stack(struct gen *g);
bool gen_string(struct gen *g);
bool gen_inline(struct gen *g);
bool gen_branch(struct gen *g);

/*
 * Translate the unit at (gpa, eip).
 *
 * b          whose mode and CS it is for
 * form       BT_SOFT or BT_WINDOW
 * soft       instructions (bit by index) that must be soft
 * plain      its indirect jump has no use for an inline cache
 * Returns    the unit, inserted; NULL when no memory
 */
struct bt_unit *bt_translate(struct bt *bt, struct bt_vcpu *b, uint64_t gpa,
			     uint64_t eip, enum bt_form form, uint64_t soft, bool plain);
#endif
