/* Process-context identifiers: CR4.PCIDE, MOV CR3, INVPCID.  Expectations: SDM vol. 3,
 * 2.5 and 4.10; vol. 2, INVPCID and MOV to control registers. */
#include "sysrig.h"

#define DESC	0x30000u		/* INVPCID's operand */
#define KEEP	(1ull << 63)

static unsigned flushes[VCPU_FLUSH_OTHER + 1];
static uint64_t flushed;

static void on_flush(struct vcpu *w, uint64_t gva, int what)
{
	flushes[what]++;
	flushed = gva;
}

/* Long mode with PCIDs, 5 the one in use; rax is free. */
static void rig_pcid(unsigned cpl)
{
	rig_long(cpl);
	c->cr4 |= X86_CR4_PCIDE | X86_CR4_PGE;
	c->cr3 |= 5;
	c->gpr[X86_RSI] = DESC;
	memset(flushes, 0, sizeof(flushes));
}

static void only(const char *what, int flush)
{
	for (int i = 0; i <= VCPU_FLUSH_OTHER; i++)
		check(flushes[i] == (i == flush), "%s: %u flushes of kind %d", what, flushes[i], i);
}

static void enabling(void)
{
	rig_long(0);
	c->gpr[X86_RAX] = c->cr4 | X86_CR4_PCIDE;
	c->cr3 |= 1;
	FAULTS("PCIDE with bits in CR3", "\x0f\x22\xe0", X86_EXC_GP, 0);
	rig_long(0);
	c->cr3 |= 0x18;				/* PWT PCD */
	FAULTS("PCIDE with PCD in CR3", "\x0f\x22\xe0", X86_EXC_GP, 0);
	rig_protected(0);
	c->gpr[X86_RAX] = X86_CR4_PCIDE;
	FAULTS("PCIDE outside long mode", "\x0f\x22\xe0", X86_EXC_GP, 0);
	rig_long(0);
	c->gpr[X86_RAX] = c->cr4 | X86_CR4_PCIDE;
	memset(flushes, 0, sizeof(flushes));
	STEP("\x0f\x22\xe0");
	check(c->cr4 & X86_CR4_PCIDE, "PCIDE");
	only("switched on", -1);
	c->cr3 |= 7;
	c->gpr[X86_RAX] = c->cr4 & ~(uint64_t)X86_CR4_PCIDE;
	STEP("\x0f\x22\xe0");
	only("switched off", VCPU_FLUSH_ALL);
	/* Paging cannot be switched off before. */
	rig_pcid(0);
	rig_seg(X86_CS, SEL_CODE0, 0, 11);
	x86_cpu_update_mode(c);
	c->gpr[X86_RAX] = c->cr0 & ~(uint64_t)X86_CR0_PG;
	FAULTS("PG off with PCIDE", "\x0f\x22\xc0", X86_EXC_GP, 0);
}

static void mov_cr3(void)
{
	rig_pcid(0);
	c->gpr[X86_RAX] = KEEP | 0x4000 | 6;
	STEP("\x0f\x22\xd8");
	only("bit 63", VCPU_FLUSH_SWITCH);
	STEP("\x0f\x20\xd9");			/* mov rcx, cr3 */
	check(c->gpr[X86_RCX] == 0x4006, "bit 63 is not kept: %lx", (long)c->gpr[X86_RCX]);
	memset(flushes, 0, sizeof(flushes));
	c->gpr[X86_RAX] = 0x4fff;
	STEP("\x0f\x22\xd8");
	only("MOV CR3", VCPU_FLUSH_NONGLOBAL);
	check(c->cr3 == 0x4fff, "PCID fff");
	c->gpr[X86_RAX] = 1ull << 62 | 0x4000;
	FAULTS("another high bit", "\x0f\x22\xd8", X86_EXC_GP, 0);
	rig_long(0);
	c->gpr[X86_RAX] = KEEP | 0x4000;
	FAULTS("bit 63 without PCIDE", "\x0f\x22\xd8", X86_EXC_GP, 0);
}

/* What the soft TLB holds is of the PCID in use, or global. */
static void translations(void)
{
	rig_pcid(0);
	put64(0x6008, 0x7007);			/* a table for 2 MiB.. */
	put64(0x7000, 0x31063);
	put64(0x7008, 0x31163);			/* global */
	memcpy(at(0x9000), at(0x4000), 0x1000);	/* other tables */
	memcpy(at(0xa000), at(0x5000), 0x1000);
	memcpy(at(0xb000), at(0x6000), 0x1000);
	memcpy(at(0xc000), at(0x7000), 0x1000);
	put64(0x9000, 0xa007);
	put64(0xa000, 0xb007);
	put64(0xb008, 0xc007);
	put64(0xc000, 0x32063);
	put64(0xc008, 0x32163);
	put64(0x31000, 0x31);
	put64(0x32000, 0x32);
	c->gpr[X86_RDI] = 0x200000;
	c->gpr[X86_RBX] = 0x201000;
	STEP("\x48\x8b\x0f");			/* mov rcx, [rdi] */
	STEP("\x48\x8b\x13");			/* mov rdx, [rbx] */
	check(c->gpr[X86_RCX] == 0x31 && c->gpr[X86_RDX] == 0x31, "first reads");
	c->gpr[X86_RAX] = KEEP | 0x9000 | 6;
	STEP("\x0f\x22\xd8");
	STEP("\x48\x8b\x0f");
	STEP("\x48\x8b\x13");
	check(c->gpr[X86_RCX] == 0x32, "another PCID's is not used");
	check(c->gpr[X86_RDX] == 0x31, "the global one is");
}

