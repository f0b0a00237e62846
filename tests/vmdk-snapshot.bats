#!/usr/bin/env bats
# vmdk snapshot and vmdk old: trees of snapshots of machines and of single disks.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	needs qemu-io
	mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1
}

# put FILE PATTERN OFFSET; has FILE PATTERN OFFSET: 64 KiB of a byte, by qemu.
put() { qemu-io -f vmdk -c "write -P $2 $3 64k" "$1" >/dev/null; }
has() { qemu-io -f vmdk -c "read -P $2 $3 64k" "$1" | grep -q '^read' && ! qemu-io -f vmdk -c "read -P $2 $3 64k" "$1" | grep -q failed; }

# top FILE.vmx NODE: the present layer.
top() { sed -n "s/^$2.fileName = \"\(.*\)\"/\1/p" "$1"; }

# A machine with a disk on each of two controllers, and one that is independent.
machine() {
	vmdk create -s 4M "${1:-vm.vmdk}"
	vmdk create -s 2M -f flat b.vmdk
	vmdk create -s 1M c.vmdk
	printf '%s\n' '.encoding = "UTF-8"' 'displayName = "it"' \
		'ide0:0.present = "TRUE"' "ide0:0.fileName = \"${1:-vm.vmdk}\"" \
		'scsi0.present = "TRUE"' 'scsi0:0.present = "TRUE"' 'scsi0:0.fileName = "b.vmdk"' \
		'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "c.vmdk"' \
		'scsi0:1.mode = "independent-persistent"' \
		'ide1:0.present = "TRUE"' 'ide1:0.deviceType = "cdrom-image"' \
		'ide1:0.fileName = "x.iso"' >vm.vmx
}

@test "a machine: taken, shown, gone back to, deleted" {
	machine
	put vm.vmdk 1 0
	put b.vmdk 1 0
	vmdk snapshot create vm.vmx 'first one' -d 'what for'
	assert_equal "$(top vm.vmx ide0:0) $(top vm.vmx scsi0:0) $(top vm.vmx scsi0:1)" \
		'vm-000001.vmdk b-000001.vmdk c.vmdk'
	put vm-000001.vmdk 2 0
	vmdk snapshot create vm.vmx ä
	put vm-000002.vmdk 3 0
	put b-000002.vmdk 3 64k
	run -0 vmdk snapshot list vm.vmx
	assert_line --index 0 --regexp '^  20[0-9-]+ [0-9:]+  first one$'
	assert_line --index 1 --regexp '^\* 20[0-9-]+ [0-9:]+  first one/ä$'
	run -0 vmdk snapshot tree vm.vmx
	assert_output $'first one\n  ä\n    (now)'
	run -0 vmdk snapshot list --json vm.vmx
	assert_line --index 0 --partial '"uid":1,"name":"first one","path":"first one","parent_uid":0,"description":"what for"'
	assert_line --index 1 --partial '"disks":[{"node":"ide0:0","file":"vm-000001.vmdk"},{"node":"scsi0:0","file":"b-000001.vmdk"}]'

	vmdk snapshot revert vm.vmx 'first one'
	has "$(top vm.vmx ide0:0)" 1 0
	has "$(top vm.vmx scsi0:0)" 0 64k
	assert_equal "$(echo *-000002.vmdk)" '*-000002.vmdk'
	vmdk snapshot create vm.vmx c
	run -0 vmdk snapshot tree vm.vmx
	assert_output $'first one\n  ä\n  c\n    (now)'
	vmdk snapshot revert vm.vmx 'first one/ä'
	has "$(top vm.vmx ide0:0)" 2 0

	vmdk snapshot delete vm.vmx c
	vmdk snapshot delete vm.vmx 'first one'
	run -0 vmdk snapshot tree vm.vmx
	assert_output $'ä\n  (now)'
	has "$(top vm.vmx ide0:0)" 2 0
	vmdk snapshot delete vm.vmx ä
	assert_equal "$(top vm.vmx ide0:0) $(top vm.vmx scsi0:0)" 'vm.vmdk b.vmdk'
	has vm.vmdk 2 0
	has b.vmdk 1 0
	assert_equal "$(echo *)" 'b-flat.vmdk b.vmdk c.vmdk vm.vmdk vm.vmsd vm.vmx'
	run -0 grep -c . vm.vmx
	assert_output 13
}

