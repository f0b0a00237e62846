#!/usr/bin/env bats
# Every command of vmdk with operands that are no disks, odd names, and an output that
# takes nothing: one line, the right code, and nothing is changed or left behind.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper
kernel=$(realpath "${BUILD:-build}/tests/guest/exceptions.elf")

setup() { mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1; }

# With @ for the operand.
COMMANDS=("info @" "info --chain @" "map @" "check @" "check --repair @" "resize @ 2M" "delete @"
	"delete -f @" "rename @ y.vmdk" "diff @ good.vmdk" "diff good.vmdk @" "clone @ y.vmdk"
	"clone --linked @ y.vmdk" "convert @ y.vmdk" "convert -f raw @ -" "compact @" "inflate @"
	"snapshot list @" "snapshot tree @" "snapshot create @ n" "snapshot revert @ n"
	"snapshot delete @ n" "snapshot consolidate @" "chain @" "chain --fix @" "create --parent @ y.vmdk")

# all CODES OPERAND: each command ends with one of CODES and says one line.
all() {
	local c args w
	for c in "${COMMANDS[@]}"; do
		args=()
		for w in $c; do args+=("${w/#@/$2}"); done
		run --separate-stderr vmdk "${args[@]}"
		[[ " $1 " == *" $status "* ]] || { echo "$c: $status, not $1: $stderr"; return 1; }
		[ ${#stderr_lines[@]} -eq 1 ] || { echo "$c: $stderr"; return 1; }
		[[ $stderr == "vmdk: ${c%% *}: "* && $stderr != *.lck* ]] || { echo "$c: $stderr"; return 1; }
	done
}

@test "what is not there, or not a file" {
	vmdk create -s 1M good.vmdk
	mkdir dir.vmdk
	mkfifo pipe.vmdk
	ln -s nowhere dangling.vmdk
	before=$(ls -lR)
	# Names that can only be a layer's or a machine's are looked at first: 2.
	all '4' none.vmdk
	all '4' no/ne.vmdk
	all '4' good.vmdk/x.vmdk
	all '4 2' dangling.vmdk
	all '4 2' ''
	# chain says what is wrong with the top as it does of a parent: 8 and no message.
	COMMANDS=("${COMMANDS[@]/#chain @/info @}")
	all '2 3 8' dir.vmdk
	all '2 3 8' pipe.vmdk
	COMMANDS=("${COMMANDS[@]/#delete */info @}")
	all '2 8' /dev/null
	all '2 4' -x
	assert_equal "$(ls -lR)" "$before"
}

@test "what is no disk: empty, a byte, a text" {
	vmdk create -s 1M good.vmdk
	: >empty.vmdk
	printf x >byte.vmdk
	run -0 vmdk info --json empty.vmdk
	assert_output --partial '"capacity_bytes":0'
	run -0 vmdk info --json byte.vmdk
	assert_output --partial '"capacity_bytes":512'
	run -0 vmdk map empty.vmdk
	for f in empty byte; do
		fails 2 "delete: $f.vmdk: has no descriptor.*" delete $f.vmdk
		fails 3 "snapshot: $f.vmdk: .*" snapshot create $f.vmdk n
		fails 3 "create: $f.vmdk: has no descriptor, and .*" create --parent $f.vmdk y.vmdk
		fails 3 "clone: $f.vmdk: has no descriptor, and .*" clone --linked $f.vmdk y.vmdk
	done
	fails 2 'convert: a size of 0 bytes: .*' convert empty.vmdk y.vmdk
	vmdk convert byte.vmdk y.vmdk
	assert_equal "$(vmdk convert -f raw y.vmdk - | tr -d '\0' | cat)" x
	echo 'not a machine' >x.vmx
	fails 3 'snapshot: x.vmx:1: .*' snapshot create x.vmx n
	assert_equal "$(echo *)" 'byte.vmdk empty.vmdk good.vmdk x.vmx y.vmdk'
}

@test "odd names: blanks, other scripts, options, long ones, paths with .." {
	# In memory: all that is made is synced.
	[ ! -w /dev/shm ] || { other=$(mktemp -d /dev/shm/vmdk-test.XXXXXX) && cd "$other"; }
	mkdir sub
	for n in 'a b.vmdk' 'ü 中.vmdk' ' .vmdk' 'x.VMDK' "it's \$HOME.vmdk" 'a*?.vmdk' 'no end' \
		'sub/../up.vmdk' "$PWD/absolute.vmdk" '-x.vmdk' "$(printf 'l%.0s' {1..225}).vmdk"; do
		for f in thin sparse; do
			vmdk create -s 1M -f $f -- "$n"
			vmdk info -- "$n" >/dev/null
			vmdk check -- "$n" >/dev/null
			vmdk resize -- "$n" 2M
			vmdk convert -f flat -- "$n" other.vmdk
			vmdk rename -- other.vmdk third.vmdk
			vmdk diff -- third.vmdk "$n"
			vmdk delete -- third.vmdk
			vmdk rename -- "$n" r.vmdk
			vmdk rename -- r.vmdk "$n"
			vmdk delete -- "$n"
		done
		if [[ $n == *.vmdk ]]; then
			vmdk create -s 1M -- "$n"
			vmdk snapshot create -- "$n" "$n" >/dev/null 2>&1 || [[ $n == */* || ${#n} -gt 200 ]]
			vmdk snapshot delete -- "$n" "$n" >/dev/null 2>&1 || [[ $n == */* || ${#n} -gt 200 ]]
			vmdk delete -- "$n"
		fi
		assert_equal "$n: $(find . -mindepth 1)" "$n: ./sub"
	done
	fails 1 'create: x+(\.\.\.)?: File name too long' create -s 1M "$(printf 'x%.0s' {1..300}).vmdk"
	fails 4 'info: a\?b: No such file or directory' info $'a\nb'
	fails 2 'create: a\?b: a quote or a newline in the name' create -s 1M $'a\nb'
}

@test "symbolic links: looked through, but a disk is removed and renamed by its own name" {
	vmdk create -s 1M -f thin a.vmdk
	ln -s a.vmdk l.vmdk
	run -0 vmdk info l.vmdk
	vmdk resize l.vmdk 2M
	fails 2 "delete: l.vmdk: is a symbolic link: name the disk itself, $PWD/a.vmdk" delete l.vmdk
	fails 2 'rename: l.vmdk: is a symbolic link: .*' rename l.vmdk b.vmdk
	fails 1 'create: l.vmdk: File exists' create -s 1M l.vmdk
	fails 2 'convert: l.vmdk: SRC is, or consists of, the same' convert --force a.vmdk l.vmdk
	fails 1 'rename: l.vmdk: File exists' rename a.vmdk l.vmdk
	vmdk delete a.vmdk
	assert_equal "$(echo *)" l.vmdk
	# A link in another folder: files and parents lie beside what it leads to.
	mkdir store
	vmdk create -s 1M -f 2gbsparse store/p.vmdk
	vmdk create --parent store/p.vmdk store/c.vmdk
	ln -s store/p.vmdk p.vmdk
	fails 5 'create: .*another folder' create --parent p.vmdk c.vmdk
	vmdk create --allow-outside --parent p.vmdk c.vmdk
	vmdk check --allow-outside --chain c.vmdk
	vmdk delete c.vmdk
	rm p.vmdk
	ln -sf store/c.vmdk l.vmdk
	run -0 vmdk check --chain l.vmdk
	vmdk resize l.vmdk 3G
	vmdk clone l.vmdk copy.vmdk
	vmdk diff copy.vmdk store/c.vmdk
	vmdk delete copy.vmdk
	assert_equal "$(echo *)" 'l.vmdk store'
	vmdk delete store/c.vmdk
	assert_equal "$(echo store/*)" 'store/p-s001.vmdk store/p.vmdk'
}

@test "a terminal obeys nothing that a file says" {
	local esc=$'\e[2J'
	printf 'x%.0s' {1..512} >"${esc}x"
	printf '%s\n' '# Disk DescriptorFile' version=1 CID=12345678 parentCID=ffffffff \
		'createType="vmfs"' "RW 1 VMFS \"${esc}x\"" "ddb.adapterType = \"$esc\"" \
		"ddb.uuid = \"$esc\"" >d.vmdk
	vmdk create -s 1M s.vmdk
	vmdk snapshot create s.vmdk name
	sed -i "s/\"name\"/\"$esc\"/" s.vmsd
	vmdk create -s 1M "${esc}p.vmdk"
	vmdk create --parent "${esc}p.vmdk" c.vmdk
	for c in "info d.vmdk" "map d.vmdk" "check d.vmdk" "chain d.vmdk" "info --json d.vmdk" \
		"info --chain c.vmdk" "check --chain c.vmdk" "chain c.vmdk" "snapshot list s.vmdk" "snapshot tree s.vmdk"; do
		# shellcheck disable=SC2086
		run -0 vmdk $c
		[[ $output != *$'\e'* ]] || { echo "$c"; return 1; }
	done
}

@test "an output that is full, closed or cut off: 1, and it is said" {
	vmdk create -s 1M -f thin a.vmdk
	vmdk create --parent a.vmdk c.vmdk
	vmdk snapshot create c.vmdk s >/dev/null
	for c in 'info c.vmdk' 'info --json c.vmdk' 'map c.vmdk' 'check c.vmdk' 'snapshot list c.vmdk' \
		'snapshot tree --json c.vmdk' 'chain c.vmdk' --help --version 'info -h' \
		'create --check -s 1M q.vmdk' 'convert -f raw c.vmdk -' 'convert c.vmdk -' \
		'resize --json --check c-000001.vmdk 2M'; do
		# shellcheck disable=SC2086
		{
			run -1 --separate-stderr bash -c '"$@" >/dev/full' _ "$VMDK" $c
			assert_regex "$stderr" 'No space left on device$'
			run -1 --separate-stderr bash -c '"$@" >&-' _ "$VMDK" $c
			assert_regex "$stderr" 'Bad file descriptor$'
			run -1 --separate-stderr bash -c 'trap "" PIPE; exec 3> >(exec <&-); wait $!; "$@" >&3' _ "$VMDK" $c
			assert_regex "$stderr" 'Broken pipe$'
		}
	done
	# What was found out is worth more.
	run -8 --separate-stderr bash -c '"$@" >/dev/full' _ "$VMDK" old --older-than 0s .
}

@test "a file system that is full: one line, nothing is left, and what was there stays" {
	small 3M
	head -c 8M /dev/urandom >data
	vmdk create -s 1M -f thin "$small/old.vmdk"
	cp "$small/old.vmdk" before
	for f in sparse 2gbsparse flat thin eagerzeroedthick vmfssparse sesparse stream raw; do
		for c in convert clone; do
			[ $c$f != clonestream ] || continue
			run --separate-stderr vmdk $c -f $f data "$small/x.vmdk"
			assert_regex "$status $stderr" '^1 vmdk: .*(No space left on device|short)'
			run --separate-stderr vmdk $c --force -f $f data "$small/old.vmdk"
			assert_regex "$status $stderr" '^1 vmdk: .*(No space left on device|short)'
			assert_equal "$c $f: $(cd "$small" && echo *)" "$c $f: old-flat.vmdk old.vmdk"
			cmp "$small/old.vmdk" before
		done
	done
	run -1 dd if=/dev/zero of="$small/rest" bs=4k status=none
	# A machine's disk whose lock finds no room.
	run --separate-stderr vmrun run --kernel "$kernel" \
		--disk "$small/old.vmdk"
	assert_regex "$status $stderr" '^1 vmrun: run: --disk: .*No space left on device$'
	for c in "snapshot create $small/old.vmdk s" "resize $small/old.vmdk 1G" "inflate $small/old.vmdk" \
		"create --parent $small/old.vmdk $small/y.vmdk" "clone --linked $small/old.vmdk $small/y.vmdk"; do
		# shellcheck disable=SC2086
		run --separate-stderr vmdk $c
		assert_equal "${#stderr_lines[@]}" 1
		assert_equal "$(cd "$small" && echo *)" 'old-flat.vmdk old.vmdk rest'
		vmdk check "$small/old.vmdk"
	done
}

@test "help: of all, of one, and of what there is not" {
	run -0 vmdk help
	assert_line --regexp '^  snapshot  '
	assert_equal "$output" "$(vmdk --help)"
	for c in create info map check resize delete rename diff clone convert compact inflate \
		snapshot chain old; do
		run -0 vmdk help $c
		assert_equal "$output" "$(vmdk $c --help)"
		assert_line --index 0 --regexp "^usage: vmdk $c "
	done
	fails 2 'nothing: unknown command .*' help nothing
	fails 2 'help: b: one operand too many' help info b
}

@test "sizes: none, odd, huge, and the most of each format" {
	for s in 0 1 511 513 1000 -1 1.5x x '' 99999999999999999999 63T 1E; do
		run --separate-stderr vmdk create -s "$s" x.vmdk
		assert_equal "$s $status ${#stderr_lines[@]}" "$s 2 1"
	done
	vmdk create -s 512 x.vmdk
	for s in 0 1 513 63T -1 x; do
		run --separate-stderr vmdk resize -f x.vmdk "$s"
		assert_equal "$s $status ${#stderr_lines[@]}" "$s 2 1"
	done
	vmdk delete x.vmdk
	for f in sparse vmfssparse stream; do
		fails 2 'create: a .*' create -s 3T -f $f x.vmdk
	done
	for s in 512 1536 2T; do
		for f in sparse thin vmfssparse sesparse stream; do
			[ $s$f != 2Tvmfssparse ] && [ $s$f != 2Tsparse ] && [ $s$f != 2Tstream ] || continue
			vmdk create -s $s -f $f x.vmdk
			run -0 vmdk check x.vmdk
			vmdk delete x.vmdk
		done
	done
	vmdk create -s 62T -f sesparse x.vmdk
	run -0 vmdk info --json x.vmdk
	assert_output --partial '"capacity_bytes":68169720922112'
	vmdk delete x.vmdk
}

@test "stopped by SIGINT: what had begun is undone or complete" {
	head -c 3M /dev/urandom >data
	for c in 'convert --bwlimit 1M data x.vmdk' 'convert --bwlimit 1M -f thin data x.vmdk'; do
		# Background jobs of scripts ignore it; perl takes it back.
		# shellcheck disable=SC2086
		perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' "$VMDK" $c </dev/null 2>err 3>&- &
		pid=$!
		until [ -e x.vmdk.part ]; do
			kill -0 $pid
			read -rt 0.02 <> <(:) || :
		done
		kill -INT $pid
		rc=0
		wait $pid || rc=$?
		assert_equal "$rc $(cat err)" '1 vmdk: convert: stopped'
		rm err
		assert_equal "$(echo *)" data
	done
}

@test "a folder that may not be written to: 5" {
	as_other
	mkdir "$other/d"
	chmod 755 "$other/d"
	truncate -s 1M "$other/d/r.vmdk"
	"$VMDK" create -s 1M -f thin "$other/d/a.vmdk"
	run -0 vmdk info "$other/d/a.vmdk"
	run -0 vmdk check "$other/d/a.vmdk"
	for c in "delete @" "resize @ 2M" "rename @ $other/d/b.vmdk" "check --repair @" "compact @" \
		"snapshot create @ s" "clone @ $other/d/b.vmdk" "convert @ $other/d/b.vmdk" \
		"create --parent @ $other/d/b.vmdk" "chain --fix @"; do
		# shellcheck disable=SC2086
		fails 5 "${c%% *}: .*: Permission denied" ${c//@/$other/d/a.vmdk}
	done
	assert_equal "$(cd "$other/d" && echo *)" 'a-flat.vmdk a.vmdk r.vmdk'
}
