#ifndef BT_UNIT_H
#define BT_UNIT_H
/*
 * Translation units, how they are found, chained and dropped.
 *
 * A unit is straight-line guest code of one page (or a single instruction that
 * crosses into the next), known by (guest-physical address, EIP, mode, limit of
 * CS).  The bases of segments are looked up when it runs.  A unit
 * that is dropped keeps its code memory until its arena is recycled, so that a
 * signal frame or a slow path under way never returns into something else.
 *
 * Chaining.  A direct jump ends in a rel32 slot that first leads to a stub which
 * leaves for the dispatcher; the dispatcher patches it to the target:
 *
 *	jcc  slot0 ------> stub0: mov r8d,eip; mov r9,&link; jmp bt_exit
 *	jmp  slot1 ------> target unit's entry (linked)
 *
 * A link is only made where it cannot become stale unnoticed: both ends in one
 * page, or paging off, or the target's page is a global supervisor page (those
 * links are in bt->far_links, undone when such a page is flushed).  Everything
 * else goes through the jump cache, which is flushed with the TLB.  With a base in
 * CS, two units of one page, or any two while paging is off, keep their distance
 * under every base that leads to the first.
 */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "bt/layout.h"
#include "bt/tcache.h"
#include "interp/exec.h"
#include "vmm/vm.h"

#define BT_INSNS_MAX	64

/* Mode: what else a translation depends on.  BT_MODE_NONE: not translatable. */
#define BT_M_VALID	0x001
#define BT_M_USER	0x002	/* CPL 3 (else 0) */
#define BT_M_PAGING	0x004
#define BT_M_DS		0x008	/* segment is usable, flat, 4 GiB, writable */
#define BT_M_ES		0x010
#define BT_M_X87	0x080	/* x87 and MMX do not fault (EM, TS clear) */
#define BT_M_SSE	0x100
#define BT_M_AVX	0x200
#define BT_M_DF		0x400	/* string instructions are left to the interpreter */
#define BT_M_TSC	0x800	/* RDTSC is allowed here */
#define BT_M_SEG	0x1000	/* bases and limits are looked at (then no DS, ES) */
#define BT_M_CODE16	0x2000	/* with SEG: 16-bit code */
#define BT_M_STACK16	0x4000	/* with SEG: SP, not ESP */
#define BT_M_REAL	0x8000	/* with SEG: not protected; V86 with USER */
#define BT_M_LONG	0x10000	/* 64-bit code: no segments but FS and GS bases */
#define BT_M_HIGH	0x20000	/* with LONG, CPL 0: windows are of the upper half */
#define BT_M_NOWIN	0x40000	/* with LONG: window_refused(), all is soft */
#define BT_MODE_NONE	0

struct bt_unit;

struct bt_link {
	struct bt_unit *from, *to;	/* to: NULL when not linked */
	uint8_t *slot;			/* the rel32, writable mapping */
	const uint8_t *stub;		/* where it leads unlinked */
	const uint8_t *lookup;		/* where it leads when it cannot be linked; or NULL */
	uint64_t eip;			/* the target's */
	bool loop;			/* to its own unit's entry_loop, with registers away */
	bool returns;			/* the slot is an LEA's: "Returns" below */
	/* "Inline caches" below: the displacement that compares eip, writable mapping;
	 * it was filled, and eip stays what it is. */
	uint8_t *compared;
	bool filled;
	struct bt_link *next_in, **prev_in;	/* of to->incoming */
	struct bt_link *next_far, **prev_far;	/* bt->far_links, prev NULL: not in */
};

