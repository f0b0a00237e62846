#ifndef DISK_DESC_H
#define DISK_DESC_H
/*
 * The text descriptor of a VMDK: what the disk consists of, its content ids and its
 * parent.  Lines that are not understood are kept as they are, in their places.
 * Spec: VMware Virtual Disk Format 1.1 and 5.0, "The Descriptor File".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DESC_MAX	(8u << 20)	/* bytes of a descriptor file */
#define DESC_EXTENTS	65536u		/* extents of one disk (62 TB in 2 GB pieces: 31,744) */
#define DESC_LINES	(DESC_EXTENTS + 16384u)
#define CID_NONE	UINT32_MAX	/* parentCID of a disk without a parent */

enum desc_access { DESC_RW, DESC_RDONLY, DESC_NOACCESS };

enum desc_type {
	DESC_FLAT, DESC_SPARSE, DESC_ZERO, DESC_VMFS, DESC_VMFSSPARSE, DESC_VMFSRDM,
	DESC_VMFSRAW, DESC_SESPARSE,
	DESC_TYPES
};
extern const char *const desc_type_name[DESC_TYPES];	/* "FLAT", ... */

struct desc_extent {
	enum desc_access access;
	enum desc_type type;
	uint64_t sectors;
	char *file;		/* NULL: none (ZERO, or NOACCESS without one) */
	uint64_t offset_sectors;	/* where it begins in the file (flat types) */
	bool has_offset;	/* the line states one */
};

struct desc {
	unsigned version;	/* 1 to 4 */
	uint32_t cid, parent_cid;
	char *create_type;	/* "monolithicSparse", ...; without one, what the extents are */
	char *parent;		/* parentFileNameHint, NULL: none */
	struct desc_extent *extent;
	size_t nextents;
	struct desc_lines *lines;	/* the text, private to desc.c */
};

/*
 * Parse a descriptor.
 *
 * text, len  up to the first NUL or len (embedded ones are padded by NULs)
 * Returns    0, -EBADMSG: the message names the line; -ENOTSUP: a version or extent
 *            type that is not known here.  d is set only on success.
 */
int desc_parse(struct desc **d, const char *text, size_t len, struct err *e);

/* A new one without extents: version 1, a random CID, no parent. */
struct desc *desc_new(const char *create_type);
void desc_free(struct desc *d);	/* NULL is fine */

/* The text as it is now, NUL-terminated; the caller frees it.  NULL: no memory. */
char *desc_text(const struct desc *d, size_t *len);

/* The value of a key ("ddb.adapterType", "CID", any letter case), or NULL.  Valid
 * until the next change. */
const char *desc_get(const struct desc *d, const char *key);

/*
 * Set a key, or remove its line (value NULL); the fields above follow.  New ddb.*
 * keys go to the end, others before the extents.
 * Returns    0, -ENOMEM, -EINVAL: a value with a quote or a newline
 */
int desc_set(struct desc *d, const char *key, const char *value, struct err *e);

/* Change, add (at nextents) or remove (x NULL) extent number i.  x is copied. */
int desc_set_extent(struct desc *d, size_t i, const struct desc_extent *x, struct err *e);

/* A new content id: any but 0, CID_NONE, 0xfffffffe and the present one (d may be NULL). */
uint32_t desc_new_cid(const struct desc *d);

/* Does text begin as a descriptor ("# Disk DescriptorFile", comments allowed)? */
bool desc_probe(const char *text, size_t len);

/* Sum of the extents, in bytes. */
uint64_t desc_bytes(const struct desc *d);
#endif
