/* Multiboot 1 and 2: headers, ELF and kludge, memory, information; ROM maps. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "check.h"
#include "pc/e820.h"
#include "pc/mbinfo.h"
#include "pc/multiboot.h"
#include "pc/rom.h"

#define RAM (16u << 20)

enum { FILE_LEN = 0x3000, TEXT = 0x1000 };

static uint8_t file[FILE_LEN];
static uint8_t mod[2][5000];

/* A kernel at 1 MiB of 0x1000 bytes and as many of bss, entered at its 0x20th. */
static void put_elf(bool wide)
{
	if (wide) {
		Elf64_Ehdr h = { .e_type = ET_EXEC, .e_machine = EM_X86_64,
			.e_entry = 0xffffffff80100020, .e_phoff = 64,
			.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1 };
		Elf64_Phdr p = { .p_type = PT_LOAD, .p_offset = TEXT,
			.p_vaddr = 0xffffffff80100000, .p_paddr = 0x100000,
			.p_filesz = 0x1000, .p_memsz = 0x2000 };

		memcpy(h.e_ident, "\177ELF\2\1\1", 7);
		memcpy(file, &h, sizeof(h));
		memcpy(file + 64, &p, sizeof(p));
	} else {
		Elf32_Ehdr h = { .e_type = ET_EXEC, .e_machine = EM_386,
			.e_entry = 0x100020, .e_phoff = 64,
			.e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 1 };
		Elf32_Phdr p = { .p_type = PT_LOAD, .p_offset = TEXT,
			.p_vaddr = 0x100000, .p_paddr = 0x100000,
			.p_filesz = 0x1000, .p_memsz = 0x2000 };

		memcpy(h.e_ident, "\177ELF\1\1\1", 7);
		memcpy(file, &h, sizeof(h));
		memcpy(file + 64, &p, sizeof(p));
	}
}

static void put_v1(uint32_t flags)
{
	uint8_t *h = file + TEXT;

	le32_put(h, 0x1badb002);
	le32_put(h + 4, flags);
	le32_put(h + 8, -(0x1badb002 + flags));
	if (flags & 0x10000) {
		le32_put(h + 12, 0x100000);	/* header */
		le32_put(h + 16, 0x100000);	/* load */
		le32_put(h + 20, 0x101000);	/* load end */
		le32_put(h + 24, 0x102000);	/* bss end */
		le32_put(h + 28, 0x100020);	/* entry */
	}
}

/* Version 2 with these tags; the end tag is added. */
static void put_v2(const uint32_t *tags, size_t n)
{
	uint8_t *h = file + TEXT;
	uint32_t len = (uint32_t)(16 + n * 4 + 8);

	le32_put(h, 0xe85250d6);
	le32_put(h + 4, 0);
	le32_put(h + 8, len);
	le32_put(h + 12, -(0xe85250d6 + len));
	if (n)
		memcpy(h + 16, tags, n * 4);
	le32_put(h + 16 + n * 4, 0);
	le32_put(h + 20 + n * 4, 8);
}

static struct boot_request request(void)
{
	struct boot_request rq = { .append = "one two", .nmodules = 2 };

	memset(file, 0, sizeof(file));
	memset(file + TEXT, 0xab, 0x1000);
	rq.kernel = (struct image){ .path = "k", .data = file, .len = sizeof(file) };
	rq.module[0] = (struct image){ .path = "m0", .data = mod[0], .len = sizeof(mod[0]) };
	rq.module[1] = (struct image){ .path = "m1", .data = mod[1], .len = 1 };
	return rq;
}

/* Information about the screen: EGA text where the kernel wants to hear of one. */
static void check_screen(const uint8_t *info, unsigned version, bool screen, const char *what)
{
	const uint8_t *p = NULL;

	if (version == 1 && le32_get(info) & 1 << 12)
		p = info + 88;
	for (uint32_t at = 8; version == 2 && at < le32_get(info);
	     at += (le32_get(info + at + 4) + 7) & ~7u)
		if (le32_get(info + at) == 8)
			p = info + at + 8;
	check(!p == !screen, "%s: screen", what);
	check(!p || (le64_get(p) == 0xb8000 && le32_get(p + 8) == 160 &&
		     le32_get(p + 12) == 80 && le32_get(p + 16) == 25 && p[20] == 16 &&
		     p[21] == 2), "%s: text", what);
}

