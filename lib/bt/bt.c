/* The engine: its life, and the hooks through which others tell it of changes. */
#include "bt/bt.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "bt/layout.h"
#include "bt/run.h"
#include "bt/signal.h"
#include "bt/smp.h"
#include "bt/unit.h"
#include "bt/verify.h"
#include "bt/window.h"
#include "interp/interp.h"

extern const char bt_fpu_load[], bt_exit[], bt_exit_saved[], bt_tlb_miss[],
	bt_callout[], bt_lookup[];

/* --- hooks ------------------------------------------------------------------------ */

static void on_write(void *ptr, uint64_t gpa, uint64_t len)
{
	struct bt *bt = ptr;
	struct mem *m = bt->vm->mem;
	uint64_t page;
	bool idle;

	assert(vm_may_tell(bt->vm));
	idle = interp_code_written(bt->vm, gpa, len);
	unit_written(bt, gpa, len);
	page = mem_off(m, gpa);
	if (page != UINT64_MAX && m->pflags[page >> PAGE_SHIFT] & MEM_PF_PT)
		windows_told(bt, gpa & PAGE_MASK);
	if (idle && page != UINT64_MAX && !bt->page[page >> PAGE_SHIFT])
		atomic_fetch_and(&m->pflags[page >> PAGE_SHIFT], (uint8_t)~MEM_PF_CODE);
}

static void on_tlb_flush(struct vcpu *v, uint64_t gva, int what)
{
	struct bt_vcpu *b = v->engine;
	struct bt *bt = b->bt;
	uint32_t page = gva >> PAGE_SHIFT & 0xfffff;

	b->leave = true;
	bt_lock(bt);
	returns_forget(b);
	switch (what) {
	case VCPU_FLUSH_PAGE:
		jcache_flush_page(&b->jc, gva);
		if (bt->far_pages[page / 64] >> page % 64 & 1)
			link_clear_far(bt);
		break;
	case VCPU_FLUSH_ALL:
	case VCPU_FLUSH_LAYOUT:
		jcache_flush(&b->jc, JCACHE_ALL);
		link_clear_far(bt);
		break;
	case VCPU_FLUSH_OTHER:
		break;
	default:
		jcache_flush(&b->jc, JCACHE_NONGLOBAL);
	}
	window_flush(b, gva, what);
	bt_unlock(bt);
}

static void bt_kick(struct vcpu *v)
{
	bt_nudge(v);
	if (!pthread_equal(v->thread, pthread_self()))
		pthread_sigqueue(v->thread, VCPU_KICK_SIGNAL,
				 (union sigval){ .sival_ptr = v });
}

static void bt_kicked(struct vcpu *v, void *context)
{
	if (v->engine)
		bt_signal_kicked(v->engine, context);
}

/* --- life ---------------------------------------------------------------------------- */

#define HWCAP2_FSGSBASE_BIT (1ul << 1)

static int bt_probe(struct vm *vm, struct err *e)
{
	const struct bt_opts *o = vm ? vm->engine_opts : NULL;

	if (!__builtin_cpu_supports("bmi2"))
		return err_set(e, -ENOTSUP, "this processor has no BMI2; use --accel interp");
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT))
		return err_set(e, -ENOTSUP, "this kernel does not allow WRGSBASE; "
			       "use --accel interp");
	if (vm && vm->ncpus > 1 && o && o->verify)
		return err_set(e, -ENOTSUP, "--verify compares one virtual CPU's instructions");
	return 0;
}

static void bt_vm_destroy(struct vm *vm)
{
	struct bt *bt = vm->engine_vm;

	if (!bt)
		return;
	interp_vm_destroy(vm);
	vm->mem->on_write = NULL;
	vm->mem->on_told = NULL;
	window_guards_free(bt);
	tcache_close(&bt->tc);
	free(bt->hash);
	free(bt->page);
	free(bt->far_pages);
	free(bt);
	vm->engine_vm = NULL;
}

