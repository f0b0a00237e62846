# Fuzzers: tests/fuzz/NAME.c, each a program `NAME SECONDS [SEED]` built with ASan
# and UBSan.  FUZZ_SECONDS is for each (default 600).
FUZZ := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/fuzz/*.c)))

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(wildcard tests/fuzz/*.h) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) $(R_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS_ALL)

$(BUILD)/tests/fuzz/%.bin: tests/fuzz/%.S
	@mkdir -p $(@D)
	$(call say,AS,$@)$(CC) -m32 -c -o $@.o $< && \
		$(LD) -m elf_i386 -Ttext 0x100000 -e 0x100030 -o $@.elf $@.o && \
		objcopy -O binary -j .text $@.elf $@

fuzz-programs: $(FUZZ) $(BUILD)/tests/fuzz/soup.bin $(BUILD)/tests/fuzz/soup64.bin

fuzz:
	$(Q)$(MAKE) --no-print-directory SAN=1 fuzz-programs
	$(Q)BUILD=build-san tests/fuzz/run $(or $(FUZZ_SECONDS),600)

.PHONY: fuzz fuzz-programs
