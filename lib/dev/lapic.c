#include "dev/lapic_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool lapic_enabled(const struct lapic *l)
{
	return l->base & BASE_ENABLE && l->svr & SVR_ENABLE;
}

uint8_t lapic_ppr(const struct lapic *l)
{
	int busy = vecset_top(&l->isr);
	unsigned class = busy < 0 ? 0 : busy & 0xf0;

	return (l->tpr & 0xf0) >= class ? l->tpr : class;
}

/* The vector that may interrupt now, or -1. */
static int lapic_pending(const struct lapic *l)
{
	int top = vecset_top(&l->irr);

	if (top < 0 || !lapic_enabled(l))
		return -1;
	return (top & 0xf0) > (lapic_ppr(l) & 0xf0) ? top : -1;
}

/* Does the 8259 interrupt this vCPU? */
static bool lapic_extint(const struct lapic *l)
{
	if (!l->ls->pic || !pic_intr(l->ls->pic))
		return false;
	if (!(l->base & BASE_ENABLE))
		return l->v->id == 0;
	return !(l->lvt[LVT_LINT0] & LVT_MASKED) &&
	       (l->lvt[LVT_LINT0] >> 8 & 7) == LAPIC_EXTINT;
}

static bool lapic_wants(const struct lapic *l)
{
	return lapic_pending(l) >= 0 || lapic_extint(l);
}

void lapic_update(struct lapic *l)
{
	if (lapic_wants(l))
		vcpu_request(l->v, VCPU_REQ_INTR);
}

void lapic_error(struct lapic *l, uint32_t esr_bit)
{
	if (l->esr_next & esr_bit)
		return;
	l->esr_next |= esr_bit;
	lapic_local(l, LVT_ERROR);
}

void lapic_fixed(struct lapic *l, uint8_t vector, bool level)
{
	if (!lapic_enabled(l))
		return;
	if (vector < 16) {
		lapic_error(l, ESR_RECV_VECTOR);
		return;
	}
	vecset_add(&l->irr, vector);
	if (level)
		vecset_add(&l->tmr, vector);
	else
		vecset_del(&l->tmr, vector);
	lapic_update(l);
}

void lapic_local(struct lapic *l, enum lapic_lvt n)
{
	uint32_t lvt = l->lvt[n];

	if (lvt & LVT_MASKED)
		return;
	/* The timer and the error source are fixed whatever the field says. */
	if (n == LVT_TIMER || n == LVT_ERROR || (lvt >> 8 & 7) == LAPIC_FIXED) {
		/* A vector below 16 in the error entry would raise itself. */
		if (n != LVT_ERROR || (lvt & 0xff) >= 16)
			lapic_fixed(l, lvt, false);
	} else if ((lvt >> 8 & 7) == LAPIC_NMI) {
		vcpu_request(l->v, VCPU_REQ_NMI);
	} else if ((lvt >> 8 & 7) == LAPIC_EXTINT) {
		lapic_update(l);
	}
}

/* INTR of the 8259 pair rose: it is LINT0 of all, or the INTR pin. */
static void lapics_pic_intr(void *ptr)
{
	struct lapics *ls = ptr;

	for (unsigned i = 0; i < ls->n; i++) {
		if (ls->l[i].base & BASE_ENABLE)
			lapic_local(&ls->l[i], LVT_LINT0);
		else
			lapic_update(&ls->l[i]);
	}
}

void lapic_eoi(struct lapic *l)
{
	int v = vecset_top(&l->isr);

	if (v < 0)
		return;
	vecset_del(&l->isr, v);
	if (vecset_has(&l->tmr, v) && l->ls->eoi)
		l->ls->eoi(l->ls->eoi_ptr, v);
	lapic_update(l);
}

static bool lapic_addressed(const struct lapic *l, const struct lapic_msg *m)
{
	uint32_t mine = l->ldr >> 24, dest = m->dest;

	if (!(l->base & BASE_ENABLE))
		return false;
	if (dest == 0xffffffff)
		return true;
	if (!m->logical)
		return dest == 0xff || dest == l->id;
	if (lapic_is_x2(l))
		return dest >> 16 == l->ldr >> 16 && (dest & l->ldr & 0xffff);
	if (dest > 0xff)
		return false;
	if (dest == 0xff)
		return true;
	if (l->dfr >> 28 == 0xf)
		return mine & dest;
	if (l->dfr >> 28 == 0)
		return mine >> 4 == dest >> 4 && (mine & dest & 0xf);
	return false;
}

