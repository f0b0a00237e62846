#!/usr/bin/env bats
# Damaged sparse files: what vmdk says of them, and what --repair mends.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1
	# 8 MiB with data at 1 MiB.
	head -c 1048576 /dev/zero >data
	head -c 262144 /dev/zero | tr '\0' x >>data
	truncate -s 8M data
}

# patch FILE OFFSET BYTES: write BYTES (as printf has them) into a copy, bad.vmdk.
patch() {
	cp "$1" bad.vmdk
	# shellcheck disable=SC2059
	printf "$3" | dd of=bad.vmdk bs=1 seek="$2" conv=notrunc status=none
}

same() {
	needs qemu-img
	qemu-img compare -f vmdk -F raw "$1" data
}

@test "a malformed KDMV header: 3, and the field is named" {
	vmdk clone -f sparse data x.vmdk
	while read -r off bytes pattern; do
		patch x.vmdk "$off" "$bytes"
		for c in info map check 'check --repair'; do
			# shellcheck disable=SC2086
			fails 3 "${c%% *}: bad.vmdk: $pattern.*" $c bad.vmdk
		done
	done <<-'END'
		4  \x09 version is 9, known are 1 to 3
		8  \x00\x01 flags is 0x100, known are
		12 \xff\xff\xff\xff\xff\xff\xff\x7f capacity is 9223372036854775807 sectors
		12 \x00\x01 capacity is 256 sectors, the descriptor says 16384
		20 \x03 grainSize is 3 sectors
		20 \x00 grainSize is 0 sectors
		28 \xff\xff\xff descriptorOffset and descriptorSize lie outside the file
		36 \xff\xff\xff descriptorSize is 16777215 sectors
		44 \x00\x00 numGTEsPerGT is 0
		44 \x00\x00\x00\x80 numGTEsPerGT is 2147483648
		64 \xff\xff\xff\xff\xff\xff\xff overHead is
		73 \x0d the newline bytes at 73 are 0d 20 0d 0a: the file was transferred as text
		77 \x07 compressAlgorithm is 7
	END
	assert_equal "$(stat -c %s bad.vmdk)" "$(stat -c %s x.vmdk)"
}

@test "a malformed COWD header: 3, and the field is named" {
	vmdk clone -f vmfssparse data x.vmdk
	sed 's/x-delta/bad/' x.vmdk >y.vmdk
	while read -r off bytes pattern; do
		patch x-delta.vmdk "$off" "$bytes"
		for c in info map; do fails 3 "$c: bad.vmdk: $pattern.*" $c y.vmdk; done
		# The descriptor and the tables tell what it said, unless it is of another version.
		run vmdk check y.vmdk
		[ "$status" -eq 3 ] || { assert_line -p 'the header is lost' && [ "$status" -eq 8 ]; }
	done <<-'END'
		0  KDMV not a vmfsSparse extent: its magic is
		4  \x02 version is 2, known is 1
		8  \xff flags is
		12 \x00\x00 numSectors is 0
		16 \x03 grainSize is 3 sectors
		24 \xff\xff\xff\xff .*numGDEntries (is )?4294967295
		20 \x00 gdOffset is 0
	END
}

@test "one of the two grain directories is enough, and --repair makes the other" {
	vmdk clone -f sparse data x.vmdk
	while read -r off; do
		patch x.vmdk "$off" '\xff\xff\xff'
		vmdk info bad.vmdk
		run -8 vmdk check bad.vmdk
		assert_line --regexp '^bad.vmdk: header: .*'
		run -0 vmdk check --repair bad.vmdk
		assert_line --regexp '\(repaired\)$'
		run -0 vmdk check bad.vmdk
		assert_output 'bad.vmdk: clean'
		vmdk diff bad.vmdk data
		same bad.vmdk
	done <<-END
		48
		56
	END
}

@test "entries of grain tables that differ, lead outside, or to one grain" {
	vmdk clone -f sparse data x.vmdk
	# The first entry of the first table that is not 0 is the grain at 1 MiB: number 16.
	gd=$(od -An -tu4 -j56 -N4 x.vmdk)
	gt=$(od -An -tu4 -j$((gd * 512)) -N4 x.vmdk)
	at=$((gt * 512 + 16 * 4))
	patch x.vmdk $at '\xff\xff\xff\xff'
	run -8 vmdk check bad.vmdk
	run -0 vmdk check --repair --json bad.vmdk
	assert_line --partial '"changed":true'
	vmdk check bad.vmdk
	vmdk diff bad.vmdk data
	same bad.vmdk
	# Two grains in one place.
	patch x.vmdk $((at + 4)) "$(od -An -tx1 -j$at -N4 x.vmdk | sed 's/ /\\x/g')"
	run -8 vmdk check bad.vmdk
	assert_line --regexp '^bad.vmdk: (overlap|mismatch): '
	run vmdk check --repair bad.vmdk
	run -0 vmdk check bad.vmdk
}

