/*
 * Looking for damage in hosted sparse extents, and mending it.
 *
 * Three passes over the tables: how grains are aligned (so that a bit can stand for as
 * much of the file as possible); what each grain of the first copy takes, and whether
 * something else has it already; how the second copy differs from the first.  Then what
 * nothing has is lost room.
 *
 * Where the copies differ the first one is right, as it is the one that everybody
 * reads, unless its entry cannot be, or is empty in a file that was closed properly
 * while the second one's grain belongs to nobody: that is what it lost.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/sparse_impl.h"

struct look {
	struct sparse *s;
	const struct extent_check *c;
	bool repair;
	bool unclean;		/* the last writer did not close it */
	uint64_t unit;		/* sectors for one bit */
	uint64_t units;
	uint8_t *taken;
	uint64_t end;		/* bytes: what is behind was taken by repairs */
	uint64_t was;		/* bytes: the length of the file before them */
	uint64_t lowest;	/* the first sector of a grain */
	uint64_t cut;		/* bytes: the file ended there, inside a sector; or 0 */
	uint8_t *table[2];	/* of the present one, both copies */
	bool there[2];
	void *grain;		/* a grain's bytes */
	struct err *e;
};

#define say(l, kind, leak, repaired, ...) \
	(l)->c->report((l)->c->ptr, kind, leak, repaired, __VA_ARGS__)

/* At table gt of a pass; each of the passes over the tables is a part of the whole. */
enum { PASS_PLACES, PASS_AGREED, PASS_OTHERS, PASS_COPIES, PASSES };

static int go_on(const struct look *l, unsigned pass, uint64_t gt)
{
	uint64_t n = l->s->gd_entries;

	return extent_check_go_on(l->c, pass * n + gt, PASSES * n, l->e);
}

static uint32_t entry(const struct look *l, unsigned copy, uint64_t i)
{
	return l->there[copy] ? le32_get(l->table[copy] + i * 4) : 0;
}

/* Can this entry be? */
static bool sound(const struct look *l, uint32_t gte)
{
	return !gte || (gte == 1 && (l->s->h.flags & SPARSE_ZEROED)) ||
	       sparse_in_file(l->s, gte);
}

/* Mark sectors as taken; false: some of them were. */
static bool take(struct look *l, uint64_t sector, uint64_t n, bool shared)
{
	uint64_t u = sector / l->unit, end = (sector + n + l->unit - 1) / l->unit;
	bool clear = true;

	for (; u < end && u < l->units; u++) {
		if (l->taken[u / 8] >> (u % 8) & 1)
			clear = false;
		l->taken[u / 8] |= 1u << (u % 8);
	}
	return clear || shared;
}

static bool is_taken(const struct look *l, uint64_t sector, uint64_t n)
{
	uint64_t u = sector / l->unit, end = (sector + n + l->unit - 1) / l->unit;

	for (; u < end && u < l->units; u++)
		if (l->taken[u / 8] >> (u % 8) & 1)
			return true;
	return false;
}

static uint64_t in_table(const struct look *l, uint64_t gt)
{
	uint64_t left = sparse_grains(l->s) - gt * l->s->h.gtes;

	return left < l->s->h.gtes ? left : l->s->h.gtes;
}

/* Read table gt of one copy.  -EBADMSG: its place cannot be. */
static int read_table(struct look *l, unsigned copy, uint64_t gt)
{
	struct sparse *s = l->s;
	uint64_t first = gt * s->h.gtes, n, block;
	uint8_t *p;

	l->there[copy] = false;
	if (sparse_hole(s, copy, first) == s->h.gtes) {
		memset(l->table[copy], 0, s->h.gtes * 4);
		l->there[copy] = true;
		return 0;
	}
	for (uint64_t i = 0; i < s->h.gtes; i += n) {
		int rc = sparse_entries(s, copy, first + i, false, &p, &n, &block, l->e);

		if (rc || !p)
			return rc;
		memcpy(l->table[copy] + i * 4, p, n * 4);
	}
	l->there[copy] = true;
	return 0;
}

