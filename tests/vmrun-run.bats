#!/usr/bin/env bats
# What vmrun says to wrong input: one clear line each, and the right exit code.
# shellcheck disable=SC2154
load helper

# The kernel of a multiboot test guest: a good one, which ends by itself.
good() { kernel=${BUILD:-build}/tests/guest/exceptions.elf; }

@test "without a command it shows its usage on stderr" {
	run -2 --separate-stderr vmrun
	assert_output ''
	assert_regex "$stderr" "^usage: vmrun "
}

@test "--help and run -h go to stdout" {
	run -0 --separate-stderr vmrun --help
	assert_line --regexp "^  run +Boot a kernel"
	assert_equal "$stderr" ''
	run -0 --separate-stderr vmrun run -h
	assert_line --regexp "^usage: vmrun run "
	assert_line --regexp "^ +--memory SIZE"
	run -0 vmrun run --memory 64M --help
	assert_line --regexp "^usage: vmrun run "
}

@test "--version says the version, with -v what can be used here" {
	run -0 vmrun --version
	assert_output --regexp '^vmrun [0-9.]+$'
	run -0 vmrun --version -v
	assert_line --regexp '^capstone: '
	assert_line --regexp '^kvm: '
	assert_line --regexp '^bt: '
	assert_line 'interp: yes'
	fails 2 '--version: x: only -v may follow' --version x
	fails 2 '--version: x: only -v may follow' --version -v x
}

@test "a full standard output is an error" {
	run -1 --separate-stderr bash -c "'$VMRUN' --help >/dev/full"
	assert_equal "$stderr" "vmrun: standard output: No space left on device"
}

@test "it starts with standard descriptors closed" {
	run -2 bash -c "'$VMRUN' run --kernel /etc/passwd --memory 1 <&- >&- 2>&-"
}

@test "unknown commands and options" {
	fails 2 'fly: unknown command .*' fly
	fails 2 'run: --fly: unknown option .*' run --fly
	fails 2 'run: --mem: unknown option .*' run --mem 64M
	fails 2 'run: -q: unknown option .*' run -q
	fails 2 'run: --verify=1: unknown option .*|run: --verify: takes no argument' run --verify=1
	fails 2 'run: --memory: needs an argument' run --memory
	fails 2 'run: vmlinuz: unexpected operand .*' run vmlinuz
	fails 2 'run: --x: unexpected operand .*' run -- --x
}

@test "nothing to boot, or what does not go together" {
	fails 2 'run: nothing to boot: .*' run
	fails 2 'run: --initrd: needs --kernel' run --initrd /etc/passwd --bios x
	fails 2 'run: --append: needs --kernel' run --append x --bios x
	fails 2 'run: --bios: not together with --kernel' run --kernel x --bios x
	fails 2 'run: --verify: only with --accel bt' run --kernel x --accel interp --verify
	fails 2 'run: --boot: not together with --kernel' run --kernel x --boot disk
	fails 2 'run: --boot: hd: not one of disk, cdrom, menu and places like scsi0:0' \
		run --bios x --boot hd
	fails 2 'run: --boot: : not one of disk, .*' run --bios x --boot disk,
	fails 2 'run: --boot: scsi9:0: .*' run --bios x --boot scsi9:0
	fails 2 'run: --boot: ide0:1: nothing is there' run --cdrom x --boot cdrom,ide0:1
}

@test "arguments that are empty" {
	for o in kernel initrd bios boot serial trace; do
		fails 2 "run: --$o: its argument is empty" run --$o ''
		fails 2 "run: --$o: its argument is empty" run --$o=
	done
	good
	fails 2 'run: --trace: the name of the file is missing' run --kernel "$kernel" --trace irq:
	for modules in ',' '/etc/passwd,' ',/etc/passwd' '/etc/passwd,,/etc/passwd'; do
		fails 2 "run: $modules: a module has no name" run --kernel "$kernel" --initrd "$modules"
	done
}

