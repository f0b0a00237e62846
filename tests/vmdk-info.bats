#!/usr/bin/env bats
# vmdk info, map, check and diff: what they say of disks, good and bad.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() { mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1; }

io() {
	needs qemu-io
	qemu-io -f "${3:-vmdk}" -c "$2" "$1" >io.log 2>&1 || { cat io.log; return 1; }
}

@test "info: in words and as an object a layer" {
	vmdk create -s 64M -f thin base.vmdk
	vmdk create --parent base.vmdk c.vmdk
	run -0 vmdk info base.vmdk
	assert_line '  format            vmfs, thin'
	assert_line '  capacity          64M (67108864 bytes)'
	assert_line '  geometry          64/64/32'
	assert_line '  extents           RW 64M VMFS base-flat.vmdk'
	run -0 vmdk info --json --chain c.vmdk
	assert_equal "${#lines[@]}" 2
	assert_regex "${lines[0]}" '^\{"path":"c.vmdk","layer":1,"format":"vmfsSparse","capacity_bytes":67108864,'
	assert_regex "${lines[1]}" '^\{"path":"base.vmdk","layer":0,"format":"vmfs",.*"thin":true,'
	assert_regex "${lines[1]}" '"geometry":\{"cylinders":64,"heads":64,"sectors":32\}'
	assert_regex "${lines[1]}" '"extents":\[\{"access":"RW","type":"VMFS","size_bytes":67108864,"file":"base-flat.vmdk","offset_bytes":0\}\]'
	# What is wrong with a parent is said.
	sed -i 's/^CID=.*/CID=00000001/' base.vmdk
	run -0 vmdk info --json --chain c.vmdk
	assert_regex "${lines[0]}" '"broken":"[^"]*'
	rm base.vmdk
	run -0 vmdk info --chain c.vmdk
	assert_line --partial 'broken'
	# Names that are not UTF-8 are no reason to break JSON.
	vmdk create -s 1M -f raw $'\xff.img'
	run -0 vmdk info --json $'\xff.img'
	assert_output --partial '{"path":"'
}

