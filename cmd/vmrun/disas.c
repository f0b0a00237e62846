/* vmrun disas: what the translator makes of a piece of code. */
#include <stdio.h>

#include "pc/disas.h"
#include "vmrun.h"

struct disas_args {
	uint64_t at;
	int form;
};

#define AT(field) offsetof(struct disas_args, field)

const struct cli_opt disas_opts[] = {
	{ "at", 0, CLI_ADDRESS, "ADDR", AT(at), 0x10000, MEM_LOW_MAX - 2 * PC_DISAS_MAX,
	  "address of the first byte (default 0x100000)" },
	{ "bt-form", 0, CLI_CHOICE, "soft|window", AT(form), 0, 0,
	  "how guest memory is accessed (default soft)" },
	{ NULL },
};

int disas_main(struct cli *c, int argc, char **argv)
{
	static const enum bt_form forms[] = { BT_SOFT, BT_WINDOW };
	struct disas_args a = { .at = 0x100000 };
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
	d.at = a.at;
	d.form = forms[a.form];
	return pc_disas(&d, stdout, &e) ? cli_fail(c, &e) : CLI_DONE;
}
