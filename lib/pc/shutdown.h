#ifndef PC_SHUTDOWN_H
#define PC_SHUTDOWN_H
/* What a triple fault means. */
#include "vmm/vm.h"

/*
 * Was it asked for?  Systems whose other ways of resetting have failed empty the
 * IDT and execute an interrupt instruction (Linux reboot=t, BSDs): a PC resets
 * when its processor shuts down.  Every other triple fault is a crash.
 *
 * v   stopped by VCPU_EXIT_SHUTDOWN, its state synced out
 */
bool shutdown_is_reset(const struct vcpu *v);
#endif
