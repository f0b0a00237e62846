#ifndef VMX_DICT_VALUE_H
#define VMX_DICT_VALUE_H
/* Values of dictionaries (vmx/dict.h) as they stand in the file, and as text. */

#include <stddef.h>

/*
 * A value without its escapes, in UTF-8; the caller frees it.  Bytes that the encoding
 * does not have, and an encoding that is not known, stay what they are.
 *
 * encoding   as .encoding names it; NULL: UTF-8
 * Returns    NULL: no memory
 */
char *dict_decode(const char *encoding, const char *s, size_t n);

/*
 * What is to stand between the quotes for UTF-8 text; the caller frees it.
 * Returns    0, -ENOMEM, -EINVAL: the encoding has no such characters
 */
int dict_encode(char **text, const char *encoding, const char *s);
#endif
