#include "pc/multiboot.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "pc/e820.h"
#include "pc/mbinfo.h"

#define INFO_ROOM (MBINFO_MAX + BOOT_GDT_LEN)

/* Version 1, section 3.1 */
enum { MB1_MAGIC = 0x1badb002, MB1_SEARCH = 8192, MB1_LEN = 12, MB1_ADDR_LEN = 32,
	MB1_PAGE_ALIGN = 1, MB1_MEMORY = 2, MB1_VIDEO = 4, MB1_MUST = 0xffff, MB1_ADDRESSES = 1 << 16 };
/* Version 2, section 3.1 */
enum { MB2_SEARCH = 32768, MB2_LEN = 16, MB2_TAG_LEN = 8, MB2_OPTIONAL = 1 };
#define MB2_MAGIC 0xe85250d6u
enum { CON_REQUIRED = 1, CON_TEXT = 2 };	/* flags of MB2_CONSOLE */
enum mb2_tag { MB2_END = 0, MB2_REQUEST = 1, MB2_ADDRESS = 2, MB2_ENTRY = 3,
	MB2_CONSOLE = 4, MB2_FRAMEBUFFER = 5, MB2_MODULE_ALIGN = 6, MB2_EFI_BS = 7,
	MB2_EFI32 = 8, MB2_EFI64 = 9, MB2_RELOCATABLE = 10 };

/* Offset of the header, or SIZE_MAX.  Aligned to step, whole within limit. */
static size_t find_header(const struct image *k, size_t limit, size_t step,
			  unsigned version)
{
	size_t n = k->len < limit ? k->len : limit;
	const uint8_t *d = k->data;

	for (size_t at = 0; at + MB2_LEN <= n; at += step) {
		uint32_t magic = le32_get(d + at);

		if (version == 1 && magic == MB1_MAGIC &&
		    magic + le32_get(d + at + 4) + le32_get(d + at + 8) == 0)
			return at;
		if (version == 2 && magic == MB2_MAGIC && magic + le32_get(d + at + 4) +
		    le32_get(d + at + 8) + le32_get(d + at + 12) == 0)
			return at;
	}
	return SIZE_MAX;
}

static size_t find_any(const struct image *k, unsigned *version)
{
	size_t at = find_header(k, MB2_SEARCH, 8, 2);

	*version = 2;
	if (at == SIZE_MAX) {
		at = find_header(k, MB1_SEARCH, 4, 1);
		*version = 1;
	}
	return at;
}

bool multiboot_probe(const struct image *kernel)
{
	unsigned version;

	return find_any(kernel, &version) != SIZE_MAX;
}

/*
 * The kludge: p holds header_addr, load_addr, load_end_addr, bss_end_addr; the
 * header itself lies at hdr in the file.
 */
static int set_addresses(struct multiboot_image *mb, const struct image *k,
			 size_t hdr, const uint8_t *p, struct err *e)
{
	uint32_t header = le32_get(p), load = le32_get(p + 4);
	uint32_t load_end = le32_get(p + 8), bss_end = le32_get(p + 12);
	struct elf_segment *s = &mb->elf.seg[0];

	/* load_addr of all ones: from the start of the file (version 2) */
	if (mb->version == 2 && load == 0xffffffff)
		load = header - (uint32_t)hdr;
	if (load > header || header - load > hdr)
		return err_set(e, -EBADMSG, "%s: Multiboot load address is wrong", k->path);
	s->gpa = load;
	s->off = hdr - (header - load);
	s->len = k->len - s->off;
	if (load_end) {
		if (load_end < load || load_end - load > s->len)
			return err_set(e, -EBADMSG, "%s: truncated Multiboot kernel",
				       k->path);
		s->len = load_end - load;
	}
	s->mem_len = s->len;
	if (bss_end && bss_end >= load && bss_end - load > s->len)
		s->mem_len = bss_end - load;
	mb->elf.nsegs = 1;
	return 0;
}

static int use_elf(struct multiboot_image *mb, const struct image *k, struct err *e)
{
	int rc;

	if (!elf_probe(k->data, k->len))
		return err_set(e, -EBADMSG, "%s: Multiboot kernel is not ELF and its "
			       "header has no addresses", k->path);
	rc = elf_read(&mb->elf, k->data, k->len, e);
	return rc ? err_in(e, rc, k->path) : 0;
}

static int check_v1(struct multiboot_image *mb, const struct image *k, size_t hdr,
		    struct err *e)
{
	uint32_t flags = le32_get(k->data + hdr + 4);
	uint32_t lacking = flags & MB1_MUST & ~(MB1_PAGE_ALIGN | MB1_MEMORY | MB1_VIDEO);
	int rc;

