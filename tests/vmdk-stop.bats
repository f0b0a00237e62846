#!/usr/bin/env bats
# What takes long says how far it is, and may be stopped.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() { mkdir "$BATS_TEST_TMPDIR/work" && cd "$BATS_TEST_TMPDIR/work" || return 1; }

# A disk of 24 MiB, every second one of them in use, with a snapshot.
files() {
	rm -rf ./*
	for _ in {1..12}; do head -c 1M /dev/urandom; head -c 1M /dev/zero; done >data
	vmdk convert -f "$1" data x.vmdk
	vmdk snapshot create x.vmdk s >/dev/null
	sum=$(sha256sum <data)
	top=x-000001.vmdk
}

@test "--progress json says how far it is, on stderr" {
	files sparse
	while read -r words; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr vmdk $words
		assert_regex "${stderr_lines[-1]}" '^\{"done_bytes":[0-9]+,"total_bytes":[1-9][0-9]*\}$' ||
			{ echo "$words"; return 1; }
	done <<-END
	check --progress json x.vmdk
	check --progress json --chain $top
	check --progress json --repair $top
	convert --progress json $top y.vmdk
	clone --progress json $top z.vmdk
	compact --progress json z.vmdk
	inflate --progress json z.vmdk
	diff --progress json y.vmdk z.vmdk
	snapshot delete --progress json x.vmdk s
	END
	run -0 --separate-stderr vmdk check -q --progress json x.vmdk
	assert_equal "$stderr" ''
}

# stopped SIGNAL COMMAND...: begun, and told to end after more and more time.  Each time it
# has done all of it, or says in one line that it was stopped.
stopped() {
	local signal=$1 ms rc often=0
	shift
	for ((ms = 4; ms < 40; ms += 8)); do
		# Background jobs of scripts ignore SIGINT; perl takes it back.
		perl -e '$SIG{INT} = "DEFAULT"; exec @ARGV' "$VMDK" "$@" </dev/null >out 2>err 3>&- &
		pid=$!
		read -rt "0.$(printf %03d $ms)1" <> <(:) || :
		kill "-$signal" $pid 2>/dev/null || :
		rc=0
		wait $pid || rc=$?
		# Before it has begun the signal does what signals do.
		case $rc in
		0) [ ! -s err ] || { cat err; return 1; } ;;
		1)
			[[ $(cat err) =~ ^vmdk:\ $1:\ (.*, what is left is for consolidate: )?stopped$ ]] ||
				{ cat err; return 1; }
			often=$((often + 1))
			;;
		130 | 143) ;;
		*) cat err; echo "exit $rc"; return 1 ;;
		esac
		after
	done
	rm -f out err
	echo "$*: stopped $often times"
}

@test "a disk that is compacted, inflated or repaired may be stopped at any time" {
	after() {
		run -0 vmdk check x.vmdk
		refute_output --partial 'damage'
		assert_equal "$(vmdk convert -f raw x.vmdk - | sha256sum)" "$sum"
		assert_equal "$(echo *.lck *.part* *.tmp)" '*.lck *.part* *.tmp'
	}
	for f in sparse thin; do
		files $f
		vmdk snapshot delete x.vmdk s >/dev/null
		stopped TERM inflate x.vmdk
		stopped INT compact x.vmdk
		stopped TERM check --repair x.vmdk
	done
}

@test "a copy that was stopped leaves nothing, or all of the new" {
	after() {
		if [ -e y.vmdk ]; then
			vmdk check y.vmdk >/dev/null
			vmdk delete y.vmdk
		fi
		assert_equal "$(vmdk convert -f raw "$top" - | sha256sum)" "$sum"
		assert_equal "$(echo ./*.lck ./*.part* ./*.tmp y*)" './*.lck ./*.part* ./*.tmp y*'
	}
	files sparse
	stopped INT convert $top y.vmdk
	stopped TERM clone -f thin $top y.vmdk
}

@test "what is stopped as soon as it has the lock leaves none" {
	files sparse
	vmdk snapshot delete x.vmdk s >/dev/null
	for _ in {1..20}; do
		"$VMDK" compact x.vmdk </dev/null >out 2>err 3>&- &
		pid=$!
		until [ -e x.vmdk.lck ] || [ ! -e /proc/$pid/exe ]; do :; done
		kill -TERM $pid 2>/dev/null || :
		rc=0
		wait $pid || rc=$?
		[ $rc = 0 ] || [ "$rc $(cat err)" = '1 vmdk: compact: stopped' ] ||
			{ echo "exit $rc"; cat err; return 1; }
		assert_equal "$(echo *.lck)" '*.lck'
	done
}