struct bt_site {
	uint16_t host;		/* offset of its first host byte in the unit */
	uint8_t guest;		/* offset of the guest instruction from eip */
	uint8_t index : 7;	/* of the guest instruction in the unit */
	uint8_t flags_in_r12 : 1;	/* the guest's flags are in R12, not the host's */
	uint8_t string : 2;	/* a REP with host pointers: 1 in RDI, 2 in RSI too */
	uint8_t faults : 6;	/* how often it left here */
	uint8_t fills;		/* how often a page or few were mapped for it */
	/* 64-bit: this register is at T_TMP; X86_NOREG: none */
	uint8_t borrowed;
	/* 64-bit, in a window: what it accesses is base + (index << scale) + disp in seg,
	 * where X86_RIP stands for the unit's own address. */
	uint8_t ea_base, ea_index, ea_scale, ea_seg;
	bool ea32;
	/* 64-bit: where a fault leaves by, for the flags are lost; an offset in the unit,
	 * 0: they are not.  While it is generated: recipe_now. */
	uint16_t fix;
	int32_t disp;
};

/* An instruction that C executes from inside a unit. */
struct bt_callout {
	struct x86_insn in;
	interp_fn *fn;
	uint64_t eip, next;
	bool mode;		/* it may change what units depend on */
};

/* A site that has pages mapped one by one this often is made soft. */
#define BT_SITE_FILLS_MAX 32

/* A unit with soft sites gets windows again after so many executions. */
#define BT_RETRY_COUNT	200000u
#define BT_TRIES_MAX	7	/* 200000 << 14 is the last that fits in 32 bits */

struct bt_pageref {
	struct bt_unit *unit;
	struct bt_pageref *next, **prev;
};

/*
 * Inline caches of 32-bit code.  An indirect JMP or CALL compares where it goes with
 * where it went before, and has a link for each of those:
 *
 *	mov r10,rcx
 *	lea ecx,[r8-eip0+1]; loop next; mov rcx,r10; jmp slot0
 *	next: ... slot1, slot2, slot3
 *	mov rcx,r10; jmp miss		leaves to have the next one filled; when all
 *	miss: the jump cache		are, or none can be, leads behind itself
 *
 * A slot and a compared value are each inside 8 aligned bytes.  The value is written
 * once, after the slot; from then on the slot leads to code for that EIP, or, unlinked,
 * out to be linked again.  So whoever sees the value sees code for it.  Until then it is
 * anything, for the slot's first target takes any EIP.  The links are made and undone
 * as those of direct jumps.
 */
#define BT_ICACHE	4
#define BT_ICACHE_TRIES	2	/* so many targets that cannot be linked: no more */
#define BT_LINKS_MAX	(BT_ICACHE + 1)	/* of a unit: those and a return */

#define BT_AWAY		4	/* registers that a loop puts away */

struct bt_icache {
	uint8_t *miss;			/* NULL: none */
	const uint8_t *lookup;		/* where that leads when it leaves no more */
	uint8_t filled, tries;
};

struct bt_unit {
	/* What unit_find() looks at, in one line of the host's cache */
	uint64_t gpa, eip;
	struct bt_unit *hash_next;
	uint32_t mode;
	uint32_t limit;		/* of CS, which it is known to stay inside */
	uint16_t len, nsites;	/* guest bytes, sites */
	uint16_t exit_off;	/* where the exit sequence begins */
	int32_t exit_rsp;	/* 64-bit: what its indirect jump has added to RSP */
	uint8_t form;		/* enum bt_form: BT_SOFT or BT_WINDOW */
	bool dead, fpu;
	uint8_t tries;		/* how often soft sites became windows again */
	bool looks_up;		/* an exit goes through the jump or return cache */
	bool plain;		/* its indirect jump is to have no inline cache */
	uint64_t gpa2;		/* page of the second part when crossing, else 0 */
	const uint8_t *code;	/* executable mapping */
	uint32_t code_len;
	/* From a link (with the FPU state loaded), the jump cache (32-bit code: as from a
	 * link), the return cache: */
	const uint8_t *entry, *entry_fpu, *entry_lookup, *entry_return;
	/* 64-bit loops: behind what comes first, with these registers at T_LOOP. */
	const uint8_t *entry_loop;
	uint8_t naway, away[BT_AWAY];
	uint32_t *counter;	/* writable mapping */
	struct bt_callout *insn;	/* --verify, owned: all of them, npure translated ones first */
	uint64_t called;		/* the instructions that are callouts */
	uint8_t ninsns, npure;
	uint32_t runs;			/* --verify: how often it was entered */
	struct bt_link *link;
	unsigned nlinks;
	struct bt_icache icache;
	struct bt_link *incoming;
	struct bt_pageref page[2];
	uint64_t soft;		/* instructions that must be soft */
	struct bt_site *site;
};

