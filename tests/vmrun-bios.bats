#!/usr/bin/env bats
# SeaBIOS starts the machine: Debian's package, under each engine that can run it.

load helper
load bootable

BIOS=/usr/share/seabios/bios-256k.bin

setup() {
	[ -f $BIOS ] || { echo "no $BIOS: see ./setup --check"; return 1; }
	cd "$BATS_TEST_TMPDIR" || return 1
}

# start ENGINE ARG...: vmrun in the background, its serial port in ./out, pid in $pid
start() {
	local engine=$1
	shift
	rm -f out trace
	timeout -k 5 100 "$VMRUN" run --accel "$engine" --serial file:out \
		--trace firmware:trace "$@" 2>err </dev/null &
	pid=$!
}

# await TEXT [FILE]: until the file (./out) has it
await() {
	local deadline=$((SECONDS + 90))
	until grep -aqF -- "$1" "${2:-out}" 2>/dev/null; do
		kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ] || {
			grep -aqF -- "$1" "${2:-out}" 2>/dev/null && return
			echo "no '$1'; the end of the output, and of the trace:"
			tail -c 500 out; tail -n 5 trace; cat err
			return 1
		}
		read -rt 0.1 <> <(:) || :
	done
}

stop() {
	kill "$pid"
	wait "$pid"
}

teardown() { kill "$pid" 2>/dev/null || :; }

# The engines that there are here; KVM where it runs real mode.
engines() {
	echo bt interp
	"$VMRUN" --version -v | grep -q '^kvm: yes' && echo kvm
}

@test "without anything to boot it says so, under each engine" {
	for engine in $(engines); do
		echo "$engine"
		start "$engine" --bios $BIOS --memory 64M
		await "No bootable device."
		stop
		grep -aq 'SeaBIOS (version' out
		grep -q 'Found 1 cpu' trace
	done
}

@test "memory above 4 GiB, and all processors" {
	for engine in $(engines); do
		echo "$engine"
		start "$engine" --bios $BIOS --memory 5G --cpus 4
		await "No bootable device."
		stop
		grep -q 'Found 4 cpu(s) max supported 4 cpu(s)' trace
		grep -q 'firmware: *[0-9]: 0000000100000000 - 0000000180000000 = 1 RAM' trace
		grep -q 'firmware: *[0-9]: 0000000000100000 - 00000000bfff[0-9a-f]* = 1 RAM' trace
	done
}

@test "its boot menu is on the serial console" {
	: | sector disk
	rm -f sock
	timeout -k 5 100 "$VMRUN" run --disk disk,type=pvscsi --boot menu --serial unix:sock \
		2>err </dev/null &
	pid=$!
	while [ ! -S sock ]; do kill -0 $pid; done
	# Escape when it asks, the first choice when it shows them.
	run timeout 90 bash -c '
		exec {s}<>/dev/null
		coproc S { exec socat -b 1 - unix:sock,retry=50,interval=0.1; }
		text=
		while IFS= read -rn1 -d "" -u "${S[0]}" c; do
			text+=$c
			case $text in
			*"for boot menu"*) printf "\033" >&"${S[1]}"; text= ;;
			*"Select boot device"*) chosen=1; text= ;;
			*"1. "*) [ -n "${chosen-}" ] && printf 1 >&"${S[1]}"; chosen=; text= ;;
			*"booted disk."*) echo "$text"; exit 0 ;;
			esac
		done
		exit 1'
	assert_success
	stop
}

@test "disks boot from each adapter" {
	: | sector disk
	for adapter in pvscsi lsilogic lsisas1068 buslogic; do
		echo $adapter
		start bt --disk disk,type=$adapter,controller=scsi1:2
		await "booted disk."
		stop
	done
	start bt --disk disk,controller=ide0:1
	await "booted disk."
	stop
}

@test "an IDE disk of no more than its boot sector boots" {
	: | sector disk
	truncate -s 512 disk
	start bt --disk disk,controller=ide0:0
	await "booted disk."
	stop
}

@test "disks boot, in the order of --boot" {
	: | sector one
	: | sector two
	start bt --disk one,type=pvscsi --disk two
	await "booted one."
	stop
	start bt --disk one,type=pvscsi --disk two --boot scsi0:1,disk
	await "booted two."
	stop
	start interp --disk one,type=pvscsi --disk two,controller=ide0:0 --boot ide0:0
	await "booted two."
	stop
}

@test "disks of two BusLogics boot, in the order of --boot" {
	: | sector one
	: | sector two
	: | sector three
	cp one cd
	local disks=(--disk "one,type=buslogic,controller=scsi0:5" --disk "two,controller=scsi0:12"
		--disk "three,type=buslogic,controller=scsi2:0" --cdrom "cd,controller=scsi0:0")
	start bt "${disks[@]}"
	await "booted one."
	stop
	start bt "${disks[@]}" --boot scsi0:12,disk
	await "booted two."
	stop
	start bt "${disks[@]}" --boot scsi2:0
	await "booted three."
	stop
}

