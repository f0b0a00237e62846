#!/usr/bin/env bats
# vmrun run --cpu: what a stock kernel finds in /proc/cpuinfo.
# shellcheck disable=SC2154 # status, output, lines are bats'
load helper

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	KERNEL=$(tests/guest/fetch amd64) || return 1
	export KERNEL INITRD=$BATS_FILE_TMPDIR/initramfs.gz
	printf '#!/bin/sh\ngrep -E -m2 "^(model name|flags)" /proc/cpuinfo\n' >"$BATS_FILE_TMPDIR/show"
	chmod 755 "$BATS_FILE_TMPDIR/show"
	tests/guest/mkinitramfs "$INITRD" "$BATS_FILE_TMPDIR/show=bin/show"
}

# cpuinfo CPU ENGINE: $flags (with a space at both ends) and $model
cpuinfo() {
	LIMIT=150 run -0 --separate-stderr vmrun run --cpu "$1" --accel "$2" --kernel "$KERNEL" \
		--initrd "$INITRD" --append "console=ttyS0 quiet panic=-1 ring1=run=/bin/show" \
		--memory 256M --no-reboot --timeout 140
	flags=$(tr -d '\r' <<<"$output" | sed -n 's/^flags[^:]*:\(.*\)/\1 /p')
	model=$(tr -d '\r' <<<"$output" | sed -n 's/^model name[^:]*: *//p')
	assert [ -n "$flags" ]
}

has() {
	local f
	for f; do
		[[ $flags == *" $f "* ]] || { echo "no $f in$flags"; return 1; }
	done
}

hasnt() {
	local f
	for f; do
		[[ $flags != *" $f "* ]] || { echo "$f in$flags"; return 1; }
	done
}

V2='cx16 lahf_lm popcnt pni ssse3 sse4_1 sse4_2'
V3='avx avx2 bmi1 bmi2 f16c fma abm movbe xsave'
OTHER='aes pclmulqdq rdrand rdseed sha_ni adx gfni vaes fsgsbase smep smap umip pcid invpcid rdtscp
	pdpe1gb xsaveopt xsavec xsaves erms fsrm sse4a clwb clflushopt rdpid avx512f pku'

# shellcheck disable=SC2086 # lists of words
@test "--cpu x86-64-v2 shows that level and no more" {
	cpuinfo x86-64-v2 bt
	assert_equal "$model" "x86-64-v2 virtual processor"
	has fpu sse sse2 syscall nx lm hypervisor $V2
	hasnt $V3 $OTHER
}

# shellcheck disable=SC2086
@test "--cpu x86-64-v3 shows that level and no more, under the interpreter, too" {
	local bt
	cpuinfo x86-64-v3 bt
	assert_equal "$model" "x86-64-v3 virtual processor"
	has fpu sse sse2 syscall nx lm hypervisor $V2 $V3
	hasnt $OTHER
	bt=$flags
	cpuinfo x86-64-v3 interp
	assert_equal "$flags" "$bt"
}

@test "--cpu host shows the host's features as far as they are implemented" {
	local f
	cpuinfo host bt
	assert_equal "$model" "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1)"
	host=" $(sed -n 's/^flags[^:]*: *//p' /proc/cpuinfo | head -1) "
	for f in aes pclmulqdq sha_ni avx avx2 fma bmi1 bmi2 rdrand fsgsbase smep smap umip pcid invpcid rdtscp rdpid xsave xsaves; do
		[[ $host != *" $f "* ]] || has $f
	done
	hasnt vmx svm avx512f monitor
}

@test "--cpu: a name that is none" {
	fails 2 'run: --cpu: x86-64-v4: not one of host\|x86-64-v2\|x86-64-v3' run --cpu x86-64-v4 \
		--kernel x
}
