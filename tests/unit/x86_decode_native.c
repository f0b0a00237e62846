/*
 * The decoder against the host's processor, in 64-bit code.
 *
 * An instruction is put at the end of a page that nothing executable follows, one
 * byte of it, then two, ...: while the processor wants to fetch more it faults on
 * the next page, so that the first other outcome tells the length, and SIGILL
 * that it is none.  Registers are zero, so that memory operands fault; TF stops
 * after one instruction.  Then the flags: what the decoder says an instruction
 * reads, overwrites and changes is checked with other flags before it.  Then memory:
 * what the translator copies touches its operand and nothing else; around that there
 * is nothing, and no other register is an address.
 *
 * RING1_SEED=N   another seed.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"
#include "x86/cpu.h"
#include "x86/cpuid.h"

#define PAGE 4096
/* Far from everything else: rip-relative operands must not reach it. */
#define CODE ((uint8_t *)0x400000000000)
#define DATA (CODE + 16 * PAGE)		/* a page alone */

/* ---- one instruction, executed ---- */

static struct shot {
	greg_t in[16], out[16];		/* REG_R8 ... REG_RSP */
	uint32_t flags_in, flags_out;
	int sig;
	uint64_t start, rip, addr;
} shot;
static gregset_t own_regs;
static uint8_t own_fpu[512];
static bool armed;

/* Entered twice: at the int3 in fire(), to go to the instruction, and at what
 * comes of it, to go back behind the int3. */
static void on_signal(int sig, siginfo_t *si, void *context)
{
	mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
	greg_t *g = m->gregs;

	if (!armed) {
		memcpy(own_regs, g, sizeof(own_regs));
		memcpy(own_fpu, m->fpregs, sizeof(own_fpu));
		memcpy(g, shot.in, sizeof(shot.in));
		g[REG_RIP] = (greg_t)shot.start;
		g[REG_EFL] = shot.flags_in | X86_FL_TF;
		armed = true;
		return;
	}
	memcpy(shot.out, g, sizeof(shot.out));
	shot.flags_out = (uint32_t)g[REG_EFL];
	shot.sig = sig;
	shot.rip = (uint64_t)g[REG_RIP];
	shot.addr = (uint64_t)si->si_addr;
	memcpy(g, own_regs, sizeof(own_regs));
	memcpy(m->fpregs, own_fpu, sizeof(own_fpu));
	armed = false;
}

static void fire(const uint8_t *code, unsigned len)
{
	shot.start = (uint64_t)CODE + PAGE - len;
	memcpy((void *)shot.start, code, len);
	__asm__ volatile("int3" : : : "memory", "cc");
}

enum outcome { MORE, UNDEFINED, DONE };

static enum outcome fire_clean(const uint8_t *code, unsigned len)
{
	memset(shot.in, 0, sizeof(shot.in));
	shot.in[REG_RAX] = 0x3fff;	/* no system call has this number */
	shot.flags_in = X86_FL_FIXED | X86_FL_IF;
	fire(code, len);
	if (shot.rip == shot.start && shot.sig == SIGILL)
		return UNDEFINED;
	if (shot.rip == shot.start && shot.sig == SIGSEGV &&
	    shot.addr == (uint64_t)CODE + PAGE)
		return MORE;
	return DONE;
}

static bool native_init(void)
{
	static const int signals[] = { SIGSEGV, SIGILL, SIGTRAP, SIGFPE, SIGBUS };
	struct sigaction sa = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};
	static uint8_t stack[1 << 16];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	void *p = mmap(CODE, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (mmap(DATA, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_FIXED_NOREPLACE, -1, 0) != DATA)
		return false;
	if (p != CODE || mprotect(CODE + PAGE, PAGE, PROT_NONE) < 0 ||
	    sigaltstack(&ss, NULL) < 0)
		return false;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
	return fire_clean((const uint8_t *)"\x90", 1) == DONE && shot.sig == SIGTRAP &&
	       fire_clean((const uint8_t *)"\x0f\x0b", 2) == UNDEFINED &&
	       fire_clean((const uint8_t *)"\x0f", 1) == MORE;
}

/* ---- random instructions ---- */

