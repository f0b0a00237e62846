#!/usr/bin/env bats
# vmdk snapshot on disks of machines that run: a stock kernel writes and reads back all the
# while, and the host compares what is there at the end.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	RING1_GUESTS=${RING1_GUESTS-} tests/guest/fetch modules-686 >/dev/null 2>&1 || return 0
	tests/guest/mkinitramfs "$BATS_FILE_TMPDIR/686.gz" \
		"$(tests/guest/fetch modules-686 | head -n 1)=lib/modules/" \
		tests/guest/load=bin/load tests/guest/disktest=bin/disktest
}

setup() {
	needs qemu-img
	guest 686
	root=$PWD
	log=$BATS_TEST_TMPDIR/log
	mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1
}

teardown() { [ -z "${pid-}" ] || kill -KILL "$pid" 2>/dev/null || return 0; }

# files [FORMAT]: a machine of two disks.
files() {
	vmdk create -s 100M -f "${1:-sparse}" d.vmdk
	vmdk create -s 8M -f flat e.vmdk
	printf '%s\n' '.encoding = "UTF-8"' 'scsi0.present = "TRUE"' \
		'scsi0:0.present = "TRUE"' 'scsi0:0.fileName = "d.vmdk"' \
		'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "e.vmdk"' >vm.vmx
}

top() { sed -n "s/^$1.fileName = \"\(.*\)\"/\1/p" vm.vmx; }

# machine ARG...: it runs as $pid, with its load on the first disk; it has no driver for the other.
machine() {
	"$VMRUN" run --kernel "$guest" --initrd "$BATS_FILE_TMPDIR/686.gz" \
		--append "console=ttyS0 quiet panic=1 ring1=run=disktest adapter=pvscsi test=load" \
		--accel bt --memory 128M --timeout 300 "$@" --disk "$(top scsi0:0),type=pvscsi" \
		--disk "$(top scsi0:1),controller=ide0:0" </dev/null >>"$log" 2>&1 3>&- &
	pid=$!
}

# flushed N [FROM]: the guest has written block N, or N more than it had.
flushed() { [ ! -e "$log" ] || tr -d '\r' <"$log" | sed -n 's/^DISK FLUSHED //p' | tail -n 1; }
wait_for() {
	local end=$((SECONDS + 100))
	until grep -qsa "$1" "$log"; do
		kill -0 "$pid" && [ $SECONDS -lt $end ] || { tail -n 5 "$log"; return 1; }
		sleep 0.05
	done
}
more() { wait_for "DISK FLUSHED $(($(flushed) + $1))"; }

# The chain is whole, and holds all that the guest was told to be on disk.
compare() {
	local disk last at i
	disk=$(top scsi0:0)
	vmdk check --chain "$disk"
	qemu-img convert -q -f vmdk -O raw "$disk" raw
	last=$(flushed)
	for ((i = last > 230 ? last - 230 : 0; i <= last; i++)); do
		at=$((i * 7 % 240))
		yes "block $i of the test" | head -c 262144 |
			cmp - <(tail -c +$((at * 262144 + 1)) raw | head -c 262144) ||
			{ echo "block $i of $last"; return 1; }
	done
	! grep -a 'DISK FAILED' "$log"
}

stop() {
	kill "$pid"
	wait "$pid"
	pid=
}

@test "taken, deleted and consolidated again and again under a guest's load" {
	local i sum
	files
	machine
	wait_for 'DISK FLUSHED 10'
	run -0 vmdk snapshot create --json vm.vmx keep
	assert_output --partial "\"pid\":$pid,\"stuns\":1,"
	assert_equal "$(top scsi0:0) $(top scsi0:1)" 'd-000001.vmdk e-000001.vmdk'
	# What was frozen stands still, whatever happens.
	sum=$(qemu-img convert -q -f vmdk -O raw d.vmdk raw && md5sum <raw)
	for i in {1..7}; do
		vmdk snapshot create vm.vmx "s$i" >/dev/null
		more 2
		case $i in
		3 | 6) vmdk snapshot delete vm.vmx "s$((i - 1))" ;;
		4) vmdk snapshot delete --children vm.vmx s1 ;;
		esac >/dev/null
	done
	run -0 vmdk check --chain "$(top scsi0:1)"
	assert_equal "$(qemu-img convert -q -f vmdk -O raw d.vmdk raw && md5sum <raw)" "$sum"
	vmdk snapshot delete --children vm.vmx keep >/dev/null
	more 2
	assert_equal "$(top scsi0:0) $(top scsi0:1)" 'd.vmdk e.vmdk'
	assert_equal "$(echo *.vmdk) $(echo *.journal)" 'd.vmdk e-flat.vmdk e.vmdk *.journal'
	stop
	compare
	run -0 vmdk snapshot list vm.vmx
	assert_output ''
}

