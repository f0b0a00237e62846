# Shared by the benchmark's and the soak's scripts: guests, initramfs, engines.
# shellcheck shell=sh
# Sourced at the top of the source tree.
#
#	BUILD, BIN	as the Makefile's
#	MEMORY		guest memory in MiB

: "${BUILD:=build}" "${BIN:=bin}" "${MEMORY:=512}"

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# guest WHAT: the path of a stock guest, fetched when it is not there yet.
guest()
{
	tests/guest/fetch "$1" || die "no $1"
}

# vb_program FLAVOUR: the benchmark program of that kernel's architecture.
vb_program()
{
	case $1 in
	amd64) echo "$BUILD/bench/vb64" ;;
	*) echo "$BUILD/bench/vb" ;;
	esac
}

# vb_busybox FLAVOUR: the busybox for its gzip test.
vb_busybox()
{
	case $1 in
	amd64) guest busybox64 ;;
	*) guest busybox ;;
	esac
}

# vb_initramfs FILE FLAVOUR: vb as /init, with busybox for its gzip.
vb_initramfs()
{
	vi_root=$(mktemp -d)
	mkdir -p "$vi_root/bin" "$vi_root/proc" "$vi_root/tmp" "$vi_root/dev"
	cp "$(vb_program "$2")" "$vi_root/init"
	cp "$(vb_busybox "$2")" "$vi_root/bin/busybox"
	(cd "$vi_root" && find . | cpio -o -H newc -R 0:0 --quiet) | gzip -1 >"$1.tmp" &&
		mv "$1.tmp" "$1"
	rm -rf "$vi_root"
}

# guest_argv ENGINE KERNEL INITRD APPEND: the command, a word a line, that boots
# them (INITRD may be empty, KERNEL too where there are disks) with the serial
# console on standard output.  tcg is the rival.
guest_argv()
{
	case $1 in
	tcg)
		ga_qemu=qemu-system-i386
		case $2 in *amd64*) ga_qemu=qemu-system-x86_64 ;; esac
		printf '%s\n' $ga_qemu -M pc -cpu max -m "$MEMORY" -accel tcg -nographic \
			-no-reboot -nic none -kernel "$2" -append "$4" ${3:+-initrd "$3"}
		;;
	bt|interp|kvm|auto)
		printf '%s\n' "$BIN/vmrun" run --accel "$1" --memory "${MEMORY}M" \
			--serial stdio --no-reboot ${2:+--kernel "$2" --append "$4"} ${3:+--initrd "$3"}
		;;
	*)
		die "no such engine: $1"
		;;
	esac
}

# guest_boot SECONDS ENGINE KERNEL INITRD APPEND [OPTION...]: run it to its end,
# with time stamps (see stamp.c), or until UNTIL has appeared on its console.
# MEASURE_MEMORY=1 adds the most memory that the VMM took beyond the guest's.
# Each line TEXT=REPLY of ANSWERS is typed when TEXT has appeared, one after the other.
# PERF=FILE records a profile of the VMM there.
guest_boot()
{
	gb_limit=$1
	shift
	gb_argv=$(guest_argv "$1" "$2" "$3" "$4") || return 1
	shift 4
	for gb_word in "$@"; do
		gb_argv="$gb_argv
$gb_word"
	done
	set -- -t "$gb_limit"
	[ -z "${UNTIL:-}" ] || set -- "$@" -u "$UNTIL"
	[ -z "${MEASURE_MEMORY:-}" ] || set -- "$@" -m ring1-ram
	gb_old=$IFS
	IFS='
'
	set -f
	for gb_word in ${ANSWERS:-}; do
		set -- "$@" -a "$gb_word"
	done
	[ -z "${PERF:-}" ] || set -- "$@" perf record -q -e cpu-clock -g -o "$PERF" --
	# shellcheck disable=SC2086
	set -- "$@" $gb_argv
	set +f
	IFS=$gb_old
	"$BUILD/bench/stamp" "$@"
}
