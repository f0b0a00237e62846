#ifndef MPT_RIG_H
#define MPT_RIG_H
/* A Fusion-MPT adapter, and what a driver does with it. */
#include "dev/lsilogic.h"
#include "scsi_rig.h"

#include "base/le.h"

#define DEVFN	PCI_DEVFN(16, 0)
#define BAR	0xe0000000u
#define FRAME	0x10000u	/* requests */
#define REPLY	0x20000u	/* frames for replies */
#define SENSE	0x30000u
#define DATA	0x40000u
#define NONE	0xffffffffu

enum { DOORBELL = 0, SEQUENCE = 4, DIAG = 8, STATUS = 0x30, MASK = 0x34, REQUEST = 0x40, REPLIES = 0x44 };
enum { READY = 1, OPERATIONAL = 2, FAULT = 4 };

static struct rig_disk disk;
static struct pci *pci;
static struct mpt *m;
static bool pin;
static unsigned messages;

static inline uint8_t *mem(uint32_t gpa) { return test_vm.mem->hva + gpa; }
static inline uint32_t get(unsigned reg) { return readl(BAR + reg); }
static inline void set(unsigned reg, uint32_t val) { writel(BAR + reg, val); }
static inline unsigned state(void) { return get(DOORBELL) >> 28; }
static inline void take_pin(void *ptr, unsigned pirq, bool level) { pin = level; }
static inline void take_message(void *ptr, uint64_t addr, uint32_t data) { messages++; }

static inline void config(unsigned reg, uint32_t val, unsigned size)
{
	bus_pio_write(&test_vm.bus, 0xcf8, 1u << 31 | DEVFN << 8 | (reg & 0xfc), 4);
	bus_pio_write(&test_vm.bus, (uint16_t)(0xcfc + (reg & 3)), val, size);
}

/* --- what a driver does --------------------------------------------------------------- */

/* A request through the doorbell; returns the bytes of the reply. */
static inline unsigned handshake(const void *rq, unsigned len, uint8_t *rp)
{
	unsigned n = 0;

	set(DOORBELL, 0x42000000 | len / 4 << 16);
	check(get(STATUS) & 1 && get(DOORBELL) & 1 << 27, "begins");
	set(STATUS, 0);
	for (unsigned i = 0; i < len; i += 4)
		set(DOORBELL, le32_get((const uint8_t *)rq + i));
	while (get(STATUS) & 1 && n < 200) {
		le16_put(rp + n, (uint16_t)get(DOORBELL));
		n += 2;
		set(STATUS, 0);
		if (!(get(DOORBELL) & 1 << 27))
			break;
	}
	check(!(get(DOORBELL) & 1 << 27) && !(get(STATUS) & 1), "ends");
	return n - 2;	/* the last interrupt carries none */
}

static inline unsigned init(unsigned reply_size, unsigned len)
{
	uint8_t rq[44] = { [0] = 4, [3] = 2, [5] = 16, [6] = 1 }, rp[256];

	le16_put(rq + 12, (uint16_t)reply_size);
	check(handshake(rq, len, rp) == 20 && rp[3] == 2, "IOC INIT");
	return le16_get(rp + 14);
}

/* Operational, with n frames for replies. */
static inline void start(unsigned n)
{
	set(DOORBELL, 0x40000000);
	check(state() == READY, "ready");
	check(init(80, 44) == 0 && state() == OPERATIONAL, "operational");
	for (unsigned i = 0; i < n; i++)
		set(REPLIES, REPLY + 128 * i);
}

/* SCSI I/O at frame number n: one element for len bytes at DATA; context n. */
static inline uint8_t *io(unsigned n, uint8_t target, const char *cdb, unsigned cdb_len, uint32_t len,
		   unsigned dir)
{
	uint8_t *rq = mem(FRAME + 128 * n);

	memset(rq, 0, 128);
	rq[0] = target;
	rq[4] = (uint8_t)cdb_len;
	rq[5] = 32;
	le32_put(rq + 8, n);
	le32_put(rq + 20, dir << 24);
	memcpy(rq + 24, cdb, cdb_len);
	le32_put(rq + 40, len);
	le32_put(rq + 44, SENSE + 64 * n);
	le32_put(rq + 48, 0xd1000000 | len);
	le32_put(rq + 52, DATA);
	return rq;
}

static inline void post(unsigned n)
{
	set(REQUEST, FRAME + 128 * n);
}

/* The next answer; frame: that of a reply, given back. */
static inline uint32_t answer(uint8_t *frame)
{
	uint32_t r;

	for (unsigned i = 0; i < 1000000 && !(get(STATUS) & 8); i++) {
		sched_yield();
		vm_run_work(&test_vm);
	}
	r = get(REPLIES);
	if (r != NONE && r & 1u << 31) {
		check(frame, "%08x", r);
		if (frame)
			memcpy(frame, mem(r << 1), 80);
		set(REPLIES, r << 1);
	}
	return r;
}

/* The IOC status of a request that does not end well. */
static inline unsigned fails(unsigned n, uint8_t *rp)
{
	uint32_t r;

	post(n);
	r = answer(rp);
	check(r != NONE && r >> 31, "%08x", r);
	check(le32_get(rp + 8) == n, "context");
	return le16_get(rp + 14);
}

/* A page of configuration to DATA: its status. */
static inline unsigned page(uint8_t action, uint8_t type, uint8_t ext, uint8_t number,
			    uint32_t addr, uint32_t len, uint8_t *rp)
{
	uint8_t *rq = mem(FRAME + 128);

	memset(rq, 0, 128);
	rq[0] = action;
	rq[3] = 4;
	rq[6] = ext;
	le32_put(rq + 8, 1);
	rq[22] = number;
	rq[23] = type;
	le32_put(rq + 24, addr);
	le32_put(rq + 28, 0xd1000000 | len);
	le32_put(rq + 32, DATA);
	return fails(1, rp);
}

/* --- the adapter, and a disk at ID 0 ---------------------------------------------------- */

static inline void make(bool sas)
{
	struct scsi_dev *t;

	test_vm_init(1);
	test_vm.mem = mem_new(4 << 20, 0, NULL);
	test_vm.irq.msi = take_message;
	rig_disk_init(&disk, 1 << 20);
	pci = pci_new(&test_vm, NULL);
	pci_set_router(pci, take_pin, NULL);
	m = (sas ? lsisas_new : lsilogic_new)(&test_vm, pci, DEVFN, NULL);
	t = scsi_disk_new(&test_vm, rig_blk(&disk, false), NULL, NULL);
	check(m && !scsi_bus_attach(mpt_bus(m), 0, t, NULL), "made");
	pci_reset(pci);
	config(PCI_BAR0 + 4, BAR, 4);
	config(PCI_COMMAND, 6, 2);
}

static inline void unmake(void)
{
	mpt_free(m);
	pci_free(pci);
	mem_free(test_vm.mem);
	free(disk.bytes);
	test_vm_done();
}
#endif
