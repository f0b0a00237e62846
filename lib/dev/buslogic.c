/*
 * The BT-958: registers and the commands of its port.
 *
 * Example, the driver asks for the board's identity: it writes 04 to the command
 * register; the status shows that data are ready, and is not "ready" again until the
 * driver has read 4 bytes; then the interrupt register says that the command is complete.
 */
#include "dev/buslogic_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REG_CONTROL = 0, REG_COMMAND = 1, REG_INTERRUPT = 2, REG_GEOMETRY = 3 };
enum { CONTROL_BUS_RESET = 0x10, CONTROL_INT_RESET = 0x20, CONTROL_SOFT_RESET = 0x40,
       CONTROL_HARD_RESET = 0x80 };
enum { STATUS_INVALID = 0x01, STATUS_DATA = 0x04, STATUS_READY = 0x10, STATUS_INIT = 0x20,
       STATUS_DIAG = 0x80 };
enum { BAR_LEN = 32, GEOMETRY = 0x80 /* translation of big disks */ };
enum { AUTOSCSI = 64 };		/* where it begins in the local RAM */
enum { IRQ_FIRST = 9, SG_LIMIT = 8192, PORT_DISABLED = 6 };

/* --- interrupts -------------------------------------------------------------------- */

static void update_irq(struct buslogic *b)
{
	pci_irq(&b->fn, 0, b->intr & BL_INT_VALID && !b->quiet);
}

/* One reason is shown at a time; others wait until that is cleared. */
void buslogic_interrupt(struct buslogic *b, uint8_t bit)
{
	if (b->intr && b->intr != (bit | BL_INT_VALID))
		b->pending |= bit;
	else
		b->intr = bit | BL_INT_VALID;
	update_irq(b);
}

static void interrupt_seen(struct buslogic *b)
{
	uint8_t next = b->pending & (uint8_t)-b->pending;

	b->pending &= (uint8_t)~next;
	b->intr = next ? next | BL_INT_VALID : 0;
	b->status &= (uint8_t)~STATUS_INVALID;
	update_irq(b);
	buslogic_unstick(b);
}

/* --- resets ------------------------------------------------------------------------------ */

/* What the board was set up for at the factory. */
static void init_local_ram(struct buslogic *b)
{
	uint8_t *a = b->local_ram + AUTOSCSI;

	memset(b->local_ram, 0, sizeof(b->local_ram));
	memcpy(a, "FA\x40" "BT958 ", 9);
	a[10] = 0x04;		/* level interrupts */
	a[14] = SCSI_ADAPTER_ID;
	a[15] = 0x37;		/* terminated, parity, fast negotiation, resets */
	a[18] = 0x07;		/* BIOS, translation */
	for (unsigned i = 19; i <= 27; i += 2)
		le16_put(a + i, 0xffff);	/* devices; wide, fast, sync, disconnection */
	le16_put(a + 34, 0xffff);		/* Ultra */
	a[41] = 32;				/* units of a target */
}

static void adapter_reset(struct buslogic *b, bool hard, enum scsi_reset how)
{
	buslogic_drop(b);
	if (hard) {
		scsi_bus_reset(&b->bus, how);
		init_local_ram(b);
	}
	b->mbox = 0;
	b->out_at = b->in_at = 0;
	b->strict = b->wide_lun = b->told_free = b->quiet = false;
	b->cmd = -1;
	b->nparam = b->want = b->reply_at = b->reply_len = 0;
	b->intr = b->pending = 0;
	b->status = STATUS_DIAG | STATUS_INIT;	/* until it was looked at once */
	update_irq(b);
}

void buslogic_reset(struct buslogic *b)
{
	adapter_reset(b, true, SCSI_POWER_ON);
	b->status = STATUS_READY | STATUS_INIT;
	b->left = 0;
}

/* --- commands ------------------------------------------------------------------------------- */

static void command_end(struct buslogic *b)
{
	b->cmd = -1;
	b->status = (uint8_t)((b->status & ~STATUS_DATA) | STATUS_READY);
	buslogic_interrupt(b, BL_INT_DONE);
}

static void command_invalid(struct buslogic *b)
{
	b->status |= STATUS_INVALID;
	command_end(b);
}

