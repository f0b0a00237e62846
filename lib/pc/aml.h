#ifndef PC_AML_H
#define PC_AML_H
/*
 * A small writer of ACPI Machine Language.
 * Spec: ACPI 6.4, section 20 "ACPI Machine Language Specification"; section 6.4
 * for resource descriptors.
 *
 * Terms that hold others are opened and closed; aml_close() puts the package
 * length in.  A writer that has run full stays full: aml_ok() says so.
 *
 * Example: Scope (\_SB) { Name (X, 1) }
 *	aml_scope(a, "\\_SB_");
 *	aml_name(a, "X___");
 *	aml_int(a, 1);
 *	aml_close(a);
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH 8

struct aml {
	uint8_t *buf;
	size_t size, len;
	size_t open[AML_DEPTH];	/* where the contents of open terms begin */
	unsigned depth;
	bool full;
};

static inline bool aml_ok(const struct aml *a)
{
	return !a->full && !a->depth;
}

void aml_byte(struct aml *a, uint8_t b);
void aml_bytes(struct aml *a, const void *p, size_t n);
void aml_close(struct aml *a);

/* Names are written in full: 4 characters a segment, "\\" or nothing before it. */
void aml_scope(struct aml *a, const char *name);
void aml_device(struct aml *a, const char *name);
void aml_method(struct aml *a, const char *name, unsigned args);
void aml_if(struct aml *a);			/* then the predicate */
void aml_package(struct aml *a, uint8_t elements);
void aml_name(struct aml *a, const char *name);	/* then its value */
void aml_ref(struct aml *a, const char *name);
void aml_int(struct aml *a, uint64_t v);
void aml_return(struct aml *a);			/* then the value */
void aml_store_arg0(struct aml *a, const char *name);

/* Name (_HID, EisaId ("PNP0501")) */
void aml_hid(struct aml *a, const char *eisa_id);

/* Name (_CRS, ResourceTemplate () {...}): descriptors between these two. */
void aml_crs_open(struct aml *a);
void aml_crs_close(struct aml *a);
void aml_crs_io(struct aml *a, uint16_t base, uint8_t len);
void aml_crs_irq(struct aml *a, uint8_t irq);
void aml_crs_memory(struct aml *a, uint32_t base, uint32_t len);	/* fixed */
void aml_crs_bus(struct aml *a, uint8_t first, uint8_t last);
void aml_crs_io_window(struct aml *a, uint16_t first, uint16_t last);
void aml_crs_memory_window(struct aml *a, uint32_t first, uint32_t last);
#endif
