/* Expectations: Intel SDM vol. 3A, chapter 10. */
#include "dev/lapic.h"

#include "check.h"
#include "dev_vm.h"

static struct lapics *ls;
static struct pic *pic;
static struct vcpu *cpu0, *cpu1;
static uint64_t eois[256];

static void eoi(void *ptr, uint8_t vector)
{
	eois[vector]++;
}

static uint32_t get(unsigned off)
{
	return readl(LAPIC_BASE + off);
}

static void put(unsigned off, uint32_t val)
{
	writel(LAPIC_BASE + off, val);
}

static bool taken(struct vcpu *v, uint32_t req)
{
	return atomic_fetch_and(&v->req, ~req) & req;
}

/* What an engine does at a safepoint with IF set: the vector, or -1. */
static int take(struct vcpu *v)
{
	if (!taken(v, VCPU_REQ_INTR) || !v->intr_pending(v->intr_ptr))
		return -1;
	return v->intr_ack(v->intr_ptr);
}

/* MMIO is the current thread's vCPU's: be vCPU n. */
static void be(unsigned n)
{
	for (unsigned i = 0; i < test_vm.ncpus; i++)
		memset(&test_vm.vcpu[i]->thread, i == n ? 0 : 0xff,
		       sizeof(pthread_t));
	test_vm.vcpu[n]->thread = pthread_self();
}

static void fresh(void)
{
	lapics_reset(ls);
	be(0);
	cpu0->req = cpu1->req = 0;
	put(0xf0, 0x1ff);
	be(1);
	put(0xf0, 0x1ff);
	be(0);
}

static bool msr_write(struct vcpu *v, uint32_t msr, uint64_t val)
{
	bool ok;

	v->apic_wrmsr(v->lapic, msr, val, &ok);
	return ok;
}

static uint64_t msr_read(struct vcpu *v, uint32_t msr, bool *ok)
{
	return v->apic_rdmsr(v->lapic, msr, ok);
}

static void reset_state(void)
{
	bool ok;

	lapics_reset(ls);
	be(1);
	check(get(0x20) == 1u << 24, "ID");
	check(get(0x30) == 0x50014, "version");
	check(get(0xf0) == 0xff && get(0xe0) == 0xffffffff, "SVR, DFR");
	check(get(0x350) == 0x10000 && get(0x320) == 0x10000, "LVT masked");
	check(msr_read(cpu1, 0x1b, &ok) == 0xfee00800 && ok, "APIC_BASE");
	be(0);
	check(msr_read(cpu0, 0x1b, &ok) == 0xfee00900 && ok, "and of the BSP");
	check(get(0x350) == 0x700, "virtual wire");
	put(0x370, 0xfe);
	check(get(0x370) == 0x100fe, "masked while software-disabled");
	put(0xf0, 0x1ff);
	put(0x370, 0xfe);
	check(get(0x370) == 0xfe, "not any more");
	put(0xf0, 0xff);
	check(get(0x370) == 0x100fe && get(0x350) == 0x10700, "disabling masks");
}

static void self_ipi(uint8_t vector)
{
	put(0x300, 0x40000 | vector);
}

