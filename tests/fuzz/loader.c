/*
 * The boot loaders on damaged files: a small made-up bzImage, a Multiboot kernel
 * of both kinds (address fields, ELF) and a ROM, each with bytes of its headers
 * changed and its end cut off.  What still loads is started and stopped at once.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/le.h"
#include "fuzz.h"
#include "pc/pc.h"

#define FILE_MAX 65536

enum seed { SEED_LINUX, SEED_LINUX_OLD, SEED_MULTIBOOT, SEED_MULTIBOOT2, SEED_ELF, SEED_ROM, SEEDS };

static size_t make_linux(uint8_t *b)
{
	b[0x1f1] = 4;				/* setup_sects */
	le32_put(b + 0x1f4, 0x100);		/* syssize */
	le16_put(b + 0x1fe, 0xaa55);
	le16_put(b + 0x200, 0x6aeb);
	memcpy(b + 0x202, "HdrS", 4);
	le16_put(b + 0x206, 0x20f);		/* protocol */
	b[0x211] = 1;				/* loadflags */
	le32_put(b + 0x214, 0x100000);		/* code32_start */
	le32_put(b + 0x22c, 0x7fffffff);	/* initrd_addr_max */
	le32_put(b + 0x230, 0x200000);		/* kernel_alignment */
	b[0x234] = 1;				/* relocatable */
	le32_put(b + 0x238, 2048);		/* cmdline_size */
	le64_put(b + 0x258, 0x100000);		/* pref_address */
	le32_put(b + 0x260, 0x400000);		/* init_size */
	return 5 * 512 + 0x1000;
}

/* Old enough to be started in real mode. */
static size_t make_linux_old(uint8_t *b)
{
	size_t len = make_linux(b);

	le16_put(b + 0x206, 0x203);
	return len;
}

static size_t make_multiboot(uint8_t *b)
{
	uint32_t flags = 0x10003;

	le32_put(b + 4, 0x1badb002);
	le32_put(b + 8, flags);
	le32_put(b + 12, -(0x1badb002 + flags));
	le32_put(b + 16, 0x100004);		/* header_addr */
	le32_put(b + 20, 0x100000);		/* load_addr */
	le32_put(b + 24, 0x101000);		/* load_end_addr */
	le32_put(b + 28, 0x102000);		/* bss_end_addr */
	le32_put(b + 32, 0x100040);		/* entry_addr */
	return 0x1000;
}

static size_t make_multiboot2(uint8_t *b)
{
	le32_put(b + 8, 0xe85250d6);
	le32_put(b + 16, 48);
	le32_put(b + 20, -(0xe85250d6 + 48));
	le16_put(b + 24, 2);			/* address tag */
	le32_put(b + 28, 24);
	le32_put(b + 32, 0x100008);
	le32_put(b + 36, 0x100000);
	le32_put(b + 40, 0x101000);
	le32_put(b + 44, 0x102000);
	le32_put(b + 52, 8);			/* end tag */
	return 0x1000;
}

static size_t make_elf(uint8_t *b)
{
	memcpy(b, "\177ELF\1\1\1", 7);
	le16_put(b + 16, 2);
	le16_put(b + 18, 3);
	le32_put(b + 20, 1);
	le32_put(b + 24, 0x100000);		/* e_entry */
	le32_put(b + 28, 52);			/* e_phoff */
	le16_put(b + 40, 52);
	le16_put(b + 42, 32);
	le16_put(b + 44, 2);			/* e_phnum */
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *ph = b + 52 + 32 * i;

		le32_put(ph, 1);
		le32_put(ph + 4, 0x200 + 0x800 * i);	/* p_offset */
		le32_put(ph + 8, 0x100000 + 0x1000 * i);
		le32_put(ph + 12, 0x100000 + 0x1000 * i);
		le32_put(ph + 16, 0x400);		/* p_filesz */
		le32_put(ph + 20, 0x800);		/* p_memsz */
	}
	le32_put(b + 0x100, 0x1badb002);
	le32_put(b + 0x108, -0x1badb002);
	return 0x1000;
}

static size_t make_seed(enum seed seed, uint8_t *b)
{
	memset(b, 0, FILE_MAX);
	switch (seed) {
	case SEED_LINUX:
		return make_linux(b);
	case SEED_LINUX_OLD:
		return make_linux_old(b);
	case SEED_MULTIBOOT:
		return make_multiboot(b);
	case SEED_MULTIBOOT2:
		return make_multiboot2(b);
	case SEED_ELF:
		return make_elf(b);
	default:
		return FILE_MAX;
	}
}

/* A handful of fields get values that hurt. */
static size_t damage(struct fuzz *f, enum seed seed, uint8_t *b, size_t len)
{
	static const uint32_t hurts[] = {
		0, 1, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffff000,
		0x100000, 0xa0000, 0xfee00000, 0xc0000000,
	};
	bool header = seed == SEED_LINUX || seed == SEED_LINUX_OLD;
	unsigned from = header ? 0x1f1 : 0, span = header ? 0x78 : 0x120;

	for (unsigned n = fuzz_below(f, 5); n; n--) {
		uint8_t *at = b + from + fuzz_below(f, span);

		if (fuzz_below(f, 2))
			*at = (uint8_t)fuzz_next(f);
		else
			le32_put(at, hurts[fuzz_below(f, sizeof(hurts) / sizeof(*hurts))] +
				 fuzz_below(f, 3) - 1);
	}
	return fuzz_below(f, 4) ? len : 1 + fuzz_below(f, (unsigned)len);
}

static void try_file(struct fuzz *f, enum seed seed, const char *path)
{
	static const uint64_t mem[] = { 1, 2, 16, 4096 };
	struct pc_config cfg = {
		.memory = mem[fuzz_below(f, 3)] << 20, .cpus = 1, .accel = PC_ACCEL_INTERP,
		.serial = "none", .append = "console=ttyS0",
	};
	struct err e = { 0 };
	struct pc *pc;
	int code;

	if (seed == SEED_ROM)
		cfg.bios = path;
	else
		cfg.kernel = path;
	if (cfg.kernel && !fuzz_below(f, 4))
		cfg.initrd = path;
	pc = pc_new(&cfg, &e);
	fuzz_check(pc, "%s", e.msg);
	if (pc_load(pc, &e)) {
		fuzz_check(e.code < 0 && e.msg[0], "no reason given");
		pc_free(pc);
		return;
	}
	pc_stop(pc);
	pc_run(pc, &code, &e);
	pc_free(pc);
}

int main(int argc, char **argv)
{
	static uint8_t b[FILE_MAX];
	char path[64];
	struct fuzz f;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0)
		return 1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fuzz_start(&f, argc, argv);
	do {
		enum seed seed = fuzz_below(&f, SEEDS);
		size_t len = damage(&f, seed, b, make_seed(seed, b));

		if (ftruncate(fd, 0) || pwrite(fd, b, len, 0) != (ssize_t)len)
			return 1;
		f.runs++;
		try_file(&f, seed, path);
	} while (clock_ns() < f.end_ns);
	return fuzz_done(&f);
}
