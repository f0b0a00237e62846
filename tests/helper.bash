# Loaded by the bats files.
# shellcheck shell=bash
bats_require_minimum_version 1.5.0
bats_load_library bats-support
bats_load_library bats-assert

cd "$BATS_TEST_DIRNAME/.." || exit 1
VMRUN=$(realpath "${BIN:-bin}/vmrun")
VMDK=$(realpath "${BIN:-bin}/vmdk")

# Machines of tests are not among those of the user.
export RING1_RUN=${BATS_RUN_TMPDIR-/tmp}/run

# vmrun ARG...: for at most LIMIT seconds, through the command in AS.
AS=()
vmrun() { "${AS[@]}" timeout -k 5 "${LIMIT:-60}" "$VMRUN" "$@" </dev/null; }
vmdk() { "${AS[@]}" timeout -k 5 "${LIMIT:-60}" "$VMDK" "$@" </dev/null; }

# The command that fails() runs: a test of another sets it before.
TOOL=${TOOL:-vmrun}

# From here to the end of the test the commands run as another user, who owns nothing;
# $other is a folder that this user can read.
as_other() {
	command -v setpriv >/dev/null || skip "no setpriv"
	other=$(mktemp -d /tmp/vmrun-test.XXXXXX)
	chmod 755 "$other"
	install -m 755 "$VMRUN" "$VMDK" "$other"
	install -d -o 65534 -m 700 "$other/run"
	VMRUN=$other/vmrun VMDK=$other/vmdk RING1_RUN=$other/run
	AS=(setpriv --reuid 65534 --regid 65534 --clear-groups)
}

# mounts: the test needs them; root in a container may be without.
mounts() {
	[ "$(id -u)" -eq 0 ] || skip "not root"
	unshare -m true 2>/dev/null || skip "no mounts here"
}

# small SIZE: $small is a file system of that size, to the end of the test.
small() {
	mounts
	mkdir "$BATS_TEST_TMPDIR/small"
	mount -t tmpfs -o size="$1" none "$BATS_TEST_TMPDIR/small"
	small=$BATS_TEST_TMPDIR/small
}

teardown() {
	[ -z "${small-}" ] || umount "$small"
	[ -z "${other-}" ] || rm -rf "$other"
}

# fails CODE PATTERN ARG...: $TOOL ARG... exits with CODE, prints nothing but
# one line on stderr, and that line matches the extended regular expression.
fails() {
	local code=$1 pattern=$2
	shift 2
	run "-$code" --separate-stderr "$TOOL" "$@"
	assert_output ''
	# shellcheck disable=SC2154
	assert_equal "${#stderr_lines[@]}" 1
	assert_regex "${stderr_lines[0]}" "^$TOOL: $pattern\$"
}

# needs PROGRAM: what ./setup installs is there; without it there is no test to pass.
needs() { command -v "$1" >/dev/null || { echo "no $1: see ./setup --check"; return 1; }; }

# guest WHAT...: the fetched guest's path in $guest.
guest() {
	# shellcheck disable=SC2034
	guest=$(tests/guest/fetch "$@" 2>"$BATS_TEST_TMPDIR/fetch") || {
		cat "$BATS_TEST_TMPDIR/fetch"
		return 1
	}
}
