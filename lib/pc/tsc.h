#ifndef PC_TSC_H
#define PC_TSC_H
#include <stdint.h>

/*
 * The host's TSC frequency in Hz: what CPUID says (leaf 0x15, or a hypervisor's
 * 0x40000010), else measured against CLOCK_MONOTONIC in 20 ms.
 * Spec: SDM vol. 2A, CPUID.
 */
uint64_t tsc_host_hz(void);
#endif
