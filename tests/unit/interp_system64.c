/* Long mode, paging control, MSRs, system calls, XSAVE, debug registers.
 * Expectations: SDM vol. 2 and 3, AMD APM vol. 2 and 3. */
#include "sysrig.h"

static unsigned flushes[VCPU_FLUSH_OTHER + 1];

static void on_flush(struct vcpu *w, uint64_t gva, int what)
{
	flushes[what]++;
}

static void enter_long_mode(void)
{
	rig_protected(0);
	put64(0x4000, 0x5007);
	put64(0x5000, 0xe7 | 0x80);		/* 1 GiB */
	c->gpr[X86_RCX] = 0xc0000080;
	c->gpr[X86_RAX] = X86_EFER_LME;
	c->gpr[X86_RDX] = 0;
	STEP("\x0f\x30");
	check(c->efer == X86_EFER_LME, "EFER.LME");
	c->gpr[X86_RAX] = c->cr0 | X86_CR0_PG;
	FAULTS("PG without PAE", "\x0f\x22\xc0", X86_EXC_GP, 0);
	c->rip = R_CODE;
	c->gpr[X86_RAX] = X86_CR4_PAE;
	STEP("\x0f\x22\xe0");
	c->gpr[X86_RAX] = 0x4000;
	STEP("\x0f\x22\xd8");
	c->gpr[X86_RAX] = c->cr0 | X86_CR0_PG;
	STEP("\x0f\x22\xc0");
	check(c->long_mode && (c->efer & X86_EFER_LMA) && c->code_bits == 32,
	      "compatibility mode");
	STEP("\xea\0\x90\0\0\x70\0");
	check(c->code_bits == 64 && c->rip == 0x9000, "64-bit mode: rip %lx", (long)c->rip);
	c->gpr[X86_RAX] = c->cr0 & ~(uint64_t)X86_CR0_PG;
	for (unsigned i = 0; i < 256; i++) {
		gate_at(R_IDT + 16 * i, 14, 0, SEL_CODE64, R_HANDLER(i), 0);
		put64(R_IDT + 16 * i + 8, 0);
	}
	c->idtr.limit = 0xfff;
	FAULTS("PG off in 64-bit mode", "\x0f\x22\xc0", X86_EXC_GP, 0);
	rig_long(0);
	c->gpr[X86_RAX] = 0;
	FAULTS("PAE off in long mode", "\x0f\x22\xe0", X86_EXC_GP, 0);
	rig_long(0);
	c->gpr[X86_RAX] = 1ull << 63 | 0x4000;
	FAULTS("reserved CR3 bit", "\x0f\x22\xd8", X86_EXC_GP, 0);
	rig_long(0);
	c->gpr[X86_RCX] = 0xc0000080;
	c->gpr[X86_RAX] = X86_EFER_SCE;
	FAULTS("LME off while paging", "\x0f\x30", X86_EXC_GP, 0);
}

static void control_registers(void)
{
	static const struct { const char *what; uint64_t val; } bad[] = {
		{ "PG without PE", X86_CR0_PG }, { "NW without CD", X86_CR0_NW | 1 },
	};

	for (unsigned i = 0; i < 2; i++) {
		rig_protected(0);
		c->gpr[X86_RAX] = bad[i].val;
		FAULTS(bad[i].what, "\x0f\x22\xc0", X86_EXC_GP, 0);
	}
	rig_protected(0);
	c->gpr[X86_RAX] = X86_CR4_VME;
	FAULTS("CR4.VME is not offered", "\x0f\x22\xe0", X86_EXC_GP, 0);
	rig_protected(0);
	FAULTS("CR1", "\x0f\x22\xc8", X86_EXC_UD, -1);
	rig_protected(3);
	FAULTS("MOV CR0 at CPL 3", "\x0f\x20\xc0", X86_EXC_GP, 0);
	rig_protected(3);
	FAULTS("CLTS at CPL 3", "\x0f\x06", X86_EXC_GP, 0);
	rig_protected(0);
	c->gpr[X86_RAX] = 0;
	STEP("\x0f\x01\xf0");
	check(c->cr0 & X86_CR0_PE, "LMSW cannot clear PE");
	c->gpr[X86_RAX] = 0xf;
	STEP("\x0f\x01\xf0");
	check((c->cr0 & 0xe) == 0xe, "LMSW sets MP EM TS");
	STEP("\x0f\x06");
	check(!(c->cr0 & X86_CR0_TS), "CLTS");
	c->gpr[X86_RAX] = 0x10;
	STEP("\x0f\x01\xe0");
	check(c->gpr[X86_RAX] == c->cr0, "SMSW r32 gives all of CR0");
}

