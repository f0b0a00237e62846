# Bare-metal guests: each tests/guest/NAME.S with the runtime becomes a flat image,
# a 64 KiB ROM (NAME.rom) and a Multiboot kernel (NAME.elf).
GUEST_RT := tests/guest/rt
GUEST_B := $(BUILD)/tests/guest
GUESTS := $(patsubst tests/guest/%.S,$(GUEST_B)/%,$(sort $(wildcard tests/guest/*.S)))
GUEST_AS = $(CC) -m32 -c -Itests/guest -Itests/guest/rt

$(GUEST_B)/%.o: tests/guest/%.S $(wildcard $(GUEST_RT)/*.inc)
	@mkdir -p $(@D)
	$(call say,AS,$<)$(GUEST_AS) -o $@ $<

$(GUEST_B)/smp_emulated.o: tests/guest/smp.S
$(GUEST_B)/state64_emulated.o: tests/guest/state64.S
$(GUEST_B)/shadow_paging.o: tests/guest/shadow.S

$(GUEST_B)/%.bin: $(GUEST_B)/rt/runtime.o $(GUEST_B)/rt/paging.o $(GUEST_B)/rt/long.o $(GUEST_B)/%.o $(GUEST_RT)/guest.ld
	$(call say,LD,$@)$(LD) -m elf_i386 --no-warn-rwx-segments -T $(GUEST_RT)/guest.ld \
		-o $(@:.bin=.img) $(filter %.o,$^) && objcopy -O binary $(@:.bin=.img) $@

$(GUEST_B)/%.rom: $(GUEST_B)/%.bin $(GUEST_RT)/rom.S
	$(call say,ROM,$@)$(GUEST_AS) -DPAYLOAD='"$<"' -o $@.o $(GUEST_RT)/rom.S && \
		objcopy -O binary -j .text $@.o $@

$(GUEST_B)/%.elf: $(GUEST_B)/%.bin $(GUEST_RT)/multiboot.S
	$(call say,ELF,$@)$(GUEST_AS) -DPAYLOAD='"$<"' -o $@.o $(GUEST_RT)/multiboot.S && \
		$(LD) -n -m elf_i386 -n --no-warn-rwx-segments -Ttext 0x100000 -o $@ $@.o

$(GUEST_B)/random: $(foreach n,random random16 random32,tests/guest/$n.c) \
		tests/guest/random16.h tests/guest/random32.h
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(R_CFLAGS) $(CFLAGS) -o $@ $(filter %.c,$^)

guests: $(GUEST_B)/random $(GUESTS:=.rom) $(GUESTS:=.elf)
all: guests

.PHONY: guests
.SECONDARY: $(GUEST_B)/rt/runtime.o $(GUEST_B)/rt/paging.o $(GUEST_B)/rt/long.o $(GUESTS:=.o) $(GUESTS:=.bin)