static void lapic_accept(struct lapic *l, const struct lapic_msg *m)
{
	switch ((enum lapic_mode)m->mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		lapic_fixed(l, m->vector, m->level);
		break;
	case LAPIC_NMI:
		vcpu_request(l->v, VCPU_REQ_NMI);
		break;
	case LAPIC_INIT:
		lapic_init(l);
		vcpu_request(l->v, VCPU_REQ_INIT);
		break;
	case LAPIC_SIPI:
		l->v->sipi_vector = m->vector;
		vcpu_request(l->v, VCPU_REQ_SIPI);
		break;
	case LAPIC_EXTINT:	/* the 8259 asks by its line */
	case LAPIC_SMI:		/* there is no SMM */
		break;
	}
}

static bool lapics_lowest(struct lapics *ls, const struct lapic_msg *m)
{
	struct lapic *best = NULL;

	for (unsigned i = 0; i < ls->n; i++) {
		struct lapic *l = &ls->l[(ls->next_lowest + i) % ls->n];

		if (lapic_addressed(l, m) && lapic_enabled(l) &&
		    (!best || lapic_ppr(l) < lapic_ppr(best)))
			best = l;
	}
	if (!best)
		return false;
	ls->next_lowest = best - ls->l + 1;
	lapic_accept(best, m);
	return true;
}

bool lapics_send(struct lapics *ls, const struct lapic_msg *m)
{
	bool any = false;

	if (m->mode == LAPIC_LOWEST)
		return lapics_lowest(ls, m);
	for (unsigned i = 0; i < ls->n; i++)
		if (lapic_addressed(&ls->l[i], m)) {
			lapic_accept(&ls->l[i], m);
			any = true;
		}
	return any;
}

void lapics_on_eoi(struct lapics *ls, void (*eoi)(void *ptr, uint8_t vector),
		   void *ptr)
{
	ls->eoi = eoi;
	ls->eoi_ptr = ptr;
}

/* A message-signalled interrupt.  SDM vol. 3A, 10.11. */
static void lapics_msi(void *ptr, uint64_t addr, uint32_t data)
{
	struct lapic_msg m = {
		.dest = addr >> 12 & 0xff, .logical = addr & 4,
		.vector = data, .mode = data >> 8 & 7, .level = data & 0x8000 };

	if (addr >> 20 != LAPIC_BASE >> 20)
		return;
	if (m.mode == LAPIC_FIXED && addr & 8 && m.logical)
		m.mode = LAPIC_LOWEST;	/* redirection hint */
	lapics_send(ptr, &m);
}

void lapic_ipi(struct lapic *l)
{
	uint32_t lo = l->icr;
	struct lapic_msg m = {
		.dest = lapic_is_x2(l) ? l->icr >> 32 : l->icr >> 56,
		.vector = lo, .mode = lo >> 8 & 7, .logical = lo & 0x800,
	};
	unsigned shorthand = lo >> 18 & 3;

	if ((lo & 0xc000) == 0x8000)	/* level de-assert: nothing to do since P6 */
		return;
	if ((m.mode == LAPIC_FIXED || m.mode == LAPIC_LOWEST) && m.vector < 16) {
		lapic_error(l, ESR_SEND_VECTOR);
		return;
	}
	if (shorthand == 0) {
		lapics_send(l->ls, &m);
		return;
	}
	for (unsigned i = 0; i < l->ls->n; i++) {
		struct lapic *to = &l->ls->l[i];

		if ((to == l ? shorthand != 3 : shorthand != 1) &&
		    to->base & BASE_ENABLE)
			lapic_accept(to, &m);
	}
}

static bool hook_pending(void *ptr)
{
	struct lapic *l = ptr;
	bool wants;

	pthread_mutex_lock(&l->ls->vm->lock);
	wants = lapic_wants(l);
	pthread_mutex_unlock(&l->ls->vm->lock);
	return wants;
}

