/* Lists of snapshots and disks of machines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "vmx/disks.h"
#include "vmx/vmsd.h"

static int parse(struct vmsd **v, const char *text, struct err *e)
{
	struct dict *d = NULL;
	int rc = dict_parse(&d, "a.vmsd", text, strlen(text), e);

	if (!rc && (rc = vmsd_parse(v, d, e)))
		dict_free(d);
	return rc;
}

static void is(const struct vmsd *v, const char *want)
{
	size_t n;
	char *text = dict_text(v->dict, &n);

	check(text && !strcmp(text, want), "got <%s>\nwant <%s>", text, want);
	free(text);
}

/* As a product wrote it: two snapshots in a row, one beside the second. */
static const char sample[] =
	".encoding = \"UTF-8\"\n"
	"snapshot.lastUID = \"7\"\n"
	"snapshot.current = \"5\"\n"
	"snapshot0.uid = \"2\"\n"
	"snapshot0.filename = \"vm-Snapshot2.vmsn\"\n"
	"snapshot0.displayName = \"clean install\"\n"
	"snapshot0.description = \"before|0Aupdates\"\n"
	"snapshot0.createTimeHigh = \"400000\"\n"
	"snapshot0.createTimeLow = \"-5\"\n"
	"snapshot0.numDisks = \"1\"\n"
	"snapshot0.disk0.fileName = \"vm.vmdk\"\n"
	"snapshot0.disk0.node = \"scsi0:0\"\n"
	"snapshot1.uid = \"5\"\n"
	"snapshot1.parent = \"2\"\n"
	"snapshot1.displayName = \"b\"\n"
	"snapshot1.ours = \"kept\"\n"
	"snapshot1.numDisks = \"1\"\n"
	"snapshot1.disk0.fileName = \"vm-000001.vmdk\"\n"
	"snapshot1.disk0.node = \"scsi0:0\"\n"
	"snapshot2.uid = \"7\"\n"
	"snapshot2.parent = \"2\"\n"
	"snapshot2.displayName = \"c\"\n"
	"snapshot.numSnapshots = \"3\"\n"
	"snapshot.mru0.uid = \"5\"\n"
	"snapshot.mru1.uid = \"2\"\n"
	"snapshot.mru2.uid = \"7\"\n";

static void test_read(void)
{
	const struct vmsd_snap *s = NULL;
	struct vmsd *v = NULL;
	struct err e = { 0 };
	int rc = parse(&v, sample, &e);
	char *path;

	check(!rc, "%s", e.msg);
	check(v->n == 3 && v->current == 5 && v->last_uid == 7, "numbers");
	s = vmsd_by_uid(v, 2);
	check(s && !strcmp(s->name, "clean install") && !strcmp(s->description, "before\nupdates") &&
	      s->time_us == (400000ull << 32 | 0xfffffffb) && s->ndisks == 1 &&
	      !strcmp(s->disk[0].file, "vm.vmdk") && !strcmp(s->disk[0].node, "scsi0:0"), "first");
	check(!vmsd_find(v, "b", &s, &e) && s->uid == 5, "by name");
	check(!vmsd_find(v, "clean install/b", &s, &e) && s->uid == 5, "by path");
	check(!vmsd_find(v, "#7", &s, &e) && s->uid == 7, "by uid");
	path = vmsd_path(v, s);
	check(!strcmp(path, "clean install/c"), "%s", path);
	free(path);
	check(vmsd_find(v, "install/b", &s, &e) == -ENOENT && vmsd_find(v, "/b", &s, &e) == -ENOENT &&
	      vmsd_find(v, "", &s, &e) == -ENOENT && vmsd_find(v, "#8", &s, &e) == -ENOENT, "none");
	check(vmsd_descends(v, vmsd_by_uid(v, 7), 2) && vmsd_descends(v, vmsd_by_uid(v, 7), 7) &&
	      !vmsd_descends(v, vmsd_by_uid(v, 2), 7), "descends");
	vmsd_free(v);
	vmsd_free(NULL);
}

