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
	# A socket cannot be opened by name.
	ln -s "$VMRUN" "$BATS_TEST_TMPDIR/vmrun"
	run -0 bash -c "printf '\x01\xd8\xc3' | socat -u - EXEC:'$BATS_TEST_TMPDIR/vmrun disas -'"
	assert_line --regexp '^00100000  add eax, ebx '
}

@test "16-bit code is translated for real mode" {
	# mov ds, ax; mov ax, [bx]; int 0x13; jc to itself
	disas '\x8e\xd8\x8b\x07\xcd\x13\x72\xfc' --bits 16
	assert_line --regexp '^unit 00007c00: '
	assert_line --regexp '^00007c02  mov ax, word ptr \[bx\] '
	assert_line --regexp '^00007c04  int 0x13  \(interpreted\)$'
	assert_line --regexp '^00007c06  jb 0x7c04$'
	disas '\x31\xc0' --bits=16 --at 0xfff0
	assert_line --regexp '^0000fff0  xor ax, ax '
	disas '\x31\xc0' --bits 32 --at 65536
	assert_line --regexp '^00010000  xor eax, eax '
}

@test "64-bit code is translated for long mode" {
	# mov rax, [rbx + 4]; mov r15, rax; cli
	disas '\x48\x8b\x43\x04\x49\x89\xc7\xfa' --bits 64
	assert_line --regexp '^unit 00100000: 9 bytes to [0-9]+, soft$'
	assert_line --regexp '^00100000  mov rax, qword ptr \[rbx \+ 4\] +[0-9a-f]{3}  lea r15, \[rbx \+ 4\]$'
	assert_line --regexp '^00100007  cli +[0-9a-f]{3}  mov qword ptr fs:.*, r15$'
	disas '\x48\x8b\x43\x04\xfa' --bits 64 --bt-form window --at 0x2000000
	assert_line --regexp '^unit 02000000: 6 bytes to [0-9]+, window$'
	assert_line --regexp ' mov rax, qword ptr gs:\[r15 \+ 4\]$'
}

@test "--offset and --length choose a part of the file, or of a pipe" {
	disas '\x90\x90\x90\x01\xd8\xc3\x31\xc0' --offset 3 --length 2
	assert_line --regexp '^00100000  add eax, ebx '
	refute_line --regexp '^0010000[2-9]'
	truncate -s 10G "$BATS_TEST_TMPDIR/sparse"
	printf '\x01\xd8' >>"$BATS_TEST_TMPDIR/sparse"
	for offset in $((10 << 30)) 10G 0x280000000; do
		run -0 vmrun disas --offset $offset --length 1k "$BATS_TEST_TMPDIR/sparse"
	done
	assert_line --regexp '^00100000  add eax, ebx '
	run -0 bash -c "{ head -c 3000000 /dev/zero; printf '\x01\xd8'; } | '$VMRUN' disas --offset 3000000 -"
	assert_line --regexp '^00100000  add eax, ebx '
}

@test "it takes time as its input grows, not more" {
	local t=$BATS_TEST_TMPDIR
	# Capstone once a line cost some 50 us each: a minute for this.
	head -c 200000 /dev/zero | tr '\0' '\220' >"$t/nops"
	LIMIT=20 run -0 vmrun disas "$t/nops"
	assert [ "${#lines[@]}" -gt 200000 ]
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
	fails 2 'disas: --at: 0x0: 32-bit code begins at 0x10000 to 0x[0-9a-f]+' disas --at 0 x
	fails 2 'disas: --at: 0xffffffff: 32-bit code begins .*' disas --at 0xffffffff x
	fails 2 'disas: --at: 0x10000: 16-bit code begins at 0x0 to 0xffff' \
		disas --bits 16 --at 0x10000 x
	fails 3 'disas: --bits: 8-bit code cannot be shown, only 16, 32 and 64-bit' disas --bits 8 x
	fails 2 'disas: --length: 0: out of range \(1 to 1M\)' disas --length 0 x
	fails 2 'disas: --length: 1048577: out of range \(1 to 1M\)' disas --length 1048577 x
	fails 2 'disas: --length: 2M: out of range \(1 to 1M\)' disas --length 2M x
	fails 2 'disas: --offset: 1x: not a size .*' disas --offset 1x x
	fails 3 'disas: /etc/passwd: no bytes there' disas --offset 1000000 /etc/passwd
	fails 3 'disas: .*: [0-9]+ bytes at 0xfff0 leave the 64 KiB of a segment' \
		disas --bits 16 --at 0xfff0 /etc/passwd
	fails 2 'disas: --bt-form: mixed: not one of soft\|window' disas --bt-form mixed x
}
