#ifndef SWITCH_VALUE_H
#define SWITCH_VALUE_H
/*
 * The values of a switch's configuration as text, as they stand in its file and on command
 * lines.  Those that read return 0; -EINVAL: not one, and the message says what is wrong
 * with it; -ENOMEM.  Those that write do so in one way only.
 */

#include <stdio.h>

#include "switch/config.h"

/* "tap:NAME", "packet:NIC", "nat", "unix:PATH": an uplink, and its name in policies. */
int switch_dev_parse(struct switch_uplink *u, const char *s, struct err *e);
char *switch_dev_text(const struct switch_uplink *u);	/* for free(); NULL: no memory */
/* The place of the uplink of that text, or -ENOENT. */
int switch_dev_find(const struct switch_config *c, const char *s, struct err *e);

/* Are all of the switch's uplinks active, in their order, as if nobody had said which? */
bool switch_all_active(const struct switch_config *c);

/* "0" to "4094", "4095" (a trunk of all), "trunk:1-10,20". */
int switch_vlans_parse(struct sw_vlans *v, const char *s, struct err *e);
void switch_vlans_write(FILE *f, const struct sw_vlans *v);

/* "AVERAGE:PEAK:BURST", bits a second with k, M, G (of 1000) and bytes with k, M, G (of
 * 1024), or "off". */
#define SWITCH_BURST_MIN 9018u		/* a frame of the largest MTU */
int switch_shape_parse(struct sw_shape *s, const char *text, struct err *e);
void switch_shape_write(FILE *f, const struct sw_shape *s);

/* "tcp:[ADDR:]PORT" and "ADDR:PORT". */
int switch_forward_parse(struct switch_forward *to, const char *host, const char *guest,
			 struct err *e);
void switch_forward_write(FILE *f, const struct switch_forward *w);	/* both, a blank between */
bool switch_forward_same(const struct switch_forward *a, const struct switch_forward *b);

/* "ADDR/BITS" and "FIRST-LAST" or NULL: a host-only switch. */
int switch_hostonly_parse(struct switch_config *c, const char *cidr, const char *range,
			  struct err *e);
void switch_hostonly_write(FILE *f, const struct switch_config *c);

/* Decimal digits only, no sign, min to max. */
int switch_number_parse(unsigned *n, const char *s, unsigned min, unsigned max, struct err *e);
int switch_ip_parse(uint32_t *addr, const char *s, struct err *e);

/* "stream:PATH", "dgram:PATH" of a group, which has at most one of each. */
int switch_socket_parse(struct switch_group *g, const char *s, struct err *e);

bool switch_is_address(const char *s);	/* xx:xx:xx:xx:xx:xx */

/* A word as it stands in the file: in quotes if it has to be. */
void switch_word_write(FILE *f, const char *s);

/* Policies as words: what follows "team", "security", "shape", or one of the other words of a
 * line; own gets the fields that were said.  c: whose uplinks they name. */
int switch_policy_parse(const struct switch_config *c, struct sw_policy *p, unsigned *own,
			const char *word, char *const *arg, unsigned n, struct err *e);
bool switch_is_policy(const char *word);

/* Names of enum sw_team and enum sw_detect; their places, -1: none. */
extern const char *const switch_team_name[], *const switch_detect_name[];
int switch_team_find(const char *s);
int switch_detect_find(const char *s);
#endif
