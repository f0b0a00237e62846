#include "pc/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "wire/sockname.h"

#define IN_RING 4096u		/* powers of two */
#define OUT_RING 65536u
#define OUT_SPARE 64u		/* a FIFO fits in after put() has said no */
#define OUT_CHUNK 4096u
#define DRAIN_MS 1000
#define ESCAPE 1		/* ^A */

struct chardev {
	int in, out, listener;	/* -1: none */
	bool stdio, is_socket, is_tty;
	bool lossy;		/* input that finds no room is dropped */
	bool escaped;
	bool eof;		/* a socket's client sends no more, but may read */
	bool have_cooked;	/* the terminal was switched to raw mode */
	struct termios cooked;
	char *path;		/* of the socket or the pty */
	dev_t dev;		/* the socket's file: someone may put another there */
	ino_t ino;
	int pty_slave;		/* held open: no EIO while no one is connected */
	int wake_fd;
	pthread_mutex_t lock;
	int out_errno;		/* why output ended; 0: it did not, or its reader went */
	bool stalled;		/* put() said no */
	bool full;		/* input waits for get() */
	uint32_t in_r, in_w, out_r, out_w;
	uint8_t ibuf[IN_RING], obuf[OUT_RING];
};

static void wake(struct chardev *c)
{
	uint64_t one = 1;
	ssize_t n = write(c->wake_fd, &one, sizeof(one));

	(void)n;	/* EAGAIN: it is awake */
}

bool chardev_put(void *chardev, uint8_t byte)
{
	struct chardev *c = chardev;
	bool first, room;

	pthread_mutex_lock(&c->lock);
	if (c->out < 0) {
		pthread_mutex_unlock(&c->lock);
		return true;
	}
	first = c->out_r == c->out_w;
	if (c->out_w - c->out_r < OUT_RING)
		c->obuf[c->out_w++ % OUT_RING] = byte;
	room = c->out_w - c->out_r < OUT_RING - OUT_SPARE;
	c->stalled = !room;
	pthread_mutex_unlock(&c->lock);
	if (first)
		wake(c);
	return room;
}

size_t chardev_get(void *chardev, uint8_t *buf, size_t n)
{
	struct chardev *c = chardev;
	size_t got = 0;
	bool resume;

	pthread_mutex_lock(&c->lock);
	while (got < n && c->in_r != c->in_w)
		buf[got++] = c->ibuf[c->in_r++ % IN_RING];
	resume = c->full && c->in_r == c->in_w;
	if (resume)
		c->full = false;
	pthread_mutex_unlock(&c->lock);
	if (resume)
		wake(c);
	return got;
}

void chardev_poll(struct chardev *c, struct pollfd *p)
{
	pthread_mutex_lock(&c->lock);
	if (c->listener >= 0 && c->in < 0)
		p[0] = (struct pollfd){ .fd = c->listener, .events = POLLIN };
	else
		p[0] = (struct pollfd){ .fd = c->full ? -1 : c->in,
					.events = c->eof ? 0 : POLLIN };
	p[1] = (struct pollfd){ .fd = c->out_r != c->out_w ? c->out : -1,
				.events = POLLOUT };
	pthread_mutex_unlock(&c->lock);
}

static void put_text(struct chardev *c, const char *s)
{
	while (*s)
		chardev_put(c, (uint8_t)*s++);
}

/* ^A x, ^A p, ^A h, ^A ^A.  Returns true when b is for the guest. */
static bool escape(struct chardev *c, uint8_t b, unsigned *ev)
{
	if (!c->escaped) {
		c->escaped = b == ESCAPE;
		return !c->escaped;
	}
	c->escaped = false;
	if (b == 'x')
		*ev |= CHARDEV_QUIT;
	else if (b == 'p')
		*ev |= CHARDEV_POWER;
	else if (b == 'h' || b == '?')
		put_text(c, "\r\n^A x   end the machine\r\n"
			 "^A p   press the power button\r\n"
			 "^A ^A  send ^A\r\n^A h   this help\r\n");
	return b == ESCAPE;
}

static void hang_up(struct chardev *c)
{
	if (c->listener >= 0) {
		c->out = -1;
		c->out_r = c->out_w = 0;
	}
	if (c->in != c->out)
		close(c->in);
	c->in = -1;
}

