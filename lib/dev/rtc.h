#ifndef DEV_RTC_H
#define DEV_RTC_H
/*
 * The MC146818 clock and 128 bytes of CMOS memory: ports 0x70, 0x71; IRQ 8.
 * Runs on the host's time in UTC until the guest sets it.  The century is in
 * byte 0x32 (RTC_CENTURY, for the FADT); memory sizes are in the bytes
 * where BIOSes look: 0x15-0x18, 0x30, 0x31, 0x34, 0x35, 0x5b-0x5d.
 * Spec: Motorola MC146818 data sheet (1988).
 */

#include "base/err.h"
#include "vmm/vm.h"

#define RTC_CENTURY	0x32

struct rtc;

struct rtc *rtc_new(struct vm *vm, struct err *e);
void rtc_reset(struct rtc *r);
void rtc_free(struct rtc *r);

/* Set a CMOS byte (index below 128, not one of the clock's) for firmware. */
void rtc_set_cmos(struct rtc *r, uint8_t index, uint8_t val);
/* Call rise(ptr), with vm->lock held, whenever the interrupt rises, muted or not. */
void rtc_on_interrupt(struct rtc *r, void (*rise)(void *ptr), void *ptr);
/* HPET legacy replacement: IRQ 8 is no longer ours.  vm->lock is held. */
void rtc_mute(struct rtc *r, bool mute);
#endif
