/* smp.S without what a KVM that only emulates cannot do. */
#define SMP_EMULATED
#include "smp.S"
