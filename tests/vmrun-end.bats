#!/usr/bin/env bats
# How a machine ends, and what vmrun's exit code says about it.  The guests are
# ROMs of a few bytes at the reset vector, under the interpreter and the translator.
# shellcheck disable=SC2154
load helper

# rom BYTES: a 64 KiB ROM whose reset vector holds BYTES (at most 16, as \xNN).
rom() {
	rom=$BATS_TEST_TMPDIR/rom
	{
		head -c 65520 /dev/zero
		# shellcheck disable=SC2059
		{ printf "$1"; head -c 16 /dev/zero; } | head -c 16
	} >"$rom"
}

HALT='\xfa\xf4\xeb\xfc'			# cli; 1: hlt; jmp 1b
LOOP='\xeb\xfe'				# 1: jmp 1b
EXIT_41='\xb0\x41\xe6\xf4\xf4'		# mov al, 0x41; out 0xf4, al; hlt
CRASH='\x0f\x01\x1e\x00\x00\x0f\x0b'	# lidt [0] (zeroes); ud2
TRIPLE='\x0f\x01\x1e\x00\x00\xcd\x03'	# lidt [0] (zeroes); int 3
RESET='\xb0\xfe\xe6\x64\xf4'		# mov al, 0xfe; out 0x64, al; hlt
HELLO='\xba\xf8\x03\xb0\x48\xee\xb0\x49\xee\xf4'	# "HI" to the serial port

# 1: mov dx, 0x3fd; 2: in al, dx; test al, 1; jz 2b; mov dl, 0xf8; in al, dx; out dx, al; jmp 1b
ECHO='\xba\xfd\x03\xec\xa8\x01\x74\xfb\xb2\xf8\xec\xee\xeb\xf2'

engines() { for engine in ${ENGINES:-interp bt}; do "$@"; done; }

# background ARG...: vmrun in the background, as $pid.
background() {
	rm -f "$BATS_TEST_TMPDIR/err"
	# Whoever runs the tests may have started them with SIGHUP ignored, by nohup.
	env --default-signal=HUP "$VMRUN" "$@" --timeout 60 </dev/null >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	pid=$!
}

teardown() { [ -z "${pid-}" ] || kill -KILL "$pid" 2>/dev/null || return 0; }

# wait_for TEXT FILE: for at most 20 seconds.
wait_for() {
	local end=$((SECONDS + 20))
	until grep -q "$1" "$2" 2>/dev/null; do
		[ $SECONDS -lt $end ] || { echo "no '$1' in $2"; return 1; }
		read -rt 0.05 <> <(:) || :
	done
}

@test "the guest's code at the debug-exit port is the exit code" {
	rom "$EXIT_41"
	exits() { run -131 vmrun run --bios "$rom" --debug-exit --accel "$engine"; }
	engines exits
	# Without the option there is no such port: the guest just halts.
	run -124 vmrun run --bios "$rom" --timeout 1 --accel interp
}

@test "--timeout ends a machine that halts, and one that loops, with 124" {
	times_out() {
		local guest
		for guest in "$HALT" "$LOOP"; do
			rom "$guest"
			SECONDS=0
			fails 124 'run: timed out.*' run --bios "$rom" --timeout 0.5 --accel "$engine"
			[ $SECONDS -le 5 ]
		done
	}
	engines times_out
}

@test "a triple fault ends with 1, with registers and disassembly on stderr" {
	rom "$CRASH"
	crashes() {
		run -1 --separate-stderr vmrun run --bios "$rom" --accel "$engine"
		assert_output ''
		assert_regex "${stderr_lines[0]}" '^vmrun: run: .*triple fault'
		assert_regex "$stderr" '[Ee]?[Ii][Pp]'
		assert_regex "$stderr" 'ud2'
	}
	engines crashes
}

@test "SIGTERM, SIGINT and SIGHUP stop a machine cleanly" {
	stops() {
		local guest sig
		for guest in "$HALT" "$LOOP"; do
			rom "$guest"
			for sig in TERM INT HUP; do
				background run -v --bios "$rom" --accel "$engine"
				wait_for "$engine" "$BATS_TEST_TMPDIR/err"
				SECONDS=0
				kill -$sig "$pid"
				wait "$pid"
				[ $SECONDS -le 5 ]
			done
		done
	}
	engines stops
}

