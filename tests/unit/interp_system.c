/* Protected and V86 mode: segments, gates, interrupts, tasks, flags.
 * Expectations: the pseudo-code of SDM vol. 2. */
#include "sysrig.h"

/* MOV sreg, AX with AX = sel; vector 0: succeeds. */
static void load(const char *what, unsigned cpl, unsigned seg, uint16_t sel,
		 unsigned vector)
{
	char code[2] = { (char)0x8e, (char)(0xc0 | seg << 3) };

	rig_protected(cpl);
	c->gpr[X86_RAX] = sel;
	step(code, 2);
	if (vector)
		entered(what, vector, sel & 0xfffc, R_CODE);
	else
		check(c->rip == R_CODE + 2 && c->seg[seg].sel == sel, "%s: rip %lx", what,
		      (long)c->rip);
}

static void segment_loads(void)
{
	load("DS data", 0, X86_DS, SEL_DATA0, 0);
	load("DS null", 3, X86_DS, 3, 0);
	check(c->seg[X86_DS].attr & X86_SEG_NULL, "null is unusable");
	FAULTS("use of null DS", "\x8b\x05\x00\x00\x00\x00", X86_EXC_GP, 0);
	load("DS of CPL 0 from CPL 3", 3, X86_DS, SEL_DATA0, X86_EXC_GP);
	load("DS with RPL 3 of DPL 0", 0, X86_DS, SEL_DATA0 | 3, X86_EXC_GP);
	load("DS conforming code", 3, X86_DS, SEL_CONFORM | 3, 0);
	load("DS execute-only", 3, X86_DS, SEL_EXECONLY, X86_EXC_GP);
	load("DS TSS", 0, X86_DS, SEL_TSS, X86_EXC_GP);
	load("DS absent", 0, X86_DS, SEL_ABSENT, X86_EXC_NP);
	load("DS beyond the GDT", 0, X86_DS, SEL_LAST, X86_EXC_GP);
	load("DS without LDT", 0, X86_DS, 4, X86_EXC_GP);
	load("SS data", 0, X86_SS, SEL_DATA0, 0);
	check(c->inhibit, "MOV SS holds interrupts off");
	load("SS null", 0, X86_SS, 0, X86_EXC_GP);
	load("SS wrong RPL", 0, X86_SS, SEL_DATA3, X86_EXC_GP);
	load("SS code", 0, X86_SS, SEL_CODE0, X86_EXC_GP);
	load("SS absent", 0, X86_SS, SEL_ABSENT, X86_EXC_SS);

	rig_protected(0);
	gdt(SEL_DATA3, 0x1234567, 0x12345, 0x40f2);	/* not accessed, bytes */
	c->gpr[X86_RAX] = SEL_DATA3;
	STEP("\x8e\xe0");
	check(c->seg[X86_FS].base == 0x1234567 && c->seg[X86_FS].limit == 0x12345,
	      "base %lx limit %x", (long)c->seg[X86_FS].base, c->seg[X86_FS].limit);
	check(at(R_GDT + 0x20 + 5)[0] == 0xf3, "accessed bit in memory");
}

static void fill_tss2(uint32_t eflags)
{
	put32(R_TSS2 + 28, 0x7000);
	put32(R_TSS2 + 32, 0x9100);
	put32(R_TSS2 + 36, eflags);
	put32(R_TSS2 + 40 + 4 * X86_RBX, 0xbbbbbbbb);
	put32(R_TSS2 + 40 + 4 * X86_RSP, 0x23000);
	for (unsigned i = 0; i < X86_SEGS; i++)
		put16(R_TSS2 + 72 + 4 * i, SEL_DATA0);
	put16(R_TSS2 + 72 + 4 * X86_CS, SEL_CODE0);
}

