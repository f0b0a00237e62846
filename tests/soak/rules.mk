soak: all bench-tools
	$(Q)BUILD=$(BUILD) BIN=$(BIN) tests/soak/run

.PHONY: soak