@test "map: ranges of a chain, and where they lie" {
	vmdk create -s 8M -f thin base.vmdk
	io base.vmdk 'write -P 1 1M 64k'
	vmdk create --parent base.vmdk -f sparse c.vmdk
	io c.vmdk 'write -P 2 2M 64k'
	run -0 vmdk map --json c.vmdk
	assert_line --partial '{"start_bytes":1048576,"length_bytes":65536,"kind":"data","layer":0,"layer_path":"base.vmdk","file":"base-flat.vmdk","file_offset_bytes":1048576}'
	assert_line --regexp '"start_bytes":2097152,"length_bytes":65536,"kind":"data","layer":1,"layer_path":"c.vmdk","file":"c.vmdk"'
	sum=0
	for l in "${lines[@]}"; do
		l=${l#*\"length_bytes\":}
		sum=$((sum + ${l%%,*}))
	done
	assert_equal $sum 8388608
	run -0 vmdk map base.vmdk
	assert_equal "${#lines[@]}" 4
	assert_line --regexp '^ +1048576 +65536 data +0 base-flat.vmdk 1048576$'
}

@test "diff: ranges, sizes, and 8" {
	vmdk create -s 8M a.vmdk
	vmdk create -s 8M -f thin b.vmdk
	run -0 vmdk diff a.vmdk b.vmdk
	assert_output ''
	io a.vmdk 'write -P 1 1M 64k'
	io b.vmdk 'write -P 1 1M 32k'
	io b.vmdk 'write -P 3 5M 512'
	run -8 vmdk diff a.vmdk b.vmdk
	assert_output - <<-END
		        1081344           32768
		        5242880             512
	END
	run -8 vmdk diff --json a.vmdk b.vmdk
	assert_output - <<-END
		{"start_bytes":1081344,"length_bytes":32768}
		{"start_bytes":5242880,"length_bytes":512}
		{"path":"a.vmdk","other":"b.vmdk","differ":true,"different_bytes":33280,"capacity_bytes":8388608,"other_capacity_bytes":8388608}
	END
	run -8 vmdk diff -q a.vmdk b.vmdk
	assert_output ''
	vmdk create -s 4M c.vmdk
	vmdk create -s 5M d.vmdk
	run -8 vmdk diff c.vmdk d.vmdk
	assert_output 'c.vmdk has 4194304 bytes, d.vmdk has 5242880'
	fails 2 'diff: B is missing' diff a.vmdk
	fails 4 'diff: none: .*' diff a.vmdk none
}

@test "check: clean, repaired, and damage that is left" {
	vmdk create -s 64M -f thin base.vmdk
	vmdk create --parent base.vmdk c.vmdk
	run -0 vmdk check --chain c.vmdk
	assert_output 'c.vmdk: clean'
	run -0 vmdk check --json base.vmdk
	assert_output '{"path":"base.vmdk","action":"check","changed":false,"repaired":0,"damage_left":0,"leaks_left":0}'
	sed -i 's/geometry.heads = "64"/geometry.heads = "x"/' base.vmdk
	run -8 vmdk check base.vmdk
	assert_line 'base.vmdk: geometry: ddb.geometry.heads "x": not a number above 0'
	run -0 vmdk check --repair --json base.vmdk
	assert_line '{"path":"base.vmdk","kind":"geometry","message":"ddb.geometry.heads \"x\": not a number above 0","leak":false,"repaired":true}'
	assert_line --partial '"changed":true,"repaired":1,"damage_left":0'
	run -0 vmdk check base.vmdk
	assert_output 'base.vmdk: clean'
	# The child's parent is not the one that it was.
	sed -i 's/^CID=.*/CID=00000001/' base.vmdk
	run -8 vmdk check --chain c.vmdk
	assert_line --partial 'c.vmdk: parent: '
	run -0 vmdk check c.vmdk
	rm base.vmdk
	run -8 vmdk check --chain c.vmdk
	assert_line --partial 'c.vmdk: parent: '
	# Two extents in one place.
	vmdk create -s 2M -f flat f.vmdk
	sed -i 's/^RW 4096 FLAT.*/RW 2048 FLAT "f-flat.vmdk" 0\nRW 2048 FLAT "f-flat.vmdk" 2047/' f.vmdk
	run -8 vmdk check f.vmdk
	assert_line --partial 'f.vmdk: overlap: extents 1 and 2 lie in one place of f-flat.vmdk'
	sed -i 's/ 2047$/ 2048/' f.vmdk
	vmdk check f.vmdk
}

# descriptor LINE...: x.vmdk, a good one but for the lines, which replace those that begin
# alike.
descriptor() {
	cat >x.vmdk <<-END
		# Disk DescriptorFile
		version=1
		CID=12345678
		parentCID=ffffffff
		createType="monolithicFlat"

		RW 2048 FLAT "x-flat.vmdk" 0
	END
	truncate -s 1M x-flat.vmdk
	local l
	for l in "$@"; do
		sed -i "\\,^${l%%[= ]*}[= ],c$l" x.vmdk
	done
}

@test "a malformed descriptor: 3, and the line or key is named" {
	descriptor
	vmdk info x.vmdk
	while IFS='|' read -r line pattern; do
		descriptor "$line"
		fails 3 "info: x.vmdk: $pattern" info x.vmdk
		fails 3 "map: x.vmdk: $pattern" map x.vmdk
		fails 3 "check: x.vmdk: $pattern" check x.vmdk
		fails 3 "diff: x.vmdk: $pattern" diff x.vmdk x.vmdk
	done <<-'END'
		version=x|version is "x".*
		version=9|version 9 .*
		CID=xyz|CID is "xyz".*
		parentCID=1234567890|parentCID is .*
		createType="thing"|createType "thing" .*
		RW 2048 FLAT|line 7: .*no quoted file name
		RW 2048 FLAT "x-flat.vmdk|line 7: .*quote that is not closed
		RW 2048 FLAT "" 0|line 7: .*empty file name
		RW big FLAT "x-flat.vmdk" 0|line 7: .*size that is not a number.*
		RW 18446744073709551615 FLAT "x-flat.vmdk" 0|line 7: .*
		RW 2048 QUARK "x-flat.vmdk" 0|line 7: extents of type QUARK .*
	END
	descriptor 'RW 2049 FLAT "x-flat.vmdk" 0'
	fails 3 'info: x-flat.vmdk: has 1048576 bytes.*' info x.vmdk
}

@test "files that are missing, outside, or no files" {
	fails 4 'info: none.vmdk: No such file.*' info none.vmdk
	fails 4 'map: none.vmdk: .*' map none.vmdk
	fails 4 'check: none.vmdk: .*' check none.vmdk
	descriptor
	rm x-flat.vmdk
	fails 4 'info: x-flat.vmdk: No such file.*' info x.vmdk
	descriptor 'RW 2048 FLAT "../y.vmdk" 0'
	fails 5 'info: .*\.\..*' info x.vmdk
	descriptor "RW 2048 FLAT \"$PWD/x-flat.vmdk\" 0"
	fails 5 'info: .*absolute.*' info x.vmdk
	vmdk info --allow-outside x.vmdk
	descriptor
	mv x-flat.vmdk y
	ln -s y x-flat.vmdk
	fails 5 'info: .*symbolic link.*' info x.vmdk
	rm x-flat.vmdk
	mkfifo x-flat.vmdk
	fails 3 'info: x-flat.vmdk: is a pipe.*' info x.vmdk
	fails 2 'info: FILE is missing' info
	fails 2 'info: b: one operand too many' info a b
	fails 2 'check: --frob: unknown option .*' check --frob x.vmdk
}

@test "what is a disk or archive of another product is not copied as raw" {
	while read -r off bytes what; do
		truncate -s 1M x
		# shellcheck disable=SC2059
		printf "$bytes" | dd of=x bs=1 seek="$off" conv=notrunc status=none
		fails 3 "convert: x: is $what.*\\(--raw takes it as it is\\)" convert x y.vmdk
		fails 3 "clone: x: is $what.*" clone x y.vmdk
		run -0 vmdk info x
		assert_line --regexp "^  format +raw; looks like $what"
		run -0 vmdk info --json x
		assert_line --regexp "\"looks_like\":\"$what"
		vmdk convert --raw x y.vmdk
		vmdk diff x y.vmdk
		rm x y.vmdk
	done <<-'END'
		0 QFI\xfb a qcow2 image
		0 conectix a VHD
		0 vhdxfile a VHDX
		257 ustar a tar archive
		0 \x1f\x8b compressed by gzip
		0 config.version a .vmx file
	END
	truncate -s 1M x
	vmdk clone x y
	run -0 vmdk info --json x
	assert_output --partial '"looks_like":null'
}

@test "a disk that may not be read: 5" {
	as_other
	vmdk create -s 1M -f thin x.vmdk 2>/dev/null || :
	install -m 600 /dev/null "$other/x.vmdk"
	fails 5 'info: .*: Permission denied' info "$other/x.vmdk"
	fails 5 'check: .*: Permission denied' check "$other/x.vmdk"
}

@test "info: an extent without its descriptor" {
	vmdk create -s 3G -f 2gbsparse split.vmdk
	run -0 vmdk info split-s002.vmdk
	assert_line '  format            SPARSE extent without its descriptor'
	run -0 vmdk info --json split-s002.vmdk
	assert_output --partial '"format":"SPARSE"'
}

@test "a disk may have more files than a program may open at first" {
	vmdk create -s 60G -f 2gbsparse many.vmdk
	run -0 bash -c 'ulimit -Sn 24; exec "$@"' _ "$VMDK" map --json many.vmdk
	assert_output --partial '"length_bytes":64424509440'
}
