#!/usr/bin/env bats
# vmdk chain: what is wrong with the layers of a disk, and its repair.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	needs qemu-io
	mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1
}

# chain FORMAT: x.vmdk with two layers on it, and in raw what the top reads as.
chain() {
	head -c 3M /dev/urandom >data
	vmdk clone -f "$1" data x.vmdk
	vmdk snapshot create x.vmdk a >/dev/null
	vmdk snapshot create x.vmdk b >/dev/null
	vmdk convert -f raw x-000002.vmdk raw
	rm data
}

same() {
	vmdk convert -f raw x-000002.vmdk now
	cmp raw now
	rm now
}

@test "a sound chain" {
	chain sparse
	run -0 vmdk chain x-000002.vmdk
	assert_equal "${#lines[@]}" 3
	assert_line --index 2 --regexp '^x.vmdk  monolithicSparse  CID [0-9a-f]{8}  parentCID ffffffff  ok$'
	run -0 vmdk chain --json x-000001.vmdk
	assert_line --index 0 --regexp '^\{"path":"x-000001.vmdk","state":"ok","why":null,"create_type":"monolithicSparse","cid":"[0-9a-f]{8}","parent_cid":"[0-9a-f]{8}","parent":"x.vmdk","capacity_bytes":3145728\}$'
	run -0 vmdk chain --fix --json x-000002.vmdk
	assert_output --partial '"mended":[],"path":"x-000002.vmdk","action":"chain","check":false,"changed":false'
	vmdk create -s 1M -f raw r.img
	run -0 vmdk chain r.img
	assert_output 'r.img  raw'
}

@test "ids that do not fit" {
	chain thin
	sed -i 's/^CID=.*/CID=12345678/' x.vmdk
	run -8 vmdk chain x-000002.vmdk
	assert_line --regexp '^x-000001.vmdk .* cid-mismatch$'
	assert_line --regexp '^  its parentCID is [0-9a-f]{8}, the CID of x.vmdk is 12345678$'
	run -3 vmdk convert -f raw x-000002.vmdk now
	run -0 vmdk chain --fix --check x-000002.vmdk
	assert_output 'x-000001.vmdk: would have its parentCID set to the CID of its parent'
	run -8 vmdk chain x-000002.vmdk
	run -0 vmdk chain --fix x-000002.vmdk
	assert_output 'x-000001.vmdk: parentCID set to the CID of its parent'
	run -0 vmdk chain x-000002.vmdk
	same
}

@test "lost descriptors of bases and deltas come back" {
	for f in thin flat 2gbsparse 2gbflat; do
		chain $f
		[ $f != thin ] || rm x-000001.vmdk
		rm x.vmdk
		run -8 vmdk chain x-000002.vmdk
		assert_line --partial 'No such file or directory'
		run -0 vmdk chain --fix x-000002.vmdk
		assert_line 'x.vmdk: descriptor made from its extents'
		run -0 vmdk chain x-000002.vmdk
		same
		vmdk snapshot delete --children x.vmdk a >/dev/null
		vmdk convert -f raw x.vmdk now
		cmp raw now
		vmdk delete x.vmdk
		rm -f raw now x.vmsd
		assert_equal "$f: $(echo *)" "$f: *"
	done
}

@test "a descriptor that is garbage is put aside" {
	chain zeroedthick
	echo garbage >x.vmdk
	run -8 vmdk chain x-000002.vmdk
	run -0 vmdk chain --fix x-000002.vmdk
	same
	assert_equal "$(cat x.vmdk.bad)" garbage
}

@test "a top whose descriptor is lost, and a parent that is told" {
	chain thin
	rm x-000002.vmdk
	fails 4 'chain: x-000002.vmdk: No such file or directory' chain x-000002.vmdk
	run -0 vmdk chain --fix x-000002.vmdk
	same
	rm x-000002.vmdk
	vmdk chain --fix --parent x-000001.vmdk x-000002.vmdk
	same
}