@test "deleting with children keeps the present state" {
	machine
	for i in 1 2 3 4; do
		put "$(top vm.vmx ide0:0)" $i ${i}00k
		vmdk snapshot create vm.vmx s$i
	done
	put "$(top vm.vmx ide0:0)" 9 0
	run -0 vmdk snapshot delete --check --children vm.vmx s2
	assert_output --partial 'would be merged into'
	run -0 vmdk snapshot delete --json --children vm.vmx s2
	assert_output --partial '"action":"delete","check":false,"changed":true'
	run -0 vmdk snapshot tree vm.vmx
	assert_output $'s1\n  (now)'
	for i in 1 2 3 4; do has "$(top vm.vmx ide0:0)" $i ${i}00k; done
	has "$(top vm.vmx ide0:0)" 9 0
	assert_equal "$(echo vm-0*)" "$(top vm.vmx ide0:0)"
	run -0 vmdk check --chain "$(top vm.vmx ide0:0)"
}

@test "each kind of base gets the layers that VMware gives it" {
	while read -r format type; do
		vmdk create -s 1M -f $format x.vmdk
		assert_equal "$(vmdk snapshot create x.vmdk a)" x-000001.vmdk
		run -0 vmdk chain x-000001.vmdk
		assert_line --index 0 --partial "  $type  "
		vmdk snapshot delete x.vmdk a
		vmdk delete x.vmdk
		assert_equal "$(echo *)" '*'
	done <<-END
		sparse monolithicSparse
		flat monolithicSparse
		2gbsparse twoGbMaxExtentSparse
		2gbflat twoGbMaxExtentSparse
		thin vmfsSparse
		zeroedthick vmfsSparse
		sesparse seSparse
	END
	vmdk create -s 3T -f thin x.vmdk
	vmdk snapshot create x.vmdk a
	run -0 vmdk chain x-000001.vmdk
	assert_line --index 0 --partial '  seSparse  '
	vmdk snapshot delete x.vmdk a
	assert_equal "$(echo *)" 'x-flat.vmdk x.vmdk x.vmsd'
}

