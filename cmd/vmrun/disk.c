/* vmrun disk: the disks of machines that run. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "disks.h"
#include "machines.h"
#include "pc/place.h"
#include "vmrun.h"

struct args {
	double timeout_s;
	bool outside, cdrom, check, json;
};

#define AT(field) offsetof(struct args, field)

const struct cli_opt disk_opts[] = {
	{ "cdrom", 0, CLI_FLAG, NULL, AT(cdrom), 0, 0, "add: a CD-ROM drive with an image" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "add: descriptors may name files in other folders, and\n"
	  "devices (raw device mappings)" },
	{ "timeout", 0, CLI_SECONDS, "S", AT(timeout_s), 0, 1000000000,
	  "how long to wait (default 60); the machine goes on with\n"
	  "it" },
	{ "check", 0, CLI_FLAG, NULL, AT(check), 0, 0, "change nothing, say what would be changed" },
	{ "json", 0, CLI_FLAG, NULL, AT(json), 0, 0, "one object a line" },
	{ NULL },
};

struct run {
	struct cli *c;
	const struct args *a;
	const char *vm;			/* NULL: all */
	char *what;			/* FILE[,KEY=VALUE...], or a place */
	struct ctl_client *ctl;
	json_t *info;			/* of the machine */
	struct err *e;
};

static const char *text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "-";
}

/* --- list ------------------------------------------------------------------------- */

static void list_machine(void *ptr, const json_t *info)
{
	const struct run *r = ptr;
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(info, "disks"), i, disk) {
		json_t *o = json_deep_copy(disk);
		struct json line = { o, !o };
		char *s;

		if (!r->a->json) {
			printf("%-8s %-8s %-25s %s\n", r->vm ? "" : text(info, "uuid"),
			       text(disk, "place"), json_is_true(json_object_get(disk, "cdrom")) ?
			       "cdrom" : text(disk, "mode"), text(disk, "path"));
			json_decref(o);
			continue;
		}
		json_put_text(&line, "uuid", text(info, "uuid"));
		s = json_line(&line);
		fputs(s ? s : "", stdout);
		free(s);
	}
}

static int do_list(struct run *r)
{
	if (r->vm)
		list_machine(r, r->info);
	return r->vm ? 0 : machine_each(list_machine, r, r->e);
}

/* --- add, remove ------------------------------------------------------------------- */

/* The machine's disk at a place or of a path; NULL: none. */
static const json_t *find(const struct run *r, const char *place, const char *path)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(r->info, "disks"), i, disk)
		if ((place && !strcmp(text(disk, "place"), place)) ||
		    (path && !strcmp(text(disk, "path"), path)))
			return disk;
	return NULL;
}

static int say(struct run *r, const char *action, const char *place, const char *path)
{
	struct json j = { 0 };
	char *line;

	if (!r->a->json) {
		if (r->a->check)
			printf("would %s %s%s%s\n", action, path, *place ? " at " : "", place);
		return 0;
	}
	json_put_text(&j, "path", path);
	json_put_text(&j, "action", action);
	json_put_text(&j, "uuid", text(r->info, "uuid"));
	json_put_text(&j, "place", *place ? place : NULL);
	json_put_bool(&j, "check", r->a->check);
	json_put_bool(&j, "changed", true);
	line = json_line(&j);
	fputs(line ? line : "", stdout);
	free(line);
	return 0;
}

/* Ask the machine; q is taken. */
static int ask(struct run *r, const char *verb, struct json *q, json_t **reply)
{
	int rc = ctl_call(r->ctl, verb, q, NULL, 0, r->a->timeout_s, reply, r->e);

	return rc != -ETIMEDOUT ? rc :
	       err_set(r->e, rc, "%.100s: no answer within %g seconds: is the machine stopped, or "
		       "its disk slow? (--timeout)", r->vm, r->a->timeout_s);
}

/* Ask for a change, and say what it was; q is taken. */
static int change(struct run *r, const char *verb, struct json *q)
{
	const char *action = !strcmp(verb, "disk-add") ? "add" : "remove", *path;
	json_t *reply = NULL;
	char *was = strdup(text(q->v, "path"));
	int rc = was ? ask(r, verb, q, &reply) :
		       err_set(r->e, -ENOMEM, "no memory");

	if (!rc) {
		path = text(reply, "path");
		rc = say(r, action, text(reply, "place"), strcmp(path, "-") ? path : was);
	}
	json_decref(reply);
	free(was);
	return rc;
}

