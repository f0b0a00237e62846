/* Mnemonic -> function, and how the loop goes on after it. */

#include "interp/core.h"

interp_fn *const interp_exec[X86_OP_COUNT] = {
	[X86_ADD] = op_alu, [X86_OR] = op_alu, [X86_ADC] = op_alu, [X86_SBB] = op_alu,
	[X86_AND] = op_alu, [X86_SUB] = op_alu, [X86_XOR] = op_alu, [X86_CMP] = op_alu,
	[X86_INC] = op_inc_dec, [X86_DEC] = op_inc_dec, [X86_NEG] = op_neg,
	[X86_NOT] = op_not, [X86_TEST] = op_test, [X86_MUL] = op_mul,
	[X86_IMUL] = op_imul, [X86_DIV] = op_div, [X86_IDIV] = op_idiv,
	[X86_ROL] = op_rotate, [X86_ROR] = op_rotate, [X86_RCL] = op_rotate,
	[X86_RCR] = op_rotate, [X86_SHL] = op_shift, [X86_SHR] = op_shift,
	[X86_SAR] = op_shift, [X86_SHLD] = op_shld_shrd, [X86_SHRD] = op_shld_shrd,
	[X86_MOV] = op_mov, [X86_MOVZX] = op_mov, [X86_MOVSX] = op_movsx,
	[X86_MOVSXD] = op_movsxd, [X86_LEA] = op_lea, [X86_XCHG] = op_xchg,
	[X86_XADD] = op_xadd, [X86_CMPXCHG] = op_cmpxchg,
	[X86_CMPXCHG8B] = op_cmpxchg8b, [X86_CMPXCHG16B] = op_cmpxchg16b,
	[X86_BSWAP] = op_bswap, [X86_BT] = op_bt, [X86_BTS] = op_bt,
	[X86_BTR] = op_bt, [X86_BTC] = op_bt, [X86_BSF] = op_bsf_bsr,
	[X86_BSR] = op_bsf_bsr, [X86_TZCNT] = op_tzcnt_lzcnt,
	[X86_LZCNT] = op_tzcnt_lzcnt, [X86_POPCNT] = op_popcnt,
	[X86_CRC32] = op_crc32, [X86_MOVBE] = op_movbe, [X86_ADCX] = op_adx,
	[X86_ADOX] = op_adx, [X86_ANDN] = op_andn, [X86_BEXTR] = op_bextr,
	[X86_BLSI] = op_bls, [X86_BLSMSK] = op_bls, [X86_BLSR] = op_bls,
	[X86_BZHI] = op_bzhi, [X86_MULX] = op_mulx, [X86_PDEP] = op_pdep,
	[X86_PEXT] = op_pext, [X86_RORX] = op_rorx, [X86_SARX] = op_shift_x,
	[X86_SHLX] = op_shift_x, [X86_SHRX] = op_shift_x,
	[X86_CMOVCC] = op_cmovcc, [X86_SETCC] = op_setcc, [X86_JCC] = op_jcc,
	[X86_CBW] = op_cbw, [X86_CWD] = op_cwd, [X86_AAA] = op_ascii_adjust,
	[X86_AAS] = op_ascii_adjust, [X86_AAD] = op_aad, [X86_AAM] = op_aam,
	[X86_DAA] = op_decimal_adjust, [X86_DAS] = op_decimal_adjust,
	[X86_CLC] = op_flag, [X86_STC] = op_flag, [X86_CMC] = op_flag,
	[X86_CLD] = op_flag, [X86_STD] = op_flag, [X86_LAHF] = op_lahf,
	[X86_SAHF] = op_sahf, [X86_SALC] = op_salc, [X86_XLAT] = op_xlat,
	[X86_NOP] = op_nop, [X86_PAUSE] = op_pause, [X86_ENDBR] = op_nop,
	[X86_UD0] = op_ud, [X86_UD1] = op_ud, [X86_UD2] = op_ud,
	[X86_MOVS] = op_string, [X86_STOS] = op_string, [X86_LODS] = op_string,
	[X86_CMPS] = op_string, [X86_SCAS] = op_string, [X86_INS] = op_ins,
	[X86_OUTS] = op_outs, [X86_IN] = op_in, [X86_OUT] = op_out,
	[X86_PUSH] = op_push, [X86_POP] = op_pop, [X86_PUSHA] = op_pusha,
	[X86_POPA] = op_popa, [X86_PUSHF] = op_pushf, [X86_POPF] = op_popf,
	[X86_ENTER] = op_enter, [X86_LEAVE] = op_leave,
	[X86_JMP] = op_jmp, [X86_CALL] = op_call, [X86_RET] = op_ret,
	[X86_JMPF] = op_jmpf, [X86_CALLF] = op_callf, [X86_RETF] = op_retf,
	[X86_LOOP] = op_loop, [X86_LOOPE] = op_loop, [X86_LOOPNE] = op_loop,
	[X86_JCXZ] = op_jcxz, [X86_INT] = op_int, [X86_INT1] = op_int1,
	[X86_INT3] = op_int3, [X86_INTO] = op_into, [X86_IRET] = op_iret,
	[X86_BOUND] = op_bound, [X86_SYSCALL] = op_syscall,
	[X86_SYSRET] = op_sysret, [X86_SYSENTER] = op_sysenter,
	[X86_SYSEXIT] = op_sysexit, [X86_MOV_SEG] = op_mov_seg,
	[X86_LDS] = op_load_far_ptr, [X86_LES] = op_load_far_ptr,
	[X86_LFS] = op_load_far_ptr, [X86_LGS] = op_load_far_ptr,
	[X86_LSS] = op_load_far_ptr, [X86_MOV_CR] = op_mov_cr,
	[X86_MOV_DR] = op_mov_dr, [X86_CLTS] = op_clts, [X86_LMSW] = op_lmsw,
	[X86_SMSW] = op_smsw, [X86_LGDT] = op_lgdt, [X86_LIDT] = op_lidt,
	[X86_SGDT] = op_sgdt, [X86_SIDT] = op_sidt, [X86_LLDT] = op_lldt,
	[X86_LTR] = op_ltr, [X86_SLDT] = op_sldt, [X86_STR] = op_str,
	[X86_LAR] = op_lar, [X86_LSL] = op_lsl, [X86_VERR] = op_verr,
	[X86_VERW] = op_verw, [X86_ARPL] = op_arpl, [X86_CLI] = op_cli,
	[X86_STI] = op_sti, [X86_HLT] = op_hlt, [X86_INVD] = op_invd,
	[X86_WBINVD] = op_wbinvd, [X86_INVLPG] = op_invlpg,
	[X86_INVPCID] = op_invpcid, [X86_SWAPGS] = op_swapgs,
	[X86_RDMSR] = op_rdmsr, [X86_WRMSR] = op_wrmsr, [X86_RDTSC] = op_rdtsc,
	[X86_RDTSCP] = op_rdtscp, [X86_RDPMC] = op_rdpmc, [X86_CPUID] = op_cpuid,
	[X86_RDPID] = op_rdpid, [X86_RSM] = op_rsm, [X86_RDFSBASE] = op_fsgsbase,
	[X86_RDGSBASE] = op_fsgsbase, [X86_WRFSBASE] = op_fsgsbase,
	[X86_WRGSBASE] = op_fsgsbase, [X86_STAC] = op_stac, [X86_CLAC] = op_clac,
	[X86_RDPKRU] = op_rdpkru, [X86_WRPKRU] = op_wrpkru,
	[X86_XGETBV] = op_xgetbv, [X86_XSETBV] = op_xsetbv,
	[X86_MONITOR] = op_monitor, [X86_MWAIT] = op_mwait,
	[X86_VMCALL] = op_vmcall, [X86_VMMCALL] = op_vmcall,
	[X86_CLZERO] = op_clzero, [X86_SERIALIZE] = op_fence,
	[X86_RDRAND] = op_rdrand, [X86_RDSEED] = op_rdrand,
	[X86_CLFLUSH] = op_clflush, [X86_CLFLUSHOPT] = op_clflush,
	[X86_CLWB] = op_clflush, [X86_PREFETCH] = op_nop, [X86_LFENCE] = op_nop,
	[X86_MFENCE] = op_fence, [X86_SFENCE] = op_fence, [X86_MOVNTI] = op_mov,
	[X86_MOVDIRI] = op_mov, [X86_FXSAVE] = op_fxsave,
	[X86_FXRSTOR] = op_fxrstor, [X86_XSAVE] = op_xsave,
	[X86_XSAVEOPT] = op_xsave, [X86_XSAVEC] = op_xsave,
	[X86_XSAVES] = op_xsave, [X86_XRSTOR] = op_xrstor,
	[X86_XRSTORS] = op_xrstor, [X86_LDMXCSR] = op_simd,
	[X86_STMXCSR] = op_simd, [X86_FWAIT] = op_simd, [X86_EMMS] = op_simd,
};

