#include "x86/cpu.h"

#include <string.h>

#include "base/le.h"

/* Offsets in the legacy XSAVE area, SDM vol. 1 table 10-2. */
#define FX_FCW		0
#define FX_FTW		4
#define FX_MXCSR	24
#define FX_MXCSR_MASK	28

static void xsave_reset(struct x86_cpu *c)
{
	le16_put(c->xsave + FX_FCW, 0x0040);
	c->xsave[FX_FTW] = 0xff;	/* all valid: +0.0 */
	le32_put(c->xsave + FX_MXCSR, 0x1f80);
	le32_put(c->xsave + FX_MXCSR_MASK, 0xffff);
	le64_put(c->xsave + 512, 3);	/* XSTATE_BV: x87 and SSE */
}

void x86_cpu_reset(struct x86_cpu *c)
{
	int64_t tsc_offset = c->tsc_offset;	/* the machine's, not the guest's */

	memset(c, 0, sizeof(*c));
	c->tsc_offset = tsc_offset;
	c->rip = 0xfff0;
	c->rflags = X86_FL_FIXED;
	c->gpr[X86_RDX] = 0x600;
	for (unsigned i = 0; i < X86_SEGS; i++) {
		c->seg[i].limit = 0xffff;
		c->seg[i].attr = X86_SEG_P | X86_SEG_S | X86_SEG_RW |
			X86_SEG_ACCESSED;
	}
	c->seg[X86_CS].attr |= X86_SEG_CODE;
	c->seg[X86_CS].sel = 0xf000;
	c->seg[X86_CS].base = 0xffff0000;
	c->ldtr.limit = 0xffff;
	c->ldtr.attr = X86_SEG_P | 2;
	c->tr.limit = 0xffff;
	c->tr.attr = X86_SEG_P | 11;
	c->gdtr.limit = 0xffff;
	c->idtr.limit = 0xffff;
	c->cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;
	c->dr[6] = 0xffff0ff0;
	c->dr[7] = 0x400;
	c->pat = 0x0007040600070406;
	c->apic_base = 0xfee00800;
	c->misc_enable = 1;		/* fast strings */
	c->xcr0 = 1;
	xsave_reset(c);
	x86_cpu_update_mode(c);
}

void x86_cpu_init(struct x86_cpu *c)
{
	const struct x86_cpu was = *c;

	x86_cpu_reset(c);
	c->cr0 = X86_CR0_ET | (was.cr0 & (X86_CR0_CD | X86_CR0_NW));
	c->sysenter_cs = was.sysenter_cs;
	c->sysenter_esp = was.sysenter_esp;
	c->sysenter_eip = was.sysenter_eip;
	c->pat = was.pat;
	c->tsc_aux = was.tsc_aux;
	c->tsc_adjust = was.tsc_adjust;
	c->misc_enable = was.misc_enable;
	c->apic_base = was.apic_base;
	c->mcg_status = was.mcg_status;
	c->mtrr_def = was.mtrr_def;
	memcpy(c->mtrr_fix, was.mtrr_fix, sizeof(c->mtrr_fix));
	memcpy(c->mtrr_var, was.mtrr_var, sizeof(c->mtrr_var));
	c->xcr0 = was.xcr0;
	memcpy(c->xsave, was.xsave, sizeof(c->xsave));
}

void x86_cpu_update_mode(struct x86_cpu *c)
{
	const struct x86_seg *cs = &c->seg[X86_CS], *ss = &c->seg[X86_SS];

	c->long_mode = c->efer & X86_EFER_LMA;
	if (c->long_mode && (cs->attr & X86_SEG_L))
		c->code_bits = 64;
	else
		c->code_bits = cs->attr & X86_SEG_DB ? 32 : 16;
	if (c->code_bits == 64)
		c->stack_bytes = 8;
	else
		c->stack_bytes = ss->attr & X86_SEG_DB ? 4 : 2;
}
