# The benchmark's programs: vb runs natively and as a guest's init, so it is a
# static i386 program (vb) and a static amd64 one (vb64), whatever the rest is built with.
BENCH := $(addprefix $(BUILD)/bench/,vb vb64 dk chain stamp decode interp)
VB_DEPS := $(sort $(wildcard tests/bench/vb*.c)) tests/bench/vb.h
VB_CC = $(CC) -O2 -static -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wshadow \
	-Wno-unused-parameter $(if $(WERROR),-Werror)

$(BUILD)/bench/vb: $(VB_DEPS)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(VB_CC) -m32 -o $@ $(filter %.c,$^)

$(BUILD)/bench/vb64: $(VB_DEPS)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(VB_CC) -m64 -o $@ $(filter %.c,$^)

$(BUILD)/bench/stamp: tests/bench/stamp.c
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) -D_GNU_SOURCE -std=gnu11 -Wall -Wextra -Wshadow $(CFLAGS) -o $@ $<

$(BUILD)/bench/decode: tests/bench/decode.c tests/unit/x86_code.h $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) -Itests/unit $(R_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS_ALL)

$(BUILD)/bench/interp: tests/bench/interp.c $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) $(R_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS_ALL)

$(BUILD)/bench/chain: tests/bench/chain.c $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) $(R_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS_ALL)

# In the guest of tests/bench/disk and chain: static, 32-bit.
$(BUILD)/bench/dk: tests/bench/dk.c
	@mkdir -p $(@D)
	$(call say,CC,$@)$(VB_CC) -m32 -pthread -o $@ $<

bench-tools: $(BENCH)

bench: all bench-tools
	$(Q)BUILD=$(BUILD) BIN=$(BIN) tests/bench/run
	$(Q)BUILD=$(BUILD) BIN=$(BIN) tests/bench/disk
	$(Q)BUILD=$(BUILD) BIN=$(BIN) tests/bench/chain
	$(Q)BUILD=$(BUILD) BIN=$(BIN) tests/bench/convert

.PHONY: bench bench-tools