static void events64(void)
{
	rig_long(3);
	c->gpr[X86_RSP] = 0x22008;
	STEP("\xcd\x80");
	entered("INT 80", 0x80, -1, R_CODE + 2);
	check(c->cpl == 0 && c->gpr[X86_RSP] == R_STACK_TSS - 40, "five words");
	check(get64(R_STACK_TSS - 8) == SEL_DATA3 && get64(R_STACK_TSS - 16) == 0x22008,
	      "SS:RSP");
	check(c->seg[X86_SS].sel == 0 && (c->seg[X86_SS].attr & X86_SEG_NULL), "null SS");
	STEP("\x48\xcf");
	check(c->cpl == 3 && c->rip == R_CODE + 2 && c->gpr[X86_RSP] == 0x22008 &&
	      c->seg[X86_SS].sel == SEL_DATA3, "IRETQ");
}

static void same_stack(void)
{
	rig_long(0);
	c->gpr[X86_RSP] = 0x1fff9;
	STEP("\x0f\x0b");
	entered("#UD", X86_EXC_UD, -1, R_CODE);
	check(c->gpr[X86_RSP] == 0x1fff0 - 40, "aligned to 16: %lx", (long)c->gpr[X86_RSP]);
	check(get64(0x1fff0 - 16) == 0x1fff9, "the old RSP");
	rig_long(0);
	put32(R_IDT + 16 * 6 + 4, get32(R_IDT + 16 * 6 + 4) | 1);
	STEP("\x0f\x0b");
	check(c->gpr[X86_RSP] == 0x1f000 - 40, "IST 1: %lx", (long)c->gpr[X86_RSP]);
	rig_long(0);
	c->gpr[X86_RSP] = 0x8000000000000000;
	check(STEP("\x50") == INTERP_SHUTDOWN, "no stack for its #SS either");
	rig_long(0);
	put32(R_IDT + 16 * 12 + 4, get32(R_IDT + 16 * 12 + 4) | 1);
	c->gpr[X86_RSP] = 1ull << 63;
	FAULTS("push to a bad address", "\x50", X86_EXC_SS, 0);
	rig_long(0);
	c->gpr[X86_RAX] = 0x800000000000;
	FAULTS("load from a bad address", "\x48\x8b\x00", X86_EXC_GP, 0);
	rig_long(3);
	c->gpr[X86_RAX] = 0x600000;
	FAULTS("page fault", "\x48\x89\x00", X86_EXC_PF, 6);
	check(c->cr2 == 0x600000, "CR2");
}

static void compatibility(void)
{
	rig_long(0);
	c->gpr[X86_RSP] = R_STACK0 - 40;
	put64(R_STACK0 - 40, R_CODE + 0x100);
	put64(R_STACK0 - 32, SEL_CODE3);
	put64(R_STACK0 - 24, 2);
	put64(R_STACK0 - 16, R_STACK3);
	put64(R_STACK0 - 8, SEL_DATA3);
	STEP("\x48\xcf");
	check(c->code_bits == 32 && c->cpl == 3 && c->stack_bytes == 4, "IRETQ to 32-bit");
	STEP("\xcd\x80");
	check(c->code_bits == 64 && c->rip == R_HANDLER(0x80), "INT from 32-bit");
	rig_long(0);
	FAULTS("JMP to a TSS", "\xff\x2c\x25\x00\x00\x03\x00", X86_EXC_GP, 0);
	rig_long(0);
	c->rflags |= X86_FL_NT;
	FAULTS("IRET with NT", "\x48\xcf", X86_EXC_GP, 0);
}

