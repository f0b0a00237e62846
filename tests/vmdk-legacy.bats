#!/usr/bin/env bats
# The spellings of vmkfstools and vmware-vdiskmanager.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() { mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1; }

# is FILE FORMAT BYTES
is() {
	run -0 vmdk info --json "$1"
	assert_output --partial "\"format\":\"$2\",\"capacity_bytes\":$3,"
}

@test "vmkfstools -c: sizes, formats, adapters" {
	run -0 vmdk -c 10M -d thin x.vmdk
	assert_output 'Create: 100% done.'
	is x.vmdk vmfs 10485760
	grep -q thinProvisioned x.vmdk
	vmdk -c 2m y.vmdk
	is y.vmdk vmfs 2097152
	[ "$(stat -c %b y-flat.vmdk)" -ge 4096 ]
	vmdk --createvirtualdisk=4096s --diskformat 2gbsparse --adaptertype=lsisas z.vmdk
	is z.vmdk twoGbMaxExtentSparse 2097152
	grep -q 'ddb.adapterType = "lsisas1068"' z.vmdk
	vmdk -d eagerzeroedthick -a ide -c 1048576b w.vmdk
	is w.vmdk vmfs 1048576
	grep -q 'ddb.adapterType = "ide"' w.vmdk
	vmdk -c 1M -d monosparse -W file -v 10 -N v.vmdk
	is v.vmdk monolithicSparse 1048576
}

@test "vmware-vdiskmanager -c: sizes, types, adapters" {
	run -0 vmdk -c -s 10MB -a ide -t 0 x.vmdk
	assert_output 'Virtual disk creation successful.'
	is x.vmdk monolithicSparse 10485760
	vmdk -c -s 4096 -t 2 -a lsilogic y.vmdk
	is y.vmdk monolithicFlat 2097152
	run -0 vmdk -q -c -t 1 -s 1MB z.vmdk
	assert_output ''
	is z.vmdk twoGbMaxExtentSparse 1048576
	vmdk -c -s 1MB -t 3 w.vmdk
	is w.vmdk twoGbMaxExtentFlat 1048576
	vmdk -c -s 1MB -t 6 v.vmdk
	is v.vmdk vmfs 1048576
}

@test "the rest of vmkfstools" {
	vmdk -c 200M -d thin x.vmdk
	run -0 vmdk -g x.vmdk
	assert_output 'Geometry information C/H/S is 200/64/32'
	vmdk -E x.vmdk y.vmdk
	assert_equal "$(echo *)" 'y-flat.vmdk y.vmdk'
	vmdk -X 300M y.vmdk
	is y.vmdk vmfs 314572800
	run -0 vmdk -x check y.vmdk
	assert_output 'y.vmdk: clean'
	vmdk -x repair y.vmdk
	vmdk -e y.vmdk
	vmdk -U y.vmdk
	assert_equal "$(echo *)" '*'
	vmdk -c 1M d.vmdk
	vmdk -D d.vmdk
	vmdk -U d.vmdk
	truncate -s 1M dev
	vmdk -r dev r.vmdk
	run -0 vmdk -q r.vmdk
	assert_output "Disk r.vmdk is a Non-passthrough Raw Device Mapping
Maps to: $PWD/dev"
	vmdk -z dev -a buslogic p.vmdk
	run -0 vmdk --queryrdm p.vmdk
	assert_line 'Disk p.vmdk is a Passthrough Raw Device Mapping'
	run -0 vmdk info --json --allow-outside p.vmdk
	assert_output --partial "\"maps_to\":\"$PWD/dev\""
	vmdk -c 1M -d thin q.vmdk
	run -0 vmdk -q q.vmdk
	assert_output 'Disk q.vmdk is not an rdm'
	run -0 vmdk -t0 q.vmdk
	assert_line --regexp '^ +0 +1048576 zero'
	run -0 vmdk -t 0 q.vmdk
	grep -q 'ddb.adapterType = "buslogic"' p.vmdk
}