@test "a reset starts the guest again, with --no-reboot it ends with 0" {
	resets() {
		local guest
		for guest in "$RESET" "$TRIPLE"; do
			rom "$guest"
			run -0 vmrun run --bios "$rom" --no-reboot --accel "$engine"
			run -124 vmrun run --bios "$rom" --timeout 0.5 --accel "$engine"
		done
	}
	engines resets
}

@test "the serial port leads to stdout, a file, a socket or nowhere" {
	rom "$HELLO"
	leads() {
		local t=$BATS_TEST_TMPDIR
		run -124 --separate-stderr vmrun run --bios "$rom" --timeout 0.5 --accel "$engine"
		assert_output HI
		run -124 --separate-stderr vmrun run --bios "$rom" --timeout 0.5 --serial none --accel "$engine"
		assert_output ''
		run -124 --separate-stderr vmrun run --bios "$rom" --timeout 0.5 \
			--serial "file:$t/file" --accel "$engine"
		assert_output ''
		assert_equal "$(cat "$t/file")" HI
	}
	engines leads
}

@test "a reader that goes away ends the machine, with 0" {
	# mov dx, 0x3f8; 1: out dx, al; jmp 1b
	rom '\xba\xf8\x03\xee\xeb\xfd'
	goes() {
		run -0 --separate-stderr bash -c "'$VMRUN' run --bios '$rom' --accel $engine \
			--timeout 20 </dev/null | head -c 1 >/dev/null; exit \${PIPESTATUS[0]}"
		assert_equal "$stderr" ''
	}
	engines goes
}

@test "a reader that is slow still gets all of the output" {
	rom=$BATS_TEST_TMPDIR/rom
	# mov dx, 0x3fd; 1: in al, dx; test al, 0x20; jz 1b; mov dl, 0xf8; mov al, "x";
	# out dx, al; mov dl, 0xfd; dec cx; jnz 1b; mov al, 0x41; out 0xf4, al; hlt
	{
		head -c 65488 /dev/zero
		printf '\xba\xfd\x03\xec\xa8\x20\x74\xfb\xb2\xf8\xb0\x78\xee\xb2\xfd\x49\x75\xf1\xb0\x41\xe6\xf4\xf4'
		head -c 9 /dev/zero
		printf '\xeb\xde'	# the reset vector: jmp to the first
		head -c 14 /dev/zero
	} >"$rom"
	# The pipe is nearly full, so that most of 64 KiB waits in vmrun at the end.
	run -0 bash -c "{ head -c 60000 /dev/zero
		'$VMRUN' run --bios '$rom' --debug-exit --accel interp --timeout 30 </dev/null; } |
		{ sleep 3; wc -c; }"
	assert_output 125536
}

@test "a serial socket serves a client, and is refused to a second machine" {
	needs socat
	rom "$ECHO"
	local s=$BATS_TEST_TMPDIR/socket
	background run -v --bios "$rom" --accel interp --serial "unix:$s"
	run -0 bash -c "{ printf hello; sleep 2; } |
		timeout 20 socat - 'unix-connect:$s,retry=50,interval=0.1' | head -c 5"
	assert_output hello
	fails 6 "run: serial: $s: Address already in use" run --bios "$rom" --serial "unix:$s"
	kill -KILL "$pid"
	wait "$pid" || true
	# What a dead process left behind is taken over, and removed at the end.
	assert [ -S "$s" ]
	run -124 vmrun run --bios "$rom" --serial "unix:$s" --timeout 0.5
	assert [ ! -e "$s" ]
}

@test "a machine leaves the socket of another alone that took its place" {
	rom "$HALT"
	local s=$BATS_TEST_TMPDIR/socket
	background run -v --bios "$rom" --accel interp --serial "unix:$s"
	wait_for accel "$BATS_TEST_TMPDIR/err"
	rm "$s"
	run -124 vmrun run --bios "$rom" --serial "unix:$s" --timeout 0.5
	"$VMRUN" run -v --bios "$rom" --serial "unix:$s" --timeout 30 </dev/null 2>"$s.err" 3>&- &
	other=$!
	wait_for accel "$s.err"
	kill -TERM "$pid"
	wait "$pid"
	rc=0
	[ -S "$s" ] || rc=1
	kill -TERM $other
	wait $other
	[ $rc -eq 0 ] && [ ! -e "$s" ]
}