static void limits(void)
{
	rig_protected(3);
	c->gpr[X86_RAX] = SEL_DOWN | 3;
	STEP("\x8e\xd8");
	FAULTS("expand-down below", "\xa1\xfc\x0f\x00\x00", X86_EXC_GP, 0);
	rig_protected(3);
	c->gpr[X86_RAX] = SEL_DOWN | 3;
	STEP("\x8e\xd8");
	STEP("\xa1\x00\x10\x00\x00");
	check(c->rip == R_CODE + 7, "expand-down above: rip %lx", (long)c->rip);
	rig_protected(0);
	c->seg[X86_SS].limit = R_STACK0 - 5;
	fill_tss2(2);
	gate_at(R_IDT + 8 * X86_EXC_SS, 5, 0, SEL_TSS2, 0, 0);
	STEP("\x50");
	check(c->rip == 0x9100 && get32(R_TSS + 32) == R_CODE, "push beyond SS: rip %lx",
	      (long)c->rip);
}

static void interrupts(void)
{
	rig_protected(3);
	c->rflags |= X86_FL_IF | X86_FL_CF | X86_FL_TF;
	c->rflags &= ~(uint64_t)X86_FL_TF;
	STEP("\xcd\x80");
	entered("INT 80 from CPL 3", 0x80, -1, R_CODE + 2);
	check(c->cpl == 0 && c->gpr[X86_RSP] == R_STACK_TSS - 20, "stack of the TSS");
	check(get32(R_STACK_TSS - 4) == SEL_DATA3 && get32(R_STACK_TSS - 8) == R_STACK3 &&
	      get32(R_STACK_TSS - 12) == (X86_FL_FIXED | X86_FL_IF | X86_FL_CF) &&
	      get32(R_STACK_TSS - 16) == SEL_CODE3, "its frame");
	check(!(c->rflags & X86_FL_IF), "interrupt gate clears IF");
	c->rip = R_CODE + 0x100;
	STEP("\xcf");
	check(c->cpl == 3 && c->rip == R_CODE + 2 && c->gpr[X86_RSP] == R_STACK3 &&
	      c->seg[X86_SS].sel == SEL_DATA3 && (c->rflags & X86_FL_IF), "IRET");

	rig_protected(3);
	FAULTS("INT of a DPL 0 gate", "\xcd\x30", X86_EXC_GP, 0x30 * 8 + 2);
	rig_protected(0);
	gate_at(R_IDT + 8 * 0x31, 15, 0, SEL_CODE0, R_HANDLER(0x31), 0);
	c->rflags |= X86_FL_IF;
	STEP("\xcd\x31");
	check(c->rflags & X86_FL_IF, "trap gate keeps IF");
	check(c->gpr[X86_RSP] == R_STACK0 - 12, "same stack");
	rig_protected(0);
	put32(R_IDT + 8 * 0x32 + 4, 0x0e00);
	FAULTS("gate not present", "\xcd\x32", X86_EXC_NP, 0x32 * 8 + 2);
	rig_protected(0);
	c->idtr.limit = 0x20 * 8 - 1;
	FAULTS("beyond the IDT", "\xcd\x32", X86_EXC_GP, 0x32 * 8 + 2);

	rig_protected(3);	/* an external one at a bad gate: EXT is set */
	put32(R_IDT + 8 * 0x32 + 4, 0x0e00);
	interp_interrupt(v, 0x32);
	entered("external", X86_EXC_NP, 0x32 * 8 + 3, R_CODE);
	rig_protected(0);
	c->seg[X86_DS].limit = 0;
	STEP("\xa1\x00\x00\x00\x00");
	check(get32(c->gpr[X86_RSP] + 12) & X86_FL_RF, "a fault pushes RF");
}

static void double_faults(void)
{
	rig_protected(0);
	put32(R_IDT + 8 * X86_EXC_GP + 4, 0x0e00);	/* #GP -> #NP: contributory */
	c->gpr[X86_RAX] = SEL_TSS;
	FAULTS("#GP, then #NP", "\x8e\xd8", X86_EXC_DF, 0);
	rig_protected(0);
	put32(R_IDT + 8 * X86_EXC_GP + 4, 0x0e00);
	put32(R_IDT + 8 * X86_EXC_DF + 4, 0x0e00);
	c->gpr[X86_RAX] = SEL_TSS;
	check(STEP("\x8e\xd8") == INTERP_SHUTDOWN, "triple fault");
	rig_protected(0);				/* benign first: no #DF */
	put32(R_IDT + 8 * X86_EXC_UD + 4, 0x0e00);
	STEP("\x0f\x0b");
	entered("#UD, then #NP", X86_EXC_NP, X86_EXC_UD * 8 + 3, R_CODE);
}

