/*
 * The control socket (wire/ctl.h) and clients that err: requests in pieces, several in
 * one, pieces of JSON that mean something and some that do not, descriptors at any byte,
 * clients that do not read, that go in the middle.  Whoever sends whole requests and reads gets
 * a reply to each, in order; in the end no descriptor is left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "wire/ctl.h"

enum { CLIENTS = 40 };

struct client {
	int fd;
	bool honest;		/* sends right requests, and reads */
	unsigned sent, got;	/* requests, replies */
	char in[1 << 16];
	size_t nin;
};

static struct ctl_server *server;
static struct client client[CLIENTS];
static char path[96];
static int spare;	/* a descriptor to send */

/* --- verbs ------------------------------------------------------------------------------ */

static int do_echo(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	json_put_text(out, "text", json_string_value(json_object_get(r->args, "text")));
	json_put_u64(out, "n", r->nfds);
	return 0;
}

static int do_fail(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	json_put_u64(out, "n", 1);
	return err_set(e, -EINVAL, "%.200s", json_string_value(json_object_get(r->args, "text")) ?: "no text");
}

static int do_keep(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	for (unsigned i = 0; i < r->nfds; i += 2) {	/* as a verb that takes them over */
		close(r->fd[i]);
		r->fd[i] = -1;
	}
	return 0;
}

static int do_shout(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	struct json ev = { 0 };

	json_put_u64(&ev, "volume", 11);
	ctl_event(server, "shout", &ev);
	return 0;
}

/* Answered at some later time, to whoever is there then. */
static struct ctl_later *later[64];
static unsigned nlater;

static int do_later(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	if (nlater == 64)
		return err_set(e, -EBUSY, "too many");
	later[nlater] = ctl_later(r, e);
	if (!later[nlater])
		return -ENOMEM;
	nlater++;
	return CTL_LATER;
}

static void answer(struct fuzz *f, bool all)
{
	while (nlater && (all || fuzz_below(f, 4))) {
		unsigned i = fuzz_below(f, nlater);
		struct json out = { 0 };
		struct err e = { .code = -EIO, .msg = "did not work" };

		json_put_u64(&out, "n", nlater);
		ctl_answer(later[i], fuzz_below(f, 2) ? 0 : -EIO, &out, &e);
		later[i] = later[--nlater];
	}
}

static const struct ctl_verb verbs[] = {
	{ "later", do_later }, { "echo", do_echo }, { "fail", do_fail }, { "keep", do_keep }, { "shout", do_shout }, { NULL, NULL },
};

/* --- clients --------------------------------------------------------------------------------- */

static void connect_one(struct fuzz *f, struct client *c)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strcpy(a.sun_path, path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->sent = c->got = 0;
	c->nin = 0;
	c->honest = !fuzz_below(f, 3);
	if (c->fd >= 0 && connect(c->fd, (struct sockaddr *)&a, sizeof(a))) {
		close(c->fd);
		c->fd = -1;
	}
}

static void leave(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* Returns what was taken. */
static ssize_t send_bytes(struct fuzz *f, struct client *c, const void *buf, size_t len, unsigned nfds)
{
	char ctl[CMSG_SPACE(24 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)buf, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		struct cmsghdr *h;

		m.msg_control = ctl;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (unsigned i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(h) + i * sizeof(int), &spare, sizeof(int));
	}
	return sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void read_some(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->nin, sizeof(c->in) - c->nin, MSG_DONTWAIT);
	char *nl;

	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		fuzz_check(!c->honest || !c->got, "an honest client was cut off");	/* or is one too many */
		leave(c);
		return;
	}
	c->nin += n > 0 ? (size_t)n : 0;
	while ((nl = memchr(c->in, '\n', c->nin))) {
		size_t len = (size_t)(nl - c->in) + 1;
		json_t *o = json_loadb(c->in, len - 1, 0, NULL);

		fuzz_check(json_is_object(o), "no object: %.*s", (int)len, c->in);
		if (!json_object_get(o, "event")) {
			json_t *id = json_object_get(o, "id");

			fuzz_check(json_is_boolean(json_object_get(o, "ok")), "neither good nor bad");
			fuzz_check(!c->honest || json_integer_value(id) == c->got, "out of order");
			c->got++;
		}
		json_decref(o);
		memmove(c->in, c->in + len, c->nin - len);
		c->nin -= len;
	}
	if (c->nin == sizeof(c->in))
		c->nin = 0;	/* someone's long echo */
}

