/*
 * Lists of snapshots (vmx/vmsd.h) that are right but for a few lines, then changed at
 * random: what was accepted is a tree, and stays one.
 */
#include <string.h>

#include "fuzz.h"
#include "vmx/disks.h"
#include "vmx/vmsd.h"

static size_t make(struct fuzz *f, char *buf, size_t room)
{
	unsigned snaps = fuzz_below(f, 8), odd = fuzz_below(f, 4) ? 1000000 : 8;
	size_t n = 0;

#define LINE(...) (n += (size_t)snprintf(buf + n, room - n, __VA_ARGS__))
#define ODD(value) (fuzz_below(f, odd) ? (unsigned long long)(value) : \
		    fuzz_below(f, 2) ? fuzz_below(f, 9) : fuzz_next(f) >> fuzz_below(f, 64))
	LINE("snapshot.numSnapshots = \"%llu\"\n", ODD(snaps));
	LINE("snapshot.current = \"%llu\"\n", ODD(snaps ? fuzz_below(f, snaps) + 1 : 0));
	if (fuzz_below(f, 2))
		LINE("snapshot.lastUID = \"%llu\"\n", ODD(snaps));
	for (unsigned i = 0; i < snaps; i++) {
		LINE("snapshot%u.uid = \"%llu\"\n", i, ODD(i + 1));
		if (i)
			LINE("snapshot%u.parent = \"%llu\"\n", i, ODD(fuzz_below(f, i) + 1));
		LINE("snapshot%u.displayName = \"%c\"\n", i, 'a' + fuzz_below(f, 3));
		LINE("snapshot%u.createTimeLow = \"%lld\"\n", i, (long long)ODD(i));
		LINE("snapshot%u.numDisks = \"%llu\"\n", i, ODD(1));
		LINE("snapshot%u.disk0.fileName = \"%u.vmdk\"\n", i, i);
		if (fuzz_below(f, 2))
			LINE("snapshot.mru%u.uid = \"%llu\"\n", i, ODD(fuzz_below(f, 9)));
	}
	for (unsigned i = fuzz_below(f, 3); i && n && odd == 8; i--)
		buf[fuzz_below(f, (unsigned)n)] = (char)fuzz_next(f);
	return n;
}

static void look(const struct vmsd *v)
{
	fuzz_check(!v->current || vmsd_by_uid(v, v->current), "current %u", v->current);
	for (unsigned i = 0; i < v->n; i++) {
		const struct vmsd_snap *s = &v->snap[i], *found;
		char *path = vmsd_path(v, s);

		fuzz_check(vmsd_by_uid(v, s->uid) == s, "uid %u", s->uid);
		fuzz_check(vmsd_descends(v, s, s->parent) == (s->parent != 0), "parent");
		if (!vmsd_find(v, path, &found, NULL) && !strchr(s->name, '/'))
			fuzz_check(found == s || !strcmp(found->name, s->name), "%s", path);
		free(path);
	}
}

static void change(struct fuzz *f, struct vmsd *v)
{
	struct vmsd_disk disk = { .file = "x.vmdk", .node = "ide0:0" };
	struct vmsd_snap s = { .name = "new", .disk = &disk, .ndisks = 1 };
	uint32_t uid = v->n ? v->snap[fuzz_below(f, v->n)].uid : 1, added;
	unsigned n = v->n;

	switch (fuzz_below(f, 4)) {
	case 0:
		s.time_us = fuzz_next(f);
		if (!vmsd_add(v, &s, &added, NULL))
			fuzz_check(v->n == n + 1 && v->current == added &&
				   vmsd_by_uid(v, added)->time_us == s.time_us, "added");
		break;
	case 1:
		if (!vmsd_remove(v, uid, NULL))
			fuzz_check(v->n == n - 1 && !vmsd_by_uid(v, uid), "removed");
		break;
	case 2:
		if (!vmsd_set_current(v, uid, NULL))
			fuzz_check(v->current == uid, "current");
		break;
	default:
		vmsd_set_disk(v, uid, fuzz_below(f, 2), "y.vmdk", NULL);
	}
}

int main(int argc, char **argv)
{
	struct fuzz f;
	uint64_t parsed = 0;

	fuzz_start(&f, argc, argv);
	while (fuzz_more(&f)) {
		char buf[16384];
		size_t n = make(&f, buf, sizeof(buf));
		struct vmx_disk *disks;
		struct vmsd *v;
		struct dict *d;

		if (dict_parse(&d, "f", buf, n, NULL))
			continue;
		if (!vmx_disks(&disks, &n, d, NULL))
			vmx_disks_free(disks, n);
		if (vmsd_parse(&v, d, NULL)) {
			dict_free(d);
			continue;
		}
		parsed++;
		look(v);
		for (unsigned i = fuzz_below(&f, 6); i; i--) {
			change(&f, v);
			look(v);
		}
		vmsd_free(v);
	}
	printf("%llu parsed\n", (unsigned long long)parsed);
	return fuzz_done(&f);
}
