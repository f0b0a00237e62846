/* VEX maps: every opcode is #UD. */
#include "x86/table.h"

const struct x86_row x86_vex1[256], x86_vex2[256], x86_vex3[256];
