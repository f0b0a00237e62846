#!/usr/bin/env bats
# SCSI disks as others' programs see them, in a stock guest: libiscsi's conformance tests and
# sg3-utils.
# shellcheck disable=SC2154
load helper

# runs PACKAGE TEST [ARG...]: TEST of tests/guest/scsitest, its output in $out.
runs() {
	local package=$1 test=$2 pkg d=$BATS_TEST_TMPDIR
	shift 2
	out=$d/out
	guest 686
	pkg=$(tests/guest/mkpackage i386 "$package" 2>"$d/fetch") || { cat "$d/fetch"; return 1; }
	tests/guest/mkinitramfs "$d/rd" "$(tests/guest/fetch modules-686 | head -n 1)=lib/modules/" \
		tests/guest/load=bin/load tests/guest/scsitest=bin/scsitest
	cat "$pkg" >>"$d/rd"
	vmdk create -s 64M -f sparse "$d/x.vmdk"
	LIMIT=200 vmrun run --kernel "$guest" --initrd "$d/rd" --memory 512M --accel bt --no-reboot \
		--timeout 180 --append "console=ttyS0 quiet panic=1 ring1=run=scsitest test=$test $*" \
		--disk "$d/x.vmdk,type=pvscsi" >"$d/console" 2>&1 || { tail -n 40 "$d/console"; return 1; }
	tr -d '\r' <"$d/console" >"$out"
}

# WriteSame16's Unmap reads 32 MiB in one command, which the guest's kernel does not take.
@test "libiscsi's conformance tests pass" {
	runs libiscsi-bin conformance
	grep -E '^ +(suites|tests|asserts) ' "$out"
	run -0 grep -c 'passed$' "$out"
	[ "$output" -gt 220 ]
	awk '/^Suite:/ { s = $2 } /^  Test:/ { t = $2 } /^FAILED$|\.\.\.FAILED$/ { print s, t }' "$out" >"$out.failed"
	run -0 cat "$out.failed"
	assert_output 'WriteSame16 Unmap'
}

@test "sg3-utils find what they expect, and what is refused is refused" {
	runs sg3-utils tools
	run ! grep 'SG FAILED' "$out"
	grep -qx 'SG END' "$out"
	grep -q 'Persist Through Power Loss Capable(PTPL_C): 0' "$out"
	grep -q 'lbpme=1, lbprz=1' "$out"
	grep -q 'blocks: *160  mapped' "$out"
	grep -q 'blocks: *130976  deallocated' "$out"
	grep -q 'Provisioning type: 2 (thin provisioned)' "$out"
}