static int bt_vm_create(struct vm *vm, struct err *e)
{
	const struct bt_opts *o = vm->engine_opts;
	struct bt *bt = calloc(1, sizeof(*bt));
	int rc = -ENOMEM;

	if (!bt)
		return err_set(e, -ENOMEM, "translator: out of memory");
	bt->vm = vm;
	bt->smp = vm->ncpus > 1;
	bt->tc.fd = -1;
	vm->engine_vm = bt;
	bt->can_window = !o || o->form != BT_SOFT;
	bt->want_mixed = !o || o->form == BT_MIXED;
	bt->verify = o && o->verify;
	bt->hash = calloc(1u << BT_HASH_BITS, sizeof(*bt->hash));
	bt->page = calloc(vm->mem->len >> PAGE_SHIFT, sizeof(*bt->page));
	bt->far_pages = calloc((1u << 20) / 64, sizeof(uint64_t));
	if (!bt->hash || !bt->page || !bt->far_pages) {
		err_set(e, rc, "translator: out of memory");
		goto out;
	}
	rc = tcache_open(&bt->tc, e);
	if (!rc)
		rc = interp_vm_create(vm, e);
	if (rc)
		goto out;
	vm->mem->on_write = on_write;
	vm->mem->on_told = bt_told;
	vm->mem->on_write_ptr = bt;
	/* Other code than 64-bit code is interpreted between STAC and CLAC. */
	vm->model.smap_long = true;
	return 0;
out:
	bt_vm_destroy(vm);
	return rc;
}

static void bt_destroy(struct vcpu *v)
{
	struct bt_vcpu *b = v->engine;

	if (!b)
		return;
	v->on_tlb_flush = NULL;
	bt_lock(b->bt);
	v->engine = NULL;
	bt_unlock(b->bt);
	bt_signal_fini(b);
	windows_free(b);
	verify_free(b->verify);
	interp_vcpu_destroy(v);
	free(b);
}

static int bt_create(struct vcpu *v, struct err *e)
{
	struct bt_vcpu *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return err_set(e, -ENOMEM, "translator: out of memory");
	b->bt = v->vm->engine_vm;
	b->v = v;
	v->hot[H_JCACHE] = (uint64_t)(uintptr_t)b->jc.e;
	v->hot[H_XSAVE] = (uint64_t)(uintptr_t)v->cpu.xsave;
	v->hot[H_FPU_FN] = (uint64_t)(uintptr_t)bt_fpu_load;
	v->hot[H_MXCSR] = 0x1f80;
	v->hot[H_EXIT] = (uint64_t)(uintptr_t)bt_exit;
	v->hot[H_EXIT_SAVED] = (uint64_t)(uintptr_t)bt_exit_saved;
	v->hot[H_CALLOUT] = (uint64_t)(uintptr_t)bt_callout;
	v->hot[H_TLB_MISS] = (uint64_t)(uintptr_t)bt_tlb_miss;
	v->hot[H_LOOKUP] = (uint64_t)(uintptr_t)bt_lookup;
	rc = bt_signal_init(b, e);
	if (!rc && b->bt->can_window)
		rc = windows_new(b, e);
	if (!rc && b->bt->verify && !(b->verify = verify_new(b)))
		rc = err_set(e, -ENOMEM, "translator: out of memory");
	if (!rc)
		rc = interp_vcpu_create(v, e);
	bt_lock(b->bt);
	v->engine = b;
	bt_unlock(b->bt);
	if (rc) {
		bt_destroy(v);
		return rc;
	}
	v->on_tlb_flush = on_tlb_flush;
	return 0;
}

/* Outside run() the state is in v->cpu already. */
static void bt_sync_out(struct vcpu *v)
{
}

static void bt_sync_in(struct vcpu *v)
{
	interp_state_changed(v);
	on_tlb_flush(v, 0, VCPU_FLUSH_ALL);
}

const struct engine_ops bt_engine = {
	.name = "bt",
	.probe = bt_probe,
	.vm_create = bt_vm_create,
	.vm_destroy = bt_vm_destroy,
	.create = bt_create,
	.destroy = bt_destroy,
	.run = bt_run,
	.sync_out = bt_sync_out,
	.sync_in = bt_sync_in,
	.kick = bt_kick,
	.nudge = bt_nudge,
	.kicked = bt_kicked,
	.print_stats = bt_print_stats,
};
