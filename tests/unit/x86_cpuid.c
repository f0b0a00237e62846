/* The guest's CPUID: masked, consistent, with VMware's leaves. */
#include "x86/cpuid.h"

#include <cpuid.h>
#include <string.h>

#include "check.h"

static struct x86_cpu cpu;

static void get(const struct x86_model *m, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	x86_cpuid(m, &cpu, 1, leaf, sub, r);
}

static bool bit(const struct x86_model *m, uint32_t leaf, unsigned reg, unsigned n)
{
	uint32_t r[4];

	get(m, leaf, 0, r);
	return r[reg] >> n & 1;
}

/* Nothing that is not implemented may show. */
static void never(const struct x86_model *m)
{
	static const struct { uint32_t leaf; uint8_t reg, bit; const char *name; } no[] = {
		{ 1, 2, 3, "MONITOR" }, { 1, 2, 5, "VMX" },
		{ 1, 3, 1, "VME" }, { 1, 3, 21, "DS" },
		{ 7, 1, 2, "SGX" }, { 7, 1, 4, "HLE" }, { 7, 1, 11, "RTM" },
		{ 7, 1, 16, "AVX512F" }, { 7, 1, 30, "AVX512BW" },
		{ 7, 2, 3, "PKU" }, { 7, 2, 7, "CET" }, { 7, 2, 16, "LA57" },
		{ 7, 3, 26, "SPEC_CTRL" },
		{ 0x80000001, 2, 2, "SVM" }, { 0x80000001, 2, 23, "PERFCTR_CORE" },
		{ 0x80000001, 2, 29, "MWAITX" }, { 0x80000001, 3, 25, "FFXSR" },
		{ 0x80000008, 1, 12, "IBPB" },
	};

	for (unsigned i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		check(!bit(m, no[i].leaf, no[i].reg, no[i].bit), "%s", no[i].name);
}

static void host_bit_clear(struct x86_model *m, uint32_t leaf, unsigned reg, unsigned n)
{
	for (unsigned i = 0; i < m->nhost; i++)
		if (m->host[i].leaf == leaf && m->host[i].sub == 0)
			m->host[i].r[reg] &= ~(1u << n);
	x86_model_update(m);
}

/* A level shows what it names, no more, and is refused where the host lacks some. */
static void levels(void)
{
	static const struct { uint32_t leaf; uint8_t reg, bit, from; const char *name; } row[] = {
		{ 1, 3, 26, 1, "SSE2" }, { 0x80000001, 3, 29, 1, "LM" }, { 0x80000001, 3, 20, 1, "NX" },
		{ 1, 2, 0, 2, "SSE3" }, { 1, 2, 9, 2, "SSSE3" }, { 1, 2, 13, 2, "CX16" },
		{ 1, 2, 19, 2, "SSE4.1" }, { 1, 2, 20, 2, "SSE4.2" }, { 1, 2, 23, 2, "POPCNT" },
		{ 0x80000001, 2, 0, 2, "LAHF64" }, { 1, 2, 28, 3, "AVX" }, { 7, 1, 5, 3, "AVX2" },
		{ 7, 1, 3, 3, "BMI1" }, { 7, 1, 8, 3, "BMI2" }, { 1, 2, 29, 3, "F16C" },
		{ 1, 2, 12, 3, "FMA" }, { 0x80000001, 2, 5, 3, "LZCNT" }, { 1, 2, 22, 3, "MOVBE" },
		{ 1, 2, 26, 3, "XSAVE" }, { 1, 2, 25, 4, "AES" }, { 1, 2, 1, 4, "PCLMUL" },
		{ 1, 2, 30, 4, "RDRAND" }, { 1, 2, 17, 4, "PCID" }, { 7, 1, 0, 4, "FSGSBASE" },
		{ 7, 1, 7, 4, "SMEP" }, { 7, 1, 20, 4, "SMAP" }, { 7, 2, 2, 4, "UMIP" },
		{ 7, 1, 29, 4, "SHA" }, { 0x80000001, 3, 27, 4, "RDTSCP" },
		{ 0x80000001, 3, 26, 4, "1 GiB pages" },
	};
	uint32_t r[4];

	for (unsigned level = 2; level <= 3; level++) {
		struct x86_model m = { .long_mode = true, .smap = true, .cpus = 1, .level = level };

		x86_model_init(&m);
		if (x86_model_lacks(&m))
			continue;
		for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++)
			check(bit(&m, row[i].leaf, row[i].reg, row[i].bit) == (row[i].from <= level),
			      "level %u: %s", level, row[i].name);
		check(m.xcr0_max == (level == 3 ? 7 : 1), "level %u: XCR0 %#llx", level,
		      (unsigned long long)m.xcr0_max);
		get(&m, 0x80000002, 0, r);
		check(!memcmp(r, x86_level_name(level), 9), "level %u: model name", level);
		host_bit_clear(&m, 1, 2, 20);
		check(x86_model_lacks(&m) && !strcmp(x86_model_lacks(&m), "SSE4.2"),
		      "level %u without SSE4.2", level);
	}
}

