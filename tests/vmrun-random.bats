#!/usr/bin/env bats
# Guests of random but valid code (tests/guest/random.c), with page faults, accesses
# across pages and code that changes itself: the interpreter and the translator in
# each form must print the same digests.  RING1_SEEDS="FIRST LAST" chooses the seeds.

bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	export VMRUN=${BIN:-bin}/vmrun GUESTS=${BUILD:-build}/tests/guest
	[ -x "$VMRUN" ] || { echo "no $VMRUN: run make" >&2; return 1; }
}

# run_one ENGINE [OPTION...]: 0 and the output in $BATS_TEST_TMPDIR/ENGINE
run_one() {
	local engine=$1 rc=0
	shift
	timeout 60 "$VMRUN" run --bios "$BATS_TEST_TMPDIR/rom" --memory 16M --serial stdio \
		--debug-exit --timeout 20 --no-reboot --accel "${engine%%-*}" "$@" \
		>"$BATS_TEST_TMPDIR/$engine" 2>"$BATS_TEST_TMPDIR/err" </dev/null || rc=$?
	[ $rc -eq 129 ] && return 0
	echo "$engine: exit $rc"
	tail -n 5 "$BATS_TEST_TMPDIR/err"
	return 1
}

# random OPTIONS
random() {
	local seeds form seed bad=0
	read -ra seeds <<<"${RING1_SEEDS:-1 5}"
	for ((seed = seeds[0]; seed <= seeds[1]; seed++)); do
		"$GUESTS/random" "$seed" "$1" "$GUESTS/random.rom" "$BATS_TEST_TMPDIR/rom"
		run_one interp || { echo "seed $seed, options $1"; bad=1; continue; }
		for form in soft window mixed; do
			if ! run_one bt-$form --bt-form $form ||
				! diff "$BATS_TEST_TMPDIR/interp" "$BATS_TEST_TMPDIR/bt-$form"; then
				echo "bt-$form: seed $seed, options $1"
				bad=1
			fi
		done
	done
	return $bad
}

@test "random code at CPL 3 with page faults" { random -; }
@test "random code with PAE paging" { random p; }
@test "random code at CPL 0" { random k; }
@test "random code without paging" { random u; }
@test "random code with segment bases" { random b; }
@test "random integer code that changes itself" { random v; }
@test "random code that does not change itself" { random sv; }
@test "random 16-bit code in small segments" { random x; }
@test "random 16-bit code without paging" { random xu; }
@test "random code in virtual-8086 mode" { random y; }
@test "random code in virtual-8086 mode that does not change itself" { random sy; }

# noise ENGINE: ROMs of random bytes end in a triple fault or are stopped in time;
# a /dev/kvm that only emulates may also give up on an instruction, which is 1 too.
noise() {
	local seed rc
	for seed in 1 2 3 4 5 6; do
		"$GUESTS/random" $seed z "$GUESTS/random.rom" "$BATS_TEST_TMPDIR/rom"
		rc=0
		timeout 30 "$VMRUN" run --bios "$BATS_TEST_TMPDIR/rom" --memory 16M --serial none \
			--timeout 0.5 --no-reboot --accel "$1" </dev/null 2>"$BATS_TEST_TMPDIR/err" ||
			rc=$?
		# 0: it hit the reset port
		case $rc in
		0 | 1 | 124) ;;
		*) echo "$1: seed $seed: exit $rc"; cat "$BATS_TEST_TMPDIR/err"; return 1 ;;
		esac
	done
}

@test "random bytes as a ROM under the interpreter" { noise interp; }
@test "random bytes as a ROM under the translator" { noise bt; }
@test "random bytes as a ROM under KVM" {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip "no usable /dev/kvm"
	noise kvm
}
