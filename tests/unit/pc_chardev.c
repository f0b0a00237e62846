/* Serial backends: rings, flow control, escapes, file, socket, pty. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "pc/chardev.h"

static char dir[] = "/tmp/pc_chardev.XXXXXX";
static char path[64], spec[80];
static struct pc_wait wait = { .deadline_ns = UINT64_MAX };

/* One turn of the main loop. */
static unsigned turn(struct chardev *c)
{
	struct pollfd p[CHARDEV_POLLFDS];

	chardev_poll(c, p);
	poll(p, CHARDEV_POLLFDS, 50);
	return chardev_handle(c, p);
}

static void put(struct chardev *c, const char *s)
{
	while (*s)
		chardev_put(c, (uint8_t)*s++);
}

static struct chardev *open_at(const char *kind, const char *name)
{
	struct err e = { 0 };
	struct chardev *c;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(spec, sizeof(spec), "%s%s", kind, path);
	c = chardev_open(spec, &wait, &e);
	check(c, "%s: %s", spec, e.msg);
	return c;
}

static void test_bad_specs(void)
{
	static const char *const bad[] = { "", "x", "file:", "unix:", "stdio:", "ptyx" };
	char far[200] = "unix:/";
	struct err e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		e = (struct err){ 0 };
		check(!chardev_open(bad[i], &wait, &e) && e.code == -EINVAL &&
		      strstr(e.msg, "serial"), "'%s': %d %s", bad[i], e.code, e.msg);
	}
	memset(far + 6, 'x', 150);
	check(!chardev_open(far, &wait, &e) && e.code == -EINVAL, "long socket path");
	check(!chardev_open("file:/no/such/dir/f", &wait, &e) && e.code == -ENOENT, "%s", e.msg);
}

static void test_file(void)
{
	struct chardev *c = open_at("file:", "f");
	char buf[16] = "";
	int fd;

	put(c, "hello");
	check(turn(c) == 0, "written");
	put(c, " there");
	chardev_drain(c, &wait);
	fd = open(path, O_RDONLY);
	check(read(fd, buf, sizeof(buf)) == 11 && !memcmp(buf, "hello there", 11), "'%.15s'", buf);
	close(fd);
	chardev_free(c);
}