/* Its answer is read byte by byte before the command is complete. */
static void command_reply(struct buslogic *b, const void *buf, unsigned len)
{
	if (!len) {
		command_end(b);
		return;
	}
	memcpy(b->reply, buf, len);
	b->reply_at = 0;
	b->reply_len = len;
	b->status = (uint8_t)((b->status & ~STATUS_READY) | STATUS_DATA);
}

/* An answer of which the driver names the length. */
static void command_reply_asked(struct buslogic *b, const void *buf, unsigned len)
{
	uint8_t whole[256] = { 0 };

	memcpy(whole, buf, len);
	command_reply(b, whole, b->param[0]);
}

static uint16_t targets(const struct buslogic *b)
{
	uint16_t mask = 0;

	for (unsigned i = 0; i < SCSI_TARGETS; i++)
		if (b->bus.target[i])
			mask |= (uint16_t)(1u << i);
	return mask;
}

/* A byte a target: its units. */
static void inquire_installed(struct buslogic *b, unsigned first)
{
	uint8_t r[8];

	for (unsigned i = 0; i < 8; i++)
		r[i] = b->bus.target[first + i] ? 1 : 0;
	command_reply(b, r, sizeof(r));
}

static void inquire_configuration(struct buslogic *b)
{
	unsigned irq = b->fn.cfg[PCI_IRQ_LINE];
	uint8_t r[3] = { 0, 0, SCSI_ADAPTER_ID };

	if (irq >= IRQ_FIRST && irq < IRQ_FIRST + 8)
		r[1] = (uint8_t)(1u << (irq - IRQ_FIRST));
	command_reply(b, r, sizeof(r));
}

static void inquire_setup(struct buslogic *b)
{
	uint8_t r[34] = { 0x03, 0, 0, 0, (uint8_t)b->nmbox };

	for (unsigned i = 0; i < 8; i++) {	/* synchronous, 15 words */
		r[8 + i] = b->bus.target[i] ? 0x8f : 0;
		r[22 + i] = b->bus.target[8 + i] ? 0x8f : 0;
	}
	r[16] = r[30] = 0xff;			/* disconnection */
	r[17] = 'B';
	r[18] = 'D';
	r[19] = 'F';				/* PCI */
	r[20] = r[32] = 0xff;			/* wide allowed, and so used */
	r[21] = (uint8_t)targets(b);
	r[33] = (uint8_t)(targets(b) >> 8);
	command_reply_asked(b, r, sizeof(r));
}

static void inquire_extended_setup(struct buslogic *b)
{
	uint8_t r[14] = { 'E', 0 };

	le16_put(r + 2, SG_LIMIT);
	r[4] = (uint8_t)b->nmbox;
	le32_put(r + 5, b->mbox);
	r[9] = 0x40;			/* level interrupts */
	memcpy(r + 10, "07B", 3);
	r[13] = 0x19;			/* wide, Ultra, terminates by itself */
	command_reply_asked(b, r, sizeof(r));
}

static void inquire_pci(struct buslogic *b)
{
	uint8_t r[4] = { PORT_DISABLED, b->fn.cfg[PCI_IRQ_LINE], 0x83, 0 };

	command_reply(b, r, sizeof(r));
}

static void inquire_periods(struct buslogic *b)
{
	uint8_t r[16];

	for (unsigned i = 0; i < 16; i++)
		r[i] = b->bus.target[i] ? 5 : 0;	/* 50 ns: Ultra */
	command_reply_asked(b, r, sizeof(r));
}

static void init_mailboxes(struct buslogic *b)
{
	b->nmbox = b->param[0];
	b->mbox = le32_get(b->param + 1);
	b->out_at = b->in_at = 0;
	if (!b->nmbox) {
		command_invalid(b);
		return;
	}
	b->status &= (uint8_t)~STATUS_INIT;
	command_end(b);
}

static void fetch_ram(struct buslogic *b)
{
	uint8_t r[256];

	for (unsigned i = 0; i < b->param[1]; i++)
		r[i] = b->local_ram[(b->param[0] + i) % sizeof(b->local_ram)];
	command_reply(b, r, b->param[1]);
}

