#include "pc/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "pc/live.h"
#include "pc/rom.h"
#include "pc/tsc.h"

static int check_config(const struct pc_config *cfg, struct err *e)
{
	if (!cfg->kernel == !cfg->bios)
		return err_set(e, -EINVAL, "either a kernel or a ROM image is booted");
	if (cfg->memory < MEM_SIZE_MIN || cfg->memory > MEM_SIZE_MAX ||
	    cfg->memory % PAGE_SIZE)
		return err_set(e, -EINVAL, "memory must be 1 MiB to 64 GiB, "
			       "a multiple of 4 KiB");
	if (cfg->cpus < 1 || cfg->cpus > VM_CPUS_MAX)
		return err_set(e, -EINVAL, "a machine has 1 to %u processors", VM_CPUS_MAX);
	return 0;
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
		timerq_init(&v->timers);
		vm->vcpu[i] = v;
		vm->ncpus = i + 1;
		pc->thread[i] = (struct pc_thread){ .pc = pc, .v = v };
	}
	return 0;
}

static int check_level(const struct vm *vm, struct err *e)
{
	const char *lack = x86_model_lacks(&vm->model);

	if (!lack)
		return 0;
	return err_set(e, -ENOTSUP, "--cpu: %s needs %s, which %s cannot give on this host",
		       x86_level_name(vm->model.level), lack, vm->engine->name);
}

static int make_vm(struct pc *pc, struct err *e)
{
	struct vm *vm = &pc->vm;
	int rc;

	vm->mem = mem_new(pc->cfg.memory, rom_reserve(&pc->bios), e);
	if (!vm->mem)
		return e->code;
	rc = pc->boot == PC_BOOT_ROM ? rom_map(vm->mem, &pc->bios, e) : 0;
	image_unload(&pc->bios);
	if (!rc)
		rc = make_vcpus(pc, e);
	if (rc)
		return rc;
	vm->trace = (struct trace){ .kinds = pc->cfg.trace_kinds, .out = pc->trace_file ? pc->trace_file :
					   pc->cfg.trace_out,
				    .failed = run_wake, .ptr = pc };
	vm->engine_opts = &pc->cfg.bt;
	vm->engine = accel_choose(pc, e);
	if (!vm->engine)
		return e->code;
	vm->model.long_mode = true;
	vm->model.smap = true;
	vm->model.x2apic = true;
	vm->model.level = pc->cfg.cpu_level;
	vm->model.cpus = vm->ncpus;
	vm->model.tsc_hz = tsc_host_hz();
	x86_model_init(&vm->model);
	rc = disks_open(pc, e);
	if (!rc)
		rc = devices_new(pc, e);
	if (rc)
		return rc;
	rc = vm->engine->vm_create ? vm->engine->vm_create(vm, e) : 0;
	pc->vm_created = rc == 0;
	return rc ? rc : check_level(vm, e);
}

static unsigned host_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

static struct pc *pc_alloc(const struct pc_config *cfg, struct err *e)
{
	struct pc *pc = calloc(1, sizeof(*pc));

	if (!pc) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	pc->cfg = *cfg;
	if (cfg->ndisks)
		memcpy(pc->given, cfg->disks, cfg->ndisks * sizeof(pc->given[0]));
	pc->cfg.disks = pc->given;
	atomic_store(&pc->vm.debug_exit, -1);
	pthread_mutex_init(&pc->vm.lock, NULL);
	pthread_mutex_init(&pc->run_lock, NULL);
	pthread_cond_init(&pc->run_cond, NULL);
	bus_init(&pc->vm.bus, &pc->vm.lock);
	timerq_init(&pc->vm.timers);
	vm_alone_init(&pc->vm);
	pc->host_cpus = host_cpus();
	pc->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pc->wake_fd < 0) {
		err_sys(e, -errno, "eventfd");
		pc_free(pc);
		return NULL;
	}
	pc->wait = (struct pc_wait){ .stop = &pc->stop, .wake_fd = pc->wake_fd,
				     .deadline_ns = UINT64_MAX };
	if (cfg->timeout_s > 0)
		pc->wait.deadline_ns = clock_ns() + (uint64_t)(cfg->timeout_s * 1e9);
	return pc;
}

