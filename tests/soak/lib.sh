# Shared by the soak's steps, which are run at the top of the source tree.
# shellcheck shell=sh
#
#	SOAK_SCALE	what part of the full length is wanted (1; 0.1 for a look)
#	SOAK_LOGS	where logs are kept (build/soak)
# A step prints PASS or FAIL and a sentence for each thing that it tried, and
# exits 1 if anything failed, 77 if it could not be tried.

# shellcheck source=tests/bench/lib.sh
. tests/bench/lib.sh
: "${SOAK_SCALE:=1}" "${SOAK_LOGS:=$BUILD/soak}"
mkdir -p "$SOAK_LOGS"
make -s bench-tools || exit 1

failed=0

pass() { echo "PASS: $*"; }
fail() { echo "FAIL: $*"; failed=1; }
skip() { echo "SKIP: $*"; exit 77; }

# scaled N: N times SOAK_SCALE, at least 1.
scaled()
{
	awk -v n="$1" -v s="$SOAK_SCALE" 'BEGIN { v = int(n * s + 0.5); print v < 1 ? 1 : v }'
}

# need ENGINE [CPUS]: skip the step when the engine cannot be tried here, or KVM not
# with that many virtual CPUs.
need()
{
	case $1 in
	tcg) command -v qemu-system-i386 >/dev/null || skip "no qemu-system-i386" ;;
	*) [ -x "$BIN/vmrun" ] || skip "no $BIN/vmrun" ;;
	esac
	[ "${2:-1}" -gt 1 ] || return 0
	# a machine that ends at once, with 1; what the engine refuses ends with 3
	ne_says=$("$BIN/vmrun" run --accel "$1" --cpus "$2" --serial none \
		--bios "$BUILD/tests/guest/triple.rom" --timeout 10 2>&1 </dev/null)
	[ $? -eq 3 ] || return 0
	# Only a host's KVM may have less than vmrun has.
	[ "$1" != kvm ] || skip "$ne_says"
	fail "$ne_says"
	exit 1
}

# sick LOG: what a kernel says when it is not well; prints the first such line.
sick()
{
	grep -E -m1 'BUG:|Oops|Call Trace|Kernel panic|rcu.*(stall|detected)|soft lockup|hung task|blocked for more than|WARNING: CPU|general protection|double fault|divide error|invalid opcode|segfault|traps:|Unknown interrupt|nobody cared|spurious|Clocksource.*unstable|clocksource.*skewed' "$1"
}

# seconds LOG: how long the command took, wall and CPU.
seconds()
{
	awk '$3 == "stamp:" { printf "%.1f s, %.1f s of CPU", $1, $2 }' "$1"
}
