#ifndef DEV_BLK_H
#define DEV_BLK_H
/*
 * A disk as devices see it: requests that end some time, without blocking the guest.
 *
 * blk_submit() first tries to do the request there and then, which is the quickest where
 * the host has the data at hand; what would have to wait goes to a thread.  How it ended
 * is told by done(), with vm->lock held, on the thread of vCPU 0 or inside blk_submit().
 * All calls need vm->lock.  Devices bound how many requests they make.
 *
 * Offsets and lengths are bytes, multiples of BLK_SECTOR, inside the disk.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "vmm/vm.h"

#define BLK_SECTOR 512u
#define BLK_INLINE_MAX (1u << 20)	/* bytes; more is always left to a thread */

enum blk_op {
	BLK_READ,
	BLK_WRITE,
	BLK_ZERO,	/* make it read as zeros, with room of its own */
	BLK_UNMAP,	/* make it read as zeros, give its room back */
	BLK_FLUSH,	/* writes that have ended are durable */
	BLK_MAP,	/* does what lies at off have room of its own, and how much alike is
			 * behind it: len becomes less */
	BLK_COMMAND,	/* a SCSI command of a disk that takes them; always left to a thread */
};

struct blk;

struct blk_req {
	enum blk_op op;
	bool fua;		/* WRITE, ZERO, UNMAP: durable when it ends */
	uint64_t off, len;
	const struct iovec *iov;	/* READ, WRITE: len bytes in all */
	int niov;
	struct sgio_cmd *command;	/* COMMAND */
	void (*done)(struct blk_req *r);
	void *ptr;		/* the caller's */
	bool data;		/* MAP: it has; else it reads as zeros */
	int rc;			/* 0 or -errno, when it has ended */
	struct err err;
	/* blk.c's own: */
	struct blk *blk;
	struct blk_req *next;
	uint64_t stamp, due_ns;
};

struct sgio_cmd;

/* What the requests are done with.  All but close() may be called by several threads
 * at once. */
struct blk_ops {
	int (*readv)(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e);
	int (*writev)(void *ptr, const struct iovec *iov, int n, uint64_t off,
		      struct err *e);
	/* NULL, or: only if it need not wait; -EAGAIN: it would. */
	int (*try_readv)(void *ptr, const struct iovec *iov, int n, uint64_t off,
			 struct err *e);
	int (*try_writev)(void *ptr, const struct iovec *iov, int n, uint64_t off,
			  struct err *e);
	/* NULL, or: would every request have to wait now? */
	bool (*frozen)(void *ptr);
	/* Both or none: when may this write begin, in terms of clock_ns() (0: now); and do those
	 * that wait for their turn still have to? */
	uint64_t (*turn)(void *ptr, uint64_t len);
	bool (*paced)(void *ptr);
	/*
	 * NULL, or: begin to read, and call done(req, rc) when that has ended, on any thread;
	 * rc other than 0: readv() is to say why.  -EAGAIN: it cannot be read this way.
	 */
	int (*start_readv)(void *ptr, const struct iovec *iov, int n, uint64_t off,
			   void (*done)(void *req, int rc), void *req);
	int (*zero)(void *ptr, uint64_t off, uint64_t len, bool unmap, struct err *e);
	int (*flush)(void *ptr, struct err *e);
	/* BLK_MAP; NULL: all has room. */
	int (*map)(void *ptr, uint64_t off, uint64_t *len, bool *data, struct err *e);
	/* NULL, or: the disk is one of the host's that takes SCSI commands. */
	void (*command)(void *ptr, struct sgio_cmd *c);
	void (*close)(void *ptr);	/* NULL: nothing to do */
};

struct blk_params {
	const struct blk_ops *ops;
	void *ptr;		/* its; closed by blk_free() */
	uint64_t size;		/* bytes; what is no whole sector is not seen */
	bool readonly;
	bool quick_writes;	/* writes go to a cache, and seldom wait */
	bool thin;		/* BLK_UNMAP gives room back */
	uint8_t uuid[16];	/* what the disk is known by; the same at every start */
	uint32_t command_max;	/* with ops->command: bytes that one can move */
};
#define BLK_THREADS 16	/* at most, of one disk */

/* NULL with *e set: no memory; then ptr is still the caller's. */
struct blk *blk_new(struct vm *vm, const struct blk_params *p, struct err *e);

/* As blk_drain(); then close it.  NULL is fine. */
void blk_free(struct blk *b);

/* The same in two steps, of which the second may take long: no request is made any more;
 * then, without vm->lock and on any thread, flush and close.  Returns what the flush said. */
void blk_stop(struct blk *b);
int blk_close(struct blk *b, struct err *e);

uint64_t blk_size(const struct blk *b);		/* bytes */
bool blk_readonly(const struct blk *b);
bool blk_thin(const struct blk *b);
/* 0: it takes no SCSI commands; else the bytes that one can move. */
uint32_t blk_command_max(const struct blk *b);
const uint8_t *blk_uuid(const struct blk *b);	/* 16 bytes */
/* params.ptr, if its requests are done with these ops; else NULL. */
void *blk_ptr(const struct blk *b, const struct blk_ops *ops);

/* r is blk's until done().  Writing to what is read only ends with -EROFS. */
void blk_submit(struct blk *b, struct blk_req *r);

/*
 * Wait until all requests, and those that their done() makes, have ended.  For resets:
 * nothing writes guest memory behind its back afterwards.
 */
void blk_drain(struct blk *b);
#endif
