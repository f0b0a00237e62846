/*
 * The jump cache's generations: what a mode that is flushed again and again is given
 * never is another mode's, also when they wrap.
 */
#include <stdlib.h>
#include <string.h>

#include "bt/layout64.h"
#include "bt/unit.h"
#include "check.h"

#define FLUSHES 70000	/* more than twice around */

/* SYSRET goes where RCX says: bits above an address that is known make no tag of it. */
static void not_canonical(struct bt_jcache *j)
{
	struct bt_unit u = { .eip = 0x401000, .len = 16, .entry_lookup = (const uint8_t *)"" };
	struct bt_jmode *a = jcache_mode(j, BT_M_VALID | BT_M_LONG, 0, UINT32_MAX);
	struct bt_jmode *b = jcache_mode(j, BT_M_VALID | BT_M_LONG | BT_M_USER, 0, UINT32_MAX);
	uint64_t upper = (uint64_t)(a->gen ^ b->gen) << 48;

	jcache_insert(j, a, &u);
	check(jcache_find(j, a, u.eip) && upper, "it is known");
	check(!jcache_find(j, b, u.eip | upper), "it is known by another address");
}

/* While nothing is to hit, in 64-bit code: neither what is there nor an empty entry. */
static void none_hits(struct bt_jcache *j)
{
	static const uint64_t eip[] = { 0, 1, 0x401000, 0x7fffffffffff, 0xffff800000000000,
		0xffffffff81000000, UINT64_MAX - 1, UINT64_MAX };
	struct bt_jmode m = { .mode = BT_M_VALID | BT_M_LONG };

	memset(j->e, 0, sizeof(j->e));
	for (m.gen = 0; m.gen <= 0x7fff; m.gen++)
		for (unsigned i = 0; i < 64; i++) {
			uint64_t seen = eip[i / 8] ^ BT64_JTAG_NONE;

			if (seen != jcache_tag(&m, eip[i % 8]) && seen != j->e[0].tag)
				continue;
			check(false, "generation %u, %#lx hits %#lx", m.gen,
			      (unsigned long)eip[i / 8], (unsigned long)eip[i % 8]);
			return;
		}
}

int main(void)
{
	struct bt_jcache *j = calloc(1, sizeof(*j));
	struct bt_unit u = { .eip = 0xc0101000, .len = 16, .entry_lookup = (const uint8_t *)"" };
	struct bt_jmode *kernel, *user;
	unsigned same = 0, found = 0, none = 0;

	if (!j)
		return 1;
	kernel = jcache_mode(j, BT_M_VALID | BT_M_PAGING | BT_M_DS, 0, UINT32_MAX);
	user = jcache_mode(j, BT_M_VALID | BT_M_PAGING | BT_M_DS | BT_M_USER, 0, UINT32_MAX);
	for (unsigned i = 0; i < FLUSHES; i++) {
		if (!jcache_find(j, kernel, u.eip))
			jcache_insert(j, kernel, &u);
		jcache_flush(j, JCACHE_NONGLOBAL);	/* MOV CR3 */
		same += user->gen == kernel->gen;
		found += jcache_find(j, user, u.eip) != NULL;
		none += user->gen == 0 || user->gen > 0x7fff;
	}
	check(same == 0, "generation of the kernel's mode: %u times", same);
	check(found == 0, "the kernel's code found by the user's mode: %u times", found);
	check(none == 0, "no generation: %u times", none);
	not_canonical(j);
	none_hits(j);
	free(j);
	return check_done();
}
