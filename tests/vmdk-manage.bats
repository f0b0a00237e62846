#!/usr/bin/env bats
# vmdk resize, delete, rename: what becomes of the files.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	needs qemu-io
	mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1
}

FORMATS="sparse 2gbsparse flat 2gbflat thin zeroedthick eagerzeroedthick vmfssparse sesparse raw"

# io FILE COMMAND [FORMAT]: by qemu-io, which opens seSparse for reading only.
io() {
	local ro=()
	[[ $2 != read* ]] || ro=(-r)
	qemu-io "${ro[@]}" -f "${3:-vmdk}" -c "$2" "$1" >io.log 2>&1 || { cat io.log; return 1; }
}

# fmt FORMAT: as qemu calls it.
fmt() { if [ "$1" = raw ]; then echo raw; else echo vmdk; fi; }

capacity() { vmdk info --json "$1" | sed 's/.*"capacity_bytes":\([0-9]*\).*/\1/'; }

# disk FORMAT SIZE PATTERN...: x.vmdk, with "P OFFSET LENGTH" written into it.  qemu does
# not write the deltas of ESX, so that they are copies.
disk() {
	local f=$1 size=$2 p
	shift 2
	rm -f data
	truncate -s "$size" data
	for p in "$@"; do io data "write -P $p" raw; done
	vmdk clone -f "$f" data x.vmdk
	rm data io.log
}

@test "growing keeps what is there and adds zeros, in each format" {
	for f in $FORMATS; do
		disk $f 4M '0x5a 1M 64k'
		vmdk resize x.vmdk 9M
		assert_equal "$(capacity x.vmdk)" 9437184
		io x.vmdk 'read -P 0x5a 1M 64k' "$(fmt $f)"
		io x.vmdk 'read -P 0 4M 5M' "$(fmt $f)"
		run -0 vmdk check x.vmdk
		assert_output 'x.vmdk: clean'
		vmdk delete -f x.vmdk
		rm -f io.log
		assert_equal "$f: $(echo *)" "$f: *"
	done
}

@test "shrinking needs -f, and what was behind the end does not come back" {
	for f in $FORMATS; do
		disk $f 8M '0x5a 0 8M'
		fails 2 'resize: x.vmdk: has 8388608 bytes; .*needs -f' resize x.vmdk 5M
		vmdk resize -f x.vmdk 5000k
		assert_equal "$(capacity x.vmdk)" 5120000
		io x.vmdk 'read -P 0x5a 0 5000k' "$(fmt $f)"
		vmdk resize x.vmdk 8M
		io x.vmdk 'read -P 0x5a 0 5000k' "$(fmt $f)"
		io x.vmdk 'read -P 0 5000k 3192k' "$(fmt $f)"
		run -0 vmdk check x.vmdk
		assert_output 'x.vmdk: clean'
		vmdk delete -f x.vmdk
	done
}

@test "pieces are added and removed" {
	vmdk create -s 1G -f 2gbsparse x.vmdk
	vmdk resize x.vmdk 5G
	assert_equal "$(echo x-*)" "x-s001.vmdk x-s002.vmdk x-s003.vmdk"
	assert_equal "$(grep -c '^RW 4192256 SPARSE' x.vmdk)" 2
	io x.vmdk 'write -P 1 4900M 1M'
	vmdk resize -f x.vmdk 3G
	assert_equal "$(echo x-*)" "x-s001.vmdk x-s002.vmdk"
	io x.vmdk 'read -P 0 2900M 1M'
	vmdk check x.vmdk
}

@test "the geometry follows" {
	vmdk create -s 200M -f thin x.vmdk
	vmdk resize x.vmdk 8G
	run -0 vmdk info --geometry x.vmdk
	assert_output 'Geometry information C/H/S is 1044/255/63'
}

