/*
 * SCSI targets by themselves: commands that are right but for a field or two, with the
 * parameter lists that go with them (UNMAP, WRITE SAME, COMPARE AND WRITE, persistent
 * reservations, MODE SELECT), lengths that do not fit, several at once, aborted and reset.
 * Each ends exactly once, moves no more than there is room for, and says why it failed.
 * Every other disk never fails and gets one command at a time: it holds what a model of
 * it holds.
 */
#include "base/be.h"
#include "device.h"
#include "dev/scsi.h"

enum { JOBS = 8, DATA = 256 << 10, BLOCKS = DISK / 512 };

struct job {
	struct scsi_req r;
	bool busy;
	unsigned ended;
	uint8_t *data;
	uint8_t sent[SCSI_CDB_MAX];
	size_t len;
};

static struct job job[JOBS];
static uint8_t model[DISK];
static bool sober;	/* nothing fails, one command at a time: there is a model */

/* --- a disk that does not fail ---------------------------------------------------------- */

static int s_read(void *p, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	luck = 0;
	return move(iov, n, off, false);
}

static int s_write(void *p, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	luck = 0;
	return move(iov, n, off, true);
}

static int s_flush(void *p, struct err *e)
{
	return 0;
}

static const struct blk_ops sober_ops = {
	.readv = s_read, .writev = s_write, .try_readv = s_read, .try_writev = s_write,
	.zero = d_zero, .flush = s_flush,
};

/* --- commands -------------------------------------------------------------------------------- */

static uint64_t any_lba(struct fuzz *f)
{
	switch (fuzz_below(f, 16)) {
	case 0: return BLOCKS - fuzz_below(f, 3);
	case 1: return fuzz_next(f);
	case 2: return UINT64_MAX - fuzz_below(f, 3);
	case 3: return UINT32_MAX;
	default: return fuzz_below(f, BLOCKS);
	}
}

static uint32_t any_count(struct fuzz *f)
{
	static const uint32_t odd[] = { 0, 1, 255, 256, 0xffff, 0x10000, 0x200000, 0x200001, UINT32_MAX,
					BLOCKS };

	return fuzz_below(f, 8) ? fuzz_below(f, 40) : odd[fuzz_below(f, 10)];
}

/* The usual places of address and length, by the group of the operation code. */
static void put_range(struct fuzz *f, uint8_t *c)
{
	uint64_t lba = any_lba(f);
	uint32_t n = any_count(f);

	switch (c[0] >> 5) {
	case 0:
		be24_put(c + 1, (uint32_t)(lba & 0x1fffff));
		c[4] = (uint8_t)n;
		break;
	case 4:
		be64_put(c + 2, lba);
		be32_put(c + 10, n);
		break;
	case 5:
		be32_put(c + 2, (uint32_t)lba);
		be32_put(c + 6, n);
		break;
	default:
		be32_put(c + 2, (uint32_t)lba);
		be16_put(c + 7, (uint16_t)n);
	}
}

static size_t make_unmap(struct fuzz *f, struct job *j)
{
	unsigned n = fuzz_below(f, 8) ? fuzz_below(f, 6) : fuzz_below(f, 300);
	unsigned len = 8 + 16 * n;

	memset(j->data, 0, 8);
	be16_put(j->data, (uint16_t)(len - 2));
	be16_put(j->data + 2, (uint16_t)(16 * n));
	for (unsigned i = 0; i < n; i++) {
		be64_put(j->data + 8 + 16 * i, any_lba(f));
		be64_put(j->data + 16 + 16 * i, 0);
		be32_put(j->data + 16 + 16 * i, any_count(f));
	}
	if (!fuzz_below(f, 4))
		be16_put(j->data + 2, (uint16_t)fuzz_next(f));
	be16_put(j->r.cdb + 7, (uint16_t)(fuzz_below(f, 4) ? len : fuzz_next(f)));
	return len;
}

static size_t make_reserve(struct fuzz *f, struct job *j)
{
	memset(j->data, 0, 24);
	j->data[7] = (uint8_t)fuzz_below(f, 3);
	j->data[15] = (uint8_t)fuzz_below(f, 3);
	if (!fuzz_below(f, 10))
		j->data[20] = (uint8_t)fuzz_next(f);
	j->r.cdb[1] = (uint8_t)fuzz_below(f, 8);
	j->r.cdb[2] = (uint8_t)(fuzz_below(f, 10) ? fuzz_below(f, 10) : fuzz_next(f));
	be32_put(j->r.cdb + 5, fuzz_below(f, 10) ? 24 : (uint32_t)fuzz_next(f));
	return 24;
}

