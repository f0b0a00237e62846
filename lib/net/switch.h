#ifndef NET_SWITCH_H
#define NET_SWITCH_H
/*
 * The core of a virtual switch as ESX has it: frames in, list of (port, tag) out.  No
 * I/O, no clock, no thread: time is passed in, policies are data.
 *
 * Ports are of two kinds, numbered together.  *vNIC ports* belong to a port group; their
 * address is known, nothing is learned.  *Uplinks* lead outside.  A frame goes
 *
 *	vNIC -> vNIC	of the same VLAN, by address; broadcast and multicast to all of it
 *	vNIC -> uplink	the one that the group's teaming chooses, when no vNIC has the
 *			address, and for broadcast and multicast
 *	uplink -> vNIC	if it came in by an uplink that the group would use for that vNIC,
 *			or the group takes it from any (see sw_input())
 *	uplink -> uplink	never
 *
 * VLANs: a group with VLAN 0 takes untagged frames (and those tagged with VLAN 0, whose
 * priority is kept), 1 to 4094 tags what leaves by uplinks and takes what is tagged so
 * (VST), a trunk passes tags of its ranges on to the guest (VGT; 4095 = all of them and
 * untagged).
 */

#include "base/err.h"
#include "net/frame.h"

#define SW_UPLINKS	32u
#define SW_GROUPS	512u
#define SW_PORTS	4096u	/* uplinks included */
#define SW_MTU_MIN	1280u
#define SW_MTU_MAX	9000u

enum sw_team { SW_TEAM_PORTID, SW_TEAM_MAC, SW_TEAM_IPHASH, SW_TEAM_EXPLICIT };
enum sw_detect { SW_DETECT_LINK, SW_DETECT_BEACON };

/* A token bucket; all 0: no limit. */
struct sw_shape {
	uint64_t average_bps, peak_bps;		/* bits a second */
	uint64_t burst_bytes;
};

struct sw_policy {
	enum sw_team team;
	enum sw_detect detect;
	bool failback;		/* an uplink that is back takes its place again */
	bool notify;		/* RARP for each address after a failover */
	bool promiscuous;	/* accept: guests may see all frames of their VLANs */
	bool mac_change;	/* accept: an address other than the port's own to receive by */
	bool forged;		/* accept: other source addresses */
	struct sw_shape in, out;	/* from, to each vNIC */
	uint8_t active[SW_UPLINKS], standby[SW_UPLINKS];	/* in order; slots of uplinks */
	uint8_t nactive, nstandby;	/* what is in neither is unused */
};

struct sw_vlans {
	bool trunk;
	uint16_t id;		/* no trunk: 0 to 4094 */
	uint64_t set[64];	/* trunk: a bit a VLAN; bit 0: untagged, too */
};

struct sw_group {
	bool used;
	struct sw_vlans vlans;
	struct sw_policy policy;
};

/* Copies of what passes (mirrored) a port or a group's ports go to another port. */
struct sw_mirror {
	bool used, of_group;
	uint16_t source;	/* a port; or a group */
	uint16_t to;		/* a port */
};
#define SW_MIRRORS 16u

/* All that is configured, replaced in one step by sw_configure(). */
struct sw_config {
	unsigned mtu;			/* bytes of payload */
	struct sw_group group[SW_GROUPS];
	struct sw_mirror mirror[SW_MIRRORS];
};

enum sw_drop {
	SW_DROP_MALFORMED,	/* not a frame, or no sense in its metadata */
	SW_DROP_OVERSIZE,	/* larger than the MTU */
	SW_DROP_VLAN,		/* a VLAN that is not the port's */
	SW_DROP_FORGED,		/* forged transmit is rejected */
	SW_DROP_MAC_CHANGE,	/* the port's address was changed, which is rejected */
	SW_DROP_UNKNOWN,	/* from an uplink, to nobody here */
	SW_DROP_REFLECTED,	/* from an uplink, with an address of ours as its source */
	SW_DROP_TEAM,		/* from an uplink by which the group would not receive it */
	SW_DROP_NO_UPLINK,	/* nobody here, and no uplink is usable */
	SW_DROP_SELF,		/* to whom it came from */
	SW_DROP_DISABLED,	/* the port is disconnected */
	SW_DROP_SHAPED,		/* more than the shaper holds back */
	SW_DROP_NO_ROOM,	/* the receiver does not keep up */
	SW_DROP_COUNT
};
extern const char *const sw_drop_name[SW_DROP_COUNT];	/* "malformed", ... */

