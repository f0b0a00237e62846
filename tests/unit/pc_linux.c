/* The bzImage loader: what it refuses, and the zero page it makes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "check.h"
#include "pc/boot.h"
#include "pc/e820.h"

enum { SETUP = 5 * 512, PM = 64 * 1024, FILE_LEN = SETUP + PM };

static uint8_t file[FILE_LEN];

static struct boot_request request(void)
{
	struct boot_request rq = { .append = "console=ttyS0" };

	memset(file, 0x90, sizeof(file));
	memset(file, 0, 0x268);
	file[0x1f1] = 4;
	le32_put(file + 0x1f4, PM / 16);
	le16_put(file + 0x1fe, 0xaa55);
	file[0x201] = 0x66;
	memcpy(file + 0x202, "HdrS", 4);
	le16_put(file + 0x206, 0x20f);
	file[0x211] = 1;
	le32_put(file + 0x214, 0x100000);
	le32_put(file + 0x22c, 0x7fffffff);
	le32_put(file + 0x238, 2047);
	le64_put(file + 0x258, 0x1000000);
	le32_put(file + 0x260, 0x1000000);
	rq.kernel = (struct image){ .path = "k", .data = file, .len = sizeof(file) };
	return rq;
}

static const struct {
	const char *name;
	unsigned off, len;
	uint32_t val;
	uint64_t ram;
	size_t file_len;
	int rc;
} cases[] = {
	{ "good", 0, 0, 0, 64 << 20, FILE_LEN, 0 },
	{ "one byte short of its last paragraph", 0, 0, 0, 64 << 20, FILE_LEN - 1, 0 },
	{ "a paragraph short", 0, 0, 0, 64 << 20, FILE_LEN - 16, -EBADMSG },
	{ "setup only", 0, 0, 0, 64 << 20, SETUP, -EBADMSG },
	{ "header cut", 0, 0, 0, 64 << 20, 0x210, -EBADMSG },
	{ "exactly enough memory", 0, 0, 0, 32 << 20, FILE_LEN, 0 },
	{ "a page too little memory", 0, 0, 0, (32 << 20) - 4096, FILE_LEN, -ENOSPC },
	{ "too old a protocol", 0x206, 2, 0x201, 64 << 20, FILE_LEN, -ENOTSUP },
	{ "oldest protocol", 0x206, 2, 0x202, 64 << 20, FILE_LEN, 0 },
	{ "zImage", 0x211, 1, 0, 64 << 20, FILE_LEN, -ENOTSUP },
	{ "load address in low memory", 0x214, 4, 0x10000, 64 << 20, FILE_LEN, -EBADMSG },
	{ "load address at the top", 0x214, 4, 0xffffffff, 64 << 20, FILE_LEN, -EBADMSG },
	{ "preferred address absurd", 0x25c, 4, 0xffffffff, 64 << 20, FILE_LEN, -EBADMSG },
	{ "command line of 12", 0x238, 4, 12, 64 << 20, FILE_LEN, -E2BIG },
	{ "command line of 13", 0x238, 4, 13, 64 << 20, FILE_LEN, 0 },
};

static void test_check(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct boot_request rq = request();
		struct linux_image li;
		struct err e = { 0 };
		int rc;

		if (cases[i].len)
			memcpy(file + cases[i].off, &cases[i].val, cases[i].len);
		rq.kernel.len = cases[i].file_len;
		check(linux_probe(&rq.kernel), "%s", cases[i].name);
		rc = linux_check(&li, &rq, cases[i].ram, &e);
		check(rc == cases[i].rc, "%s: %d, not %d (%s)", cases[i].name, rc,
		      cases[i].rc, e.msg);
		check(!rc == !e.msg[0], "%s: message '%s'", cases[i].name, e.msg);
	}
}

static void test_initrd_place(void)
{
	static uint8_t initrd[3 << 20];
	struct boot_request rq = request();
	struct linux_image li;

	rq.module[0] = (struct image){ .path = "i", .data = initrd, .len = 5000 };
	rq.nmodules = 1;
	check(!linux_check(&li, &rq, 64 << 20, NULL), "placed");
	check(li.initrd_addr == (64 << 20) - 8192, "at %llx",
	      (unsigned long long)li.initrd_addr);
	le32_put(file + 0x22c, 0x27fffff);
	check(!linux_check(&li, &rq, 64 << 20, NULL), "placed");
	check(li.initrd_addr == 0x2800000 - 8192, "below initrd_addr_max: %llx",
	      (unsigned long long)li.initrd_addr);
	rq.module[0].len = sizeof(initrd);
	check(!linux_check(&li, &rq, 35 << 20, NULL), "just fits");
	check(linux_check(&li, &rq, (35 << 20) - 4096, NULL) == -ENOSPC, "too large");
	rq.nmodules = 2;
	check(linux_check(&li, &rq, 64 << 20, NULL) == -EINVAL, "two initrds");
}

static void test_load(uint64_t ram)
{
	struct boot_request rq = request();
	struct mem *m = mem_new(ram, 0, NULL);
	struct linux_image li;
	struct x86_cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	uint64_t usable = 0, last = 0;
	uint8_t zp[4096], b;
	char cmdline[32];

	rq.acpi_rsdp = 0xe0000;
	check(m && !linux_check(&li, &rq, ram, NULL), "good");
	x86_cpu_reset(c);
	linux_load(&li, &rq, m, c);
	check(c->rip == 0x100000 && c->code_bits == 32 && c->cpl == 0, "entry %llx, %u bits",
	      (unsigned long long)c->rip, c->code_bits);
	check(c->gpr[X86_RSI] == LOWMEM_PARAMS && !(c->rflags & X86_FL_IF), "registers");
	mem_read(m, c->gpr[X86_RSI], zp, sizeof(zp));
	check(!memcmp(zp + 0x202, "HdrS", 4), "header copied");
	check(le64_get(zp + 0x70) == 0xe0000, "RSDP");
	check(zp[0x1e8] > 0 && zp[0x1e8] <= E820_MAX, "%u entries", zp[0x1e8]);
	for (unsigned i = 0; i < zp[0x1e8]; i++) {
		const uint8_t *p = zp + 0x2d0 + 20 * i;

		check(le64_get(p) >= last, "entry %u overlaps", i);
		last = le64_get(p) + le64_get(p + 8);
		if (le32_get(p + 16) == E820_RAM) {
			usable += le64_get(p + 8);
			check(mem_off(m, le64_get(p)) != UINT64_MAX &&
			      mem_off(m, last - 1) != UINT64_MAX, "RAM entry %u", i);
		}
	}
	check(usable == ram - (0x100000 - LOWMEM_EBDA), "usable %llx of %llx",
	      (unsigned long long)usable, (unsigned long long)ram);
	mem_read(m, le32_get(zp + 0x228), cmdline, sizeof(cmdline));
	check(!strcmp(cmdline, "console=ttyS0"), "command line '%.31s'", cmdline);
	mem_read(m, 0x100000 + PM - 1, &b, 1);
	check(b == 0x90, "kernel loaded to its last byte");
	free(c);
	mem_free(m);
}

static void test_entry64(void)
{
	struct boot_request rq = request();
	struct mem *m = mem_new(64 << 20, 0, NULL);
	struct x86_cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	struct linux_image li;
	uint64_t e4, e3, e2;

	le16_put(file + 0x236, 1);
	check(!linux_check(&li, &rq, 64 << 20, NULL) && li.is64, "64-bit");
	x86_cpu_reset(c);
	linux_load(&li, &rq, m, c);
	check(c->rip == 0x100200 && c->code_bits == 64 && c->long_mode, "64-bit entry");
	/* walk 0xbfe00000 by hand: the last 2 MiB below 3 GiB */
	mem_read(m, c->cr3, &e4, 8);
	mem_read(m, (e4 & ~0xfffull) + 8 * 2, &e3, 8);
	mem_read(m, (e3 & ~0xfffull) + 8 * 511, &e2, 8);
	check(e2 == (0xbfe00000ull | 0x83), "mapping %llx", (unsigned long long)e2);
	free(c);
	mem_free(m);
}

