#ifndef PC_H
#define PC_H
/*
 * The machine: a 440BX/PIIX4 PC as VMware presents it, assembled from lib/dev
 * around one engine, booted and run to its end.
 */

#include <signal.h>

#include "base/err.h"
#include "bt/bt.h"
#include "vmm/vm.h"

#define PC_DISKS	64	/* CD-ROMs included */
#define PC_SCSI_BUSES	4

enum pc_bus { PC_BUS_NONE, PC_BUS_IDE, PC_BUS_SCSI };
enum pc_scsi { PC_SCSI_LSILOGIC, PC_SCSI_BUSLOGIC, PC_SCSI_LSISAS1068, PC_SCSI_PVSCSI,
	       PC_SCSI_KINDS };
enum pc_disk_mode {
	PC_DISK_PERSISTENT,
	PC_DISK_INDEPENDENT,	/* persistent, and not part of snapshots */
	PC_DISK_NONPERSISTENT,	/* what is written is forgotten at the end */
	PC_DISK_UNDOABLE,	/* what is written goes to path.REDO */
};

struct pc_disk {
	const char *path;	/* NULL: a CD-ROM drive without a medium */
	bool cd;
	enum pc_bus bus;	/* NONE, of a machine that runs: it was removed */
	unsigned channel, unit;	/* ide1:0, scsi0:2 */
	enum pc_scsi scsi;	/* the adapter of the bus */
	enum pc_disk_mode mode;
};

enum pc_accel { PC_ACCEL_AUTO, PC_ACCEL_KVM, PC_ACCEL_BT, PC_ACCEL_INTERP };

struct pc_config {
	const char *kernel, *initrd, *append;	/* NULL: none */
	const char *bios;			/* flat ROM image */
	const struct pc_disk *disks;		/* ndisks of them, at most PC_DISKS */
	unsigned ndisks;
	bool adapter[PC_SCSI_BUSES];		/* is there, of a type, even without disks */
	enum pc_scsi adapter_type[PC_SCSI_BUSES];
	bool allow_outside;			/* descriptors of disks may name any file */
	bool disk_threads;			/* threads wait for disks, io_uring is not used */
	uint8_t boot[PC_DISKS];			/* of them, in this order; firmware */
	unsigned nboot;
	bool boot_menu;				/* firmware shows one */
	uint64_t memory;			/* bytes */
	unsigned cpus;
	unsigned cpu_level;			/* struct x86_model.level */
	enum pc_accel accel;
	const char *serial;	/* stdio none file:F unix:S pty */
	bool debug_exit;
	double timeout_s;	/* from pc_new() on, 0: none */
	bool no_reboot;
	bool control;			/* it is found by others, and has a control socket */
	struct bt_opts bt;
	unsigned trace_kinds;
	FILE *trace_out;		/* the caller's */
	const char *trace_file;		/* instead of it; NULL: none */
	void (*say)(const char *line);	/* progress for -v, NULL: silent */
	void (*warn)(const char *line);	/* what goes wrong without an end; NULL */
};

enum pc_end {
	PC_END_POWEROFF,	/* guest powered off, ^A x, SIGTERM/SIGINT */
	PC_END_RESET,		/* guest reset with no_reboot */
	PC_END_DEBUG_EXIT,	/* code is the process exit code */
	PC_END_TIMEOUT,
	PC_END_CRASH,		/* triple fault; report holds the registers */
	PC_END_ERROR,		/* the engine failed: err */
	PC_END_NOT_STARTED,	/* no guest code was run: err */
	PC_END_LOST,		/* ended well, but serial output or the trace was
				 * lost; warn() was told when it happened */
};

struct pc;

/*
 * Check the configuration, and make a machine that pc_stop() can stop.
 *
 * cfg        copied; what it points to must outlive the machine
 * Returns    the machine, for pc_free(); NULL with *e set: -EINVAL, -ENOTSUP,
 *            -ENOMEM, or what the system said
 */
struct pc *pc_new(const struct pc_config *cfg, struct err *e);

/*
 * Open and read everything that the machine needs.
 * Returns    0; -EINVAL usage, -EBADMSG or -ENOTSUP bad input, -ENOSPC or -E2BIG
 *            it does not fit into the memory given, -EINTR pc_stop(), -ETIMEDOUT,
 *            -ENOENT, -EACCES, or what else the system said
 */
int pc_load(struct pc *pc, struct err *e);

/* Run a loaded machine to its end.  code: for PC_END_DEBUG_EXIT. */
enum pc_end pc_run(struct pc *pc, int *code, struct err *e);

/* Ask a running machine to end; async-signal-safe. */
void pc_stop(struct pc *pc);

/*
 * The terminal of --serial stdio as it was before, while something else has it or
 * when the process dies; and in raw mode again, once pc_run() comes to it.  Both
 * do nothing where there is none.  Async-signal-safe.
 */
void pc_console_leave(struct pc *pc);
void pc_console_take(struct pc *pc);

/* Time of each vCPU, in nanoseconds, after pc_run(): halted; ready, but the host ran
 * others; stopped because it was ahead of others; and how far behind it was at most. */
void pc_stats(struct pc *pc, void (*put)(void *ptr, const char *name, uint64_t value),
	      void *ptr);

/* Registers and disassembly of each vCPU, for crash reports. */
void pc_dump(struct pc *pc, FILE *out);

/* The path of the terminal of --serial pty, else NULL. */
const char *pc_serial_name(const struct pc *pc);

/* The machine inside, pc's own: for its engine's counters. */
struct vm *pc_vm(struct pc *pc);

/* For each engine of this build: can it run here?  why is NULL, or the reason
 * why not. */
void pc_engines(void (*put)(void *ptr, const char *name, const char *why), void *ptr);

/* End the vCPU threads and free everything.  Not while pc_run() runs; NULL ok. */
void pc_free(struct pc *pc);
#endif
