#ifndef SHIM_H
#define SHIM_H
/*
 * The shim stands between a program and the C library: it records all that a program
 * changes in one folder, and makes calls fail.  Preloaded (build/tests/shim/shim.so) it
 * takes its orders from the environment:
 *
 *   SHIM_DIR    the folder; other files are left alone
 *   SHIM_LOG    record changes there, see struct shim_record
 *   SHIM_FAULT  CALL:N:WHAT[,...]: the N-th call of that kind for a file in the folder
 *               fails, "N+": and all behind it.  CALL: read write sync truncate fallocate
 *               open (of a new file) rename unlink.  WHAT: ENOSPC EIO short (half of the
 *               bytes) kill (SIGKILL in place of the call)
 *   SHIM_COUNT  write how many calls of each kind there were to this file, at the end
 *
 * Unit tests named crash_*.c are linked with it and call the functions below.  What is
 * done by io_uring or stores to mapped files is not seen.  With ASan: preload its
 * runtime before it, or set ASAN_OPTIONS=verify_asan_link_order=0.
 */
#include <stdint.h>

enum shim_op {
	SHIM_CREATE = 1,	/* a new, empty file; mode */
	SHIM_WRITE,		/* len bytes of data at off */
	SHIM_TRUNCATE,		/* to off bytes */
	SHIM_FALLOCATE,		/* mode, off, len */
	SHIM_SYNC,		/* of a file or folder */
	SHIM_RENAME,		/* path to path2 */
	SHIM_UNLINK,
	SHIM_LINK,		/* path as path2 */
	SHIM_SYMLINK,		/* at path, leading to path2 */
	SHIM_MKDIR,
	SHIM_RMDIR,
};

/* As it lies in the log; then path and path2 (relative to the folder, with their NULs)
 * and, for SHIM_WRITE, the data. */
struct shim_record {
	uint32_t op, mode;
	uint32_t path_len, path2_len;	/* with the NUL; 0: none */
	uint64_t off, len;
};

/* Record the changes in dir to the file log (NULL: do not), from now on, in this
 * process; fault as SHIM_FAULT, or NULL.  Counts begin anew. */
void shim_start(const char *dir, const char *log, const char *fault);
void shim_stop(void);
/* Calls since shim_start(): call as in SHIM_FAULT. */
unsigned shim_calls(const char *call);
#endif
