/*
 * A device's thread changes code that the guest runs (vmm/dma.h): behind what tells the
 * guest so, it never runs the old code.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "base/le.h"
#include "pc/pc.h"
#include "vmm/dma.h"

#define ROUNDS	1000u
/* Where the guest finds what. */
enum { SEQ = 0x500, CODE = 0x8001 /* mov $imm, %ax; lret: its operand is aligned */ };

/* From f000:f000: call the code; what it returns may not be older than SEQ was. */
static const uint8_t guest[] = {
	0x31, 0xc0,			/*	xor %ax, %ax */
	0x8e, 0xd8, 0x8e, 0xd0,		/*	mov %ax, %ds; mov %ax, %ss */
	0xbc, 0x00, 0x70,		/*	mov $0x7000, %sp */
	0x8b, 0x0e, 0x00, 0x05,		/* 1:	mov (SEQ), %cx */
	0x9a, 0x01, 0x80, 0x00, 0x00,	/*	lcall $0, $CODE */
	0x39, 0xc8,			/*	cmp %cx, %ax */
	0x72, 0x0a,			/*	jb 2f */
	0x81, 0xf9, ROUNDS & 0xff, ROUNDS >> 8,	/* cmp $ROUNDS, %cx */
	0x75, 0xed,			/*	jne 1b */
	0xb0, 0x00, 0xe6, 0xf4,		/*	mov $0, %al; out %al, $0xf4 */
	0xb0, 0x01, 0xe6, 0xf4,		/* 2:	mov $1, %al; out %al, $0xf4 */
	0xf4,				/*	hlt */
};

struct device {
	struct vm *vm;
	struct vm_work done;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	uint16_t seq, told;
	bool end;
};

/* On vCPU 0's thread. */
static void complete(void *ptr)
{
	struct device *d = ptr;
	uint8_t seq[2];

	pthread_mutex_lock(&d->lock);
	le16_put(seq, d->seq);
	dma_written(d->vm->mem, CODE + 1, 2);
	dma_write(d->vm->mem, SEQ, seq, 2);
	d->told = d->seq;
	pthread_cond_signal(&d->cond);
	pthread_mutex_unlock(&d->lock);
}

static void *device_thread(void *ptr)
{
	struct device *d = ptr;
	uint16_t *operand = (uint16_t *)(d->vm->mem->hva + CODE + 1);

	for (uint16_t i = 1; i <= ROUNDS; i++) {
		pthread_mutex_lock(&d->lock);
		d->seq = i;
		pthread_mutex_unlock(&d->lock);
		__atomic_store_n(operand, i, __ATOMIC_RELAXED);
		vm_defer(d->vm, &d->done);
		pthread_mutex_lock(&d->lock);
		while (d->told != i && !d->end)
			pthread_cond_wait(&d->cond, &d->lock);
		pthread_mutex_unlock(&d->lock);
	}
	return NULL;
}

static void write_rom(const char *path)
{
	static const uint8_t entry[] = { 0xea, 0x00, 0xf0, 0x00, 0xf0 };	/* ljmp */
	uint8_t rom[4096] = { 0 };
	FILE *f = fopen(path, "w");

	memcpy(rom, guest, sizeof(guest));
	memcpy(rom + 0xff0, entry, sizeof(entry));
	check(f && fwrite(rom, sizeof(rom), 1, f) == 1 && !fclose(f), "%s", path);
}

static void run(const char *rom, enum pc_accel accel, unsigned cpus)
{
	static const uint8_t code[] = { 0xb8, 0, 0, 0xcb };
	struct pc_config cfg = { .bios = rom, .memory = 4 << 20, .cpus = cpus, .cpu_level = 3,
				 .accel = accel, .debug_exit = true, .timeout_s = 60 };
	struct device d = { .lock = PTHREAD_MUTEX_INITIALIZER,
			    .cond = PTHREAD_COND_INITIALIZER };
	struct err e = { 0 };
	struct pc *pc = pc_new(&cfg, &e);
	pthread_t t;
	int status = -1;
	enum pc_end end;

	if (!pc || pc_load(pc, &e)) {
		check(e.code == -ENOTSUP && accel == PC_ACCEL_BT, "%s", e.msg);
		pc_free(pc);
		return;
	}
	d.vm = pc_vm(pc);
	d.done.fn = complete;
	d.done.ptr = &d;
	memcpy(d.vm->mem->hva + CODE, code, sizeof(code));
	check(!pthread_create(&t, NULL, device_thread, &d), "thread");
	end = pc_run(pc, &status, &e);
	pthread_mutex_lock(&d.lock);
	d.end = true;
	pthread_cond_signal(&d.cond);
	pthread_mutex_unlock(&d.lock);
	pthread_join(t, NULL);
	check(end == PC_END_DEBUG_EXIT && status == 1, "engine %d, %u vCPUs: end %d, status %d, "
	      "round %u: %s", accel, cpus, end, status, d.told, e.msg);
	pc_free(pc);
}

int main(void)
{
	char rom[] = "/tmp/pc_dma.XXXXXX";
	int fd = mkstemp(rom);

	check(fd >= 0, "mkstemp");
	write_rom(rom);
	for (unsigned cpus = 1; cpus <= 2; cpus++) {
		run(rom, PC_ACCEL_BT, cpus);
		run(rom, PC_ACCEL_INTERP, cpus);
	}
	close(fd);
	unlink(rom);
	return check_done();
}