/* Outside legacy mode AMD's processors have neither: APM vol. 3, SYSENTER. */
static void sysenter_long(void)
{
	bool amd = vm->model.amd;

	vm->model.amd = true;
	rig_long(3);
	c->sysenter_cs = SEL_CODE0;
	FAULTS("SYSENTER in long mode, AMD", "\x0f\x34", X86_EXC_UD, -1);
	rig_long(0);
	c->sysenter_cs = SEL_CODE0;
	FAULTS("SYSEXIT in long mode, AMD", "\x0f\x35", X86_EXC_UD, -1);
	vm->model.amd = false;
	rig_long(3);
	c->sysenter_cs = SEL_CODE0;
	c->sysenter_eip = 0x9800;
	STEP("\x0f\x34");
	check(c->rip == 0x9800 && c->cpl == 0 && c->code_bits == 64, "SYSENTER in long mode, Intel");
	vm->model.amd = amd;
}

static void syscalls(void)
{
	rig_long(3);
	c->star = (uint64_t)SEL_CODE0 << 32 | 0x13ull << 48;
	c->lstar = 0x400000001000;
	c->sfmask = X86_FL_IF | X86_FL_DF;
	c->rflags |= X86_FL_IF | X86_FL_DF | X86_FL_CF;
	STEP("\x0f\x05");
	check(c->rip == c->lstar && c->cpl == 0 && c->gpr[X86_RCX] == R_CODE + 2 &&
	      c->gpr[X86_R11] == 0x603 && c->rflags == 3, "SYSCALL");
	check(c->seg[X86_CS].sel == SEL_CODE0 && c->seg[X86_SS].sel == SEL_CODE0 + 8 &&
	      c->code_bits == 64, "its segments");
	c->rip = R_CODE + 0x200;
	c->gpr[X86_R11] = 0x603 | X86_FL_RF | X86_FL_VM;
	STEP("\x48\x0f\x07");
	check(c->rip == R_CODE + 2 && c->cpl == 3 && c->seg[X86_CS].sel == 0x23 &&
	      c->seg[X86_SS].sel == 0x1b && c->rflags == 0x603, "SYSRETQ: %lx",
	      (long)c->rflags);
	rig_long(0);
	c->star = 0x13ull << 48;
	c->gpr[X86_RCX] = R_CODE;
	c->gpr[X86_R11] = 2;
	STEP("\x0f\x07");
	check(c->code_bits == 32 && c->seg[X86_CS].sel == 0x13, "SYSRET to 32-bit");
	rig_long(3);
	c->efer &= ~1ull;
	FAULTS("SYSCALL switched off", "\x0f\x05", X86_EXC_UD, -1);

	rig_protected(3);
	FAULTS("SYSENTER without CS", "\x0f\x34", X86_EXC_GP, 0);
	rig_protected(3);
	c->sysenter_cs = SEL_CODE0;
	c->sysenter_esp = 0x21800;
	c->sysenter_eip = 0x9800;
	c->rflags |= X86_FL_IF;
	STEP("\x0f\x34");
	check(c->rip == 0x9800 && c->gpr[X86_RSP] == 0x21800 && c->cpl == 0 &&
	      c->seg[X86_SS].sel == SEL_DATA0 && !(c->rflags & X86_FL_IF), "SYSENTER");
	c->gpr[X86_RDX] = 0x9900;
	c->gpr[X86_RCX] = 0x22000;
	STEP("\x0f\x35");
	check(c->rip == 0x9900 && c->gpr[X86_RSP] == 0x22000 && c->cpl == 3 &&
	      c->seg[X86_CS].sel == SEL_CODE3 && c->seg[X86_SS].sel == SEL_DATA3, "SYSEXIT");
	sysenter_long();
}

