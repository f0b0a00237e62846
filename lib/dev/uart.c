#include "dev/uart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UART_FIFO 16

enum { RBR = 0, IER = 1, IIR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
enum { IER_RDI = 1, IER_THRI = 2, IER_RLSI = 4, IER_MSI = 8 };
enum { IIR_NONE = 1, IIR_MSI = 0, IIR_THRI = 2, IIR_RDI = 4, IIR_RLSI = 6,
	IIR_TIMEOUT = 12, IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4 };
enum { LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16 };
enum { LSR_DR = 1, LSR_OE = 2, LSR_THRE = 0x20, LSR_TEMT = 0x40 };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80,
	MSR_LINES = 0xf0 };

struct uart {
	struct vm *vm;
	uint16_t base;
	unsigned gsi;
	struct uart_host host;
	uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm;
	bool overrun;
	bool tx_full;		/* the host has no room */
	bool thri;		/* THR-empty interrupt pending */
	uint8_t rx[UART_FIFO];
	unsigned rx_len;
};

static unsigned rx_trigger(const struct uart *u)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

static uint8_t irq_reason(const struct uart *u)
{
	if ((u->ier & IER_RLSI) && u->overrun)
		return IIR_RLSI;
	if ((u->ier & IER_RDI) && u->rx_len)
		return u->rx_len >= rx_trigger(u) ? IIR_RDI : IIR_TIMEOUT;
	if ((u->ier & IER_THRI) && u->thri)
		return IIR_THRI;
	if ((u->ier & IER_MSI) && (u->msr & 0x0f))
		return IIR_MSI;
	return IIR_NONE;
}

