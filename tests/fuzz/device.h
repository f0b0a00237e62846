#ifndef DEVICE_FUZZ_H
#define DEVICE_FUZZ_H
/*
 * What fuzzers of devices share: a machine without processors, addresses and lengths
 * that hurt, disks that fail now and then and sometimes take a thread, and VMDKs whose
 * tables are damaged under the guest's feet.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/le.h"
#include "dev/blkdisk.h"
#include "dev/pci.h"
#include "disk/create.h"
#include "fuzz.h"

enum { RAM = 4 << 20, ROM = 64 << 10, DISK = 1 << 20 };
#define ROM_AT	0xfffc0000ull
#define SLOW_NS	(1500ull * 1000 * 1000)	/* of processor time, under sanitizers */

static struct vm vm;
static uint8_t store[DISK];

/* --- disks --------------------------------------------------------------------------- */

static _Atomic uint32_t luck;

static int move(const struct iovec *iov, int n, uint64_t off, bool out)
{
	if (!(++luck % 61))
		return -EIO;
	for (int i = 0; i < n; i++) {
		fuzz_check(off <= DISK && iov[i].iov_len <= DISK - off, "outside the disk");
		if (out)
			memcpy(store + off, iov[i].iov_base, iov[i].iov_len);
		else
			memcpy(iov[i].iov_base, store + off, iov[i].iov_len);
		off += iov[i].iov_len;
	}
	return 0;
}

static int d_read(void *p, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	return move(iov, n, off, false);
}

static int d_write(void *p, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	return move(iov, n, off, true);
}

static int d_try_read(void *p, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	return ++luck % 7 ? move(iov, n, off, false) : -EAGAIN;
}

static int d_try_write(void *p, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	return ++luck % 3 ? move(iov, n, off, true) : -EAGAIN;
}

static int d_zero(void *p, uint64_t off, uint64_t len, bool unmap, struct err *e)
{
	fuzz_check(off <= DISK && len <= DISK - off, "outside the disk");
	memset(store + off, 0, len);
	return 0;
}

static int d_flush(void *p, struct err *e)
{
	return ++luck % 31 ? 0 : -EIO;
}

static int d_map(void *p, uint64_t off, uint64_t *len, bool *data, struct err *e)
{
	fuzz_check(off < DISK && *len && *len <= DISK - off, "outside the disk");
	*data = luck & 1;
	if (*len > 512 && luck & 2)
		*len = 512;
	return ++luck % 41 ? 0 : -EIO;
}

static const struct blk_ops store_ops = {
	.readv = d_read, .writev = d_write, .try_readv = d_try_read, .try_writev = d_try_write,
	.zero = d_zero, .flush = d_flush, .map = d_map,
};

/* A disk in memory, of DISK bytes or less. */
static inline struct blk *fuzz_store(uint64_t size, bool readonly)
{
	struct blk_params p = { .ops = &store_ops, .size = size, .readonly = readonly,
				.thin = size % 1024 == 0 };
	struct blk *b = blk_new(&vm, &p, NULL);

	fuzz_check(b, "no memory");
	return b;
}

/* --- damaged VMDKs ----------------------------------------------------------------------- */

static char vmdk_dir[] = "/dev/shm/fuzz_dev.XXXXXX";

static void vmdk_cleanup(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", vmdk_dir);
	if (system(cmd))
		printf("%s is left\n", vmdk_dir);
}

static void damage_file(struct fuzz *f, const char *path)
{
	static const uint64_t hurts[] = { 0, 1, 2, 3, 0x7f, 0xffff, 0x7fffffff, 0xffffffff,
					  3ull << 60, UINT64_MAX };
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return;
	for (unsigned n = fuzz_below(f, 5); n && !fstat(fd, &st) && st.st_size > 8; n--) {
		uint64_t v = fuzz_below(f, 3) ? hurts[fuzz_below(f, 10)] : fuzz_below(f, 4000);
		off_t at = (off_t)(fuzz_next(f) % ((uint64_t)st.st_size - 8));

		if (fuzz_below(f, 2))	/* where headers and tables are */
			at = (off_t)(fuzz_below(f, 300) * 4 + fuzz_below(f, 24) * 512);
		if (pwrite(fd, &v, 4u << fuzz_below(f, 2), at) < 0)
			break;
	}
	close(fd);
}

