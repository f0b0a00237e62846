#ifndef BT_DIFF_CODE_H
#define BT_DIFF_CODE_H
/*
 * Random code for bt_diff: instructions from random bytes, steered to the data pages
 * of bt_rig.h, and sequences that random bytes hardly ever make.
 */
#include "bt_rig.h"
#include "x86/insn.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "native_rand.h"
#pragma GCC diagnostic pop

#define CODE_MAX	700u

static struct {
	const struct x86_model *model;
	uint8_t code[CODE_MAX + 128];
	unsigned len;
	uint32_t at;			/* where the code stands */
	unsigned off[64], n;		/* of each instruction */
	struct { unsigned at, insn; bool abs; } fix[64];	/* targets: rel32 or address */
	unsigned nfix;
	enum rig_paging paging;
	unsigned cpl;
} now;

static void put(const void *b, unsigned n)
{
	memcpy(now.code + now.len, b, n);
	now.len += n;
}

static void put8(unsigned b)
{
	now.code[now.len++] = (uint8_t)b;
}

static void put32(uint32_t a)
{
	put(&a, 4);
}

static void mov_ri(unsigned reg, uint32_t val)
{
	put8(0xb8 | reg);
	put32(val);
}

/* An address of data, often near the end of a page. */
static uint32_t place(void)
{
	uint32_t page = RIG_DATA + below(16) * 4096;

	if (!below(12))		/* across into a page that is read-only, absent, the kernel's */
		return RIG_DATA + (3 + below(3)) * 4096 - 1 - below(16);
	if (below(3))
		page = RIG_DATA + (below(2) ? below(3) : 9 + below(7)) * 4096;
	switch (below(4)) {
	case 0: return page + 4096 - below(40);
	case 1: return page + below(4096);
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
	case X86_SYSCALL: case X86_SYSRET:
		return false;
	case X86_JMP: case X86_CALL: case X86_RET: case X86_JCC: case X86_LOOP:
	case X86_LOOPE: case X86_LOOPNE: case X86_JCXZ:
		return !below(16);	/* put_branch() makes better ones */
	case X86_SHLD: case X86_SHRD:
		return in->opsize == 4;
	}
	return in->feat != X86_F_SHA || !x86_has_mem(in);	/* see interp_native */
}

/* Registers in front of a memory operand, so that it hits data. */
static void steer(struct x86_insn *in, uint8_t *b)
{
	uint32_t target = place(), base = in->seg == X86_FS ? RIG_DATA : 0, index = below(64);
	uint32_t disp = (uint32_t)in->disp;

	if (in->adsize == 2) {
		target &= 0xffff;
		if (in->base == X86_NOREG && in->index == X86_NOREG)
			return;
	} else {
		target -= base;
	}
	if (in->index != X86_NOREG && !in->vsib && in->index != in->base) {
		mov_ri(in->index, index);
		target -= index << in->scale;
	}
	if (in->base != X86_NOREG)
		mov_ri(in->base, target - disp);
	else if (in->disp_len == 4)
		memcpy(b + in->disp_off, &target, 4);
}