static void test_change(void)
{
	const struct vmsd_snap *s = NULL;
	struct vmsd_disk disk = { .file = "vm-000003.vmdk", .node = "scsi0:0" };
	struct vmsd_snap add = {
		.name = "d \xc3\xa4", .time_us = 1ull << 33 | 0x80000000, .disk = &disk,
		.ndisks = 1,
	};
	struct vmsd *v = NULL;
	struct err e = { 0 };
	uint32_t uid;
	int rc = parse(&v, sample, &e);

	check(!rc, "%s", e.msg);
	rc = vmsd_remove(v, 2, &e);
	check(!rc, "%s", e.msg);
	is(v, ".encoding = \"UTF-8\"\nsnapshot.lastUID = \"7\"\nsnapshot.current = \"5\"\n"
	   "snapshot0.uid = \"5\"\nsnapshot0.displayName = \"b\"\nsnapshot0.ours = \"kept\"\n"
	   "snapshot0.numDisks = \"1\"\nsnapshot0.disk0.fileName = \"vm-000001.vmdk\"\n"
	   "snapshot0.disk0.node = \"scsi0:0\"\nsnapshot1.uid = \"7\"\n"
	   "snapshot1.displayName = \"c\"\nsnapshot.numSnapshots = \"2\"\n"
	   "snapshot.mru0.uid = \"5\"\nsnapshot.mru1.uid = \"7\"\n");
	check(!vmsd_set_disk(v, 5, 0, "vm.vmdk", &e) &&
	      !strcmp(vmsd_by_uid(v, 5)->disk[0].file, "vm.vmdk"), "%s", e.msg);
	check(vmsd_set_disk(v, 5, 1, "x", &e) == -EINVAL && vmsd_set_disk(v, 2, 0, "x", &e) == -ENOENT,
	      "no such disk");
	check(vmsd_set_current(v, 9, &e) == -ENOENT && !vmsd_set_current(v, 7, &e), "current");
	check(!vmsd_remove(v, 7, &e) && v->current == 0, "current follows");
	rc = vmsd_add(v, &add, &uid, &e);
	check(!rc && uid == 8 && v->current == 8, "%s", e.msg);
	s = vmsd_by_uid(v, 8);
	check(s && s->parent == 0 && s->time_us == add.time_us && s->ndisks == 1, "added");
	check(!vmsd_set_current(v, 0, &e), "%s", e.msg);
	check(vmsd_add(v, &add, &uid, &e) == -EEXIST, "twice here");
	check(!vmsd_set_current(v, 8, &e) && !vmsd_add(v, &add, &uid, &e) && uid == 9, "%s", e.msg);
	check(vmsd_find(v, "d \xc3\xa4/d \xc3\xa4", &s, &e) == 0 && s->uid == 9, "by path");
	/* The root's path is its name: that one is meant. */
	check(vmsd_find(v, "d \xc3\xa4", &s, &e) == 0 && s->uid == 8, "%s", e.msg);
	add.name = "";
	check(vmsd_add(v, &add, &uid, &e) == -EINVAL, "empty");
	add.name = "a/b";
	check(vmsd_add(v, &add, &uid, &e) == -EINVAL, "slash");
	add.name = "a\nb";
	check(vmsd_add(v, &add, &uid, &e) == -EINVAL, "newline");
	vmsd_free(v);

	check(!vmsd_load(&v, "/nowhere/x.vmsd", &e) && v->n == 0, "%s", e.msg);
	vmsd_free(v);
	check(!parse(&v, "snapshot.lastUID = 4294967295\n", &e), "%s", e.msg);
	add.name = "x";
	check(vmsd_add(v, &add, &uid, &e) == -EOVERFLOW, "uids are used up");
	vmsd_free(v);
	rc = parse(&v, "snapshot.numSnapshots=4\nsnapshot0.uid=1\nsnapshot0.displayName=r\n"
		   "snapshot1.uid=2\nsnapshot1.displayName=x\nsnapshot1.parent=1\n"
		   "snapshot2.uid=3\nsnapshot2.displayName=x\nsnapshot2.parent=2\n"
		   "snapshot3.uid=4\nsnapshot3.displayName=x\nsnapshot3.parent=1\n", &e);
	check(!rc && vmsd_find(v, "x", &s, &e) == -EINVAL && strstr(e.msg, "3 snapshots are called"),
	      "%s", e.msg);
	check(vmsd_find(v, "r/x", &s, &e) == -EINVAL && !vmsd_find(v, "r/x/x", &s, &e) &&
	      s->uid == 3, "%s", e.msg);
	vmsd_free(v);
}

static void test_hostile(void)
{
	static const struct { const char *text, *msg; } bad[] = {
		{ "snapshot.numSnapshots=4097\n", "a.vmsd:1: snapshot.numSnapshots = \"4097\": not a "
		  "number from 0 to 4096" },
		{ "snapshot.numSnapshots=1\n", "a.vmsd:1: there is no snapshot0.uid" },
		{ "snapshot.numSnapshots=1\nsnapshot0.uid=0\n",
		  "a.vmsd:2: snapshot0.uid = \"0\": no snapshot has that" },
		{ "snapshot.numSnapshots=2\nsnapshot0.uid=3\nsnapshot1.uid=3\n",
		  "snapshot1.uid = \"3\": another has it, too" },
		{ "snapshot.numSnapshots=1\nsnapshot0.uid=3\nsnapshot0.parent=3\n",
		  "a.vmsd:3: snapshot0.parent: it comes from itself" },
		{ "snapshot.numSnapshots=2\nsnapshot0.uid=3\nsnapshot0.parent=4\nsnapshot1.uid=4\n"
		  "snapshot1.parent=3\n", "snapshot0.parent: it comes from itself" },
		{ "snapshot.numSnapshots=1\nsnapshot0.uid=3\nsnapshot0.parent=9\n",
		  "a.vmsd:3: snapshot0.parent = \"9\": no snapshot has that uid" },
		{ "snapshot.current=1\n", "snapshot.current = \"1\": no snapshot has that uid" },
		{ "snapshot.numSnapshots=1\nsnapshot0.uid=1\nsnapshot0.numDisks=257\n",
		  "snapshot0.numDisks = \"257\": not a number from 0 to 256" },
		{ "snapshot.numSnapshots=1\nsnapshot0.uid=1\nsnapshot0.numDisks=1\n",
		  "a.vmsd:3: there is no snapshot0.disk0.fileName" },
		{ "snapshot.numSnapshots=1\nsnapshot0.uid=1\nsnapshot0.createTimeLow=4294967296\n",
		  "not half of a time" },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vmsd *v;
		struct err e = { 0 };
		int rc = parse(&v, bad[i].text, &e);

		check(rc == -EBADMSG && strstr(e.msg, bad[i].msg), "%u: %d %s", i, rc, e.msg);
	}
}

