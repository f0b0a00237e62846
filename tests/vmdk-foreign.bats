#!/usr/bin/env bats
# Descriptors as VMware's products, VirtualBox, QEMU and ovftool write them, and disks of
# parts of others.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1
	# 2 MiB that differ everywhere.
	seq 1000000 | head -c 2M >data
}

# reads FILE [--allow-outside]: it holds what data holds, is sound, and says so.
reads() {
	run -0 vmdk info --json "$@"
	assert_output --partial '"capacity_bytes":2097152'
	vmdk convert --force -f raw "$@" back
	cmp data back
	run -0 vmdk check "$@"
	assert_output "$1: clean"
}

@test "ESX 3: a thick disk, CRLF or not, and what Notepad leaves in front" {
	cp data old-flat.vmdk
	cat >old.vmdk <<-'END'
		# Disk DescriptorFile
		version=1
		CID=7b9ff3c8
		parentCID=ffffffff
		createType="vmfs"

		# Extent description
		RW 4096 VMFS "old-flat.vmdk"

		# The Disk Data Base
		#DDB

		ddb.virtualHWVersion = "4"
		ddb.geometry.cylinders = "2"
		ddb.geometry.heads = "64"
		ddb.geometry.sectors = "32"
		ddb.adapterType = "buslogic"
		ddb.uuid = "60 00 C2 90 3c 7e 1a 22-b4 51 6f 0d 88 9a 4c 10"
	END
	sed -i 's/^# The Disk Data Base/& /' old.vmdk
	sed 's/$/\r/' old.vmdk >crlf.vmdk
	{ printf '\xef\xbb\xbf'; cat crlf.vmdk; } >bom.vmdk
	for f in old crlf bom; do reads $f.vmdk; done
	iconv -f UTF-8 -t UTF-16 old.vmdk >wide.vmdk
	fails 3 'convert: wide.vmdk: is a descriptor in UTF-16: save it as UTF-8 .*' convert wide.vmdk x.vmdk
}

@test "ESXi: change tracking, many ids, sidecars; a snapshot of it" {
	cp data esx-flat.vmdk
	truncate -s 64k esx-ctk.vmdk
	cat >esx.vmdk <<-'END'
		# Disk DescriptorFile
		version=3
		encoding="UTF-8"
		CID=fffffffe
		parentCID=ffffffff
		isNativeSnapshot="no"
		createType="vmfs"

		# Extent description
		RW 4096 VMFS "esx-flat.vmdk"

		# Change Tracking File
		changeTrackPath="esx-ctk.vmdk"

		# The Disk Data Base
		#DDB

		ddb.adapterType = "lsilogic"
		ddb.deletable = "true"
		ddb.encoding = "UTF-8"
		ddb.geometry.cylinders = "2"
		ddb.geometry.heads = "64"
		ddb.geometry.sectors = "32"
		ddb.longContentID = "40b2d1a3c3d5e7f9aabbccddfffffffe"
		ddb.sidecars = "esx_1-5a5b.vmfd,"
		ddb.thinProvisioned = "1"
		ddb.toolsInstallType = "4"
		ddb.toolsVersion = "11365"
		ddb.uuid = "60 00 C2 9f 3a 80 0e 35-11 22 33 44 55 66 77 88"
		ddb.virtualHWVersion = "14"
	END
	reads esx.vmdk
	vmdk snapshot create esx.vmdk s
	reads esx-000001.vmdk
	run -0 vmdk snapshot delete esx.vmdk s
	grep -q '^ddb.sidecars = ' esx.vmdk
	vmdk rename esx.vmdk new.vmdk
	assert_equal "$(echo new*)" 'new-ctk.vmdk new-flat.vmdk new.vmdk'
	grep -q '^changeTrackPath="new-ctk.vmdk"' new.vmdk
	reads new.vmdk
	# What is no such file by its name is not deleted as one.
	echo mine >notes
	sed -i 's/"new-ctk.vmdk"/"notes"/' new.vmdk
	vmdk delete new.vmdk
	assert_equal "$(echo n*)" 'new-ctk.vmdk notes'
}

