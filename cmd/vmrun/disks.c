#include "disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pc/place.h"

static int find(const char *const *names, const char *s)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], s))
			return i;
	return -1;
}

struct given {
	bool place, type, mode;
};

static int parse_key(struct pc_disk *d, struct given *g, const char *key, const char *val,
		     struct err *e)
{
	int n;

	if (!strcmp(key, "controller")) {
		g->place = true;
		return place_parse(d, val, e);
	}
	if (!strcmp(key, "type")) {
		n = find(place_adapters, val);
		if (n < 0)
			return err_set(e, -EINVAL, "%.40s: not one of lsilogic, buslogic, "
				       "lsisas1068 and pvscsi", val);
		g->type = true;
		d->scsi = (enum pc_scsi)n;
		return 0;
	}
	if (!strcmp(key, "mode") && !d->cd) {
		n = find(place_modes, val);
		if (n < 0)
			return err_set(e, -EINVAL, "%.40s: not one of persistent, "
				       "independent-persistent, independent-nonpersistent "
				       "and undoable", val);
		d->mode = (enum pc_disk_mode)n;
		return 0;
	}
	return err_set(e, -EINVAL, "%.40s: not one of controller, type%s", key,
		       d->cd ? "" : " and mode");
}

/* Where the keys begin: names of files may have commas, too. */
static char *first_key(char *s)
{
	static const char *const keys[] = { ",controller=", ",type=", ",mode=" };
	char *first = NULL;

	for (unsigned i = 0; i < 3; i++) {
		char *p = strstr(s, keys[i]);

		if (p && (!first || p < first))
			first = p;
	}
	return first;
}

static int parse_one(struct pc_disk *d, struct given *g, char *s, struct err *e)
{
	char *next = first_key(s), *key;
	int rc = 0;

	if (next)
		*next++ = 0;
	if (!*s)
		return err_set(e, -EINVAL, "the name of the file is missing");
	d->path = s;
	while (!rc && (key = strsep(&next, ","))) {
		char *val = strchr(key, '=');

		if (!val)
			return err_set(e, -EINVAL, "%.40s: not KEY=VALUE", key);
		*val++ = 0;
		rc = parse_key(d, g, key, val, e);
	}
	if (!rc && g->place && g->type && d->bus != PC_BUS_SCSI)
		return err_set(e, -EINVAL, "type: only of SCSI adapters");
	return rc;
}

static const struct pc_disk *at(const struct disk_args *a, const struct pc_disk *d)
{
	for (unsigned i = 0; i < a->n; i++)
		if (&a->disk[i] != d && place_same(&a->disk[i], d))
			return &a->disk[i];
	return NULL;
}

/* The first free place, as VMware's products choose it. */
static int find_place(struct disk_args *a, struct pc_disk *d, struct err *e)
{
	static const struct { unsigned channel, unit; } ide[] = {
		{ 1, 0 }, { 1, 1 }, { 0, 0 }, { 0, 1 } };
	unsigned n = d->cd ? 4 : PC_SCSI_BUSES * 16;

	d->bus = d->cd ? PC_BUS_IDE : PC_BUS_SCSI;
	for (unsigned i = 0; i < n; i++) {
		d->channel = d->cd ? ide[i].channel : i / 16;
		d->unit = d->cd ? ide[i].unit : i % 16;
		if (!at(a, d) && (d->cd || d->unit != 7))
			return 0;
	}
	return err_set(e, -EINVAL, "no place is free");
}

/* A bus has one adapter: of the type that one of its disks names. */
static int choose_types(struct disk_args *a, const struct given *g, struct err *e)
{
	for (unsigned i = 0; i < a->n; i++) {
		struct pc_disk *d = &a->disk[i];

		for (unsigned k = 0; k < a->n; k++) {
			if (!g[k].type || a->disk[k].bus != PC_BUS_SCSI ||
			    d->bus != PC_BUS_SCSI || a->disk[k].channel != d->channel)
				continue;
			if (g[i].type && d->scsi != a->disk[k].scsi)
				return err_set(e, -EINVAL, "--disk: scsi%u is both %s and %s",
					       d->channel, place_adapters[d->scsi],
					       place_adapters[a->disk[k].scsi]);
			d->scsi = a->disk[k].scsi;
		}
	}
	return 0;
}

static int parse_list(struct disk_args *a, struct given *g, const struct cli_list *l, bool cd,
		      struct err *e)
{
	for (unsigned i = 0; i < l->n; i++) {
		const char *option = cd ? "--cdrom" : "--disk";
		struct pc_disk *d = &a->disk[a->n];
		int rc;

		if (a->n == PC_DISKS)
			return err_set(e, -EINVAL, "%s: a machine has %u at most", option,
				       PC_DISKS);
		*d = (struct pc_disk){ .cd = cd };
		rc = parse_one(d, &g[a->n], l->v[i], e);
		if (!rc && cd && g[a->n].type && !g[a->n].place)
			rc = err_set(e, -EINVAL, "type: only of SCSI adapters; without "
				     "controller=scsi0:0 it is an IDE drive");
		a->n++;
		if (!rc && d->bus != PC_BUS_NONE && at(a, d))
			rc = err_set(e, -EINVAL, "its place is taken by %.100s", at(a, d)->path);
		if (rc)
			return err_in(e, rc, option);
	}
	return 0;
}

