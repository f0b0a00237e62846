#include "pc/mptable.h"

#include <assert.h>
#include <string.h>

#include "base/le.h"
#include "dev/acpipm.h"
#include "dev/ioapic.h"
#include "dev/piix4.h"

enum { POINTER_LEN = 16, HEADER_LEN = 44 };
enum { MP_CPU = 0, MP_BUS = 1, MP_IOAPIC = 2, MP_IOINT = 3, MP_LINT = 4 };
enum { INT = 0, NMI = 1, EXTINT = 3 };
enum { BUS_PCI = 0, BUS_ISA = 1 };
enum { CONFORMING = 0, ACTIVE_HIGH_LEVEL = 0x0d };
enum { APIC_VERSION = 0x14, IOAPIC_VERSION = 0x20 };
enum { CPU_ENABLED = 1, CPU_BOOT = 2, ALL_APICS = 0xff };

#define ISA_IRQS	16

struct mp {
	uint8_t *buf;
	size_t len;
	unsigned entries;
};

static uint8_t *take(struct mp *m, uint8_t type, size_t n)
{
	uint8_t *p = m->buf + m->len;

	assert(m->len + n <= MPTABLE_LEN);
	memset(p, 0, n);
	p[0] = type;
	m->len += n;
	m->entries++;
	return p;
}

static void add_cpu(struct mp *m, unsigned i)
{
	uint8_t *p = take(m, MP_CPU, 20);

	p[1] = (uint8_t)i;
	p[2] = APIC_VERSION;
	p[3] = CPU_ENABLED | (i ? 0 : CPU_BOOT);
	le32_put(p + 4, 0x600);		/* family 6 */
	le32_put(p + 8, 0x201);		/* FPU, APIC */
}

static void add_bus(struct mp *m, uint8_t id, const char *type)
{
	uint8_t *p = take(m, MP_BUS, 8);

	p[1] = id;
	memcpy(p + 2, type, 6);
}

static void add_int(struct mp *m, uint8_t entry, uint8_t type, uint16_t flags, uint8_t bus,
		    uint8_t irq, uint8_t apic, uint8_t pin)
{
	uint8_t *p = take(m, entry, 8);

	p[1] = type;
	le16_put(p + 2, flags);
	p[4] = bus;
	p[5] = irq;
	p[6] = apic;
	p[7] = pin;
}

static void add_interrupts(struct mp *m, uint8_t ioapic, uint32_t slots)
{
	for (uint8_t irq = 0; irq < ISA_IRQS; irq++) {
		if (irq == 2)		/* the cascade */
			continue;
		add_int(m, MP_IOINT, INT, irq == ACPIPM_SCI ? ACTIVE_HIGH_LEVEL : CONFORMING,
			BUS_ISA, irq, ioapic, irq ? irq : 2);
	}
	for (unsigned i = 0; i < 32 * PCI_PINS; i++) {
		unsigned slot = i / PCI_PINS, pin = i % PCI_PINS;

		if (slots >> slot & 1)
			add_int(m, MP_IOINT, INT, ACTIVE_HIGH_LEVEL, BUS_PCI,
				(uint8_t)(slot << 2 | pin), ioapic,
				(uint8_t)(PIIX4_PIRQ_GSI + pci_pirq(slot, pin + 1)));
	}
	add_int(m, MP_LINT, EXTINT, CONFORMING, BUS_ISA, 0, ALL_APICS, 0);
	add_int(m, MP_LINT, NMI, CONFORMING, BUS_ISA, 0, ALL_APICS, 1);
}

static uint8_t checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum += *p++;
	return (uint8_t)-sum;
}

size_t mptable_build(uint8_t buf[MPTABLE_LEN], uint32_t gpa, unsigned cpus,
		     uint32_t slots)
{
	struct mp m = { .buf = buf, .len = POINTER_LEN + HEADER_LEN };
	uint8_t *hdr = buf + POINTER_LEN, *p;

	memset(buf, 0, m.len);
	for (unsigned i = 0; i < cpus; i++)
		add_cpu(&m, i);
	add_bus(&m, BUS_PCI, "PCI   ");
	add_bus(&m, BUS_ISA, "ISA   ");
	p = take(&m, MP_IOAPIC, 8);
	p[1] = (uint8_t)cpus;
	p[2] = IOAPIC_VERSION;
	p[3] = 1;			/* usable */
	le32_put(p + 4, IOAPIC_BASE);
	add_interrupts(&m, (uint8_t)cpus, slots);

	memcpy(hdr, "PCMP", 4);
	le16_put(hdr + 4, (uint16_t)(m.len - POINTER_LEN));
	hdr[6] = 4;			/* MP 1.4 */
	memcpy(hdr + 8, "RING1   RING1PC     ", 20);
	le16_put(hdr + 34, (uint16_t)m.entries);
	le32_put(hdr + 36, LAPIC_BASE);
	hdr[7] = checksum(hdr, m.len - POINTER_LEN);

	memcpy(buf, "_MP_", 4);
	le32_put(buf + 4, gpa + POINTER_LEN);
	buf[8] = 1;			/* length in paragraphs */
	buf[9] = 4;
	buf[10] = checksum(buf, POINTER_LEN);
	return m.len;
}
