#ifndef SWITCH_FILES_H
#define SWITCH_FILES_H
/*
 * Where the configurations of switches lie: one file NAME.conf each (vswitch.5) in the folder
 * switch of $RING1_ETC, else of /etc/ring1 for root, else of $XDG_CONFIG_HOME/ring1 or
 * ~/.config/ring1.
 *
 * Who changes one takes the lock of all of them, reads, prepares the new file beside the old
 * one, has a switch that runs take it, and commits: so that the file that counts is always
 * a whole one, and what did not work has changed nothing.
 */

#include "switch/config.h"

/* DIR/NAME.conf, for free().  0; -EINVAL: not a name of a switch; -ENOMEM; -ENOENT: there is
 * no folder of the user's. */
int switch_file_path(char **path, const char *name, struct err *e);

/*
 * Read a whole file, - is standard input.
 *
 * text, len  for free(); a NUL follows that does not count
 * Returns    0; -EFBIG: more than SWITCH_TEXT_MAX; or what the system said
 */
int switch_text_read(char **text, size_t *len, const char *file, struct err *e);

/*
 * The configuration of a switch.
 *
 * file       NULL: the one that is stored; else a file, which may say more than this switch
 * Returns    0; -ENOENT: there is none; -EBADMSG as switch_config_parse(); ...
 */
int switch_file_read(struct switch_config *c, const char *name, const char *file, struct err *e);

/* The lock of all of them; it waits for some seconds.  0 and a descriptor to be closed; -EBUSY. */
int switch_files_lock(int *fd, struct err *e);

/* With the lock: write the new file, put it in the old one's place, or forget it. */
int switch_file_prepare(const struct switch_config *c, struct err *e);
int switch_file_commit(const char *name, struct err *e);
void switch_file_abort(const char *name);
int switch_file_delete(const char *name, struct err *e);	/* -ENOENT: it is not there */

/* The names of all that are stored, in order: n of them, each and all for free(). */
int switch_files_list(char ***names, unsigned *n, struct err *e);
void switch_files_list_free(char **names, unsigned n);
#endif
