#ifndef BT_TCACHE_H
#define BT_TCACHE_H
/*
 * Code memory: one memfd mapped twice, executable and writable, never both in
 * one mapping; and memory beside it for what is known about units.  Divided into
 * arenas, these into two spaces: units that have not been found hot yet, which most
 * never are, and the others.  Those of a space are filled one after the other and
 * recycled round-robin: recycling drops all units of its oldest arena.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TC_ARENA	(512u << 10)
#define TC_COLD		20u	/* arenas of TC_NEW */
#define TC_ARENAS	28u
#define TC_UNIT_MAX	16384	/* host bytes a unit may take */
/* Units of an arena; their counters stand at its end, for a store to a cache line with
 * code makes the processor throw away all that it has fetched. */
#define TC_UNITS_MAX	2048
#define TC_META		(384u << 10)	/* of an arena: units and what belongs to them */
#define TC_META_MAX	20480		/* of a unit */

enum tc_space { TC_NEW, TC_HOT, TC_SPACES };

struct bt_unit;

struct tc_arena {
	uint32_t used;
	struct bt_unit *unit[TC_UNITS_MAX];	/* in address order, dropped ones included */
	size_t nunits;
	uint32_t meta;		/* used */
};

struct tcache {
	int fd;
	uint8_t *rx, *rw;
	size_t len;
	uint8_t *meta;		/* TC_META for each arena */
	struct tc_arena *arena;
	unsigned cur[TC_SPACES];
};

int tcache_open(struct tcache *t, struct err *e);
void tcache_close(struct tcache *t);

/* Room for TC_UNIT_MAX bytes in the writable mapping, and for TC_META_MAX, or NULL:
 * the space's current arena is full, call tcache_next(). */
uint8_t *tcache_room(struct tcache *t, enum tc_space s);
/* The counter of the unit that room was given for, in the writable mapping. */
uint32_t *tcache_counter(struct tcache *t, enum tc_space s);
/*
 * Memory for the unit that room was given for, at most TC_META_MAX for it in all:
 * aligned for anything, not cleared, gone with the arena.  To take it back before
 * tcache_commit(): tcache_undo() with what tcache_mark() said before.
 */
void *tcache_alloc(struct tcache *t, enum tc_space s, size_t len);
uint32_t tcache_mark(const struct tcache *t, enum tc_space s);
void tcache_undo(struct tcache *t, enum tc_space s, uint32_t mark);
/* Move to the next arena; returns the one that has to be emptied first. */
struct tc_arena *tcache_next(struct tcache *t, enum tc_space s);
/* Take len bytes for u, whose code lies at the room given. */
void tcache_commit(struct tcache *t, enum tc_space s, struct bt_unit *u, size_t len);

/* Forget the units of an arena, all dropped before. */
void tcache_reset(struct tc_arena *a);

/* Is it in the executable mapping? */
static inline bool tcache_holds(const struct tcache *t, const uint8_t *pc)
{
	return pc >= t->rx && pc < t->rx + t->len;
}

/* The unit, dropped or not, that holds this executable address; or NULL. */
struct bt_unit *tcache_find(const struct tcache *t, const uint8_t *pc);
#endif