static void priorities(void)
{
	fresh();
	self_ipi(0x51);
	self_ipi(0x42);
	self_ipi(0x53);
	check(get(0x220) == (1u << 17 | 1u << 2 | 1u << 19), "IRR %#x", get(0x220));
	check(take(cpu0) == 0x53, "the highest first");
	check(get(0xa0) == 0x50, "PPR %#x", get(0xa0));
	check(take(cpu0) == -1, "same class waits");
	self_ipi(0x61);
	check(take(cpu0) == 0x61, "a higher one nests");
	check(get(0x130) == 2 && get(0x120) == 0x00080000, "ISR");
	put(0xb0, 0);
	check(take(cpu0) == -1, "0x53 is still in service");
	put(0xb0, 0);
	check(take(cpu0) == 0x51, "after its EOI");
	put(0xb0, 0);
	check(take(cpu0) == 0x42, "0x42");
	put(0xb0, 0);
	check(take(cpu0) == -1, "no more");
	put(0xb0, 0);

	put(0x80, 0x50);
	self_ipi(0x5f);
	check(take(cpu0) == -1 && get(0xa0) == 0x50, "TPR holds its class");
	put(0x80, 0x4f);
	check(take(cpu0) == 0x5f, "told when it falls");
	put(0xb0, 0);
	cpu0->apic_set_tpr(cpu0->lapic, 9);
	check(get(0x80) == 0x90 && cpu0->apic_tpr(cpu0->lapic) == 9, "CR8");
	self_ipi(0x93);
	check(take(cpu0) == -1, "held");
	cpu0->apic_set_tpr(cpu0->lapic, 0);
	check(take(cpu0) == 0x93, "told");
	put(0xb0, 0);
	check(cpu0->intr_ack(cpu0->intr_ptr) == -1, "nothing to acknowledge");
}

static void errors(void)
{
	fresh();
	put(0x370, 0xfe);
	put(0x300, 0x4000f);
	check(take(cpu0) == 0xfe, "error interrupt");
	put(0xb0, 0);
	check(get(0x280) == 0, "not latched yet");
	put(0x280, 0);
	check(get(0x280) == 0x20, "send illegal vector: %#x", get(0x280));
	put(0x280, 0);
	check(get(0x280) == 0, "cleared");
	lapics_send(ls, &(struct lapic_msg){ .dest = 0, .vector = 3 });
	put(0x280, 0);
	check(get(0x280) == 0x40, "receive illegal vector");
	put(0x3d0, 0);
	put(0x280, 0);
	check(get(0x280) == 0x80, "illegal register");
	take(cpu0);
	put(0xb0, 0);
}

static void destinations(void)
{
	struct lapic_msg m = { .dest = 1, .vector = 0x41 };

	fresh();
	check(lapics_send(ls, &m) && take(cpu0) == -1 && take(cpu1) == 0x41, "physical");
	be(1);
	put(0xb0, 0);
	put(0xd0, 0x02000000);
	be(0);
	put(0xd0, 0x01000000);
	m = (struct lapic_msg){ .dest = 2, .vector = 0x42, .logical = true };
	check(lapics_send(ls, &m) && take(cpu0) == -1 && take(cpu1) == 0x42, "flat");
	be(1);
	put(0xb0, 0);
	m = (struct lapic_msg){ .dest = 4, .vector = 0x42, .logical = true };
	check(!lapics_send(ls, &m), "nobody");
	m = (struct lapic_msg){ .dest = 0xff, .vector = 0x43 };
	check(lapics_send(ls, &m) && take(cpu0) == 0x43 && take(cpu1) == 0x43, "all");
	put(0xb0, 0);
	be(0);
	put(0xb0, 0);
	for (unsigned i = 0; i < 2; i++) {	/* cluster 1, members 0 and 1 */
		be(i);
		put(0xe0, 0x0fffffff);
		put(0xd0, (0x10 | 1u << i) << 24);
	}
	be(0);
	m = (struct lapic_msg){ .dest = 0x12, .vector = 0x44, .logical = true };
	check(lapics_send(ls, &m) && take(cpu0) == -1 && take(cpu1) == 0x44, "cluster");
	m.dest = 0x22;
	check(!lapics_send(ls, &m), "another cluster");
	be(1);
	put(0xb0, 0);
	put(0x80, 0x20);
	be(0);
	m = (struct lapic_msg){ .dest = 0x13, .vector = 0x45, .logical = true,
				.mode = LAPIC_LOWEST };
	for (unsigned i = 0; i < 3; i++) {
		check(lapics_send(ls, &m) && take(cpu0) == 0x45, "lowest priority");
		put(0xb0, 0);
	}
	irq_msi(&test_vm.irq, 0xfee00000 | 1 << 12, 0x46);
	check(take(cpu0) == -1 && take(cpu1) == 0x46, "MSI");
	irq_msi(&test_vm.irq, 0xfed00000 | 1 << 12, 0x47);
	check(take(cpu1) == -1, "not an address of MSIs");
}

