#include "pc/boot.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "pc/e820.h"

/* Offsets in the file's first sectors and, the same, in the zero page. */
enum {
	ZP_EXT_MEM_K = 0x002,
	ZP_ACPI_RSDP = 0x070,
	ZP_ALT_MEM_K = 0x1e0,
	ZP_E820_COUNT = 0x1e8,
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP_LEN = 0x201,
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_LOADER = 0x210,
	HDR_LOADFLAGS = 0x211,
	HDR_CODE32_START = 0x214,
	HDR_RAMDISK_IMAGE = 0x218,
	HDR_RAMDISK_SIZE = 0x21c,
	HDR_HEAP_END = 0x224,
	HDR_CMD_LINE_PTR = 0x228,
	HDR_INITRD_MAX = 0x22c,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_MIN_LEN = 0x268,	/* up to init_size and handover_offset */
	ZP_E820_TABLE = 0x2d0,
	ZP_LEN = 4096,
};

enum { E820_ENTRY_LEN = 20, SECTOR = 512, PARAGRAPH = 16 };
enum { LOADED_HIGH = 1, CAN_USE_HEAP = 0x80 };
enum { XLF_KERNEL_64 = 1 };
enum { ENTRY64 = 0x200, LOADER_UNDEFINED = 0xff };

/* 2.02 is the first with a command line at any address, 2.07 (Linux 2.6.23) the
 * first whose zero page can be filled in by others: older kernels do it
 * themselves, in real mode. */
enum { VERSION_MIN = 0x202, VERSION_ZERO_PAGE = 0x207 };

/* The real-mode start: set-up code, heap and stack in one segment. */
enum { REAL_SEG = LOWMEM_PARAMS >> 4, REAL_SETUP_MAX = 0x8000, REAL_HEAP_END = 0xe000,
	REAL_HEAP_BIAS = 0x200 };

/* A header field that came with a version, or what held before. */
static uint32_t field32(const struct linux_image *li, const struct boot_request *rq,
			unsigned off, unsigned since, uint32_t before)
{
	return li->version >= since ? le32_get(rq->kernel.data + off) : before;
}

bool linux_probe(const struct image *kernel)
{
	return kernel->len >= HDR_MAGIC + 4 &&
		le16_get(kernel->data + HDR_BOOT_FLAG) == 0xaa55 &&
		!memcmp(kernel->data + HDR_MAGIC, "HdrS", 4);
}

static int check_header(struct linux_image *li, const struct image *k, struct err *e)
{
	const uint8_t *d = k->data;
	size_t sys;

	if (k->len < HDR_MIN_LEN)
		return err_set(e, -EBADMSG, "%s: truncated Linux kernel", k->path);
	li->version = le16_get(d + HDR_VERSION);
	if (li->version < VERSION_MIN)
		return err_set(e, -ENOTSUP, "%s: Linux boot protocol %u.%02u is too old",
			       k->path, li->version >> 8, li->version & 0xff);
	if (!(d[HDR_LOADFLAGS] & LOADED_HIGH))
		return err_set(e, -ENOTSUP, "%s: a zImage, not a bzImage", k->path);
	li->setup_len = ((d[HDR_SETUP_SECTS] ? d[HDR_SETUP_SECTS] : 4) + 1u) * SECTOR;
	sys = (size_t)le32_get(d + HDR_SYSSIZE) * PARAGRAPH;
	/* syssize counts whole paragraphs, the file need not end on one */
	if (k->len <= li->setup_len || k->len - li->setup_len + PARAGRAPH <= sys)
		return err_set(e, -EBADMSG,
			       "%s: truncated Linux kernel: %zu bytes of %zu",
			       k->path, k->len, li->setup_len + sys);
	li->pm_len = k->len - li->setup_len;
	li->load_addr = le32_get(d + HDR_CODE32_START);
	li->is64 = li->version >= 0x20c &&
		(le16_get(d + HDR_XLOADFLAGS) & XLF_KERNEL_64);
	/* No 32-bit entry: what is no Linux but loads like one (iPXE) has only the
	 * real-mode one. */
	li->real_mode = li->version < VERSION_ZERO_PAGE || !li->load_addr;
	if (!li->load_addr)
		li->load_addr = LOWMEM_END;
	if (li->real_mode && li->setup_len > REAL_SETUP_MAX)
		return err_set(e, -EBADMSG, "%s: set-up code of %zu bytes is too long",
			       k->path, li->setup_len);
	return 0;
}