static unsigned handle_in(struct chardev *c, short revents)
{
	uint8_t buf[IN_RING];
	uint32_t room;
	unsigned ev = 0;
	ssize_t n;

	pthread_mutex_lock(&c->lock);
	room = IN_RING - (c->in_w - c->in_r);
	c->full = !room && !c->lossy;
	pthread_mutex_unlock(&c->lock);
	if (!room && !c->lossy)
		return 0;
	n = read(c->in, buf, c->lossy ? sizeof(buf) : room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n == 0 && c->listener >= 0 && !(revents & POLLHUP)) {
		c->eof = true;	/* shutdown(): it may still want to read */
		return 0;
	}
	if (n <= 0) {
		pthread_mutex_lock(&c->lock);
		hang_up(c);
		pthread_mutex_unlock(&c->lock);
		return 0;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (c->stdio && !escape(c, buf[i], &ev))
			continue;
		pthread_mutex_lock(&c->lock);
		if (c->in_w - c->in_r < IN_RING)
			c->ibuf[c->in_w++ % IN_RING] = buf[i];
		pthread_mutex_unlock(&c->lock);
		ev |= CHARDEV_RX;
	}
	return ev;
}

static void handle_accept(struct chardev *c)
{
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	pthread_mutex_lock(&c->lock);
	c->in = c->out = fd;
	c->eof = false;
	pthread_mutex_unlock(&c->lock);
}

static ssize_t write_some(struct chardev *c, const uint8_t *buf, size_t n)
{
	if (c->is_socket)
		return send(c->out, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	return write(c->out, buf, n);
}

static unsigned handle_out(struct chardev *c)
{
	uint8_t buf[OUT_CHUNK];
	unsigned n = 0, ev = 0;
	ssize_t done;

	/* Only this thread takes bytes out: they stay valid without the lock. */
	pthread_mutex_lock(&c->lock);
	while (n < sizeof(buf) && c->out_r + n != c->out_w) {
		buf[n] = c->obuf[(c->out_r + n) % OUT_RING];
		n++;
	}
	pthread_mutex_unlock(&c->lock);
	done = write_some(c, buf, n);
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (done < 0 && errno != EPIPE && c->listener < 0)
		c->out_errno = errno;
	pthread_mutex_lock(&c->lock);
	if (done < 0) {
		if (c->stdio)
			ev |= CHARDEV_GONE;
		if (c->listener >= 0)
			hang_up(c);
		else
			c->out = -1;
		done = n;
	}
	c->out_r += c->out_r != c->out_w ? (uint32_t)done : 0;
	if (c->stalled && c->out_w - c->out_r < OUT_RING / 2) {
		c->stalled = false;
		ev |= CHARDEV_TX;
	}
	pthread_mutex_unlock(&c->lock);
	return ev;
}

int chardev_error(const struct chardev *c)
{
	return -c->out_errno;
}

/* Output that no one can ever read does not hold up the guest. */
static unsigned discard(struct chardev *c)
{
	unsigned ev;

	pthread_mutex_lock(&c->lock);
	c->out_r = c->out_w;
	ev = c->stalled ? CHARDEV_TX : 0;
	c->stalled = false;
	pthread_mutex_unlock(&c->lock);
	return ev;
}

unsigned chardev_handle(struct chardev *c, const struct pollfd *p)
{
	unsigned ev = 0;

	if (p[0].fd >= 0 && p[0].revents) {
		if (p[0].fd == c->listener)
			handle_accept(c);
		else
			ev |= handle_in(c, p[0].revents);
	}
	if (p[1].fd >= 0 && p[1].revents && c->out >= 0)
		ev |= handle_out(c);
	if (c->out < 0)
		ev |= discard(c);
	return ev;
}

void chardev_drain(struct chardev *c, const struct pc_wait *w)
{
	struct pollfd p[CHARDEV_POLLFDS];
	bool patient = c->stdio && !isatty(c->out);
	int n;

	for (;;) {
		chardev_poll(c, p);
		if (p[1].fd < 0)
			return;
		n = poll(&p[1], 1, DRAIN_MS);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 && patient && !pc_wait_fd(w, p[1].fd, POLLOUT, -1, NULL))
			continue;
		if (n <= 0 || !(p[1].revents & POLLOUT))
			return;
		handle_out(c);
	}
}

void chardev_raw(struct chardev *c)
{
	struct termios t;

	if (!c->stdio || !c->is_tty)
		return;
	if (!c->have_cooked && tcgetattr(STDIN_FILENO, &c->cooked))
		return;
	c->have_cooked = true;
	t = c->cooked;
	cfmakeraw(&t);
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

void chardev_cooked(struct chardev *c)
{
	if (c->have_cooked)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &c->cooked);
}

const char *chardev_name(const struct chardev *c)
{
	return c->pty_slave >= 0 ? c->path : NULL;
}

/*
 * A non-blocking description of our own for a terminal or pipe: O_NONBLOCK on
 * the inherited one would also hit the shell that shares it.
 */