@test "^A x at the terminal ends the machine and the terminal is as it was" {
	command -v script >/dev/null || skip "no script(1)"
	rom "$HALT"
	ends() {
		local t=$BATS_TEST_TMPDIR
		cat >"$t/session" <<-END
			stty -a >$t/before
			'$VMRUN' run --bios $rom --accel $engine --timeout 20
			echo "code \$?"
			stty -a >$t/after
		END
		rm -f "$t/typed" "$t/before" "$t/after"
		mkfifo "$t/keys"
		timeout 40 script -qec "bash $t/session" /dev/null <"$t/keys" >"$t/typed" 3>&- &
		pid=$!
		exec 7>"$t/keys"
		wait_for . "$t/before"
		local end=$((SECONDS + 20))
		until [ -s "$t/after" ]; do
			printf '\001x' >&7
			read -rt 0.2 <> <(:) || :
			[ $SECONDS -lt $end ] || break
		done
		exec 7>&-
		wait "$pid" || echo "script: exit $?"
		cat "$t/typed"
		rm "$t/keys"
		grep -q 'code 0' "$t/typed"
		diff "$t/before" "$t/after"
	}
	engines ends
}

@test "--stats counts, in lines or as one JSON object" {
	rom "$EXIT_41"
	counts() {
		run -131 --separate-stderr vmrun run --bios "$rom" --debug-exit --stats --accel "$engine"
		assert_regex "${stderr_lines[0]}" '^run_ns +[0-9]+$'
		run -131 --separate-stderr vmrun run --bios "$rom" --debug-exit --stats=json --accel "$engine"
		assert_equal "${#stderr_lines[@]}" 1
		assert_regex "$stderr" '^\{"run_ns":[0-9]+(,"[a-z0-9_]+":[0-9]+)*\}$'
	}
	engines counts
}

@test "--trace writes each kind of event" {
	traces() {
		local t=$BATS_TEST_TMPDIR/trace kinds=mmu,irq
		[ "$engine" = interp ] || kinds+=,units,exits
		run -129 vmrun run --kernel "${BUILD:-build}/tests/guest/paging.elf" --debug-exit \
			--serial none --accel "$engine" --trace "$kinds:$t"
		grep -qE '^fault cpu0 0x[0-9a-f]+ error 0x[0-9a-f]+ at 0x[0-9a-f]+$' "$t"
		grep -qE '^flush cpu0 page 0x[0-9a-f]+ cr3 0x[0-9a-f]+$' "$t"
		[ "$engine" = interp ] || grep -qE '^unit [0-9a-f]{8} gpa [0-9a-f]+ mode ' "$t"
		[ "$engine" = interp ] || grep -qE '^exit [0-9a-f]{8} [a-z]+$' "$t"
		run -129 vmrun run --kernel "${BUILD:-build}/tests/guest/interrupts.elf" --debug-exit \
			--serial none --accel "$engine" --trace "irq:$t"
		grep -qE '^irq cpu0 vector 0x[0-9a-f]+$' "$t"
	}
	engines traces
}

@test "signals that kill or pause leave the terminal as it was" {
	command -v script >/dev/null || skip "no script(1)"
	rom "$HALT"
	local t=$BATS_TEST_TMPDIR
	cat >"$t/session" <<-END
		stty -a >$t/before
		raw() { until stty -a </dev/tty | grep -q -e '-icanon'; do sleep 0.05; done; }
		(
			raw
			kill -TSTP \$(cat $t/pid)
			until grep -q '^State:.*T' /proc/\$(cat $t/pid)/status; do sleep 0.05; done
			stty -a </dev/tty >$t/paused
			kill -CONT \$(cat $t/pid)
			raw
			kill -QUIT \$(cat $t/pid)
		) &
		ulimit -c 0
		bash -c 'echo \$\$ >$t/pid; exec "$VMRUN" run --bios $rom --accel interp --timeout 20'
		echo "code \$?"
		stty -a >$t/after
	END
	mkfifo "$t/keys"
	timeout 40 script -qec "bash $t/session" /dev/null <>"$t/keys" >"$t/typed" 3>&- || :
	head -c 1000 "$t/typed"
	grep -q 'code 131' "$t/typed"
	diff "$t/before" "$t/paused"
	diff "$t/before" "$t/after"
}
