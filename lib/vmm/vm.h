#ifndef VMM_VM_H
#define VMM_VM_H
/*
 * A virtual machine as engines and devices see it, and its virtual CPUs.
 */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/err.h"
#include "vmm/bus.h"
#include "vmm/irq.h"
#include "vmm/mem.h"
#include "vmm/timer.h"
#include "vmm/tlb.h"
#include "vmm/trace.h"
#include "vmm/work.h"
#include "x86/cpu.h"
#include "x86/cpuid.h"

#define VM_CPUS_MAX 8

/* Requests to a vCPU, set by anyone with vcpu_request(), taken at safepoints. */
enum vcpu_req {
	VCPU_REQ_INTR = 1,	/* the interrupt controller has something: ask it */
	VCPU_REQ_NMI = 2,
	VCPU_REQ_INIT = 4,
	VCPU_REQ_SIPI = 8,
	VCPU_REQ_TIMER = 16,	/* run the vCPU's timer queue; vCPU 0: deferred work */
	VCPU_REQ_STOP = 32,	/* leave run() with VCPU_EXIT_STOP; stays set */
	VCPU_REQ_FLUSH = 64,	/* memory layout changed: drop TLB and windows */
	VCPU_REQ_PAUSE = 128,	/* another vCPU wants to be alone: vcpu_pause() */
	VCPU_REQ_COSTOP = 256,	/* run ahead too far: the caller lets the others catch up */
};

/* Requests for which run() returns VCPU_EXIT_REQ: its caller handles them. */
#define VCPU_REQ_CALLER (VCPU_REQ_TIMER | VCPU_REQ_INIT | VCPU_REQ_SIPI | VCPU_REQ_COSTOP)

/* Why engine_ops.run() returned. */
enum vcpu_exit {
	VCPU_EXIT_STOP,		/* VCPU_REQ_STOP */
	VCPU_EXIT_REQ,		/* one of VCPU_REQ_CALLER */
	VCPU_EXIT_HLT,		/* halted with nothing pending */
	VCPU_EXIT_SHUTDOWN,	/* triple fault */
	VCPU_EXIT_ERROR,	/* the engine cannot go on: v->err says why */
};

/*
 * The kick signal, for engines whose run() sits in a system call or cannot look
 * at v->req.  lib/pc installs its handler (SA_SIGINFO | SA_ONSTACK) and leaves it
 * unblocked in vCPU threads.  Sent with the vCPU as its value, so that the
 * handler knows whose engine_ops.kick to call: pthread_sigqueue(v->thread,
 * VCPU_KICK_SIGNAL, (union sigval){ .sival_ptr = v }).
 */
#define VCPU_KICK_SIGNAL (SIGRTMIN + 1)

/*
 * What the guest flushed.  v->tlb holds what is global and what is of the PCID in use,
 * so it takes SWITCH as it takes NONGLOBAL, and OTHER is nothing to it.
 */
enum vcpu_flush {
	VCPU_FLUSH_ALL,		/* MOV CR0, CR4 */
	VCPU_FLUSH_NONGLOBAL,	/* MOV CR3, INVPCID: what is of the PCID in use now */
	VCPU_FLUSH_PAGE,	/* INVLPG */
	VCPU_FLUSH_SWITCH,	/* MOV CR3 to another address space that keeps all */
	VCPU_FLUSH_OTHER,	/* INVPCID of a PCID that is not in use: gva is its number */
	VCPU_FLUSH_LAYOUT,	/* all, and where physical memory lies (VCPU_REQ_FLUSH) */
};

struct vm;
struct vcpu;

/*
 * While v->trial is set, an engine executes what it is going to take back.  Every
 * store to memory is announced before it is made; what cannot be taken back fails
 * as a fault does, with refused set.  Whoever sets it has cleared all wtags.
 */
enum vcpu_refusal { VCPU_TRIAL_DEVICE = 1, VCPU_TRIAL_TOLD, VCPU_TRIAL_FULL };

struct vcpu_trial {
	/* false: it cannot be taken back */
	bool (*store)(struct vcpu_trial *t, uint8_t *hva, uint64_t len);
	uint8_t refused;	/* enum vcpu_refusal */
	bool walked;		/* A or D was set */
};

