#ifndef PC_DISAS_H
#define PC_DISAS_H
/* The translator's work on a piece of code, shown without a machine around it. */

#include <stdio.h>

#include "base/err.h"
#include "bt/bt.h"

struct pc_disas {
	const char *path;	/* the code, a flat file; "-": standard input */
	uint64_t offset;	/* of its first byte in the file */
	uint64_t length;	/* bytes; 0: all there are, at most PC_DISAS_MAX */
	/* 32: flat protected mode; 16: real mode, CS 0; 64: long mode, one to one, at CPL 0,
	 * in windows at CPL 3 */
	unsigned bits;
	uint64_t at;		/* linear and physical address of its first byte */
	enum bt_form form;	/* BT_SOFT or BT_WINDOW */
};

#define PC_DISAS_MAX (1u << 20)		/* bytes of code */
/* Where 32 and 64-bit code may begin: above what the start of a machine takes. */
#define PC_DISAS_LOW 0x10000u
#define PC_DISAS_HIGH (MEM_LOW_MAX - 2 * PC_DISAS_MAX)
#define PC_DISAS_TOP16 0x10000u		/* where a real-mode segment ends */

/*
 * Translate the code, and print it to out.
 * Returns    0, or -errno: of reading, -EBADMSG: no code in the file, -EFBIG: more
 *            than PC_DISAS_MAX, or than fits into the segment, -ERANGE: at,
 *            -ENOTSUP: bits
 */
int pc_disas(const struct pc_disas *d, FILE *out, struct err *e);
#endif