static void call_gates(void)
{
	rig_protected(3);
	put32(R_STACK3 - 8, 0x11111111);
	put32(R_STACK3 - 4, 0x22222222);
	c->gpr[X86_RSP] = R_STACK3 - 8;
	STEP("\x9a\0\0\0\0\x3b\0");		/* call SEL_GATE | 3 */
	check(c->cpl == 0 && c->rip == 0x9000 && c->seg[X86_CS].sel == SEL_CODE0,
	      "through the gate: rip %lx", (long)c->rip);
	check(c->gpr[X86_RSP] == R_STACK_TSS - 24, "sp %lx", (long)c->gpr[X86_RSP]);
	check(get32(R_STACK_TSS - 24) == R_CODE + 7 && get32(R_STACK_TSS - 20) == SEL_CODE3 &&
	      get32(R_STACK_TSS - 16) == 0x11111111 &&
	      get32(R_STACK_TSS - 12) == 0x22222222 &&
	      get32(R_STACK_TSS - 8) == R_STACK3 - 8 &&
	      get32(R_STACK_TSS - 4) == SEL_DATA3, "parameters are copied");
	rig_seg(X86_ES, SEL_DATA0, 0, 3);
	STEP("\xca\x08\x00");			/* retf 8 */
	check(c->cpl == 3 && c->rip == R_CODE + 7 && c->gpr[X86_RSP] == R_STACK3,
	      "RETF 8: rip %lx sp %lx", (long)c->rip, (long)c->gpr[X86_RSP]);
	check(c->seg[X86_ES].attr & X86_SEG_NULL, "ES of CPL 0 is dropped");
	check(!(c->seg[X86_DS].attr & X86_SEG_NULL), "DS of CPL 3 stays");

	rig_protected(3);
	FAULTS("JMP through a gate inwards", "\xea\0\0\0\0\x3b\0", X86_EXC_GP, SEL_CODE0);
	rig_protected(3);
	gate_at(R_GDT + SEL_GATE, 12, 0, SEL_CODE0, 0x9000, 0);
	FAULTS("gate of DPL 0", "\x9a\0\0\0\0\x3b\0", X86_EXC_GP, SEL_GATE);
	rig_protected(3);		/* no stack for the #TS either */
	put16(R_TSS + 8, SEL_DATA3);
	check(STEP("\x9a\0\0\0\0\x3b\0") == INTERP_SHUTDOWN, "bad SS0");
	rig_protected(3);
	put16(R_TSS + 8, SEL_DATA3);
	fill_tss2(2);
	gate_at(R_IDT + 8 * X86_EXC_TS, 5, 0, SEL_TSS2, 0, 0);
	STEP("\x9a\0\0\0\0\x3b\0");
	check(c->rip == 0x9100 && get32(0x22ffc) == (SEL_DATA3 & ~3), "#TS with SS0: %x",
	      get32(0x22ffc));
}

static void far_jumps(void)
{
	rig_protected(0);
	STEP("\xea\x00\x90\0\0\x58\0");
	check(c->code_bits == 16 && c->rip == 0x9000, "to 16-bit code");
	rig_protected(0);
	FAULTS("jmp null", "\xea\0\0\0\0\0\0", X86_EXC_GP, 0);
	rig_protected(0);
	FAULTS("jmp data", "\xea\0\0\0\0\x10\0", X86_EXC_GP, SEL_DATA0);
	rig_protected(0);
	FAULTS("jmp to outer code", "\xea\0\0\0\0\x1b\0", X86_EXC_GP, 0x18);
	rig_protected(3);
	STEP("\xea\0\x90\0\0\x53\0");
	check(c->cpl == 3 && c->seg[X86_CS].sel == (SEL_CONFORM | 3), "conforming keeps CPL");
	rig_protected(0);
	FAULTS("beyond the limit", "\xea\0\0\x01\0\x58\0", X86_EXC_GP, 0);
}