/* Both copies of table gt; one that cannot be is as if it were not there. */
static int read_tables(struct look *l, uint64_t gt)
{
	l->there[1] = false;
	for (unsigned copy = 0; copy < l->s->copies; copy++) {
		int rc = read_table(l, copy, gt);

		if (rc && rc != -EBADMSG)
			return rc;
	}
	return 0;
}

/* Before a repair takes room: behind all of the file, as what lies in it may be what some
 * entry says, and behind what the last grain lacks. */
static void skip_file(struct look *l)
{
	uint64_t to = sparse_round_up(l->was, l->s->x.grain);

	if (l->repair && l->s->end < to)
		l->s->end = l->end = to;
}

static int put_entry(struct look *l, unsigned copy, uint64_t grain, uint32_t gte)
{
	uint64_t n, block;
	uint8_t *p;
	int rc;

	if (!l->there[copy])
		skip_file(l);
	rc = sparse_entries(l->s, copy, grain, true, &p, &n, &block, l->e);
	if (rc)
		return rc;
	le32_put(p, gte);
	meta_dirty(l->s->meta, block, SPARSE_L_TABLE);
	return 0;
}

/* A place of a table that cannot be: forget it, a new one is made from the other copy. */
static int check_directory(struct look *l, unsigned copy, uint64_t gt)
{
	uint32_t at;
	int rc = sparse_gd_get(l->s, copy, gt, &at, l->e);

	if (!rc)
		rc = read_table(l, copy, gt);
	/* A new second directory has made the file longer already. */
	if (!rc && l->repair && at && (at + (uint64_t)sparse_gt_sectors(&l->s->h) - 1) * SECTOR >= l->was)
		rc = -EBADMSG;
	if (rc != -EBADMSG)
		return rc;
	rc = 0;
	l->there[copy] = false;
	if (l->repair)
		rc = sparse_gd_put(l->s, copy, gt, 0, l->e);
	say(l, "directory", false, l->repair && !rc, "grain directory%s: entry %" PRIu64
	    " says sector %" PRIu32 ", where no table can be", copy ? " 2" : "", gt, at);
	return rc;
}

/* Repairs make the file longer: an entry that led outside would then lead to what they put
 * there.  So until pass 3 has looked at it it gets a sector that is in no file. */
static int put_outside(struct look *l, unsigned copy, uint64_t gt, uint64_t i)
{
	uint32_t gte = entry(l, copy, i);

	if (!l->repair || !sparse_is_grain(l->s, gte) || (uint64_t)gte * SECTOR < l->was)
		return 0;
	return put_entry(l, copy, gt * l->s->h.gtes + i, UINT32_MAX);
}

/* Pass 1: directories, and how grains are aligned. */
static int pass_places(struct look *l)
{
	uint64_t bits = l->s->h.grain;

	for (uint64_t gt = 0; gt < l->s->gd_entries; gt++) {
		for (unsigned copy = 0; copy < l->s->copies; copy++) {
			int rc = go_on(l, PASS_PLACES, gt);

			if (!rc)
				rc = check_directory(l, copy, gt);
			for (uint64_t i = 0; !rc && l->there[copy] && i < in_table(l, gt); i++) {
				uint32_t gte = entry(l, copy, i);

				if (sparse_is_grain(l->s, gte) && sparse_in_file(l->s, gte))
					bits |= gte;
				rc = put_outside(l, copy, gt, i);
			}
			if (rc)
				return rc;
		}
	}
	l->unit = bits & -bits;
	if (l->s->h.flags & SPARSE_COMPRESSED)
		l->unit = 1;
	l->units = (l->s->x.file->size / SECTOR + l->unit) / l->unit;
	l->taken = calloc(1, l->units / 8 + 1);
	return l->taken ? 0 : err_set(l->e, -ENOMEM, "no memory for a map of the file");
}

static int by_value(const void *pa, const void *pb)
{
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

	return a < b ? -1 : a > b;
}

