#ifndef DEV_VMBACKDOOR_H
#define DEV_VMBACKDOOR_H
/*
 * VMware's backdoor: a 32-bit IN from port 0x5658 with 'VMXh' in EAX and a
 * command in CX.  GETVERSION, GETHZ and GETVCPU_INFO, which Linux uses; other
 * commands read as all ones.
 * interp and bt let every privilege level call it (vmm/vmware.h); under kvm the
 * kernel decides (its kvm.enable_vmware_backdoor).
 * Source: Linux arch/x86/kernel/cpu/vmware.c, open-vm-tools backdoor_def.h.
 *
 * The handler reads and writes general registers of the vCPU whose thread it
 * runs on: an engine serves this port with vcpu.cpu.gpr current, and takes them
 * over afterwards.
 */

#include "base/err.h"
#include "vmm/vm.h"

enum vmbackdoor_cmd {
	VMBACKDOOR_GETVERSION = 10, VMBACKDOOR_GETHZ = 45,
	VMBACKDOOR_GETVCPU_INFO = 68,
};

struct vmbackdoor;

struct vmbackdoor *vmbackdoor_new(struct vm *vm, struct err *e);
void vmbackdoor_reset(struct vmbackdoor *b);
void vmbackdoor_free(struct vmbackdoor *b);
#endif