static void tasks(void)
{
	rig_protected(0);
	fill_tss2(2);
	c->gpr[X86_RCX] = 0xcccc;
	STEP("\x9a\0\0\0\0\x30\0");			/* call TSS2 */
	check(c->rip == 0x9100 && c->gpr[X86_RBX] == 0xbbbbbbbb &&
	      c->gpr[X86_RSP] == 0x23000 && c->tr.sel == SEL_TSS2, "call: new task");
	check((c->rflags & X86_FL_NT) && (c->cr0 & X86_CR0_TS), "NT, TS");
	check(get16(R_TSS2) == SEL_TSS, "back link");
	check(get32(R_TSS + 32) == R_CODE + 7 && get32(R_TSS + 44) == 0xcccc,
	      "old task saved");
	check(at(R_GDT + SEL_TSS2 + 5)[0] == 0xeb && at(R_GDT + SEL_TSS + 5)[0] == 0x8b,
	      "both busy");
	c->gpr[X86_RCX] = 0;
	STEP("\xcf");					/* nested IRET */
	check(c->rip == R_CODE + 7 && c->gpr[X86_RCX] == 0xcccc &&
	      c->tr.sel == SEL_TSS && !(c->rflags & X86_FL_NT), "IRET: back");
	check(at(R_GDT + SEL_TSS2 + 5)[0] == 0xe9, "no more busy");
	check(!(get32(R_TSS2 + 36) & X86_FL_NT), "NT cleared in what is saved");

	rig_protected(0);
	fill_tss2(2);
	STEP("\xea\0\0\0\0\x30\0");			/* jmp TSS2 */
	check(c->tr.sel == SEL_TSS2 && !(c->rflags & X86_FL_NT), "jmp");
	check(at(R_GDT + SEL_TSS + 5)[0] == 0x89, "old one no more busy");
	rig_protected(0);
	FAULTS("jmp to the busy TSS", "\xea\0\0\0\0\x28\0", X86_EXC_GP, SEL_TSS);

	rig_protected(0);				/* #DF through a task gate */
	fill_tss2(2);
	put32(R_IDT + 8 * X86_EXC_GP + 4, 0);
	gate_at(R_IDT + 8 * X86_EXC_DF, 5, 0, SEL_TSS2, 0, 0);
	c->gpr[X86_RAX] = SEL_TSS;
	STEP("\x8e\xd8");
	check(c->rip == 0x9100 && c->gpr[X86_RSP] == 0x23000 - 4 && get32(0x22ffc) == 0,
	      "#DF task: rip %lx", (long)c->rip);
	check(get32(R_TSS + 32) == R_CODE, "the old EIP is the faulting one");

	rig_protected(0);			/* a fault of the new task is its own */
	fill_tss2(2);
	put16(R_TSS2 + 72 + 4 * X86_GS, SEL_ABSENT);
	STEP("\xea\0\0\0\0\x30\0");
	entered("segment of the new task", X86_EXC_NP, SEL_ABSENT, 0x9100);
	check(c->tr.sel == SEL_TSS2, "in the new task");
}

static void enter_v86(unsigned iopl)
{
	static const uint32_t frame[] = { 0x100, 0x800, 0, 0xfff0, 0x900,
		0xa00, 0xb00, 0xc00, 0xd00 };

	rig_protected(0);
	c->gpr[X86_RSP] = R_STACK0 - sizeof(frame);
	for (unsigned i = 0; i < 9; i++)
		put32(c->gpr[X86_RSP] + 4 * i, frame[i]);
	put32(c->gpr[X86_RSP] + 8, X86_FL_VM | X86_FL_IF | iopl << 12 | 2);
	STEP("\xcf");
}