/* What the registers and memory must be after loading. */
static void check_loaded(const struct boot_request *rq, unsigned version, const char *what)
{
	struct mem *m = mem_new(RAM, 0, NULL);
	struct x86_cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	struct multiboot_image mb;
	struct err e = { 0 };
	uint8_t b[4], info[2048];

	check(!multiboot_check(&mb, rq, RAM, &e), "%s: %s", what, e.msg);
	check(mb.version == version, "%s: version %u", what, mb.version);
	mem_write(m, 0x101ffc, "\1\2\3\4", 4);
	x86_cpu_reset(c);
	multiboot_load(&mb, rq, m, c);
	check(c->rip == 0x100020 && c->code_bits == 32, "%s: entry %llx", what,
	      (unsigned long long)c->rip);
	mem_read(m, 0x100ffc, b, 4);
	check(le32_get(b) == 0xabababab, "%s: loaded", what);
	mem_read(m, 0x101ffc, b, 4);
	check(le32_get(b) == 0, "%s: bss", what);
	check(mb.module_addr[0] == 0x102000 && mb.module_addr[1] == 0x104000, "%s: modules",
	      what);
	mem_read(m, c->gpr[X86_RBX], info, sizeof(info));
	if (version == 1) {
		check(c->gpr[X86_RAX] == 0x2badb002 && (le32_get(info) & 0x4d) == 0x4d,
		      "%s: information", what);
		check(le32_get(info + 20) == 2, "%s: two modules", what);
		check(le32_get(info + 8) == (RAM >> 10) - 1024, "%s: memory", what);
	} else {
		check(c->gpr[X86_RAX] == 0x36d76289 && le32_get(info + 8) == 1 &&
		      !strcmp((char *)info + 16, "one two"), "%s: information", what);
		check(le32_get(info) <= sizeof(info) &&
		      le64_get(info + le32_get(info) - 8) == 8ull << 32, "%s: end tag", what);
	}
	check_screen(info, version, mb.screen, what);
	free(c);
	mem_free(m);
}

/* Loads, and is told of a screen. */
static void check_told(const struct boot_request *rq, unsigned version, const char *what)
{
	struct multiboot_image mb = { 0 };
	struct err e;

	check(!multiboot_check(&mb, rq, RAM, &e) && mb.screen, "%s: screen", what);
	check_loaded(rq, version, what);
}

static void check_refused(const struct boot_request *rq, uint64_t ram, int want,
			  const char *what)
{
	struct multiboot_image mb;
	struct err e = { 0 };
	int rc = multiboot_check(&mb, rq, ram, &e);

	check(rc == want && e.msg[0], "%s: %d, not %d (%s)", what, rc, want, e.msg);
}

static void test_v1(void)
{
	struct boot_request rq = request();

	check(!multiboot_probe(&rq.kernel), "no header yet");
	put_v1(3);
	check(multiboot_probe(&rq.kernel), "header");
	check_refused(&rq, RAM, -EBADMSG, "neither ELF nor addresses");
	put_elf(false);
	check_loaded(&rq, 1, "ELF32");
	put_elf(true);
	check_loaded(&rq, 1, "ELF64");
	check_refused(&rq, (1 << 20) + 0x1000, -ENOSPC, "memory for half of it");
	check_refused(&rq, (1 << 20) + 0x3000, -ENOSPC, "memory for one module");
	rq.kernel.len = TEXT + 0xfff;
	check_refused(&rq, RAM, -EBADMSG, "ELF cut");
	rq = request();
	put_v1(0x10003);
	check_loaded(&rq, 1, "kludge");
	le32_put(file + TEXT + 16, 0x100004);
	check_refused(&rq, RAM, -EBADMSG, "loads behind its header");
	le32_put(file + TEXT + 16, 0x100000 - TEXT - 4);
	check_refused(&rq, RAM, -EBADMSG, "loads from before the file");
	put_v1(0x10003);
	rq.kernel.len = TEXT + 0x800;
	check_refused(&rq, RAM, -EBADMSG, "kludge cut");
	rq = request();
	put_elf(false);
	put_v1(4);
	check_told(&rq, 1, "video mode");
	put_v1(8);
	check_refused(&rq, RAM, -ENOTSUP, "unknown requirement");
}

