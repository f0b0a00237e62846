/*
 * Files on web servers, read only, by ranges (RFC 9110, section 14).  What was received
 * before a connection broke is kept; the rest is asked for again, after a while that
 * doubles with each attempt that brought nothing.
 *
 * Small reads come out of blocks that are kept: tables are read a sector here and a
 * sector there, and each request takes as long as the way to the server and back.
 */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "disk/file.h"
#include "disk/iov.h"

#define TRIES		6	/* that bring nothing, before it is given up */
#define WAIT_MS		100	/* before the second; doubles */
#define WAIT_MAX_S	30	/* however long the server asks to be left alone */
#define CONNECT_S	15
#define STALL_S		30	/* without a byte: the connection is taken for dead */
#define REDIRECTS	10
#define HANDLES		8	/* idle connections kept */
#define BLOCK		(128u << 10)
#define BLOCKS		32
#define IGNORED_MAX	65536	/* bytes read of the text that comes with an error */

struct block {
	uint64_t no;
	uint64_t used;		/* h->tick then; 0: empty */
	char *data;
};

struct http {
	pthread_mutex_t lock;
	CURL *idle[HANDLES];
	unsigned nidle;
	char tag[128];		/* ETag or Last-Modified when it was opened */
	struct block block[BLOCKS];
	uint64_t tick;
};

/* One request. */
struct get {
	CURL *curl;
	struct iov_at to;
	uint64_t off, end;	/* what is still asked for */
	uint64_t first, total;	/* of Content-Range; total UINT64_MAX: not said */
	bool ranged;		/* there was one */
	uint64_t ignored;
	char tag[128];
	char why[CURL_ERROR_SIZE];
};

static struct http *http_of(struct disk_file *f)
{
	return f->priv;
}

/* What the server says */

static bool header_is(const char *line, size_t len, const char *name)
{
	return len > strlen(name) && !strncasecmp(line, name, strlen(name));
}

static void keep_tag(struct get *g, const char *line, size_t len)
{
	while (len && strchr(" \r\n", line[len - 1]))
		len--;
	if (len >= sizeof(g->tag))
		len = sizeof(g->tag) - 1;
	memcpy(g->tag, line, len);
	g->tag[len] = 0;
}

static size_t on_header(char *line, size_t size, size_t n, void *ptr)
{
	static const char range[] = "Content-Range: bytes ";
	unsigned long long first, last, total;
	struct get *g = ptr;
	size_t len = size * n;
	char text[128];

	if (len > 5 && !strncmp(line, "HTTP/", 5)) {	/* of a redirection before, perhaps */
		g->ranged = false;
		g->tag[0] = 0;
	}
	if (header_is(line, len, "ETag:") ||
	    (header_is(line, len, "Last-Modified:") && !header_is(g->tag, strlen(g->tag), "ETag:")))
		keep_tag(g, line, len);
	if (!header_is(line, len, range))
		return len;
	snprintf(text, sizeof(text), "%.*s", (int)(len - strlen(range)), line + strlen(range));
	g->total = UINT64_MAX;
	if (sscanf(text, "%llu-%llu/%llu", &first, &last, &total) == 3)
		g->total = total;
	else if (sscanf(text, "*/%llu", &total) == 1)
		g->total = total, first = 0;
	else if (sscanf(text, "%llu-%llu/*", &first, &last) != 2)
		return len;
	g->first = first;
	g->ranged = true;
	return len;
}

static size_t on_data(char *data, size_t size, size_t n, void *ptr)
{
	struct get *g = ptr;
	size_t len = size * n;
	long code = 0;

	curl_easy_getinfo(g->curl, CURLINFO_RESPONSE_CODE, &code);
	if (code != 206) {
		g->ignored += len;
		return code == 200 || g->ignored > IGNORED_MAX ? 0 : len;
	}
	if (!g->ranged || g->first != g->off || len > g->end - g->off)
		return 0;
	iov_fill(&g->to, data, len);
	g->off += len;
	g->first += len;
	return len;
}

/* Handles: each keeps its connection. */

static CURL *handle_get(struct http *h)
{
	CURL *c = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->nidle)
		c = h->idle[--h->nidle];
	pthread_mutex_unlock(&h->lock);
	if (c)
		curl_easy_reset(c);
	return c ? c : curl_easy_init();
}

static void handle_put(struct http *h, CURL *c)
{
	pthread_mutex_lock(&h->lock);
	if (h->nidle < HANDLES) {
		h->idle[h->nidle++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	if (c)
		curl_easy_cleanup(c);
}

static void prepare(struct get *g, const char *url)
{
	const char *ca = getenv("CURL_CA_BUNDLE");
	CURL *c = g->curl;

	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "ring1");
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, g->why);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, g);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, g);
	if (ca)
		curl_easy_setopt(c, CURLOPT_CAINFO, ca);
}

