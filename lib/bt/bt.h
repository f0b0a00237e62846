#ifndef BT_H
#define BT_H
/* The binary translator engine. */
#include <stdio.h>

#include "vmm/vm.h"

extern const struct engine_ops bt_engine;

enum bt_form { BT_MIXED, BT_SOFT, BT_WINDOW };

/* Set before vm_create; in vm->engine_opts. */
struct bt_opts {
	enum bt_form form;	/* which access form may be used */
	bool verify;		/* lock-step with the interpreter */
};

/*
 * Translate guest code, without running it, and show guest and host code side
 * by side, unit by unit.
 *
 * v          a created vCPU of this engine, in the state to translate for
 * eip, len   offsets in CS (64-bit code: addresses), of RAM
 * form       BT_SOFT or BT_WINDOW
 * Returns    0, -ENOTSUP: this state is not translated, -ENOMEM, -EFAULT: no
 *            code there
 */
int bt_disas(struct vcpu *v, uint64_t eip, uint32_t len, enum bt_form form,
	     FILE *out, struct err *e);
#endif
