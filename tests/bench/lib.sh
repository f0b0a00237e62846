# Shared by the benchmark's and the soak's scripts: guests, initramfs, engines.
# shellcheck shell=sh
# Sourced with $top set to the top of the source tree.
#
#	RING1_GUESTS	folder with the unpacked Debian packages, or their debs' content
#	BUILD, BIN	as the Makefile's
#	MEMORY		guest memory in MiB

: "${BUILD:=build}" "${BIN:=bin}" "${MEMORY:=512}" "${RING1_GUESTS:=$BUILD/guests}"

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# guest_kernel FLAVOUR: the newest kernel image of 686, 686-pae or amd64.
guest_kernel()
{
	find -L "$RING1_GUESTS" -name "vmlinuz-*[0-9]-$1" -type f 2>/dev/null | sort -V | tail -1
}

guest_busybox()
{
	find -L "$RING1_GUESTS" -path '*bin/busybox' -type f 2>/dev/null | sort | tail -1
}

# vb_initramfs FILE: vb as /init, with busybox for its gzip.
vb_initramfs()
{
	vi_root=$(mktemp -d)
	mkdir -p "$vi_root/bin" "$vi_root/proc" "$vi_root/tmp" "$vi_root/dev"
	cp "$BUILD/bench/vb" "$vi_root/init"
	cp "$(guest_busybox)" "$vi_root/bin/busybox"
	(cd "$vi_root" && find . | cpio -o -H newc -R 0:0 --quiet) | gzip -1 >"$1.tmp" &&
		mv "$1.tmp" "$1"
	rm -rf "$vi_root"
}

# guest_argv ENGINE KERNEL INITRD APPEND: the command, a word a line, that boots
# them with the serial console on standard output.  tcg is the rival.
guest_argv()
{
	case $1 in
	tcg)
		ga_qemu=qemu-system-i386
		case $2 in *-amd64) ga_qemu=qemu-system-x86_64 ;; esac
		printf '%s\n' $ga_qemu -M pc -cpu max -m "$MEMORY" -accel tcg -nographic \
			-no-reboot -nic none -kernel "$2" -initrd "$3" -append "$4"
		;;
	bt|interp|kvm|auto)
		printf '%s\n' "$BIN/vmrun" run --accel "$1" --memory "${MEMORY}M" \
			--serial stdio --no-reboot --kernel "$2" --initrd "$3" --append "$4"
		;;
	*)
		die "no such engine: $1"
		;;
	esac
}

# guest_boot SECONDS ENGINE KERNEL INITRD APPEND [OPTION...]: run it to its end,
# with time stamps (see stamp.c).  PERF=FILE records a profile of the VMM there.
guest_boot()
{
	gb_limit=$1
	shift
	gb_argv=$(guest_argv "$1" "$2" "$3" "$4") || return 1
	shift 4
	gb_old=$IFS
	IFS='
'
	set -f
	# shellcheck disable=SC2086
	set -- $gb_argv "$@"
	set +f
	IFS=$gb_old
	"$BUILD/bench/stamp" -t "$gb_limit" ${PERF:+perf record -q -e cpu-clock -g -o "$PERF" --} "$@"
}
