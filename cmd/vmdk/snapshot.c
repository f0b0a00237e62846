/* vmdk snapshot: the snapshots of a machine, running or not, or of a single disk. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "live.h"
#include "vmdk.h"
#include "vmx/snapshot.h"

struct snapshot_args {
	struct progress_args progress;
	struct change_args change;
	bool children, outside;
	unsigned max_stun;
	const char *description;
};

#define AT(field) offsetof(struct snapshot_args, field)

const struct cli_opt snapshot_opts[] = {
	{ "children", 0, CLI_FLAG, NULL, AT(children), 0, 0,
	  "delete: with all snapshots that come from it" },
	{ "description", 'd', CLI_STRING, "TEXT", AT(description), 0, 0,
	  "create: a longer text for it" },
	{ "max-stun", 0, CLI_NUMBER, "MS", AT(max_stun), 1, 10000,
	  "delete, consolidate: how long a running guest's requests\n"
	  "may wait, in milliseconds (default 100)" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "disks may lie in other folders" },
	{ "check", 0, CLI_FLAG, NULL, AT(change.check), 0, 0,
	  "change nothing, say what would be changed" },
	{ "json", 0, CLI_FLAG, NULL, AT(change.json), 0, 0, "print JSON" },
	PROGRESS_OPTS(AT(progress)),
	{ NULL },
};

/* One run of a command. */
struct run {
	struct cli *c;
	const struct snapshot_args *a;
	const char *path, *name;	/* name: "" where the verb takes none */
	struct machine *m;
	struct live live;
	struct json created, removed, merged, rewritten;
	bool recovered, changed;
	uint32_t uid;			/* of a snapshot that was created */
	struct err *e;
};

typedef int verb_fn(struct run *r);

/* What happens */

/* The place of what is like value in a list; its length: there is none. */
static size_t listed(const struct json *list, const json_t *value)
{
	size_t i = 0;

	while (i < json_array_size(list->v) && !json_equal(json_array_get(list->v, i), value))
		i++;
	return i;
}

/* Each is said once, however often it happens, and what comes and goes is not said. */
static void list_file(struct run *r, struct json *list, const char *file)
{
	json_t *name = json_string(file);
	size_t i = listed(&r->created, name);

	if (list == &r->removed && i < json_array_size(r->created.v))
		json_array_remove(r->created.v, i);
	else if (!name || listed(list, name) == json_array_size(list->v))
		json_append_text(list, file);
	json_decref(name);
}

static void list_merge(struct run *r, const char *from, const char *into)
{
	struct json j = { 0 };

	json_put_text(&j, "from", from);
	json_put_text(&j, "into", into);
	if (listed(&r->merged, j.v) == json_array_size(r->merged.v))
		json_append(&r->merged, &j);
	else
		json_decref(j.v);
}

static void step(void *ptr, enum machine_step s, const char *file, const char *into)
{
	struct run *r = ptr;
	struct json *list[] = {
		[MACHINE_CREATE] = &r->created, [MACHINE_REMOVE] = &r->removed,
		[MACHINE_CHANGE] = &r->rewritten,
	};
	static const char *const word[] = {
		[MACHINE_CREATE] = "created", [MACHINE_REMOVE] = "removed",
		[MACHINE_CHANGE] = "rewritten",
	};
	bool text = r->a->change.check && !r->a->change.json;

	r->changed = true;
	if (s == MACHINE_RECOVER) {
		r->recovered = true;
		return;
	}
	if (s == MACHINE_MERGE) {
		list_merge(r, file, into);
		if (text)
			print_text("%s: would be merged into %s\n", file, into);
		return;
	}
	list_file(r, list[s], file);
	if (text)
		print_text("%s: would be %s\n", file, word[s]);
}

static bool progress(void *ptr, const char *into, uint64_t done, uint64_t total)
{
	return progress_step(NULL, done, total);
}

/* Verbs that change something */

static int do_create(struct run *r)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return snapshots_create(r->m, r->name, r->a->description,
				(uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
				&r->uid, r->e);
}

static int do_revert(struct run *r) { return snapshots_revert(r->m, r->name, r->e); }

