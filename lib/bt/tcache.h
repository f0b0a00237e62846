#ifndef BT_TCACHE_H
#define BT_TCACHE_H
/*
 * Code memory: one memfd mapped twice, executable and writable, never both in
 * one mapping.  Divided into arenas that are filled one after the other and
 * recycled round-robin: recycling drops all units of the oldest arena.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TC_ARENA	(1u << 20)
#define TC_ARENAS	48
#define TC_UNIT_MAX	16384	/* host bytes a unit may take */
/* Units of an arena; their counters stand at its end, for a store to a cache line with
 * code makes the processor throw away all that it has fetched. */
#define TC_UNITS_MAX	4096

struct bt_unit;

struct tc_arena {
	uint32_t used;
	struct bt_unit **unit;	/* in address order, dropped ones included */
	size_t nunits, cap;
};

struct tcache {
	int fd;
	uint8_t *rx, *rw;
	size_t len;
	struct tc_arena arena[TC_ARENAS];
	unsigned cur;
};

int tcache_open(struct tcache *t, struct err *e);
void tcache_close(struct tcache *t);

/* Room for TC_UNIT_MAX bytes in the writable mapping, or NULL: the current
 * arena is full, call tcache_next(). */
uint8_t *tcache_room(struct tcache *t);
/* The counter of the unit that room was given for, in the writable mapping. */
uint32_t *tcache_counter(struct tcache *t);
/* Move to the next arena; returns the one that has to be emptied first. */
struct tc_arena *tcache_next(struct tcache *t);
/* Take len bytes for u (its code lies at the room given); 0 or -ENOMEM. */
int tcache_commit(struct tcache *t, struct bt_unit *u, size_t len);

/* Forget and free the units of an arena, all dropped before. */
void tcache_reset(struct tc_arena *a);

/* Is it in the executable mapping? */
static inline bool tcache_holds(const struct tcache *t, const uint8_t *pc)
{
	return pc >= t->rx && pc < t->rx + t->len;
}

/* The unit, dropped or not, that holds this executable address; or NULL. */
struct bt_unit *tcache_find(const struct tcache *t, const uint8_t *pc);
#endif
