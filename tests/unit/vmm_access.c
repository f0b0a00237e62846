/* Guest-linear accesses: page crossing, device memory, ROM, told writes. */
#include "vmm/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "check.h"

static struct vm vm;
static struct vcpu *v;

/* A device that logs: how many accesses of which size. */
static struct { uint64_t off, val; unsigned size; } seen[16];
static unsigned nseen;

static uint64_t dev_read(void *ptr, uint64_t off, unsigned size)
{
	seen[nseen].off = off;
	seen[nseen++ % 16].size = size;
	return 0x1122334455667788 >> 8 * (off & 7);
}

static void dev_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	seen[nseen].off = off;
	seen[nseen].val = val;
	seen[nseen++ % 16].size = size;
}

static uint64_t told_gpa, told_len;
static unsigned told;

static void on_write(void *ptr, uint64_t gpa, uint64_t len)
{
	told++;
	told_gpa = gpa;
	told_len = len;
}

static _Atomic uint8_t *pflags(uint64_t gpa)
{
	return &vm.mem->pflags[mem_off(vm.mem, gpa) >> PAGE_SHIFT];
}

static void devices(void)
{
	uint8_t buf[16];

	nseen = 0;
	check(vcpu_read(v, 0xd0000006, buf, 4, TLB_KERNEL) == X86_OK, "unaligned MMIO");
	check(nseen == 2 && seen[0].off == 6 && seen[0].size == 2 && seen[1].off == 8 &&
	      seen[1].size == 2, "split at its alignment: %u", nseen);
	check(le16_get(buf) == 0x1122 && le16_get(buf + 2) == 0x7788, "its value");
	nseen = 0;
	memset(buf, 0x5a, sizeof(buf));
	check(vcpu_write(v, 0xd0000010, buf, 16, TLB_KERNEL) == X86_OK && nseen == 2 &&
	      seen[0].size == 8 && seen[1].off == 0x18 && seen[1].val == 0x5a5a5a5a5a5a5a5a,
	      "16 bytes are two accesses");
	nseen = 0;
	check(vcpu_read(v, 0xd0000ffe, buf, 4, TLB_KERNEL) == X86_OK && nseen == 1 &&
	      buf[2] == 0xff, "across the device's end");
}

static void crossing(void)
{
	uint64_t val = 0x8877665544332211, got = 0;

	check(vcpu_write(v, 0x1ffd, &val, 8, TLB_KERNEL) == X86_OK, "write");
	check(vcpu_read(v, 0x1ffd, &got, 8, TLB_KERNEL) == X86_OK && got == val, "read");
	check(*(uint8_t *)mem_ptr(vm.mem, 0x2000, 1) == 0x44, "where it lies");
	memcpy(mem_ptr(vm.mem, 0, 4), "abcd", 4);
	/* The top of the 32-bit space is nothing here; then comes address 0. */
	check(vcpu_read(v, 0xfffffffe, &got, 4, TLB_KERNEL) == X86_OK &&
	      (got & 0xffffffff) == 0x6261ffff, "wrap: %lx", (long)got);
}

static void told_writes(void)
{
	uint32_t val = 1;
	uint64_t gpa;
	void *hva;
	bool slow;

	told = 0;
	vcpu_write(v, 0x5000, &val, 4, TLB_KERNEL);
	check(told == 0 && v->tlb.e[TLB_KERNEL][5].wtag == 0x5000, "plain RAM: fast");
	check(*pflags(0x5000) & MEM_PF_DIRTY, "the dirty log");
	atomic_fetch_or(pflags(0x5000), MEM_PF_CODE);
	tlb_protect_hva(&v->tlb, mem_ptr(vm.mem, 0x5000, 1));
	vcpu_write(v, 0x5010, &val, 4, TLB_KERNEL);
	vcpu_write(v, 0x5014, &val, 4, TLB_KERNEL);
	check(told == 2 && told_gpa == 0x5014 && told_len == 4, "each is told: %u", told);
	check(v->tlb.e[TLB_KERNEL][5].wtag == TLB_NOTAG &&
	      v->tlb.e[TLB_KERNEL][5].rtag == 0x5000, "reads stay fast");
	check(vcpu_hva(v, 0x5018, true, TLB_KERNEL, &hva, &gpa, &slow) == X86_OK && slow &&
	      gpa == 0x5018 && hva == mem_ptr(vm.mem, 0x5018, 1), "vcpu_hva");
	check(vcpu_hva(v, 0x6018, true, TLB_KERNEL, &hva, &gpa, &slow) == X86_OK && !slow,
	      "not slow");
	check(vcpu_hva(v, 0xd0000000, true, TLB_KERNEL, &hva, &gpa, &slow) == X86_OK &&
	      !hva && gpa == 0xd0000000, "device memory");
	/* A page-table page: A and D bits set by the walk are told too. */
	told = 0;
	le32_put(mem_ptr(vm.mem, 0x8000, 4), 0x9007);
	le32_put(mem_ptr(vm.mem, 0x9000 + 4 * 7, 4), 0x7007);
	atomic_fetch_or(pflags(0x8000), MEM_PF_PT);
	v->cpu.cr0 |= X86_CR0_PG | X86_CR0_PE;
	v->cpu.cr3 = 0x8000;
	tlb_flush(&v->tlb);
	check(vcpu_write(v, 0x7000, &val, 4, TLB_KERNEL) == X86_OK && told == 1 &&
	      told_gpa == 0x8000, "A in a traced table");
	check(vcpu_peek(v, 0x7123, &gpa) && gpa == 0x7123 && !vcpu_peek(v, 0x6000, &gpa),
	      "peek");
	check(vcpu_probe_write(v, 0x7ffe, 4, TLB_KERNEL) == X86_FAULT &&
	      v->cpu.exc.cr2 == 0x8000, "probe looks at both pages");
	v->cpu.cr0 &= ~(uint64_t)X86_CR0_PG;
	tlb_flush(&v->tlb);
}

