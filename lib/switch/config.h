#ifndef SWITCH_CONFIG_H
#define SWITCH_CONFIG_H
/*
 * The text file that is the whole state of a virtual switch (vswitch.5), parsed and
 * written.  Commands change a switch by changing this file and handing the new text to
 * the process that runs it, which takes all of it or nothing.
 */

#include "base/err.h"
#include "net/switch.h"

#define SWITCH_NAME	32u	/* bytes of a switch's name with its NUL: letters, digits, . _ - */
#define SWITCH_GROUP_NAME 81u	/* of a port group's: any printable text */
#define SWITCH_FORWARDS	64u
#define SWITCH_TEXT_MAX (1u << 20)	/* bytes of a configuration */
#define SWITCHES	127u	/* of a text; as many as a host of ESX has */

/* Which fields of a group's policy are its own; the others are the switch's. */
enum switch_own {
	OWN_TEAM = 1, OWN_DETECT = 2, OWN_FAILBACK = 4, OWN_NOTIFY = 8,
	OWN_PROMISCUOUS = 0x10, OWN_MAC_CHANGE = 0x20, OWN_FORGED = 0x40,
	OWN_SHAPE_IN = 0x80, OWN_SHAPE_OUT = 0x100, OWN_ORDER = 0x200,
};

enum uplink_kind { UPLINK_TAP, UPLINK_PACKET, UPLINK_NAT, UPLINK_UNIX };

struct switch_uplink {
	enum uplink_kind kind;
	char *what;		/* NAME, NIC, PATH; NULL: nat */
	bool listen;		/* unix: it is listened at; else it is connected to */
};

struct switch_group {
	char name[SWITCH_GROUP_NAME];
	struct sw_vlans vlans;
	struct sw_policy policy;	/* fields of own; order by indices of uplink[] */
	unsigned own;			/* enum switch_own */
	char *stream, *dgram;		/* sockets at which QEMU guests join, or NULL */
	char *tap;			/* the host joins by this tap, as by a VMkernel NIC of ESX's
				 * ("socket tap:NAME"), or NULL; a vNIC, not an uplink */
};

struct switch_forward {		/* of nat */
	bool udp;
	uint16_t host_port, guest_port;
	uint32_t host_addr, guest_addr;		/* IPv4, host byte order; 0: any, the first lease */
};

struct switch_mirror {
	char *source;		/* group, or vNIC address */
	char *to;		/* group, whose vNICs get it, or vNIC address */
};

struct switch_config {
	char name[SWITCH_NAME];
	unsigned mtu;
	struct sw_policy policy;	/* complete */
	struct switch_uplink uplink[SW_UPLINKS];
	unsigned nuplinks;
	struct switch_group *group;	/* ngroups of them */
	unsigned ngroups;
	/* Host-only: a DHCP server of the switch's own, without uplinks. */
	bool hostonly, dhcp;
	uint32_t net_addr, dhcp_first, dhcp_last;	/* IPv4, host byte order */
	unsigned net_bits;
	struct switch_forward forward[SWITCH_FORWARDS];
	unsigned nforwards;
	struct switch_mirror mirror[SW_MIRRORS];
	unsigned nmirrors;
};

/* What a switch is that nothing is said of: MTU 1500, portid, link, failback, notify;
 * promiscuous rejected, MAC changes and forged transmits accepted, as on ESX; one port
 * group "VM Network" of VLAN 0. */
int switch_config_init(struct switch_config *c, const char *name, struct err *e);
void switch_config_free(struct switch_config *c);	/* what it holds */

/*
 * Read all switches of a text.
 *
 * text       len bytes; where is its name for messages ("FILE:LINE: ...")
 * c, n       an array, for switch_config_free() each and free(); only on success
 * Returns    0; -EBADMSG: a line is wrong; -ENOMEM
 */
int switch_config_parse(struct switch_config **c, unsigned *n, const char *text, size_t len,
			const char *where, struct err *e);

/* The text of a switch, which says the same in one way only: equal texts are equal
 * switches.  NULL: no memory.  The caller frees it. */
char *switch_config_text(const struct switch_config *c);

/* The group's policy with what it takes from the switch. */
void switch_config_policy(const struct switch_config *c, const struct switch_group *g,
			  struct sw_policy *p);

/* Can it be a switch's name, a port group's? */
bool switch_is_name(const char *s);
bool switch_is_group_name(const char *s);

/* The group of that name; NULL: there is none. */
struct switch_group *switch_config_group(const struct switch_config *c, const char *name);

/*
 * Changes, as commands and the parser make them.
 * Returns    0; -EINVAL: it makes no sense (a name, both uplinks and host-only); -EEXIST:
 *            it is there; -ENOSPC: there are as many as can be; -ENOMEM
 */
int switch_config_add_group(struct switch_config *c, const char *name, struct switch_group **g,
			    struct err *e);
/* *u is taken, also on failure.  It is active if all before it are, in their order; else
 * unused. */
int switch_config_add_uplink(struct switch_config *c, struct switch_uplink *u, struct err *e);
int switch_config_add_forward(struct switch_config *c, const struct switch_forward *f,
			      struct err *e);
/* -ENOENT: it names a group that is not there. */
int switch_config_add_mirror(struct switch_config *c, const char *source, const char *to,
			     struct err *e);

/* And what names them: mirrors; places in policies and, of nat, forwards. */
void switch_config_remove_group(struct switch_config *c, struct switch_group *g);
void switch_config_remove_uplink(struct switch_config *c, unsigned i);
void switch_config_remove_forward(struct switch_config *c, unsigned i);
void switch_config_remove_mirror(struct switch_config *c, unsigned i);
#endif
