/* Damaged vmfsSparse extents. */
#include "base/le.h"
#include "disk/cowd.h"
#include "extent.h"

int main(int argc, char **argv)
{
	/* Header, freeSector, uncleanShutdown, directory, tables. */
	static const uint64_t place[] = { 0, 8, 16, 0x670, 2048, 2048, 4096, 0 };
	struct cowd_create k = { 9000 * SECTOR, 0 };
	struct fuzz f;
	bool more = true;
	struct err e;

	fuzz_start(&f, argc, argv);
	while (more) {
		struct rig r = { .open = cowd_open, .crash_odds = UINT32_MAX };
		struct disk_file *file = mem_file(&r.disk, true);
		uint64_t at[8];

		rig_rand_state = fuzz_next(&f) | 1;
		rig_size(&r, 9000);
		k.grain = SECTOR << fuzz_below(&f, 4);
		fuzz_check(!cowd_create(file, &k, &e), "%s", e.msg);
		file_close(file);
		rig_open(&r);
		for (unsigned i = 0; i < 12; i++)
			rig_any(&r, 100);
		rig_flush(&r);
		fuzz_check(!check_failed, "a sound file");
		memcpy(at, place, sizeof(at));
		/* A table that is there. */
		for (unsigned i = 0; i < 3; i++)
			if (le32_get(r.disk.live.p + 2048 + i * 4))
				at[6 + i % 2] = (uint64_t)le32_get(r.disk.live.p + 2048 + i * 4) *
						SECTOR;
		for (unsigned i = 0; i < 60 && more; i++, more = fuzz_more(&f))
			fuzz_extent(&f, cowd_open, &r.disk.live, at, 8);
		rig_free(&r);
	}
	return fuzz_done(&f);
}
