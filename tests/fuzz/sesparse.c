/* Damaged seSparse extents. */
#include "../unit/disk_tight.h"
#include "disk/sesparse.h"
#include "extent.h"

int main(int argc, char **argv)
{
	/* Headers, areas, journal, and directory, table, bitmap, backmap of a small one. */
	static const uint64_t place[] = {
		0, 0, 64, 80, 128, 512, 1024, 2048, 4096, 4096, 8192, 8192, 40960, 45056,
	};
	struct fuzz f;
	bool more = true;

	fuzz_start(&f, argc, argv);
	while (more) {
		struct rig r;

		rig_rand_state = fuzz_next(&f) | 1;
		start_tight(&r);
		for (unsigned i = 0; i < 12; i++)
			rig_any(&r, 100);
		if (fuzz_below(&f, 4) == 0)
			rig_resize(&r, 1 + fuzz_below(&f, 40000));
		rig_flush(&r);
		fuzz_check(!check_failed, "a sound file");
		for (unsigned i = 0; i < 60 && more; i++, more = fuzz_more(&f))
			fuzz_extent(&f, sesparse_open, &r.disk.live, place,
				    sizeof(place) / sizeof(place[0]));
		rig_free(&r);
	}
	return fuzz_done(&f);
}