@test "lock-step is for one processor" {
	good
	fails 3 "run: bt: --verify compares one virtual CPU's instructions" \
		run --kernel "$kernel" --accel bt --verify --cpus 2
}

@test "--verify is about the translator, whatever auto would take" {
	good
	run -129 --separate-stderr vmrun run -v --verify --kernel "$kernel" --debug-exit --serial none
	assert_equal "${stderr_lines[0]}" 'vmrun: run: accel: bt'
}

@test "memory sizes that are none, or out of range" {
	good
	for size in '' 12X M -1 1.5 0x100000 512MB; do
		fails 2 "run: --memory: $size: not a size .*" run --kernel "$kernel" --memory "$size"
	done
	for size in 0 512 1023k 65G 64T; do
		fails 2 "run: --memory: $size: out of range \(1M to 64G\)" \
			run --kernel "$kernel" --memory "$size"
	done
	fails 2 'run: --memory: 99999999999T: too large' run --kernel "$kernel" --memory 99999999999T
	fails 2 'run: --memory: not a multiple of 4k' run --kernel "$kernel" --memory 1048577
}

@test "numbers, seconds and choices out of range" {
	good
	fails 2 'run: --cpus: 0: out of range .*' run --kernel "$kernel" --cpus 0
	fails 2 'run: --cpus: 4096: out of range .*' run --kernel "$kernel" --cpus 4096
	fails 2 'run: --cpus: two: not a number' run --kernel "$kernel" --cpus two
	fails 2 'run: --timeout: soon: not a number of seconds' run --kernel "$kernel" --timeout soon
	fails 2 'run: --timeout: 0: out of range .*' run --kernel "$kernel" --timeout 0
	fails 2 'run: --timeout: -1: not a number of seconds' run --kernel "$kernel" --timeout -1
	fails 2 'run: --accel: tcg: not one of auto\|kvm\|bt\|interp' run --kernel "$kernel" --accel tcg
	fails 2 'run: --stats: xml: not one of json' run --kernel "$kernel" --stats=xml
	fails 2 'run: --trace: all: not one of units,exits,mmu,irq,firmware' run --kernel "$kernel" --trace all
	fails 2 'run: --trace: : not one of units,exits,mmu,irq,firmware' run --kernel "$kernel" --trace units,
	fails 4 'run: --trace: /nowhere/f: No such file or directory' \
		run --kernel "$kernel" --trace mmu:/nowhere/f
}

@test "files that are missing, folders, empty, or no kernels" {
	local t=$BATS_TEST_TMPDIR
	for o in kernel bios; do
		fails 4 'run: .*/nowhere: No such file or directory' run --$o /nowhere
		fails 3 'run: .*/tmp: Is a directory' run --$o /tmp
		: >"$t/empty"
		fails 3 "run: .*$t/empty: .*" run --$o "$t/empty"
	done
	fails 3 'run: .*/etc/passwd: .*' run --kernel /etc/passwd
	fails 3 'run: .*bash: .*' run --kernel "$(realpath /bin/bash)"
	head -c 100000 /dev/zero >"$t/zero"
	fails 3 "run: .*$t/zero: .*" run --kernel "$t/zero"
	head -c 100000 /dev/urandom >"$t/random"
	fails 3 "run: .*$t/random: .*" run --kernel "$t/random"
	fails 3 'run: .*/dev/zero: .*' run --kernel /dev/zero
	good
	gzip -c "$kernel" >"$t/gz"
	fails 3 "run: $t/gz: compressed by gzip: unpack it first" run --kernel "$t/gz"
	fails 4 'run: .*/nowhere: No such file or directory' run --kernel "$kernel" --initrd /nowhere
}

@test "a truncated kernel is refused at every length" {
	guest 686
	local n t=$BATS_TEST_TMPDIR/cut
	for n in 1 511 512 514 600 1024 4096 20000 1000000 5000000; do
		head -c $n "$guest" >"$t"
		fails 3 "run: .*$t: .*" run --kernel "$t"
	done
}

