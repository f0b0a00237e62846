#!/usr/bin/env bats
# What time it is in a stock kernel, by which clocks, and how fast time passes:
# each interrupt controller and timer that Linux can be made to use.
# shellcheck disable=SC2154
load helper

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	tests/guest/mkinitramfs "$BATS_FILE_TMPDIR/initramfs.gz" tests/guest/clocks=bin/clocks
}

# clocks PARAMETER...: boot with these kernel parameters; what the guest says is
# in $BATS_TEST_TMPDIR/log, "host SECONDS" before each line.
clocks() {
	guest 686
	LIMIT=130 vmrun run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/initramfs.gz" \
		--append "console=ttyS0 panic=1 ring1=run=clocks $*" --no-reboot \
		--accel bt --timeout 120 |
		while IFS= read -r line; do
			echo "host $EPOCHREALTIME ${line%$'\r'}"
		done >"$BATS_TEST_TMPDIR/log"
	grep 'clocks:' "$BATS_TEST_TMPDIR/log"
	grep -q 'clocks: done' "$BATS_TEST_TMPDIR/log" || {
		tail -n 20 "$BATS_TEST_TMPDIR/log"
		return 1
	}
	if grep 'clocks: sick' "$BATS_TEST_TMPDIR/log"; then return 1; fi
}

# is NAME PATTERN: what the guest says about NAME.
is() { grep "clocks: $1 " "$BATS_TEST_TMPDIR/log" | grep -E "clocks: $1 ($2)"; }

# The guest's dates are the host's, to 2 s; its time runs as the host's, to 5 %
# over 10 s; no sleep is too short.
keeps_time() {
	awk '
	function off(a, b, by) { return a - b > by || b - a > by }
	function bad(what) { print what; failed = 1 }
	$3 != "clocks:" { next }
	($4 == "date" || $4 == "rtc") && off($2, $5, 2) { bad($4 " is " $5 - $2 " s off") }
	$4 == "set" && (off($2, $5, 2) || off($5, $6, 2)) { bad("hwclock -w: " $0) }
	$4 == "usleep" && $6 - $5 < 1 { bad("20 times 50 ms took " $6 - $5 " s") }
	$4 == "start" { host = $2; own = $5 }
	$4 == "end" {
		host = $2 - host
		own = $5 - own
		if (own < 9.99 || off(own / host, 1, 0.05))
			bad("sleep 10 took " own " s, " host " s of the host")
		seen = 1
	}
	END { exit failed || !seen }' "$BATS_TEST_TMPDIR/log"
}

@test "by default: TSC, its deadline timer, the I/O APIC" {
	clocks
	is current tsc
	is available '.*hpet'
	is ticks lapic-deadline
	is irq0 '[0-9]+ IO-APIC'
	keeps_time
}

@test "HPET as clock, periodic local APIC timer, the 8259" {
	clocks clocksource=hpet lapic=notscdeadline nohz=off highres=off noapic
	is current hpet
	is ticks lapic
	is irq0 '[0-9]+ XT-PIC'
	keeps_time
}

@test "HPET for ticks, no local APIC" {
	clocks nolapic
	is ticks hpet
	keeps_time
}

@test "periodic 8254, the 8259" {
	clocks hpet=disable nolapic nohz=off highres=off
	is ticks pit
	is irq0 '[0-9]+ XT-PIC'
	keeps_time
}