static void rom(void)
{
	uint32_t val = 0x12345678, got = 0;
	uint8_t image[4096];
	struct err e;

	memset(image, 0xee, sizeof(image));
	check(mem_add_rom(vm.mem, 0xf0000, sizeof(image), image, sizeof(image), &e) == 0,
	      "%s", e.msg);
	tlb_flush(&v->tlb);
	check(vcpu_write(v, 0xf0010, &val, 4, TLB_KERNEL) == X86_OK &&
	      vcpu_read(v, 0xf0010, &got, 4, TLB_KERNEL) == X86_OK && got == 0xeeeeeeee,
	      "ROM keeps its bytes");
	check(v->tlb.e[TLB_KERNEL][0xf0].rtag == 0xf0000, "and is read fast");
}

static void fetch(void)
{
	uint64_t gpa = 0;

	check(vcpu_fetch_gpa(v, 0x3456, &gpa) == X86_OK && gpa == 0x3456, "fill");
	gpa = 0;
	check(vcpu_fetch_gpa(v, 0x3789, &gpa) == X86_OK && gpa == 0x3789, "hit");
}

static void lists(void)
{
	static struct tlb t;
	unsigned left = 0;

	tlb_flush(&t);
	for (unsigned n = 0; n < 3 * TLB_SIZE; n++) {
		unsigned i = n % TLB_SIZE;

		for (unsigned twice = 0; twice < 2; twice++) {
			t.e[n / TLB_SIZE][i].rtag = (uint64_t)i << 12;
			tlb_filled(&t, n / TLB_SIZE, i, n % 5 == 0);
		}
	}
	tlb_flush_nonglobal(&t);
	for (unsigned n = 0; n < 3 * TLB_SIZE; n++)
		left += t.e[n / TLB_SIZE][n % TLB_SIZE].rtag != TLB_NOTAG;
	check(left == (3 * TLB_SIZE + 4) / 5, "%u global ones stay", left);
	tlb_flush_page(&t, 0);
	check(t.e[0][0].rtag == TLB_NOTAG, "one page");
	tlb_flush(&t);
	left = 0;
	for (unsigned n = 0; n < 3 * TLB_SIZE; n++)
		left += t.e[n / TLB_SIZE][n % TLB_SIZE].rtag != TLB_NOTAG;
	check(left == 0, "%u stay", left);
}

int main(void)
{
	struct err e;

	bus_init(&vm.bus, NULL);
	bus_add_mmio(&vm.bus, (struct bus_range){ .base = 0xd0000000, .len = 0x1000,
		.read = dev_read, .write = dev_write, .name = "test" }, &e);
	vm.mem = mem_new(2u << 20, 1u << 16, &e);
	vm.mem->on_write = on_write;
	v = aligned_alloc(4096, (sizeof(*v) + 4095) & ~4095ul);
	memset(v, 0, sizeof(*v));
	v->vm = &vm;
	x86_cpu_reset(&v->cpu);
	tlb_flush(&v->tlb);
	devices();
	crossing();
	told_writes();
	rom();
	fetch();
	lists();
	mem_free(vm.mem);
	free(v);
	return check_done();
}
