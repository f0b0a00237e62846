#ifndef NET_FRAME_H
#define NET_FRAME_H
/*
 * Ethernet frames as the switch and virtual NICs pass them on: addresses, type and tag
 * taken out of the bytes, so that they are read once however hostile the memory is in
 * which the rest lies, and a tag is put in or taken away without moving anything.
 * Spec: IEEE 802.3 (3.2), 802.1Q (9.6); the meaning of struct frame_meta is that of
 * struct virtio_net_hdr (VIRTIO 1.1, 5.1.6), which taps use, too.
 *
 * Example: dst src 81 00 20 0a 08 00 45 ... -> type 0x0800, tci 0x200a (VLAN 10,
 * priority 1), payload 45 ...
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define FRAME_ADDR	6u		/* bytes of an address */
#define FRAME_HEADER	14u		/* addresses and type */
#define FRAME_TAG	4u
#define FRAME_PAYLOAD_MAX 65535u	/* the largest IP packet, for segmentation offload */
#define FRAME_MAX	(FRAME_HEADER + FRAME_TAG + FRAME_PAYLOAD_MAX)
#define FRAME_UNTAGGED	(-1)

enum { FRAME_TYPE_IP4 = 0x0800, FRAME_TYPE_ARP = 0x0806, FRAME_TYPE_RARP = 0x8035,
       FRAME_TYPE_VLAN = 0x8100, FRAME_TYPE_IP6 = 0x86dd };

enum frame_flag {
	FRAME_PARTIAL = 1,	/* the checksum is the pseudo header's: the rest is to be added */
	FRAME_VALID = 2,	/* the checksum was found good, or never left this host */
};

enum frame_gso { FRAME_GSO_NONE, FRAME_GSO_TCP4, FRAME_GSO_TCP6, FRAME_GSO_UDP, FRAME_GSO_COUNT };

/* What is left to do before the frame is one for a wire.  Offsets count from the
 * payload's first byte, so that tags do not change them. */
struct frame_meta {
	uint8_t flags;		/* enum frame_flag */
	uint8_t gso;		/* enum frame_gso: it is to be cut into segments */
	uint16_t gso_size;	/* bytes of TCP or UDP data a segment */
	uint16_t csum_start;	/* with FRAME_PARTIAL: sum from here to the end, */
	uint16_t csum_offset;	/* and store it here, counted from csum_start */
};

struct frame {
	uint8_t dst[FRAME_ADDR], src[FRAME_ADDR];
	uint16_t type;		/* behind the tag; below 0x600: a length (802.3) */
	int tci;		/* of the outermost 802.1Q tag, or FRAME_UNTAGGED */
	uint32_t len;		/* of payload */
	const uint8_t *payload;	/* may be shared with a hostile writer: read what is
				 * judged once, into memory of one's own */
	struct frame_meta meta;
};

/*
 * Take a frame apart.
 *
 * data, len  addresses first, no checksum at the end; must stay while f is used
 * tci        of a tag that is not among the bytes, or FRAME_UNTAGGED: then one that is
 *            among them is taken
 * meta       NULL: nothing is left to do
 * Returns    false: shorter than its header, or too long, or meta makes no sense for it
 *            (offsets beyond the end, segments of 0 bytes, no such gso)
 */
bool frame_parse(struct frame *f, const uint8_t *data, size_t len, int tci,
		 const struct frame_meta *meta);

/* The header as it goes out, with a tag unless tci is FRAME_UNTAGGED.  Returns its
 * length; the payload follows. */
unsigned frame_header(const struct frame *f, int tci,
		      uint8_t out[static FRAME_HEADER + FRAME_TAG]);

/* Bytes of the whole frame as it goes out with that tag. */
static inline uint32_t frame_len(const struct frame *f, int tci)
{
	return FRAME_HEADER + (tci == FRAME_UNTAGGED ? 0 : FRAME_TAG) + f->len;
}

/* Write the whole frame; out has room for frame_len(). */
void frame_write(const struct frame *f, int tci, uint8_t *out);

static inline bool frame_multicast(const uint8_t addr[FRAME_ADDR])
{
	return addr[0] & 1;
}

/* An address as text, xx:xx:xx:xx:xx:xx, 17 characters and a NUL; and back: 0, or
 * -EINVAL: not an address. */
#define FRAME_ADDR_TEXT 18
void frame_addr_text(char out[static FRAME_ADDR_TEXT], const uint8_t addr[FRAME_ADDR]);
int frame_addr_parse(uint8_t addr[static FRAME_ADDR], const char *s);

#endif