/* A new VMDK with a fault or two; NULL: it can be opened no more. */
static inline struct blk *fuzz_vmdk(struct fuzz *f, unsigned n, bool readonly)
{
	static const enum disk_format formats[] = { DISK_SPARSE, DISK_THIN, DISK_SESPARSE,
						    DISK_VMFSSPARSE };
	static const char *const ext[] = { ".vmdk", "-flat.vmdk", "-sesparse.vmdk", "-delta.vmdk" };
	unsigned kind = fuzz_below(f, 4);
	struct disk_create c = { .size = DISK, .format = formats[kind] };
	struct blkdisk_opts o = { .readonly = readonly };
	char path[96], file[96];
	struct blk *b = NULL;
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/%u.vmdk", vmdk_dir, n);
	for (unsigned i = 0; i < 4; i++) {
		snprintf(file, sizeof(file), "%s/%u%s", vmdk_dir, n, ext[i]);
		unlink(file);
	}
	snprintf(file, sizeof(file), "%s/%u%s", vmdk_dir, n, ext[kind]);
	fuzz_check(!disk_create(path, &c, &e), "%s", e.msg);
	damage_file(f, file);
	if (blkdisk_open(&b, &vm, path, &o, &e))
		fuzz_check(e.code < 0 && e.msg[0] && !strchr(e.msg, '\n'), "no reason given");
	/* And what was read is damaged once more. */
	if (b && fuzz_below(f, 2))
		damage_file(f, file);
	return b;
}

static inline struct blk *fuzz_blk(struct fuzz *f, unsigned n, bool readonly)
{
	struct blk *b = fuzz_below(f, 4) ? NULL : fuzz_vmdk(f, n, readonly);

	return b ? b : fuzz_store(DISK, readonly);
}

/* --- the machine --------------------------------------------------------------------------- */

static inline void device_start(struct fuzz *f, int argc, char **argv)
{
	fuzz_check(mkdtemp(vmdk_dir) || mkdtemp(strcpy(vmdk_dir, "/tmp/fuzz_dev.XXXXXX")), "%s",
		   vmdk_dir);
	atexit(vmdk_cleanup);
	fuzz_start(f, argc, argv);
}

/* One machine after the other until the time is over: main() of a fuzzer. */
static inline int device_main(int argc, char **argv, void (*run)(struct fuzz *f))
{
	struct fuzz f;

	device_start(&f, argc, argv);
	do {
		f.runs++;
		run(&f);
	} while (clock_ns() < f.end_ns);
	return fuzz_done(&f);
}

static inline void machine_start(void)
{
	static const uint8_t rom[16];

	memset(&vm, 0, sizeof(vm));
	pthread_mutex_init(&vm.lock, NULL);
	bus_init(&vm.bus, NULL);
	timerq_init(&vm.timers);
	vm.mem = mem_new(RAM, ROM, NULL);
	fuzz_check(vm.mem && !mem_add_rom(vm.mem, ROM_AT, ROM, rom, sizeof(rom), NULL), "memory");
}

static _Atomic uint64_t put_last;	/* where put() wrote last */

static inline void put(uint64_t gpa, const void *buf, size_t len)
{
	mem_write(vm.mem, gpa, buf, len);
	put_last = gpa;
}

/*
 * A second processor, which changes requests, lists and rings while the device reads
 * them: what was checked is another when it is used.  What it hits is not the same twice.
 */
static pthread_t other;
static _Atomic bool other_runs;
static struct fuzz other_fuzz;

static void *other_main(void *ptr)
{
	struct fuzz *f = ptr;

	while (other_runs) {
		for (unsigned i = 0; i < 32; i++) {
			uint64_t gpa = fuzz_below(f, 8) ? put_last + fuzz_below(f, 128) :
				       0x100000 + fuzz_below(f, 0x140000);
			volatile uint32_t *at;

			if (gpa < 0x10000 || gpa >= RAM - 256)
				continue;
			at = (volatile uint32_t *)(vm.mem->hva + (gpa & ~3ull));
			switch (fuzz_below(f, 4)) {
			case 0: *at = (uint32_t)fuzz_next(f); break;
			case 1: *at ^= 1u << fuzz_below(f, 32); break;
			case 2: *at += fuzz_below(f, 5) - 2; break;
			default: *at = fuzz_below(f, 2) ? 0 : UINT32_MAX; break;
			}
		}
		nanosleep(&(struct timespec){ .tv_nsec = 10000 }, NULL);
	}
	return NULL;
}

