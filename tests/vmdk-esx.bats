#!/usr/bin/env bats
# ESX's own formats, vmfsSparse and seSparse: what qemu-img reads of ours, damage, and
# journals of others.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1
	# 8 MiB with data at 1 MiB and at the end.
	head -c 1048576 /dev/zero >data
	head -c 262144 /dev/urandom >>data
	truncate -s 8380416 data
	head -c 8192 /dev/urandom >>data
}

# patch FILE OFFSET BYTES: write BYTES (as printf has them).
patch() {
	# shellcheck disable=SC2059
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

same() {
	needs qemu-img
	qemu-img compare -f vmdk -F raw "$1" "$2"
}

@test "qemu-img reads both, also as snapshots of each other and in another size" {
	for f in vmfssparse sesparse; do
		vmdk clone -f $f data $f.vmdk
		same $f.vmdk data
		cp data larger
		truncate -s 20M larger
		vmdk resize $f.vmdk 20M
		same $f.vmdk larger
		# Behind 512 MiB the tables of a small seSparse must move.
		truncate -s 600M larger
		vmdk resize $f.vmdk 600M
		same $f.vmdk larger
		vmdk check $f.vmdk
		truncate -s 7M larger
		vmdk resize --force $f.vmdk 7M
		same $f.vmdk larger
		vmdk create --parent $f.vmdk -f vmfssparse $f-1.vmdk
		vmdk create --parent $f-1.vmdk -f sesparse $f-2.vmdk
		same $f-2.vmdk larger
		vmdk check --chain $f-2.vmdk
	done
}

@test "room that a guest unmaps is given back" {
	for f in vmfssparse:delta sesparse:sesparse; do
		vmdk clone -f ${f%:*} data x.vmdk
		before=$(stat -c %b x-${f#*:}.vmdk)
		vmdk resize --force x.vmdk 1M
		[ "$(stat -c %b x-${f#*:}.vmdk)" -lt $((before - 400)) ]
		vmdk check x.vmdk
		vmdk delete x.vmdk
	done
}

@test "a malformed seSparse header: 3, and the field is named" {
	vmdk clone -f sesparse data x.vmdk
	sed 's/x-sesparse/bad/' x.vmdk >y.vmdk
	while read -r off bytes pattern; do
		cp x-sesparse.vmdk bad.vmdk
		patch bad.vmdk "$off" "$bytes"
		cp bad.vmdk keep.vmdk
		for c in info map check 'check --repair'; do
			# shellcheck disable=SC2086
			fails 3 "${c%% *}: bad.vmdk: $pattern.*" $c y.vmdk
		done
		cmp bad.vmdk keep.vmdk
	done <<-'END'
		0   \x00 not a seSparse extent: constMagic is
		8   \x02 version is 0x200000002, known is 0x200000001
		16  \x00\x00\x00\x00 capacity is 0 sectors
		16  \x00\x00\x00\x00\x00\x00\x00\x01 capacity is
		16  \x00\x01\x00\x00 capacity is 256, the descriptor says 16384
		24  \x07 grainSize is 7 sectors
		32  \x20 grainTableSize is 32, known is 64
		40  \x01 flags is 0x1, known is 0
		72  \x01 the reserved fields are not 0
		80  \xff\xff volatileHeader is sector 65535, the file ends before
		152 \x00\x00\x00\x01 grainTables .* and freeBitmap <8192: 2048> lie in each other
		208 \x01 the header goes on behind byte 208
		512 \x00 volatileMagic is 0xcafeca00
		560 \x01 the volatile header goes on behind byte 32
	END
}

@test "a journal of another program: refused with what to do, given up by a repair" {
	vmdk clone -f sesparse data x.vmdk
	patch x-sesparse.vmdk 536 '\x01'
	patch x-sesparse.vmdk 1024 'XXXXXXXX'
	for c in 'info x.vmdk' 'map x.vmdk' 'resize --force x.vmdk 7M'; do
		# shellcheck disable=SC2086
		fails 3 "${c%% *}: x-sesparse.vmdk: replayJournal is 1, .* open and close the disk there, .*" $c
	done
	run -8 --separate-stderr vmdk check x.vmdk
	assert_regex "$output" 'journal'
	run -0 --separate-stderr vmdk check --repair x.vmdk
	assert_regex "$output" 'journal'
	vmdk check x.vmdk
	same x.vmdk data
}

@test "a bitmap that lacks grains in use: not written to before a repair" {
	vmdk clone -f sesparse data x.vmdk
	patch x-sesparse.vmdk 528 '\x05'	# another program was the last to write
	patch x-sesparse.vmdk $((8192 * 512)) '\x00'
	same x.vmdk data
	fails 3 'resize: x-sesparse.vmdk: freeBitmap does not have grain [0-9]+, .*' resize --force x.vmdk 7M
	run -8 --separate-stderr vmdk check x.vmdk
	assert_regex "$output" 'freeBitmap'
	run -0 --separate-stderr vmdk check --repair x.vmdk
	vmdk resize --force x.vmdk 7M
	vmdk check x.vmdk
}

@test "a vmfsSparse header that was written over comes back, and the grains with it" {
	vmdk clone -f vmfssparse data x.vmdk
	head -c 512 /dev/urandom | dd of=x-delta.vmdk conv=notrunc status=none
	cp x-delta.vmdk keep
	fails 3 'info: x-delta.vmdk: not a vmfsSparse extent: .*' info x.vmdk
	run -8 --separate-stderr vmdk check x.vmdk
	assert_line --partial 'x-delta.vmdk: header: the header is lost'
	cmp x-delta.vmdk keep
	run -0 --separate-stderr vmdk check --repair x.vmdk
	vmdk check x.vmdk
	same x.vmdk data
	# Nothing is made of what has no directory.
	head -c 4096 /dev/urandom | dd of=x-delta.vmdk conv=notrunc status=none
	fails 3 'check: x-delta.vmdk: not a vmfsSparse extent: .*' check --repair x.vmdk
	# As QEMU's writes leave it: those under a table that is not there go to byte 0.
	vmdk convert -f vmfssparse data y.vmdk
	head -c 512 /dev/zero | tr '\0' '\5' | dd of=y-delta.vmdk conv=notrunc status=none
	fails 3 'info: y-delta.vmdk: not a vmfsSparse extent: .*' info y.vmdk
	run -0 --separate-stderr vmdk check --repair y.vmdk
	vmdk check y.vmdk
	same y.vmdk data
}

@test "tables that lead outside or to one grain twice: found, mended, and gone" {
	vmdk clone -f sesparse data s.vmdk
	vmdk clone -f vmfssparse data c.vmdk
	gt=$(od -An -tu4 -j2048 -N4 c-delta.vmdk | tr -d ' ')
	while read -r file off bytes kind; do
		for x in s-sesparse c-delta; do cp $x.vmdk $x.keep; done
		patch "$file.vmdk" "$off" "$bytes"
		run -8 --separate-stderr vmdk check --json "${file%-*}.vmdk"
		assert_regex "$output" "\"kind\":\"$kind\""
		run -0 --separate-stderr vmdk check --repair "${file%-*}.vmdk"
		run -0 --separate-stderr vmdk check "${file%-*}.vmdk"
		for x in s-sesparse c-delta; do mv $x.keep $x.vmdk; done
	done <<-END
		s-sesparse 2097152 \\x77 directory
		s-sesparse $((6144 * 512)) \\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x30 outside
		s-sesparse $((6144 * 512)) \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x30 overlap
		s-sesparse $((6144 * 512)) \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x70 entry
		s-sesparse $((10240 * 512)) \\x09 backmap
		c-delta 2048 \\xff\\xff\\xff directory
		c-delta $((gt * 512)) \\xff\\xff\\xff\\x7f outside
		c-delta $((gt * 512)) \\x04 overlap
		c-delta 28 \\x08\\x00\\x00\\x00 free
	END
}