static void ipis(void)
{
	fresh();
	put(0x310, 1u << 24);
	put(0x300, 0x4500);
	check(taken(cpu1, VCPU_REQ_INIT), "INIT");
	put(0x300, 0x8500);
	check(!taken(cpu1, VCPU_REQ_INIT), "de-assert does nothing");
	put(0x300, 0x4600 | 0x9a);
	check(taken(cpu1, VCPU_REQ_SIPI) && cpu1->sipi_vector == 0x9a, "SIPI");
	put(0x300, 0x4400);
	check(taken(cpu1, VCPU_REQ_NMI), "NMI");
	check(!cpu0->req, "nothing for us: %#x", cpu0->req);
	be(1);
	check(get(0xf0) == 0xff, "INIT reset the LAPIC");
	put(0xf0, 0x1ff);
	be(0);
	put(0x300, 0xc0000 | 0x55);
	check(take(cpu0) == -1 && take(cpu1) == 0x55, "all but self");
	put(0x300, 0x80000 | 0x66);
	check(take(cpu0) == 0x66 && take(cpu1) == 0x66, "all");
	check(get(0x300) == (0x80000 | 0x66) && get(0x310) == 1u << 24, "ICR");
}

static void levels(void)
{
	struct lapic_msg m = { .dest = 0, .vector = 0x71, .level = true };

	fresh();
	memset(eois, 0, sizeof(eois));
	lapics_send(ls, &m);
	check(get(0x1b0) == 1 << 17, "TMR");
	check(take(cpu0) == 0x71 && !eois[0x71], "taken");
	put(0xb0, 0);
	check(eois[0x71] == 1, "EOI is broadcast");
	m.level = false;
	lapics_send(ls, &m);
	check(take(cpu0) == 0x71, "edge");
	put(0xb0, 0);
	check(eois[0x71] == 1 && get(0x1b0) == 0, "which is not");
}

static void pic_wire(void)
{
	fresh();
	lapics_reset(ls);
	irq_set(&test_vm.irq, 1, true);
	check(take(cpu0) == 0x31 && take(cpu1) == -1, "virtual wire");
	outb(0x20, 0x20);
	irq_set(&test_vm.irq, 1, false);
	put(0xf0, 0x1ff);
	put(0x350, 0x10700);
	irq_set(&test_vm.irq, 1, true);
	check(take(cpu0) == -1, "LINT0 masked");
	put(0x350, 0x700);
	check(take(cpu0) == 0x31, "told when it is not");
	outb(0x20, 0x20);
	put(0x350, 0x10700);
	irq_set(&test_vm.irq, 1, false);
	check(msr_write(cpu0, 0x1b, 0xfee00100), "disable");
	irq_set(&test_vm.irq, 1, true);
	check(take(cpu0) == 0x31, "the INTR pin");
	check(get(0x20) == 0xffffffff, "the page is gone");
	outb(0x20, 0x20);
	irq_set(&test_vm.irq, 1, false);
	check(msr_write(cpu0, 0x1b, 0xfee00900), "enable");
	put(0xf0, 0x1ff);
	put(0x350, 0x40);	/* LINT0 fixed */
	irq_set(&test_vm.irq, 1, true);
	check(take(cpu0) == 0x40, "virtual wire, fixed");
	put(0xb0, 0);
	put(0x350, 0x10000);
	pic_ack(pic);
	outb(0x20, 0x20);
	irq_set(&test_vm.irq, 1, false);
}

static unsigned timer_count(uint64_t ns, unsigned slices)
{
	unsigned n = 0;

	for (unsigned i = 0; i < slices; i++) {
		test_pass(ns / slices);
		if (take(cpu0) == 0x40) {
			n++;
			put(0xb0, 0);
		}
	}
	return n;
}

