/* The IDE controller: ports, interrupts, the bus master. */
#include "dev/ide_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dev/piix4.h"
#include "vmm/dma.h"

/* Configuration space: the timing registers, whose bit 15 has the channel decoded. */
enum { IDETIM = 0x40, SIDETIM = 0x44, UDMACTL = 0x48, UDMATIM = 0x4a };
#define IDETIM_DECODE	0x80

enum bm_command { BM_START = 1, BM_TO_MEMORY = 8 };
enum bm_status { BM_ACTIVE = 1, BM_ERROR = 2, BM_INTR = 4, BM_DRIVES = 0x60 };

static const struct {
	uint16_t command, control;
	unsigned irq;
} channels[IDE_CHANNELS] = { { 0x1f0, 0x3f6, 14 }, { 0x170, 0x376, 15 } };

/* --- interrupts ------------------------------------------------------------------ */

static void show_irq(struct ide_chan *c)
{
	irq_set(&c->ide->vm->irq, channels[c->n].irq, c->irq && !(c->control & ATA_NIEN));
}

void ide_irq(struct ide_chan *c)
{
	c->irq = true;
	c->bm.status |= BM_INTR;
	show_irq(c);
}

static void ack_irq(struct ide_chan *c)
{
	c->irq = false;
	show_irq(c);
}

/* --- commands and their data -------------------------------------------------------- */

void ide_end(struct ide_drive *d, uint8_t error)
{
	struct ide_chan *c = d->chan;

	d->status = ATA_DRDY | ATA_DSC | (error ? ATA_ERR : 0);
	d->error = error;
	c->data = NULL;
	c->dma_wanted = false;
	ide_irq(c);
}

void ide_pio(struct ide_drive *d, uint8_t *data, uint32_t len, bool out, bool quiet,
	     void (*moved)(struct ide_drive *d))
{
	struct ide_chan *c = d->chan;

	c->data = data;
	c->at = 0;
	c->end = len;
	c->out = out;
	c->moved = moved;
	d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
	if (!quiet)
		ide_irq(c);
}

static void try_dma(struct ide_chan *c)
{
	if (!c->dma_wanted || !(c->bm.status & BM_ACTIVE) ||
	    c->dma_in != !!(c->bm.command & BM_TO_MEMORY))
		return;
	c->dma_wanted = false;
	c->dma(ide_selected(c));
}

void ide_dma(struct ide_drive *d, bool in, void (*start)(struct ide_drive *d))
{
	struct ide_chan *c = d->chan;

	c->dma_wanted = true;
	c->dma_in = in;
	c->dma = start;
	try_dma(c);
}

/* Physical region descriptors: address, and count with the end mark in its top bit. */
static bool next_entry(struct ide_chan *c)
{
	struct ide_bm *bm = &c->bm;
	uint8_t prd[8];
	bool master = pci_is_master(&c->ide->fn);

	if (bm->last || !master || !dma_read(c->ide->vm->mem, bm->entry, prd, 8)) {
		bm->status |= bm->last ? 0 : BM_ERROR;
		return false;
	}
	bm->entry += 8;
	bm->addr = le32_get(prd) & ~1u;
	bm->bytes = le16_get(prd + 4) & ~1u;
	bm->bytes = bm->bytes ? bm->bytes : 65536;
	bm->last = prd[7] & 0x80;
	return true;
}

uint64_t ide_dma_take(struct ide_drive *d, uint64_t len)
{
	struct ide_chan *c = d->chan;
	struct ide_bm *bm = &c->bm;

	sg_clear(&c->sg, c->ide->vm->mem);
	while (c->sg.len < len) {
		uint64_t n = len - c->sg.len;

		if (!bm->bytes && !next_entry(c))
			break;
		n = bm->bytes < n ? bm->bytes : n;
		if (sg_add(&c->sg, bm->addr, n, c->dma_in)) {
			bm->status |= BM_ERROR;
			break;
		}
		bm->addr += (uint32_t)n;
		bm->bytes -= (uint32_t)n;
	}
	return c->sg.len;
}