@test "going back resets the machine, which boots from what the snapshot holds" {
	files thin
	machine --no-reboot	# is for resets by the guest
	wait_for 'DISK MARK'
	vmdk snapshot create vm.vmx empty >/dev/null
	wait_for 'DISK FLUSHED 22'	# 20 is written where the guest looks at first
	vmdk snapshot create vm.vmx later >/dev/null
	run -0 vmdk snapshot revert vm.vmx empty
	assert_output --regexp "^the guest's requests waited 1 times"
	# It boots: once more the first line, about the same place.
	until [ "$(grep -ac 'DISK MARK' "$log")" -eq 2 ]; do
		kill -0 $pid
		sleep 0.1
	done
	[ "$(grep -a 'DISK MARK' "$log" | sort -u | wc -l)" -eq 1 ]
	more 10
	stop
	run -0 vmdk snapshot tree vm.vmx
	assert_output $'empty\n  later\n  (now)'
	# Blocks after the reset are what counts.
	sed -i "1,$(grep -an 'DISK MARK' "$log" | tail -n 1 | cut -d: -f1)d" "$log"
	compare
	vmdk snapshot delete --children vm.vmx empty
	compare
}

@test "kill -9 of vmdk at any moment: the guest notices nothing, the next one goes on" {
	local i wait
	files
	machine
	wait_for 'DISK FLUSHED 10'
	for i in {1..24}; do
		wait=0.0$((RANDOM % 10))$((RANDOM % 10))
		case $((i % 4)) in
		0) set -- delete vm.vmx "s$((i - 3))" --children ;;
		3) set -- consolidate vm.vmx ;;
		*) set -- create vm.vmx "s$i" ;;
		esac
		timeout -s KILL "$wait" "$VMDK" snapshot "$@" >>out 2>&1 </dev/null || true
		kill -0 $pid
	done
	more 3
	vmdk snapshot consolidate vm.vmx >/dev/null
	vmdk check --chain "$(top scsi0:1)"
	for i in {1..23}; do
		vmdk snapshot delete vm.vmx "s$i" --children >/dev/null 2>&1 || true
	done
	more 3
	run -0 vmdk snapshot tree vm.vmx
	assert_output '(now)'
	assert_equal "$(top scsi0:0) $(top scsi0:1)" 'd.vmdk e.vmdk'
	assert_equal "$(echo *.vmdk) $(echo *.journal)" 'd.vmdk e-flat.vmdk e.vmdk *.journal'
	stop
	compare
}

@test "kill -9 of vmrun in the middle: what the guest had flushed is there" {
	local i
	files
	for i in 1 2; do
		machine
		more 6
		vmdk snapshot create vm.vmx a >/dev/null
		more 2
		vmdk snapshot create vm.vmx b >/dev/null
		more 2
		(sleep "0.0$((RANDOM % 100))"; kill -9 $pid) &
		vmdk snapshot delete --children vm.vmx a >/dev/null 2>err || cat err
		wait $pid || true
		vmdk snapshot delete --children vm.vmx a 2>err || vmdk snapshot consolidate vm.vmx
		compare
		assert_equal "$(top scsi0:0) $(echo *.lck)" 'd.vmdk *.lck'
		: >"$log"
	done
}

rom() { { head -c 65520 /dev/zero; printf '\xeb\xfe'; head -c 14 /dev/zero; } >rom; }	# jmp .

