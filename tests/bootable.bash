# Loaded by the bats files that boot what they make.
# shellcheck shell=bash

# sector FILE: a boot sector that prints "booted FILE", then runs the code on stdin.  The
# console keeps some characters back until the next timer interrupt.
sector() {
	{
		cat <<-END
		.code16
		xorw %ax, %ax
		movw %ax, %ds
		movw \$(0x7c00 + text - start), %si
		1: lodsb
		testb %al, %al
		jz 2f
		movw \$7, %bx
		movb \$0xe, %ah
		int \$0x10
		jmp 1b
		2:
		END
		cat
		echo '3: sti; hlt; jmp 3b'
		printf 'text: .asciz "booted %s.                    \\r\\n"\n' "$1"
		printf '.org 510\n.word 0xaa55\n'
	} >"$1.S"
	sed -i '1s/^/start:\n/' "$1.S"
	as --32 -o "$1.o" "$1.S" && objcopy -O binary -j .text "$1.o" "$1"
	truncate -s 1M "$1"
}

# iso FILE ISO: a CD-ROM image that boots the sector FILE (El Torito, no emulation)
iso() {
	mkdir -p tree
	head -c 2048 "$1" >tree/boot.img
	xorriso -as mkisofs -quiet -o "$2" -b boot.img -no-emul-boot -boot-load-size 4 tree
}
