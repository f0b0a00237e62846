/*
 * Machines whose files are hostile (vmx/machine.h): a .vmx, a .vmsd and a journal that
 * are nearly right, beside two small disks, opened for writing and asked for snapshots.
 * A file elsewhere is never touched; what was done once can be opened again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/create.h"
#include "fuzz.h"
#include "vmx/snapshot.h"

static char dir[40], vms[64];

static const char *const file[] = {
	"a.vmdk", "b.vmdk", "a-000001.vmdk", "../victim.vmdk", "/etc/hostname", "vm.vmx", "x.vmsn", "",
	"sub/../../victim.vmdk", "link.vmdk", ".", "a.vmdk.lck/M00000.lck", "vm.vmsd.journal",
};
#define FILES (sizeof(file) / sizeof(file[0]))

static const char *any(struct fuzz *f)
{
	return file[fuzz_below(f, 3) ? fuzz_below(f, 3) : fuzz_below(f, FILES)];
}

static unsigned long long number(struct fuzz *f)
{
	return fuzz_below(f, 6) ? fuzz_below(f, 4) : fuzz_next(f) >> fuzz_below(f, 64);
}

static void put(const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", vms, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	fuzz_check(fd >= 0 && write(fd, text, strlen(text)) >= 0, "%s: %s", path, strerror(errno));
	close(fd);
}

#define LINE(...) (n += (size_t)snprintf(text + n, sizeof(text) - n, __VA_ARGS__))

static void make_list(struct fuzz *f)
{
	char text[4096] = "";
	unsigned snaps = fuzz_below(f, 4);
	size_t n = 0;

	LINE("snapshot.numSnapshots = \"%u\"\nsnapshot.current = \"%u\"\n", snaps, fuzz_below(f, snaps + 1));
	for (unsigned i = 0; i < snaps; i++)
		LINE("snapshot%u.uid = \"%u\"\nsnapshot%u.parent = \"%u\"\nsnapshot%u.displayName = \"%u\"\n"
		     "snapshot%u.filename = \"%s\"\nsnapshot%u.numDisks = \"1\"\n"
		     "snapshot%u.disk0.fileName = \"%s\"\nsnapshot%u.disk0.node = \"ide0:%u\"\n", i, i + 1,
		     i, i ? fuzz_below(f, i + 1) : 0, i, i, i, any(f), i, i, any(f), i, fuzz_below(f, 2));
	put("vm.vmsd", text);
}

static void make_journal(struct fuzz *f)
{
	static const char *const phase[] = { "prepare", "commit", "merge", "switch", "?" };
	static const char *const what[] = { "unlink", "relink", "vmsd", "vmx", "hint", "cid", "parentCID" };
	char text[4096] = "";
	unsigned steps = fuzz_below(f, 5), switches = fuzz_below(f, 3), undos = fuzz_below(f, 3);
	size_t n = 0;

	LINE("phase = \"%s\"\n", phase[fuzz_below(f, 5)]);
	LINE("switches = \"%llu\"\nundos = \"%llu\"\n", fuzz_below(f, 8) ? switches : number(f),
	     fuzz_below(f, 8) ? undos : number(f));
	for (unsigned i = 0; i < switches; i++)
		LINE("switch%u.file = \"%s\"\nswitch%u.cid = \"%llu\"\n", i, any(f), i, number(f));
	for (unsigned i = 0; i < undos; i++)
		LINE("undo%u.unlink = \"%s\"\n", i, any(f));
	LINE("steps = \"%llu\"\n", fuzz_below(f, 8) ? steps : number(f));
	for (unsigned i = 0; i < steps; i++) {
		unsigned w = fuzz_below(f, 7);

		LINE("step%u.%s = \"%s\"\n", i, what[w], fuzz_below(f, 4) ? any(f) :
		     "ide0:0.present = |22TRUE|22|0A");
		if (w == 1 || !fuzz_below(f, 4))
			LINE("step%u.parentCID = \"%llu\"\nstep%u.hint = \"%s\"\n", i, number(f), i, any(f));
	}
	LINE("child = \"%s\"\nparent = \"%s\"\nway = \"down\"\ncid = \"00000001\"\ndone = \"%llu\"\n", any(f),
	     any(f), number(f));
	put("vm.vmsd.journal", text);
}

static void make_machine(struct fuzz *f)
{
	static const char desc[] = "# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=%s\n"
		"createType=\"%s\"\n%sRW 128 FLAT \"%s-flat.vmdk\" 0\nddb.adapterType = \"ide\"\n";
	char text[2048], path[160];
	size_t n = 0;

	snprintf(text, sizeof(text), "rm -rf '%s' && mkdir '%s'", vms, vms);
	fuzz_check(system(text) == 0, "%s", text);
	for (int i = 0; i < 3; i++) {
		static const char *const name[] = { "a", "b", "a-000001" };

		snprintf(text, sizeof(text), desc, i == 2 ? "00000001" : "ffffffff", "monolithicFlat",
			 i == 2 ? "parentFileNameHint=\"a.vmdk\"\n" : "", name[i]);
		snprintf(path, sizeof(path), "%s.vmdk", name[i]);
		put(path, text);
		snprintf(path, sizeof(path), "%s-flat.vmdk", name[i]);
		put(path, "x");
		snprintf(path, sizeof(path), "%s/%s-flat.vmdk", vms, name[i]);
		fuzz_check(!truncate(path, 65536), "truncate");
	}
	snprintf(path, sizeof(path), "%s/link.vmdk", vms);
	fuzz_check(!symlink("../victim.vmdk", path), "symlink");
	text[0] = 0;
	for (int i = 0; i < 2; i++)
		LINE("ide0:%d.present = \"TRUE\"\nide0:%d.fileName = \"%s\"\n%s", i, i, any(f),
		     fuzz_below(f, 4) ? "" : "ide0:1.mode = \"independent-persistent\"\n");
	put("vm.vmx", text);
	if (fuzz_below(f, 4))
		make_list(f);
	if (fuzz_below(f, 2))
		make_journal(f);
}

static int ask(struct fuzz *f, struct machine *m, struct err *e)
{
	char name[4] = { (char)('0' + fuzz_below(f, 3)) };
	uint32_t uid;

	switch (fuzz_below(f, 4)) {
	case 0:
		return snapshots_create(m, "new", "", 1, &uid, e);
	case 1:
		return snapshots_revert(m, name, e);
	case 2:
		return snapshots_delete(m, name, fuzz_below(f, 2), e);
	default:
		return snapshots_consolidate(m, e);
	}
}

int main(int argc, char **argv)
{
	char path[96], victim[96], cmd[128];
	struct stat before, now;
	uint64_t opened = 0, done = 0;
	struct fuzz f;
	int fd;

	fuzz_start(&f, argc, argv);
	/* Where memory is the disk, being durable costs nothing. */
	snprintf(dir, sizeof(dir), "%s/ring1-fuzz.XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	fuzz_check(mkdtemp(dir) != NULL, "mkdtemp");
	snprintf(vms, sizeof(vms), "%s/vms", dir);
	snprintf(path, sizeof(path), "%s/vm.vmx", vms);
	snprintf(victim, sizeof(victim), "%s/victim.vmdk", dir);
	fd = open(victim, O_WRONLY | O_CREAT, 0600);
	fuzz_check(fd >= 0 && write(fd, "untouched", 9) == 9 && !fstat(fd, &before), "victim");
	close(fd);
	/* Each machine costs some milliseconds: ask for the time every time. */
	while (clock_ns() < f.end_ns) {
		struct machine_opts o = { .write = true, .dry = !fuzz_below(&f, 4) };
		struct machine *m;
		struct err e = { 0 };
		bool good = false;
		int rc;

		f.runs++;
		make_machine(&f);
		for (int i = 0; i < 3; i++) {
			rc = machine_open(&m, path, &o, &e);
			fuzz_check(!rc || e.msg[0], "%d without a message", rc);
			/* What could be opened and was changed can be opened again. */
			fuzz_check(!rc || !good || rc == -EAGAIN, "%d %s", rc, e.msg);
			if (rc)
				break;
			opened++;
			rc = ask(&f, m, &e);
			fuzz_check(!rc || e.msg[0], "%d without a message", rc);
			good = !rc;
			done += good;
			machine_close(m);
		}
		fuzz_check(!stat(victim, &now) && now.st_size == 9 && now.st_ino == before.st_ino &&
			   now.st_nlink == 1 && now.st_mtime == before.st_mtime, "the victim was changed");
	}
	printf("%llu opened, %llu changes\n", (unsigned long long)opened, (unsigned long long)done);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	fuzz_check(system(cmd) == 0, "%s", cmd);
	return fuzz_done(&f);
}