# int13 ARG...: the sector `disk`, which fails at step N with exit code 1 + 2 N, on a
# BusLogic under each engine that is there
int13() {
	for engine in $(engines); do
		echo "$engine"
		run -129 timeout -k 5 100 "$VMRUN" run --accel "$engine" --disk disk,type=buslogic \
			--serial none --debug-exit --timeout 90 "$@"
	done
}

# The start of such a sector's code: `step` begins one, `must` and `fails` say how it ended.
int13_macros='
	.macro step; incw %bp; movb $0x80, %dl; .endm
	.macro must cond; j\cond 6f; jmp bad; 6:; .endm
	.macro packet count, to, lba
		movw $0x700, %si; movw $16, (%si); movw $\count, 2(%si)
		movl $\to, 4(%si); movl $\lba, 8(%si); movl $0, 12(%si)
	.endm
	jmp begin
bad:	movw %bp, %ax; outb %al, $0xf4
begin:	xorw %bp, %bp
	movw %bp, %es
'
int13_end='
	movb $0x40, %al; outb %al, $0xf4
'

@test "INT 13h of a BusLogic: both ways of addressing, limits, and another adapter's drive" {
	sector disk <<-END
	$int13_macros
	step; movb \$0x41, %ah; movw \$0x55aa, %bx; int \$0x13; must nc
	cmpw \$0xaa55, %bx; must e
	step; movb \$0x48, %ah; movw \$0x600, %si; movw \$26, (%si); int \$0x13; must nc
	cmpl \$2048, 0x610; must e
	step; packet 1, 0x8000, 2047; movb \$0x42, %ah; int \$0x13; must nc
	cmpl \$0x7473616c, 0x8000; must e
	step; movw \$0x0201, %ax; movw \$5, %cx; movb \$3, %dh; movw \$0x8200, %bx; int \$0x13; must nc
	cmpl \$0x64657268, 0x8200; must e
	step; packet 2, 0x8000, 200; movb \$0x43, %ah; int \$0x13; must nc
	step; movw \$0x0202, %ax; movw \$9, %cx; movb \$6, %dh; movw \$0x9000, %bx; int \$0x13; must nc
	cmpl \$0x64657268, 0x9200; must e
	step; packet 2, 0x8000, 2047; movb \$0x42, %ah; int \$0x13; must c
	cmpb \$4, %ah; must e
	cmpw \$0, 2(%si); must e
	step; movw \$0x0201, %ax; movw \$0, %cx; movb \$0, %dh; int \$0x13; must c
	cmpb \$1, %ah; must e
	step; movb \$0x15, %ah; int \$0x13; must nc
	cmpb \$3, %ah; must e
	cmpw \$2048, %dx; must e
	step; packet 1, 0x8000, 9; movb \$0x42, %ah; movb \$0x81, %dl; int \$0x13; must nc
	cmpl \$0x65736c65, 0x8000; must e
	$int13_end
	END
	printf 'last' | dd of=disk bs=512 seek=2047 conv=notrunc status=none
	printf 'hred' | dd of=disk bs=512 seek=100 conv=notrunc status=none
	truncate -s 1M else
	printf 'else' | dd of=else bs=512 seek=9 conv=notrunc status=none
	int13 --disk else,type=pvscsi,controller=scsi1:0
	assert_equal "$(tail -c +$((200 * 512 + 1)) disk | head -c 4)" last
	assert_equal "$(tail -c +$((201 * 512 + 1)) disk | head -c 4)" hred
}

@test "INT 13h of a BusLogic: the geometry of a big disk, drives that are not there" {
	sector disk <<-END
	$int13_macros
	step; movb \$0x08, %ah; int \$0x13; must nc
	cmpw \$0xfe01, %dx; must e
	cmpw \$0x8bbf, %cx; must e
	step; movw \$0x0201, %ax; movw \$0x308a, %cx; movb \$57, %dh; movw \$0x8000, %bx; int \$0x13; must nc
	cmpl \$0x72616566, 0x8000; must e
	step; movw \$0x0401, %ax; movw \$0x308a, %cx; movb \$57, %dh; int \$0x13; must nc
	step; packet 1, 0x8000, 0; movb \$1, 12(%si); movb \$0x42, %ah; int \$0x13; must c
	step; movb \$0x01, %ah; int \$0x13; must c
	cmpb \$4, %ah; must e
	step; movb \$0, %ah; int \$0x13; must nc
	step; movb \$0x42, %ah; movb \$0x82, %dl; int \$0x13; must c
	step; movb \$0x99, %ah; int \$0x13; must c
	$int13_end
	END
	truncate -s 5G disk
	printf 'fear' | dd of=disk bs=512 seek=9000000 conv=notrunc status=none
	int13
}

@test "a CD-ROM boots" {
	needs xorriso
	: | sector cd
	iso cd cd.iso
	: | sector disk
	start bt --disk disk,type=pvscsi --cdrom cd.iso --boot cdrom
	await "booted cd."
	stop
}

