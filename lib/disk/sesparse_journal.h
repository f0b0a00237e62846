#ifndef DISK_SESPARSE_JOURNAL_H
#define DISK_SESPARSE_JOURNAL_H
/*
 * The journal of a seSparse extent, as ours has it: it serves one purpose, to change the
 * constant header, whose fields cannot be changed one by one, as if at once.
 *
 * The journal header (one sector at journalHeader):
 *
 *   0x00  8 bytes "R1SEJRNL"
 *   0x08  u32 1, the version
 *   0x0c  u32 CRC-32C of the sector's bytes from 0x10 on
 *   0x10  u64 what the volatile header's nextTxnSeqNumber is when we were the last to
 *         write: else the bitmap is not believed before it was compared
 *   0x18  u32 CRC-32C of the two sectors at journal
 *   0x1c  zeros
 *
 * The two sectors at journal are a constant header and a volatile header, to be written
 * when replayJournal is not 0.
 */

#include <stdbool.h>
#include <stdint.h>

#include "disk/sesparse_header.h"

struct se_journal {
	uint64_t next_txn;
	uint8_t sector[2][SECTOR];	/* constant and volatile header */
};

/*
 * Read it.
 *
 * head, at   where journal header and journal are, in sectors
 * Returns    0; -ENOTSUP: it is no journal of ours; -EIO, ...
 */
int se_journal_read(struct se_journal *j, struct disk_file *f, uint64_t head, uint64_t at,
		    struct err *e);

/* Did we write to the file last?  (The journal's two sectors may be anything.) */
bool se_journal_ours(struct disk_file *f, const struct se_header *h, uint64_t next_txn);

/* Write the journal header alone: the journal is as it was. */
int se_journal_sign(struct disk_file *f, const struct se_header *h, uint64_t next_txn,
		    struct err *e);

/*
 * Change the constant header from old to h, and what goes with it, as if at once.
 * Everything else that h points to is durable.  Areas of the journal stay.
 *
 * v          the volatile header; its next_txn is counted up
 * Returns    0; else the file has the old or the new one, and will when it is opened
 *            again say which
 */
int se_journal_switch(struct disk_file *f, const struct se_header *old,
		      const struct se_header *h, struct se_volatile *v, struct err *e);
#endif
