#ifndef DEV_SCSI_H
#define DEV_SCSI_H
/*
 * SCSI targets, each with one logical unit (0): a disk, a CD-ROM.  They know nothing of
 * adapters; an adapter, ATAPI included, makes requests and is told when they end.
 * Specs: SPC-4, SBC-3, MMC-6, SAM-5 (T10).
 *
 * All calls need vm->lock.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dev/blk.h"
#include "dev/sg.h"

#define SCSI_CDB_MAX	16
#define SCSI_SENSE_MAX	32

enum scsi_status {
	SCSI_GOOD = 0x00, SCSI_CHECK_CONDITION = 0x02, SCSI_BUSY = 0x08,
	SCSI_RESERVATION_CONFLICT = 0x18, SCSI_TASK_ABORTED = 0x40,
};

enum scsi_attr { SCSI_SIMPLE, SCSI_HEAD_OF_QUEUE, SCSI_ORDERED };

/* Which way the adapter was told that the data go. */
enum scsi_dir { SCSI_DIR_ANY, SCSI_DIR_NONE, SCSI_DIR_IN, SCSI_DIR_OUT };

struct scsi_dev;

struct scsi_req {
	/* From the adapter: */
	uint8_t cdb[SCSI_CDB_MAX];	/* zeros behind the command's end */
	uint32_t lun;
	enum scsi_attr attr;
	enum scsi_dir dir;
	uint8_t initiator;		/* 0..15: whose reservations count */
	struct sg data;			/* the adapter's; sg_clear() it before each use */
	void (*done)(struct scsi_req *r);	/* may be called inside scsi_start() */
	/* How it ended: */
	uint8_t status;			/* enum scsi_status */
	uint8_t sense[SCSI_SENSE_MAX];
	unsigned sense_len;		/* 0: none */
	uint64_t moved;			/* bytes that were transferred */
	uint64_t room;			/* bytes that data had room for */
	bool overrun;			/* the command had more to transfer than that */
	/* The target's own: */
	struct scsi_dev *dev;
	const struct scsi_cmd *cmd;
	struct scsi_req *next;
	struct blk_req io;
	void (*step)(struct scsi_req *r);	/* what follows when io has ended */
	uint8_t *buf;			/* what data are compared with, or patterns */
	struct iovec one;		/* of buf */
	uint64_t at, end;		/* of commands in several steps */
	bool fua;
	bool exclusive;
	bool aborted;
};

/* How a target shows itself. */
struct scsi_params {
	const char *vendor, *product, *revision;	/* NULL: as VMware's */
	bool keep_sense;	/* ATAPI: REQUEST SENSE tells of the last command's failure */
};

/*
 * A disk on b, which is then the target's; a CD-ROM, with a medium or b = NULL.  If b takes
 * SCSI commands they are passed there.
 * NULL with *e set: no memory; b is still the caller's then.
 */
struct scsi_dev *scsi_disk_new(struct vm *vm, struct blk *b, const struct scsi_params *p,
			       struct err *e);
struct scsi_dev *scsi_cd_new(struct vm *vm, struct blk *b, const struct scsi_params *p,
			     struct err *e);
/* As scsi_drain(), then free it and its medium.  NULL is fine. */
void scsi_free(struct scsi_dev *d);

/*
 * In two steps, for a target that has left its bus: what waits for its turn ends, what is
 * under way goes on; gone() is called once, when nothing is left, maybe inside.  Then, not
 * inside gone(), free the target.
 *
 * Returns    its blk, stopped (blk_stop()), for blk_close(); NULL: it has none
 */
void scsi_retire(struct scsi_dev *d, void (*gone)(void *ptr), void *ptr);
struct blk *scsi_dissolve(struct scsi_dev *d);

bool scsi_is_cd(const struct scsi_dev *d);

/* Start r; its done() is called once, sooner or later. */
void scsi_start(struct scsi_dev *d, struct scsi_req *r);

/*
 * Abort: what waits for its turn ends at once, as TASK ABORTED; what is under way
 * cannot be taken back, and ends soon.
 * Returns    false: r is under way
 */
bool scsi_abort(struct scsi_dev *d, struct scsi_req *r);

/* Wait for all requests of the target to end: those that are there now. */
void scsi_drain(struct scsi_dev *d);

/*
 * The bus, or this target, was reset: scsi_drain(); modes and reservations that do not
 * persist are gone, and the guest is told by a unit attention.
 */
enum scsi_reset { SCSI_POWER_ON, SCSI_BUS_RESET, SCSI_TARGET_RESET };
void scsi_reset(struct scsi_dev *d, enum scsi_reset how);

/* Commands of more bytes than max do not reach it: they are none of its commands, and it
 * does not say that they are.  0: no limit. */
void scsi_limit_cdb(struct scsi_dev *d, unsigned max);

/* Put a medium (NULL: none) into a CD-ROM; the old one is freed.  0, or -EBUSY: the
 * guest has locked the tray (force opens it all the same). */
int scsi_cd_insert(struct scsi_dev *d, struct blk *b, bool force, struct err *e);

/* For adapters without autosense: the sense key of r (0 when it went well). */
static inline uint8_t scsi_sense_key(const struct scsi_req *r)
{
	return r->sense_len > 2 ? r->sense[r->sense[0] & 2 ? 1 : 2] & 0xf : 0;
}
#endif
