/* The SCSI adapters of the machine: one a bus that has targets, at slots 16 to 19. */
#include <errno.h>
#include <stdlib.h>

#include "dev/buslogic.h"
#include "dev/lsilogic.h"
#include "dev/pvscsi.h"
#include "pc/disks.h"
#include "pc/machine.h"

/* A kind of adapter: one row here. */
struct host_kind {
	const char *name;
	void *(*make)(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e);
	void (*reset)(void *host);
	void (*free)(void *host);
	struct scsi_bus *(*bus)(void *host);
	/* A target came or went. */
	void (*changed)(void *host, unsigned id, bool there);
	unsigned settle_s;	/* before and after a target goes, nothing else changes */
};

#define HOST(stem, struct_stem, make_fn) \
	static void *stem##_make(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e) \
	{ return make_fn(vm, pci, devfn, e); } \
	static void stem##_do_reset(void *h) { struct_stem##_reset(h); } \
	static void stem##_do_free(void *h) { struct_stem##_free(h); } \
	static struct scsi_bus *stem##_the_bus(void *h) { return struct_stem##_bus(h); }
#define CHANGED(stem, struct_stem) \
	static void stem##_do_changed(void *h, unsigned id, bool there) \
	{ struct_stem##_changed(h, id, there); }
#define ROW(nm) #nm, nm##_make, nm##_do_reset, nm##_do_free, nm##_the_bus

HOST(buslogic, buslogic, buslogic_new)
HOST(lsilogic, mpt, lsilogic_new)
HOST(lsisas1068, mpt, lsisas_new)
HOST(pvscsi, pvscsi, pvscsi_new)
CHANGED(buslogic, buslogic)
CHANGED(lsilogic, mpt)
CHANGED(lsisas1068, mpt)
CHANGED(pvscsi, pvscsi)

static const struct host_kind kinds[PC_SCSI_KINDS] = {
	[PC_SCSI_LSILOGIC] = { ROW(lsilogic), lsilogic_do_changed },
	[PC_SCSI_BUSLOGIC] = { ROW(buslogic), buslogic_do_changed },
	[PC_SCSI_LSISAS1068] = { ROW(lsisas1068), lsisas1068_do_changed,
				 /* As its firmware does; Linux's driver may hang, else. */
				 .settle_s = 2 },
	[PC_SCSI_PVSCSI] = { ROW(pvscsi), pvscsi_do_changed },
};

struct scsi_hosts {
	struct {
		const struct host_kind *kind;	/* NULL: no adapter */
		void *host;
		uint64_t changed_ns;	/* when a target came or went last; 0: never */
		bool went;
	} h[PC_SCSI_BUSES];
};

static int make_host(struct pc *pc, struct scsi_hosts *all, unsigned n, enum pc_scsi type,
		     struct err *e)
{
	const struct host_kind *k = &kinds[type];

	if (all->h[n].kind == k)
		return 0;
	if (all->h[n].kind)
		return err_set(e, -EINVAL, "scsi%u is %s and %s", n, all->h[n].kind->name,
			       k->name);
	all->h[n].host = k->make(&pc->vm, pc->dev[PC_DEV_PCI], PCI_DEVFN(SCSI_SLOT + n, 0), e);
	if (!all->h[n].host)
		return e->code;
	all->h[n].kind = k;
	return 0;
}

static struct scsi_bus *bus_of(struct scsi_hosts *all, const struct pc_disk *d)
{
	return all->h[d->channel].kind->bus(all->h[d->channel].host);
}

/* b is the target's, or freed. */
static int attach(struct pc *pc, struct scsi_hosts *all, const struct pc_disk *d, struct blk *b,
		  struct err *e)
{
	struct scsi_dev *t = d->cd ? scsi_cd_new(&pc->vm, b, NULL, e) :
				     scsi_disk_new(&pc->vm, b, NULL, e);
	int rc;

	if (!t) {
		blk_free(b);
		return -ENOMEM;
	}
	rc = scsi_bus_attach(bus_of(all, d), d->unit, t, e);
	if (rc)
		scsi_free(t);
	return rc;
}

struct scsi_hosts *scsi_hosts_new(struct pc *pc, struct err *e)
{
	struct scsi_hosts *all = calloc(1, sizeof(*all));
	int rc = 0;

	if (!all) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	for (unsigned n = 0; n < PC_SCSI_BUSES && !rc; n++)
		if (pc->cfg.adapter[n])
			rc = make_host(pc, all, n, pc->cfg.adapter_type[n], e);
	for (unsigned i = 0; i < pc->cfg.ndisks && !rc; i++) {
		const struct pc_disk *d = &pc->cfg.disks[i];

		if (d->bus != PC_BUS_SCSI)
			continue;
		rc = make_host(pc, all, d->channel, d->scsi, e);
		if (!rc)
			rc = attach(pc, all, d, disks_take(pc, i), e);
	}
	if (rc) {
		scsi_hosts_free(all);
		return NULL;
	}
	return all;
}

void scsi_hosts_reset(struct scsi_hosts *all)
{
	for (unsigned i = 0; i < PC_SCSI_BUSES; i++)
		if (all->h[i].kind)
			all->h[i].kind->reset(all->h[i].host);
}

void scsi_hosts_free(struct scsi_hosts *all)
{
	if (!all)
		return;
	for (unsigned i = 0; i < PC_SCSI_BUSES; i++)
		if (all->h[i].kind)
			all->h[i].kind->free(all->h[i].host);
	free(all);
}

/* --- while it runs ------------------------------------------------------------------- */

int scsi_hosts_find(struct scsi_hosts *all, struct pc_disk *d, struct err *e)
{
	d->bus = PC_BUS_SCSI;
	for (d->channel = 0; d->channel < PC_SCSI_BUSES; d->channel++)
		for (d->unit = 0; all->h[d->channel].kind && d->unit < SCSI_TARGETS; d->unit++)
			if (d->unit != SCSI_ADAPTER_ID && !bus_of(all, d)->target[d->unit])
				return 0;
	return err_set(e, -ENOSPC, "the machine has no SCSI adapter with a free place");
}

int scsi_hosts_check(struct scsi_hosts *all, const struct pc_disk *d, struct err *e)
{
	if (!all->h[d->channel].kind)
		return err_set(e, -ENODEV, "scsi%u: the machine has no such adapter; adapters "
			       "are there from the start", d->channel);
	if (bus_of(all, d)->target[d->unit])
		return err_set(e, -EBUSY, "scsi%u:%u: the place is taken", d->channel, d->unit);
	return 0;
}

static void tell(struct scsi_hosts *all, const struct pc_disk *d, bool there)
{
	const struct host_kind *k = all->h[d->channel].kind;

	all->h[d->channel].changed_ns = clock_ns();
	all->h[d->channel].went = !there;
	k->changed(all->h[d->channel].host, d->unit, there);
}

uint64_t scsi_hosts_settled(const struct scsi_hosts *all, const struct pc_disk *d, bool goes)
{
	uint64_t then = all->h[d->channel].changed_ns;

	if (!then || !(goes || all->h[d->channel].went))
		return 0;
	return then + all->h[d->channel].kind->settle_s * NS_PER_SEC;
}

int scsi_hosts_attach(struct pc *pc, const struct pc_disk *d, struct blk *b, struct err *e)
{
	struct scsi_hosts *all = pc->dev[PC_DEV_SCSI];
	int rc = attach(pc, all, d, b, e);

	if (!rc)
		tell(all, d, true);
	return rc;
}

int scsi_hosts_detach(struct pc *pc, const struct pc_disk *d, void (*gone)(void *ptr), void *ptr,
		      struct scsi_dev **t, struct err *e)
{
	struct scsi_hosts *all = pc->dev[PC_DEV_SCSI];
	int rc = scsi_bus_detach(bus_of(all, d), d->unit, gone, ptr, t, e);

	if (!rc)
		tell(all, d, false);
	return rc;
}

struct blk *scsi_hosts_forget(struct pc *pc, const struct pc_disk *d, struct scsi_dev *t)
{
	return scsi_bus_forget(bus_of(pc->dev[PC_DEV_SCSI], d), t);
}
