/*
 * Reservations: RESERVE and RELEASE of SCSI-2, and persistent ones, which here end with
 * the machine (APTPL is refused).  SPC-2, 7.21; SPC-4, 5.13, 6.15 and 6.16.
 */
#include "dev/scsi_impl.h"

enum pr_type {
	PR_WRITE_EXCLUSIVE = 1, PR_EXCLUSIVE = 3, PR_WRITE_EXCLUSIVE_RO = 5,
	PR_EXCLUSIVE_RO = 6, PR_WRITE_EXCLUSIVE_AR = 7, PR_EXCLUSIVE_AR = 8,
};

enum pr_action {
	PR_REGISTER, PR_RESERVE, PR_RELEASE, PR_CLEAR, PR_PREEMPT, PR_PREEMPT_ABORT,
	PR_REGISTER_IGNORE,
};

static bool all_registrants(uint8_t type)
{
	return type == PR_WRITE_EXCLUSIVE_AR || type == PR_EXCLUSIVE_AR;
}

static bool registrants_too(uint8_t type)
{
	return type >= PR_WRITE_EXCLUSIVE_RO;
}

static bool type_valid(uint8_t type)
{
	return type == PR_WRITE_EXCLUSIVE || type == PR_EXCLUSIVE ||
	       (type >= PR_WRITE_EXCLUSIVE_RO && type <= PR_EXCLUSIVE_AR);
}

static bool holds(const struct scsi_pr *p, unsigned i)
{
	return p->type && (all_registrants(p->type) ? p->registered[i] : p->holder == i);
}

bool scsi_pr_allows(const struct scsi_dev *d, const struct scsi_req *r)
{
	const struct scsi_pr *p = &d->pr;
	unsigned i = r->initiator % SCSI_INITIATORS;

	if (r->cmd->flags & CMD_FREE)
		return true;
	if (d->reserved_by >= 0)
		return d->reserved_by == (int)i;
	if (!p->type || holds(p, i) || (registrants_too(p->type) && p->registered[i]))
		return true;
	return (p->type == PR_WRITE_EXCLUSIVE || p->type == PR_WRITE_EXCLUSIVE_RO ||
		p->type == PR_WRITE_EXCLUSIVE_AR) && !(r->cmd->flags & CMD_WRITES);
}

/* RESERVE(6) does not outlive a reset; persistent ones do, but not a power cycle. */
void scsi_pr_reset(struct scsi_dev *d)
{
	d->reserved_by = -1;
}

static bool any_registered(const struct scsi_pr *p)
{
	for (unsigned i = 0; i < SCSI_INITIATORS; i++)
		if (p->registered[i])
			return true;
	return false;
}

void scsi_reserve(struct scsi_dev *d, struct scsi_req *r)
{
	if (any_registered(&d->pr)) {
		scsi_done(r, SCSI_RESERVATION_CONFLICT);
		return;
	}
	d->reserved_by = r->initiator % SCSI_INITIATORS;
	scsi_good(r);
}

/* By others it does nothing. */
void scsi_release(struct scsi_dev *d, struct scsi_req *r)
{
	if (d->reserved_by == r->initiator % SCSI_INITIATORS)
		d->reserved_by = -1;
	scsi_good(r);
}

/* --- PERSISTENT RESERVE IN ----------------------------------------------------------- */

static unsigned read_keys(const struct scsi_pr *p, uint8_t *buf)
{
	unsigned at = 8;

	for (unsigned i = 0; i < SCSI_INITIATORS; i++)
		if (p->registered[i]) {
			be64_put(buf + at, p->key[i]);
			at += 8;
		}
	return at;
}

static unsigned read_reservation(const struct scsi_pr *p, uint8_t *buf)
{
	if (!p->type)
		return 8;
	be64_put(buf + 8, all_registrants(p->type) ? 0 : p->key[p->holder]);
	buf[21] = p->type;
	return 24;
}

