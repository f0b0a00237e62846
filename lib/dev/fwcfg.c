#include "dev/fwcfg.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "vmm/dma.h"

/* Offsets from FWCFG_PORT. */
enum { SELECT = 0, DATA = 1, DMA_HIGH = 4, DMA_LOW = 8, PORTS = 12 };
/* Bits of a selector beside the number. */
enum { KEY_WRITE = 0x4000, KEY_MASK = 0x3fff, KEY_ARCH = 0x8000 };
enum { ID_PORTS = 1, ID_DMA = 2 };
/* A transfer's description in memory, all big-endian: control, length, address. */
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
enum { DMA_LENGTH = 4, DMA_ADDRESS = 8, DMA_LEN = 16 };
/* A directory entry: size, number, both big-endian, a name. */
enum { DIR_SIZE = 0, DIR_KEY = 4, DIR_NAME = 8, DIR_ENTRY = 64, DIR_COUNT = 4 };
enum { CHUNK = 4096 };

struct item {
	uint8_t *data;
	uint32_t len;
	char name[FWCFG_NAME_MAX + 1];
};

struct fwcfg {
	struct vm *vm;
	struct item item[FWCFG_FILE0 + FWCFG_FILES];
	unsigned nfiles;
	uint16_t key;
	uint32_t at;		/* the next byte of the selected item */
	uint32_t dma_high;
	void (*on_read)(void *ptr, const char *name);
	void *on_read_ptr;
};

static uint32_t be32(uint32_t v)
{
	return __builtin_bswap32(v);
}

/* --- what there is to read ------------------------------------------------------------ */

static int item_set(struct item *it, const void *data, uint32_t len, struct err *e)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	memcpy(copy, data, len);
	free(it->data);
	it->data = copy;
	it->len = len;
	return 0;
}

int fwcfg_set(struct fwcfg *f, unsigned key, const void *data, uint32_t len, struct err *e)
{
	assert(key < FWCFG_FILE0);
	return item_set(&f->item[key], data, len, e);
}

static int directory_make(struct fwcfg *f, struct err *e)
{
	uint8_t dir[DIR_COUNT + FWCFG_FILES * DIR_ENTRY] = { 0 };

	le32_put(dir, be32(f->nfiles));
	for (unsigned i = 0; i < f->nfiles; i++) {
		const struct item *it = &f->item[FWCFG_FILE0 + i];
		uint8_t *p = dir + DIR_COUNT + i * DIR_ENTRY;

		le32_put(p + DIR_SIZE, be32(it->len));
		le16_put(p + DIR_KEY, __builtin_bswap16((uint16_t)(FWCFG_FILE0 + i)));
		memcpy(p + DIR_NAME, it->name, sizeof(it->name));
	}
	return fwcfg_set(f, FWCFG_DIR, dir, DIR_COUNT + f->nfiles * DIR_ENTRY, e);
}

int fwcfg_set_file(struct fwcfg *f, const char *name, const void *data, uint32_t len,
		   struct err *e)
{
	unsigned i = 0;
	struct item *it;
	int rc;

	assert(strlen(name) <= FWCFG_NAME_MAX);
	while (i < f->nfiles && strcmp(f->item[FWCFG_FILE0 + i].name, name))
		i++;
	if (i == FWCFG_FILES)
		return err_set(e, -ENOSPC, "too many files for firmware");
	it = &f->item[FWCFG_FILE0 + i];
	rc = item_set(it, data, len, e);
	if (rc)
		return rc;
	if (i == f->nfiles) {	/* else the name may be the file's own: fwcfg_on_read() */
		strcpy(it->name, name);
		f->nfiles++;
	}
	return directory_make(f, e);
}

void fwcfg_on_read(struct fwcfg *f, void (*fn)(void *ptr, const char *name), void *ptr)
{
	f->on_read = fn;
	f->on_read_ptr = ptr;
}

/* --- reading ---------------------------------------------------------------------------- */

/* The selected item, or NULL. */
static const struct item *selected(const struct fwcfg *f)
{
	unsigned key = f->key & KEY_MASK;

	if (f->key & KEY_ARCH || key >= FWCFG_FILE0 + FWCFG_FILES || !f->item[key].data)
		return NULL;
	return &f->item[key];
}

static void select_item(struct fwcfg *f, uint16_t key)
{
	const struct item *it;

	f->key = key;
	f->at = 0;
	it = selected(f);
	if (it && it->name[0] && f->on_read)
		f->on_read(f->on_read_ptr, it->name);
}

