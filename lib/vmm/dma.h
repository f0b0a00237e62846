#ifndef VMM_DMA_H
#define VMM_DMA_H
/*
 * Guest memory as devices reach it.
 *
 * Bytes may be moved by any thread, at any time: mem->hva is memory like any other.
 * That they were moved is told by a vCPU's thread, as only those may drop translated
 * code and touch page tables' copies:
 *
 *	I/O thread:	read(fd, iov from dma_map()), then vm_defer(vm, &d->done)
 *	vCPU 0's:	d->done.fn: dma_written(), status and rings by dma_write(), pci_irq()
 *
 * The guest may not yet know that the bytes are there when they are told, so that no
 * vCPU can have relied on them; what it does behind the interrupt or the status in its
 * memory sees code and page tables made from them.
 *
 * Register handlers and timers of devices run on a vCPU's thread already.  The calls
 * below look at the memory layout, which vCPUs change with vm->lock held (vm_layout()):
 * other threads take the lock, too.
 */

#include <sys/uio.h>

#include "vmm/vm.h"

/*
 * Copy out of and into guest memory; what is not RAM reads as ones and is not written
 * (nor is ROM).  dma_write() tells, too: a vCPU's thread.
 * Returns    false: a part was not memory that can be read, written
 */
bool dma_read(const struct mem *m, uint64_t gpa, void *buf, uint64_t len);
bool dma_write(struct mem *m, uint64_t gpa, const void *buf, uint64_t len);

/*
 * The host memory of [gpa, gpa + len), to be read or written by system calls.
 *
 * write      the device writes: dma_written() follows when it has
 * iov, n     pieces are put behind those that are there; at most max in all
 * Returns    0; -EFAULT: a part is not RAM, or ROM that would be written; -E2BIG: more
 *            than max pieces.  *n is as before then.
 */
int dma_map(const struct mem *m, uint64_t gpa, uint64_t len, bool write, struct iovec *iov,
	    unsigned *n, unsigned max);

/* Bytes were written through dma_map().  On a vCPU's thread, or while none runs. */
void dma_written(struct mem *m, uint64_t gpa, uint64_t len);

#endif