static int check_memory(struct linux_image *li, const struct image *k,
			uint64_t ram, struct err *e)
{
	const uint8_t *d = k->data;
	uint64_t low = e820_low_ram(ram), start = li->load_addr, need;

	if (li->load_addr < LOWMEM_END)
		return err_set(e, -EBADMSG, "%s: load address 0x%x is below 1 MiB",
			       k->path, li->load_addr);
	li->kernel_end = start + li->pm_len;
	if (li->version >= 0x20a) {
		/* It moves itself there, and runs in init_size bytes. */
		if (le64_get(d + HDR_PREF_ADDRESS) > start)
			start = le64_get(d + HDR_PREF_ADDRESS);
		need = start + le32_get(d + HDR_INIT_SIZE);
		if (start > MEM_LOW_MAX)
			return err_set(e, -EBADMSG, "%s: wants to lie beyond 3 GiB",
				       k->path);
		if (need > li->kernel_end)
			li->kernel_end = need;
	}
	if (li->kernel_end > low)
		return err_set(e, -ENOSPC,
			       "%s: needs at least %llu MiB of memory", k->path,
			       (unsigned long long)((li->kernel_end >> 20) + 1));
	return 0;
}

static int place_initrd(struct linux_image *li, const struct boot_request *rq,
			uint64_t ram, struct err *e)
{
	const struct image *rd = &rq->module[0];
	uint64_t top = (uint64_t)field32(li, rq, HDR_INITRD_MAX, 0x203, 0x37ffffff) + 1;

	li->initrd_addr = 0;
	if (!rq->nmodules)
		return 0;
	if (rq->nmodules > 1)
		return err_set(e, -EINVAL, "a Linux kernel takes one initrd, not %u",
			       rq->nmodules);
	if (top > e820_low_ram(ram))
		top = e820_low_ram(ram);
	if (top < li->kernel_end || top - li->kernel_end < rd->len)
		return err_set(e, -ENOSPC,
			       "%s: initrd of %zu KiB does not fit beside the kernel: "
			       "more memory is needed", rd->path, rd->len >> 10);
	li->initrd_addr = (top - rd->len) & PAGE_MASK;
	if (li->initrd_addr < li->kernel_end)
		return err_set(e, -ENOSPC, "%s: initrd does not fit beside the kernel: "
			       "more memory is needed", rd->path);
	return 0;
}

int linux_check(struct linux_image *li, const struct boot_request *rq,
		uint64_t ram, struct err *e)
{
	size_t cmdline_max;
	int rc;

	*li = (struct linux_image){ 0 };
	rc = check_header(li, &rq->kernel, e);
	if (!rc)
		rc = check_memory(li, &rq->kernel, ram, e);
	if (!rc)
		rc = place_initrd(li, rq, ram, e);
	if (rc)
		return rc;
	cmdline_max = field32(li, rq, HDR_CMDLINE_SIZE, 0x206, 255);
	if (cmdline_max > LOWMEM_CMDLINE_MAX - 1)
		cmdline_max = LOWMEM_CMDLINE_MAX - 1;
	if (strlen(rq->append) > cmdline_max)
		return err_set(e, -E2BIG, "command line is longer than the kernel's %zu bytes",
			       cmdline_max);
	return 0;
}

