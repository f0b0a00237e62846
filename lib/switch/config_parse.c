/*
 * The configuration of switches: read.  A line is words; how far it is indented says whose
 * it is:
 *
 *	switch lab			at the margin: a switch
 *	  mtu 1500			further in: what is said of it
 *	  portgroup "VM Network" vlan 0
 *	    security forged=reject	still further in: of that port group
 *
 * Uplinks come before what names them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "switch/value.h"

#define LINE_MAX_BYTES	65536u
#define WORDS		128u	/* more than the longest line has that makes sense */
#define TAB		8u

struct parser {
	const char *where;
	unsigned line;
	struct switch_config *c;	/* n of them; the last is the one that is read */
	unsigned n;
	struct switch_group *group;	/* that the lines further in are of, or NULL */
	unsigned indent, group_indent;	/* 0: not yet known */
	unsigned said;			/* of the switch */
	bool named;			/* uplinks have been named */
	char buf[LINE_MAX_BYTES];	/* the line, cut into words */
	char *word[WORDS];
	unsigned words;
};

/* Of struct parser.said, behind enum switch_own. */
enum { SAID_MTU = 0x1000, SAID_HOSTONLY = 0x2000 };

/* --- words ------------------------------------------------------------------------------ */

/* The word at *s goes to *to, which is never ahead of it. */
static int quoted(char **s, char **to, struct err *e)
{
	for (++*s; **s != '"'; ++*s) {
		if (**s == '\\' && ((*s)[1] == '"' || (*s)[1] == '\\'))
			++*s;
		if (!**s)
			return err_set(e, -EINVAL, "a quotation mark is not closed");
		*(*to)++ = **s;
	}
	++*s;
	if (**s && **s != ' ' && **s != '\t' && **s != '#')
		return err_set(e, -EINVAL, "a blank is missing behind a quotation mark");
	return 0;
}

static int bare(char **s, char **to, struct err *e)
{
	for (; **s && **s != ' ' && **s != '\t' && **s != '#'; ++*s) {
		if (**s == '"' || **s == '\\')
			return err_set(e, -EINVAL, "a word with %c has to be in quotation marks", **s);
		*(*to)++ = **s;
	}
	return 0;
}

static int cut_words(struct parser *p, char *s, struct err *e)
{
	p->words = 0;
	for (;;) {
		char *word, *to, end;
		int rc;

		s += strspn(s, " \t");
		if (!*s || *s == '#')
			return 0;
		if (p->words == WORDS)
			return err_set(e, -EINVAL, "more than %u words", WORDS);
		word = to = s;
		rc = *s == '"' ? quoted(&s, &to, e) : bare(&s, &to, e);
		if (rc)
			return rc;
		end = *s;
		*to = 0;
		p->word[p->words++] = word;
		if (!end || end == '#')
			return 0;
		s++;
	}
}

/* --- what is said of a switch ------------------------------------------------------------- */

static int want_words(struct parser *p, unsigned min, unsigned max, const char *usage,
		      struct err *e)
{
	if (p->words < min || p->words > max)
		return err_set(e, -EINVAL, "not: %s", usage);
	return 0;
}

static int once(unsigned *said, unsigned what, struct err *e)
{
	if (*said & what)
		return err_set(e, -EINVAL, "said twice");
	*said |= what;
	return 0;
}

static int parse_mtu(struct parser *p, struct switch_config *c, struct err *e)
{
	int rc = want_words(p, 2, 2, "mtu BYTES", e);

	if (!rc)
		rc = once(&p->said, SAID_MTU, e);
	return rc ? rc : switch_number_parse(&c->mtu, p->word[1], SW_MTU_MIN, SW_MTU_MAX, e);
}

static int parse_uplink(struct parser *p, struct switch_config *c, struct err *e)
{
	struct switch_uplink u;
	int rc = want_words(p, 2, 3, "uplink DEV [listen]", e);

	if (rc)
		return rc;
	if (p->named)
		return err_set(e, -EINVAL, "uplinks come before teams, port groups and forwards");
	rc = switch_dev_parse(&u, p->word[1], e);
	if (rc)
		return rc;
	u.listen = p->words == 3;
	if (u.listen && (strcmp(p->word[2], "listen") || u.kind != UPLINK_UNIX)) {
		free(u.what);
		return err_set(e, -EINVAL, "%.40s: what is it here for?", p->word[2]);
	}
	return switch_config_add_uplink(c, &u, e);
}

