#ifndef SCSI_RIG_H
#define SCSI_RIG_H
/* A SCSI target on a disk in memory that can be made to fail, and its one initiator. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "check.h"
#include "dev/scsi.h"
#include "dev_vm.h"

struct rig_disk {
	uint8_t *bytes;
	uint64_t size;
	_Atomic bool slow;	/* nothing is done at once: threads do it */
	_Atomic int fail;	/* -errno of the next request */
	_Atomic unsigned reads, writes, zeroes, unmaps, flushes;
};

static int rig_move(struct rig_disk *d, const struct iovec *iov, int n, uint64_t off, bool out)
{
	int rc = atomic_exchange(&d->fail, 0);

	for (int i = 0; i < n && !rc; i++) {
		if (off > d->size || iov[i].iov_len > d->size - off)
			return -EINVAL;
		if (out)
			memcpy(d->bytes + off, iov[i].iov_base, iov[i].iov_len);
		else
			memcpy(iov[i].iov_base, d->bytes + off, iov[i].iov_len);
		off += iov[i].iov_len;
	}
	return rc;
}

static int rig_readv(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	struct rig_disk *d = ptr;

	d->reads++;
	return rig_move(d, iov, n, off, false);
}

static int rig_writev(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	struct rig_disk *d = ptr;

	d->writes++;
	return rig_move(d, iov, n, off, true);
}

static int rig_try_readv(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	return ((struct rig_disk *)ptr)->slow ? -EAGAIN : rig_readv(ptr, iov, n, off, e);
}

static int rig_try_writev(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	return ((struct rig_disk *)ptr)->slow ? -EAGAIN : rig_writev(ptr, iov, n, off, e);
}

static int rig_zero(void *ptr, uint64_t off, uint64_t len, bool unmap, struct err *e)
{
	struct rig_disk *d = ptr;
	int rc = atomic_exchange(&d->fail, 0);

	if (unmap)
		d->unmaps++;
	else
		d->zeroes++;
	if (!rc)
		memset(d->bytes + off, 0, len);
	return rc;
}

static int rig_flush(void *ptr, struct err *e)
{
	struct rig_disk *d = ptr;

	d->flushes++;
	return atomic_exchange(&d->fail, 0);
}

/* Sectors of zeros have no room. */
static int rig_map(void *ptr, uint64_t off, uint64_t *len, bool *data, struct err *e)
{
	static const uint8_t zeros[512];
	struct rig_disk *d = ptr;
	uint64_t at = off, end = off + *len;

	*data = memcmp(d->bytes + at, zeros, 512);
	while (at < end && !memcmp(d->bytes + at, zeros, 512) != *data)
		at += 512;
	*len = at - off;
	return atomic_exchange(&d->fail, 0);
}

static const struct blk_ops rig_ops = {
	.readv = rig_readv, .writev = rig_writev, .try_readv = rig_try_readv,
	.try_writev = rig_try_writev, .zero = rig_zero, .flush = rig_flush, .map = rig_map,
};
static bool rig_thick;		/* disks made from now on give no room back */

/* A disk whose bytes say where they are. */
static inline void rig_disk_init(struct rig_disk *d, uint64_t size)
{
	memset(d, 0, sizeof(*d));
	d->size = size;
	d->bytes = malloc(size);
	for (uint64_t i = 0; i < size; i++)
		d->bytes[i] = (uint8_t)(i / 512 * 7 + i);
}

static inline struct blk *rig_blk(struct rig_disk *d, bool readonly)
{
	struct blk_params p = { .ops = &rig_ops, .ptr = d, .size = d->size,
				.readonly = readonly, .thin = !rig_thick,
				.uuid = { 1, 2, 3, 4, 5, 6, 7, 8 } };

	return blk_new(&test_vm, &p, NULL);
}

/* One request at a time: rig_run() returns when it has ended. */
static struct scsi_req rig_req;
static unsigned rig_ended;
static uint8_t rig_data[1 << 20];

static inline void rig_done(struct scsi_req *r)
{
	rig_ended++;
}

static inline uint8_t rig_run(struct scsi_dev *t, const uint8_t *cdb, size_t cdb_len,
			      enum scsi_dir dir, size_t len)
{
	struct scsi_req *r = &rig_req;
	unsigned before = rig_ended;

	memset(r->cdb, 0, sizeof(r->cdb));
	memcpy(r->cdb, cdb, cdb_len);
	r->dir = dir;
	r->done = rig_done;
	sg_clear(&r->data, NULL);
	sg_add_host(&r->data, rig_data, len);
	scsi_start(t, r);
	while (rig_ended == before) {
		sched_yield();
		vm_run_work(&test_vm);
	}
	check(rig_ended == before + 1, "ended once");
	return r->status;
}

#define RUN(t, dir, len, ...) \
	rig_run(t, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), \
		dir, len)

/* The sense data of the last request: key, code, qualifier. */
static inline uint32_t rig_sense(void)
{
	const uint8_t *s = rig_req.sense;

	if (!rig_req.sense_len)
		return 0;
	return s[0] & 2 ? (uint32_t)s[1] << 16 | (uint32_t)s[2] << 8 | s[3] :
			  (uint32_t)s[2] << 16 | (uint32_t)s[12] << 8 | s[13];
}

/* It fails so. */
#define FAILS(code, t, dir, len, ...) do { \
	uint8_t rig_status = RUN(t, dir, len, __VA_ARGS__); \
	check(rig_status == SCSI_CHECK_CONDITION && rig_sense() == (code), \
	      "status %02x sense %06x", rig_status, rig_sense()); \
} while (0)
#define GOOD(t, dir, len, ...) do { \
	uint8_t rig_status = RUN(t, dir, len, __VA_ARGS__); \
	check(rig_status == SCSI_GOOD, "status %02x sense %06x", rig_status, rig_sense()); \
} while (0)
#endif