static unsigned read_status(const struct scsi_pr *p, uint8_t *buf)
{
	unsigned at = 8;

	for (unsigned i = 0; i < SCSI_INITIATORS; i++) {
		if (!p->registered[i])
			continue;
		be64_put(buf + at, p->key[i]);
		if (holds(p, i)) {
			buf[at + 12] = 1;
			buf[at + 13] = p->type;
		}
		be16_put(buf + at + 18, 1);	/* target port */
		be32_put(buf + at + 20, 24);
		buf[at + 24] = 1;		/* an initiator on a parallel bus */
		be16_put(buf + at + 26, (uint16_t)i);
		be16_put(buf + at + 30, 1);
		at += 48;
	}
	return at;
}

void scsi_pr_in(struct scsi_dev *d, struct scsi_req *r)
{
	uint8_t buf[8 + SCSI_INITIATORS * 48] = { 0 };
	unsigned len, sa = r->cdb[1] & 0x1f;

	if (sa == 2) {		/* REPORT CAPABILITIES */
		be16_put(buf, 8);
		buf[3] = 0x80;	/* the type mask is valid: */
		buf[4] = 0xea;
		buf[5] = 0x01;
		scsi_reply(r, buf, 8, be16_get(r->cdb + 7));
		return;
	}
	len = sa == 0 ? read_keys(&d->pr, buf) :
	      sa == 1 ? read_reservation(&d->pr, buf) : read_status(&d->pr, buf);
	be32_put(buf, d->pr.generation);
	be32_put(buf + 4, len - 8);
	scsi_reply(r, buf, len, be16_get(r->cdb + 7));
}

/* --- PERSISTENT RESERVE OUT -------------------------------------------------------------- */

struct pr_out {
	uint64_t key, action_key;
	uint8_t type;
	unsigned me;
};

/* Tell the registrants but me. */
static void tell_others(struct scsi_dev *d, unsigned me, uint32_t sense)
{
	for (unsigned i = 0; i < SCSI_INITIATORS; i++)
		if (i != me && d->pr.registered[i])
			d->attention[i] = sense;
}

static void end_reservation(struct scsi_dev *d, unsigned me)
{
	if (registrants_too(d->pr.type))
		tell_others(d, me, SENSE_RES_RELEASED);
	d->pr.type = 0;
}

static void unregister(struct scsi_dev *d, unsigned i)
{
	struct scsi_pr *p = &d->pr;
	bool held = holds(p, i);

	p->registered[i] = false;
	if (held && (!all_registrants(p->type) || !any_registered(p)))
		end_reservation(d, i);
}

static uint8_t pr_register(struct scsi_dev *d, const struct pr_out *o, bool ignore)
{
	struct scsi_pr *p = &d->pr;

	if (!ignore && o->key != (p->registered[o->me] ? p->key[o->me] : 0))
		return SCSI_RESERVATION_CONFLICT;
	if (o->action_key) {
		p->registered[o->me] = true;
		p->key[o->me] = o->action_key;
	} else if (p->registered[o->me]) {
		unregister(d, o->me);
	}
	p->generation++;
	return SCSI_GOOD;
}

static uint8_t pr_reserve(struct scsi_dev *d, const struct pr_out *o)
{
	struct scsi_pr *p = &d->pr;

	if (p->type)
		return holds(p, o->me) && p->type == o->type ? SCSI_GOOD :
							     SCSI_RESERVATION_CONFLICT;
	p->type = o->type;
	p->holder = (uint8_t)o->me;
	return SCSI_GOOD;
}

static void pr_clear(struct scsi_dev *d, const struct pr_out *o)
{
	tell_others(d, o->me, SENSE_RES_PREEMPTED);
	memset(d->pr.registered, 0, sizeof(d->pr.registered));
	d->pr.type = 0;
	d->pr.generation++;
}