static size_t make_mode(struct fuzz *f, struct job *j)
{
	static const uint8_t page[][2] = { { 8, 18 }, { 10, 10 }, { 1, 10 }, { 0x1c, 10 }, { 0x2a, 20 } };
	bool ten = j->r.cdb[0] == 0x55;
	unsigned len = ten ? 8 : 4;

	memset(j->data, 0, 256);
	if (!fuzz_below(f, 3)) {
		j->data[ten ? 7 : 3] = 8;
		be24_put(j->data + len + 5, 512);
		len += 8;
	}
	for (unsigned n = fuzz_below(f, 3); n; n--) {
		const uint8_t *p = page[fuzz_below(f, 5)];

		j->data[len] = p[0];
		j->data[len + 1] = p[1];
		if (p[0] == 8)
			j->data[len + 2] = (uint8_t)(fuzz_below(f, 2) * 4);
		if (p[0] == 10) {
			j->data[len + 2] = (uint8_t)(fuzz_below(f, 2) * 4);
			j->data[len + 3] = 0x10;
		}
		len += p[1] + 2u;
	}
	j->r.cdb[1] = 0x10;
	if (ten)
		be16_put(j->r.cdb + 7, (uint16_t)len);
	else
		j->r.cdb[4] = (uint8_t)len;
	if (!fuzz_below(f, 4))
		j->data[fuzz_below(f, len)] = (uint8_t)fuzz_next(f);
	return len;
}

/* Data for COMPARE AND WRITE: mostly what is there. */
static size_t make_compare(struct fuzz *f, struct job *j)
{
	uint64_t lba = be64_get(j->r.cdb + 2);
	unsigned n = fuzz_below(f, 6);

	memset(j->r.cdb + 10, 0, 6);
	j->r.cdb[13] = (uint8_t)n;
	if (lba <= BLOCKS && n <= BLOCKS - lba)
		memcpy(j->data, store + lba * 512, n * 512);
	for (unsigned i = 0; i < n * 512; i++)
		j->data[n * 512 + i] = (uint8_t)(fuzz_next(f) >> 7);
	if (n && !fuzz_below(f, 4))
		j->data[fuzz_below(f, n * 512)] ^= 1;
	return n * 1024u;
}

/* Fill in the command and its data; returns how many bytes it is going to move. */
static size_t make(struct fuzz *f, struct job *j)
{
	static const uint8_t op[] = {
		0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x17, 0x1a, 0x1b, 0x1d, 0x1e, 0x25, 0x28, 0x2a, 0x2b,
		0x2e, 0x2f, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x55, 0x5a, 0x5e, 0x5f, 0x88, 0x89,
		0x8a, 0x8e, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xae, 0xaf, 0xb9, 0xbd, 0xbe,
		0x28, 0x2a, 0x41, 0x42, 0x5f, 0x5f, 0x89, 0x93, 0x93,
	};
	uint8_t *c = j->r.cdb;

	memset(c, 0, SCSI_CDB_MAX);
	c[0] = fuzz_below(f, 30) ? op[fuzz_below(f, sizeof(op))] : (uint8_t)fuzz_next(f);
	for (unsigned i = 0; i < 512; i++)
		j->data[i] = fuzz_below(f, 8) ? 0 : (uint8_t)fuzz_next(f);
	switch (c[0]) {
	case 0x42: return make_unmap(f, j);
	case 0x5f: return make_reserve(f, j);
	case 0x15: case 0x55: return make_mode(f, j);
	case 0x41: case 0x93:
		put_range(f, c);
		c[1] = (uint8_t)(fuzz_below(f, 2) * 8);
		if (fuzz_below(f, 2))
			memset(j->data, 0, 512);
		else
			memset(j->data, (int)fuzz_next(f), 512);
		return 512;
	case 0x89:
		put_range(f, c);
		return make_compare(f, j);
	case 0x08: case 0x0a: case 0x28: case 0x2a: case 0x2e: case 0x2f: case 0x88: case 0x8a: case 0x8e:
	case 0x8f: case 0xa8: case 0xaa: case 0xae: case 0xaf: case 0x35: case 0x91: case 0x9e:
		put_range(f, c);
		if (c[0] == 0x9e)
			c[1] = fuzz_below(f, 2) ? 0x10 : 0x12;
		else if ((c[0] & 0x0f) == 0x0f && fuzz_below(f, 2))
			c[1] = 2;
		else if (!fuzz_below(f, 4) && c[0] > 0x20)
			c[1] = 8;	/* FUA */
		return c[0] >> 5 == 0 ? (c[4] ? c[4] : 256u) * 512u : fuzz_below(f, 8) ?
			(size_t)(c[0] >> 5 == 4 ? be32_get(c + 10) : c[0] >> 5 == 5 ? be32_get(c + 6) :
				 be16_get(c + 7)) * 512 : 512;
	default:
		for (unsigned i = 1; i < SCSI_CDB_MAX; i++)
			c[i] = fuzz_below(f, 4) ? 0 : (uint8_t)fuzz_next(f);
		if (c[0] == 0x1b)
			c[4] &= 3;
		return fuzz_below(f, 512);
	}
}