bool ide_dma_next(struct ide_drive *d, uint32_t len)
{
	struct ide_bm *bm = &d->chan->bm;

	if (ide_dma_take(d, len) == len)
		return true;
	bm->status &= (uint8_t)~BM_ACTIVE;
	if (bm->status & BM_ERROR)
		ide_end(d, ATA_ABRT);
	return false;
}

void ide_dma_done(struct ide_drive *d)
{
	struct ide_bm *bm = &d->chan->bm;

	/* A table that names more memory leaves it active: Bus Master IDE, 3.1. */
	if (!bm->bytes && bm->last)
		bm->status &= (uint8_t)~BM_ACTIVE;
}

/* Wait for what runs on the channel, so that it writes no memory any more. */
static void drain(struct ide_chan *c)
{
	for (unsigned i = 0; i < IDE_UNITS; i++) {
		struct ide_drive *d = &c->drive[i];

		if (d->blk)
			blk_drain(d->blk);
		if (d->cd)
			scsi_drain(d->cd);
	}
}

/* As SRST leaves it. */
static void reset_drives(struct ide_chan *c)
{
	drain(c);
	c->data = NULL;
	c->dma_wanted = false;
	c->irq = false;
	c->bm.status &= (uint8_t)~BM_ACTIVE;
	for (unsigned i = 0; i < IDE_UNITS; i++) {
		struct ide_drive *d = &c->drive[i];

		ata_forget(d);
		atapi_forget(d);
		d->multiple = 0;
		if (d->cd)
			scsi_reset(d->cd, SCSI_BUS_RESET);
	}
	/* Device 0 answers, for both. */
	c->reg[ATA_DEVICE][0] = 0;
	ata_signature(&c->drive[1]);
	ata_signature(&c->drive[0]);
	show_irq(c);
}

/* --- registers ----------------------------------------------------------------------- */

static bool is_empty(const struct ide_chan *c)
{
	return !ide_present(&c->drive[0]) && !ide_present(&c->drive[1]);
}

/* A data port access; beyond the block's end it reads zeros and writes nothing. */
static uint32_t data_read(struct ide_chan *c, unsigned size)
{
	uint32_t val = 0;

	if (!c->data || c->out)
		return 0;
	for (unsigned i = 0; i < size && c->at < c->end; i++)
		val |= (uint32_t)c->data[c->at++] << 8 * i;
	if (c->at == c->end) {
		c->data = NULL;
		c->moved(ide_selected(c));
	}
	return val;
}

static void data_write(struct ide_chan *c, uint32_t val, unsigned size)
{
	if (!c->data || !c->out)
		return;
	for (unsigned i = 0; i < size && c->at < c->end; i++)
		c->data[c->at++] = (uint8_t)(val >> 8 * i);
	if (c->at == c->end) {
		c->data = NULL;
		c->moved(ide_selected(c));
	}
}

static uint8_t status(struct ide_chan *c)
{
	struct ide_drive *d = ide_selected(c);

	return is_empty(c) ? 0x7f : ide_present(d) ? d->status : 0;
}

static uint8_t reg_read(struct ide_chan *c, unsigned reg)
{
	struct ide_drive *d = ide_selected(c);

	if (is_empty(c))
		return 0x7f;	/* nobody drives the bus; a resistor pulls bit 7 down */
	if (!ide_present(d) && reg != ATA_DEVICE)
		return 0;
	switch (reg) {
	case ATA_FEATURES:
		return d->error;
	case ATA_COMMAND:
		ack_irq(c);
		return d->status;
	case ATA_DEVICE:
		return c->reg[reg][0] | ATA_OBSOLETE;
	default:
		return c->reg[reg][!!(c->control & ATA_HOB)];
	}
}

static void start(struct ide_chan *c, uint8_t command)
{
	struct ide_drive *d = ide_selected(c);
	bool reset = d->cd && command == 0x08;

	if (!ide_present(d) || ((d->status & (ATA_BSY | ATA_DRQ)) && !reset))
		return;
	ack_irq(c);
	d->status = ATA_BSY;
	d->error = 0;
	d->command = command;
	if (d->cd)
		atapi_command(d, command);
	else
		ata_command(d, command);
}

