#!/usr/bin/env bats
# Each line of the EXAMPLES of a man page does what the page says.
# shellcheck disable=SC2154
load helper
load bootable

# example PATTERN [TOOL]: the line of its EXAMPLES that matches, as text.
example() {
	mandoc -T ascii -O width=200 "$BATS_TEST_DIRNAME/../man/${2:-vmrun}.1" | sed 's/.\x08//g' |
		sed -n '/^EXAMPLES/,$p' | grep -E "^ +.*$1" | sed 's/^ *//'
}

setup() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	dir=$BATS_TEST_TMPDIR/work
	mkdir -p "$dir/bin"
	ln -s "$VMRUN" "$VMDK" "$dir/bin"
	PATH=$dir/bin:$PATH
}

@test "each example has a test here" {
	assert_equal "$(example 'vmrun ' | wc -l)" 5
	assert_equal "$(example 'vmdk ' vmdk | wc -l)" 10
}

@test "example: Debian's kernel to a shell" {
	guest 686
	cp "$guest" "$dir/vmlinuz"
	tests/guest/mkinitramfs "$dir/initrd.gz"
	line=$(example 'vmlinuz')
	cd "$dir"
	mkfifo keys
	timeout -k 5 120 bash -c "$line" <keys >out 3>&- &
	pid=$!
	exec 7>keys
	until grep -q 'ring1:' out; do
		kill -0 $pid
		read -rt 0.1 <> <(:) || :
	done
	printf 'exit\r' >&7
	wait $pid
	exec 7>&-
	grep -q 'reboot: Power down' out
}

@test "example: a test kernel's verdict is the exit code" {
	cp "${BUILD:-build}/tests/guest/exceptions.elf" "$dir/test.elf"
	line=$(example 'test.elf')
	cd "$dir"
	run -129 timeout 90 bash -c "$line" </dev/null
}

@test "example: a system is installed from a CD-ROM" {
	needs xorriso
	[ -f /usr/share/seabios/bios-256k.bin ] || { echo "no seabios: see ./setup --check"; return 1; }
	line=$(example 'install.iso')
	cd "$dir"
	vmdk create -s 1M new.vmdk
	# It powers the machine off: SLP_EN of PM1a, where SeaBIOS has put that.
	sector cd <<<'movw $0x604, %dx; movw $0x2000, %ax; outw %ax, %dx'
	iso cd install.iso
	run -0 timeout 90 bash -c "$line" </dev/null
	assert_output --partial 'booted cd'
}

@test "example: what becomes of two instructions" {
	run -0 bash -c "$(example 'disas')"
	assert_line --regexp '^00100000  mov eax, dword ptr \[ebx \+ 4\] '
	assert_line --regexp '^00100003  ret '
}

@test "example: which engines can be used" {
	run -0 bash -c "$(example 'version')"
	assert_line 'interp: yes'
}

@test "example: disks, in the order of the page" {
	cd "$dir"
	bash -c "$(example 'create -s' vmdk)"
	bash -c "$(example 'esx.vmdk' vmdk)"
	run -0 bash -c "$(example 'vmdk map' vmdk)"
	assert_line --regexp '^ +0 +10737418240 zero'
	bash -c "$(example 'parent' vmdk)"
	run -0 bash -c "$(example 'check' vmdk)"
	assert_output 'child.vmdk: clean'
	bash -c "$(example 'convert' vmdk)"
	run -0 vmdk diff child.vmdk copy.vmdk
	rm copy.vmdk
	assert_equal "$(echo *)" 'bin child.vmdk disk.vmdk esx-flat.vmdk esx.vmdk'
}

@test "example: before an update, and back again" {
	cd "$dir"
	mkdir vms
	vmdk create -s 1M disk.vmdk
	run -0 bash -c "$(example 'snapshot create' vmdk)"
	assert_output disk-000001.vmdk
	run -0 bash -c "$(example 'snapshot revert' vmdk)"
	assert_output disk-000002.vmdk
	run -0 bash -c "$(example 'snapshot tree' vmdk)"
	assert_output $'before-update\n  (now)'
	run -0 bash -c "$(example 'vmdk old' vmdk)"
	assert_output ''
}
