#!/usr/bin/env bats
# Disks that come and go while a machine runs: vmrun disk.
# shellcheck disable=SC2154
load helper

setup() {
	export RING1_RUN=$BATS_TEST_TMPDIR/run
	d=$BATS_TEST_TMPDIR
	kernel=${BUILD:-build}/tests/guest/exceptions.elf
}

teardown() {
	[ -z "${pid-}" ] || { kill -9 "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; } || true
}

# start ARG...: a machine in the background, its console in $d/console, its process $pid.
start() {
	"$VMRUN" run --no-reboot --timeout 200 "$@" </dev/null >"$d/console" 2>&1 3>&- &
	pid=$!
}

# until_says PATTERN [SECONDS]: the console does.
until_says() {
	local end=$((SECONDS + ${2:-90}))
	until grep -qaE "$1" "$d/console"; do
		kill -0 "$pid" && [ $SECONDS -lt $end ] || { tail -n 40 "$d/console"; return 1; }
		sleep 0.05
	done
}

machine() { vmrun disk "$@"; }

# plays ADAPTER FLAVOUR: a disk comes, is written to, goes; comes again, and goes under I/O.
plays() {
	local adapter=$1 flavour=$2 last i disk=$d/x.vmdk
	guest "$flavour"
	tests/guest/mkinitramfs "$d/rd.gz" "$(tests/guest/fetch "modules-$flavour" | head -n 1)=lib/modules/" \
		tests/guest/load=bin/load tests/guest/disktest=bin/disktest
	vmdk create -s 200M -f sparse "$disk"
	start --kernel "$guest" --initrd "$d/rd.gz" --accel bt --controller "scsi0=$adapter" \
		--append "console=ttyS0 quiet panic=1 ring1=run=disktest adapter=$adapter test=hot"
	until_says 'DISK HOT READY'
	machine add $pid "$disk,controller=scsi0:2"
	run -0 vmrun disk list $pid
	assert_output --regexp "^ +scsi0:2 +persistent +$disk\$"
	# The same lock as at the start.
	fails 6 "run: --disk: .*x.vmdk.* locked .*" run --kernel "$kernel" --accel interp --serial none \
		--disk "$disk"
	fails 6 "disk: .*x.vmdk.* locked .*" disk add $pid "$disk"
	until_says 'DISK HOT IDLE'
	machine remove $pid scsi0:2
	[ ! -e "$disk.lck" ]
	vmdk check "$disk"
	vmdk convert -f raw "$disk" "$d/raw"
	e2fsck -fn "$d/raw"
	until_says 'DISK HOT GONE'
	machine add $pid "$disk"
	until_says 'DISK FLUSHED 5'
	machine remove $pid "$disk"
	[ ! -e "$disk.lck" ]
	until_says 'DISK OK'
	wait $pid
	pid=
	vmdk check "$disk"
	rm "$d/raw"
	vmdk convert -f raw "$disk" "$d/raw"
	last=$(tr -d '\r' <"$d/console" | sed -n 's/^DISK FLUSHED //p' | tail -n 1)
	for ((i = last > 63 ? last - 63 : 0; i <= last; i++)); do
		yes "block $i of the test" | head -c 262144 |
			cmp - <(tail -c +$(((i % 64 + 256) * 262144 + 1)) "$d/raw" | head -c 262144) ||
			{ echo "block $i of $last"; return 1; }
	done
}

@test "pvscsi: a disk comes, goes, comes again, and goes while it is written to" { plays pvscsi 686; }
@test "lsisas1068: a disk comes, goes, comes again, and goes while it is written to" { plays lsisas1068 686; }
@test "lsilogic: a disk comes, goes, comes again, and goes while it is written to, when the guest looks" { plays lsilogic 686; }
@test "buslogic: a disk comes, goes, comes again, and goes while it is written to, when the guest looks" { plays buslogic 686-pae; }
@test "lsisas1068: the same, in a 64-bit guest" { plays lsisas1068 amd64; }

@test "what cannot come or go is said in one line" {
	local k=(--kernel "$kernel" --accel interp --serial none)
	truncate -s 1M "$d/a" "$d/b" "$d/cd" "$d/"$'\xff'
	fails 7 'disk: 123456789: no such machine runs here' disk list 123456789
	fails 2 'disk: VERB is missing' disk
	fails 2 'disk: x: not one of list, add, remove' disk x
	fails 2 'disk: FILE is missing' disk add 1
	fails 2 'disk: PLACE is missing' disk remove 1
	fails 2 'disk: VM is missing' disk remove
	fails 2 'run: --controller: scsi4=pvscsi: not like scsi0=pvscsi; scsi3 is the last' run "${k[@]}" \
		--controller scsi4=pvscsi
	fails 2 'run: --controller: x: not one of lsilogic, buslogic, lsisas1068 and pvscsi' run "${k[@]}" \
		--controller scsi0=x
	fails 2 'run: --controller: scsi0 is both pvscsi and lsilogic' run "${k[@]}" \
		--controller scsi0=pvscsi --disk "$d/a,type=lsilogic"
	guest 686
	start --kernel "$guest" --accel bt --disk "$d/a,controller=ide0:0" --cdrom "$d/cd" \
		--controller scsi1=lsilogic --append "console=ttyS0 panic=0"
	until_says . 20
	fails 3 'disk: ide0:1: IDE drives cannot come and go while the machine runs' disk add $pid \
		"$d/b,controller=ide0:1"
	fails 3 'disk: ide1:0: IDE drives cannot come and go while the machine runs' disk remove $pid ide1:0
	fails 4 'disk: scsi0: the machine has no such adapter; adapters are there from the start' \
		disk add $pid "$d/b,controller=scsi0:0"
	fails 2 'disk: type: the adapter is there already' disk add $pid "$d/b,type=pvscsi"
	fails 4 'disk: .*/none: No such file or directory' disk add $pid "$d/none"
	LC_ALL=C fails 2 'disk: .*: not UTF-8, so the machine cannot be told of it: .*' disk add $pid "$d/"$'\xff'
	fails 4 'disk: scsi1:3: the machine has no such disk' disk remove $pid scsi1:3
	fails 6 'disk: .*/a.* locked .*' disk add $pid "$d/a"
	run -0 vmrun disk add --check $pid "$d/b,controller=scsi1:3"
	assert_output "would add $d/b at scsi1:3"
	run -0 vmrun disk add --json $pid "$d/b,controller=scsi1:3,mode=independent-persistent"
	assert_output --regexp '"action":"add",.*"place":"scsi1:3","check":false,"changed":true'
	fails 6 'disk: scsi1:3: the place is taken' disk add $pid "$d/b,controller=scsi1:3"
	run -0 vmrun disk list --json
	assert_line --index 2 --regexp '"place":"scsi1:3".*"mode":"independent-persistent".*"uuid":'
	# The registry, too.
	grep -q 'scsi1:3' "$RING1_RUN"/vm/*.json
	run -0 vmrun disk remove --check $pid "$d/b"
	assert_output "would remove $d/b at scsi1:3"
	machine remove $pid "$d/b"
	run -0 vmrun disk list --json $pid
	refute_output --partial scsi1:3
	# Of one that is stopped.
	kill -STOP $pid
	fails 124 "disk: $pid: no answer within 0.5 seconds: .*" disk list --timeout 0.5 $pid
	kill -CONT $pid
}

# The guest does nothing with it: the machine alone is of interest.
@test "a disk comes and goes under a machine that is reset, has two processors, or ends" {
	local disk=$d/x.vmdk i
	guest 686
	tests/guest/mkinitramfs "$d/rd.gz"
	vmdk create -s 16M -f sparse "$disk"
	"$VMRUN" run --timeout 200 --kernel "$guest" --initrd "$d/rd.gz" --accel bt --cpus 2 \
		--controller scsi0=pvscsi --append "console=ttyS0 quiet panic=1 ring1=reboot" \
		</dev/null >"$d/console" 2>&1 3>&- &
	pid=$!
	until_says 'RING1 GUEST UP'
	for ((i = 0; i < 10; i++)); do
		machine add $pid "$disk,mode=independent-nonpersistent"
		machine remove $pid "$disk"
		machine add $pid --cdrom "$d/rd.gz"
		machine remove $pid "$d/rd.gz"
	done
	machine add $pid "$disk"
	run -0 vmrun disk list $pid
	assert_output --partial "$disk"
	# What is asked for when it ends is done, or refused; nobody waits for ever.
	machine remove $pid "$disk" &
	kill $pid
	wait $! || true
	wait $pid
	pid=
	[ ! -e "$disk.lck" ]
	vmdk check "$disk"
}
