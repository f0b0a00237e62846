#include "pc/aml.h"

#include <assert.h>
#include <string.h>

enum {
	OP_ZERO = 0x00, OP_ONE = 0x01, OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b,
	OP_DWORD = 0x0c, OP_QWORD = 0x0e, OP_SCOPE = 0x10, OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12, OP_METHOD = 0x14, OP_EXT = 0x5b, OP_ARG0 = 0x68,
	OP_STORE = 0x70, OP_EXT_DEVICE = 0x82, OP_IF = 0xa0, OP_RETURN = 0xa4,
};

/* Resource descriptors, ACPI 6.4.2 and 6.4.3 */
enum { RES_IRQ = 0x22, RES_IO = 0x47, RES_END = 0x79, RES_FIXED_MEM = 0x86,
	RES_DWORD_SPACE = 0x87, RES_WORD_SPACE = 0x88 };
enum { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_BUS = 2 };
/* General flags: producer, both ends fixed, positive decode. */
enum { SPACE_FIXED = 0x0c };

#define PKG_LEN_MAX 3	/* bytes of a package length that we may need */

void aml_byte(struct aml *a, uint8_t b)
{
	aml_bytes(a, &b, 1);
}

void aml_bytes(struct aml *a, const void *p, size_t n)
{
	if (a->full || a->size - a->len < n) {
		a->full = true;
		return;
	}
	memcpy(a->buf + a->len, p, n);
	a->len += n;
}

static void put_le(struct aml *a, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		aml_byte(a, (uint8_t)(v >> (8 * i)));
}

static void open_term(struct aml *a)
{
	assert(a->depth < AML_DEPTH);
	a->open[a->depth++] = a->len;
}

/* Insert the package length, which counts itself, before the contents. */
void aml_close(struct aml *a)
{
	size_t at, n;
	unsigned extra;
	uint8_t enc[PKG_LEN_MAX];

	assert(a->depth);
	at = a->open[--a->depth];
	n = a->len - at;
	extra = n + 1 < 0x40 ? 0 : n + 2 < 0x1000 ? 1 : 2;
	n += 1 + extra;
	enc[0] = (uint8_t)(extra ? extra << 6 | (n & 0x0f) : n);
	for (unsigned i = 1; i <= extra; i++)
		enc[i] = (uint8_t)(n >> (8 * i - 4));
	if (a->full || a->size - a->len < 1 + extra) {
		a->full = true;
		return;
	}
	memmove(a->buf + at + 1 + extra, a->buf + at, a->len - at);
	memcpy(a->buf + at, enc, 1 + extra);
	a->len += 1 + extra;
}

void aml_ref(struct aml *a, const char *name)
{
	aml_bytes(a, name, strlen(name));
}

void aml_scope(struct aml *a, const char *name)
{
	aml_byte(a, OP_SCOPE);
	open_term(a);
	aml_ref(a, name);
}

void aml_device(struct aml *a, const char *name)
{
	aml_byte(a, OP_EXT);
	aml_byte(a, OP_EXT_DEVICE);
	open_term(a);
	aml_ref(a, name);
}

void aml_method(struct aml *a, const char *name, unsigned args)
{
	aml_byte(a, OP_METHOD);
	open_term(a);
	aml_ref(a, name);
	aml_byte(a, (uint8_t)args);
}

void aml_if(struct aml *a)
{
	aml_byte(a, OP_IF);
	open_term(a);
}

void aml_package(struct aml *a, uint8_t elements)
{
	aml_byte(a, OP_PACKAGE);
	open_term(a);
	aml_byte(a, elements);
}

void aml_name(struct aml *a, const char *name)
{
	aml_byte(a, OP_NAME);
	aml_ref(a, name);
}

