#!/usr/bin/env bats
# vmdk create: what the files of a new disk are and hold.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() { mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1; }

# same_as_zeros FILE SIZE: qemu-img reads SIZE bytes of zeros from it.
same_as_zeros() {
	needs qemu-img
	rm -f zeros
	truncate -s "$2" zeros
	run -0 qemu-img compare -f vmdk -F raw "$1" zeros
	qemu-img info --output=json -f vmdk "$1" | grep -q "\"virtual-size\": $(stat -c %s zeros)[,]*$"
}

# The lines of a descriptor whose values are random are left out.
desc() { tr -d '\0' <"$1" | grep -av -e '^CID=' -e '^ddb.uuid' -e '^ddb.longContentID'; }

@test "a thin disk is described as ESX does it" {
	vmdk create -s 200M -f thin -a buslogic x.vmdk
	assert_equal "$(echo *)" "x-flat.vmdk x.vmdk"
	assert_equal "$(stat -c %s x-flat.vmdk)" 209715200
	assert_equal "$(stat -c %b x-flat.vmdk)" 0
	run -0 desc x.vmdk
	assert_output - <<-END
		# Disk DescriptorFile
		version=1
		encoding="UTF-8"
		parentCID=ffffffff
		createType="vmfs"

		# Extent description
		RW 409600 VMFS "x-flat.vmdk"

		# The Disk Data Base
		#DDB

		ddb.virtualHWVersion = "4"
		ddb.geometry.cylinders = "200"
		ddb.geometry.heads = "64"
		ddb.geometry.sectors = "32"
		ddb.adapterType = "buslogic"
		ddb.thinProvisioned = "1"
	END
	cid=$(sed -n 's/^CID=//p' x.vmdk)
	assert_regex "$cid" '^[0-9a-f]{8}$'
	grep -qE "^ddb.longContentID = \"[0-9a-f]{24}$cid\"$" x.vmdk
	grep -qE '^ddb.uuid = "60 00 C2 9[0-9a-f]( [0-9a-f]{2}){4}-[0-9a-f]{2}( [0-9a-f]{2}){7}"$' x.vmdk
	same_as_zeros x.vmdk 200M
}

@test "thick disks have their room, eager ones are written" {
	for f in zeroedthick eagerzeroedthick flat; do
		vmdk create -s 3M -f $f $f.vmdk
		assert_equal "$(stat -c %s $f-flat.vmdk)" 3145728
		[ "$(stat -c %b $f-flat.vmdk)" -ge 6144 ]
		run ! grep -q thinProvisioned $f.vmdk
		same_as_zeros $f.vmdk 3M
	done
	grep -q 'RW 6144 FLAT "flat-flat.vmdk" 0' flat.vmdk
	grep -q 'createType="monolithicFlat"' flat.vmdk
}

@test "a sparse disk is one file with its descriptor inside" {
	vmdk create -s 10G -f sparse -a ide x.vmdk
	assert_equal "$(echo *)" x.vmdk
	desc x.vmdk | grep -aq 'RW 20971520 SPARSE "x.vmdk"'
	desc x.vmdk | grep -aq 'ddb.geometry.cylinders = "16383"'
	same_as_zeros x.vmdk 10G
}

@test "pieces are counted and add up" {
	vmdk create -s 5G -f 2gbsparse s.vmdk
	assert_equal "$(echo s-*)" "s-s001.vmdk s-s002.vmdk s-s003.vmdk"
	run -0 grep '^RW' s.vmdk
	assert_output - <<-END
		RW 4192256 SPARSE "s-s001.vmdk"
		RW 4192256 SPARSE "s-s002.vmdk"
		RW 2101248 SPARSE "s-s003.vmdk"
	END
	same_as_zeros s.vmdk 5G
	vmdk create -s 4M -f 2gbflat f.vmdk
	grep -q '^RW 8192 FLAT "f-f001.vmdk" 0$' f.vmdk
	same_as_zeros f.vmdk 4M
}

@test "deltas of ESX, and raw" {
	vmdk create -s 1G -f vmfssparse d.vmdk
	grep -q '^RW 2097152 VMFSSPARSE "d-delta.vmdk"$' d.vmdk
	same_as_zeros d.vmdk 1G
	vmdk create -s 1G -f sesparse e.vmdk
	grep -q '^RW 2097152 SESPARSE "e-sesparse.vmdk"$' e.vmdk
	same_as_zeros e.vmdk 1G
	vmdk create -s 1G -f stream t.vmdk
	desc t.vmdk | grep -aq '^RW 2097152 SPARSE "t.vmdk"$'
	same_as_zeros t.vmdk 1G
	vmdk create -s 1G -f raw r.img
	assert_equal "$(stat -c %s r.img)" 1073741824
}

