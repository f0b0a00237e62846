/* SMBIOS and MP tables: checksums, lengths, what guests look for. */
#include <string.h>

#include "base/le.h"
#include "check.h"
#include "pc/dmi.h"
#include "pc/mptable.h"

#define GPA 0xf0000u

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s += *p++;
	return s;
}

/* The n-th string of a structure. */
static const char *string(const uint8_t *s, unsigned n)
{
	const char *p = (const char *)s + s[1];

	while (--n)
		p += strlen(p) + 1;
	return p;
}

static void test_dmi(uint64_t ram, unsigned cpus)
{
	static uint8_t buf[DMI_LEN];
	size_t len = dmi_build(buf, GPA, ram, cpus);
	const uint8_t *p = buf + 0x20, *end = buf + len;
	unsigned count = 0, seen_cpus = 0;
	uint64_t mapped = 0;
	uint8_t type = 0;

	check(!memcmp(buf, "_SM_", 4) && !sum(buf, 0x1f) && !sum(buf + 16, 15), "entry");
	check(le32_get(buf + 0x18) == GPA + 0x20, "table");
	check(le16_get(buf + 0x16) == len - 0x20, "length");
	while (p < end) {
		const uint8_t *s = p;

		type = p[0];
		check(le16_get(p + 2) == count, "handle of type %u", type);
		p += p[1];
		while (p + 1 < end && (p[0] || p[1]))
			p++;
		p += 2;
		count++;
		check((size_t)(p - s) <= le16_get(buf + 8), "longest");
		if (type == 1) {
			check(!strcmp(string(s, s[5]), "VMware Virtual Platform"), "name");
			check(!strncmp(string(s, s[7]), "VMware-56 4d ", 13) &&
			      strlen(string(s, s[7])) == 7 + 16 * 3 - 1, "serial '%s'",
			      string(s, s[7]));
		}
		seen_cpus += type == 4;
		if (type == 19)
			mapped += ((uint64_t)le32_get(s + 8) - le32_get(s + 4) + 1) << 10;
	}
	check(p == end && type == 127, "ends with type %u", type);
	check(count == le16_get(buf + 0x1c), "count %u", count);
	check(seen_cpus == cpus, "%u processors", seen_cpus);
	check(mapped == ram, "mapped %llx", (unsigned long long)mapped);
}

static void test_mptable(unsigned cpus)
{
	static uint8_t buf[MPTABLE_LEN];
	size_t len = mptable_build(buf, GPA, cpus, 1u << 7 | 1u << 16 | 1u << 31);
	const uint8_t *p = buf + 16 + 44;
	unsigned count = 0, seen_cpus = 0, isa = 0, pci = 0, boot = 0;

	check(!memcmp(buf, "_MP_", 4) && !sum(buf, 16), "pointer");
	check(le32_get(buf + 4) == GPA + 16, "points behind itself");
	check(!memcmp(buf + 16, "PCMP", 4) && !sum(buf + 16, le16_get(buf + 20)), "table");
	check(le16_get(buf + 20) == len - 16, "length");
	while (p < buf + len) {
		check(p[0] <= 4, "entry type %u", p[0]);
		if (p[0] == 0) {
			seen_cpus++;
			boot += p[3] >> 1 & 1;
		}
		isa += p[0] == 3 && p[4] == 1;
		if (p[0] == 3 && p[4] == 0) {
			unsigned slot = p[5] >> 2;

			check(slot == 7 || slot == 16 || slot == 31, "slot %u", slot);
			check(p[7] == 16 + (slot - 1 + (p[5] & 3)) % 4, "pin %u", p[7]);
			pci++;
		}
		p += p[0] ? 8 : 20;
		count++;
	}
	check(p == buf + len && count == le16_get(buf + 16 + 34), "%u entries", count);
	check(seen_cpus == cpus && boot == 1, "%u processors", seen_cpus);
	check(isa == 15 && pci == 12, "%u ISA and %u PCI interrupts", isa, pci);
}

int main(void)
{
	test_dmi(64 << 20, 1);
	test_dmi(3ull << 30, 1);
	test_dmi(64ull << 30, 8);
	test_mptable(1);
	test_mptable(8);
	return check_done();
}