# idle ARG...: a machine that does nothing runs as $pid.
idle() {
	rom
	"$VMRUN" run --bios rom --accel interp --memory 1M --serial none --timeout 100 "$@" \
		</dev/null >idle.log 2>&1 3>&- &
	pid=$!
	local end=$((SECONDS + 20))
	until grep -qs "\"pid\":$pid," "$RING1_RUN"/vm/*.json; do
		kill -0 $pid && [ $SECONDS -lt $end ] || { cat idle.log; return 1; }
		sleep 0.05
	done
}

@test "disks that are undoable, nonpersistent or independent in the machine are refused" {
	local mode refused='the running machine, process .*, has it as'
	for mode in undoable independent-nonpersistent independent-persistent persistent; do
		vmdk create -s 4M $mode.vmdk
		set -- "$@" --disk "$mode.vmdk,mode=$mode"
	done
	# The machine cannot be asked for what JSON cannot hold; the base of such disks is not locked.
	vmdk create -s 1M $'\xff-u.vmdk'
	vmdk create -s 1M $'\xff-p.vmdk'
	set -- "$@" --disk $'\xff-u.vmdk',mode=undoable --disk $'\xff-p.vmdk'
	idle "$@"
	for mode in undoable independent-nonpersistent independent-persistent; do
		fails 3 "snapshot: $mode.vmdk: $refused $mode: .*" snapshot create $mode.vmdk a
	done
	LC_ALL=C fails 3 "snapshot: .*.vmdk: $refused undoable: .*" snapshot create $'\xff-u.vmdk' a
	LC_ALL=C fails 3 'snapshot: .*.vmdk: not UTF-8, so the running machine cannot be told of it: .*' \
		snapshot create $'\xff-p.vmdk' a
	vmdk snapshot create persistent.vmdk a >/dev/null
	# Disks that the .vmx says to be independent are left alone.
	printf '%s\n' 'scsi0.present = "TRUE"' 'scsi0:0.present = "TRUE"' \
		'scsi0:0.fileName = "undoable.vmdk"' 'scsi0:0.mode = "independent-persistent"' \
		'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "persistent-000001.vmdk"' >vm.vmx
	vmdk snapshot create vm.vmx b
	assert_equal "$(top scsi0:0) $(top scsi0:1)" 'undoable.vmdk persistent-000002.vmdk'
	stop
}

@test "what a running machine cannot do is refused, and nothing is left of it" {
	files
	vmdk create -s 1M other.vmdk
	printf '%s\n' 'scsi0:2.present = "TRUE"' 'scsi0:2.fileName = "other.vmdk"' >>vm.vmx
	vmdk snapshot create vm.vmx a
	rom
	TOOL=vmrun fails 1 "run: --disk: d.vmdk: has snapshots, and goes on in d-000001.vmdk: give that instead, --disk d-000001.vmdk" \
		run --bios rom --disk d.vmdk
	idle --disk d-000001.vmdk --disk e-000001.vmdk
	# One whose socket is not found.
	RING1_RUN=$BATS_TEST_TMPDIR/other fails 6 \
		"snapshot: .*d-000001.vmdk: locked by process $pid \\(vmrun\\) on host .*" \
		snapshot create vm.vmx b
	fails 6 "resize: .*d-000001.vmdk: locked by process $pid .*" resize d-000001.vmdk 200M
	# The third disk is not the machine's: it gets its layer even so, by vmdk alone.
	run -0 vmdk snapshot create --json vm.vmx b
	assert_output --partial '"created":["'
	assert_equal "$(echo *-000002.vmdk)" 'd-000002.vmdk e-000002.vmdk other-000002.vmdk'
	# Of two machines that have one disk each not both can be told at once.
	stop
	idle --disk d-000002.vmdk
	first=$pid
	idle --disk e-000002.vmdk
	fails 6 'snapshot: .*e-000002.vmdk: its disks are those of several running machines' \
		snapshot create vm.vmx c
	stop
	pid=$first
	stop
	assert_equal "$(echo *-000003* *.lck *.journal)" '*-000003* *.lck *.journal'
}

@test "a base that is not written to in place, or smaller than its child, under a running machine" {
	head -c 1M /dev/urandom >raw
	vmdk convert -f stream raw x.vmdk
	vmdk convert -f sparse raw y.vmdk
	vmdk snapshot create x.vmdk a
	vmdk snapshot create y.vmdk a
	vmdk resize y-000001.vmdk 3M
	idle --disk x-000001.vmdk --disk y-000001.vmdk
	run -0 vmdk snapshot delete --json x.vmdk a
	assert_output --partial '"from":"x.vmdk","into":"x-000001.vmdk"'
	assert_output --partial '"top":"x-000001.vmdk"'
	run -0 vmdk snapshot delete --json y.vmdk a
	assert_output --partial '"top":"y.vmdk"'
	run -0 vmdk snapshot create x-000001.vmdk b
	stop
	assert_equal "$(echo x*.vmdk y*.vmdk)" 'x-000001.vmdk x-000002.vmdk y.vmdk'
	vmdk convert -f raw x-000002.vmdk x.raw
	vmdk convert -f raw y.vmdk y.raw
	cmp raw x.raw
	cmp <(cat raw; head -c 2M /dev/zero) y.raw
}

@test "a guest that writes faster than its disk is merged is slowed down until that ends" {
	cat >fast <<-'END'
		#!/bin/busybox sh
		load pvscsi || exit 1
		dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null
		w() {
			while :; do
				for at in $(seq $1 8 56); do
					dd if=/tmp/data of=/dev/sda bs=1M count=4 seek=$at oflag=direct \
						conv=notrunc 2>/dev/null || exit
				done
				echo "DISK ROUND $1"
			done
		}
		w 0 & w 4
	END
	chmod 755 fast
	"$root/tests/guest/mkinitramfs" fast.gz \
		"$(cd "$root" && tests/guest/fetch modules-686 | head -n 1)=lib/modules/" \
		"$root/tests/guest/load=bin/load" fast=bin/fast
	vmdk create -s 64M d.vmdk
	"$VMRUN" run --kernel "$guest" --initrd fast.gz --append "console=ttyS0 quiet ring1=run=fast" \
		--accel bt --memory 128M --timeout 200 --disk d.vmdk,type=pvscsi </dev/null >"$log" 2>&1 3>&- &
	pid=$!
	wait_for 'DISK ROUND 4'
	vmdk snapshot create d.vmdk a
	# So little may be written at the end that it cannot be without.
	run -0 vmdk snapshot delete --json --max-stun 2 d.vmdk a
	[[ $output =~ \"delayed_writes\":[1-9][0-9]*,\"delay_max_us\":([0-9]+),\"throttle_bytes_per_s\":[1-9] ]]
	[ "${BASH_REMATCH[1]}" -le 10000000 ]
	# It is over: it writes on as fast as it can.
	: >"$log"
	wait_for 'DISK ROUND 4'
	stop
	vmdk check d.vmdk
	assert_equal "$(echo *.vmdk)" d.vmdk
}
