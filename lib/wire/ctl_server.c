/* The control socket: the server.  One thread; nothing blocks. */
#include "wire/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/sockname.h"

struct ctl_later {
	struct ctl_later *next;	/* of the same client */
	struct client *c;	/* NULL: it is gone */
	json_t *id;
};

struct client {
	struct client *next;
	struct ctl_later *later;
	struct ctl_server *s;
	int fd;
	bool subscribed;
	bool asked_all;		/* it sends no more, but may wait for replies */
	bool gone;		/* to be freed at the end of ctl_handle() */
	char in[CTL_LINE];
	size_t nin;
	int fds[CTL_FDS];	/* came with the line that is being read */
	unsigned nfds;
	char *out;
	size_t nout, out_room;
};

struct ctl_server {
	int fd, epoll;
	char *path;
	struct stat named;	/* the socket, to tell whether the name is still ours */
	const struct ctl_verb *verbs;
	void *ptr;
	struct client *clients;
	unsigned nclients;
};

/* --- clients ------------------------------------------------------------------- */

static void close_fds(int *fd, unsigned *n)
{
	for (unsigned i = 0; i < *n; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	*n = 0;
}

static void client_free(struct client *c)
{
	for (struct ctl_later *l = c->later; l; l = l->next)
		l->c = NULL;
	close_fds(c->fds, &c->nfds);
	close(c->fd);
	free(c->out);
	free(c);
}

/* Wait for room only while something is to be sent. */
static void client_watch(struct client *c)
{
	struct epoll_event ev = {
		.events = (c->asked_all ? 0 : EPOLLIN) | (c->nout ? EPOLLOUT : 0), .data.ptr = c,
	};

	epoll_ctl(c->s->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

static void client_send(struct client *c)
{
	size_t at = 0;

	while (at < c->nout) {
		ssize_t n = send(c->fd, c->out + at, c->nout - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			c->gone = true;
		if (n < 0)
			break;
		at += (size_t)n;
	}
	memmove(c->out, c->out + at, c->nout - at);
	c->nout -= at;
	client_watch(c);
}

/* Takes line, which may be NULL. */
static void client_put(struct client *c, char *line)
{
	size_t len = line ? strlen(line) : 0;

	if (!len || c->nout + len > CTL_BACKLOG) {
		c->gone = true;
		free(line);
		return;
	}
	if (c->nout + len > c->out_room) {
		size_t room = (c->nout + len) * 2;
		char *out = realloc(c->out, room);

		if (!out) {
			c->gone = true;
			free(line);
			return;
		}
		c->out = out;
		c->out_room = room;
	}
	memcpy(c->out + c->nout, line, len);
	c->nout += len;
	free(line);
	client_send(c);
}

/* --- requests ------------------------------------------------------------------ */

static int find_and_run(struct client *c, const char *name, struct ctl_request *r,
			struct json *out, struct err *e)
{
	if (!strcmp(name, "subscribe")) {
		c->subscribed = true;
		return 0;
	}
	for (const struct ctl_verb *v = c->s->verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v->run(c->s->ptr, r, out, e);
	return err_set(e, -ENOSYS, "no such request: %.60s", name);
}

static void drop(struct json *j)
{
	json_decref(j->v);
	*j = (struct json){ 0 };
}

static void reply(struct client *c, json_t *id, int rc, struct json *out, const struct err *e)
{
	if (rc) {
		drop(out);
		json_put_bool(out, "ok", false);
		json_put_u64(out, "code", (uint64_t)-rc);
		json_put_text(out, "error", e->msg);
	} else {
		json_put_bool(out, "ok", true);
	}
	if (id && json_object_set(out->v, "id", id))
		out->failed = true;
	client_put(c, json_line(out));
}

/* The id that a reply is to repeat, or NULL. */
static json_t *id_of(const json_t *request)
{
	json_t *id = json_object_get(request, "id");

	return json_is_number(id) || json_is_string(id) ? id : NULL;
}

struct ctl_later *ctl_later(struct ctl_request *r, struct err *e)
{
	struct client *c = r->from;
	struct ctl_later *l = malloc(sizeof(*l));

	if (!l) {
		err_set(e, -ENOMEM, "no memory");
		return NULL;
	}
	*l = (struct ctl_later){ .next = c->later, .c = c, .id = json_incref(id_of(r->args)) };
	c->later = l;
	return l;
}

void ctl_answer(struct ctl_later *l, int rc, struct json *out, const struct err *e)
{
	struct ctl_later **at = l->c ? &l->c->later : NULL;

	for (; at && *at != l; at = &(*at)->next)
		;
	if (at)
		*at = l->next;
	if (l->c && !l->c->gone) {
		reply(l->c, l->id, rc, out, e);
		l->c->gone |= l->c->asked_all && !l->c->later;
	} else {
		drop(out);
	}
	json_decref(l->id);
	free(l);
}

static void request(struct client *c, const char *line, size_t len)
{
	struct ctl_request r = { 0 };
	struct json out = { 0 };
	struct err e = { 0 };
	const char *name;
	json_t *o;
	int rc;

	o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	name = json_string_value(json_object_get(o, "do"));
	r.args = o;
	r.from = c;
	r.nfds = c->nfds;
	memcpy(r.fd, c->fds, sizeof(r.fd));
	c->nfds = 0;
	if (!name)
		rc = err_set(&e, -EINVAL, "not a JSON object with \"do\"");
	else
		rc = find_and_run(c, name, &r, &out, &e);
	if (rc == CTL_LATER)
		drop(&out);
	else
		reply(c, id_of(o), rc, &out, &e);
	close_fds(r.fd, &r.nfds);
	json_decref(o);
}

/* Descriptors of one message; too many of them close the connection. */
static void take_fds(struct client *c, struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t n;
		int fd;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (c->nfds < CTL_FDS) {
				c->fds[c->nfds++] = fd;
			} else {
				close(fd);
				c->gone = true;
			}
		}
	}
	if (m->msg_flags & MSG_CTRUNC)
		c->gone = true;
}

/* Returns false when there is nothing more to read now. */
static bool client_read(struct client *c)
{
	char ctl[CMSG_SPACE(CTL_FDS * sizeof(int))];
	struct iovec iov = { c->in + c->nin, CTL_LINE - c->nin };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl),
	};
	ssize_t n = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	char *nl;

	if (n < 0) {
		c->gone |= errno != EAGAIN && errno != EINTR;
		return false;
	}
	take_fds(c, &m);
	if (n == 0) {
		c->gone |= !c->later;
		c->asked_all = true;
		client_watch(c);
		return false;
	}
	c->nin += (size_t)n;
	while (!c->gone && (nl = memchr(c->in, '\n', c->nin))) {
		size_t len = (size_t)(nl - c->in) + 1;

		request(c, c->in, len - 1);
		memmove(c->in, c->in + len, c->nin - len);
		c->nin -= len;
	}
	if (c->nin == CTL_LINE)
		c->gone = true;		/* the line is too long */
	return !c->gone;
}

/* --- the server ---------------------------------------------------------------- */

static void accept_one(struct ctl_server *s)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	struct client *c;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct epoll_event ev = { .events = EPOLLIN };

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) ||
	    (who.uid != geteuid() && who.uid != 0) || s->nclients >= CTL_CLIENTS ||
	    !(c = calloc(1, sizeof(*c)))) {
		close(fd);
		return;
	}
	c->s = s;
	c->fd = fd;
	ev.data.ptr = c;
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		client_free(c);
		return;
	}
	c->next = s->clients;
	s->clients = c;
	s->nclients++;
}