static void v86(void)
{
	enter_v86(3);
	check(c->cpl == 3 && c->code_bits == 16 && (c->rflags & X86_FL_VM), "in V86");
	check(c->seg[X86_CS].base == 0x8000 && c->rip == 0x100 &&
	      c->seg[X86_ES].sel == 0xa00 && c->seg[X86_DS].sel == 0xb00 &&
	      c->seg[X86_FS].sel == 0xc00 && c->seg[X86_GS].sel == 0xd00, "segments");
	c->gpr[X86_RAX] = 0x1234;
	STEP("\x8e\xd8");
	check(c->seg[X86_DS].base == 0x12340, "MOV DS as in real mode");
	STEP("\xcd\x80");
	check(c->cpl == 0 && !(c->rflags & X86_FL_VM) && c->rip == R_HANDLER(0x80) &&
	      c->gpr[X86_RSP] == R_STACK_TSS - 36, "INT leaves V86: sp %lx",
	      (long)c->gpr[X86_RSP]);
	check(get32(R_STACK_TSS - 4) == 0xd00 && get32(R_STACK_TSS - 16) == 0xa00 &&
	      get32(R_STACK_TSS - 12) == 0x1234 && get32(R_STACK_TSS - 20) == 0x900 &&
	      get32(R_STACK_TSS - 28) & X86_FL_VM, "its frame");
	check(c->seg[X86_DS].attr & X86_SEG_NULL, "data segments are null");
	c->rip = R_CODE;
	STEP("\xcf");
	check((c->rflags & X86_FL_VM) && c->seg[X86_CS].sel == 0x800 && c->rip == 0x104,
	      "and back");

	enter_v86(0);
	FAULTS("INT with IOPL 0", "\xcd\x80", X86_EXC_GP, 0);
	enter_v86(0);
	FAULTS("CLI with IOPL 0", "\xfa", X86_EXC_GP, 0);
	enter_v86(0);
	FAULTS("PUSHF with IOPL 0", "\x9c", X86_EXC_GP, 0);
	enter_v86(0);
	FAULTS("IRET with IOPL 0", "\xcf", X86_EXC_GP, 0);
	enter_v86(3);
	FAULTS("LAR", "\x0f\x02\xc0", X86_EXC_UD, -1);
	enter_v86(3);
	FAULTS("HLT", "\xf4", X86_EXC_GP, 0);
	enter_v86(3);
	FAULTS("MOV CR0", "\x0f\x20\xc0", X86_EXC_GP, 0);
	enter_v86(3);
	put32(0x9000 + 0xffee, 0);
	c->gpr[X86_RSP] = 0xffee;
	put16(0x9000 + 0xffee, 0x7202);
	STEP("\x9d");
	check((c->rflags & X86_FL_IOPL) == X86_FL_IOPL && (c->rflags & X86_FL_NT) &&
	      (c->rflags & X86_FL_VM), "POPF leaves IOPL and VM: %lx", (long)c->rflags);
}

/* POPFD of val at (cpl, iopl) gives flags. */
static void popf(unsigned cpl, unsigned iopl, uint32_t val, uint32_t flags)
{
	rig_protected(cpl);
	c->rflags |= iopl << 12;
	put32(c->gpr[X86_RSP] - 4, val);
	c->gpr[X86_RSP] -= 4;
	STEP("\x9d");
	check(c->rflags == flags, "POPF %x at CPL %u IOPL %u: %lx, not %x", val, cpl,
	      iopl, (long)c->rflags, flags);
}

static void flags(void)
{
	popf(0, 0, 0xffffffff, 0x247fd7);
	popf(3, 0, 0xffffffff, 0x244dd7);
	popf(3, 3, 0xffffffff, 0x247fd7);
	popf(3, 3, 0, X86_FL_IOPL | 2);
	popf(0, 3, 0, 2);
	rig_protected(3);
	FAULTS("STI", "\xfb", X86_EXC_GP, 0);
	rig_protected(3);
	c->rflags |= X86_FL_IOPL;
	STEP("\xfb");
	check((c->rflags & X86_FL_IF) && c->inhibit, "STI with IOPL 3, its shadow");
	STEP("\xfb");
	check(!c->inhibit, "no shadow of a second STI");
	rig_protected(0);
	c->rflags |= X86_FL_VM * 0 | X86_FL_RF;
	STEP("\x9c");
	check(!(get32(R_STACK0 - 4) & X86_FL_RF), "PUSHF hides RF");
}

