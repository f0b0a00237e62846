#ifndef X86_CPU_H
#define X86_CPU_H
/*
 * The architectural state of one logical processor, neutral to the engine
 * that runs it.  Source: Intel SDM vol. 3.
 */

#include <stdbool.h>
#include <stdint.h>

#include "x86/insn.h"

#define X86_FL_CF	(1u << 0)
#define X86_FL_FIXED	(1u << 1)
#define X86_FL_PF	(1u << 2)
#define X86_FL_AF	(1u << 4)
#define X86_FL_ZF	(1u << 6)
#define X86_FL_SF	(1u << 7)
#define X86_FL_TF	(1u << 8)
#define X86_FL_IF	(1u << 9)
#define X86_FL_DF	(1u << 10)
#define X86_FL_OF	(1u << 11)
#define X86_FL_IOPL	(3u << 12)
#define X86_FL_NT	(1u << 14)
#define X86_FL_RF	(1u << 16)
#define X86_FL_VM	(1u << 17)
#define X86_FL_AC	(1u << 18)
#define X86_FL_VIF	(1u << 19)
#define X86_FL_VIP	(1u << 20)
#define X86_FL_ID	(1u << 21)
#define X86_FL_ARITH	(X86_FL_CF | X86_FL_PF | X86_FL_AF | X86_FL_ZF | \
			 X86_FL_SF | X86_FL_OF)

#define X86_DR6_BS	(1u << 14)	/* a single step */

#define X86_CR0_PE	(1u << 0)
#define X86_CR0_MP	(1u << 1)
#define X86_CR0_EM	(1u << 2)
#define X86_CR0_TS	(1u << 3)
#define X86_CR0_ET	(1u << 4)
#define X86_CR0_NE	(1u << 5)
#define X86_CR0_WP	(1u << 16)
#define X86_CR0_AM	(1u << 18)
#define X86_CR0_NW	(1u << 29)
#define X86_CR0_CD	(1u << 30)
#define X86_CR0_PG	(1u << 31)

#define X86_CR4_VME	(1u << 0)
#define X86_CR4_PVI	(1u << 1)
#define X86_CR4_TSD	(1u << 2)
#define X86_CR4_DE	(1u << 3)
#define X86_CR4_PSE	(1u << 4)
#define X86_CR4_PAE	(1u << 5)
#define X86_CR4_MCE	(1u << 6)
#define X86_CR4_PGE	(1u << 7)
#define X86_CR4_PCE	(1u << 8)
#define X86_CR4_OSFXSR	(1u << 9)
#define X86_CR4_OSXMMEX	(1u << 10)
#define X86_CR4_UMIP	(1u << 11)
#define X86_CR4_LA57	(1u << 12)
#define X86_CR4_FSGSBASE (1u << 16)
#define X86_CR4_PCIDE	(1u << 17)
#define X86_CR4_OSXSAVE	(1u << 18)
#define X86_CR4_SMEP	(1u << 20)
#define X86_CR4_SMAP	(1u << 21)
#define X86_CR4_PKE	(1u << 22)

#define X86_EFER_SCE	(1u << 0)
#define X86_EFER_LME	(1u << 8)
#define X86_EFER_LMA	(1u << 10)
#define X86_EFER_NXE	(1u << 11)

/* MAXPHYADDR of the guest: page-table bits from here up to 51 are reserved. */
#define X86_PHYS_BITS	40

/* Exception vectors. */
enum x86_vector {
	X86_EXC_DE = 0, X86_EXC_DB = 1, X86_EXC_NMI = 2, X86_EXC_BP = 3, X86_EXC_OF = 4,
	X86_EXC_BR = 5, X86_EXC_UD = 6, X86_EXC_NM = 7, X86_EXC_DF = 8, X86_EXC_TS = 10,
	X86_EXC_NP = 11, X86_EXC_SS = 12, X86_EXC_GP = 13, X86_EXC_PF = 14, X86_EXC_MF = 16,
	X86_EXC_AC = 17, X86_EXC_MC = 18, X86_EXC_XM = 19,
};

/* Page fault error code bits. */
#define X86_PF_P	1u
#define X86_PF_W	2u
#define X86_PF_U	4u
#define X86_PF_RSVD	8u
#define X86_PF_I	16u

/* Segment attributes, in the layout of descriptor bytes 5 and 6 (bits 8-15
 * and 20-23 of the high dword, shifted right by 8). */