/* OUT2 gates the interrupt onto the bus on every PC. */
static void irq_update(struct uart *u)
{
	irq_set(&u->vm->irq, u->gsi, irq_reason(u) != IIR_NONE &&
		(u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2);
}

/*
 * The host sends without end, so the line might never fall; but Linux's handler gives
 * up after 512 turns and waits for the next edge.  New bytes make one: every caller
 * ends in irq_update().
 */
static void rx_fill(struct uart *u)
{
	unsigned room = u->fcr & FCR_ENABLE ? UART_FIFO : 1;
	size_t n;

	if ((u->mcr & MCR_LOOP) || u->rx_len >= room)
		return;
	n = u->host.get(u->host.ptr, u->rx + u->rx_len, room - u->rx_len);
	u->rx_len += n;
	if (n)
		irq_set(&u->vm->irq, u->gsi, false);
}

static uint8_t rx_pop(struct uart *u)
{
	uint8_t b = 0;

	if (u->rx_len) {
		b = u->rx[0];
		memmove(u->rx, u->rx + 1, --u->rx_len);
	}
	if (!u->rx_len)
		rx_fill(u);
	return b;
}

static void rx_loop(struct uart *u, uint8_t byte)
{
	if (u->rx_len == (u->fcr & FCR_ENABLE ? UART_FIFO : 1))
		u->overrun = true;
	else
		u->rx[u->rx_len++] = byte;
}

/* Modem status: the host's lines are always up; loopback shows MCR's. */
static uint8_t msr_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
		(u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void msr_update(struct uart *u)
{
	uint8_t now = msr_lines(u), changed = (now ^ u->msr) & MSR_LINES;
	uint8_t delta = changed >> 4;

	/* The RI delta is only set by its trailing edge. */
	if ((changed & MSR_RI) && (now & MSR_RI))
		delta &= ~4;
	u->msr = now | (u->msr & 0x0f) | delta;
}

static uint8_t lsr(const struct uart *u)
{
	return (u->rx_len ? LSR_DR : 0) | (u->overrun ? LSR_OE : 0) |
		(u->tx_full ? 0 : LSR_THRE | LSR_TEMT);
}

static uint8_t reg_read(struct uart *u, unsigned reg)
{
	uint8_t v;

	switch (reg) {
	case RBR:
		return u->lcr & LCR_DLAB ? u->dll : rx_pop(u);
	case IER:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case IIR:
		v = irq_reason(u);
		if (v == IIR_THRI)
			u->thri = false;
		return v | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
	case LCR:
		return u->lcr;
	case MCR:
		return u->mcr;
	case LSR:
		if (!u->rx_len)
			rx_fill(u);
		v = lsr(u);
		u->overrun = false;
		return v;
	case MSR:
		v = u->msr;
		u->msr &= MSR_LINES;
		return v;
	default:
		return u->scr;
	}
}

static void thr_write(struct uart *u, uint8_t val)
{
	u->thri = false;
	if (u->mcr & MCR_LOOP)
		rx_loop(u, val);
	else
		u->tx_full = !u->host.put(u->host.ptr, val);
	u->thri = !u->tx_full;
}

static void ier_write(struct uart *u, uint8_t val)
{
	/* Enabling the interrupt while THR is empty raises it. */
	if ((val & ~u->ier & IER_THRI) && !u->tx_full)
		u->thri = true;
	u->ier = val & 0x0f;
	if (u->ier & IER_RDI)
		rx_fill(u);
}

static void fcr_write(struct uart *u, uint8_t val)
{
	if (((val ^ u->fcr) & FCR_ENABLE) || (val & FCR_CLEAR_RX))
		u->rx_len = 0;
	u->fcr = val & FCR_ENABLE ? val & 0xc9 : 0;
	if (val & FCR_CLEAR_TX)
		u->thri = !u->tx_full;
}

static void reg_write(struct uart *u, unsigned reg, uint8_t val)
{
	switch (reg) {
	case RBR:
		if (u->lcr & LCR_DLAB)
			u->dll = val;
		else
			thr_write(u, val);
		break;
	case IER:
		if (u->lcr & LCR_DLAB)
			u->dlm = val;
		else
			ier_write(u, val);
		break;
	case IIR:
		fcr_write(u, val);
		break;
	case LCR:
		u->lcr = val;
		break;
	case MCR:
		u->mcr = val & 0x1f;
		msr_update(u);
		break;
	case SCR:
		u->scr = val;
		break;
	}
}

static uint64_t uart_read(void *ptr, uint64_t off, unsigned size)
{
	struct uart *u = ptr;
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)reg_read(u, (off + i) & 7) << (8 * i);
	irq_update(u);
	return v;
}

static void uart_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct uart *u = ptr;

	for (unsigned i = 0; i < size; i++)
		reg_write(u, (off + i) & 7, val >> (8 * i));
	irq_update(u);
}

void uart_rx_ready(struct uart *u)
{
	rx_fill(u);
	irq_update(u);
}

void uart_tx_ready(struct uart *u)
{
	if (!u->tx_full)
		return;
	u->tx_full = false;
	u->thri = true;
	irq_update(u);
}

void uart_reset(struct uart *u)
{
	u->ier = u->fcr = u->lcr = u->mcr = u->scr = u->dlm = 0;
	u->dll = 12;		/* 9600 baud, as a BIOS leaves it */
	u->msr = MSR_CTS | MSR_DSR | MSR_DCD;
	u->overrun = u->thri = false;
	u->rx_len = 0;
	irq_update(u);
}

struct uart *uart_new(struct vm *vm, uint16_t base, unsigned gsi,
		      const struct uart_host *host, struct err *e)
{
	struct uart *u = calloc(1, sizeof(*u));
	int rc;

	if (!u) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	u->vm = vm;
	u->base = base;
	u->gsi = gsi;
	u->host = *host;
	rc = bus_add_pio(&vm->bus, (struct bus_range){ .base = base, .len = 8,
			 .read = uart_read, .write = uart_write, .ptr = u,
			 .name = "uart" }, e);
	if (rc) {
		free(u);
		return NULL;
	}
	uart_reset(u);
	return u;
}

void uart_free(struct uart *u)
{
	if (!u)
		return;
	bus_del_pio(&u->vm->bus, u->base);
	free(u);
}
