#ifndef VMX_JOURNAL_H
#define VMX_JOURNAL_H
/*
 * Changes to several files of a machine that happen all or not at all: a small file
 * beside its .vmsd ("x.vmsd.journal", of the same syntax) says what is going on.
 *
 *   prepare  files are being made; after a crash those that are listed are removed
 *   commit   the steps that are listed are being done; after a crash all are done again
 *            (each may be done twice)
 *   switch   a running machine is told to go on in other files (vmx/live.h), and both are
 *            listed: the steps to do if it does, and the new files to be removed if it does
 *            not.  It does if it has one of those locked, or has written to one, whose CID is
 *            another then than the one that is noted; if neither, both outcomes read the same
 *   merge    a layer is being merged (disk/snapshot.h); it may go on at the byte that
 *            is noted, and nothing has to be done if it does not
 *
 * The file is replaced as a whole, each time durably: that is the moment of each change
 * of phase.  Files are named as they lie beside the .vmsd, or with outside by their
 * absolute paths: what a journal that came with someone's machine names elsewhere is
 * refused.
 */

#include <stdbool.h>
#include <stdint.h>

#include "disk/snapshot.h"
#include "vmx/dict.h"
#include "vmx/live.h"

enum journal_phase { JOURNAL_NONE, JOURNAL_PREPARE, JOURNAL_COMMIT, JOURNAL_MERGE, JOURNAL_SWITCH };

struct journal;

/*
 * vmsd       the path of the .vmsd
 * vmx        the path of the .vmx, NULL: none
 * outside    files elsewhere are allowed
 */
int journal_new(struct journal **j, const char *vmsd, const char *vmx, bool outside,
		struct err *e);
void journal_free(struct journal *j);	/* NULL is fine; the file stays */

/* Descriptors of disks that a running machine has are changed by that. */
void journal_set_live(struct journal *j, const struct machine_live *live);

/* What is there?  -EBADMSG: a damaged one. */
int journal_phase(const struct journal *j, enum journal_phase *phase, struct err *e);

/* Undo or complete what was interrupted.  *changed: there was something.  A merge's note
 * stays for journal_merge_begin(). */
int journal_recover(struct journal *j, bool *changed, struct err *e);

/*
 * Add to what the next phase consists of: in prepare files to be removed if it fails,
 * in commit steps in this order.  text is NUL-terminated.
 */
int journal_unlink(struct journal *j, const char *path, struct err *e);
int journal_relink(struct journal *j, const char *path, const struct snapshot_link *l,
		   struct err *e);
int journal_write_vmsd(struct journal *j, const char *text, struct err *e);
int journal_write_vmx(struct journal *j, const char *text, struct err *e);

/* The files that were added so far may be made now; more may be added. */
int journal_prepare(struct journal *j, struct err *e);
/* They are made: what is added from now on are the steps of the commit. */
int journal_made(struct journal *j, struct err *e);
/* Or remove them again.  What is added so far is forgotten. */
int journal_undo(struct journal *j, struct err *e);

/*
 * The machine that runs is going to be told to go on in the file at path, which it does not
 * have yet; after journal_made(), or without a phase before it.
 */
int journal_switching(struct journal *j, const char *path, struct err *e);
/* Now.  When it says that it has, journal_commit() is next; else, or without an answer,
 * journal_settle() finds out, and does the steps or removes the files. */
int journal_switch(struct journal *j, struct err *e);
int journal_settle(struct journal *j, bool *happened, struct err *e);

/* Do the steps that were added. */
int journal_commit(struct journal *j, struct err *e);

/* A merge of two layers; the child's CID says that it was not written to since. */
struct journal_merge {
	const char *child, *parent;
	bool down;
	uint32_t cid;
};

/* Was this merge begun, and up to which byte?  *found: yes. */
int journal_merge_find(const struct journal *j, const struct journal_merge *m, bool *found,
		       uint64_t *from, struct err *e);
/* It begins, or goes on, at byte from; later: it came to byte done. */
int journal_merge_begin(struct journal *j, const struct journal_merge *m, uint64_t from,
			struct err *e);
int journal_merge_done(struct journal *j, uint64_t done, struct err *e);
#endif
