/*
 * Thunks: host code around one x87 or vector instruction.
 *
 * The guest's instruction is re-encoded: a general register becomes RAX, the
 * memory operand becomes [RSI]; vector registers keep their numbers.  Around it
 * go loads and stores of just the state that it names.  Equal instructions
 * share a thunk: the key is what is left after re-encoding.  x87 and MMX have a
 * second form, without loads and stores of the x87 state, for runs of such
 * instructions during which it stays in the host's registers (fpu.c).  Thunks lie in
 * memory that is mapped twice, writable and executable; when it is full all
 * are dropped.
 *
 *	paddd xmm1, [ebx+8]	key 66 0F FE, modrm 0E
 *	mov r8, [rdi+40]; mov rsi, [rdi+32]; movups xmm1, [r8+176];
 *	paddd xmm1, [rsi]; movups [r8+176], xmm1; ret
 */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "interp/simd.h"

int thunk_create(struct simd *s, struct err *e)
{
	int fd = memfd_create("ring1-thunks", MFD_CLOEXEC);
	size_t len = THUNKS * THUNK_BYTES;
	int rc = 0;

	if (fd < 0)
		return err_sys(e, -errno, "cannot make memory for thunks");
	s->rw = s->rx = MAP_FAILED;
	if (!ftruncate(fd, (off_t)len)) {
		s->rw = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		s->rx = mmap(NULL, len, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	}
	if (s->rw == MAP_FAILED || s->rx == MAP_FAILED)
		rc = err_sys(e, -errno, "cannot map memory for thunks");
	close(fd);
	return rc;
}

void thunk_destroy(struct simd *s)
{
	if (s->rw && s->rw != MAP_FAILED)
		munmap(s->rw, THUNKS * THUNK_BYTES);
	if (s->rx && s->rx != MAP_FAILED)
		munmap(s->rx, THUNKS * THUNK_BYTES);
}

/* --- re-encoding ------------------------------------------------------------- */

/* The instruction as the host will run it. */
struct form {
	uint8_t pp, map, vex, vl, vvvv, rex, opcode, modrm, has_modrm;
	uint8_t imm[2], nimm;
};

static bool has_gpr(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_GPR || in->o[i].kind == X86_O_GPRH)
			return true;
	return in->op == X86_PCMPESTRI || in->op == X86_PCMPESTRM ||
	       in->op == X86_PCMPISTRI || (in->prefixes & X86_P_VEX && in->map == 3 &&
					   in->opcode >= 0x60 && in->opcode <= 0x63);
}

/* Register forms whose general register is modrm.reg; elsewhere it is rm. */
static bool gpr_is_reg(const struct x86_insn *in)
{
	if (in->modrm < 0xc0)
		return true;
	return in->map == 1 && (in->opcode == 0x2c || in->opcode == 0x2d ||
				in->opcode == 0x50 || in->opcode == 0xc5 ||
				in->opcode == 0xd7);
}

static struct form form_of(const struct x86_insn *in)
{
	bool x87 = in->map == 0;
	struct form f = {
		.pp = x87 ? 0 : in->pp, .map = in->map, .opcode = in->opcode,
		.vex = !!(in->prefixes & X86_P_VEX), .vl = in->vl, .vvvv = in->vvvv,
		.rex = x87 ? 0 : in->rex & 15, .modrm = in->modrm,
		.has_modrm = in->has_modrm, .nimm = in->imm_len,
		.imm = { (uint8_t)in->imm, (uint8_t)in->imm2 },
	};

	if (in->mode != 64 && x86_w_is_gpr_size(in))
		f.rex &= 7;
	/* A register in the immediate: outside 64-bit code there are eight. */
	if (in->mode != 64 && f.vex && in->map == 3 && in->opcode >= 0x4a && in->opcode <= 0x4c)
		f.imm[0] &= 0x7f;
	if (!in->has_modrm || x87) {
		if (x87 && in->modrm < 0xc0)
			f.modrm = (in->modrm & 0x38) | 6;
		return f;
	}
	if (in->modrm < 0xc0) {
		f.modrm = (f.modrm & 0x38) | 6;
		f.rex &= 0xc;
	}
	for (unsigned i = 0; i < in->nops; i++) {
		if (in->o[i].kind != X86_O_GPR)
			continue;
		if (gpr_is_reg(in)) {
			f.modrm &= 0xc7;
			f.rex &= 0xb;
		} else {
			f.modrm &= 0xf8;
			f.rex &= 0xe;
		}
	}
	return f;
}

static uint64_t form_key(const struct form *f)
{
	return 1ull << 63 | (uint64_t)f->imm[1] << 48 | (uint64_t)f->imm[0] << 40 |
	       (uint64_t)f->nimm << 36 | (uint64_t)f->modrm << 24 |
	       (uint64_t)f->opcode << 16 | (uint64_t)f->rex << 12 |
	       (uint64_t)f->vvvv << 8 | (uint64_t)f->has_modrm << 6 |
	       (uint64_t)f->vl << 5 | (uint64_t)f->vex << 4 | (uint64_t)f->map << 2 | f->pp;
}