/* A request that is right, in one piece. */
static void ask(struct fuzz *f, struct client *c)
{
	static const char *const verb[] = { "echo", "fail", "keep", "shout", "subscribe",
		"a verb that is not there, with a name that goes on and ends in \xc3\xa4\xc3\xa4\xc3\xa4\xe2\x82\xac" };
	static const char *const text[] = { "", "x", "\\u0000", "\\ud83d\\ude00", "\xc3\xa4", "\\n\\\"" };
	char buf[8192];
	int n = snprintf(buf, sizeof(buf), "{\"id\":%u,\"do\":\"%s\",\"text\":\"%s%0*d\"}\n", c->sent,
			 verb[fuzz_below(f, 6)], text[fuzz_below(f, 6)], 1 + (int)fuzz_below(f, 3000), 0);

	/* A text with a NUL in it is refused as a whole, without an id. */
	if (c->honest && strstr(buf, "\\u0000"))
		return;
	if (send_bytes(f, c, buf, (size_t)n, fuzz_below(f, 4) ? 0 : fuzz_below(f, CTL_FDS + 1)) == n)
		c->sent++;
	else
		c->honest = false;	/* the socket is full */
}

static void babble(struct fuzz *f, struct client *c)
{
	static const char *const piece[] = {
		"{", "}", "[", "]", ":", ",", "\"", "\n", "\"do\"", "\"id\"", "\"echo\"", "\"text\"", "1e999", "-0",
		"9223372036854775808", "\\ud800", "\xff", "\xc3", "null", "true", "{\"do\":\"echo\"}\n",
		"{\"do\":\"keep\",\"id\":\"x\"}\n", "{\"do\":\"later\",\"id\":7}\n", "{\"do\":\"later\"}\n", "{\"do\":\"subscribe\"}\n", "{\"do\":\"shout\"}\n", " ",
	};
	static char buf[CTL_LINE + 100];
	size_t n = 0;

	if (!fuzz_below(f, 30)) {	/* deep, or without an end */
		n = fuzz_below(f, sizeof(buf));
		memset(buf, fuzz_below(f, 2) ? '[' : '{', n);
		buf[n] = '\n';
	}
	for (unsigned i = fuzz_below(f, 30); i && n < sizeof(buf) - 64; i--) {
		const char *p = piece[fuzz_below(f, sizeof(piece) / sizeof(piece[0]))];

		memcpy(buf + n, p, strlen(p));
		n += strlen(p);
	}
	if (n)
		send_bytes(f, c, buf, n, fuzz_below(f, 4) ? 0 : fuzz_below(f, 20));
}

static void act(struct fuzz *f)
{
	struct client *c = &client[fuzz_below(f, CLIENTS)];

	if (!fuzz_below(f, 3)) {
		ctl_handle(server);
		return;
	}
	if (!fuzz_below(f, 16))
		answer(f, false);
	if (c->fd < 0) {
		/* More than CTL_CLIENTS would have honest ones cut off. */
		if ((unsigned)(c - client) < CTL_CLIENTS || !fuzz_below(f, 8))
			connect_one(f, c);
		if (c->fd >= 0 && (unsigned)(c - client) >= CTL_CLIENTS)
			c->honest = false;
		return;
	}
	if (!c->honest && !fuzz_below(f, 8)) {
		babble(f, c);
	} else switch (fuzz_below(f, 8)) {
	case 0 ... 3:
		if (!c->honest || c->sent - c->got < 4)
			ask(f, c);
		break;
	case 4:
		if (!fuzz_below(f, 8))
			leave(c);
		break;
	case 5:
		if (!c->honest)
			shutdown(c->fd, (int)fuzz_below(f, 3));
		break;
	default:
		if (c->honest || fuzz_below(f, 2))
			read_some(c);
	}
}

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Whoever was honest has all replies. */
static void settle(void)
{
	for (unsigned i = 0; i < 200; i++) {
		ctl_handle(server);
		for (unsigned k = 0; k < CLIENTS; k++)
			if (client[k].fd >= 0)
				read_some(&client[k]);
	}
	for (unsigned k = 0; k < CLIENTS; k++) {
		struct client *c = &client[k];

		fuzz_check(c->fd < 0 || !c->honest || c->got == c->sent, "%u of %u replies", c->got, c->sent);
		leave(c);
	}
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/fuzz_ctl.XXXXXX";
	unsigned before, now;
	struct err e = { 0 };
	struct fuzz f;

	fuzz_check(mkdtemp(dir), "%s", dir);
	snprintf(path, sizeof(path), "%s/ctl", dir);
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < CLIENTS; i++)
		client[i].fd = -1;
	fuzz_start(&f, argc, argv);
	before = open_fds();
	do {
		fuzz_check(!ctl_listen(&server, path, verbs, NULL, &e), "%s", e.msg);
		for (unsigned i = 0; i < 2000; i++)
			act(&f);
		settle();
		if (fuzz_below(&f, 2))
			answer(&f, true);
		ctl_close(server);
		answer(&f, true);
		/* ASan's own thread has one open now and then, to see how much memory is used. */
		now = open_fds();
		for (unsigned i = 0; now != before && i < 100; i++)
			now = open_fds();
		fuzz_check(now == before, "%u descriptors, not %u", now, before);
		f.runs++;
	} while (clock_ns() < f.end_ns);
	rmdir(dir);
	return fuzz_done(&f);
}
