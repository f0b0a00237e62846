/* Configurations of switches: what is taken, what is refused and where, and that what is
 * written is read back as the same. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "switch/value.h"

static const char whole[] =
	"switch lab\n"
	"  mtu 9000\n"
	"  uplink tap:tap0\n"
	"  uplink \"unix:/run/a b\" listen\n"
	"  uplink nat\n"
	"  team explicit active tap:tap0 standby nat\n"
	"  detect beacon\n"
	"  failback no\n"
	"  notify yes\n"
	"  security promiscuous=reject mac-change=accept forged=reject\n"
	"  shape in 1M:2M:64k\n"
	"  portgroup \"VM Network\" vlan 0\n"
	"  portgroup dmz vlan 10\n"
	"    team active none standby \"unix:/run/a b\"\n"
	"    security promiscuous=accept\n"
	"    shape in off\n"
	"    shape out 1500:10k:9018\n"
	"    socket stream:/run/x.sock\n"
	"  portgroup \"say \\\"#\\\\\\\"\" vlan 4095\n"
	"  portgroup t vlan trunk:0,5-7,9,4094\n"
	"  forward tcp:127.0.0.1:8080 10.0.2.15:80\n"
	"  forward udp:53 0.0.0.0:53\n"
	"  mirror dmz to 00:0c:29:11:22:33\n";

static int parse(const char *text, struct switch_config **c, unsigned *n, struct err *e)
{
	return switch_config_parse(c, n, text, strlen(text), "F", e);
}

static void free_all(struct switch_config *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		switch_config_free(&c[i]);
	free(c);
}

static void test_whole(void)
{
	struct switch_config *c = NULL;
	struct sw_policy p;
	struct err e = { 0 };
	unsigned n = 0;
	int rc = parse(whole, &c, &n, &e);
	char *text;

	check(!rc && n == 1, "%s", e.msg);
	if (rc)
		return;
	text = switch_config_text(c);
	check(text && !strcmp(text, whole), "%s", text);
	free(text);
	check(c->mtu == 9000 && c->nuplinks == 3 && c->ngroups == 4 && c->nforwards == 2, "counts");
	check(c->uplink[1].listen && !strcmp(c->uplink[1].what, "/run/a b"), "%s", c->uplink[1].what);
	check(c->policy.nactive == 1 && c->policy.active[0] == 0 && c->policy.standby[0] == 2, "order");
	check(c->policy.in.average_bps == 1000000 && c->policy.in.burst_bytes == 65536, "shape");
	check(!strcmp(c->group[2].name, "say \"#\\\""), "%s", c->group[2].name);
	check(c->group[2].vlans.trunk && c->group[2].vlans.set[63] == ~0ull >> 1, "4095");
	check(c->group[3].vlans.set[0] == (1 | 7 << 5 | 1 << 9), "ranges");
	check(c->forward[0].host_addr == 0x7f000001 && c->forward[0].guest_port == 80, "forward");
	switch_config_policy(c, &c->group[1], &p);
	check(p.team == SW_TEAM_EXPLICIT && !p.nactive && p.nstandby == 1 && p.standby[0] == 1, "own order");
	check(p.promiscuous && !p.forged && p.mac_change && !p.in.average_bps &&
	      p.out.average_bps == 1500 && p.detect == SW_DETECT_BEACON, "own and taken");
	switch_config_remove_uplink(c, 0);
	check(c->nuplinks == 2 && !c->policy.nactive && c->policy.standby[0] == 1 &&
	      c->group[1].policy.standby[0] == 0, "places move up");
	switch_config_remove_uplink(c, 1);
	check(!c->nforwards && !c->policy.nstandby, "nat has gone");
	switch_config_remove_group(c, &c->group[1]);
	check(!c->nmirrors && c->ngroups == 3 && !strcmp(c->group[1].name, "say \"#\\\""), "group");
	free_all(c, n);
}

/* What is said in other ways is the same text. */
static void test_same(void)
{
	static const char *const text[] = {
		"# a comment\r\nswitch s # more\r\n\tmtu 1500\r\n\tportgroup a\r\n\r\n",
		"switch s\n        portgroup \"a\" vlan 0",
		"switch \"s\"\n mtu 1500\n # x\n team portid\n portgroup a vlan 000\n",
	};
	char *first = NULL;

	for (unsigned i = 0; i < 3; i++) {
		struct switch_config *c;
		struct err e = { 0 };
		unsigned n;
		char *t;

		if (parse(text[i], &c, &n, &e)) {
			check(0, "%s", e.msg);
			continue;
		}
		t = switch_config_text(c);
		check(!first || !strcmp(first, t), "%s", t);
		free(first);
		first = t;
		free_all(c, n);
	}
	free(first);
}