enum bl_cmd {
	CMD_TEST = 0x00, CMD_START = 0x02, CMD_BOARD = 0x04, CMD_TELL_FREE = 0x05,
	CMD_SELECT_TIMEOUT = 0x06, CMD_PREEMPT_TIME = 0x07, CMD_TIME_OFF = 0x08,
	CMD_RATE = 0x09, CMD_DEVICES_0 = 0x0a, CMD_CONFIGURATION = 0x0b, CMD_SETUP = 0x0d,
	CMD_ECHO = 0x1f, CMD_OPTIONS = 0x21, CMD_DEVICES_8 = 0x23, CMD_TARGETS = 0x24,
	CMD_INTERRUPTS = 0x25, CMD_MAILBOXES = 0x81, CMD_VERSION_3 = 0x84,
	CMD_VERSION_4 = 0x85, CMD_PCI = 0x86, CMD_MODEL = 0x8b, CMD_PERIODS = 0x8c,
	CMD_EXTENDED_SETUP = 0x8d, CMD_ROUND_ROBIN = 0x8f, CMD_FETCH_RAM = 0x91,
	CMD_MOVE_PORT = 0x95, CMD_CCB_FORMAT = 0x96,
};

/* Parameters of a command; -1: there is no such command. */
static int params_of(uint8_t cmd)
{
	switch (cmd) {
	case CMD_TEST: case CMD_START: case CMD_BOARD: case CMD_DEVICES_0:
	case CMD_CONFIGURATION: case CMD_DEVICES_8: case CMD_TARGETS: case CMD_VERSION_3:
	case CMD_VERSION_4: case CMD_PCI:
		return 0;
	case CMD_TELL_FREE: case CMD_PREEMPT_TIME: case CMD_TIME_OFF: case CMD_RATE:
	case CMD_SETUP: case CMD_ECHO: case CMD_OPTIONS: case CMD_INTERRUPTS: case CMD_MODEL:
	case CMD_PERIODS: case CMD_EXTENDED_SETUP: case CMD_ROUND_ROBIN: case CMD_MOVE_PORT:
	case CMD_CCB_FORMAT:
		return 1;
	case CMD_FETCH_RAM:
		return 2;
	case CMD_SELECT_TIMEOUT:
		return 4;
	case CMD_MAILBOXES:
		return 5;
	}
	return -1;
}

/* Those that ask what the board is. */
static bool run_inquiry(struct buslogic *b)
{
	uint8_t mask[2];

	switch (b->cmd) {
	case CMD_BOARD:
		command_reply(b, "AA50", 4);
		return true;
	case CMD_VERSION_3:
		command_reply(b, "7", 1);
		return true;
	case CMD_VERSION_4:
		command_reply(b, "B", 1);
		return true;
	case CMD_MODEL:
		command_reply_asked(b, "958 ", 5);
		return true;
	case CMD_TARGETS:
		le16_put(mask, targets(b));
		command_reply(b, mask, 2);
		return true;
	case CMD_DEVICES_0:
		inquire_installed(b, 0);
		return true;
	case CMD_DEVICES_8:
		inquire_installed(b, 8);
		return true;
	case CMD_CONFIGURATION:
		inquire_configuration(b);
		return true;
	case CMD_SETUP:
		inquire_setup(b);
		return true;
	case CMD_EXTENDED_SETUP:
		inquire_extended_setup(b);
		return true;
	case CMD_PCI:
		inquire_pci(b);
		return true;
	case CMD_PERIODS:
		inquire_periods(b);
		return true;
	}
	return false;
}

static void run_command(struct buslogic *b)
{
	if (run_inquiry(b))
		return;
	switch (b->cmd) {
	case CMD_START:			/* neither ends with an interrupt */
		b->cmd = -1;
		if (pci_is_master(&b->fn))
			buslogic_scan(b);
		return;
	case CMD_MOVE_PORT:
		b->cmd = -1;
		return;
	case CMD_MAILBOXES:
		init_mailboxes(b);
		return;
	case CMD_ECHO:
		command_reply(b, b->param, 1);
		return;
	case CMD_FETCH_RAM:
		fetch_ram(b);
		return;
	case CMD_TELL_FREE:
		b->told_free = b->param[0] & 1;
		break;
	case CMD_INTERRUPTS:
		b->quiet = !(b->param[0] & 1);
		break;
	case CMD_ROUND_ROBIN:
		b->strict = b->param[0] & 1;
		break;
	case CMD_CCB_FORMAT:
		b->wide_lun = b->param[0] & 1;
		break;
	}
	command_end(b);
}