struct sw_counters {
	uint64_t in_frames, in_bytes;		/* from the port into the switch */
	uint64_t out_frames, out_bytes;
	uint64_t drop[SW_DROP_COUNT];
	uint64_t failovers;			/* uplinks: went out of use */
};

/* A port that a frame goes to. */
struct sw_out {
	uint16_t port;
	bool mirrored;		/* a copy */
	int tci;		/* the tag it is to have, or FRAME_UNTAGGED */
	uint64_t at_ns;		/* when it may go; 0: now */
};

struct sw;

/*
 * A switch without groups and ports.
 * emit       frames of the switch's own (beacons, RARP), valid during the call
 * seed       for hashes, so that guests cannot choose collisions; tests pass a constant
 * Returns    NULL: no memory
 */
struct sw *sw_new(uint64_t seed, void (*emit)(void *ptr, const struct sw_out *to,
					      const struct frame *f), void *ptr);
void sw_free(struct sw *s);

/* Replace groups, policies, MTU and mirrors; ports stay, those whose group is gone are
 * disabled.  0, or -EINVAL, -ENOMEM with nothing changed. */
int sw_configure(struct sw *s, const struct sw_config *c, uint64_t now_ns, struct err *e);

/*
 * A vNIC port.
 *
 * addr       its own (initial) address; NULL: that of the first frame it sends (sockets,
 *            of which nobody tells it)
 * id         is set
 * Returns    0; -EINVAL: no such group, a multicast address; -EEXIST: the address is
 *            another port's; -ENOSPC, -ENOMEM
 */
int sw_port_add(struct sw *s, unsigned group, const uint8_t *addr, unsigned *id,
		uint64_t now_ns, struct err *e);
/* An uplink; slot (below SW_UPLINKS, free) is what policies name it by.  Its link is down. */
int sw_uplink_add(struct sw *s, unsigned slot, const uint8_t *addr, unsigned *id,
		  struct err *e);
void sw_port_remove(struct sw *s, unsigned id, uint64_t now_ns);

/* What a guest or the administrator changes: the group, the address it receives by, its
 * filter (promiscuous, all multicast), whether it is connected; an uplink's link. */
void sw_port_group(struct sw *s, unsigned id, unsigned group, uint64_t now_ns);
void sw_port_address(struct sw *s, unsigned id, const uint8_t addr[FRAME_ADDR]);
void sw_port_filter(struct sw *s, unsigned id, bool promiscuous, bool all_multicast);
void sw_port_link(struct sw *s, unsigned id, bool up, uint64_t now_ns);

/*
 * A frame comes in by a port.
 *
 * out        is set to the list, the switch's own until the next call
 * Returns    how many ports it goes to; 0: none, and the reason was counted
 */
unsigned sw_input(struct sw *s, unsigned port, const struct frame *f, uint64_t now_ns,
		  const struct sw_out **out);

/* Before frames are taken from a port whose ingress is shaped: when the next one may
 * come; 0: now. */
uint64_t sw_ready_ns(const struct sw *s, unsigned port, uint64_t now_ns);

/* Do what is due (beacons and their verdicts, RARPs); when there is something next,
 * UINT64_MAX: never. */
uint64_t sw_tick(struct sw *s, uint64_t now_ns);

/* Counters of a port; counting what its I/O dropped. */
const struct sw_counters *sw_counters(const struct sw *s, unsigned port);
void sw_dropped(struct sw *s, unsigned port, enum sw_drop why);

/* For listings. */
struct sw_port_info {
	bool uplink;
	bool link;		/* connected; of uplinks: usable, as its detection says */
	bool blocked;		/* its address was changed, which is rejected */
	bool has_addr;
	unsigned group;		/* of vNICs */
	unsigned slot;		/* of uplinks; of vNICs: the one in use, SW_UPLINKS: none or any */
	uint8_t addr[FRAME_ADDR], effective[FRAME_ADDR];
};
/* false: no such port. */
bool sw_port_info(const struct sw *s, unsigned id, struct sw_port_info *i);
#endif
