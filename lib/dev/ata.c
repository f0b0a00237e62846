/* ATA disks: commands.  ATA/ATAPI-7 volume 1, chapter 6. */
#include "dev/ide_impl.h"

#include <errno.h>
#include <string.h>

enum ata_op {
	OP_NOP = 0x00, OP_TRIM = 0x06, OP_RECALIBRATE = 0x10, OP_READ = 0x20, OP_READ_NORETRY,
	OP_READ_EXT = 0x24, OP_READ_DMA_EXT = 0x25, OP_NATIVE_MAX_EXT = 0x27,
	OP_READ_MULTIPLE_EXT = 0x29, OP_WRITE = 0x30, OP_WRITE_NORETRY, OP_WRITE_EXT = 0x34,
	OP_WRITE_DMA_EXT = 0x35, OP_WRITE_MULTIPLE_EXT = 0x39, OP_WRITE_DMA_FUA_EXT = 0x3d,
	OP_VERIFY = 0x40, OP_VERIFY_NORETRY, OP_VERIFY_EXT = 0x42, OP_SEEK = 0x70,
	OP_DIAGNOSTIC = 0x90, OP_GEOMETRY = 0x91, OP_READ_MULTIPLE = 0xc4,
	OP_WRITE_MULTIPLE = 0xc5, OP_SET_MULTIPLE = 0xc6, OP_READ_DMA = 0xc8,
	OP_READ_DMA_NORETRY, OP_WRITE_DMA = 0xca, OP_WRITE_DMA_NORETRY,
	OP_WRITE_MULTIPLE_FUA_EXT = 0xce, OP_STANDBY_NOW = 0xe0, OP_IDLE_NOW, OP_STANDBY, OP_IDLE,
	OP_CHECK_POWER = 0xe5, OP_SLEEP, OP_FLUSH = 0xe7, OP_FLUSH_EXT = 0xea, OP_IDENTIFY = 0xec,
	OP_SET_FEATURES = 0xef, OP_NATIVE_MAX = 0xf8,
};

#define TRIM_RANGES (ATA_SECTOR / 8)

/* --- addresses --------------------------------------------------------------------- */

static uint64_t disk_sectors(const struct ide_drive *d)
{
	return blk_size(d->blk) / ATA_SECTOR;
}

/* The address in the registers, ext: of 48 bits; UINT64_MAX: none. */
static uint64_t get_lba(const struct ide_drive *d, bool ext)
{
	const struct ide_chan *c = d->chan;
	uint8_t dev = c->reg[ATA_DEVICE][0];
	uint64_t lba = 0;
	uint32_t cyl, sector;

	if (!(dev & ATA_LBA)) {
		cyl = c->reg[ATA_LBA_MID][0] | (uint32_t)c->reg[ATA_LBA_HIGH][0] << 8;
		sector = c->reg[ATA_LBA_LOW][0];
		if (ext || !sector || sector > d->spt || (dev & 15u) >= d->heads)
			return UINT64_MAX;
		return ((uint64_t)cyl * d->heads + (dev & 15u)) * d->spt + sector - 1;
	}
	for (unsigned i = 0; i < 3; i++)
		lba |= (uint64_t)c->reg[ATA_LBA_LOW + i][0] << 8 * i;
	if (!ext)
		return lba | (uint64_t)(dev & 15) << 24;
	for (unsigned i = 0; i < 3; i++)
		lba |= (uint64_t)c->reg[ATA_LBA_LOW + i][1] << (24 + 8 * i);
	return lba;
}

