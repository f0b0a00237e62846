/* vmdk convert: what a disk holds, in another format; also from and to pipes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/convert.h"
#include "disk/part.h"
#include "vmdk.h"

struct convert_args {
	struct progress_args progress;
	struct change_args change;
	int format;
	unsigned threads, level;
	uint64_t bwlimit, size;
	bool raw, outside, force;
};

#define AT(field) offsetof(struct convert_args, field)

const struct cli_opt convert_opts[] = {
	{ "format", 'f', CLI_CHOICE, VMDK_FORMATS, AT(format), 0, 0,
	  "DST's (default sparse; stream if DST is -)" },
	{ "jobs", 'j', CLI_NUMBER, "N", AT(threads), 1, CONVERT_THREADS_MAX,
	  "threads (default: one a processor)" },
	{ "level", 0, CLI_NUMBER, "N", AT(level), 1, PACK_LEVELS,
	  "of stream's compression: 1, the default, is fast, 12 small" },
	{ "bwlimit", 0, CLI_SIZE, "RATE", AT(bwlimit), 1, UINT64_MAX,
	  "read at most RATE bytes of the disk a second" },
	{ "size", 's', CLI_SIZE, "SIZE", AT(size), SECTOR, DISK_SIZE_MAX,
	  "of a raw SRC that comes through a pipe" },
	{ "raw", 0, CLI_FLAG, NULL, AT(raw), 0, 0, "SRC is raw whatever it begins with" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "SRC's files may lie in other folders" },
	{ "force", 0, CLI_FLAG, NULL, AT(force), 0, 0, "replace a disk that is there" },
	CHANGE_OPTS(AT(change), "create nothing, say what would be"),
	PROGRESS_OPTS(AT(progress)),
	{ NULL },
};

static bool is_pipe(const char *operand)
{
	return !strcmp(operand, "-");
}

static int check_args(struct convert_args *a, char **argv, struct err *e)
{
	bool in = is_pipe(argv[0]), out = is_pipe(argv[1]);

	if (a->format < 0)
		a->format = out ? DISK_STREAM : DISK_SPARSE;
	if (out && a->format != DISK_STREAM && a->format != DISK_RAW)
		return err_set(e, -EINVAL, "--format: only stream and raw can go into a pipe");
	if (out && a->change.json)
		return err_set(e, -EINVAL, "--json: not when the disk goes to stdout");
	if (out && isatty(STDOUT_FILENO))
		return err_set(e, -EINVAL, "-: stdout is a terminal");
	if (a->size && (!in || !a->raw))
		return err_set(e, -EINVAL, "--size: only with --raw and - as SRC");
	if (a->size % SECTOR)
		return err_set(e, -EINVAL, "--size: not a multiple of %u", SECTOR);
	return 0;
}

/* stdin */
static int open_pipe(struct convert_end *from, const struct convert_args *a, struct err *e)
{
	struct stat st;
	int rc;

	if (!a->raw) {
		rc = convert_open_stream(from, STDIN_FILENO, e);
		return rc ? err_in(e, rc, "stdin") : 0;
	}
	*from = (struct convert_end){ .kind = CONVERT_RAW, .fd = STDIN_FILENO, .size = a->size };
	if (!from->size && !fstat(STDIN_FILENO, &st) && S_ISREG(st.st_mode))
		from->size = ((uint64_t)st.st_size + SECTOR - 1) / SECTOR * SECTOR;
	return from->size ? 0 : err_set(e, -EINVAL, "--size is missing: a pipe does not say it");
}

static int open_source(struct convert_end *from, const char *src, const struct convert_args *a,
		       struct err *e)
{
	struct disk_opts o = { .hold = !a->change.check, .allow_outside = a->outside,
			       .raw = a->raw, .backends = vmdk_backends };

	if (is_pipe(src))
		return open_pipe(from, a, e);
	from->kind = CONVERT_DISK;
	return disk_open(&from->disk, src, &o, e);
}

static struct convert_opts opts_of(const struct convert_args *a)
{
	return (struct convert_opts){
		.threads = a->threads, .level = a->level, .bwlimit = a->bwlimit,
		.progress = progress_step,
	};
}

/* A stream, or raw bytes, to a descriptor that nothing can be done about when it fails. */
static int to_fd(const struct convert_end *from, int fd, const char *name,
		 const struct convert_args *a, const struct disk_create *p, struct err *e)
{
	struct convert_end to = { .kind = CONVERT_RAW, .fd = fd };
	struct convert_opts o = opts_of(a);
	char *text = NULL;
	int rc = 0;

	if (p->format == DISK_STREAM) {
		to.kind = CONVERT_STREAM;
		rc = disk_describe(&text, &to.desc_len, name, p, e);
		to.desc = text;
	}
	if (!rc)
		rc = convert(from, &to, &o, e);
	free(text);
	return rc;
}

static bool is_file(const struct stat *st, uint64_t dev, uint64_t ino)
{
	return st->st_dev == dev && st->st_ino == ino;
}

/* Is it one of the files of a layer? */
static bool is_part(const struct image *im, const struct stat *st)
{
	bool is = is_file(st, im->dev, im->ino);
	struct stat x;

	for (size_t i = 0; i < im->next && !is; i++) {
		const struct disk_file *f = im->ext[i]->file;

		is = f && f->fd >= 0 && !fstat(f->fd, &x) && is_file(st, x.st_dev, x.st_ino);
	}
	return is;
}

