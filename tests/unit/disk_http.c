/*
 * Files on web servers: a small server in this process, on loopback, that answers as
 * well or as badly as the path of a request says.  TLS is put before it by socat.
 */
#include "disk/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "base/clock.h"
#include "disk/disk.h"

#define SIZE 1000000u

static uint8_t data[SIZE];
static _Atomic unsigned requests, bad;	/* all; those that still go wrong */
static _Atomic bool changed;
static int port;

static const struct disk_backend *const backends[] = { &file_http, NULL };

static void reply(int s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void reply(int s, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send(s, text, strlen(text), MSG_NOSIGNAL);
}

static bool goes_wrong(void)
{
	unsigned left = bad;

	while (left && !atomic_compare_exchange_weak(&bad, &left, left - 1))
		;
	return left;
}

/* A part of the file, as asked for; false: the connection is to be cut. */
static bool send_range(int s, const char *path, unsigned long from, unsigned long to)
{
	unsigned long len, most;
	char total[24] = "*";

	if (to >= SIZE)
		to = SIZE - 1;
	len = to - from + 1;
	if (!strcmp(path, "/other"))
		from++, to++;
	if (strcmp(path, "/nosize"))
		snprintf(total, sizeof(total), "%u", SIZE);
	reply(s, "HTTP/1.1 206 Partial Content\r\nContent-Length: %lu\r\nETag: \"%s\"\r\n"
	      "Content-Range: bytes %lu-%lu/%s\r\n\r\n", len, changed ? "b" : "a", from, to, total);
	most = !strcmp(path, "/cut") && len > 1 && goes_wrong() ? len / 2 : len;
	send(s, data + from, most, MSG_NOSIGNAL);
	return most == len;
}

static bool answer(int s, char *request)
{
	char method[8] = "", path[64] = "", *range = strstr(request, "\r\nRange: bytes=");
	unsigned long from = 0, to = SIZE - 1;

	requests++;
	sscanf(request, "%7s %63s", method, path);
	if (range)
		sscanf(range + 15, "%lu-%lu", &from, &to);
	if (!strcmp(method, "HEAD")) {
		reply(s, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", SIZE);
	} else if (!strcmp(path, "/drop") && goes_wrong()) {
		return false;
	} else if (!strcmp(path, "/busy") && goes_wrong()) {
		reply(s, "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater");
	} else if (!strcmp(path, "/moved")) {
		reply(s, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
	} else if (!strcmp(path, "/file")) {
		reply(s, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
	} else if (!strcmp(path, "/none")) {
		reply(s, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
	} else if (!strcmp(path, "/secret")) {
		reply(s, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
	} else if (!strcmp(path, "/empty")) {
		reply(s, "HTTP/1.1 416 Range\r\nContent-Range: bytes */0\r\nContent-Length: 0\r\n\r\n");
	} else if (!strcmp(path, "/whole")) {
		reply(s, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", SIZE);
		send(s, data, SIZE, MSG_NOSIGNAL);
	} else {
		return send_range(s, path, from, to);
	}
	return true;
}

static void *serve(void *ptr)
{
	int s = (int)(intptr_t)ptr;
	char b[4096];
	size_t n = 0;

	for (;;) {
		ssize_t got = recv(s, b + n, sizeof(b) - 1 - n, 0);
		char *end;

		if (got <= 0)
			break;
		n += (size_t)got;
		b[n] = 0;
		end = strstr(b, "\r\n\r\n");
		if (!end)
			continue;
		if (!answer(s, b))
			break;
		n = 0;
	}
	close(s);
	return NULL;
}

static void *listen_loop(void *ptr)
{
	int l = (int)(intptr_t)ptr, s;
	pthread_t t;

	while ((s = accept4(l, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		if (!pthread_create(&t, NULL, serve, (void *)(intptr_t)s))
			pthread_detach(t);
	return NULL;
}

static int listening(int *at)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (l < 0 || bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 16) ||
	    getsockname(l, (struct sockaddr *)&a, &len)) {
		printf("no sockets on loopback: %s\n", strerror(errno));
		exit(77);
	}
	*at = ntohs(a.sin_port);
	return l;
}

static int try_open(struct disk_file **f, const char *path, struct err *e)
{
	char url[128];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
	return file_open(f, backends, url, 0, e);
}

static struct disk_file *opens(const char *path)
{
	struct disk_file *f = NULL;
	struct err e = { 0 };

	check(!try_open(&f, path, &e), "%s: %s", path, e.msg);
	if (!f)
		exit(check_done());
	return f;
}

static bool reads(struct disk_file *f, uint64_t off, size_t len)
{
	uint8_t *b = malloc(len);
	struct err e = { 0 };
	int rc = file_read(f, b, len, off, &e);
	bool same = !rc && !memcmp(b, data + off, len);

	check(!rc, "%s", e.msg);
	free(b);
	return same;
}

static void test_good(void)
{
	static const char *const paths[] = { "/ok", "/moved", "/nosize" };
	struct err e = { 0 };
	struct disk_file *f;
	unsigned before;

	for (size_t i = 0; i < 3; i++) {
		f = opens(paths[i]);
		check(f->size == SIZE && !f->writable, "%llu", (unsigned long long)f->size);
		check(reads(f, 0, SIZE) && reads(f, SIZE - 1, 1) && reads(f, 131000, 200) &&
		      reads(f, 1, 400000), "%s: other data", paths[i]);
		check(file_read(f, &(char){ 0 }, 1, SIZE, &e) == -EBADMSG, "%s", e.msg);
		check(file_write(f, "x", 1, 0, &e) == -EROFS, "%s", e.msg);
		file_close(f);
	}
	f = opens("/ok");
	before = requests;
	for (unsigned i = 0; i < 1000; i++)
		check(reads(f, 300000 + i * 100, 100), "small reads");
	check(requests - before <= 2, "%u requests", requests - before);
	file_close(f);
	f = opens("/empty");
	check(f->size == 0, "empty");
	file_close(f);
}

static void test_refused(void)
{
	static const struct { const char *path; int rc; const char *words; } t[] = {
		{ "/none", -ENOENT, "404" }, { "/secret", -EACCES, "403" }, { "/whole", -ENOTSUP, "no ranges" },
		{ "/file", -EIO, "rotocol" }, { "/other", -EIO, "another range" },
	};
	struct disk_file *f;
	struct err e = { 0 };
	char url[64];

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		int rc = try_open(&f, t[i].path, &e);

		check(rc == t[i].rc && strstr(e.msg, t[i].words), "%s: %d, %s", t[i].path, rc, e.msg);
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/ok", port);
	check(file_open(&f, backends, url, FILE_WRITE, &e) == -EROFS, "%s", e.msg);
	check(file_open(&f, NULL, url, 0, &e) == -ENOENT, "without the backend it is a file: %s", e.msg);
}

/* Broken connections and servers that are busy for a while. */
static void test_again(void)
{
	static const char *const paths[] = { "/cut", "/drop", "/busy" };
	struct disk_file *f;
	struct err e = { 0 };

	for (size_t i = 0; i < 3; i++) {
		bad = i ? 2 : 0;
		f = opens(paths[i]);
		bad = 3;
		check(reads(f, 1000, 900000) && bad == 0, "%s: other data", paths[i]);
		file_close(f);
	}
	bad = 1000;
	check(try_open(&f, "/busy", &e) == -EIO && strstr(e.msg, "503") && bad == 1000 - 6, "%u, %s",
	      bad, e.msg);
	bad = 0;
	f = opens("/ok");
	changed = true;
	check(file_read(f, &(char){ 0 }, 1, 5, &e) == -EIO && strstr(e.msg, "has changed"), "%s", e.msg);
	changed = false;
	file_close(f);
}

/* A whole disk: the descriptor names files beside it. */
static void test_disk(void)
{
	struct disk *d;
	struct err e = { 0 };
	char url[64];
	uint8_t b[SECTOR];

	snprintf((char *)data, 300, "# Disk DescriptorFile\nversion=1\nCID=00000001\n"
		 "parentCID=ffffffff\ncreateType=\"custom\"\nRW 1 ZERO\nRW 1900 FLAT \"ok\" 2\n");
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/x", port);
	check(!disk_open(&d, url, &(struct disk_opts){ .backends = backends }, &e), "%s", e.msg);
	check(disk_size(d) == 1901 * 512 && !disk_read(d, b, 512, 512, &e) &&
	      !memcmp(b, data + 1024, 512), "%s", e.msg);
	disk_close(d, NULL);
}

static bool run(const char *cmd)
{
	return system(cmd) == 0;
}

/* By a certificate that this machine does not trust, then by one that it is told to. */
static void test_tls(void)
{
	char dir[] = "/tmp/disk_http.XXXXXX", cmd[1024], url[64], pem[64];
	struct disk_file *f = NULL;
	struct err e = { 0 };
	uint64_t end;
	pid_t pid;
	int tls;

	if (!run("command -v socat openssl >/dev/null 2>&1") || !mkdtemp(dir)) {
		printf("TLS left out: no socat or openssl\n");
		return;
	}
	snprintf(pem, sizeof(pem), "%s/pem", dir);
	snprintf(cmd, sizeof(cmd), "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
		 "-addext subjectAltName=DNS:localhost -keyout key -out crt 2>/dev/null && cat key crt >pem", dir);
	check(run(cmd), "a certificate");
	close(listening(&tls));
	pid = fork();
	if (pid == 0) {
		char from[200], to[64];

		snprintf(from, sizeof(from), "OPENSSL-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork,verify=0,cert=%s",
			 tls, pem);
		snprintf(to, sizeof(to), "TCP:127.0.0.1:%d", port);
		setpgid(0, 0);
		dup2(open("/dev/null", O_WRONLY), 2);
		execlp("socat", "socat", from, to, NULL);
		_exit(127);
	}
	snprintf(url, sizeof(url), "https://localhost:%d/ok", tls);
	end = clock_ns() + 20 * NS_PER_SEC;
	while (file_open(&f, backends, url, 0, &e) && !strstr(e.msg, "certificate") && clock_ns() < end)
		;
	check(!f && e.code == -EIO && strstr(e.msg, "certificate"), "%s", e.msg);
	setenv("CURL_CA_BUNDLE", pem, 1);
	check(!file_open(&f, backends, url, 0, &e), "%s", e.msg);
	check(f && f->size == SIZE && reads(f, 0, SIZE), "over TLS");
	file_close(f);
	unsetenv("CURL_CA_BUNDLE");
	kill(-pid, SIGTERM);
	waitpid(pid, NULL, 0);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	check(run(cmd), "clean up");
}

int main(void)
{
	pthread_t t;
	int l = listening(&port);

	setenv("no_proxy", "*", 1);
	for (unsigned i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 24);
	if (pthread_create(&t, NULL, listen_loop, (void *)(intptr_t)l))
		return 1;
	test_good();
	test_refused();
	test_again();
	test_disk();
	test_tls();
	return check_done();
}
