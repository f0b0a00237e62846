#include "dev/ioapic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VERSION		(0x20u | (IOAPIC_PINS - 1) << 16)

/* Offsets in the page. */
enum ioapic_mmio { MMIO_SELECT = 0x00, MMIO_WINDOW = 0x10, MMIO_EOI = 0x40 };
/* Registers behind the window. */
enum ioapic_reg { REG_ID = 0, REG_VERSION = 1, REG_ARB = 2, REG_REDIR = 0x10 };

/* Redirection entries. */
#define RTE_LOGICAL	(1ull << 11)
#define RTE_STATUS	(1ull << 12)	/* read-only */
#define RTE_ACTIVE_LOW	(1ull << 13)
#define RTE_REMOTE_IRR	(1ull << 14)	/* read-only */
#define RTE_LEVEL	(1ull << 15)
#define RTE_MASKED	(1ull << 16)
#define RTE_WRITABLE	(0xff0000000001afffull & ~RTE_STATUS)

struct ioapic {
	struct vm *vm;
	struct lapics *lapics;
	uint8_t reset_id, id;
	uint8_t select;
	uint32_t lines;		/* 1: asserted, whatever the polarity */
	uint64_t rte[IOAPIC_PINS];
};

/* Polarity is left out: lines say whether a device asserts, and firmware
 * tables say how that looks. */
static bool pin_send(struct ioapic *io, unsigned pin)
{
	uint64_t rte = io->rte[pin];
	struct lapic_msg m = {
		.dest = rte >> 56, .vector = rte & 0xff, .mode = rte >> 8 & 7,
		.logical = rte & RTE_LOGICAL, .level = rte & RTE_LEVEL };

	return lapics_send(io->lapics, &m) &&
	       (m.mode == LAPIC_FIXED || m.mode == LAPIC_LOWEST);
}

/* Send a level interrupt that is due. */
static void pin_level(struct ioapic *io, unsigned pin)
{
	uint64_t *rte = &io->rte[pin];

	if ((*rte & (RTE_LEVEL | RTE_MASKED | RTE_REMOTE_IRR)) == RTE_LEVEL &&
	    io->lines >> pin & 1 && pin_send(io, pin))
		*rte |= RTE_REMOTE_IRR;
}

static void ioapic_set(void *ptr, unsigned gsi, bool level)
{
	struct ioapic *io = ptr;
	unsigned pin = gsi == 0 ? 2 : gsi;
	bool rise;

	if (gsi == 2 || gsi >= IOAPIC_PINS)
		return;
	rise = level && !(io->lines >> pin & 1);
	io->lines = (io->lines & ~(1u << pin)) | (uint32_t)level << pin;
	if (io->rte[pin] & RTE_LEVEL)
		pin_level(io, pin);
	else if (rise && !(io->rte[pin] & RTE_MASKED))	/* masked: lost */
		pin_send(io, pin);
}

static void ioapic_eoi(void *ptr, uint8_t vector)
{
	struct ioapic *io = ptr;

	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t *rte = &io->rte[pin];

		if ((*rte & 0xff) != vector || !(*rte & RTE_REMOTE_IRR))
			continue;
		*rte &= ~RTE_REMOTE_IRR;
		pin_level(io, pin);
	}
}

static uint32_t reg_read(const struct ioapic *io, uint8_t reg)
{
	unsigned n = (reg - REG_REDIR) / 2;

	switch (reg) {
	case REG_ID:
	case REG_ARB:
		return (uint32_t)io->id << 24;
	case REG_VERSION:
		return VERSION;
	default:
		if (reg < REG_REDIR || n >= IOAPIC_PINS)
			return 0;
		return io->rte[n] >> (reg & 1) * 32;
	}
}

static void rte_write(struct ioapic *io, unsigned pin, bool high, uint32_t val)
{
	uint64_t *rte = &io->rte[pin];
	uint64_t mask = RTE_WRITABLE & (high ? ~0ull << 32 : 0xffffffffull);

	*rte = (*rte & ~mask) | ((uint64_t)val << (high ? 32 : 0) & mask);
	if (!(*rte & RTE_LEVEL))	/* an edge pin has no remote IRR */
		*rte &= ~RTE_REMOTE_IRR;
	pin_level(io, pin);
}

static void reg_write(struct ioapic *io, uint8_t reg, uint32_t val)
{
	unsigned n = (reg - REG_REDIR) / 2;

	if (reg == REG_ID)
		io->id = val >> 24 & 0x0f;
	else if (reg >= REG_REDIR && n < IOAPIC_PINS)
		rte_write(io, n, reg & 1, val);
}

static uint64_t ioapic_read(void *ptr, uint64_t off, unsigned size)
{
	struct ioapic *io = ptr;
	uint32_t val = 0;

	if ((off & ~3ull) == MMIO_SELECT)
		val = io->select;
	else if ((off & ~3ull) == MMIO_WINDOW)
		val = reg_read(io, io->select);
	return val >> (off & 3) * 8;
}

static void ioapic_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct ioapic *io = ptr;

	if (off == MMIO_SELECT)
		io->select = val;
	else if (off == MMIO_WINDOW && size >= 4)
		reg_write(io, io->select, val);
	else if (off == MMIO_EOI)
		ioapic_eoi(io, val);
}

void ioapic_reset(struct ioapic *io)
{
	io->id = io->reset_id;
	io->select = 0;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		io->rte[pin] = RTE_MASKED;
}

struct ioapic *ioapic_new(struct vm *vm, struct lapics *ls, uint8_t id,
			  struct err *e)
{
	struct ioapic *io = calloc(1, sizeof(*io));

	if (!io) {
		err_sys(e, -ENOMEM, "cannot allocate the I/O APIC");
		return NULL;
	}
	io->vm = vm;
	io->lapics = ls;
	io->reset_id = id & 0x0f;
	ioapic_reset(io);
	if (bus_add_mmio(&vm->bus, (struct bus_range){
			.base = IOAPIC_BASE, .len = 256, .read = ioapic_read,
			.write = ioapic_write, .ptr = io, .name = "ioapic" }, e)) {
		ioapic_free(io);
		return NULL;
	}
	irq_add_sink(&vm->irq, ioapic_set, io);
	lapics_on_eoi(ls, ioapic_eoi, io);
	return io;
}

void ioapic_free(struct ioapic *io)
{
	free(io);
}
