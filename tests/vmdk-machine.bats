#!/usr/bin/env bats
# What resize, delete and rename do with disks that a machine or a snapshot has.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() { mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1; }

# A machine with a disk, and one that takes no part in snapshots.
machine() {
	vmdk create -s 4M -f thin a.vmdk
	vmdk create -s 1M b.vmdk
	printf '%s\r\n' '.encoding = "UTF-8"' '# mine' 'scsi0.present = "TRUE"' \
		'scsi0:0.present = "TRUE"' 'scsi0:0.fileName = "a.vmdk"' \
		'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "b.vmdk"' \
		'scsi0:1.mode = "independent-persistent"' >vm.vmx
}

top() { sed -n "s/^$2.fileName = \"\(.*\)\".*/\1/p" "$1"; }

@test "delete: a machine's disk only with -f" {
	machine
	fails 1 'delete: a.vmdk: is scsi0:0 of vm.vmx; delete -f does it even so' delete a.vmdk
	fails 1 'delete: ./a.vmdk: is scsi0:0 of vm.vmx; .*' delete --check ./a.vmdk
	vmdk delete -f a.vmdk
	assert_equal "$(echo *)" 'b.vmdk vm.vmx'
	# What is no machine, and one that names other disks, are no obstacle.
	echo 'x' >bad.vmx
	echo 'ide0:0.fileName = "none.vmdk"' >other.vmx
	vmdk create -s 1M c.vmdk
	vmdk delete c.vmdk
}

@test "delete: layers of snapshots, also those on which nothing hangs now" {
	machine
	vmdk snapshot create vm.vmx one
	vmdk snapshot create vm.vmx two
	vmdk snapshot revert vm.vmx one
	assert_equal "$(top vm.vmx scsi0:0)" a-000003.vmdk
	fails 1 'delete: a-000001.vmdk: belongs to the snapshot "one/two" in vm.vmsd; .*' delete a-000001.vmdk
	fails 1 'delete: a-000003.vmdk: is the present state of a disk with snapshots \(vm.vmx\); .*' delete a-000003.vmdk
	fails 1 'delete: a.vmdk: belongs to the snapshot "one" in vm.vmsd; .*' delete a.vmdk
	fails 1 'resize: a-000001.vmdk: belongs to the snapshot .*; resize the present layer, .*-f' resize a-000001.vmdk 5M
	vmdk create -s 4M new.vmdk
	for c in 'create --force -s 1M' 'convert --force new.vmdk' 'clone --force new.vmdk' \
		'clone --linked --force new.vmdk' 'convert --force -f stream new.vmdk'; do
		# shellcheck disable=SC2086
		fails 1 "${c%% *}: a-000001.vmdk: belongs to the snapshot .*" $c a-000001.vmdk
	done
	vmdk resize a-000003.vmdk 5M
	vmdk snapshot revert vm.vmx two
	run -0 vmdk info --json "$(top vm.vmx scsi0:0)"
	assert_output --partial '"capacity_bytes":4194304'
}

@test "delete: a single disk's own list goes with it when it has no snapshots" {
	vmdk create -s 1M a.vmdk
	vmdk snapshot create a.vmdk s
	fails 1 'delete: a-000001.vmdk: is the present state of a disk with snapshots \(a.vmsd\); .*' delete a-000001.vmdk
	vmdk snapshot delete a.vmdk s
	assert_equal "$(echo *)" 'a.vmdk a.vmsd'
	vmdk delete --check a.vmdk
	assert [ -e a.vmsd ]
	vmdk delete a.vmdk
	assert_equal "$(echo *)" '*'
}

@test "rename: the machine is told with -f, and nothing else of its file changes" {
	machine
	cp vm.vmx before
	fails 1 'rename: a.vmdk: is scsi0:0 of vm.vmx; rename -f tells it the new name' rename a.vmdk c.vmdk
	vmdk rename -f --check a.vmdk c.vmdk
	cmp vm.vmx before
	vmdk rename -f a.vmdk c.vmdk
	cmp vm.vmx <(sed 's/"a.vmdk"/"c.vmdk"/' before)
	assert_equal "$(echo *)" 'b.vmdk before c-flat.vmdk c.vmdk vm.vmx'
	mkdir d
	vmdk rename -f c.vmdk d/c.vmdk
	assert_equal "$(top vm.vmx scsi0:0)" "$PWD/d/c.vmdk"
}

@test "rename: not while there are snapshots, but for a disk that takes no part" {
	machine
	vmdk snapshot create vm.vmx one
	for f in '' -f; do
		fails 1 'rename: a.vmdk: belongs to the snapshot "one" in vm.vmsd; delete its snapshots first .*' rename $f a.vmdk c.vmdk
		fails 1 'rename: a-000001.vmdk: is the present state of a disk with snapshots .*' rename $f a-000001.vmdk c.vmdk
	done
	vmdk rename -f b.vmdk c.vmdk
	assert_equal "$(top vm.vmx scsi0:1)" c.vmdk
	vmdk snapshot delete vm.vmx one
	vmdk rename -f a.vmdk d.vmdk
	assert_equal "$(top vm.vmx scsi0:0) $(echo *)" 'd.vmdk c.vmdk d-flat.vmdk d.vmdk vm.vmsd vm.vmx'
	vmdk snapshot create vm.vmx two
	assert_equal "$(top vm.vmx scsi0:0)" d-000001.vmdk
}

