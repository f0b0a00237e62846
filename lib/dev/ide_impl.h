#ifndef DEV_IDE_IMPL_H
#define DEV_IDE_IMPL_H
/*
 * What the files of the IDE controller share: ide.c is the controller with its ports and
 * bus master, ata.c the disks, ata_identify.c what they say of themselves, atapi.c the
 * CD-ROMs.
 *
 * A command's life: ata_command() or atapi_command() sets BSY and starts; data go either
 * through chan->buf and the data port, one DRQ block after the other (ide_pio()), or
 * between the disk and guest memory (ide_dma()); ide_end() says how it ended.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/le.h"
#include "dev/ide.h"

#define ATA_SECTOR	BLK_SECTOR
#define IDE_BUF		(64u << 10)	/* of a channel: most that PIO moves at once */
#define DMA_STEP	(1u << 20)	/* most that DMA moves at once */
#define ATA_MULTIPLE	16u		/* sectors a DRQ block, at most */

enum ata_status {
	ATA_ERR = 0x01, ATA_DRQ = 0x08, ATA_DSC = 0x10, ATA_DF = 0x20, ATA_DRDY = 0x40,
	ATA_BSY = 0x80,
};
enum ata_error { ATA_ABRT = 0x04, ATA_IDNF = 0x10, ATA_UNC = 0x40 };
enum ata_device { ATA_DEV = 0x10, ATA_LBA = 0x40, ATA_OBSOLETE = 0xa0 };
enum ata_control { ATA_NIEN = 0x02, ATA_SRST = 0x04, ATA_HOB = 0x80 };

/* Registers at the channel's first port. */
enum ata_reg {
	ATA_DATA, ATA_FEATURES, ATA_COUNT, ATA_LBA_LOW, ATA_LBA_MID, ATA_LBA_HIGH,
	ATA_DEVICE, ATA_COMMAND, ATA_REGS,
};

struct ide_chan;

struct ide_drive {
	struct ide_chan *chan;
	unsigned unit;
	struct blk *blk;	/* a disk; both NULL: no drive */
	struct scsi_dev *cd;	/* a CD-ROM */
	uint8_t status, error;
	uint8_t multiple;	/* sectors a DRQ block of READ MULTIPLE; 0: not set */
	uint8_t pio_mode, dma_mode;	/* as SET FEATURES set them; dma_mode: its byte */
	bool no_wcache;
	uint16_t heads, spt;	/* for addresses that are no LBA */
	/* The command that runs: */
	uint8_t command;
	uint64_t lba;
	uint32_t left;		/* sectors to go */
	bool flush_after;	/* it ends when it is durable */
	struct blk_req io;
	struct iovec one;	/* of io, for PIO */
	struct scsi_req sr;
	uint8_t packet[12];
	uint16_t limit;		/* bytes a DRQ block of PACKET */
	uint8_t *reply;		/* what a packet command moves through the data port */
	uint32_t reply_len, reply_at;
};

struct ide_bm {			/* of a bus master's channel */
	uint8_t command, status;
	uint32_t table;
	/* While it is active: where the next bytes go */
	uint32_t entry;		/* address of the entry that is used */
	uint32_t addr, bytes;	/* the rest of it */
	bool last;		/* it is the last one */
};

struct ide_chan {
	struct ide *ide;
	unsigned n;
	struct ide_drive drive[IDE_UNITS];
	/* The registers: both drives see writes.  [0] is the last written, [1] the one
	 * before. */
	uint8_t reg[ATA_REGS][2];
	uint8_t control;
	bool irq;
	/* Through the data port */
	uint8_t *data;		/* the DRQ block; NULL: none */
	uint32_t at, end;
	bool out;		/* the guest writes it */
	void (*moved)(struct ide_drive *d);	/* it has been */
	uint8_t buf[IDE_BUF];
	/* DMA */
	struct ide_bm bm;
	bool dma_wanted;	/* the drive has a request for the bus master */
	bool dma_in;		/* the drive writes memory */
	void (*dma)(struct ide_drive *d);	/* to be called when that may move data */
	struct sg sg;
};

struct ide {
	struct vm *vm;
	struct pci_fn fn;
	struct ide_chan chan[IDE_CHANNELS];
};

/* --- ide.c --------------------------------------------------------------------- */

static inline struct ide_drive *ide_selected(struct ide_chan *c)
{
	return &c->drive[c->reg[ATA_DEVICE][0] & ATA_DEV ? 1 : 0];
}

static inline bool ide_present(const struct ide_drive *d)
{
	return d->blk || d->cd;
}

void ide_irq(struct ide_chan *c);

/* The command has ended: with these error bits, 0: well. */
void ide_end(struct ide_drive *d, uint8_t error);

/*
 * A DRQ block: len bytes of data, to be read (out: written) by the guest through the
 * data port; then moved() is called.
 * quiet      without an interrupt: the first block of a command that writes
 */
void ide_pio(struct ide_drive *d, uint8_t *data, uint32_t len, bool out, bool quiet,
	     void (*moved)(struct ide_drive *d));

/*
 * The drive wants DMA: start() is called once the bus master runs, at once or later.
 * in: into memory.
 */
void ide_dma(struct ide_drive *d, bool in, void (*start)(struct ide_drive *d));

/*
 * The next len bytes of memory that the bus master's table names, into chan->sg.
 * Returns false: there are none, or no memory; the command is over or stays as it is (as
 * the specification has it for tables that are too short).
 */
bool ide_dma_next(struct ide_drive *d, uint32_t len);

/* As much of it as there is, and no more than len.  Returns how much. */
uint64_t ide_dma_take(struct ide_drive *d, uint64_t len);

/* All data are moved: the bus master is idle if its table is at its end. */
void ide_dma_done(struct ide_drive *d);

/* --- ata.c --------------------------------------------------------------------- */

void ata_command(struct ide_drive *d, uint8_t command);
/* The registers as after a reset, and in them what kind of drive it is. */
void ata_signature(struct ide_drive *d);
/* Forget the command that runs; its requests have ended. */
void ata_forget(struct ide_drive *d);
/* EXECUTE DEVICE DIAGNOSTIC, sent to either drive. */
void ata_diagnostic(struct ide_drive *d);
/* SET FEATURES, the same for disks and CD-ROMs.  Returns error bits. */
uint8_t ata_set_features(struct ide_drive *d);

/* --- ata_identify.c ------------------------------------------------------------- */

void ata_identify(const struct ide_drive *d, uint8_t data[ATA_SECTOR]);
void atapi_identify(const struct ide_drive *d, uint8_t data[ATA_SECTOR]);
/* Heads and sectors a track before INITIALIZE DEVICE PARAMETERS. */
void ata_default_geometry(struct ide_drive *d);

/* --- atapi.c --------------------------------------------------------------------- */

void atapi_command(struct ide_drive *d, uint8_t command);
void atapi_forget(struct ide_drive *d);
#endif
