/* The control socket: requests, replies, events, descriptors; hostile clients. */
#include "wire/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "wire/rundir.h"

struct fixture {
	struct ctl_server *s;
	char dir[64], path[96];
	pthread_t thread;
	int stop[2];
	struct ctl_later *later[4];
	unsigned nlater;
};

static int do_add(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	json_int_t a = json_integer_value(json_object_get(r->args, "a"));

	(void)ptr;
	if (a < 0)
		return err_set(e, -ERANGE, "a: below zero");
	json_put_u64(out, "sum", (uint64_t)a + 1);
	return 0;
}

/* Writes "x" to each descriptor that came; keeps none. */
static int do_fds(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	(void)ptr;
	(void)e;
	for (unsigned i = 0; i < r->nfds; i++)
		if (write(r->fd[i], "x", 1) != 1)
			return err_sys(e, -errno, "write");
	json_put_u64(out, "n", r->nfds);
	return 0;
}

static int do_shout(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	struct fixture *f = ptr;
	struct json ev = { 0 };

	(void)r;
	(void)out;
	(void)e;
	json_put_u64(&ev, "volume", 11);
	ctl_event(f->s, "shout", &ev);
	return 0;
}

/* "later" is answered when "now" comes, in the order in which they came. */
static int do_later(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	struct fixture *f = ptr;

	f->later[f->nlater++] = ctl_later(r, e);
	json_put_bool(out, "forgotten", true);
	return CTL_LATER;
}

static int do_now(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	struct fixture *f = ptr;
	const char *what;
	int rc = ctl_text(r->args, "what", &what, e);

	for (unsigned i = 0; !rc && i < f->nlater; i++) {
		struct json j = { 0 };

		json_put_text(&j, "what", what);
		ctl_answer(f->later[i], i ? -EIO : 0, &j, &(struct err){ .msg = "failed" });
	}
	f->nlater = rc ? f->nlater : 0;
	return rc;
}

static const struct ctl_verb verbs[] = {
	{ "add", do_add }, { "fds", do_fds }, { "shout", do_shout }, { "later", do_later },
	{ "now", do_now }, { NULL, NULL },
};

static void *serve(void *ptr)
{
	struct fixture *f = ptr;

	for (;;) {
		struct pollfd p[2] = {
			{ .fd = ctl_fd(f->s), .events = POLLIN },
			{ .fd = f->stop[0], .events = POLLIN },
		};

		if (poll(p, 2, -1) > 0 && p[1].revents)
			return NULL;
		ctl_handle(f->s);
	}
}

static void setup(struct fixture *f)
{
	struct err e = { 0 };

	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "/tmp/ring1-test-XXXXXX");
	check(mkdtemp(f->dir), "mkdtemp");
	snprintf(f->path, sizeof(f->path), "%s/ctl", f->dir);
	check(!ctl_listen(&f->s, f->path, verbs, f, &e), "%s", e.msg);
	check(!pipe(f->stop), "pipe");
	check(!pthread_create(&f->thread, NULL, serve, f), "thread");
}

static void teardown(struct fixture *f)
{
	check(write(f->stop[1], "", 1) == 1, "stop");
	pthread_join(f->thread, NULL);
	close(f->stop[0]);
	close(f->stop[1]);
	ctl_close(f->s);
	check(access(f->path, F_OK) && errno == ENOENT, "the name is gone");
	rmdir(f->dir);
}

static void test_calls(struct fixture *f)
{
	struct ctl_client *c = NULL;
	struct err e = { 0 };
	struct json a = { 0 };
	json_t *r = NULL;

	check(!ctl_connect(&c, f->path, &e), "%s", e.msg);
	json_put_u64(&a, "a", 41);
	check(!ctl_call(c, "add", &a, NULL, 0, 10, &r, &e), "%s", e.msg);
	check(json_integer_value(json_object_get(r, "sum")) == 42, "sum");
	json_decref(r);
	a = (struct json){ json_pack("{s:i}", "a", -1), false };
	check(ctl_call(c, "add", &a, NULL, 0, 10, &r, &e) == -ERANGE, "rc %d", e.code);
	check(!strcmp(e.msg, "a: below zero"), "%s", e.msg);
	check(ctl_call(c, "none", &a, NULL, 0, 10, &r, &e) == -ENOSYS, "%s", e.msg);
	ctl_disconnect(c);
}

