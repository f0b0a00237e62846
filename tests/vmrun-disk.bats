#!/usr/bin/env bats
# Disks of the machine: what --disk and --cdrom take, and stock drivers on each adapter.
# shellcheck disable=SC2154
load helper

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	RING1_GUESTS=${RING1_GUESTS-} tests/guest/fetch modules-686 >/dev/null 2>&1 || return 0
	tests/guest/mkinitramfs "$BATS_FILE_TMPDIR/686.gz" \
		"$(tests/guest/fetch modules-686 | head -n 1)=lib/modules/" \
		tests/guest/load=bin/load tests/guest/disktest=bin/disktest
}

# A kernel that is never run.
kernel=${BUILD:-build}/tests/guest/exceptions.elf

@test "wrong --disk and --cdrom are said in one line" {
	local d=$BATS_TEST_TMPDIR/d k=(run --kernel "$kernel")
	truncate -s 1M "$d"
	fails 2 'run: --disk: its argument is empty' "${k[@]}" --disk ''
	fails 2 'run: --disk: the name of the file is missing' "${k[@]}" --disk ,type=pvscsi
	fails 2 'run: --disk: x: not one of lsilogic, buslogic, lsisas1068 and pvscsi' \
		"${k[@]}" --disk "$d,type=x"
	fails 2 'run: --disk: sata0:0: not one of ide0:0 and scsi0:0' "${k[@]}" \
		--disk "$d,controller=sata0:0"
	fails 2 'run: --disk: scsi0: not a place like scsi0:1' "${k[@]}" --disk "$d,controller=scsi0"
	fails 2 'run: --disk: scsi4:0: scsi0:0 is the first, scsi3:15 the last' "${k[@]}" \
		--disk "$d,controller=scsi4:0"
	fails 2 'run: --disk: ide1:2: ide0:0 is the first, ide1:1 the last' "${k[@]}" \
		--disk "$d,controller=ide1:2"
	fails 2 "run: --disk: scsi0:7: 7 is the adapter's own" "${k[@]}" --disk "$d,controller=scsi0:7"
	fails 2 'run: --disk: type: only of SCSI adapters' "${k[@]}" \
		--disk "$d,controller=ide0:0,type=pvscsi"
	fails 2 'run: --cdrom: type: only of SCSI adapters; without controller=scsi0:0 it is an IDE drive' \
		"${k[@]}" --cdrom "$d,type=pvscsi"
	fails 2 "run: --disk: its place is taken by .*/d" "${k[@]}" --disk "$d,controller=scsi0:3" \
		--disk "$d,controller=scsi0:3"
	fails 2 'run: --disk: scsi0 is both lsilogic and pvscsi' "${k[@]}" --disk "$d,type=lsilogic" \
		--disk "$d,type=pvscsi"
	fails 2 'run: --disk: x: not one of persistent, .*' "${k[@]}" --disk "$d,mode=x"
	fails 2 'run: --cdrom: mode: not one of controller, type' "${k[@]}" --cdrom "$d,mode=x"
	fails 4 'run: --disk: .*/none: No such file or directory' "${k[@]}" --disk "$BATS_TEST_TMPDIR/none"
	fails 4 'run: --cdrom: .*/none: No such file or directory' "${k[@]}" --cdrom "$BATS_TEST_TMPDIR/none"
}

@test "a disk with snapshots is refused in words that say what to give instead" {
	cd "$BATS_TEST_TMPDIR" || return 1
	local k=(run --kernel "$BATS_TEST_DIRNAME/../$kernel" --accel interp)
	mkdir d
	vmdk create -s 1M d/x.vmdk
	for s in a b; do vmdk snapshot create d/x.vmdk $s; done
	vmdk snapshot revert d/x.vmdk a >/dev/null
	vmdk snapshot create d/x.vmdk c
	# b is a branch; the present state hangs on c.
	assert_equal "$(cd d && echo *.vmdk)" 'x-000001.vmdk x-000002.vmdk x-000003.vmdk x.vmdk'
	for f in x x-000003; do
		fails 1 "run: --disk: d/$f.vmdk: has snapshots, and goes on in x-000002.vmdk: give that \
instead, --disk d/x-000002.vmdk" "${k[@]}" --disk "d/$f.vmdk,controller=ide0:0"
	done
	# Of a machine, as its .vmx says; of one that none says anything about, what there is.
	mv d/x.vmsd list
	fails 1 "run: --disk: d/x.vmdk: others hang on it .*: name a disk on which nothing hangs, \
such as d/x-00000[12].vmdk" "${k[@]}" --disk d/x.vmdk
	printf '%s\n' 'scsi0.present = "TRUE"' 'scsi0:0.present = "TRUE"' \
		'scsi0:0.fileName = "x-000001.vmdk"' >d/vm.vmx
	fails 1 "run: --disk: d/x.vmdk: has snapshots, and goes on in x-000001.vmdk: .*" \
		"${k[@]}" --disk d/x.vmdk
	mv list d/x.vmsd		# two say something
	fails 1 "run: --disk: d/x.vmdk: others hang on it .*" "${k[@]}" --disk d/x.vmdk
}

