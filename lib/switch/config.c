#include "switch/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "switch/value.h"

bool switch_is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && n < SWITCH_NAME && !s[n] && *s != '.' && *s != '-';
}

/* Not one that is taken for an address where either may stand. */
bool switch_is_group_name(const char *s)
{
	if (!*s || strlen(s) >= SWITCH_GROUP_NAME || switch_is_address(s) || !json_is_text(s))
		return false;
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

int switch_config_init(struct switch_config *c, const char *name, struct err *e)
{
	struct switch_group *g;

	*c = (struct switch_config){
		.mtu = 1500,
		.policy = {
			.team = SW_TEAM_PORTID, .detect = SW_DETECT_LINK, .failback = true,
			.notify = true, .mac_change = true, .forged = true,
		},
	};
	if (!switch_is_name(name))
		return err_set(e, -EINVAL, "%.60s: not a name of a switch (letters, digits and . _ -, "
			       "at most %u)", name, SWITCH_NAME - 1);
	strcpy(c->name, name);
	return switch_config_add_group(c, "VM Network", &g, e);
}

static void free_group(struct switch_group *g)
{
	free(g->stream);
	free(g->dgram);
}

void switch_config_free(struct switch_config *c)
{
	for (unsigned i = 0; i < c->nuplinks; i++)
		free(c->uplink[i].what);
	for (unsigned i = 0; i < c->ngroups; i++)
		free_group(&c->group[i]);
	for (unsigned i = 0; i < c->nmirrors; i++) {
		free(c->mirror[i].source);
		free(c->mirror[i].to);
	}
	free(c->group);
	*c = (struct switch_config){ 0 };
}

void switch_config_policy(const struct switch_config *c, const struct switch_group *g,
			  struct sw_policy *p)
{
	const struct sw_policy *own = &g->policy;

	*p = c->policy;
	if (g->own & OWN_TEAM)
		p->team = own->team;
	if (g->own & OWN_DETECT)
		p->detect = own->detect;
	if (g->own & OWN_FAILBACK)
		p->failback = own->failback;
	if (g->own & OWN_NOTIFY)
		p->notify = own->notify;
	if (g->own & OWN_PROMISCUOUS)
		p->promiscuous = own->promiscuous;
	if (g->own & OWN_MAC_CHANGE)
		p->mac_change = own->mac_change;
	if (g->own & OWN_FORGED)
		p->forged = own->forged;
	if (g->own & OWN_SHAPE_IN)
		p->in = own->in;
	if (g->own & OWN_SHAPE_OUT)
		p->out = own->out;
	if (g->own & OWN_ORDER) {
		memcpy(p->active, own->active, sizeof(p->active));
		memcpy(p->standby, own->standby, sizeof(p->standby));
		p->nactive = own->nactive;
		p->nstandby = own->nstandby;
	}
}

struct switch_group *switch_config_group(const struct switch_config *c, const char *name)
{
	for (unsigned i = 0; i < c->ngroups; i++)
		if (!strcmp(c->group[i].name, name))
			return &c->group[i];
	return NULL;
}

/* --- adding ----------------------------------------------------------------------------- */

int switch_config_add_group(struct switch_config *c, const char *name, struct switch_group **g,
			    struct err *e)
{
	struct switch_group *more;

	if (!switch_is_group_name(name))
		return err_set(e, -EINVAL, "%.90s: not a name of a port group (text of 1 to %u bytes, "
			       "no address)", name, SWITCH_GROUP_NAME - 1);
	if (switch_config_group(c, name))
		return err_set(e, -EEXIST, "%s: there is such a port group already", name);
	if (c->ngroups == SW_GROUPS)
		return err_set(e, -ENOSPC, "more than %u port groups", SW_GROUPS);
	more = reallocarray(c->group, c->ngroups + 1, sizeof(*more));
	if (!more)
		return err_set(e, -ENOMEM, "no memory");
	c->group = more;
	*g = &more[c->ngroups++];
	memset(*g, 0, sizeof(**g));
	strcpy((*g)->name, name);
	return 0;
}

bool switch_all_active(const struct switch_config *c)
{
	for (unsigned i = 0; i < c->policy.nactive; i++)
		if (c->policy.active[i] != i)
			return false;
	return c->policy.nactive == c->nuplinks;
}

static int may_add_uplink(const struct switch_config *c, const struct switch_uplink *u,
			  struct err *e)
{
	char *text;
	int found;

	if (c->hostonly)
		return err_set(e, -EINVAL, "a host-only switch has no uplinks");
	if (c->nuplinks == SW_UPLINKS)
		return err_set(e, -ENOSPC, "more than %u uplinks", SW_UPLINKS);
	text = switch_dev_text(u);
	if (!text)
		return err_set(e, -ENOMEM, "no memory");
	found = switch_dev_find(c, text, NULL);
	if (found >= 0)
		err_set(e, -EEXIST, "%.100s: there is such an uplink already", text);
	free(text);
	return found < 0 ? 0 : -EEXIST;
}

int switch_config_add_uplink(struct switch_config *c, struct switch_uplink *u, struct err *e)
{
	int rc = may_add_uplink(c, u, e);

	if (rc) {
		free(u->what);
		return rc;
	}
	if (switch_all_active(c))
		c->policy.active[c->policy.nactive++] = (uint8_t)c->nuplinks;
	c->uplink[c->nuplinks++] = *u;
	return 0;
}

int switch_config_add_forward(struct switch_config *c, const struct switch_forward *f,
			      struct err *e)
{
	if (switch_dev_find(c, "nat", NULL) < 0)
		return err_set(e, -EINVAL, "ports are forwarded by the uplink nat, which this switch "
			       "has not");
	for (unsigned i = 0; i < c->nforwards; i++)
		if (switch_forward_same(&c->forward[i], f))
			return err_set(e, -EEXIST, "%s port %u: it is forwarded already",
				       f->udp ? "udp" : "tcp", f->host_port);
	if (c->nforwards == SWITCH_FORWARDS)
		return err_set(e, -ENOSPC, "more than %u forwarded ports", SWITCH_FORWARDS);
	c->forward[c->nforwards++] = *f;
	return 0;
}

int switch_config_add_mirror(struct switch_config *c, const char *source, const char *to,
			     struct err *e)
{
	const char *const end[] = { source, to };
	struct switch_mirror m;

	for (unsigned i = 0; i < 2; i++)
		if (!switch_config_group(c, end[i]) && !switch_is_address(end[i]))
			return err_set(e, -ENOENT, "%.90s: neither a port group of this switch nor an "
				       "address", end[i]);
	if (!strcasecmp(source, to))
		return err_set(e, -EINVAL, "%s: it cannot be mirrored to itself", source);
	for (unsigned i = 0; i < c->nmirrors; i++)
		if (!strcasecmp(c->mirror[i].source, source) && !strcasecmp(c->mirror[i].to, to))
			return err_set(e, -EEXIST, "%s: it is mirrored there already", source);
	if (c->nmirrors == SW_MIRRORS)
		return err_set(e, -ENOSPC, "more than %u mirrors", SW_MIRRORS);
	m.source = strdup(source);
	m.to = strdup(to);
	if (!m.source || !m.to) {
		free(m.source);
		free(m.to);
		return err_set(e, -ENOMEM, "no memory");
	}
	c->mirror[c->nmirrors++] = m;
	return 0;
}

/* --- removing --------------------------------------------------------------------------- */

void switch_config_remove_mirror(struct switch_config *c, unsigned i)
{
	free(c->mirror[i].source);
	free(c->mirror[i].to);
	memmove(&c->mirror[i], &c->mirror[i + 1], (--c->nmirrors - i) * sizeof(c->mirror[0]));
}

void switch_config_remove_group(struct switch_config *c, struct switch_group *g)
{
	for (unsigned i = c->nmirrors; i--;)
		if (!strcmp(c->mirror[i].source, g->name) || !strcmp(c->mirror[i].to, g->name))
			switch_config_remove_mirror(c, i);
	free_group(g);
	memmove(g, g + 1, (size_t)(&c->group[--c->ngroups] - g) * sizeof(*g));
}

void switch_config_remove_forward(struct switch_config *c, unsigned i)
{
	memmove(&c->forward[i], &c->forward[i + 1], (--c->nforwards - i) * sizeof(c->forward[0]));
}

/* The uplinks behind one that goes move up a place. */
static void forget(uint8_t *slot, uint8_t *n, unsigned gone)
{
	unsigned to = 0;

	for (unsigned i = 0; i < *n; i++)
		if (slot[i] != gone)
			slot[to++] = (uint8_t)(slot[i] - (slot[i] > gone));
	*n = (uint8_t)to;
}

void switch_config_remove_uplink(struct switch_config *c, unsigned i)
{
	if (c->uplink[i].kind == UPLINK_NAT)
		c->nforwards = 0;
	forget(c->policy.active, &c->policy.nactive, i);
	forget(c->policy.standby, &c->policy.nstandby, i);
	for (unsigned g = 0; g < c->ngroups; g++) {
		forget(c->group[g].policy.active, &c->group[g].policy.nactive, i);
		forget(c->group[g].policy.standby, &c->group[g].policy.nstandby, i);
	}
	free(c->uplink[i].what);
	memmove(&c->uplink[i], &c->uplink[i + 1], (--c->nuplinks - i) * sizeof(c->uplink[0]));
}
