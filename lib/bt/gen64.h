#ifndef BT_GEN64_H
#define BT_GEN64_H
/*
 * Code generation for 64-bit units.
 *
 * The guest's flags are the host's between any two instructions.  R15 is scratch:
 * it becomes the linear address, then the host address.  A soft access:
 *
 *	lea r15,[ea]
 *	save rax, flags			(T_AX, T_FL)
 *	mov eax,r15d; shr; and; add rax,fs:[T_TLB]
 *	xor r15,[rax+tag]; cmp r15,4096-size; ja miss
 *	add r15,[rax+tag]; add r15,[rax+addend]
 *	flags, rax back
 *	op [r15]
 *
 * A window's, where the flags may not be lost (gen64_flags.c): pext r15,base,[mask]; pdep r15,r15,[mask]; op gs:[r15 + disp].  What follows
 * and is near, by the same registers, uses the same R15 (struct gen_fold), also when
 * constants were added to them meanwhile:
 *
 *	push rbx; mov rax,[rsp+24]	one fold
 *
 * An instruction that also names R15, or AH to BH, borrows another register for the
 * address while it executes; its site says which.
 */
#include "bt/emit64.h"
#include "bt/gen.h"

/* One instruction.  false: not done inline. */
bool gen64_one(struct gen *g);
bool gen64_branch(struct gen *g);
bool gen64_inline(struct gen *g);
bool gen64_string(struct gen *g);

/* RAX to T_AX, the flags to EAX and T_FL; and back. */
void gen64_flags_away(struct emit *e);
void gen64_flags_back(struct emit *e);
void gen64_add_rsp(struct gen *g, int32_t n);

/* r15 = linear address of in's memory operand. */
void gen64_ea(struct gen *g, const struct x86_insn *in);
/* r15 = what the address in reg is folded to; where the flags may go, they do. */
void gen64_fold(struct gen *g, unsigned reg);
/* Make in's memory operand, of size bytes, what gen64_mem() takes: r15 is its host
 * address, or in a window r15 + g->off the offset in it. */
void gen64_access(struct gen *g, const struct x86_insn *in, unsigned size, bool write);
/* Where that is. */
struct emit_mem gen64_at_r15(const struct gen *g);
/* op reg, [the access + disp], as emit_rm() */
void gen64_mem(struct gen *g, unsigned op, unsigned reg, int32_t disp, unsigned w);
bool gen64_in_window(const struct gen *g);
/* The interpreter executes the instruction if r15, where it jumps, is not canonical. */
void gen64_check_target(struct gen *g);
/* gen64_access() for [reg + disp]. */
void gen64_at(struct gen *g, unsigned reg, int32_t disp, unsigned size, bool write);

/* Another site, behind what was changed so far; borrowed: a register of the guest's
 * that is at T_TMP meanwhile, or X86_NOREG. */
void gen64_site(struct gen *g, unsigned borrowed);

/* R15 was changed. */
static inline void gen64_r15_lost(struct gen *g)
{
	g->fold.valid = g->guest_r15 = false;
}

/* R15 = the guest's; it is, and at T_R15 it is, too. */
void gen64_r15_load(struct gen *g);
/* Registers only have changed since R15 became newer than T_R15: now it is stored.
 * Before anything that may leave. */
void gen64_r15_store(struct gen *g);
static inline void gen64_r15_loaded(struct gen *g)
{
	g->fold.valid = false;
	g->guest_r15 = true;
}

/* May the current instruction lose the flags?  Make them right again.  Before and after
 * an instruction; how they can be had again is not known any more. */
bool gen64_flags_may_go(const struct gen *g);
void gen64_flags_fix(struct gen *g);
void gen64_flags_before(struct gen *g);
void gen64_flags_after(struct gen *g);
void gen64_flags_stubs(struct gen *g);
static inline void gen64_flags_forget(struct gen *g)
{
	g->flags_lost = false;
	g->recipe_now = 0;
}

/* gen64_loop.c.  Is a unit of n instructions, up to end, a loop?  What stands in front of
 * it; registers go back where it ends.  n was added to reg. */
void gen64_loop_find(struct gen *g, const struct x86_insn *in, unsigned n, uint64_t end);
void gen64_loop_begin(struct gen *g);
void gen64_loop_back(struct gen *g);
void gen64_loop_moved(struct gen *g, unsigned reg, int64_t n);
/* Does reg, of the host, hold what in's access goes by? */
bool gen64_loop_carries(const struct gen *g, const struct x86_insn *in, unsigned *reg);

/* It accesses memory in line. */
bool gen64_accesses(const struct x86_insn *in);
/* It adds a constant to a register: which, or X86_NOREG. */
unsigned gen64_adds_const(const struct x86_insn *in, int64_t *n);
/* How far an index that is small takes in's address; 0: it is not, or there is none. */
int64_t gen64_index_reach(const struct gen *g, const struct x86_insn *in);
/* The current instruction, of class SAME, can be done in line. */
bool gen64_same_ok(const struct gen *g);

/* gen64_bounds.c: how large registers are at most.  The current instruction was
 * generated; nothing is known any more. */
void gen64_bounds_after(struct gen *g);
void gen64_bounds_forget(struct gen *g);

/* Registers that in may write: a bitmap. */
uint32_t gen64_written(const struct x86_insn *in);

/* The instruction changes no registers but those it names. */
bool gen64_only_named(const struct x86_insn *in);

/* R15 holds, but for a displacement, what in's access needs. */
bool gen64_fold_serves(const struct gen *g, const struct x86_insn *in);

/* n was added to reg. */
void gen64_fold_moved(struct gen *g, unsigned reg, int64_t n);

/* What stands at the start and the end of a unit. */
void gen64_entry(struct gen *g, bool count);
void gen64_stubs(struct gen *g);

/* Exits: as in gen.h.  lookup: the target is in r15, and if any may be not canonical. */
void gen64_exit_jump(struct gen *g, uint64_t rip);
void gen64_exit_lookup(struct gen *g, bool any);
void gen64_exit_step(struct gen *g, uint64_t rip);
void gen64_callout(struct gen *g, const struct bt_callout *c);
void gen64_exit_jcc(struct gen *g, unsigned cond, uint64_t taken, uint64_t next);
bool gen64_exit_pair(struct gen *g, uint8_t *taken8, uint64_t taken, uint64_t next);
void gen64_jump_to(struct gen *g, uint64_t rip);
void gen64_link(struct gen *g, uint8_t *at, uint64_t rip);
bool gen64_may_link(const struct gen *g, uint64_t rip);
void gen64_begin_exit(struct gen *g);
/* Leave for reason; the reason's number in bits 0-15. */
void gen64_leave(struct gen *g, unsigned reason, unsigned number);
#endif