	if (lacking)
		return err_set(e, -ENOTSUP, "%s: Multiboot kernel requires features 0x%x",
			       k->path, lacking);
	mb->screen = flags & MB1_VIDEO;
	if (!(flags & MB1_ADDRESSES))
		return use_elf(mb, k, e);
	if (k->len - hdr < MB1_ADDR_LEN)
		return err_set(e, -EBADMSG, "%s: truncated Multiboot header", k->path);
	rc = set_addresses(mb, k, hdr, k->data + hdr + MB1_LEN, e);
	mb->elf.entry = le32_get(k->data + hdr + 28);
	return rc;
}

struct tags2 {
	const uint8_t *address;
	uint32_t entry;
	bool have_entry, screen;
};

/* Information that the kernel would like to have, or cannot do without. */
static int check_request(struct tags2 *t, const struct image *k, const uint8_t *tag,
			 uint32_t size, bool must, struct err *e)
{
	for (uint32_t at = MB2_TAG_LEN; at + 4 <= size; at += 4) {
		uint32_t type = le32_get(tag + at);

		t->screen |= type == MBINFO2_FRAMEBUFFER;
		if (must && !mbinfo2_has(type))
			return err_set(e, -ENOTSUP, "%s: Multiboot kernel requires "
				       "information of type %u", k->path, type);
	}
	return 0;
}

static int check_tag(struct tags2 *t, const struct image *k, const uint8_t *p,
		     uint32_t size, struct err *e)
{
	bool must = !(le16_get(p + 2) & MB2_OPTIONAL);
	unsigned type = le16_get(p);

	switch (type) {
	case MB2_REQUEST:
		return check_request(t, k, p, size, must, e);
	case MB2_ADDRESS:
		if (size < 24)
			return err_set(e, -EBADMSG, "%s: Multiboot tag is too short", k->path);
		t->address = p + MB2_TAG_LEN;
		return 0;
	case MB2_ENTRY:
		if (size < 12)
			return err_set(e, -EBADMSG, "%s: Multiboot tag is too short", k->path);
		t->entry = le32_get(p + MB2_TAG_LEN);
		t->have_entry = true;
		return 0;
	case MB2_CONSOLE:
		if (size < 12)
			return err_set(e, -EBADMSG, "%s: Multiboot tag is too short", k->path);
		t->screen = true;
		if (must && (le32_get(p + MB2_TAG_LEN) & (CON_REQUIRED | CON_TEXT)) ==
		    CON_REQUIRED)
			return err_set(e, -ENOTSUP, "%s: Multiboot kernel requires a "
				       "framebuffer", k->path);
		return 0;
	case MB2_FRAMEBUFFER:	/* what it prefers: the one of text may be given it */
		t->screen = true;
		return 0;
	case MB2_MODULE_ALIGN:
	case MB2_EFI_BS:	/* these three matter under EFI only */
	case MB2_EFI32:
	case MB2_EFI64:
	case MB2_RELOCATABLE:	/* it may be moved; it is loaded where it is linked */
		return 0;
	default:
		if (!must)
			return 0;
		return err_set(e, -ENOTSUP, "%s: Multiboot kernel requires an unknown "
			       "feature (tag %u)", k->path, type);
	}
}

static int check_v2(struct multiboot_image *mb, const struct image *k, size_t hdr,
		    struct err *e)
{
	const uint8_t *h = k->data + hdr;
	size_t len = le32_get(h + 8), at = MB2_LEN;
	struct tags2 t = { 0 };
	int rc = 0;

	if (le32_get(h + 4))
		return err_set(e, -ENOTSUP, "%s: Multiboot kernel for another processor",
			       k->path);
	if (len < MB2_LEN || len > MB2_SEARCH || len > k->len - hdr)
		return err_set(e, -EBADMSG, "%s: truncated Multiboot header", k->path);
	while (!rc && at + MB2_TAG_LEN <= len) {
		uint32_t size = le32_get(h + at + 4);

		if (le16_get(h + at) == MB2_END)
			break;
		if (size < MB2_TAG_LEN || size > len - at)
			return err_set(e, -EBADMSG, "%s: damaged Multiboot tag", k->path);
		rc = check_tag(&t, k, h + at, size, e);
		at += (size + 7) & ~(size_t)7;
	}
	if (rc)
		return rc;
	mb->screen = t.screen;
	rc = t.address ? set_addresses(mb, k, hdr, t.address, e) : use_elf(mb, k, e);
	if (!rc && t.address && !t.have_entry)
		return err_set(e, -EBADMSG, "%s: Multiboot kernel without an entry", k->path);
	if (t.have_entry)
		mb->elf.entry = t.entry;
	return rc;
}

/* Conventional memory behind what belongs to a BIOS. */
static bool is_free_low(const struct elf_segment *s)
{
	return s->gpa >= PAGE_SIZE && s->gpa <= LOWMEM_EBDA &&
		s->mem_len <= LOWMEM_EBDA - s->gpa;
}