@test "a child grows and shrinks, and its parent does not show through" {
	vmdk create -s 8M base.vmdk
	io base.vmdk 'write -P 0x11 0 8M'
	vmdk create --parent base.vmdk c.vmdk
	io c.vmdk 'write -P 0x22 1M 64k'
	vmdk resize c.vmdk 12M
	io c.vmdk 'read -P 0x22 1M 64k'
	io c.vmdk 'read -P 0x11 2M 6M'
	io c.vmdk 'read -P 0 8M 4M'
	vmdk resize -f c.vmdk 5000k
	vmdk resize c.vmdk 12M
	run -0 vmdk check --chain c.vmdk
	vmdk create -s 12M -f raw zeros
	io c.vmdk 'read -P 0x11 2M 2M'
	run -8 vmdk diff --json c.vmdk base.vmdk
	# From where it was cut off all of it is zeros, and differs from the parent.
	assert_line '{"start_bytes":5120000,"length_bytes":3268608}'
	fails 1 'resize: base.vmdk: is the parent of c.vmdk, .*-f.*' resize base.vmdk 16M
	vmdk resize -f base.vmdk 16M
}

@test "a file that goes on behind its extent: that stays, and is not seen" {
	head -c 1M /dev/zero | tr '\0' a >a
	printf '# Disk DescriptorFile\nCID=1\n%s\n' 'RW 1024 FLAT "a" 0' 'RW 512 FLAT "a" 1024' >two.vmdk
	vmdk resize -f two.vmdk 256k
	assert_equal "$(capacity two.vmdk)" 262144
	assert_equal "$(stat -c %s a)" 1048576
	before=$(cat two.vmdk)
	fails 3 'resize: a: goes on behind this extent, .*truncate -s 262144' resize two.vmdk 1M
	assert_equal "$(cat two.vmdk)" "$before"
	# A part of a sector is nobody's.
	for thin in '' 'ddb.thinProvisioned = "1"'; do
		{ head -c 1024 /dev/zero | tr '\0' a; printf end; } >b
		printf '# Disk DescriptorFile\nCID=1\n%s\n' 'RW 2 VMFS "b"' "$thin" >b.vmdk
		vmdk resize b.vmdk 4096
		{ head -c 1024 /dev/zero | tr '\0' a; head -c 3072 /dev/zero; } | cmp - b
	done
}

@test "what cannot be resized, and sizes that are none" {
	vmdk create -s 4M x.vmdk
	fails 2 'resize: SIZE is missing' resize x.vmdk
	fails 2 'resize: .*not a size.*' resize x.vmdk big
	fails 2 'resize: a size of 0 bytes: .*' resize x.vmdk 0
	fails 2 'resize: a size of 1000 bytes: .*' resize x.vmdk 1000
	fails 4 'resize: none.vmdk: .*' resize none.vmdk 1M
	run -0 vmdk resize --check x.vmdk 5M
	assert_output 'x.vmdk: would be resized from 4M to 5M'
	run -0 vmdk resize --json x.vmdk 4M
	assert_output '{"old_capacity_bytes":4194304,"capacity_bytes":4194304,"path":"x.vmdk","action":"resize","check":false,"changed":false}'
	run -0 vmdk resize --json --check x.vmdk 8M
	assert_output --partial '"check":true,"changed":true}'
	assert_equal "$(capacity x.vmdk)" 4194304
}

@test "delete removes a disk's own files, and says which" {
	vmdk create -s 4G -f 2gbsparse x.vmdk
	vmdk create -s 1M -f raw other.vmdk
	run -0 vmdk delete --check --json x.vmdk
	assert_output '{"files":["x-s001.vmdk","x-s002.vmdk","x-s003.vmdk","x.vmdk"],"path":"x.vmdk","action":"delete","check":true,"changed":true}'
	run -0 vmdk delete --check x.vmdk
	assert_output 'x.vmdk: would be deleted'
	assert [ -e x.vmdk ]
	# What a crash left can be deleted again.
	rm x-s002.vmdk
	run -0 vmdk delete x.vmdk
	assert_output ''
	assert_equal "$(echo *)" other.vmdk
	fails 2 'delete: other.vmdk: has no descriptor.*' delete other.vmdk
	fails 4 'delete: none.vmdk: .*' delete none.vmdk
	vmdk delete -f other.vmdk
	assert_equal "$(echo *)" '*'
}