static void queries(void)
{
	static const struct { uint16_t sel; bool lar, lsl, verr, verw; } t[] = {
		{ SEL_CODE3, 1, 1, 1, 0 }, { SEL_DATA3, 1, 1, 1, 1 },
		{ SEL_DATA0, 0, 0, 0, 0 }, { SEL_CONFORM, 1, 1, 1, 0 },
		{ SEL_EXECONLY, 1, 1, 0, 0 }, { SEL_GATE, 1, 0, 0, 0 },
		{ SEL_TSS2, 1, 1, 0, 0 }, { SEL_TASKGATE, 1, 0, 0, 0 },
		{ 0, 0, 0, 0, 0 }, { SEL_LAST, 0, 0, 0, 0 },
	};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		rig_protected(3);
		c->gpr[X86_RAX] = t[i].sel;
		STEP("\x0f\x02\xc8");
		check(!!(c->rflags & X86_FL_ZF) == t[i].lar, "LAR %x", t[i].sel);
		STEP("\x0f\x03\xd0");
		check(!!(c->rflags & X86_FL_ZF) == t[i].lsl, "LSL %x", t[i].sel);
		STEP("\x0f\x00\xe0");
		check(!!(c->rflags & X86_FL_ZF) == t[i].verr, "VERR %x", t[i].sel);
		STEP("\x0f\x00\xe8");
		check(!!(c->rflags & X86_FL_ZF) == t[i].verw, "VERW %x", t[i].sel);
	}
	rig_protected(0);
	c->gpr[X86_RAX] = SEL_DATA3;
	STEP("\x0f\x02\xc8");
	check(c->gpr[X86_RCX] == 0xc0f300, "LAR value %lx", (long)c->gpr[X86_RCX]);
	STEP("\x0f\x03\xd0");
	check(c->gpr[X86_RDX] == 0xffffffff, "LSL value %lx", (long)c->gpr[X86_RDX]);
	c->gpr[X86_RAX] = 0x10;
	c->gpr[X86_RCX] = 0x23;
	STEP("\x63\xc8");
	check(c->gpr[X86_RAX] == 0x13 && (c->rflags & X86_FL_ZF), "ARPL");
}

static uint8_t port_val;
static uint64_t port_read(void *ptr, uint64_t off, unsigned size) { return 0x5a; }
static void port_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	port_val = (uint8_t)val;
}

static void ports(void)
{
	rig_protected(3);
	put16(R_TSS + 0x68 + 8, 0xffff);	/* ports 0x40 to 0x4f are forbidden */
	STEP("\xe4\x60");
	check((c->gpr[X86_RAX] & 0xff) == 0x5a, "IN by the bitmap");
	FAULTS("IN of a set bit", "\xe4\x40", X86_EXC_GP, 0);
	rig_protected(3);
	c->gpr[X86_RDX] = 0x3f;
	put16(R_TSS + 0x68 + 8, 0xffff);
	FAULTS("IN of two ports, one forbidden", "\x66\xed", X86_EXC_GP, 0);
	rig_protected(3);
	c->gpr[X86_RDX] = 0x8 * (0x90 - 0x68);
	FAULTS("beyond the TSS", "\xec", X86_EXC_GP, 0);
	rig_protected(3);
	c->rflags |= X86_FL_IOPL;
	c->gpr[X86_RDX] = 0x60;
	c->gpr[X86_RCX] = 3;
	c->gpr[X86_RDI] = 0x30000;
	STEP("\xf3\x6c");
	check(get32(0x30000) == 0x5a5a5a && c->gpr[X86_RDI] == 0x30003 &&
	      c->gpr[X86_RCX] == 0, "REP INSB");
	c->gpr[X86_RSI] = 0x30002;
	c->rflags |= X86_FL_DF;
	*at(0x30002) = 0x77;
	STEP("\x6e");
	check(port_val == 0x77 && c->gpr[X86_RSI] == 0x30001, "OUTSB backwards");
}

