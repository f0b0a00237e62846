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
#include "bt/smp.h"
#include "vmm/access.h"

struct view {
	FILE *out;
	struct x86_text *guest, *host;
};

/* Host code [from, to) of the unit; left stands beside its first line. */
static void show_host(const struct view *w, const struct bt_unit *u, unsigned from,
		      unsigned to, const char *left)
{
	char text[128];

	if (from >= to && left[0])
		fprintf(w->out, "%s\n", left);
	while (from < to) {
		unsigned n = (unsigned)x86_text_insn(w->host, text, sizeof(text),
						     u->code + from, to - from, from);

		fprintf(w->out, "%-48s  %03x  %s\n", left, from, text);
		from += n;
		left = "";
	}
}

/* len: how much of the unit's guest code is to be shown. */
static void show_unit(const struct view *w, const struct bt_unit *u, const uint8_t *code,
		      unsigned len)
{
	unsigned at = 0, s = 0, begin = u->nsites ? u->site[0].host : u->exit_off;

	fprintf(w->out, "unit %08" PRIx64 ": %u bytes to %" PRIu32 ", %s\n", u->eip, u->len,
		u->code_len, u->form == BT_SOFT ? "soft" : "window");
	show_host(w, u, 0, begin, "  (entry)");
	for (unsigned i = 0; at < len; i++) {
		bool translated = s < u->nsites && u->site[s].index == i;
		unsigned from = translated ? u->site[s].host : 0, to = 0;
		char text[128], left[192];

		snprintf(left, sizeof(left), "%08" PRIx64 "  ", u->eip + at);
		at += (unsigned)x86_text_insn(w->guest, text, sizeof(text), code + at,
					      len - at, u->eip + at);
		snprintf(left + 10, sizeof(left) - 10, "%s%s", text,
			 translated ? "" : "  (interpreted)");
		/* Its host code ends where that of the next one begins that has any. */
		while (s < u->nsites && u->site[s].index <= i)
			s++;
		if (translated)
			to = s < u->nsites ? u->site[s].host : u->exit_off;
		show_host(w, u, from, to, left);
	}
	show_host(w, u, u->exit_off, u->code_len, "  (exits, slow paths)");
}

static int show_units(const struct view *w, struct vcpu *v, uint64_t eip, uint32_t len,
		      enum bt_form form, struct err *e)
{
	struct bt_vcpu *b = v->engine;
	uint64_t end = eip + len;

	while (eip < end) {
		const struct bt_unit *u;
		const uint8_t *code;
		uint64_t gpa;

		if (vcpu_fetch_gpa(v, bt_linear(b, eip), &gpa) != X86_OK ||
		    !(code = mem_ptr(v->vm->mem, gpa, 1)))
			return err_set(e, -EFAULT, "no code at %08" PRIx64, eip);
		bt_make_room(b);
		u = bt_translate(b->bt, b, gpa, eip, form, 0, false);
		if (!u)
			return err_set(e, -ENOMEM, "cannot translate %08" PRIx64, eip);
		show_unit(w, u, code, u->len < end - eip ? u->len : (unsigned)(end - eip));
		eip += u->len;
	}
	return 0;
}

int bt_disas(struct vcpu *v, uint64_t eip, uint32_t len, enum bt_form form,
	     FILE *out, struct err *e)
{
	struct bt_vcpu *b = v->engine;
	struct view w = { .out = out };
	int rc;

	bt_mode_set(b);
	if (b->mode == BT_MODE_NONE)
		return err_set(e, -ENOTSUP, "code in this processor mode is not translated");
	w.guest = x86_text_new(v->cpu.code_bits);
	w.host = x86_text_new(64);
	rc = w.guest && w.host ? show_units(&w, v, eip, len, form, e) :
		err_set(e, -ENOMEM, "out of memory");
	x86_text_free(w.guest);
	x86_text_free(w.host);
	return rc;
}