void aml_int(struct aml *a, uint64_t v)
{
	if (v <= 1) {
		aml_byte(a, v ? OP_ONE : OP_ZERO);
	} else if (v <= 0xff) {
		aml_byte(a, OP_BYTE);
		put_le(a, v, 1);
	} else if (v <= 0xffff) {
		aml_byte(a, OP_WORD);
		put_le(a, v, 2);
	} else if (v <= 0xffffffff) {
		aml_byte(a, OP_DWORD);
		put_le(a, v, 4);
	} else {
		aml_byte(a, OP_QWORD);
		put_le(a, v, 8);
	}
}

void aml_return(struct aml *a)
{
	aml_byte(a, OP_RETURN);
}

void aml_store_arg0(struct aml *a, const char *name)
{
	aml_byte(a, OP_STORE);
	aml_byte(a, OP_ARG0);
	aml_ref(a, name);
}

static unsigned hex(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

/* Three letters of 5 bits and four digits of 4, big-endian. */
void aml_hid(struct aml *a, const char *id)
{
	uint32_t v = 0;

	assert(strlen(id) == 7);
	for (unsigned i = 0; i < 3; i++)
		v = v << 5 | ((unsigned)(id[i] - '@') & 0x1f);
	for (unsigned i = 3; i < 7; i++)
		v = v << 4 | hex(id[i]);
	aml_name(a, "_HID");
	aml_byte(a, OP_DWORD);
	put_le(a, __builtin_bswap32(v), 4);
}

/* A buffer's length is a term before its bytes: always written as a word. */
void aml_crs_open(struct aml *a)
{
	aml_name(a, "_CRS");
	aml_byte(a, OP_BUFFER);
	open_term(a);
	aml_byte(a, OP_WORD);
	put_le(a, 0, 2);
}

void aml_crs_close(struct aml *a)
{
	size_t at = a->open[a->depth - 1] + 1, n;

	aml_byte(a, RES_END);
	aml_byte(a, 0);		/* no checksum */
	if (!a->full) {
		n = a->len - (at + 2);
		a->buf[at] = (uint8_t)n;
		a->buf[at + 1] = (uint8_t)(n >> 8);
	}
	aml_close(a);
}

void aml_crs_io(struct aml *a, uint16_t base, uint8_t len)
{
	aml_byte(a, RES_IO);
	aml_byte(a, 1);		/* decodes 16 bits */
	put_le(a, base, 2);
	put_le(a, base, 2);
	aml_byte(a, 1);		/* alignment */
	aml_byte(a, len);
}

void aml_crs_irq(struct aml *a, uint8_t irq)
{
	aml_byte(a, RES_IRQ);
	put_le(a, 1u << irq, 2);
}

void aml_crs_memory(struct aml *a, uint32_t base, uint32_t len)
{
	aml_byte(a, RES_FIXED_MEM);
	put_le(a, 9, 2);
	aml_byte(a, 1);		/* writable */
	put_le(a, base, 4);
	put_le(a, len, 4);
}

/* Granularity, minimum, maximum, translation, length: n bytes each. */
static void space(struct aml *a, uint8_t type, uint8_t flags, uint32_t first,
		  uint32_t last, unsigned n)
{
	aml_byte(a, n == 2 ? RES_WORD_SPACE : RES_DWORD_SPACE);
	put_le(a, 3 + 5 * n, 2);
	aml_byte(a, type);
	aml_byte(a, SPACE_FIXED);
	aml_byte(a, flags);
	put_le(a, 0, n);
	put_le(a, first, n);
	put_le(a, last, n);
	put_le(a, 0, n);
	put_le(a, (uint64_t)last - first + 1, n);
}

void aml_crs_bus(struct aml *a, uint8_t first, uint8_t last)
{
	space(a, SPACE_BUS, 0, first, last, 2);
}

void aml_crs_io_window(struct aml *a, uint16_t first, uint16_t last)
{
	space(a, SPACE_IO, 3, first, last, 2);		/* the entire range */
}

void aml_crs_memory_window(struct aml *a, uint32_t first, uint32_t last)
{
	space(a, SPACE_MEMORY, 1, first, last, 4);	/* writable, not cached */
}
