# Shared by the soak's steps with Debian on a disk.
# shellcheck shell=bash
# Sourced behind lib.sh.  dir, log, base (the disk to begin with) and adapter are set.
: "${dir=}" "${log=}" "${base=}" "${adapter=}"

vmdk() { "$BIN/vmdk" "$@" >>"$log.vmdk" 2>&1; }

# Base and child: what is written goes to a snapshot's layer.
child() {
	{ ln "$base" "$dir/base.vmdk" 2>/dev/null || cp "$base" "$dir/base.vmdk"; } &&
		vmdk create --parent "$dir/base.vmdk" -f "$1" "$disk"
}

# made: $disk, in the format that goes with the adapter, and another, $second.  $place is where,
# $discard whether the disk takes back what is free.
made() {
	disk=$dir/disk.vmdk second=$dir/second.vmdk
	: >"$log.vmdk"
	discard=yes place=type=$adapter place2=type=$adapter
	case $adapter in
	ide)
		place=controller=ide0:0 place2=controller=ide0:1 discard=no
		vmdk convert -f sparse "$base" "$disk" && vmdk create -f flat -s 1G "$second"
		;;
	buslogic)
		discard=no
		vmdk convert -f 2gbsparse "$base" "$disk" && vmdk create -f sparse -s 1G "$second"
		;;
	lsilogic) vmdk convert -f thin "$base" "$disk" && vmdk create -f 2gbsparse -s 1G "$second" ;;
	lsisas1068) child sparse && vmdk create -f thin -s 1G "$second" ;;
	pvscsi) child sesparse && vmdk create -f sparse -s 1G "$second" ;;
	*) false ;;
	esac
}
