#ifndef DEV_NIC_H
#define DEV_NIC_H
/*
 * Between a virtual NIC (a chip of lib/dev) and what its cable leads to (lib/pc, which
 * speaks to the switch).
 *
 * All calls are made with vm->lock held, on a vCPU's thread; the NIC writes guest memory
 * there and then.  The example of a frame sent:
 *
 *	driver writes the tail register -> chip reads descriptors, dma_map()s the pieces,
 *	link->send() for each frame, link->flush() behind the last -> the ring to the switch
 */

#include "net/frame.h"
#include "net/offload.h"

#define NIC_PIECES 64u		/* of a frame that is sent */

/* What a NIC is plugged into. */
struct nic_link {
	/*
	 * Send a frame: pieces of host memory, whose bytes are taken during the call.
	 *
	 * tci        a tag that the NIC was told to put in, or FRAME_UNTAGGED
	 * meta       what is left to do, or NULL
	 * Returns    false: no room now; ops->room() is called when there is, and the NIC
	 *            tries it again (it need not: frames may be lost).  Frames that make
	 *            no sense are lost and count as sent.
	 */
	bool (*send)(void *ptr, const struct iovec *iov, unsigned n, int tci,
		     const struct frame_meta *meta);
	/* What was sent is to be seen by the other side. */
	void (*flush)(void *ptr);
	/* The address and filter that the driver has set: what it wants to receive. */
	void (*listen)(void *ptr, const uint8_t addr[FRAME_ADDR], bool promiscuous,
		       bool all_multicast);
	/* Receive buffers are there again, after receive() returned false. */
	void (*refilled)(void *ptr);
	void *ptr;
};

/* What a NIC is to its cable. */
struct nic_ops {
	const char *model;	/* "e1000", ... */
	/* A frame comes in, split such that ops->takes() holds.  false: no buffers now; it is
	 * kept and comes again after link->refilled().  What the NIC drops (filter, off,
	 * overrun as the chip has it) counts as taken. */
	bool (*receive)(void *nic, const struct frame *f);
	/* A batch of frames has come in: raise interrupts now. */
	void (*received)(void *nic);
	/* enum offload, as the driver has it set up now. */
	unsigned (*takes)(void *nic);
	void (*room)(void *nic);		/* see send() */
	void (*plug)(void *nic, bool up);	/* the cable's link; down at first */
	void (*reset)(void *nic);
	void (*free)(void *nic);		/* takes it off the PCI bus, too */
};

struct nic {			/* how lib/pc holds one */
	const struct nic_ops *ops;
	void *dev;
};

#endif
