#ifndef BT_DIFF64_CODE_H
#define BT_DIFF64_CODE_H
/*
 * Random 64-bit code for bt_diff64: instructions from random bytes, steered to the
 * data pages of bt_rig.h, and sequences that random bytes hardly ever make.
 */
#include "bt_rig.h"
#include "x86/insn.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "native_rand.h"
#pragma GCC diagnostic pop

#define CODE_MAX	900u

/* Page tables, in 64-bit mode. */
#define PML4		0x4000u
#define PDPT		0x5000u
#define PD		0x6000u
#define PT		0x7000u
#define PML4_KERNEL	0x8000u		/* the same, but all pages are the supervisor's */
#define PDPT_OTHER	0x9000u		/* by which every page is its neighbour */
#define PD_OTHER	0xa000u
#define PT_OTHER	0xb000u

/* The same memory stands at each of these; windows hold all but the first. */
static const uint64_t views[] = { 0, 0xffff888040000000, 0x7f0040000000, 0x550040000000 };

static struct {
	const struct x86_model *model;
	uint8_t code[CODE_MAX + 64];
	unsigned len;
	uint64_t at;			/* where the code stands */
	unsigned off[64], n;		/* of each instruction */
	struct { unsigned at, insn; bool abs; } fix[64];	/* rel32, or address in imm64 */
	unsigned nfix;
	unsigned cpl;
	uint32_t cr3;
} now;

static void put8(unsigned b)
{
	now.code[now.len++] = (uint8_t)b;
}

static void put(const void *b, unsigned n)
{
	memcpy(now.code + now.len, b, n);
	now.len += n;
}

static void put32(uint32_t a)
{
	put(&a, 4);
}

static void mov_ri(unsigned reg, uint64_t val)
{
	put8(0x48 | reg >> 3), put8(0xb8 | (reg & 7));
	put(&val, 8);
}

static uint64_t view(void)
{
	return views[below(4)];
}

/* This must stay as it is: no address of the guest is its. */
static uint64_t host_word = 0x1122334455667788;

/* Around the ends of PML4 entries (with pages on both sides at 254, 255), of the halves
 * and of all, some of no page; those of this process with other upper bits. */
static uint64_t odd_place(void)
{
	static const uint64_t edge[] = { 0, 1ull << 39, 170ull << 39, 171ull << 39, 254ull << 39,
		255ull << 39, 255ull << 39, 1ull << 47, -(1ull << 47), -1ull << 48 | 273ull << 39,
		-1ull << 48 | 274ull << 39 };

	switch (below(8)) {
	case 0: return view() + RIG_DATA + below(0x10000) + (rnd() << 47);
	case 1: return rnd();
	case 2: return (uintptr_t)&host_word + (1ull << (47 + below(17)));
	case 3: return (uintptr_t)&host_word + (rnd() << 39);
	/* the first MiB of an entry that leads nowhere */
	case 4: return RIG_DATA + below(0x10000) + (1ull << (39 + below(7)));
	default: return edge[below(11)] + below(160) - 80;
	}
}

/* An address of data, often near the end of a page. */
static uint64_t place(void)
{
	uint64_t page = view() + RIG_DATA + below(16) * 4096;

	if (below(3))
		page = view() + RIG_DATA + (below(2) ? below(3) : 9 + below(7)) * 4096;
	switch (below(64)) {
	case 0: return page ^ 1ull << (47 + below(17));		/* not canonical, or not there */
	case 63: return odd_place();
	case 1 ... 16: return page + 4096 - below(40);
	case 17 ... 32: return page + below(4096);
	default: return page + below(256) * 16;
	}
}

static bool wanted(const struct x86_insn *in)
{
	if (in->priv == 1 || !x86_model_has(now.model, in->feat) || rig_another_result(in->op))
		return false;
	switch (in->op) {
	/* the pointers to the last x87 instruction */
	case X86_FXSAVE: case X86_FNSTENV: case X86_FNSAVE: case X86_XSAVE:
	case X86_XSAVEOPT: case X86_XSAVEC: case X86_XRSTOR: case X86_CPUID: case X86_RDPID:
	case X86_FXRSTOR: case X86_HLT: case X86_MONITOR: case X86_MWAIT:
	/* modes and tables stay */
	case X86_IRET: case X86_JMPF: case X86_CALLF: case X86_RETF: case X86_SGDT:
	case X86_SIDT: case X86_POPF: case X86_SYSENTER: case X86_SYSEXIT:
	case X86_SYSCALL: case X86_SYSRET: case X86_SWAPGS:
		return false;
	case X86_JMP: case X86_CALL: case X86_RET: case X86_JCC: case X86_LOOP:
	case X86_LOOPE: case X86_LOOPNE: case X86_JCXZ:
		return !below(16);	/* put_branch() makes better ones */
	case X86_SHLD: case X86_SHRD:
		return in->opsize >= 4;
	}
	return in->feat != X86_F_SHA || !x86_has_mem(in);	/* see interp_native */
}

