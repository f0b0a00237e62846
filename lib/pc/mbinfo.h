#ifndef PC_MBINFO_H
#define PC_MBINFO_H
/*
 * The information that a Multiboot kernel is handed.
 * Spec: Multiboot Specification 0.6.96, 3.3; Multiboot2 Specification 2.0, 3.6.
 */

#include "pc/boot.h"

#define MBINFO1_BOOT_MAGIC 0x2badb002u
#define MBINFO2_BOOT_MAGIC 0x36d76289u
#define MBINFO2_FRAMEBUFFER 8u	/* type of information */

/* Its room, in bytes. */
#define MBINFO_MAX 0x10000u

/* Do command line and names fit into what is kept free for them? */
bool mbinfo_fits(const struct boot_request *rq);
/* Is information of this Multiboot2 type given? */
bool mbinfo2_has(uint32_t type);

/*
 * gpa          where it goes
 * module_addr  where each module was put
 * screen       say that there is a text screen: to a kernel that wants to hear of
 *              one.  Whatever mode it asks for, that of text may be given it.
 */
void mbinfo1_write(struct mem *m, uint32_t gpa, const struct boot_request *rq,
		   const uint32_t *module_addr, bool screen);
void mbinfo2_write(struct mem *m, uint32_t gpa, const struct boot_request *rq,
		   const uint32_t *module_addr, bool screen);
#endif