/* --- code -------------------------------------------------------------------- */

struct code {
	uint8_t *p, *end;
	bool full;
};

static void put(struct code *c, const void *bytes, size_t n)
{
	if ((size_t)(c->end - c->p) < n) {
		c->full = true;
		return;
	}
	memcpy(c->p, bytes, n);
	c->p += n;
}

static void put8(struct code *c, unsigned b)
{
	uint8_t x = (uint8_t)b;

	put(c, &x, 1);
}

static void put32(struct code *c, uint32_t x)
{
	put(c, &x, 4);
}

#define PUT(c, ...) do { \
	static const uint8_t bytes_[] = { __VA_ARGS__ }; \
	put(c, bytes_, sizeof(bytes_)); \
} while (0)

/* movups xmmN, [r8 + disp] (op 10) or the reverse (op 11): 41 0f 10 80 disp32 */
static void put_xmm(struct code *c, unsigned op, unsigned reg, uint32_t disp)
{
	put8(c, 0x41 | (reg & 8) >> 1);
	put8(c, 0x0f);
	put8(c, op);
	put8(c, 0x80 | (reg & 7) << 3);
	put32(c, disp);
}

/* vinsertf128 ymmN, ymmN, [r8 + disp], 1 (op 18): c4 c3 75 18 88 disp32 01;
 * vextractf128 [r8 + disp], ymmN, 1 (op 19), vvvv unused */
static void put_ymmh(struct code *c, unsigned op, unsigned reg, uint32_t disp)
{
	put8(c, 0xc4);
	put8(c, (reg & 8 ? 0x00 : 0x80) | 0x43);
	put8(c, op == 0x18 ? (~reg & 15) << 3 | 5 : 0x7d);
	put8(c, op);
	put8(c, 0x80 | (reg & 7) << 3);
	put32(c, disp);
	put8(c, 1);
}

static void put_insn(struct code *c, const struct form *f)
{
	static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };

	if (f->vex) {
		put8(c, 0xc4);
		put8(c, (~f->rex & 7) << 5 | f->map);
		put8(c, (f->rex & 8) << 4 | (~f->vvvv & 15) << 3 | f->vl << 2 | f->pp);
	} else {
		if (f->pp)
			put8(c, prefix[f->pp]);
		if (f->rex)
			put8(c, 0x40 | f->rex);
		if (f->map)
			put8(c, 0x0f);
		if (f->map > 1)
			put8(c, f->map == 2 ? 0x38 : 0x3a);
	}
	put8(c, f->opcode);
	if (f->has_modrm)
		put8(c, f->modrm);
	put(c, f->imm, f->nimm);
}

/* Vector registers that the instruction names: loaded all, since what is written
 * may be written in part only.  Bit 16 + n: those written. */
static uint32_t vectors(const struct x86_insn *in)
{
	uint32_t regs = 0;

	for (unsigned i = 0; i < in->nops; i++) {
		const struct x86_operand *o = &in->o[i];

		if (o->kind == X86_O_XMM || o->kind == X86_O_YMM) {
			regs |= 1u << o->reg;
			if (i == 0 || (o->access & X86_A_W))
				regs |= 0x10000u << o->reg;
		}
	}
	/* pcmpestrm, pcmpistrm leave their mask in XMM0 */
	if (in->map == 3 && (in->opcode == 0x60 || in->opcode == 0x62))
		regs |= 0x10001u;
	return regs;
}

/*
 * May the instruction round or raise a SIMD floating-point exception?  Those of
 * maps 0F, 0F38, 0F3A that cannot are listed: SDM vol. 2, "SIMD Floating-Point
 * Exceptions: None".
 */
static bool uses_mxcsr(const struct x86_insn *in)
{
	unsigned op = in->opcode;

	switch (in->map) {
	case 1:
		return !(op <= 0x17 || op == 0x28 || op == 0x29 || op == 0x2b || op == 0x50 ||
			 (op >= 0x52 && op <= 0x57) || (op >= 0x60 && op <= 0x7b) ||
			 op == 0x7e || op == 0x7f || (op >= 0xc4 && op <= 0xc6) ||
			 (op >= 0xd1 && op != 0xe6));
	case 2:
		return op == 0x13 || (op >= 0x96 && op <= 0xbf);
	case 3:
		return (op >= 0x08 && op <= 0x0b) || op == 0x1d || op == 0x40 || op == 0x41;
	default:
		return false;
	}
}

static bool uses_fpu(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_MMX)
			return true;
	return in->unit == X86_U_X87 || in->unit == X86_U_MMX;
}

