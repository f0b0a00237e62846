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
	if [ $rc -ne "${WANT:-$PASS}" ]; then
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

@test "phases: told stores become fast again, patched code is interpreted meanwhile" {
	guest phases
	run_guest bt "$GUESTS/phases.rom" --stats
	# A unit softened in the first phase has had its windows back in the second.
	for what in sites_softened units_retried steps_patched; do
		grep "^$what " "$BATS_TEST_TMPDIR/err" | grep -v " 0$"
	done
	# Some thousand patches, far fewer units.
	[ "$(awk '$1 == "units" { print $2 }' "$BATS_TEST_TMPDIR/err")" -lt 600 ]
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

@test "icalls: indirect jumps with other targets, other code, other mappings" {
	guest icalls
	run_guest bt "$GUESTS/icalls.rom" --stats
	for what in icache_entries icaches_closed exits_icache; do
		grep "^$what " "$BATS_TEST_TMPDIR/err" | grep -v " 0$"
	done
}

@test "straddle: loops over two pages stay in translated code" {
	guest straddle
	run_guest bt "$GUESTS/straddle.rom" --stats
	[ "$(awk '$1 == "exits_link" { print $2 }' "$BATS_TEST_TMPDIR/err")" -lt 20000 ]
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

@test "real: real mode, exceptions through the vectors, unreal mode" {
	guest real
}

@test "shadow: PAM leads to ROM and RAM: data, code, code that switches itself" {
	guest shadow
	guest shadow_paging
}

@test "decimal: adjustments over all inputs" {
	guest decimal
}

@test "debug: single steps, breakpoints on code, data and ports" {
	guest debug
}

@test "interrupts: 8259 and 8254, HLT, STI and MOV SS shadows, NMI" {
	guest interrupts
}

@test "newer: XCR0, XSAVE, RDTSCP, RDPID, PKRU, SYSENTER.. as offered" {
	guest newer
}

@test "fpu: x87 and SSE exceptions and their order, FNSAVE, FXSAVE, MMX" {
	guest fpu
}

@test "vmware: the backdoor at every privilege level" {
	guest vmware
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
	guest long
}

@test "features64: SMEP, SMAP, UMIP, XSAVE, SYSCALL by vendor, as offered" {
	guest features64
	run_guest bt-verify "$GUESTS/features64.rom" --verify
	same interp bt-verify
}

@test "pcid64: PCIDs and INVPCID, as offered" {
	guest pcid64
}

@test "state64: what 64-bit code leaves at either privilege level, and exceptions" {
	guest state64
}

@test "isolate64: every kind of access to every kind of 64-bit address" {
	guest isolate64
	run_guest bt-verify "$GUESTS/isolate64.rom" --verify
	same interp bt-verify
}

@test "maps64: PML4 entries under hot code, address spaces, jumps into instructions" {
	guest maps64
}

@test "loops64: registers at faults in loops that keep addresses in registers" {
	guest loops64
}

@test "spread64: address spaces that no window can hold are not tried again and again" {
	guest spread64
	run_guest bt "$GUESTS/spread64.rom" --stats
	# For each of the two levels, and again after a second each.
	[ "$(awk '$1 == "windows_refused" { print $2 }' "$BATS_TEST_TMPDIR/err")" -lt 50 ]
}

@test "integers64: 64-bit integer code, compatibility mode" {
	guest integers64
}

# What /dev/kvm can do here: all (it passes the probe of --accel auto), few (real mode,
# integers: it emulates), none.
kvm_can() {
	"$VMRUN" run --accel auto -v --bios "$GUESTS/real.rom" --memory 64M --debug-exit \
		--serial none --timeout 60 </dev/null 2>"$BATS_TEST_TMPDIR/auto"
	if grep -q 'accel: kvm$' "$BATS_TEST_TMPDIR/auto"; then
		echo all
	elif (run_guest kvm "$GUESTS/real.rom") >/dev/null; then
		echo few
	else
		echo none
	fi
}

# kvm_guest NAME [all]: all: only where KVM runs everything
kvm_guest() {
	local can
	can=$(kvm_can)
	[ "$can" != none ] || skip "no usable /dev/kvm"
	[ "$can" = all ] || [ "${2-few}" = few ] ||
		skip "this /dev/kvm only emulates: no paging, no CPL 3, no x87"
	run_guest interp "$GUESTS/$1.rom"
	run_guest kvm "$GUESTS/$1.rom"
	same interp kvm
}

everywhere() {
	local form
	run_guest interp "$GUESTS/$1.rom" --cpus 4
	for form in soft window mixed; do
		run_guest bt-$form "$GUESTS/$1.rom" --cpus 4 --bt-form $form
	done
}

@test "smp: four processors: INIT, SIPI, IPIs, x2APIC, LOCK, x86-TSO, patched code" {
	everywhere smp
}

@test "smp: four processors with paging: LOCK across pages apart, A and D, shoot-downs" {
	everywhere smp_paging
}

@test "smp64: four processors in long mode: LOCK, x86-TSO, code, A and D, shoot-downs" {
	everywhere smp64
}

@test "smp: PAM under code that others execute" {
	everywhere shadow_smp
}

@test "kvm: four processors" {
	local can
	can=$(kvm_can)
	[ "$can" != none ] || skip "no usable /dev/kvm"
	run_guest kvm "$GUESTS/shadow_smp.rom" --cpus 4
	[ "$can" = all ] || run_guest kvm "$GUESTS/smp_emulated.rom" --cpus 4
	[ "$can" = all ] || return 0
	run_guest kvm "$GUESTS/smp.rom" --cpus 4
	run_guest kvm "$GUESTS/smp_paging.rom" --cpus 4
	run_guest kvm "$GUESTS/smp64.rom" --cpus 4
}

@test "kvm: real mode" { kvm_guest real; }
@test "kvm: shadow RAM" { kvm_guest shadow; }
@test "kvm: shadow RAM with paging" { kvm_guest shadow_paging all; }
@test "kvm: 64-bit integers" { kvm_guest integers64; }
@test "kvm: long mode" { kvm_guest long all; }
@test "kvm: PCIDs" { kvm_guest pcid64 all; }
@test "kvm: final states of 64-bit code" { kvm_guest state64 all; }
@test "kvm: final states of 64-bit integer code" { kvm_guest state64_emulated; }
@test "kvm: 64-bit features" { kvm_guest features64 all; }
@test "kvm: 64-bit addresses" { kvm_guest isolate64 all; }
@test "kvm: PML4 entries that change" { kvm_guest maps64 all; }
@test "kvm: exceptions" { kvm_guest exceptions all; }
@test "kvm: paging" { kvm_guest paging all; }
@test "kvm: self-modifying code" { kvm_guest smc all; }
@test "kvm: indirect jumps" { kvm_guest icalls all; }
@test "kvm: string instructions" { kvm_guest strings all; }
@test "kvm: sensitive instructions" { kvm_guest sensitive all; }
@test "kvm: segments" { kvm_guest segments all; }
@test "kvm: virtual-8086 mode" { kvm_guest v86 all; }
@test "kvm: debug registers" { kvm_guest debug all; }
@test "kvm: interrupts" { kvm_guest interrupts all; }
@test "kvm: newer instructions" { kvm_guest newer all; }
@test "kvm: x87 and SSE" { kvm_guest fpu all; }
@test "kvm: task switches" { kvm_guest tasks all; }

# crash ENGINE: exit code 1, the registers on stderr
crash() {
	WANT=1 run_guest "$1" "$GUESTS/triple.rom"
	grep -q '^about to crash' "$BATS_TEST_TMPDIR/$1"
	grep -q 'triple fault' "$BATS_TEST_TMPDIR/err"
	grep -q '^eax ' "$BATS_TEST_TMPDIR/err"
	grep -q 'ud2' "$BATS_TEST_TMPDIR/err"
}

@test "a triple fault ends vmrun with 1, registers and disassembly" {
	crash interp
	crash bt
}

# ends ENGINE: what another processor than the first one does ends the machine
ends() {
	WANT=1 run_guest "$1" "$GUESTS/smp_end.rom" --cpus 2
	grep -q 'triple fault' "$BATS_TEST_TMPDIR/err"
	grep -qx 'cpu 0:' "$BATS_TEST_TMPDIR/err"
	grep -qx 'cpu 1, shut down:' "$BATS_TEST_TMPDIR/err"
	[ "$(grep -c '^eax ' "$BATS_TEST_TMPDIR/err")" = 2 ]
	grep -q 'ud2' "$BATS_TEST_TMPDIR/err"
	WANT=$((0x55 << 1 | 1)) run_guest "$1" "$GUESTS/smp_end.rom" --cpus 3
	WANT=0 run_guest "$1" "$GUESTS/smp_end.rom" --cpus 4
	# Resets, one after the other.
	run -124 timeout 60 "$VMRUN" run --bios "$GUESTS/smp_end.rom" --cpus 4 --accel "$1" \
		--serial none --timeout 0.5
	# With all of them busy or asleep: the time, a signal.
	WANT=124 run_guest "$1" "$GUESTS/smp_end.rom" --cpus 1 --timeout 0.3
	"$VMRUN" run --bios "$GUESTS/smp_end.rom" --cpus 8 --accel "$1" --serial none -v \
		</dev/null 2>"$BATS_TEST_TMPDIR/err" &
	local pid=$!
	while ! grep -q accel: "$BATS_TEST_TMPDIR/err"; do kill -0 $pid; done
	kill -TERM $pid
	wait $pid
}

@test "smp: the machine ends by what any of its processors does" {
	ends interp
	ends bt
}

@test "a kernel that was changed ends the machine at its reset" {
	local k=$BATS_TEST_TMPDIR/kernel rc=0
	cp "$GUESTS/smp_end.elf" "$k"
	"$VMRUN" run --kernel "$k" --cpus 4 --accel bt --serial none -v --timeout 60 \
		</dev/null 2>"$BATS_TEST_TMPDIR/err" &
	local pid=$!
	while ! grep -q accel: "$BATS_TEST_TMPDIR/err"; do kill -0 $pid; done
	sleep 0.5	# some resets
	kill -0 $pid
	printf x >>"$k"
	wait $pid || rc=$?
	[ $rc = 1 ]
	grep -qx "vmrun: run: $k: it was changed since the machine was started; start it anew" \
		"$BATS_TEST_TMPDIR/err"
}

@test "kvm: the machine ends by what any of its processors does" {
	[ "$(kvm_can)" != none ] || skip "no usable /dev/kvm"
	ends kvm
}

@test "kvm: a triple fault" {
	[ "$(kvm_can)" != none ] || skip "no usable /dev/kvm"
	crash kvm
}

@test "bios: a Multiboot kernel may go back to real mode and call the BIOS" {
	run_guest interp "$GUESTS/bios.elf"
	run_guest bt "$GUESTS/bios.elf"
}

@test "a guest started as a Multiboot kernel prints what it prints as a ROM" {
	run_guest interp "$GUESTS/exceptions.rom"
	mv "$BATS_TEST_TMPDIR/interp" "$BATS_TEST_TMPDIR/rom"
	run_guest interp "$GUESTS/exceptions.elf"
	same interp rom
}