static void reg_write(struct ide_chan *c, unsigned reg, uint8_t val)
{
	struct ide_drive *d = ide_selected(c);

	c->control &= (uint8_t)~ATA_HOB;
	if (reg == ATA_COMMAND) {
		start(c, val);
		return;
	}
	if (d->status & (ATA_BSY | ATA_DRQ))
		return;
	if (reg == ATA_DEVICE) {
		c->reg[reg][0] = val;
		return;
	}
	c->reg[reg][1] = c->reg[reg][0];
	c->reg[reg][0] = val;
}

static bool decoded(const struct ide_chan *c)
{
	return c->ide->fn.cfg[IDETIM + 2 * c->n + 1] & IDETIM_DECODE;
}

static uint64_t command_read(void *ptr, uint64_t off, unsigned size)
{
	struct ide_chan *c = ptr;
	uint64_t val = 0;

	if (!decoded(c))
		return UINT64_MAX;
	if (off == ATA_DATA)
		return data_read(c, size);
	for (unsigned i = 0; i < size; i++)
		val |= (uint64_t)reg_read(c, (unsigned)off + i) << 8 * i;
	return val;
}

static void command_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct ide_chan *c = ptr;

	if (!decoded(c))
		return;
	if (off == ATA_DATA) {
		data_write(c, (uint32_t)val, size);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		reg_write(c, (unsigned)off + i, (uint8_t)(val >> 8 * i));
}

static uint64_t control_read(void *ptr, uint64_t off, unsigned size)
{
	struct ide_chan *c = ptr;

	return decoded(c) ? status(c) : UINT64_MAX;
}

static void control_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct ide_chan *c = ptr;
	uint8_t rises = (uint8_t)val & (uint8_t)~c->control;

	if (!decoded(c))
		return;
	c->control = (uint8_t)val;
	if (rises & ATA_SRST)
		reset_drives(c);
	show_irq(c);
}

/* --- the bus master -------------------------------------------------------------------- */

static void bm_start(struct ide_chan *c)
{
	struct ide_bm *bm = &c->bm;

	bm->status |= BM_ACTIVE;
	bm->entry = bm->table;
	bm->bytes = 0;
	bm->last = false;
	try_dma(c);
}

static void bm_command(struct ide_chan *c, uint8_t val)
{
	uint8_t was = c->bm.command;

	c->bm.command = val & (BM_START | BM_TO_MEMORY);
	if (val & BM_START && !(was & BM_START)) {
		bm_start(c);
	} else if (was & BM_START && !(val & BM_START)) {
		if (c->bm.status & BM_ACTIVE)
			drain(c);
		c->bm.status &= (uint8_t)~BM_ACTIVE;
	}
}

static uint64_t bm_read(void *ptr, uint64_t off, unsigned size)
{
	struct ide *d = ptr;
	uint64_t val = 0;

	for (unsigned i = 0; i < size; i++) {
		const struct ide_bm *bm = &d->chan[(off + i) >> 3 & 1].bm;
		unsigned reg = (off + i) & 7;
		uint8_t b = reg == 0 ? bm->command : reg == 2 ? bm->status :
			    reg >= 4 ? (uint8_t)(bm->table >> 8 * (reg - 4)) : 0;

		val |= (uint64_t)b << 8 * i;
	}
	return val;
}

static void bm_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct ide *d = ptr;

	for (unsigned i = 0; i < size; i++) {
		struct ide_chan *c = &d->chan[(off + i) >> 3 & 1];
		unsigned reg = (off + i) & 7, shift = 8 * (reg & 3);
		uint8_t b = (uint8_t)(val >> 8 * i);

		if (reg == 0)
			bm_command(c, b);
		else if (reg == 2)
			c->bm.status = (c->bm.status & (uint8_t)~(b & (BM_ERROR | BM_INTR)) &
					(uint8_t)~BM_DRIVES) | (b & BM_DRIVES);
		else if (reg >= 4)
			c->bm.table = (c->bm.table & ~(0xffu << shift)) |
				(uint32_t)(reg == 4 ? b & ~3u : b) << shift;
	}
}