@test "ESX: paths of volumes and datastores that are not here" {
	cp data e-flat.vmdk
	printf '# Disk DescriptorFile\nversion=1\nCID=0a0b0c0d\nparentCID=ffffffff\n%s\n' \
		'createType="vmfs"' 'RW 4096 VMFS "/vmfs/volumes/4b5c-6d/vm/e-flat.vmdk"' >e.vmdk
	reads e.vmdk
	vmdk create --parent e.vmdk c.vmdk
	for hint in '/vmfs/volumes/ds 1/vm/e.vmdk' '[ds 1] vm/e.vmdk' '[ds 1] e.vmdk'; do
		sed -i "s,^parentFileNameHint=.*,parentFileNameHint=\"$hint\"," c.vmdk
		reads c.vmdk
		reads c.vmdk --allow-outside
		run -0 vmdk chain c.vmdk
		fails 1 'delete: e.vmdk: is the parent of c.vmdk, .*' delete e.vmdk
	done
	sed -i 's,^parentFileNameHint=.*,parentFileNameHint="/vmfs/volumes/x/../e.vmdk",' c.vmdk
	reads c.vmdk
	sed -i 's,^parentFileNameHint=.*,parentFileNameHint="/vmfs/volumes/x/..",' c.vmdk
	fails 5 'map: .*' map c.vmdk
}

@test "Workstation on Windows: paths and encodings of that host" {
	vmdk convert -f 2gbsparse data ws.vmdk
	{
		printf '# Disk DescriptorFile\r\nversion=1\r\nencoding="windows-1252"\r\nCID=0a0b0c0d\r\n'
		printf 'parentCID=ffffffff\r\nisNativeSnapshot="no"\r\ncreateType="twoGbMaxExtentSparse"\r\n\r\n'
		printf '# Extent description\r\nRW 4096 SPARSE "C:\\My VMs\\ws-s001.vmdk"\r\n\r\n'
		printf '# The Disk Data Base\r\n#DDB\r\n\r\nddb.adapterType = "lsilogic"\r\n'
		printf 'ddb.geometry.cylinders = "2"\r\nddb.geometry.heads = "64"\r\nddb.geometry.sectors = "32"\r\n'
	} >ws.vmdk
	reads ws.vmdk
	# A linked clone, whose master's folder is another one there.
	{
		printf '# Disk DescriptorFile\nversion=1\nCID=00000002\nparentCID=0a0b0c0d\n'
		printf 'createType="twoGbMaxExtentSparse"\nparentFileNameHint="D:\\Masters\\ws.vmdk"\n'
		printf 'RW 4096 SPARSE "clone-s001.vmdk"\n'
	} >clone.vmdk
	vmdk create -s 2M -f 2gbsparse e.vmdk
	mv e-s001.vmdk clone-s001.vmdk
	reads clone.vmdk
	run -0 vmdk check --chain clone.vmdk
	run -0 vmdk chain clone.vmdk
	assert_equal "${#lines[@]}" 2
	vmdk delete clone.vmdk
	vmdk rename ws.vmdk w2.vmdk
	assert_equal "$(echo w*)" 'w2-s001.vmdk w2.vmdk'
	grep -q 'SPARSE "w2-s001.vmdk"' w2.vmdk
	reads w2.vmdk
	# A name in GBK: the file came by a protocol that speaks UTF-8.
	cp data 虚拟-flat.vmdk
	printf '# Disk DescriptorFile\nversion=1\nencoding="GBK"\nCID=1\nparentCID=ffffffff\n%b' \
		'createType="monolithicFlat"\nRW 4096 FLAT "\xd0\xe9\xc4\xe2-flat.vmdk" 0\n' >虚拟.vmdk
	reads 虚拟.vmdk
	vmdk delete 虚拟.vmdk
	assert [ ! -e 虚拟-flat.vmdk ]
	# The same number of Windows' code page.
	cp data 虚拟-flat.vmdk
	printf '# Disk DescriptorFile\nversion=1\nencoding="windows-936"\nCID=1\n%b' \
		'createType=""\nRW 4096 FLAT "\xd0\xe9\xc4\xe2-flat.vmdk" 0\n' >虚拟.vmdk
	reads 虚拟.vmdk
}

@test "Workstation, Fusion: later versions, comments, blanks, no createType" {
	cp data f-flat.vmdk
	for v in 1 2 3 4; do
		for type in 'createType="monolithicFlat"' 'createtype = "MonolithicFlat"' '' '# createType="x"'; do
			printf '%s\n' '# Disk DescriptorFile' "version = $v" '# comment' 'CID=1' '' '   ' \
				'parentCID=ffffffff' "$type" '	RW   4096  FLAT  "f-flat.vmdk"  0  ' \
				'# ' 'ddb.adapterType="ide"' 'ddb.comment = "it = \x22"' 'what is this' >f.vmdk
			reads f.vmdk
		done
	done
	printf '%s\n' '# Disk DescriptorFile' CID=1 'RW 4096 FLAT "f-flat.vmdk" 0' >f.vmdk
	reads f.vmdk
}

