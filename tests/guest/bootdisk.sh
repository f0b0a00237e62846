# A disk that boots: GRUB in its boot sector and behind it, and a partition.
# shellcheck shell=bash
# Sourced by mkbootdisk and mkdebian.

bootdisk_start=2048	# of the partition, sectors

# le32 N: as printf takes it
le32() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) \
	$(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }

# bootdisk OUT PARTITION CORE: a raw image of the file PARTITION behind GRUB's CORE
bootdisk() {
	local sectors=$(($(stat -c %s "$2") / 512))
	# GRUB's own boot sector looks for the rest in sector 1.
	head -c 440 /usr/lib/grub/i386-pc/boot.img >"$1"
	truncate -s 446 "$1"
	# shellcheck disable=SC2059
	printf "\\x80\\xfe\\xff\\xff\\x83\\xfe\\xff\\xff$(le32 $bootdisk_start)$(le32 "$sectors")" >>"$1"
	truncate -s 510 "$1"
	printf '\x55\xaa' >>"$1"
	cat "$3" >>"$1"
	[ "$(stat -c %s "$1")" -le $((bootdisk_start * 512)) ] || return 1
	truncate -s $((bootdisk_start * 512)) "$1"
	dd if="$2" of="$1" bs=1M seek=$((bootdisk_start / 2048)) conv=sparse,notrunc status=none &&
		truncate -s $(((bootdisk_start + sectors) * 512)) "$1"
}