# disk ADAPTER FLAVOUR ENGINE SECONDS WORDS...: the guest's test of a disk, WORDS added to
# the kernel's command line.  $disk is the disk, $more are keys behind its place.
disk() {
	local adapter=$1 flavour=$2 engine=$3 seconds=$4 log=$BATS_TEST_TMPDIR/console
	shift 4
	case $adapter in
	ide) place=controller=ide0:0 ;;
	*) place=type=$adapter ;;
	esac
	guest "$flavour"
	[ -f "$BATS_FILE_TMPDIR/$flavour.gz" ] || tests/guest/mkinitramfs "$BATS_FILE_TMPDIR/$flavour.gz" \
		"$(tests/guest/fetch "modules-$flavour" | head -n 1)=lib/modules/" \
		tests/guest/load=bin/load tests/guest/disktest=bin/disktest
	LIMIT=$((seconds + 10)) vmrun run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/$flavour.gz" \
		--append "console=ttyS0 quiet panic=1 ring1=run=disktest adapter=$adapter $*" \
		--no-reboot --accel "$engine" --timeout "$seconds" \
		"${cd:---disk}" "$disk,$place$more" >"$log" || { echo "exit $?"; tail -n 40 "$log"; return 1; }
	grep -a DISK "$log"
	grep -qa '^DISK OK' "$log" || { tail -n 60 "$log"; return 1; }
}

# The host agrees: a file system without faults, in it the files that the guest wrote.
checked() {
	local out=$BATS_TEST_TMPDIR/out disk=${1-$disk} i
	e2fsck -fn "$disk"
	mkdir -p "$out"
	debugfs -R "rdump / $out" "$disk" 2>/dev/null
	(cd "$out" && md5sum -c sums)
	for i in {1..4}; do yes "block 3.$i of the test" | head -c 262144; done | cmp - "$out/file3"
}

# uses ADAPTER FLAVOUR ENGINE SECONDS: a new disk, twice, the second time not in the page cache.
uses() {
	disk=$BATS_TEST_TMPDIR/d.img
	truncate -s 200M "$disk"
	disk "$@"
	checked
	dd if="$disk" iflag=nocache count=0 status=none
	disk "$@" test=read
}

@test "pvscsi: 686 makes a file system, and the host finds it whole" { uses pvscsi 686 bt 100; }
@test "lsilogic: 686 makes a file system, and the host finds it whole, without io_uring" {
	RING1_IO=threads uses lsilogic 686 bt 100
}
@test "lsisas1068: amd64 makes a file system, and the host finds it whole" { uses lsisas1068 amd64 bt 150; }
@test "pvscsi: patterns all over a disk of a guest under the interpreter" {
	disk=$BATS_TEST_TMPDIR/d.img
	truncate -s 64M "$disk"
	disk pvscsi 686 interp 300 test=raw
}

@test "buslogic: 686-pae makes a file system, and the host finds it whole" { uses buslogic 686-pae bt 100; }
@test "ide: 686 makes a file system, and the host finds it whole" { uses ide 686 bt 100; }

@test "ide: patterns all over a disk in a 64-bit guest, without DMA" {
	disk=$BATS_TEST_TMPDIR/d.img
	truncate -s 64M "$disk"
	disk ide amd64 bt 100 test=raw libata.dma=0
}

@test "ide: a CD-ROM is read by a stock driver, with and without DMA" {
	disk=$BATS_TEST_TMPDIR/cd.iso cd=--cdrom
	seq 1000000 | head -c 6291456 >"$disk"
	disk ide 686 bt 100 disk=/dev/sr0 test=cd "sum=$(md5sum <"$disk" | cut -d' ' -f1)"
	disk ide 686 bt 100 disk=/dev/sr0 test=cd libata.dma=0 "sum=$(md5sum <"$disk" | cut -d' ' -f1)"
}