/*
 * The jump cache: (E|R)IP -> host code, for jumps that are not linked.  A tag holds
 * it and, above it, the generation of the mode and CS it was entered under; a
 * flush only takes new generations.
 */
struct bt_jentry {
	uint64_t tag;		/* jcache_tag(); 0: empty */
	const uint8_t *code;
};

#define BT_JC_SIZE	(1u << BT_JC_BITS)
#define BT_JC_MODES	24

/*
 * Returns.  CALL writes where its return will go on to the return cache, by the
 * low byte of the return EIP; RET jumps through it, and what it finds compares
 * the EIP.  The address written is that of the unit behind the CALL, through a
 * link like any other whose slot is the displacement of an LEA:
 *
 *	call:	push; lea r9,[slot0]; mov r10,[H_RETURNS_W]; mov [r10+8*low],r9
 *		jmp slot1
 *	ret:	pop r8d; mov r9,[H_RETURNS]; movzx r10d,r8b; jmp [r9+8*r10]
 *	behind:	mov r10,rcx; lea ecx,[r8-eip+1]; loop lookup; mov rcx,r10; ...
 *
 * LOOP is a comparison that leaves the flags alone, and a hit falls through.
 *
 * A mode has a return cache of its own, emptied at every flush and when code
 * memory is recycled: what stands in it was linked since, and stands as links do.
 */
#define BT_RETURNS	256
/* In front of entry_return, so many bytes, stands a jump to the jump cache. */
#define BT_RETURN_BACK	7

struct bt_jmode {
	uint32_t mode, gen;
	uint32_t cs_base, cs_limit;
	bool nonglobal;		/* the kernel's: holds what MOV CR3 flushes */
	bool returned;		/* returns[] is not empty, or may not be */
	const uint8_t *returns[BT_RETURNS];
};

struct bt_jcache {
	struct bt_jentry e[BT_JC_SIZE];
	struct bt_jmode mode[BT_JC_MODES];
	unsigned nmodes;
	uint32_t gen;		/* last one given out */
	/* Bitmap of the pages inserted, by their number's low 20 bits, and the words
	 * of it that are not 0. */
	uint64_t pages[(1u << 20) / 64];
	uint16_t touched[(1u << 20) / 64];
	unsigned ntouched;
};

#define BT_HASH_BITS	16

/* Counted by the whole VM, in struct bt. */
struct bt_stats {
	uint64_t units, insns, host_bytes, guest_bytes, drops, promoted, softened, retried, patched;
	uint64_t icache_entries, icaches_closed;
	uint64_t links, evictions, awaited;
	uint64_t window_fills, windows, window_drops, window_checks, windows_refused;
};

/* Counted by each vCPU. */
struct bt_vcpu_stats {
	uint64_t exits[16], steps, callouts, tlb_misses, seg_faults, kicks, untranslatable;
	uint64_t kicks_left, kick_cycles, kick_cycles_max;	/* from a kick to leaving */
};

struct bt_window_set;
#define BT_GUARDS 257

/*
 * Starts of units that stores keep dropping.  Translating costs some fifty times
 * what interpreting an instruction does: from the fourth drop on the instruction
 * there is interpreted, and a unit made only when the bytes have stood for a while:
 * for 16 executions, twice as many at each further drop.
 */
struct bt_patched {
	uint64_t gpa;
	uint16_t drops, runs;	/* runs: interpreted since the last drop */
};

