#ifndef KVM_H
#define KVM_H
/*
 * The hardware engine on /dev/kvm.  Interrupt controllers and timers are ours
 * (lib/dev), so that they behave the same under every engine; KVM gets one
 * vector at a time.
 */
#include "vmm/vm.h"

extern const struct engine_ops kvm_engine;

/*
 * Can /dev/kvm here run a stock guest?  Runs a tiny guest with paging and SSE
 * in a VM of its own.
 * Returns    0, -ENOENT/-EACCES/-ENODEV: no device, -ENOTSUP: it cannot
 */
int kvm_probe_stock(struct err *e);

/*
 * The dirty log of a VM whose engine is kvm_engine.
 *
 * start      log from now on; MEM_PF_DIRTY of all pages is cleared
 * collect    set MEM_PF_DIRTY of the pages that the guest wrote since start or
 *            the last collect (devices set it themselves)
 * stop       log no more
 * Returns    0 or -errno of the kernel's
 */
int kvm_dirty_start(struct vm *vm, struct err *e);
int kvm_dirty_collect(struct vm *vm, struct err *e);
int kvm_dirty_stop(struct vm *vm, struct err *e);
#endif