static uint64_t seg_base(const struct x86_insn *in)
{
	return in->seg == X86_FS ? RIG_DATA : in->seg == X86_GS ? views[1] + RIG_DATA : 0;
}

/* Registers in front of a memory operand, so that it hits data. */
static void steer(struct x86_insn *in, uint8_t *b)
{
	uint64_t target = place() - seg_base(in), index = below(64);
	uint32_t rel;

	if (in->index != X86_NOREG && !in->vsib && in->index != in->base) {
		mov_ri(in->index, index);
		target -= index << in->scale;
	}
	if (in->base == X86_RIP) {
		rel = (uint32_t)(target - (now.at + now.len + in->len));
		memcpy(b + in->disp_off, &rel, 4);
	} else if (in->base != X86_NOREG) {
		mov_ri(in->base, target - (uint64_t)in->disp);
	} else if (in->disp_len >= 4) {
		memcpy(b + in->disp_off, &target, in->disp_len);
	}
}

static void put_random(void)
{
	uint8_t b[X86_INSN_MAX + 1];
	struct x86_insn in;
	int len;

	do {
		random_bytes(b, 64);
		len = x86_decode(&in, b, X86_INSN_MAX, 64);
	} while (len < 0 || !wanted(&in));
	if (x86_has_mem(&in) && below(16))
		steer(&in, b);
	switch (in.op) {
	case X86_MOVS: case X86_STOS: case X86_LODS: case X86_CMPS: case X86_SCAS:
	case X86_MASKMOVQ: case X86_MASKMOVDQU: case X86_INS: case X86_OUTS:
		mov_ri(X86_RSI, place());
		mov_ri(X86_RDI, place());
		mov_ri(X86_RCX, below(3) ? below(16) : below(5000));
		break;
	case X86_XLAT:
		mov_ri(X86_RBX, place());
		break;
	case X86_ENTER:
		b[in.imm_off + 1] = 0;
		b[in.imm_off + 2] &= 7;
		break;
	case X86_LEAVE:
		mov_ri(X86_RBP, place() & ~7ull);
		break;
	case X86_BT: case X86_BTS: case X86_BTR: case X86_BTC:
		if (in.o[1].kind == X86_O_GPR && in.o[1].reg != in.base && in.o[1].reg != in.index)
			mov_ri(in.o[1].reg, below(4096) - 2048ull);
		break;
	}
	put(b, (unsigned)len);
}

static void fix_up(unsigned insn, bool absolute)
{
	now.fix[now.nfix].at = now.len;
	now.fix[now.nfix].insn = insn;
	now.fix[now.nfix++].abs = absolute;
	put32(0);
	if (absolute)
		put32(0);
}

/* mov reg, the address of instruction to */
static void mov_target(unsigned reg, unsigned to)
{
	put8(0x48 | reg >> 3), put8(0xb8 | (reg & 7)), fix_up(to, true);
}

/* A transfer to one of the next instructions. */
static void put_branch(unsigned i)
{
	unsigned to = i + 1 + below(3), reg = below(16);

	if (reg == X86_RSP)
		reg = X86_RAX;
	switch (below(8)) {
	case 0:			/* jmp */
		put8(0xe9), fix_up(to, false);
		break;
	case 1:			/* call */
		put8(0xe8), fix_up(to, false);
		break;
	case 2:			/* push; ret, or ret n */
		mov_target(reg, to);
		if (reg >> 3)
			put8(0x41);
		put8(0x50 | (reg & 7));
		if (below(2))
			put8(0xc3);
		else
			put8(0xc2), put8(below(16) * 8), put8(0);
		break;
	case 3:			/* jmp or call reg */
		mov_target(reg, to);
		if (!below(16))
			mov_ri(reg, odd_place());
		if (reg >> 3)
			put8(0x41);
		put8(0xff), put8((below(2) ? 0xe0 : 0xd0) | (reg & 7));
		break;
	case 4: {		/* jmp or call [r15] */
		mov_target(reg == X86_R15 ? X86_RAX : reg, to);
		mov_ri(X86_R15, view() + RIG_DATA + below(3) * 4096 + below(1020) * 4);
		if (reg == X86_R15)
			reg = X86_RAX;
		put8(0x49 | (reg >> 3) << 2), put8(0x89), put8(0x07 | (reg & 7) << 3);
		put8(0x41), put8(0xff), put8(below(2) ? 0x27 : 0x17);
		break;
	}
	case 5:			/* jrcxz, loop over a nop */
		put8(0xe0 + below(4)), put8(1), put8(0x90);
		break;
	default:
		put8(0x0f), put8(0x80 | below(16)), fix_up(to, false);
	}
}

