#ifndef VMM_TLB_H
#define VMM_TLB_H
/*
 * The software TLB: guest-linear page -> host address, used by the interpreter
 * in C and by translated code in line (lib/bt knows this layout).
 *
 * An access hits when the tag of its kind equals the page of the address; tags
 * that must not hit hold TLB_NOTAG, which is the page of no address; translated
 * 64-bit code, where [tag ^ address] decides, takes it for that of non-canonical ones:
 * with whatever addend, those give host addresses that fault.  wtag is set only when a plain store needs
 * no one told: page writable for this mode, D set, RAM without MEM_PF_SLOWWRITE.
 * Device memory never hits.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TLB_BITS	10
#define TLB_SIZE	(1u << TLB_BITS)
#define TLB_NOTAG	0x8000000000000001ull

enum tlb_mode {
	TLB_KERNEL,	/* CPL < 3; SMAP, when on, forbids user pages */
	TLB_USER,	/* CPL 3 */
	TLB_KERNEL_AC,	/* CPL < 3 and EFLAGS.AC with SMAP on */
	TLB_MODES
};

struct tlb_entry {
	uint64_t rtag, wtag, xtag;
	uint64_t addend;	/* host address = linear address + addend */
};

struct tlb {
	struct tlb_entry e[TLB_MODES][TLB_SIZE];
	uint8_t global[TLB_MODES][TLB_SIZE];	/* entry survives MOV CR3 */
	uint8_t listed[TLB_MODES][TLB_SIZE];	/* its number stands in list */
	/* Entries filled since they were last dropped, mode * TLB_SIZE + index:
	 * flushes look at these only. */
	uint16_t list[TLB_MODES * TLB_SIZE];
	unsigned nlist;
	bool ready;		/* false: all zeros, never flushed */
	/* Set by another vCPU's thread that has made a page told (vm_protect_page()):
	 * looked at behind every store through a wtag, see vcpu_stored(). */
	_Atomic bool recheck;
	/* Entries from pages above 4 KiB lie in here: INVLPG inside drops all. */
	uint64_t large_lo, large_hi;	/* first byte, last byte; lo > hi: none */
};

void tlb_flush(struct tlb *t);			/* everything; also the first call */
void tlb_flush_nonglobal(struct tlb *t);	/* MOV CR3 with PGE */
void tlb_flush_page(struct tlb *t, uint64_t gva);	/* INVLPG */
/* Entry i of a mode was given tags. */
void tlb_filled(struct tlb *t, enum tlb_mode mode, unsigned i, bool global);
/* Make stores to the host page at hva slow again (it became CODE or PT): of the
 * thread's own vCPU, or one that is stopped. */
void tlb_protect_hva(struct tlb *t, const void *hva);
#endif
