/* Text for traces and crash reports: Capstone's, and our own mnemonics. */
/* Capstone has tags of these names too. */
#define x86_reg capstone_x86_reg
#define x86_insn capstone_x86_insn
#include <capstone/capstone.h>
#undef x86_reg
#undef x86_insn
#include <stdio.h>

#include "x86/insn.h"

#define NAME_MAX_ 20

/* ops.def spells the mnemonics in upper case: lowered here, at compile time. */
#define CH(s, i) ((i) < sizeof(s) ? (s)[(i) < sizeof(s) ? (i) : 0] : 0)
#define LC(s, i) (CH(s, i) >= 'A' && CH(s, i) <= 'Z' ? CH(s, i) | 32 : CH(s, i))

static const char names[X86_OP_COUNT][NAME_MAX_] = {
#define OP(name, ...) [X86_##name] = { \
	LC(#name, 0), LC(#name, 1), LC(#name, 2), LC(#name, 3), LC(#name, 4), \
	LC(#name, 5), LC(#name, 6), LC(#name, 7), LC(#name, 8), LC(#name, 9), \
	LC(#name, 10), LC(#name, 11), LC(#name, 12), LC(#name, 13), \
	LC(#name, 14), LC(#name, 15), LC(#name, 16), LC(#name, 17), \
	LC(#name, 18) },
#include "x86/ops.def"
#undef OP
};

/* No name may be cut. */
#define OP(name, ...) \
	_Static_assert(sizeof(#name) <= NAME_MAX_, #name);
#include "x86/ops.def"
#undef OP

const char *x86_op_name(unsigned op)
{
	if (op == X86_INVALID || op >= X86_OP_COUNT)
		return "(bad)";
	return names[op];
}

int x86_disas(char *out, size_t size, const uint8_t *buf, size_t len,
	      uint64_t addr, unsigned mode)
{
	struct x86_insn own;
	int own_len = x86_decode(&own, buf, len, mode), n = 0;
	cs_insn *insn = NULL;
	csh cs;

	/* Capstone 4 takes UD0 and UD1 for two bytes; they have a modrm. */
	if (own_len > 0 && (own.op == X86_UD0 || own.op == X86_UD1)) {
		snprintf(out, size, "%s", x86_op_name(own.op));
		return own_len;
	}
	if (cs_open(CS_ARCH_X86, mode == 16 ? CS_MODE_16 : mode == 32 ?
		    CS_MODE_32 : CS_MODE_64, &cs) == CS_ERR_OK) {
		if (cs_disasm(cs, buf, len, addr, 1, &insn) == 1) {
			n = insn->size;
			snprintf(out, size, "%s%s%s", insn->mnemonic,
				 insn->op_str[0] ? " " : "", insn->op_str);
			cs_free(insn, 1);
		}
		cs_close(&cs);
	}
	if (n == 0 && own_len > 0) {	/* newer than this Capstone */
		snprintf(out, size, "%s", x86_op_name(own.op));
		return own_len;
	}
	if (n == 0)
		snprintf(out, size, "(bad)");
	return n > 0 ? n : 1;
}
