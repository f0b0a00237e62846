# Debian systems that are made without rights: packages are unpacked here, and installed in
# a guest, as debootstrap --foreign does it.
# shellcheck shell=bash
# Sourced at the top of the source tree, by scripts that have set `top` to that and `arch`
# to i386 or amd64.
# shellcheck source=tests/guest/apt.sh
. tests/guest/apt.sh

# made FILE FLAVOUR: it is there and whole, which is said.  Otherwise nobody else makes
# one until this process ends, and $kernel is there.
made() {
	flock -u 9		# nobody waits for this with a kernel or a busybox to fetch
	cached "$1" && return
	exec 8>.lock-debian
	flock 8
	cached "$1" && return
	kernel=$guests/vmlinuz-$2
	[ -e "$kernel" ] || { say "no $kernel: tests/guest/fetch $2 first"; exit 1; }
	return 1
}

cached() { sha256sum --status -c "$1.sha256" 2>/dev/null && echo "$guests/$1"; }

# unpack DEBS FINISH: the first stage, into this folder; the second one is /init.  /bin and
# the like are links into /usr, and stay so.
unpack() {
	local d deb
	for d in bin sbin lib lib32 lib64 libx32; do
		[ "$d-$arch" != lib64-i386 ] || continue
		mkdir -p "usr/$d" && ln -s "usr/$d" $d || return 1
	done
	for deb in "$1"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -p --no-same-owner --keep-directory-symlink \
			--exclude='./usr/share/'{doc,man,locale,info}/'*' || return 1
	done
	mkdir -p dev proc sys run tmp
	rm -rf "$1"/{partial,lock} && mv "$1" debs && cp "$top/tests/guest/debian.stage2" init &&
		cp "$2" finish && chmod 755 init
}
