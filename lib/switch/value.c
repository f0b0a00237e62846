#include "switch/value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/size.h"

#define VLANS		4095u	/* 0 to 4094 */
#define PATH_LIMIT	4096u
#define RATE_MAX	1000000000000000ull	/* bits a second; sums stay far from 2^64 */
#define BURST_MAX	(1ull << 40)
#define BITS_MIN	8u	/* of a host-only network */
#define BITS_MAX	30u
#define LEASES_MAX	65536u

const char *const switch_team_name[] = { "portid", "mac", "iphash", "explicit", NULL };
const char *const switch_detect_name[] = { "link", "beacon", NULL };

static int find_word(const char *const *names, const char *s)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], s))
			return i;
	return -1;
}

int switch_team_find(const char *s)
{
	return find_word(switch_team_name, s);
}

int switch_detect_find(const char *s)
{
	return find_word(switch_detect_name, s);
}

int switch_number_parse(unsigned *n, const char *s, unsigned min, unsigned max, struct err *e)
{
	size_t len = strspn(s, "0123456789");
	unsigned long v;

	if (!len || s[len])
		return err_set(e, -EINVAL, "%.40s: not a number", s);
	v = len < 10 ? strtoul(s, NULL, 10) : max + 1ul;
	if (v < min || v > max)
		return err_set(e, -EINVAL, "%.40s: out of range (%u to %u)", s, min, max);
	*n = (unsigned)v;
	return 0;
}

int switch_ip_parse(uint32_t *addr, const char *s, struct err *e)
{
	struct in_addr a;

	if (inet_pton(AF_INET, s, &a) != 1)
		return err_set(e, -EINVAL, "%.40s: not an IPv4 address", s);
	*addr = ntohl(a.s_addr);
	return 0;
}

