#!/usr/bin/env bats
# The benchmark measures what it says: the program, the clock, the table.
# shellcheck disable=SC2154
load helper

setup_file() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	make -s bench-tools BUILD="${BUILD:-build}"
}

bench() { "${BUILD:-build}/bench/$1" "${@:2}"; }

@test "vb's tests give the results that are known beforehand" {
	for vb in vb vb64; do
		run -0 bench $vb -t 0.001 sort sha256 crc32 matrix matsse matx87 memcpy repmovs call smc
		# crc32 and sha256 were computed by other programs, fib(22) by hand
		assert_line --regexp '^vb crc32 [0-9.e+]+ [0-9.e+]+ MB/s 6c709b1f$'
		assert_line --regexp '^vb sha256 [0-9.e+]+ [0-9.e+]+ MB/s 3ebf4887$'
		assert_line --regexp '^vb call [0-9.e+]+ [0-9.e+]+ ns 0000452f$'
		assert_equal "$(grep -E 'vb mat' <<<"$output" | cut -d' ' -f6 | uniq | wc -l)" 1
		assert_equal "$(grep -E 'memcpy|repmovs' <<<"$output" | cut -d' ' -f6 | uniq | wc -l)" 1
		assert_equal "${#lines[@]}" 9
	done
}

@test "vb's system tests run, the pair only when it is asked for" {
	for vb in vb vb64; do
		run -0 bench $vb -t 0.001 getpid pipe fork exec mmap signal pair
		assert_equal "${#lines[@]}" 7
		run bench $vb -t 0.001 -b /nonexistent -d "$BATS_TEST_TMPDIR"
		refute_line --partial pair
	done
}

@test "vb says which test failed" {
	run -1 bench vb -t 0.001 -b /nonexistent -d "$BATS_TEST_TMPDIR" gzip
	assert_line 'vb: FAILED: gzip: busybox did not run'
	assert_equal "$(ls "$BATS_TEST_TMPDIR")" ""
}

@test "stamp puts times before lines, and passes the exit code on" {
	run -3 bench stamp sh -c 'echo one; sleep 0.3; echo two; exit 3'
	assert_line --index 0 --regexp '^0\.[01][0-9]* 0\.0[0-9]* one$'
	assert_line --index 1 --regexp '^0\.[3-9][0-9]* 0\.0[0-9]* two$'
	assert_line --index 2 --regexp '^0\.[3-9][0-9]* 0\.0[0-9]* stamp: exit 3$'
}

@test "stamp tells how much memory a process had, but for the mappings that do not count" {
	run -0 bench stamp -m none perl -e '$x = "y" x (40 << 20); select(undef, undef, undef, 0.6)'
	assert_line --regexp '^[0-9.]+ [0-9.]+ stamp: memory [4-9][0-9]{4}$'
	run -0 bench stamp -m ring1-ram true
	assert_line --regexp ' stamp: memory [0-9]{1,4}$'
}

@test "stamp answers, in order, each once" {
	run -0 bench stamp -t 20 -a 'name? =joe=x' -a 'age? =12' \
		sh -c 'printf "name? "; read a; printf "name? age? "; read b; echo "$a is $b"'
	assert_line --index 0 --regexp ' name\? name\? age\? joe=x is 12$'
}

@test "stamp ends what takes too long, or has said what was waited for" {
	run -124 bench stamp -t 0.3 sleep 60
	run -0 bench stamp -t 30 -u 'lo wor' sh -c 'printf "hello world"; sleep 60'
	run -1 bench stamp -t 30 -u never echo nothing
}

@test "the table's ratios are of times, and the goals are judged" {
	cat >"$BATS_TEST_TMPDIR/samples" <<-END
		1 native sort 10 10 ns a
		1 tcg sort 30 30 ns a
		1 bt sort 12 12 ns a
		1 native crc32 400 400 MB/s b
		1 tcg crc32 200 200 MB/s b
		1 bt crc32 160 160 MB/s b
		1 tcg boot:686 5 5 s -
		1 bt boot:686 2 2 s -
	END
	run -0 awk -v engine=bt -v nopair='one only' -f tests/bench/table.awk "$BATS_TEST_TMPDIR/samples"
	assert_line '| sort | ns | 10 | 30 | 12 | **1.20** | 3.00 | 0.40 |'
	assert_line '| crc32 | MB/s | 400 | 200 | 160 | **2.50** | 2.00 | 1.25 |'
	assert_line 'goal: nothing slower than TCG: FAIL: crc32 1.25'
	assert_line "goal: boot:686 in at most half of TCG's time: 0.40 PASS"
	assert_line 'results are the same everywhere: PASS'
	assert_line 'goal: two processes on 2 vCPUs: not there: one only'
	sed -i 's/^1 bt sort 12 12 ns a/1 bt sort 12 12 ns c/' "$BATS_TEST_TMPDIR/samples"
	run -1 awk -v engine=bt -f tests/bench/table.awk "$BATS_TEST_TMPDIR/samples"
	assert_line 'results are the same everywhere: FAIL: bt:sort'
}

