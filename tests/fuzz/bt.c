/*
 * The translator on bytes that mean nothing, or nearly something, in every mode
 * it knows and both forms: translated, not executed (tests/unit/bt_diff does
 * that).  What a unit says of itself must hold.
 */
#include <string.h>

#include "../unit/bt_rig.h"
#include "bt/gen.h"
#include "bt/smp.h"
#include "fuzz.h"

#define MODES (BT_M_USER | BT_M_PAGING | BT_M_DS | BT_M_ES | BT_M_X87 | BT_M_SSE | \
	       BT_M_AVX | BT_M_DF | BT_M_TSC | BT_M_SEG | BT_M_CODE16 | BT_M_STACK16 | BT_M_REAL)

static void fill(struct fuzz *f, uint8_t *b, size_t n)
{
	static const uint8_t lead[] = {
		0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x65, 0x0f, 0xc4, 0xc5,
	};
	unsigned kind = fuzz_below(f, 3);

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)fuzz_next(f);
	if (kind == 1)		/* many prefixes and long opcodes */
		for (size_t i = 0; i < n; i += 1 + fuzz_below(f, 8))
			b[i] = lead[fuzz_below(f, sizeof(lead))];
	if (kind == 2)		/* many memory operands: opcodes that take one */
		for (size_t i = 0; i + 2 < n; i += 3 + fuzz_below(f, 4)) {
			b[i] = (uint8_t)(fuzz_below(f, 8) * 8 | fuzz_below(f, 4));
			b[i + 1] &= 0x3f;
		}
}

static uint32_t random_mode(struct fuzz *f)
{
	uint32_t m = BT_M_VALID | ((uint32_t)fuzz_next(f) & MODES);

	/* As bt_mode() makes them: 64-bit code, which knows no segments; else without SEG
	 * all is flat 32-bit code. */
	if (!fuzz_below(f, 2)) {
		m &= BT_M_VALID | BT_M_USER | BT_M_X87 | BT_M_SSE | BT_M_AVX | BT_M_DF | BT_M_TSC;
		return m | BT_M_LONG | BT_M_PAGING |
		       (m & BT_M_USER || fuzz_below(f, 2) ? 0 : BT_M_HIGH);
	}
	if (m & BT_M_SEG)
		return m & ~(uint32_t)(BT_M_DS | BT_M_ES);
	return m & ~(uint32_t)(BT_M_CODE16 | BT_M_STACK16 | BT_M_REAL);
}

static void check_unit(const struct bt *bt, const struct bt_unit *u)
{
	unsigned last = 0;

	fuzz_check(u->len >= 1 && u->len <= 255 + X86_INSN_MAX, "%u bytes", u->len);
	fuzz_check(u->code_len <= TC_UNIT_MAX && u->exit_off <= u->code_len, "%u of %u",
		   u->exit_off, u->code_len);
	for (unsigned i = 0; i < u->nsites; i++) {
		const struct bt_site *s = &u->site[i];

		fuzz_check(s->host >= last && s->host <= u->code_len, "site %u at %u", i, s->host);
		fuzz_check(s->guest < u->len && s->index < BT_INSNS_MAX, "site %u: %u", i, s->guest);
		last = s->host;
	}
	fuzz_check(u->nlinks <= BT_LINKS_MAX, "%u links", u->nlinks);
	for (unsigned i = 0; i < u->nlinks; i++) {
		const uint8_t *slot = u->link[i].slot - bt->tc.len;

		fuzz_check(slot > u->code && slot + 4 <= u->code + u->code_len, "link %u", i);
		fuzz_check(((uintptr_t)u->link[i].slot & 7) <= 4, "slot %u is not in 8 bytes", i);
	}
}

int main(int argc, char **argv)
{
	struct bt_unit *u;
	struct rig r;
	struct fuzz f;
	struct bt_vcpu *b;
	struct bt *bt;
	uint64_t units = 0;

	rig_new(&r, &bt_engine, BT_MIXED, false);
	bt = r.vm.engine_vm;
	b = r.v->engine;
	rig_tables(rig_at(&r, 0));
	fuzz_start(&f, argc, argv);
	while (fuzz_more(&f)) {
		uint32_t at = RIG_CODE + fuzz_below(&f, 8192);

		rig_cpu(&r.v->cpu, fuzz_below(&f, 3), fuzz_below(&f, 2) ? 3 : 0);
		tlb_flush(&r.v->tlb);
		fill(&f, rig_at(&r, at), 300);
		b->mode = random_mode(&f);
		bt_make_room(b);
		u = bt_translate(bt, b, at, b->mode & BT_M_HIGH ? at | 0xffff888000000000 : at,
				 fuzz_below(&f, 2) ? BT_SOFT : BT_WINDOW,
				 fuzz_below(&f, 2) ? fuzz_next(&f) : 0, fuzz_below(&f, 8) == 0);
		if (!u)
			continue;
		check_unit(bt, u);
		units++;
		if (fuzz_below(&f, 2))
			unit_drop(bt, u);
	}
	fuzz_check(units > f.runs / 4, "%llu units", (unsigned long long)units);
	rig_free(&r);
	return fuzz_done(&f);
}