static void command_byte(struct buslogic *b, uint8_t val)
{
	int want;

	if (b->status & (STATUS_DATA | STATUS_DIAG))
		return;
	if (b->cmd >= 0) {
		b->param[b->nparam++] = val;
	} else {
		want = params_of(val);
		b->cmd = val;
		b->nparam = 0;
		b->status &= (uint8_t)~STATUS_INVALID;
		if (want < 0) {
			command_invalid(b);
			return;
		}
		b->want = (unsigned)want;
	}
	if (b->nparam == b->want)
		run_command(b);
}

static uint8_t data_byte(struct buslogic *b)
{
	uint8_t v;

	if (b->reply_at >= b->reply_len)
		return 0;
	v = b->reply[b->reply_at++];
	if (b->reply_at == b->reply_len) {
		b->reply_len = 0;
		command_end(b);
	}
	return v;
}

/* --- registers --------------------------------------------------------------------------------- */

static void control(struct buslogic *b, uint8_t val)
{
	if (val & (CONTROL_HARD_RESET | CONTROL_SOFT_RESET)) {
		adapter_reset(b, val & CONTROL_HARD_RESET, SCSI_BUS_RESET);
		return;
	}
	if (val & CONTROL_BUS_RESET)
		scsi_bus_reset(&b->bus, SCSI_BUS_RESET);
	if (val & CONTROL_INT_RESET)
		interrupt_seen(b);
}

static uint64_t reg_read(void *ptr, uint64_t off, unsigned size)
{
	struct buslogic *b = ptr;
	uint8_t v = 0xff;

	if (size != 1)
		return ~0ull;
	switch (off) {
	case REG_CONTROL:
		v = b->status;
		if (v & STATUS_DIAG)
			b->status = STATUS_READY | STATUS_INIT;
		break;
	case REG_COMMAND:
		v = data_byte(b);
		break;
	case REG_INTERRUPT:
		v = b->intr;
		break;
	case REG_GEOMETRY:
		v = GEOMETRY;
		break;
	}
	return v;
}

static void reg_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct buslogic *b = ptr;

	if (size != 1)
		return;
	if (off == REG_CONTROL)
		control(b, (uint8_t)val);
	else if (off == REG_COMMAND)
		command_byte(b, (uint8_t)val);
}

/* --- the adapter ------------------------------------------------------------------------------------ */

struct scsi_bus *buslogic_bus(struct buslogic *b)
{
	return &b->bus;
}

void buslogic_changed(struct buslogic *b, unsigned id, bool there)
{
	b->left = there ? b->left & ~(1u << id) : b->left | 1u << id;
}

struct buslogic *buslogic_new(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e)
{
	struct pci_bar bar = { .len = BAR_LEN, .read = reg_read, .write = reg_write,
			       .name = "buslogic" };
	struct buslogic *b = calloc(1, sizeof(*b));

	if (!b) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	b->vm = vm;
	b->bus.cdb_max = BL_CDB_MAX;
	bar.ptr = b;
	pci_fn_ident(&b->fn, 0x104b, 0x1040, 0x010000, 1);
	le16_put(b->fn.init + PCI_SUBVENDOR, 0x104b);
	le16_put(b->fn.init + PCI_SUBDEVICE, 0x1040);
	bar.kind = PCI_BAR_IO;
	pci_fn_bar(&b->fn, 0, &bar);
	bar.kind = PCI_BAR_MEM;
	pci_fn_bar(&b->fn, 1, &bar);
	pci_fn_pin(&b->fn, 1);
	/* Its drivers leave this to the firmware, which a kernel may be booted without. */
	b->fn.init[PCI_COMMAND] |= PCI_CMD_MASTER;
	if (pci_add(pci, devfn, &b->fn, e)) {
		pci_fn_done(&b->fn);
		free(b);
		return NULL;
	}
	b->cmd = -1;
	b->status = STATUS_READY | STATUS_INIT;
	init_local_ram(b);
	return b;
}

void buslogic_free(struct buslogic *b)
{
	if (!b)
		return;
	b->nmbox = 0;
	scsi_bus_free(&b->bus);
	buslogic_ccb_free(b);
	pci_fn_done(&b->fn);
	free(b);
}
