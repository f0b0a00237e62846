#ifndef BT_H
#define BT_H
/* The binary translator engine (16 and 32-bit guests). */
#include "vmm/vm.h"

extern const struct engine_ops bt_engine;

enum bt_form { BT_MIXED, BT_SOFT, BT_WINDOW };

/* Set before vm_create; in vm->engine_opts. */
struct bt_opts {
	enum bt_form form;	/* which access form may be used */
	bool verify;		/* lock-step with the interpreter */
};
#endif
