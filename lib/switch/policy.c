/* The policies of a switch or port group, in words. */
#include <errno.h>
#include <string.h>

#include "switch/value.h"

struct words {
	const struct switch_config *c;
	struct sw_policy *p;
	unsigned *own;
	char *const *arg;
	unsigned n;
};

static int missing(const char *what, struct err *e)
{
	return err_set(e, -EINVAL, "%s is missing", what);
}

static int parse_slots(struct words *w, unsigned *at, uint8_t *slot, uint8_t *count,
		       uint64_t *seen, struct err *e)
{
	unsigned first = *at;

	*count = 0;
	if (*at < w->n && !strcmp(w->arg[*at], "none")) {
		++*at;
		return 0;
	}
	for (; *at < w->n && strcmp(w->arg[*at], "active") && strcmp(w->arg[*at], "standby"); ++*at) {
		int found = switch_dev_find(w->c, w->arg[*at], e);

		if (found < 0)
			return found;
		if (*seen >> found & 1)
			return err_set(e, -EINVAL, "%.60s: named twice", w->arg[*at]);
		*seen |= 1ull << found;
		slot[(*count)++] = (uint8_t)found;
	}
	return *at > first ? 0 : missing("an uplink (or none)", e);
}

/* [portid|mac|iphash|explicit] [active DEV...|none [standby DEV...]] */
static int parse_team(struct words *w, struct err *e)
{
	struct sw_policy *p = w->p;
	uint64_t seen = 0;
	unsigned at = 0;
	int team = w->n ? switch_team_find(w->arg[0]) : -1, rc = 0;

	if (team >= 0) {
		p->team = (enum sw_team)team;
		*w->own |= OWN_TEAM;
		at++;
	}
	if (at == w->n)
		return team >= 0 ? 0 : missing("what chooses the uplink", e);
	if (strcmp(w->arg[at], "active"))
		return err_set(e, -EINVAL, "%.60s: not portid, mac, iphash, explicit or active",
			       w->arg[at]);
	at++;
	*w->own |= OWN_ORDER;
	p->nstandby = 0;
	rc = parse_slots(w, &at, p->active, &p->nactive, &seen, e);
	if (!rc && at < w->n && !strcmp(w->arg[at], "standby")) {
		at++;
		rc = parse_slots(w, &at, p->standby, &p->nstandby, &seen, e);
	}
	if (!rc && at < w->n)
		rc = err_set(e, -EINVAL, "%.60s: what is it here for?", w->arg[at]);
	return rc;
}

static int parse_detect(struct words *w, struct err *e)
{
	int how = w->n == 1 ? switch_detect_find(w->arg[0]) : -1;

	if (how < 0)
		return err_set(e, -EINVAL, "neither link nor beacon");
	w->p->detect = (enum sw_detect)how;
	*w->own |= OWN_DETECT;
	return 0;
}

static int parse_bool(struct words *w, bool *to, unsigned own, struct err *e)
{
	if (w->n != 1 || (strcmp(w->arg[0], "yes") && strcmp(w->arg[0], "no")))
		return err_set(e, -EINVAL, "neither yes nor no");
	*to = !strcmp(w->arg[0], "yes");
	*w->own |= own;
	return 0;
}

static int parse_failback(struct words *w, struct err *e)
{
	return parse_bool(w, &w->p->failback, OWN_FAILBACK, e);
}

static int parse_notify(struct words *w, struct err *e)
{
	return parse_bool(w, &w->p->notify, OWN_NOTIFY, e);
}

static int parse_security(struct words *w, struct err *e)
{
	struct { const char *name; bool *to; unsigned own; } which[] = {
		{ "promiscuous=", &w->p->promiscuous, OWN_PROMISCUOUS },
		{ "mac-change=", &w->p->mac_change, OWN_MAC_CHANGE },
		{ "forged=", &w->p->forged, OWN_FORGED },
	};
	unsigned said = 0;

	for (unsigned i = 0; i < w->n; i++) {
		const char *s = w->arg[i], *v = NULL;
		unsigned k = 0;

		for (; k < 3 && !v; k += !v)
			if (!strncmp(s, which[k].name, strlen(which[k].name)))
				v = s + strlen(which[k].name);
		if (!v)
			return err_set(e, -EINVAL, "%.60s: not promiscuous=, mac-change= or forged=", s);
		if (strcmp(v, "accept") && strcmp(v, "reject"))
			return err_set(e, -EINVAL, "%.60s: neither accept nor reject", s);
		if (said & which[k].own)
			return err_set(e, -EINVAL, "%.60s: said twice", s);
		*which[k].to = !strcmp(v, "accept");
		said |= which[k].own;
	}
	*w->own |= said;
	return w->n ? 0 : missing("what is accepted or rejected", e);
}

static int parse_shape(struct words *w, struct err *e)
{
	bool out = w->n == 2 && !strcmp(w->arg[0], "out");

	if (w->n != 2 || (!out && strcmp(w->arg[0], "in")))
		return err_set(e, -EINVAL, "not in or out, and AVERAGE:PEAK:BURST");
	*w->own |= out ? OWN_SHAPE_OUT : OWN_SHAPE_IN;
	return switch_shape_parse(out ? &w->p->out : &w->p->in, w->arg[1], e);
}

static const struct {
	const char *word;
	int (*parse)(struct words *w, struct err *e);
} policies[] = {
	{ "team", parse_team }, { "detect", parse_detect }, { "failback", parse_failback },
	{ "notify", parse_notify }, { "security", parse_security }, { "shape", parse_shape },
};
#define POLICIES (sizeof(policies) / sizeof(policies[0]))

bool switch_is_policy(const char *word)
{
	for (unsigned i = 0; i < POLICIES; i++)
		if (!strcmp(policies[i].word, word))
			return true;
	return false;
}

int switch_policy_parse(const struct switch_config *c, struct sw_policy *p, unsigned *own,
			const char *word, char *const *arg, unsigned n, struct err *e)
{
	struct words w = { c, p, own, arg, n };

	for (unsigned i = 0; i < POLICIES; i++)
		if (!strcmp(policies[i].word, word))
			return err_in(e, policies[i].parse(&w, e), word);
	return err_set(e, -EINVAL, "%.40s: not a policy", word);
}