static void put_e820(uint8_t *zp, uint64_t ram)
{
	struct e820_entry map[E820_MAX];
	unsigned n = e820_build(ram, map);

	for (unsigned i = 0; i < n; i++) {
		uint8_t *p = zp + ZP_E820_TABLE + i * E820_ENTRY_LEN;

		le64_put(p, map[i].addr);
		le64_put(p + 8, map[i].len);
		le32_put(p + 16, map[i].type);
	}
	zp[ZP_E820_COUNT] = (uint8_t)n;
}

/* What a boot loader fills in; hdr is the start of the set-up header's sector. */
static void put_header(const struct linux_image *li, const struct boot_request *rq,
		       uint8_t *hdr)
{
	hdr[HDR_LOADER] = LOADER_UNDEFINED;
	le32_put(hdr + HDR_CMD_LINE_PTR, LOWMEM_CMDLINE);
	if (li->initrd_addr) {
		le32_put(hdr + HDR_RAMDISK_IMAGE, (uint32_t)li->initrd_addr);
		le32_put(hdr + HDR_RAMDISK_SIZE, (uint32_t)rq->module[0].len);
	}
}

static void put_zero_page(const struct linux_image *li, const struct boot_request *rq,
			  struct mem *m)
{
	uint8_t zp[ZP_LEN] = { 0 };
	const uint8_t *d = rq->kernel.data;
	size_t end = HDR_MAGIC + d[HDR_JUMP_LEN];	/* of the setup header */
	uint64_t ext_kib = (e820_low_ram(m->ram_size) - LOWMEM_END) >> 10;

	if (end > ZP_E820_TABLE)
		end = ZP_E820_TABLE;
	if (end > rq->kernel.len)
		end = rq->kernel.len;
	memcpy(zp + HDR_SETUP_SECTS, d + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
	put_header(li, rq, zp);
	zp[HDR_LOADFLAGS] &= ~CAN_USE_HEAP;
	put_e820(zp, m->ram_size);
	le16_put(zp + ZP_EXT_MEM_K, ext_kib > 0xfc00 ? 0xfc00 : (uint16_t)ext_kib);
	le32_put(zp + ZP_ALT_MEM_K, (uint32_t)ext_kib);
	if (li->version >= 0x20e)
		le64_put(zp + ZP_ACPI_RSDP, rq->acpi_rsdp);
	mem_write(m, LOWMEM_PARAMS, zp, sizeof(zp));
}

/* Start the set-up code itself: boot.rst, "Running the kernel". */
static void load_real_mode(const struct linux_image *li, const struct boot_request *rq,
			   struct mem *m, struct x86_cpu *c)
{
	uint8_t setup[REAL_SETUP_MAX];

	memcpy(setup, rq->kernel.data, li->setup_len);
	put_header(li, rq, setup);
	setup[HDR_LOADFLAGS] |= CAN_USE_HEAP;
	le16_put(setup + HDR_HEAP_END, REAL_HEAP_END - REAL_HEAP_BIAS);
	mem_write(m, LOWMEM_PARAMS, setup, li->setup_len);
	boot_real(c, REAL_SEG, REAL_SEG + 0x20, REAL_HEAP_END);
}

void linux_load(const struct linux_image *li, const struct boot_request *rq,
		struct mem *m, struct x86_cpu *c)
{
	mem_write(m, LOWMEM_CMDLINE, rq->append, strlen(rq->append) + 1);
	mem_write(m, li->load_addr, rq->kernel.data + li->setup_len, li->pm_len);
	if (li->initrd_addr)
		mem_write(m, li->initrd_addr, rq->module[0].data, rq->module[0].len);
	if (li->real_mode) {
		load_real_mode(li, rq, m, c);
		return;
	}
	put_zero_page(li, rq, m);
	if (li->is64)
		boot_flat64(m, c, (uint64_t)li->load_addr + ENTRY64);
	else
		boot_flat32(m, c, LOWMEM_GDT, li->load_addr);
	c->gpr[X86_RSI] = LOWMEM_PARAMS;
}
