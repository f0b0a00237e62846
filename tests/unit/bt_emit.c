/*
 * The emitter: each function against the assembler's bytes, and guest
 * instructions re-encoded in every form, decoded back by Capstone: the same text
 * but for where the memory operand is.
 *
 *	bt_emit [cases [seed]]		default 40000 random instructions
 */
#include "bt/emit.h"
#include "check.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "native_rand.h"
#pragma GCC diagnostic pop

static uint8_t out[64];

static void start(struct emit *e)
{
	*e = (struct emit){ .p = out, .start = out, .end = out + sizeof(out) };
}

static void bytes(const char *text, const struct emit *e, const char *want, unsigned n)
{
	check((unsigned)(e->p - out) == n && !memcmp(out, want, n) && !e->overflow,
	      "%s: %u bytes, first %02x %02x %02x %02x", text, (unsigned)(e->p - out),
	      out[0], out[1], out[2], out[3]);
}

/* The bytes are what `as --64` makes of the text. */
#define EMITS(text, want, ...) do { \
	struct emit e_, *e = &e_; \
	start(e); \
	__VA_ARGS__; \
	bytes(text, e, want, sizeof(want) - 1); \
} while (0)

static void test_forms(void)
{
	const unsigned no = X86_NOREG;

	EMITS("mov r8d,[r15+8]", "\x45\x8b\x47\x08", emit_load(e, X86_R8, 8, EMIT_32));
	EMITS("mov rax,[r15+0x100]", "\x49\x8b\x87\x00\x01\x00\x00",
	      emit_load(e, X86_RAX, 0x100, EMIT_64));
	EMITS("mov [r15+8],rbx", "\x49\x89\x5f\x08", emit_store(e, 8, X86_RBX, EMIT_64));
	EMITS("mov dword ptr [r15+16],5", "\x41\xc7\x47\x10\x05\x00\x00\x00",
	      emit_store_imm32(e, 16, 5));
	EMITS("mov r9,rax", "\x49\x89\xc1", emit_mov_rr(e, X86_R9, X86_RAX));
	EMITS("mov ecx,0x12345678", "\xb9\x78\x56\x34\x12", emit_mov_ri(e, X86_RCX, 0x12345678));
	EMITS("mov r10d,7", "\x41\xba\x07\x00\x00\x00", emit_mov_ri(e, X86_R10, 7));
	EMITS("lea r8d,[rsp+rcx*4-4]", "\x44\x8d\x44\x8c\xfc",
	      emit_lea(e, X86_R8, X86_RSP, X86_RCX, 2, -4, EMIT_32));
	EMITS("lea r8d,[rbp]", "\x44\x8d\x45\x00",
	      emit_lea(e, X86_R8, X86_RBP, no, 0, 0, EMIT_32));
	EMITS("lea rdx,[r13]", "\x49\x8d\x55\x00",
	      emit_lea(e, X86_RDX, X86_R13, no, 0, 0, EMIT_64));
	EMITS("lea r8,[r12+0x1234]", "\x4d\x8d\x84\x24\x34\x12\x00\x00",
	      emit_lea(e, X86_R8, X86_R12, no, 0, 0x1234, EMIT_64));
	EMITS("lea r10d,[r9+r13*8]", "\x47\x8d\x14\xe9",
	      emit_lea(e, X86_R10, X86_R9, X86_R13, 3, 0, EMIT_32));
	EMITS("and r9d,0xfff", "\x41\x81\xe1\xff\x0f\x00\x00", emit_alu_ri(e, 4, X86_R9, 0xfff));
	EMITS("rorx r9d,r8d,7", "\xc4\x43\x7b\xf0\xc8\x07", emit_rorx(e, X86_R9, X86_R8, 7));
	EMITS("shlx r9d,ecx,r10d", "\xc4\x62\x29\xf7\xc9",
	      emit_shiftx(e, 1, X86_R9, X86_RCX, X86_R10));
	EMITS("shrx r13d,r13d,r10d", "\xc4\x42\x2b\xf7\xed",
	      emit_shiftx(e, 3, X86_R13, X86_R13, X86_R10));
	EMITS("sarx eax,r14d,edx", "\xc4\xc2\x6a\xf7\xc6",
	      emit_shiftx(e, 2, X86_RAX, X86_R14, X86_RDX));
	EMITS("jmp [r9+8]", "\x41\xff\x61\x08", emit_jmp_mem(e, X86_R9, no, 8));
	EMITS("jmp [r15+0x100]", "\x41\xff\xa7\x00\x01\x00\x00",
	      emit_jmp_mem(e, X86_R15, no, 0x100));
	EMITS("jne .+8; nop; nop", "\x0f\x85\x02\x00\x00\x00\x90\x90", {
		uint8_t *at = emit_jcc(e, 5);

		e8(e, 0x90), e8(e, 0x90);
		emit_close32(e, at);
	});
	EMITS("jrcxz .+3; nop", "\xe3\x01\x90", {
		uint8_t *at = emit_jrcxz(e);

		e8(e, 0x90);
		emit_close8(e, at);
	});
	EMITS("loop .+3; nop", "\xe2\x01\x90", {
		uint8_t *at = emit_loop(e);

		e8(e, 0x90);
		emit_close8(e, at);
	});
}