@test "vmkfstools -i and vmware-vdiskmanager -r convert" {
	vmdk -c 4M -d thin a.vmdk
	printf hello | dd of=a-flat.vmdk bs=1 seek=1000000 conv=notrunc status=none
	vmdk -i a.vmdk b.vmdk
	is b.vmdk vmfs 4194304
	run ! grep -q thinProvisioned b.vmdk
	vmdk diff a.vmdk b.vmdk
	vmdk -i a.vmdk -d 2gbsparse c.vmdk
	is c.vmdk twoGbMaxExtentSparse 4194304
	vmdk diff a.vmdk c.vmdk
	vmdk --clonevirtualdisk=a.vmdk --diskformat=monosparse d.vmdk
	is d.vmdk monolithicSparse 4194304
	vmdk diff a.vmdk d.vmdk
	truncate -s 5M dev
	vmdk -i a.vmdk -d rdmp:dev e.vmdk
	cmp -n 4194304 a-flat.vmdk dev
	vmdk -r a.vmdk -t 5 f.vmdk
	is f.vmdk streamOptimized 4194304
	vmdk diff a.vmdk f.vmdk
	vmdk -q -r f.vmdk -t 0 g.vmdk
	is g.vmdk monolithicSparse 4194304
	vmdk diff a.vmdk g.vmdk
	# A VMDK is no device that could be mapped.
	vmdk -r g.vmdk h.vmdk
	is h.vmdk monolithicSparse 4194304
	vmdk -i a.vmdk -- -b.vmdk
	is ./-b.vmdk vmfs 4194304
	fails 2 '-i: the name of a disk is missing' -i a.vmdk
	fails 4 'convert: none.vmdk: .*' -i none.vmdk i.vmdk
}

@test "room is taken, given back, and filled with zeros" {
	vmdk -c 4M -d thin x.vmdk
	vmdk -j x.vmdk
	[ "$(stat -c %b x-flat.vmdk)" -ge 8192 ]
	printf hello | dd of=x-flat.vmdk bs=1 conv=notrunc status=none
	vmdk -K x.vmdk
	[ "$(stat -c %b x-flat.vmdk)" -lt 8192 ]
	assert_equal "$(head -c 5 x-flat.vmdk)" hello
	vmdk -k x.vmdk
	[ "$(stat -c %b x-flat.vmdk)" -ge 8192 ]
	vmdk --writezeros x.vmdk
	cmp -n 4194304 x-flat.vmdk /dev/zero
	vmdk -c -s 4MB -t 0 y.vmdk
	run -0 vmdk -k y.vmdk
	assert_output 'Shrink completed successfully.'
	vmdk -d y.vmdk
	vmdk -R y.vmdk
}

@test "the rest of vmware-vdiskmanager" {
	vmdk -c -s 10MB -t 0 x.vmdk
	vmdk -n x.vmdk y.vmdk
	run -0 vmdk -x 20MB y.vmdk
	assert_output 'Disk expansion completed successfully.'
	run -1 --separate-stderr vmdk -c -s 1MB -t 0 y.vmdk
	assert_output ''
	is y.vmdk monolithicSparse 20971520
	vmdk -R y.vmdk
	vmdk -e y.vmdk
	vmdk -U y.vmdk
	assert_equal "$(echo *)" '*'
}

@test "what is not done here: 3, and wrong lines: 2" {
	fails 3 '-C: not done here: file systems are not.*' -C vmfs5 -S name dev
	fails 3 '-P: not done here: .*' -P /vmfs
	fails 3 '-p: not done here: .*' -p /mnt
	fails 3 '-M: not done here: vmdk convert .*' -M x.vmdk
	fails 3 '-h: not done here: .*URLs.*' -r x.vmdk -t 0 -h host -u me y.vmdk
	fails 3 '--uniqueblocks: not done here: vmdk map .*' --uniqueblocks x.vmdk
	fails 3 '-I: not done here: vmdk snapshot .*' -I x.vmdk y.vmdk
	fails 2 '-c: the name of a disk is missing' -c 1G
	fails 2 '-c: y: one operand too many' -c 1G x y
	fails 2 'y: one operand too many' -c 1G x z y
	fails 2 '-c: needs an argument' -d thin -c
	fails 2 '1X: not a size' -c 1X x.vmdk
	fails 2 '99999999999T: not a size' -c 99999999999T x.vmdk
	fails 2 '-d qcow: not a disk format' -c 1M -d qcow x.vmdk
	fails 2 '-t 9: not a type from 0 to 6' -c -s 1M -t 9 x.vmdk
	fails 2 '-a nvme: not an adapter' -c 1M -a nvme x.vmdk
	fails 2 '-U: not together with -c' -c 1M -U x.vmdk
	fails 2 '-F: unknown option .*' -F x.vmdk
	fails 2 '--frob: unknown option .*' --frob x.vmdk
	fails 2 '-d: does not say what to do' -d thin x.vmdk
	assert_equal "$(echo *)" '*'
}
