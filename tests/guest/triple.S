/* An exception that no table receives: a triple fault. */
#include "guest.inc"

	.globl	guest_main
guest_main:
	print	"about to crash"
	lidt	none
	ud2
	.data
none:	.word	0
	.long	0
