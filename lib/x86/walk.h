#ifndef X86_WALK_H
#define X86_WALK_H
/*
 * Page walks: 2-level (with PSE, PSE-36), PAE and 4-level paging.
 * Source: Intel SDM vol. 3, chapter 4.
 */

#include "x86/cpu.h"

enum x86_walk_access { X86_WALK_R, X86_WALK_W, X86_WALK_X };

/* Whose access it is.  AC: of CPL < 3 with EFLAGS.AC, which lifts SMAP. */
enum x86_walk_priv { X86_WALK_SUPER, X86_WALK_USER, X86_WALK_SUPER_AC };

/* What a walk needs of memory.  Entries are naturally aligned.  cmpxchg returns
 * false when the entry changed meanwhile (the walk then starts again). */
struct x86_walk_mem {
	void *ptr;
	bool (*read)(void *ptr, uint64_t gpa, unsigned size, uint64_t *val);
	bool (*cmpxchg)(void *ptr, uint64_t gpa, unsigned size, uint64_t old,
			uint64_t new);
	/* NULL, or told each page-table page (gpa of its start) that was read */
	void (*table)(void *ptr, uint64_t gpa, unsigned level);
};

struct x86_walk {
	uint64_t gpa;		/* of the byte asked for */
	uint64_t page_size;	/* 4 KiB, 2 MiB, 4 MiB or 1 GiB */
	bool user;		/* user pages: U in every level */
	bool writable;		/* W in every level (CR0.WP not applied) */
	bool exec;		/* no NX in any level (SMEP not applied) */
	bool dirty;		/* D is set in the leaf */
	bool accessed;		/* A in every level (before this walk) */
	bool global;
	uint8_t memtype;	/* PAT index */
};

/*
 * Translate a linear address; sets A, and D for writes, as the processor does.
 *
 * priv       accesses to descriptor tables and TSSs are X86_WALK_SUPER at any
 *            CPL
 * Returns    X86_OK with *w filled, or X86_FAULT with c->exc set to the #PF
 *            (#GP(0) for an address that is not canonical)
 */
int x86_walk(struct x86_cpu *c, const struct x86_walk_mem *m, uint64_t gva,
	     enum x86_walk_access access, enum x86_walk_priv priv,
	     struct x86_walk *w);

/* The same without side effects (no A/D, no exception); false: not mapped. */
bool x86_walk_peek(const struct x86_cpu *c, const struct x86_walk_mem *m,
		   uint64_t gva, struct x86_walk *w);

/* PAE without long mode: (re)load the four PDPTEs from CR3 (MOV CR3, CR0, CR4).
 * Returns X86_FAULT with #GP raised when reserved bits are set. */
int x86_load_pdptes(struct x86_cpu *c, const struct x86_walk_mem *m);
#endif
