/* Geometries: boundaries first. */
#include "disk/geometry.h"

#include "check.h"

#define MIB 2048ull	/* sectors */

static const struct {
	const char *adapter;
	uint64_t sectors;
	uint32_t c, h, s;
} cases[] = {
	{ "lsilogic", 1, 1, 64, 32 },
	{ "lsilogic", 64 * 32 - 1, 1, 64, 32 },
	{ "lsilogic", 2 * 64 * 32 - 1, 1, 64, 32 },
	{ "lsilogic", 2 * 64 * 32, 2, 64, 32 },
	{ "buslogic", 200 * MIB, 200, 64, 32 },		/* a disk of ESX 3 */
	{ "lsilogic", 1024 * MIB, 1024, 64, 32 },
	{ "lsilogic", 1024 * MIB + 1, 512, 128, 32 },
	{ "lsisas1068", 2048 * MIB, 1024, 128, 32 },
	{ "pvscsi", 2048 * MIB + 1, 261, 255, 63 },
	{ "lsilogic", 8192 * MIB, 1044, 255, 63 },
	{ "lsilogic", 1048576000, 65270, 255, 63 },	/* an RDM of ESXi 5 */
	{ "lsilogic", 62ull << 31, 8287829, 255, 63 },
	{ "lsilogic", UINT64_MAX, UINT32_MAX, 255, 63 },
	{ "ide", 1, 1, 16, 63 },
	{ "ide", 40 * MIB, 81, 16, 63 },
	{ "ide", 16383ull * 16 * 63 - 1, 16382, 16, 63 },
	{ "ide", 16383ull * 16 * 63, 16383, 16, 63 },
	{ "ide", 41943040, 16383, 16, 63 },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct disk_geometry g;

		geometry_of(&g, cases[i].sectors, cases[i].adapter);
		check(g.cylinders == cases[i].c && g.heads == cases[i].h &&
		      g.sectors == cases[i].s, "%s %llu: %u/%u/%u", cases[i].adapter,
		      (unsigned long long)cases[i].sectors, g.cylinders, g.heads, g.sectors);
	}
	return check_done();
}