/* --- the model --------------------------------------------------------------------------------- */

static bool range_of(const uint8_t *c, uint64_t *lba, uint64_t *n)
{
	switch (c[0] >> 5) {
	case 0: *lba = be24_get(c + 1) & 0x1fffff; *n = c[4] ? c[4] : 256; break;
	case 4: *lba = be64_get(c + 2); *n = be32_get(c + 10); break;
	case 5: *lba = be32_get(c + 2); *n = be32_get(c + 6); break;
	default: *lba = be32_get(c + 2); *n = be16_get(c + 7);
	}
	return *lba <= BLOCKS && *n <= BLOCKS - *lba;
}

/* What a command that ended well has changed, and has read. */
static void follow(const struct job *j)
{
	const uint8_t *c = j->sent;
	uint64_t lba, n;

	switch (c[0]) {
	case 0x08: case 0x28: case 0x88: case 0xa8:
		fuzz_check(range_of(c, &lba, &n), "read outside");
		fuzz_check(!memcmp(j->data, model + lba * 512, j->r.moved), "what was read");
		break;
	case 0x0a: case 0x2a: case 0x2e: case 0x8a: case 0x8e: case 0xaa: case 0xae:
		fuzz_check(range_of(c, &lba, &n) && j->r.moved <= n * 512, "written outside");
		memcpy(model + lba * 512, j->data, j->r.moved);
		break;
	case 0x41: case 0x93:
		fuzz_check(range_of(c, &lba, &n), "written outside");
		for (uint64_t i = lba; i < lba + n; i++)
			if (c[0] == 0x93 && c[1] & 1)
				memset(model + i * 512, 0, 512);
			else
				memcpy(model + i * 512, j->data, 512);
		break;
	case 0x89:
		lba = be64_get(c + 2);
		n = c[13];
		fuzz_check(lba <= BLOCKS && n <= BLOCKS - lba &&
			   !memcmp(model + lba * 512, j->data, n * 512), "compared");
		memcpy(model + lba * 512, j->data + n * 512, n * 512);
		break;
	case 0x42:
		n = be16_get(c + 7) < 8 ? 0 : be16_get(j->data + 2);
		if (n > be16_get(c + 7) - 8u)
			n = be16_get(c + 7) - 8u;
		for (uint64_t at = 8; at + 16 <= 8 + n; at += 16) {
			uint64_t from = be64_get(j->data + at), len = be32_get(j->data + at + 8);

			fuzz_check(from <= BLOCKS && len <= BLOCKS - from, "unmapped outside");
			memset(model + from * 512, 0, len * 512);
		}
		break;
	}
}

/* --- requests ------------------------------------------------------------------------------------ */

static void done(struct scsi_req *r)
{
	struct job *j = (struct job *)r;

	fuzz_check(j->busy && !j->ended++, "ended twice");
	j->busy = false;
	fuzz_check(r->moved <= j->len, "%ju of %zu bytes", (uintmax_t)r->moved, j->len);
	fuzz_check((r->status == SCSI_CHECK_CONDITION) == (r->sense_len != 0) ||
		   r->status == SCSI_TASK_ABORTED, "status %02x, %u bytes of sense", r->status,
		   r->sense_len);
	fuzz_check(!r->sense_len || (r->sense_len <= SCSI_SENSE_MAX && (r->sense[0] & 0x7c) == 0x70),
		   "sense %02x", r->sense[0]);
	if (sober && r->status == SCSI_GOOD)
		follow(j);
}