#define BT_PATCHED		1024	/* by a hash; a newer one takes the place */
#define BT_PATCHED_DROPS	4
#define BT_PATCHED_RUNS		16u
#define BT_PATCHED_DROPS_MAX	12	/* that is 4096 executions */

struct bt {
	struct vm *vm;
	bool smp;			/* several vCPUs: see smp.h */
	_Atomic(struct bt_vcpu *) awaited;
	struct tcache tc;
	struct bt_unit **hash;
	struct bt_pageref **page;	/* units by page of the memfd */
	struct bt_patched patched[BT_PATCHED];
	struct bt_link *far_links;
	uint64_t *far_pages;		/* bitmap of linear pages that far links end in */
	bool can_window, want_mixed, verify;
	bool high_soft;			/* no room for the upper halves' windows: all are soft */
	/* Around multiples of 512 GiB of this process nothing else is mapped: 1; 2: there
	 * is; 0: it was not tried. */
	uint8_t guard[BT_GUARDS];
	uint8_t slot[BT_GUARDS - 1];	/* the 512 GiB between them: 1 a window's; 2 not free */
	struct bt_stats stats;
};

struct bt_vcpu {
	struct bt *bt;
	struct vcpu *v;
	struct bt_jcache jc;
	struct bt_jmode *jmode;		/* of mode */
	bool leave;			/* the guest flushed something: leave the unit */
	uint32_t mode;			/* of what runs now */
	uint32_t cs_base, cs_limit;
	void *altstack;
	timer_t retry;			/* sends a kick again */
	bool have_retry;
	struct bt_vcpu_stats stats;
	uint64_t kick_tsc;		/* of a kick that translated code has not left for */
	struct bt_unit *fault_unit;	/* of the last BT_EXIT_FAULT */
	struct bt_site *fault_site;	/* NULL: it is not to be blamed */
	struct bt_window_set *windows;	/* NULL: soft form only */
	uint64_t wide_mask;		/* of the 64-bit window in use, 0: none; see window.h */
	struct bt_verify *verify;	/* NULL: off */
};

/* engine_ops.print_stats */
void bt_print_stats(struct vm *vm, void (*put)(void *, const char *, uint64_t),
		    void *ptr);

/* Set b->mode and what belongs to it from the state in b->v->cpu. */
void bt_mode_set(struct bt_vcpu *b);

static inline uint32_t bt_jc_index(uint64_t rip)
{
	uint32_t eip = (uint32_t)rip;

	return (eip + (eip >> 10 | eip << 22)) & (BT_JC_SIZE - 1);
}

/* In long mode a supervisor's 32-bit code, which is rare, has no windows. */
static inline bool bt_can_window(const struct bt_vcpu *b)
{
	return b->bt->can_window && !(b->bt->high_soft && b->mode & BT_M_HIGH) &&
	       !(b->mode & BT_M_NOWIN) &&
	       (!b->v->cpu.long_mode || b->mode & (BT_M_LONG | BT_M_USER));
}

/* The linear address of (E|R)IP. */
static inline uint64_t bt_linear(const struct bt_vcpu *b, uint64_t eip)
{
	return b->mode & BT_M_LONG ? eip : (uint32_t)(b->cs_base + eip);
}

struct bt_unit *unit_find(struct bt *bt, uint64_t gpa, uint64_t eip, uint32_t mode,
			  uint32_t limit);

/* Does eip, in the segment u runs in, lie in u's (first) page? */
static inline bool unit_same_page(const struct bt_unit *u, uint64_t eip)
{
	int64_t off = (int64_t)(u->gpa & ~PAGE_MASK) +
		      (u->mode & BT_M_LONG ? (int64_t)(eip - u->eip) : (int32_t)(eip - u->eip));

	return off >= 0 && off < (int64_t)PAGE_SIZE;
}