# cd_boots LOADER KERNEL ARG...: from a CD-ROM's image, cd.iso, to init, and off again
cd_boots() {
	local loader=$1 kernel=$2 guest
	shift 2
	cd "$BATS_TEST_DIRNAME/.." || return 1
	guest "$kernel"
	tests/guest/mkinitramfs "$BATS_TEST_TMPDIR/initrd"
	tests/guest/mkcdrom "$loader" "$BATS_TEST_TMPDIR/cd.iso" "$guest" \
		"$BATS_TEST_TMPDIR/initrd" console=ttyS0 ring1=smoke
	cd "$BATS_TEST_TMPDIR" || return 1
	LIMIT=110 run -0 vmrun run --timeout 100 --memory 256M "$@"
	assert_output --partial 'RING1 GUEST UP'
}

@test "isolinux starts Debian's kernel from a CD-ROM, and from the same image as a disk" {
	needs xorriso
	cd_boots isolinux 686 --cdrom cd.iso
	LIMIT=110 run -0 vmrun run --timeout 100 --memory 256M --disk cd.iso,type=buslogic
	assert_output --partial 'RING1 GUEST UP'
}

@test "GRUB starts Debian's amd64 kernel from a CD-ROM at a SCSI adapter" {
	needs grub-mkrescue
	needs xorriso
	cd_boots grub amd64 --cdrom cd.iso,controller=scsi0:4,type=pvscsi
}

# grub_boots KERNEL ADAPTER ARG...: from a disk's boot sector to init, and off again
grub_boots() {
	local kernel=$1 adapter=$2 guest
	shift 2
	cd "$BATS_TEST_DIRNAME/.." || return 1
	guest "$kernel"
	tests/guest/mkinitramfs "$BATS_TEST_TMPDIR/initrd"
	tests/guest/mkbootdisk "$BATS_TEST_TMPDIR/grub" "$guest" "$BATS_TEST_TMPDIR/initrd" \
		console=ttyS0 ring1=smoke
	cd "$BATS_TEST_TMPDIR" || return 1
	LIMIT=110 run -0 vmrun run --disk "grub,$adapter" --timeout 100 "$@"
	assert_output --partial 'RING1 GUEST UP'
	assert_output --partial 'DMI: VMware, Inc. VMware Virtual Platform'
	assert_output --partial 'Hypervisor detected: VMware'
	assert_output --partial 'ACPI: PM-Timer IO Port: 0x608'
	assert_output --partial 'pci 0000:00:00.0: [8086:7190]'
	refute_output --regexp 'ACPI (BIOS )?(Error|Warning)|FW_BUG|Firmware Bug'
}

@test "GRUB in a boot sector starts Debian's i386 kernel" {
	needs grub-mkimage
	grub_boots 686 type=lsilogic --memory 256M
	assert_output --partial 'BIOS-e820: [mem 0x0000000000100000-0x000000000fffdfff] usable'
}

@test "GRUB in a boot sector starts Debian's amd64 kernel, two processors, 5 GiB" {
	needs grub-mkimage
	grub_boots amd64 controller=ide0:0 --memory 5G --cpus 2
	assert_output --partial 'BIOS-e820: [mem 0x0000000100000000-0x000000017fffffff] usable'
	assert_output --partial 'smp: Brought up 1 node, 2 CPUs'
}

@test "resets go through SeaBIOS again: 0x64, 0xcf9, a triple fault, its own reboot" {
	sector kbd <<<'movb $0xfe, %al; outb %al, $0x64'
	sector cf9 <<<'movb $2, %al; movw $0xcf9, %dx; outb %al, %dx; movb $6, %al; outb %al, %dx'
	sector triple <<<'lidtl %cs:(0x7c00 + nothing - start); int3; nothing: .fill 6, 1, 0'
	sector jump <<<'ljmp $0xffff, $0'
	for how in kbd cf9 triple jump; do
		echo "$how"
		start bt --disk $how,type=pvscsi
		local deadline=$((SECONDS + 90))
		until [ "$(grep -acF "booted $how." out 2>/dev/null)" -ge 3 ] 2>/dev/null; do
			[ $SECONDS -lt $deadline ] || { tail -c 300 out; return 1; }
			kill -0 $pid
			read -rt 0.1 <> <(:) || :
		done
		stop
	done
}

@test "what boots sees the machine as VMware's" {
	sector id <<-'END'
		movl $0x80000000, %eax
		movw $0xcf8, %dx
		outl %eax, %dx
		movw $0xcfc, %dx
		inl %dx, %eax
		cmpl $0x71908086, %eax
		jne 4f
		movl $0x8000002c, %eax
		movw $0xcf8, %dx
		outl %eax, %dx
		movw $0xcfc, %dx
		inl %dx, %eax
		cmpl $0x197615ad, %eax
		jne 4f
		movb $0x40, %al
		outb %al, $0xf4
		4: movb $0x41, %al
		outb %al, $0xf4
	END
	for engine in $(engines); do
		echo "$engine"
		run -129 timeout -k 5 100 "$VMRUN" run --accel "$engine" --disk id,type=pvscsi \
			--serial none --debug-exit --timeout 90
	done
}
