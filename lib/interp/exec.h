#ifndef INTERP_EXEC_H
#define INTERP_EXEC_H
/*
 * How the interpreter's parts fit together.
 *
 * The loop (run.c) decodes at CS:RIP, sets cpu.rip to the next instruction
 * (wrapped to the code size) and calls interp_exec[in->op].  A function returns
 * X86_OK, or X86_FAULT with cpu.exc set; then the loop puts cpu.rip back and
 * delivers.  A function commits nothing before its last possible fault (a
 * store that faults has written nothing), except where the manual says so
 * (REP strings, which set cpu.rip back themselves to be continued).
 */

#include "vmm/access.h"
#include "vmm/vm.h"
#include "x86/insn.h"

typedef int interp_fn(struct vcpu *v, const struct x86_insn *in);
extern interp_fn *const interp_exec[X86_OP_COUNT];	/* dispatch.c */

/* dispatch.c */
/* The function of an instruction, after checks that depend on the model. */
interp_fn *interp_function(const struct vcpu *v, const struct x86_insn *in);

/* What serializing instructions do besides (SDM vol. 3, 8.3): all stores are seen by
 * other processors.  The decode cache is looked at anew after each of them. */
static inline void interp_serialize(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}

/* --- operand.c: operands, and accesses through segments ----------------- */

/* Effective address of the memory operand (offset in its segment, wrapped to
 * the address size). */
uint64_t interp_ea(const struct vcpu *v, const struct x86_insn *in);

/* Value of operand i (zero-extended), store to operand i (size of the operand;
 * 32-bit writes of a GPR clear its upper half in 64-bit code only matters there,
 * and is done always). */
int interp_get(struct vcpu *v, const struct x86_insn *in, unsigned i, uint64_t *val);
int interp_put(struct vcpu *v, const struct x86_insn *in, unsigned i, uint64_t val);

/* Segment checks (null, type, limit, canonical): linear address of [off,
 * off+len), or #GP/#SS raised.  write: as for a store. */
int seg_linear(struct vcpu *v, unsigned seg, uint64_t off, unsigned len,
	       bool write, uint64_t *gva);
int seg_read(struct vcpu *v, unsigned seg, uint64_t off, void *buf, unsigned len);
int seg_write(struct vcpu *v, unsigned seg, uint64_t off, const void *buf, unsigned len);

/* Push and pop of size 2, 4, 8 through SS:(E|R)SP; sp is the caller's working
 * copy, committed with stack_commit once nothing can fault any more. */
int stack_push(struct vcpu *v, uint64_t *sp, uint64_t val, unsigned size);
int stack_pop(struct vcpu *v, uint64_t *sp, uint64_t *val, unsigned size);
void stack_commit(struct vcpu *v, uint64_t sp);

/* --- segment.c ----------------------------------------------------------- */

/* A descriptor in the GDT or LDT, expanded; raises #GP/#TS.. with the selector
 * when outside the table (vector as given). */
struct x86_desc {
	struct x86_seg seg;	/* base, limit, attr, sel */
	uint32_t lo, hi;	/* raw */
	uint64_t gva;		/* where it stands */
	uint32_t hi64_lo, hi64_hi;	/* upper half of 16-byte system descriptors */
};
int desc_read(struct vcpu *v, uint16_t sel, uint8_t vector, struct x86_desc *d);
/* Load a data or stack segment register by selector with all checks. */
int seg_load(struct vcpu *v, unsigned seg, uint16_t sel);
/* Real and V86 mode: base = sel << 4. */
void seg_load_real(struct vcpu *v, unsigned seg, uint16_t sel);

/* --- what system instructions do (segment.c far.c exception.c task.c
 *     control.c msr.c system.c): one function an op ------------------------ */

interp_fn op_mov_seg, op_load_far_ptr /* lds les lfs lgs lss */, op_push_seg,
	op_pop_seg, op_jmpf, op_callf, op_retf, op_int, op_int1, op_int3,
	op_into, op_iret, op_bound, op_syscall, op_sysret, op_sysenter,
	op_sysexit, op_mov_cr, op_mov_dr, op_clts, op_lmsw, op_smsw, op_lgdt,
	op_lidt, op_sgdt, op_sidt, op_lldt, op_ltr, op_sldt, op_str, op_lar,
	op_lsl, op_verr, op_verw, op_arpl, op_cli, op_sti, op_hlt, op_invd,
	op_wbinvd, op_invlpg, op_invpcid, op_swapgs, op_rdmsr, op_wrmsr,
	op_rdtsc, op_rdtscp, op_rdpmc, op_cpuid, op_rdpid, op_rsm, op_fsgsbase,
	op_stac, op_clac, op_rdpkru, op_wrpkru, op_xgetbv, op_xsetbv,
	op_monitor, op_mwait, op_vmcall, op_fxsave, op_fxrstor, op_xsave,
	op_xrstor, op_pushf, op_popf, op_in, op_out, op_ins, op_outs;

/* exception.c: deliver vector through IVT/IDT. Used by interp_exception(). */
int exc_enter(struct vcpu *v, uint8_t vector, bool soft, bool has_error,
	      uint32_t error, bool external);
/* task.c: switch to the task of TSS selector sel. how: JMP, CALL/INT, IRET. */
enum task_how { TASK_JMP, TASK_CALL, TASK_IRET };
int task_switch(struct vcpu *v, uint16_t tss_sel, enum task_how how,
		bool has_error, uint32_t error);

/* I/O permission for port access of size bytes at the current CPL. */
int io_check(struct vcpu *v, uint16_t port, unsigned size);

/* --- run.c --------------------------------------------------------------- */

/* The decode cache forgets instructions of this guest page / everything. */
void icache_flush(struct vcpu *v);

/* I/O breakpoints: called for every port access while DR7 has any. */
void interp_watch_port(struct vcpu *v, uint16_t port, unsigned size);

/* Execute an x87/MMX/SSE/AVX instruction on guest state (simd.c): the host
 * executes it on the guest's registers, loaded for the purpose. */
interp_fn op_simd;
#endif
