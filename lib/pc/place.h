#ifndef PC_PLACE_H
#define PC_PLACE_H
/* Places of disks as users write them: scsi0:1, ide1:0. */

#include "pc/pc.h"

#define PLACE_LEN 16	/* bytes of one as text, with its NUL */

/* Set d's bus, channel and unit.  0, or -EINVAL: the message says what is wrong. */
int place_parse(struct pc_disk *d, const char *s, struct err *e);
void place_text(char buf[static PLACE_LEN], const struct pc_disk *d);

/* Are both at the same place? */
static inline bool place_same(const struct pc_disk *a, const struct pc_disk *b)
{
	return a->bus != PC_BUS_NONE && a->bus == b->bus && a->channel == b->channel &&
	       a->unit == b->unit;
}

/* By the names in which users give them; NULL ends the lists. */
extern const char *const place_adapters[PC_SCSI_KINDS + 1];	/* enum pc_scsi */
extern const char *const place_modes[];				/* enum pc_disk_mode */
#endif
