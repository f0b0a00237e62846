#ifndef DEV_MPT_H
#define DEV_MPT_H
/*
 * LSI's Fusion-MPT adapters: what the 53C1030 and the SAS1068 have in common.  The host
 * posts the addresses of request frames and of frames for replies; what goes well is
 * answered by the request's context alone, the rest by a reply frame.  The doorbell
 * carries requests before that is set up, and resets.
 * Spec: Fusion-MPT Message Passing Interface 1.5, as Linux's drivers/message/fusion/lsi
 * headers give it.
 */

#include "dev/pci.h"
#include "dev/scsi_bus.h"

struct mpt;

/* A page of configuration: kind->page() fills in what differs from zero. */
struct mpt_page {
	uint8_t type;		/* 0 to 0xb, or MPT_PAGE_EXTENDED + the extended type */
	uint8_t number;
	uint32_t addr;		/* which of several: PageAddress */
	uint8_t version;
	uint8_t attr;		/* MPT_PAGE_CHANGEABLE, ... */
	unsigned len;		/* bytes, header included; a multiple of 4 */
	uint8_t data[512];	/* as it is read; the header is put in by the caller */
};
enum { MPT_PAGE_EXTENDED = 0x80, MPT_PAGE_CHANGEABLE = 0x10, MPT_PAGE_PERSISTENT = 0x20 };

/* An adapter's own side. */
struct mpt_kind {
	const char *name;
	uint16_t device, subdevice;
	uint8_t revision;
	uint32_t pci_class;
	uint32_t bar_len, bar_diag_len;
	uint8_t port_type;
	uint16_t product, header;	/* header: version of the interface's headers */
	const char *chip, *board;
	/* Look the page up: false, if there is none such. */
	bool (*page)(struct mpt *m, struct mpt_page *p);
	/* The driver wrote p; NULL: it may, and nothing comes of it. */
	void (*page_written)(struct mpt *m, const struct mpt_page *p);
	/* A target is there, or gone; NULL: a bus on which nobody notices. */
	void (*changed)(struct mpt *m, unsigned id, bool there);
};

struct mpt *mpt_new(struct vm *vm, struct pci *pci, unsigned devfn, const struct mpt_kind *k,
		    struct err *e);
void mpt_reset(struct mpt *m);
void mpt_free(struct mpt *m);
struct scsi_bus *mpt_bus(struct mpt *m);
/* A target is there, is gone, while the machine runs: tell the driver, if it listens. */
void mpt_changed(struct mpt *m, unsigned id, bool there);

#endif
