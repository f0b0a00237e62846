#include "disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const scsi_names[] = {
	[PC_SCSI_LSILOGIC] = "lsilogic", [PC_SCSI_BUSLOGIC] = "buslogic",
	[PC_SCSI_LSISAS1068] = "lsisas1068", [PC_SCSI_PVSCSI] = "pvscsi", NULL };
static const char *const mode_names[] = {
	[PC_DISK_PERSISTENT] = "persistent",
	[PC_DISK_INDEPENDENT] = "independent-persistent",
	[PC_DISK_NONPERSISTENT] = "independent-nonpersistent",
	[PC_DISK_UNDOABLE] = "undoable", NULL };

static int find(const char *const *names, const char *s)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], s))
			return i;
	return -1;
}

/* "scsi0:1" */
static int parse_place(struct pc_disk *d, const char *s, struct err *e)
{
	bool scsi = !strncmp(s, "scsi", 4), ide = !strncmp(s, "ide", 3);
	unsigned channels = scsi ? PC_SCSI_BUSES : 2, units = scsi ? 16 : 2;
	const char *p = s + (scsi ? 4 : 3);
	unsigned long channel, unit;
	char *end;

	if (!scsi && !ide)
		return err_set(e, -EINVAL, "%.40s: not one of ide0:0 and scsi0:0", s);
	if (*p < '0' || *p > '9' || (channel = strtoul(p, &end, 10), *end != ':') ||
	    end[1] < '0' || end[1] > '9' || (unit = strtoul(end + 1, &end, 10), *end))
		return err_set(e, -EINVAL, "%.40s: not a place like %s0:1", s,
			       scsi ? "scsi" : "ide");
	if (channel >= channels || unit >= units)
		return err_set(e, -EINVAL, "%.40s: %s0:0 is the first, %s%u:%u the last", s,
			       scsi ? "scsi" : "ide", scsi ? "scsi" : "ide", channels - 1,
			       units - 1);
	if (scsi && unit == 7)
		return err_set(e, -EINVAL, "%.40s: 7 is the adapter's own", s);
	d->bus = scsi ? PC_BUS_SCSI : PC_BUS_IDE;
	d->channel = (unsigned)channel;
	d->unit = (unsigned)unit;
	return 0;
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
		return parse_place(d, val, e);
	}
	if (!strcmp(key, "type")) {
		n = find(scsi_names, val);
		if (n < 0)
			return err_set(e, -EINVAL, "%.40s: not one of lsilogic, buslogic, "
				       "lsisas1068 and pvscsi", val);
		g->type = true;
		d->scsi = (enum pc_scsi)n;
		return 0;
	}
	if (!strcmp(key, "mode") && !d->cd) {
		n = find(mode_names, val);
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
		if (&a->disk[i] != d && a->disk[i].bus == d->bus &&
		    a->disk[i].channel == d->channel && a->disk[i].unit == d->unit &&
		    a->disk[i].bus != PC_BUS_NONE)
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
					       d->channel, scsi_names[d->scsi],
					       scsi_names[a->disk[k].scsi]);
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
		rc = parse_one(d, &g[a->n++], l->v[i], e);
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
	return rc ? rc : choose_types(a, g, e);
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
	rc = parse_place(&d, s, e);
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