@test "a sparse disk that was copied by cp is its own file, whatever it says inside" {
	vmdk create -s 1M a.vmdk
	cp a.vmdk b.vmdk
	run -0 vmdk delete --check --json b.vmdk
	assert_output --partial '{"files":["b.vmdk"],'
	vmdk rename b.vmdk c.vmdk
	assert_equal "$(echo *)" 'a.vmdk c.vmdk'
	grep -aq '"c.vmdk"' c.vmdk
	cp a.vmdk b.vmdk
	vmdk delete b.vmdk
	assert_equal "$(echo *)" 'a.vmdk c.vmdk'
}

@test "files that another descriptor names, too, are not deleted or renamed" {
	vmdk create -s 1M -f thin a.vmdk
	cp a.vmdk b.vmdk
	fails 1 'delete: b.vmdk: its files are also those of a.vmdk; delete -f .*' delete b.vmdk
	fails 1 'delete: a.vmdk: its files are also those of b.vmdk; delete -f .*' delete a.vmdk
	fails 1 'rename: a.vmdk: its files are also those of b.vmdk; delete -f .*' rename a.vmdk c.vmdk
	assert_equal "$(echo *)" 'a-flat.vmdk a.vmdk b.vmdk'
	vmdk delete -f b.vmdk
	assert_equal "$(echo *)" 'a.vmdk'
}

@test "a parent is not deleted, nor what lies outside" {
	vmdk create -s 1M -f thin base.vmdk
	vmdk create --parent base.vmdk c.vmdk
	fails 1 'delete: base.vmdk: is the parent of c.vmdk, .*-f.*' delete base.vmdk
	fails 1 'delete: base.vmdk: is the parent of c.vmdk, .*-f.*' delete --check base.vmdk
	vmdk delete c.vmdk
	assert_equal "$(echo *)" 'base-flat.vmdk base.vmdk'
	mkdir d
	sed 's|"base-flat|"../base-flat|' base.vmdk >d/x.vmdk
	fails 5 'delete: .*' delete d/x.vmdk
	sed "s|\"base-flat|\"$PWD/base-flat|" base.vmdk >d/x.vmdk
	fails 5 'delete: .*' delete d/x.vmdk
	assert [ -e base-flat.vmdk ]
	vmdk delete base.vmdk
}

@test "rename gives all files the new name" {
	for f in $FORMATS; do
		vmdk create -s 4M -f $f x.vmdk
		n=$(printf '%s\n' * | sort | sed s/^x/y/)
		vmdk rename x.vmdk y.vmdk
		assert_equal "$f $(printf '%s\n' *)" "$f $n"
		vmdk info y.vmdk
		run ! grep -aq '"x' y.vmdk
		vmdk check y.vmdk
		vmdk delete -f y.vmdk
	done
	vmdk create -s 1M x.vmdk
	mkdir d
	vmdk rename x.vmdk d/y.vmdk
	assert_equal "$(echo * d/*)" 'd d/y.vmdk'
}

@test "rename: children are told with -f, and may not leave their parent" {
	vmdk create -s 1M -f thin base.vmdk
	vmdk create --parent base.vmdk c.vmdk
	fails 1 'rename: base.vmdk: is the parent of c.vmdk, .*-f.*' rename base.vmdk b.vmdk
	vmdk rename -f base.vmdk b.vmdk
	assert_equal "$(echo *)" 'b-flat.vmdk b.vmdk c-delta.vmdk c.vmdk'
	grep -q '^parentFileNameHint="b.vmdk"$' c.vmdk
	vmdk check --chain c.vmdk
	mkdir d
	fails 2 'rename: c.vmdk: its parent b.vmdk .*' rename c.vmdk d/c.vmdk
}

