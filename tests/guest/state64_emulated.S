/* state64, as far as a /dev/kvm that only emulates can go. */
#define STATE_EMULATED
#include "state64.S"
