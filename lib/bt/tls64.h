#ifndef BT_TLS64_H
#define BT_TLS64_H
/*
 * The thread-local words of translated 64-bit code (layout64.h).  Local-exec: at a
 * constant distance from FS in every thread of the program.
 */
#include <stdint.h>

#include "bt/layout64.h"

struct bt_tls {
	uint64_t word[T_SIZE / 8];
};

extern _Thread_local struct bt_tls bt_tls __attribute__((tls_model("local-exec")));

static inline uint64_t *bt_tls_word(unsigned t)
{
	return &bt_tls.word[t / 8];
}

/* From FS to bt_tls. */
static inline int32_t bt_tls_offset(void)
{
	return (int32_t)((const char *)&bt_tls - (const char *)__builtin_thread_pointer());
}
#endif