static int do_add(struct run *r)
{
	struct pc_disk d = { .cd = r->a->cdrom };
	char place[PLACE_LEN] = "", *path;
	struct json q = { 0 };
	bool has_place;
	int rc = disk_parse(&d, &has_place, r->what, r->e);

	if (rc)
		return rc;
	path = realpath(d.path, NULL);
	if (!path)
		return err_sys(r->e, -errno, "%.200s", d.path);
	if (has_place)
		place_text(place, &d);
	if (!json_is_text(path))
		rc = err_set(r->e, -EINVAL, "%.200s: not UTF-8, so the machine cannot be told of "
			     "it: give it another name", path);
	else if (has_place && find(r, place, NULL))
		rc = err_set(r->e, -EBUSY, "%s: the place is taken", place);
	if (rc || r->a->check) {
		rc = rc ? rc : say(r, "add", place, path);
		free(path);
		return rc;
	}
	json_put_text(&q, "path", path);
	if (has_place)
		json_put_text(&q, "place", place);
	json_put_text(&q, "mode", place_modes[d.mode]);
	json_put_bool(&q, "cdrom", d.cd);
	json_put_bool(&q, "allow_outside", r->a->outside);
	free(path);
	return change(r, "disk-add", &q);
}

static int do_remove(struct run *r)
{
	char *path = realpath(r->what, NULL);
	const json_t *disk = find(r, r->what, path);
	struct json q = { 0 };

	free(path);
	if (!disk)
		return err_set(r->e, -ENOENT, "%.200s: the machine has no such disk", r->what);
	if (r->a->check)
		return say(r, "remove", text(disk, "place"), text(disk, "path"));
	json_put_text(&q, "place", text(disk, "place"));
	return change(r, "disk-remove", &q);
}

/* --- the command ------------------------------------------------------------------------ */

static const struct verb {
	const char *name;
	int (*run)(struct run *r);
	int least, most;		/* operands behind it */
} verbs[] = {
	{ "list", do_list, 0, 1 },
	{ "add", do_add, 2, 2 },
	{ "remove", do_remove, 2, 2 },
};

static int connect_to(struct run *r)
{
	json_t *who = NULL;
	struct json none = { 0 };
	int rc = machine_connect(&r->ctl, &who, r->vm, r->e);

	json_decref(who);
	if (!rc)
		rc = ask(r, "info", &none, &r->info);
	return rc;
}

static const struct verb *find_verb(struct cli *c, int argc, char **argv)
{
	const struct verb *v = NULL;

	for (unsigned i = 0; argc && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[0], verbs[i].name))
			v = &verbs[i];
	if (!argc)
		cli_say(c, "VERB is missing");
	else if (!v)
		cli_say(c, "%s: not one of list, add, remove", argv[0]);
	else if (argc - 1 > v->most)
		cli_say(c, "%s: one operand too many", argv[1 + v->most]);
	else if (argc - 1 < v->least)
		cli_say(c, "%s is missing", argc > 1 ? v->run == do_add ? "FILE" : "PLACE" : "VM");
	else
		return v;
	return NULL;
}

int disk_main(struct cli *c, int argc, char **argv)
{
	struct args a = { .timeout_s = 60 };
	struct err e = { 0 };
	struct run r = { .c = c, .a = &a, .e = &e };
	const struct verb *v;
	int rc = cli_parse(c, &a, &argc, argv);

	if (rc >= 0)
		return rc;
	v = find_verb(c, argc, argv);
	if (!v)
		return CLI_USAGE;
	r.vm = argc > 1 ? argv[1] : NULL;
	r.what = argc > 2 ? argv[2] : NULL;
	rc = r.vm ? connect_to(&r) : 0;
	if (!rc)
		rc = v->run(&r);
	json_decref(r.info);
	ctl_disconnect(r.ctl);
	if (!rc)
		return CLI_DONE;
	cli_say(c, "%s", e.msg);
	return rc == -ESRCH || rc == -ECONNREFUSED ? CLI_NOT_RUNNING : cli_exit_code(rc);
}
