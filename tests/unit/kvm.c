/* The KVM engine on whatever /dev/kvm is here, with guests that even one that
 * only emulates can run: real mode and integers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "kvm/kvm.h"

/* A condition that needs no words. */
#define CHECK(cond) check(cond, "not so")
#define RAM	(1u << 20)
#define ROM_AT	0xf0000u
#define ROM_LEN	0x1000u

/* Real-mode programs, run at 0:0x1000 with DS = 0. */
__asm__(
	".pushsection .rodata\n.code16\n"
	"prog_io: movw $0x1234, %ax\n outw %ax, $0x80\n inb $0x81, %al\n"
	"  movb %al, 0x2000\n movw $0x300, %dx\n movw $0x2100, %si\n movw $3, %cx\n"
	"  cld\n rep outsb\n movw $0xf000, %ax\n movw %ax, %ds\n movb (5), %bl\n"
	"  movb $0x77, (5)\n movb (5), %bh\n hlt\n"
	"prog_door: movl $0x564d5868, %eax\n movl $0x11, %ecx\n movw $0x5658, %dx\n"
	"  inl %dx, %eax\n hlt\n"
	"prog_irq: sti\n hlt\n incw %bx\n cli\n hlt\n"
	"prog_spin: incl %eax\n jmp prog_spin\n"
	"prog_crash: ud2\n"
	"prog_dirty: movb $1, (0x3000)\n movw $0x2000, %ax\n movw %ax, %ds\n"
	"  movb $1, (0x0fff)\n movb (0x5000), %al\n hlt\n"
	"prog_end:\n.code64\n.popsection\n");
extern const uint8_t prog_io[], prog_door[], prog_irq[], prog_spin[], prog_crash[], prog_dirty[],
	prog_end[];

struct machine {
	struct vm vm;
	struct vcpu *v;
	uint32_t port80;
	uint8_t out[8];
	unsigned nout;
	int vector;		/* pending interrupt, -1: none */
};

static uint64_t port_read(void *ptr, uint64_t off, unsigned size)
{
	return 0x5a;
}

static void port_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct machine *m = ptr;

	m->port80 = (uint32_t)val | size << 24;
}

static void out_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct machine *m = ptr;

	if (m->nout < sizeof(m->out))
		m->out[m->nout++] = (uint8_t)val;
}

/* As VMware's backdoor: registers in, registers out. */
static uint64_t door_read(void *ptr, uint64_t off, unsigned size)
{
	struct machine *m = ptr;
	uint64_t *gpr = m->v->cpu.gpr;

	gpr[X86_RBX] = gpr[X86_RAX] + gpr[X86_RCX];
	gpr[X86_RCX] = 0x22;
	return 0x33;
}

static bool intr_pending(void *ptr)
{
	return ((struct machine *)ptr)->vector >= 0;
}

static int intr_ack(void *ptr)
{
	struct machine *m = ptr;
	int vector = m->vector;

	m->vector = -1;
	return vector;
}

static void machine_new(struct machine *m, struct err *e)
{
	uint8_t rom[ROM_LEN];

	memset(m, 0, sizeof(*m));
	m->vector = -1;
	m->v = aligned_alloc(64, (sizeof(*m->v) + 63) & ~63ul);
	memset(m->v, 0, sizeof(*m->v));
	m->vm.mem = mem_new(RAM, ROM_LEN, e);
	CHECK(m->vm.mem);
	memset(rom, 0x99, sizeof(rom));
	CHECK(!mem_add_rom(m->vm.mem, ROM_AT, ROM_LEN, rom, ROM_LEN, e));
	pthread_mutex_init(&m->vm.lock, NULL);
	bus_init(&m->vm.bus, &m->vm.lock);
	CHECK(!bus_add_pio(&m->vm.bus, (struct bus_range){ 0x80, 2, port_read, port_write,
			   m, "test" }, e));
	CHECK(!bus_add_pio(&m->vm.bus, (struct bus_range){ 0x300, 1, NULL, out_write,
			   m, "out" }, e));
	CHECK(!bus_add_pio(&m->vm.bus, (struct bus_range){ 0x5658, 4, door_read, NULL,
			   m, "door" }, e));
	m->vm.engine = &kvm_engine;
	m->vm.vcpu[0] = m->v;
	m->vm.ncpus = 1;
	m->vm.model.long_mode = true;
	m->vm.model.cpus = 1;
	x86_model_init(&m->vm.model);
	m->v->vm = &m->vm;
	m->v->thread = pthread_self();
	m->v->intr_pending = intr_pending;
	m->v->intr_ack = intr_ack;
	m->v->intr_ptr = m;
	CHECK(!kvm_engine.vm_create(&m->vm, e));
	CHECK(!kvm_engine.create(m->v, e));
}