static int reopen_nonblock(int fd, int flags)
{
	char path[32];
	struct stat st;
	int n = -1;

	if (fstat(fd, &st))
		return -1;
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	return n >= 0 ? n : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int open_stdio(struct chardev *c, struct err *e)
{
	struct stat st;

	c->stdio = true;
	c->is_tty = isatty(STDIN_FILENO);
	c->lossy = c->is_tty;	/* ^A x must get through to a hung guest */
	c->in = reopen_nonblock(STDIN_FILENO, O_RDONLY);
	c->out = reopen_nonblock(STDOUT_FILENO, O_WRONLY);
	if (c->out >= 0 && fstat(c->out, &st) == 0)
		c->is_socket = S_ISSOCK(st.st_mode);
	return c->out < 0 ? err_sys(e, -errno, "standard output") : 0;
}

static int open_file(struct chardev *c, const char *path, const struct pc_wait *w,
		     struct err *e)
{
	int fd = pc_wait_open(w, path, e);

	if (fd >= 0)
		c->out = fd;
	return fd < 0 ? fd : 0;
}

/* A socket file that no one listens on is left over from a dead process. */
static bool socket_is_stale(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	bool stale = fd >= 0 && !lstat(sa->sun_path, &st) && S_ISSOCK(st.st_mode) &&
		connect(fd, (const void *)sa, sizeof(*sa)) < 0 && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	errno = EADDRINUSE;
	return stale;
}

static int open_unix(struct chardev *c, const char *path, struct err *e)
{
	struct sockaddr_un sa;
	struct stat st;
	int fd, dir, rc = sockname(&sa, &dir, path, e);

	if (rc)
		return rc == -ENAMETOOLONG ? err_code(e, -EINVAL) : rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = fd < 0 ? -1 : bind(fd, (void *)&sa, sizeof(sa));
	if (rc && errno == EADDRINUSE && socket_is_stale(&sa)) {
		unlink(path);
		rc = bind(fd, (void *)&sa, sizeof(sa));
	}
	rc = rc || listen(fd, 1) || lstat(path, &st) ? err_sys(e, -errno, "%s", path) : 0;
	if (dir >= 0)
		close(dir);
	if (rc) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	c->listener = fd;
	c->is_socket = true;
	c->path = strdup(path);
	return 0;
}

static int open_pty(struct chardev *c, struct err *e)
{
	struct termios t;
	char name[64];
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, -errno, "pty");
	c->in = c->out = fd;
	if (grantpt(fd) || unlockpt(fd) || ptsname_r(fd, name, sizeof(name)))
		return err_sys(e, -errno, "pty");
	c->path = strdup(name);
	c->pty_slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (c->pty_slave < 0 || tcgetattr(c->pty_slave, &t))
		return err_sys(e, -errno, "%s", name);
	cfmakeraw(&t);
	tcsetattr(c->pty_slave, TCSANOW, &t);
	return 0;
}

static int open_spec(struct chardev *c, const char *spec, const struct pc_wait *w,
		     struct err *e)
{
	if (!strcmp(spec, "stdio"))
		return open_stdio(c, e);
	if (!strcmp(spec, "none"))
		return 0;
	if (!strncmp(spec, "file:", 5) && spec[5])
		return open_file(c, spec + 5, w, e);
	if (!strncmp(spec, "unix:", 5) && spec[5])
		return open_unix(c, spec + 5, e);
	if (!strcmp(spec, "pty"))
		return open_pty(c, e);
	return err_set(e, -EINVAL, "'%s' is none of stdio, none, file:F, unix:S, pty",
		       spec);
}

struct chardev *chardev_open(const char *spec, const struct pc_wait *w, struct err *e)
{
	struct chardev *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	c->in = c->out = c->listener = c->pty_slave = -1;
	c->wake_fd = w->wake_fd;
	pthread_mutex_init(&c->lock, NULL);
	if (open_spec(c, spec, w, e)) {
		err_in(e, e ? e->code : 0, "serial");
		chardev_free(c);
		return NULL;
	}
	return c;
}

static void remove_socket(const struct chardev *c)
{
	struct stat st;

	if (!lstat(c->path, &st) && st.st_dev == c->dev && st.st_ino == c->ino)
		unlink(c->path);
}

void chardev_free(struct chardev *c)
{
	if (!c)
		return;
	chardev_cooked(c);
	if (c->listener >= 0) {
		remove_socket(c);
		close(c->listener);
	}
	if (c->out >= 0 && c->out != c->in)
		close(c->out);
	if (c->in >= 0)
		close(c->in);
	if (c->pty_slave >= 0)
		close(c->pty_slave);
	free(c->path);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