static void put_random(void)
{
	uint8_t b[X86_INSN_MAX + 1];
	struct x86_insn in;
	int len;

	do {
		random_bytes(b, 32);
		len = x86_decode(&in, b, X86_INSN_MAX, 32);
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
		mov_ri(X86_RBP, place() & ~3u);
		break;
	case X86_BT: case X86_BTS: case X86_BTR: case X86_BTC:
		if (in.o[1].kind == X86_O_GPR && in.o[1].reg != in.base && in.o[1].reg != in.index)
			mov_ri(in.o[1].reg, below(4096) - 2048);
		break;
	case X86_MOV_SEG: case X86_LSL: case X86_LAR: case X86_VERR: case X86_VERW:
		if (in.o[0].kind == X86_O_SEG && (in.o[0].reg == X86_SS || below(2)))
			mov_ri(in.o[1].reg & 7, now.cpl ? RIG_DS3 : RIG_DS0);
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
}

/* A transfer to one of the next instructions. */
static void put_branch(unsigned i)
{
	unsigned to = i + 1 + below(3), reg = below(8);

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
		put8(0x68), fix_up(to, true);
		if (below(2))
			put8(0xc3);
		else
			put8(0xc2), put8(below(16) * 4), put8(0);
		break;
	case 3:			/* mov; jmp or call reg */
		put8(0xb8 | reg), fix_up(to, true);
		put8(0xff), put8((below(2) ? 0xe0 : 0xd0) | reg);
		break;
	case 4: {		/* mov [m], to; jmp or call [m] */
		uint32_t m = RIG_DATA + below(3) * 4096 + below(1020) * 4;

		put8(0xc7), put8(0x05), put32(m), fix_up(to, true);
		put8(0xff), put8(below(2) ? 0x25 : 0x15), put32(m);
		break;
	}
	case 5:			/* jecxz, loop over a byte that is one instruction */
		put8(0xe0 + below(4)), put8(1), put8(0x40 | reg);
		break;
	default:
		put8(0x0f), put8(0x80 | below(16)), fix_up(to, false);
	}
}