static void machine_free(struct machine *m)
{
	kvm_engine.destroy(m->v);
	kvm_engine.vm_destroy(&m->vm);
	mem_free(m->vm.mem);
	free(m->v);
}

static void start(struct machine *m, const uint8_t *prog)
{
	struct x86_cpu *c = &m->v->cpu;

	x86_cpu_reset(c);
	c->seg[X86_CS].sel = 0;
	c->seg[X86_CS].base = 0;
	c->rip = 0x1000;
	c->gpr[X86_RSP] = 0x8000;
	mem_write(m->vm.mem, 0x1000, prog, (uint64_t)(prog_end - prog));
	atomic_store(&m->v->req, 0);
	kvm_engine.sync_in(m->v);
}

static void test_io(struct machine *m)
{
	uint8_t b = 0;

	mem_write(m->vm.mem, 0x2100, "abc", 3);
	start(m, prog_io);
	CHECK(kvm_engine.run(m->v) == VCPU_EXIT_HLT);
	kvm_engine.sync_out(m->v);
	CHECK(m->port80 == (0x1234 | 2u << 24));
	mem_read(m->vm.mem, 0x2000, &b, 1);
	CHECK(b == 0x5a);
	CHECK(m->nout == 3 && !memcmp(m->out, "abc", 3));
	CHECK(m->v->cpu.halted);
	CHECK((m->v->cpu.gpr[X86_RSI] & 0xffff) == 0x2103);
	/* ROM reads, and keeps what it holds. */
	CHECK((m->v->cpu.gpr[X86_RBX] & 0xffff) == 0x9999);
}

static void test_door(struct machine *m)
{
	const uint64_t *gpr = m->v->cpu.gpr;

	start(m, prog_door);
	CHECK(kvm_engine.run(m->v) == VCPU_EXIT_HLT);
	kvm_engine.sync_out(m->v);
	check(gpr[X86_RAX] == 0x33 && gpr[X86_RCX] == 0x22, "rax %lx rcx %lx", gpr[X86_RAX], gpr[X86_RCX]);
	CHECK(gpr[X86_RBX] == 0x564d5868 + 0x11);
}

static void test_irq(struct machine *m)
{
	static const uint8_t handler[] = { 0x40, 0xcf };	/* inc %ax; iret */
	uint8_t ivt[4] = { 0x00, 0x30, 0, 0 };

	mem_write(m->vm.mem, 0x3000, handler, sizeof(handler));
	mem_write(m->vm.mem, 0x31 * 4, ivt, sizeof(ivt));
	start(m, prog_irq);
	CHECK(kvm_engine.run(m->v) == VCPU_EXIT_HLT);
	CHECK(m->v->cpu.halted);
	m->vector = 0x31;
	atomic_fetch_or(&m->v->req, VCPU_REQ_INTR);
	CHECK(kvm_engine.run(m->v) == VCPU_EXIT_HLT);
	kvm_engine.sync_out(m->v);
	CHECK(m->vector == -1);
	CHECK((m->v->cpu.gpr[X86_RAX] & 0xffff) == 1);
	CHECK((m->v->cpu.gpr[X86_RBX] & 0xffff) == 1);
	/* IF is clear now: it stays pending. */
	m->vector = 0x31;
	atomic_fetch_or(&m->v->req, VCPU_REQ_INTR);
	CHECK(kvm_engine.run(m->v) == VCPU_EXIT_HLT);
	CHECK(m->vector == 0x31);
	m->vector = -1;
}

static void on_kick(int sig, siginfo_t *si, void *context)
{
	kvm_engine.kick(si->si_value.sival_ptr);
}

static void *stopper(void *ptr)
{
	struct machine *m = ptr;

	usleep(20000);
	vcpu_request(m->v, VCPU_REQ_STOP);
	return NULL;
}

static void test_kick(struct machine *m)
{
	struct sigaction sa = { .sa_sigaction = on_kick, .sa_flags = SA_SIGINFO };
	pthread_t t;

	sigaction(VCPU_KICK_SIGNAL, &sa, NULL);
	start(m, prog_spin);
	CHECK(!pthread_create(&t, NULL, stopper, m));
	CHECK(kvm_engine.run(m->v) == VCPU_EXIT_STOP);
	pthread_join(t, NULL);
	kvm_engine.sync_out(m->v);
	CHECK(m->v->cpu.gpr[X86_RAX] > 0);
}

static void test_dirty(struct machine *m)
{
	_Atomic uint8_t *f = m->vm.mem->pflags;
	struct err e;

	start(m, prog_dirty);
	CHECK(kvm_dirty_collect(&m->vm, &e) == -EINVAL);
	CHECK(!kvm_dirty_start(&m->vm, &e));
	CHECK(kvm_engine.run(m->v) == VCPU_EXIT_HLT);
	CHECK(!kvm_dirty_collect(&m->vm, &e));
	for (unsigned p = 0; p < 0x90; p++)
		CHECK(!!(f[p] & MEM_PF_DIRTY) == (p == 0x3 || p == 0x20));
	CHECK(!kvm_dirty_stop(&m->vm, &e));
}