static int do_delete(struct run *r)
{
	return snapshots_delete(r->m, r->name, r->a->children, r->e);
}

static int do_consolidate(struct run *r) { return snapshots_consolidate(r->m, r->e); }

/* With JSON an object; for a single disk the layer that is the present one. */
static int say_result(struct run *r, const char *verb)
{
	struct json j = { 0 };

	if (r->m->config_kept)
		cli_say(r->c, "%s: stays what it is but for its disks: the snapshot does not hold "
			"the one of then", r->m->vmx_path);
	if (!r->a->change.json) {
		if (!r->a->change.check && !r->m->vmx)
			print_text("%s\n", r->m->disk[0].path);
		if (r->live.switches)
			printf("the guest's requests waited %u times, %.3f ms at most\n",
			       r->live.switches, (double)r->live.stun_max / 1e6);
		if (r->live.slowest)
			printf("it wrote faster than that was merged: %" PRIu64 " writes waited, %.3f ms "
			       "at most; %" PRIu64 " KiB a second were let through at the least\n",
			       r->live.delayed, (double)r->live.delay_max / 1e6, r->live.slowest >> 10);
		return CLI_DONE;
	}
	if (*r->name)
		json_put_text(&j, "name", r->name);
	if (r->uid)
		json_put_u64(&j, "uid", r->uid);
	if (!r->m->vmx && !r->a->change.check)
		json_put_text(&j, "top", r->m->disk[0].path);
	json_put_array(&j, "created", &r->created);
	json_put_array(&j, "removed", &r->removed);
	json_put_array(&j, "merged", &r->merged);
	json_put_array(&j, "rewritten", &r->rewritten);
	json_put_bool(&j, "recovered", r->recovered);
	json_put_bool(&j, "config_kept", r->m->config_kept);
	if (live_pid(&r->live)) {
		json_put_u64(&j, "pid", live_pid(&r->live));
		json_put_u64(&j, "stuns", r->live.switches);
		json_put_u64(&j, "stun_us", (r->live.stun_ns + 999) / 1000);
		json_put_u64(&j, "stun_max_us", (r->live.stun_max + 999) / 1000);
		json_put_u64(&j, "delayed_writes", r->live.delayed);
		json_put_u64(&j, "delay_max_us", (r->live.delay_max + 999) / 1000);
		json_put_u64(&j, "throttle_bytes_per_s", r->live.slowest);
	}
	return say_change(r->c, &r->a->change, &j, r->path, verb, r->changed, "%s", "");
}

/* Verbs that only look */

static void date(char *buf, size_t size, uint64_t time_us, const char *format)
{
	time_t t = (time_t)(time_us / 1000000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(buf, size, format, &tm))
		snprintf(buf, size, "?");
}

static int print_snap(struct run *r, const struct vmsd_snap *s)
{
	struct json j = { 0 }, disks = { 0 };
	char *path = vmsd_path(r->m->vmsd, s), created[64];
	bool current = s->uid == r->m->vmsd->current;
	int rc = CLI_DONE;

	if (!r->a->change.json) {
		date(created, sizeof(created), s->time_us, "%Y-%m-%d %H:%M:%S");
		print_text("%c %s  %s\n", current ? '*' : ' ', created, path ? path : s->name);
		free(path);
		return rc;
	}
	date(created, sizeof(created), s->time_us, "%Y-%m-%dT%H:%M:%SZ");
	for (unsigned k = 0; k < s->ndisks; k++) {
		struct json d = { 0 };

		json_put_text(&d, "node", s->disk[k].node);
		json_put_text(&d, "file", s->disk[k].file);
		json_append(&disks, &d);
	}
	json_put_u64(&j, "uid", s->uid);
	json_put_text(&j, "name", s->name);
	json_put_text(&j, "path", path);
	json_put_u64(&j, "parent_uid", s->parent);
	json_put_text(&j, "description", s->description);
	json_put_text(&j, "created", created);
	json_put_u64(&j, "created_us", s->time_us);
	json_put_bool(&j, "current", current);
	json_put_array(&j, "disks", &disks);
	free(path);
	return print_json(r->c, &j);
}

