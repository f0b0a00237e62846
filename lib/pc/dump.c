/* The state of the vCPUs as text, for crash reports. */
#include "pc/machine.h"

#include <inttypes.h>

#include "vmm/access.h"

#define DUMP_INSNS	8
#define INSN_MAX	15
#define DISAS_LEN	160

static void dump_gprs(const struct x86_cpu *c, FILE *out)
{
	static const char *const name[16] = {
		"ax", "cx", "dx", "bx", "sp", "bp", "si", "di",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	};
	unsigned n = c->long_mode ? 16 : 8;

	for (unsigned i = 0; i < n; i++) {
		const char *end = i % 4 == 3 ? "\n" : " ";

		if (c->long_mode)
			fprintf(out, "%s%-3s %016" PRIx64 "%s", i < 8 ? "r" : "", name[i],
				c->gpr[i], end);
		else
			fprintf(out, "e%s %08x%s", name[i], (uint32_t)c->gpr[i], end);
	}
	fprintf(out, "rip %" PRIx64 " rflags %08" PRIx64 " cpl %u, %u-bit%s%s\n", c->rip,
		c->rflags, c->cpl, c->code_bits, c->halted ? ", halted" : "",
		c->rflags & X86_FL_VM ? ", V86" : "");
}

static void dump_seg(const char *name, const struct x86_seg *s, FILE *out)
{
	fprintf(out, "%-4s %04x base %08" PRIx64 " limit %08x attr %05x\n", name, s->sel,
		s->base, s->limit, s->attr);
}

static void dump_system(const struct x86_cpu *c, FILE *out)
{
	static const char *const name[X86_SEGS] = { "es", "cs", "ss", "ds", "fs", "gs" };

	for (unsigned i = 0; i < X86_SEGS; i++)
		dump_seg(name[i], &c->seg[i], out);
	dump_seg("ldtr", &c->ldtr, out);
	dump_seg("tr", &c->tr, out);
	fprintf(out, "gdtr %08" PRIx64 " limit %04x  idtr %08" PRIx64 " limit %04x\n",
		c->gdtr.base, c->gdtr.limit, c->idtr.base, c->idtr.limit);
	fprintf(out, "cr0 %08" PRIx64 " cr2 %" PRIx64 " cr3 %" PRIx64 " cr4 %" PRIx64
		" efer %" PRIx64 "\n", c->cr0, c->cr2, c->cr3, c->cr4, c->efer);
	fprintf(out, "last exception: vector %u error %x at cr2 %" PRIx64 "\n",
		c->exc.vector, c->exc.error, c->exc.cr2);
}

/* Bytes at CS:RIP as far as they are mapped. */
static size_t fetch(const struct vcpu *v, uint8_t *buf, size_t n)
{
	uint64_t gva = v->cpu.rip + v->cpu.seg[X86_CS].base, gpa;
	size_t i;

	if (v->cpu.code_bits != 64)
		gva = (uint32_t)gva;
	for (i = 0; i < n; i++)
		if (!vcpu_peek(v, gva + i, &gpa) ||
		    !mem_read(v->vm->mem, gpa, buf + i, 1))
			break;
	return i;
}

static void dump_code(const struct vcpu *v, FILE *out)
{
	uint8_t buf[DUMP_INSNS * INSN_MAX];
	size_t len = fetch(v, buf, sizeof(buf)), at = 0;
	char text[DISAS_LEN];

	if (!len)
		fprintf(out, "no memory at the instruction pointer\n");
	for (unsigned i = 0; i < DUMP_INSNS && at < len; i++) {
		uint64_t rip = v->cpu.rip + at;

		at += (size_t)x86_disas(text, sizeof(text), buf + at, len - at, rip,
					v->cpu.code_bits);
		fprintf(out, "%8" PRIx64 ":  %s\n", rip, text);
	}
}

void pc_dump(struct pc *pc, FILE *out)
{
	for (unsigned i = 0; i < pc->vm.ncpus; i++) {
		const struct vcpu *v = pc->vm.vcpu[i];

		if (pc->vm.ncpus > 1)
			fprintf(out, "cpu %u%s%s:\n", i, pc->thread[i].wait_sipi ? ", not started" : "",
				pc->thread[i].exit == VCPU_EXIT_SHUTDOWN ? ", shut down" :
				pc->thread[i].exit == VCPU_EXIT_ERROR ? ", failed" : "");
		if (pc->thread[i].wait_sipi)
			continue;
		dump_gprs(&v->cpu, out);
		dump_system(&v->cpu, out);
		dump_code(v, out);
	}
}