static int hook_ack(void *ptr)
{
	struct lapic *l = ptr;
	struct vm *vm = l->ls->vm;
	int vector;

	pthread_mutex_lock(&vm->lock);
	if (lapic_extint(l)) {
		vector = pic_ack(l->ls->pic);
	} else {
		vector = lapic_pending(l);
		if (vector >= 0) {
			vecset_del(&l->irr, vector);
			vecset_add(&l->isr, vector);
		}
	}
	lapic_update(l);
	pthread_mutex_unlock(&vm->lock);
	trace_line(vm, TRACE_IRQ, "irq cpu%u vector %#x\n", l->v->id, vector);
	return vector;
}

static uint8_t hook_tpr(void *ptr)
{
	return ((struct lapic *)ptr)->tpr >> 4;
}

static void hook_set_tpr(void *ptr, uint8_t cr8)
{
	struct lapic *l = ptr;

	pthread_mutex_lock(&l->ls->vm->lock);
	l->tpr = (cr8 & 15) << 4;
	lapic_update(l);
	pthread_mutex_unlock(&l->ls->vm->lock);
}

void lapic_init(struct lapic *l)
{
	l->tpr = l->esr = l->esr_next = 0;
	l->icr = 0;
	l->dfr = 0xffffffff;
	l->svr = 0xff;
	/* In x2APIC mode derived from the ID.  SDM vol. 3A, 10.12.10.2. */
	l->ldr = lapic_is_x2(l) ? (l->id >> 4) << 16 | 1u << (l->id & 15) : 0;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	memset(&l->irr, 0, sizeof(l->irr));
	memset(&l->isr, 0, sizeof(l->isr));
	memset(&l->tmr, 0, sizeof(l->tmr));
	l->init_count = l->divide = 0;
	l->tsc_deadline = 0;
	timer_stop(vcpu_timers(l->v), &l->timer);
}

void lapics_reset(struct lapics *ls)
{
	for (unsigned i = 0; i < ls->n; i++) {
		struct lapic *l = &ls->l[i];

		l->base = LAPIC_BASE | BASE_ENABLE | (i == 0 ? BASE_BSP : 0);
		l->v->cpu.apic_base = l->base;
		lapic_init(l);
	}
	ls->l[0].lvt[LVT_LINT0] = LAPIC_EXTINT << 8;	/* virtual wire */
	ls->next_lowest = 0;
}

static void lapic_connect(struct lapic *l)
{
	struct vcpu *v = l->v;

	v->intr_pending = hook_pending;
	v->intr_ack = hook_ack;
	v->intr_ptr = l;
	v->lapic = l;
	v->apic_rdmsr = lapic_rdmsr;
	v->apic_wrmsr = lapic_wrmsr;
	v->apic_tpr = hook_tpr;
	v->apic_set_tpr = hook_set_tpr;
	timer_add(vcpu_timers(v), &l->timer, lapic_timer_fire, l);
}

struct lapics *lapics_new(struct vm *vm, struct pic *pic, struct err *e)
{
	struct lapics *ls = calloc(1, sizeof(*ls));

	if (!ls) {
		err_sys(e, -ENOMEM, "cannot allocate the local APICs");
		return NULL;
	}
	ls->vm = vm;
	ls->pic = pic;
	ls->n = vm->ncpus;
	if (bus_add_mmio(&vm->bus, (struct bus_range){
			.base = LAPIC_BASE, .len = 4096, .read = lapic_mmio_read,
			.write = lapic_mmio_write, .ptr = ls, .name = "lapic" }, e)) {
		lapics_free(ls);
		return NULL;
	}
	for (unsigned i = 0; i < ls->n; i++) {
		ls->l[i].ls = ls;
		ls->l[i].v = vm->vcpu[i];
		ls->l[i].id = i;
		lapic_connect(&ls->l[i]);
	}
	vm->irq.msi = lapics_msi;
	vm->irq.msi_ptr = ls;
	if (pic)
		pic_connect(pic, lapics_pic_intr, ls);
	lapics_reset(ls);
	return ls;
}

void lapics_free(struct lapics *ls)
{
	free(ls);
}
