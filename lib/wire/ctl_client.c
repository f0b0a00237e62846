/* The control socket: the client. */
#include "wire/ctl_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/sockname.h"

#define REPLY_MAX (16u << 20)

struct ctl_client {
	int fd;
	uint64_t id;		/* of the last request */
	char *in;
	size_t nin, room;
	json_t *events;		/* that came while a reply was waited for */
};

#define EVENTS_KEPT 1024

int ctl_connect(struct ctl_client **out, const char *path, struct err *e)
{
	struct ctl_client *c = calloc(1, sizeof(*c));
	struct sockaddr_un a;
	int dir, rc;

	if (!c || !(c->events = json_array())) {
		free(c);
		return err_set(e, -ENOMEM, "no memory");
	}
	c->fd = -1;
	rc = sockname(&a, &dir, path, e);
	if (!rc) {
		c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)))
			rc = err_sys(e, -errno, "%.120s", path);
	}
	if (dir >= 0)
		close(dir);
	if (rc)
		ctl_disconnect(c);
	else
		*out = c;
	return rc;
}

void ctl_disconnect(struct ctl_client *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	json_decref(c->events);
	free(c->in);
	free(c);
}

static int wait_for(int fd, short what, uint64_t deadline_ns, struct err *e)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = what };
		uint64_t now = clock_ns();
		int n;

		if (now >= deadline_ns)
			return err_set(e, -ETIMEDOUT, "no answer in time");
		n = poll(&p, 1, (int)((deadline_ns - now) / 1000000 % 3600000) + 1);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_sys(e, -errno, "poll");
	}
}

static uint64_t deadline(double timeout_s)
{
	return clock_ns() + (uint64_t)(timeout_s * 1e9);
}

/* The descriptors go with the first byte. */
static int send_line(struct ctl_client *c, const char *line, const int *fd, unsigned nfds,
		     uint64_t deadline_ns, struct err *e)
{
	char ctl[CMSG_SPACE(CTL_FDS * sizeof(int))] = { 0 };
	size_t at = 0, len = strlen(line);

	while (at < len) {
		struct iovec iov = { (char *)line + at, len - at };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;
		int rc;

		if (at == 0 && nfds) {
			struct cmsghdr *h;

			m.msg_control = ctl;
			m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
			h = CMSG_FIRSTHDR(&m);
			h->cmsg_level = SOL_SOCKET;
			h->cmsg_type = SCM_RIGHTS;
			h->cmsg_len = CMSG_LEN(nfds * sizeof(int));
			memcpy(CMSG_DATA(h), fd, nfds * sizeof(int));
		}
		rc = wait_for(c->fd, POLLOUT, deadline_ns, e);
		if (rc)
			return rc;
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_sys(e, -EPIPE, "the other side went away");
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* The next line as JSON. */
static int next_object(struct ctl_client *c, uint64_t deadline_ns, json_t **o, struct err *e)
{
	char *nl;

	while (!(nl = c->nin ? memchr(c->in, '\n', c->nin) : NULL)) {
		ssize_t n;
		int rc;

		if (c->nin == c->room) {
			size_t room = c->room ? c->room * 2 : 4096;
			char *in = room <= REPLY_MAX ? realloc(c->in, room) : NULL;

			if (!in)
				return err_set(e, -EPROTO, "the answer is too long");
			c->in = in;
			c->room = room;
		}
		rc = wait_for(c->fd, POLLIN, deadline_ns, e);
		if (rc)
			return rc;
		n = recv(c->fd, c->in + c->nin, c->room - c->nin, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			return err_set(e, -EPIPE, "the other side went away");
		c->nin += n > 0 ? (size_t)n : 0;
	}
	*o = json_loadb(c->in, (size_t)(nl - c->in), 0, NULL);
	c->nin -= (size_t)(nl - c->in) + 1;
	memmove(c->in, nl + 1, c->nin);
	if (!json_is_object(*o)) {
		json_decref(*o);
		return err_set(e, -EPROTO, "the answer is not a JSON object");
	}
	return 0;
}

int ctl_call(struct ctl_client *c, const char *verb, struct json *args, const int *fd,
	     unsigned nfds, double timeout_s, json_t **reply, struct err *e)
{
	uint64_t until = deadline(timeout_s), id = ++c->id;
	char *line;
	int rc;

	json_put_text(args, "do", verb);
	json_put_u64(args, "id", id);
	line = json_line(args);
	if (!line)
		return err_set(e, -ENOMEM, "no memory");
	if (strlen(line) > CTL_LINE || nfds > CTL_FDS) {
		free(line);
		return err_set(e, -E2BIG, "the request is too long");
	}
	rc = send_line(c, line, fd, nfds, until, e);
	free(line);
	while (!rc) {
		json_t *o;

		rc = next_object(c, until, &o, e);
		if (rc)
			break;
		if (json_object_get(o, "event") && json_array_size(c->events) < EVENTS_KEPT)
			json_array_append(c->events, o);
		else if ((uint64_t)json_integer_value(json_object_get(o, "id")) == id)
			return ctl_judge(o, reply, e);
		json_decref(o);
	}
	return rc;
}

int ctl_next_event(struct ctl_client *c, double timeout_s, json_t **event, struct err *e)
{
	uint64_t until = deadline(timeout_s);

	if (json_array_size(c->events)) {
		*event = json_incref(json_array_get(c->events, 0));
		json_array_remove(c->events, 0);
		return 0;
	}
	for (;;) {
		json_t *o;
		int rc = next_object(c, until, &o, e);

		if (rc)
			return rc;
		if (json_object_get(o, "event")) {
			*event = o;
			return 0;
		}
		json_decref(o);
	}
}
