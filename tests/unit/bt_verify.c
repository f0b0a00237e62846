/*
 * Does the lock-step see what it is there to see?  A unit is compared with what the
 * interpreter leaves, first as it is, then with one thing wrong.
 */
#include "check.h"
#include "bt_rig.h"
#include "bt/gen.h"
#include "bt/verify.h"

static struct rig bt;
static struct bt_unit *unit;

/* mov eax,[DATA0]; add [DATA1],eax; sldt ecx; mov edi,DATA1+0x100; mov ecx,3;
 * rep stosd; mov edx,[DATA0+8]; jmp $ */
static const uint8_t code32[] = {
	0xa1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x05, 0x00, 0x10, 0x03, 0x00, 0x0f, 0x00, 0xc1,
	0xbf, 0x00, 0x11, 0x03, 0x00, 0xb9, 0x03, 0x00, 0x00, 0x00, 0xf3, 0xab,
	0x8b, 0x15, 0x08, 0x00, 0x03, 0x00, 0xeb, 0xfe,
};

/* The same with RBX = DATA0, RSI = DATA1: mov rax,[rbx]; add [rsi],rax; sldt r9d;
 * lea rdi,[rsi+0x100]; mov ecx,3; rep stosd; mov r15,[rbx+8]; jmp $ */
static const uint8_t code64[] = {
	0x48, 0x8b, 0x03, 0x48, 0x01, 0x06, 0x41, 0x0f, 0x00, 0xc1,
	0x48, 0x8d, 0xbe, 0x00, 0x01, 0x00, 0x00, 0xb9, 0x03, 0x00, 0x00, 0x00, 0xf3, 0xab,
	0x4c, 0x8b, 0x7b, 0x08, 0xeb, 0xfe,
};

#define PML4	RIG_PD
#define PDPT	(RIG_PD + 0x1000)
#define PD	(RIG_PD + 0x2000)
#define PT	(RIG_PD + 0x3000)
#define GIB	(1ull << 30)

enum wrong { NOTHING, REGISTER, FLAG, MEMORY, REP_MEMORY, ACCESSED, DIRTY, DIRTY_READ,
	     SYSTEM, UPPER, LEFT_EARLY };

/* Where data is read from, and written to; the entries that map it; one above. */
static const struct place {
	const char *name;
	bool long_mode;
	uint64_t data0, data1;
	uint32_t leaf0, leaf1, upper;
} places[] = {
	{ "32-bit code", false, RIG_DATA, RIG_DATA + 0x1000,
	  RIG_PT + 4 * (RIG_DATA >> 12), RIG_PT + 4 * (RIG_DATA >> 12) + 4, 0 },
	{ "64-bit code", true, RIG_DATA, RIG_DATA + 0x1000,
	  PT + 8 * (RIG_DATA >> 12), PT + 8 * (RIG_DATA >> 12) + 8, PD },
	{ "upper half", true, 0xffff880000000000 + RIG_DATA, 0xffff880000000000 + RIG_DATA + 0x1000,
	  PT + 8 * (RIG_DATA >> 12), PT + 8 * (RIG_DATA >> 12) + 8, PML4 + 8 * 272 },
	{ "pages of 1 GiB", true, GIB + RIG_DATA, 2 * GIB + RIG_DATA + 0x1000,
	  PDPT + 8, PDPT + 16, 0 },
}, *at;

/* Where DATA1 is in memory. */
static uint8_t *data1(void)
{
	return rig_at(&bt, RIG_DATA + 0x1000);
}