static void put_flags(void)
{
	static const uint8_t cpl0[] = { 0x9c, 0xfa, 0xfb, 0xfc, 0x9c, 0x9f, 0xfd };
	static const uint8_t cpl3[] = { 0x9c, 0x9e, 0xf5, 0xfc, 0x9c, 0x9f, 0xfd };

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

/* A store into the immediate of the mov behind it, by its own or an alias page. */
static void put_patch(void)
{
	uint32_t to = now.at + now.len;
	unsigned n = below(3) ? 0 : 8;	/* others in between */

	to += 10 + n + 1 + below(4);
	if (now.paging != RIG_FLAT && to >> 12 == (RIG_CODE >> 12) + 1 && below(2))
		to += RIG_DATA + 7 * 4096 - (RIG_CODE + 4096);
	put8(0xc7), put8(0x05), put32(to), put32((uint32_t)rnd());
	while (n--)
		put8(0x90);
	mov_ri(below(4), (uint32_t)rnd());
	put32(0x90909090);
}

/* Frequent forms, so that units look like compiled code. */
static void put_usual(void)
{
	unsigned reg = below(8), other = below(8);

	switch (below(8)) {
	case 0: put8(0x50 | reg); break;
	case 1: put8(0x58 | (reg == X86_RSP ? X86_RAX : reg)); break;
	case 2: put8(0x8b), put8(0x44 | reg << 3), put8(0x24), put8(below(16) * 4); break;
	case 3: put8(0x89), put8(0x44 | reg << 3), put8(0x24), put8(below(16) * 4); break;
	case 4: put8(0x8d), put8(0x80 | reg << 3 | (other == 4 ? 5 : other)), put32((uint32_t)value());
		break;
	case 5: put8(below(8) * 8 | 1 | below(2) << 1), put8(0xc0 | reg << 3 | other); break;
	case 6: put8(0x83), put8(0xc0 | below(8) << 3 | (reg == 4 ? 0 : reg)), put8((uint8_t)rnd());
		break;
	default:
		if (!below(8)) {	/* mov [a], mxcsr; ldmxcsr [a]: bit 17 is AMD's own */
			uint32_t at = place();

			put8(0xc7), put8(0x05), put32(at);
			put32(0x1f80 | below(4) << 13 | (below(3) ? 0 : 1u << 17));
			put8(0x0f), put8(0xae), put8(0x15), put32(at);
			break;
		}
		put8(0x8f), put8(0x05), put32(place());
	}
}

static uint16_t code_sel(void)
{
	return now.cpl ? RIG_CS3 : RIG_CS0;
}

static uint16_t data_sel(void)
{
	return now.cpl ? RIG_DS3 : RIG_DS0;
}

static void put16(unsigned a)
{
	put8(a & 255);
	put8(a >> 8);
}

/* Far jumps, calls, returns and IRET to the same privilege. */
static void put_far(unsigned i)
{
	unsigned to = i + 1 + below(3);

	switch (below(4)) {
	case 0:			/* jmp or call ptr */
		put8(below(2) ? 0xea : 0x9a), fix_up(to, true), put16(code_sel());
		break;
	case 1:			/* push cs; push to; retf, or retf n */
		put8(0x0e), put8(0x68), fix_up(to, true);
		if (below(2))
			put8(0xcb);
		else
			put8(0xca), put16(below(8) * 4);
		break;
	case 2:			/* the same through memory */
		put8(0xc7), put8(0x05), put32(RIG_DATA + 0x800), fix_up(to, true);
		put8(0x66), put8(0xc7), put8(0x05), put32(RIG_DATA + 0x804), put16(code_sel());
		put8(0xff), put8(below(2) ? 0x2d : 0x1d), put32(RIG_DATA + 0x800);
		break;
	default:		/* push flags; push cs; push to; iret */
		put8(0x68), put32((uint32_t)rnd() & (X86_FL_ARITH | X86_FL_IF | X86_FL_ID |
						     (below(8) ? 0 : X86_FL_DF)));
		put8(0x0e), put8(0x68), fix_up(to, true), put8(0xcf);
	}
}

/* Segment registers by MOV, POP and far pointers. */
static void put_segment(void)
{
	static const uint8_t lxs[][2] = { { 0xc4, 0 }, { 0xc5, 0 }, { 0x0f, 0xb2 },
					  { 0x0f, 0xb4 }, { 0x0f, 0xb5 } };
	const uint8_t *op = lxs[below(5)];
	uint32_t m = place();
	unsigned seg = below(6);
	uint16_t sel = below(6) ? data_sel() : below(2) ? RIG_FS : (uint16_t)below(4);

	switch (below(4)) {
	case 0:
		mov_ri(X86_RAX, sel);
		put8(0x8e), put8(0xc0 | seg << 3);
		break;
	case 1:			/* push; pop es, ss, ds, fs, gs */
		put8(0x68), put32(sel);
		if (seg < 3)
			put8((const uint8_t[]){ 0x07, 0x17, 0x1f }[seg]);
		else
			put8(0x0f), put8(below(2) ? 0xa1 : 0xa9);
		break;
	case 2:			/* mov [m], sreg; push sreg */
		put8(0x8c), put8(0x05 | seg << 3), put32(m);
		put8((const uint8_t[]){ 0x06, 0x0e, 0x16, 0x1e, 0x06, 0x0e }[seg]);
		break;
	default:
		put8(0xc7), put8(0x05), put32(m), put32((uint32_t)rnd());
		put8(0x66), put8(0xc7), put8(0x05), put32(m + 4), put16(sel);
		put8(op[0]);
		if (op[1])
			put8(op[1]);
		put8(0x05 | (op[1] == 0xb2 ? X86_RSP : below(4)) << 3), put32(m);
	}
}

/* A string instruction with every prefix, either way. */
static void put_string(void)
{
	static const uint8_t ops[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xa7, 0xae, 0xaf };
	static const uint8_t seg[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	bool down = !below(3);

	mov_ri(X86_RSI, place());
	mov_ri(X86_RDI, place());
	mov_ri(X86_RCX, below(3) ? below(40) : below(3000));
	if (down)
		put8(0xfd);
	if (!below(4))
		put8(seg[below(6)]);
	if (!below(4))
		put8(0x66);
	if (!below(12))
		put8(0x67);
	if (below(4))
		put8(0xf2 | below(2));
	put8(ops[below(10)]);
	if (down && below(8))
		put8(0xfc);
}

/* A REP STOS or MOVS over itself, which ends in pages that may fault. */
static void put_rep_self(void)
{
	uint32_t here = now.at + now.len, to = here + 16 - below(24);
	bool down = below(2);

	if (now.paging != RIG_FLAT && to >> 12 == (RIG_CODE >> 12) + 1 && below(2))
		to += RIG_DATA + 7 * 4096 - (RIG_CODE + 4096);
	put8(down ? 0xfd : 0xfc);
	mov_ri(X86_RAX, 0x01010101u * (below(2) ? 0x90 : 0x40 | below(2)));
	mov_ri(X86_RDI, to);
	mov_ri(X86_RSI, place());
	mov_ri(X86_RCX, below(3) ? below(30) : below(12000));
	put8(0xf3), put8(below(3) ? 0xaa | below(2) : 0xa4 | below(2));
}

/* FXSAVE, its x87 pointers, which are not kept exactly, put away; and FXRSTOR. */
static void put_fxsave(void)
{
	uint32_t m = RIG_DATA + below(3) * 4096 + (below(4) ? below(250) * 16 : below(4096));

	put8(0x0f), put8(0xae), put8(0x05), put32(m);
	for (unsigned i = 6; i < 24; i += 4)
		put8(0xc7), put8(0x05), put32(m + i), put32(0);
	put8(0xc7), put8(0x05), put32(m + 24), put32(0x1f80);
	if (below(2))
		put8(0x0f), put8(0xae), put8(0x0d), put32(m);
}

/* 1 / 0 with #Z unmasked, then an instruction with MMX registers and memory: what waits
 * comes before the access sets A. */
static void put_pending(void)
{
	static const uint8_t op[] = { 0x2c, 0x2d, 0x2a, 0xfc, 0x6f, 0x7f };
	uint32_t m = RIG_DATA + 10 * 4096 + below(4096);

	put8(0xc7), put8(0x05), put32(m), put32(0x037b);	/* mov [m], control word */
	put8(0xd9), put8(0x2d), put32(m);			/* fldcw [m] */
	put8(0xd9), put8(0xe8), put8(0xd9), put8(0xee);		/* fld1; fldz */
	put8(0xde), put8(0xf9);					/* fdivp */
	put8(0x0f), put8(op[below(sizeof(op))]), put8(below(8) << 3 | 5);
	put32(RIG_DATA + (11 + below(4)) * 4096 + below(512) * 8);
}

static void put_special(unsigned i)
{
	switch (below(10)) {
	case 0: put_far(i); break;
	case 1: case 2: put_segment(); break;
	case 3: put_rep_self(); break;
	case 4: put_fxsave(); break;
	case 5:			/* pushfw; popfw, pushf; popf */
		put8(0x66), put8(0x9c), put8(0x66), put8(0x9d);
		break;
	case 7: put_pending(); break;
	case 6:			/* cmpxchg8b, lock or not */
		if (below(2))
			put8(0xf0);
		put8(0x0f), put8(0xc7), put8(0x0d), put32(place());
		break;
	default: put_string();
	}
}

static void put_end(void)
{
	if (now.cpl)
		put8(0xcd), put8(0x80);		/* int 0x80 */
	else
		put8(0xf4);			/* hlt */
}

static void code_make(void)
{
	unsigned n = 1 + below(below(4) ? 12 : 30), loops = below(6) ? 0 : below(3) ? 3 : 500;
	uint32_t counter = RIG_DATA + 15 * 4096 + 64;

	now.len = now.n = now.nfix = 0;
	if (loops)
		put8(0xc7), put8(0x05), put32(counter), put32(loops);
	for (unsigned i = 0; i < n && now.len < CODE_MAX - 100; i++) {
		now.off[now.n++] = now.len;
		switch (below(13)) {
		case 0: put_branch(i); break;
		case 1: put_flags(); break;
		case 12: put_special(i); break;
		case 2: case 3: case 4: put_usual(); break;
		case 5:
			if (!below(4)) {
				put_patch();
				break;
			}
			/* fall through */
		default: put_random();
		}
	}
	for (unsigned i = 0; i < 5; i++)
		now.off[now.n++] = now.len;
	if (loops) {
		put8(0xff), put8(0x0d), put32(counter);		/* dec [counter] */
		put8(0x0f), put8(0x85), put32(10 - (now.len + 4));	/* jnz: behind the mov */
	}
	put_end();
	for (unsigned i = 0; i < now.nfix; i++) {
		uint32_t to = now.off[now.fix[i].insn < now.n ? now.fix[i].insn : now.n - 1];

		le32_put(now.code + now.fix[i].at, now.fix[i].abs ? now.at + to :
			 to - (now.fix[i].at + 4));
	}
}
#endif
