/* Which engine runs the machine. */
#include "pc/machine.h"

#include <errno.h>
#include <stdio.h>

#include "bt/bt.h"
#include "interp/interp.h"
#include "kvm/kvm.h"

struct accel {
	enum pc_accel accel;
	const struct engine_ops *ops;
	/* NULL, or whether auto may take it: 0 or -errno. */
	int (*probe_auto)(struct err *e);
};

/* In the order in which auto tries them. */
static const struct accel accels[] = {
	{ PC_ACCEL_KVM, &kvm_engine, kvm_probe_stock },
	{ PC_ACCEL_BT, &bt_engine, NULL },
	{ PC_ACCEL_INTERP, &interp_engine, NULL },
};

#define ACCELS (sizeof(accels) / sizeof(accels[0]))

static void say(struct pc *pc, const char *what, const char *why)
{
	char line[300];

	if (!pc->cfg.say)
		return;
	snprintf(line, sizeof(line), "accel: %s%s%s", what, why ? ": " : "", why ? why : "");
	pc->cfg.say(line);
}

static int try_one(struct pc *pc, const struct accel *a, struct err *e)
{
	int rc = a->ops->probe ? a->ops->probe(&pc->vm, e) : 0;

	if (!rc && pc->cfg.accel == PC_ACCEL_AUTO && a->probe_auto)
		rc = a->probe_auto(e);
	return rc ? err_in(e, rc, a->ops->name) : 0;
}

const struct engine_ops *accel_choose(struct pc *pc, struct err *e)
{
	struct err why = { 0 };

	err_set(e, -ENOTSUP, "this engine is not part of this build");
	for (unsigned i = 0; i < ACCELS; i++) {
		if (pc->cfg.accel != PC_ACCEL_AUTO && pc->cfg.accel != accels[i].accel)
			continue;
		if (!try_one(pc, &accels[i], &why)) {
			say(pc, accels[i].ops->name, NULL);
			return accels[i].ops;
		}
		*e = why;
		say(pc, "not", why.msg);
	}
	return NULL;
}

void pc_engines(void (*put)(void *ptr, const char *name, const char *why), void *ptr)
{
	for (unsigned i = 0; i < ACCELS; i++) {
		const struct engine_ops *ops = accels[i].ops;
		struct err e = { 0 };
		int rc = ops->probe ? ops->probe(NULL, &e) : 0;

		put(ptr, ops->name, rc ? e.msg : NULL);
	}
}