@test "a child names its parent and has its size; the format suits" {
	vmdk create -s 64M base.vmdk
	cid=$(tr -d '\0' <base.vmdk | sed -n 's/^CID=//p')
	vmdk create --parent base.vmdk c.vmdk
	desc c.vmdk | grep -aq "^parentCID=$cid\$"
	desc c.vmdk | grep -aq '^parentFileNameHint="base.vmdk"$'
	desc c.vmdk | grep -aq '^RW 131072 SPARSE "c.vmdk"$'
	same_as_zeros c.vmdk 64M
	vmdk create -s 64M -f thin esx.vmdk
	vmdk create --parent esx.vmdk esx-000001.vmdk
	grep -q '^createType="vmfsSparse"$' esx-000001.vmdk
	run ! grep -q ddb.geometry esx-000001.vmdk
	vmdk create --parent esx-000001.vmdk -f sesparse esx-000002.vmdk
	grep -q '^RW 131072 SESPARSE "esx-000002-sesparse.vmdk"$' esx-000002.vmdk
	same_as_zeros esx-000002.vmdk 64M
	# In another folder only if that is wanted.
	mkdir d
	fails 5 'create: .*another folder' create --parent base.vmdk d/c.vmdk
	vmdk create --parent base.vmdk --allow-outside d/c.vmdk
	desc d/c.vmdk | grep -aq "^parentFileNameHint=\"$PWD/base.vmdk\"\$"
	fails 2 'create: a disk of format thin has no parent' create --parent base.vmdk -f thin e.vmdk
	fails 3 'create: .*raw file cannot be a parent' create --parent base-flat.img e.vmdk || :
}

@test "--rdm maps a device, which only --allow-outside opens" {
	truncate -s 5M dev
	vmdk create --rdm dev r.vmdk
	grep -q '^createType="vmfsRawDeviceMap"$' r.vmdk
	grep -q '^RW 10240 VMFSRDM "r-rdm.vmdk"$' r.vmdk
	assert_equal "$(readlink r-rdm.vmdk)" "$PWD/dev"
	vmdk create --rdm dev --physical p.vmdk
	grep -q '^createType="vmfsPassthroughRawDeviceMap"$' p.vmdk
	grep -q '^RW 10240 VMFSRDM "p-rdmp.vmdk"$' p.vmdk
	fails 5 'info: .*' info r.vmdk
	run -0 vmdk info --allow-outside r.vmdk
	assert_output --partial vmfsRawDeviceMap
	vmdk delete r.vmdk
	assert [ -e dev ]
	assert [ ! -L r-rdm.vmdk ]
	fails 4 'create: none: No such file.*' create --rdm none q.vmdk
}

@test "--check creates nothing, --json says what was created" {
	run -0 vmdk create -s 1G -f thin --check x.vmdk
	assert_output 'x.vmdk: would be created: thin, 1G'
	run -0 vmdk create -s 1G -f thin --check --json x.vmdk
	assert_output '{"format":"thin","capacity_bytes":1073741824,"files":["x-flat.vmdk","x.vmdk"],"path":"x.vmdk","action":"create","check":true,"changed":true}'
	assert_equal "$(echo *)" '*'
	run -0 vmdk create -s 1G -f thin --json x.vmdk
	assert_output --partial '"check":false,"changed":true}'
	assert [ -e x.vmdk ]
}

@test "what is there is not overwritten without --force" {
	echo mine >x.vmdk
	fails 1 'create: x.vmdk: File exists' create -s 1M x.vmdk
	fails 1 'create: x.vmdk: File exists' create -s 1M --check x.vmdk
	assert_equal "$(cat x.vmdk)" mine
	rm x.vmdk
	echo mine >x-flat.vmdk
	fails 1 'create: x-flat.vmdk: File exists' create -s 1M -f thin x.vmdk
	assert_equal "$(cat x-flat.vmdk)" mine
	assert [ ! -e x.vmdk ]
	rm x-flat.vmdk
	vmdk create -s 8G -f 2gbsparse x.vmdk
	vmdk create -s 1M -f thin --force x.vmdk
	assert_equal "$(echo *)" "x-flat.vmdk x.vmdk"
}

