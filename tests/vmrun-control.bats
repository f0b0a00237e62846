#!/usr/bin/env bats
# The control socket of a running machine, and where it is found.
# shellcheck disable=SC2154
load helper

setup() {
	needs socat
	export RING1_RUN=$BATS_TEST_TMPDIR/r
	printf '\xeb\xfe' >"$BATS_TEST_TMPDIR/loop"
	rom=$BATS_TEST_TMPDIR/rom
	truncate -s 65520 "$rom"
	cat "$BATS_TEST_TMPDIR/loop" >>"$rom"	# jmp . at the reset vector
	truncate -s 64K "$rom"
}

# machine ARG...: vmrun in the background as $pid, its socket as $ctl.
# shellcheck disable=SC2120
machine() {
	local end=$((SECONDS + 20))
	"$VMRUN" run --bios "$rom" --accel interp --memory 1M --serial none --timeout 60 "$@" \
		</dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	pid=$!
	until ctl=$(compgen -G "$RING1_RUN/vm/*.ctl"); do
		kill -0 $pid && [ $SECONDS -lt $end ] || { cat "$BATS_TEST_TMPDIR/out"; return 1; }
		sleep 0.05
	done
}

ask() { printf '%s\n' "$1" | socat -t 5 - "unix-connect:$ctl"; }

@test "a machine says who it is, and stops when it is told to" {
	machine
	run -0 ask '{"id":7,"do":"info"}'
	assert_output --partial "\"pid\":$pid,"
	assert_output --partial "\"bios\":\"$rom\",\"memory_bytes\":1048576,\"cpus\":1,\"disks\":[]"
	assert_output --partial '"ok":true,"id":7'
	grep -q "\"pid\":$pid" "${ctl%.ctl}.json"
	run -0 ask '{"do":"dance"}'
	assert_output '{"ok":false,"code":38,"error":"no such request: dance"}'
	run -0 ask '{"do":"stop"}'
	assert_output '{"ok":true}'
	wait $pid
	assert_equal "$(ls -A "$RING1_RUN/vm")" ''
}

@test "what a killed machine left is cleared away by the next" {
	machine
	kill -9 $pid
	wait $pid || true
	[ "$(find "$RING1_RUN/vm" -type f -o -type s | wc -l)" -eq 3 ]
	rm "$ctl"		# so that the next one's is the only one
	machine
	[ "$(find "$RING1_RUN/vm" -name '*.lock' | wc -l)" -eq 1 ]
	kill $pid
	wait $pid
}

@test "a machine without a run-time folder runs" {
	RING1_RUN=$BATS_TEST_TMPDIR/none/r run -124 --separate-stderr vmrun run --bios "$rom" \
		--accel interp --memory 1M --timeout 0.2
	assert_equal "${stderr_lines[0]}" "vmrun: run: no control socket, so no snapshots while it runs: \
$BATS_TEST_TMPDIR/none/r: No such file or directory"
}

@test "others are not served" {
	[ "$(id -u)" -eq 0 ] || skip "not root: cannot become another user"
	command -v setpriv >/dev/null || skip "no setpriv"
	other=$(mktemp -d /tmp/vmrun-test.XXXXXX)
	RING1_RUN=$other/r
	machine
	chmod 711 "$other" "$RING1_RUN" "$RING1_RUN/vm"
	chmod 666 "$ctl"
	printf '{"do":"stop"}\n' | setpriv --reuid 65534 --regid 65534 --clear-groups \
		timeout 10 socat -t 5 - "unix-connect:$ctl" || true
	run -0 ask '{"do":"info"}'
	assert_output --partial '"ok":true'
	kill $pid
	wait $pid
}