static const struct { const char *text, *message; } wrong[] = {
	{ "mtu 1500", "F:1: mtu: a line at the margin has to be: switch NAME" },
	{ " mtu 1500", "F:1: no switch NAME before it" },
	{ "switch", "F:1: not: switch NAME" },
	{ "switch ../x", "F:1: ../x: not a name" },
	{ "switch a\nswitch a", "F:2: a: there is such a switch above" },
	{ "switch a\n  mtu 1500\n  mtu 1500", "F:3: mtu: said twice" },
	{ "switch a\n  mtu 9001", "F:2: mtu: 9001: out of range (1280 to 9000)" },
	{ "switch a\n  mtu 1279", "F:2: mtu: 1279: out of range" },
	{ "switch a\n  mtu 99999999999999999999", "out of range" },
	{ "switch a\n  mtu -1", "not a number" },
	{ "switch a\n  what 1", "F:2: what: nothing that can be said of a switch" },
	{ "switch a\n  mtu 1500\n mtu 1500", "F:3: it is indented by 1" },
	{ "switch a\n  mtu 1500\n   mtu 1500", "F:3: it is indented by 3" },
	{ "switch a\n  portgroup b\n    detect link\n     notify yes", "F:4: it is indented by 5" },
	{ "switch a\n  portgroup b\n    mtu 1500", "F:3: mtu: nothing that can be said of a port group" },
	{ "switch a\n  portgroup b vlan 4096", "F:2: portgroup: VLAN: 4096: out of range (0 to 4095)" },
	{ "switch a\n  portgroup b vlan trunk:5-4", "the first is above the last" },
	{ "switch a\n  portgroup b vlan trunk:", "not VLANs" },
	{ "switch a\n  portgroup b vlan trunk:1,", "not VLANs" },
	{ "switch a\n  portgroup b vlan trunk:4095", "out of range (0 to 4094)" },
	{ "switch a\n  portgroup b vlan -1", "not a number" },
	{ "switch a\n  portgroup b\n  portgroup b", "F:3: portgroup: b: there is such a port group already" },
	{ "switch a\n  portgroup \"\"", "not a name of a port group" },
	{ "switch a\n  portgroup 00:11:22:33:44:55", "not a name of a port group" },
	{ "switch a\n  portgroup \"b", "a quotation mark is not closed" },
	{ "switch a\n  portgroup b\"c", "has to be in quotation marks" },
	{ "switch a\n  portgroup \"b\"c", "a blank is missing" },
	{ "switch a\n  uplink eth0", "F:2: uplink: eth0: not an uplink" },
	{ "switch a\n  uplink tap:", "not a name of an interface" },
	{ "switch a\n  uplink tap:0123456789abcdef", "not a name of an interface" },
	{ "switch a\n  uplink tap:a/b", "not a name of an interface" },
	{ "switch a\n  uplink unix:x", "has to begin with /" },
	{ "switch a\n  uplink nat\n  uplink nat", "F:3: uplink: nat: there is such an uplink already" },
	{ "switch a\n  uplink nat listen", "what is it here for?" },
	{ "switch a\n  portgroup b\n  uplink nat", "uplinks come before" },
	{ "switch a\n  team active nat", "F:2: team: nat: not an uplink of this switch" },
	{ "switch a\n  uplink nat\n  team active nat standby nat", "nat: named twice" },
	{ "switch a\n  uplink nat\n  team active", "an uplink (or none) is missing" },
	{ "switch a\n  team", "what chooses the uplink is missing" },
	{ "switch a\n  team mac mac", "not portid" },
	{ "switch a\n  team mac\n  team portid", "F:3: team: said twice" },
	{ "switch a\n  detect ping", "neither link nor beacon" },
	{ "switch a\n  failback maybe", "neither yes nor no" },
	{ "switch a\n  security forged=maybe", "neither accept nor reject" },
	{ "switch a\n  security forged=accept forged=reject", "said twice" },
	{ "switch a\n  security x=accept", "not promiscuous=" },
	{ "switch a\n  security", "is missing" },
	{ "switch a\n  shape in 1M:2M", "not AVERAGE:PEAK:BURST" },
	{ "switch a\n  shape up 1M:2M:64k", "not in or out" },
	{ "switch a\n  shape in 2M:1M:64k", "the peak is below the average" },
	{ "switch a\n  shape in 1M:1M:9017", "a burst out of range" },
	{ "switch a\n  shape in 0:0:64k", "a rate out of range" },
	{ "switch a\n  shape in 1T:1T:64k", "not a rate" },
	{ "switch a\n  shape in 99999999999999999999G:1G:64k", "a rate out of range" },
	{ "switch a\n  portgroup b\n    socket tcp:/x", "neither stream:PATH nor dgram:PATH" },
	{ "switch a\n  portgroup b\n    socket dgram:/x\n    socket dgram:/y", "F:4: socket: " },
	{ "switch a\n  forward tcp:80 10.0.2.15:80", "the uplink nat, which this switch has not" },
	{ "switch a\n  uplink nat\n  forward sctp:80 10.0.2.15:80", "neither tcp: nor udp:" },
	{ "switch a\n  uplink nat\n  forward tcp:80 80", "not ADDRESS:PORT" },
	{ "switch a\n  uplink nat\n  forward tcp:0 10.0.2.15:80", "out of range (1 to 65535)" },
	{ "switch a\n  uplink nat\n  forward tcp:80 10.0.2.15:65536", "out of range" },
	{ "switch a\n  uplink nat\n  forward tcp:80 10.0.2:80", "not an IPv4 address" },
	{ "switch a\n  uplink nat\n  forward tcp:80 1.2.3.4:1\n  forward tcp:80 1.2.3.4:2", "F:4: " },
	{ "switch a\n  hostonly 10.0.0.0/24", "not an address that the switch could have" },
	{ "switch a\n  hostonly 10.0.0.255/24", "not an address that the switch could have" },
	{ "switch a\n  hostonly 10.0.0.1/31", "out of range (8 to 30)" },
	{ "switch a\n  hostonly 10.0.0.1/24 dhcp 10.0.0.1-10.0.0.9", "own address is among them" },
	{ "switch a\n  hostonly 10.0.0.1/24 dhcp 10.0.0.9-10.0.0.8", "not a range" },
	{ "switch a\n  hostonly 10.0.0.1/24 dhcp 10.0.0.9-10.0.1.9", "not addresses of the network" },
	{ "switch a\n  hostonly 10.0.0.1/24 dhcp 10.0.0.9-10.0.0.255", "not addresses of the network" },
	{ "switch a\n  uplink nat\n  hostonly 10.0.0.1/24", "has no uplinks" },
	{ "switch a\n  hostonly 10.0.0.1/24\n  uplink nat", "has no uplinks" },
	{ "switch a\n  mirror b to 00:11:22:33:44:55", "neither a port group" },
	{ "switch a\n  portgroup b\n  mirror b to b", "mirrored to itself" },
	{ "switch a\n  mtu 15\x01", "a control character" },
	{ "switch \xff", "not UTF-8" },
};