/* Where a command failed, or what was asked for. */
static void put_lba(struct ide_drive *d, uint64_t lba, bool ext)
{
	struct ide_chan *c = d->chan;
	uint8_t dev = c->reg[ATA_DEVICE][0];

	if (!(dev & ATA_LBA)) {
		uint64_t track = lba / d->spt, cyl = track / d->heads;

		c->reg[ATA_LBA_LOW][0] = (uint8_t)(lba % d->spt + 1);
		c->reg[ATA_LBA_MID][0] = (uint8_t)cyl;
		c->reg[ATA_LBA_HIGH][0] = (uint8_t)(cyl >> 8);
		c->reg[ATA_DEVICE][0] = (uint8_t)((dev & 0xf0) | track % d->heads);
		return;
	}
	for (unsigned i = 0; i < 3; i++) {
		c->reg[ATA_LBA_LOW + i][0] = (uint8_t)(lba >> 8 * i);
		if (ext)
			c->reg[ATA_LBA_LOW + i][1] = (uint8_t)(lba >> (24 + 8 * i));
	}
	if (!ext)
		c->reg[ATA_DEVICE][0] = (uint8_t)((dev & 0xf0) | (lba >> 24 & 15));
}

static bool is_ext(uint8_t command)
{
	switch (command) {
	case OP_READ_EXT: case OP_READ_DMA_EXT: case OP_READ_MULTIPLE_EXT: case OP_WRITE_EXT:
	case OP_WRITE_DMA_EXT: case OP_WRITE_MULTIPLE_EXT: case OP_WRITE_DMA_FUA_EXT:
	case OP_VERIFY_EXT: case OP_WRITE_MULTIPLE_FUA_EXT: case OP_NATIVE_MAX_EXT:
		return true;
	default:
		return false;
	}
}

/* Take lba and left from the registers.  Ends the command and returns false when they
 * lie outside of the disk. */
static bool get_range(struct ide_drive *d)
{
	const struct ide_chan *c = d->chan;
	bool ext = is_ext(d->command);
	uint64_t n = disk_sectors(d);

	d->lba = get_lba(d, ext);
	d->left = c->reg[ATA_COUNT][0] | (ext ? (uint32_t)c->reg[ATA_COUNT][1] << 8 : 0);
	if (!d->left)
		d->left = ext ? 65536 : 256;
	if (d->lba < n && d->left <= n - d->lba)
		return true;
	ide_end(d, ATA_IDNF | ATA_ABRT);
	return false;
}

/* --- reading and writing ------------------------------------------------------------ */

static void failed(struct ide_drive *d, bool write)
{
	put_lba(d, d->lba, is_ext(d->command));
	/* A write fault is DF; but drivers look at errors first. */
	ide_end(d, write ? ATA_ABRT : ATA_UNC);
	if (write)
		d->status |= ATA_DF;
}

static void submit(struct ide_drive *d, enum blk_op op, const struct iovec *iov, int n,
		   uint32_t sectors, void (*done)(struct blk_req *r))
{
	d->status = ATA_BSY;
	d->io.op = op;
	d->io.fua = op == BLK_WRITE && (d->flush_after || d->no_wcache);
	d->io.off = d->lba * ATA_SECTOR;
	d->io.len = (uint64_t)sectors * ATA_SECTOR;
	d->io.iov = iov;
	d->io.niov = n;
	d->io.done = done;
	d->io.ptr = d;
	blk_submit(d->blk, &d->io);
}

static uint32_t drq_sectors(const struct ide_drive *d)
{
	uint32_t n = 1;

	switch (d->command) {
	case OP_READ_MULTIPLE: case OP_READ_MULTIPLE_EXT: case OP_WRITE_MULTIPLE:
	case OP_WRITE_MULTIPLE_EXT: case OP_WRITE_MULTIPLE_FUA_EXT:
		n = d->multiple;
	}
	return n < d->left ? n : d->left;
}

/* A piece of a command was read or written: go on behind it.  false: it failed, and the
 * command has ended. */
static bool went_well(struct blk_req *r)
{
	struct ide_drive *d = r->ptr;
	uint32_t n = (uint32_t)(r->len / ATA_SECTOR);

	if (r->rc) {
		failed(d, r->op == BLK_WRITE);
		return false;
	}
	d->lba += n;
	d->left -= n;
	return true;
}

static void pio_read(struct ide_drive *d);

static void pio_was_read(struct ide_drive *d)
{
	if (d->left) {
		pio_read(d);
		return;
	}
	/* No interrupt: that of the last block was the command's. */
	d->status = ATA_DRDY | ATA_DSC;
}

