/* The files that a machine boots from: checked once, loaded at every start. */
#include "pc/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dev/acpipm.h"
#include "dev/piix4.h"
#include "pc/acpi.h"
#include "pc/dmi.h"
#include "pc/e820.h"
#include "pc/firmware.h"
#include "pc/mptable.h"
#include "pc/rmbios.h"
#include "pc/rom.h"

#define KERNEL_MAX	(512ull << 20)
#define MODULE_MAX	(3ull << 30)

/* A module that cannot fit need not be read to its end. */
static int read_module(struct pc *pc, struct image *im, const char *path, struct err *e)
{
	uint64_t max = pc->cfg.memory < MODULE_MAX ? pc->cfg.memory : MODULE_MAX;
	int rc = image_read(im, path, max, &pc->wait, e);

	if (rc == -EFBIG && max < MODULE_MAX)
		return err_set(e, -ENOSPC, "%s: does not fit into %llu MiB of memory",
			       path, (unsigned long long)(pc->cfg.memory >> 20));
	return rc;
}

/* Multiboot modules: paths with commas between them. */
static int read_modules(struct pc *pc, struct err *e)
{
	struct boot_request *rq = &pc->rq;
	char *next, *path;

	pc->modules = next = strdup(pc->cfg.initrd);
	if (!pc->modules)
		return err_set(e, -ENOMEM, "out of memory");
	while ((path = strsep(&next, ","))) {
		int rc;

		if (!*path)
			return err_set(e, -EINVAL, "%s: a module has no name",
				       pc->cfg.initrd);
		if (rq->nmodules == BOOT_MODULES)
			return err_set(e, -EINVAL, "more than %u modules", BOOT_MODULES);
		rc = read_module(pc, &rq->module[rq->nmodules], path, e);
		if (rc)
			return rc;
		rq->nmodules++;
	}
	return 0;
}

static int read_initrd(struct pc *pc, struct err *e)
{
	int rc = read_module(pc, &pc->rq.module[0], pc->cfg.initrd, e);

	pc->rq.nmodules = rc ? 0 : 1;
	return rc;
}

static int read_kernel(struct pc *pc, struct err *e)
{
	const struct pc_config *cfg = &pc->cfg;
	struct boot_request *rq = &pc->rq;
	int rc;

	rq->append = cfg->append ? cfg->append : "";
	rq->acpi_rsdp = LOWMEM_ACPI;
	rc = image_read(&rq->kernel, cfg->kernel, KERNEL_MAX, &pc->wait, e);
	if (rc)
		return rc;
	if (linux_probe(&rq->kernel)) {
		pc->boot = PC_BOOT_LINUX;
		rc = cfg->initrd ? read_initrd(pc, e) : 0;
		return rc ? rc : linux_check(&pc->lx, rq, cfg->memory, e);
	}
	if (multiboot_probe(&rq->kernel)) {
		pc->boot = PC_BOOT_MULTIBOOT;
		rc = cfg->initrd ? read_modules(pc, e) : 0;
		return rc ? rc : multiboot_check(&pc->mb, rq, cfg->memory, e);
	}
	/* As Xen comes; boot loaders unpack it. */
	if (rq->kernel.len > 2 && rq->kernel.data[0] == 0x1f && rq->kernel.data[1] == 0x8b)
		return err_set(e, -ENOTSUP, "%s: compressed by gzip: unpack it first",
			       cfg->kernel);
	return err_set(e, -EBADMSG, "%s: neither a Linux nor a Multiboot kernel",
		       cfg->kernel);
}

int load_read(struct pc *pc, struct err *e)
{
	if (pc->cfg.kernel)
		return read_kernel(pc, e);
	pc->boot = PC_BOOT_ROM;
	return image_read(&pc->bios, pc->cfg.bios, ROM_MAX, &pc->wait, e);
}

static void images_free(struct pc *pc)
{
	image_free(&pc->rq.kernel);
	for (unsigned i = 0; i < BOOT_MODULES; i++)
		image_free(&pc->rq.module[i]);
	image_free(&pc->bios);
}

void load_free(struct pc *pc)
{
	images_free(pc);
	free(pc->modules);
}

/* The BIOS data area: what kernels read when they are told little else.
 * Spec: IBM PS/2 and PC BIOS Interface Technical Reference. */