int main(void)
{
	struct x86_model m = { .long_mode = true, .smap = true, .x2apic = true,
		.cpus = 2, .tsc_hz = 2596000000 }, m32;
	uint32_t r[4], h[4];

	x86_model_init(&m);
	m32 = m;
	m32.long_mode = m32.smap = m32.x2apic = false;
	x86_model_init(&m32);
	x86_cpu_reset(&cpu);
	never(&m);

	get(&m, 0, 0, r);
	__cpuid(0, h[0], h[1], h[2], h[3]);
	check(r[1] == h[1] && r[2] == h[2] && r[3] == h[3], "the host's vendor");
	check(r[0] == 0xd, "max leaf %x", r[0]);
	get(&m, 1, 0x1234, r);
	__cpuid(1, h[0], h[1], h[2], h[3]);
	check((r[0] & 0x0fff3fff) == (h[0] & 0x0fff3fff), "family and model");
	check(r[1] >> 24 == 1 && (r[1] >> 16 & 255) == 2, "APIC id, count");
	check(r[2] >> 31, "hypervisor");
	check(!(r[2] & ~h[2] & 0x7fffffff & ~(1u << 21)), "features of the host only");
	check((r[3] & 0x0783f9ff) == (0x0783f9ff & ~2u), "PC basics: %x", r[3]);
	check((r[2] >> 27 & 1) == 0, "OSXSAVE off");
	cpu.cr4 |= X86_CR4_OSXSAVE;
	check(bit(&m, 1, 2, 27), "OSXSAVE on");
	cpu.apic_base &= ~0x800ull;
	check(!bit(&m, 1, 3, 9), "APIC off");

	check(!bit(&m, 7, 3, 29), "ARCH_CAPABILITIES not offered");
	m.arch_caps = X86_ARCH_CAP_RDCL_NO;
	check(bit(&m, 7, 3, 29) == !m.amd, "ARCH_CAPABILITIES are Intel's");
	check(bit(&m, 0x80000001, 3, 29) && !bit(&m32, 0x80000001, 3, 29), "LM");
	check(!bit(&m32, 0x80000001, 3, 11) && bit(&m32, 0x80000001, 3, 20),
	      "32-bit: no SYSCALL, but NX");
	check(!bit(&m32, 0x80000001, 2, 0), "32-bit: no LAHF64");
	check(!bit(&m32, 7, 1, 20) && !bit(&m32, 1, 2, 21), "32-bit: no SMAP, x2APIC");
	get(&m, 0x80000008, 0, r);
	check(r[0] == (X86_PHYS_BITS | 48 << 8), "address sizes %x", r[0]);
	get(&m, 0x80000000, 0, r);
	check(r[0] == 0x80000008, "max extended leaf %x", r[0]);

	get(&m, 0x40000000, 0, r);
	check(r[0] == 0x40000010 && !memcmp(&r[1], "VMwareVMware", 12), "hypervisor leaf");
	get(&m, 0x40000010, 0, r);
	check(r[0] == 2596000 && !r[2], "TSC %u kHz", r[0]);

	get(&m, 0xd, 0, r);
	check(r[0] == m.xcr0_max && r[3] == 0, "XCR0");
	cpu.xcr0 = 3;
	get(&m, 0xd, 0, r);
	check(r[1] == 576 && r[2] == (m.xcr0_max & 4 ? 832 : 576), "XSAVE sizes %u %u",
	      r[1], r[2]);
	get(&m, 0xd, 2, r);
	check(!(m.xcr0_max & 4) || (r[0] == 256 && r[1] == 576), "AVX component");
	get(&m, 0xb, 1, r);
	check(r[0] == 1 && r[1] == 2 && r[2] == 0x201 && r[3] == 1, "topology");
	get(&m, 7, 1, r);
	check(!r[0] && !r[1] && !r[2] && !r[3], "leaf 7.1");
	get(&m, 0x8fffffff, 0, r);
	check(!r[0] && !r[1] && !r[2] && !r[3], "beyond the last leaf");
	levels();
	return check_done();
}