/* Errors */

static int refused(const char *url, long code, struct err *e)
{
	switch (code) {
	case 401: case 403: case 407:
		return err_set(e, -EACCES, "%s: the server refuses it (HTTP %ld)", url, code);
	case 404: case 410:
		return err_set(e, -ENOENT, "%s: the server has no such file (HTTP %ld)", url, code);
	default:
		return err_set(e, -EIO, "%s: the server answers HTTP %ld", url, code);
	}
}

static bool passes(CURLcode rc, long code)
{
	switch (rc) {
	case CURLE_OK: case CURLE_WRITE_ERROR:
		return code == 408 || code == 429 || code >= 500;
	case CURLE_COULDNT_CONNECT: case CURLE_COULDNT_RESOLVE_HOST: case CURLE_PARTIAL_FILE:
	case CURLE_OPERATION_TIMEDOUT: case CURLE_GOT_NOTHING: case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR: case CURLE_HTTP2: case CURLE_HTTP2_STREAM:
	case CURLE_SSL_CONNECT_ERROR: case CURLE_AGAIN:
		return true;
	default:
		return false;
	}
}

static void pause_for(CURL *c, unsigned failed)
{
	struct timespec t = { 0 };
	curl_off_t asked = 0;
	uint64_t ms = (uint64_t)WAIT_MS << (failed - 1);

	curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &asked);
	if (asked > WAIT_MAX_S)
		asked = WAIT_MAX_S;
	if ((uint64_t)asked * 1000 > ms)
		ms = (uint64_t)asked * 1000;
	t.tv_sec = (time_t)(ms / 1000);
	t.tv_nsec = (long)(ms % 1000) * 1000000;
	nanosleep(&t, NULL);
}

/* Is what came what was asked for?  0: more is missing, perhaps. */
static int judge(const struct disk_file *f, const struct http *h, const struct get *g,
		 CURLcode rc, long code, struct err *e)
{
	if (code == 200)
		return err_set(e, -ENOTSUP, "%s: the server cannot send a part of the file, but "
			       "the whole only (no ranges); download it first", f->path);
	if (rc != CURLE_OK && rc != CURLE_WRITE_ERROR)
		return err_set(e, -EIO, "%s: %s", f->path, g->why[0] ? g->why : curl_easy_strerror(rc));
	if (code != 206)
		return refused(f->path, code, e);
	if (h->tag[0] && strcmp(g->tag, h->tag))
		return err_set(e, -EIO, "%s: has changed on the server while it was in use", f->path);
	if (rc == CURLE_WRITE_ERROR)
		return err_set(e, -EIO, "%s: the server sends another range than it was asked for",
			       f->path);
	return 0;
}

/* Get g->off..end: in as many requests as it takes. */
static int fetch(struct disk_file *f, struct get *g, struct err *e)
{
	struct http *h = http_of(f);
	unsigned failed = 0;
	int rc = 0;

	g->curl = handle_get(h);
	if (!g->curl)
		return err_set(e, -ENOMEM, "%s: no memory", f->path);
	while (g->off < g->end && !rc) {
		uint64_t before = g->off;
		char range[48];
		CURLcode cc;
		long code = 0;

		prepare(g, f->path);
		snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)g->off,
			 (unsigned long long)g->end - 1);
		curl_easy_setopt(g->curl, CURLOPT_RANGE, range);
		g->why[0] = 0;
		g->ranged = false;
		cc = curl_easy_perform(g->curl);
		curl_easy_getinfo(g->curl, CURLINFO_RESPONSE_CODE, &code);
		rc = judge(f, h, g, cc, code, e);
		failed = g->off > before ? 0 : failed + 1;
		/* What is wrong may pass: then it is asked again, for what is missing. */
		if (g->off < g->end && failed < TRIES && (rc ? passes(cc, code) : true)) {
			rc = 0;
			if (failed)
				pause_for(g->curl, failed);
		} else if (!rc && g->off < g->end) {
			rc = err_set(e, -EIO, "%s: the server sends nothing", f->path);
		}
	}
	handle_put(h, g->curl);
	return rc;
}

static int http_readv_plain(struct disk_file *f, const struct iovec *iov, int n,
			    uint64_t off, uint64_t len, struct err *e)
{
	struct get g = { .to = { iov, n, 0 }, .off = off, .end = off + len };

	return fetch(f, &g, e);
}

/* Blocks */

static bool block_copy(struct http *h, uint64_t no, struct iov_at *to, uint64_t from,
		       uint64_t len)
{
	bool found = false;

	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < BLOCKS && !found; i++) {
		struct block *b = &h->block[i];

		if (!b->used || b->no != no)
			continue;
		found = true;
		b->used = ++h->tick;
		iov_fill(to, b->data + from, len);
	}
	pthread_mutex_unlock(&h->lock);
	return found;
}