/* A line on stderr about what a listing cannot show. */
static void say_pending(struct run *r)
{
	bool pending = false;

	if (r->m->found != JOURNAL_NONE && r->m->found != JOURNAL_MERGE)
		cli_say(r->c, "%s: a change was interrupted; the next one, or consolidate, "
			"completes or undoes it", r->path);
	else if (!snapshots_pending(r->m, &pending, NULL) && pending)
		cli_say(r->c, "%s: there are layers that no snapshot needs: consolidate "
			"merges them", r->path);
}

static int do_list(struct run *r)
{
	int rc = CLI_DONE;

	for (unsigned i = 0; rc == CLI_DONE && i < r->m->vmsd->n; i++)
		rc = print_snap(r, &r->m->vmsd->snap[i]);
	say_pending(r);
	return rc;
}

/* The snapshots that come from a uid, indented; the list is a tree, so this ends. */
static void print_tree(struct run *r, uint32_t parent, unsigned depth)
{
	const struct vmsd *v = r->m->vmsd;

	for (unsigned i = 0; i < v->n; i++) {
		if (v->snap[i].parent != parent)
			continue;
		print_text("%*s%s\n", (int)(2 * depth), "", v->snap[i].name);
		print_tree(r, v->snap[i].uid, depth + 1);
	}
	if (v->current == parent)
		printf("%*s(now)\n", (int)(2 * depth), "");
}

static int do_tree(struct run *r)
{
	if (r->a->change.json)
		return do_list(r);
	print_tree(r, 0, 0);
	say_pending(r);
	return CLI_DONE;
}

/* The command */

static const struct verb {
	const char *name;
	verb_fn *run;
	bool write, named;
} verbs[] = {
	{ "create", do_create, true, true },
	{ "list", do_list, false, false },
	{ "tree", do_tree, false, false },
	{ "revert", do_revert, true, true },
	{ "delete", do_delete, true, true },
	{ "consolidate", do_consolidate, true, false },
};

static int run_verb(struct run *r, const struct verb *v)
{
	struct machine_opts o = {
		.write = v->write, .dry = r->a->change.check, .outside = r->a->outside,
		.ptr = r, .progress = progress, .step = step, .live = &r->live.ops,
	};
	int rc;

	if (v->write)
		progress_begin(r->c, progress_how(&r->a->progress));
	rc = machine_open(&r->m, r->path, &o, r->e);
	if (rc)
		return cli_fail(r->c, r->e);
	if (!v->write) {
		rc = v->run(r);
	} else {
		rc = v->run(r);
		progress_end();
		rc = rc ? cli_fail(r->c, r->e) : say_result(r, v->name);
	}
	machine_close(r->m);
	return rc;
}

static void free_lists(struct run *r)
{
	struct json *list[] = { &r->created, &r->removed, &r->merged, &r->rewritten };

	for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i]->v)
			free(json_line(list[i]));
}

int snapshot_main(struct cli *c, int argc, char **argv)
{
	struct snapshot_args a = { .description = "", .max_stun = 100 };
	struct err e = { 0 };
	struct run r = { .c = c, .a = &a, .name = "", .e = &e };
	const struct verb *v = NULL;
	int rc = cli_parse(c, &a, &argc, argv);

	if (rc >= 0)
		return rc;
	for (unsigned i = 0; argc && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[0], verbs[i].name))
			v = &verbs[i];
	if (argc && !v) {
		cli_say(c, "%s: not one of create, list, tree, revert, delete, consolidate", argv[0]);
		return CLI_USAGE;
	}
	rc = want_operands(c, argc, argv, v && v->named ? "VERB FILE NAME" : "VERB FILE");
	if (rc >= 0)
		return rc;
	if (a.children && v->run != do_delete) {
		cli_say(c, "--children goes with delete");
		return CLI_USAGE;
	}
	r.path = argv[1];
	if (v->named)
		r.name = argv[2];
	live_init(&r.live, a.max_stun);
	rc = run_verb(&r, v);
	live_free(&r.live);
	free_lists(&r);
	return rc;
}
