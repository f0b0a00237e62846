#ifndef DEV_SGIO_H
#define DEV_SGIO_H
/*
 * SCSI commands to a disk of this host: ioctl(SG_IO) on its block device.
 * Spec: Linux's scsi/sg.h; "The Linux SCSI Generic (sg) HOWTO", chapter 6.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SGIO_SENSE_MAX	96

enum sgio_dir { SGIO_NONE, SGIO_IN, SGIO_OUT };

/* What became of a command. */
enum sgio_end {
	SGIO_DONE,		/* the device answered: status and sense */
	SGIO_AGAIN,		/* it did not get there, or the path was busy: ask again */
	SGIO_ABORTED,		/* by a reset, or it took too long */
	SGIO_GONE,		/* the device does not answer */
	SGIO_BROKEN,		/* the transfer went wrong */
	SGIO_REFUSED,		/* the kernel does not let this process send it */
	SGIO_TOO_LONG,		/* more data than the host's adapter can move */
};

struct sgio_cmd {
	bool reset;		/* not a command: reset the logical unit */
	uint8_t cdb[16];
	unsigned cdb_len;
	enum sgio_dir dir;
	void *data;
	uint32_t len;		/* of data: bytes */
	unsigned timeout_s;
	/* How it ended: */
	enum sgio_end end;
	uint8_t status;		/* SAM-5, 5.3 */
	uint8_t sense[SGIO_SENSE_MAX];
	unsigned sense_len;
	uint32_t moved;		/* bytes */
};

/*
 * Is fd, of the device at path, a SCSI disk as a whole?
 *
 * max        bytes that one command can move
 * Returns    0; -ENOTSUP: no SCSI device, a partition, no disk: the message says which and
 *            what to do; or what the system said
 */
int sgio_probe(int fd, const char *path, uint32_t *max, struct err *e);

/* Send c and wait for its end. */
void sgio_run(int fd, struct sgio_cmd *c);
#endif