/* A disk cannot be converted into itself, nor take the place of a snapshot's. */
static int check_target(const struct convert_end *from, const char *dst, struct err *e)
{
	struct stat st;

	if (stat(dst, &st))
		return 0;
	if (from->kind != CONVERT_DISK)
		return refuse_replacing(dst, e);
	for (unsigned i = 0; i < disk_layers(from->disk); i++)
		if (is_part(disk_layer(from->disk, i), &st))
			return err_set(e, -EINVAL, "%s: SRC is, or consists of, the same", dst);
	return refuse_replacing(dst, e);
}

static int to_stream(const struct convert_end *from, const char *dst,
		     const struct convert_args *a, const struct disk_create *p, struct err *e)
{
	struct disk_part *part;
	int fd, rc = check_target(from, dst, e);

	if (!rc)
		rc = disk_part_begin(&part, dst, p, e);
	if (rc || p->dry)
		return rc;
	fd = open(disk_part_path(part), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	rc = fd < 0 ? err_sys(e, -errno, "%s", disk_part_path(part)) : to_fd(from, fd, dst, a, p, e);
	if (!rc && fsync(fd))
		rc = err_sys(e, -errno, "%s", disk_part_path(part));
	if (fd >= 0)
		close(fd);
	if (!rc)
		rc = disk_part_finish(part, e);
	disk_part_free(part);
	return rc;
}

int convert_to_disk(const struct convert_end *from, const char *dst, const struct disk_create *p,
		    const struct convert_opts *how, struct err *e)
{
	struct disk_opts o = {
		.write = true, .no_lock = true, .raw = p->format == DISK_RAW,
		.allow_outside = p->device,
	};
	struct convert_end to = { .kind = CONVERT_DISK };
	struct disk_create empty = *p;
	struct disk_part *part;
	int rc = check_target(from, dst, e), rc2;

	if (!rc)
		rc = disk_part_begin(&part, dst, p, e);
	if (rc || p->dry)
		return rc;
	empty.force = false;
	empty.made = NULL;
	empty.name = dst;
	rc = disk_create(disk_part_path(part), &empty, e);
	if (!rc)
		rc = disk_open(&to.disk, disk_part_path(part), &o, e);
	if (!rc && disk_size(to.disk) < convert_size(from))
		rc = err_set(e, -ENOSPC, "%s: is smaller than the disk", p->device ? p->device : dst);
	if (!rc)
		rc = convert(from, &to, how, e);
	if (to.disk) {
		rc2 = disk_close(to.disk, rc ? NULL : e);
		rc = rc ? rc : rc2;
	}
	if (!rc)
		rc = disk_part_finish(part, e);
	disk_part_free(part);
	return rc;
}

/* The adapter of a disk that comes through a pipe, which is to be all of it. */
static int read_desc(const struct stream_reader *r, const char **adapter, struct err *e)
{
	const char *text = stream_read_desc(r);
	struct desc *d;
	int rc;

	if (!text || !*text)
		return 0;
	rc = desc_parse(&d, text, strlen(text), e);
	if (rc)
		return err_in(e, rc, "stdin");
	if (d->parent_cid != CID_NONE)
		rc = err_set(e, -ENOTSUP, "stdin: is the child of %.100s, which does not come through "
			     "the pipe: name its file instead", d->parent ? d->parent : "another");
	*adapter = disk_adapter_in(d);
	desc_free(d);
	return rc;
}

/* What the target has from the source before that is read. */
static int look_at(const struct convert_end *from, const struct convert_args *a,
		   struct disk_create *p, struct err *e)
{
	p->size = convert_size(from);
	p->format = (enum disk_format)a->format;
	if (from->reader)
		return read_desc(from->reader, &p->adapter, e);
	if (!from->disk)
		return 0;
	p->adapter = disk_adapter_of(disk_layer(from->disk, 0));
	return refuse_foreign(from->disk, a->raw, e);
}

static int convert_it(const struct convert_args *a, char **argv, struct disk_create *p,
		      struct err *e)
{
	struct convert_end from = { 0 };
	struct convert_opts o = opts_of(a);
	int rc = open_source(&from, argv[0], a, e);

	if (!rc)
		rc = look_at(&from, a, p, e);
	if (!rc && is_pipe(argv[1]))
		rc = p->dry ? 0 : to_fd(&from, STDOUT_FILENO, "stream.vmdk", a, p, e);
	else if (!rc && p->format == DISK_STREAM)
		rc = to_stream(&from, argv[1], a, p, e);
	else if (!rc)
		rc = convert_to_disk(&from, argv[1], p, &o, e);
	convert_close(&from);
	if (from.disk)
		disk_close(from.disk, NULL);
	return rc;
}

int convert_main(struct cli *c, int argc, char **argv)
{
	struct convert_args a = { .format = -1 };
	struct json files = { 0 };
	struct err e = { 0 };
	struct disk_create p;
	int rc = parse_line(c, &a, &argc, argv, "SRC DST");

	if (rc >= 0)
		return rc;
	if (check_args(&a, argv, &e)) {
		cli_say(c, "%s", e.msg);
		return CLI_USAGE;
	}
	p = (struct disk_create) {
		.force = a.force, .dry = a.change.check, .progress = progress_step,
		.made = add_file, .ptr = &files,
	};
	progress_begin(c, progress_how(&a.progress));
	rc = convert_it(&a, argv, &p, &e);
	progress_end();
	if (rc)
		return fail_made(c, &files, &e);
	if (is_pipe(argv[1]) && !a.change.check) {
		free(json_line(&files));
		return CLI_DONE;
	}
	return say_made(c, &a.change, "convert", argv[0], argv[1], &p, &files);
}
