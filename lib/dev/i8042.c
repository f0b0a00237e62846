/*
 * One output buffer, three sources: the controller's own answers, keyboard,
 * mouse.  Each has a queue; whenever the guest has taken a byte, the next one
 * moves into the buffer and its interrupt line rises, so that every byte gives
 * an edge.
 */
#include "dev/i8042.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DATA_PORT	0x60
#define CMD_PORT	0x64
#define IRQ_KBD		1
#define IRQ_AUX		12
#define QUEUE		16

enum { ST_OBF = 1, ST_SYS = 4, ST_CMD = 8, ST_UNLOCKED = 0x10, ST_AUX = 0x20 };
enum { CCB_KBD_INT = 1, CCB_AUX_INT = 2, CCB_SYS = 4, CCB_KBD_OFF = 0x10,
	CCB_AUX_OFF = 0x20, CCB_XLATE = 0x40 };
enum { OUT_RESET_N = 1, OUT_A20 = 2 };
enum { ACK = 0xfa, RESEND = 0xfe, SELF_TEST_OK = 0xaa };

/* Controller commands */
enum {
	CMD_READ_RAM = 0x20, CMD_WRITE_RAM = 0x60, CMD_AUX_OFF = 0xa7,
	CMD_AUX_ON = 0xa8, CMD_AUX_TEST = 0xa9, CMD_SELF_TEST = 0xaa,
	CMD_KBD_TEST = 0xab, CMD_KBD_OFF = 0xad, CMD_KBD_ON = 0xae,
	CMD_READ_IN = 0xc0, CMD_READ_OUT = 0xd0, CMD_WRITE_OUT = 0xd1,
	CMD_PUT_KBD = 0xd2, CMD_PUT_AUX = 0xd3, CMD_TO_AUX = 0xd4,
	CMD_PULSE = 0xf0,
};

/* Commands to the devices; those that both know have the same number. */
enum {
	KBD_LEDS = 0xed, KBD_ECHO = 0xee, KBD_SCANSET = 0xf0,
	AUX_SCALE11 = 0xe6, AUX_SCALE21 = 0xe7, AUX_RESOLUTION = 0xe8,
	AUX_STATUS = 0xe9, AUX_STREAM = 0xea, AUX_READ = 0xeb, AUX_REMOTE = 0xf0,
	PS2_IDENTIFY = 0xf2, PS2_RATE = 0xf3, PS2_ENABLE = 0xf4, PS2_DISABLE = 0xf5,
	PS2_DEFAULTS = 0xf6, PS2_RESEND = 0xfe, PS2_RESET = 0xff,
};

struct queue {
	uint8_t b[QUEUE];
	unsigned len;
};

struct i8042 {
	struct vm *vm;
	uint8_t ram[32];	/* ram[0]: command byte, CCB */
	uint8_t out_port, status, data;
	uint8_t cmd;		/* controller command that waits for its byte, 0 */
	struct queue ctl, kbd, aux;
	bool ctl_aux;		/* the controller's answer shows as the mouse's */
	uint8_t kbd_cmd, aux_cmd;	/* device command that waits for its byte */
	uint8_t kbd_last;
	uint8_t scanset, aux_rate, aux_resolution, aux_flags;
};

enum { AUX_F_ENABLED = 0x20, AUX_F_SCALE21 = 0x10, AUX_F_REMOTE = 0x40 };

static void push(struct queue *q, uint8_t b)
{
	if (q->len < QUEUE)
		q->b[q->len++] = b;
}

static uint8_t pop(struct queue *q)
{
	uint8_t b = q->b[0];

	memmove(q->b, q->b + 1, --q->len);
	return b;
}

static void irq_update(struct i8042 *k)
{
	bool full = k->status & ST_OBF, aux = k->status & ST_AUX;

	irq_set(&k->vm->irq, IRQ_KBD, full && !aux && (k->ram[0] & CCB_KBD_INT));
	irq_set(&k->vm->irq, IRQ_AUX, full && aux && (k->ram[0] & CCB_AUX_INT));
}

/* Set 2 to set 1, for the bytes that our keyboard ever sends. */
static uint8_t translate(const struct i8042 *k, uint8_t b)
{
	return (k->ram[0] & CCB_XLATE) && b == 0x83 ? 0x41 : b;
}

static void fill(struct i8042 *k)
{
	bool aux = false;

	if (k->status & ST_OBF)
		return;
	if (k->ctl.len) {
		k->data = pop(&k->ctl);
		aux = k->ctl_aux;
	} else if (k->kbd.len && !(k->ram[0] & CCB_KBD_OFF)) {
		k->data = translate(k, pop(&k->kbd));
	} else if (k->aux.len && !(k->ram[0] & CCB_AUX_OFF)) {
		k->data = pop(&k->aux);
		aux = true;
	} else {
		irq_update(k);
		return;
	}
	k->status = (k->status & ~ST_AUX) | ST_OBF | (aux ? ST_AUX : 0);
	irq_update(k);
}

