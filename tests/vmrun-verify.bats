#!/usr/bin/env bats
# Bare-metal guests in lock-step with the interpreter, in every form.

bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	export VMRUN=${BIN:-bin}/vmrun GUESTS=${BUILD:-build}/tests/guest
	[ -x "$VMRUN" ] || { echo "no $VMRUN: run make" >&2; return 1; }
}

# verified GUEST: in each form it passes, and units were compared
verified() {
	local form
	for form in soft window mixed; do
		run -129 --separate-stderr timeout 60 "$VMRUN" run --accel bt --verify \
			--bt-form $form --stats --kernel "$GUESTS/$1.elf" --memory 32M \
			--serial none --debug-exit --timeout 50 </dev/null
		# shellcheck disable=SC2154 # set by run --separate-stderr
		[[ $stderr =~ verified_insns\ +[1-9] ]]
	done
}

@test "lock-step: exceptions" { verified exceptions; }
@test "lock-step: floating point" { verified fpu; }
@test "lock-step: 64-bit integers" { verified integers64; }
@test "lock-step: long mode" { verified long; }
@test "lock-step: page tables that change" { verified paging; }
@test "lock-step: segments and 16-bit code" { verified segments; }
@test "lock-step: self-modifying code" { verified smc; }
@test "lock-step: string instructions" { verified strings; }