static void pio_ready(struct blk_req *r)
{
	struct ide_drive *d = r->ptr;

	if (!went_well(r))
		return;
	if (!d->left)
		put_lba(d, d->lba - 1, is_ext(d->command));
	ide_pio(d, d->chan->buf, (uint32_t)r->len, false, false, pio_was_read);
}

static void pio_read(struct ide_drive *d)
{
	uint32_t n = drq_sectors(d);

	d->one = (struct iovec){ d->chan->buf, (size_t)n * ATA_SECTOR };
	submit(d, BLK_READ, &d->one, 1, n, pio_ready);
}

static void pio_write(struct ide_drive *d, bool first);

static void pio_stored(struct blk_req *r)
{
	struct ide_drive *d = r->ptr;

	if (!went_well(r))
		return;
	if (d->left) {
		pio_write(d, false);
		return;
	}
	put_lba(d, d->lba - 1, is_ext(d->command));
	ide_end(d, 0);
}

static void pio_was_written(struct ide_drive *d)
{
	submit(d, BLK_WRITE, &d->one, 1, (uint32_t)(d->one.iov_len / ATA_SECTOR), pio_stored);
}

static void pio_write(struct ide_drive *d, bool first)
{
	uint32_t n = drq_sectors(d) * ATA_SECTOR;

	d->one = (struct iovec){ d->chan->buf, n };
	ide_pio(d, d->chan->buf, n, true, first, pio_was_written);
}

static void dma_step(struct ide_drive *d);

static void dma_ready(struct blk_req *r)
{
	struct ide_drive *d = r->ptr;

	if (r->op == BLK_READ)
		sg_dirty(&d->chan->sg, r->len);
	if (!went_well(r))
		return;
	if (d->left) {
		dma_step(d);
		return;
	}
	ide_dma_done(d);
	put_lba(d, d->lba - 1, is_ext(d->command));
	ide_end(d, 0);
}

static void dma_step(struct ide_drive *d)
{
	struct ide_chan *c = d->chan;
	uint32_t n = d->left < DMA_STEP / ATA_SECTOR ? d->left : DMA_STEP / ATA_SECTOR;

	if (ide_dma_next(d, n * ATA_SECTOR))
		submit(d, c->dma_in ? BLK_READ : BLK_WRITE, c->sg.iov, (int)c->sg.n, n,
		       dma_ready);
}

/* The data of VERIFY are read and thrown away. */
static void verified(struct blk_req *r);

static void verify(struct ide_drive *d)
{
	uint32_t n = d->left < IDE_BUF / ATA_SECTOR ? d->left : IDE_BUF / ATA_SECTOR;

	d->one = (struct iovec){ d->chan->buf, (size_t)n * ATA_SECTOR };
	submit(d, BLK_READ, &d->one, 1, n, verified);
}

static void verified(struct blk_req *r)
{
	struct ide_drive *d = r->ptr;

	if (!went_well(r))
		return;
	if (d->left)
		verify(d);
	else
		ide_end(d, 0);
}

/* --- other commands ------------------------------------------------------------------- */

static void flushed(struct blk_req *r)
{
	struct ide_drive *d = r->ptr;

	if (r->rc)
		failed(d, true);
	else
		ide_end(d, 0);
}

static void flush(struct ide_drive *d)
{
	d->lba = 0;
	submit(d, BLK_FLUSH, NULL, 0, 0, flushed);
}

/* DATA SET MANAGEMENT: a sector of ranges, 48 bits of address and 16 of count each. */
static void trim_next(struct ide_drive *d);

static void trimmed(struct blk_req *r)
{
	struct ide_drive *d = r->ptr;

	if (r->rc && r->rc != -ENOTSUP)
		failed(d, true);
	else
		trim_next(d);
}

static void trim_next(struct ide_drive *d)
{
	struct ide_chan *c = d->chan;

	for (; d->left; d->left--) {
		uint64_t range = le64_get(c->buf + 8 * (TRIM_RANGES - d->left));
		uint32_t n = (uint32_t)(range >> 48);

		d->lba = range & 0xffffffffffff;
		if (!n)
			continue;
		if (d->lba >= disk_sectors(d) || n > disk_sectors(d) - d->lba) {
			ide_end(d, ATA_IDNF | ATA_ABRT);
			return;
		}
		d->left--;
		submit(d, BLK_UNMAP, NULL, 0, n, trimmed);
		return;
	}
	ide_dma_done(d);
	ide_end(d, 0);
}

