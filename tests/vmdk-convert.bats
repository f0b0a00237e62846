#!/usr/bin/env bats
# vmdk convert: every format into every other, as qemu-img reads and writes them.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	needs qemu-img
	mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1
}

# a.raw: holes, text, noise and zeros; not whole grains.
sample() {
	truncate -s 9000448 a.raw
	seq 100000 | dd of=a.raw bs=4096 seek=17 conv=notrunc status=none
	head -c 700000 /dev/urandom | dd of=a.raw bs=512 seek=5000 conv=notrunc status=none
	dd if=/dev/zero of=a.raw bs=64k seek=60 count=10 conv=notrunc status=none
	printf 'the end' | dd of=a.raw bs=1 seek=9000441 conv=notrunc status=none
}

# holds FILE: qemu-img and vmdk read in it what a.raw holds.
holds() {
	qemu-img convert -O raw "$1" b.raw
	cmp a.raw b.raw
	vmdk convert -f raw --force "$1" b.raw
	cmp a.raw b.raw
	rm b.raw
}

@test "each format that is written is read by qemu-img and by vmdk" {
	sample
	for f in sparse 2gbsparse flat 2gbflat thin zeroedthick eagerzeroedthick vmfssparse stream; do
		vmdk convert -f $f a.raw x.vmdk
		holds x.vmdk
		run -0 vmdk check x.vmdk
		assert_output 'x.vmdk: clean'
		vmdk delete x.vmdk
		assert_equal "$f: $(echo *)" "$f: a.raw"
	done
}

@test "each format that qemu-img writes is read" {
	sample
	for f in monolithicSparse twoGbMaxExtentSparse monolithicFlat twoGbMaxExtentFlat streamOptimized; do
		qemu-img convert -O vmdk -o subformat=$f a.raw x.vmdk
		holds x.vmdk
		run -0 vmdk check x.vmdk
		assert_output 'x.vmdk: clean'
		rm x*
	done
}

@test "through pipes, by any number of threads" {
	sample
	for j in 1 2 7; do
		"$VMDK" convert -j $j a.raw - | "$VMDK" convert -j $j -f flat - x.vmdk
		holds x.vmdk
		"$VMDK" convert -j $j -f raw x.vmdk - </dev/null | cmp - a.raw
		vmdk delete x.vmdk
	done
	qemu-img convert -O vmdk -o subformat=streamOptimized a.raw q.vmdk
	"$VMDK" convert - x.vmdk <q.vmdk
	holds x.vmdk
	# A sparse file is no stream.
	run -3 --separate-stderr "$VMDK" convert - y.vmdk <x.vmdk
	assert_regex "$stderr" 'convert: stdin: flags is 0x3: without markers'
	run -0 bash -c "cat a.raw | '$VMDK' convert --raw -s 9000448 - z.vmdk"
	holds z.vmdk
	run -3 --separate-stderr bash -c "cat a.raw | '$VMDK' convert --raw -s 8000k - w.vmdk"
	assert_regex "$stderr" 'the input has more than 8192000 bytes'
	[ ! -e w.vmdk ]
}

@test "a stream that is not complete is refused, and nothing is left" {
	sample
	vmdk convert -f stream a.raw x.vmdk
	size=$(stat -c %s x.vmdk)
	for n in 1 512 1024 100000; do
		run -3 --separate-stderr bash -c "head -c $((size - n)) x.vmdk | '$VMDK' convert - y.vmdk"
		assert_regex "$stderr" 'end is missing'
		assert_equal "$(echo *)" 'a.raw x.vmdk'
	done
	printf 'xxxxxxxxxxxxxxxx' | dd of=x.vmdk bs=1 seek=65600 conv=notrunc status=none
	fails 3 'convert: .*grain.*is damaged' convert x.vmdk y.vmdk
	run -3 --separate-stderr bash -c "'$VMDK' convert - y.vmdk <x.vmdk"
	assert_regex "$stderr" 'grain of disk sector 128 is damaged'
	run -8 vmdk check x.vmdk
	assert_output -p 'grain'
	assert_equal "$(echo *)" 'a.raw x.vmdk'
}