static void emit_before(struct code *c, const struct x86_insn *in, const struct thunk *t,
			uint32_t regs, bool vex)
{
	PUT(c, 0x4c, 0x8b, 0x47, 0x28);			/* mov r8, [rdi+40] */
	if (x86_has_mem(in))
		PUT(c, 0x48, 0x8b, 0x77, 0x20);		/* mov rsi, [rdi+32] */
	for (unsigned i = 0; i < 16; i++) {
		if (!(regs >> i & 1))
			continue;
		put_xmm(c, 0x10, i, XS_XMM + 16 * i);
		if (vex)
			put_ymmh(c, 0x18, i, XS_YMMH + 16 * i);
	}
	if (t->fpu)	/* mov eax, 1; xor edx, edx; xrstor [r8] */
		PUT(c, 0xb8, 1, 0, 0, 0, 0x31, 0xd2, 0x41, 0x0f, 0xae, 0x28);
	if (t->mxcsr)
		PUT(c, 0x0f, 0xae, 0x57, 0x30);		/* ldmxcsr [rdi+48] */
	if (t->flags)
		PUT(c, 0xff, 0x77, 0x18, 0x9d);		/* push [rdi+24]; popfq */
	if (t->gpr)	/* mov rax, [rdi]; mov rcx, [rdi+8]; mov rdx, [rdi+16] */
		PUT(c, 0x48, 0x8b, 0x07, 0x48, 0x8b, 0x4f, 0x08, 0x48, 0x8b, 0x57, 0x10);
}

static void emit_after(struct code *c, const struct thunk *t, uint32_t regs, bool vex)
{
	uint8_t *skip = NULL;

	if (t->flags)
		PUT(c, 0x9c, 0x8f, 0x47, 0x18);		/* pushfq; pop [rdi+24] */
	if (t->gpr)
		PUT(c, 0x48, 0x89, 0x07, 0x48, 0x89, 0x4f, 0x08, 0x48, 0x89, 0x57, 0x10);
	if (t->fpu)	/* mov eax, 1; xor edx, edx; xsave [r8]; fninit */
		PUT(c, 0xb8, 1, 0, 0, 0, 0x31, 0xd2, 0x41, 0x0f, 0xae, 0x20, 0xdb, 0xe3);
	if (t->mxcsr) {
		/* stmxcsr [rdi+52]; ldmxcsr [rdi+56]; mov eax, [rdi+52];
		 * test [rdi+60], eax; jnz behind the stores */
		PUT(c, 0x0f, 0xae, 0x5f, 0x34, 0x0f, 0xae, 0x57, 0x38,
		    0x8b, 0x47, 0x34, 0x85, 0x47, 0x3c, 0x0f, 0x85, 0, 0, 0, 0);
		skip = c->p;
	}
	for (unsigned i = 0; i < 16; i++) {
		if (!(regs >> (16 + i) & 1))
			continue;
		put_xmm(c, 0x11, i, XS_XMM + 16 * i);
		if (vex)
			put_ymmh(c, 0x19, i, XS_YMMH + 16 * i);
	}
	if (skip && !c->full) {
		uint32_t rel = (uint32_t)(c->p - skip);

		memcpy(skip - 4, &rel, 4);
	}
	if (vex)
		PUT(c, 0xc5, 0xf8, 0x77);		/* vzeroupper */
	put8(c, 0xc3);
}

static void thunk_make(struct simd *s, const struct x86_insn *in,
		       const struct form *f, bool resident, struct thunk *t)
{
	uint32_t regs = vectors(in);
	struct code c;

	c.p = s->rw + s->used * THUNK_BYTES;
	c.end = c.p + THUNK_BYTES;
	c.full = false;
	t->fpu = uses_fpu(in) && !resident;
	t->mxcsr = uses_mxcsr(in);
	t->gpr = has_gpr(in);
	t->flags = x86_flags_read(in) || x86_flags_changed(in);
	emit_before(&c, in, t, regs, f->vex);
	put_insn(&c, f);
	if (resident)
		PUT(&c, 0xdd, 0x7f, 0x3c);		/* fnstsw [rdi+60] */
	emit_after(&c, t, regs, f->vex);
	/* Four registers and everything else need less than 200 bytes. */
	assert(!c.full);
	t->fn = (thunk_fn *)(uintptr_t)(s->rx + s->used * THUNK_BYTES);
	s->used++;
}

uint64_t thunk_key(const struct x86_insn *in)
{
	struct form f = form_of(in);

	return form_key(&f);
}

bool thunk_is_plain(const struct x86_insn *in)
{
	bool store = in->nops && in->o[0].kind == X86_O_MEM;

	return !uses_fpu(in) && !(uses_mxcsr(in) && store) &&
	       !(in->map == 3 && in->opcode >= 0x60 && in->opcode <= 0x63);
}

const struct thunk *thunk_get(struct simd *s, const struct x86_insn *in, bool resident)
{
	struct form f = form_of(in);
	uint64_t key = form_key(&f) | (resident ? THUNK_RESIDENT : 0);
	struct thunk *t = thunk_find(s, key), *first = thunk_bucket(s, key);

	if (t)
		return t;
	if (s->used == THUNKS) {
		memset(s->hash, 0, sizeof(s->hash));
		s->used = 0;
	}
	/* Where all places are taken the first thunk goes; its code is lost until
	 * the memory is used up and begun again. */
	for (t = first; t < first + THUNK_PROBES && t->key; t++)
		;
	if (t == first + THUNK_PROBES)
		t = first;
	thunk_make(s, in, &f, resident, t);
	t->key = key;
	return t;
}