/* Header, descriptor, directories, tables; tables must not lie in each other. */
static int take_metadata(struct look *l)
{
	struct sparse *s = l->s;
	uint32_t gt_sectors = sparse_gt_sectors(&s->h), *at;
	uint64_t n = 0;
	int rc = 0;

	at = malloc((s->gd_entries * s->copies + 1) * sizeof(*at));
	if (!at)
		return err_set(l->e, -ENOMEM, "no memory for a list of tables");
	take(l, 0, 1, true);
	take(l, s->h.desc, s->h.desc_size, true);
	for (unsigned copy = 0; copy < s->copies; copy++) {
		take(l, sparse_directory(s, copy), sparse_gd_sectors(&s->h), true);
		for (uint64_t gt = 0; !rc && gt < s->gd_entries; gt++) {
			rc = sparse_gd_get(s, copy, gt, &at[n], l->e);
			if (!rc && at[n] && sparse_table_fits(s, at[n]))
				take(l, at[n++], gt_sectors, true);
		}
	}
	qsort(at, n, sizeof(*at), by_value);
	for (uint64_t i = 1; i < n; i++)
		if (at[i] - at[i - 1] < gt_sectors)
			say(l, "overlap", false, false, "grain tables at sectors %" PRIu32
			    " and %" PRIu32 " lie in each other", at[i - 1], at[i]);
	free(at);
	return rc;
}

/* May this entry of the second copy be used in place of the first one's?  Not if it says a
 * place before all grains. */
static bool usable(const struct look *l, uint32_t second)
{
	uint64_t least = l->lowest < l->s->h.overhead ? l->lowest : l->s->h.overhead;

	return l->s->copies > 1 && sparse_is_grain(l->s, second) && second >= least &&
	       sparse_in_file(l->s, second) && !is_taken(l, second, l->s->h.grain);
}

/* Give a grain that shares its room with another what the second copy says, or a copy
 * of its own. */
static int unshare(struct look *l, uint64_t grain, uint32_t from, uint32_t second)
{
	struct sparse *s = l->s;
	uint64_t off, got, bytes = s->x.grain, have = s->x.file->size - (uint64_t)from * SECTOR;
	int rc;

	if (usable(l, second)) {
		take(l, second, s->h.grain, true);
		return put_entry(l, 0, grain, second);
	}
	skip_file(l);
	rc = sparse_room(s, bytes, &off, &got, l->e);
	memset(l->grain, 0, bytes);
	if (!rc)
		rc = file_read(s->x.file, l->grain, have < bytes ? have : bytes,
			       (uint64_t)from * SECTOR, l->e);
	if (!rc)
		rc = file_write(s->x.file, l->grain, bytes, off, l->e);
	for (unsigned copy = 0; !rc && copy < s->copies; copy++)
		rc = put_entry(l, copy, grain, off / SECTOR);
	return rc;
}

/* What a grain takes, in sectors: a packed one says it itself, and is uncompressed. */
static uint64_t grain_sectors(struct look *l, uint64_t grain, uint32_t gte)
{
	struct sparse *s = l->s;
	struct disk_run run = { .kind = DISK_PACKED, .len = s->x.grain, .file = s->x.file,
				.off = (uint64_t)gte * SECTOR };
	uint64_t lba, at, len;
	struct err e = { 0 };

	if (!(s->h.flags & SPARSE_COMPRESSED))
		return s->h.grain;
	if (packed_head(s, gte, &lba, &at, &len, &e) ||
	    packed_unpack(&s->x, &run, l->grain, &e)) {
		say(l, "packed", false, false, "grain %" PRIu64 ": %s", grain, e.msg);
		return 0;
	}
	if (!(s->h.flags & SPARSE_MARKERS))
		return 0;
	if (lba != grain * s->h.grain)
		say(l, "packed", false, false, "grain %" PRIu64 ": the marker at sector %" PRIu32
		    " says disk sector %" PRIu64, grain, gte, lba);
	return (at + len + SECTOR - 1) / SECTOR - gte;
}

/* One entry of the first copy: what does it take? */
static int look_at_grain(struct look *l, uint64_t grain, uint32_t first, uint32_t second)
{
	uint64_t n = grain_sectors(l, grain, first);
	int rc = 0;

	if (!n || take(l, first, n, false)) {
		if (first < l->lowest)
			l->lowest = first;
		return 0;
	}
	if (l->repair)
		rc = unshare(l, grain, first, second);
	say(l, "overlap", false, l->repair && !rc, "grain %" PRIu64 " at sector %" PRIu32
	    " shares its room with another or with tables", grain, first);
	return rc;
}