static uint64_t rng;

static uint64_t random64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1d;
}

static unsigned below(unsigned n)
{
	return (unsigned)(random64() >> 32) % n;
}

static void random_code(uint8_t *b)
{
	static const uint8_t prefix[] = {
		0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x65, 0x48, 0x41, 0x44, 0x4f,
	};
	static const char *const map[] = {
		"", "", "\x0f", "\x0f", "\x0f\x38", "\x0f\x3a", "\xc4\xe1", "\xc4\xe2",
		"\xc4\xe3", "\xc5", "\xc4\x41",
	};
	unsigned at = 0, n = below(4);

	for (unsigned i = 0; i < 16; i++)
		b[i] = (uint8_t)(random64() >> 24);
	while (n-- > 1)
		b[at++] = prefix[below(sizeof(prefix))];
	for (const char *m = map[below(sizeof(map) / sizeof(map[0]))]; *m; m++)
		b[at++] = (uint8_t)*m;
}

/* The first byte that is no prefix. */
static const uint8_t *opcode_of(const uint8_t *b)
{
	while (memchr("\x26\x2e\x36\x3e\x65\x66\x67\xf0\xf2\xf3", *b, 10) ||
	       (*b & 0xf0) == 0x40)
		b++;
	return b;
}

/* What must not run here: system calls, what leaves 64-bit code or changes the
 * segments and rights that this program lives by. */
static bool dangerous(const struct x86_insn *in, int len, const uint8_t *b)
{
	const uint8_t *op = opcode_of(b);

	if (*op == 0x64 || (op[0] == 0x0f && (op[1] == 0x05 || op[1] == 0x34)))
		return true;
	if (op[0] >= 0xcc && op[0] <= 0xcf)
		return true;
	if (len < 0)
		return false;
	switch (in->op) {
	case X86_MOV_SEG: case X86_LFS: case X86_LGS: case X86_LSS: case X86_SWAPGS:
	case X86_WRFSBASE: case X86_WRGSBASE: case X86_WRPKRU: case X86_XRSTOR:
	case X86_JMPF: case X86_CALLF: case X86_RETF: case X86_INT1:
		return true;
	case X86_POP:
		return in->o[0].kind == X86_O_SEG;
	}
	return false;
}

/* ---- existence and length ---- */

/* Undefined at CPL 3, outside SMM, or always. */
static bool ill_here(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_UD0: case X86_UD1: case X86_UD2: case X86_RSM: case X86_MONITOR:
	case X86_MWAIT: case X86_CLAC: case X86_STAC: case X86_VMCALL:
	case X86_VMMCALL: case X86_SYSRET: case X86_SYSEXIT:
	case X86_RDPKRU: case X86_XGETBV:	/* by CR4 */
	case X86_RDFSBASE: case X86_RDGSBASE:
		return true;
	case X86_NOP:	/* AMD leaves the register forms of 0F 0D undefined */
		return in->map == 1 && in->opcode == 0x0d;
	}
	return false;
}

/* #UD for our guests whatever the host has: newer or older extensions than are
 * offered, SVM and its like, and LOCK with what first checks the privilege. */
static bool not_offered(const uint8_t *b, const struct x86_insn *in)
{
	const uint8_t *op = opcode_of(b);
	uint8_t c = in->opcode;

	if (op[0] == 0x62 || op[0] == 0x8f || op[0] == 0xc6 || op[0] == 0xc7)
		return true;	/* EVEX, XOP, RTM */
	if (in->prefixes & X86_P_LOCK && in->priv)
		return true;	/* which of #UD and #GP comes first differs */
	if (in->prefixes & X86_P_VEX)	/* AVX-512 masks, VNNI, AMX, newer AVX */
		return (in->map == 1 && ((c & 0xf0) == 0x40 || (c & 0xf0) == 0x90)) ||
		       (in->map == 2 && (c < 0x60 || c == 0x72 || c >= 0xb0)) ||
		       (in->map == 3 && ((c & 0xf0) == 0x30 || (c & 0xf0) == 0xd0)) ||
		       (in->map == 3 && c <= 1) ||	/* VPERMQ, VPERMPD: AMD ignores W */
		       in->map == 0 || in->map > 3;
	if (op[0] != 0x0f)
		return false;
	if (op[1] <= 0x01 || (op[1] >= 0x20 && op[1] <= 0x23))
		return true;
	return op[1] == 0x0e || op[1] == 0x0f || op[1] == 0x78 || op[1] == 0x79 ||
	       op[1] == 0xae || op[1] == 0xc7 || op[1] == 0xa6 || op[1] == 0xa7 ||
	       (op[1] == 0x38 && op[2] >= 0xf0) || (op[1] == 0x38 && op[2] == 0xd8);
}