/* TF counts as SYSCALL and SYSRET leave it: where the mask clears it the step ends
 * behind SYSRET. */
static void syscall_stepped(void)
{
	static const uint64_t masks[] = { X86_FL_TF, 0 };

	for (unsigned i = 0; i < 2; i++) {
		rig_long(3);
		c->star = (uint64_t)SEL_CODE0 << 32 | 0x13ull << 48;
		c->lstar = R_CODE + 0x100;
		c->sfmask = masks[i];
		c->dr[6] = 0xffff0ff0;
		c->rflags |= X86_FL_TF;
		STEP("\x0f\x05");
		if (!masks[i]) {
			entered("SYSCALL with TF left", X86_EXC_DB, -1, R_CODE + 0x100);
			continue;
		}
		check(c->rip == c->lstar && c->cpl == 0 && !(c->dr[6] & X86_DR6_BS),
		      "SYSCALL with TF masked");
		STEP("\x48\x0f\x07");
		entered("SYSRET to TF", X86_EXC_DB, -1, R_CODE + 2);
		check(c->cpl == 0 && (c->dr[6] & X86_DR6_BS), "its cause");
	}
	/* A kernel that is stepped itself: not into the program. */
	rig_long(0);
	c->star = 0x13ull << 48;
	c->gpr[X86_RCX] = R_CODE + 0x200;
	c->gpr[X86_R11] = X86_FL_FIXED;
	c->rflags |= X86_FL_TF;
	STEP("\x48\x0f\x07");
	check(c->rip == R_CODE + 0x200 && c->cpl == 3, "SYSRET that clears TF");
}

/* AMD APM vol. 3, SYSCALL and SYSRET; SDM vol. 2. */
static void syscall_vendors(void)
{
	bool amd = vm->model.amd;
	uint64_t bad = 1ull << 62 | R_CODE;

	vm->model.amd = false;
	rig_long(0);
	c->gpr[X86_RCX] = bad;
	FAULTS("Intel: SYSRETQ to a bad address", "\x48\x0f\x07", X86_EXC_GP, 0);
	for (unsigned i = 0; i < 2; i++) {	/* SYSCALL, SYSRET */
		rig_long(i ? 0 : 3);
		rig_seg(X86_CS, i ? SEL_CODE0 : SEL_CODE3, i ? 0 : 3, 11);
		x86_cpu_update_mode(c);
		if (i)
			FAULTS("Intel: SYSRET in compatibility mode", "\x0f\x07", X86_EXC_UD, -1);
		else
			FAULTS("Intel: SYSCALL in compatibility mode", "\x0f\x05", X86_EXC_UD, -1);
	}
	vm->model.amd = true;
	rig_long(0);
	c->star = 0x83ull << 48;
	c->gpr[X86_RCX] = bad;
	c->gpr[X86_R11] = 2;
	STEP("\x48\x0f\x07");
	check(c->rip == bad && c->cpl == 3, "AMD: SYSRETQ to a bad address");
	check(interp_step(v) == INTERP_OK, "its fetch");
	entered("AMD: its fetch", X86_EXC_GP, 0, (uint32_t)bad);
	check(get64(c->gpr[X86_RSP] + 8) == bad && (get64(c->gpr[X86_RSP] + 16) & 3) == 3,
	      "AMD: at CPL 3, there");
	rig_long(3);
	rig_seg(X86_CS, SEL_CODE3, 3, 11);
	x86_cpu_update_mode(c);
	c->star = (uint64_t)SEL_CODE64 << 32;
	c->cstar = 0x9a00;
	STEP("\x0f\x05");
	check(c->rip == 0x9a00 && c->cpl == 0 && c->code_bits == 64 &&
	      c->gpr[X86_RCX] == R_CODE + 2, "AMD: SYSCALL of compatibility mode");
	vm->model.amd = amd;
}