/* Get block no and keep it in the place of the one not used for the longest time. */
static int block_fetch(struct disk_file *f, uint64_t no, struct err *e)
{
	uint64_t off = no * BLOCK, len = f->size - off < BLOCK ? f->size - off : BLOCK;
	struct http *h = http_of(f);
	struct iovec v = { malloc(len), len };
	struct block *b = h->block;
	void *old;
	int rc;

	if (!v.iov_base)
		return err_set(e, -ENOMEM, "%s: no memory", f->path);
	rc = http_readv_plain(f, &v, 1, off, len, e);
	if (rc) {
		free(v.iov_base);
		return rc;
	}
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 1; i < BLOCKS; i++)
		if (h->block[i].used < b->used)
			b = &h->block[i];
	old = b->data;
	*b = (struct block){ .no = no, .used = ++h->tick, .data = v.iov_base };
	pthread_mutex_unlock(&h->lock);
	free(old);
	return 0;
}

static int http_readv(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
		      struct err *e)
{
	uint64_t len = iov_bytes(iov, n);
	struct iov_at to = { iov, n, 0 };
	int rc = 0;

	if (len >= BLOCK)
		return http_readv_plain(f, iov, n, off, len, e);
	while (len && !rc) {
		uint64_t from = off % BLOCK, some = BLOCK - from < len ? BLOCK - from : len;

		if (block_copy(http_of(f), off / BLOCK, &to, from, some)) {
			off += some;
			len -= some;
		} else {
			rc = block_fetch(f, off / BLOCK, e);
		}
	}
	return rc;
}

/* Opening */

static bool http_claims(const char *path)
{
	return !strncasecmp(path, "http://", 7) || !strncasecmp(path, "https://", 8);
}

/* For a server that does not say in Content-Range how long the file is. */
static int size_by_head(struct disk_file *f, struct get *g, struct err *e)
{
	curl_off_t len = -1;
	long code = 0;
	CURLcode cc;

	g->curl = handle_get(http_of(f));
	if (!g->curl)
		return err_set(e, -ENOMEM, "%s: no memory", f->path);
	prepare(g, f->path);
	curl_easy_setopt(g->curl, CURLOPT_NOBODY, 1L);
	cc = curl_easy_perform(g->curl);
	curl_easy_getinfo(g->curl, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_getinfo(g->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &len);
	handle_put(http_of(f), g->curl);
	if (cc || code != 200 || len < 0)
		return err_set(e, -ENOTSUP, "%s: the server does not say how long the file is",
			       f->path);
	f->size = (uint64_t)len;
	return 0;
}

/* Ask for the first byte: that shows the size and whether there are ranges at all. */
static int probe(struct disk_file *f, struct err *e)
{
	char byte;
	struct iovec v = { &byte, 1 };
	struct get g = { .to = { &v, 1, 0 }, .end = 1 };
	struct err why = { 0 };
	int rc = fetch(f, &g, &why);

	/* 416: there is no first byte. */
	if (rc && g.ranged && g.total == 0) {
		f->size = 0;
		return 0;
	}
	if (rc) {
		if (e)
			*e = why;
		return rc;
	}
	snprintf(http_of(f)->tag, sizeof(g.tag), "%s", g.tag);
	if (g.total == UINT64_MAX)
		return size_by_head(f, &g, e);
	if (g.total > INT64_MAX)
		return err_set(e, -EBADMSG, "%s: Content-Range has a size that no file has", f->path);
	f->size = g.total;
	return 0;
}

static void http_close(struct disk_file *f)
{
	struct http *h = http_of(f);

	while (h->nidle)
		curl_easy_cleanup(h->idle[--h->nidle]);
	for (unsigned i = 0; i < BLOCKS; i++)
		free(h->block[i].data);
	pthread_mutex_destroy(&h->lock);
}

static int http_open(struct disk_file **out, const char *path, unsigned flags, struct err *e)
{
	struct disk_file *f;
	int rc;

	if (flags & (FILE_WRITE | FILE_CREATE))
		return err_set(e, -EROFS, "%s: files on web servers can only be read", path);
	f = file_new(&file_http, path, sizeof(struct http));
	if (!f)
		return err_set(e, -ENOMEM, "%s: no memory", path);
	pthread_mutex_init(&http_of(f)->lock, NULL);
	rc = probe(f, e);
	if (rc)
		file_close(f);
	else
		*out = f;
	return rc;
}

const struct disk_backend file_http = {
	.name = "http",
	.claims = http_claims,
	.open = http_open,
	.readv = http_readv,
	.close = http_close,
};
