#ifndef SNAPSHOT_RIG_H
#define SNAPSHOT_RIG_H
/*
 * A machine of three disks (one takes no part in snapshots) in a folder of its own, and
 * what each of its states should read as.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "check.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "vmx/snapshot.h"

#define DISKS	2
#define STATES	64
#define ROOM	(128u << 20)	/* bytes that a test may take */

struct state {
	uint32_t uid;
	uint8_t *data[DISKS];
};

struct rig {
	char dir[64], vmx[80];
	uint64_t size[DISKS];
	struct state now, state[STATES];
	unsigned n;
	uint64_t rng;
};

static inline uint64_t rig_next(struct rig *r)
{
	uint64_t z = r->rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline unsigned rig_below(struct rig *r, unsigned n) { return (unsigned)(rig_next(r) % n); }

static inline char *rig_path(const struct rig *r, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", r->dir, name) < 0 ? NULL : path;
}

static inline void rig_put(const struct rig *r, const char *name, const char *text)
{
	char *path = rig_path(r, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	check(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
	close(fd);
	free(path);
}

static inline void rig_create(const struct rig *r, const char *name, uint64_t size,
			      enum disk_format format)
{
	struct disk_create c = { .size = size, .format = format };
	char *path = rig_path(r, name);
	struct err e = { 0 };
	int rc = disk_create(path, &c, &e);

	check(!rc, "%s: %s", path, e.msg);
	free(path);
}

static inline void rig_new(struct rig *r, enum disk_format a, enum disk_format b, uint64_t seed)
{
	struct statvfs fs;

	memset(r, 0, sizeof(*r));
	r->rng = seed;
	/* Where memory is the disk, being durable costs nothing. */
	snprintf(r->dir, sizeof(r->dir), "%s/ring1-snapshot.XXXXXX",
		 !statvfs("/dev/shm", &fs) && fs.f_bavail * fs.f_bsize > ROOM ? "/dev/shm" : "/tmp");
	check(mkdtemp(r->dir) != NULL, "mkdtemp");
	snprintf(r->vmx, sizeof(r->vmx), "%s/my vm.vmx", r->dir);
	r->size[0] = 1u << 20;
	r->size[1] = (512u << 10) + 512 * 7;
	rig_create(r, "my vm.vmdk", r->size[0], a);
	rig_create(r, "b.vmdk", r->size[1], b);
	rig_create(r, "c.vmdk", 1u << 20, DISK_SPARSE);
	rig_put(r, "my vm.vmx",
		"#!/usr/bin/vmware\n.encoding = \"UTF-8\"\n"
		"ide0:0.present = \"TRUE\"\nide0:0.fileName = \"my vm.vmdk\" # first\n"
		"scsi0.present = \"TRUE\"\nscsi0:1.present = \"TRUE\"\nscsi0:1.fileName = \"b.vmdk\"\n"
		"scsi0:2.present = \"TRUE\"\nscsi0:2.fileName = \"c.vmdk\"\n"
		"scsi0:2.mode = \"independent-persistent\"\nfoo = \"bar\"\n");
	for (int d = 0; d < DISKS; d++)
		r->now.data[d] = calloc(1, r->size[d]);
}

static inline void state_copy(const struct rig *r, struct state *to, const struct state *from)
{
	for (int d = 0; d < DISKS; d++) {
		if (!to->data[d])
			to->data[d] = malloc(r->size[d]);
		memcpy(to->data[d], from->data[d], r->size[d]);
	}
}

static inline void state_free(struct state *s)
{
	for (int d = 0; d < DISKS; d++)
		free(s->data[d]);
	memset(s, 0, sizeof(*s));
}

static inline void rig_free(struct rig *r)
{
	char cmd[96];

	state_free(&r->now);
	for (unsigned i = 0; i < r->n; i++)
		state_free(&r->state[i]);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", r->dir);
	check(system(cmd) == 0, "%s", cmd);
}

static inline struct machine *rig_open(const struct rig *r, const struct machine_opts *o)
{
	struct machine *m = NULL;
	struct err e = { 0 };
	int rc = machine_open(&m, r->vmx, o, &e);

	check(!rc, "%s", e.msg);
	return rc ? NULL : m;
}

/* Write something to a disk of the present state. */
static inline void rig_write(struct rig *r, int d)
{
	struct machine *m = rig_open(r, &(struct machine_opts){ .write = false });
	unsigned sectors = (unsigned)(r->size[d] / 512);
	struct err e = { 0 };
	struct disk *disk;
	int rc;

	if (!m)
		return;
	rc = disk_open(&disk, m->disk[d].path, &(struct disk_opts){ .write = true }, &e);
	check(!rc, "%s: %s", m->disk[d].path, e.msg);
	for (unsigned k = 1 + rig_below(r, 4); !rc && k; k--) {
		unsigned at = rig_below(r, sectors);
		unsigned n = 1 + rig_below(r, rig_below(r, 3) ? 20 : 700);
		uint8_t *data = r->now.data[d] + at * 512;

		if (n > sectors - at)
			n = sectors - at;
		if (rig_below(r, 4)) {
			for (unsigned i = 0; i < n * 512; i += 8) {
				uint64_t x = rig_next(r);

				memcpy(data + i, &x, 8);
			}
			rc = disk_write(disk, data, n * 512, at * 512, &e);
		} else {
			memset(data, 0, n * 512);
			rc = disk_zero(disk, at * 512, n * 512, rig_below(r, 2), &e);
		}
		check(!rc, "%s", e.msg);
	}
	if (!rc || disk)
		rc = disk_close(disk, &e);
	check(!rc, "%s", e.msg);
	machine_close(m);
}

/* a - b, c beside b; the present state comes from c. */
static inline void rig_make_tree(struct rig *r)
{
	static const char *const name[] = { "a", "b", "c" };
	const struct machine_opts writing = { .write = true };

	for (int i = 0; i < 3; i++) {
		struct machine *m;
		struct err e = { 0 };

		for (int d = 0; d < DISKS; d++)
			rig_write(r, d);
		m = rig_open(r, &writing);
		if (i == 2) {
			check(!snapshots_revert(m, "a", &e), "%s", e.msg);
			state_copy(r, &r->now, &r->state[0]);
		}
		check(!snapshots_create(m, name[i], "", 5, &r->state[r->n].uid, &e), "%s", e.msg);
		state_copy(r, &r->state[r->n++], &r->now);
		machine_close(m);
	}
	rig_write(r, 0);
	rig_write(r, 1);
}

/* Does the disk that file names read as data? */
static inline bool rig_reads(const struct machine *m, const char *file, const uint8_t *data,
			     uint64_t size, const char *what)
{
	uint8_t *buf = malloc(size);
	char *path = NULL;
	struct err e = { 0 };
	struct disk *disk;
	bool same = false;
	int rc = machine_path(m, file, &path, &e);

	if (!rc)
		rc = disk_open(&disk, path, &(struct disk_opts){ .no_lock = true }, &e);
	check(!rc, "%s: %s: %s", what, file, e.msg);
	if (!rc) {
		check(disk_size(disk) == size, "%s: %s: %" PRIu64 " bytes", what, file, disk_size(disk));
		rc = disk_read(disk, buf, size, 0, &e);
		same = !rc && !memcmp(buf, data, size);
		check(same, "%s: %s: wrong contents %s", what, file, rc ? e.msg : "");
		disk_close(disk, &e);
	}
	free(path);
	free(buf);
	return same;
}

/* All states read as they should; the list has them and no others. */
static inline bool rig_verify(const struct rig *r, const char *what)
{
	struct machine *m = rig_open(r, &(struct machine_opts){ .write = false });
	unsigned failed = check_failed;

	if (!m)
		return false;
	check(m->vmsd->n == r->n, "%s: %u snapshots, not %u", what, m->vmsd->n, r->n);
	for (int d = 0; d < DISKS; d++)
		rig_reads(m, m->disk[d].file, r->now.data[d], r->size[d], what);
	for (unsigned i = 0; i < r->n; i++) {
		const struct vmsd_snap *s = vmsd_by_uid(m->vmsd, r->state[i].uid);

		check(s && s->ndisks == DISKS, "%s: no snapshot %u", what, r->state[i].uid);
		for (int d = 0; s && d < DISKS; d++)
			rig_reads(m, s->disk[d].file, r->state[i].data[d], r->size[d], s->name);
	}
	machine_close(m);
	return failed == check_failed;
}

static inline int rig_find(const struct rig *r, uint32_t uid)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->state[i].uid == uid)
			return (int)i;
	return -1;
}

static inline void rig_forget(struct rig *r, uint32_t uid)
{
	int i = rig_find(r, uid);

	check(i >= 0, "%u", uid);
	if (i < 0)
		return;
	state_free(&r->state[i]);
	r->state[i] = r->state[--r->n];
	memset(&r->state[r->n], 0, sizeof(r->state[0]));
}
#endif
