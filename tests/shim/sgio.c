/*
 * A SCSI disk where there is none: preloaded (build/tests/shim/sgio.so), it answers SG_IO
 * on one file from a model, whose blocks are the file's.
 *
 *   SGIO_FILE   the file
 *   SGIO_TYPE   peripheral device type, default 0
 *   SGIO_BAD    a block that cannot be read or written: medium error
 *   SGIO_LOG    a line for each command: its operation code in hex
 *
 * The model is another program's idea of a disk than lib/dev's: it shares nothing with it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512u

static int real_ioctl(int fd, unsigned long req, void *arg)
{
	static int (*next)(int, unsigned long, ...);

	if (!next)
		next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return next(fd, req, arg);
}

static bool is_ours(int fd)
{
	const char *path = getenv("SGIO_FILE");
	struct stat a, b;

	return path && !stat(path, &a) && !fstat(fd, &b) && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

static uint64_t be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static void put_be(uint8_t *p, unsigned n, uint64_t v)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t blocks(int fd)
{
	return (uint64_t)lseek(fd, 0, SEEK_END) / BLOCK;
}

/* CHECK CONDITION with key, code and qualifier, and where. */
static void sense(sg_io_hdr_t *h, uint32_t what, uint64_t info)
{
	uint8_t s[18] = { 0xf0, 0, (uint8_t)(what >> 16), [7] = 10, [12] = (uint8_t)(what >> 8),
			  [13] = (uint8_t)what };
	unsigned n = h->mx_sb_len < sizeof(s) ? h->mx_sb_len : sizeof(s);

	put_be(s + 3, 4, info);
	memcpy(h->sbp, s, n);
	h->sb_len_wr = (unsigned char)n;
	h->status = 2;
	h->resid = (int)h->dxfer_len;
}

static void reply(sg_io_hdr_t *h, const void *buf, unsigned len, uint64_t allowed)
{
	if (len > allowed)
		len = (unsigned)allowed;
	if (len > h->dxfer_len)
		len = h->dxfer_len;
	memcpy(h->dxferp, buf, len);
	h->resid = (int)(h->dxfer_len - len);
}

static void inquiry(sg_io_hdr_t *h)
{
	const uint8_t *c = h->cmdp;
	uint8_t b[96] = { 0 };
	const char *type = getenv("SGIO_TYPE");

	b[0] = (uint8_t)(type ? atoi(type) : 0);
	if (!(c[1] & 1)) {
		b[2] = 5;
		b[3] = 2;
		b[4] = 91;
		b[5] = 8;	/* third-party copies */
		memcpy(b + 8, "RING1   SGIO model      1.0 ", 28);
		reply(h, b, 96, be(c + 3, 2));
		return;
	}
	b[1] = c[2];
	switch (c[2]) {
	case 0x00:
		b[3] = 3;
		memcpy(b + 4, "\x00\x83\xb0", 3);
		break;
	case 0x83:
		b[3] = 12;
		memcpy(b + 4, "\x01\x03\x00\x08\x52\x49\x4e\x47\x31\x00\x00\x01", 12);
		break;
	case 0xb0:
		b[3] = 60;
		put_be(b + 8, 4, 1u << 20);	/* blocks in one transfer */
		break;
	default:
		sense(h, 0x052400, 0);
		return;
	}
	reply(h, b, b[3] + 4u, be(c + 3, 2));
}

static void modes(sg_io_hdr_t *h, bool ten)
{
	static const uint8_t caching[20] = { 0x08, 0x12, 0x04 };
	uint8_t b[32] = { 0 };
	unsigned head = ten ? 8 : 4, page = h->cmdp[2] & 0x3f, len = head;

	if (page == 0x08 || page == 0x3f) {
		memcpy(b + head, caching, sizeof(caching));
		len += sizeof(caching);
	} else {
		sense(h, 0x052400, 0);
		return;
	}
	put_be(b, ten ? 2 : 1, len - (ten ? 2 : 1));
	reply(h, b, len, ten ? be(h->cmdp + 7, 2) : h->cmdp[4]);
}

static void transfer(int fd, sg_io_hdr_t *h, uint64_t lba, uint64_t n, bool write)
{
	const char *bad = getenv("SGIO_BAD");
	uint64_t len = n * BLOCK, hurt = bad ? strtoull(bad, NULL, 10) : UINT64_MAX;
	ssize_t got;

	if (lba > blocks(fd) || n > blocks(fd) - lba) {
		sense(h, 0x052100, lba);
		return;
	}
	if (hurt >= lba && hurt - lba < n) {
		sense(h, write ? 0x030c00 : 0x031100, hurt);
		return;
	}
	if (len > h->dxfer_len)
		len = h->dxfer_len;
	got = write ? pwrite(fd, h->dxferp, len, (off_t)(lba * BLOCK)) :
		      pread(fd, h->dxferp, len, (off_t)(lba * BLOCK));
	if (got != (ssize_t)len)
		sense(h, 0x044400, lba);
	else
		h->resid = (int)(h->dxfer_len - len);
}

static void run(int fd, sg_io_hdr_t *h)
{
	const uint8_t *c = h->cmdp;
	uint8_t b[32] = { 0 };

	switch (c[0]) {
	case 0x00:		/* TEST UNIT READY, RESERVE, RELEASE, START STOP UNIT, PREVENT */
	case 0x16: case 0x17: case 0x1b: case 0x1e:
		break;
	case 0x03:
		b[0] = 0x70;
		b[7] = 10;
		reply(h, b, 18, c[4]);
		break;
	case 0x12:
		inquiry(h);
		break;
	case 0x1a: case 0x5a:
		modes(h, c[0] == 0x5a);
		break;
	case 0x25:
		put_be(b, 4, blocks(fd) - 1);
		put_be(b + 4, 4, BLOCK);
		reply(h, b, 8, 8);
		break;
	case 0x9e:
		put_be(b, 8, blocks(fd) - 1);
		put_be(b + 8, 4, BLOCK);
		reply(h, b, 32, be(c + 10, 4));
		break;
	case 0x08: case 0x0a:
		transfer(fd, h, be(c + 1, 3) & 0x1fffff, c[4] ? c[4] : 256, c[0] == 0x0a);
		break;
	case 0x28: case 0x2a:
		transfer(fd, h, be(c + 2, 4), be(c + 7, 2), c[0] == 0x2a);
		break;
	case 0x88: case 0x8a:
		transfer(fd, h, be(c + 2, 8), be(c + 10, 4), c[0] == 0x8a);
		break;
	case 0x35: case 0x91:
		fdatasync(fd);
		break;
	default:
		sense(h, 0x052000, 0);
	}
}

static void note(const uint8_t *cdb)
{
	const char *path = getenv("SGIO_LOG");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;

	if (fd < 0)
		return;
	dprintf(fd, "%02x\n", cdb[0]);
	close(fd);
}

int ioctl(int fd, unsigned long req, ...)
{
	void *arg;
	va_list ap;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	if ((req != SG_IO && req != SG_GET_VERSION_NUM && req != SG_SCSI_RESET) || !is_ours(fd))
		return real_ioctl(fd, req, arg);
	if (req == SG_GET_VERSION_NUM) {
		*(int *)arg = 30536;
	} else if (req == SG_IO) {
		sg_io_hdr_t *h = arg;

		h->status = 0;
		h->host_status = h->driver_status = 0;
		h->sb_len_wr = 0;
		h->resid = 0;
		note(h->cmdp);
		run(fd, h);
	}
	return 0;
}
