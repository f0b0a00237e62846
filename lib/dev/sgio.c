#include "dev/sgio.h"

#include <errno.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef SG_SCSI_RESET_NO_ESCALATE
#define SG_SCSI_RESET_NO_ESCALATE 0x100
#endif
#define VERSION_3	30000		/* of the interface: SG_IO */
#define MAX_BYTES	(4u << 20)	/* even if the host's adapter could move more */
#define TYPE_DISK	0

/* Of the host's adapter: include/scsi/scsi_status.h, whose names begin with DID_. */
enum host_status {
	HOST_OK = 0x00, HOST_NO_CONNECT = 0x01, HOST_BUS_BUSY = 0x02, HOST_TIME_OUT = 0x03,
	HOST_BAD_TARGET = 0x04, HOST_ABORT = 0x05, HOST_RESET = 0x08, HOST_SOFT_ERROR = 0x0b,
	HOST_IMM_RETRY = 0x0c, HOST_REQUEUE = 0x0d, HOST_TRANSPORT_DISRUPTED = 0x0e,
	HOST_TRANSPORT_FAILFAST = 0x0f,
};

static enum sgio_end end_of_host(unsigned status)
{
	switch (status) {
	case HOST_OK:
		return SGIO_DONE;
	case HOST_NO_CONNECT:
	case HOST_BAD_TARGET:
	case HOST_TRANSPORT_FAILFAST:
		return SGIO_GONE;
	case HOST_TIME_OUT:
	case HOST_ABORT:
	case HOST_RESET:
		return SGIO_ABORTED;
	case HOST_BUS_BUSY:
	case HOST_SOFT_ERROR:
	case HOST_IMM_RETRY:
	case HOST_REQUEUE:
	case HOST_TRANSPORT_DISRUPTED:
		return SGIO_AGAIN;
	}
	return SGIO_BROKEN;
}

static enum sgio_end end_of_errno(int code)
{
	switch (code) {
	case EINVAL:
		return SGIO_TOO_LONG;
	case EPERM:
	case EACCES:
	case ENOTTY:
		return SGIO_REFUSED;
	case ENODEV:
	case ENXIO:
		return SGIO_GONE;
	case EBUSY:
	case EAGAIN:
	case ENOMEM:
		return SGIO_AGAIN;
	}
	return SGIO_BROKEN;
}

static void reset(int fd, struct sgio_cmd *c)
{
	int how = SG_SCSI_RESET_DEVICE | SG_SCSI_RESET_NO_ESCALATE;

	c->end = ioctl(fd, SG_SCSI_RESET, &how) ? end_of_errno(errno) : SGIO_DONE;
}

void sgio_run(int fd, struct sgio_cmd *c)
{
	static const int dirs[] = { [SGIO_NONE] = SG_DXFER_NONE, [SGIO_IN] = SG_DXFER_FROM_DEV,
				    [SGIO_OUT] = SG_DXFER_TO_DEV };
	sg_io_hdr_t h = {
		.interface_id = 'S', .dxfer_direction = dirs[c->len ? c->dir : SGIO_NONE],
		.cmd_len = (uint8_t)c->cdb_len, .cmdp = c->cdb, .dxfer_len = c->len,
		.dxferp = c->data, .sbp = c->sense, .mx_sb_len = SGIO_SENSE_MAX,
		.timeout = c->timeout_s * 1000,
	};

	c->status = 0;
	c->sense_len = c->moved = 0;
	if (c->reset) {
		reset(fd, c);
		return;
	}
	if (ioctl(fd, SG_IO, &h)) {
		c->end = end_of_errno(errno);
		return;
	}
	/* What the device says counts more than what the adapter thinks of it. */
	c->end = h.status ? SGIO_DONE : end_of_host(h.host_status);
	c->status = h.status;
	c->sense_len = h.sb_len_wr < SGIO_SENSE_MAX ? h.sb_len_wr : SGIO_SENSE_MAX;
	if (h.resid >= 0 && (uint32_t)h.resid <= c->len)
		c->moved = c->len - (uint32_t)h.resid;
	else
		c->moved = c->len;
}

/* --- what the device is ---------------------------------------------------------------- */

/* Commands to a partition's device would reach all of the disk. */
static bool is_partition(int fd)
{
	char path[96];
	struct stat st;

	if (fstat(fd, &st) || !S_ISBLK(st.st_mode))
		return false;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(st.st_rdev),
		 minor(st.st_rdev));
	return !access(path, F_OK);
}

static int not_scsi(const char *path, struct err *e)
{
	return err_set(e, -ENOTSUP, "%s: is not a SCSI disk: a physical RDM needs one, a "
		       "virtual one takes any block device", path);
}

int sgio_probe(int fd, const char *path, uint32_t *max, struct err *e)
{
	uint8_t inquiry[36] = { 0 };
	struct sgio_cmd c = { .cdb = { 0x12, 0, 0, 0, sizeof(inquiry) }, .cdb_len = 6,
			      .dir = SGIO_IN, .data = inquiry, .len = sizeof(inquiry),
			      .timeout_s = 20 };
	unsigned short sectors = 0;
	int version = 0;

	if (ioctl(fd, SG_GET_VERSION_NUM, &version) || version < VERSION_3)
		return not_scsi(path, e);
	if (is_partition(fd))
		return err_set(e, -ENOTSUP, "%s: is a partition; a physical RDM is a disk as a whole",
			       path);
	sgio_run(fd, &c);
	if (c.end == SGIO_REFUSED)
		return err_set(e, -EPERM, "%s: SCSI commands need the capability CAP_SYS_RAWIO",
			       path);
	if (c.end != SGIO_DONE || c.status)
		return err_set(e, -EIO, "%s: the device does not answer INQUIRY", path);
	if (inquiry[0] != TYPE_DISK)
		return err_set(e, -ENOTSUP, "%s: is a SCSI device of type %u, not a disk", path,
			       inquiry[0] & 0x1f);
	*max = MAX_BYTES;
	if (!ioctl(fd, BLKSECTGET, &sectors) && sectors && sectors * 512u < MAX_BYTES)
		*max = sectors * 512u;
	return 0;
}