@test "a stream that was damaged on its way is not taken for a shorter one" {
	sample
	vmdk convert -f stream a.raw x.vmdk
	# A marker of how far its writer is, as some have.
	{ head -c 65536 x.vmdk; printf '\0\0\0\0\0\0\0\0\0\0\0\0\4'; head -c 499 /dev/zero
		tail -c +65537 x.vmdk; } | "$VMDK" convert -f raw - b.raw
	cmp a.raw b.raw
	# Zeros where a grain begins look like the end of the stream.
	dd if=/dev/zero of=x.vmdk bs=512 seek=128 count=1 conv=notrunc status=none
	run -3 --separate-stderr bash -c "'$VMDK' convert - y.vmdk <x.vmdk"
	assert_regex "$stderr" 'ends at byte 65536, before its footer'
	# So they do in one that has its directory in front; and some writers end those at once.
	needs qemu-img
	qemu-img convert -O vmdk -o subformat=streamOptimized a.raw q.vmdk
	at=$(od -An -tu8 -j64 -N8 q.vmdk)
	head -c $((at * 512)) q.vmdk >cut.vmdk
	dd if=/dev/zero of=q.vmdk bs=512 seek="$((at))" count=1 conv=notrunc status=none
	for f in q cut; do
		run -3 --separate-stderr bash -c "'$VMDK' convert - y.vmdk <$f.vmdk"
		assert_regex "$stderr" 'tables name [0-9]+ grains, of which the stream has 0'
	done
	assert [ ! -e y.vmdk ]
}

@test "a header as ESX wants it: version 3, markers, the directory at the end, a footer" {
	sample
	vmdk convert -f stream a.raw x.vmdk
	head() { od -A n -t x4 -j "$1" -N "$2" x.vmdk | tr -d ' \n'; }
	assert_equal "$(head 0 12)" 564d444b0000000300030001
	assert_equal "$(head 56 8)" ffffffffffffffff
	size=$(stat -c %s x.vmdk)
	assert_equal "$(head $((size - 1024)) 12)" 564d444b0000000300030001
	assert_equal "$(head $((size - 1536)) 16)" 00000001000000000000000000000003
	assert_equal "$(tail -c 512 x.vmdk | tr -d '\0' | wc -c)" 0
	run -0 dd if=x.vmdk bs=512 skip=1 count=20 status=none
	assert_output -p 'createType="streamOptimized"'
	assert_output -p 'RW 17579 SPARSE "x.vmdk"'
}

@test "a stream brings its adapter along, and no parent" {
	vmdk create -s 1M -a ide -f stream x.vmdk
	"$VMDK" convert - y.vmdk <x.vmdk
	run -0 vmdk info y.vmdk
	assert_line --regexp '^  adapter +ide$'
	LC_ALL=C sed -i 's/^parentCID=ffffffff/parentCID=12345678/' x.vmdk
	run -3 --separate-stderr "$VMDK" convert - z.vmdk <x.vmdk
	assert_equal "$stderr" 'vmdk: convert: stdin: is the child of another, which does not come through the pipe: name its file instead'
	[ ! -e z.vmdk ]
}

@test "refusals" {
	sample
	vmdk convert a.raw x.vmdk
	fails 1 'convert: x.vmdk: File exists' convert a.raw x.vmdk
	fails 1 'convert: x.vmdk: File exists' convert -f stream a.raw x.vmdk
	fails 2 'convert: x.vmdk: SRC is, or consists of, the same' convert --force x.vmdk x.vmdk
	fails 2 'convert: --format: only stream and raw can go into a pipe' convert -f flat x.vmdk -
	fails 2 'convert: --json: not when the disk goes to stdout' convert --json x.vmdk -
	fails 2 'convert: --size: only with --raw and - as SRC' convert -s 1M x.vmdk y.vmdk
	fails 2 'convert: --size is missing: a pipe does not say it' convert --raw - y.vmdk
	fails 4 'convert: none.vmdk: No such file or directory' convert none.vmdk y.vmdk
	assert_equal "$(echo *)" 'a.raw x.vmdk'
	run -0 vmdk convert --check --json -f stream x.vmdk y.vmdk
	assert_output -p '"check":true'
	assert_output -p '"changed":true'
	[ ! -e y.vmdk ]
	vmdk convert --force -f stream a.raw x.vmdk
	holds x.vmdk
}

