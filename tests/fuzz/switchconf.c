/*
 * Configurations of switches.  What is accepted is written as a text that is accepted, too,
 * and written as the same again; policies name only uplinks that are there; and taking away
 * uplinks and groups leaves something that can be written and read.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "switch/config.h"

#define TEXT_MAX 4096

static const char *const seeds[] = {
	"switch lab\n  mtu 1500\n  uplink tap:tap0\n  uplink \"unix:/run/a b\" listen\n  uplink nat\n"
	"  team explicit active tap:tap0 standby nat\n  detect beacon\n  failback no\n  notify yes\n"
	"  security promiscuous=reject mac-change=accept forged=accept\n  shape in 1M:2M:64k\n"
	"  portgroup \"VM Network\" vlan 0\n  portgroup dmz vlan trunk:1-5,9\n    team active none\n"
	"    shape out off\n    socket stream:/x\n    socket dgram:/y\n"
	"  forward tcp:127.0.0.1:80 10.0.2.15:80\n  mirror dmz to 00:0c:29:11:22:33\n",
	"switch a\n\thostonly 192.168.56.1/24 dhcp 192.168.56.100-192.168.56.200\n\tportgroup a\n"
	"\tportgroup b vlan 4095\n\t\tsecurity forged=reject\n\tmirror a to b\nswitch b\n",
};

static const char *const words[] = {
	"switch ", "mtu ", "uplink ", "team ", "explicit ", "iphash ", "active ", "standby ", "none ",
	"detect ", "link ", "failback ", "yes ", "security ", "promiscuous=", "accept ", "shape in ",
	"portgroup ", " vlan ", "trunk:", "4095", "4094", "socket ", "stream:/", "forward ", "udp:",
	"hostonly ", " dhcp ", "mirror ", " to ", "\n", "\n  ", "\n    ", "\t", "\"", "\\\"", "#", " ",
	"nat ", "tap:tap0 ", "dmz ", "off", ":", ",", "-", "/", "18446744073709551616", "0", "1G", "\xff", "\r",
};

static size_t damage(struct fuzz *f, char *b, size_t len)
{
	for (unsigned n = fuzz_below(f, 6); n && len; n--) {
		size_t at = fuzz_below(f, (unsigned)len), cut = fuzz_below(f, 12);
		const char *w = words[fuzz_below(f, sizeof(words) / sizeof(words[0]))];
		size_t put = fuzz_below(f, 3) ? strlen(w) : 0;

		if (fuzz_below(f, 2))
			cut = 0;
		if (cut > len - at)
			cut = len - at;
		if (len - cut + put > TEXT_MAX)
			continue;
		memmove(b + at + put, b + at + cut, len - at - cut);
		memcpy(b + at, w, put);
		len = len - cut + put;
		if (len && !fuzz_below(f, 4))
			b[fuzz_below(f, (unsigned)len)] = (char)fuzz_next(f);
	}
	return len;
}

static void check_order(const struct switch_config *c, const struct sw_policy *p)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < p->nactive + (unsigned)p->nstandby; i++) {
		unsigned slot = i < p->nactive ? p->active[i] : p->standby[i - p->nactive];

		fuzz_check(slot < c->nuplinks && !(seen >> slot & 1), "slot %u", slot);
		seen |= 1ull << slot;
	}
}

/* Its text, which is that of what it is read as. */
static char *round_trip(const struct switch_config *c)
{
	char *text = switch_config_text(c), *again;
	struct switch_config *d;
	struct err e = { 0 };
	unsigned n;
	int rc;

	fuzz_check(text, "no text");
	rc = switch_config_parse(&d, &n, text, strlen(text), "text", &e);
	fuzz_check(!rc && n == 1, "%s\n%s", e.msg, text);
	again = switch_config_text(d);
	fuzz_check(again && !strcmp(text, again), "%s\n%s", text, again);
	free(again);
	switch_config_free(d);
	free(d);
	return text;
}

static void look(struct fuzz *f, struct switch_config *c)
{
	struct sw_policy p;

	check_order(c, &c->policy);
	for (unsigned i = 0; i < c->ngroups; i++) {
		switch_config_policy(c, &c->group[i], &p);
		check_order(c, &p);
	}
	free(round_trip(c));
	if (c->nuplinks)
		switch_config_remove_uplink(c, fuzz_below(f, c->nuplinks));
	if (c->ngroups)
		switch_config_remove_group(c, &c->group[fuzz_below(f, c->ngroups)]);
	free(round_trip(c));
}

int main(int argc, char **argv)
{
	struct fuzz f;
	uint64_t taken = 0;

	fuzz_start(&f, argc, argv);
	while (fuzz_more(&f)) {
		const char *seed = seeds[fuzz_below(&f, sizeof(seeds) / sizeof(seeds[0]))];
		size_t len = strlen(seed);
		struct switch_config *c;
		struct err e = { 0 };
		char b[TEXT_MAX], *text;
		unsigned n;
		int rc;

		memcpy(b, seed, len);
		len = damage(&f, b, len);
		text = malloc(len ? len : 1);	/* so that reading beyond it shows */
		memcpy(text, b, len);
		rc = switch_config_parse(&c, &n, text, len, "fuzz", &e);
		free(text);
		fuzz_check(!rc || rc == -EBADMSG, "%d", rc);
		fuzz_check(!rc || !strncmp(e.msg, "fuzz:", 5), "%s", e.msg);
		if (rc)
			continue;
		taken += n != 0;
		for (unsigned i = 0; i < n; i++) {
			look(&f, &c[i]);
			switch_config_free(&c[i]);
		}
		free(c);
	}
	fuzz_check(taken || f.runs < 1000, "nothing was accepted");
	return fuzz_done(&f);
}