static void msr(const char *what, uint32_t idx, uint64_t val, bool ok)
{
	rig_long(0);
	c->gpr[X86_RCX] = idx;
	c->gpr[X86_RAX] = (uint32_t)val;
	c->gpr[X86_RDX] = val >> 32;
	STEP("\x0f\x30");
	if (!ok) {
		entered(what, X86_EXC_GP, 0, R_CODE);
		return;
	}
	check(c->rip == R_CODE + 2, "WRMSR %s", what);
	c->gpr[X86_RAX] = c->gpr[X86_RDX] = ~0ull;
	STEP("\x0f\x32");
	check((c->gpr[X86_RDX] << 32 | c->gpr[X86_RAX]) == val, "%s reads %lx:%lx", what,
	      (long)c->gpr[X86_RDX], (long)c->gpr[X86_RAX]);
}

static void msrs(void)
{
	msr("STAR", 0xc0000081, 0x1234567890abcdef, true);
	msr("LSTAR", 0xc0000082, 0xffff800000001000, true);
	msr("LSTAR not canonical", 0xc0000082, 0x800000001000, false);
	msr("FS base", 0xc0000100, 0x123456789000, true);
	check(c->seg[X86_FS].base == 0x123456789000, "the FS base itself");
	msr("PAT", 0x277, 0x0007040600070106, true);
	msr("PAT type 2", 0x277, 0x0207040600070106, false);
	msr("MTRR mask", 0x201, 0xffc0000800, true);
	msr("MTRR mask too wide", 0x201, 1ull << X86_PHYS_BITS, false);
	msr("MTRR default", 0x2ff, 0xc06, true);
	msr("EFER reserved", 0xc0000080, 1 << 12, false);
	msr("none", 0x12345, 0, false);
	msr("AMD's performance counter", 0xc0010004, 0, vm->model.amd);
	msr("Intel's performance counter", 0xc1, 0, !vm->model.amd);
	msr("TSC_AUX", 0xc0000103, 7, true);
	STEP("\x0f\x01\xf9");
	check(c->gpr[X86_RCX] == 7, "RDTSCP");
	for (unsigned amd = 0; amd < 2; amd++) {
		bool host = vm->model.amd;

		vm->model.amd = amd;
		rig_long(0);
		c->gpr[X86_RCX] = 0x10a;
		STEP("\x0f\x32");
		check(amd ? c->rip == R_HANDLER(X86_EXC_GP) : c->gpr[X86_RAX] == 1,
		      "IA32_ARCH_CAPABILITIES, %s: %lx", amd ? "AMD" : "Intel",
		      (long)c->gpr[X86_RAX]);
		msr("ARCH_CAPABILITIES cannot be written", 0x10a, 1, false);
		vm->model.amd = host;
	}
	rig_protected(3);
	FAULTS("RDMSR at CPL 3", "\x0f\x32", X86_EXC_GP, 0);
	rig_protected(3);
	c->cr4 |= X86_CR4_TSD;
	FAULTS("RDTSC with TSD", "\x0f\x31", X86_EXC_GP, 0);
}

static void gs_and_bases(void)
{
	rig_long(0);
	c->seg[X86_GS].base = 0x1111;
	c->kernel_gs_base = 0x2222;
	STEP("\x0f\x01\xf8");
	check(c->seg[X86_GS].base == 0x2222 && c->kernel_gs_base == 0x1111, "SWAPGS");
	rig_long(3);
	FAULTS("SWAPGS at CPL 3", "\x0f\x01\xf8", X86_EXC_GP, 0);
	if (!x86_model_has(&vm->model, X86_F_FSGSBASE))
		return;
	rig_long(3);
	FAULTS("WRFSBASE switched off", "\xf3\x48\x0f\xae\xd0", X86_EXC_UD, -1);
	rig_long(3);
	c->cr4 |= X86_CR4_FSGSBASE;
	c->gpr[X86_RAX] = 0x7fff12345678;
	STEP("\xf3\x48\x0f\xae\xd0");
	check(c->seg[X86_FS].base == 0x7fff12345678, "WRFSBASE");
	STEP("\xf3\x0f\xae\xc3");
	check(c->gpr[X86_RBX] == 0x12345678, "RDFSBASE, 32 bits");
}

