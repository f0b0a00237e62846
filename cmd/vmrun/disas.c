/* vmrun disas: what the translator makes of a piece of code. */
#include <errno.h>
#include <stdio.h>

#include "pc/disas.h"
#include "vmrun.h"

struct disas_args {
	uint64_t at, offset, length;
	unsigned bits;
	int form;
};

#define AT(field) offsetof(struct disas_args, field)

const struct cli_opt disas_opts[] = {
	{ "bits", 0, CLI_NUMBER, "16|32|64", AT(bits), 0, 64,
	  "real mode, flat protected mode (the default),\n"
	  "or long mode" },
	{ "at", 0, CLI_ADDRESS, "ADDR", AT(at), 0, UINT64_MAX,
	  "address of the first byte (default 0x100000, with\n"
	  "--bits 16 0x7c00)" },
	{ "offset", 0, CLI_OFFSET, "N", AT(offset), 0, INT64_MAX,
	  "where in FILE the code begins, in bytes (default 0)" },
	{ "length", 0, CLI_OFFSET, "N", AT(length), 1, PC_DISAS_MAX,
	  "how many bytes of code (default all, at most 1M)" },
	{ "bt-form", 0, CLI_CHOICE, "soft|window", AT(form), 0, 0,
	  "how guest memory is accessed (default soft)" },
	{ NULL },
};

int disas_main(struct cli *c, int argc, char **argv)
{
	static const enum bt_form forms[] = { BT_SOFT, BT_WINDOW };
	struct disas_args a = { .at = UINT64_MAX, .bits = 32 };
	struct pc_disas d = { 0 };
	struct err e = { 0 };
	int rc = cli_parse(c, &a, &argc, argv);

	if (rc >= 0)
		return rc;
	if (argc != 1) {
		cli_say(c, argc ? "more than one FILE" : "FILE is missing");
		return CLI_USAGE;
	}
	d.path = argv[0];
	d.offset = a.offset;
	d.length = a.length;
	d.bits = a.bits;
	d.at = a.at != UINT64_MAX ? a.at : a.bits == 16 ? 0x7c00 : 0x100000;
	d.form = forms[a.form];
	rc = pc_disas(&d, stdout, &e);
	if (rc == -ERANGE)
		err_in(&e, rc, "--at");
	if (rc == -ENOTSUP)
		err_in(&e, rc, "--bits");
	return rc ? cli_fail(c, &e) : CLI_DONE;
}
