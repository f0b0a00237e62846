#ifndef WIRE_ASK_H
#define WIRE_ASK_H
/*
 * One request to a control socket (wire/ctl.h) without waiting: for loops that have other
 * work than to wait for a process that may hang.
 */

#include "base/json.h"

#include "base/err.h"

struct ask;

/*
 * Connect and send the request.
 *
 * args       its members but for id and do, taken; small: all of it has to fit into the
 *            socket's buffer
 * fd, nfds   descriptors that go with it (CTL_FDS at most); the caller still has to close
 *            its own
 * Returns    0; -EAGAIN: too many wait to be served there, try again later; -ENOENT,
 *            -ECONNREFUSED: no one listens; ...
 */
int ask_start(struct ask **a, const char *path, const char *verb, struct json *args,
	      const int *fd, unsigned nfds, struct err *e);
void ask_free(struct ask *a);	/* NULL is fine; it need not have been answered */

/* To be polled for POLLIN; then call ask_read(). */
int ask_fd(const struct ask *a);

/*
 * reply      on success: for json_decref(); NULL: not wanted
 * Returns    0; ASK_LATER: not yet; -errno that was answered, with its sentence; -EPIPE: it
 *            went away; -EPROTO: not an answer
 */
#define ASK_LATER 1
int ask_read(struct ask *a, json_t **reply, struct err *e);
#endif