static void tlb_rules(void)
{
	rig_long(0);
	put64(0x6008, 0x7007);			/* a table for 2 MiB.. */
	put64(0x7000, 0x30063);
	put64(0x7008, 0x31163);			/* global */
	put64(0x30000, 0x30);
	put64(0x31000, 0x31);
	put64(0x32000, 0x32);
	c->cr4 |= X86_CR4_PGE;
	c->gpr[X86_RSI] = 0x200000;
	c->gpr[X86_RDI] = 0x201000;
	STEP("\x48\x8b\x06");
	STEP("\x48\x8b\x1f");
	check(c->gpr[X86_RAX] == 0x30 && c->gpr[X86_RBX] == 0x31, "first reads");
	v->on_tlb_flush = on_flush;
	memset(flushes, 0, sizeof(flushes));
	put64(0x7000, 0x32063);
	put64(0x7008, 0x32163);
	c->gpr[X86_RDX] = 0x4000;
	STEP("\x0f\x22\xda");			/* mov cr3, rdx */
	STEP("\x48\x8b\x06");
	STEP("\x48\x8b\x1f");
	check(c->gpr[X86_RAX] == 0x32, "MOV CR3 drops");
	check(c->gpr[X86_RBX] == 0x31, "but not the global one");
	STEP("\x0f\x01\x3f");			/* invlpg [rdi] */
	STEP("\x48\x8b\x1f");
	check(c->gpr[X86_RBX] == 0x32, "INVLPG does");
	check(flushes[VCPU_FLUSH_NONGLOBAL] == 1 && flushes[VCPU_FLUSH_PAGE] == 1 &&
	      !flushes[VCPU_FLUSH_ALL], "who was told");
	put64(0x7008, 0x31163);
	c->gpr[X86_RAX] = c->cr4 & ~(uint64_t)X86_CR4_PGE;
	STEP("\x0f\x22\xe0");
	STEP("\x48\x8b\x1f");
	check(c->gpr[X86_RBX] == 0x31 && flushes[VCPU_FLUSH_ALL] == 1, "MOV CR4 drops all");
	v->on_tlb_flush = NULL;
	/* Write protection follows CR0.WP at once. */
	put64(0x7000, 0x30021);
	c->gpr[X86_RAX] = c->cr0 & ~(uint64_t)X86_CR0_WP;
	STEP("\x0f\x22\xc0");
	STEP("\x0f\x01\x3e");
	c->rip = R_CODE;
	STEP("\x48\x89\x06");
	check(c->rip == R_CODE + 3 && (get64(0x7000) & 0x40), "CPL 0 writes without WP");
	c->gpr[X86_RAX] = c->cr0 | X86_CR0_WP;
	STEP("\x0f\x22\xc0");
	c->rip = R_CODE;
	FAULTS("and not with it", "\x48\x89\x06", X86_EXC_PF, 3);
	/* A store across two pages writes nothing when the second faults. */
	rig_long(3);
	put64(0x6008, 0x7007);
	put64(0x7000, 0x30067);
	put64(0x30ff8, 0);
	c->gpr[X86_RSI] = 0x200ffc;
	c->gpr[X86_RAX] = ~0ull;
	FAULTS("page-crossing store", "\x48\x89\x06", X86_EXC_PF, 6);
	check(c->cr2 == 0x201000 && get64(0x30ff8) == 0, "nothing written: cr2 %lx", (long)c->cr2);
}