static void timer(void)
{
	fresh();
	put(0x3e0, 0x3);	/* divide by 16 */
	put(0x320, 0x40);
	put(0x380, 62500);	/* 1 ms */
	test_pass(400000);
	check(get(0x390) == 37500, "current %u", get(0x390));
	check(take(cpu0) == -1, "early");
	check(timer_count(610000, 1) == 1, "1 ms");
	check(get(0x390) == 0, "ended");
	check(timer_count(NS_PER_SEC, 100) == 0, "one shot");
	put(0x380, 62500);
	put(0x380, 0);
	check(timer_count(NS_PER_SEC, 100) == 0, "stopped");

	put(0x320, 0x20040);	/* periodic */
	put(0x380, 62500);
	check(timer_count(NS_PER_SEC, 4000) == 1000, "periodic");
	test_pass(100000);
	check(get(0x390) == 62500 - 6250, "current %u", get(0x390));
	put(0x320, 0x30040);
	check(timer_count(NS_PER_SEC, 100) == 0, "masked");
	check(get(0x390) == 62500 - 6250, "but counting");
	put(0x320, 0x20040);
	check(timer_count(10000000, 100) == 10, "unmasked");
	test_ns += NS_PER_SEC;
	check(timer_count(10000000, 1000) <= 30, "no storm");
	put(0x3e0, 0xb);	/* divide by 1 */
	put(0x380, 62500);
	test_pass(30000);
	check(get(0x390) == 32500, "by 1: %u", get(0x390));
	put(0x3e0, 0x0);	/* by 2: what has been counted stays */
	check(get(0x390) == 32500, "by 2: %u", get(0x390));
	put(0x380, 1);
	check(timer_count(10000000, 10000) <= 501, "bounded");
}

static void deadline(void)
{
	bool ok;
	uint64_t tsc;

	fresh();
	test_vm.model.tsc_hz = NS_PER_SEC;
	put(0x320, 0x40040);
	tsc = vcpu_tsc(cpu0);
	check(msr_write(cpu0, 0x6e0, tsc + (NS_PER_SEC << 10)), "set");
	check(msr_read(cpu0, 0x6e0, &ok) == tsc + (NS_PER_SEC << 10) && ok, "kept");
	check(test_vm.timers.next_ns > test_ns + 1000 * NS_PER_SEC &&
	      test_vm.timers.next_ns <= test_ns + 1024 * NS_PER_SEC + 1000, "armed");
	check(msr_write(cpu0, 0x6e0, 0), "clear");
	check(test_vm.timers.next_ns == UINT64_MAX, "disarmed");
	check(msr_write(cpu0, 0x6e0, tsc), "in the past");
	check(take(cpu0) == 0x40, "fires at once");
	put(0xb0, 0);
	check(msr_read(cpu0, 0x6e0, &ok) == 0, "and is cleared");
	msr_write(cpu0, 0x6e0, UINT64_MAX);
	check(test_vm.timers.next_ns > test_ns, "far off");
	put(0x320, 0x40);
	check(test_vm.timers.next_ns == UINT64_MAX, "a mode change disarms");
	msr_write(cpu0, 0x6e0, tsc);
	check(take(cpu0) == -1 && msr_read(cpu0, 0x6e0, &ok) == 0, "ignored");
	put(0x320, 0x40040);
	put(0x380, 1000);
	check(get(0x380) == 0 && get(0x390) == 0, "no count in this mode");
	test_vm.model.tsc_hz = 0;
}

/* Each one's timer is due in its own vCPU's queue. */
static void two_timers(void)
{
	fresh();
	be(1);
	put(0x3e0, 0xb);
	put(0x320, 0x41);
	put(0x380, 1000000);
	check(cpu1->timers.next_ns == test_ns + 1000000, "the other's queue");
	check(test_vm.timers.next_ns == UINT64_MAX, "not the devices'");
	be(0);
	put(0x3e0, 0xb);
	put(0x320, 0x40);
	put(0x380, 500000);
	check(test_vm.timers.next_ns == test_ns + 500000, "vCPU 0's is the devices'");
	test_pass(600000);
	check(take(cpu0) == 0x40 && take(cpu1) == -1, "one");
	test_pass(600000);
	check(take(cpu0) == -1 && take(cpu1) == 0x41, "the other");
	put(0xb0, 0);
	be(1);
	put(0xb0, 0);
	be(0);
}

