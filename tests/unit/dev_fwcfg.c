/* fw_cfg: items, the directory, reads through the port and by DMA; port 0x402. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "base/le.h"
#include "dev/fwcfg.h"
#include "dev/fwdebug.h"
#include "dev_vm.h"

enum { DESC = 0x1000, BUF = 0x2000 };
enum { ERROR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };

static void select_key(unsigned key)
{
	bus_pio_write(&test_vm.bus, 0x510, key, 2);
}

static void read_bytes(void *to, unsigned n)
{
	uint8_t *p = to;

	while (n--)
		*p++ = inb(0x511);
}

static uint32_t be32_read(void)
{
	uint32_t v;

	read_bytes(&v, 4);
	return __builtin_bswap32(v);
}

/* A transfer described at gpa; what its control word is then. */
static uint32_t dma(uint64_t gpa, uint32_t control, uint32_t len, uint64_t to)
{
	uint8_t d[16];

	le32_put(d, __builtin_bswap32(control));
	le32_put(d + 4, __builtin_bswap32(len));
	le64_put(d + 8, __builtin_bswap64(to));
	mem_write(test_vm.mem, gpa, d, sizeof(d));
	bus_pio_write(&test_vm.bus, 0x514, __builtin_bswap32((uint32_t)(gpa >> 32)), 4);
	bus_pio_write(&test_vm.bus, 0x518, __builtin_bswap32((uint32_t)gpa), 4);
	mem_read(test_vm.mem, gpa, d, 4);
	return __builtin_bswap32(le32_get(d));
}

static void test_port(void)
{
	char s[8];

	select_key(0);
	read_bytes(s, 6);
	check(!memcmp(s, "QEMU\0\0", 6), "signature, then zeros");
	select_key(1);
	read_bytes(s, 4);
	check(le32_get(s) == 3, "port and DMA");
	select_key(7);
	check(inb(0x511) == 0, "an item that is not there");
	select_key(0x8000);
	check(inb(0x511) == 0, "nor there");
	select_key(0x4000);
	check(inb(0x511) == 'Q', "to be written: as to be read");
	outb(0x511, 'X');
	select_key(0);
	check(inb(0x511) == 'Q', "not written");
	for (unsigned i = 0; i < 8; i++)
		check(inb((uint16_t)(0x514 + i)) == "QEMU CFG"[i], "DMA signature %u", i);
}

static void test_directory(struct fwcfg *f)
{
	struct err e = { 0 };
	char name[56];
	unsigned n;

	fwcfg_set_file(f, "etc/one", "hello", 5, &e);
	fwcfg_set_file(f, "etc/two", "", 0, &e);
	fwcfg_set_file(f, "etc/one", "hell", 4, &e);
	select_key(0x19);
	n = be32_read();
	check(n == 2, "%u files", n);
	check(be32_read() == 4, "size");
	check(be32_read() == 0x20 << 16, "number");
	read_bytes(name, 56);
	check(!strcmp(name, "etc/one"), "%s", name);
	check(be32_read() == 0 && be32_read() == 0x21 << 16, "the second");
	select_key(0x20);
	read_bytes(name, 6);
	check(!memcmp(name, "hell\0\0", 6), "contents");
	for (n = 2; n < FWCFG_FILES; n++) {
		snprintf(name, sizeof(name), "%055u", n);
		check(!fwcfg_set_file(f, name, &n, 4, &e), "file %u: %s", n, e.msg);
	}
	check(fwcfg_set_file(f, "etc/more", &n, 4, &e) == -ENOSPC, "full");
	check(!fwcfg_set_file(f, "etc/one", "h", 1, &e), "old ones can still change");
	fwcfg_set_file(f, "etc/one", "hello", 5, &e);
	select_key(0x19);
	check(be32_read() == FWCFG_FILES, "all");
}