# A new sparse VMDK, and what QEMU finds in it (or in $1) as a raw image.
sparse() {
	needs qemu-img
	disk=$BATS_TEST_TMPDIR/d.vmdk
	qemu-img create -q -f vmdk "$disk" 200M
}

qemu_finds() {
	qemu-img check -q "$disk"
	qemu-img convert -q -f vmdk -O raw "${1-$disk}" "$BATS_TEST_TMPDIR/raw"
}

@test "lsilogic: a sparse VMDK that a guest has written is whole for QEMU" {
	sparse
	disk lsilogic 686 bt 100
	qemu_finds
	checked "$BATS_TEST_TMPDIR/raw"
}

@test "what a guest writes to a nonpersistent disk is forgotten, to an undoable one it is kept apart" {
	local sum
	sparse
	sum=$(md5sum "$disk")
	more=,mode=independent-nonpersistent disk pvscsi 686 bt 100
	assert_equal "$(md5sum "$disk")" "$sum"
	assert_equal "$(cd "$BATS_TEST_TMPDIR" && echo d.*)" d.vmdk
	more=,mode=undoable disk pvscsi 686 bt 100
	assert_equal "$(md5sum "$disk")" "$sum"
	qemu_finds "$disk.REDO"
	checked "$BATS_TEST_TMPDIR/raw"
	more=,mode=undoable disk pvscsi 686 bt 100 test=read
	truncate -s 1M "$BATS_TEST_TMPDIR/raw"
	fails 3 'run: --disk: .*/raw: only a VMDK can have a child that takes what is written' \
		run --kernel "$kernel" --disk "$BATS_TEST_TMPDIR/raw,mode=undoable"
}

# Patterns of 256 KiB go to a sparse disk out of order; when 25 were said to be flushed
# vmrun is killed.  Each that was said is there, and the disk is whole and can be used.
@test "kill -9 loses nothing that the guest had flushed" {
	local log=$BATS_TEST_TMPDIR/log last i n=799 pid end=$((SECONDS + 120))
	sparse
	guest 686
	"$VMRUN" run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/686.gz" --append \
		"console=ttyS0 quiet panic=1 ring1=run=disktest adapter=pvscsi test=crash" \
		--accel bt --timeout 120 --disk "$disk,type=pvscsi" </dev/null >"$log" 2>&1 3>&- &
	pid=$!
	until grep -qa 'DISK FLUSHED 25' "$log"; do
		kill -0 $pid && [ $SECONDS -lt $end ] || { tail "$log"; return 1; }
		sleep 0.05
	done
	kill -9 $pid
	wait $pid || true
	last=$(tr -d '\r' <"$log" | sed -n 's/^DISK FLUSHED //p' | tail -n 1)
	qemu_finds
	for ((i = 0; i <= last; i++)); do
		yes "block $i of the test" | head -c 262144 |
			cmp - <(tail -c +$((i * 7 % n * 262144 + 1)) "$BATS_TEST_TMPDIR/raw" | head -c 262144) ||
			{ echo "block $i of $last"; return 1; }
	done
	disk pvscsi 686 bt 100		# nobody holds its lock
}

@test "a guest cannot make a VMDK of its raw disk, a child of others' disks perhaps" {
	for a in pvscsi ide; do
		disk=$BATS_TEST_TMPDIR/d.img
		truncate -s 16M "$disk"
		disk $a 686 bt 100 test=format
		run -0 vmdk info "$disk"
		assert_line --regexp '^  format +raw$'
	done
}

@test "a host without room: the guest has an error, it is said once, the disk stays whole" {
	local log=$BATS_TEST_TMPDIR/console
	guest 686
	small 1M
	vmdk create -s 64M "$small/d.vmdk"
	LIMIT=70 vmrun run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/686.gz" \
		--append "console=ttyS0 quiet panic=1 ring1=run=disktest adapter=pvscsi test=raw" \
		--no-reboot --accel bt --timeout 60 --disk "$small/d.vmdk,type=pvscsi" >"$log" 2>"$log.err"
	grep -qa 'DISK FAILED' "$log"
	assert_regex "$(cat "$log.err")" '^vmrun: run: [^'$'\n'']*d.vmdk: [^'$'\n'']*No space left on device$'
	vmdk check "$small/d.vmdk"
}
