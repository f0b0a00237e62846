/* Machines that run, and what the dead leave. */
#include "wire/registry.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static bool count(void *ptr, const json_t *who, const char *ctl)
{
	unsigned *n = ptr;

	check(json_integer_value(json_object_get(who, "pid")) > 0, "pid");
	check(strstr(ctl, json_string_value(json_object_get(who, "uuid"))), "%s", ctl);
	++*n;
	return true;
}

static unsigned living(void)
{
	struct err e = { 0 };
	unsigned n = 0;

	check(!registry_each(count, &n, &e), "%s", e.msg);
	return n;
}

/* A machine in a process of its own, which is killed. */
static pid_t start(const char *uuid)
{
	int p[2];
	char c = 0;
	pid_t pid;

	check(!pipe(p), "pipe");
	pid = fork();
	if (!pid) {
		struct registry_entry *r = NULL;
		struct json who = { 0 };

		if (registry_enter(&r, uuid, &who, NULL) || write(p[1], "k", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(p[1]);
	check(read(p[0], &c, 1) == 1, "started");
	close(p[0]);
	return pid;
}

int main(void)
{
	char dir[] = "/tmp/ring1-test-XXXXXX", uuid[REGISTRY_UUID], other[REGISTRY_UUID];
	char cmd[128];
	struct registry_entry *r = NULL, *r2 = NULL;
	struct json who = { 0 };
	struct err e = { 0 };
	pid_t pid;

	check(mkdtemp(dir), "mkdtemp");
	setenv("RING1_RUN", dir, 1);
	check(!registry_uuid(uuid, &e) && !registry_uuid(other, &e), "%s", e.msg);
	check(strlen(uuid) == 36 && uuid[14] == '4' && strcmp(uuid, other), "%s", uuid);
	check(living() == 0, "none yet");
	json_put_text(&who, "name", "a");
	check(!registry_enter(&r, uuid, &who, &e), "%s", e.msg);
	check(living() == 1, "one");
	check(registry_enter(&r2, uuid, &who, &e) == -EBUSY, "%s", e.msg);
	pid = start(other);
	check(living() == 2, "two");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(living() == 1, "the dead are not listed");
	pid = start(other);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(!registry_enter(&r2, other, &who, &e), "a dead one's UUID: %s", e.msg);
	check(living() == 2, "two again");
	registry_leave(r);
	registry_leave(r2);
	check(living() == 0, "none any more");
	snprintf(cmd, sizeof(cmd), "%s/vm", dir);
	check(!rmdir(cmd) && !rmdir(dir), "nothing is left");
	return check_done();
}
