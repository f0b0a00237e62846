#include "vmm/vm.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static void futex_wake_all(_Atomic uint32_t *word)
{
	int saved = errno;	/* we may be in a signal handler */

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
	errno = saved;
}

void vcpu_request(struct vcpu *v, uint32_t bits)
{
	const struct engine_ops *engine = v->vm->engine;

	atomic_fetch_or(&v->req, bits);
	if (atomic_load(&v->sleeping))
		futex_wake_all(&v->req);
	else if (engine && v->engine)
		engine->kick(v);
}
