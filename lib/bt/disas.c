/*
 * Guest and host code side by side.
 *
 *	00100003  add eax, ebx                     04d  add eax, ebx
 *	00100005  cpuid                            04f  mov r11, rax
 *	                                           052  lahf
 *
 * The third column is the offset in the unit's host code, which is also what the
 * host's jumps inside the unit show.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "bt/bt.h"
#include "bt/gen.h"
#include "vmm/access.h"

/* Host code [from, to) of the unit; left stands beside its first line. */
static void show_host(FILE *out, const struct bt_unit *u, unsigned from, unsigned to,
		      const char *left)
{
	char text[128];

	if (from >= to && left[0])
		fprintf(out, "%s\n", left);
	while (from < to) {
		unsigned n = (unsigned)x86_disas(text, sizeof(text), u->code + from,
						 to - from, from, 64);

		fprintf(out, "%-48s  %03x  %s\n", left, from, text);
		from += n;
		left = "";
	}
}

/* Where the host code of guest instruction i ends: where the next one begins
 * that has any, or the unit's exits. */
static unsigned host_end(const struct bt_unit *u, unsigned i)
{
	for (unsigned s = 0; s < u->nsites; s++)
		if (u->site[s].index > i)
			return u->site[s].host;
	return u->exit_off;
}

static const struct bt_site *first_site(const struct bt_unit *u, unsigned i)
{
	for (unsigned s = 0; s < u->nsites; s++)
		if (u->site[s].index == i)
			return &u->site[s];
	return NULL;
}

/* len: how much of the unit's guest code is to be shown. */
static void show_unit(FILE *out, const struct bt_unit *u, const uint8_t *code,
		      unsigned len, unsigned bits)
{
	unsigned at = 0, begin = u->nsites ? u->site[0].host : u->exit_off;

	fprintf(out, "unit %08" PRIx32 ": %u bytes to %" PRIu32 ", %s\n", u->eip, u->len,
		u->code_len, u->form == BT_SOFT ? "soft" : "window");
	show_host(out, u, 0, begin, "  (entry)");
	for (unsigned i = 0; at < len; i++) {
		const struct bt_site *s = first_site(u, i);
		char text[128], left[192];

		snprintf(left, sizeof(left), "%08" PRIx32 "  ", u->eip + at);
		at += (unsigned)x86_disas(text, sizeof(text), code + at, len - at,
					  u->eip + at, bits);
		snprintf(left + 10, sizeof(left) - 10, "%s%s", text,
			 s ? "" : "  (interpreted)");
		show_host(out, u, s ? s->host : 0, s ? host_end(u, i) : 0, left);
	}
	show_host(out, u, u->exit_off, u->code_len, "  (exits, slow paths)");
}

int bt_disas(struct vcpu *v, uint32_t eip, uint32_t len, enum bt_form form,
	     FILE *out, struct err *e)
{
	struct bt_vcpu *b = v->engine;
	uint32_t end = eip + len;

	bt_mode_set(b);
	if (b->mode == BT_MODE_NONE)
		return err_set(e, -ENOTSUP, "code in this processor mode is not translated");
	while (eip < end) {
		const struct bt_unit *u;
		const uint8_t *code;
		uint64_t gpa;

		if (vcpu_fetch_gpa(v, eip, &gpa) != X86_OK ||
		    !(code = mem_ptr(v->vm->mem, gpa, 1)))
			return err_set(e, -EFAULT, "no code at %08" PRIx32, eip);
		u = bt_translate(b->bt, b, gpa, eip, form, 0);
		if (!u)
			return err_set(e, -ENOMEM, "cannot translate %08" PRIx32, eip);
		show_unit(out, u, code, u->len < end - eip ? u->len : end - eip,
			  v->cpu.code_bits);
		eip += u->len;
	}
	return 0;
}
