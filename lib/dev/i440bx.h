#ifndef DEV_I440BX_H
#define DEV_I440BX_H
/*
 * The host bridge 82443BX (8086:7190) at 00:00.0, with the registers that lead the
 * segments from 0xc0000 to 0xfffff to RAM or ROM (PAM0-PAM6, 0x59-0x5f).  The rest of
 * the memory map is fixed: other registers beyond the header read as zero, and there is
 * no SMRAM.
 * Spec: Intel 440BX AGPset: 82443BX data sheet (290633), chapter 3; 3.3.15 PAM.
 *
 * Firmware made for QEMU knows machines by this bridge's identification only, and leaves
 * alone what it does not know: SeaBIOS then copies itself to no RAM, routes no
 * interrupts and reads no fw_cfg.  So it is shown what it looks for (an 82441FX,
 * 8086:1237, subsystem 1af4:1100) until its work is done: when it makes the BIOS segment
 * read-only again, the last thing before it boots, the bridge becomes itself, until the
 * next reset.  No operating system has seen it before.
 */

#include "dev/pci.h"

struct i440bx;

/* firmware   a ROM is booted: after reset the segments lead to it; else, as a kernel
 *            finds it, all to RAM */
struct i440bx *i440bx_new(struct vm *vm, struct pci *pci, bool firmware, struct err *e);
void i440bx_reset(struct i440bx *b);
void i440bx_free(struct i440bx *b);
#endif