static void test_overflow(void)
{
	struct emit e;

	start(&e);
	e.end = out + 5;
	emit_mov_ri(&e, X86_RAX, 1);
	check(!e.overflow && e.p == e.end, "five bytes fit");
	e8(&e, 0x90);
	check(e.overflow && e.p == e.end, "a sixth does not");
	start(&e);
	e.end = out + 3;
	e32(&e, 1);
	check(e.overflow && e.p == out, "half a word is not written");
}

/* --- guest instructions ------------------------------------------------------------ */

/* "op [x + 4]" with what the brackets hold replaced, and without a segment; by
 * NULL: kept. */
static void plain(char *to, size_t size, const char *from, const char *inside)
{
	size_t n = 0;

	while (*from && n + 40 < size) {
		if (from[0] && from[1] == 's' && from[2] == ':') {
			from += 3;
		} else if (*from == '[' && inside) {
			n += (size_t)snprintf(to + n, size - n, "[%s]", inside);
			while (*from && *from++ != ']')
				;
		} else {
			to[n++] = *from++;
		}
	}
	to[n] = 0;
}

/*
 * The same instruction with each prefix once and in one order: Capstone minds
 * their order and number, the processor does not (SDM vol. 2, 2.1.1), and how the
 * decoder reads them is what x86_decode_capstone and x86_decode_native are about.
 */