/* A kernel in conventional memory, as GRUB is one, has the information elsewhere. */
static void test_low(uint32_t gpa, uint32_t mem_len, uint64_t info)
{
	struct mem *m = mem_new(RAM, 0, NULL);
	struct x86_cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	struct boot_request rq = request();
	struct multiboot_image mb;
	struct err e = { 0 };
	uint8_t b[256];

	put_elf(false);
	put_v1(3);
	le32_put(file + 64 + 12, gpa);
	le32_put(file + 64 + 20, mem_len);
	x86_cpu_reset(c);
	check(!multiboot_check(&mb, &rq, RAM, &e), "%x: %s", gpa, e.msg);
	multiboot_load(&mb, &rq, m, c);
	mem_read(m, gpa, b, 256);
	check(le32_get(b) == 0x1badb002, "%x: header", gpa);
	check(b[12] == 0xab && b[255] == 0xab, "%x: whole", gpa);
	check(c->gpr[X86_RBX] == info, "%x: information at %llx", gpa,
	      (unsigned long long)c->gpr[X86_RBX]);
	mem_read(m, c->gpr[X86_RBX], b, 120);
	check(le32_get(b + 20) == 2, "%x: two modules", gpa);
	mem_read(m, le32_get(b + 24), b, 16);
	check(le32_get(b) == mb.module_addr[0] && le32_get(b) >= 0x100000, "%x: module", gpa);
	mem_read(m, le32_get(b + 8), b, 3);
	check(!memcmp(b, "m0", 3), "%x: name", gpa);
	mem_read(m, c->gdtr.base + 0x10, b, 8);
	check(le64_get(b) == 0x00cf9b000000ffff, "%x: GDT", gpa);
	free(c);
	mem_free(m);
}

static void test_low_kernels(void)
{
	struct boot_request rq;

	test_low(0x8000, 0x18000, 0x103000);
	test_low(0x1000, 0x1000, LOWMEM_PARAMS);
	test_low(0x1ff00, 0x1000, 0x103000);
	test_low(0x30000, 0x1000, LOWMEM_PARAMS);
	rq = request();
	put_elf(false);
	put_v1(3);
	le32_put(file + 64 + 12, 0x500);
	check_refused(&rq, RAM, -ENOTSUP, "over the BIOS' data");
	le32_put(file + 64 + 12, 0x9f000);
	check_refused(&rq, RAM, -ENOTSUP, "over the EBDA");
}