@test "a disk that has grown since its snapshot, or shrunk" {
	for f in sparse flat 2gbflat thin; do
		vmdk create -s 1M -f $f x.vmdk
		vmdk snapshot create x.vmdk a
		[ $f = thin ] || put x-000001.vmdk 3 0
		vmdk resize x-000001.vmdk 2M
		vmdk convert -f raw x-000001.vmdk before
		run -0 vmdk snapshot delete x.vmdk a
		assert_output x.vmdk
		vmdk convert -f raw x.vmdk after
		cmp before after
		vmdk snapshot create x.vmdk b
		vmdk resize -f x-000001.vmdk 1M
		run -0 vmdk snapshot delete x.vmdk b
		assert_output x-000001.vmdk
		run -0 vmdk chain x-000001.vmdk
		assert_equal "${#lines[@]}" 1
		head -c 1M before | cmp - <(vmdk convert -f raw x-000001.vmdk - | cat)
		rm ./*
	done
}

@test "a base that is not written to in place is merged into its child" {
	head -c 1M /dev/urandom >raw
	vmdk convert -f stream raw x.vmdk
	vmdk snapshot create x.vmdk a
	put x-000001.vmdk 7 64k
	vmdk convert -f raw x-000001.vmdk before
	run -0 vmdk snapshot delete --json x.vmdk a
	assert_output --partial '"merged":[{"from":"x.vmdk","into":"x-000001.vmdk"}]'
	vmdk convert -f raw x-000001.vmdk after
	cmp before after
	assert [ ! -e x.vmdk ]
}

@test "a single disk has its own list, and any of its layers names it" {
	vmdk create -s 1M d.vmdk
	run -0 vmdk snapshot create d.vmdk a
	assert_output d-000001.vmdk
	put d-000001.vmdk 5 0
	run -0 vmdk snapshot create d-000001.vmdk b
	assert_output d-000002.vmdk
	run -0 vmdk snapshot list d.vmdk
	assert_equal "${#lines[@]}" 2
	run -0 vmdk snapshot revert --json d.vmdk a
	assert_output --partial '"top":"d-000003.vmdk","created":["d-000003.vmdk"],"removed":["d-000002.vmdk"]'
	has d-000003.vmdk 0 0
	run -0 vmdk snapshot delete d-000003.vmdk b
	assert_output d-000003.vmdk
	run -0 vmdk snapshot delete d.vmdk a
	assert_output d.vmdk
	assert_equal "$(echo *)" 'd.vmdk d.vmsd'
}

@test "names: paths, numbers, and what is refused" {
	vmdk create -s 1M d.vmdk
	vmdk snapshot create d.vmdk x >/dev/null
	vmdk snapshot create d.vmdk y >/dev/null
	vmdk snapshot revert d.vmdk x >/dev/null
	fails 1 'snapshot: there is a snapshot "y" here already' snapshot create d.vmdk y
	vmdk snapshot create d.vmdk z >/dev/null
	vmdk snapshot create d.vmdk y >/dev/null
	fails 2 'snapshot: 2 snapshots are called "y": name one by its path.*' snapshot revert d.vmdk y
	vmdk snapshot revert d.vmdk x/z/y >/dev/null
	vmdk snapshot revert d.vmdk '#2' >/dev/null
	run -0 vmdk snapshot tree d.vmdk
	assert_output $'x\n  y\n    (now)\n  z\n    y'
	fails 2 'snapshot: "a/b": a .* may not be in one' snapshot create d.vmdk a/b
	fails 2 'snapshot: the name of a snapshot may not be empty' snapshot create d.vmdk ''
	fails 2 'snapshot: the name of a snapshot has to be UTF-8' snapshot create d.vmdk $'\xff'
	fails 4 'snapshot: no snapshot "nope"' snapshot delete d.vmdk nope
	fails 2 'snapshot: NAME is missing' snapshot delete d.vmdk
	fails 2 'snapshot: VERB is missing' snapshot
	fails 2 'snapshot: take: not one of create.*' snapshot take d.vmdk
	fails 2 'snapshot: b: one operand too many' snapshot list d.vmdk b
	fails 2 'snapshot: --children goes with delete' snapshot list --children d.vmdk
	fails 4 'snapshot: no.vmx: No such file or directory' snapshot list no.vmx
	fails 4 'snapshot: no.vmdk: No such file or directory' snapshot list no.vmdk
	fails 2 'snapshot: d.vmsd: neither a .vmx nor a .vmdk' snapshot list d.vmsd
}

@test "--check changes nothing" {
	machine
	vmdk snapshot create vm.vmx a
	tar cf ../before .
	run -0 vmdk snapshot create --check vm.vmx b
	assert_line 'vm-000002.vmdk: would be created'
	assert_line 'vm.vmsd: would be rewritten'
	run -0 vmdk snapshot revert --check vm.vmx a
	assert_line 'vm-000001.vmdk: would be removed'
	run -0 vmdk snapshot delete --check vm.vmx a
	assert_line 'vm-000001.vmdk: would be merged into vm.vmdk'
	run -0 vmdk snapshot consolidate --json --check vm.vmx
	assert_output --partial '"changed":false'
	tar df ../before
}

@test "a machine that is in use, or whose files are damaged, is left alone" {
	machine
	vmdk snapshot create vm.vmx a
	mkdir vm-000001.vmdk.lck
	echo 'elsewhere 4711-1(vmware-vmx) 1 X M12345.lck' >vm-000001.vmdk.lck/M12345.lck
	fails 6 'snapshot: vm-000001.vmdk: locked by process 4711 \(vmware-vmx\) on host elsewhere; if that host is gone, remove .*' \
		snapshot create vm.vmx b
	rm -r vm-000001.vmdk.lck
	put b.vmdk 9 0
	fails 3 'snapshot: b-000001.vmdk: parentCID .* is not the CID of b.vmdk, .*' snapshot delete vm.vmx a
	vmdk chain --fix b-000001.vmdk
	vmdk snapshot delete vm.vmx a
	echo 'snapshot.numSnapshots = "1"' >vm.vmsd
	fails 3 'snapshot: vm.vmsd:1: there is no snapshot0.uid' snapshot list vm.vmx
	echo 'foo' >>vm.vmx
	rm vm.vmsd
	fails 3 'snapshot: vm.vmx:14: no .=. behind the key' snapshot list vm.vmx
	fails 2 'snapshot: vm.vmdk: its snapshots would be in the list of vm.vmx: name that' snapshot list vm.vmdk
}

@test "disks in other folders need --allow-outside" {
	mkdir other
	machine other/../vm.vmdk
	fails 5 'snapshot: "other/../vm.vmdk" has "\.\." in it.*' snapshot create vm.vmx a
	vmdk snapshot create --allow-outside vm.vmx a
	assert_equal "$(top vm.vmx ide0:0)" other/../vm-000001.vmdk
	vmdk snapshot delete --allow-outside vm.vmx a
	assert_equal "$(top vm.vmx ide0:0)" other/../vm.vmdk
}

@test "what was interrupted is undone or completed, and a journal may name no file elsewhere" {
	machine
	touch vm-000001.vmdk
	printf '%s\n' 'step0.unlink = "vm-000001.vmdk"' 'phase = "prepare"' 'steps = "1"' >vm.vmsd.journal
	fails 75 'snapshot: vm.vmx: an interrupted change has to be completed first' snapshot create --check vm.vmx a
	run -0 --separate-stderr vmdk snapshot list vm.vmx
	assert_regex "$stderr" 'a change was interrupted'
	run -0 vmdk snapshot consolidate --json vm.vmx
	assert_output --partial '"recovered":true'
	assert [ ! -e vm-000001.vmdk ]
	for name in ../victim.vmdk /etc/passwd vm.vmx; do
		printf '%s\n' "step0.unlink = \"$name\"" 'phase = "commit"' 'steps = "1"' >vm.vmsd.journal
		touch ../victim.vmdk
		run --separate-stderr vmdk snapshot consolidate vm.vmx
		assert [ "$status" -eq 5 -o "$status" -eq 3 ]
		assert [ -e ../victim.vmdk -a -e vm.vmx ]
	done
	echo 'phase = "party"' >vm.vmsd.journal
	fails 3 'snapshot: vm.vmsd.journal:1: no phase that is known here' snapshot create vm.vmx a
}

@test "a linked clone keeps what it hangs on" {
	machine
	put vm.vmdk 1 0
	vmdk snapshot create vm.vmx a
	vmdk create --parent vm.vmdk clone.vmdk
	put vm-000001.vmdk 2 0
	vmdk snapshot delete vm.vmx a
	has clone.vmdk 1 0
	has vm-000001.vmdk 2 0
	vmdk delete clone.vmdk
	vmdk snapshot consolidate vm.vmx
	has vm.vmdk 2 0
	assert_equal "$(top vm.vmx ide0:0)" vm.vmdk
	vmdk snapshot create vm.vmx b
	echo 'snapshot0.numClones = "2"' >>vm.vmsd
	fails 6 'snapshot: "b": 2 linked clones hang on it' snapshot delete vm.vmx b
}

@test "snapshots of a linked clone leave what it was cloned from alone" {
	vmdk create -s 1M master.vmdk
	put master.vmdk 1 0
	vmdk clone --linked master.vmdk c.vmdk
	sum=$(sha256sum master.vmdk)
	vmdk snapshot create c.vmdk a
	put c-000001.vmdk 2 64k
	vmdk snapshot create c.vmdk b
	vmdk snapshot delete c.vmdk a
	vmdk snapshot revert c.vmdk b
	run -0 vmdk snapshot delete c.vmdk b
	vmdk snapshot consolidate c.vmdk
	assert_equal "$sum" "$(sha256sum master.vmdk)"
	assert_equal "$(echo *)" 'c.vmdk c.vmsd master.vmdk'
	has c.vmdk 1 0
	has c.vmdk 2 64k
	# Another disk in the machine's place since the snapshot is not thrown away.
	rm c.vmsd c.vmdk
	machine
	vmdk snapshot create vm.vmx a
	vmdk clone --linked master.vmdk c2.vmdk
	sed -i 's/vm-000001.vmdk/c2.vmdk/' vm.vmx
	vmdk snapshot revert vm.vmx a
	assert_equal "$(top vm.vmx ide0:0)" vm-000002.vmdk
	has c2.vmdk 1 0
}

@test "old finds forgotten snapshots" {
	mkdir -p vms/one vms/two
	(cd vms/one && machine && vmdk snapshot create vm.vmx a && vmdk snapshot create vm.vmx b)
	run -0 vmdk old vms
	assert_output ''
	run -8 vmdk old --older-than 0s vms
	assert_equal "${#lines[@]}" 2
	assert_line --regexp '^vms/one/vm.vmsd: 0m  a/b$'
	# Of 1 January 2020.
	sed -i 's/^\(snapshot0.createTimeHigh\) = .*/\1 = "367383"/' vms/one/vm.vmsd
	run -8 vmdk old vms --json
	assert_output --regexp '^\{"list":"vms/one/vm.vmsd","uid":1,"name":"a","path":"a","created_us":[0-9]+,"age_seconds":[0-9]+\}$'
	run -0 vmdk old --older-than 9999w vms
	echo 'x' >vms/two/vm.vmsd
	fails 3 "old: vms/two/vm.vmsd:1: no '=' behind the key" old vms/two
	fails 4 'old: nowhere: No such file or directory' old nowhere
	fails 2 'old: --older-than 3: not an age.*' old --older-than 3 vms
	fails 2 'old: DIR is missing' old
}
