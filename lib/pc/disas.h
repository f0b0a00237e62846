#ifndef PC_DISAS_H
#define PC_DISAS_H
/* The translator's work on a piece of code, shown without a machine around it. */

#include <stdio.h>

#include "base/err.h"
#include "bt/bt.h"

struct pc_disas {
	const char *path;	/* the code, a flat file; "-": standard input */
	uint64_t at;		/* linear and physical address of its first byte */
	enum bt_form form;	/* BT_SOFT or BT_WINDOW */
};

#define PC_DISAS_MAX (1u << 20)		/* bytes of code */

/*
 * Translate the code for 32-bit flat protected mode at CPL 0 without paging.
 * Returns    0, or -errno: of reading, -EBADMSG: no code in the file
 */
int pc_disas(const struct pc_disas *d, FILE *out, struct err *e);
#endif
