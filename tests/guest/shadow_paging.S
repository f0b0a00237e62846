/* shadow.S with paging, at both privilege levels. */
#define PAGING
#include "shadow.S"