/* Near branches are shortened by 66 on AMD only. */
static bool branch66(const struct x86_insn *in)
{
	return in->prefixes & X86_P_OPSIZE && in->nops == 1 &&
	       in->o[0].kind == X86_O_REL;
}

static void test_one(const struct x86_model *host, const uint8_t *b)
{
	struct x86_insn in;
	int len = x86_decode(&in, b, X86_INSN_MAX, 64);
	enum outcome seen = MORE;
	char hex[3 * 16 + 1] = "";
	unsigned n = 0;

	if (dangerous(&in, len, b))
		return;
	while (seen == MORE && n < X86_INSN_MAX)
		seen = fire_clean(b, ++n);
	for (unsigned i = 0; i < 15; i++)
		sprintf(hex + 3 * i, "%02x ", b[i]);
	if (len == -E2BIG) {
		check(n == X86_INSN_MAX && seen != UNDEFINED, "%s: too long, but %u %d",
		      hex, n, seen);
	} else if (len < 0) {
		check(seen == UNDEFINED || not_offered(b, &in),
		      "%s: the host knows it, length %u", hex, n);
	} else if (seen == UNDEFINED) {
		check(ill_here(&in) || !x86_model_has(host, in.feat),
		      "%s: %s is undefined on the host", hex, x86_op_name(in.op));
	} else {
		check(n == (unsigned)len || branch66(&in), "%s: %s: %d bytes, not %u",
		      hex, x86_op_name(in.op), n, len);
	}
}

/* ---- flags ---- */

static bool flags_testable(const struct x86_insn *in)
{
	if (in->unit != X86_U_INT || in->how != X86_HOW_SAME || x86_has_mem(in) ||
	    in->op == X86_RDRAND || in->op == X86_RDSEED || in->op == X86_LEA)
		return false;
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_GPR && in->o[i].reg == X86_RSP)
			return false;
	return true;
}

static void shot_with(const uint8_t *b, int len, uint32_t arith)
{
	shot.flags_in = X86_FL_FIXED | X86_FL_IF | arith;
	fire(b, (unsigned)len);
}

/* With one flag other than before, only that flag may come out otherwise, and
 * only if it is not overwritten; unless it is read. */
static void test_flags(const struct x86_model *host, const uint8_t *b)
{
	static const uint32_t flag[] = {
		X86_FL_CF, X86_FL_PF, X86_FL_AF, X86_FL_ZF, X86_FL_SF, X86_FL_OF,
	};
	uint32_t before = (uint32_t)random64() & X86_FL_ARITH, read, killed, changed;
	struct x86_insn in;
	struct shot first;
	int len = x86_decode(&in, b, X86_INSN_MAX, 64);

	if (len < 0 || !flags_testable(&in) || !x86_model_has(host, in.feat) ||
	    dangerous(&in, len, b))
		return;
	read = x86_flags_read(&in);
	killed = x86_flags_killed(&in);
	changed = x86_flags_changed(&in);
	for (int i = 0; i < 16; i++)
		shot.in[i] = (greg_t)(random64() >> below(64));
	shot_with(b, len, before);
	if (shot.sig != SIGTRAP)
		return;
	first = shot;
	check(!((first.flags_out ^ before) & X86_FL_ARITH & ~changed),
	      "%s %02x %02x %02x: %#x to %#x, but only %#x may change",
	      x86_op_name(in.op), b[0], b[1], b[2], before,
	      first.flags_out & X86_FL_ARITH, changed);
	for (size_t i = 0; i < sizeof(flag) / sizeof(flag[0]); i++) {
		uint32_t may = killed & flag[i] ? 0 : flag[i], out;

		if (read & flag[i])
			continue;
		shot_with(b, len, before ^ flag[i]);
		out = (first.flags_out ^ shot.flags_out) & X86_FL_ARITH;
		check(!(out & ~may) &&
		      !memcmp(first.out, shot.out, sizeof(first.out)),
		      "%s %02x %02x %02x: depends on flag %#x (flags %#x)",
		      x86_op_name(in.op), b[0], b[1], b[2], flag[i], out);
	}
}