struct engine_ops {
	const char *name;
	/* Can this host, this process run it?  vm may be NULL: no machine in
	 * particular.  0 or -errno with *e. */
	int (*probe)(struct vm *vm, struct err *e);
	int (*vm_create)(struct vm *vm, struct err *e);	/* after memory is set up */
	void (*vm_destroy)(struct vm *vm);
	int (*create)(struct vcpu *v, struct err *e);	/* on the vCPU's own thread */
	void (*destroy)(struct vcpu *v);
	/* Run until one of vcpu_exit; PIO and MMIO go to vm->bus inside. */
	enum vcpu_exit (*run)(struct vcpu *v);
	/* State outside run(): v->cpu is made current, and taken over. */
	void (*sync_out)(struct vcpu *v);
	void (*sync_in)(struct vcpu *v);
	/* Make a run() under way on another thread look at v->req soon
	 * (async-signal-safe; also called from the kick signal's handler). */
	void (*kick)(struct vcpu *v);
	/* NULL, or: look at tlb.recheck before it goes on where stores do not; another
	 * vCPU's thread, code_lock held.  What runs is not interrupted. */
	void (*nudge)(struct vcpu *v);
	/* NULL, or called by the kick signal's handler on the vCPU's thread with
	 * the interrupted context, after kick(). */
	void (*kicked)(struct vcpu *v, void *ucontext);
	/* NULL, or: take over mem->slot[] after it changed.  0 or -errno with *e. */
	int (*layout)(struct vm *vm, struct err *e);
	void (*print_stats)(struct vm *vm, void (*put)(void *ptr, const char *name,
			    uint64_t value), void *ptr);
};

struct vcpu {
	uint64_t hot[56];	/* the engine's own; first, for translated code */
	struct x86_cpu cpu;
	struct tlb tlb;		/* soft TLB of interp and bt */
	_Atomic uint32_t req;	/* enum vcpu_req; a halted vCPU sleeps in a futex on it */
	_Atomic bool sleeping;	/* it does: vcpu_request() has to FUTEX_WAKE_PRIVATE */
	_Atomic bool yielding;	/* it spins, and others of the host have its turn */
	_Atomic bool in_guest;	/* between vcpu_enter() and vcpu_leave() */
	unsigned id;
	struct vm *vm;
	struct timerq timers;	/* of its local APIC; unused by vCPU 0: vcpu_timers() */
	pthread_t thread;
	void *engine;		/* the engine's own state */
	void *interp;		/* the interpreter's, whatever the engine: interp.h */
	_Atomic uint8_t sipi_vector;
	/* The interrupt controller in front of this vCPU; vm->lock is taken by
	 * the functions.  ack returns the vector, or -1 when it was spurious. */
	bool (*intr_pending)(void *ptr);
	int (*intr_ack)(void *ptr);
	void *intr_ptr;
	void *lapic;		/* lib/dev; for MSR and CR8 access: hooks below */
	uint64_t (*apic_rdmsr)(void *lapic, uint32_t msr, bool *ok);
	void (*apic_wrmsr)(void *lapic, uint32_t msr, uint64_t val, bool *ok);
	uint8_t (*apic_tpr)(void *lapic);		/* CR8 */
	void (*apic_set_tpr)(void *lapic, uint8_t cr8);
	/* NULL, or told after v->tlb was flushed for the guest: the translator
	 * keeps more caches.  gva: the page, for VCPU_FLUSH_PAGE. */
	void (*on_tlb_flush)(struct vcpu *v, uint64_t gva, int what);
	struct vcpu_trial *trial;	/* NULL: executed for good */
	struct err err;
	uint64_t insns;		/* instructions executed, where the engine counts */
};