static void dtr(void)
{
	rig_protected(0);
	c->gdtr = (struct x86_dtr){ 0xff001000, 0x123 };
	STEP("\x0f\x01\x05\x00\x00\x03\x00");
	check(get16(0x30000) == 0x123 && get32(0x30002) == 0xff001000, "SGDT");
	STEP("\x66\x0f\x01\x1d\x00\x00\x03\x00");
	check(c->idtr.limit == 0x123 && c->idtr.base == 0x1000, "LIDT, 16-bit: 24 bits");
	rig_protected(3);
	STEP("\x0f\x01\xe0");
	check(c->gpr[X86_RAX] == c->cr0, "SMSW at CPL 3");
	c->cr4 |= X86_CR4_UMIP;
	FAULTS("UMIP", "\x0f\x01\xe0", X86_EXC_GP, 0);
	rig_protected(0);
	c->gpr[X86_RAX] = SEL_LDT;
	STEP("\x0f\x00\xd0");
	check(c->ldtr.base == R_LDT && c->ldtr.limit == 0x1f, "LLDT");
	put32(R_LDT + 8, 0x0000ffff);
	put32(R_LDT + 12, 0x00cf9300);
	c->gpr[X86_RAX] = SEL_LDTSEG;
	STEP("\x8e\xd8");
	check(c->seg[X86_DS].sel == SEL_LDTSEG && c->rip == R_CODE + 5, "DS in the LDT");
	c->gpr[X86_RAX] = SEL_TSS;
	FAULTS("LTR of a busy TSS", "\x0f\x00\xd8", X86_EXC_GP, SEL_TSS);
}

static void real_mode(void)
{
	rig_protected(0);
	c->gpr[X86_RAX] = c->cr0 & ~1ull;
	STEP("\x0f\x22\xc0");
	check(!(c->cr0 & X86_CR0_PE) && c->code_bits == 32, "CS keeps its size");
	STEP("\x66\xea\x00\x01\x00\x08");
	check(c->seg[X86_CS].base == 0x8000 && c->rip == 0x100, "far jump");
	c->seg[X86_CS].attr &= ~X86_SEG_DB;
	c->seg[X86_SS].attr &= ~X86_SEG_DB;
	c->seg[X86_SS].base = 0x20000;
	c->gpr[X86_RSP] = 0x100;
	c->idtr = (struct x86_dtr){ 0, 0x3ff };
	put32(4 * 0x21, 0x09000123);
	c->rflags |= X86_FL_IF;
	STEP("\xcd\x21");
	check(c->seg[X86_CS].sel == 0x900 && c->rip == 0x123 && c->gpr[X86_RSP] == 0xfa &&
	      !(c->rflags & X86_FL_IF), "INT through the IVT");
	check(get16(0x200fa) == 0x102 && get16(0x200fc) == 0x800, "its frame");
	STEP("\xcf");
	check(c->seg[X86_CS].sel == 0x800 && c->rip == 0x102 && (c->rflags & X86_FL_IF),
	      "IRET");
}

static void nmi_and_requests(void)
{
	enum vcpu_exit exit = VCPU_EXIT_ERROR;

	rig_protected(0);
	atomic_store(&v->req, VCPU_REQ_NMI);
	c->inhibit = true;
	check(!interp_service_requests(v, &exit) && c->rip == R_CODE, "shadow");
	c->inhibit = false;
	c->halted = true;
	check(!interp_service_requests(v, &exit) && c->rip == R_HANDLER(2) &&
	      !c->halted && c->nmi_masked, "NMI ends HLT");
	atomic_store(&v->req, VCPU_REQ_NMI);
	check(!interp_service_requests(v, &exit) && c->rip == R_HANDLER(2), "masked");
	STEP("\xcf");
	check(!c->nmi_masked, "IRET unmasks");
	atomic_store(&v->req, VCPU_REQ_STOP);
	check(interp_service_requests(v, &exit) && exit == VCPU_EXIT_STOP &&
	      atomic_load(&v->req) == VCPU_REQ_STOP, "STOP stays set");
	atomic_store(&v->req, 0);
}

int main(void)
{
	struct err e;

	rig_new();
	bus_add_pio(&vm->bus, (struct bus_range){ .base = 0x60, .len = 1,
		.read = port_read, .write = port_write, .name = "test" }, &e);
	segment_loads();
	limits();
	interrupts();
	double_faults();
	call_gates();
	far_jumps();
	tasks();
	v86();
	flags();
	queries();
	ports();
	dtr();
	real_mode();
	nmi_and_requests();
	rig_free();
	return check_done();
}