static int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(sa.sun_path, path);
	if (connect(fd, (void *)&sa, sizeof(sa))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void test_socket(void)
{
	struct chardev *c = open_at("unix:", "s"), *twice;
	char buf[16] = "";
	struct stat st;
	struct err e;
	int fd;

	put(c, "nobody hears this");
	turn(c);
	twice = chardev_open(spec, &wait, &e);
	check(!twice && e.code == -EADDRINUSE, "in use: %d", e.code);
	turn(c);		/* the probe of that attempt */
	turn(c);
	fd = dial();
	check(fd >= 0, "connected");
	turn(c);
	put(c, "ab");
	turn(c);
	check(read(fd, buf, sizeof(buf)) == 2 && !memcmp(buf, "ab", 2), "out: '%.15s'", buf);
	check(write(fd, "\1xyz", 4) == 4 && (turn(c) & CHARDEV_RX), "in");
	check(chardev_get(c, (uint8_t *)buf, 16) == 4 && !memcmp(buf, "\1xyz", 4),
	      "no escapes on a socket");
	close(fd);
	turn(c);
	put(c, "gone");
	turn(c);
	fd = dial();
	turn(c);
	put(c, "again");
	turn(c);
	check(read(fd, buf, sizeof(buf)) == 5, "a second caller");
	close(fd);
	chardev_free(c);
	check(stat(path, &st) && errno == ENOENT, "socket removed");
}

/* shutdown() of the sending side is no hang-up: the answer is still read. */
static void test_half_closed(void)
{
	struct chardev *c = open_at("unix:", "half");
	char buf[16] = "";
	int fd = dial();

	turn(c);
	check(write(fd, "q", 1) == 1 && !shutdown(fd, SHUT_WR), "asked");
	turn(c);
	turn(c);
	check(chardev_get(c, (uint8_t *)buf, 16) == 1 && buf[0] == 'q', "in");
	put(c, "answer");
	turn(c);
	check(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == 6, "out after the end of input");
	close(fd);
	turn(c);
	turn(c);
	fd = dial();
	turn(c);
	put(c, "next");
	turn(c);
	check(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == 4, "the next caller");
	close(fd);
	chardev_free(c);
}

/* A named pipe is waited for until it has a reader, or it is time. */
static void test_fifo(void)
{
	struct pc_wait brief = { .wake_fd = wait.wake_fd,
				 .deadline_ns = clock_ns() + 50000000 };
	struct err e = { 0 };
	struct chardev *c;
	char buf[8];
	int fd;

	snprintf(path, sizeof(path), "%s/fifo", dir);
	snprintf(spec, sizeof(spec), "file:%s", path);
	check(!mkfifo(path, 0600), "mkfifo");
	check(!chardev_open(spec, &brief, &e) && e.code == -ETIMEDOUT, "%s", e.msg);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	c = open_at("file:", "fifo");
	put(c, "read");
	turn(c);
	check(read(fd, buf, sizeof(buf)) == 4, "written");
	chardev_free(c);
	close(fd);
	unlink(path);
}

static void test_flow(void)
{
	struct chardev *c = open_at("unix:", "flow");
	unsigned n = 0, got = 0;
	static char buf[65536];
	bool tx = false;
	int fd = dial();

	turn(c);
	while (chardev_put(c, 'x') && n < 1000000)
		n++;
	check(n > 60000 && n < 65536, "room for %u", n);
	for (unsigned i = 0; i < 63; i++)
		chardev_put(c, 'y');	/* a FIFO that was under way */
	while (got < n + 64) {
		ssize_t r;

		tx |= turn(c) & CHARDEV_TX;
		r = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (r > 0)
			got += (unsigned)r;
	}
	check(tx && got == n + 64 && buf[0], "all of it: %u of %u, room again %d", got,
	      n + 64, tx);
	memset(buf, 'z', sizeof(buf));
	check(send(fd, buf, 10000, 0) == 10000, "sent");
	for (unsigned i = 0; i < 5; i++)
		turn(c);
	for (got = 0; got < 10000;) {
		size_t r = chardev_get(c, (uint8_t *)buf, 16);

		got += (unsigned)r;
		if (!r && !(turn(c) & CHARDEV_RX))
			break;
	}
	check(got == 10000, "input waits: %u of 10000", got);
	close(fd);
	chardev_free(c);
}

static void test_pty(void)
{
	struct err e = { 0 };
	struct chardev *c = chardev_open("pty", &wait, &e);
	uint8_t buf[16];
	int fd;

	check(c && chardev_name(c), "%s", e.msg);
	if (!c)
		return;
	fd = open(chardev_name(c), O_RDWR | O_NOCTTY);
	put(c, "to\n");
	turn(c);
	check(read(fd, buf, sizeof(buf)) == 3 && !memcmp(buf, "to\n", 3), "raw, out");
	check(write(fd, "fro\r", 4) == 4 && (turn(c) & CHARDEV_RX), "in");
	check(chardev_get(c, buf, 16) == 4 && !memcmp(buf, "fro\r", 4), "raw, in");
	close(fd);
	put(c, "kept");
	turn(c);
	chardev_free(c);
}

/* stdio through pipes: escapes act, and ^A ^A is one ^A. */
static void test_stdio(void)
{
	int in[2], out[2], save_in = dup(0), save_out = dup(1);
	unsigned ev = 0;
	struct chardev *c;
	uint8_t buf[64];
	ssize_t n;

	check(!pipe(in) && !pipe(out), "pipes");
	fflush(stdout);
	dup2(in[0], 0);
	dup2(out[1], 1);
	c = chardev_open("stdio", &wait, NULL);
	check(write(in[1], "a\1\1b\1qc\1p\1x", 11) == 11, "typed");
	ev = turn(c);
	put(c, "shown");
	turn(c);
	close(out[1]);
	n = read(out[0], buf, sizeof(buf));
	dup2(save_in, 0);
	dup2(save_out, 1);
	check(n == 5 && !memcmp(buf, "shown", 5), "out");
	check(ev == (CHARDEV_RX | CHARDEV_POWER | CHARDEV_QUIT), "events %x", ev);
	n = (ssize_t)chardev_get(c, buf, sizeof(buf));
	check(n == 4 && !memcmp(buf, "a\1bc", 4), "%zd bytes left", n);
	close(in[1]);
	turn(c);
	close(out[0]);
	put(c, "into a closed pipe");
	ev = 0;
	for (unsigned i = 0; i < 4; i++)
		ev |= turn(c);
	check(ev & CHARDEV_GONE, "reader gone: %x", ev);
	chardev_free(c);
}

int main(void)
{
	char cmd[64];

	signal(SIGPIPE, SIG_IGN);
	wait.wake_fd = eventfd(0, EFD_NONBLOCK);
	if (!mkdtemp(dir))
		return 1;
	test_bad_specs();
	test_file();
	test_socket();
	test_half_closed();
	test_fifo();
	test_flow();
	test_pty();
	test_stdio();
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	check(system(cmd) == 0, "removed");
	return check_done();
}