static void smap(void)
{
	if (!x86_model_has(&vm->model, X86_F_SMAP))
		return;
	/* All rig pages are user pages: give the kernel its own for code and tables. */
	rig_long(0);
	put64(0x6000, 0x7007);
	for (unsigned i = 0; i < 512; i++)
		put64(0x7000 + 8 * i, i << 12 | 0x63);
	c->cr4 |= X86_CR4_SMAP;
	tlb_flush(&v->tlb);
	c->gpr[X86_RSI] = 0x200000;
	FAULTS("SMAP", "\x48\x8b\x06", X86_EXC_PF, 1);
	c->rip = R_CODE;
	STEP("\x0f\x01\xcb");
	check(c->rflags & X86_FL_AC, "STAC");
	c->rip = R_CODE;
	STEP("\x48\x8b\x06");
	check(c->rip == R_CODE + 3, "AC lifts it");
	STEP("\x0f\x01\xca");
	c->rip = R_CODE;
	FAULTS("CLAC", "\x48\x8b\x06", X86_EXC_PF, 1);
	rig_long(3);
	FAULTS("STAC at CPL 3", "\x0f\x01\xcb", X86_EXC_UD, -1);
}

static void debug_registers(void)
{
	rig_protected(0);
	c->dr[7] |= 1 << 13;
	FAULTS("general detect", "\x0f\x23\xc0", X86_EXC_DB, -1);
	check((c->dr[6] & 1 << 13) && !(c->dr[7] & 1 << 13), "BD, GD");
	rig_protected(0);
	c->gpr[X86_RAX] = 0;
	STEP("\x0f\x23\xf0");
	check(c->dr[6] == 0xffff0ff0, "DR6 reserved bits");
	STEP("\x0f\x23\xf8");
	check(c->dr[7] == 0x400, "DR7 reserved bits");
	c->gpr[X86_RAX] = R_CODE;
	STEP("\x0f\x23\xc0");
	c->gpr[X86_RAX] = 0x401;
	STEP("\x0f\x23\xf8");
	c->rip = R_CODE;
	FAULTS("instruction breakpoint", "\x90", X86_EXC_DB, -1);
	check((c->dr[6] & 15) == 1, "B0");
	check(!(get32(c->gpr[X86_RSP] + 8) & X86_FL_RF), "RF as it was");
	rig_protected(0);
	c->rflags |= X86_FL_TF;
	STEP("\x90");
	entered("single step", X86_EXC_DB, -1, R_CODE + 1);
	check(c->dr[6] & 1 << 14, "BS");
	check(get32(c->gpr[X86_RSP] + 8) & X86_FL_TF && !(c->rflags & X86_FL_TF), "TF");
	rig_protected(0);
	c->dr[1] = 0x30004;
	c->dr[7] |= 1 << 2 | 1 << 20 | 3 << 22;
	STEP("\xa3\x00\x00\x03\x00");
	check(c->rip == R_CODE + 5, "beside the watchpoint");
	STEP("\xa3\x06\x00\x03\x00");
	entered("data breakpoint", X86_EXC_DB, -1, R_CODE + 10);
	check((c->dr[6] & 15) == 2, "B1");
	rig_protected(0);
	c->cr4 |= X86_CR4_DE;
	c->dr[2] = 0x81;
	c->dr[7] |= 1 << 4 | 2 << 24;
	STEP("\xe6\x80");
	check(c->rip == R_CODE + 2, "beside the port");
	STEP("\xe6\x81");
	entered("I/O breakpoint", X86_EXC_DB, -1, R_CODE + 4);
	check((c->dr[6] & 15) == 4, "B2");
	rig_protected(0);
	c->cr4 |= X86_CR4_DE;
	FAULTS("DR4 with DE", "\x0f\x21\xe0", X86_EXC_UD, -1);
	rig_long(0);
	c->gpr[X86_RAX] = 1ull << 32;
	FAULTS("DR7 upper half", "\x0f\x23\xf8", X86_EXC_GP, 0);
}

