#include "wire/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/ctl_impl.h"
#include "wire/sockname.h"

struct ask {
	int fd;
	size_t nin;
	char in[CTL_LINE];
};

static int join(struct ask *a, const char *path, struct err *e)
{
	struct sockaddr_un addr;
	int dir, rc = sockname(&addr, &dir, path, e);

	if (rc)
		return rc;
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0 || connect(a->fd, (struct sockaddr *)&addr, sizeof(addr)))
		rc = err_sys(e, -errno, "%.120s", path);
	if (dir >= 0)
		close(dir);
	return rc;
}

static int send_line(struct ask *a, char *line, const int *fd, unsigned nfds, struct err *e)
{
	char ctl[CMSG_SPACE(CTL_FDS * sizeof(int))] = { 0 };
	struct iovec iov = { line, strlen(line) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (nfds) {
		struct cmsghdr *h;

		m.msg_control = ctl;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(h), fd, nfds * sizeof(int));
	}
	n = sendmsg(a->fd, &m, MSG_NOSIGNAL);
	if (n < 0)
		return err_sys(e, -errno, "cannot send the request");
	return (size_t)n == iov.iov_len ? 0 : err_set(e, -E2BIG, "the request is too long");
}

int ask_start(struct ask **out, const char *path, const char *verb, struct json *args,
	      const int *fd, unsigned nfds, struct err *e)
{
	struct ask *a = calloc(1, sizeof(*a));
	char *line;
	int rc;

	json_put_text(args, "do", verb);
	json_put_u64(args, "id", 1);
	line = json_line(args);
	if (a)
		a->fd = -1;
	if (!a || !line)
		rc = err_set(e, -ENOMEM, "no memory");
	else if (nfds > CTL_FDS)
		rc = err_set(e, -E2BIG, "too many descriptors");
	else
		rc = join(a, path, e);
	if (!rc)
		rc = send_line(a, line, fd, nfds, e);
	free(line);
	if (rc)
		ask_free(a);
	else
		*out = a;
	return rc;
}

void ask_free(struct ask *a)
{
	if (a && a->fd >= 0)
		close(a->fd);
	free(a);
}

int ask_fd(const struct ask *a)
{
	return a->fd;
}

int ask_read(struct ask *a, json_t **reply, struct err *e)
{
	for (;;) {
		ssize_t n = recv(a->fd, a->in + a->nin, sizeof(a->in) - a->nin, 0);
		char *nl;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return ASK_LATER;
		if (n <= 0)
			return err_set(e, -EPIPE, "the other side went away");
		nl = memchr(a->in + a->nin, '\n', (size_t)n);
		a->nin += (size_t)n;
		if (nl)
			return ctl_judge(json_loadb(a->in, (size_t)(nl - a->in), 0, NULL), reply, e);
		if (a->nin == sizeof(a->in))
			return err_set(e, -EPROTO, "the answer is too long");
	}
}
