#ifndef PC_MACHINE_H
#define PC_MACHINE_H
/*
 * The machine from the inside: what pc.c, run.c and devices.c share.
 *
 * Threads: one a vCPU, and the caller of pc_run(), which is the main loop.  A
 * vCPU thread lives until pc_free(): between runs it is parked, so that what
 * engines keep per thread survives a reset.
 */

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "pc/boot.h"
#include "pc/chardev.h"
#include "pc/cosched.h"
#include "pc/disks.h"
#include "pc/multiboot.h"
#include "pc/pc.h"
#include "pc/wait.h"

#define COM1_PORT	0x3f8
#define COM1_IRQ	4

enum pc_boot { PC_BOOT_LINUX, PC_BOOT_MULTIBOOT, PC_BOOT_ROM };

/* What vCPU threads are to do. */
enum pc_phase { PC_PARK, PC_RUN, PC_QUIT };

struct pc_thread {
	struct pc *pc;
	struct vcpu *v;
	bool started;		/* pthread_create() was called */
	bool created;		/* engine_ops.create() went well */
	bool parked;
	bool wait_sipi;		/* an application processor after INIT */
	timer_t timer;		/* kicks the thread */
	bool have_timer;
	unsigned poll_ns;	/* how long it polls before it sleeps */
	clockid_t cpu_clock;	/* of the thread */
	uint64_t cpu_ns;	/* of it used by run() and what belongs to it, so far */
	/* Time that it was halted, in one word, so that the main loop never sees half of a
	 * change: 2 x nanoseconds; while it is halted 2 x (those before - since when) + 1. */
	_Atomic int64_t halted;
	uint64_t costop_ns, run_ns;	/* stopped for others; all in all */
	enum vcpu_exit exit;	/* why it parked */
};

/* Devices in the order in which they are made and reset; the last three are there only
 * when firmware is booted, or asked for. */
enum pc_dev {
	PC_DEV_PIC, PC_DEV_PIT, PC_DEV_RTC, PC_DEV_LAPIC, PC_DEV_IOAPIC,
	PC_DEV_HPET, PC_DEV_UART, PC_DEV_I8042, PC_DEV_PORT92, PC_DEV_PCI,
	PC_DEV_I440BX, PC_DEV_PIIX4, PC_DEV_ACPIPM, PC_DEV_VMBACKDOOR,
	PC_DEV_IDE, PC_DEV_SCSI, PC_DEV_FWCFG, PC_DEV_FWDEBUG, PC_DEV_DEBUGEXIT, PC_DEV_COUNT
};

struct pc {
	struct vm vm;
	struct pc_config cfg;
	struct boot_request rq;
	enum pc_boot boot;
	struct linux_image lx;
	struct multiboot_image mb;
	struct image bios;
	char *modules;			/* of --initrd, cut at its commas */
	FILE *trace_file;		/* of cfg.trace_file, or NULL */
	void *dev[PC_DEV_COUNT];	/* NULL: not there */
	struct chardev *serial;
	struct pc_disk given[PC_DISKS];	/* what cfg.disks is: changes with vm.lock held */
	char *given_path[PC_DISKS];	/* ours; NULL: the caller's */
	struct blk *blk[PC_DISKS];	/* of cfg.disks, until an adapter has it */
	struct disk *disk[PC_DISKS];	/* that is behind it, for pc/live.h; NULL: none */
	struct live_job *at_reset;	/* disks that are changed at the next reset, or NULL */
	struct control *control;	/* NULL: no control socket */

	int wake_fd;			/* eventfd: the main loop has something to do */
	_Atomic bool stop;		/* pc_stop() */
	struct pc_wait wait;		/* until then, and for --timeout */
	_Atomic bool take_console;	/* pc_console_take() */
	_Atomic bool on_console;	/* pc_run() has it */
	bool said_serial, said_trace;	/* that output is lost */
	pthread_mutex_t run_lock;	/* phase, threads' parked and exit */
	pthread_cond_t run_cond;
	enum pc_phase phase;
	struct pc_thread thread[VM_CPUS_MAX];
	_Atomic unsigned running;	/* vCPUs that are neither halted nor parked */
	unsigned host_cpus;		/* that we may use */
	struct cosched cosched;
	_Atomic bool cosched_on;	/* samples are being taken */
	uint64_t cosched_until;		/* as long as there is no need to look again */
	bool vm_created;
	struct err err;
};

/* accel.c: the engine for cfg->accel, probed.  NULL with *e set. */
const struct engine_ops *accel_choose(struct pc *pc, struct err *e);

/* devices.c: make, reset, free all of them. */
int devices_new(struct pc *pc, struct err *e);
void devices_reset(struct pc *pc);
void devices_free(struct pc *pc);

/* load.c: read the files and check them; load them, at every reset. */
int load_read(struct pc *pc, struct err *e);
int load_reset(struct pc *pc, struct err *e);
void load_free(struct pc *pc);

/* pc.c: the state at power-on: processors, devices, images.  0, or as
 * image_reload(). */
int pc_reset(struct pc *pc, struct err *e);

/* vcpu.c: the handler of the kick signal; a vCPU's thread, ptr is its pc_thread. */
int vcpu_install_kick(struct err *e);
void *vcpu_main(void *ptr);

static inline struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_SEC),
				  .tv_nsec = (long)(ns % NS_PER_SEC) };
}

/* How long a vCPU has been halted by now, nanoseconds. */
static inline int64_t halted_ns(int64_t halted, uint64_t now)
{
	return (halted >> 1) + (halted & 1 ? (int64_t)now : 0);
}

/* run.c: wake the main loop (ptr is the pc); end the vCPU threads. */
void run_wake(void *pc);
void run_quit(struct pc *pc);
#endif
