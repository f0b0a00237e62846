/*
 * The decoder on bytes that mean nothing, or nearly something: random ones,
 * piles of prefixes before a random opcode, and its own program's code with a
 * few bits turned.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "x86/insn.h"

static void fill(struct fuzz *f, uint8_t *b, size_t n)
{
	static const uint8_t prefix[] = {
		0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
		0x40, 0x48, 0x4f, 0x0f, 0xc4, 0xc5, 0x62,
	};
	unsigned kind = fuzz_below(f, 3), at = 0;

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)fuzz_next(f);
	if (kind == 1) {
		at = fuzz_below(f, X86_INSN_MAX + 1);
		for (unsigned i = 0; i < at; i++)
			b[i] = prefix[fuzz_below(f, sizeof(prefix))];
	} else if (kind == 2) {
		/* From 64 KiB of this program's own code. */
		const uint8_t *code = (const uint8_t *)x86_decode + fuzz_below(f, 4096);

		memcpy(b, code, n);
		for (unsigned i = fuzz_below(f, 4); i; i--)
			b[fuzz_below(f, (unsigned)n)] ^= (uint8_t)(1u << fuzz_below(f, 8));
	}
}

static void check_fields(const struct x86_insn *in, int len)
{
	fuzz_check(len >= 1 && len <= X86_INSN_MAX && in->len == len, "length %d", len);
	fuzz_check(in->nops <= 4, "%u operands", in->nops);
	fuzz_check(in->opcode_off < len, "opcode at %u", in->opcode_off);
	fuzz_check(!in->has_modrm || in->modrm_off < len, "modrm at %u", in->modrm_off);
	fuzz_check(in->disp_off + in->disp_len <= len, "displacement");
	fuzz_check(in->imm_off + in->imm_len <= len, "immediate");
	fuzz_check(strcmp(x86_op_name(in->op), "(bad)"), "op %u", in->op);
	fuzz_check(!(x86_flags_killed(in) & ~x86_flags_changed(in)), "%s: flags",
		   x86_op_name(in->op));
}

int main(int argc, char **argv)
{
	static const unsigned modes[] = { 16, 32, 64 };
	struct fuzz f;

	fuzz_start(&f, argc, argv);
	while (fuzz_more(&f)) {
		uint8_t b[32], *tight;
		unsigned mode = modes[fuzz_below(&f, 3)];
		struct x86_insn in, again;
		char text[128];
		int len, n;

		fill(&f, b, sizeof(b));
		len = x86_decode(&in, b, sizeof(b), mode);
		if (len < 0) {
			fuzz_check(len == -EINVAL || len == -E2BIG, "gave %d", len);
			continue;
		}
		check_fields(&in, len);
		/* Exactly its own bytes are enough, one less is not; the sanitizer
		 * sees a read beyond them. */
		tight = malloc((size_t)len);
		memcpy(tight, b, (size_t)len);
		n = x86_decode(&again, tight, (size_t)len, mode);
		fuzz_check(n == len && again.op == in.op, "%d bytes gave %d", len, n);
		n = x86_decode(&again, tight, (size_t)len - 1, mode);
		fuzz_check(n == -EAGAIN, "%d of %d bytes gave %d", len - 1, len, n);
		free(tight);
		if (!(f.runs & 15))
			x86_disas(text, sizeof(text), b, sizeof(b), fuzz_next(&f), mode);
	}
	return fuzz_done(&f);
}