static void test_wrong(void)
{
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct switch_config *c = NULL;
		struct err e = { 0 };
		unsigned n = 0;
		int rc = parse(wrong[i].text, &c, &n, &e);

		check(rc == -EBADMSG && e.code == rc, "%u: %d", i, rc);
		check(strstr(e.msg, wrong[i].message) && strstr(e.msg, "F:") == e.msg,
		      "%s\n-> %s\nwanted %s", wrong[i].text, e.msg, wrong[i].message);
	}
}

/* Switches, groups, uplinks: as many as may be, and one more. */
static void test_limits(void)
{
	static const struct { const char *head, *line; unsigned max; } many[] = {
		{ "", "switch s%u\n", SWITCHES },
		{ "switch s\n", " portgroup g%u\n", SW_GROUPS },
		{ "switch s\n", " uplink tap:t%u\n", SW_UPLINKS },
		{ "switch s\n uplink nat\n", " forward tcp:%u 1.2.3.4:5\n", SWITCH_FORWARDS },
		{ "switch s\n portgroup g\n", " mirror g to 00:00:00:00:00:%02u\n", SW_MIRRORS },
	};

	for (unsigned i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
		for (unsigned over = 0; over < 2; over++) {
			struct switch_config *c = NULL;
			struct err e = { 0 };
			unsigned n = 0;
			size_t len;
			char *text;
			FILE *f = open_memstream(&text, &len);
			int rc;

			fputs(many[i].head, f);
			for (unsigned k = 1; k <= many[i].max + over; k++)
				fprintf(f, many[i].line, k);
			fclose(f);
			rc = parse(text, &c, &n, &e);
			check(rc == (over ? -EBADMSG : 0), "%u: %d %s", i, rc, e.msg);
			check(!over || strstr(e.msg, "more than"), "%s", e.msg);
			free_all(c, n);
			free(text);
		}
	}
}

static void test_nul(void)
{
	struct switch_config *c = NULL;
	struct err e = { 0 };
	unsigned n = 0;

	check(switch_config_parse(&c, &n, "switch a\0b\n", 11, "F", &e) == -EBADMSG, "NUL");
	check(!switch_config_parse(&c, &n, "", 0, "F", &e) && !n, "nothing");
	free(c);
	check(!switch_config_parse(&c, &n, "switch aX", 8, "F", &e) && n == 1 && !strcmp(c->name, "a"),
	      "it ends where it is said to");
	free_all(c, n);
}

int main(void)
{
	test_whole();
	test_same();
	test_wrong();
	test_limits();
	test_nul();
	return check_done();
}