/* Pass 2: what the grains of the first copy take; first those on which both agree. */
static int pass_grains(struct look *l)
{
	unsigned rounds = l->s->copies;

	for (uint64_t gt = 0; gt < l->s->gd_entries * rounds; gt++) {
		uint64_t table = gt % l->s->gd_entries;
		bool agree = gt < l->s->gd_entries;
		int rc = go_on(l, agree ? PASS_AGREED : PASS_OTHERS, table);

		if (!rc)
			rc = read_tables(l, table);

		for (uint64_t i = 0; !rc && l->there[0] && i < in_table(l, table); i++) {
			uint32_t first = entry(l, 0, i), second = entry(l, 1, i);

			if (sparse_is_grain(l->s, first) && sparse_in_file(l->s, first) &&
			    (l->s->copies < 2 || (first == second) == agree))
				rc = look_at_grain(l, table * l->s->h.gtes + i, first, second);
		}
		if (rc)
			return rc;
	}
	return 0;
}

/* Both entries of a grain, and what they should be. */
static uint32_t decide(struct look *l, uint32_t first, uint32_t second)
{
	struct sparse *s = l->s;
	bool better = usable(l, second);

	if (!sound(l, first))
		return better || (s->copies > 1 && second <= 1 && sound(l, second)) ? second : 0;
	return !first && better && (!l->unclean || !l->there[0]) ? second : first;
}

/* More tables than have room in the file lie in each other; to look at all of them might
 * take for ever. */
static int check_count(struct look *l)
{
	uint64_t room = l->s->x.file->size / SECTOR / sparse_gt_sectors(&l->s->h);
	uint64_t n;
	int rc = sparse_count_tables(l->s, &n, l->e);

	if (rc || n <= room)
		return rc;
	say(l, "overlap", false, false, "the grain directory has %" PRIu64 " tables, the file has "
	    "room for %" PRIu64 " at most", n, room);
	return err_set(l->e, -EBADMSG, "the grain directory has %" PRIu64 " tables, the file has "
		       "room for %" PRIu64 " at most", n, room);
}

/* Pass 3, one table: entries that cannot be, and copies that differ. */
static int compare_table(struct look *l, uint64_t gt)
{
	struct sparse *s = l->s;
	bool packed = s->h.flags & SPARSE_COMPRESSED;
	uint64_t bad = 0, lost = 0, differ = 0, bad_at = 0;
	int rc = 0;

	if (!l->there[0] && !l->there[1])
		return 0;
	for (uint64_t i = 0; !rc && i < in_table(l, gt); i++) {
		uint32_t first = entry(l, 0, i), second = entry(l, 1, i);
		uint32_t right = decide(l, first, second);

		if (!sound(l, first) && !bad++)
			bad_at = gt * s->h.gtes + i;
		else if (s->copies > 1 && sound(l, first) && first != second)
			differ++;
		if (right != first && right && !packed)
			take(l, right, s->h.grain, true);
		lost += !sound(l, first) && !right;
		for (unsigned copy = 0; !rc && l->repair && copy < s->copies; copy++)
			if (entry(l, copy, i) != right)
				rc = put_entry(l, copy, gt * s->h.gtes + i, right);
	}
	if (bad)
		say(l, "outside", false, l->repair && !rc, "grain table %" PRIu64 ": %" PRIu64
		    " entries say sectors outside the file, the first is grain %" PRIu64 "; %"
		    PRIu64 " of these grains are lost", gt, bad, bad_at, lost);
	if (differ)
		say(l, "mismatch", l->unclean, l->repair && !rc, "grain table %" PRIu64 ": %"
		    PRIu64 " entries differ between its copies", gt, differ);
	return rc;
}

static int make_table(struct look *l, uint64_t gt)
{
	uint64_t n, block;
	uint8_t *p;

	skip_file(l);
	return sparse_entries(l->s, 1, gt * l->s->h.gtes, true, &p, &n, &block, l->e);
}

