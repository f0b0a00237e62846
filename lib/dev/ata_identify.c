/*
 * What drives say of themselves: IDENTIFY DEVICE (ATA/ATAPI-7, 6.17) and IDENTIFY PACKET
 * DEVICE (6.18).  Words are little-endian, texts have the bytes of each word swapped.
 */
#include "dev/ide_impl.h"

#include <stdio.h>
#include <string.h>

#define CYLINDERS_MAX	16383u

static void put(uint8_t *data, unsigned word, uint16_t val)
{
	le16_put(data + 2 * word, val);
}

static void put_text(uint8_t *data, unsigned word, unsigned words, const char *s)
{
	size_t len = strlen(s);

	for (unsigned i = 0; i < 2 * words; i++)
		data[2 * word + (i ^ 1)] = i < len ? (uint8_t)s[i] : ' ';
}

void ata_default_geometry(struct ide_drive *d)
{
	d->heads = 16;
	d->spt = 63;
}

/* A disk of less than one has one, too: SeaBIOS reads no boot sector outside of all. */
static uint16_t cylinders(uint64_t sectors, uint32_t each)
{
	uint64_t n = sectors / each;

	return n > CYLINDERS_MAX ? CYLINDERS_MAX : n || !sectors ? (uint16_t)n : 1;
}

/* Words 62 to 68, 80 and 88: modes and their times. */
static void put_modes(const struct ide_drive *d, uint8_t *data)
{
	unsigned chosen = d->dma_mode & 7;

	put(data, 53, 0x0006);
	put(data, 63, (uint16_t)(0x0007 | (d->dma_mode >> 3 == 4 ? 0x100u << chosen : 0)));
	put(data, 64, 0x0003);
	for (unsigned w = 65; w <= 68; w++)
		put(data, w, 120);
	put(data, 80, 0x00f0);
	put(data, 88, (uint16_t)(0x003f | (d->dma_mode >> 3 == 8 ? 0x100u << chosen : 0)));
	put(data, 93, d->unit ? 0x4b00 : 0x600b);	/* an 80-wire cable */
}

/* Word 255: all bytes add up to 0. */
static void put_checksum(uint8_t *data)
{
	uint8_t sum = 0;

	data[510] = 0xa5;
	for (unsigned i = 0; i < 511; i++)
		sum = (uint8_t)(sum + data[i]);
	data[511] = (uint8_t)-sum;
}

static void put_size(const struct ide_drive *d, uint8_t *data)
{
	uint64_t n = blk_size(d->blk) / ATA_SECTOR;
	uint32_t each = (uint32_t)d->heads * d->spt;
	uint64_t now = (uint64_t)cylinders(n, each) * each;

	put(data, 1, cylinders(n, 16 * 63));
	put(data, 3, 16);
	put(data, 6, 63);
	put(data, 54, cylinders(n, each));
	put(data, 55, d->heads);
	put(data, 56, d->spt);
	le32_put(data + 2 * 57, (uint32_t)(now < n ? now : n));
	le32_put(data + 2 * 60, n > 0x0fffffff ? 0x0fffffff : (uint32_t)n);
	le64_put(data + 2 * 100, n);
}

void ata_identify(const struct ide_drive *d, uint8_t data[ATA_SECTOR])
{
	const uint8_t *id = blk_uuid(d->blk);
	char serial[24];
	uint16_t sets[3] = { 0x4068, 0x7400, 0x4040 };

	/* 82: NOP, look-ahead, write cache, power management.  83: FLUSH CACHE and EXT,
	 * 48-bit addresses.  84: WRITE DMA FUA EXT. */
	snprintf(serial, sizeof(serial), "%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x", id[6], id[7],
		 id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
	memset(data, 0, ATA_SECTOR);
	put(data, 0, 0x0040);
	put_text(data, 10, 10, serial);
	put_text(data, 23, 4, "00000001");
	put_text(data, 27, 20, "VMware Virtual IDE Hard Drive");
	put(data, 47, 0x8000 | ATA_MULTIPLE);
	put(data, 49, 0x0f00);
	put(data, 50, 0x4000);
	put_modes(d, data);
	put(data, 53, 0x0007);
	put(data, 59, d->multiple ? 0x0100 | d->multiple : 0);
	put_size(d, data);
	for (unsigned i = 0; i < 3; i++) {
		put(data, 82 + i, sets[i]);
		put(data, 85 + i, sets[i]);
	}
	put(data, 85, (uint16_t)(d->no_wcache ? sets[0] & ~0x20 : sets[0]));
	put(data, 86, sets[1] & 0x3fff);
	put(data, 105, 1);		/* sectors of ranges to trim */
	put(data, 169, 0x0001);
	put_checksum(data);
}

void atapi_identify(const struct ide_drive *d, uint8_t data[ATA_SECTOR])
{
	memset(data, 0, ATA_SECTOR);
	put(data, 0, 0x85c0);		/* CD-ROM, removable, 12-byte packets, DRQ in 50 us */
	put_text(data, 10, 10, d->chan->n || d->unit ? d->unit ? "11000000000000000001" :
		 "10000000000000000001" : "00000000000000000001");
	put_text(data, 23, 4, "00000001");
	put_text(data, 27, 20, "VMware Virtual IDE CDROM Drive");
	put(data, 49, 0x0f00);
	put_modes(d, data);
	put(data, 82, 0x4210);		/* NOP, DEVICE RESET, PACKET */
	put(data, 83, 0x4000);
	put(data, 84, 0x4000);
	put(data, 85, 0x4210);
	put(data, 87, 0x4000);
	put_checksum(data);
}