# word FILE OFFSET [VALUE]: a number of 32 bits, as it is or as it shall be.
word() {
	[ -n "${3-}" ] || { od -An -tu4 -j"$2" -N4 "$1" | tr -d ' '; return; }
	# shellcheck disable=SC2059
	printf "$(printf '\\x%02x' $(($3 & 255)) $(($3 >> 8 & 255)) $(($3 >> 16 & 255)) $(($3 >> 24)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "what led outside does not lead to what --repair puts there" {
	for c in a b c d; do head -c 65536 /dev/zero | tr '\0' $c; done >data
	vmdk convert -f sparse data x.vmdk
	gd=$(word x.vmdk 56) rgd=$(word x.vmdk 48)
	gt=$(($(word x.vmdk $((gd * 512))) * 512)) rgt=$(($(word x.vmdk $((rgd * 512))) * 512))
	# The first grain is right in one copy, the third shares the second's room: it gets a copy
	# at the end of the file, where the first one's entry leads.
	word x.vmdk $gt $((($(stat -c %s x.vmdk) + 65535) / 65536 * 128))
	for t in $gt $rgt; do word x.vmdk $((t + 8)) "$(word x.vmdk $((t + 4)))"; done
	run -8 vmdk check x.vmdk
	vmdk check --repair x.vmdk
	run -0 vmdk check x.vmdk
	for c in a b b d; do head -c 65536 /dev/zero | tr '\0' $c; done >data
	same x.vmdk
}

@test "the zeros behind the descriptor are no grain directory" {
	vmdk clone -f sparse data x.vmdk
	patch x.vmdk 56 '\x06\x00'
	vmdk diff bad.vmdk data
	run -8 vmdk check bad.vmdk
	assert_line 'bad.vmdk: header: gdOffset is sector 6: no directory fits there, the second one is used'
	vmdk check --repair bad.vmdk
	same bad.vmdk
	vmdk convert -f stream data s.vmdk
	patch s.vmdk 56 '\x06\x00\x00\x00\x00\x00\x00\x00'
	for c in info check; do
		fails 3 "$c: bad.vmdk: gdOffset is sector 6: no directory of 1 entries can be there" $c bad.vmdk
	done
}

@test "a file that is cut off" {
	vmdk clone -f sparse data x.vmdk
	head -c 100000 x.vmdk >bad.vmdk
	run -8 vmdk check bad.vmdk
	assert_line --regexp '^bad.vmdk: '
	run -3 --separate-stderr vmdk map bad.vmdk
	assert_regex "$stderr" '^vmdk: map: bad.vmdk: .*outside the file$'
	head -c 300 x.vmdk >bad.vmdk
	fails 3 'info: bad.vmdk: ends at byte 300.*' info bad.vmdk
	vmdk clone -f flat data f.vmdk
	truncate -s 7M f-flat.vmdk
	fails 3 'info: f-flat.vmdk: has 7340032 bytes.*' info f.vmdk
	fails 3 'check: f-flat.vmdk: has 7340032 bytes.*' check f.vmdk
}

@test "a file that is cut off inside a sector: what check says is what readers find" {
	vmdk clone -f sparse data x.vmdk
	head -c -1000 x.vmdk >bad.vmdk
	fails 3 'convert: bad.vmdk: ends at byte .*' convert bad.vmdk y.vmdk
	run -8 vmdk check bad.vmdk
	assert_line -p 'inside a sector: it was cut off'
	run -0 vmdk check --repair bad.vmdk
	vmdk convert bad.vmdk y.vmdk
	run -0 vmdk check bad.vmdk
	assert_output 'bad.vmdk: clean'
}

# of EXTENT...: x.vmdk with these extent lines.
of() {
	printf '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n' >x.vmdk
	printf 'createType="custom"\n' >>x.vmdk
	printf '%s\n' "$@" >>x.vmdk
}

@test "extents that no disk can have: 3" {
	mkdir d
	mkfifo f
	of 'RW 1 FLAT "x.vmdk" 0'
	fails 3 'info: x.vmdk: is the descriptor, and one of its own extents' info x.vmdk
	of 'RW 1 FLAT "h" 0'
	ln x.vmdk h
	fails 3 'check: x.vmdk: is the descriptor, and one of its own extents' check x.vmdk
	of 'RW 1 FLAT "d" 0'
	fails 3 'map: d: is a folder, .*' map x.vmdk
	of 'RW 1 FLAT "f" 0'
	fails 3 'map: f: is a pipe, .*' map x.vmdk
	of 'RW 1 FLAT "" 0'
	fails 3 'diff: x.vmdk: line 6: an extent line with an empty file name' diff x.vmdk data
	long=$(printf 'a%.0s' {1..300})
	of "RW 1 FLAT \"$long\" 0"
	fails 3 'map: x.vmdk: a file name of more than 255 bytes' map x.vmdk
	of 'RW 1 ZERO' 'parentCID=1' "parentFileNameHint=\"$long\""
	sed -i '/^parentCID=f/d' x.vmdk
	fails 3 'map: x.vmdk: a file name of more than 255 bytes' map x.vmdk
	# One of no sectors is none, and cannot grow.
	of 'RW 0 FLAT "data" 0'
	fails 3 'resize: x.vmdk: its last extent has no sectors' resize x.vmdk 16M
	assert_equal "$(stat -c %s data)" 8388608
	run -0 vmdk info x.vmdk
}