static void tidy(uint8_t *to, const struct x86_insn *in, const uint8_t *b)
{
	static const uint8_t seg[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	const struct { unsigned pfx; uint8_t byte; } prefix[] = {
		{ X86_P_LOCK, 0xf0 }, { X86_P_SEG, seg[in->seg] }, { X86_P_OPSIZE, 0x66 },
		{ X86_P_REPNE, 0xf2 }, { X86_P_REP, 0xf3 },
	};
	unsigned n = 0, i = 0;

	for (unsigned k = 0; k < sizeof(prefix) / sizeof(prefix[0]); k++)
		if (in->prefixes & prefix[k].pfx)
			to[n++] = prefix[k].byte;
	while (memchr("\x26\x2e\x36\x3e\x64\x65\x66\xf0\xf2\xf3", b[i], 10))
		i++;
	memcpy(to + n, b + i, X86_INSN_MAX - (n > i ? n : i));
}

/* What these forms are for: gen_same(). */
static bool wanted(const struct x86_insn *in, const uint8_t *b)
{
	char text[128];

	if (in->how != X86_HOW_SAME || in->vsib || in->adsize != 4)
		return false;
	if (in->op == X86_NOP || in->op == X86_PREFETCH || in->op == X86_ENDBR)
		return false;
	/* mov al, [disp32]: Capstone takes 66 with F2 or F3 for a 67. */
	if (in->map == 0 && (in->opcode & 0xfc) == 0xa0 && in->prefixes & X86_P_OPSIZE &&
	    in->prefixes & (X86_P_REP | X86_P_REPNE))
		return false;
	/* Capstone does not know it, or reads another instruction. */
	if (x86_disas(text, sizeof(text), b, X86_INSN_MAX, 0x1000, 32) != in->len)
		return false;
	/* It does not know that VEX.W is ignored here, and it tells HLE hints of both kinds. */
	return !strstr(text, "(bad)") && !strstr(text, "vpinsrq") && !strstr(text, "vpextrq") &&
	       !strstr(text, "xacquire") && !strstr(text, "xrelease");
}

static const char *hex(unsigned which, const uint8_t *b, size_t n)
{
	static char text[2][2 * sizeof(out) + 1];

	text[which][0] = 0;
	for (size_t i = 0; i < n; i++)
		sprintf(text[which] + 2 * i, "%02x", b[i]);
	return text[which];
}

static void one_form(const struct x86_insn *in, const uint8_t *b, enum emit_form form,
		     const char *inside)
{
	char guest[160], host[160], a[256], c[256];
	/* Capstone shows some of these cut off or sign-extended: ours reads them. */
	bool absolute = (form == EMIT_WINDOW || form == EMIT_ADDR32) && in->base == X86_NOREG && in->index == X86_NOREG;
	struct x86_insn again;
	struct emit e;
	int len;

	if (absolute)
		inside = "";
	start(&e);
	emit_guest(&e, in, b, form);
	memset(e.p, 0x90, 16);
	x86_disas(guest, sizeof(guest), b, X86_INSN_MAX, 0x1000, 32);
	len = x86_disas(host, sizeof(host), out, (size_t)(e.p - out) + 16, 0x1000, 64);
	plain(a, sizeof(a), guest, inside);
	plain(c, sizeof(c), host, absolute ? inside : NULL);
	check(len == e.p - out && !strcmp(a, c),
	      "form %u: guest %s (%s), host %s (%s), of which %d bytes are read", form,
	      guest, hex(0, b, in->len), host, hex(1, out, (size_t)(e.p - out)), len);
	if (absolute)
		check(x86_decode(&again, out, (size_t)(e.p - out), 64) == e.p - out &&
		      (uint32_t)again.disp == (uint32_t)in->disp && again.base == X86_NOREG,
		      "guest %s, host %s", guest, host);
	if ((form == EMIT_WINDOW || form == EMIT_WINDOW_R8) && strchr(guest, '['))
		check(strstr(host, "gs:["), "guest %s, host %s", guest, host);
}

static bool high_byte(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_GPRH)
			return true;
	return false;
}

static void test_guest(uint64_t cases)
{
	while (cases && check_failed < 30) {
		uint8_t raw[X86_INSN_MAX + 1], b[X86_INSN_MAX + 1];
		struct x86_insn in;

		random_bytes(raw, 32);
		if (x86_decode(&in, raw, X86_INSN_MAX, 32) < 0)
			continue;
		tidy(b, &in, raw);
		if (x86_decode(&in, b, X86_INSN_MAX, 32) < 0 || !wanted(&in, b))
			continue;
		cases--;
		if (in.op == X86_LEA) {
			one_form(&in, b, EMIT_ADDR32, NULL);
		} else if (!x86_has_mem(&in)) {
			one_form(&in, b, EMIT_REG, NULL);
		} else {
			one_form(&in, b, EMIT_WINDOW, NULL);
			if (high_byte(&in))	/* no REX prefix: gen_same_soft() */
				continue;
			one_form(&in, b, EMIT_WINDOW_R8, "r8d");
			one_form(&in, b, EMIT_HOST, "r8 + r9");
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t cases = argc > 1 ? strtoull(argv[1], NULL, 0) : 40000;

	rng = seed_chosen(argc > 2 ? argv[2] : NULL);
	printf("seed %#lx\n", (unsigned long)rng);
	test_forms();
	test_overflow();
	test_guest(cases);
	return check_done();
}