static void trim_start(struct ide_drive *d)
{
	struct ide_chan *c = d->chan;

	if (!ide_dma_next(d, ATA_SECTOR))
		return;
	sg_get(&c->sg, 0, c->buf, ATA_SECTOR);
	d->left = TRIM_RANGES;
	trim_next(d);
}

static void trim(struct ide_drive *d)
{
	const struct ide_chan *c = d->chan;

	/* One sector of ranges is what IDENTIFY DEVICE allows. */
	if (!(c->reg[ATA_FEATURES][0] & 1) || c->reg[ATA_COUNT][0] != 1 || c->reg[ATA_COUNT][1])
		ide_end(d, ATA_ABRT);
	else
		ide_dma(d, false, trim_start);
}

static void identify_read(struct ide_drive *d)
{
	d->status = ATA_DRDY | ATA_DSC;
}

static void identify(struct ide_drive *d)
{
	ata_identify(d, d->chan->buf);
	ide_pio(d, d->chan->buf, ATA_SECTOR, false, false, identify_read);
}

static void set_multiple(struct ide_drive *d)
{
	uint8_t n = d->chan->reg[ATA_COUNT][0];

	if (n > ATA_MULTIPLE || (n & (n - 1))) {
		ide_end(d, ATA_ABRT);
		return;
	}
	d->multiple = n;
	ide_end(d, 0);
}

static void set_geometry(struct ide_drive *d)
{
	const struct ide_chan *c = d->chan;

	if (!c->reg[ATA_COUNT][0]) {
		ide_end(d, ATA_ABRT);
		return;
	}
	d->spt = c->reg[ATA_COUNT][0];
	d->heads = (c->reg[ATA_DEVICE][0] & 15) + 1;
	ide_end(d, 0);
}

static void native_max(struct ide_drive *d, bool ext)
{
	uint64_t last = disk_sectors(d) - 1;

	if (!ext && last > 0x0fffffff)
		last = 0x0fffffff;
	if (d->chan->reg[ATA_DEVICE][0] & ATA_LBA) {
		put_lba(d, last, ext);
		ide_end(d, 0);
	} else {
		ide_end(d, ATA_ABRT);
	}
}

uint8_t ata_set_features(struct ide_drive *d)
{
	uint8_t mode = d->chan->reg[ATA_COUNT][0];

	switch (d->chan->reg[ATA_FEATURES][0]) {
	case 0x02: case 0x82:		/* write cache on, off */
		if (d->cd)
			return ATA_ABRT;
		d->no_wcache = d->chan->reg[ATA_FEATURES][0] == 0x82;
		return 0;
	case 0x03:			/* transfer mode */
		if ((mode >> 3 == 0 && (mode & 7) < 2) || (mode >> 3 == 1 && (mode & 7) < 5))
			d->pio_mode = mode;
		else if ((mode >> 3 == 4 && (mode & 7) < 3) || (mode >> 3 == 8 && (mode & 7) < 6))
			d->dma_mode = mode;
		else
			return ATA_ABRT;
		return 0;
	case 0x55: case 0xaa:		/* look-ahead off, on */
	case 0x66: case 0xcc:		/* keep settings over a soft reset or not */
		return 0;
	default:
		return ATA_ABRT;
	}
}

/* What is in the cache that is switched off is durable first: ATA/ATAPI-7, SET FEATURES. */
static void set_features(struct ide_drive *d)
{
	uint8_t error = ata_set_features(d);

	if (!error && d->chan->reg[ATA_FEATURES][0] == 0x82)
		flush(d);
	else
		ide_end(d, error);
}

void ata_diagnostic(struct ide_drive *d)
{
	struct ide_chan *c = d->chan;

	/* Both drives do it; device 0 reports. */
	for (unsigned i = 0; i < IDE_UNITS; i++)
		ata_signature(&c->drive[IDE_UNITS - 1 - i]);
	c->reg[ATA_DEVICE][0] = 0;
	ide_irq(c);
}