interp_fn *interp_function(const struct vcpu *v, const struct x86_insn *in)
{
	const struct x86_model *m = &v->vm->model;
	interp_fn *fn = in->op < X86_OP_COUNT ? interp_exec[in->op] : NULL;

	/* F3 before BSF and BSR means nothing to processors without these. */
	if ((in->op == X86_TZCNT && !x86_model_has(m, X86_F_BMI1)) ||
	    (in->op == X86_LZCNT && !x86_model_has(m, X86_F_LZCNT)))
		return op_bsf_bsr;
	if (in->feat != X86_F_BASE && !x86_model_has(m, in->feat))
		return op_ud;
	if (fn)
		return fn;
	return in->unit == X86_U_INT ? op_ud : op_simd;
}

static int line_plain(struct vcpu *v, const struct iline *e)
{
	return e->exec(v, line_insn(interp_of(v), e));
}

static int line_jump(struct vcpu *v, const struct iline *e)
{
	return e->exec(v, line_insn(interp_of(v), e)) ? X86_FAULT : INTERP_JUMP;
}

static int line_sync(struct vcpu *v, const struct iline *e)
{
	return e->exec(v, line_insn(interp_of(v), e)) ? X86_FAULT : INTERP_SYNC;
}

/* Instructions that change registers, flags and memory alone. */
static line_fn *line_kind(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_JMP: case X86_CALL: case X86_RET: case X86_JCC: case X86_LOOP:
	case X86_LOOPE: case X86_LOOPNE: case X86_JCXZ: case X86_MOVS:
	case X86_STOS: case X86_LODS: case X86_CMPS: case X86_SCAS:
		return line_jump;
	case X86_PUSH: case X86_POP:
		return in->o[0].kind == X86_O_SEG ? line_sync : line_plain;
	case X86_PUSHA: case X86_POPA: case X86_ENTER: case X86_LEAVE: case X86_PUSHF:
	case X86_CLC: case X86_STC: case X86_CMC: case X86_CLD: case X86_STD:
	case X86_RDTSC: case X86_LDMXCSR: case X86_STMXCSR: case X86_FWAIT:
	case X86_EMMS: case X86_LFENCE: case X86_MFENCE: case X86_SFENCE:
	case X86_PREFETCH: case X86_MOVNTI: case X86_MOVDIRI:
		return line_plain;
	default:
		break;
	}
	/* ops.def lists general instructions first, up to the strings. */
	if (in->op < X86_MOVS || in->unit != X86_U_INT)
		return line_plain;
	return line_sync;
}

void interp_pick(const struct vcpu *v, struct iline *e, const struct x86_insn *in)
{
	line_fn *fast;

	e->exec = interp_function(v, in);
	fast = e->exec == op_ud ? NULL : fast_pick(e, in);
	e->fn = fast ? fast : line_kind(in);
}
