#ifndef NET_PORT_H
#define NET_PORT_H
/*
 * A port's I/O: how frames get from outside to the switch's core and back.  One file a
 * kind (ring.c, tap.c, packet.c, stream.c, dgram.c, nat.c, dhcp.c), each with a function
 * that opens it and returns a struct net_port; the switch process (lib/switch) then only
 * uses what is here.
 *
 * All calls are on the loop's thread.  What comes from outside is hostile: a peer that
 * breaks the protocol loses its port (gone()), and nothing else.
 */

#include "net/frame.h"
#include "net/loop.h"
#include "net/offload.h"

struct net_port;

struct net_port_ops {
	const char *kind;	/* "ring", "tap", ... */
	/*
	 * Send a frame with that tag; it is valid during the call.  What goes in
	 * batches may wait for flush().  Use net_port_send(), which splits.
	 * Returns false: no room, it is lost
	 */
	bool (*send)(struct net_port *p, const struct frame *f, int tci);
	void (*flush)(struct net_port *p);	/* NULL: nothing waits */
	/* Take frames no more, for a while (ingress shaping), and again. */
	void (*pause)(struct net_port *p, bool paused);
	void (*close)(struct net_port *p);	/* and free */
};

/* What the owner is told; set by it behind opening, before the loop runs. */
struct net_port_owner {
	/* A frame has come in. */
	void (*input)(struct net_port *p, const struct frame *f);
	/* A batch of them is complete: flush what they were sent to. */
	void (*input_end)(struct net_port *p);
	void (*link)(struct net_port *p, bool up);
	/* What a vNIC says of itself (rings only). */
	void (*address)(struct net_port *p, const uint8_t addr[FRAME_ADDR]);
	void (*filter)(struct net_port *p, bool promiscuous, bool all_multicast);
	/* A listening port (stream.h) has a new peer, a port of its own. */
	void (*accepted)(struct net_port *p, struct net_port *peer);
	/* It is of no use any more: close it, now or later; input has ended. */
	void (*gone)(struct net_port *p, const struct err *why);
};

struct net_port {
	const struct net_port_ops *ops;
	const struct net_port_owner *owner;
	void *ptr;		/* the owner's */
	struct loop *loop;
	unsigned takes;		/* enum offload: what need not be split for it */
	bool link;		/* a cable is in it, and somebody at its other end */
	bool has_addr;		/* its address is known: */
	uint8_t addr[FRAME_ADDR];
};

/*
 * Send a frame, split as the port needs it.
 *
 * scratch    FRAME_MAX bytes of the caller's
 * Returns    false: all or a part of it was lost
 */
bool net_port_send(struct net_port *p, const struct frame *f, int tci, uint8_t *scratch);

#endif
