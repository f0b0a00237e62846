#ifndef VMM_VMWARE_H
#define VMM_VMWARE_H
/*
 * VMware's backdoor as engines see it: the device is dev/vmbackdoor.h.
 * Source: open-vm-tools backdoor_def.h; Linux arch/x86/kvm/x86.c,
 * enable_vmware_backdoor.
 */

#include <stdbool.h>

#include "x86/cpu.h"

#define VMWARE_PORT	0x5658
#define VMWARE_MAGIC	0x564d5868u

/*
 * Is this IN a call of the backdoor?  Then it is nobody's business what IOPL and
 * the I/O permission bitmap say: VMware's programs in the guest call it at CPL 3.
 *
 * port, size   of a single IN to EAX; size in bytes
 */
static inline bool vmware_call(const struct x86_cpu *c, uint16_t port, unsigned size)
{
	return port == VMWARE_PORT && size == 4 &&
		(uint32_t)c->gpr[X86_RAX] == VMWARE_MAGIC;
}
#endif
