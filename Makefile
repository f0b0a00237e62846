# ring1: one non-recursive Makefile.
#   make              bin/vmrun, bin/vmdk
#   make check        unit tests, lint, bats (at most 15 minutes on 2 cores)
#   make demo         boot Debian's own i386 kernel to a shell (SMOKE=1: without a terminal)
#   make soak bench fuzz     the long runs
#   make install DESTDIR= PREFIX=/usr/local
# SAN=1: with ASan and UBSan, in build-san.  WERROR=1.  V=1: show the commands.
VERSION = 0.2
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
	-fno-omit-frame-pointer -fno-sanitize=alignment -fno-sanitize-recover=undefined)
comma := ,
# What each command links besides libring1.a; test programs link all of it.
LIBS_disk = -ldeflate -lisal
LIBS_vmrun = -ljansson $(LIBS_disk)
LIBS_vmdk = -ljansson -lcurl $(LIBS_disk)
LDLIBS = -Wl,--as-needed
LIBS_ALL = $(LDLIBS) -lcapstone $(LIBS_vmrun) $(LIBS_vmdk) -lpthread
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2);)

LIB_C := $(sort $(wildcard lib/*/*.c))
LIB_S := $(sort $(wildcard lib/*/*.S))
LIB_O := $(LIB_C:%.c=$(BUILD)/%.o) $(LIB_S:%.S=$(BUILD)/%.o)
LIB := $(BUILD)/libring1.a
CMDS := $(notdir $(patsubst %/main.c,%,$(wildcard cmd/*/main.c)))
PROGS := $(CMDS:%=$(BIN)/%)
UNIT := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/unit/*.c)))

all: $(LIB) $(PROGS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(R_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/%.o: %.S
	@mkdir -p $(@D)
	$(call say,AS,$<)$(CC) $(CPPFLAGS) $(R_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/cmd/%.o: CPPFLAGS += -DRING1_VERSION='"$(VERSION)"'

$(LIB): $(LIB_O)
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $(LIB_O)

define CMD_RULE
CMD_O_$(1) := $$(patsubst %.c,$$(BUILD)/%.o,$$(sort $$(wildcard cmd/$(1)/*.c)))
$$(BIN)/$(1): $$(CMD_O_$(1)) $$(LIB)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(R_CFLAGS) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$(CMD_O_$(1)) $$(LIB) $$(LDLIBS) $$(LIBS_$(1)) -lpthread
endef
$(foreach c,$(CMDS),$(eval $(call CMD_RULE,$(c))))

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CPPFLAGS) -Itests/unit $(R_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS_ALL)

unit: $(UNIT)

include $(wildcard tests/*/rules.mk)
# What a person runs sets up its machine first, then builds with all the flags given.
check:
	$(Q)./setup --check >/dev/null || ./setup
	$(Q)$(MAKE) --no-print-directory all unit
	$(Q)BUILD=$(BUILD) BIN=$(BIN) CC="$(CC)" SAN=$(SAN) tests/run

demo:
	$(Q)./setup --check >/dev/null || ./setup
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BIN=$(BIN) SMOKE=$(SMOKE) ACCEL=$(ACCEL) share/demo/run

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(PROGS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	for c in $(CMDS); do install -m 644 share/completions/ring1.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$c || exit 1; done

clean:
	rm -rf build build-san bin

.PHONY: all unit check demo install clean
-include $(LIB_O:.o=.d) $(wildcard $(BUILD)/cmd/*/*.d $(BUILD)/tests/unit/*.d)
