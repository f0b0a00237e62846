#!/usr/bin/env bats
# Raw device mappings in a machine.  There is seldom a SCSI disk that a test may write to:
# a preloaded model (tests/shim/sgio.c) answers SG_IO on a file.
# shellcheck disable=SC2154,SC2034
load helper

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	truncate -s 64M dev
	export SGIO_FILE=$PWD/dev SGIO_LOG=$PWD/log
	shim=$(realpath "$BATS_TEST_DIRNAME/../${BUILD:-build}/tests/shim/sgio.so")
	preload=(env LD_PRELOAD="$shim" ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0")
	cd "$BATS_TEST_DIRNAME/.." || return 1
	kernel=${BUILD:-build}/tests/guest/exceptions.elf
	d=$BATS_TEST_TMPDIR
}

teardown() {
	[ -z "${vm-}" ] || kill -9 "$vm" 2>/dev/null || true
	[ -z "${loop-}" ] || { umount "$d/mnt" || true; losetup -d "$loop"; } 2>/dev/null
}

# in_guest TEST ARG...: the guest's test of a disk.
in_guest() {
	local test=$1
	shift
	guest 686
	[ -f "$BATS_FILE_TMPDIR/686.gz" ] || tests/guest/mkinitramfs "$BATS_FILE_TMPDIR/686.gz" \
		"$(tests/guest/fetch modules-686 | head -n 1)=lib/modules/" \
		tests/guest/load=bin/load tests/guest/disktest=bin/disktest
	LIMIT=150 vmrun run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/686.gz" \
		--append "console=ttyS0 quiet panic=1 ring1=run=disktest $test" \
		--no-reboot --accel bt --timeout 140 --allow-outside "$@" >"$d/console" 2>&1 ||
		{ echo "exit $?"; tail -n 40 "$d/console"; return 1; }
}

@test "what cannot be an RDM is refused, and it is said why" {
	vmdk create --rdm "$d/dev" "$d/v.vmdk"
	vmdk create --rdm "$d/dev" --physical "$d/p.vmdk"
	local run=(run --kernel "$kernel" --accel interp --serial none)
	fails 5 'run: --disk: .*rdm.vmdk" is or passes a symbolic link.*' "${run[@]}" \
		--disk "$d/v.vmdk"
	fails 3 'run: --disk: .*is not a SCSI disk: a physical RDM needs one, a virtual one takes any block device' \
		"${run[@]}" --allow-outside --disk "$d/p.vmdk"
	AS=("${preload[@]}" SGIO_TYPE=5)
	fails 3 'run: --disk: .*is a SCSI device of type 5, not a disk' "${run[@]}" \
		--allow-outside --disk "$d/p.vmdk"
	AS=("${preload[@]}")
	fails 3 'run: ide: .*is a physical RDM, which takes SCSI commands: an IDE controller sends none' \
		"${run[@]}" --allow-outside --disk "$d/p.vmdk,controller=ide0:0"
}

@test "physical: a guest's file system goes to the device by SCSI commands" {
	vmdk create --rdm "$d/dev" --physical "$d/p.vmdk"
	AS=("${preload[@]}")
	in_guest "adapter=lsilogic trim=no" --disk "$d/p.vmdk,type=lsilogic"
	grep -a 'DISK /dev/sda 131072 sectors SGIO model' "$d/console"
	grep -a 'DISK OK' "$d/console" || { tail -n 40 "$d/console"; return 1; }
	e2fsck -fn "$d/dev"
	for op in 12 9e 28 2a 35; do grep -qx "$op" "$d/log"; done
	run ! grep -x a0 "$d/log"	# REPORT LUNS
}

@test "physical: the device's sense data reach the guest" {
	vmdk create --rdm "$d/dev" --physical "$d/p.vmdk"
	AS=("${preload[@]}" SGIO_BAD=3000)
	in_guest "adapter=pvscsi test=bad block=3000" --disk "$d/p.vmdk,type=pvscsi"
	grep -a 'DISK OK' "$d/console" || { tail -n 40 "$d/console"; return 1; }
}

@test "physical: one comes and goes while the machine runs" {
	vmdk create --rdm "$d/dev" --physical "$d/p.vmdk"
	guest 686
	export RING1_RUN=$d/run
	"${preload[@]}" "$VMRUN" run --kernel "$guest" --accel bt --timeout 60 --controller scsi0=pvscsi \
		--append "console=ttyS0 panic=0" </dev/null >"$d/console" 2>&1 3>&- &
	vm=$!
	until vmrun disk list $vm 2>/dev/null; do
		kill -0 $vm
		sleep 0.1
	done
	fails 5 'disk: .*rdmp.vmdk" is or passes a symbolic link.*' disk add $vm "$d/p.vmdk"
	vmrun disk add --allow-outside $vm "$d/p.vmdk"
	fails 6 'disk: .*p.vmdk.* locked .*' disk add --allow-outside $vm "$d/p.vmdk"
	vmrun disk remove $vm "$d/p.vmdk"
	[ ! -e "$d/p.vmdk.lck" ]
	grep -qx 12 "$d/log"
	kill $vm
	wait $vm
}

@test "virtual: a loop device that nobody else may write to meanwhile" {
	[ "$(id -u)" -eq 0 ] || skip "not root: no loop device"
	loop=$(losetup -f --show "$d/dev" 2>&1) || skip "no loop device: $loop"
	vmdk create --rdm "$loop" "$d/v.vmdk"
	in_guest "adapter=pvscsi" --disk "$d/v.vmdk,type=pvscsi"
	grep -a 'DISK OK' "$d/console" || { tail -n 40 "$d/console"; return 1; }
	e2fsck -fn "$loop"
	mkdir "$d/mnt"
	mount "$loop" "$d/mnt" || skip "no mount here"
	fails 6 "run: --disk: .*: the device is in use: mounted, .*" run --kernel "$kernel" \
		--accel interp --serial none --allow-outside --disk "$d/v.vmdk"
}

@test "physical: a real SCSI disk, all of which is overwritten" {
	[ -n "${RING1_SCSI_DISK-}" ] || skip "RING1_SCSI_DISK names no disk that may be overwritten"
	unset SGIO_FILE
	vmdk create --rdm "$RING1_SCSI_DISK" --physical "$d/p.vmdk"
	in_guest "adapter=pvscsi" --disk "$d/p.vmdk,type=pvscsi"
	grep -a 'DISK OK' "$d/console" || { tail -n 40 "$d/console"; return 1; }
	e2fsck -fn "$RING1_SCSI_DISK"
}
