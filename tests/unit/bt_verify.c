/*
 * Does the lock-step see what it is there to see?  A unit is compared with what the
 * interpreter leaves, first as it is, then with one thing wrong.
 */
#include "check.h"
#include "bt_rig.h"
#include "bt/gen.h"
#include "bt/verify.h"

#define DATA0	RIG_DATA		/* read by the code below */
#define DATA1	(RIG_DATA + 0x1000)	/* written */

static struct rig bt;
static struct bt_unit *unit;

/* mov eax,[DATA0]; add [DATA1],eax; sldt ecx; mov edi,DATA1+0x100; mov ecx,3;
 * rep stosd; mov edx,[DATA0+8]; jmp $ */
static const uint8_t code[] = {
	0xa1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x05, 0x00, 0x10, 0x03, 0x00, 0x0f, 0x00, 0xc1,
	0xbf, 0x00, 0x11, 0x03, 0x00, 0xb9, 0x03, 0x00, 0x00, 0x00, 0xf3, 0xab,
	0x8b, 0x15, 0x08, 0x00, 0x03, 0x00, 0xeb, 0xfe,
};

enum wrong { NOTHING, REGISTER, FLAG, MEMORY, REP_MEMORY, ACCESSED, DIRTY, DIRTY_READ,
	     SYSTEM, LEFT_EARLY };

static uint8_t *pte(uint32_t gva)
{
	return rig_at(&bt, RIG_PT + 4 * (gva >> 12));
}

static void prepare(void)
{
	struct vcpu *v = bt.v;

	rig_tables(rig_at(&bt, 0));
	memset(rig_at(&bt, RIG_DATA), 0x11, RIG_DATA_LEN);
	memcpy(rig_at(&bt, RIG_CODE), code, sizeof(code));
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
	case REGISTER: v->cpu.gpr[X86_RDX] ^= 0x100; break;
	case FLAG: v->cpu.rflags ^= X86_FL_CF; break;
	case MEMORY: rig_at(&bt, DATA1)[2] ^= 1; break;
	case REP_MEMORY: rig_at(&bt, DATA1)[0x10b] ^= 1; break;
	case ACCESSED: *pte(DATA0) &= 0xdf; break;
	case DIRTY: *pte(DATA1) &= 0xbf; break;
	case DIRTY_READ: *pte(DATA0) |= 0x40; break;
	case SYSTEM: v->cpu.gdtr.base ^= 8; break;
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
	check(!((*pte(DATA0) | *pte(DATA1)) & 0x60) && rig_at(&bt, DATA1)[0x100] == 0x11,
	      "the interpreter's run was not taken back");
	rc = verify_end(b->verify, unit, execute(w));
	check(found == (rc < 0), "case %u: %d %s", w, rc, bt.v->err.msg);
	bt.v->err = (struct err){ 0 };
}

int main(void)
{
	struct bt_vcpu *b;
	uint64_t gpa;

	rig_new(&bt, &bt_engine, BT_SOFT, true);
	prepare();
	b = bt.v->engine;
	bt_mode_set(b);
	check(vcpu_fetch_gpa(bt.v, RIG_CODE, &gpa) == X86_OK, "no code");
	unit = bt_translate(b->bt, b, gpa, RIG_CODE, BT_SOFT, 0, false);
	check(unit->npure == 8 && unit->called, "the unit: %u instructions", unit->npure);
	one(NOTHING, false);
	one(LEFT_EARLY, false);
	for (enum wrong w = REGISTER; w <= SYSTEM; w++)
		one(w, true);
	rig_free(&bt);
	return check_done();
}
