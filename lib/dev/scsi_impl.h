#ifndef DEV_SCSI_IMPL_H
#define DEV_SCSI_IMPL_H
/* What the files of the SCSI targets share. */

#include <string.h>

#include "base/be.h"
#include "dev/scsi.h"

/* Sense key, additional sense code and qualifier.  SPC-4, annex D. */
enum scsi_sense {
	SENSE_NONE = 0,
	SENSE_STOPPED = 0x020402,		/* not ready, initializing command required */
	SENSE_NO_MEDIUM = 0x023a00,
	SENSE_TRAY_OPEN = 0x023a02,
	SENSE_WRITE_ERROR = 0x030c00,
	SENSE_READ_ERROR = 0x031100,
	SENSE_NO_ANSWER = 0x040800,		/* logical unit communication failure */
	SENSE_TARGET_FAILURE = 0x044400,
	SENSE_PARAM_LENGTH = 0x051a00,
	SENSE_OPCODE = 0x052000,
	SENSE_LBA_RANGE = 0x052100,
	SENSE_CDB_FIELD = 0x052400,
	SENSE_LUN = 0x052500,
	SENSE_PARAM_FIELD = 0x052600,
	SENSE_PR_RELEASE = 0x052604,
	SENSE_REMOVAL_PREVENTED = 0x055302,
	SENSE_PR_RESOURCES = 0x055504,
	SENSE_TRACK_MODE = 0x056400,
	SENSE_MEDIUM_CHANGED = 0x062800,
	SENSE_POWER_ON = 0x062900,
	SENSE_BUS_RESET = 0x062902,
	SENSE_TARGET_RESET = 0x062903,
	SENSE_MODE_CHANGED = 0x062a01,
	SENSE_RES_PREEMPTED = 0x062a03,
	SENSE_RES_RELEASED = 0x062a04,
	SENSE_REG_PREEMPTED = 0x062a05,
	SENSE_WRITE_PROTECTED = 0x072700,
	SENSE_NO_SPACE = 0x072707,
	SENSE_MISCOMPARE = 0x0e1d00,
};

/* A row of a target's table of commands. */
struct scsi_cmd {
	uint8_t op;
	uint8_t sa;		/* service action, with CMD_SA */
	uint8_t flags;
	void (*run)(struct scsi_dev *d, struct scsi_req *r);
	/* The bits of the CDB behind the operation code that mean something: others
	 * have to be 0, and REPORT SUPPORTED OPERATION CODES tells of these. */
	uint8_t usage[SCSI_CDB_MAX - 1];
};

enum scsi_cmd_flag {
	CMD_SA = 1,		/* byte 1, bits 0..4 choose the command */
	CMD_THIN = 2,		/* only of disks that give room back */
	CMD_ALWAYS = 4,		/* runs with a unit attention pending, and leaves it */
	CMD_FREE = 8,		/* whoever has reserved the unit */
	CMD_WRITES = 16,	/* refused by reservations that exclude writing */
	CMD_MEDIUM = 32,	/* needs a medium */
	CMD_ALONE = 64,		/* waits for all others, and they for it */
	CMD_BOUNDED = 128,	/* moves at most SCSI_TRANSFER_MAX blocks */
};

#define SCSI_INITIATORS	16
#define SCSI_COMMANDS	64	/* of one target, at most */

/* What VPD page B0 says; blocks. */
#define SCSI_TRANSFER_MAX	((SG_BYTES / 2) / BLK_SECTOR)
#define SCSI_UNMAP_MAX		(1u << 20)
#define SCSI_UNMAP_DESCRIPTORS	256u
#define SCSI_WRITE_SAME_MAX	(1u << 21)

/* Persistent reservations: SPC-4, 5.13. */
struct scsi_pr {
	uint64_t key[SCSI_INITIATORS];
	bool registered[SCSI_INITIATORS];
	uint32_t generation;
	uint8_t type;		/* 0: no reservation */
	uint8_t holder;		/* not of types "all registrants" */
};

struct scsi_dev {
	struct vm *vm;
	struct blk *blk;	/* NULL: no medium */
	const struct scsi_cmd *cmds;
	unsigned ncmds;
	bool cd;
	bool stopped;		/* START STOP UNIT; a CD-ROM's tray is open */
	bool locked;		/* PREVENT ALLOW MEDIUM REMOVAL */
	char vendor[8], product[16], revision[4], serial[32];
	uint8_t naa[16];
	unsigned block;		/* bytes */
	unsigned cdb_max;	/* of the adapter; 0: any */
	uint32_t attention[SCSI_INITIATORS];	/* unit attention to tell, or 0 */
	uint32_t last_sense;	/* with keep_sense */
	bool keep_sense;
	uint8_t event;		/* and what: enum in scsi_cd.c */
	/* Modes that can be set */
	bool d_sense;		/* descriptor format sense data */
	bool no_wce;		/* every write is durable when it ends */
	struct scsi_pr pr;
	int reserved_by;	/* RESERVE(6): initiator, or -1 */
	/* Requests */
	unsigned active;
	bool alone;		/* one of CMD_ALONE is active */
	bool releasing;
	struct scsi_req *held, **held_last;
	unsigned depth;		/* so many at a time; 0: any number */
	void (*gone)(void *ptr);	/* to be told when nothing is left; or NULL */
	void *gone_ptr;
	struct scsi_dev *next_leaving;	/* scsi_bus.c */
	/* Of those whose commands go to a disk of the host: scsi_pass.c */
	bool pass;
	bool host_reserved;	/* by RESERVE, for this guest */
	bool resetting;		/* the device is being reset */
	struct pass *passed;	/* commands that the host has */
	unsigned strays;	/* of these, that the guest has aborted */
};

