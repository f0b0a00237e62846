#ifndef VMX_VMSN_H
#define VMX_VMSN_H
/*
 * What the products save of a machine at a snapshot, its .vmsn.  Here only the .vmx as it
 * was then counts; ours hold nothing else.
 *
 * The layout is that of suspended machines, which several programs read (crash's
 * vmware_vmss.c, Volatility); that the tag "cfgFile" holds the .vmx is observed:
 *
 *    0  magic: 0xbed2bed0 (sizes of blocks have 32 bits), 0xbed2bed2 or 0xbed3bed3 (64)
 *    4  a version; 8  number of groups; 12  groups: name, 64 bytes; offset; size
 *   A group is a list of tags: a 16-bit word (length of the name << 8, number of indices
 *   << 6, size of the value; 0: the end), the name, the indices (32 bits each), the value.
 *   A value of size 63, or 62 when compressed, is a block: its size here, its size in memory,
 *   a 16-bit number of bytes of padding, these, the bytes.
 */

#include <stddef.h>

#include "disk/file.h"

#define VMSN_GROUPS	1024u
#define VMSN_TAGS	1048576u	/* of all groups together */

/*
 * The .vmx that a .vmsn holds.
 *
 * text       the caller frees it; NUL-terminated behind len
 * Returns    0; -ENOTSUP: it holds none, or in a way that is not known here; -EBADMSG:
 *            damaged; ...
 */
int vmsn_config(char **text, size_t *len, struct disk_file *f, struct err *e);

/* The bytes of a .vmsn that holds a .vmx.  The caller frees them.  NULL: no memory. */
void *vmsn_make(size_t *len, const char *config, size_t config_len);
#endif
