#!/usr/bin/env bats
# Disks on web servers: what is read from good ones, and what bad ones are told.
# shellcheck disable=SC2034,SC2154
TOOL=vmdk
load helper

setup() {
	httpd=$PWD/tests/httpd
	mkdir -p "$BATS_TEST_TMPDIR/work" "$BATS_TEST_TMPDIR/www" "$BATS_TEST_TMPDIR/home"
	cd "$BATS_TEST_TMPDIR/work" || return 1
	export HOME=$BATS_TEST_TMPDIR/home no_proxy='*'
	unset http_proxy https_proxy CURL_CA_BUNDLE
	log=$BATS_TEST_TMPDIR/log
	# It ends when this test does, which holds the pipe.
	coproc HTTPD { exec "$httpd" "$BATS_TEST_TMPDIR/www" "$log" 2>"$log.err" 3>&-; }
	read -r port <&"${HTTPD[0]}" || { cat "$log.err"; return 1; }
	url=http://127.0.0.1:$port
}

# served FORMAT [NAME]: a disk of 4 MiB on the server, with data that a.raw holds, too.
served() {
	if [ ! -e a.raw ]; then
		truncate -s 4M a.raw
		seq 100000 | dd of=a.raw bs=4096 seek=17 conv=notrunc status=none
		head -c 700000 /dev/urandom | dd of=a.raw bs=512 seek=5000 conv=notrunc status=none
	fi
	vmdk convert -f "$1" a.raw "$BATS_TEST_TMPDIR/www/${2:-x.vmdk}"
}

# holds URL: what is behind it is what a.raw holds.
holds() {
	vmdk convert -f raw "$1" b.raw
	cmp a.raw b.raw
	rm b.raw
}

@test "disks of each kind are looked into and converted" {
	for f in sparse flat 2gbsparse thin vmfssparse sesparse stream raw; do
		served $f $f.vmdk
		run -0 vmdk info --json $url/ok/$f.vmdk
		assert_output --partial '"capacity_bytes":4194304'
		holds $url/ok/$f.vmdk
		[ $f = raw ] || vmdk check $url/ok/$f.vmdk
	done
	run -0 vmdk map --json $url/ok/thin.vmdk
	assert_output --partial "\"file\":\"$url/ok/thin-flat.vmdk\""
	vmdk diff $url/ok/sparse.vmdk $url/ok/stream.vmdk
	vmdk clone $url/ok/sparse.vmdk copy.vmdk
	vmdk diff copy.vmdk a.raw
}

@test "a chain, names with blanks, a redirection" {
	served sparse 'my disk.vmdk'
	(cd ../www && vmdk create --parent 'my disk.vmdk' child.vmdk)
	holds $url/ok/child.vmdk
	run -0 vmdk info --chain $url/ok/child.vmdk
	assert_output --partial 'my%20disk.vmdk'
	vmdk check --chain $url/ok/child.vmdk
	served stream
	holds $url/moved/x.vmdk
	fails 1 "info: $url/loop/x.vmdk: .*" info $url/loop/x.vmdk
}

@test "a connection that breaks is taken up where it broke" {
	served flat
	holds $url/cut/x.vmdk
	assert [ -d "$log.cut3" ]
	# A range that begins where no window does.
	grep -qE '^GET /cut/x-flat.vmdk [0-9]*[1-9][0-9]*-' "$log"
}

@test "what cannot be read: which code, and what is to be done" {
	served flat
	fails 4 "info: $url/ok/none.vmdk: the server has no such file \(HTTP 404\)" info $url/ok/none.vmdk
	fails 3 "info: $url/whole/x.vmdk: .*no ranges.*download it first" info $url/whole/x.vmdk
	fails 5 "info: $url/secret/x.vmdk: the server refuses it \(HTTP 401\)" info $url/secret/x.vmdk
	echo "machine 127.0.0.1 login me password open" >"$HOME/.netrc"
	run -0 vmdk info $url/secret/x.vmdk
	rm ../www/x-flat.vmdk
	fails 4 "info: $url/ok/x-flat.vmdk: .*404\)" info $url/ok/x.vmdk
	# Of a port on which nobody listens.
	fails 1 'info: http://127.0.0.1:1/x.vmdk: .*' info http://127.0.0.1:1/x.vmdk
}

@test "nothing there is written to" {
	served sparse
	for c in "resize $url/ok/x.vmdk 8M" "delete $url/ok/x.vmdk" "compact $url/ok/x.vmdk" \
		"check --repair $url/ok/x.vmdk" "rename $url/ok/x.vmdk y.vmdk" \
		"snapshot create $url/ok/x.vmdk a" "create -s 1M $url/ok/y.vmdk" \
		"convert a.raw $url/ok/y.vmdk" "chain --fix $url/ok/x.vmdk"; do
		# shellcheck disable=SC2086
		run --separate-stderr vmdk $c
		assert [ "$status" -ne 0 ]
		assert_equal "${#stderr_lines[@]}" 1
	done
	run ! grep -vE '^(GET|HEAD) ' "$log"
	assert_equal "$(echo *)" a.raw
}

@test "https: a certificate that is not trusted, and one that is" {
	served stream
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost -keyout key -out crt 2>/dev/null
	cat key crt >pem
	# A port that somebody else has is not taken for ours: another is tried.
	for tls in $(shuf -i 20000-30000 -n 5); do
		socat OPENSSL-LISTEN:$tls,bind=127.0.0.1,reuseaddr,fork,verify=0,cert=pem \
			TCP:127.0.0.1:$port 2>socat.err 3>&- &
		pid=$!
		until ! kill -0 $pid 2>/dev/null || (exec 9<>/dev/tcp/127.0.0.1/$tls) 2>/dev/null; do
			read -rt 0.05 <> <(:) || :
		done
		! kill -0 $pid 2>/dev/null || break
	done
	kill -0 $pid || { cat socat.err; return 1; }
	fails 1 "info: https://localhost:$tls/ok/x.vmdk: .*certificate.*" info https://localhost:$tls/ok/x.vmdk
	export CURL_CA_BUNDLE=$PWD/crt
	holds https://localhost:$tls/ok/x.vmdk
	CURL_CA_BUNDLE=$PWD/none fails 1 'info: .*' info https://localhost:$tls/ok/x.vmdk
	kill $pid
}