/* Is a link from u to eip never refused (run.c, linkable())?  A unit that may go on in
 * the next page depends on more than u's does. */
static inline bool unit_links_surely(const struct bt_unit *u, uint64_t eip)
{
	uint64_t off = (u->gpa + (eip - u->eip)) & ~PAGE_MASK;

	return !(u->mode & BT_M_PAGING) ||
	       (unit_same_page(u, eip) && !u->gpa2 && off <= PAGE_SIZE - X86_INSN_MAX);
}

void unit_insert(struct bt *bt, struct bt_unit *u);
/* What it owns; the unit itself goes with its arena. */
void unit_free(struct bt_unit *u);
/* Drop one unit: nothing leads to it any more. */
void unit_drop(struct bt *bt, struct bt_unit *u);
void unit_drop_all(struct bt *bt);

/* Guest memory [gpa, gpa+len) of one page changed. */
void unit_written(struct bt *bt, uint64_t gpa, uint64_t len);
/* There is no unit at gpa: is the interpreter to execute the instruction, for code
 * there is being patched? */
bool unit_patched(struct bt *bt, uint64_t gpa);

void link_set(struct bt *bt, struct bt_link *l, struct bt_unit *to, bool far);
void link_clear(struct bt *bt, struct bt_link *l);
/* It cannot be linked: by the jump cache from now on. */
void link_refuse(struct bt *bt, struct bt_link *l);
void link_clear_far(struct bt *bt);
/* Have u's inline cache lead to `to` from now on; false: all of it is used up. */
bool icache_link(struct bt *bt, struct bt_unit *u, struct bt_unit *to, bool far);
/* It leads where it does, the rest is for the jump cache. */
void icache_close(struct bt *bt, struct bt_unit *u);

/*
 * What an entry for eip holds in a mode.  Bits 48-63 of a RIP are all equal (what looks
 * one up has made sure), and a generation has 15 bits and is not 0: of 64-bit tags those
 * bits are neither all 0 nor all 1.  32-bit code adds what it looks for, and compares
 * the sum with 1 (emit_loop); the upper bits of its tags are all 1.  So no two tags are
 * the same.
 */
static inline uint64_t jcache_tag(const struct bt_jmode *m, uint64_t eip)
{
	return m->mode & BT_M_LONG ? (uint64_t)m->gen << 48 ^ eip :
				     1 - ((uint64_t)m->gen << 32 | eip);
}

/* The code for eip, an entry_lookup; or NULL. */
static inline const uint8_t *jcache_find(const struct bt_jcache *j,
					 const struct bt_jmode *m, uint64_t eip)
{
	const struct bt_jentry *e = &j->e[bt_jc_index(eip)];

	/* SYSRET may go anywhere. */
	if (m->mode & BT_M_LONG && (uint64_t)((int64_t)(eip << 16) >> 16) != eip)
		return NULL;
	return e->tag == jcache_tag(m, eip) ? e->code : NULL;
}

static inline bool jmode_is(const struct bt_jmode *m, uint32_t mode, uint32_t cs_base,
			    uint32_t cs_limit)
{
	return m->mode == mode && m->cs_base == cs_base && m->cs_limit == cs_limit;
}

/* The entry of a mode, made when there is none. */
struct bt_jmode *jcache_mode(struct bt_jcache *j, uint32_t mode, uint32_t cs_base,
			     uint32_t cs_limit);
void jcache_insert(struct bt_jcache *j, const struct bt_jmode *m, const struct bt_unit *u);
enum jcache_what { JCACHE_ALL, JCACHE_NONGLOBAL };
void jcache_flush(struct bt_jcache *j, enum jcache_what what);
void jcache_flush_page(struct bt_jcache *j, uint64_t gva);

/* What RET finds where nothing is known. */
extern const uint8_t *const bt_returns_none[BT_RETURNS];
/* Empty a vCPU's return caches of all modes. */
void returns_forget(struct bt_vcpu *b);
#endif