/* IRETQ to the next instruction, as Linux serializes. */
static void put_iret(unsigned i)
{
	put8(0x8c), put8(0xd0);				/* mov eax, ss */
	put8(0x50), put8(0x54);				/* push rax; push rsp */
	put8(0x48), put8(0x83), put8(0x04), put8(0x24), put8(8);	/* add qword [rsp], 8 */
	put8(0x9c);					/* pushfq */
	put8(0x8c), put8(0xc8), put8(0x50);		/* mov eax, cs; push rax */
	mov_target(X86_RCX, i + 1);
	put8(0x51), put8(0x48), put8(0xcf);		/* push rcx; iretq */
}

static void put_flags(void)
{
	static const uint8_t cpl0[] = { 0x9c, 0xfa, 0xfb, 0xfc, 0x9c, 0x9f, 0xfd };
	static const uint8_t cpl3[] = { 0x9c, 0x9e, 0xf5, 0xfc, 0x9c, 0x9f, 0xfd };

	if (!now.cpl && !below(3)) {		/* clac, stac */
		put8(0x0f), put8(0x01), put8(0xca | below(2));
		return;
	}
	if (below(4)) {
		put8((now.cpl ? cpl3 : cpl0)[below(7)]);
		return;
	}
	/* push flags; popf */
	put8(0x68);
	put32((uint32_t)rnd() & (X86_FL_ARITH | (below(4) ? X86_FL_IF : X86_FL_IF | X86_FL_DF |
				 X86_FL_NT | X86_FL_AC | X86_FL_ID)));
	put8(0x9d);
}

/* A store into the immediate of the mov behind it, at one of the places. */
static void put_patch(void)
{
	uint64_t v = view(), to;
	unsigned n = below(3) ? 0 : 8;

	to = v + (now.at & 0xfffff) + now.len + 10 + 6 + n + 1 + below(4);
	mov_ri(X86_R15, to);
	put8(0x41), put8(0xc7), put8(0x07), put32((uint32_t)rnd());	/* mov dword [r15] */
	/* 7 bytes: the immediate begins one later than computed */
	while (n--)
		put8(0x90);
	put8(0xb8 | below(4)), put32((uint32_t)rnd());
	put32(0x90909090);
}

/* REP MOVS or STOS, also over itself. */
static void put_rep(void)
{
	static const uint8_t op[] = { 0xa4, 0xa5, 0xaa, 0xab };
	uint64_t from = place();

	mov_ri(X86_RSI, from);
	mov_ri(X86_RDI, below(4) ? place() : from + below(64) - 32);
	mov_ri(X86_RCX, below(3) ? below(16) : below(1200));
	if (!below(4))
		put8(0x66);
	put8(below(8) ? 0xf3 : 0xf2);
	if (below(2))
		put8(0x48);
	put8(op[below(4)]);
}

/* An instruction on registers that sets all flags, of every size. */
static void put_compare(unsigned rex, unsigned reg, unsigned other)
{
	static const uint8_t op[] = { 0x39, 0x31, 0x01, 0x29, 0x21, 0x85 };
	unsigned byte = below(4) == 0, word = !byte && below(4) == 0;

	if (word)
		put8(0x66);
	if (below(4))
		put8(rex & (byte || word || below(2) ? 0xf7 : 0xff));
	switch (below(3)) {
	case 0:
		put8(op[below(sizeof(op))] - byte), put8(0xc0 | reg << 3 | other);
		break;
	case 1:			/* an immediate */
		put8(byte ? 0x80 : 0x83), put8(0xc0 | (below(2) ? 7 : reg) << 3 | other);
		put8((uint8_t)rnd());
		break;
	default:		/* test: an immediate as wide as the operand */
		put8(0xf7 - byte), put8(0xc0 | other);
		for (unsigned n = byte ? 1 : word ? 2 : 4; n--;)
			put8((uint8_t)rnd());
	}
}