/* Remove the registrations with a key (all: of all), but mine.  Was there any? */
static bool preempt_keys(struct scsi_dev *d, const struct pr_out *o, bool all)
{
	struct scsi_pr *p = &d->pr;
	bool any = false;

	for (unsigned i = 0; i < SCSI_INITIATORS; i++) {
		if (!p->registered[i] || (!all && p->key[i] != o->action_key))
			continue;
		any = true;
		if (i == o->me)
			continue;
		p->registered[i] = false;
		d->attention[i] = SENSE_REG_PREEMPTED;
	}
	return any;
}

/* SPC-4, 5.13.11.4. */
static uint8_t pr_preempt(struct scsi_dev *d, const struct pr_out *o)
{
	struct scsi_pr *p = &d->pr;
	bool all = p->type && all_registrants(p->type) && !o->action_key;
	bool take = all || (p->type && !all_registrants(p->type) &&
			    p->key[p->holder] == o->action_key);

	if (!preempt_keys(d, o, all))
		return SCSI_RESERVATION_CONFLICT;
	if (take) {
		if (p->type != o->type && registrants_too(p->type))
			tell_others(d, o->me, SENSE_RES_RELEASED);
		p->type = o->type;
		p->holder = (uint8_t)o->me;
	}
	p->generation++;
	return SCSI_GOOD;
}

static void pr_out(struct scsi_dev *d, struct scsi_req *r, const struct pr_out *o)
{
	struct scsi_pr *p = &d->pr;
	unsigned sa = r->cdb[1] & 0x1f;
	uint8_t status = SCSI_GOOD;

	if (sa != PR_REGISTER && sa != PR_REGISTER_IGNORE &&
	    (!p->registered[o->me] || p->key[o->me] != o->key)) {
		scsi_done(r, SCSI_RESERVATION_CONFLICT);
		return;
	}
	switch (sa) {
	case PR_REGISTER:
	case PR_REGISTER_IGNORE:
		status = pr_register(d, o, sa == PR_REGISTER_IGNORE);
		break;
	case PR_RESERVE:
		status = pr_reserve(d, o);
		break;
	case PR_RELEASE:
		if (holds(p, o->me) && p->type != o->type) {
			scsi_fail(r, SENSE_PR_RELEASE);
			return;
		}
		if (holds(p, o->me))
			end_reservation(d, o->me);
		break;
	case PR_CLEAR:
		pr_clear(d, o);
		break;
	default:	/* tasks of those preempted end as they would; none comes here later */
		status = pr_preempt(d, o);
	}
	scsi_done(r, status);
}

void scsi_pr_out(struct scsi_dev *d, struct scsi_req *r)
{
	unsigned sa = r->cdb[1] & 0x1f;
	struct pr_out o = { .type = r->cdb[2] & 15, .me = r->initiator % SCSI_INITIATORS };
	uint8_t buf[24];

	if (d->reserved_by >= 0 && d->reserved_by != (int)o.me) {
		scsi_done(r, SCSI_RESERVATION_CONFLICT);
		return;
	}
	if (be32_get(r->cdb + 5) != sizeof(buf)) {
		scsi_fail(r, SENSE_PARAM_LENGTH);
		return;
	}
	if (!scsi_fetch(r, buf, sizeof(buf)))
		return;
	o.key = be64_get(buf);
	o.action_key = be64_get(buf + 8);
	if (buf[20]) {		/* SPEC_I_PT, ALL_TG_PT, APTPL */
		scsi_fail_param(r, 20);
		return;
	}
	if ((sa == PR_RESERVE || sa == PR_RELEASE || sa == PR_PREEMPT || sa == PR_PREEMPT_ABORT) &&
	    (r->cdb[2] >> 4 || !type_valid(o.type))) {
		scsi_fail_cdb(r, 2);
		return;
	}
	if ((sa == PR_PREEMPT || sa == PR_PREEMPT_ABORT) && !o.action_key &&
	    !(d->pr.type && all_registrants(d->pr.type))) {
		scsi_fail_param(r, 8);
		return;
	}
	pr_out(d, r, &o);
}