static int parse_hostonly(struct parser *p, struct switch_config *c, struct err *e)
{
	int rc;

	if (p->words != 2 && (p->words != 4 || strcmp(p->word[2], "dhcp")))
		return err_set(e, -EINVAL, "not: hostonly ADDRESS/BITS [dhcp FIRST-LAST]");
	rc = once(&p->said, SAID_HOSTONLY, e);
	if (rc)
		return rc;
	return switch_hostonly_parse(c, p->word[1], p->words == 4 ? p->word[3] : NULL, e);
}

static int parse_group(struct parser *p, struct switch_config *c, struct err *e)
{
	struct sw_vlans v = { 0 };
	int rc = 0;

	if (p->words != 2 && (p->words != 4 || strcmp(p->word[2], "vlan")))
		return err_set(e, -EINVAL, "not: portgroup NAME [vlan ID|trunk:RANGES]");
	if (p->words == 4)
		rc = switch_vlans_parse(&v, p->word[3], e);
	if (!rc)
		rc = switch_config_add_group(c, p->word[1], &p->group, e);
	if (rc)
		return rc;
	p->group->vlans = v;
	p->group_indent = 0;
	p->named = true;
	return 0;
}

static int parse_forward(struct parser *p, struct switch_config *c, struct err *e)
{
	struct switch_forward f;
	int rc = want_words(p, 3, 3, "forward tcp|udp:[ADDRESS:]PORT ADDRESS:PORT", e);

	if (!rc)
		rc = switch_forward_parse(&f, p->word[1], p->word[2], e);
	p->named = true;
	return rc ? rc : switch_config_add_forward(c, &f, e);
}

static int parse_mirror(struct parser *p, struct switch_config *c, struct err *e)
{
	if (p->words != 4 || strcmp(p->word[2], "to"))
		return err_set(e, -EINVAL, "not: mirror GROUP|ADDRESS to GROUP|ADDRESS");
	return switch_config_add_mirror(c, p->word[1], p->word[3], e);
}

static const struct {
	const char *word;
	int (*parse)(struct parser *p, struct switch_config *c, struct err *e);
} settings[] = {
	{ "mtu", parse_mtu }, { "uplink", parse_uplink }, { "hostonly", parse_hostonly },
	{ "portgroup", parse_group }, { "forward", parse_forward }, { "mirror", parse_mirror },
};

static int parse_policy(struct parser *p, struct switch_config *c, struct sw_policy *policy,
			unsigned *own, struct err *e)
{
	unsigned now = 0;
	int rc = switch_policy_parse(c, policy, &now, p->word[0], p->word + 1, p->words - 1, e);

	if (now & (OWN_TEAM | OWN_ORDER))
		p->named = true;
	return rc ? rc : err_in(e, once(own, now, e), p->word[0]);
}

static int parse_setting(struct parser *p, struct err *e)
{
	struct switch_config *c = &p->c[p->n - 1];

	p->group = NULL;
	if (switch_is_policy(p->word[0]))
		return parse_policy(p, c, &c->policy, &p->said, e);
	for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (!strcmp(p->word[0], settings[i].word))
			return err_in(e, settings[i].parse(p, c, e), settings[i].word);
	return err_set(e, -EINVAL, "%.40s: nothing that can be said of a switch", p->word[0]);
}

static int parse_group_setting(struct parser *p, struct err *e)
{
	struct switch_config *c = &p->c[p->n - 1];
	int rc;

	if (switch_is_policy(p->word[0]))
		return parse_policy(p, c, &p->group->policy, &p->group->own, e);
	if (strcmp(p->word[0], "socket"))
		return err_set(e, -EINVAL, "%.40s: nothing that can be said of a port group",
			       p->word[0]);
	rc = want_words(p, 2, 2, "socket stream:PATH|dgram:PATH", e);
	if (!rc)
		rc = switch_socket_parse(p->group, p->word[1], e);
	return err_in(e, rc, "socket");
}

