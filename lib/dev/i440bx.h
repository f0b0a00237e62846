#ifndef DEV_I440BX_H
#define DEV_I440BX_H
/*
 * The host bridge 82443BX (8086:7190) at 00:00.0.  The memory map is fixed, so
 * that its registers beyond the header read as zero.
 * Spec: Intel 440BX AGPset: 82443BX data sheet (290633), chapter 3.
 */

#include "dev/pci.h"

struct i440bx;

struct i440bx *i440bx_new(struct vm *vm, struct pci *pci, struct err *e);
void i440bx_reset(struct i440bx *b);
void i440bx_free(struct i440bx *b);
#endif