static void invpcid(const char *what, uint64_t type, uint64_t pcid, uint64_t gva, int flush)
{
	uint64_t rip;

	rip = c->rip;
	memset(flushes, 0, sizeof(flushes));
	c->gpr[X86_RAX] = type;
	put64(DESC, pcid);
	put64(DESC + 8, gva);
	STEP("\x66\x0f\x38\x82\x06");		/* invpcid rax, [rsi] */
	if (flush < 0)
		entered(what, X86_EXC_GP, 0, rip);
	else
		check(c->rip == rip + 5, "%s: rip %lx", what, (long)c->rip);
	only(what, flush);
	c->rip = rip;
}

static void invpcids(void)
{
	rig_pcid(0);
	invpcid("a page", 0, 5, 0x1234567, VCPU_FLUSH_PAGE);
	check(flushed == 0x1234567, "its address");
	invpcid("a page of another", 0, 6, 0x1234567, VCPU_FLUSH_OTHER);
	check(flushed == 6, "its PCID");
	invpcid("this one", 1, 5, 1ull << 47, VCPU_FLUSH_NONGLOBAL);
	invpcid("another", 1, 0xfff, 0, VCPU_FLUSH_OTHER);
	invpcid("all", 2, 77, 1ull << 47, VCPU_FLUSH_ALL);
	invpcid("all but global ones", 3, 0, 0, VCPU_FLUSH_ALL);
	invpcid("no such type", 4, 5, 0, -1);
	rig_pcid(0);
	invpcid("type beyond 32 bits", 1ull << 32, 5, 0, -1);
	for (unsigned type = 0; type < 4; type++) {
		rig_pcid(0);
		invpcid("a PCID of 13 bits", type, 0x1000, 0, -1);
	}
	rig_pcid(0);
	invpcid("reserved", 1, 1ull << 63, 0, -1);
	rig_pcid(0);
	invpcid("not canonical", 0, 5, 1ull << 47, -1);
	for (unsigned type = 0; type < 2; type++) {
		rig_long(0);
		c->gpr[X86_RSI] = DESC;
		invpcid("a PCID without PCIDE", type, 1, 0, -1);
		rig_long(0);
		c->gpr[X86_RSI] = DESC;
		invpcid("none without PCIDE", type, 0, 0,
			type ? VCPU_FLUSH_NONGLOBAL : VCPU_FLUSH_PAGE);
	}
	invpcid("all without PCIDE", 2, 1, 0, VCPU_FLUSH_ALL);
}

static void invpcid_faults(void)
{
	rig_pcid(3);
	FAULTS("at CPL 3", "\x66\x0f\x38\x82\x06", X86_EXC_GP, 0);
	rig_pcid(0);
	c->gpr[X86_RAX] = 9;
	c->gpr[X86_RSI] = 0x400000;
	FAULTS("an absent page", "\x66\x0f\x38\x82\x06", X86_EXC_PF, 0);
	check(c->cr2 == 0x400000, "CR2");
	rig_pcid(0);
	c->gpr[X86_RSI] = (1ull << 47) - 8;
	FAULTS("across the lower half's end", "\x66\x0f\x38\x82\x06", X86_EXC_GP, 0);
	rig_pcid(0);
	FAULTS("LOCK", "\xf0\x66\x0f\x38\x82\x06", X86_EXC_UD, -1);
	rig_pcid(0);
	FAULTS("a register", "\x66\x0f\x38\x82\xc6", X86_EXC_UD, -1);
	rig_pcid(0);
	FAULTS("without 66", "\x0f\x38\x82\x06", X86_EXC_UD, -1);
}

/* A level has neither. */
static void not_offered(void)
{
	vm->model.level = 3;
	x86_model_update(&vm->model);
	rig_long(0);
	c->gpr[X86_RAX] = c->cr4 | X86_CR4_PCIDE;
	FAULTS("PCIDE where it is not offered", "\x0f\x22\xe0", X86_EXC_GP, 0);
	rig_long(0);
	c->gpr[X86_RSI] = DESC;
	FAULTS("INVPCID where it is not offered", "\x66\x0f\x38\x82\x06", X86_EXC_UD, -1);
}

int main(void)
{
	rig_new();
	v->on_tlb_flush = on_flush;
	if (x86_model_has(&vm->model, X86_F_PCID)) {
		enabling();
		mov_cr3();
		translations();
		if (x86_model_has(&vm->model, X86_F_INVPCID)) {
			invpcids();
			invpcid_faults();
		}
	}
	not_offered();
	v->on_tlb_flush = NULL;
	rig_free();
	return check_done();
}