/* --- lines -------------------------------------------------------------------------------- */

static int parse_switch(struct parser *p, struct err *e)
{
	struct switch_config *more;
	int rc = 0;

	if (strcmp(p->word[0], "switch"))
		return err_set(e, -EINVAL, "%.40s: a line at the margin has to be: switch NAME",
			       p->word[0]);
	rc = want_words(p, 2, 2, "switch NAME", e);
	if (rc)
		return rc;
	for (unsigned i = 0; i < p->n; i++)
		if (!strcmp(p->c[i].name, p->word[1]))
			return err_set(e, -EINVAL, "%s: there is such a switch above", p->word[1]);
	if (p->n == SWITCHES)
		return err_set(e, -EINVAL, "more than %u switches", SWITCHES);
	more = reallocarray(p->c, p->n + 1, sizeof(*more));
	if (!more)
		return err_set(e, -ENOMEM, "no memory");
	p->c = more;
	rc = switch_config_init(&more[p->n], p->word[1], e);
	if (rc)
		return rc;
	switch_config_remove_group(&more[p->n], more[p->n].group);
	p->n++;
	p->group = NULL;
	p->indent = 0;
	p->said = 0;
	p->named = false;
	return 0;
}

static unsigned indent_of(const char *s)
{
	unsigned n = 0;

	for (; *s == ' ' || *s == '\t'; s++)
		n = *s == '\t' ? (n / TAB + 1) * TAB : n + 1;
	return n;
}

static int parse_line(struct parser *p, struct err *e)
{
	unsigned indent = indent_of(p->buf);
	int rc = cut_words(p, p->buf, e);

	if (rc || !p->words)
		return rc;
	if (!indent)
		return parse_switch(p, e);
	if (!p->n)
		return err_set(e, -EINVAL, "no switch NAME before it");
	if (!p->indent)
		p->indent = indent;
	if (indent == p->indent)
		return parse_setting(p, e);
	if (p->group && indent > p->indent && (!p->group_indent || p->group_indent == indent)) {
		p->group_indent = indent;
		return parse_group_setting(p, e);
	}
	return err_set(e, -EINVAL, "it is indented by %u: neither as what is said of the switch (%u) "
		       "nor of a port group", indent, p->indent);
}

static int take_line(struct parser *p, const char *s, size_t len, struct err *e)
{
	p->line++;
	if (len && s[len - 1] == '\r')
		len--;
	if (len >= sizeof(p->buf))
		return err_set(e, -EINVAL, "a line of %zu bytes is too long", len);
	memcpy(p->buf, s, len);
	p->buf[len] = 0;
	if (strlen(p->buf) != len || !json_is_text(p->buf))
		return err_set(e, -EINVAL, "not UTF-8 text");
	for (const char *c = p->buf; *c; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return err_set(e, -EINVAL, "a control character");
	return parse_line(p, e);
}

static int fail_at(const struct parser *p, int rc, struct err *e)
{
	char place[160];

	if (rc != -ENOMEM)
		rc = err_code(e, -EBADMSG);
	snprintf(place, sizeof(place), "%.120s:%u", p->where, p->line);
	return err_in(e, rc, place);
}

int switch_config_parse(struct switch_config **c, unsigned *n, const char *text, size_t len,
			const char *where, struct err *e)
{
	struct parser *p = calloc(1, sizeof(*p));
	int rc = 0;

	if (!p)
		return err_set(e, -ENOMEM, "no memory");
	p->where = where;
	while (len && !rc) {
		const char *end = memchr(text, '\n', len);
		size_t line = end ? (size_t)(end - text) : len;

		rc = take_line(p, text, line, e);
		line += end != NULL;
		text += line;
		len -= line;
	}
	if (rc)
		rc = fail_at(p, rc, e);
	for (unsigned i = 0; rc && i < p->n; i++)
		switch_config_free(&p->c[i]);
	if (rc) {
		free(p->c);
	} else {
		*c = p->c;
		*n = p->n;
	}
	free(p);
	return rc;
}
