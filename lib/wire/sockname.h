#ifndef WIRE_SOCKNAME_H
#define WIRE_SOCKNAME_H
/*
 * Names of sockets.  An address holds 107 bytes (unix(7)); a longer path is reached by way of
 * its folder, as /proc/self/fd/N/NAME.
 */

#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"

/*
 * The address of the socket at path, for bind(2), connect(2) and, by sun_path, lstat(2) and
 * unlink(2).
 *
 * dir        is to be closed, unless it is -1, when the address is not used any more
 * Returns    0; -ENAMETOOLONG: its last part alone is too long; as open(2) of the folder
 */
int sockname(struct sockaddr_un *a, int *dir, const char *path, struct err *e);
#endif