struct pc *pc_new(const struct pc_config *cfg, struct err *e)
{
	return check_config(cfg, e) ? NULL : pc_alloc(cfg, e);
}

static int open_trace(struct pc *pc, struct err *e)
{
	int fd = pc_wait_open(&pc->wait, pc->cfg.trace_file, e);

	if (fd < 0)
		return err_in(e, fd, "--trace");
	/* Events wait for a slow reader: none is lost. */
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	pc->trace_file = fdopen(fd, "w");
	if (!pc->trace_file)
		close(fd);
	return pc->trace_file ? 0 : err_set(e, -ENOMEM, "out of memory");
}

int pc_load(struct pc *pc, struct err *e)
{
	struct err mine;
	int rc;

	e = e ? e : &mine;
	rc = pc->cfg.trace_file ? open_trace(pc, e) : 0;
	if (!rc)
		rc = load_read(pc, e);
	if (rc)
		return rc;
	pc->serial = chardev_open(pc->cfg.serial ? pc->cfg.serial : "none", &pc->wait, e);
	return pc->serial ? make_vm(pc, e) : e->code;
}

static void reset_vcpu(struct pc_thread *t, uint64_t tsc)
{
	struct vcpu *v = t->v;

	x86_cpu_reset(&v->cpu);
	v->cpu.tsc_offset = -(int64_t)tsc;
	tlb_flush(&v->tlb);
	/* A signal of the host's timer may have come since it last ran: look. */
	atomic_store(&v->req, VCPU_REQ_FLUSH | VCPU_REQ_TIMER);
	t->wait_sipi = v->id != 0;
}

int pc_reset(struct pc *pc, struct err *e)
{
	struct vm *vm = &pc->vm;
	uint64_t tsc = __builtin_ia32_rdtsc();	/* all count from here */
	int rc;

	pthread_mutex_lock(&vm->lock);
	for (unsigned i = 0; i < vm->ncpus; i++)
		reset_vcpu(&pc->thread[i], tsc);
	devices_reset(pc);
	vm_run_work(vm);
	atomic_store(&vm->want_reset, false);
	pthread_mutex_unlock(&vm->lock);
	live_at_reset(pc);
	rc = vm_layout(vm, NULL, e);
	pthread_mutex_lock(&vm->lock);
	if (!rc)
		rc = load_reset(pc, e);
	pthread_mutex_unlock(&vm->lock);
	return rc;
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
	int saved = errno;

	atomic_store(&pc->stop, true);
	run_wake(pc);
	errno = saved;
}

void pc_console_leave(struct pc *pc)
{
	int saved = errno;

	if (atomic_load(&pc->on_console))
		chardev_cooked(pc->serial);
	errno = saved;
}

void pc_console_take(struct pc *pc)
{
	int saved = errno;

	atomic_store(&pc->take_console, true);
	run_wake(pc);
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
	disks_close(pc);
	for (unsigned i = 0; i < PC_DISKS; i++)
		free(pc->given_path[i]);
	for (unsigned i = 0; i < vm->ncpus; i++)
		free(vm->vcpu[i]);
	mem_free(vm->mem);
	chardev_free(pc->serial);
	if (pc->trace_file)
		fclose(pc->trace_file);	/* pc_run() has flushed it, and said what failed */
	load_free(pc);
	if (pc->wake_fd >= 0)
		close(pc->wake_fd);
	pthread_cond_destroy(&pc->run_cond);
	pthread_mutex_destroy(&pc->run_lock);
	pthread_mutex_destroy(&vm->lock);
	vm_alone_fini(vm);
	free(pc);
}
