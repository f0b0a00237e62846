#ifndef DISK_FOREIGN_H
#define DISK_FOREIGN_H
/* What is taken for raw, and is more likely a disk of another product. */

#include "disk/image.h"

/*
 * What the first bytes of a raw image say that it is: "a qcow2 image", "a VHD", or a VMDK
 * of which a descriptor is left, ...
 * NULL: nothing of that kind, not raw, or cannot be read.  A guest can write such bytes
 * to a disk that is raw indeed: so it is for a person to decide.
 */
const char *image_foreign(const struct image *im);
#endif
