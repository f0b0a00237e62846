/* IN, OUT, INS, OUTS.  SDM vol. 1 chapter 18. */

#include "interp/system.h"
#include "vmm/vmware.h"

/* A run of REP INS/OUTS ends after so many elements, to look for interrupts. */
#define IO_RUN	1024

/* May the current privilege touch these ports?  SDM vol. 1, 18.5. */
static int io_allowed(struct vcpu *v, uint16_t port, unsigned size)
{
	struct x86_cpu *c = &v->cpu;
	unsigned iopl = (c->rflags & X86_FL_IOPL) >> 12;
	uint16_t base, bits;
	uint32_t at;

	if (!(c->cr0 & X86_CR0_PE) ||
	    (!(c->rflags & X86_FL_VM) && c->cpl <= iopl))
		return X86_OK;
	/* The permission bitmap of a 32-bit or 64-bit TSS; two bytes are read
	 * always, so both must lie inside the limit. */
	if (!tss_is32(c) || c->tr.limit < 103)
		return raise_gp(c);
	if (tss_read(v, 102, &base, 2) != X86_OK)
		return X86_FAULT;
	at = (uint32_t)base + port / 8u;
	if (at + 1 > c->tr.limit)
		return raise_gp(c);
	if (tss_read(v, at, &bits, 2) != X86_OK)
		return X86_FAULT;
	if (bits >> (port & 7) & ((1u << size) - 1))
		return raise_gp(c);
	return X86_OK;
}

int io_check(struct vcpu *v, uint16_t port, unsigned size)
{
	if (io_allowed(v, port, size) != X86_OK)
		return X86_FAULT;
	if (v->cpu.dr[7] & 0xff)
		interp_watch_port(v, port, size);
	return X86_OK;
}

/* A write to a port; the chipset's may change where memory lies. */
static void port_write(struct vcpu *v, uint16_t port, uint64_t val, unsigned size)
{
	struct vm *vm = v->vm;

	bus_pio_write(&vm->bus, port, val, size);
	if (__builtin_expect(vm->mem && atomic_load_explicit(&vm->mem->moves,
							     memory_order_relaxed), 0)) {
		vm_layout(vm, v, &v->err);
		icache_flush(v);
	}
}

int op_in(struct vcpu *v, const struct x86_insn *in)
{
	unsigned size = in->o[0].size;
	uint64_t port;

	if (interp_get(v, in, 1, &port) != X86_OK)
		return X86_FAULT;
	if (!vmware_call(&v->cpu, (uint16_t)port, size) &&
	    io_check(v, (uint16_t)port, size) != X86_OK)
		return X86_FAULT;
	return interp_put(v, in, 0,
			  bus_pio_read(&v->vm->bus, (uint16_t)port, size));
}

int op_out(struct vcpu *v, const struct x86_insn *in)
{
	unsigned size = in->o[1].size;
	uint64_t port, val;

	if (interp_get(v, in, 0, &port) != X86_OK ||
	    interp_get(v, in, 1, &val) != X86_OK ||
	    io_check(v, (uint16_t)port, size) != X86_OK)
		return X86_FAULT;
	port_write(v, (uint16_t)port, val, size);
	return X86_OK;
}

static uint64_t ad_mask(const struct x86_insn *in)
{
	return in->adsize == 8 ? ~0ull : in->adsize == 4 ? 0xffffffff : 0xffff;
}

static uint64_t ad_get(const struct x86_cpu *c, const struct x86_insn *in,
		       unsigned reg)
{
	return c->gpr[reg] & ad_mask(in);
}

/* 16-bit registers keep their upper part, 32-bit ones lose it. */
static void ad_put(struct x86_cpu *c, const struct x86_insn *in, unsigned reg,
		   uint64_t val)
{
	if (in->adsize == 2)
		c->gpr[reg] = (c->gpr[reg] & ~0xffffull) | (val & 0xffff);
	else
		c->gpr[reg] = val & ad_mask(in);
}

/* One element; the index register moves on success. */
static int io_element(struct vcpu *v, const struct x86_insn *in, unsigned size,
		      uint16_t port)
{
	struct x86_cpu *c = &v->cpu;
	bool out = in->op == X86_OUTS;
	unsigned reg = out ? X86_RSI : X86_RDI;
	uint64_t off = ad_get(c, in, reg), val = 0, gva;

	if (seg_linear(v, out ? in->seg : X86_ES, off, size, !out, &gva) != X86_OK)
		return X86_FAULT;
	if (out) {
		if (vcpu_read(v, gva, &val, size, vcpu_tlb_mode(v)) != X86_OK)
			return X86_FAULT;
		port_write(v, port, val, size);
	} else {
		/* The device must not lose data to a page fault. */
		if (vcpu_probe_write(v, gva, size, vcpu_tlb_mode(v)) != X86_OK)
			return X86_FAULT;
		val = bus_pio_read(&v->vm->bus, port, size);
		if (vcpu_write(v, gva, &val, size, vcpu_tlb_mode(v)) != X86_OK)
			return X86_FAULT;
	}
	off += c->rflags & X86_FL_DF ? -(uint64_t)size : size;
	ad_put(c, in, reg, off);
	return X86_OK;
}

static int io_string(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	bool rep = in->prefixes & (X86_P_REP | X86_P_REPNE);
	unsigned size = in->opcode & 1 ? (in->opsize == 2 ? 2 : 4) : 1;
	uint16_t port = (uint16_t)c->gpr[X86_RDX];
	uint64_t count = rep ? ad_get(c, in, X86_RCX) : 1;

	if (io_check(v, port, size) != X86_OK)
		return X86_FAULT;
	for (unsigned i = 0; count && i < IO_RUN; i++) {
		if (io_element(v, in, size, port) != X86_OK)
			return X86_FAULT;
		count--;
		if (rep)
			ad_put(c, in, X86_RCX, count);
	}
	if (count)	/* to be continued */
		c->rip = (c->rip - in->len) &
			(c->code_bits == 64 ? ~0ull : c->code_bits == 32 ? 0xffffffff : 0xffff);
	return X86_OK;
}

int op_ins(struct vcpu *v, const struct x86_insn *in)
{
	return io_string(v, in);
}

int op_outs(struct vcpu *v, const struct x86_insn *in)
{
	return io_string(v, in);
}
