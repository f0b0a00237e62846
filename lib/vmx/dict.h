#ifndef VMX_DICT_H
#define VMX_DICT_H
/*
 * The files of `key = "value"` lines that VMware's products keep a machine in: .vmx,
 * .vmsd, .vmxf.  What is not changed stays byte for byte: order, comments, blanks, line
 * ends, encoding, the way a value is written.
 *
 *   #!/usr/bin/vmware          a comment, as is "# ..."
 *   .encoding = "windows-1252"
 *   scsi0:0.fileName = "a.vmdk"    # the rest of a line may be one, too
 *   annotation = "two|0Alines"     |XX is the byte 0xXX; |22 a quote, |7C a bar
 *   memsize = 512                  quotes may be missing
 *
 * Keys are found in any letter case.  A key that stands twice is refused, as those
 * products do.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DICT_MAX	(8u << 20)	/* bytes of a file */
#define DICT_LINES	262144u

struct dict;

/*
 * Parse a file's text.
 *
 * name       the file's, for messages; copied
 * Returns    0, -EBADMSG: the message begins with name and line; -EFBIG; -ENOMEM.
 *            d is set only on success
 */
int dict_parse(struct dict **d, const char *name, const char *text, size_t len,
	       struct err *e);

/* Read and parse a file.  -EINVAL: not a regular file; else as open(2), dict_parse(). */
int dict_load(struct dict **d, const char *path, struct err *e);

/* An empty one, with .encoding = "UTF-8". */
int dict_new(struct dict **d, const char *name, struct err *e);
void dict_free(struct dict *d);		/* NULL is fine */

/* The text as it is now; the caller frees it.  NULL: no memory. */
char *dict_text(const struct dict *d, size_t *len);

/*
 * The value of a key in UTF-8, without escapes; NULL: there is none.  Valid until
 * the key is changed.  Bytes that the file's encoding does not have stay as they are.
 */
const char *dict_get(const struct dict *d, const char *key);

/* TRUE, 1, yes, on in any letter case; fallback: no such key, or another word. */
bool dict_bool(const struct dict *d, const char *key, bool fallback);

/*
 * A decimal number from 0 to max.
 * Returns    0; -ENOENT: no such key; -EBADMSG: not one, the message names file and line
 */
int dict_number(const struct dict *d, const char *key, uint64_t max, uint64_t *n,
		struct err *e);

/* Entries, sorted by key; i < dict_count(). */
size_t dict_count(const struct dict *d);
const char *dict_key(const struct dict *d, size_t i);
const char *dict_value(const struct dict *d, size_t i);

/*
 * Set a key, in its place or at the end.
 * Returns    0, -EINVAL: a key with blanks, '=' or '#', or a value that the file's
 *            encoding cannot say; -ENOMEM
 */
int dict_set(struct dict *d, const char *key, const char *value, struct err *e);
int dict_set_number(struct dict *d, const char *key, uint64_t n, struct err *e);

/* Remove a key's line.  Returns whether there was one. */
bool dict_unset(struct dict *d, const char *key);

/* Remove all keys that begin with prefix.  Returns how many. */
size_t dict_unset_prefix(struct dict *d, const char *prefix);

/* Keys that begin with prefix begin with to; the rest of their lines stays.  -EEXIST: there
 * is such a key already.  After a failure the dictionary is only good for being freed. */
int dict_rename_prefix(struct dict *d, const char *prefix, const char *to,
		       struct err *e);

/* Set e to "file:line: ..." for the line of key (without a line if it has none). */
int dict_err(const struct dict *d, const char *key, struct err *e, int rc,
	     const char *fmt, ...) __attribute__((format(printf, 5, 6)));
#endif