@test "wrong usage: 2, and one line" {
	fails 2 'create: FILE is missing' create -s 1M
	fails 2 'create: y: one operand too many' create -s 1M x y
	fails 2 'create: --size is missing' create x.vmdk
	fails 2 'create: --size: 1: out of range \(512 to 62T\)' create -s 1 x.vmdk
	fails 2 'create: --size: 63T: out of range .*' create -s 63T x.vmdk
	fails 2 'create: a size of 1000 bytes: not a multiple of 512' create -s 1000 x.vmdk
	fails 2 'create: --format: qcow2: not one of .*' create -s 1M -f qcow2 x.vmdk
	fails 2 'create: --adapter: nvme: not one of .*' create -s 1M -a nvme x.vmdk
	fails 2 'create: --physical: needs --rdm' create -s 1M --physical x.vmdk
	fails 2 'create: --size: not together with --rdm.*' create -s 1M --rdm d x.vmdk
	fails 2 'create: .*a quote or a newline in the name' create -s 1M 'a"b.vmdk'
	fails 2 'create: .*' create -s 3T -f vmfssparse x.vmdk
	fails 2 'create: .*' create -s 1M --grain 3000 x.vmdk
	fails 2 'create: d/: .*' create -s 1M d/
	fails 4 'create: d/x.vmdk: .*' create -s 1M d/x.vmdk
	fails 4 'create: none.vmdk: .*' create --parent none.vmdk x.vmdk
	assert_equal "$(echo *)" '*'
}

@test "a folder that may not be written to: 5" {
	as_other
	mkdir "$other/d"
	chmod 755 "$other/d"
	fails 5 'create: .*: Permission denied' create -s 1M -f thin "$other/d/x.vmdk"
	assert_equal "$(ls "$other/d")" ''
}

@test "no room: one line, and nothing is left" {
	# Bytes that a file may have, in KiB.
	limited() { (ulimit -f 512 && vmdk "$@"); }
	for f in flat 2gbflat thin zeroedthick eagerzeroedthick raw; do
		run -3 --separate-stderr limited create -s 1M -f $f x.vmdk
		assert_regex "$stderr" '^vmdk: create: .*File too large$'
		assert_equal "$(echo *)" '*'
	done
	# Of 1 MiB, too small for each of these.
	small 1M
	for f in flat 2gbflat zeroedthick eagerzeroedthick; do
		run -1 --separate-stderr vmdk create -s 4M -f $f "$small/x.vmdk"
		assert_regex "$stderr" '^vmdk: create: .*No space left on device$'
		assert_equal "$(ls "$small")" ''
	done
}

@test "--progress=json says on stderr how far it is" {
	for c in 'create -s 3M -f eagerzeroedthick x.vmdk' 'clone x.vmdk y.vmdk' \
		'convert x.vmdk z.vmdk' 'diff x.vmdk z.vmdk'; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr vmdk $c --progress=json
		assert_output ''
		assert_regex "${stderr_lines[0]}" '^\{"done_bytes":[0-9]+,"total_bytes":3145728\}$'
		assert_equal "${stderr_lines[-1]}" '{"done_bytes":3145728,"total_bytes":3145728}'
	done
}

@test "it is stopped by SIGTERM, and nothing is left" {
	"$VMDK" create -s 20G -f eagerzeroedthick x.vmdk </dev/null 2>err 3>&- &
	pid=$!
	until [ -s x.vmdk.part-flat.vmdk ] && [ "$(stat -c %b x.vmdk.part-flat.vmdk)" -gt 0 ]; do
		kill -0 $pid
		read -rt 0.02 <> <(:) || :
	done
	kill -TERM $pid
	rc=0
	wait $pid || rc=$?
	assert_equal $rc 1
	assert_equal "$(cat err)" 'vmdk: create: stopped'
	assert_equal "$(echo *)" err
}

@test "vmdk links neither the disassembler nor any part of a virtual machine" {
	run -0 ldd "$VMDK"
	refute_output --partial capstone
	run -0 nm "$VMDK"
	refute_output --regexp ' [TtDdBbRr] (vm_|vcpu_|bus_|bt_|interp_|x86_|pc_|kvm_|mem_dirty)'
}

@test "each format for each adapter: the adapter, its geometry, and sound" {
	for a in ide buslogic lsilogic lsisas1068 pvscsi; do
		for f in sparse 2gbsparse flat 2gbflat thin zeroedthick eagerzeroedthick vmfssparse sesparse stream; do
			vmdk create -s 3M -f $f -a $a x.vmdk
			run -0 vmdk info --json x.vmdk
			assert_output --partial "\"adapter_type\":\"$a\""
			run -0 vmdk info --geometry x.vmdk
			case $a in
			ide) assert_output 'Geometry information C/H/S is 6/16/63' ;;
			*) assert_output 'Geometry information C/H/S is 3/64/32' ;;
			esac
			run -0 vmdk check x.vmdk
			assert_output 'x.vmdk: clean'
			vmdk delete x.vmdk
		done
	done
	assert_equal "$(echo *)" '*'
}