static void answer(struct i8042 *k, uint8_t b)
{
	k->ctl.len = 0;
	k->ctl_aux = false;
	push(&k->ctl, b);
}

static void reset_machine(struct i8042 *k)
{
	atomic_store(&k->vm->want_reset, true);
	vm_stop(k->vm);
}

static void kbd_defaults(struct i8042 *k)
{
	k->scanset = 2;
	k->kbd_cmd = 0;
}

static void aux_defaults(struct i8042 *k)
{
	k->aux_rate = 100;
	k->aux_resolution = 2;
	k->aux_flags = 0;
	k->aux_cmd = 0;
}

/* The second byte of a keyboard command. */
static void kbd_argument(struct i8042 *k, uint8_t b)
{
	uint8_t cmd = k->kbd_cmd;

	k->kbd_cmd = 0;
	push(&k->kbd, ACK);
	if (cmd == KBD_SCANSET && b == 0)
		push(&k->kbd, k->scanset);
	else if (cmd == KBD_SCANSET && b <= 3)
		k->scanset = b;
}

static void kbd_write(struct i8042 *k, uint8_t b)
{
	if (k->kbd_cmd && b < KBD_LEDS) {
		kbd_argument(k, b);
		return;
	}
	k->kbd_cmd = 0;
	if (b != PS2_RESEND)
		k->kbd.len = 0;
	switch (b) {
	case KBD_LEDS:
	case KBD_SCANSET:
	case PS2_RATE:
		k->kbd_cmd = b;
		push(&k->kbd, ACK);
		break;
	case KBD_ECHO:
		push(&k->kbd, KBD_ECHO);
		break;
	case PS2_IDENTIFY:
		push(&k->kbd, ACK);
		push(&k->kbd, 0xab);
		push(&k->kbd, 0x83);
		break;
	case PS2_RESEND:
		push(&k->kbd, k->kbd_last);
		break;
	case PS2_RESET:
		kbd_defaults(k);
		push(&k->kbd, ACK);
		push(&k->kbd, SELF_TEST_OK);
		break;
	case PS2_DISABLE:
	case PS2_DEFAULTS:
		kbd_defaults(k);
		push(&k->kbd, ACK);
		break;
	default:
		push(&k->kbd, b >= PS2_ENABLE ? ACK : RESEND);
	}
}

static void aux_argument(struct i8042 *k, uint8_t b)
{
	if (k->aux_cmd == PS2_RATE)
		k->aux_rate = b;
	else
		k->aux_resolution = b;
	k->aux_cmd = 0;
	push(&k->aux, ACK);
}

static void aux_flag(struct i8042 *k, uint8_t clear, uint8_t set)
{
	k->aux_flags = (k->aux_flags & ~clear) | set;
	push(&k->aux, ACK);
}

static void aux_reply(struct i8042 *k, uint8_t a, uint8_t b, uint8_t c)
{
	push(&k->aux, ACK);
	push(&k->aux, a);
	push(&k->aux, b);
	push(&k->aux, c);
}

static void aux_write(struct i8042 *k, uint8_t b)
{
	if (k->aux_cmd) {
		aux_argument(k, b);
		return;
	}
	k->aux.len = 0;
	switch (b) {
	case AUX_SCALE11:
		aux_flag(k, AUX_F_SCALE21, 0);
		break;
	case AUX_SCALE21:
		aux_flag(k, 0, AUX_F_SCALE21);
		break;
	case PS2_RATE:
	case AUX_RESOLUTION:
		k->aux_cmd = b;
		push(&k->aux, ACK);
		break;
	case AUX_STATUS:
		aux_reply(k, k->aux_flags, k->aux_resolution, k->aux_rate);
		break;
	case AUX_STREAM:
		aux_flag(k, AUX_F_REMOTE, 0);
		break;
	case AUX_REMOTE:
		aux_flag(k, 0, AUX_F_REMOTE);
		break;
	case AUX_READ:
		aux_reply(k, 0x08, 0, 0);	/* it never moves */
		break;
	case PS2_IDENTIFY:
		push(&k->aux, ACK);
		push(&k->aux, 0);
		break;
	case PS2_ENABLE:
		aux_flag(k, 0, AUX_F_ENABLED);
		break;
	case PS2_DISABLE:
		aux_flag(k, AUX_F_ENABLED, 0);
		break;
	case PS2_DEFAULTS:
		aux_defaults(k);
		push(&k->aux, ACK);
		break;
	case PS2_RESET:
		aux_defaults(k);
		push(&k->aux, ACK);
		push(&k->aux, SELF_TEST_OK);
		push(&k->aux, 0);
		break;
	default:
		push(&k->aux, RESEND);
	}
}

