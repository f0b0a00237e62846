#ifndef PC_FIRMWARE_H
#define PC_FIRMWARE_H
/*
 * What firmware finds in fw_cfg: memory map, processors, ACPI tables with the script that
 * puts them into memory, SMBIOS tables, what to boot and where to talk.
 * Spec: QEMU, docs/specs/fw_cfg.rst; the names of files: SeaBIOS, docs/Runtime_config.md;
 * the script: SeaBIOS, src/fw/romfile_loader.h (struct romfile_loader_entry_s).
 */

#include "base/err.h"

struct pc;

/* Fill pc's fw_cfg.  0 or -errno. */
int firmware_tell(struct pc *pc, struct err *e);
#endif
