#ifndef BASE_ERR_H
#define BASE_ERR_H
/*
 * Errors as values: library calls return 0 or -errno and describe the
 * failure in a caller-owned struct err.  Nothing here prints.
 */

struct err {
	int code;		/* the -errno that was returned, 0 when unset */
	char msg[240];		/* one sentence, no newline, no final full stop */
};

/*
 * Record an error.
 *
 * e          may be NULL: then only the code is passed on
 * rc         -errno
 * fmt        printf format of the sentence
 * Returns    rc, so that callers write `return err_set(e, -EINVAL, ...)`
 */
int err_set(struct err *e, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As err_set, and appends ": " and strerror(-rc). */
int err_sys(struct err *e, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Prefix the message with "place: ".  Returns rc. */
int err_in(struct err *e, int rc, const char *place);

/* The same message, but another -errno, which is returned. */
int err_code(struct err *e, int rc);

#endif
