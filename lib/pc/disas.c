#include "pc/disas.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pc/boot.h"
#include "pc/e820.h"
#include "pc/image.h"

/* A machine with nothing but memory and one vCPU. */
struct bare {
	struct vm vm;
	struct vcpu *v;
	struct bt_opts opts;
	bool have_vm, have_vcpu;
};

static void bare_free(struct bare *b)
{
	if (b->have_vcpu)
		bt_engine.destroy(b->v);
	if (b->have_vm)
		bt_engine.vm_destroy(&b->vm);
	mem_free(b->vm.mem);
	free(b->v);
	pthread_mutex_destroy(&b->vm.lock);
}

static int bare_make(struct bare *b, const struct pc_disas *d, uint64_t ram, struct err *e)
{
	struct vm *vm = &b->vm;
	int rc;

	b->opts.form = d->form;
	pthread_mutex_init(&vm->lock, NULL);
	bus_init(&vm->bus, &vm->lock);
	timerq_init(&vm->timers);
	vm->engine = &bt_engine;
	vm->engine_opts = &b->opts;
	vm->model.cpus = 1;
	vm->model.long_mode = true;
	x86_model_init(&vm->model);
	vm->mem = mem_new(ram, 0, e);
	if (!vm->mem)
		return e->code;
	if (posix_memalign((void **)&b->v, 64, sizeof(*b->v)))
		return err_set(e, -ENOMEM, "out of memory");
	memset(b->v, 0, sizeof(*b->v));
	b->v->vm = vm;
	vm->vcpu[0] = b->v;
	vm->ncpus = 1;
	x86_cpu_reset(&b->v->cpu);
	tlb_flush(&b->v->tlb);
	rc = bt_engine.vm_create(vm, e);
	b->have_vm = !rc;
	if (!rc)
		rc = bt_engine.create(b->v, e);
	b->have_vcpu = b->have_vm && !rc;
	return rc;
}

static int check(const struct pc_disas *d, struct err *e)
{
	bool real = d->bits == 16;
	uint64_t low = real ? 0 : PC_DISAS_LOW, high = real ? PC_DISAS_TOP16 - 1 : PC_DISAS_HIGH;

	if (d->bits != 16 && d->bits != 32 && d->bits != 64)
		return err_set(e, -ENOTSUP, "%u-bit code cannot be shown, only 16, 32 and 64-bit",
			       d->bits);
	if (d->at < low || d->at > high)
		return err_set(e, -ERANGE, "0x%" PRIx64 ": %u-bit code begins at 0x%" PRIx64
			       " to 0x%" PRIx64, d->at, d->bits, low, high);
	return 0;
}

static int read_code(const struct pc_disas *d, struct image *code, struct err *e)
{
	bool all = !d->length;
	int rc = image_read_part(code, d->path, d->offset,
				 all ? PC_DISAS_MAX + 1 : d->length, NULL, e);

	if (rc)
		return rc;
	if (code->len > PC_DISAS_MAX)
		return err_set(e, -EFBIG, "%s: longer than %u bytes: give a length", d->path,
			       PC_DISAS_MAX);
	/* One byte behind it belongs to us. */
	if (d->bits == 16 && d->at + code->len >= PC_DISAS_TOP16)
		return err_set(e, -EFBIG, "%s: %zu bytes at 0x%" PRIx64 " leave the 64 KiB "
			       "of a segment", d->path, code->len, d->at);
	return 0;
}

/* Paging as boot_flat64() sets it, for user code. */
static void let_users(struct mem *m, struct x86_cpu *c)
{
	for (uint64_t gpa = LOWMEM_TABLES; gpa < LOWMEM_TABLES + 6 * PAGE_SIZE; gpa += 8) {
		uint64_t entry;

		mem_read(m, gpa, &entry, 8);
		entry |= entry & 1 ? 4 : 0;
		mem_write(m, gpa, &entry, 8);
	}
	c->cpl = 3;
}

/* The state that the code is translated for. */
static void set_state(const struct pc_disas *d, const struct vm *vm, struct x86_cpu *c)
{
	switch (d->bits) {
	case 16:
		boot_real(c, 0, 0, 0);
		break;
	case 32:
		boot_flat32(vm->mem, c, LOWMEM_GDT, (uint32_t)d->at);
		break;
	default:
		boot_flat64(vm->mem, c, d->at);
		c->cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXMMEX;
		if (x86_model_has(&vm->model, X86_F_XSAVE)) {
			c->cr4 |= X86_CR4_OSXSAVE;
			c->xcr0 = vm->model.xcr0_max;
		}
		if (d->form == BT_WINDOW)
			let_users(vm->mem, c);
	}
}

int pc_disas(const struct pc_disas *d, FILE *out, struct err *e)
{
	struct image code = { 0 };
	const uint8_t hlt = 0xf4;	/* ends the last unit */
	uint64_t ram;
	struct bare *b;	/* too large for a stack */
	int rc = check(d, e);

	if (rc)
		return rc;
	rc = read_code(d, &code, e);
	if (rc) {
		image_free(&code);
		return rc;
	}
	b = calloc(1, sizeof(*b));
	if (!b) {
		image_free(&code);
		return err_set(e, -ENOMEM, "out of memory");
	}
	ram = ((d->at + code.len) | (PAGE_SIZE - 1)) + 1 + PAGE_SIZE;
	rc = bare_make(b, d, ram < MEM_SIZE_MIN ? MEM_SIZE_MIN : ram, e);
	if (!rc) {
		set_state(d, &b->vm, &b->v->cpu);
		bt_engine.sync_in(b->v);
		mem_write(b->vm.mem, d->at, code.data, code.len);
		mem_write(b->vm.mem, d->at + code.len, &hlt, 1);
		rc = bt_disas(b->v, d->at, (uint32_t)code.len, d->form, out, e);
	}
	bare_free(b);
	free(b);
	image_free(&code);
	return rc;
}
