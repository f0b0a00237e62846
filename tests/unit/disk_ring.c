/* io_uring: many reads at once, of a file and of a chain; and kernels that have none. */
#include "disk/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "disk/create.h"
#include "disk/disk.h"

#define FILE_BYTES	(1u << 20)
#define MANY		3000u
#define SIZE		(8u << 20)

static struct err e;

/* What ring_new() says where a system call fails with error; in a process of its own. */
static int new_without(long call, int error)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(f) / sizeof(f[0]), f };
	pid_t child = fork();
	struct ring *r;
	int status = 0;

	if (!child) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
			_exit(255);
		_exit(-ring_new(&r, NULL));
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : 1;
}

struct one {
	struct ring_op op;
	struct iovec iov[2];
	uint8_t buf[1000];
	int res;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned done;

static void one_more(void)
{
	pthread_mutex_lock(&lock);
	done++;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static void wait_for(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (done < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void one_done(struct ring_op *op, int res)
{
	((struct one *)op)->res = res;
	one_more();
}

static void begin(struct ring *r, struct one *o, int fd, uint64_t off)
{
	o->iov[0] = (struct iovec){ o->buf, 300 };
	o->iov[1] = (struct iovec){ o->buf + 300, 700 };
	o->op = (struct ring_op){ .fd = fd, .iov = o->iov, .n = 2, .off = off, .done = one_done };
	ring_readv(r, &o->op);
}

static uint8_t byte_at(uint64_t off)
{
	return (uint8_t)(off * 2654435761u >> 13);
}

static void reads_many(struct ring *r)
{
	struct one *o = calloc(MANY, sizeof(*o)), bad = { 0 };
	uint8_t *file = malloc(FILE_BYTES);
	int fd = memfd_create("ring", MFD_CLOEXEC);
	unsigned wrong = 0;

	for (uint64_t i = 0; i < FILE_BYTES; i++)
		file[i] = byte_at(i);
	check(write(fd, file, FILE_BYTES) == FILE_BYTES, "writing");
	for (unsigned i = 0; i < MANY; i++)
		begin(r, &o[i], fd, i * 349u % (FILE_BYTES - 1000));
	wait_for(MANY);
	for (unsigned i = 0; i < MANY; i++)
		for (unsigned k = 0; k < 1000; k++)
			wrong += o[i].res != 1000 || o[i].buf[k] != byte_at(o[i].op.off + k);
	check(!wrong, "%u bytes are wrong", wrong);
	begin(r, &o[0], fd, FILE_BYTES - 400);
	wait_for(MANY + 1);
	check(o[0].res == 400, "at the end: %d", o[0].res);
	begin(r, &o[1], fd, FILE_BYTES);
	wait_for(MANY + 2);
	check(o[1].res == 0, "behind the end: %d", o[1].res);
	begin(r, &bad, -1, 0);
	wait_for(MANY + 3);
	check(bad.res == -EBADF, "no file: %d", bad.res);
	close(fd);
	free(file);
	free(o);
}

static _Atomic int started_rc;

static void started_done(void *ptr, int rc)
{
	started_rc = rc;
	one_more();
}

static struct disk *make_chain(char *dir)
{
	struct disk_create c = { .size = SIZE, .format = DISK_SPARSE };
	struct disk_opts o = { .write = true };
	static uint8_t buf[65536 * 3];
	char base[64], child[64];
	struct disk *d;

	snprintf(base, sizeof(base), "%s/base.vmdk", dir);
	snprintf(child, sizeof(child), "%s/child.vmdk", dir);
	memset(buf, 0x11, sizeof(buf));
	check(!disk_create(base, &c, &e) && !disk_open(&d, base, &o, &e), "%s", e.msg);
	check(!disk_write(d, buf, sizeof(buf), 1 << 20, &e), "%s", e.msg);
	c.parent = "base.vmdk";
	c.parent_cid = disk_layer(d, 0)->desc->cid;
	check(!disk_close(d, &e), "%s", e.msg);
	memset(buf, 0x22, sizeof(buf));
	check(!disk_create(child, &c, &e) && !disk_open(&d, child, &o, &e), "%s", e.msg);
	check(!disk_write(d, buf, 65536, (1 << 20) + 65536, &e), "%s", e.msg);
	return d;
}

/* As disk_readv() reads, where it can: over both layers and a hole, in odd pieces. */
static void reads_disks(struct ring *r)
{
	static uint8_t got[400 * 1024], want[400 * 1024];
	struct iovec iov[3] = { { got, 1000 }, { got + 1000, 3096 }, { got + 4096, 300 * 1024 } };
	char dir[] = "/tmp/ring1-test-XXXXXX", cmd[64];
	const uint64_t off = (1 << 20) - 8192, len = 4096 + 300 * 1024;
	struct disk *d;
	unsigned n = done;

	check(mkdtemp(dir) != NULL, "mkdtemp");
	d = make_chain(dir);
	check(!disk_read(d, want, len, off, &e), "%s", e.msg);
	memset(got, 0x99, sizeof(got));
	check(!disk_start_readv(d, r, iov, 3, off, started_done, NULL), "not started");
	wait_for(n + 1);
	check(started_rc == 0, "%d", started_rc);
	check(!memcmp(got, want, len), "other bytes");
	check(want[8191] == 0 && want[8192] == 0x11 && want[8192 + 65536] == 0x22 &&
	      want[8192 + 2 * 65536] == 0x11 && want[8192 + 3 * 65536] == 0, "a poor test");
	/* What it does not do. */
	check(disk_start_readv(d, r, iov, 3, SIZE - 512, started_done, NULL) == -EAGAIN, "outside");
	check(disk_start_readv(d, r, iov, 0, 0, started_done, NULL) == -EAGAIN, "nothing");
	disk_freeze(d);
	check(disk_start_readv(d, r, iov, 3, off, started_done, NULL) == -EAGAIN, "frozen");
	disk_thaw(d);
	check(done == n + 1, "%u were done", done - n);
	/* A file that was cut off is found out. */
	check(!truncate(disk_layer(d, 0)->path, 65536), "truncate");
	check(!disk_start_readv(d, r, iov, 3, off, started_done, NULL), "not started");
	wait_for(n + 2);
	check(started_rc == -EAGAIN, "%d", started_rc);
	disk_close(d, NULL);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	check(!system(cmd), "%s", cmd);
}

int main(void)
{
	struct ring *r;
	int rc = ring_new(&r, &e);

	if (rc) {
		printf("%s\n", e.msg);
		return 77;
	}
	ring_free(r);
	ring_free(NULL);
	check(new_without(SYS_io_uring_setup, EPERM) == -EPERM, "setup is forbidden");
	check(new_without(SYS_io_uring_setup, ENOSYS) == -ENOSYS, "setup is not there");
	check(new_without(SYS_io_uring_enter, EPERM) == -EPERM, "enter is forbidden");
	check(!ring_new(&r, &e), "%s", e.msg);
	reads_many(r);
	reads_disks(r);
	ring_free(r);
	return check_done();
}