struct vm {
	struct mem *mem;
	struct bus bus;
	struct irq irq;
	struct timerq timers;	/* of devices, and of vCPU 0's local APIC */
	pthread_mutex_t lock;	/* all devices */
	_Atomic(struct vm_work *) work;	/* last deferred first */
	/* vm_stop_others(): who is alone, and the lock of that. */
	_Atomic(struct vcpu *) alone;
	pthread_mutex_t alone_lock;
	pthread_cond_t alone_cond;
	uint64_t (*now_ns)(void);	/* the clock of devices; NULL: clock_ns */
	struct vcpu *vcpu[VM_CPUS_MAX];
	unsigned ncpus;
	const struct engine_ops *engine;
	void *engine_vm;	/* the engine's per-VM state */
	void *interp;		/* the interpreter's, whatever the engine: interp.h */
	const void *engine_opts;	/* the engine's own options, e.g. struct bt_opts */
	struct x86_model model;
	struct trace trace;
	/* Requests of disks: done where they were made; by the kernel meanwhile; by threads. */
	struct { uint64_t here, started, threads; } io;
	/* Set by devices, acted on by lib/pc: */
	_Atomic bool want_reset, want_poweroff;
	_Atomic int debug_exit;	/* -1, or the process exit code asked for */
};

/* Set request bits and kick the vCPU if it runs.  Any thread, async-signal-safe. */
void vcpu_request(struct vcpu *v, uint32_t bits);
/* Take requests back; a vCPU that sleeps looks again. */
void vcpu_withdraw(struct vcpu *v, uint32_t bits);

/* The queue whose timers fire on v's thread. */
static inline struct timerq *vcpu_timers(struct vcpu *v)
{
	return v->id ? &v->timers : &v->vm->timers;
}

/* --- several vCPUs: see ARCHITECTURE.md, "Many virtual CPUs" ------------------- */

/* Prepare and undo vm_stop_others(); ncpus need not be known yet. */
void vm_alone_init(struct vm *vm);
void vm_alone_fini(struct vm *vm);

/* This thread begins, ends to execute v's instructions: engines with software
 * TLBs, around all that touches guest memory.  Beginning may wait for a vCPU
 * that is alone. */
void vcpu_enter(struct vcpu *v);
void vcpu_leave(struct vcpu *v);

/* At VCPU_REQ_PAUSE, between instructions: let the vCPU that asked be alone. */
void vcpu_pause(struct vcpu *v);

/*
 * Stop all other vCPUs between two instructions; then let them go on.  For what
 * the host's own LOCK cannot do.  Not with vm->lock or code_lock held.
 */
void vm_stop_others(struct vcpu *v);
void vm_resume_others(struct vcpu *v);

/*
 * Change the memory layout, when a device's handler that this vCPU has just called asked
 * for that (mem_shadow_set()): engines call it between two accesses, without locks, when
 * mem->moves is set.  v NULL: the machine stands still.  0; or -errno with *e.
 */
int vm_layout(struct vm *vm, struct vcpu *v, struct err *e);

/*
 * Order memory between this thread and all others of the process, as if each had
 * executed MFENCE somewhere in between: membarrier(2).  Not when all others run no guest
 * code: vcpu_enter() is a barrier, too.
 */
void vm_barrier(struct vm *vm);
int vm_barrier_init(struct err *e);	/* -ENOTSUP: the kernel has none */

/* The vCPU whose thread this is; NULL: another thread. */
struct vcpu *vm_self(const struct vm *vm);

/* May this thread call mem_dirty()?  A vCPU's may, others while no vCPU runs: see
 * vmm/dma.h.  For assertions. */
bool vm_may_tell(const struct vm *vm);

/*
 * Set a flag (MEM_PF_CODE, MEM_PF_PT) of a page of the memfd; when this returns,
 * stores to it that were not told are in memory, and later ones will be told.  With
 * mem->code_lock held.  For engines whose stores end with vcpu_stored(), or that have
 * mem->on_told and nudge().
 */
void vm_protect_page(struct vm *vm, uint64_t page, uint8_t flag);

/* All vCPUs leave run(): a device has set one of the want_* flags. */
static inline void vm_stop(struct vm *vm)
{
	for (unsigned i = 0; i < vm->ncpus; i++)
		vcpu_request(vm->vcpu[i], VCPU_REQ_STOP);
}

/* The time that devices and their deadlines go by. */
static inline uint64_t vm_now_ns(const struct vm *vm)
{
	return __builtin_expect(!!vm->now_ns, 0) ? vm->now_ns() : clock_ns();
}

/* The guest's TSC now. */
static inline uint64_t vcpu_tsc(const struct vcpu *v)
{
	return __builtin_ia32_rdtsc() + (uint64_t)v->cpu.tsc_offset;
}
#endif
