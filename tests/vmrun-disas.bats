#!/usr/bin/env bats
# vmrun disas: guest and host code side by side.
# shellcheck disable=SC2154
load helper

# disas BYTES ARG...: BYTES as \xNN
disas() {
	# shellcheck disable=SC2059
	printf "$1" >"$BATS_TEST_TMPDIR/code"
	shift
	run -0 --separate-stderr vmrun disas "$@" "$BATS_TEST_TMPDIR/code"
}

@test "an instruction without memory stays what it is" {
	disas '\x01\xd8\xc3'
	assert_line --regexp '^unit 00100000: 3 bytes to [0-9]+, soft$'
	assert_line --regexp '^00100000  add eax, ebx +[0-9a-f]{3}  add eax, ebx$'
	assert_line --regexp '^00100002  ret '
}

@test "a memory operand goes through the software TLB or the window" {
	disas '\x8b\x43\x04' --at 0x200000
	assert_line --regexp '^00200000  mov eax, dword ptr \[ebx \+ 4\] +[0-9a-f]{3}  lea r8d, \[rbx \+ 4\]$'
	disas '\x8b\x43\x04' --bt-form window
	assert_line --regexp '^00100000  mov eax, dword ptr \[ebx \+ 4\] +[0-9a-f]{3}  mov eax, dword ptr gs:\[ebx \+ 4\]$'
}

@test "units follow each other to the end of the code" {
	# jne over mov [esi], eax; ret; ud2
	disas '\x75\x02\x89\x06\xc3\x0f\x0b'
	assert_line --regexp '^unit 00100000: '
	assert_line --regexp '^unit 00100002: '
	assert_line --regexp '^unit 00100005: '
	assert_line --regexp '^00100005  ud2  \(interpreted\)'
	refute_line --regexp '^00100007'
}

@test "code comes from standard input, too" {
	run -0 bash -c "printf '\x01\xd8\xc3' | '$VMRUN' disas -"
	assert_line --regexp '^00100000  add eax, ebx '
}

@test "bad input gets one line and the right exit code" {
	: >"$BATS_TEST_TMPDIR/empty"
	head -c 2000000 /dev/zero >"$BATS_TEST_TMPDIR/large"
	fails 2 'disas: FILE is missing' disas
	fails 2 'disas: more than one FILE' disas a b
	fails 4 'disas: /nowhere: No such file or directory' disas /nowhere
	fails 3 'disas: /tmp: Is a directory' disas /tmp
	fails 3 'disas: .*/empty: .*' disas "$BATS_TEST_TMPDIR/empty"
	fails 3 'disas: .*/large: .*' disas "$BATS_TEST_TMPDIR/large"
	fails 2 'disas: --at: 0xg: not an address' disas --at 0xg x
	fails 2 'disas: --at: 0: out of range .*' disas --at 0 x
	fails 2 'disas: --at: 0xffffffff: out of range .*' disas --at 0xffffffff x
	fails 2 'disas: --bt-form: mixed: not one of soft\|window' disas --bt-form mixed x
}