@test "rename overwrites nothing, and leaves all as it was when it fails" {
	vmdk create -s 1M -f thin x.vmdk
	echo mine >y-flat.vmdk
	before=$(ls -l)
	fails 1 'rename: y-flat.vmdk: File exists' rename x.vmdk y.vmdk
	assert_equal "$(ls -l)" "$before"
	rm y-flat.vmdk
	echo mine >y.vmdk
	fails 1 'rename: y.vmdk: File exists' rename x.vmdk y.vmdk
	fails 1 'rename: x.vmdk: File exists' rename x.vmdk x.vmdk
	fails 4 'rename: none/y.vmdk.*: No such file or directory' rename x.vmdk none/y.vmdk
	fails 4 'rename: none.vmdk: .*' rename none.vmdk z.vmdk
	run -0 vmdk rename --check x.vmdk z.vmdk
	assert_output 'x.vmdk: would be renamed to z.vmdk'
	run -0 vmdk rename --json x.vmdk z.vmdk
	assert_output '{"new_path":"z.vmdk","path":"x.vmdk","action":"rename","check":false,"changed":true}'
}

@test "a renaming that was interrupted is begun again" {
	vmdk create -s 1M -f thin x.vmdk
	ln x-flat.vmdk y-flat.vmdk
	vmdk rename x.vmdk y.vmdk
	assert_equal "$(echo *)" 'y-flat.vmdk y.vmdk'
	# Both descriptors, and one of the old names is gone already.
	ln y-flat.vmdk x-flat.vmdk
	sed 's/y-flat/x-flat/' y.vmdk >x.vmdk
	vmdk rename x.vmdk y.vmdk
	assert_equal "$(echo *)" 'y-flat.vmdk y.vmdk'
	sed 's/y-flat/x-flat/' y.vmdk >x.vmdk
	vmdk rename x.vmdk y.vmdk
	assert_equal "$(echo *)" 'y-flat.vmdk y.vmdk'
	run -0 vmdk check y.vmdk
	# But a disk that only looks alike is another one.
	cp y-flat.vmdk x-flat.vmdk
	sed 's/y-flat/x-flat/' y.vmdk >x.vmdk
	fails 1 'rename: y-flat.vmdk: File exists' rename x.vmdk y.vmdk
	vmdk create -s 1M -f sparse s.vmdk
	ln s.vmdk t.vmdk
	vmdk rename s.vmdk t.vmdk
	[ ! -e s.vmdk ]
	vmdk rename --check ./t.vmdk t.vmdk && return 1
	ln t.vmdk u.vmdk
	fails 1 'rename: t.vmdk: File exists' rename ./t.vmdk t.vmdk
}

# hold FILE: another process, $pid, has it locked until it is let go.
hold() {
	mkfifo go
	perl - "$1.lck" go 3>&- <<-'END' &
		mkdir $ARGV[0];
		open(my $f, ">", "$ARGV[0]/M00000.lck");
		my $all = pack("ssx4qqlx4", 1, 0, 0, 0, 0);	# F_WRLCK
		fcntl($f, 37, $all) or die $!;			# F_OFD_SETLK
		syswrite($f, "thishost $$-1(perl) 1 X M00000.lck boot=b\n");
		open(my $go, "<", $ARGV[1]);
		<$go>;
	END
	pid=$!
	until [ -s "$1.lck/M00000.lck" ]; do kill -0 $pid; read -rt 0.05 <> <(:) || :; done
}

let_go() {
	echo >go
	wait $pid
}

@test "a disk that another process has locked: 6, and who it is" {
	vmdk create -s 1G -f thin x.vmdk
	hold x.vmdk
	fails 6 'resize: x.vmdk: locked by process .* on host thishost.*' resize x.vmdk 2G
	fails 6 'delete: x.vmdk: locked by .*' delete x.vmdk
	fails 6 'rename: x.vmdk: locked by .*' rename x.vmdk y.vmdk
	fails 6 'check: x.vmdk: locked by .*' check --repair x.vmdk
	vmdk check x.vmdk
	run -0 vmdk info x.vmdk
	assert_line --regexp "^  in use +locked by process $pid \(perl\) on host thishost"
	run -0 vmdk info --json x.vmdk
	assert_output --partial "\"lock\":\"locked by process $pid (perl) on host thishost"
	let_go
	run -0 vmdk info --json x.vmdk
	assert_output --partial '"lock":null'
	# Its owner is dead: taken over.
	vmdk delete x.vmdk
	assert_equal "$(echo *)" go
}

