/* What all formats share. */
#include "disk/extent.h"

void extent_close(struct extent *x)
{
	if (x)
		x->ops->close(x);
}