static void test_dma(void)
{
	char got[16];

	mem_write(test_vm.mem, BUF, "0123456789", 10);
	check(dma(DESC, 0x20 << 16 | SELECT | READ, 7, BUF) == 0, "select and read");
	mem_read(test_vm.mem, BUF, got, 8);
	check(!memcmp(got, "hello\0\0007", 8), "zeros behind the end, and no more");
	check(dma(DESC, 0x20 << 16 | SELECT | SKIP, 2, 0) == 0, "skip");
	check(dma(DESC, READ, 2, BUF) == 0 && inb(0x511) == 'o', "read on, by port as well");
	mem_read(test_vm.mem, BUF, got, 2);
	check(!memcmp(got, "ll", 2), "from there");
	check(dma(DESC, SKIP, FWCFG_DMA_MAX, 0) == 0 && inb(0x511) == 0, "far behind the end");
	check(dma(DESC, WRITE, 1, BUF) == ERROR, "nothing can be written");
	check(dma(DESC, READ, FWCFG_DMA_MAX + 1, BUF) == ERROR, "too long");
	check(dma(DESC, READ, 8, test_vm.mem->ram_size - 4) == ERROR, "beyond memory");
	check(dma(DESC, READ, 8, UINT64_MAX - 3) == ERROR, "around the end");
	check(dma(DESC, READ, 0, UINT64_MAX) == 0, "nothing to nowhere");
	check(dma(DESC, 0, 0xffffffff, 0) == 0, "nothing at all");
	check(dma(DESC, 0x20 << 16 | SELECT | READ, 16, DESC) == 0, "over itself");
	bus_pio_write(&test_vm.bus, 0x514, 0xffffffff, 4);
	bus_pio_write(&test_vm.bus, 0x518, 0xffffffff, 4);
	check(dma(DESC, READ, 1, BUF) == 0, "a description in no memory is forgotten");
}

static unsigned asked;

static void before(void *ptr, const char *name)
{
	struct err e;

	asked++;
	if (!strcmp(name, "etc/one"))
		fwcfg_set_file(ptr, name, "newer", 5, &e);
}

static void test_on_read(struct fwcfg *f)
{
	fwcfg_on_read(f, before, f);
	select_key(0x20);
	check(inb(0x511) == 'n' && inb(0x511) == 'e' && asked == 1, "as it is now");
	select_key(0);
	check(asked == 1, "files only");
	fwcfg_reset(f);
	check(inb(0x511) == 'Q', "reset selects the signature");
	fwcfg_on_read(f, NULL, NULL);
}

static void test_fuzz(void)
{
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t r = test_random();
		uint64_t gpa = r >> 1 & 1 ? DESC + (r >> 8 & 0x1fff) : test_random();

		if (r & 1)
			dma(gpa, (uint32_t)(r >> 20) & 0x3f001f,
			    (uint32_t)test_random() >> (r >> 50 & 31),
			    r >> 2 & 1 ? test_random() & 0x1fffff : test_random());
		test_fuzz_pio(0x510, 12, 4);
	}
}

static void test_debug(void)
{
	struct fwdebug *d = fwdebug_new(&test_vm, NULL);
	char *text = NULL;
	size_t len = 0;

	test_vm.trace.out = open_memstream(&text, &len);
	check(inb(0x402) == 0xff, "no trace, no port");
	test_vm.trace.kinds = TRACE_FIRMWARE;
	check(inb(0x402) == 0xe9, "there");
	for (const char *s = "one\r\ntwo\x1b\n\n"; *s; s++)
		outb(0x402, (uint8_t)*s);
	for (unsigned i = 0; i < 300; i++)
		outb(0x402, 'a');
	fwdebug_reset(d);
	trace_flush(&test_vm.trace);
	check(text && !strncmp(text, "firmware: one\nfirmware: two\nfirmware: aaa", 41), "%s", text);
	check(len == 28 + 10 + 200 + 1 + 10 + 100 + 1, "long lines are cut: %zu", len);
	fwdebug_free(d);
	fclose(test_vm.trace.out);
	test_vm.trace = (struct trace){ 0 };
	free(text);
}

int main(void)
{
	struct err e = { 0 };
	struct fwcfg *f;

	test_vm_init(1);
	test_vm.mem = mem_new(2 << 20, 0, &e);
	f = fwcfg_new(&test_vm, &e);
	check(f && test_vm.mem, "%s", e.msg);
	check(!fwcfg_new(&test_vm, &e), "one is enough");
	test_port();
	test_directory(f);
	test_dma();
	test_on_read(f);
	test_debug();
	test_fuzz();
	fwcfg_free(f);
	mem_free(test_vm.mem);
	test_vm_done();
	return check_done();
}
