/* vmdk old: snapshots that have been forgotten, for cron. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "vmdk.h"
#include "vmx/vmsd.h"

#define DEPTH 32	/* folders inside folders */

struct old_args {
	const char *older;
	bool json;
};

#define AT(field) offsetof(struct old_args, field)

const struct cli_opt old_opts[] = {
	{ "older-than", 0, CLI_STRING, "AGE", AT(older), 1, 0,
	  "an age such as 90m, 12h, 3d or 2w (default 3d)" },
	{ "json", 0, CLI_FLAG, NULL, AT(json), 0, 0, "print JSON, one object a snapshot" },
	{ NULL },
};

struct search {
	struct cli *c;
	const struct old_args *a;
	uint64_t now_us, age_us;
	bool found;
	int failed;	/* exit code of the last thing that could not be looked at */
};

static int parse_age(const char *s, uint64_t *us)
{
	static const struct { char letter; unsigned seconds; } unit[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 },
	};
	unsigned long long n;
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(s, &end, 10);
	for (unsigned i = 0; !errno && i < sizeof(unit) / sizeof(unit[0]); i++)
		if (end[0] == unit[i].letter && !end[1])
			return __builtin_mul_overflow(n, unit[i].seconds * 1000000ull, us) ?
				-EINVAL : 0;
	return -EINVAL;
}

/* "3d", in the largest unit that is at least 1. */
static const char *format_age(char buf[static 32], uint64_t seconds)
{
	if (seconds >= 2 * 86400)
		snprintf(buf, 32, "%llud", (unsigned long long)seconds / 86400);
	else if (seconds >= 2 * 3600)
		snprintf(buf, 32, "%lluh", (unsigned long long)seconds / 3600);
	else
		snprintf(buf, 32, "%llum", (unsigned long long)seconds / 60);
	return buf;
}

static void report(struct search *s, const char *list, const struct vmsd *v,
		   const struct vmsd_snap *snap)
{
	uint64_t age = (s->now_us - snap->time_us) / 1000000;
	char *path = vmsd_path(v, snap), text[32];
	struct json j = { 0 };

	s->found = true;
	if (s->a->json) {
		json_put_text(&j, "list", list);
		json_put_u64(&j, "uid", snap->uid);
		json_put_text(&j, "name", snap->name);
		json_put_text(&j, "path", path);
		json_put_u64(&j, "created_us", snap->time_us);
		json_put_u64(&j, "age_seconds", age);
		print_json(s->c, &j);
	} else {
		print_text("%s: %s  %s\n", list, format_age(text, age), path ? path : snap->name);
	}
	free(path);
}

static void look_at(struct search *s, const char *list)
{
	struct err e = { 0 };
	struct vmsd *v;

	if (vmsd_load(&v, list, &e)) {
		s->failed = cli_fail(s->c, &e);
		return;
	}
	for (unsigned i = 0; i < v->n; i++)
		if (v->snap[i].time_us < s->now_us &&
		    s->now_us - v->snap[i].time_us >= s->age_us)
			report(s, list, v, &v->snap[i]);
	vmsd_free(v);
}

static void search_folder(struct search *s, const char *folder, unsigned depth);

static void search_entry(struct search *s, const char *path, unsigned depth)
{
	size_t n = strlen(path);
	struct stat st;

	if (lstat(path, &st))
		return;
	if (S_ISDIR(st.st_mode) && depth < DEPTH)
		search_folder(s, path, depth + 1);
	else if (S_ISREG(st.st_mode) && n > 5 && !strcasecmp(path + n - 5, ".vmsd"))
		look_at(s, path);
}

static void search_folder(struct search *s, const char *folder, unsigned depth)
{
	struct dirent **list;
	struct err e;
	int n = scandir(folder, &list, NULL, alphasort);

	if (n < 0) {
		err_sys(&e, -errno, "%.180s", folder);
		s->failed = cli_fail(s->c, &e);
		return;
	}
	for (int i = 0; i < n; i++) {
		char *path;

		if (strcmp(list[i]->d_name, ".") && strcmp(list[i]->d_name, "..") &&
		    asprintf(&path, "%s/%s", folder, list[i]->d_name) >= 0) {
			search_entry(s, path, depth);
			free(path);
		}
		free(list[i]);
	}
	free(list);
}

int old_main(struct cli *c, int argc, char **argv)
{
	struct old_args a = { .older = "3d" };
	struct search s = { .c = c, .a = &a, .failed = CLI_DONE };
	struct timespec now;
	int rc = cli_parse(c, &a, &argc, argv);

	if (rc >= 0)
		return rc;
	if (!argc) {
		cli_say(c, "DIR is missing");
		return CLI_USAGE;
	}
	if (parse_age(a.older, &s.age_us)) {
		cli_say(c, "--older-than %s: not an age such as 90m, 12h, 3d or 2w", a.older);
		return CLI_USAGE;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	s.now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	for (int i = 0; i < argc; i++)
		search_folder(&s, argv[i], 0);
	return s.found ? CLI_DIFFERS : s.failed;
}