static inline void other_start(struct fuzz *f)
{
	other_fuzz.state = fuzz_next(f);
	other_runs = true;
	fuzz_check(!pthread_create(&other, NULL, other_main, &other_fuzz), "thread");
}

static inline void other_stop(void)
{
	if (other_runs) {
		other_runs = false;
		pthread_join(other, NULL);
	}
}

static inline void config(unsigned devfn, unsigned reg, uint32_t val, unsigned size)
{
	bus_pio_write(&vm.bus, 0xcf8, 0x80000000u | devfn << 8 | (reg & 0xfc), 4);
	bus_pio_write(&vm.bus, (uint16_t)(0xcfc + (reg & 3)), val, size);
}

/* --- what hurts ------------------------------------------------------------------------------ */

static bool tame;	/* this action's addresses and lengths are right */

static inline uint64_t any_address(struct fuzz *f)
{
	if (tame)
		return 0x10000 + fuzz_below(f, 0x80000) / 8 * 8;
	switch (fuzz_below(f, 12)) {
	case 0: return 0xe0000000u + fuzz_below(f, 8) * 0x100000u + fuzz_below(f, 0x5000);
	case 1: return ROM_AT + fuzz_below(f, ROM);
	case 2: return RAM - fuzz_below(f, 9000);
	case 3: return 0xa0000 - fuzz_below(f, 600);
	case 4: return fuzz_next(f);
	case 5: return -(uint64_t)fuzz_below(f, 4096);
	default: return fuzz_next(f) % RAM & ~7ull;
	}
}

static inline uint32_t any_length(struct fuzz *f)
{
	static const uint32_t odd[] = { 0, 1, 511, 512, 4096, 0xffff, 0x10000, 0xffffff,
					0xffffffff, 0x80000000 };

	if (tame)
		return 512u * (1 + fuzz_below(f, 16));
	return fuzz_below(f, 3) ? 512u * fuzz_below(f, 200) : odd[fuzz_below(f, 10)];
}

/*
 * Configuration space, mostly of the functions named: base addresses that meet others' or
 * memory, commands that switch ranges and mastering off, MSI and MSI-X anywhere.
 */
static inline void any_config(struct fuzz *f, const uint8_t *devfn, unsigned n)
{
	static const uint32_t bars[] = { 0, 1, 0xe0000000, 0xe0100000, 0xe0104000, 0x100000, 0xfee00000,
					 0xfffc0000, 0xc001, 0xc101, 0x1f1, 0xcf9, 0xffffffff };
	unsigned fn = fuzz_below(f, 16) ? devfn[fuzz_below(f, n)] : fuzz_below(f, 256);
	unsigned reg = fuzz_below(f, 64) * 4, size = 1u << fuzz_below(f, 3);
	uint32_t val = (uint32_t)fuzz_next(f);

	switch (fuzz_below(f, 6)) {
	case 0:
		reg = PCI_COMMAND;
		val = fuzz_below(f, 4) ? 7 : fuzz_below(f, 8) | fuzz_below(f, 2) << 10;
		break;
	case 1 ... 2:
		reg = PCI_BAR0 + 4 * fuzz_below(f, 6);
		val = fuzz_below(f, 4) ? bars[fuzz_below(f, 13)] : val;
		size = 4;
		break;
	case 3:		/* capabilities */
		reg = 0x40 + fuzz_below(f, 48) * 2;
		val = fuzz_below(f, 3) ? (uint32_t[]){ 1, 0x8000, 0xc000, 0xfee00000, 0 }[fuzz_below(f, 5)] : val;
		size = 2u << fuzz_below(f, 2) & 6;
		break;
	}
	if (fuzz_below(f, 4))
		config(fn, reg, val, size);
	else
		bus_pio_read(&vm.bus, (uint16_t)(0xcfc + (reg & 3)), size);
}
#endif