static void test_v2(void)
{
	static const uint32_t request_ok[] = { 1, 24, 1, 3, 6, 14 };
	static const uint32_t request_vbe[] = { 1, 12, 7, 0 };
	static const uint32_t request_optional[] = { 1 | 1 << 16, 12, 7, 0 };
	static const uint32_t request_screen[] = { 1, 12, 8, 0 };
	static const uint32_t framebuffer[] = { 5, 20, 0, 0, 0, 0 };
	static const uint32_t text_console[] = { 4, 12, 3, 0 };
	static const uint32_t other_console[] = { 4, 12, 1, 0 };
	static const uint32_t any_console[] = { 4 | 1 << 16, 12, 1, 0 };
	static const uint32_t short_console[] = { 4, 8 };
	static const uint32_t unknown_optional[] = { 77 | 1 << 16, 8 };
	static const uint32_t too_long[] = { 77 | 1 << 16, 4000 };
	static const uint32_t kludge[] = { 2, 24, 0x100000, 0x100000, 0x101000, 0x102000,
					   3, 12, 0x100020, 0 };
	struct boot_request rq = request();

	put_elf(false);
	put_v2(NULL, 0);
	check_loaded(&rq, 2, "ELF32");
	put_v2(request_ok, 6);
	check_loaded(&rq, 2, "requests");
	put_v2(request_optional, 4);
	check_loaded(&rq, 2, "optional request");
	put_v2(unknown_optional, 2);
	check_loaded(&rq, 2, "unknown optional tag");
	put_v2(request_vbe, 4);
	check_refused(&rq, RAM, -ENOTSUP, "VBE information");
	put_v2(request_screen, 4);
	check_told(&rq, 2, "framebuffer information");
	put_v2(framebuffer, 6);
	check_told(&rq, 2, "framebuffer");
	put_v2(text_console, 4);
	check_told(&rq, 2, "text console");
	put_v2(any_console, 4);
	check_told(&rq, 2, "optional console");
	put_v2(other_console, 4);
	check_refused(&rq, RAM, -ENOTSUP, "console that is not text");
	put_v2(short_console, 2);
	check_refused(&rq, RAM, -EBADMSG, "short console tag");
	put_v2(too_long, 2);
	check_refused(&rq, RAM, -EBADMSG, "tag too long");
	memset(file, 0, TEXT);
	put_v2(kludge, 10);
	check_loaded(&rq, 2, "kludge");
	put_v2(kludge, 6);
	check_refused(&rq, RAM, -EBADMSG, "kludge without entry");
}

/* Damaged files are refused or loaded inside memory, whatever is in them. */
static void test_fuzz(void)
{
	struct mem *m = mem_new(RAM, 0, NULL);
	struct x86_cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);

	srand(5);
	for (unsigned i = 0; i < 20000; i++) {
		struct boot_request rq = request();
		struct multiboot_image mb;

		put_elf(rand() & 1);
		if (rand() & 1)
			put_v1(rand() & 1 ? 0x10003 : 3);
		else
			put_v2((const uint32_t[]){ 1, 12, 6, 0 }, 4);
		for (unsigned n = (unsigned)rand() % 4; n; n--)
			file[(rand() & 1 ? TEXT + 12 : 16) + rand() % 112] = (uint8_t)rand();
		rq.kernel.len -= rand() & 1 ? (size_t)rand() % (FILE_LEN - 64) : 0;
		if (multiboot_check(&mb, &rq, RAM, NULL))
			continue;
		check(mb.end <= RAM, "end %llx", (unsigned long long)mb.end);
		multiboot_load(&mb, &rq, m, c);
	}
	free(c);
	mem_free(m);
}

static void test_rom(size_t len)
{
	uint8_t *data = malloc(len), b[2];
	struct image im = { .path = "rom", .data = data, .len = len };
	struct mem *m;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i / 251 + i);
	m = mem_new(RAM, rom_reserve(&im), NULL);
	check(m && !rom_map(m, &im, NULL), "%zu: mapped", len);
	for (unsigned seg = 0; seg < MEM_SHADOW_SEGS; seg++)
		mem_shadow_set(m, seg, 0);
	mem_shadow_apply(m);
	mem_read(m, 0xffffffff, b, 1);
	mem_read(m, 0xfffff, b + 1, 1);
	check(b[0] == data[len - 1] && b[1] == data[len - 1], "%zu: last byte", len);
	mem_read(m, (4ull << 30) - len, b, 1);
	check(b[0] == data[0], "%zu: first byte", len);
	mem_write(m, 0xfffff, b + 1, 1);
	check(!mem_write(m, 0xffffffff, b, 1), "%zu: read-only", len);
	mem_read(m, 0xe0000, b, 1);
	check(b[0] == (len >= ROM_LOW_MAX ? data[len - ROM_LOW_MAX] : 0xff), "%zu: 0xe0000 is %x",
	      len, b[0]);
	mem_free(m);
	free(data);
}

int main(void)
{
	test_v1();
	test_low_kernels();
	test_v2();
	test_fuzz();
	test_rom(64 << 10);
	test_rom((64 << 10) - 100);
	test_rom(128 << 10);
	test_rom(256 << 10);
	return check_done();
}