@test "a raw disk takes the place of no disk's extent, of the source's least of all" {
	sample
	vmdk convert -f 2gbsparse a.raw x.vmdk
	fails 2 'convert: x-s001.vmdk: SRC is, or consists of, the same' convert --force -f raw x.vmdk x-s001.vmdk
	fails 1 'convert: x-s001.vmdk: its files are also those of x.vmdk; .*' convert --force -f raw a.raw x-s001.vmdk
	fails 1 'create: x-s001.vmdk: its files are also those of x.vmdk; .*' create --force -f raw -s 1M x-s001.vmdk
	holds x.vmdk
}

@test "what a chain holds, and as fast as it may" {
	sample
	vmdk convert a.raw base.vmdk
	vmdk create --parent base.vmdk top.vmdk
	qemu-io -c 'write -P 0x5a 1M 200k' top.vmdk >/dev/null
	qemu-io -f raw -c 'write -P 0x5a 1M 200k' a.raw >/dev/null
	vmdk convert -f stream top.vmdk x.vmdk
	holds x.vmdk
	start=$(date +%s%N)
	vmdk convert --bwlimit 2M -f raw top.vmdk b.raw
	[ $(($(date +%s%N) - start)) -gt 500000000 ]
	cmp a.raw b.raw
}

# slowly ARG...: convert in the background, $pid, until its target is half made.
slowly() {
	"$VMDK" convert --bwlimit 1M "$@" </dev/null 2>err 3>&- &
	pid=$!
	until [ -n "$(echo x.vmdk.part*)" ] && [ -e x.vmdk.part ]; do
		kill -0 $pid
		read -rt 0.02 <> <(:) || :
	done
}

@test "killed in the middle: no disk of that name, and the next run removes what is left" {
	sample
	cp a.raw ../other
	for f in sparse 2gbsparse flat thin vmfssparse sesparse stream raw; do
		slowly -f $f a.raw x.vmdk
		fails 6 'convert: x.vmdk.part: locked by .*' convert ../other x.vmdk
		kill -KILL $pid
		wait $pid || :
		assert [ ! -e x.vmdk ]
		vmdk convert -f $f a.raw x.vmdk
		[ $f = sesparse ] || [ $f = raw ] || holds x.vmdk
		assert_equal "$f $(echo x*.part*)" "$f x*.part*"
		vmdk delete -f x.vmdk
		rm err
		assert_equal "$(echo *)" a.raw
	done
}

@test "--force: the disk that is there stays until the new one is complete" {
	sample
	truncate -s 1M small
	vmdk convert -f thin small x.vmdk
	slowly --force -f flat a.raw x.vmdk
	vmdk diff x.vmdk small
	kill -TERM $pid
	rc=0
	wait $pid || rc=$?
	assert_equal "$rc $(cat err)" '1 vmdk: convert: stopped'
	vmdk diff x.vmdk small
	rm err
	assert_equal "$(echo *)" 'a.raw small x-flat.vmdk x.vmdk'
	vmdk convert --force -f 2gbflat a.raw x.vmdk
	holds x.vmdk
	assert_equal "$(echo *)" 'a.raw small x-f001.vmdk x.vmdk'
	# A file that is in the way and not the disk's.
	touch x-flat.vmdk
	fails 1 'convert: x-flat.vmdk: File exists' convert --force --check -f flat a.raw x.vmdk
	fails 1 'convert: x-flat.vmdk: File exists' convert --force -f flat a.raw x.vmdk
	holds x.vmdk
}

@test "a raw disk that looks like a VMDK, as its guest may have wanted, is told" {
	printf '%s\n' '# Disk DescriptorFile' version=1 CID=1 parentCID=ffffffff \
		'createType="monolithicFlat"' 'RW 2048 FLAT "secret" 0' >guest
	truncate -s 1M guest
	vmdk convert --raw guest d.vmdk
	run -0 --separate-stderr vmdk convert -f raw d.vmdk d.raw
	assert_regex "$stderr" '^vmdk: convert: d.raw: what the disk holds makes it look like a VMDK: '
	cmp guest d.raw
	run -0 --separate-stderr vmdk clone -f raw d.vmdk c.raw
	assert_regex "$stderr" '^vmdk: clone: c.raw: what the disk holds makes it look like a VMDK: '
	run -0 --separate-stderr vmdk convert -f thin d.vmdk t.vmdk
	assert_equal "$stderr" ''
}