@test "parents that were renamed or moved are found by their ids" {
	chain sparse
	# All of it came from another host, where parents were named by absolute paths.
	mv x.vmdk base.vmdk
	run -8 vmdk chain x-000002.vmdk
	assert_line 'x.vmdk  missing'
	run -0 vmdk chain --fix --check x-000002.vmdk
	assert_output 'x-000001.vmdk: would have its parentFileNameHint set to base.vmdk'
	run -0 vmdk chain --fix x-000002.vmdk
	assert_output 'x-000001.vmdk: parentFileNameHint set to base.vmdk'
	same
	cp base.vmdk copy.vmdk
	mv base.vmdk other.vmdk
	fails 8 'chain: [a-z]*.vmdk and [a-z]*.vmdk have the id of the parent of x-000001.vmdk: .*--parent.*' chain --fix x-000002.vmdk
	run -0 vmdk chain --fix --parent other.vmdk x-000002.vmdk
	assert_output 'x-000001.vmdk: parentFileNameHint set to other.vmdk'
	same
	mkdir d
	rm copy.vmdk
	mv other.vmdk d
	fails 4 'chain: other.vmdk: No such file or directory' chain --fix x-000002.vmdk
	fails 5 'chain: .*lies in another folder' chain --fix --parent d/other.vmdk x-000002.vmdk
	fails 4 'chain: none.vmdk: .*' chain --fix --parent none.vmdk x-000002.vmdk
	run -0 vmdk chain --fix --allow-outside --parent d/other.vmdk x-000002.vmdk
	vmdk convert -f raw --allow-outside x-000002.vmdk - | cmp raw -
	# A path that leads outside, and the right disk is here.
	mv d/other.vmdk .
	run -8 vmdk chain x-000002.vmdk
	assert_line --partial 'is an absolute path'
	run -0 vmdk chain --fix x-000002.vmdk
	assert_output 'x-000001.vmdk: parentFileNameHint set to other.vmdk'
	same
	# One in the middle, and ids that do not fit with it.
	mv x-000001.vmdk mid.vmdk
	vmdk chain --fix x-000002.vmdk
	same
}

@test "a chain that is too deep is refused, one layer less is read" {
	vmdk create -s 1M -f thin c0.vmdk
	vmdk create --parent c0.vmdk c1.vmdk
	# All of them have one empty extent.
	for i in {2..255}; do
		printf '%s\n' '# Disk DescriptorFile' version=1 "CID=$i" "parentCID=$((i - 1))" \
			'createType="vmfsSparse"' "parentFileNameHint=\"c$((i - 1)).vmdk\"" \
			'RW 2048 VMFSSPARSE "c1-delta.vmdk"' >c$i.vmdk
	done
	sed -i 's/^CID=.*/CID=00000001/' c1.vmdk
	run -0 vmdk chain c254.vmdk
	assert_equal "${#lines[@]}" 255
	run -0 vmdk check --chain c254.vmdk
	vmdk convert -f raw c254.vmdk out
	fails 3 'chain: c255.vmdk: more than 255 layers' chain c255.vmdk
	fails 3 'convert: c255.vmdk: more than 255 layers' convert c255.vmdk x.vmdk
	run -8 vmdk check --chain c255.vmdk
	fails 2 'snapshot: c254.vmdk: 255 layers are the most' snapshot create c254.vmdk s
	fails 2 'clone: c254.vmdk: 255 layers are the most' clone --linked c254.vmdk x.vmdk
	fails 2 'create: c254.vmdk: 255 layers are the most' create --parent c254.vmdk x.vmdk
	assert [ ! -e x.vmdk ]
}

@test "what cannot be mended" {
	chain sparse
	rm x.vmdk
	run -8 vmdk chain x-000002.vmdk
	assert_line 'x.vmdk  missing'
	fails 4 'chain: x.vmdk: No such file or directory' chain --fix x-000002.vmdk
	vmdk create -s 1M -f thin y.vmdk
	printf 'parentFileNameHint="y.vmdk"\n' >>y.vmdk
	sed -i 's/^parentCID=.*/parentCID=00000001/' y.vmdk
	run -8 vmdk chain y.vmdk
	assert_line '  its parent hangs on it'
	fails 8 'chain: its parent hangs on it' chain --fix y.vmdk
	fails 4 'chain: nope.vmdk: No such file or directory' chain nope.vmdk
	fails 2 'chain: --parent goes with --fix' chain --parent a x-000002.vmdk
	fails 2 'chain: --check goes with --fix' chain --check x-000002.vmdk
}
