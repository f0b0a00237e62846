#ifndef DISK_FILE_H
#define DISK_FILE_H
/*
 * Backends: where the bytes of an extent lie.  A file, a block device, a web
 * server; others (a volume, a network disk) are rows in a table that the command
 * passes in, so that the formats above know none of them.
 *
 * All calls may be made from several threads at once, but for file_close().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

#define SECTOR		512u
#define SECTOR_SHIFT	9

struct disk_file;

enum file_flags {
	FILE_WRITE = 1,		/* else read only */
	FILE_CREATE = 2,	/* new; -EEXIST when there is one */
	FILE_PLAIN = 4,		/* -EPERM for a symbolic link or a device */
	FILE_SHARED = 8,	/* we have the device open already; else -EBUSY when a device to
				 * be written is mounted, or open so by others */
};

/* An absent hook answers -ENOTSUP (or, where it says so, what it says). */
struct disk_backend {
	const char *name;
	/* Is this path one of its own ("http://...")? */
	bool (*claims)(const char *path);
	/* Open path: sets *f with file_new() and its size. */
	int (*open)(struct disk_file **f, const char *path, unsigned flags, struct err *e);
	/* Whole transfers at off, inside the size: 0 or -errno. */
	int (*readv)(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
		     struct err *e);
	int (*writev)(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
		      struct err *e);
	int (*sync)(struct disk_file *f, struct err *e);
	/* Begin to write to the disk what only the host's cache has. */
	void (*write_out)(struct disk_file *f);
	int (*resize)(struct disk_file *f, uint64_t size, struct err *e);
	/* Make a range read as zeros and give its room back. */
	int (*punch)(struct disk_file *f, uint64_t off, uint64_t len, struct err *e);
	/* Make a range read as zeros with room of its own. */
	int (*zero)(struct disk_file *f, uint64_t off, uint64_t len, struct err *e);
	/* The first range with data at or behind off: *end == *start: none.  Absent: all
	 * of it is data. */
	int (*data)(struct disk_file *f, uint64_t off, uint64_t *start, uint64_t *end,
		    struct err *e);
	void (*close)(struct disk_file *f);
};

struct disk_file {
	const struct disk_backend *ops;
	char *path;		/* as opened, for messages */
	int fd;			/* for I/O without the hooks (io_uring, mmap); -1: none */
	_Atomic uint64_t size;
	_Atomic uint64_t writes, synced;	/* changes begun; and how many are durable */
	bool writable, device;	/* device: a block device, its size is fixed */
	bool discards;		/* a device that takes room back: punch() is worth it */
	void *priv;		/* the backend's */
};

/* The files and block devices of this host. */
extern const struct disk_backend file_posix;

/*
 * Files on web servers, by http and https, read only.  A server that cannot send ranges
 * is -ENOTSUP.  Who asks for a name and password finds them in ~/.netrc; CURL_CA_BUNDLE
 * names other certificates than the system's.
 */
extern const struct disk_backend file_http;

/*
 * Open a file by the first of the backends that claims its path, or as a file of
 * this host.
 *
 * backends   NULL-terminated, or NULL: none but file_posix
 * flags      enum file_flags
 * Returns    0, -ENOENT, -EACCES, -EEXIST, -EINVAL: neither a file nor a block
 *            device, ...  The message names the path.
 */
int file_open(struct disk_file **f, const struct disk_backend *const *backends,
	      const char *path, unsigned flags, struct err *e);
void file_close(struct disk_file *f);	/* NULL is fine */

/* For backends: a struct disk_file with a copy of path; NULL: no memory. */
struct disk_file *file_new(const struct disk_backend *ops, const char *path, size_t priv);

/*
 * Whole transfers.  Reading beyond the end is -EBADMSG ("ends at byte ..."): the file
 * is shorter than what its own header says.  Writing beyond it grows the file.
 */
int file_read(struct disk_file *f, void *buf, size_t len, uint64_t off, struct err *e);
int file_readv(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
	       struct err *e);
int file_write(struct disk_file *f, const void *buf, size_t len, uint64_t off,
	       struct err *e);
int file_writev(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
		struct err *e);

/* Does the file reach to byte end?  The size of one that is only read is looked up again:
 * a parent gets longer when layers above it are merged into it. */
bool file_has(struct disk_file *f, uint64_t end);

/* What was written before is durable, by others before it was opened, too; nothing since
 * the last one: no system call. */
int file_sync(struct disk_file *f, struct err *e);
/* For who writes through fd: a write has ended that the next file_sync() is to make
 * durable. */
void file_written(struct disk_file *f);
/* A later file_sync() has less to wait for: what was written is on its way. */
void file_write_out(struct disk_file *f);
int file_resize(struct disk_file *f, uint64_t size, struct err *e);

/* Make a range read as zeros (what lies behind the end is left out); give its room
 * back if the backend can, else write. */
int file_punch(struct disk_file *f, uint64_t off, uint64_t len, struct err *e);

/* Make a range read as zeros, with room of its own (as eagerzeroedthick wants). */
int file_zero(struct disk_file *f, uint64_t off, uint64_t len, struct err *e);

/* As the hook data. */
int file_data(struct disk_file *f, uint64_t off, uint64_t *start, uint64_t *end,
	      struct err *e);

/*
 * Write a whole small file so that a crash leaves the old or the new one: a
 * temporary beside it, fsync, rename, fsync of the folder.  Keeps the mode of a file
 * that was there.
 */
int file_replace(const char *path, const void *buf, size_t len, struct err *e);

/* fsync the folder that holds path: renames and new names in it are safe then. */
int file_sync_dir(const char *path, struct err *e);
#endif
