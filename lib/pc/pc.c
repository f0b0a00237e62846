#include "pc/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pc/acpi.h"
#include "pc/dmi.h"
#include "pc/e820.h"
#include "pc/mptable.h"
#include "pc/tsc.h"

#define KERNEL_MAX	(512ull << 20)
#define INITRD_MAX	(3ull << 30)

static int check_config(const struct pc_config *cfg, struct err *e)
{
	if (!cfg->kernel)
		return err_set(e, -EINVAL, "nothing to boot: no kernel given");
	if (cfg->memory < MEM_SIZE_MIN || cfg->memory > MEM_SIZE_MAX ||
	    cfg->memory % PAGE_SIZE)
		return err_set(e, -EINVAL, "memory must be 1 MiB to 64 GiB, "
			       "a multiple of 4 KiB");
	if (cfg->cpus < 1 || cfg->cpus > VM_CPUS_MAX)
		return err_set(e, -EINVAL, "a machine has 1 to %u processors", VM_CPUS_MAX);
	if (cfg->cpus > 1)
		return err_set(e, -ENOTSUP, "%u processors: only one is supported yet",
			       cfg->cpus);
	return 0;
}

static int read_images(struct pc *pc, struct err *e)
{
	const struct pc_config *cfg = &pc->cfg;
	struct boot_request *rq = &pc->rq;
	int rc;

	rq->append = cfg->append ? cfg->append : "";
	rq->acpi_rsdp = LOWMEM_ACPI;
	rc = image_read(&rq->kernel, cfg->kernel, KERNEL_MAX, e);
	if (!rc && cfg->initrd) {
		rc = image_read(&rq->module[0], cfg->initrd, INITRD_MAX, e);
		if (!rc)
			rq->nmodules = 1;
	}
	if (rc)
		return rc;
	if (!linux_probe(&rq->kernel))
		return err_set(e, -EBADMSG, "%s: not a Linux kernel", cfg->kernel);
	pc->boot = PC_BOOT_LINUX;
	return linux_check(&pc->lx, rq, cfg->memory, e);
}

static int make_vcpus(struct pc *pc, struct err *e)
{
	struct vm *vm = &pc->vm;

	for (unsigned i = 0; i < pc->cfg.cpus; i++) {
		struct vcpu *v;

		if (posix_memalign((void **)&v, 64, sizeof(*v)))
			return err_set(e, -ENOMEM, "out of memory");
		memset(v, 0, sizeof(*v));
		v->id = i;
		v->vm = vm;
		vm->vcpu[i] = v;
		vm->ncpus = i + 1;
		pc->thread[i] = (struct pc_thread){ .pc = pc, .v = v };
	}
	return 0;
}

static int make_vm(struct pc *pc, struct err *e)
{
	struct vm *vm = &pc->vm;
	int rc;

	vm->mem = mem_new(pc->cfg.memory, 0, e);
	if (!vm->mem)
		return e ? e->code : -ENOMEM;
	rc = make_vcpus(pc, e);
	if (rc)
		return rc;
	vm->trace = (struct trace){ pc->cfg.trace_kinds, pc->cfg.trace_out };
	vm->engine_opts = &pc->cfg.bt;
	vm->engine = accel_choose(pc, e);
	if (!vm->engine)
		return e ? e->code : -ENOTSUP;
	vm->model.long_mode = true;
	vm->model.smap = true;
	vm->model.cpus = vm->ncpus;
	vm->model.tsc_hz = tsc_host_hz();
	x86_model_init(&vm->model);
	rc = devices_new(pc, e);
	if (rc)
		return rc;
	rc = vm->engine->vm_create ? vm->engine->vm_create(vm, e) : 0;
	pc->vm_created = rc == 0;
	return rc;
}

static struct pc *pc_alloc(const struct pc_config *cfg, struct err *e)
{
	struct pc *pc = calloc(1, sizeof(*pc));

	if (!pc) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	pc->cfg = *cfg;
	atomic_store(&pc->vm.debug_exit, -1);
	pthread_mutex_init(&pc->vm.lock, NULL);
	pthread_mutex_init(&pc->run_lock, NULL);
	pthread_cond_init(&pc->run_cond, NULL);
	bus_init(&pc->vm.bus, &pc->vm.lock);
	timerq_init(&pc->vm.timers);
	pc->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pc->wake_fd < 0) {
		err_sys(e, -errno, "eventfd");
		pc_free(pc);
		return NULL;
	}
	return pc;
}

struct pc *pc_new(const struct pc_config *cfg, struct err *e)
{
	struct err mine;
	struct pc *pc;
	int rc;

