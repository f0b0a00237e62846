#ifndef PC_CHARDEV_H
#define PC_CHARDEV_H
/*
 * Where a serial port's bytes go: the terminal, a file, a socket, a pty.
 *
 * vCPU threads only touch two rings; all file I/O is done by the main loop, so
 * that a reader that does not read never holds up a vCPU in the kernel.
 */

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pc/wait.h"

struct chardev;

/*
 * spec       stdio, none, file:PATH, unix:PATH (listens), pty
 * w          how long to wait for the reader of a named pipe; its wake_fd is
 *            also written when the main loop has something to do
 * Returns    NULL with *e set: -EINVAL bad spec, -EINTR and -ETIMEDOUT of
 *            pc_wait_fd(), or what the system said
 */
struct chardev *chardev_open(const char *spec, const struct pc_wait *w, struct err *e);

/* Close everything, remove the socket, leave the terminal as it was.  NULL ok. */
void chardev_free(struct chardev *c);

/* The slave's path of a pty, else NULL. */
const char *chardev_name(const struct chardev *c);

/* Terminal to raw mode, and back to what it was.  For stdio; else nothing.
 * chardev_cooked() is async-signal-safe, and chardev_raw() may follow it. */
void chardev_raw(struct chardev *c);
void chardev_cooked(struct chardev *c);

/* --- vCPU threads: see struct uart_host ----------------------------------- */

/* Send a byte.  Returns false when no more than a FIFO of them will fit. */
bool chardev_put(void *chardev, uint8_t byte);

/* Take at most n received bytes; returns how many. */
size_t chardev_get(void *chardev, uint8_t *buf, size_t n);

/* --- main loop ------------------------------------------------------------ */
#define CHARDEV_POLLFDS 2

/* Fill p[0..CHARDEV_POLLFDS) with what to wait for (fd -1: nothing). */
void chardev_poll(struct chardev *c, struct pollfd *p);

/* What chardev_handle found out. */
enum chardev_event {
	CHARDEV_RX = 1,		/* bytes to get */
	CHARDEV_TX = 2,		/* room again after put() said no */
	CHARDEV_QUIT = 4,	/* ^A x was typed */
	CHARDEV_POWER = 16,	/* ^A p was typed */
	CHARDEV_GONE = 8,	/* nobody can read the console any more */
};

/* Serve what poll() found in p; returns enum chardev_event bits. */
unsigned chardev_handle(struct chardev *c, const struct pollfd *p);

/* 0, or the -errno that ended output (a full disk; not a reader that went). */
int chardev_error(const struct chardev *c);

/* Write what is left in the ring: to a pipe on standard output as long as w allows,
 * to others for at most a second of no progress. */
void chardev_drain(struct chardev *c, const struct pc_wait *w);
#endif
