#ifndef DEV_BUSLOGIC_IMPL_H
#define DEV_BUSLOGIC_IMPL_H
/* What buslogic.c and buslogic_ccb.c share. */

#include "base/le.h"
#include "dev/buslogic.h"

enum { BL_INT_IN = 1, BL_INT_OUT = 2, BL_INT_DONE = 4, BL_INT_RESET = 8, BL_INT_VALID = 0x80 };

enum { BL_CCB = 40, BL_PARAMS = 8, BL_REPLY = 256, BL_ACTIVE_MAX = 256,
       BL_CDB_MAX = 12 };

struct bl_req {
	struct scsi_req s;
	struct buslogic *b;
	uint32_t ccb;			/* its address */
	uint32_t sense_addr, data_len;
	uint8_t sense_len;
	bool residual;			/* the CCB wants to know it */
	uint8_t host, code;		/* how it ended */
	struct bl_req *next, **prev;	/* of those under way, waiting, or free */
};

struct buslogic {
	struct pci_fn fn;
	struct vm *vm;
	struct scsi_bus bus;
	/* Registers */
	uint8_t status, intr, pending;	/* shown; shown when that is cleared */
	bool quiet;			/* interrupts are disabled */
	/* A command under way */
	int cmd;			/* -1: none */
	uint8_t param[BL_PARAMS];
	unsigned nparam, want;
	uint8_t reply[BL_REPLY];
	unsigned reply_at, reply_len;
	/* Mailboxes */
	uint32_t mbox;			/* outgoing ones; incoming ones follow */
	unsigned nmbox;			/* 0: there are none */
	unsigned out_at, in_at;
	bool strict;			/* outgoing ones are used in turn */
	bool wide_lun;			/* CCBs are of the extended LUN format */
	bool told_free;			/* tell when an outgoing mailbox is free */
	uint8_t local_ram[256];
	uint32_t left;			/* IDs whose targets went since the start, by bits */
	/* Requests: under way; ended, but no mailbox is free; not used */
	struct bl_req *active, *spare, *stuck;
	unsigned nactive;
};

/* --- buslogic.c ----------------------------------------------------------------- */

void buslogic_interrupt(struct buslogic *b, uint8_t bit);

/* --- buslogic_ccb.c ---------------------------------------------------------------- */

/* Look into the outgoing mailboxes. */
void buslogic_scan(struct buslogic *b);
/* An incoming mailbox may be free again. */
void buslogic_unstick(struct buslogic *b);
/* Wait for all requests and forget the mailboxes. */
void buslogic_drop(struct buslogic *b);
void buslogic_ccb_free(struct buslogic *b);
#endif
