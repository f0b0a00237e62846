/* SG_IO: what is asked of the kernel, and what its answers mean. */
#include <errno.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "check.h"
#include "dev/sgio.h"

/* The kernel. */
static struct {
	int version, error;	/* errno of SG_IO */
	sg_io_hdr_t answer, asked;
	uint8_t type;
	unsigned short sectors;
	int reset;
} kernel;

static int answer_io(sg_io_hdr_t *h)
{
	kernel.asked = *h;
	if (kernel.error) {
		errno = kernel.error;
		return -1;
	}
	h->status = kernel.answer.status;
	h->host_status = kernel.answer.host_status;
	h->resid = kernel.answer.resid;
	h->sb_len_wr = kernel.answer.sb_len_wr;
	if (h->dxfer_len && h->dxfer_direction == SG_DXFER_FROM_DEV)
		*(uint8_t *)h->dxferp = kernel.type;
	return 0;
}

int ioctl(int fd, unsigned long req, ...)
{
	void *arg;
	va_list ap;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (req) {
	case SG_GET_VERSION_NUM:
		*(int *)arg = kernel.version;
		break;
	case BLKSECTGET:
		*(unsigned short *)arg = kernel.sectors;
		break;
	case SG_SCSI_RESET:
		kernel.reset = *(int *)arg;
		break;
	case SG_IO:
		return answer_io(arg);
	default:
		errno = ENOTTY;
		return -1;
	}
	if (req == SG_GET_VERSION_NUM && !kernel.version) {
		errno = ENOTTY;
		return -1;
	}
	return 0;
}

static void refused(int rc, const char *words)
{
	struct err e = { 0 };
	uint32_t max;
	int got = sgio_probe(0, "/dev/x", &max, &e);

	check(got == rc && strstr(e.msg, "/dev/x") && strstr(e.msg, words), "%d %s", got, e.msg);
}

static void test_probe(void)
{
	struct err e = { 0 };
	uint32_t max;

	refused(-ENOTSUP, "not a SCSI disk");
	kernel.version = 20134;
	refused(-ENOTSUP, "not a SCSI disk");
	kernel.version = 30536;
	kernel.type = 5;
	refused(-ENOTSUP, "of type 5");
	kernel.type = 0x20;	/* not connected */
	refused(-ENOTSUP, "not a disk");
	kernel.type = 0;
	kernel.error = EPERM;
	refused(-EPERM, "CAP_SYS_RAWIO");
	kernel.error = 0;
	kernel.answer.host_status = 1;
	refused(-EIO, "INQUIRY");
	kernel.answer.host_status = 0;
	check(!sgio_probe(0, "x", &max, &e) && max == 4 << 20, "%u %s", max, e.msg);
	check(kernel.asked.interface_id == 'S' && kernel.asked.cmd_len == 6 &&
	      kernel.asked.dxfer_direction == SG_DXFER_FROM_DEV && kernel.asked.dxfer_len == 36 &&
	      kernel.asked.timeout == 20000, "INQUIRY");
	kernel.sectors = 256;
	check(!sgio_probe(0, "x", &max, &e) && max == 128 << 10, "%u", max);
	kernel.sectors = 0xffff;
	check(!sgio_probe(0, "x", &max, &e) && max == 4 << 20, "%u", max);
}

static enum sgio_end host(unsigned short status)
{
	struct sgio_cmd c = { .cdb_len = 6 };

	kernel.answer = (sg_io_hdr_t){ .host_status = status };
	sgio_run(0, &c);
	return c.end;
}

static enum sgio_end error(int code)
{
	struct sgio_cmd c = { .cdb_len = 6 };

	kernel.error = code;
	sgio_run(0, &c);
	kernel.error = 0;
	return c.end;
}

static void test_run(void)
{
	uint8_t data[512];
	struct sgio_cmd c = { .cdb_len = 10, .dir = SGIO_OUT, .data = data, .len = 512,
			      .timeout_s = 60 };

	kernel.answer = (sg_io_hdr_t){ .resid = 12 };
	sgio_run(0, &c);
	check(c.end == SGIO_DONE && c.moved == 500 && !c.sense_len, "moved %u", c.moved);
	check(kernel.asked.dxfer_direction == SG_DXFER_TO_DEV && kernel.asked.timeout == 60000,
	      "asked");
	kernel.answer.resid = -5;
	sgio_run(0, &c);
	check(c.moved == 512, "a residue that is none");
	kernel.answer = (sg_io_hdr_t){ .status = 2, .host_status = 7, .sb_len_wr = 250 };
	sgio_run(0, &c);
	check(c.end == SGIO_DONE && c.status == 2 && c.sense_len == SGIO_SENSE_MAX, "its status");
	c.len = 0;
	sgio_run(0, &c);
	check(kernel.asked.dxfer_direction == SG_DXFER_NONE, "nothing to move");
	c.reset = true;
	sgio_run(0, &c);
	check(kernel.reset == 0x101 && c.end == SGIO_DONE, "only the unit: %x", kernel.reset);
	check(host(1) == SGIO_GONE && host(2) == SGIO_AGAIN && host(3) == SGIO_ABORTED &&
	      host(7) == SGIO_BROKEN && host(8) == SGIO_ABORTED && host(0xe) == SGIO_AGAIN &&
	      host(0x1f) == SGIO_BROKEN && host(0xffff) == SGIO_BROKEN, "of the adapter");
	check(error(EINVAL) == SGIO_TOO_LONG && error(EPERM) == SGIO_REFUSED &&
	      error(ENODEV) == SGIO_GONE && error(EIO) == SGIO_BROKEN, "of the kernel");
}

int main(void)
{
	test_probe();
	test_run();
	return check_done();
}
