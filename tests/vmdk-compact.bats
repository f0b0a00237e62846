#!/usr/bin/env bats
# vmdk compact and inflate: the same contents in less room, or in all of it.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	needs qemu-io
	mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1
	truncate -s 9000448 a.raw
	qemu-io -f raw -c 'write -q -P 0x5a 100k 3M' -c 'write -q -P 0x11 8788k 1536' a.raw
}

kib() { stat -c '%b' "$@" | awk '{ n += $1 / 2 } END { print int(n) }'; }

# The disk with grains of zeros written: what guests leave.
stale() {
	vmdk convert -f "$1" a.raw x.vmdk
	qemu-io -f vmdk -c 'write -q -P 0x77 4M 3M' x.vmdk
	qemu-io -f vmdk -c 'write -q -P 0 4M 3M' x.vmdk
}

@test "compact gives room back, and the contents stay" {
	for f in sparse 2gbsparse flat thin zeroedthick; do
		stale $f
		before=$(kib x*)
		run -0 vmdk compact --json x.vmdk
		assert_output -p '"changed":true'
		after=$(kib x*)
		[ "$after" -le $((before - 2900)) ]
		qemu-img compare -f raw -F vmdk a.raw x.vmdk
		run -0 vmdk check x.vmdk
		assert_output 'x.vmdk: clean'
		run -0 vmdk compact --json x.vmdk
		assert_output -p '"changed":false'
		vmdk delete x.vmdk
	done
}

@test "compact changes the top only, and what it hides stays hidden" {
	vmdk convert a.raw base.vmdk
	sum=$(sha256sum <base.vmdk)
	vmdk create --parent base.vmdk top.vmdk
	qemu-io -f vmdk -c 'write -q -P 0 1M 1M' -c 'write -q -P 0x22 2M 64k' top.vmdk
	qemu-io -f raw -c 'write -q -P 0 1M 1M' -c 'write -q -P 0x22 2M 64k' a.raw
	before=$(kib top.vmdk)
	vmdk compact top.vmdk
	[ "$(kib top.vmdk)" -le $((before - 900)) ]
	vmdk convert -f raw top.vmdk b.raw
	cmp a.raw b.raw
	assert_equal "$(sha256sum <base.vmdk)" "$sum"
	fails 2 'inflate: top.vmdk: has a parent.*' inflate top.vmdk
}

@test "compact makes files of grains as short as their grains" {
	truncate -s 9000448 zeros
	for f in sparse 2gbsparse; do
		vmdk convert -f $f zeros x.vmdk
		qemu-io -f vmdk -c 'write -q -P 0x77 4M 3M' -c 'write -q -P 0x5a 100k 3M' \
			-c 'write -q -P 0x11 8788k 1536' -c 'write -q -P 0 4M 3M' x.vmdk
		vmdk compact x.vmdk
		for x in x*; do [ "$(stat -c %s "$x")" -lt 3600000 ]; done
		qemu-img compare -f raw -F vmdk a.raw x.vmdk
		run -0 vmdk check x.vmdk
		assert_output 'x.vmdk: clean'
		vmdk delete x.vmdk
	done
}

@test "inflate takes all room, and the contents stay" {
	for f in sparse 2gbsparse thin; do
		vmdk convert -f $f a.raw x.vmdk
		[ "$(kib x*)" -lt 6000 ]
		vmdk inflate x.vmdk
		[ "$(kib x*)" -ge 8789 ]
		qemu-img compare -f raw -F vmdk a.raw x.vmdk
		run -0 vmdk check x.vmdk
		assert_output 'x.vmdk: clean'
		run -1 grep thinProvisioned x.vmdk
		vmdk delete x.vmdk
	done
	vmdk convert -f thin a.raw x.vmdk
	vmdk inflate --zero x.vmdk
	truncate -s 9000448 zeros
	qemu-img compare -f raw -F vmdk zeros x.vmdk
}

@test "a stream is neither compacted nor inflated; --check changes nothing" {
	vmdk convert -f stream a.raw s.vmdk
	fails 1 'compact: s.vmdk: .*' compact s.vmdk
	fails 1 'inflate: s.vmdk: .*' inflate s.vmdk
	stale sparse
	sum=$(sha256sum <x.vmdk)
	run -0 vmdk compact --check x.vmdk
	assert_output -p 'x.vmdk: takes '
	assert_equal "$(sha256sum <x.vmdk)" "$sum"
}