@test "layers below a disk that is in use stay as they are" {
	disk sparse 8M '1 0 64k' '0 1M 64k' '2 2M 64k'
	vmdk rename x.vmdk base.vmdk
	vmdk create --parent base.vmdk middle.vmdk
	vmdk create --parent middle.vmdk top.vmdk
	sum=$(sha256sum base.vmdk)
	hold top.vmdk
	local used='a disk in use hangs on it: top.vmdk: locked by process .*'
	fails 6 "compact: base.vmdk: $used" compact base.vmdk
	fails 6 "inflate: base.vmdk: $used" inflate base.vmdk
	fails 6 "check: base.vmdk: $used" check --repair base.vmdk
	fails 6 "resize: base.vmdk: $used" resize -f base.vmdk 16M
	fails 6 "delete: base.vmdk: $used" delete -f base.vmdk
	assert_equal "$(sha256sum base.vmdk)" "$sum"
	let_go
	# Not in use: what it holds stays, and so does what its children know it by.
	vmdk compact base.vmdk
	vmdk check --chain top.vmdk
	vmdk inflate base.vmdk
	vmdk check --chain top.vmdk
	io top.vmdk 'read -P 2 2M 64k'
	fails 1 'inflate: base.vmdk: is the parent of middle.vmdk, .*' inflate --zero base.vmdk
	vmdk delete -f base.vmdk
}

@test "clone copies what a chain holds, into its base's format" {
	disk thin 8M '1 0 64k' '2 1M 64k'
	vmdk rename x.vmdk base.vmdk
	vmdk create --parent base.vmdk -f sparse c.vmdk
	io c.vmdk 'write -P 3 1M 4k'
	vmdk clone c.vmdk d.vmdk
	grep -q '^createType="vmfs"$' d.vmdk
	grep -q '^ddb.thinProvisioned = "1"$' d.vmdk
	io d.vmdk 'read -P 1 0 64k'
	io d.vmdk 'read -P 3 1M 4k'
	io d.vmdk 'read -P 2 1052672 60k'
	vmdk diff c.vmdk d.vmdk
	# What is zeros takes no room.
	[ "$(stat -c %b d-flat.vmdk)" -le 512 ]
	for f in $FORMATS; do
		vmdk clone -f $f c.vmdk e.vmdk
		vmdk diff c.vmdk e.vmdk
		vmdk delete -f e.vmdk
	done
}

@test "clone --linked makes a child, and what it says" {
	disk sparse 8M '1 0 64k'
	run -0 vmdk clone --linked --check x.vmdk l.vmdk
	assert_output 'l.vmdk: would be created: sparse, 8M'
	run -0 vmdk clone --linked --json x.vmdk l.vmdk
	assert_output '{"source":"x.vmdk","format":"sparse","capacity_bytes":8388608,"files":["l.vmdk"],"path":"l.vmdk","action":"clone","check":false,"changed":true}'
	io l.vmdk 'read -P 1 0 64k'
	vmdk check --chain l.vmdk
	fails 1 'clone: l.vmdk: File exists' clone x.vmdk l.vmdk
	vmdk clone --force x.vmdk l.vmdk
	run ! grep -aq '^parentFileNameHint' l.vmdk
	fails 2 'clone: DST is missing' clone x.vmdk
	fails 2 'clone: --physical: needs --rdm' clone --physical x.vmdk m.vmdk
	fails 2 'clone: --format: stream is written by vmdk convert' clone -f stream x.vmdk m.vmdk
	fails 4 'clone: none.vmdk: .*' clone none.vmdk m.vmdk
	fails 4 'clone: none.vmdk: .*' clone --linked none.vmdk m.vmdk
}

@test "clone --rdm fills a device; one that is too small is left alone" {
	disk sparse 2M '1 0 64k'
	truncate -s 3M dev
	vmdk clone --rdm dev x.vmdk r.vmdk
	io dev 'read -P 1 0 64k' raw
	io dev 'read -P 0 64k 1984k' raw
	truncate -s 1M small
	fails 1 'clone: small: is smaller than the disk' clone --rdm small x.vmdk s.vmdk
	assert [ ! -e s.vmdk ]
	assert [ ! -L s-rdm.vmdk ]
}