static void sweep(struct ctl_server *s)
{
	for (struct client **p = &s->clients; *p;) {
		struct client *c = *p;

		if (!c->gone) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		s->nclients--;
		client_free(c);
	}
}

void ctl_handle(struct ctl_server *s)
{
	struct epoll_event ev[CTL_CLIENTS + 1];
	int n = epoll_wait(s->epoll, ev, CTL_CLIENTS + 1, 0);

	for (int i = 0; i < n; i++) {
		struct client *c = ev[i].data.ptr;

		if (!c) {
			accept_one(s);
			continue;
		}
		/* Who has died asks for nothing any more, whatever is left to be read: what
		 * it wanted may be settled in another way by now. */
		if (ev[i].events & EPOLLHUP)
			c->gone = true;
		if (!c->gone && (ev[i].events & EPOLLOUT))
			client_send(c);
		/* One message a turn: a client that never stops does not stop the rest. */
		if (!c->gone && (ev[i].events & (EPOLLIN | EPOLLERR)))
			client_read(c);
	}
	sweep(s);
}

void ctl_event(struct ctl_server *s, const char *name, struct json *o)
{
	char *line;

	json_put_text(o, "event", name);
	line = json_line(o);
	for (struct client *c = s->clients; c && line; c = c->next)
		if (c->subscribed && !c->gone)
			client_put(c, strdup(line));
	free(line);
	/* Who is gone is freed by ctl_handle(): this may have been called by a verb. */
}