@test "rename: a machine that is in use is left alone" {
	machine
	mkdir vm.vmx.lck
	echo 'elsewhere 4711-1(vmware-vmx) 1 X M12345.lck' >vm.vmx.lck/M12345.lck
	fails 6 'rename: vm.vmx: locked by process 4711 .*' rename -f a.vmdk c.vmdk
	assert_equal "$(echo *)" 'a-flat.vmdk a.vmdk b.vmdk vm.vmx vm.vmx.lck'
}

@test "a snapshot of a disk that is not whole is refused" {
	machine
	truncate -s 1M a-flat.vmdk
	fails 3 'snapshot: a-flat.vmdk: has 1048576 bytes for the extent.*' snapshot create vm.vmx one
	rm a-flat.vmdk
	fails 4 'snapshot: a-flat.vmdk: .*' snapshot create vm.vmx one
	vmdk create -s 4M p.vmdk
	vmdk create --parent p.vmdk c.vmdk
	truncate -s 100 p.vmdk
	fails 3 'snapshot: p.vmdk: .*' snapshot create c.vmdk one
	# So it is when what the tables point to was cut off.
	head -c 2M /dev/urandom >data
	for f in sparse:x 2gbsparse:x-s001 vmfssparse:x-delta; do
		vmdk convert -f ${f%:*} data x.vmdk
		truncate -s 1M ${f#*:}.vmdk
		fails 3 "snapshot: ${f#*:}.vmdk: .*" snapshot create x.vmdk one
		vmdk delete x.vmdk
	done
	assert_equal "$(echo *)" 'a.vmdk b.vmdk c.vmdk data p.vmdk vm.vmx'
}

@test "revert brings the machine's file back as it was" {
	machine
	vmdk snapshot create vm.vmx one
	assert [ -s vm-Snapshot1.vmsn ]
	top=$(top vm.vmx scsi0:0)
	cp vm.vmx before
	# More memory, the disk's place is another one's, and there is a disk more.
	vmdk create -s 2M c.vmdk
	vmdk create -s 2M d.vmdk
	printf '%s\r\n' 'memsize = "512"' 'scsi0:2.present = "TRUE"' 'scsi0:2.fileName = "c.vmdk"' \
		'scsi0:3.present = "TRUE"' 'scsi0:3.fileName = "d.vmdk"' \
		'scsi0:3.mode = "independent-persistent"' >>vm.vmx
	sed -i '/^scsi0:0/d' vm.vmx
	vmdk snapshot create vm.vmx two
	run -0 --separate-stderr vmdk snapshot revert --json vm.vmx one
	assert_output --partial '"config_kept":false'
	assert_equal "$stderr" ''
	cmp vm.vmx <(sed "s/$top/$(top vm.vmx scsi0:0)/" before)
	assert [ -e c.vmdk -a -e d.vmdk -a ! -e c-000001.vmdk ]
	# And forth again: the disk that the first did not have.
	vmdk snapshot revert vm.vmx one/two
	grep -q '^memsize = "512"' vm.vmx
	assert_equal "$(top vm.vmx scsi0:2) $(top vm.vmx scsi0:3)" 'c-000001.vmdk d.vmdk'
	run -0 vmdk check --chain c-000001.vmdk
	vmdk snapshot delete --children vm.vmx one
	run -2 ls vm-Snapshot1.vmsn vm-Snapshot2.vmsn
}

@test "revert: a snapshot that does not hold the machine's file changes the disks only, and says so" {
	machine
	vmdk snapshot create vm.vmx one
	echo 'memsize = "512"' >>vm.vmx
	echo 'nothing known' >vm-Snapshot1.vmsn
	run -0 --separate-stderr vmdk snapshot revert vm.vmx one
	assert_regex "$stderr" '^vmdk: snapshot: vm.vmx: stays what it is but for its disks: .*'
	grep -q '^memsize = "512"' vm.vmx
	assert_equal "$(top vm.vmx scsi0:0)" a-000002.vmdk
	sed -i /^scsi0:0/d vm.vmx
	fails 4 'snapshot: vm.vmx has no disk at scsi0:0 now, as the snapshot has' snapshot revert vm.vmx one
	# One that is there is not overwritten.
	rm vm.vmsd
	machine() { printf '%s\n' 'scsi0.present = "TRUE"' 'scsi0:1.present = "TRUE"' 'scsi0:1.fileName = "b.vmdk"' >vm.vmx; }
	machine
	vmdk snapshot create vm.vmx again
	assert_equal "$(cat vm-Snapshot1.vmsn)" 'nothing known'
	grep -q 'snapshot0.filename = "vm-Snapshot1-2.vmsn"' vm.vmsd
}
