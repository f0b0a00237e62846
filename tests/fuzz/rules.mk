# Fuzzers: tests/fuzz/NAME.c, each a program `NAME SECONDS [SEED]` built with ASan
# and UBSan.  FUZZ_SECONDS is for each (default 600).
FUZZ := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/fuzz/*.c)))

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) $(R_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

fuzz-programs: $(FUZZ)

fuzz:
	$(Q)$(MAKE) --no-print-directory SAN=1 fuzz-programs
	$(Q)BUILD=build-san tests/fuzz/run $(or $(FUZZ_SECONDS),600)

.PHONY: fuzz fuzz-programs