/* Frequent forms, so that units look like compiled code. */
static void put_usual(void)
{
	unsigned reg = below(16), other = below(16);
	unsigned rex = 0x48 | (reg >> 3) << 2 | other >> 3;

	switch (below(10)) {
	case 8:			/* shl, shr, sar reg, n */
		put8(0x48 | other >> 3), put8(0xc1);
		put8(0xe0 | below(4) << 3 | (other == 4 ? 0 : other & 7));
		put8(below(64));
		break;
	case 9:			/* mov reg, [place], behind what sets flags */
		put_compare(rex, reg & 7, other == 4 ? 0 : other & 7);
		reg = below(16) & ~5u;
		mov_ri(reg, place());
		put8(0x48 | (other >> 3) << 2 | reg >> 3), put8(below(2) ? 0x8b : 0x89);
		put8((reg & 7) | (other == 4 ? 0 : other & 7) << 3);
		break;
	case 0:
		if (reg >> 3)
			put8(0x41);
		put8(0x50 | (reg & 7));
		break;
	case 1:
		if (reg == X86_RSP)
			reg = X86_RAX;
		if (reg >> 3)
			put8(0x41);
		put8(0x58 | (reg & 7));
		break;
	case 2: case 3:		/* mov reg, [rsp + n] and back */
		put8(0x48 | (reg >> 3) << 2), put8(below(2) ? 0x8b : 0x89);
		put8(0x44 | (reg & 7) << 3), put8(0x24), put8(below(16) * 8);
		break;
	case 4:			/* lea */
		put8(rex), put8(0x8d), put8(0x80 | (reg & 7) << 3 | ((other & 7) == 4 ? 5 : other & 7));
		put32((uint32_t)value());
		break;
	case 5:
		put8(rex & (below(2) ? 0xff : 0xf7)), put8(below(8) * 8 | 1 | below(2) << 1);
		put8(0xc0 | (reg & 7) << 3 | (other & 7));
		break;
	case 6:
		put8(0x48 | other >> 3), put8(0x83);
		put8(0xc0 | below(8) << 3 | (other == 4 ? 0 : other & 7)), put8((uint8_t)rnd());
		break;
	default:		/* push [place] */
		mov_ri(X86_R15, place());
		put8(0x41), put8(0xff), put8(0x37);
	}
}

/* op reg, [base + disp8] or [base + index * scale + disp8] */
static void put_access(const uint8_t *op, unsigned n, unsigned reg, unsigned base, unsigned index)
{
	bool indexed = index != X86_RSP;

	put8(0x48 | (reg >> 3) << 2 | (indexed ? index >> 3 : 0) << 1 | base >> 3);
	put(op, n);
	if (indexed || (base & 7) == 4) {
		put8(0x44 | (reg & 7) << 3);
		put8(below(4) << 6 | (index & 7) << 3 | (base & 7));
	} else {
		put8(0x40 | (reg & 7) << 3 | (base & 7));
	}
	put8((uint8_t)rnd());
}

static unsigned loop_reg(void)
{
	unsigned reg = below(16);

	return reg == X86_RSP || reg == X86_RCX ? X86_RBX : reg;
}