/* A name whose owner is gone answers nobody.  a is the address of path. */
static int remove_stale(const struct sockaddr_un *a, const char *path, struct err *e)
{
	struct stat st;
	int fd, rc;

	if (lstat(a->sun_path, &st))
		return errno == ENOENT ? 0 : err_sys(e, -errno, "%.100s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "%.100s: is there and not a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, -errno, "socket");
	rc = connect(fd, (const struct sockaddr *)a, sizeof(*a)) ? -errno : 0;
	close(fd);
	if (rc != -ECONNREFUSED)
		return err_set(e, -EADDRINUSE, "%.100s: another process listens there", path);
	return unlink(a->sun_path) && errno != ENOENT ? err_sys(e, -errno, "%.100s", path) : 0;
}

static int listen_at(struct ctl_server *s, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct sockaddr_un a;
	int dir, rc = sockname(&a, &dir, s->path, e);

	if (rc)
		return rc;
	rc = remove_stale(&a, s->path, e);
	if (!rc) {
		s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (s->fd < 0)
			rc = err_sys(e, -errno, "socket");
	}
	if (!rc && (bind(s->fd, (struct sockaddr *)&a, sizeof(a)) || chmod(s->path, 0600) ||
		    listen(s->fd, CTL_CLIENTS) || lstat(s->path, &s->named)))
		rc = err_sys(e, -errno, "%.100s", s->path);
	if (dir >= 0)
		close(dir);
	if (rc)
		return rc;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->fd, &ev))
		return err_sys(e, -errno, "epoll");
	return 0;
}

int ctl_listen(struct ctl_server **out, const char *path, const struct ctl_verb *verbs,
	       void *ptr, struct err *e)
{
	struct ctl_server *s = calloc(1, sizeof(*s));
	int rc;

	if (s)
		s->path = strdup(path);
	if (!s || !s->path) {
		free(s);
		return err_set(e, -ENOMEM, "no memory");
	}
	s->fd = s->epoll = -1;
	s->verbs = verbs;
	s->ptr = ptr;
	rc = listen_at(s, e);
	if (rc)
		ctl_close(s);
	else
		*out = s;
	return rc;
}

void ctl_close(struct ctl_server *s)
{
	struct stat st;

	if (!s)
		return;
	for (struct client *c = s->clients; c; c = c->next)
		c->gone = true;
	sweep(s);
	if (s->named.st_ino && !lstat(s->path, &st) && st.st_ino == s->named.st_ino &&
	    st.st_dev == s->named.st_dev)
		unlink(s->path);
	if (s->fd >= 0)
		close(s->fd);
	if (s->epoll >= 0)
		close(s->epoll);
	free(s->path);
	free(s);
}

int ctl_fd(const struct ctl_server *s)
{
	return s->epoll;
}
