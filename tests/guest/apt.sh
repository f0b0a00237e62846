# Debian packages of any architecture from this machine's own package sources,
# through an apt root of our own: the state of the machine's packages stays as it
# is, and no rights are needed.  apt checks signatures.
# shellcheck shell=bash
# Sourced at the top of the source tree.  Defines
#
#	guests		where all of it stays: RING1_GUESTS (default build/guests)
#
# and changes to it, alone: whoever else sources this waits (`flock -u 9` lets them).
guests=${RING1_GUESTS:-build/guests}
mkdir -p "$guests" || exit 1
guests=$(cd "$guests" && pwd) || exit 1
cd "$guests" || exit 1
exec 9>.lock
flock 9

say() { echo "${0##*/}: $*" >&2; }

# private_apt ARCH TOOL ARGS...
private_apt() {
	local root=$guests/apt-$1 arch=$1 tool=$2
	shift 2
	mkdir -p "$root"/{lists,cache/archives,state}/partial
	: >>"$root/status"
	"$tool" -q -o APT::Architecture="$arch" -o APT::Architectures="$arch" \
		-o Dir::State="$root/state" -o Dir::State::lists="$root/lists" \
		-o Dir::State::status="$root/status" -o Dir::Cache="$root/cache" \
		-o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none \
		-o Acquire::Retries=3 "$@"
}

# update ARCH: once a run.  An index may be half written while its mirror
# updates; what did arrive may do, so the download decides.
updated=' '
update() {
	[[ $updated == *" $1 "* ]] && return
	say "reading the package index for $1"
	private_apt "$1" apt-get update >>log 2>&1
	updated+="$1 "
}

# again ARCH SECONDS: the index may have been the reason; wait, and read it anew.
again() {
	updated=${updated/" $1 "/ }
	[ "$2" -eq 0 ] || { say "not now; trying again in $2 s"; sleep "$2"; }
}

# download_all ARCH DIR PACKAGE...: the packages (a word `required`: all that Debian
# calls so) and what they depend on, as DIR/*.deb.
download_all() {
	local arch=$1 dir=$2 wait names
	shift 2
	mkdir -p "$dir/partial" || return 1
	for wait in 5 20 0; do
		flock 9
		update "$arch"
		names=$*
		[[ " $* " != *" required "* ]] ||
			names=${names/required/$(private_apt "$arch" apt-cache dumpavail |
				awk -v RS= '/\nPriority: required/ || /\nEssential: yes/ { print $2 }' | sort -u)}
		say "downloading ${*: -1} and what it needs ($arch)"
		# shellcheck disable=SC2086
		if private_apt "$arch" apt-get -o Dir::Cache::archives="$dir" -y \
			--no-install-recommends --download-only install $names >>log 2>&1; then
			flock -u 9
			return
		fi
		again "$arch" "$wait"
	done
	flock -u 9
	say "could not get the packages; the end of $guests/log:"
	tail -n 5 log >&2
	return 1
}
