#include "pc/boot.h"

#include "base/le.h"
#include "pc/e820.h"

/* The selectors that Linux's boot protocol wants: __BOOT_CS, __BOOT_DS. */
enum { BOOT_CS = 0x10, BOOT_DS = 0x18 };

#define CODE32	(X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_RW | \
		 X86_SEG_ACCESSED | X86_SEG_DB | X86_SEG_G)
#define CODE64	(X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_RW | \
		 X86_SEG_ACCESSED | X86_SEG_L | X86_SEG_G)
#define DATA32	(X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED | \
		 X86_SEG_DB | X86_SEG_G)

/* A flat 4 GiB descriptor; SDM vol. 3, figure 3-8. */
static uint64_t flat_descriptor(uint32_t attr)
{
	return 0x000f00000000ffffull | (uint64_t)attr << 40;
}

static void set_segments(struct mem *m, struct x86_cpu *c, uint32_t gpa, uint32_t code)
{
	uint64_t gdt[BOOT_GDT_LEN / 8] = { 0, 0, flat_descriptor(code),
					   flat_descriptor(DATA32) };

	mem_write(m, gpa, gdt, sizeof(gdt));
	c->gdtr = (struct x86_dtr){ gpa, sizeof(gdt) - 1 };
	for (unsigned i = 0; i < X86_SEGS; i++)
		c->seg[i] = (struct x86_seg){ 0, 0xffffffff, DATA32, BOOT_DS };
	c->seg[X86_CS] = (struct x86_seg){ 0, 0xffffffff, code, BOOT_CS };
}

void boot_flat32(struct mem *m, struct x86_cpu *c, uint32_t gdt, uint32_t eip)
{
	set_segments(m, c, gdt, CODE32);
	c->cr0 = X86_CR0_PE | X86_CR0_ET;
	c->rflags = X86_FL_FIXED;
	c->rip = eip;
	x86_cpu_update_mode(c);
}

/* The first 4 GiB, mapped to themselves by 2 MiB pages. */
static void identity_tables(struct mem *m)
{
	enum { P_RW = 3, LARGE = 0x80 };
	uint64_t entry;

	for (uint64_t i = 0; i < 2 * 512; i++) {	/* PML4, PDPT: mostly empty */
		entry = 0;
		if (i == 0)
			entry = (LOWMEM_TABLES + PAGE_SIZE) | P_RW;
		else if (i >= 512 && i < 516)
			entry = (LOWMEM_TABLES + (i - 512 + 2) * PAGE_SIZE) | P_RW;
		mem_write(m, LOWMEM_TABLES + 8 * i, &entry, 8);
	}
	for (uint64_t i = 0; i < 4 * 512; i++) {
		entry = i << 21 | LARGE | P_RW;
		mem_write(m, LOWMEM_TABLES + 2 * PAGE_SIZE + 8 * i, &entry, 8);
	}
}

void boot_flat64(struct mem *m, struct x86_cpu *c, uint64_t rip)
{
	identity_tables(m);
	set_segments(m, c, LOWMEM_GDT, CODE64);
	c->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_PG;
	c->cr3 = LOWMEM_TABLES;
	c->cr4 = X86_CR4_PAE;
	c->efer = X86_EFER_LME | X86_EFER_LMA;
	c->long_mode = true;
	c->rflags = X86_FL_FIXED;
	c->rip = rip;
	x86_cpu_update_mode(c);
}

void boot_real(struct x86_cpu *c, uint16_t seg, uint16_t code, uint16_t sp)
{
	for (unsigned i = 0; i < X86_SEGS; i++) {
		c->seg[i].sel = i == X86_CS ? code : seg;
		c->seg[i].base = (uint64_t)c->seg[i].sel << 4;
	}
	c->gpr[X86_RSP] = sp;
	c->rip = 0;
}

void boot_mtrrs(struct x86_cpu *c)
{
	enum { WB = 6, FIXED_ON = 1 << 10, ON = 1 << 11, MASK_VALID = 1 << 11 };
	enum { FIX_A0000 = 2, FIX_E0000 = 7, FIXED = 11 };
	uint64_t phys = (1ull << X86_PHYS_BITS) - 1, hole = MEM_HIGH_BASE - MEM_LOW_MAX;

	c->mtrr_def = ON | FIXED_ON | WB;
	for (unsigned i = 0; i < FIXED; i++)
		c->mtrr_fix[i] = i < FIX_A0000 || i >= FIX_E0000 ? WB * 0x0101010101010101ull : 0;
	c->mtrr_var[0] = MEM_LOW_MAX;		/* uncacheable */
	c->mtrr_var[1] = (~(hole - 1) & phys) | MASK_VALID;
}