static int pass_copies(struct look *l)
{
	int rc = 0;

	for (uint64_t gt = 0; !rc && gt < l->s->gd_entries; gt++) {
		rc = go_on(l, PASS_COPIES, gt);
		if (!rc)
			rc = read_tables(l, gt);
		/* An empty table, too, has its copy. */
		if (!rc && l->repair && l->s->copies > 1 && l->there[0] && !l->there[1])
			rc = make_table(l, gt);
		if (!rc)
			rc = compare_table(l, gt);
	}
	return rc;
}

/* Room of the file that holds data and belongs to nothing. */
static int find_leaks(struct look *l)
{
	struct disk_file *f = l->s->x.file;
	uint64_t at = l->s->h.overhead * SECTOR, start, end, lost = 0;
	uint64_t unit = l->unit * SECTOR;
	uint64_t limit = l->end < l->units * unit ? l->end : l->units * unit;
	int rc = 0;

	if (f->device || (l->s->h.flags & SPARSE_COMPRESSED))
		return 0;
	while (!rc && at < limit) {
		rc = file_data(f, at, &start, &end, l->e);
		if (rc || start == end)
			break;
		for (at = start / unit * unit; !rc && at < end && at < limit; at += unit) {
			uint64_t n = at + unit > f->size ? f->size - at : unit;

			if (at < l->s->h.overhead * SECTOR || is_taken(l, at / SECTOR, 1))
				continue;
			lost += n;
			if (l->repair)
				rc = file_punch(f, at, n, l->e);
		}
		if (at < end)
			at = end;
	}
	if (lost)
		say(l, "leak", true, l->repair && !rc, "%" PRIu64
		    " bytes of the file belong to no grain", lost);
	return rc;
}

struct nameless {
	struct look *l;
	uint64_t lost, left, grain, sector;
};

/* A grain that a marker says there is: a table should name it. */
static int look_at_marker(void *ptr, uint64_t lba, uint64_t sector)
{
	struct nameless *k = ptr;
	struct sparse *s = k->l->s;
	uint64_t n, block, grain = lba / s->h.grain;
	uint8_t *p;
	int rc;

	rc = go_on(k->l, PASSES, 0);
	if (rc || is_taken(k->l, sector, 1))
		return rc;
	rc = sparse_entries(s, 0, grain, false, &p, &n, &block, k->l->e);
	if (rc && rc != -EBADMSG)
		return rc;
	if (!rc && p && le32_get(p)) {
		k->left++;	/* it was written once more */
	} else if (!k->lost++) {
		k->grain = grain;
		k->sector = sector;
	}
	return 0;
}

/* Tables that lost what they named, or are others: what is packed says which grains it is. */
static int find_nameless(struct look *l)
{
	const uint32_t both = SPARSE_COMPRESSED | SPARSE_MARKERS;
	struct nameless k = { .l = l };
	int rc;

	if ((l->s->h.flags & both) != both)
		return 0;
	rc = packed_walk(l->s, look_at_marker, &k, l->e);
	if (k.lost)
		say(l, "nameless", false, false, "%" PRIu64 " grains of the file are in no grain table, the "
		    "first is grain %" PRIu64 " at sector %" PRIu64, k.lost, k.grain, k.sector);
	if (k.left)
		say(l, "leak", true, false, "%" PRIu64 " grains of the file were written once more", k.left);
	return rc;
}

/* A second copy where there should be one: empty for now, pass 3 fills it. */
static int make_second(struct look *l)
{
	struct sparse *s = l->s;
	uint64_t at, sectors = sparse_gd_sectors(&s->h);
	int rc;

	skip_file(l);
	rc = sparse_room_at_end(s, sectors, &at, l->e);
	for (uint64_t i = 0; !rc && i < sectors; i++) {
		if (!meta_get(s->meta, (at + i) * SECTOR, true, l->e))
			rc = -ENOMEM;
		else
			meta_dirty(s->meta, (at + i) * SECTOR, SPARSE_L_DIRECTORY);
	}
	if (rc)
		return rc;
	s->h.rgd = at;
	s->copies = 2;
	s->rgd_bad = false;
	return 0;
}