static inline bool scsi_thin(const struct scsi_dev *d)
{
	return d->blk && blk_thin(d->blk);
}

unsigned scsi_cdb_length(uint8_t op);	/* bytes; 0: the operation code does not say */

/* Is this row of its table a command of this target? */
static inline bool scsi_has(const struct scsi_dev *d, const struct scsi_cmd *c)
{
	return (!(c->flags & CMD_THIN) || scsi_thin(d)) &&
		(!d->cdb_max || scsi_cdb_length(c->op) <= d->cdb_max);
}

static inline uint64_t scsi_blocks(const struct scsi_dev *d)
{
	return d->blk ? blk_size(d->blk) / d->block : 0;
}

/* --- scsi.c: how a command ends --------------------------------------------------- */

void scsi_done(struct scsi_req *r, uint8_t status);
static inline void scsi_good(struct scsi_req *r) { scsi_done(r, SCSI_GOOD); }
void scsi_fail(struct scsi_req *r, uint32_t sense);
/* With the LBA or offset that it is about. */
void scsi_fail_info(struct scsi_req *r, uint32_t sense, uint64_t info);
/* A field of the CDB, of the parameter list, is wrong. */
void scsi_fail_cdb(struct scsi_req *r, unsigned byte);
void scsi_fail_param(struct scsi_req *r, unsigned byte);
/* -errno of the disk, at lba. */
void scsi_fail_errno(struct scsi_req *r, int rc, uint64_t lba);

/* Fill buf (SCSI_SENSE_MAX bytes) in; returns the length. */
unsigned scsi_sense_build(uint8_t *buf, bool descriptor, uint32_t sense, const uint64_t *info,
			  const uint8_t *specific);

/* Send len bytes, as many of them as the CDB allows, and end well. */
void scsi_reply(struct scsi_req *r, const void *buf, uint64_t len, uint64_t allowed);
/* Fetch all of a parameter list; false: it is not all there, and r has ended. */
bool scsi_fetch(struct scsi_req *r, void *buf, uint64_t len);
/* Start r->io, then step. */
void scsi_io(struct scsi_req *r, enum blk_op op, uint64_t off, uint64_t len,
	     const struct iovec *iov, int niov, void (*step)(struct scsi_req *r));
/* A step that is the last: the command ends as r->io did. */
void scsi_io_ended(struct scsi_req *r);
/* Requests that were held may run now. */
void scsi_go_on(struct scsi_dev *d);
/* A new unit attention for all initiators but one (-1: for all). */
void scsi_attention(struct scsi_dev *d, uint32_t sense, int but);

struct scsi_dev *scsi_new(struct vm *vm, struct blk *b, const struct scsi_params *p,
			  const struct scsi_params *usual, struct err *e);

/* --- scsi_pass.c: what scsi.c does with d->pass ------------------------------------- */

/* On a blk that takes commands. */
struct scsi_dev *scsi_pass_new(struct vm *vm, struct blk *b, const struct scsi_params *p,
			       struct err *e);
/* r has ended; false: it is not under way. */
bool scsi_pass_abort(struct scsi_dev *d, struct scsi_req *r);
/* All that are under way have ended; what they do to the disk has not. */
void scsi_pass_drain(struct scsi_dev *d);
void scsi_pass_reset(struct scsi_dev *d);
void scsi_pass_close(struct scsi_dev *d);

/* --- commands ------------------------------------------------------------------------ */

typedef void scsi_run(struct scsi_dev *d, struct scsi_req *r);
scsi_run scsi_test_unit_ready, scsi_request_sense, scsi_report_luns, scsi_opcodes;
scsi_run scsi_inquiry;							/* scsi_common.c */
scsi_run scsi_mode_sense, scsi_mode_select;				/* scsi_mode.c */
scsi_run scsi_pr_in, scsi_pr_out, scsi_reserve, scsi_release;	/* scsi_pr.c */
scsi_run scsi_read, scsi_write, scsi_capacity, scsi_flush, scsi_verify;	/* scsi_disk.c */
scsi_run scsi_compare_write, scsi_unmap, scsi_write_same, scsi_lba_status; /* scsi_change.c */

/* May this initiator's command run as reservations stand?  scsi_pr.c */
bool scsi_pr_allows(const struct scsi_dev *d, const struct scsi_req *r);
void scsi_pr_reset(struct scsi_dev *d);		/* those that do not persist */

/* A range of blocks as a CDB of this length names it; false: it does not fit, and r has
 * ended.  scsi_disk.c */
bool scsi_range(struct scsi_req *r, uint64_t *lba, uint64_t *blocks);
#endif