static void load_bda(struct mem *m)
{
	enum { BDA = 0x400, COM1 = 0x00, EBDA_SEG = 0x0e, BASE_KIB = 0x13, LEN = 0x100 };
	uint8_t bda[LEN] = { 0 };

	bda[COM1] = 0xf8;
	bda[COM1 + 1] = 0x03;
	bda[EBDA_SEG] = LOWMEM_EBDA >> 4 & 0xff;
	bda[EBDA_SEG + 1] = LOWMEM_EBDA >> 12;
	bda[BASE_KIB] = LOWMEM_EBDA >> 10 & 0xff;
	bda[BASE_KIB + 1] = LOWMEM_EBDA >> 18;
	mem_write(m, BDA, bda, sizeof(bda));
}

/* Reset by jumping where the processor starts: there is no BIOS, so the keyboard
 * controller does it.  mov $0xfe, %al; out %al, $0x64; 1: hlt; jmp 1b */
static void load_reset_vector(struct mem *m)
{
	static const uint8_t code[] = { 0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd };

	mem_write(m, LOWMEM_END - 16, code, sizeof(code));
}

/* As firmware does, write into functions with an interrupt pin where that is routed to,
 * for kernels without ACPI.  Returns a bit for each slot that has such. */
static uint32_t pci_wired(struct pc *pc)
{
	static const uint8_t irq[PCI_PINS] = PIIX4_PIRQ_IRQS;
	uint32_t slots = 0;

	for (unsigned i = 0; i < 256; i++) {
		struct pci_fn *f = pci_fn_at(pc->dev[PC_DEV_PCI], i);

		if (!f || !f->cfg[PCI_IRQ_PIN])
			continue;
		slots |= 1u << i / 8;
		if (!f->cfg[PCI_IRQ_LINE])	/* power management has its own */
			f->cfg[PCI_IRQ_LINE] = irq[pci_pirq(i / 8, f->cfg[PCI_IRQ_PIN])];
	}
	return slots;
}

/* What firmware leaves behind for a kernel. */
static void load_tables(struct pc *pc)
{
	uint8_t acpi[ACPI_LEN], mp[MPTABLE_LEN], dmi[DMI_LEN];
	struct mem *m = pc->vm.mem;
	unsigned cpus = pc->vm.ncpus;
	uint32_t dmi_gpa = LOWMEM_BIOS + MPTABLE_LEN;
	struct acpi_config where = { .gpa = LOWMEM_ACPI, .cpus = cpus, .pm_base = ACPIPM_BASE };

	for (unsigned i = 0; i < cpus; i++)
		boot_mtrrs(&pc->vm.vcpu[i]->cpu);
	load_bda(m);
	load_reset_vector(m);
	rmbios_install(m);
	mem_write(m, LOWMEM_ACPI, acpi, acpi_build(acpi, &where, NULL));
	mem_write(m, LOWMEM_BIOS, mp, mptable_build(mp, LOWMEM_BIOS, cpus, pci_wired(pc)));
	mem_write(m, dmi_gpa, dmi, dmi_build(dmi, dmi_gpa, m->ram_size, cpus));
}

static int reload(struct boot_request *rq, struct err *e)
{
	int rc = image_reload(&rq->kernel, e);

	for (unsigned i = 0; i < rq->nmodules && !rc; i++)
		rc = image_reload(&rq->module[i], e);
	return rc;
}

static void unload(struct boot_request *rq)
{
	image_unload(&rq->kernel);
	for (unsigned i = 0; i < rq->nmodules; i++)
		image_unload(&rq->module[i]);
}

int load_reset(struct pc *pc, struct err *e)
{
	struct mem *m = pc->vm.mem;
	struct x86_cpu *c = &pc->vm.vcpu[0]->cpu;
	int rc = reload(&pc->rq, e);

	if (rc)
		return rc;
	switch (pc->boot) {
	case PC_BOOT_LINUX:
		load_tables(pc);
		linux_load(&pc->lx, &pc->rq, m, c);
		break;
	case PC_BOOT_MULTIBOOT:
		load_tables(pc);
		multiboot_load(&pc->mb, &pc->rq, m, c);
		break;
	case PC_BOOT_ROM:	/* it is mapped, and the reset vector is in it */
		rc = firmware_tell(pc, e);
		break;
	}
	/* Not loaded again, unless it goes back to a snapshot. */
	if (pc->cfg.no_reboot && !pc->control)
		images_free(pc);
	else
		unload(&pc->rq);
	return rc;
}
