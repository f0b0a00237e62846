/* Text for traces and crash reports: Capstone's, and our own mnemonics. */
/* Capstone has tags of these names too. */
#define x86_reg capstone_x86_reg
#define x86_insn capstone_x86_insn
#include <capstone/capstone.h>
#undef x86_reg
#undef x86_insn
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

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

/*
 * Capstone is loaded when text is asked for: its tables hold so many pointers that
 * relocating them costs every process 2 MiB of its own, and few machines ever print.
 */
struct x86_text {
	__typeof__(cs_open) *open;
	__typeof__(cs_close) *close;
	__typeof__(cs_disasm) *disasm;
	__typeof__(cs_free) *free;
	csh cs;		/* 0: not there, our own mnemonics do */
	unsigned mode;
};

#define STR_(x) #x
#define STR(x) STR_(x)
#define CAPSTONE "libcapstone.so." STR(CS_API_MAJOR)

/* It stays loaded: the next text is often asked for at once. */
static void *capstone(void)
{
	return dlopen(CAPSTONE, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

bool x86_capstone(int *major, int *minor)
{
	void *lib = capstone();
	__typeof__(cs_version) *version;

	if (!lib)
		return false;
	version = (__typeof__(version))dlsym(lib, "cs_version");
	dlclose(lib);
	if (version)
		version(major, minor);
	return version;
}

static void load_capstone(struct x86_text *t, cs_mode mode)
{
	void *lib = capstone();

	if (!lib)
		return;
	t->open = (__typeof__(t->open))dlsym(lib, "cs_open");
	t->close = (__typeof__(t->close))dlsym(lib, "cs_close");
	t->disasm = (__typeof__(t->disasm))dlsym(lib, "cs_disasm");
	t->free = (__typeof__(t->free))dlsym(lib, "cs_free");
	dlclose(lib);
	if (!t->open || !t->close || !t->disasm || !t->free ||
	    t->open(CS_ARCH_X86, mode, &t->cs) != CS_ERR_OK)
		t->cs = 0;
}

struct x86_text *x86_text_new(unsigned mode)
{
	struct x86_text *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->mode = mode;
	load_capstone(t, mode == 16 ? CS_MODE_16 : mode == 32 ? CS_MODE_32 : CS_MODE_64);
	return t;
}

void x86_text_free(struct x86_text *t)
{
	if (t && t->cs)
		t->close(&t->cs);
	free(t);
}

/* Capstone's own answer: the length, or 0. */
static int ask_capstone(struct x86_text *t, char *out, size_t size, const uint8_t *buf,
			size_t len, uint64_t addr)
{
	cs_insn *insn = NULL;
	int n;

	if (!t->cs)
		return 0;
	/* One instruction: more bytes would only be looked at again. */
	if (t->disasm(t->cs, buf, len < X86_INSN_MAX ? len : X86_INSN_MAX, addr, 1,
		      &insn) != 1)
		return 0;
	n = insn->size;
	snprintf(out, size, "%s%s%s", insn->mnemonic, insn->op_str[0] ? " " : "",
		 insn->op_str);
	t->free(insn, 1);
	return n;
}

int x86_text_insn(struct x86_text *t, char *out, size_t size, const uint8_t *buf,
		  size_t len, uint64_t addr)
{
	struct x86_insn own;
	int own_len = x86_decode(&own, buf, len, t->mode), n = 0;

	/* Capstone 4 takes UD0 and UD1 for two bytes; they have a modrm. */
	if (own_len < 0 || (own.op != X86_UD0 && own.op != X86_UD1))
		n = ask_capstone(t, out, size, buf, len, addr);
	if (n > 0)
		return n;
	/* newer than this Capstone, or nothing at all */
	snprintf(out, size, "%s", own_len > 0 ? x86_op_name(own.op) : "(bad)");
	return own_len > 0 ? own_len : 1;
}

int x86_disas(char *out, size_t size, const uint8_t *buf, size_t len,
	      uint64_t addr, unsigned mode)
{
	struct x86_text *t = x86_text_new(mode);
	int n = 1;

	snprintf(out, size, "(bad)");
	if (t)
		n = x86_text_insn(t, out, size, buf, len, addr);
	x86_text_free(t);
	return n;
}
