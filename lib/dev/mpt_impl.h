#ifndef DEV_MPT_IMPL_H
#define DEV_MPT_IMPL_H
/* What the files of the Fusion-MPT adapters share. */

#include "base/le.h"
#include "dev/mpt.h"

enum mpt_function {
	MPT_SCSI_IO = 0x00, MPT_TASK_MGMT = 0x01, MPT_IOC_INIT = 0x02, MPT_IOC_FACTS = 0x03,
	MPT_CONFIG = 0x04, MPT_PORT_FACTS = 0x05, MPT_PORT_ENABLE = 0x06,
	MPT_EVENT_NOTIFY = 0x07, MPT_EVENT_ACK = 0x08, MPT_SAS_CONTROL = 0x1b,
	MPT_UNIT_RESET = 0x40, MPT_IO_UNIT_RESET = 0x41, MPT_HANDSHAKE = 0x42,
};

enum mpt_status {
	MPT_OK = 0x00, MPT_BAD_FUNCTION = 0x01, MPT_BAD_SGL = 0x03, MPT_NO_RESOURCES = 0x06,
	MPT_BAD_FIELD = 0x07, MPT_BAD_STATE = 0x08, MPT_BAD_ACTION = 0x20, MPT_BAD_PAGE = 0x22,
	MPT_BAD_BUS = 0x41, MPT_NO_DEVICE = 0x43, MPT_OVERRUN = 0x44, MPT_UNDERRUN = 0x45,
	MPT_TERMINATED = 0x48,
};

/* Fields of all messages */
enum { MSG_CHAIN = 2, MSG_LEN = 2, MSG_FUNCTION = 3, MSG_FLAGS = 7, MSG_CONTEXT = 8,
       MSG_STATUS = 14 };

enum { MPT_FRAME = 128,		/* bytes of a request */
       MPT_REPLY_MAX = 80,	/* bytes of the longest reply */
       MPT_CREDITS = 128, MPT_REPLIES = 256, MPT_FIFO = 512, MPT_ACTIVE_MAX = 256 };

enum mpt_state { MPT_RESET = 0, MPT_READY = 1, MPT_OPERATIONAL = 2, MPT_FAULT = 4 };

struct mpt_fifo {
	uint32_t entry[MPT_FIFO];
	unsigned first, n;
};

struct mpt_reply {	/* that waits for a frame */
	uint8_t msg[MPT_REPLY_MAX];
	unsigned len;
	struct mpt_reply *next;
};

struct mpt_req {
	struct scsi_req s;
	struct mpt *m;
	uint32_t context, data_len;
	uint64_t sense_addr;
	uint8_t sense_len;
	uint8_t head[12];		/* of the request: the reply repeats it */
	struct mpt_req *next, **prev;	/* of those under way, or free */
};

enum mpt_doorbell { DB_IDLE, DB_START, DB_REQUEST, DB_REPLY, DB_END };

struct mpt {
	struct pci_fn fn;
	struct vm *vm;
	struct scsi_bus bus;
	const struct mpt_kind *kind;
	enum mpt_state state;
	uint16_t fault;
	uint8_t who_init, max_devices, max_buses;
	uint32_t mfa_high, sense_high;
	uint16_t reply_size;		/* bytes of the driver's frames */
	bool events;			/* the driver listens to them */
	uint32_t event_context;		/* of its request */
	uint32_t nevents;
	/* Registers */
	uint32_t int_status, int_mask, diag;
	unsigned key;			/* how many keys of the write sequence were right */
	enum mpt_doorbell db;
	uint8_t hs[256 * 4];		/* the request, then the reply */
	unsigned hs_len, hs_at;		/* bytes */
	struct mpt_fifo free, post;	/* reply frames of the driver; answers for it */
	struct mpt_reply *waiting, **waiting_last;
	unsigned nwaiting;
	struct mpt_req *active_first, *spare;
	unsigned active;
	uint32_t negotiated[SCSI_TARGETS];	/* lsilogic: parameters of the parallel bus */
	/* lsisas: targets that are gone, of which the driver does not know, by bits; when to
	 * tell it */
	uint32_t lost;
	struct timer lost_timer;
};

/* --- mpt.c -------------------------------------------------------------------------- */

/* Answer by the context; by a frame. */
void mpt_answer_context(struct mpt *m, uint32_t context);
void mpt_answer(struct mpt *m, const uint8_t *msg, unsigned len);
/* An event for the driver, if it listens, and has not left too many unanswered. */
void mpt_event(struct mpt *m, uint32_t event, const uint8_t *data, unsigned len);
/* The adapter can go on only after a reset. */
void mpt_fail(struct mpt *m, uint16_t code);
/* Wait for all I/O; forget the driver's frames; wait for a new IOC_INIT. */
void mpt_unit_reset(struct mpt *m);

/*
 * Do what a request says that is not I/O.
 *
 * rq, rq_len   the message
 * rp           the reply, MPT_REPLY_MAX bytes
 * Returns      the reply's length in bytes
 */
unsigned mpt_message(struct mpt *m, const uint8_t *rq, unsigned rq_len, uint8_t *rp);

/* --- mpt_io.c -------------------------------------------------------------------------- */

/* Start SCSI I/O: the frame lies at gpa. */
void mpt_io(struct mpt *m, const uint8_t *rq, uint64_t gpa);
unsigned mpt_task_mgmt(struct mpt *m, const uint8_t *rq, uint8_t *rp);
void mpt_io_free(struct mpt *m);

/* --- mpt_config.c -------------------------------------------------------------------------- */

unsigned mpt_config(struct mpt *m, const uint8_t *rq, unsigned rq_len, uint8_t *rp);

/* The reply's common part: len bytes, all else zero. */
static inline unsigned mpt_reply_init(uint8_t *rp, const uint8_t *rq, unsigned len,
				      uint16_t status)
{
	memset(rp, 0, len);
	memcpy(rp, rq, 2);
	rp[MSG_LEN] = (uint8_t)(len / 4);
	memcpy(rp + MSG_FUNCTION, rq + MSG_FUNCTION, 9);	/* up to the context */
	le16_put(rp + MSG_STATUS, status);
	return len;
}
#endif