static void xsave(void)
{
	if (!(vm->model.xcr0_max & 4))
		return;
	rig_long(0);
	FAULTS("XSAVE without OSXSAVE", "\x0f\xae\x26", X86_EXC_UD, -1);
	rig_long(0);
	c->gpr[X86_RAX] = X86_CR4_PAE | X86_CR4_OSXSAVE | X86_CR4_OSFXSR;
	STEP("\x0f\x22\xe0");
	c->gpr[X86_RCX] = c->gpr[X86_RDX] = 0;
	c->gpr[X86_RAX] = 5;
	FAULTS("XSETBV: AVX without SSE", "\x0f\x01\xd1", X86_EXC_GP, 0);
	c->rip = R_CODE;
	c->gpr[X86_RAX] = 7;
	STEP("\x0f\x01\xd1");
	check(c->xcr0 == 7, "XSETBV");
	c->xsave[160] = 0x11;			/* XMM0 */
	c->xsave[576] = 0x22;			/* its upper half */
	c->xsave[512] = 7;
	c->gpr[X86_RSI] = 0x30000;
	memset(at(0x30000), 0xcc, 1024);
	put64(0x30000 + 512, 0);
	STEP("\x48\x0f\xae\x26");		/* xsave64 */
	check(*at(0x300a0) == 0x11 && *at(0x30000 + 576) == 0x22 && get64(0x30200) == 7,
	      "XSAVE");
	check(*at(0x30000 + 416) == 0xcc && *at(0x30000 + 520) == 0xcc, "no more than that");
	c->xsave[160] = c->xsave[576] = 0;
	FAULTS("XRSTOR of a bad header", "\x48\x0f\xae\x2e", X86_EXC_GP, 0);
	memset(at(0x30208), 0, 56);
	memset(at(0x30020), 0xcc, 128);
	c->rip = R_CODE;
	STEP("\x48\x0f\xae\x2e");
	check(c->xsave[160] == 0x11 && c->xsave[576] == 0x22, "XRSTOR");
	check(c->xsave[32 + 9] == 0xcc && c->xsave[32 + 10] == 0 && c->xsave[159] == 0,
	      "ten bytes of each x87 register");
	put64(0x30200, 3);
	STEP("\x48\x0f\xae\x2e");
	check(c->xsave[576] == 0 && !(c->xsave[512] & 4), "XRSTOR initializes AVX");
	put32(0x30018, 0xffff0000);
	c->rip = R_CODE;
	FAULTS("reserved MXCSR", "\x48\x0f\xae\x2e", X86_EXC_GP, 0);
	c->rip = R_CODE;
	put32(0x30018, 0x1f80);
	c->gpr[X86_RSI] = 0x30008;
	FAULTS("alignment", "\x48\x0f\xae\x26", X86_EXC_GP, 0);
	c->rip = R_CODE;
	c->cr0 |= X86_CR0_TS;
	FAULTS("TS", "\x48\x0f\xae\x26", X86_EXC_NM, -1);

	rig_long(0);				/* FXSAVE */
	c->gpr[X86_RSI] = 0x30000;
	memset(at(0x30000), 0xcc, 512);
	c->xsave[160 + 15 * 16] = 0x77;
	memset(c->xsave + 6, 0x55, 18);		/* where the host executed x87 code */
	STEP("\x0f\xae\x06");
	check(get32(0x30018) == 0x1f80 && get32(0x3001c) == 0xffff &&
	      *at(0x30000 + 160 + 15 * 16) == 0x77 && *at(0x30000 + 416) == 0xcc, "FXSAVE");
	check(get64(0x30008) == 0 && get64(0x30010) == 0, "no pointers of the host");
	put32(0x30018, 0x1fc0);
	STEP("\x0f\xae\x0e");
	check(le32_get(c->xsave + 24) == 0x1fc0, "FXRSTOR");
}

int main(void)
{
	rig_new();
	enter_long_mode();
	control_registers();
	same_stack();
	events64();
	compatibility();
	syscalls();
	syscall_stepped();
	syscall_vendors();
	msrs();
	gs_and_bases();
	tlb_rules();
	smap();
	debug_registers();
	xsave();
	rig_free();
	return check_done();
}