static void prepare64(struct x86_cpu *c)
{
	uint8_t *low = rig_at(&bt, 0);

	le32_put(low + RIG_GDT + RIG_CS0 + 4, 0x00af9b00);
	memset(low + PML4, 0, 4 * 4096);
	le64_put(low + PML4, PDPT | 7);
	le64_put(low + PML4 + 8 * 272, PDPT | 7);
	le64_put(low + PDPT, PD | 7);
	le64_put(low + PDPT + 8, 0x87);
	le64_put(low + PDPT + 16, 0x87);
	le64_put(low + PD, PT | 7);
	for (uint32_t i = 0; i < RIG_MEM >> 12; i++)
		le64_put(low + PT + 8 * i, i << 12 | 7);
	rig_cpu(c, RIG_FLAT, 0);
	c->cr0 |= X86_CR0_PG;
	c->cr4 |= X86_CR4_PAE;
	c->cr3 = PML4;
	c->efer = X86_EFER_LME | X86_EFER_LMA;
	c->seg[X86_CS].attr = (c->seg[X86_CS].attr & ~X86_SEG_DB) | X86_SEG_L;
	c->gpr[X86_RBX] = at->data0;
	c->gpr[X86_RSI] = at->data1;
	x86_cpu_update_mode(c);
}

static void prepare(void)
{
	struct vcpu *v = bt.v;

	rig_tables(rig_at(&bt, 0));
	memset(rig_at(&bt, RIG_DATA), 0x11, RIG_DATA_LEN);
	if (at->long_mode)
		mem_write(bt.vm.mem, RIG_CODE, code64, sizeof(code64));
	else
		mem_write(bt.vm.mem, RIG_CODE, code32, sizeof(code32));
	if (at->long_mode)
		prepare64(&v->cpu);
	else
		rig_cpu(&v->cpu, RIG_2LEVEL, 0);
	tlb_flush(&v->tlb);
	bt.ops->sync_in(v);
}

/* What the translated unit does, done by the interpreter, and what goes wrong. */
static unsigned execute(enum wrong w)
{
	struct vcpu *v = bt.v;
	unsigned n = w == LEFT_EARLY ? 3 : unit->npure;

	tlb_flush(&v->tlb);
	for (unsigned i = 0; i < n; i++)
		interp_step(v);
	switch (w) {
	case REGISTER: v->cpu.gpr[at->long_mode ? X86_R15 : X86_RDX] ^= 0x100; break;
	case FLAG: v->cpu.rflags ^= X86_FL_CF; break;
	case MEMORY: data1()[2] ^= 1; break;
	case REP_MEMORY: data1()[0x10b] ^= 1; break;
	case ACCESSED: *rig_at(&bt, at->leaf0) &= 0xdf; break;
	case DIRTY: *rig_at(&bt, at->leaf1) &= 0xbf; break;
	case DIRTY_READ: *rig_at(&bt, at->leaf0) |= 0x40; break;
	case SYSTEM: v->cpu.gdtr.base ^= 8; break;
	case UPPER: *rig_at(&bt, at->upper) &= 0xdf; break;
	default: break;
	}
	return w == LEFT_EARLY ? BT_EXIT_STEP : BT_EXIT_LINK;
}

static void one(enum wrong w, bool found)
{
	struct bt_vcpu *b = bt.v->engine;
	int rc;

	prepare();
	bt_mode_set(b);
	verify_begin(b->verify, unit);
	check(!((*rig_at(&bt, at->leaf0) | *rig_at(&bt, at->leaf1)) & 0x60) &&
	      data1()[0x100] == 0x11, "%s: the interpreter's run was not taken back", at->name);
	rc = verify_end(b->verify, unit, execute(w));
	check(found == (rc < 0), "%s, case %u: %d %s", at->name, w, rc, bt.v->err.msg);
	bt.v->err = (struct err){ 0 };
}

static void all_at(const struct place *place)
{
	struct bt_vcpu *b = bt.v->engine;
	uint64_t gpa;

	at = place;
	prepare();
	bt_mode_set(b);
	check(vcpu_fetch_gpa(bt.v, RIG_CODE, &gpa) == X86_OK, "%s: no code", at->name);
	unit = bt_translate(b->bt, b, gpa, RIG_CODE, BT_SOFT, 0, false);
	check(unit->npure == 8 && unit->called, "%s: %u instructions", at->name, unit->npure);
	one(NOTHING, false);
	one(LEFT_EARLY, false);
	for (enum wrong w = REGISTER; w <= UPPER; w++)
		if (w != UPPER || at->upper)
			one(w, true);
}

int main(void)
{
	rig_new(&bt, &bt_engine, BT_SOFT, true);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		all_at(&places[i]);
	rig_free(&bt);
	return check_done();
}