@test "a kernel that does not fit into the memory given" {
	guest 686
	fails 2 'run: .*memory.*' run --kernel "$guest" --memory 4M
}

@test "files without permission" {
	[ "$(id -u)" -eq 0 ] || skip "not root: cannot become another user"
	as_other
	install -m 600 /etc/passwd "$other/secret"
	fails 5 "run: .*$other/secret: Permission denied" run --kernel "$other/secret"
	fails 5 "run: .*$other/secret: Permission denied" run --bios "$other/secret"
	good
	install -m 644 "$kernel" "$other/kernel"
	fails 5 "run: .*$other/secret: Permission denied" \
		run --kernel "$other/kernel" --initrd "$other/secret"
	fails 5 "run: .*$other/log: Permission denied" \
		run --kernel "$other/kernel" --serial "file:$other/log"
	fails 5 "run: --trace: $other/log: Permission denied" \
		run --kernel "$other/kernel" --trace "irq:$other/log"
}

@test "no permission on /dev/kvm: kvm is refused, auto takes another engine" {
	[ -e /dev/kvm ] || skip "no /dev/kvm here"
	[ "$(id -u)" -eq 0 ] || skip "not root: cannot become another user"
	[ "$(stat -c %A /dev/kvm | cut -c 8-9)" != rw ] || skip "every user may use /dev/kvm"
	good
	as_other
	install -m 644 "$kernel" "$other/kernel"
	fails 5 'run: kvm: no permission .*/dev/kvm.*' run --accel kvm --kernel "$other/kernel"
	run -129 --separate-stderr vmrun run -v --debug-exit --kernel "$other/kernel" --timeout 50
	assert_regex "$stderr" 'vmrun: run: .*(bt|interp)'
}

@test "a full disk behind the serial port is an error" {
	good
	run -1 --separate-stderr bash -c "'$VMRUN' run --memory 64M --kernel '$kernel' \
		--timeout 20 </dev/null >/dev/full"
	# shellcheck disable=SC2154 # set by run --separate-stderr
	[[ $stderr = *"output is lost: No space left on device"* ]]
}

@test "a serial file that gets full is said at once, and the machine goes on" {
	good
	run -129 --separate-stderr vmrun run --memory 64M --kernel "$kernel" --debug-exit \
		--serial file:/dev/full
	assert_equal "$stderr" "vmrun: run: serial port: the guest's output is lost: No space left on device"
}

@test "a trace that cannot be written is said at once, and the machine goes on" {
	good
	run -129 --separate-stderr vmrun run --memory 64M --kernel "$kernel" --debug-exit \
		--serial none --accel bt --trace units,exits:/dev/full
	assert_equal "$stderr" 'vmrun: run: --trace: the rest of the trace is lost: No space left on device'
	# A few lines are only written at the end.
	rom=$BATS_TEST_TMPDIR/rom
	{ head -c 65520 /dev/zero; printf '\xb0\xfe\xe6\x64\xf4%011d' 0; } >"$rom"
	run -1 --separate-stderr vmrun run --bios "$rom" --no-reboot --accel bt --trace units:/dev/full
	assert_equal "$stderr" 'vmrun: run: --trace: the rest of the trace is lost: No space left on device'
}

@test "a file size limit ends output, not the machine" {
	rom=$BATS_TEST_TMPDIR/rom
	# mov dx, 0x3f8; 1: out dx, al; jmp 1b
	{ head -c 65520 /dev/zero; printf '\xba\xf8\x03\xee\xeb\xfd%010d' 0; } >"$rom"
	run -124 --separate-stderr bash -c "ulimit -f 2100; '$VMRUN' run --memory 1M --timeout 3 \
		--bios '$rom' --serial 'file:$BATS_TEST_TMPDIR/out' --accel interp </dev/null"
	assert_equal "${stderr_lines[0]}" "vmrun: run: serial port: the guest's output is lost: File too large"
	assert_equal "${stderr_lines[1]}" 'vmrun: run: timed out'
}

