#include "pc/disas.h"

#include <errno.h>
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

	memset(b, 0, sizeof(*b));
	b->opts.form = d->form;
	pthread_mutex_init(&vm->lock, NULL);
	bus_init(&vm->bus, &vm->lock);
	timerq_init(&vm->timers);
	vm->engine = &bt_engine;
	vm->engine_opts = &b->opts;
	vm->model.cpus = 1;
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

int pc_disas(const struct pc_disas *d, FILE *out, struct err *e)
{
	const char *path = strcmp(d->path, "-") ? d->path : "/dev/stdin";
	struct image code = { 0 };
	const uint8_t hlt = 0xf4;	/* ends the last unit */
	struct bare b;
	int rc = image_read(&code, path, PC_DISAS_MAX, NULL, e);

	if (rc)
		return rc;
	rc = bare_make(&b, d, ((d->at + code.len) | (PAGE_SIZE - 1)) + 1 + PAGE_SIZE, e);
	if (!rc) {
		boot_flat32(b.vm.mem, &b.v->cpu, LOWMEM_GDT, (uint32_t)d->at);
		bt_engine.sync_in(b.v);
		mem_write(b.vm.mem, d->at, code.data, code.len);
		mem_write(b.vm.mem, d->at + code.len, &hlt, 1);
		rc = bt_disas(b.v, (uint32_t)d->at, (uint32_t)code.len, d->form, out, e);
	}
	bare_free(&b);
	image_free(&code);
	return rc;
}