/* ---- memory ---- */

static const uint8_t greg[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
	REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

/* Registers for in's operand to be at: DATA or where it ends there.  false: by something
 * else than registers, or more than one operand says. */
static bool place_operand(const struct x86_insn *in)
{
	const struct x86_operand *m = NULL;
	uint64_t at, index = below(64);

	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_MEM)
			m = &in->o[i];
	if (!m)
		return !x86_has_mem(in);
	if (!m->size || in->vsib || in->adsize != 8 || in->base >= X86_RIP ||
	    in->base == in->index || in->seg == X86_FS || in->seg == X86_GS ||
	    (in->op == X86_MOVSXD && in->opsize == 2))
		return false;
	if ((in->op == X86_BT || in->op == X86_BTS || in->op == X86_BTR || in->op == X86_BTC) &&
	    in->o[1].kind == X86_O_GPR)
		return false;
	at = (uintptr_t)DATA + (below(2) ? 0 : PAGE - m->size) - (uint64_t)in->disp;
	if (in->index != X86_NOREG) {
		shot.in[greg[in->index]] = (greg_t)index;
		at -= index << in->scale;
	}
	shot.in[greg[in->base]] = (greg_t)at;
	return true;
}

static void test_memory(const struct x86_model *host, const uint8_t *b)
{
	struct x86_insn in;
	int len = x86_decode(&in, b, X86_INSN_MAX, 64);

	if (len < 0 || in.how != X86_HOW_SAME || !x86_model_has(host, in.feat) ||
	    dangerous(&in, len, b))
		return;
	for (int i = 0; i < 16; i++)	/* no addresses: not canonical */
		shot.in[i] = (greg_t)(1ull << 62 | random64() >> 32);
	if (!place_operand(&in))
		return;
	memset(DATA, 0, PAGE);
	shot_with(b, len, 0);
	check(shot.sig != SIGSEGV && shot.sig != SIGBUS,
	      "%s %02x %02x %02x %02x %02x: touches %#llx", x86_op_name(in.op), b[0], b[1], b[2],
	      b[3], b[4], (unsigned long long)shot.addr);
}

/* ---- */

/* In a child: whatever an unknown instruction does, it does to the child. */
static void child_run(const struct x86_model *host, uint64_t seed, unsigned count,
		      unsigned *checks)
{
	uint8_t b[16];

	rng = seed * 2 + 1;
	check_count = 0;
	if (!native_init())
		_exit(77);
	for (unsigned i = 0; i < count; i++) {
		random_code(b);
		test_one(host, b);
		random_code(b);
		test_flags(host, b);
		random_code(b);
		test_memory(host, b);
		*checks = check_count;
	}
	fflush(stdout);
	_exit(check_failed ? 1 : 0);
}

int main(void)
{
	const char *env = getenv("RING1_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : 20260101;
	struct x86_model host = { .long_mode = true, .smap = true, .x2apic = true };
	unsigned dead = 0, runs = 20, *checks;

	checks = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (checks == MAP_FAILED)
		return 1;
	x86_model_init(&host);
	printf("seed %llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < runs; i++) {
		int status;
		pid_t pid;

		*checks = 0;
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			child_run(&host, seed + i, 2000, checks);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
			printf("signals do not work here as on a plain processor\n");
			return 77;
		}
		check_count += *checks;
		dead += WIFSIGNALED(status);
		check(!WIFEXITED(status) || WEXITSTATUS(status) == 0,
		      "seed %llu, see above", (unsigned long long)seed + i);
	}
	check(dead <= runs / 10, "%u of %u runs died", dead, runs);
	return check_done();
}