@test "VirtualBox: a raw disk by partitions, and ids of its own" {
	truncate -s 3M whole
	dd if=data of=whole bs=512 skip=63 seek=2048 count=2000 conv=notrunc status=none
	head -c $((63 * 512)) data >vbox-pt.vmdk
	dd if=data of=dev2 bs=512 skip=2063 status=none
	cat >vbox.vmdk <<-'END'
		# Disk DescriptorFile
		version=1
		CID=c3d1a1b0
		parentCID=ffffffff
		createType="partitionedDevice"

		# Extent description
		RW 63 FLAT "vbox-pt.vmdk" 0
		RW 2000 FLAT "whole" 2048
		RW 2033 FLAT "dev2" 0

		# The disk Data Base
		#DDB

		ddb.virtualHWVersion = "4"
		ddb.adapterType="ide"
		ddb.geometry.cylinders="4"
		ddb.geometry.heads="16"
		ddb.geometry.sectors="63"
		ddb.uuid.image="2c0b7cf8-90f1-4d6b-9dc5-2e0a3b1b4d11"
		ddb.uuid.parent="00000000-0000-0000-0000-000000000000"
		ddb.uuid.modification="00000000-0000-0000-0000-000000000000"
		ddb.uuid.parentmodification="00000000-0000-0000-0000-000000000000"
		ddb.comment=""
	END
	reads vbox.vmdk
	# Written to where it lies, and nowhere else.  qemu does not know its kind, so that it
	# writes to the layer where another disk is the parent.
	needs qemu-io
	cp whole before
	vmdk snapshot create vbox.vmdk s
	mkdir q
	cp data q/f
	sed -e 's/partitionedDevice/monolithicFlat/' -e '/^RW 2/d' -e 's/^RW 63.*/RW 4096 FLAT "f" 0/' \
		vbox.vmdk >q/vbox.vmdk
	mv vbox-000001.vmdk q
	qemu-io -f vmdk -c 'write -q -P 9 32256 1024' q/vbox-000001.vmdk
	mv q/vbox-000001.vmdk .
	run -0 vmdk snapshot delete vbox.vmdk s
	assert_output vbox.vmdk
	cmp <(head -c 1M before) <(head -c 1M whole)
	cmp <(tail -c +1049601 before) <(tail -c +1049601 whole)
	run -8 vmdk diff vbox.vmdk data
	assert_output --regexp '^ +32256 +1024$'
}

@test "whole devices, zeros and extents that may not be accessed" {
	mkdir dev
	cp data dev/sda
	printf '%s\n' '# Disk DescriptorFile' version=1 CID=1 parentCID=ffffffff \
		'createType="fullDevice"' "RW 4096 FLAT \"$PWD/dev/sda\" 0" >full.vmdk
	fails 5 'info: full.vmdk: .*absolute path.*' info full.vmdk
	reads full.vmdk --allow-outside
	fails 3 'resize: full.vmdk: a device has the size that it has' resize --allow-outside -f full.vmdk 1M
	cmp data dev/sda
	printf '%s\n' '# Disk DescriptorFile' version=1 CID=1 parentCID=ffffffff 'createType="custom"' \
		'RW 1024 FLAT "data" 0' 'RW 1024 ZERO ""' 'RDONLY 1024 FLAT "data" 2048' 'NOACCESS 1024 ZERO' >mix.vmdk
	run -0 vmdk info --json mix.vmdk
	assert_output --partial '"capacity_bytes":2097152'
	run -0 vmdk map mix.vmdk
	assert_line --regexp '^ +524288 +524288 zero'
	assert_line --regexp '^ +1572864 +524288 refused'
	fails 5 'convert: .*' convert mix.vmdk x.vmdk
	sed -i '$d' mix.vmdk
	vmdk convert --force -f raw mix.vmdk back
	cmp <(head -c 512k data; head -c 512k /dev/zero; tail -c +1048577 data | head -c 512k) back
}

@test "ovftool: a stream whose descriptor says RDONLY and another name" {
	vmdk convert -f stream data x.vmdk
	# It is longer by 17 bytes, which come from the padding behind the text.
	perl -0777 -pi -e 's/RW 4096 SPARSE "x.vmdk"\n(.*?)\0{17}/RDONLY 4096 SPARSE "call-me-stream.vmdk"\n$1/s' x.vmdk
	reads x.vmdk
	run -0 vmdk info x.vmdk
	assert_line --regexp 'RDONLY 2M SPARSE call-me-stream.vmdk'
	"$VMDK" convert -f raw - back2 <x.vmdk
	cmp data back2
	# Flags that promise a second directory, which writers of streams leave out.
	for at in 8 $(($(stat -c %s x.vmdk) - 1016)); do
		printf '\3' | dd of=x.vmdk bs=1 seek="$at" conv=notrunc status=none
	done
	run -0 vmdk check x.vmdk
	reads x.vmdk
}