void ata_signature(struct ide_drive *d)
{
	struct ide_chan *c = d->chan;

	if (!ide_present(d))
		return;
	d->error = 1;		/* passed */
	d->status = d->cd ? 0 : ATA_DRDY | ATA_DSC;
	for (unsigned i = 0; i < 2; i++) {
		c->reg[ATA_COUNT][i] = c->reg[ATA_LBA_LOW][i] = !i;
		c->reg[ATA_LBA_MID][i] = !i && d->cd ? 0x14 : 0;
		c->reg[ATA_LBA_HIGH][i] = !i && d->cd ? 0xeb : 0;
	}
}

void ata_forget(struct ide_drive *d)
{
	d->left = 0;
	d->flush_after = false;
	d->status &= (uint8_t)~(ATA_BSY | ATA_DRQ);
}

/* --- the table ----------------------------------------------------------------------- */

static void command_other(struct ide_drive *d, uint8_t command)
{
	switch (command) {
	case OP_TRIM: trim(d); break;
	case OP_DIAGNOSTIC: ata_diagnostic(d); break;
	case OP_GEOMETRY: set_geometry(d); break;
	case OP_SET_MULTIPLE: set_multiple(d); break;
	case OP_FLUSH: case OP_FLUSH_EXT: flush(d); break;
	case OP_IDENTIFY: identify(d); break;
	case OP_NATIVE_MAX: case OP_NATIVE_MAX_EXT:
		native_max(d, command == OP_NATIVE_MAX_EXT);
		break;
	case OP_SET_FEATURES: set_features(d); break;
	case OP_CHECK_POWER:
		d->chan->reg[ATA_COUNT][0] = 0xff;	/* active or idle */
		ide_end(d, 0);
		break;
	case OP_STANDBY_NOW: case OP_IDLE_NOW: case OP_STANDBY: case OP_IDLE: case OP_SLEEP:
		ide_end(d, 0);
		break;
	default:
		ide_end(d, (command & 0xf0) == OP_RECALIBRATE || (command & 0xf0) == OP_SEEK ?
			0 : ATA_ABRT);
	}
}

void ata_command(struct ide_drive *d, uint8_t command)
{
	d->flush_after = command == OP_WRITE_DMA_FUA_EXT || command == OP_WRITE_MULTIPLE_FUA_EXT;
	switch (command) {
	case OP_READ_MULTIPLE: case OP_READ_MULTIPLE_EXT: case OP_WRITE_MULTIPLE:
	case OP_WRITE_MULTIPLE_EXT: case OP_WRITE_MULTIPLE_FUA_EXT:
		if (!d->multiple) {
			ide_end(d, ATA_ABRT);
			return;
		}
	}
	switch (command) {
	case OP_READ: case OP_READ_NORETRY: case OP_READ_EXT: case OP_READ_MULTIPLE:
	case OP_READ_MULTIPLE_EXT:
		if (get_range(d))
			pio_read(d);
		break;
	case OP_WRITE: case OP_WRITE_NORETRY: case OP_WRITE_EXT: case OP_WRITE_MULTIPLE:
	case OP_WRITE_MULTIPLE_EXT: case OP_WRITE_MULTIPLE_FUA_EXT:
		if (get_range(d))
			pio_write(d, true);
		break;
	case OP_READ_DMA: case OP_READ_DMA_NORETRY: case OP_READ_DMA_EXT:
		if (get_range(d))
			ide_dma(d, true, dma_step);
		break;
	case OP_WRITE_DMA: case OP_WRITE_DMA_NORETRY: case OP_WRITE_DMA_EXT:
	case OP_WRITE_DMA_FUA_EXT:
		if (get_range(d))
			ide_dma(d, false, dma_step);
		break;
	case OP_VERIFY: case OP_VERIFY_NORETRY: case OP_VERIFY_EXT:
		if (get_range(d))
			verify(d);
		break;
	default:
		command_other(d, command);
	}
}
