#ifndef PC_BOOTORDER_H
#define PC_BOOTORDER_H
/*
 * The file "bootorder" of fw_cfg: a line for each device that may be booted, an Open
 * Firmware path, the first one first; "HALT" forbids all others.
 * Spec: SeaBIOS, docs/Runtime_config.md and src/boot.c (bootprio_find_*).
 */

#include <stddef.h>

#include "pc/pc.h"

#define BOOTORDER_LEN (PC_DISKS * 64 + 8)

/* Returns the bytes used, the zero at the end included. */
size_t bootorder_build(char buf[BOOTORDER_LEN], const struct pc_config *cfg);
#endif
