/* The configuration of a switch: written. */
#include <stdlib.h>
#include <string.h>

#include "switch/value.h"

static const char *accept_word(bool yes)
{
	return yes ? "accept" : "reject";
}

static const char *yes_word(bool yes)
{
	return yes ? "yes" : "no";
}

static void write_dev(FILE *f, const struct switch_uplink *u, bool *failed)
{
	char *text = switch_dev_text(u);

	if (text)
		switch_word_write(f, text);
	else
		*failed = true;
	free(text);
}

static void write_slots(FILE *f, const char *what, const struct switch_config *c,
			const uint8_t *slot, unsigned n, bool *failed)
{
	fprintf(f, " %s%s", what, n ? "" : " none");
	for (unsigned i = 0; i < n; i++) {
		fputc(' ', f);
		write_dev(f, &c->uplink[slot[i]], failed);
	}
}

static void write_team(FILE *f, const char *indent, const struct switch_config *c,
		       const struct sw_policy *p, unsigned own, bool *failed)
{
	if (!(own & (OWN_TEAM | OWN_ORDER)))
		return;
	fprintf(f, "%steam", indent);
	if (own & OWN_TEAM)
		fprintf(f, " %s", switch_team_name[p->team]);
	if (own & OWN_ORDER) {
		write_slots(f, "active", c, p->active, p->nactive, failed);
		if (p->nstandby)
			write_slots(f, "standby", c, p->standby, p->nstandby, failed);
	}
	fputc('\n', f);
}

static void write_policy(FILE *f, const char *indent, const struct switch_config *c,
			 const struct sw_policy *p, unsigned own, bool *failed)
{
	write_team(f, indent, c, p, own, failed);
	if (own & OWN_DETECT)
		fprintf(f, "%sdetect %s\n", indent, switch_detect_name[p->detect]);
	if (own & OWN_FAILBACK)
		fprintf(f, "%sfailback %s\n", indent, yes_word(p->failback));
	if (own & OWN_NOTIFY)
		fprintf(f, "%snotify %s\n", indent, yes_word(p->notify));
	if (own & (OWN_PROMISCUOUS | OWN_MAC_CHANGE | OWN_FORGED)) {
		fprintf(f, "%ssecurity", indent);
		if (own & OWN_PROMISCUOUS)
			fprintf(f, " promiscuous=%s", accept_word(p->promiscuous));
		if (own & OWN_MAC_CHANGE)
			fprintf(f, " mac-change=%s", accept_word(p->mac_change));
		if (own & OWN_FORGED)
			fprintf(f, " forged=%s", accept_word(p->forged));
		fputc('\n', f);
	}
	for (int out = 0; out < 2; out++) {
		if (!(own & (out ? OWN_SHAPE_OUT : OWN_SHAPE_IN)))
			continue;
		fprintf(f, "%sshape %s ", indent, out ? "out" : "in");
		switch_shape_write(f, out ? &p->out : &p->in);
		fputc('\n', f);
	}
}

static void write_socket(FILE *f, const char *kind, const char *path, bool *failed)
{
	char *word;

	if (!path)
		return;
	if (asprintf(&word, "%s:%s", kind, path) < 0) {
		*failed = true;
		return;
	}
	fputs("    socket ", f);
	switch_word_write(f, word);
	fputc('\n', f);
	free(word);
}

static void write_group(FILE *f, const struct switch_config *c, const struct switch_group *g,
			bool *failed)
{
	fputs("  portgroup ", f);
	switch_word_write(f, g->name);
	fputs(" vlan ", f);
	switch_vlans_write(f, &g->vlans);
	fputc('\n', f);
	write_policy(f, "    ", c, &g->policy, g->own, failed);
	write_socket(f, "stream", g->stream, failed);
	write_socket(f, "dgram", g->dgram, failed);
}

/* What a switch says of its policy: all but what is as usual and long, or no limit. */
static unsigned said(const struct switch_config *c)
{
	unsigned all = OWN_TEAM | OWN_DETECT | OWN_FAILBACK | OWN_NOTIFY | OWN_PROMISCUOUS |
		       OWN_MAC_CHANGE | OWN_FORGED;

	if (!switch_all_active(c) || c->policy.nstandby)
		all |= OWN_ORDER;
	if (c->policy.in.average_bps)
		all |= OWN_SHAPE_IN;
	if (c->policy.out.average_bps)
		all |= OWN_SHAPE_OUT;
	return all;
}

static void write_all(FILE *f, const struct switch_config *c, bool *failed)
{
	fprintf(f, "switch %s\n  mtu %u\n", c->name, c->mtu);
	if (c->hostonly) {
		fputs("  hostonly ", f);
		switch_hostonly_write(f, c);
		fputc('\n', f);
	}
	for (unsigned i = 0; i < c->nuplinks; i++) {
		fputs("  uplink ", f);
		write_dev(f, &c->uplink[i], failed);
		fputs(c->uplink[i].listen ? " listen\n" : "\n", f);
	}
	write_policy(f, "  ", c, &c->policy, said(c), failed);
	for (unsigned i = 0; i < c->ngroups; i++)
		write_group(f, c, &c->group[i], failed);
	for (unsigned i = 0; i < c->nforwards; i++) {
		fputs("  forward ", f);
		switch_forward_write(f, &c->forward[i]);
		fputc('\n', f);
	}
	for (unsigned i = 0; i < c->nmirrors; i++) {
		fputs("  mirror ", f);
		switch_word_write(f, c->mirror[i].source);
		fputs(" to ", f);
		switch_word_write(f, c->mirror[i].to);
		fputc('\n', f);
	}
}

char *switch_config_text(const struct switch_config *c)
{
	char *text = NULL;
	size_t len;
	bool failed = false;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	write_all(f, c, &failed);
	failed |= ferror(f) != 0;
	if (fclose(f) || failed) {
		free(text);
		return NULL;
	}
	return text;
}