#define X86_SEG_TYPE	0x000fu
#define X86_SEG_ACCESSED 0x0001u
#define X86_SEG_RW	0x0002u	/* code: readable; data: writable */
#define X86_SEG_DC	0x0004u	/* code: conforming; data: expand down */
#define X86_SEG_CODE	0x0008u
#define X86_SEG_S	0x0010u
#define X86_SEG_DPL	0x0060u
#define X86_SEG_P	0x0080u
#define X86_SEG_AVL	0x1000u
#define X86_SEG_L	0x2000u
#define X86_SEG_DB	0x4000u
#define X86_SEG_G	0x8000u
#define X86_SEG_NULL	0x10000u	/* ours: a null selector is loaded: unusable */

struct x86_seg {
	uint64_t base;
	uint32_t limit;		/* in bytes, granularity applied */
	uint32_t attr;
	uint16_t sel;
};

struct x86_dtr {
	uint64_t base;
	uint16_t limit;
};

#define X86_XSAVE_MAX	4096

struct x86_exc {
	uint8_t vector;
	bool has_error;
	bool soft;		/* INT n, INT3, INTO: rip already behind it */
	bool at_rip;		/* cpu.rip is right already: traps, and faults
				 * in the new task of a task switch */
	uint32_t error;
	uint64_t cr2;		/* for #PF */
};

struct x86_cpu {
	uint64_t gpr[16];
	uint64_t rip;
	uint64_t rflags;	/* complete and current, bit 1 set */

	struct x86_seg seg[X86_SEGS];
	struct x86_seg ldtr, tr;
	struct x86_dtr gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4;
	uint64_t dr[8];		/* 0-3, 6, 7 */
	uint64_t efer;
	uint8_t cpl;
	uint8_t code_bits;	/* 16, 32, 64: from CS and EFER.LMA */
	uint8_t stack_bytes;	/* 2, 4, 8: from SS.B */
	bool long_mode;		/* EFER.LMA */

	bool inhibit;		/* STI or MOV SS shadow covers the next instruction */
	bool nmi_masked;
	bool halted;
	bool in_smm;

	/* An exception that the instruction under way has raised. */
	struct x86_exc exc;

	/* MSRs */
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_aux, misc_enable, apic_base, mtrr_def, mcg_status;
	uint64_t mtrr_fix[11], mtrr_var[16];
	uint64_t tsc_deadline, tsc_adjust, spec_ctrl, xss;
	int64_t tsc_offset;	/* guest TSC = host TSC + tsc_offset */
	uint32_t pkru;

	uint64_t pdpte[4];	/* PAE: loaded at MOV CR3, as on hardware */

	/* x87, SSE, AVX in the standard (non-compacted) XSAVE layout; the legacy
	 * area is complete whatever XSTATE_BV says, upper halves follow it. */
	uint64_t xcr0;
	uint8_t xsave[X86_XSAVE_MAX] __attribute__((aligned(64)));
};

/* Power-on state, and what INIT makes of a state: it leaves FPU, MTRRs and most
 * MSRs.  SDM vol. 3 table 9-1. */
void x86_cpu_reset(struct x86_cpu *c);
void x86_cpu_init(struct x86_cpu *c);

/* Recompute cpl-independent mode fields after CS, SS, CR0 or EFER changed. */
void x86_cpu_update_mode(struct x86_cpu *c);

/* Raise an exception: the caller then returns X86_FAULT. */
enum { X86_OK = 0, X86_FAULT = 1 };
static inline int x86_raise(struct x86_cpu *c, uint8_t vector)
{
	c->exc = (struct x86_exc){ .vector = vector };
	return X86_FAULT;
}

static inline int x86_raise_err(struct x86_cpu *c, uint8_t vector, uint32_t error)
{
	c->exc = (struct x86_exc){
		.vector = vector, .has_error = true, .error = error };
	return X86_FAULT;
}

static inline int x86_raise_pf(struct x86_cpu *c, uint64_t gva, uint32_t error)
{
	c->exc = (struct x86_exc){ .vector = X86_EXC_PF, .has_error = true,
		.error = error, .cr2 = gva };
	return X86_FAULT;
}

static inline bool x86_paging(const struct x86_cpu *c)
{
	return c->cr0 & X86_CR0_PG;
}

/* The process-context identifier in use. */
static inline unsigned x86_pcid(const struct x86_cpu *c)
{
	return c->cr4 & X86_CR4_PCIDE ? c->cr3 & 0xfff : 0;
}

static inline bool x86_protected(const struct x86_cpu *c)
{
	return (c->cr0 & X86_CR0_PE) && !(c->rflags & X86_FL_VM);
}
#endif
