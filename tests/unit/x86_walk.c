/* Page walks over tables in an array.  Expectations: SDM vol. 3, chapter 4. */
#include "x86/walk.h"

#include <string.h>

#include "check.h"

#define RAM 0x10000u
static uint8_t ram[RAM];
static unsigned cas_misses;	/* let so many compare-exchanges fail */
static unsigned tables_seen;

static bool rd(void *ptr, uint64_t gpa, unsigned size, uint64_t *val)
{
	*val = 0;
	if (gpa + size > RAM)
		return false;
	memcpy(val, ram + gpa, size);
	return true;
}

static bool cas(void *ptr, uint64_t gpa, unsigned size, uint64_t old, uint64_t new)
{
	if (cas_misses) {
		cas_misses--;
		return false;
	}
	if (memcmp(ram + gpa, &old, size))
		return false;
	memcpy(ram + gpa, &new, size);
	return true;
}

static void table(void *ptr, uint64_t gpa, unsigned level)
{
	tables_seen++;
}

static const struct x86_walk_mem wm = { .read = rd, .cmpxchg = cas, .table = table };

static void put4(uint32_t gpa, uint32_t v) { memcpy(ram + gpa, &v, 4); }
static void put8(uint32_t gpa, uint64_t v) { memcpy(ram + gpa, &v, 8); }
static uint32_t get4(uint32_t gpa) { uint32_t v; memcpy(&v, ram + gpa, 4); return v; }
static uint64_t get8(uint32_t gpa) { uint64_t v; memcpy(&v, ram + gpa, 8); return v; }

static struct x86_cpu c;

static void start(uint64_t cr4, uint64_t efer)
{
	memset(ram, 0, sizeof(ram));
	memset(&c, 0, sizeof(c));
	c.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
	c.cr3 = 0x1000;
	c.cr4 = cr4;
	c.efer = efer;
}

/* Walk and expect a page fault with this error code, or -1: success. */
static void want(const char *what, uint64_t gva, enum x86_walk_access a,
		 enum x86_walk_priv p, int error, uint64_t gpa)
{
	struct x86_walk w;
	int rc = x86_walk(&c, &wm, gva, a, p, &w);

	if (error >= 0) {
		check(rc == X86_FAULT && c.exc.vector == X86_EXC_PF, "%s", what);
		check(c.exc.error == (uint32_t)error, "%s: error %x, not %x", what,
		      c.exc.error, error);
		check(c.exc.cr2 == gva, "%s: cr2 %lx", what, (long)c.exc.cr2);
		return;
	}
	check(rc == X86_OK, "%s: vector %u error %x", what, c.exc.vector, c.exc.error);
	check(rc || w.gpa == gpa, "%s: gpa %lx", what, (long)w.gpa);
}

static void two_level(void)
{
	struct x86_walk w;

	start(0, 0);
	put4(0x1000 + 4 * 1, 0x2007);		/* PDE 1: P W U */
	put4(0x2000 + 4 * 2, 0x5003);		/* P W, supervisor */
	put4(0x2000 + 4 * 3, 0x6005);		/* P U, read-only */
	want("super", 0x402123, X86_WALK_R, X86_WALK_SUPER, -1, 0x5123);
	check(get4(0x1004) == 0x2027 && get4(0x2008) == 0x5023, "A set, D not");
	want("super write", 0x402123, X86_WALK_W, X86_WALK_SUPER, -1, 0x5123);
	check(get4(0x2008) == 0x5063, "D set");
	want("user of super", 0x402123, X86_WALK_R, X86_WALK_USER, 5, 0);
	want("user write of read-only", 0x403000, X86_WALK_W, X86_WALK_USER, 7, 0);
	check(get4(0x200c) == 0x6005, "no A after a refused access");
	want("WP", 0x403000, X86_WALK_W, X86_WALK_SUPER, 3, 0);
	c.cr0 &= ~(uint64_t)X86_CR0_WP;
	want("no WP", 0x403fff, X86_WALK_W, X86_WALK_SUPER, -1, 0x6fff);
	want("absent PTE", 0x404000, X86_WALK_W, X86_WALK_USER, 6, 0);
	want("absent PDE", 0x800000, X86_WALK_R, X86_WALK_SUPER, 0, 0);
	/* Without PSE bit 7 of a PDE is ignored. */
	put4(0x1000 + 4 * 3, 0x2087);
	want("PS without PSE", 0xc02000, X86_WALK_R, X86_WALK_SUPER, -1, 0x5000);
	c.cr4 = X86_CR4_PSE | X86_CR4_PGE;
	put4(0x1000 + 4 * 3, 0x00c001e7 | 3 << 13);	/* 4 MiB, PSE-36 bits */
	want("PSE", 0xc12345, X86_WALK_R, X86_WALK_USER, -1, 0x300c12345);
	check(x86_walk(&c, &wm, 0xc00000, X86_WALK_R, X86_WALK_SUPER, &w) == X86_OK &&
	      w.page_size == 4u << 20 && w.global && w.dirty && w.user, "PSE leaf");
	put4(0x1000 + 4 * 3, 0x00c001e7 | 1 << 21);
	want("PSE reserved", 0xc00000, X86_WALK_R, X86_WALK_SUPER, 9, 0);
	/* Addresses wrap at 4 GiB; paging off is identity. */
	want("wrap", 0x100402123, X86_WALK_R, X86_WALK_SUPER, -1, 0x5123);
	c.cr0 &= ~(uint64_t)X86_CR0_PG;
	want("no paging", 0xdead0123, X86_WALK_W, X86_WALK_USER, -1, 0xdead0123);
}