/* Some writers leave out zeros at the end, but nobody writes a part of a sector. */
static int mend_end(struct look *l)
{
	struct disk_file *f = l->s->x.file;

	if (f->size % SECTOR == 0 || (l->s->h.flags & SPARSE_COMPRESSED))
		return 0;
	l->cut = f->size;
	return l->repair ? file_resize(f, sparse_round_up(l->cut, SECTOR), l->e) : 0;
}

/* A crash may leave a part of what nothing refers to yet. */
static void tell_end(struct look *l)
{
	if (l->cut && is_taken(l, l->cut / SECTOR, 1))
		say(l, "end", false, l->repair, "the file ends at byte %" PRIu64 ", inside a "
		    "sector: it was cut off, what lay behind is lost", l->cut);
}

static int check_header(struct look *l)
{
	struct sparse *s = l->s;
	bool missing = s->rgd_bad;
	int rc = 0;

	if (l->unclean)
		say(l, "unclean", true, l->repair, "the file was not closed by who wrote to it last");
	if (missing && l->repair)
		rc = make_second(l);
	if (s->gd_bad)
		say(l, "header", false, l->repair && !rc, "gdOffset is sector %" PRIu64
		    ": no directory fits there, the second one is used", s->gd_bad);
	else if (missing)
		say(l, "header", false, l->repair && !rc, "rgdOffset: there is no second grain "
		    "directory, but the flags say so");
	if (l->repair && !rc)
		s->gd_bad = 0;
	if (s->h.desc_size && s->h.desc + s->h.desc_size > s->x.file->size / SECTOR)
		say(l, "header", false, false, "descriptorOffset and descriptorSize (%" PRIu64
		    ", %" PRIu64 ") lead outside the file", s->h.desc, s->h.desc_size);
	return rc;
}

static int check_overhead(struct look *l)
{
	struct sparse *s = l->s;

	if (l->lowest >= s->h.overhead)
		return 0;
	say(l, "header", false, l->repair, "overHead is %" PRIu64 " sectors, but there is a grain "
	    "at sector %" PRIu64, s->h.overhead, l->lowest);
	if (l->repair)
		s->h.overhead = l->lowest;
	return 0;
}

int sparse_check(struct extent *x, const struct extent_check *c, struct err *e)
{
	struct sparse *s = sparse_of(x);
	struct err own;		/* read_table() must see codes even if e is NULL */
	struct look l = { .s = s, .c = c, .repair = c->repair && x->writable,
			  .unclean = s->h.unclean && !s->marked,
			  .lowest = UINT64_MAX, .end = s->end, .was = x->file->size, .e = e ? e : &own };
	int rc = 0;

	s->free.n = 0;		/* room for repairs is at the end only */

	l.table[0] = malloc(2 * ((size_t)s->h.gtes * 4 + SECTOR));
	l.table[1] = l.table[0] ? l.table[0] + s->h.gtes * 4 + SECTOR : NULL;
	l.grain = malloc(x->grain);
	if (!l.table[0] || !l.grain)
		rc = err_set(e, -ENOMEM, "no memory to check an extent");
	if (!rc)
		rc = check_count(&l);
	if (!rc && l.repair)
		rc = sparse_mark(s, e);
	if (!rc)
		rc = mend_end(&l);
	if (!rc)
		rc = check_header(&l);
	if (!rc)
		rc = pass_places(&l);
	if (!rc)
		rc = take_metadata(&l);
	if (!rc)
		rc = pass_grains(&l);
	if (!rc)
		rc = pass_copies(&l);
	if (!rc)
		tell_end(&l);
	if (!rc)
		rc = check_overhead(&l);
	if (!rc && l.repair)
		rc = x->ops->flush(x, e);
	/* Tables are durable; now the header may point to a new directory. */
	if (!rc && l.repair)
		rc = sparse_put_header(s, e);
	if (!rc)
		rc = find_leaks(&l);
	if (!rc)
		rc = find_nameless(&l);
	if (!rc && l.repair)
		rc = file_sync(x->file, e);
	free(l.table[0]);
	free(l.grain);
	free(l.taken);
	return rc;
}
