# ring1: one non-recursive Makefile.
# make, check, soak, bench, fuzz, install; SAN=1 V=1 WERROR=1; BUILD=dir BIN=dir
PREFIX ?= /usr/local
BUILD ?= build$(if $(SAN),-san)
BIN ?= $(if $(SAN),$(BUILD)/bin,bin)
CC = gcc
AR = ar
CFLAGS ?= -O2 -g
CPPFLAGS += -Ilib -D_GNU_SOURCE -MMD -MP
R_CFLAGS = -std=gnu11 -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes \
	-Wmissing-prototypes -Wno-unused-parameter -fno-strict-aliasing -pthread \
	$(if $(WERROR),-Werror) $(if $(SAN),-fsanitize=address$(comma)undefined \
	-fno-omit-frame-pointer -fno-sanitize=alignment)
comma := ,
LDLIBS = -lcapstone -ljansson -lpthread
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2);)

LIB_C := $(sort $(wildcard lib/*/*.c))
LIB_S := $(sort $(wildcard lib/*/*.S))
LIB_O := $(LIB_C:%.c=$(BUILD)/%.o) $(LIB_S:%.S=$(BUILD)/%.o)
LIB := $(BUILD)/libring1.a
CMDS := $(notdir $(wildcard cmd/*))
PROGS := $(CMDS:%=$(BIN)/%)
UNIT := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/unit/*.c)))

all: $(LIB) $(PROGS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(R_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/%.o: %.S
	@mkdir -p $(@D)
	$(call say,AS,$<)$(CC) $(CPPFLAGS) $(R_CFLAGS) $(CFLAGS) -c -o $@ $<

$(LIB): $(LIB_O)
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $(LIB_O)

define CMD_RULE
CMD_O_$(1) := $$(patsubst %.c,$$(BUILD)/%.o,$$(sort $$(wildcard cmd/$(1)/*.c)))
$$(BIN)/$(1): $$(CMD_O_$(1)) $$(LIB)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(R_CFLAGS) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$(CMD_O_$(1)) $$(LIB) $$(LDLIBS)
endef
$(foreach c,$(CMDS),$(eval $(call CMD_RULE,$(c))))

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) -Itests/unit $(R_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

unit: $(UNIT)

include tests/bench/rules.mk

clean:
	rm -rf build build-san bin

.PHONY: all unit clean
-include $(LIB_O:.o=.d) $(wildcard $(BUILD)/cmd/*/*.d $(BUILD)/tests/unit/*.d)