@test "requests for disks that make no sense are refused, and change nothing" {
	cd "$BATS_TEST_TMPDIR" || return 1
	vmdk create -s 4M a.vmdk
	vmdk create -s 4M b.vmdk
	vmdk create -s 8M c.vmdk
	mkfifo fifo.vmdk
	machine --disk a.vmdk --disk b.vmdk,mode=independent-persistent
	local a=\"$PWD/a.vmdk\" b=\"$PWD/b.vmdk\" want
	run -0 ask '{"do":"disks"}'
	assert_output --partial "\"mode\":\"persistent\",\"top\":$a,\"layers\":1,\"capacity_bytes\":4194304"
	# What is asked, and what the answer has in it.
	while read -r request want; do
		run -0 ask "$request"
		[[ $output == *"$want"* ]] || { echo "$request: $output, not $want"; return 1; }
	done <<-END
	{"do":"disk-push"} "disks\\" is not a list
	{"do":"disk-push","disks":{}} "disks\\" is not a list
	{"do":"disk-push","disks":[]} "disks\\" is not a list
	{"do":"disk-push","disks":[1]} "path\\" is missing
	{"do":"disk-push","disks":[{"top":$a,"path":null}]} "path\\" is missing
	{"do":"disk-push","disks":[{"top":7,"path":"x"}]} "top\\" is missing
	{"do":"disk-push","disks":[{"top":"/none","path":"x"}]} "code":116
	{"do":"disk-push","disks":[{"top":$b,"path":$a}]} takes no part in snapshots
	{"do":"disk-push","disks":[{"top":$a,"path":"x"},{"top":$a,"path":"y"}]} named twice
	{"do":"disk-push","disks":[{"top":$a,"path":"none.vmdk"}]} "code":2
	{"do":"disk-push","disks":[{"top":$a,"path":"fifo.vmdk"}]} is a pipe
	{"do":"disk-push","disks":[{"top":$a,"path":"/dev/zero"}]} is a character device
	{"do":"disk-push","disks":[{"top":$a,"path":"c.vmdk"}]} is no layer on another
	{"do":"disk-push","disks":[{"top":$a,"path":$a}]} locked by process $pid
	{"do":"disk-revert","disks":[{"top":$a,"path":"c.vmdk"}]} of another size
	{"do":"disk-rebase","top":$a} "parent_cid\\" is missing
	{"do":"disk-rebase","top":$a,"parent_cid":4294967296} "parent_cid\\" is missing, or not
	{"do":"disk-rebase","top":$a,"parent_cid":1,"hint":"b.vmdk"} has no parent
	{"do":"disk-rebase","top":$a,"parent_cid":1} has no parent
	{"do":"disk-fold","top":$a,"bytes_max":1} "stun_max_ns\\" is missing
	{"do":"disk-fold","top":$a,"bytes_max":1,"stun_max_ns":1} has no parent
	{"do":"disk-pace","top":$a,"bytes_s":1} "delay_max_ns\\" is missing
	{"do":"disk-pace","top":$a,"bytes_s":-1,"delay_max_ns":1,"lease_ns":1} "bytes_s\\" is missing, or not
	{"do":"disk-pace","top":"/none","bytes_s":1,"delay_max_ns":1,"lease_ns":1} "code":116
	{"do":"disk-pace","top":$a,"bytes_s":1,"delay_max_ns":1,"lease_ns":1} "delayed":0,"delay_ns":0,
	{"do":"disk-pace","top":$a,"bytes_s":0,"delay_max_ns":1,"lease_ns":1} "longest_ns":0
	END
	run -0 ask '{"do":"disks"}'
	assert_output --partial "\"top\":$a,\"layers\":1"
	run -0 bash -c 'rm fifo.vmdk; ls -d *.lck'
	assert_output $'a.vmdk.lck\nb.vmdk.lck'
	kill $pid
	wait $pid
	run -0 vmdk check a.vmdk
	refute_output --partial parent
}

@test "a run-time folder with a long name is as good as another" {
	RING1_RUN=$BATS_TEST_TMPDIR/$(printf 'x%.0s' {1..150})
	cd "$BATS_TEST_TMPDIR" || return 1
	mkdir -m 700 "$RING1_RUN"
	vmdk create -s 1M a.vmdk
	machine --disk a.vmdk --serial "unix:$RING1_RUN/serial"
	run -0 vmrun disk list
	assert_output --partial "$PWD/a.vmdk"
	run -0 vmdk snapshot create --json a.vmdk s
	assert_output --partial "\"pid\":$pid,"
	kill $pid
	wait $pid
	assert_equal "$(ls -A "$RING1_RUN" "$RING1_RUN/vm")" "$(printf '%s:\nvm\n\n%s:' "$RING1_RUN" "$RING1_RUN/vm")"
}
