#include "disk/pack.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

struct pack {
	unsigned level;
	struct libdeflate_compressor *deflate;	/* NULL: ISA-L */
	struct isal_zstream isal;
	uint8_t *work;
	size_t work_size;
};

static size_t isal_work(unsigned level)
{
	static const size_t size[] = {
		0, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT,
	};

	return size[level];
}

struct pack *pack_new(unsigned level)
{
	struct pack *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->level = level;
	if (level > 3) {
		p->deflate = libdeflate_alloc_compressor((int)level);
	} else {
		p->work_size = isal_work(level);
		p->work = malloc(p->work_size);
	}
	if (p->deflate || p->work)
		return p;
	pack_free(p);
	return NULL;
}

void pack_free(struct pack *p)
{
	if (!p)
		return;
	if (p->deflate)
		libdeflate_free_compressor(p->deflate);
	free(p->work);
	free(p);
}

size_t pack_deflate(struct pack *p, const void *in, size_t len, void *out, size_t room)
{
	struct isal_zstream *z = &p->isal;

	if (p->deflate)
		return libdeflate_zlib_compress(p->deflate, in, len, out, room);
	isal_deflate_stateless_init(z);
	z->next_in = (uint8_t *)in;
	z->avail_in = (uint32_t)len;
	z->next_out = out;
	z->avail_out = (uint32_t)room;
	z->end_of_stream = 1;
	z->flush = NO_FLUSH;
	z->gzip_flag = IGZIP_ZLIB;
	z->level = p->level;
	z->level_buf = p->work;
	z->level_buf_size = (uint32_t)p->work_size;
	return isal_deflate_stateless(z) == COMP_OK ? z->total_out : 0;
}

bool pack_inflate(const void *in, size_t len, void *buf, size_t out, size_t need)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	enum libdeflate_result r = LIBDEFLATE_BAD_DATA;
	size_t used, got = 0;

	if (d)
		r = libdeflate_zlib_decompress_ex(d, in, len, buf, out, &used, &got);
	libdeflate_free_decompressor(d);
	if (r != LIBDEFLATE_SUCCESS || got < need)
		return false;
	memset((char *)buf + got, 0, out - got);
	return true;
}
