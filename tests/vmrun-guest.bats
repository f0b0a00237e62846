#!/usr/bin/env bats
# Bare-metal guests (tests/guest) under every engine: each checks itself against
# the processor manual, and all engines must print the same.  RING1_ORACLE=1 also
# runs them under QEMU's translator and shows (only shows) where that differs.

bats_require_minimum_version 1.5.0

PASS=129	# (0x40 << 1) | 1

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	export VMRUN=${BIN:-bin}/vmrun GUESTS=${BUILD:-build}/tests/guest
	[ -x "$VMRUN" ] || { echo "no $VMRUN: run make" >&2; return 1; }
}

# run_guest ENGINE IMAGE [OPTION...]: output in $BATS_TEST_TMPDIR/ENGINE
run_guest() {
	local engine=$1 image=$2 rc=0 how=--bios
	shift 2
	case $image in *.elf) how=--kernel ;; esac
	timeout 90 "$VMRUN" run $how "$image" --memory 64M --serial stdio --debug-exit \
		--timeout 60 --no-reboot --accel "${engine%%-*}" "$@" \
		>"$BATS_TEST_TMPDIR/$engine" 2>"$BATS_TEST_TMPDIR/err" </dev/null || rc=$?
	if [ $rc -ne ${WANT:-$PASS} ]; then
		echo "$engine: exit $rc, wanted ${WANT:-$PASS}"
		grep -B1 -A3 -E 'WANTED|unexpected' "$BATS_TEST_TMPDIR/$engine"
		cat "$BATS_TEST_TMPDIR/err"
		return 1
	fi
}

same() {
	diff "$BATS_TEST_TMPDIR/$1" "$BATS_TEST_TMPDIR/$2" ||
		{ echo "$1 and $2 differ"; return 1; }
}

oracle() {
	[ -n "${RING1_ORACLE-}" ] && command -v qemu-system-i386 >/dev/null || return 0
	timeout 60 qemu-system-i386 -accel tcg -cpu max -m 64 -bios "$1" -display none \
		-serial stdio -monitor none -device isa-debug-exit,iobase=0xf4 \
		-no-reboot </dev/null >"$BATS_TEST_TMPDIR/qemu" 2>/dev/null
	diff "$BATS_TEST_TMPDIR/interp" "$BATS_TEST_TMPDIR/qemu" | sed "s/^/# /" >&3
}

# The guest under the interpreter and the translator in each of its forms.
guest() {
	run_guest interp "$GUESTS/$1.rom"
	oracle "$GUESTS/$1.rom"
	local form
	for form in soft window mixed; do
		run_guest bt-$form "$GUESTS/$1.rom" --bt-form $form
		same interp bt-$form
	done
}

@test "exceptions: vectors, error codes, order, double fault by task gate" {
	guest exceptions
}

@test "paging: faults, A and D, large pages, NX, SMEP, the TLB, 2-level and PAE" {
	guest paging
}

@test "smc: code that changes itself and code that is changed" {
	guest smc
}

@test "strings: faults in the middle, directions, wrap-around, limits" {
	guest strings
}

@test "sensitive: unprivileged instructions show the guest its own state" {
	guest sensitive
}

@test "segments: bases, limits, expand-down, 16-bit, call gates, conforming code" {
	guest segments
}

@test "v86: frames, IOPL, what traps, a monitor, paging underneath" {
	guest v86
}

@test "tasks: JMP, CALL, IRET, task gates, faults of the new task, CR3, 16-bit TSS" {
	guest tasks
}

# Without a comparison: what is offered may differ.
guest_alone() {
	run_guest interp "$GUESTS/$1.rom"
	run_guest bt "$GUESTS/$1.rom"
}

@test "smap: SMAP where it is offered, #UD where not" {
	guest_alone smap
}

@test "long: 64-bit interrupts, canonical addresses, paging, SYSCALL, compatibility mode" {
	guest_alone long
}

@test "a guest started as a Multiboot kernel prints what it prints as a ROM" {
	run_guest interp "$GUESTS/exceptions.rom"
	mv "$BATS_TEST_TMPDIR/interp" "$BATS_TEST_TMPDIR/rom"
	run_guest interp "$GUESTS/exceptions.elf"
	same interp rom
}
