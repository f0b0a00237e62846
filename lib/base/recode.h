#ifndef BASE_RECODE_H
#define BASE_RECODE_H
/* Text in the encodings that VMware's files name: "windows-1252", "GBK", "Shift_JIS", ... */

#include <stdbool.h>
#include <stddef.h>

/* Is text of this encoding (NULL: none is named) UTF-8 as it stands? */
bool recode_is_utf8(const char *encoding);

/* A copy of len bytes in another encoding, NUL-terminated; the caller frees it.  NULL: an
 * encoding that is not known, bytes that are none in it, or no memory. */
char *recode(const char *from, const char *to, const char *s, size_t len);
#endif