@test "a chain: loops, a parent that is none, or another" {
	vmdk clone -f thin data base.vmdk
	vmdk create --parent base.vmdk c.vmdk
	cid=$(sed -n 's/^CID=//p' c.vmdk)
	sed "s/^parentCID=.*/parentCID=$cid/; /^createType/aparentFileNameHint=\"c.vmdk\"" base.vmdk >b2.vmdk
	mv b2.vmdk base.vmdk
	fails 3 'map: .*lead back.*' map c.vmdk
	fails 3 'compact: .*lead back.*' compact c.vmdk
	run -8 vmdk check --chain c.vmdk
	sed -i 's/^parentFileNameHint=.*/parentFileNameHint="data"/' c.vmdk
	fails 3 'map: .*' map c.vmdk
	sed -i 's/^parentFileNameHint=.*/parentFileNameHint="..\/x.vmdk"/' c.vmdk
	fails 5 'map: .*' map c.vmdk
	sed -i '/^parentFileNameHint=/d' c.vmdk
	fails 3 'map: .*' map c.vmdk
	run -0 vmdk info c.vmdk
	for o in '' --chain; do
		run -8 vmdk check ${o:+"$o"} c.vmdk
		assert_line 'c.vmdk: parent: c.vmdk: has a parentCID but no parentFileNameHint'
	done
}

@test "what has lost its first bytes is not taken for a raw disk" {
	vmdk clone -f sparse data x.vmdk
	vmdk clone -f flat data f.vmdk
	: >empty.vmdk
	for f in x f; do
		patch $f.vmdk 0 'JDMV'
		fails 3 'convert: bad.vmdk: is a VMDK whose beginning is damaged .*--raw.*' convert bad.vmdk y.vmdk
		fails 3 'clone: bad.vmdk: is a VMDK whose beginning is damaged .*' clone bad.vmdk y.vmdk
		run -8 vmdk check bad.vmdk
		assert_line 'bad.vmdk: kind: it is a VMDK whose beginning is damaged'
		vmdk check --raw bad.vmdk
		vmdk convert --raw bad.vmdk y.vmdk
		rm y.vmdk
	done
	run -8 vmdk check empty.vmdk
	assert_line 'empty.vmdk: kind: it is empty'
}

@test "a packed disk whose tables do not name its grains is damaged" {
	cd "$BATS_TEST_TMPDIR" || return 1
	local size gd gt
	head -c 300k /dev/urandom >data
	truncate -s 8M data
	vmdk convert -f stream data whole.vmdk
	run -0 vmdk check whole.vmdk
	assert_output 'whole.vmdk: clean'
	# number OFFSET LETTER SIZE: what stands there.  put OFFSET NUMBER: 8 bytes of it.
	number() { od -An -j "$1" -N "$3" -t "$2$3" x.vmdk | tr -d ' '; }
	put() { perl -e 'print pack("Q<", $ARGV[0])' "$2" | dd of=x.vmdk bs=1 seek="$1" conv=notrunc status=none; }
	fresh() { cp whole.vmdk x.vmdk; }
	damaged() {
		run -8 vmdk check x.vmdk
		assert_line --index 0 --regexp "$1"
	}
	fresh
	size=$(stat -c %s x.vmdk)
	gd=$(number $((size - 1024 + 56)) u 8)
	gt=$(number $((gd * 512)) u 4)
	put $((gd * 512)) 0
	damaged 'x.vmdk: nameless: 5 grains of the file are in no grain table, the first is grain 0 at sector .*'
	# The footer leads to zeros between grains.
	fresh
	put $((size - 1024 + 56)) $((gd + 1))
	dd if=/dev/zero of=x.vmdk bs=512 seek=$((gd + 1)) count=1 conv=notrunc status=none
	damaged 'x.vmdk: nameless: 5 grains'
	fresh
	dd if=/dev/zero of=x.vmdk bs=4 seek=$((gt * 128 + 3)) count=1 conv=notrunc status=none
	damaged 'nameless: 1 grains of the file are in no grain table, the first is grain 3 at sector .*'
	run -8 vmdk check --json x.vmdk
	assert_line --index 0 --partial '"kind":"nameless"'
	# qemu writes the directory in front, and no footer.
	qemu-img convert -q -O vmdk -o subformat=streamOptimized -f raw data x.vmdk
	run -0 vmdk check x.vmdk
	assert_output 'x.vmdk: clean'
}