/* Before 2.07 the kernel's own set-up code runs, in real mode. */
static void test_real_mode(void)
{
	static const uint8_t e820_call[] = { 0xcd, 0x15 };
	struct boot_request rq = request();
	struct mem *m = mem_new(64 << 20, 0, NULL);
	struct x86_cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	struct linux_image li;
	uint8_t setup[SETUP];

	le16_put(file + 0x206, 0x202);
	memcpy(file + 0x400, e820_call, sizeof(e820_call));
	check(!linux_check(&li, &rq, 64 << 20, NULL) && li.real_mode, "real mode");
	x86_cpu_reset(c);
	linux_load(&li, &rq, m, c);
	check(c->code_bits == 16 && !(c->cr0 & 1), "16-bit");
	check(c->seg[X86_CS].base == LOWMEM_PARAMS + 0x200 && c->rip == 0, "entry");
	check(c->seg[X86_SS].base == LOWMEM_PARAMS && c->gpr[X86_RSP] == 0xe000, "stack");
	mem_read(m, LOWMEM_PARAMS, setup, sizeof(setup));
	check(!memcmp(setup + 0x400, e820_call, 2), "set-up code loaded");
	check((setup[0x211] & 0x81) == 0x81 && le16_get(setup + 0x224) == 0xde00, "heap");
	check(le32_get(setup + 0x228) == LOWMEM_CMDLINE && setup[0x210] == 0xff, "header");
	le16_put(file + 0x206, 0x207);	/* newer, but without a 32-bit entry */
	le32_put(file + 0x214, 0);
	check(!linux_check(&li, &rq, 64 << 20, NULL) && li.real_mode &&
	      li.load_addr == LOWMEM_END, "real mode alone");
	le16_put(file + 0x206, 0x202);
	file[0x1f1] = 64;	/* more than 32 KiB of it */
	rq.kernel.len = sizeof(file);
	le32_put(file + 0x1f4, 16);
	check(linux_check(&li, &rq, 64 << 20, NULL) == -EBADMSG, "set-up code too long");
	free(c);
	mem_free(m);
}

int main(void)
{
	test_real_mode();
	test_check();
	test_initrd_place();
	test_load(64 << 20);
	test_load(3ull << 30);
	test_load(5ull << 30);
	test_entry64();
	return check_done();
}
