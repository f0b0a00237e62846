#ifndef X86_DECODE_H
#define X86_DECODE_H
/* What the decoder's two files share: the instruction under way. */

#include <errno.h>

#include "x86/table.h"

struct x86_dec {
	struct x86_insn *in;
	const uint8_t *buf;
	unsigned pos, end;	/* end <= X86_INSN_MAX */
	bool w;			/* REX.W, VEX.W; in 64-bit code only */
	bool vex_w;		/* VEX.W in any mode */
	uint8_t vvvv;		/* VEX.vvvv, not inverted */
	bool only32;		/* in 64-bit code the bytes would mean something else */
};

/* Longer than 15 bytes is a #GP, whatever the bytes beyond would be. */
static inline int x86_fetch8(struct x86_dec *d, uint8_t *val)
{
	if (d->pos >= d->end)
		return d->end == X86_INSN_MAX ? -E2BIG : -EAGAIN;
	*val = d->buf[d->pos++];
	return 0;
}

static inline int x86_modrm_fetch(struct x86_dec *d)
{
	struct x86_insn *in = d->in;

	if (in->has_modrm)
		return 0;
	in->has_modrm = true;
	in->modrm_off = d->pos;
	return x86_fetch8(d, &in->modrm);
}

/* Decode the operands that the row's letters name; 0 or -errno. */
int x86_operands_decode(struct x86_dec *d, const struct x86_row *row);
#endif