	e = e ? e : &mine;
	if (check_config(cfg, e))
		return NULL;
	pc = pc_alloc(cfg, e);
	if (!pc)
		return NULL;
	rc = read_images(pc, e);
	if (!rc) {
		pc->serial = chardev_open(cfg->serial ? cfg->serial : "none",
					  pc->wake_fd, e);
		rc = pc->serial ? make_vm(pc, e) : e->code;
	}
	if (rc) {
		pc_free(pc);
		return NULL;
	}
	return pc;
}

/* The BIOS data area: what kernels read when they are told little else.
 * Spec: IBM PS/2 and PC BIOS Interface Technical Reference. */
static void load_bda(struct mem *m)
{
	enum { BDA = 0x400, COM1 = 0x00, EBDA_SEG = 0x0e, BASE_KIB = 0x13, LEN = 0x100 };
	uint8_t bda[LEN] = { 0 };

	bda[COM1] = 0xf8;
	bda[COM1 + 1] = 0x03;
	bda[EBDA_SEG] = LOWMEM_EBDA >> 4 & 0xff;
	bda[EBDA_SEG + 1] = LOWMEM_EBDA >> 12;
	bda[BASE_KIB] = LOWMEM_EBDA >> 10 & 0xff;
	bda[BASE_KIB + 1] = LOWMEM_EBDA >> 18;
	mem_write(m, BDA, bda, sizeof(bda));
}

/* What firmware leaves in memory for a kernel. */
static void load_tables(struct pc *pc)
{
	uint8_t acpi[ACPI_LEN], mp[MPTABLE_LEN], dmi[DMI_LEN];
	struct mem *m = pc->vm.mem;
	unsigned cpus = pc->vm.ncpus;
	uint32_t dmi_gpa = LOWMEM_BIOS + MPTABLE_LEN;

	load_bda(m);
	mem_write(m, LOWMEM_ACPI, acpi, acpi_build(acpi, LOWMEM_ACPI, cpus));
	mem_write(m, LOWMEM_BIOS, mp, mptable_build(mp, LOWMEM_BIOS, cpus));
	mem_write(m, dmi_gpa, dmi, dmi_build(dmi, dmi_gpa, m->ram_size, cpus));
}

static void reset_vcpu(struct pc_thread *t)
{
	struct vcpu *v = t->v;

	x86_cpu_reset(&v->cpu);
	v->cpu.tsc_offset = -(int64_t)__builtin_ia32_rdtsc();
	tlb_flush(&v->tlb);
	atomic_store(&v->req, VCPU_REQ_FLUSH);
	t->wait_sipi = v->id != 0;
}

void pc_reset(struct pc *pc)
{
	struct vm *vm = &pc->vm;

	pthread_mutex_lock(&vm->lock);
	for (unsigned i = 0; i < vm->ncpus; i++)
		reset_vcpu(&pc->thread[i]);
	devices_reset(pc);
	atomic_store(&vm->want_reset, false);
	load_tables(pc);
	linux_load(&pc->lx, &pc->rq, vm->mem, &vm->vcpu[0]->cpu);
	pthread_mutex_unlock(&vm->lock);
}

struct vm *pc_vm(struct pc *pc)
{
	return &pc->vm;
}

const char *pc_serial_name(const struct pc *pc)
{
	return chardev_name(pc->serial);
}

void pc_stop(struct pc *pc)
{
	uint64_t one = 1;
	int saved = errno;
	ssize_t n;

	atomic_store(&pc->stop, true);
	n = write(pc->wake_fd, &one, sizeof(one));
	(void)n;
	errno = saved;
}

void pc_free(struct pc *pc)
{
	struct vm *vm;

	if (!pc)
		return;
	vm = &pc->vm;
	run_quit(pc);
	if (pc->vm_created && vm->engine->vm_destroy)
		vm->engine->vm_destroy(vm);
	devices_free(pc);
	for (unsigned i = 0; i < vm->ncpus; i++)
		free(vm->vcpu[i]);
	mem_free(vm->mem);
	chardev_free(pc->serial);
	image_free(&pc->rq.kernel);
	for (unsigned i = 0; i < BOOT_MODULES; i++)
		image_free(&pc->rq.module[i]);
	if (pc->wake_fd >= 0)
		close(pc->wake_fd);
	pthread_cond_destroy(&pc->run_cond);
	pthread_mutex_destroy(&pc->run_lock);
	pthread_mutex_destroy(&vm->lock);
	free(pc);
}