static void test_fds(struct fixture *f)
{
	struct ctl_client *c = NULL;
	struct err e = { 0 };
	struct json a = { 0 };
	int p[2], many[CTL_FDS];
	char buf[CTL_FDS + 1];

	check(!pipe(p), "pipe");
	for (unsigned i = 0; i < CTL_FDS; i++)
		many[i] = p[1];
	check(!ctl_connect(&c, f->path, &e), "%s", e.msg);
	check(!ctl_call(c, "fds", &a, many, CTL_FDS, 10, NULL, &e), "%s", e.msg);
	close(p[1]);
	check(read(p[0], buf, sizeof(buf)) == CTL_FDS, "bytes");
	check(read(p[0], buf, 1) == 0, "the server closed its copies");
	close(p[0]);
	ctl_disconnect(c);
}

static void test_events(struct fixture *f)
{
	struct ctl_client *c = NULL, *quiet = NULL;
	struct err e = { 0 };
	struct json a = { 0 };
	json_t *ev = NULL;

	check(!ctl_connect(&c, f->path, &e), "%s", e.msg);
	check(!ctl_connect(&quiet, f->path, &e), "%s", e.msg);
	check(!ctl_call(c, "subscribe", &a, NULL, 0, 10, NULL, &e), "%s", e.msg);
	check(!ctl_call(quiet, "shout", &a, NULL, 0, 10, NULL, &e), "%s", e.msg);
	check(!ctl_call(c, "shout", &a, NULL, 0, 10, NULL, &e), "%s", e.msg);
	for (int i = 0; i < 2; i++) {
		check(!ctl_next_event(c, 10, &ev, &e), "%s", e.msg);
		check(json_integer_value(json_object_get(ev, "volume")) == 11, "volume");
		json_decref(ev);
	}
	check(ctl_next_event(c, 0.01, &ev, &e) == -ETIMEDOUT, "a third event");
	check(ctl_next_event(quiet, 0.01, &ev, &e) == -ETIMEDOUT, "unasked event");
	ctl_disconnect(quiet);
	ctl_disconnect(c);
}

static int raw(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, path);
	check(!connect(fd, (struct sockaddr *)&a, sizeof(a)), "connect");
	return fd;
}

/* What the server says to text: all of it until it closes or has said `lines` lines. */
static void say(const char *path, const char *text, unsigned lines, const char *want)
{
	char buf[4096] = "";
	size_t n = 0;
	int fd = raw(path);

	check(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "send");
	while (lines) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got = poll(&p, 1, 10000) > 0 ? recv(fd, buf + n, sizeof(buf) - 1 - n, 0) : -1;

		if (got <= 0)
			break;
		for (ssize_t i = 0; i < got; i++)
			lines -= lines && buf[n + (size_t)i] == '\n';
		n += (size_t)got;
		buf[n] = 0;
	}
	check(strstr(buf, want), "%.40s: %s", text, buf);
	close(fd);
}

/* Replies that come later, in another order, one of them to nobody. */
static void test_later(struct fixture *f)
{
	int gone = raw(f->path);

	say(f->path, "{\"id\":1,\"do\":\"later\"}\n{\"id\":2,\"do\":\"later\"}\n"
	    "{\"id\":3,\"do\":\"now\",\"what\":\"x\"}\n", 3,
	    "{\"what\":\"x\",\"ok\":true,\"id\":1}\n"
	    "{\"ok\":false,\"code\":5,\"error\":\"failed\",\"id\":2}\n"
	    "{\"ok\":true,\"id\":3}\n");
	check(send(gone, "{\"do\":\"later\"}\n", 15, 0) == 15, "send");
	close(gone);
	test_calls(f);		/* it is noticed meanwhile */
	say(f->path, "{\"do\":\"now\"}\n", 1, "\\\"what\\\" is missing");
	say(f->path, "{\"do\":\"now\",\"what\":\"y\"}\n", 1, "\"ok\":true");
}