static void x2apic(void)
{
	static const struct { uint32_t msr; uint64_t val; bool ok; } writes[] = {
		{ 0x802, 0, false }, { 0x803, 0, false }, { 0x808, 0x20, true },
		{ 0x808, 0x100, false }, { 0x808, 1ull << 32, false },
		{ 0x80a, 0, false }, { 0x80b, 1, false }, { 0x80b, 0, true },
		{ 0x80d, 0, false }, { 0x80e, 0, false }, { 0x80f, 0x1ff, true },
		{ 0x80f, 0x1000, false }, { 0x810, 0, false }, { 0x828, 1, false },
		{ 0x828, 0, true }, { 0x831, 0, false }, { 0x832, 0x1ffff, false },
		{ 0x832, 0x10040, true }, { 0x839, 0, false }, { 0x83e, 4, false },
		{ 0x83e, 0xb, true }, { 0x83f, 0x100, false }, { 0x840, 0, false },
		{ 0x8ff, 0, false }, { 0x808, 0, true },
	};
	bool ok;

	fresh();
	check(!msr_write(cpu0, 0x1b, 0xfee00d00), "the model has none");
	test_vm.model.x2apic = true;
	check(!msr_write(cpu0, 0x1b, 0xfee00500), "EXTD without EN");
	check(!msr_write(cpu0, 0x1b, 0xfed00900), "moved");
	check(!msr_write(cpu0, 0x1b, 1ull << 60 | 0xfee00900), "reserved");
	msr_read(cpu0, 0x802, &ok);
	check(!ok, "no MSRs in xAPIC mode");
	check(msr_write(cpu0, 0x1b, 0xfee00d00), "on");
	check(msr_write(cpu1, 0x1b, 0xfee00c00), "on");
	check(get(0x30) == 0xffffffff, "no page in x2APIC mode");
	check(msr_read(cpu1, 0x802, &ok) == 1 && ok, "ID");
	check(msr_read(cpu1, 0x80d, &ok) == 2 && ok, "LDR %#lx",
	      msr_read(cpu1, 0x80d, &ok));
	for (unsigned i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		check(msr_write(cpu0, writes[i].msr, writes[i].val) == writes[i].ok,
		      "%#x = %#lx", writes[i].msr, writes[i].val);
	msr_read(cpu0, 0x80b, &ok);
	check(!ok, "EOI is write-only");
	msr_read(cpu0, 0x80e, &ok);
	check(!ok, "no DFR");
	check(msr_write(cpu0, 0x830, 1ull << 32 | 0x4041), "ICR");
	check(take(cpu1) == 0x41 && take(cpu0) == -1, "IPI");
	check(msr_read(cpu0, 0x830, &ok) == (1ull << 32 | 0x4041), "64 bits");
	check(msr_write(cpu1, 0x80b, 0), "EOI");
	check(msr_write(cpu0, 0x830, 2ull << 32 | 0x4842), "logical");
	check(take(cpu1) == 0x42 && take(cpu0) == -1, "IPI");
	check(msr_write(cpu1, 0x80b, 0), "EOI");
	check(msr_write(cpu0, 0x830, 0x10003ull << 32 | 0x4843), "logical, cluster 1");
	check(take(cpu1) == -1 && take(cpu0) == -1, "nobody is there");
	check(msr_write(cpu0, 0x830, 3ull << 32 | 0x4843), "logical, both");
	check(take(cpu1) == 0x43 && take(cpu0) == 0x43, "IPI");
	check(msr_write(cpu0, 0x80b, 0) && msr_write(cpu1, 0x80b, 0), "EOI");
	check(msr_write(cpu0, 0x808, 0x20), "busy");
	check(msr_write(cpu0, 0x830, 3ull << 32 | 0x4944), "lowest priority");
	check(take(cpu1) == 0x44 && take(cpu0) == -1, "the other one");
	check(msr_write(cpu0, 0x808, 0) && msr_write(cpu1, 0x80b, 0), "EOI");
	check(msr_write(cpu0, 0x830, 1ull << 32 | 0x4400), "NMI");
	check(taken(cpu1, VCPU_REQ_NMI) && !taken(cpu0, VCPU_REQ_NMI), "to one");
	check(msr_write(cpu0, 0x830, 0xc4500), "INIT to the others");
	check(taken(cpu1, VCPU_REQ_INIT) && !taken(cpu0, VCPU_REQ_INIT), "INIT");
	check(msr_read(cpu1, 0x1b, &ok) == 0xfee00c00 && msr_read(cpu1, 0x80d, &ok) == 2 &&
	      msr_read(cpu1, 0x80f, &ok) == 0xff, "the mode and the logical id stay");
	check(msr_write(cpu0, 0x830, 1ull << 32 | 0x4610) && taken(cpu1, VCPU_REQ_SIPI) &&
	      cpu1->sipi_vector == 0x10, "SIPI");
	check(msr_write(cpu1, 0x80f, 0x1ff), "enabled again");
	check(msr_write(cpu0, 0x83f, 0x77) && take(cpu0) == 0x77, "self IPI");
	check(msr_write(cpu0, 0x80b, 0), "EOI");
	check(msr_write(cpu0, 0x830, 0xffffffffull << 32 | 0x4088), "broadcast");
	check(take(cpu0) == 0x88 && take(cpu1) == 0x88, "all");
	check(!msr_write(cpu0, 0x1b, 0xfee00900), "no way back");
	check(msr_write(cpu0, 0x1b, 0xfee00100), "but off");
	check(!msr_write(cpu0, 0x1b, 0xfee00d00), "nor from off");
	check(msr_write(cpu0, 0x1b, 0xfee00900), "on by steps");
}

static void fuzz(void)
{
	bool ok;

	fresh();
	for (unsigned i = 0; i < 300000; i++) {
		uint64_t r = test_random();
		struct vcpu *v = test_vm.vcpu[r & 1];

		be(r >> 1 & 1);
		switch (r >> 8 & 7) {
		case 0:
			msr_write(v, 0x800 + (r >> 16 & 0xff), test_random());
			break;
		case 1:
			msr_read(v, 0x800 + (r >> 16 & 0xff), &ok);
			break;
		case 2:
			if ((r >> 16 & 63) == 0)
				msr_write(v, 0x1b, 0xfee00000 | (r >> 24 & 0xf00));
			break;
		case 3:
			msr_write(v, 0x6e0, r >> 16 & 1 ? test_random() : vcpu_tsc(v));
			break;
		case 4:
			take(v);
			break;
		case 5:
			irq_msi(&test_vm.irq, 0xfee00000 | (r >> 12 & 0xfffff),
				test_random());
			break;
		default:
			test_fuzz_mmio(LAPIC_BASE, 0x400, 1);
		}
	}
	fresh();
	self_ipi(0x31);
	check(take(cpu0) == 0x31, "works after all that");
	put(0xb0, 0);
}

int main(void)
{
	struct err e = { 0 };

	test_vm_init(2);
	cpu0 = test_vm.vcpu[0];
	cpu1 = test_vm.vcpu[1];
	pic = pic_new(&test_vm, &e);
	ls = lapics_new(&test_vm, pic, &e);
	check(pic && ls, "%s", e.msg);
	lapics_on_eoi(ls, eoi, NULL);
	outb(0x20, 0x11);
	outb(0x21, 0x30);
	outb(0x21, 4);
	outb(0x21, 1);
	reset_state();
	priorities();
	errors();
	destinations();
	ipis();
	levels();
	pic_wire();
	timer();
	deadline();
	two_timers();
	x2apic();
	fuzz();
	lapics_free(ls);
	pic_free(pic);
	test_vm_done();
	return check_done();
}
