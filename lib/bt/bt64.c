#include "bt/bt64.h"

#include "bt/layout.h"
#include "bt/layout64.h"
#include "bt/tls64.h"
#include "bt/window.h"
#include "vmm/access.h"
#include "x86/walk.h"

void bt64_enter(struct vcpu *v, const void *code);
int bt64_tlb_miss_c(struct vcpu *v, uint64_t gva);
void bt64_miss_leave(struct vcpu *v);
int bt64_callout_c(struct vcpu *v, const struct bt_callout *co);
int bt_callout_c(struct vcpu *v, const struct bt_callout *co);
extern const char bt64_exit[], bt64_tlb_miss[], bt64_callout[], bt64_fpu_load[];

#define X87_FSW_ES	0x80	/* exception summary, in FSW's low byte */

/* The thread's words; a thread may run one vCPU after another. */
static void thread_init(struct bt_vcpu *b)
{
	*bt_tls_word(T_VCPU) = (uintptr_t)b->v;
	*bt_tls_word(T_JC) = (uintptr_t)b->jc.e;
	*bt_tls_word(T_FPU_FN) = (uintptr_t)bt64_fpu_load;
	*bt_tls_word(T_EXIT) = (uintptr_t)bt64_exit;
	*bt_tls_word(T_TLB_MISS) = (uintptr_t)bt64_tlb_miss;
	*bt_tls_word(T_CALLOUT) = (uintptr_t)bt64_callout;
}

/* T_TLB's, as STAC and CLAC leave it, whatever CR4.SMAP is. */
static enum tlb_mode tlb_mode(const struct bt_vcpu *b)
{
	if (b->mode & BT_M_USER)
		return TLB_USER;
	return b->v->hot[H_AC] ? TLB_KERNEL_AC : TLB_KERNEL;
}

/* What translated code reads of the guest's state. */
static void sync_in(struct bt_vcpu *b)
{
	struct vcpu *v = b->v;

	*bt_tls_word(T_TLB) = (uintptr_t)v->tlb.e[tlb_mode(b)];
	*bt_tls_word(T_FSBASE) = v->cpu.seg[X86_FS].base;
	*bt_tls_word(T_GSBASE) = v->cpu.seg[X86_GS].base;
	*bt_tls_word(T_MASK) = b->wide_mask;
	*bt_tls_word(T_NMASK) = ~b->wide_mask;
	*bt_tls_word(T_WINDOW) = v->hot[H_GSBASE];
}

static bool canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

/* Where it left, from T_SITE; 0 there: C or glue has said so itself. */
static void decode_exit(struct bt_vcpu *b)
{
	struct vcpu *v = b->v;
	uint32_t site = (uint32_t)*bt_tls_word(T_SITE);
	unsigned reason = site >> TS_REASON, number = site & 0xffff;
	struct bt_unit *u = (void *)(uintptr_t)*bt_tls_word(T_UNIT);

	if (!site)
		return;
	v->hot[H_REASON] = reason;
	switch (reason) {
	case BT_EXIT_LOOKUP:
		v->cpu.rip = *bt_tls_word(T_RIP);
		if (canonical(v->cpu.rip))
			break;
		/* The jump is what faults: as if it had not been executed. */
		v->cpu.gpr[X86_RSP] -= (uint64_t)(int64_t)u->exit_rsp;
		v->cpu.rip = u->eip + number;
		v->hot[H_REASON] = BT_EXIT_STEP;
		break;
	case BT_EXIT_LINK:
		v->cpu.rip = u->link[number].eip;
		v->hot[H_ARG] = (uintptr_t)&u->link[number];
		break;
	default:
		v->cpu.rip = u->eip + number;
		v->hot[H_ARG] = (uintptr_t)u;
	}
}

void bt64_run(struct bt_vcpu *b, const uint8_t *code)
{
	thread_init(b);
	sync_in(b);
	*bt_tls_word(T_JTAG) = b->verify ? BT64_JTAG_NONE : (uint64_t)b->jmode->gen << 48;
	bt64_enter(b->v, code);
	decode_exit(b);
}

void bt64_jtag_off(void)
{
	*bt_tls_word(T_JTAG) = BT64_JTAG_NONE;
}

/* Leave at the instruction whose lookup missed; the glue has stored the registers. */
static void leave_at_miss(struct vcpu *v, unsigned reason)
{
	uint32_t what = (uint32_t)*bt_tls_word(T_SITE);
	const struct bt_unit *u = (void *)(uintptr_t)*bt_tls_word(T_UNIT);
	const struct bt_site *s = &u->site[what >> TS_SITE];

	if (s->borrowed != X86_NOREG)
		v->cpu.gpr[s->borrowed] = *bt_tls_word(T_TMP);
	for (unsigned i = 0; i < u->naway; i++)
		v->cpu.gpr[u->away[i]] = bt64_away(i);
	v->cpu.rip = u->eip + s->guest;
	v->hot[H_REASON] = reason;
	*bt_tls_word(T_SITE) = 0;
}

