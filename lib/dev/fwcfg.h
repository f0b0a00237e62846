#ifndef DEV_FWCFG_H
#define DEV_FWCFG_H
/*
 * What firmware made for QEMU is told about the machine: fw_cfg, ports 0x510 (which
 * item), 0x511 (its bytes, one a read) and 0x514-0x51b (address of a transfer by DMA).
 * Spec: QEMU, docs/specs/fw_cfg.rst.
 *
 * Items are numbered, or files with a name, which get numbers from 0x20 on and are
 * listed in a directory.  The guest reads them only.
 */

#include "base/err.h"
#include "vmm/vm.h"

#define FWCFG_PORT	0x510
#define FWCFG_NAME_MAX	55
#define FWCFG_FILES	24
#define FWCFG_DMA_MAX	(64u << 20)	/* bytes that one transfer may move or skip */

enum fwcfg_key { FWCFG_SIGNATURE = 0, FWCFG_ID = 1, FWCFG_RAM = 3, FWCFG_CPUS = 5,
	FWCFG_BOOT_MENU = 0x0e, FWCFG_CPUS_MAX = 0x0f, FWCFG_DIR = 0x19, FWCFG_FILE0 = 0x20 };

struct fwcfg;

struct fwcfg *fwcfg_new(struct vm *vm, struct err *e);
/* Nothing is selected; the items stay. */
void fwcfg_reset(struct fwcfg *f);
void fwcfg_free(struct fwcfg *f);

/* Give a numbered item (below FWCFG_FILE0) or a file its bytes, which are copied; an
 * older value goes.  0, -ENOMEM, or -ENOSPC: too many files. */
int fwcfg_set(struct fwcfg *f, unsigned key, const void *data, uint32_t len, struct err *e);
int fwcfg_set_file(struct fwcfg *f, const char *name, const void *data, uint32_t len,
		   struct err *e);

/* Call fn(ptr), with vm->lock held, before the guest reads a file from its start: it may
 * set files to what they ought to be now. */
void fwcfg_on_read(struct fwcfg *f, void (*fn)(void *ptr, const char *name), void *ptr);
#endif
