#ifndef DISK_TIGHT_H
#define DISK_TIGHT_H
#include "disk/sesparse_header.h"
#include "disk/sesparse.h"
#include "disk_rig.h"

/* A disk whose areas have room for one table and no more. */
static inline void start_tight(struct rig *r)
{
	struct se_header h = { .capacity = 20000, .grain = 8, .part = {
		[SE_VOLATILE] = { 1, 1 }, [SE_JOURNAL_HEADER] = { 2, 2 },
		[SE_JOURNAL] = { 4, 4 }, [SE_DIRECTORY] = { 8, 8 }, [SE_TABLES] = { 16, 64 },
		[SE_BITMAP] = { 80, 8 }, [SE_BACKMAP] = { 88, 48 }, [SE_GRAINS] = { 136, 20000 } } };
	struct se_volatile v = { 0 };

	memset(r, 0, sizeof(*r));
	r->open = sesparse_open;
	r->crash_odds = UINT32_MAX;
	r->cache = 65536;
	rig_size(r, 20000);
	r->other = 20000;
	mem_set_size(&r->disk.live, 136 * SECTOR);
	se_header_encode(r->disk.live.p, &h);
	se_volatile_encode(r->disk.live.p + SECTOR, &v);
	rig_open(r);
}
#endif
