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
};

#define HOST(stem, struct_stem, make_fn) \
	static void *stem##_make(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e) \
	{ return make_fn(vm, pci, devfn, e); } \
	static void stem##_do_reset(void *h) { struct_stem##_reset(h); } \
	static void stem##_do_free(void *h) { struct_stem##_free(h); } \
	static struct scsi_bus *stem##_the_bus(void *h) { return struct_stem##_bus(h); }
#define ROW(nm) { #nm, nm##_make, nm##_do_reset, nm##_do_free, nm##_the_bus }

HOST(buslogic, buslogic, buslogic_new)
HOST(lsilogic, mpt, lsilogic_new)
HOST(lsisas1068, mpt, lsisas_new)
HOST(pvscsi, pvscsi, pvscsi_new)

static const struct host_kind kinds[PC_SCSI_KINDS] = {
	[PC_SCSI_LSILOGIC] = ROW(lsilogic),
	[PC_SCSI_BUSLOGIC] = ROW(buslogic),
	[PC_SCSI_LSISAS1068] = ROW(lsisas1068),
	[PC_SCSI_PVSCSI] = ROW(pvscsi),
};

struct scsi_hosts {
	struct {
		const struct host_kind *kind;	/* NULL: no adapter */
		void *host;
	} h[PC_SCSI_BUSES];
};

static int make_host(struct pc *pc, struct scsi_hosts *all, const struct pc_disk *d,
		     struct err *e)
{
	const struct host_kind *k = &kinds[d->scsi];
	unsigned n = d->channel;

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

static int attach(struct pc *pc, struct scsi_hosts *all, unsigned i, struct err *e)
{
	const struct pc_disk *d = &pc->cfg.disks[i];
	struct blk *b = disks_take(pc, i);
	struct scsi_dev *t = d->cd ? scsi_cd_new(&pc->vm, b, NULL, e) :
				     scsi_disk_new(&pc->vm, b, NULL, e);
	int rc;

	if (!t) {
		blk_free(b);
		return -ENOMEM;
	}
	rc = scsi_bus_attach(all->h[d->channel].kind->bus(all->h[d->channel].host), d->unit, t,
			     e);
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
	for (unsigned i = 0; i < pc->cfg.ndisks && !rc; i++) {
		const struct pc_disk *d = &pc->cfg.disks[i];

		if (d->bus != PC_BUS_SCSI)
			continue;
		rc = make_host(pc, all, d, e);
		if (!rc)
			rc = attach(pc, all, i, e);
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
