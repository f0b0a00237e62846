#!/usr/bin/env bats
# Debian's own kernels, not rebuilt, boot to a user land that works.
# shellcheck disable=SC2154
load helper

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	tests/guest/mkinitramfs "$BATS_FILE_TMPDIR/initramfs.gz"
}

# boots FLAVOUR ENGINE SECONDS WHAT [CPUS]: WHAT, smoke or selftest, passes and the
# guest powers off, having seen so many processors.
boots() {
	local log=$BATS_TEST_TMPDIR/console
	guest "$1"
	LIMIT=$(($3 + 10)) vmrun run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/initramfs.gz" \
		--append "console=ttyS0 panic=1 ring1=$4" --no-reboot --accel "$2" --timeout "$3" \
		--cpus "${5-1}" >"$log" || { echo "exit $?"; tail -n 30 "$log"; return 1; }
	tr -d '\r' <"$log" >"$log.text"
	tail -n 30 "$log.text"
	grep -qx 'RING1 GUEST UP' "$log.text"
	[ "$4" != selftest ] || grep -qx 'RING1 SELFTEST OK' "$log.text"
	grep -q 'Hypervisor detected: VMware' "$log.text"
	grep -q 'reboot: Power down' "$log.text"
	[ "${5-1}" = 1 ] || grep -q "smp: Brought up 1 node, $5 CPUs" "$log.text"
}

@test "686 under the translator runs the self-test" { boots 686 bt 120 selftest; }
@test "686-pae under the translator runs the self-test" { boots 686-pae bt 120 selftest; }
@test "amd64 under the translator runs the self-test" { boots amd64 bt 200 selftest; }
@test "amd64 under the interpreter comes up" { boots amd64 interp 300 smoke; }

@test "686 on two processors under the interpreter comes up" { boots 686 interp 300 smoke 2; }
@test "686 on four processors under the translator comes up" { boots 686 bt 120 smoke 4; }
@test "686-pae on eight processors under the translator comes up" { boots 686-pae bt 120 smoke 8; }
@test "amd64 on two processors under the translator runs the self-test" { boots amd64 bt 200 selftest 2; }

# 30 TB of address space: 8 windows of the kernel's half take 64 TiB or more.
@test "amd64 on eight processors that have no room for all windows comes up" {
	guest amd64
	(
		ulimit -v 30000000000
		LIMIT=210 vmrun run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/initramfs.gz" \
			--append "console=ttyS0 panic=1 ring1=smoke" --no-reboot --accel bt \
			--timeout 200 --cpus 8 --stats >"$BATS_TEST_TMPDIR/console" 2>"$BATS_TEST_TMPDIR/stats"
	)
	grep -q 'RING1 GUEST UP' "$BATS_TEST_TMPDIR/console"
	cat "$BATS_TEST_TMPDIR/stats"
	# All do without that half's, once; no vCPU makes sites soft that others have windows for.
	grep -qE '^windows_refused +1$' "$BATS_TEST_TMPDIR/stats"
	awk '$1 == "sites_softened" { exit $2 > 1000 }' "$BATS_TEST_TMPDIR/stats"
}

# threads FLAVOUR CPUS SECONDS: a stock kernel's threads on so many processors check
# themselves: atomics, code that others write, address spaces that change, signals, FPU.
threads() {
	local log=$BATS_TEST_TMPDIR/console bits=32
	guest "$1"
	[ "$1" != amd64 ] || bits=64
	make -s soak-tools BUILD="${BUILD:-build}"
	tests/guest/mkinitramfs "$BATS_TEST_TMPDIR/initramfs.gz" \
		"${BUILD:-build}/soak/threads$bits=bin/threads"
	LIMIT=190 vmrun run --kernel "$guest" --initrd "$BATS_TEST_TMPDIR/initramfs.gz" \
		--append "console=ttyS0 panic=1 ring1=run=threads threads=$3" --no-reboot \
		--accel bt --timeout 180 --cpus "$2" >"$log" || { echo "exit $?"; tail -n 30 "$log"; return 1; }
	grep -a threads: "$log" | tail -n 30
	grep -qa 'THREADS OK' "$log"
}

@test "686-pae on two processors under the translator: threads check themselves" { threads 686-pae 2 8; }
@test "amd64 on four processors under the translator: threads check themselves" { threads amd64 4 8; }

# No ACPI, no APIC: the 8254 ticks, and the reset goes through the BIOS' entry.
@test "686 without ACPI and APICs comes up and resets" {
	guest 686
	run -0 vmrun run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/initramfs.gz" \
		--append "console=ttyS0 panic=1 acpi=off noapic nolapic reboot=b ring1=reboot" \
		--no-reboot --accel bt --timeout 120
	assert_line --partial 'RING1 GUEST UP'
	assert_line --partial 'reboot: Restarting system'
}

@test "make demo SMOKE=1 boots to the end without a terminal" {
	run -0 make -s demo SMOKE=1 BIN="${BIN:-bin}" BUILD="${BUILD:-build}"
	assert_line --regexp '^Linux ring1 6\.[^ ]+-686 '
	assert_line --regexp '^RING1 GUEST UP'
	assert_line --regexp '^demo: booted in [0-9.]+ s'
}

@test "the demo without a terminal says so" {
	guest 686
	run -2 --separate-stderr share/demo/run </dev/null
	assert_equal "$stderr" "demo: standard input is no terminal (make demo SMOKE=1 needs none)"
}

# More than Linux's interrupt handler takes in one go: 512 turns of 256 bytes.
@test "a large file piped into the guest's shell arrives whole" {
	guest 686
	# The first lines may come before the port is opened.
	{
		printf '\n%.0s' {1..40}
		echo 'stty -echo; head -c 200000 >/tmp/x; md5sum /tmp/x; poweroff -f'
		yes 'a line of a file that is piped into a shell' | head -c 200000
		echo
	} >"$BATS_TEST_TMPDIR/typed"
	run -0 timeout 120 "$VMRUN" run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/initramfs.gz" \
		--append "console=ttyS0 quiet" --accel bt <"$BATS_TEST_TMPDIR/typed"
	assert_output --partial "$(tail -n +42 "$BATS_TEST_TMPDIR/typed" | head -c 200000 | md5sum |
		cut -d ' ' -f 1)  /tmp/x"
}
