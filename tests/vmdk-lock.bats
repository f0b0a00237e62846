#!/usr/bin/env bats
# Layers that are read by others: below disks in other folders, on read-only file systems, by
# copies; and what a disk in another folder knows of a parent that has changed.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	mkdir -p "$BATS_TEST_TMPDIR"/{gold,one,two} && cd "$BATS_TEST_TMPDIR" || return 1
	printf '\xeb\xfe' >loop
	truncate -s 65520 rom
	cat loop >>rom	# jmp . at the reset vector
	truncate -s 64K rom
	truncate -s 8M data
	printf 'what the base holds' | dd of=data bs=64k seek=3 conv=notrunc status=none
}

teardown() {
	for p in $pids; do kill -KILL "$p" 2>/dev/null || :; done
	[ -z "${mounted-}" ] || umount "$mounted"
}

# machine DISK ARG...: one that has the disk, as $pid, once it has opened that.
pids=
machine() {
	local end=$((SECONDS + 20)) n
	n=$(compgen -G "$RING1_RUN/vm/*.ctl" | wc -l)
	"${AS[@]}" "$VMRUN" run --bios rom --accel interp --memory 1M --serial none --timeout 100 --disk "$@" \
		</dev/null >out 2>&1 3>&- &
	pid=$!
	pids+=" $pid"
	until [ "$(compgen -G "$RING1_RUN/vm/*.ctl" | wc -l)" -gt "$n" ]; do
		kill -0 $pid && [ $SECONDS -lt $end ] || { cat out; return 1; }
		sleep 0.05
	done
}

stop() { kill "$1" && wait "$1"; }

# ended CODES PID
ended() {
	local rc=0
	wait "$2" || rc=$?
	assert_regex "$rc" "^($1)$"
}

cid() { sed -n 's/^CID=//p' "$1"; }

@test "a base in another folder is not changed while a machine has it below its disk" {
	export RING1_RUN=$PWD/r
	local f first sum who
	for f in sparse 2gbsparse thin vmfssparse sesparse; do
		rm -rf gold one two
		mkdir gold one two
		vmdk convert -f "$f" data gold/x.vmdk
		vmdk clone --linked --allow-outside gold/x.vmdk one/c.vmdk
		vmdk clone --linked --allow-outside gold/x.vmdk two/c.vmdk
		machine "one/c.vmdk" --allow-outside
		first=$pid
		machine "two/c.vmdk" --allow-outside
		sum=$(cat gold/* | sha256sum)
		who="gold/x.vmdk: in use by process ($first|$pid) \\(vmrun\\) on host $(hostname), .*"
		fails 6 "compact: $who" compact gold/x.vmdk
		fails 6 "inflate: $who" inflate gold/x.vmdk
		fails 6 "resize: $who" resize gold/x.vmdk 16M
		fails 6 "resize: $who" resize -f gold/x.vmdk 4M
		fails 6 "delete: $who" delete -f gold/x.vmdk
		fails 6 "rename: $who" rename -f gold/x.vmdk gold/y.vmdk
		fails 6 "check: $who" check --repair gold/x.vmdk
		fails 6 "convert: $who" convert -f thin --force data gold/x.vmdk
		fails 6 "create: $who" create -s 1M --force gold/x.vmdk
		TOOL=vmrun fails 6 "run: --disk: $who" run --bios rom --accel interp --disk gold/x.vmdk
		assert_equal "$(cat gold/* | sha256sum)" "$sum"
		assert_equal "$(find gold -name '*.lck')" ''
		# To read it is fine, and so are snapshots on it.
		vmdk convert -f raw gold/x.vmdk copy
		cmp data copy
		rm copy
		vmdk check gold/x.vmdk
		stop "$first"
		fails 6 "compact: gold/x.vmdk: in use by process $pid .*" compact gold/x.vmdk
		kill -KILL "$pid"
		ended 137 "$pid"
		rm -r r		# it cannot clear away
		vmdk compact gold/x.vmdk
		vmdk check --chain --allow-outside two/c.vmdk
	done
}

@test "snapshots on a base in use may be made, but not those below it merged or removed" {
	export RING1_RUN=$PWD/r
	vmdk convert data gold/x.vmdk
	vmdk snapshot create gold/x.vmdk a
	vmdk snapshot create gold/x.vmdk b
	vmdk clone --linked --allow-outside gold/x-000001.vmdk one/c.vmdk
	machine one/c.vmdk --allow-outside
	local sum who=".*: in use by process $pid \\(vmrun\\) on host .*"
	vmdk snapshot create gold/x.vmdk c
	sum=$(cat gold/* | sha256sum)
	fails 6 "snapshot: gold/x.vmdk$who" snapshot delete gold/x.vmdk a
	fails 6 "snapshot: gold/x-000001.vmdk$who" snapshot delete gold/x.vmdk b
	fails 6 "snapshot: gold/x.*$who" snapshot delete --children gold/x.vmdk a
	assert_equal "$(cat gold/* | sha256sum)" "$sum"
	vmdk snapshot delete gold/x.vmdk c >/dev/null	# what is merged is above it
	stop "$pid"
	vmdk check --chain --allow-outside one/c.vmdk
	vmdk snapshot delete gold/x.vmdk a >/dev/null
	assert_equal "$(cd gold && echo *.vmdk)" 'x-000002.vmdk x.vmdk'
	fails 4 'convert: .*/x-000001.vmdk: No such file.*' convert --allow-outside one/c.vmdk y.vmdk
}

@test "a copy under way keeps its source as it is, and two have the same source" {
	export RING1_RUN=$PWD/r
	vmdk convert -f flat data gold/x.vmdk
	mkfifo a b
	"$VMDK" convert -f raw gold/x.vmdk - >a 3>&- &
	local one=$!
	"$VMDK" convert -f raw gold/x.vmdk - >b 3>&- &
	local two=$!
	exec 4<a 5<b
	head -c 1000 <&4 >/dev/null
	head -c 1000 <&5 >/dev/null
	fails 6 "compact: gold/x.vmdk: in use by process ($one|$two) \\(vmdk\\) .*" compact gold/x.vmdk
	TOOL=vmrun fails 6 "run: --disk: gold/x.vmdk: in use by process ($one|$two) \\(vmdk\\) .*" \
		run --bios rom --accel interp --disk gold/x.vmdk
	exec 4<&- 5<&-
	# Nobody takes the rest: SIGPIPE, or 1 where that is ignored.
	ended '141|1' "$one"
	ended '141|1' "$two"
	machine gold/x.vmdk
	fails 6 "convert: gold/x.vmdk: locked by process $pid .*" convert gold/x.vmdk y.vmdk
	stop "$pid"
}

@test "a base on a read-only file system is no obstacle" {
	export RING1_RUN=$PWD/r
	mounts
	vmdk convert data gold/x.vmdk
	vmdk clone --linked --allow-outside gold/x.vmdk one/c.vmdk
	mount --bind gold gold
	mounted=$PWD/gold
	mount -o remount,bind,ro gold
	run ! touch gold/new
	machine one/c.vmdk --allow-outside
	vmdk convert -f raw gold/x.vmdk copy
	cmp data copy
	stop "$pid"
	umount gold
	mounted=
}

@test "a base that others may only read is marked by them, too" {
	[ "$(id -u)" -eq 0 ] || skip "not root"
	vmdk convert data gold/x.vmdk
	as_other
	cp -r gold rom "$other"
	chmod -R a-w,a+rX "$other/gold"
	install -d -o 65534 "$other/one"
	cd "$other"
	run ! "${AS[@]}" touch gold/x.vmdk
	vmdk clone --linked --allow-outside gold/x.vmdk one/c.vmdk
	machine one/c.vmdk --allow-outside
	VMDK=$BATS_TEST_DIRNAME/../${BIN:-bin}/vmdk AS=()
	fails 6 "compact: gold/x.vmdk: in use by process $pid \\(vmrun\\) .*" compact gold/x.vmdk
	stop "$pid"
	"$VMDK" compact gold/x.vmdk
}

@test "a child in another folder notices that its base has changed" {
	needs qemu-io
	local id was="convert: one/c.vmdk: its parent .* has been written to since: .*"
	vmdk convert -f thin data gold/x.vmdk
	vmdk clone --linked --allow-outside gold/x.vmdk one/c.vmdk
	id=$(cid gold/x.vmdk)
	# What it holds stays: so does its id.
	vmdk compact gold/x.vmdk
	vmdk inflate gold/x.vmdk
	vmdk rename gold/x.vmdk gold/y.vmdk
	vmdk rename gold/y.vmdk gold/x.vmdk
	vmdk resize gold/x.vmdk 16M
	vmdk check --repair gold/x.vmdk
	assert_equal "$(cid gold/x.vmdk)" "$id"
	vmdk convert --allow-outside -f raw one/c.vmdk copy
	cmp data copy
	cp -a gold/. two
	again() {
		fails 3 "$was" convert --allow-outside one/c.vmdk y.vmdk
		rm -rf gold
		cp -a two gold
	}
	vmdk resize -f gold/x.vmdk 4M
	again
	vmdk inflate --zero gold/x.vmdk
	again
	vmdk convert --force -f thin data gold/x.vmdk
	again
	vmdk snapshot create gold/x.vmdk a
	vmdk snapshot delete gold/x.vmdk a >/dev/null
	again
}

@test "a base whose damage is repaired is another; the child that led there is told" {
	vmdk convert data gold/x.vmdk
	vmdk clone --linked --allow-outside gold/x.vmdk one/c.vmdk
	vmdk clone --linked --allow-outside gold/x.vmdk two/c.vmdk
	# Both copies of an entry of a grain table say a sector far behind the end.
	perl -e '
		open(my $f, "+<", $ARGV[0]) or die; binmode $f;
		read($f, my $h, 512);
		my ($rgd, $gd) = unpack("x48 Q< Q<", $h);
		for my $d ($rgd, $gd) {
			seek($f, $d * 512, 0); read($f, my $e, 4);
			seek($f, unpack("V", $e) * 512 + 12, 0); print $f pack("V", 0x7ffffff0);
		}' gold/x.vmdk
	run -8 vmdk check gold/x.vmdk
	assert_line --partial 'outside'
	run -0 vmdk check --chain --repair --allow-outside one/c.vmdk
	vmdk check --chain --allow-outside one/c.vmdk
	fails 3 'convert: two/c.vmdk: its parent .* has been written to since: .*' \
		convert --allow-outside two/c.vmdk y.vmdk
}