/* A loop that is one unit, with pointers that move. */
static void put_loop(void)
{
	static const uint8_t load[][2] = { { 0x8b }, { 0x03 }, { 0x33 }, { 0x3b }, { 0x0f, 0xb6 },
					   { 0x0f, 0x10 }, { 0x63 } };
	static const uint8_t store[][2] = { { 0x89 }, { 0x01 }, { 0x88 }, { 0x0f, 0x11 } };
	unsigned ptr[3] = { loop_reg(), loop_reg(), loop_reg() }, n = 1 + below(6), top;

	for (unsigned i = 0; i < 3; i++)
		mov_ri(ptr[i], i < 2 || below(2) ? place() : below(64));
	mov_ri(X86_RCX, 1 + (below(3) ? below(20) : below(600)));
	top = now.len;
	while (n--) {
		unsigned p = ptr[below(2)], reg = loop_reg(), k = below(12);
		const uint8_t *op = k < 4 ? load[below(7)] : store[below(4)];

		if (reg == ptr[0] || reg == ptr[1])	/* no address that a window's slot shows elsewhere */
			op = load[4], k = k < 4 ? k : 4;
		if (k < 6) {
			put_access(op, 1 + (op[0] == 0x0f), reg, p,
				   below(4) || ptr[2] == X86_RSP ? X86_RSP : ptr[2]);
		} else if (k < 8) {	/* add, sub */
			put8(0x48 | p >> 3), put8(0x83), put8((below(2) ? 0xc0 : 0xe8) | (p & 7));
			put8(below(2) ? 8 : (uint8_t)rnd());
		} else if (k == 8) {	/* inc, dec */
			put8(0x48 | p >> 3), put8(0xff), put8((below(2) ? 0xc0 : 0xc8) | (p & 7));
		} else if (k == 9) {	/* movzx the index, byte */
			put8(0x40 | (ptr[2] >> 3) << 2 | reg >> 3), put8(0x0f), put8(0xb6);
			put8(0xc0 | (ptr[2] & 7) << 3 | (reg & 7));
		} else if (k == 10) {	/* mov */
			put8(0x48 | (reg >> 3) << 2 | ptr[2] >> 3), put8(0x89);
			put8(0xc0 | (reg & 7) << 3 | (ptr[2] & 7));
		} else {		/* lea p, [p + n] */
			put8(0x48 | (p >> 3) << 2 | p >> 3), put8(0x8d);
			put8(0x84 | (p & 7) << 3), put8(0x20 | (p & 7)), put32(below(5000));
		}
	}
	put8(0x48), put8(0xff), put8(0xc9);			/* dec rcx */
	put8(0x0f), put8(0x85), put32(top - (now.len + 4));	/* jnz top */
}

/* An entry of the PML4 that led nowhere begins to: what is read there is not what other
 * addresses of the same slot of a window show. */
static void put_entry(void)
{
	static const uint16_t at[] = { 1, 2, 64, 128, 169, 171, 253, 256, 272, 274, 402, 510 };
	uint64_t n = at[below(sizeof(at) / sizeof(at[0]))];

	put_usual();
	mov_ri(X86_R15, (below(2) ? views[2] : 0) + now.cr3 + 8 * n);
	mov_ri(X86_RAX, PDPT_OTHER | 0x27);	/* A: it may be written again */
	put8(0x49), put8(0x89), put8(0x07);		/* mov [r15], rax */
	mov_ri(X86_R15, (n >= 256 ? 0xffff000000000000 : 0) | n << 39 | 0x40000000 |
	       (RIG_DATA + (rnd() & 0xfff8)));
	put8(0x49), put8(0x8b), put8(0x07);		/* mov rax, [r15] */
	if (below(2))
		put8(0x49), put8(0x01), put8(0x07);	/* add [r15], rax */
}

static void code_make(void)
{
	unsigned n = 1 + below(below(4) ? 12 : 30), loops = below(6) ? 0 : below(3) ? 3 : 500;
	uint32_t counter = RIG_DATA + 15 * 4096 + 64;

	now.len = now.n = now.nfix = 0;
	if (loops) {
		put8(0xc7), put8(0x04), put8(0x25);
		put32(counter), put32(loops);
	}
	for (unsigned i = 0; i < n && now.len < CODE_MAX - 100; i++) {
		now.off[now.n++] = now.len;
		switch (below(12)) {
		case 0:
			if (below(8))
				put_branch(i);
			else
				put_iret(i);
			break;
		case 1: put_flags(); break;
		case 2:
			if (below(4))
				put_usual();
			else
				put_loop();
			break;
		case 3: put_usual(); break;
		case 4:
			if (below(4))
				put_usual();
			else
				put_rep();
			break;
		case 5:
			if (!below(4)) {
				put_patch();
				break;
			}
			if (!below(4)) {
				put_entry();
				break;
			}
			/* fall through */
		default: put_random();
		}
	}
	for (unsigned i = 0; i < 5; i++)
		now.off[now.n++] = now.len;
	if (loops) {
		put8(0xff), put8(0x0c), put8(0x25), put32(counter);	/* dec [counter] */
		put8(0x0f), put8(0x85), put32(11 - (now.len + 4));	/* jnz: behind the mov */
	}
	if (now.cpl)
		put8(0xcd), put8(0x80);		/* int 0x80 */
	else
		put8(0xf4);			/* hlt */
	for (unsigned i = 0; i < now.nfix; i++) {
		uint32_t to = now.off[now.fix[i].insn < now.n ? now.fix[i].insn : now.n - 1];

		if (now.fix[i].abs)
			le64_put(now.code + now.fix[i].at, now.at + to);
		else
			le32_put(now.code + now.fix[i].at, to - (now.fix[i].at + 4));
	}
}

#endif