/* The information lies low, or where the kernel does not want to be itself. */
static int place_info(struct multiboot_image *mb, const char *path, uint64_t low,
		      struct err *e)
{
	bool taken = false;

	for (unsigned i = 0; i < mb->elf.nsegs; i++)
		taken |= mb->elf.seg[i].gpa < LOWMEM_PARAMS + INFO_ROOM &&
			mb->elf.seg[i].gpa + mb->elf.seg[i].mem_len > LOWMEM_PARAMS;
	mb->info_addr = LOWMEM_PARAMS;
	if (!taken)
		return 0;
	mb->end = (mb->end + PAGE_SIZE - 1) & PAGE_MASK;
	if (mb->end > low || INFO_ROOM > low - mb->end)
		return err_set(e, -ENOSPC, "%s: no room for the Multiboot information: "
			       "more memory is needed", path);
	mb->info_addr = (uint32_t)mb->end;
	mb->end += INFO_ROOM;
	return 0;
}

/* All of the kernel in RAM; modules follow it by pages, above 1 MiB. */
static int check_memory(struct multiboot_image *mb, const struct boot_request *rq,
			uint64_t ram, struct err *e)
{
	uint64_t low = e820_low_ram(ram), end = LOWMEM_END;
	const char *path = rq->kernel.path;

	for (unsigned i = 0; i < mb->elf.nsegs; i++) {
		const struct elf_segment *s = &mb->elf.seg[i];

		if (is_free_low(s))
			continue;
		if (s->gpa < LOWMEM_END)
			return err_set(e, -ENOTSUP, "%s: wants to lie at 0x%llx, which is taken",
				       path, (unsigned long long)s->gpa);
		if (s->gpa > low || s->mem_len > low - s->gpa)
			return err_set(e, -ENOSPC, "%s: needs memory up to 0x%llx", path,
				       (unsigned long long)(s->gpa + s->mem_len));
		if (s->gpa + s->mem_len > end)
			end = s->gpa + s->mem_len;
	}
	if (mb->elf.entry >= low)
		return err_set(e, -EBADMSG, "%s: entry point is outside memory", path);
	for (unsigned i = 0; i < rq->nmodules; i++) {
		end = (end + PAGE_SIZE - 1) & PAGE_MASK;
		if (end > low || rq->module[i].len > low - end)
			return err_set(e, -ENOSPC, "%s: module of %zu KiB does not fit: "
				       "more memory is needed", rq->module[i].path,
				       rq->module[i].len >> 10);
		mb->module_addr[i] = (uint32_t)end;
		end += rq->module[i].len;
	}
	mb->end = end;
	return place_info(mb, path, low, e);
}

int multiboot_check(struct multiboot_image *mb, const struct boot_request *rq,
		    uint64_t ram, struct err *e)
{
	size_t hdr;
	int rc;

	*mb = (struct multiboot_image){ 0 };
	hdr = find_any(&rq->kernel, &mb->version);
	if (hdr == SIZE_MAX)
		return err_set(e, -EBADMSG, "%s: no Multiboot header", rq->kernel.path);
	rc = mb->version == 1 ? check_v1(mb, &rq->kernel, hdr, e) :
		check_v2(mb, &rq->kernel, hdr, e);
	if (!rc)
		rc = check_memory(mb, rq, ram, e);
	if (!rc && !mbinfo_fits(rq))
		rc = err_set(e, -E2BIG, "command line and module names are too long");
	return rc;
}

static void zero(struct mem *m, uint64_t gpa, uint64_t len)
{
	static const uint8_t none[PAGE_SIZE];

	while (len) {
		uint64_t n = len < sizeof(none) ? len : sizeof(none);

		mem_write(m, gpa, none, n);
		gpa += n;
		len -= n;
	}
}

void multiboot_load(const struct multiboot_image *mb, const struct boot_request *rq,
		    struct mem *m, struct x86_cpu *c)
{
	for (unsigned i = 0; i < mb->elf.nsegs; i++) {
		const struct elf_segment *s = &mb->elf.seg[i];

		mem_write(m, s->gpa, rq->kernel.data + s->off, s->len);
		zero(m, s->gpa + s->len, s->mem_len - s->len);
	}
	for (unsigned i = 0; i < rq->nmodules; i++)
		mem_write(m, mb->module_addr[i], rq->module[i].data, rq->module[i].len);
	boot_flat32(m, c, mb->info_addr + MBINFO_MAX, (uint32_t)mb->elf.entry);
	c->gpr[X86_RBX] = mb->info_addr;
	if (mb->version == 1) {
		mbinfo1_write(m, mb->info_addr, rq, mb->module_addr, mb->screen);
		c->gpr[X86_RAX] = MBINFO1_BOOT_MAGIC;
	} else {
		mbinfo2_write(m, mb->info_addr, rq, mb->module_addr, mb->screen);
		c->gpr[X86_RAX] = MBINFO2_BOOT_MAGIC;
	}
}