@test "--timeout covers the wait for a kernel, an initrd and a reader of the output" {
	local t=$BATS_TEST_TMPDIR
	mkfifo "$t/pipe"
	fails 124 "run: $t/pipe: timed out" run --timeout 0.3 --kernel "$t/pipe"
	good
	fails 124 "run: $t/pipe: timed out" run --timeout 0.3 --kernel "$kernel" --initrd "$t/pipe"
	fails 124 "run: serial: $t/pipe: timed out" \
		run --timeout 0.3 --kernel "$kernel" --serial "file:$t/pipe"
	fails 124 "run: --trace: $t/pipe: timed out" \
		run --timeout 0.3 --kernel "$kernel" --trace "irq:$t/pipe"
	# One that sends a little for ever.
	while printf x; do read -rt 0.05 <> <(:) || :; done >"$t/pipe" 2>/dev/null 3>&- &
	fails 124 "run: $t/pipe: timed out" run --timeout 0.5 --kernel "$t/pipe"
}

@test "an initrd that cannot fit is not read to its end" {
	good
	fails 2 'run: /dev/zero: does not fit into 64 MiB of memory' \
		run --memory 64M --kernel "$kernel" --initrd /dev/zero
	# Nor read at all, where the file says how long it is.
	room=2000000
	[ -z "${SAN-}" ] || room=unlimited	# the address sanitizer's own
	truncate -s 3T "$BATS_TEST_TMPDIR/sparse"
	run -3 --separate-stderr bash -c "ulimit -v $room
		'$VMRUN' run --memory 64G --kernel '$kernel' --initrd '$BATS_TEST_TMPDIR/sparse'"
	assert_equal "$stderr" "vmrun: run: $BATS_TEST_TMPDIR/sparse: longer than 3221225472 bytes"
}

@test "SIGTERM ends the wait for a kernel from a pipe" {
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	"$VMRUN" run --kernel "$BATS_TEST_TMPDIR/pipe" 3>&- &
	pid=$!
	until grep -q '^State:.*S' /proc/$pid/status; do :; done
	kill -TERM $pid
	rc=0
	wait $pid || rc=$?
	[ $rc -eq 0 ]
}

@test "serial ports that cannot be" {
	good
	fails 2 "run: .*parallel.*" run --kernel "$kernel" --serial parallel
	fails 4 'run: .*/nowhere/f: No such file or directory' run --kernel "$kernel" --serial file:/nowhere/f
	fails 4 'run: .*/nowhere/s: No such file or directory' run --kernel "$kernel" --serial unix:/nowhere/s
	fails 2 'run: .*too long.*' run --kernel "$kernel" --serial "unix:/tmp/$(printf 'x%.0s' {1..200})"
	: >"$BATS_TEST_TMPDIR/there"
	fails 6 "run: .*$BATS_TEST_TMPDIR/there: Address already in use" \
		run --kernel "$kernel" --serial "unix:$BATS_TEST_TMPDIR/there"
}

@test "what the system does not give is one line" {
	good
	refused() {
		run "-${3:-1}" --separate-stderr bash -c "exec </dev/null 3>&- 4>&- 5>&- 6>&-; ulimit $1
			exec '$VMRUN' run --kernel '$kernel' --memory 64M --accel bt --timeout 20"
		assert_output ''
		assert_equal "${#stderr_lines[@]}" 1
		assert_regex "$stderr" "^vmrun: run: $2\$"
	}
	# (The address sanitizer itself needs more.)
	if [ -z "${SAN-}" ]; then
		refused '-v 300000' '.*address space.* use --accel interp'
		refused '-v 20000' 'cannot map 64 MiB of guest memory: .*'
	fi
	refused '-i 0' 'cannot make a timer \(ulimit -i\?\): .*' 75
	refused '-n 8' '.*: Too many open files'
	refused '-f 64' 'cannot size guest memory to .*: File too large'
	# A small stack is enough.
	run -0 bash -c "ulimit -s 256; '$VMRUN' disas README.md"
}