static void pae(void)
{
	start(X86_CR4_PAE, 0);
	put8(0x1000 + 8 * 3, 0x2001);
	check(x86_load_pdptes(&c, &wm) == X86_OK, "PDPTEs");
	put8(0x1000 + 8 * 3, 0);	/* the processor keeps what it loaded */
	put8(0x2000, 0x3007);
	put8(0x3000 + 8, 1ull << 63 | 0x7007);
	put8(0x2008, 0x2000e7);
	want("NX reserved", 0xc0001000, X86_WALK_R, X86_WALK_SUPER, 9, 0);
	c.efer = X86_EFER_NXE;
	want("NX data", 0xc0001000, X86_WALK_R, X86_WALK_USER, -1, 0x7000);
	want("NX fetch", 0xc0001000, X86_WALK_X, X86_WALK_USER, 0x15, 0);
	want("2 MiB", 0xc0212345, X86_WALK_X, X86_WALK_USER, -1, 0x212345);
	want("absent PDPTE", 0x1000, X86_WALK_R, X86_WALK_SUPER, 0, 0);
	put8(0x2008, 0x2020e7);
	want("2 MiB reserved", 0xc0212345, X86_WALK_R, X86_WALK_SUPER, 9, 0);
	put8(0x2008, 1ull << 52 | 0x2000e7);
	want("bit 52", 0xc0212345, X86_WALK_R, X86_WALK_SUPER, 9, 0);
	put8(0x1000, 0x2003);		/* bit 1 of a PDPTE is reserved */
	check(x86_load_pdptes(&c, &wm) == X86_FAULT && c.exc.vector == X86_EXC_GP,
	      "reserved PDPTE");
	check(c.pdpte[3] == 0x2001, "the old PDPTEs stay");
}

static void four_level(void)
{
	const uint64_t top = 0xffff800000000000;
	struct x86_walk w;

	start(X86_CR4_PAE, X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE);
	put8(0x1000 + 8 * 256, 0x2007);
	put8(0x2000, 0x3007);
	put8(0x2008, 0x40000087);		/* 1 GiB, user */
	put8(0x3000, 0x4007);
	put8(0x3008, 0x4005);			/* read-only at level 2 */
	put8(0x4000 + 8 * 5, 0x9007);
	want("4 KiB", top + 0x5678, X86_WALK_W, X86_WALK_USER, -1, 0x9678);
	check(get8(0x1000 + 8 * 256) & 0x20, "A in the PML4E");
	check(get8(0x4028) == 0x9067, "A and D in the PTE");
	want("W is ANDed", top + 0x205678, X86_WALK_W, X86_WALK_USER, 7, 0);
	want("1 GiB", top + 0x7fffffff, X86_WALK_R, X86_WALK_USER, -1, 0x7fffffff);
	check(x86_walk(&c, &wm, 0x800000000000, X86_WALK_R, X86_WALK_SUPER, &w) ==
	      X86_FAULT && c.exc.vector == X86_EXC_GP && c.exc.error == 0,
	      "not canonical");
	c.cr4 |= X86_CR4_SMEP | X86_CR4_SMAP;
	want("SMEP", top + 0x5000, X86_WALK_X, X86_WALK_SUPER, 0x11, 0);
	want("SMAP", top + 0x5000, X86_WALK_R, X86_WALK_SUPER, 1, 0);
	want("SMAP and AC", top + 0x5000, X86_WALK_R, X86_WALK_SUPER_AC, -1, 0x9000);
	want("SMEP and AC", top + 0x5000, X86_WALK_X, X86_WALK_SUPER_AC, 0x11, 0);
	put8(0x2008, 0x40000087 | 1 << 13);
	want("1 GiB reserved", top + 0x40000000, X86_WALK_R, X86_WALK_USER, 13, 0);
	put8(0x1000 + 8 * 256, 0x2087);
	want("PS in PML4E", top, X86_WALK_R, X86_WALK_USER, 13, 0);
	put8(0x1000 + 8 * 256, 1ull << X86_PHYS_BITS | 0x2007);
	want("MAXPHYADDR", top, X86_WALK_R, X86_WALK_USER, 13, 0);
	put8(0x1000 + 8 * 256, 1ull << 52 | 0x2007);
	want("bit 52 is free", top + 0x5000, X86_WALK_R, X86_WALK_USER, -1, 0x9000);
}

static void races_and_peeks(void)
{
	struct x86_walk w;

	start(0, 0);
	put4(0x1000, 0x2007);
	put4(0x2000, 0x5007);
	cas_misses = 3;
	tables_seen = 0;
	want("again after a race", 0, X86_WALK_W, X86_WALK_USER, -1, 0x5000);
	check(cas_misses == 0 && tables_seen == 8, "%u tables", tables_seen);
	put4(0x2000, 0x5007);
	check(x86_walk_peek(&c, &wm, 0x10, &w) && w.gpa == 0x5010 && !w.dirty, "peek");
	check(get4(0x2000) == 0x5007, "a peek sets nothing");
	check(!x86_walk_peek(&c, &wm, 0x1000, &w), "peek at nothing");
	check(tables_seen == 8, "a peek tells no one");
	put4(0x1000, 0x7fff0007);
	want("table outside memory", 0, X86_WALK_R, X86_WALK_SUPER, 0, 0);
}

int main(void)
{
	two_level();
	pae();
	four_level();
	races_and_peeks();
	return check_done();
}