void bt64_miss_leave(struct vcpu *v)
{
	leave_at_miss(v, BT_EXIT_REQ);
}

/* Can the access be tried again? */
static bool fill(struct bt_vcpu *b, uint64_t gva, unsigned what)
{
	struct vcpu *v = b->v;
	enum tlb_mode m = tlb_mode(b);
	const struct tlb_entry *e = &v->tlb.e[m][gva >> PAGE_SHIFT & (TLB_SIZE - 1)];
	bool write = what & BT_MISS_WRITE;
	uint64_t gpa, tag, drops = b->bt->stats.drops;

	/* #GP and #MF come before the walk, which sets A and D. */
	if (!canonical(gva) || gva & what >> BT_MISS_ALIGN ||
	    (what & BT_MISS_FP && v->cpu.xsave[2] & X87_FSW_ES) ||
	    (gva & ~PAGE_MASK) > PAGE_SIZE - 64)
		return false;
	if (tlb_fill(v, gva, write ? X86_WALK_W : X86_WALK_R, m, &gpa) != X86_OK)
		return false;
	tag = write ? e->wtag : e->rtag;
	/* drops: A or D was set in bytes that are code, too */
	return tag == (gva & PAGE_MASK) && drops == b->bt->stats.drops;
}

int bt64_tlb_miss_c(struct vcpu *v, uint64_t gva)
{
	struct bt_vcpu *b = v->engine;
	uint32_t what = (uint32_t)*bt_tls_word(T_SITE);
	const struct bt_unit *u = (void *)(uintptr_t)*bt_tls_word(T_UNIT);

	b->stats.tlb_misses++;
	if (!fill(b, gva, what >> TS_MISS & 0xff)) {
		leave_at_miss(v, BT_EXIT_STEP);
		return 1;
	}
	*bt_tls_word(T_RET) = (uintptr_t)u->code + (what & ((1u << TS_MISS) - 1));
	return 0;
}

int bt64_callout_c(struct vcpu *v, const struct bt_callout *co)
{
	int r = bt_callout_c(v, co);

	if (r == BT_CALLOUT_ON) {
		if (co->mode)
			sync_in(v->engine);
		return 0;
	}
	v->hot[H_REASON] = r == BT_CALLOUT_FAULT ? BT_EXIT_RAISE : BT_EXIT_REQ;
	*bt_tls_word(T_SITE) = 0;
	return 1;
}

uint64_t bt64_site_ea(const struct bt_unit *u, const struct bt_site *s, uint64_t gpr[16])
{
	uint64_t ea = (uint64_t)(int64_t)s->disp;

	gpr[X86_R15] = *bt_tls_word(T_R15);
	if (s->borrowed != X86_NOREG)
		gpr[s->borrowed] = *bt_tls_word(T_TMP);
	if (s->ea_base == X86_RIP)
		ea += u->eip;
	else if (s->ea_base != X86_NOREG)
		ea += gpr[s->ea_base];
	if (s->ea_index != X86_NOREG)
		ea += gpr[s->ea_index] << s->ea_scale;
	if (s->ea32)
		ea = (uint32_t)ea;
	if (s->ea_seg == X86_FS || s->ea_seg == X86_GS)
		ea += *bt_tls_word(s->ea_seg == X86_FS ? T_FSBASE : T_GSBASE);
	return ea;
}

uint64_t bt64_string_gva(const struct bt_vcpu *b, bool di, uint64_t hva)
{
	uint64_t began = *bt_tls_word(di ? T_DI : T_SI);
	uint64_t folded = b->mode & BT_M_HIGH ? began | ~b->wide_mask : began & b->wide_mask;

	return began + (hva - folded - *bt_tls_word(T_WINDOW));
}

uint64_t bt64_away(unsigned i)
{
	return *bt_tls_word(T_LOOP + 8 * i);
}

const void *bt64_leave_at(struct bt_unit *u, const struct bt_site *s, uint64_t *borrowed)
{
	*borrowed = *bt_tls_word(T_TMP);
	*bt_tls_word(T_SITE) = (uint32_t)BT_EXIT_FAULT << TS_REASON | s->guest;
	*bt_tls_word(T_UNIT) = (uintptr_t)u;
	return s->fix ? (const void *)(u->code + s->fix) : bt64_exit;
}