/* What is put in comes out. */
static void test_state(struct machine *m)
{
	static struct x86_cpu want;
	struct x86_cpu *c = &m->v->cpu;

	x86_cpu_reset(c);
	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = 0x0101010101010101ull * (i + 1);
	c->rip = 0x12345;
	c->rflags = X86_FL_FIXED | X86_FL_CF | X86_FL_DF | X86_FL_OF;
	c->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	c->cr2 = 0xdeadbeef;
	c->cr4 = X86_CR4_OSFXSR | X86_CR4_PSE;
	for (unsigned i = 0; i < X86_SEGS; i++) {
		c->seg[i] = (struct x86_seg){ .base = 0x1000 * i, .limit = 0xfffff,
			.attr = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED |
			X86_SEG_DB | (i == X86_CS ? X86_SEG_CODE : 0), .sel = (uint16_t)(8 * i + 8) };
	}
	c->tr = (struct x86_seg){ .base = 0x5000, .limit = 0x67, .attr = X86_SEG_P | 11,
		.sel = 0x40 };
	c->gdtr = (struct x86_dtr){ 0x6000, 0x1ff };
	c->idtr = (struct x86_dtr){ 0x7000, 0x7ff };
	c->dr[0] = 0x1111;
	c->dr[3] = 0x4444;
	c->dr[7] = 0x401;
	c->sysenter_cs = 0x10;
	c->sysenter_esp = 0x2000;
	c->sysenter_eip = 0x3000;
	c->star = 0x0023001000000000ull;
	c->xsave[160] = 0xaa;		/* XMM0 */
	c->xsave[160 + 15 * 16] = 0xbb;	/* XMM15 */
	x86_cpu_update_mode(c);
	want = *c;
	kvm_engine.sync_in(m->v);
	memset(c, 0xee, sizeof(*c));
	kvm_engine.sync_out(m->v);
	CHECK(!memcmp(c->gpr, want.gpr, sizeof(c->gpr)));
	CHECK(c->rip == want.rip && c->rflags == want.rflags);
	CHECK(c->cr0 == want.cr0 && c->cr2 == want.cr2 && c->cr4 == want.cr4);
	for (unsigned i = 0; i < X86_SEGS; i++)
		CHECK(c->seg[i].base == want.seg[i].base && c->seg[i].sel == want.seg[i].sel &&
		      c->seg[i].limit == want.seg[i].limit && c->seg[i].attr == want.seg[i].attr);
	CHECK(c->tr.base == want.tr.base && c->tr.attr == want.tr.attr);
	CHECK(c->gdtr.base == want.gdtr.base && c->gdtr.limit == want.gdtr.limit);
	CHECK(c->idtr.base == want.idtr.base && c->idtr.limit == want.idtr.limit);
	CHECK(c->dr[0] == want.dr[0] && c->dr[3] == want.dr[3] && c->dr[7] == want.dr[7]);
	CHECK(c->sysenter_cs == want.sysenter_cs && c->sysenter_esp == want.sysenter_esp);
	CHECK(c->sysenter_eip == want.sysenter_eip && c->star == want.star);
	CHECK(!memcmp(c->xsave, want.xsave, 24));
	CHECK(!memcmp(c->xsave + 32, want.xsave + 32, 384));
	CHECK(c->code_bits == want.code_bits && c->stack_bytes == want.stack_bytes);
	CHECK(c->cpl == 0);
}

/* An exception without an IDT: a triple fault. */
static void test_crash(struct machine *m)
{
	struct x86_cpu *c = &m->v->cpu;

	start(m, prog_crash);
	kvm_engine.sync_out(m->v);
	c->cr0 |= X86_CR0_PE;
	c->idtr.limit = 0;
	for (unsigned i = 0; i < X86_SEGS; i++)
		c->seg[i].sel = 8;
	kvm_engine.sync_in(m->v);
	CHECK(kvm_engine.run(m->v) == VCPU_EXIT_SHUTDOWN);
}

int main(void)
{
	struct machine m;
	struct err e = { 0 };
	int rc = kvm_engine.probe(NULL, &e);

	if (rc) {
		CHECK(rc == e.code && e.msg[0]);
		printf("%s\n", e.msg);
		return 77;
	}
	rc = kvm_probe_stock(&e);
	CHECK(rc == 0 || (rc == -ENOTSUP && e.msg[0]));
	machine_new(&m, &e);
	test_state(&m);
	test_io(&m);
	test_door(&m);
	test_irq(&m);
	test_kick(&m);
	test_dirty(&m);
	test_crash(&m);
	machine_free(&m);
	return check_done();
}