/* The byte that a controller command waited for. */
static void cmd_argument(struct i8042 *k, uint8_t cmd, uint8_t b)
{
	switch (cmd) {
	case CMD_WRITE_OUT:
		k->out_port = b;
		if (!(b & OUT_RESET_N))
			reset_machine(k);
		break;
	case CMD_PUT_KBD:
		answer(k, b);
		break;
	case CMD_PUT_AUX:
		answer(k, b);
		k->ctl_aux = true;
		break;
	case CMD_TO_AUX:
		aux_write(k, b);
		break;
	default:
		k->ram[cmd & 31] = b;
		if (cmd == CMD_WRITE_RAM)
			k->status = (k->status & ~ST_SYS) | (b & CCB_SYS);
	}
}

static void cmd_write(struct i8042 *k, uint8_t c)
{
	k->status |= ST_CMD;
	k->cmd = 0;
	if (c >= CMD_READ_RAM && c < CMD_READ_RAM + 32) {
		answer(k, k->ram[c & 31]);
		return;
	}
	if (c >= CMD_PULSE) {
		if (!(c & OUT_RESET_N))
			reset_machine(k);
		return;
	}
	switch (c) {
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + 31:
	case CMD_WRITE_OUT ... CMD_TO_AUX:
		k->cmd = c;
		break;
	case CMD_AUX_OFF:
		k->ram[0] |= CCB_AUX_OFF;
		break;
	case CMD_AUX_ON:
		k->ram[0] &= ~CCB_AUX_OFF;
		break;
	case CMD_SELF_TEST:
		k->status |= ST_SYS;
		k->ram[0] |= CCB_SYS;
		answer(k, 0x55);
		break;
	case CMD_AUX_TEST:
	case CMD_KBD_TEST:
		answer(k, 0);
		break;
	case CMD_KBD_OFF:
		k->ram[0] |= CCB_KBD_OFF;
		break;
	case CMD_KBD_ON:
		k->ram[0] &= ~CCB_KBD_OFF;
		break;
	case CMD_READ_IN:
		answer(k, 0x80);	/* keyboard not locked */
		break;
	case CMD_READ_OUT:
		answer(k, k->out_port);
		break;
	}
}

static uint64_t data_read(void *ptr, uint64_t off, unsigned size)
{
	struct i8042 *k = ptr;
	uint8_t b = k->data;

	if (!(k->status & ST_OBF))
		return b;
	if (!(k->status & ST_AUX))
		k->kbd_last = b;
	k->status &= ~(ST_OBF | ST_AUX);
	irq_update(k);		/* falls, so that the next byte is an edge */
	fill(k);
	return b;
}

static void data_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct i8042 *k = ptr;
	uint8_t cmd = k->cmd;

	k->status &= ~ST_CMD;
	k->cmd = 0;
	if (cmd) {
		cmd_argument(k, cmd, (uint8_t)val);
	} else {
		k->ram[0] &= ~CCB_KBD_OFF;	/* a byte sent starts its clock */
		kbd_write(k, (uint8_t)val);
	}
	fill(k);
	irq_update(k);
}

static uint64_t status_read(void *ptr, uint64_t off, unsigned size)
{
	struct i8042 *k = ptr;

	return k->status;
}

static void command_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct i8042 *k = ptr;

	cmd_write(k, (uint8_t)val);
	fill(k);
	irq_update(k);
}

/* As firmware leaves it: tested, keyboard on and translated. */
void i8042_reset(struct i8042 *k)
{
	memset(k->ram, 0, sizeof(k->ram));
	k->ram[0] = CCB_XLATE | CCB_AUX_OFF | CCB_SYS | CCB_KBD_INT;
	k->out_port = 0xcf;
	k->status = ST_SYS | ST_UNLOCKED;
	k->data = k->cmd = k->kbd_last = 0;
	k->ctl.len = k->kbd.len = k->aux.len = 0;
	k->ctl_aux = false;
	kbd_defaults(k);
	aux_defaults(k);
	irq_update(k);
}

struct i8042 *i8042_new(struct vm *vm, struct err *e)
{
	struct i8042 *k = calloc(1, sizeof(*k));
	struct bus_range data = { .base = DATA_PORT, .len = 1, .read = data_read,
				  .write = data_write, .ptr = k, .name = "i8042" };
	struct bus_range cmd = { .base = CMD_PORT, .len = 1, .read = status_read,
				 .write = command_write, .ptr = k, .name = "i8042" };

	if (!k) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	k->vm = vm;
	if (bus_add_pio(&vm->bus, data, e))
		goto out_free;
	if (bus_add_pio(&vm->bus, cmd, e))
		goto out_data;
	i8042_reset(k);
	return k;
out_data:
	bus_del_pio(&vm->bus, DATA_PORT);
out_free:
	free(k);
	return NULL;
}

void i8042_free(struct i8042 *k)
{
	if (!k)
		return;
	bus_del_pio(&k->vm->bus, DATA_PORT);
	bus_del_pio(&k->vm->bus, CMD_PORT);
	free(k);
}
