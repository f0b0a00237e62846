/*
 * random SEED OPTIONS IN.rom OUT.rom: put random but valid code into the frame of
 * random.S.  OPTIONS: letters of
 *
 *	p  PAE paging		k  at CPL 0		u  no paging
 *	b  data segments with a base	s  no code that changes itself
 *	v  no vector or x87 code	t  print every exception
 *	x  16-bit code in small segments (random16.c)	y  the same in V86 mode
 *
 * or - for none, or z: nothing but random bytes, from the reset vector on.  The
 * same seed and options give the same guest.
 *
 * What the manual leaves undefined must not get into the digest: an instruction
 * that leaves flags other than AF undefined is followed by a CMP, one that reads
 * AF is preceded by one.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random16.h"
#include "random32.h"

enum { SLOT = 256, SLOTS = 96, ROM = 65536, CODE = 0x300000, WINDOW_PAGES = 32 };
enum { F_PAE = 1, F_KERNEL = 2, F_UNPAGED = 4, F_TRACE = 8, F_SMC = 16,
       F_16 = 32, F_V86 = 64 };
enum { MAGIC_LEN = 16, P_SEED = 16, P_ROUNDS = 20, P_FLAGS = 24, P_SLOTS = 28,
       P_BASE = 32, P_PAGES = 40, P_CODE = P_PAGES + WINDOW_PAGES };

static uint32_t rnd(uint64_t *rng)
{
	*rng = *rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*rng >> 33);
}

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint8_t *find_params(uint8_t *rom)
{
	for (unsigned i = 0; i + P_CODE + SLOTS * SLOT <= ROM; i += 16)
		if (!memcmp(rom + i, "RING1 RANDOM V01", MAGIC_LEN))
			return rom + i;
	return NULL;
}

static void fill(uint8_t *p, uint32_t seed, const char *options)
{
	static const uint8_t rights[] = { 7, 7, 7, 7, 7, 7, 7, 5, 0, 3 };
	struct random32 how = { .tame = strpbrk(options, "ku"), .kernel = strchr(options, 'k'),
				.simd = !strchr(options, 'v'),
				.smc = !strchr(options, 's') && !strchr(options, 'b') };
	uint64_t rng = seed * 0x9e3779b97f4a7c15ull + 1;
	uint32_t flags = (strchr(options, 'p') ? F_PAE : 0) | (strchr(options, 'k') ? F_KERNEL : 0) |
		(strchr(options, 'u') ? F_UNPAGED : 0) | (strchr(options, 't') ? F_TRACE : 0) | (how.smc ? F_SMC : 0) |
		(strpbrk(options, "xy") ? F_16 : 0) | (strchr(options, 'y') ? F_V86 : 0);

	for (unsigned i = 0; i < 8; i++)
		rnd(&rng);
	put32(p + P_SEED, rnd(&rng));
	put32(p + P_ROUNDS, 6);
	put32(p + P_FLAGS, flags);
	put32(p + P_SLOTS, SLOTS);
	put32(p + P_BASE, strchr(options, 'b') ? 0x20000 : 0);
	for (unsigned i = 0; i < WINDOW_PAGES; i++)
		p[P_PAGES + i] = rights[rnd(&rng) % sizeof(rights)];
	for (unsigned i = 0; i < SLOTS; i++) {
		uint8_t *slot = p + P_CODE + i * SLOT;

		if (flags & F_16)
			random16_slot(slot, SLOT, &rng, how.simd, how.smc, flags & F_V86);
		else
			random32_slot(slot, SLOT, CODE + i * SLOT, &rng, how);
	}
}

static void noise(uint8_t *rom, uint32_t seed)
{
	uint64_t rng = seed * 0x9e3779b97f4a7c15ull + 1;

	for (unsigned i = 0; i < ROM; i++)
		rom[i] = (uint8_t)rnd(&rng);
}

int main(int argc, char **argv)
{
	static uint8_t rom[ROM];
	uint8_t *p;
	FILE *f;

	if (argc != 5) {
		fprintf(stderr, "usage: random SEED OPTIONS IN.rom OUT.rom\n");
		return 2;
	}
	f = fopen(argv[3], "rb");
	if (!f || fread(rom, 1, ROM, f) != ROM) {
		perror(argv[3]);
		return 1;
	}
	fclose(f);
	p = find_params(rom);
	if (!p) {
		fprintf(stderr, "%s: not the frame of random.S\n", argv[3]);
		return 1;
	}
	if (strchr(argv[2], 'z'))
		noise(rom, (uint32_t)strtoul(argv[1], NULL, 0));
	else
		fill(p, (uint32_t)strtoul(argv[1], NULL, 0), argv[2]);
	f = fopen(argv[4], "wb");
	if (!f || fwrite(rom, 1, ROM, f) != ROM || fclose(f)) {
		perror(argv[4]);
		return 1;
	}
	return 0;
}
