#ifndef KVM_H
#define KVM_H
/* The hardware engine on /dev/kvm. */
#include "vmm/vm.h"

extern const struct engine_ops kvm_engine;

/*
 * Can /dev/kvm here run a stock guest?  Runs a tiny guest with paging and SSE
 * in a VM of its own.
 * Returns    0, -ENOENT/-EACCES/-ENODEV: no device, -ENOTSUP: it cannot
 */
int kvm_probe_stock(struct err *e);
#endif
