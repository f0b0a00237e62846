#include "pc/tsc.h"

#include <cpuid.h>

#include "base/clock.h"

#define MEASURE_NS	(20 * NS_PER_MS)
#define KHZ		1000ull

static uint64_t cpuid_hz(void)
{
	uint32_t a, b, c, d;

	__cpuid(0, a, b, c, d);
	if (a >= 0x15) {
		__cpuid_count(0x15, 0, a, b, c, d);
		if (a && b && c)
			return (uint64_t)c * b / a;
	}
	__cpuid(1, a, b, c, d);
	if (!(c >> 31))
		return 0;
	__cpuid(0x40000000, a, b, c, d);
	if (a < 0x40000010 || a >= 0x40000100)
		return 0;
	__cpuid(0x40000010, a, b, c, d);
	return a * KHZ;
}

/* TSC and clock, read as close together as a preempted thread can. */
static uint64_t sample(uint64_t *ns)
{
	uint64_t best = UINT64_MAX, tsc = 0;

	for (unsigned i = 0; i < 16; i++) {
		uint64_t t0 = __builtin_ia32_rdtsc(), now = clock_ns();
		uint64_t t1 = __builtin_ia32_rdtsc();

		if (t1 - t0 < best) {
			best = t1 - t0;
			tsc = t0 + best / 2;
			*ns = now;
		}
	}
	return tsc;
}

uint64_t tsc_host_hz(void)
{
	uint64_t hz = cpuid_hz(), ns0, ns1, t0, t1;

	if (hz)
		return hz;
	t0 = sample(&ns0);
	do
		t1 = sample(&ns1);
	while (ns1 - ns0 < MEASURE_NS);
	hz = (uint64_t)((unsigned __int128)(t1 - t0) * NS_PER_SEC / (ns1 - ns0));
	return (hz + 500) / KHZ * KHZ;	/* a kernel sees whole kHz */
}