static void test_disks(void)
{
	static const char text[] =
		"scsi0.present = \"TRUE\"\nscsi0:10.present = \"TRUE\"\nscsi0:10.fileName = \"k.vmdk\"\n"
		"scsi0:2.present = \"TRUE\"\nSCSI0:2.filename = \"c.vmdk\"\n"
		"scsi0:2.mode = \"Independent-persistent\"\n"
		"scsi1:0.present = \"TRUE\"\nscsi1:0.fileName = \"no adapter.vmdk\"\n"
		"ide0:0.present = \"TRUE\"\nide0:0.fileName = \"a.vmdk\"\nide0:0.deviceType = \"disk\"\n"
		"ide1:0.present = \"TRUE\"\nide1:0.fileName = \"a.iso\"\n"
		"ide1:0.deviceType = \"cdrom-image\"\n"
		"ide0:1.present = \"FALSE\"\nide0:1.fileName = \"b.vmdk\"\n"
		"ide2:0.present = \"TRUE\"\nide2:0.fileName = \"far.vmdk\"\n"
		"sata0.present = \"TRUE\"\nsata0:1.present = \"TRUE\"\nsata0:1.fileName = \"\"\n"
		"scsi0:.present = \"TRUE\"\nscsi0:.fileName = \"x\"\n"
		"scsi0:-1.present = \"TRUE\"\nscsi0:-1.fileName = \"x\"\n";
	struct vmx_disk *d = NULL;
	struct dict *vmx = NULL;
	struct err e = { 0 };
	size_t n = 0;

	check(!dict_parse(&vmx, "a.vmx", text, strlen(text), &e), "%s", e.msg);
	check(!vmx_disks(&d, &n, vmx, &e) && n == 3, "%zu disks %s", n, e.msg);
	check(!strcmp(d[0].node, "ide0:0") && !strcmp(d[0].file, "a.vmdk") && !d[0].independent, "0");
	check(!strcmp(d[1].node, "scsi0:2") && !strcmp(d[1].file, "c.vmdk") && d[1].independent, "1");
	check(!strcmp(d[2].node, "scsi0:10") && !strcmp(d[2].file, "k.vmdk"), "2");
	vmx_disks_free(d, n);
	check(!vmx_disk_set(vmx, "scsi0:2", "c-000001.vmdk", &e) &&
	      !strcmp(dict_get(vmx, "SCSI0:2.fileName"), "c-000001.vmdk"), "%s", e.msg);
	dict_free(vmx);
}

/* As many as there may be, each from the one before: no time that a person would notice. */
static void test_many(void)
{
	char *text = malloc(1 << 20), *path;
	struct vmsd *v = NULL;
	struct err e = { 0 };
	size_t n = 0;
	int rc;

	n += (size_t)sprintf(text + n, "snapshot.numSnapshots = \"%u\"\n", VMSD_SNAPS);
	for (unsigned i = 0; i < VMSD_SNAPS; i++)
		n += (size_t)sprintf(text + n, "snapshot%u.uid = \"%u\"\nsnapshot%u.parent = \"%u\"\n"
				     "snapshot%u.displayName = \"s\"\n", i, VMSD_SNAPS - i, i,
				     VMSD_SNAPS - i - 1, i);
	rc = parse(&v, text, &e);
	check(!rc && v->n == VMSD_SNAPS, "%s", e.msg);
	path = vmsd_path(v, &v->snap[0]);
	check(path && strlen(path) == 2 * VMSD_SNAPS - 1, "path");
	free(path);
	check(!vmsd_remove(v, 7, &e) && v->n == VMSD_SNAPS - 1 && !vmsd_by_uid(v, 7), "%s", e.msg);
	check(vmsd_by_uid(v, 8)->parent == 6, "its child");
	vmsd_free(v);
	free(text);
}

int main(void)
{
	test_many();
	test_read();
	test_change();
	test_hostile();
	test_disks();
	return check_done();
}