static void test_hostile(struct fixture *f)
{
	static char big[CTL_LINE + 10];
	int fd, many[CTL_CLIENTS + 8];
	char c;

	say(f->path, "\n", 1, "\"ok\":false");
	say(f->path, "[]\n", 1, "not a JSON object");
	say(f->path, "{\"do\":1}\n", 1, "not a JSON object");
	say(f->path, "{\"do\":\"add\",\"do\":\"add\"}\n", 1, "not a JSON object");
	say(f->path, "{\"id\":[1],\"do\":\"none\"}\n", 1, "no such request");
	say(f->path, "{\"id\":\"q\",\"do\":\"add\",\"a\":1}\n{\"id\":2,\"do\":\"add\"}\n", 2, "\"id\":2");
	memset(big, '[', sizeof(big));
	fd = raw(f->path);
	for (size_t at = 0; at < sizeof(big);) {
		ssize_t n = send(fd, big + at, sizeof(big) - at, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	check(recv(fd, &c, 1, 0) <= 0, "a line without an end is cut off");
	close(fd);
	for (unsigned i = 0; i < CTL_CLIENTS + 8; i++)
		many[i] = raw(f->path);
	check(recv(many[CTL_CLIENTS + 7], &c, 1, 0) <= 0, "one client too many");
	for (unsigned i = 0; i < CTL_CLIENTS + 8; i++)
		close(many[i]);
}

/* Who asks and never reads is cut off, and the others are served. */
static void test_greedy(struct fixture *f)
{
	static const char ask[] = "{\"do\":\"none\",\"id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n";
	int fd = raw(f->path);
	unsigned n = 0;

	while (n < 1000000 && send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0)
		n++;
	check(n < 1000000, "never cut off");
	test_calls(f);
	close(fd);
}

static void test_names(void)
{
	struct ctl_server *s = NULL, *other = NULL;
	struct err e = { 0 };
	char dir[] = "/tmp/ring1-test-XXXXXX", path[64], *sub = NULL;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	check(mkdtemp(dir), "mkdtemp");
	setenv("RING1_RUN", dir, 1);
	check(!rundir_path(&sub, "vm", &e), "%s", e.msg);
	snprintf(path, sizeof(path), "%s/x", sub);
	strcpy(a.sun_path, path);
	check(!bind(fd, (struct sockaddr *)&a, sizeof(a)), "bind");
	close(fd);
	check(!ctl_listen(&s, path, verbs, NULL, &e), "a dead one's name: %s", e.msg);
	check(ctl_listen(&other, path, verbs, NULL, &e) == -EADDRINUSE, "%s", e.msg);
	ctl_close(s);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	check(ctl_listen(&other, path, verbs, NULL, &e) == -EEXIST, "%s", e.msg);
	unlink(path);
	chmod(sub, 0777);
	free(sub);
	check(rundir_path(&sub, "vm", &e) == -EPERM, "others may write");
	snprintf(path, sizeof(path), "%s/vm", dir);
	rmdir(path);
	check(!symlink("/tmp", path), "symlink");
	check(rundir_path(&sub, "vm", &e) == -EPERM, "a link");
	unlink(path);
	rmdir(dir);
}

/* Longer than an address can be; and a last part that is. */
static void test_long_names(void)
{
	char dir[] = "/tmp/ring1-test-XXXXXX", path[400], name[] = "a/socket";
	struct ctl_server *s = NULL, *other = NULL;
	struct ctl_client *c = NULL;
	struct err e = { 0 };
	char *was = getcwd(NULL, 0);

	check(mkdtemp(dir) && !chdir(dir) && !mkdir("a", 0700), "mkdtemp");
	for (unsigned len = 100; len <= 300; len++) {
		/* "/tmp/ring1-test-123456/./././a/socket" */
		snprintf(path, sizeof(path), "%s/", dir);
		while (strlen(path) + 2 + strlen(name) <= len)
			strcat(path, "./");
		strcat(path, name);
		check(!ctl_listen(&s, path, verbs, NULL, &e), "%zu: %s", strlen(path), e.msg);
		check(ctl_listen(&other, path, verbs, NULL, &e) == -EADDRINUSE, "%zu: %s", strlen(path), e.msg);
		check(!ctl_connect(&c, path, &e), "%zu: %s", strlen(path), e.msg);
		ctl_disconnect(c);
		ctl_close(s);
		check(access(path, F_OK) && ctl_connect(&c, path, &e) == -ENOENT, "%zu: %s", strlen(path), e.msg);
	}
	snprintf(path, sizeof(path), "%s/a/%0200d", dir, 0);
	check(ctl_connect(&c, path, &e) == -ENAMETOOLONG, "%s", e.msg);
	check(ctl_listen(&s, path, verbs, NULL, &e) == -ENAMETOOLONG, "%s", e.msg);
	rmdir("a");
	check(!chdir(was) && !rmdir(dir), "rmdir");
	free(was);
}

int main(void)
{
	struct fixture f;

	setup(&f);
	test_calls(&f);
	test_fds(&f);
	test_events(&f);
	test_later(&f);
	test_hostile(&f);
	test_greedy(&f);
	teardown(&f);
	test_names();
	test_long_names();
	return check_done();
}