static void start(struct fuzz *f, struct scsi_dev *t)
{
	struct job *j = &job[fuzz_below(f, sober ? 1 : JOBS)];
	size_t len;

	if (j->busy)
		return;
	len = make(f, j);
	if (!fuzz_below(f, 4))
		j->r.cdb[1 + fuzz_below(f, 15)] = (uint8_t)fuzz_next(f);
	memcpy(j->sent, j->r.cdb, sizeof(j->sent));
	if (!fuzz_below(f, 8))
		len = len / 2 + fuzz_below(f, 700);
	if (!fuzz_below(f, 16))
		len = fuzz_below(f, 3);
	j->len = len < DATA ? len : DATA;
	sg_clear(&j->r.data, vm.mem);
	for (size_t at = 0; at < j->len; ) {	/* in pieces of any length */
		size_t n = fuzz_below(f, 4) ? j->len - at : 1 + fuzz_below(f, 2000);

		n = n < j->len - at ? n : j->len - at;
		if (j->r.data.n == SG_PIECES - 1)
			n = j->len - at;
		fuzz_check(!sg_add_host(&j->r.data, j->data + at, n), "list");
		at += n;
	}
	j->r.lun = !fuzz_below(f, 30);
	j->r.attr = sober ? SCSI_SIMPLE : (enum scsi_attr)fuzz_below(f, 3);
	j->r.dir = fuzz_below(f, 8) ? SCSI_DIR_ANY : (enum scsi_dir)fuzz_below(f, 4);
	j->r.initiator = (uint8_t)(fuzz_below(f, 3) ? 7 : fuzz_below(f, 16));
	j->r.done = done;
	j->busy = true;
	j->ended = 0;
	scsi_start(t, &j->r);
	while (sober && j->busy)
		vm_run_work(&vm);
}

static void finish(void)
{
	for (unsigned i = 0; i < JOBS; i++)
		fuzz_check(!job[i].busy, "request %u did not end", i);
}

static void act(struct fuzz *f, struct scsi_dev *t)
{
	struct job *j = &job[fuzz_below(f, JOBS)];
	struct blk *b;

	switch (fuzz_below(f, 64)) {
	case 0 ... 1:
		scsi_reset(t, (enum scsi_reset)fuzz_below(f, 3));
		finish();
		break;
	case 2:
		scsi_drain(t);
		finish();
		break;
	case 3 ... 5:
		if (j->busy)
			scsi_abort(t, &j->r);
		break;
	case 6 ... 9:
		vm_run_work(&vm);
		break;
	case 10:
		b = scsi_is_cd(t) && fuzz_below(f, 3) ? fuzz_store(fuzz_below(f, 2) ? DISK : fuzz_below(f, 9000), true) : NULL;
		if (scsi_is_cd(t) && scsi_cd_insert(t, b, fuzz_below(f, 2), NULL))
			blk_free(b);
		break;
	default:
		start(f, t);
	}
}

static void run_target(struct fuzz *f, unsigned kind)
{
	struct blk_params p = { .ops = &sober_ops, .size = DISK, .thin = true };
	struct scsi_dev *t;

	sober = kind == 0;
	machine_start();
	for (unsigned i = 0; i < DISK; i += 8)
		le64_put(store + i, i & 4096 ? fuzz_next(f) : 0);
	memcpy(model, store, DISK);
	if (kind == 1)
		t = scsi_cd_new(&vm, fuzz_below(f, 3) ? fuzz_store(DISK, true) : NULL, NULL, NULL);
	else
		t = scsi_disk_new(&vm, sober ? blk_new(&vm, &p, NULL) : fuzz_blk(f, 0, !fuzz_below(f, 8)),
				  NULL, NULL);
	for (unsigned i = 0; i < 1000; i++) {
		struct fuzz_watch w = fuzz_begin(f);

		act(f, t);
		fuzz_end(&w, i, SLOW_NS);
	}
	scsi_drain(t);
	finish();
	fuzz_check(!sober || !memcmp(model, store, DISK), "the disk holds something else");
	scsi_free(t);
	mem_free(vm.mem);
}

int main(int argc, char **argv)
{
	struct fuzz f;

	device_start(&f, argc, argv);
	for (unsigned i = 0; i < JOBS; i++)
		job[i].data = calloc(1, DATA);
	do {
		run_target(&f, (unsigned)(f.runs++ % 3));
	} while (clock_ns() < f.end_ns);
	for (unsigned i = 0; i < JOBS; i++) {
		free(job[i].data);
		sg_free(&job[i].r.data);
	}
	return fuzz_done(&f);
}
