# Programs of several threads that check themselves, for guests: of i386 and of amd64.
THREADS_DEPS := $(sort $(wildcard tests/soak/threads/*.c)) tests/soak/threads/threads.h

$(BUILD)/soak/threads32 $(BUILD)/soak/threads64: $(BUILD)/soak/threads%: $(THREADS_DEPS)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) -O2 -static -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wshadow \
		-Wno-unused-parameter $(if $(WERROR),-Werror) -m$* -msse2 -pthread -o $@ $(filter %.c,$^)

# Reads and writes a file, in a guest.
$(BUILD)/soak/diskload32 $(BUILD)/soak/diskload64: $(BUILD)/soak/diskload%: tests/soak/diskload.c
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) -O2 -static -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra \
		-Wshadow -Wno-unused-parameter $(if $(WERROR),-Werror) -m$* -msse2 -pthread -o $@ $<

soak-tools: $(BUILD)/soak/diskload32 $(BUILD)/soak/diskload64 $(BUILD)/soak/threads32 $(BUILD)/soak/threads64

soak: all bench-tools soak-tools
	$(Q)BUILD=$(BUILD) BIN=$(BIN) tests/soak/run

.PHONY: soak soak-tools
