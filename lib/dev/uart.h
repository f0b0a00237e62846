#ifndef DEV_UART_H
#define DEV_UART_H
/*
 * A 16550A serial port: FIFOs, interrupts, loopback.  The line is infinitely
 * fast; the host side limits the flow.
 * Spec: National Semiconductor PC16550D data sheet, June 1995.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/vm.h"

/* The host's end of the line.  Called with vm->lock held. */
struct uart_host {
	/* Take a byte, always.  false: no room for a FIFO more; the port then
	 * says so to the guest until uart_tx_ready(). */
	bool (*put)(void *ptr, uint8_t byte);
	/* Up to n received bytes. */
	size_t (*get)(void *ptr, uint8_t *buf, size_t n);
	void *ptr;
};

struct uart;

/*
 * base, gsi  first port (8 are taken), interrupt line
 * Returns    NULL with *e set when the ports are taken
 */
struct uart *uart_new(struct vm *vm, uint16_t base, unsigned gsi,
		      const struct uart_host *host, struct err *e);
void uart_reset(struct uart *u);
void uart_free(struct uart *u);

/* The host has bytes to get, room again.  vm->lock is held. */
void uart_rx_ready(struct uart *u);
void uart_tx_ready(struct uart *u);
#endif
