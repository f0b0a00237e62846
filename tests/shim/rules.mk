# The shim and what replays its logs (tests/shim/shim.h, replay.h).  Unit tests named
# crash_*.c are linked with both.
SHIM_O := $(BUILD)/tests/shim/shim.o $(BUILD)/tests/shim/replay.o
SHIM := $(BUILD)/tests/shim/shim.so $(BUILD)/tests/shim/sgio.so $(BUILD)/tests/shim/replay

# Named, so that the rule for crash_% comes before that for all unit tests.
$(SHIM_O): tests/shim/shim.h

$(BUILD)/tests/shim/shim.so: tests/shim/shim.c tests/shim/shim.h
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -D_GNU_SOURCE $(filter-out -fsanitize=%,$(R_CFLAGS)) $(CFLAGS) -fPIC -shared -o $@ $<

$(BUILD)/tests/shim/sgio.so: tests/shim/sgio.c
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -D_GNU_SOURCE $(filter-out -fsanitize=%,$(R_CFLAGS)) $(CFLAGS) -fPIC -shared -o $@ $<

$(BUILD)/tests/shim/replay: $(BUILD)/tests/shim/main.o $(BUILD)/tests/shim/replay.o
	$(call say,LD,$@)$(CC) $(R_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/tests/unit/crash_%: tests/unit/crash_%.c $(SHIM_O) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) -Itests/unit -Itests/shim $(R_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< \
		$(SHIM_O) $(LIB) $(LIBS_ALL)

unit: $(SHIM)

-include $(SHIM_O:.o=.d) $(BUILD)/tests/shim/main.d