/* --- making ------------------------------------------------------------------------------ */

static int add_ports(struct ide_chan *c, struct err *e)
{
	struct bus *bus = &c->ide->vm->bus;
	int rc = bus_add_pio(bus, (struct bus_range){ channels[c->n].command, ATA_REGS,
			     command_read, command_write, c, "ide" }, e);

	return rc ? rc : bus_add_pio(bus, (struct bus_range){ channels[c->n].control, 1,
				     control_read, control_write, c, "ide" }, e);
}

static void init_pci(struct ide *d)
{
	struct pci_fn *f = &d->fn;

	pci_fn_ident(f, PCI_VENDOR_INTEL, 0x7111, 0x010180, 1);
	pci_fn_bar(f, 4, &(struct pci_bar){ .kind = PCI_BAR_IO, .len = 16, .read = bm_read,
		   .write = bm_write, .ptr = d, .name = "ide" });
	memset(f->wmask + IDETIM, 0xff, UDMATIM + 2 - IDETIM);
	/* As firmware leaves it: drivers take a channel that is off for one without
	 * wires, and machines that boot a kernel have no firmware. */
	f->init[IDETIM + 1] = f->init[IDETIM + 3] = IDETIM_DECODE;
}

struct ide *ide_new(struct vm *vm, struct pci *pci, struct err *e)
{
	struct ide *d = calloc(1, sizeof(*d));
	int rc;

	if (!d) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	d->vm = vm;
	init_pci(d);
	rc = pci_add(pci, PCI_DEVFN(PIIX4_SLOT, 1), &d->fn, e);
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_chan *c = &d->chan[i];

		c->ide = d;
		c->n = i;
		for (unsigned k = 0; k < IDE_UNITS; k++) {
			c->drive[k].chan = c;
			c->drive[k].unit = k;
		}
		if (!rc)
			rc = add_ports(c, e);
	}
	if (rc) {
		ide_free(d);
		return NULL;
	}
	return d;
}

static int attach(struct ide *d, unsigned channel, unsigned unit, struct blk *b,
		  struct scsi_dev *cd, struct err *e)
{
	struct ide_drive *v = &d->chan[channel].drive[unit];

	if (ide_present(v))
		return err_set(e, -EBUSY, "ide%u:%u is taken", channel, unit);
	v->blk = b;
	v->cd = cd;
	return 0;
}

int ide_attach_disk(struct ide *d, unsigned channel, unsigned unit, struct blk *b,
		    struct err *e)
{
	return attach(d, channel, unit, b, NULL, e);
}

int ide_attach_cd(struct ide *d, unsigned channel, unsigned unit, struct scsi_dev *cd,
		  struct err *e)
{
	return attach(d, channel, unit, NULL, cd, e);
}

void ide_reset(struct ide *d)
{
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_chan *c = &d->chan[i];

		c->control = 0;
		reset_drives(c);
		memset(&c->bm, 0, sizeof(c->bm));
		for (unsigned k = 0; k < IDE_UNITS; k++) {
			struct ide_drive *v = &c->drive[k];

			v->no_wcache = false;
			v->pio_mode = v->dma_mode = 0;
			if (v->blk)
				ata_default_geometry(v);
			if (v->cd)
				scsi_reset(v->cd, SCSI_POWER_ON);
		}
	}
}

void ide_free(struct ide *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_chan *c = &d->chan[i];

		for (unsigned k = 0; k < IDE_UNITS; k++) {
			struct ide_drive *v = &c->drive[k];

			if (v->blk)
				blk_drain(v->blk);
			if (v->cd)
				scsi_drain(v->cd);
			atapi_forget(v);
			sg_free(&v->sr.data);
			blk_free(v->blk);
			scsi_free(v->cd);
		}
		sg_free(&c->sg);
	}
	pci_fn_done(&d->fn);
	free(d);
}
