# Shared by the benchmarks of disks in the guest: dk (dk.c) under ours and under QEMU's TCG.
# shellcheck shell=bash
# Sourced at the top of the source tree.  seconds, engine, build, bin and tmp are set.
: "${seconds:?}" "${engine:?}" "${build:?}" "${bin:?}"

# guest_prepare: kernel and initramfs; a failure has said why.
guest_prepare() {
	make -s bench-tools || return 1
	kernel=$(tests/guest/fetch modules-686 | tail -n 1) || return 1
	cat >"$tmp/bench" <<-'EOF'
		#!/bin/busybox sh
		arg() { sed -n "s/.* $1=\([^ ]*\).*/\1/p;q" /proc/cmdline; }
		load "$(arg adapter)" && dk /dev/sda "$(arg seconds)" $(arg tests | tr , ' ')
	EOF
	chmod 755 "$tmp/bench"
	tests/guest/mkinitramfs "$tmp/initrd" \
		"$(tests/guest/fetch modules-686 | head -n 1)=lib/modules/" \
		tests/guest/load=bin/load "$build/bench/dk=bin/dk" "$tmp/bench=bin/bench"
}

# append ADAPTER [TEST,...]
append() {
	echo "console=ttyS0 quiet panic=1 ring1=run=bench adapter=$1 seconds=$seconds tests=${2:-}"
}

# ours ADAPTER FILE [TEST,...]
ours() {
	local place=scsi0:0
	[ "$1" != ide ] || place=ide0:0
	"$bin/vmrun" run --kernel "$kernel" --initrd "$tmp/initrd" --append "$(append "$1" "${3:-}")" \
		--accel "$engine" --timeout 120 --no-reboot \
		--disk "$2,controller=$place$([ "$1" = ide ] || echo ",type=$1")" </dev/null
}

# qemu ADAPTER FILE [TEST,...]: nothing, where it has none like it.
qemu() {
	local driver=$1 device=() disk=scsi-hd format=raw
	case $1 in
	pvscsi) device=(-device pvscsi) ;;
	lsilogic) device=(-device lsi53c895a) driver=sym ;;
	lsisas1068) device=(-device mptsas1068) disk=scsi-hd,wwn=0x5000c29000000001 ;; # or it has no address
	ide) disk=ide-hd ;;
	*) return 0 ;;
	esac
	case $2 in *.vmdk) format=vmdk ;; esac
	command -v qemu-system-i386 >/dev/null || return 0
	timeout 120 qemu-system-i386 -accel tcg -cpu max -m 512 -display none -vga none -nodefaults \
		-serial stdio -no-reboot -kernel "$kernel" -initrd "$tmp/initrd" \
		-append "$(append "$driver" "${3:-}")" "${device[@]}" -device "$disk,drive=d" \
		-drive "file=$2,format=$format,if=none,id=d" </dev/null
}
