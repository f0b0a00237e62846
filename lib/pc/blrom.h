#ifndef PC_BLROM_H
#define PC_BLROM_H
/* The BIOS extension of BusLogic adapters, which SeaBIOS runs: see blcode.S. */
#include <stddef.h>
#include <stdint.h>

/* SeaBIOS takes it from fw_cfg for each adapter with these ids.
 * Spec: SeaBIOS, docs/Runtime_config.md, "Option ROMs". */
#define BLROM_FILE	"pci104b,1040.rom"
#define BLROM_MAX	4096

/* Returns its bytes, which sum up to 0. */
size_t blrom_build(uint8_t buf[BLROM_MAX]);
#endif