/* The next n bytes; what is behind the item's end is zeros. */
static void take(struct fwcfg *f, uint8_t *buf, uint32_t n)
{
	const struct item *it = selected(f);
	uint32_t have = it && f->at < it->len ? it->len - f->at : 0;

	if (have > n)
		have = n;
	if (have)
		memcpy(buf, it->data + f->at, have);
	memset(buf + have, 0, n - have);
	f->at += have;
}

static void skip(struct fwcfg *f, uint32_t n)
{
	const struct item *it = selected(f);

	if (it)
		f->at = it->len - f->at < n ? it->len : f->at + n;
}

static bool dma_out(struct fwcfg *f, uint64_t gpa, uint32_t len)
{
	uint8_t buf[CHUNK];

	while (len) {
		uint32_t n = len < CHUNK ? len : CHUNK;

		take(f, buf, n);
		if (!dma_write(f->vm->mem, gpa, buf, n))
			return false;
		gpa += n;
		len -= n;
	}
	return true;
}

/* Carry out the transfer described at gpa; its control word becomes 0, or an error. */
static void dma_run(struct fwcfg *f, uint64_t gpa)
{
	uint8_t desc[DMA_LEN], done[4];
	uint32_t control, len;
	uint64_t addr;
	bool ok = true;

	if (!f->vm->mem || !dma_read(f->vm->mem, gpa, desc, DMA_LEN))
		return;
	control = be32(le32_get(desc));
	len = be32(le32_get(desc + DMA_LENGTH));
	addr = __builtin_bswap64(le64_get(desc + DMA_ADDRESS));
	if (control & DMA_SELECT)
		select_item(f, (uint16_t)(control >> 16));
	if (len > FWCFG_DMA_MAX)
		ok = !(control & (DMA_READ | DMA_WRITE | DMA_SKIP));
	else if (control & DMA_READ)
		ok = dma_out(f, addr, len);
	else if (control & DMA_WRITE)
		ok = false;
	else if (control & DMA_SKIP)
		skip(f, len);
	le32_put(done, be32(ok ? 0 : DMA_ERROR));
	dma_write(f->vm->mem, gpa, done, sizeof(done));
}

static uint64_t fwcfg_read(void *ptr, uint64_t off, unsigned size)
{
	static const char signature[] = "QEMU CFG";
	struct fwcfg *f = ptr;
	uint64_t v = 0;
	uint8_t b;

	if (off >= DMA_HIGH) {
		memcpy(&v, signature + (off - DMA_HIGH), size);
		return v;
	}
	if (off != DATA || size != 1)
		return ~0ull;
	take(f, &b, 1);
	return b;
}

static void fwcfg_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct fwcfg *f = ptr;

	if (off == SELECT && size == 2)
		select_item(f, (uint16_t)val);
	else if (off == DMA_HIGH && size == 4)
		f->dma_high = be32((uint32_t)val);
	else if (off == DMA_LOW && size == 4)
		dma_run(f, (uint64_t)f->dma_high << 32 | be32((uint32_t)val));
	if (off == DMA_LOW)
		f->dma_high = 0;
}

/* --- life ------------------------------------------------------------------------------- */

void fwcfg_reset(struct fwcfg *f)
{
	f->key = FWCFG_SIGNATURE;
	f->at = 0;
	f->dma_high = 0;
}

struct fwcfg *fwcfg_new(struct vm *vm, struct err *e)
{
	struct fwcfg *f = calloc(1, sizeof(*f));
	struct bus_range r = { .base = FWCFG_PORT, .len = PORTS, .read = fwcfg_read,
			       .write = fwcfg_write, .ptr = f, .name = "fwcfg" };
	uint8_t id[4];
	int rc;

	if (!f) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	f->vm = vm;
	le32_put(id, ID_PORTS | ID_DMA);
	rc = fwcfg_set(f, FWCFG_SIGNATURE, "QEMU", 4, e);
	if (!rc)
		rc = fwcfg_set(f, FWCFG_ID, id, sizeof(id), e);
	if (!rc)
		rc = directory_make(f, e);
	if (!rc)
		rc = bus_add_pio(&vm->bus, r, e);
	if (!rc)
		return f;
	for (unsigned i = 0; i < FWCFG_FILE0 + FWCFG_FILES; i++)
		free(f->item[i].data);
	free(f);
	return NULL;
}

void fwcfg_free(struct fwcfg *f)
{
	if (!f)
		return;
	bus_del_pio(&f->vm->bus, FWCFG_PORT);
	for (unsigned i = 0; i < FWCFG_FILE0 + FWCFG_FILES; i++)
		free(f->item[i].data);
	free(f);
}