@test "memory and the second virtual CPU are judged" {
	cat >"$BATS_TEST_TMPDIR/samples" <<-END
		1 native pair:1 20 20 ns a
		1 native pair:2 10 10 ns a
		1 bt pair:1 30 30 ns a
		1 bt pair:2 20 20 ns a
		2 bt pair:1 36 36 ns a
		2 bt pair:2 20 20 ns a
		3 bt pair:1 40 40 ns a
		3 bt pair:2 20 20 ns a
		1 bt memory:amd64 40.2 40.2 MiB -
		1 bt memory:686 31.9 31.9 MiB -
	END
	run -0 awk -v engine=bt -v goal=1.40 -f tests/bench/table.awk "$BATS_TEST_TMPDIR/samples"
	assert_line "goal: memory:amd64: at most 32 MiB beyond the guest's RAM: 40.2 MiB FAIL"
	assert_line "goal: memory:686: at most 32 MiB beyond the guest's RAM: 31.9 MiB PASS"
	assert_line 'goal: two processes on 2 vCPUs at least 1.70 times as fast as on 1: 1.80 PASS (native: 2.00)'
}

@test "conversions are judged by their best rounds" {
	cat >"$BATS_TEST_TMPDIR/samples" <<-END
		1 vmdk flat>stream 2.0 3.1 5000000
		1 qemu-img flat>stream 11.0 12 4000000
		2 vmdk flat>stream 1.0 1.5 5000000
		2 qemu-img flat>stream 10.0 10 4000000
		1 vmdk sparse>sparse 1.0 0.5 9000000
		1 qemu-img sparse>sparse 1.4 0.6 9000000
	END
	run -1 awk -v data=97656.25 -f tests/bench/convert.awk "$BATS_TEST_TMPDIR/samples"
	assert_line '| flat>stream | 100 | 10 | **10.00** | 1.50 | 10.00 | 5 | 4 |'
	assert_line 'goal: flat>stream at least 5.0 times qemu-img: 10.00 PASS'
	assert_line 'goal: sparse>sparse at least 1.5 times qemu-img: 1.40 FAIL'
}

@test "chains are judged by their best rounds, and by the memory they take" {
	cat >"$BATS_TEST_TMPDIR/samples" <<-END
		chain light memory 22.5 MiB
		chain light map 1.9 s
		chain fragmented memory 70 MiB
		guest 1 ours randread 90000 /s
		guest 1 qemu randread 9000 /s
		guest 1 ours randread 100000 /s
		guest 32 ours randread 96000 /s
		guest 1 ours newwrite 10000 /s
		guest 32 ours newwrite 9000 /s
	END
	run -1 awk -f tests/bench/chain.awk "$BATS_TEST_TMPDIR/samples"
	assert_line '| 1 | randread | 100000 | 9000 | **11.11** |'
	assert_line '| 32 | randread | 96000 | - | - |'
	assert_line 'goal: randread at depth 32 within 5 % of depth 1: -4.0 % PASS'
	assert_line 'goal: newwrite at depth 32 within 5 % of depth 1: -10.0 % FAIL'
	assert_line 'goal: 2 TiB, 32 snapshots, light: at most 64 MiB: 22.5 MiB PASS'
	assert_line 'goal: 2 TiB, 32 snapshots, fragmented: at most 64 MiB: 70.0 MiB FAIL'
}

@test "chain makes chains that read the same whatever their depth" {
	for layers in 1 3; do
		mkdir "$BATS_TEST_TMPDIR/$layers"
		run -0 bench chain make "$BATS_TEST_TMPDIR/$layers" $layers 8
	done
	run -0 "${BIN:-bin}/vmdk" diff "$BATS_TEST_TMPDIR/1/0.vmdk" "$BATS_TEST_TMPDIR/3/2.vmdk"
	run -0 "${BIN:-bin}/vmdk" map "$BATS_TEST_TMPDIR/3/2.vmdk"
	assert_output --regexp ' data +0 .* data +1 '
	run -2 bench chain make "$BATS_TEST_TMPDIR" 300 8
}