int disks_parse(struct disk_args *a, const struct cli_list *disks,
		const struct cli_list *cdroms, struct err *e)
{
	struct given g[PC_DISKS] = { { 0 } };
	int rc;

	a->n = 0;
	rc = parse_list(a, g, disks, false, e);
	if (!rc)
		rc = parse_list(a, g, cdroms, true, e);
	for (unsigned i = 0; i < a->n && !rc; i++)
		if (a->disk[i].bus == PC_BUS_NONE) {
			rc = find_place(a, &a->disk[i], e);
			if (rc)
				return err_in(e, rc, a->disk[i].cd ? "--cdrom" : "--disk");
		}
	for (unsigned i = 0; i < a->n; i++)
		a->typed[i] = false;
	for (unsigned i = 0; i < a->n; i++)
		for (unsigned k = 0; k < a->n; k++)
			a->typed[k] |= g[i].type && a->disk[i].channel == a->disk[k].channel;
	return rc ? rc : choose_types(a, g, e);
}

int disk_parse(struct pc_disk *d, bool *has_place, char *s, struct err *e)
{
	struct given g = { 0 };
	int rc = parse_one(d, &g, s, e);

	if (!rc && g.type)
		return err_set(e, -EINVAL, "type: the adapter is there already");
	*has_place = g.place;
	return rc;
}

static int parse_adapter(struct pc_config *cfg, const char *s, struct err *e)
{
	unsigned n = (unsigned)(s[0] && s[1] && s[2] && s[3] ? s[4] - '0' : 0);
	int type;

	if (strncmp(s, "scsi", 4) || n >= PC_SCSI_BUSES || s[5] != '=')
		return err_set(e, -EINVAL, "%.40s: not like scsi0=pvscsi; scsi%u is the last", s,
			       PC_SCSI_BUSES - 1);
	type = find(place_adapters, s + 6);
	if (type < 0)
		return err_set(e, -EINVAL, "%.40s: not one of lsilogic, buslogic, lsisas1068 and "
			       "pvscsi", s + 6);
	if (cfg->adapter[n])
		return err_set(e, -EINVAL, "scsi%u: given twice", n);
	cfg->adapter[n] = true;
	cfg->adapter_type[n] = (enum pc_scsi)type;
	return 0;
}

int adapters_parse(struct pc_config *cfg, struct disk_args *a, const struct cli_list *l,
		   struct err *e)
{
	for (unsigned i = 0; i < l->n; i++) {
		int rc = parse_adapter(cfg, l->v[i], e);

		if (rc)
			return err_in(e, rc, "--controller");
	}
	for (unsigned i = 0; i < a->n; i++) {
		struct pc_disk *d = &a->disk[i];

		if (d->bus != PC_BUS_SCSI || !cfg->adapter[d->channel])
			continue;
		if (a->typed[i] && d->scsi != cfg->adapter_type[d->channel])
			return err_set(e, -EINVAL, "--controller: scsi%u is both %s and %s",
				       d->channel, place_adapters[cfg->adapter_type[d->channel]],
				       place_adapters[d->scsi]);
		d->scsi = cfg->adapter_type[d->channel];
	}
	return 0;
}

/* --- --boot ------------------------------------------------------------------------ */

static void boot_add(struct pc_config *cfg, unsigned i)
{
	for (unsigned k = 0; k < cfg->nboot; k++)
		if (cfg->boot[k] == i)
			return;
	cfg->boot[cfg->nboot++] = (uint8_t)i;
}

static int boot_add_place(struct pc_config *cfg, const struct disk_args *a, const char *s,
			  struct err *e)
{
	struct pc_disk d = { .path = NULL };
	const struct pc_disk *found;
	int rc;

	if (strncmp(s, "scsi", 4) && strncmp(s, "ide", 3))
		return err_set(e, -EINVAL, "--boot: %.40s: not one of disk, cdrom, menu and "
			       "places like scsi0:0", s);
	rc = place_parse(&d, s, e);
	if (rc)
		return err_in(e, rc, "--boot");
	found = at(a, &d);
	if (!found)
		return err_set(e, -EINVAL, "--boot: %.40s: nothing is there", s);
	boot_add(cfg, (unsigned)(found - a->disk));
	return 0;
}

static void boot_add_all(struct pc_config *cfg, const struct disk_args *a, bool cd)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->disk[i].cd == cd)
			boot_add(cfg, i);
}

int boot_parse(struct pc_config *cfg, const struct disk_args *a, const char *s, struct err *e)
{
	size_t n;
	int rc = 0;

	for (; !rc; s += n + 1) {
		char word[48];

		n = strcspn(s, ",");
		snprintf(word, sizeof(word), "%.*s", (int)(n < 47 ? n : 47), s);
		if (!strcmp(word, "menu"))
			cfg->boot_menu = true;
		else if (!strcmp(word, "disk") || !strcmp(word, "cdrom"))
			boot_add_all(cfg, a, word[0] == 'c');
		else
			rc = boot_add_place(cfg, a, word, e);
		if (!s[n])
			break;
	}
	if (cfg->nboot || rc)
		return rc;
	boot_add_all(cfg, a, false);
	boot_add_all(cfg, a, true);
	return 0;
}