static void write_ip(FILE *f, uint32_t a)
{
	fprintf(f, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

bool switch_is_address(const char *s)
{
	for (unsigned i = 0; i < 17; i++)
		if (i % 3 == 2 ? s[i] != ':' : !s[i] || !strchr("0123456789abcdefABCDEF", s[i]))
			return false;
	return !s[17];
}

void switch_word_write(FILE *f, const char *s)
{
	if (*s && !strpbrk(s, " \"\\#")) {
		fputs(s, f);
		return;
	}
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

/* --- uplinks --------------------------------------------------------------------------- */

static const char *const kind_name[] = {
	[UPLINK_TAP] = "tap:", [UPLINK_PACKET] = "packet:", [UPLINK_NAT] = "nat",
	[UPLINK_UNIX] = "unix:",
};
#define KINDS (sizeof(kind_name) / sizeof(kind_name[0]))

static bool has_control(const char *s)
{
	while (*s && (unsigned char)*s >= ' ' && *s != 0x7f)
		s++;
	return *s;
}

static int check_nic(const char *name, struct err *e)
{
	if (!*name || strlen(name) >= IFNAMSIZ || strpbrk(name, "/: %,") ||
	    has_control(name) || !json_is_text(name) ||
	    !strcmp(name, ".") || !strcmp(name, ".."))
		return err_set(e, -EINVAL, "%.40s: not a name of an interface", name);
	return 0;
}

static int check_path(const char *path, struct err *e)
{
	if (has_control(path) || !json_is_text(path))
		return err_set(e, -EINVAL, "a path that is not UTF-8, or has control characters");
	if (*path != '/')
		return err_set(e, -EINVAL, "%.100s: a path has to begin with /", path);
	if (strlen(path) >= PATH_LIMIT)
		return err_set(e, -EINVAL, "a path of %zu bytes is too long", strlen(path));
	return 0;
}

int switch_dev_parse(struct switch_uplink *u, const char *s, struct err *e)
{
	for (unsigned i = 0; i < KINDS; i++) {
		size_t n = strlen(kind_name[i]);
		int rc;

		if (strncmp(s, kind_name[i], n) || (i == UPLINK_NAT && s[n]))
			continue;
		*u = (struct switch_uplink){ .kind = (enum uplink_kind)i };
		if (i == UPLINK_NAT)
			return 0;
		rc = i == UPLINK_UNIX ? check_path(s + n, e) : check_nic(s + n, e);
		if (rc)
			return rc;
		u->what = strdup(s + n);
		return u->what ? 0 : err_set(e, -ENOMEM, "no memory");
	}
	return err_set(e, -EINVAL, "%.60s: not an uplink (tap:NAME, packet:NIC, nat, unix:PATH)", s);
}

char *switch_dev_text(const struct switch_uplink *u)
{
	char *s;

	return asprintf(&s, "%s%s", kind_name[u->kind], u->what ? u->what : "") < 0 ? NULL : s;
}

int switch_dev_find(const struct switch_config *c, const char *s, struct err *e)
{
	for (unsigned i = 0; i < c->nuplinks; i++) {
		const struct switch_uplink *u = &c->uplink[i];
		size_t n = strlen(kind_name[u->kind]);

		if (!strncmp(s, kind_name[u->kind], n) && !strcmp(s + n, u->what ? u->what : ""))
			return (int)i;
	}
	return err_set(e, -ENOENT, "%.60s: not an uplink of this switch", s);
}

int switch_socket_parse(struct switch_group *g, const char *s, struct err *e)
{
	bool stream = !strncmp(s, "stream:", 7);
	char **to = stream ? &g->stream : &g->dgram;
	const char *path = s + (stream ? 7 : 6);
	int rc;

	if (!stream && strncmp(s, "dgram:", 6))
		return err_set(e, -EINVAL, "%.60s: neither stream:PATH nor dgram:PATH", s);
	if (*to)
		return err_set(e, -EINVAL, "%.60s: a second socket of this kind", s);
	rc = check_path(path, e);
	if (rc)
		return rc;
	*to = strdup(path);
	return *to ? 0 : err_set(e, -ENOMEM, "no memory");
}

/* --- VLANs ----------------------------------------------------------------------------- */

static bool has_vlan(const struct sw_vlans *v, unsigned id)
{
	return v->set[id / 64] >> id % 64 & 1;
}

static void add_vlans(struct sw_vlans *v, unsigned first, unsigned last)
{
	for (unsigned id = first; id <= last; id++)
		v->set[id / 64] |= 1ull << id % 64;
}

/* One number or range that ends at a comma or the end. */
static int parse_range(struct sw_vlans *v, const char *s, size_t len, struct err *e)
{
	char buf[16], *dash;
	unsigned first, last;
	int rc;

	if (!len || len >= sizeof(buf))
		return err_set(e, -EINVAL, "%.40s: not VLANs", s);
	memcpy(buf, s, len);
	buf[len] = 0;
	dash = strchr(buf, '-');
	if (dash)
		*dash++ = 0;
	rc = switch_number_parse(&first, buf, 0, VLANS - 1, e);
	last = first;
	if (!rc && dash)
		rc = switch_number_parse(&last, dash, 0, VLANS - 1, e);
	if (rc)
		return err_in(e, rc, "VLAN");
	if (last < first)
		return err_set(e, -EINVAL, "VLANs %u-%u: the first is above the last", first, last);
	add_vlans(v, first, last);
	return 0;
}

int switch_vlans_parse(struct sw_vlans *out, const char *s, struct err *e)
{
	static const char trunk[] = "trunk:";
	struct sw_vlans v = { 0 };
	unsigned id = 0;
	int rc = 0;

	if (strncmp(s, trunk, sizeof(trunk) - 1)) {
		rc = switch_number_parse(&id, s, 0, VLANS, e);
		v.trunk = id == VLANS;
		if (v.trunk)
			add_vlans(&v, 0, VLANS - 1);
		else
			v.id = (uint16_t)id;
		err_in(e, rc, "VLAN");
	} else {
		v.trunk = true;
		s += sizeof(trunk) - 1;
		for (;;) {
			size_t n = strcspn(s, ",");

			rc = parse_range(&v, s, n, e);
			if (rc || !s[n])
				break;
			s += n + 1;
		}
	}
	if (!rc)
		*out = v;
	return rc;
}

void switch_vlans_write(FILE *f, const struct sw_vlans *v)
{
	const char *sep = "trunk:";
	unsigned last;

	if (!v->trunk) {
		fprintf(f, "%u", v->id);
		return;
	}
	for (unsigned id = 0; id < VLANS; id = last + 1) {
		last = id;
		if (!has_vlan(v, id))
			continue;
		while (last + 1 < VLANS && has_vlan(v, last + 1))
			last++;
		if (!id && last == VLANS - 1)
			fprintf(f, "%u", VLANS);
		else if (last > id)
			fprintf(f, "%s%u-%u", sep, id, last);
		else
			fprintf(f, "%s%u", sep, id);
		sep = ",";
	}
}

/* --- shaping --------------------------------------------------------------------------- */

static int parse_rate(uint64_t *bps, const char *s, struct err *e)
{
	static const char units[] = "kMG";
	size_t n = strspn(s, "0123456789");
	const char *unit = s[n] ? strchr(units, s[n]) : NULL;
	uint64_t v, by = 1;

	if (!n || (s[n] && (!unit || s[n + 1])))
		return err_set(e, -EINVAL, "%.40s: not a rate (bits a second, with k, M or G)", s);
	for (int i = 0; unit && i <= unit - units; i++)
		by *= 1000;
	v = n < 17 ? strtoull(s, NULL, 10) : RATE_MAX + 1;
	if (!v || v > RATE_MAX / by)
		return err_set(e, -EINVAL, "%.40s: a rate out of range (1 to 1000000G)", s);
	*bps = v * by;
	return 0;
}

static void write_rate(FILE *f, uint64_t bps)
{
	static const char *const unit[] = { "", "k", "M", "G" };
	unsigned i = 0;

	for (; i < 3 && bps % 1000 == 0; i++)
		bps /= 1000;
	fprintf(f, "%" PRIu64 "%s", bps, unit[i]);
}

int switch_shape_parse(struct sw_shape *out, const char *text, struct err *e)
{
	struct sw_shape s = { 0 };
	char buf[80], *peak = NULL, *burst = NULL;
	int rc;

	if (!strcmp(text, "off")) {
		*out = s;
		return 0;
	}
	if (strlen(text) < sizeof(buf)) {
		strcpy(buf, text);
		peak = strchr(buf, ':');
		burst = peak ? strchr(peak + 1, ':') : NULL;
	}
	if (!burst)
		return err_set(e, -EINVAL, "%.40s: not AVERAGE:PEAK:BURST, or off", text);
	*peak++ = 0;
	*burst++ = 0;
	rc = parse_rate(&s.average_bps, buf, e);
	if (!rc)
		rc = parse_rate(&s.peak_bps, peak, e);
	if (!rc && size_parse(burst, &s.burst_bytes, e))
		rc = err_code(e, -EINVAL);
	if (rc)
		return rc;
	if (s.peak_bps < s.average_bps)
		return err_set(e, -EINVAL, "%.40s: the peak is below the average", text);
	if (s.burst_bytes < SWITCH_BURST_MIN || s.burst_bytes > BURST_MAX)
		return err_set(e, -EINVAL, "%.40s: a burst out of range (%u to 1T)", text,
			       SWITCH_BURST_MIN);
	*out = s;
	return 0;
}

void switch_shape_write(FILE *f, const struct sw_shape *s)
{
	char size[24];

	if (!s->average_bps) {
		fputs("off", f);
		return;
	}
	write_rate(f, s->average_bps);
	fputc(':', f);
	write_rate(f, s->peak_bps);
	fprintf(f, ":%s", size_format(size, s->burst_bytes));
}

/* --- NAT and host-only ------------------------------------------------------------------ */

/* "[ADDR:]PORT" */
static int parse_end(uint32_t *addr, uint16_t *port, const char *s, bool need_addr,
		     struct err *e)
{
	char buf[32], *colon;
	unsigned n;
	int rc;

	if (strlen(s) >= sizeof(buf))
		return err_set(e, -EINVAL, "%.40s: not ADDRESS:PORT", s);
	strcpy(buf, s);
	colon = strrchr(buf, ':');
	if (!colon && need_addr)
		return err_set(e, -EINVAL, "%.40s: not ADDRESS:PORT", s);
	*addr = 0;
	if (colon) {
		*colon++ = 0;
		rc = switch_ip_parse(addr, buf, e);
		if (rc)
			return rc;
	}
	rc = switch_number_parse(&n, colon ? colon : buf, 1, 65535, e);
	if (rc)
		return err_in(e, rc, "port");
	*port = (uint16_t)n;
	return 0;
}

int switch_forward_parse(struct switch_forward *to, const char *host, const char *guest,
			 struct err *e)
{
	struct switch_forward w = { .udp = !strncmp(host, "udp:", 4) };
	int rc;

	if (!w.udp && strncmp(host, "tcp:", 4))
		return err_set(e, -EINVAL, "%.40s: neither tcp: nor udp:", host);
	rc = parse_end(&w.host_addr, &w.host_port, host + 4, false, e);
	if (!rc)
		rc = parse_end(&w.guest_addr, &w.guest_port, guest, true, e);
	if (!rc)
		*to = w;
	return rc;
}

void switch_forward_write(FILE *f, const struct switch_forward *w)
{
	fputs(w->udp ? "udp:" : "tcp:", f);
	if (w->host_addr) {
		write_ip(f, w->host_addr);
		fputc(':', f);
	}
	fprintf(f, "%u ", w->host_port);
	write_ip(f, w->guest_addr);
	fprintf(f, ":%u", w->guest_port);
}

bool switch_forward_same(const struct switch_forward *a, const struct switch_forward *b)
{
	return a->udp == b->udp && a->host_port == b->host_port && a->host_addr == b->host_addr;
}

static int parse_leases(struct switch_config *c, uint32_t mask, const char *range, struct err *e)
{
	const char *dash = strchr(range, '-');
	char first[20];
	int rc;

	if (!dash || dash - range >= (long)sizeof(first))
		return err_set(e, -EINVAL, "%.40s: not FIRST-LAST", range);
	memcpy(first, range, (size_t)(dash - range));
	first[dash - range] = 0;
	rc = switch_ip_parse(&c->dhcp_first, first, e);
	if (!rc)
		rc = switch_ip_parse(&c->dhcp_last, dash + 1, e);
	if (rc)
		return rc;
	if (c->dhcp_last < c->dhcp_first || c->dhcp_last - c->dhcp_first >= LEASES_MAX)
		return err_set(e, -EINVAL, "%.40s: not a range of 1 to %u addresses", range,
			       LEASES_MAX);
	if (((c->dhcp_first ^ c->net_addr) & mask) || ((c->dhcp_last ^ c->net_addr) & mask) ||
	    !(c->dhcp_first & ~mask) || (c->dhcp_last | mask) == UINT32_MAX)
		return err_set(e, -EINVAL, "%.40s: not addresses of the network", range);
	if (c->net_addr >= c->dhcp_first && c->net_addr <= c->dhcp_last)
		return err_set(e, -EINVAL, "%.40s: the switch's own address is among them", range);
	c->dhcp = true;
	return 0;
}

int switch_hostonly_parse(struct switch_config *c, const char *cidr, const char *range,
			  struct err *e)
{
	const char *slash = strchr(cidr, '/');
	struct switch_config net = { 0 };
	char addr[20];
	uint32_t mask;
	int rc;

	if (!slash || slash - cidr >= (long)sizeof(addr))
		return err_set(e, -EINVAL, "%.40s: not ADDRESS/BITS", cidr);
	memcpy(addr, cidr, (size_t)(slash - cidr));
	addr[slash - cidr] = 0;
	rc = switch_ip_parse(&net.net_addr, addr, e);
	if (!rc)
		rc = switch_number_parse(&net.net_bits, slash + 1, BITS_MIN, BITS_MAX, e);
	if (rc)
		return rc;
	mask = UINT32_MAX << (32 - net.net_bits);
	if (!(net.net_addr & ~mask) || (net.net_addr | mask) == UINT32_MAX || !(net.net_addr >> 24) ||
	    net.net_addr >> 29 == 7 || net.net_addr >> 24 == 127)
		return err_set(e, -EINVAL, "%.40s: not an address that the switch could have", cidr);
	if (range)
		rc = parse_leases(&net, mask, range, e);
	if (!rc && c->nuplinks)
		rc = err_set(e, -EINVAL, "a host-only switch has no uplinks");
	if (rc)
		return rc;
	c->hostonly = true;
	c->net_addr = net.net_addr;
	c->net_bits = net.net_bits;
	c->dhcp = net.dhcp;
	c->dhcp_first = net.dhcp_first;
	c->dhcp_last = net.dhcp_last;
	return 0;
}

void switch_hostonly_write(FILE *f, const struct switch_config *c)
{
	write_ip(f, c->net_addr);
	fprintf(f, "/%u", c->net_bits);
	if (!c->dhcp)
		return;
	fputs(" dhcp ", f);
	write_ip(f, c->dhcp_first);
	fputc('-', f);
	write_ip(f, c->dhcp_last);
}
