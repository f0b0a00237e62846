lib/pc/dump.o: lib/pc/dump.c lib/pc/machine.h lib/pc/boot.h \
 lib/pc/image.h lib/base/err.h lib/vmm/mem.h lib/x86/cpu.h lib/x86/insn.h \
 lib/x86/ops.def lib/pc/chardev.h lib/pc/pc.h lib/bt/bt.h lib/vmm/vm.h \
 lib/base/clock.h lib/vmm/bus.h lib/vmm/irq.h lib/vmm/timer.h \
 lib/vmm/tlb.h lib/vmm/trace.h lib/x86/cpuid.h lib/vmm/access.h
lib/pc/machine.h:
lib/pc/boot.h:
lib/pc/image.h:
lib/base/err.h:
lib/vmm/mem.h:
lib/x86/cpu.h:
lib/x86/insn.h:
lib/x86/ops.def:
lib/pc/chardev.h:
lib/pc/pc.h:
lib/bt/bt.h:
lib/vmm/vm.h:
lib/base/clock.h:
lib/vmm/bus.h:
lib/vmm/irq.h:
lib/vmm/timer.h:
lib/vmm/tlb.h:
lib/vmm/trace.h:
lib/x86/cpuid.h:
lib/vmm/access.h:
