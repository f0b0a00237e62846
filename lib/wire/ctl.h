#ifndef WIRE_CTL_H
#define WIRE_CTL_H
/*
 * The control socket of a process: JSON objects, one a line, over a UNIX stream socket.
 *
 *	request   {"id":1,"do":"info", ...}		id: any number or text, repeated
 *	reply     {"id":1,"ok":true, ...}
 *	          {"id":1,"ok":false,"code":16,"error":"..."}	code: an errno
 *	event     {"event":"...", ...}			after {"do":"subscribe"}
 *
 * Descriptors may come with a request (SCM_RIGHTS, with its first byte).  Only the
 * process's own user and root are served (SO_PEERCRED).  Clients are hostile: lines,
 * clients, descriptors and unread replies are bounded.  Requests of a client that closed
 * its connection before they were read are not served.
 */

#include "base/json.h"

#include "base/err.h"

#define CTL_LINE	65536u	/* bytes of a request */
#define CTL_FDS		16u	/* descriptors that come with a request */
#define CTL_CLIENTS	32u
#define CTL_BACKLOG	(4u << 20)	/* bytes a client has not read: more, and it is cut off */

struct ctl_request {
	const json_t *args;	/* the request's object */
	int fd[CTL_FDS];	/* the server closes what is not set to -1 */
	unsigned nfds;
	void *from;		/* the server's own */
};

struct ctl_verb {
	const char *name;	/* NULL ends the table */
	/* Members of the reply go to out.  0, or -errno: then out is forgotten; or
	 * CTL_LATER.  Does not block: other work of the thread waits. */
	int (*run)(void *ptr, struct ctl_request *r, struct json *out, struct err *e);
};

struct ctl_server;

/*
 * Listen at path, a name that is free or whose owner is gone.
 *
 * verbs      must outlive the server; "subscribe" is the server's own
 * ptr        handed to them
 * Returns    0; -EADDRINUSE: a living process listens there; -ENAMETOOLONG; or what the
 *            system said
 */
int ctl_listen(struct ctl_server **s, const char *path, const struct ctl_verb *verbs,
	       void *ptr, struct err *e);
void ctl_close(struct ctl_server *s);	/* and remove the name; NULL is fine */

/* A descriptor to poll for POLLIN, and what to do then: never blocks. */
int ctl_fd(const struct ctl_server *s);
void ctl_handle(struct ctl_server *s);

/*
 * A reply that takes longer: the verb calls ctl_later() and returns CTL_LATER; ctl_answer()
 * then replies as the verb would have, on ctl_handle()'s thread, to nobody if the client
 * is gone by then or the server closed.  NULL: no memory, and the verb fails.
 */
#define CTL_LATER 1
struct ctl_later;
struct ctl_later *ctl_later(struct ctl_request *r, struct err *e);
void ctl_answer(struct ctl_later *l, int rc, struct json *out, const struct err *e);

/*
 * An argument of a request, or of an object in it.
 * Returns    0; -EINVAL: it is missing, or of another type; the message names it
 */
int ctl_text(const json_t *o, const char *name, const char **s, struct err *e);
int ctl_number(const json_t *o, const char *name, uint64_t max, uint64_t *n, struct err *e);

/* Tell all who subscribed; o ({"event":name, ...}) is taken.  On ctl_handle()'s thread. */
void ctl_event(struct ctl_server *s, const char *name, struct json *o);

/* The client's side. */
struct ctl_client;

/* Returns 0; -ENOENT, -ECONNREFUSED: no one listens; ... */
int ctl_connect(struct ctl_client **c, const char *path, struct err *e);
void ctl_disconnect(struct ctl_client *c);	/* NULL is fine */

/*
 * Send a request and wait for its reply; events meanwhile are passed over.
 *
 * args       its members but for id and do, taken; may be { 0 }
 * fd, nfds   descriptors that go with it; the caller still has to close its own
 * reply      on success: the reply, for json_decref(); NULL: not wanted
 * Returns    0; -errno that the server answered, with its sentence; -EPROTO: not an
 *            answer; -EPIPE: it went away; -ETIMEDOUT
 */
int ctl_call(struct ctl_client *c, const char *verb, struct json *args, const int *fd,
	     unsigned nfds, double timeout_s, json_t **reply, struct err *e);

/* The next event within timeout_s, for json_decref().  0, -ETIMEDOUT, -EPIPE, ... */
int ctl_next_event(struct ctl_client *c, double timeout_s, json_t **event, struct err *e);
#endif
