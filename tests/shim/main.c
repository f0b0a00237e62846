/*
 * replay [-n ROUNDS] [-s SEED] [-p N] LOG BASE WORK [COMMAND [ARG...]]
 *
 * Make all the states that a crash may leave (see replay.h) in the folder WORK, and run
 * COMMAND there for each: it fails if the state is bad, and the rest is not tried.  How
 * many syncs had returned it finds in the environment as REPLAY_SYNCS.  Without
 * COMMAND: the number of changes.  -p N: only the state after N changes.
 *
 * Exit: 0 all good, 1 a bad one, which is left in WORK, 2 usage or trouble
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay.h"

static unsigned states;

static bool run(void *ptr, const char *work, size_t done)
{
	char **argv = ptr, syncs[24];
	int status;
	pid_t pid;

	states++;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		snprintf(syncs, sizeof(syncs), "%zu", done);
		setenv("REPLAY_SYNCS", syncs, 1);
		if (!chdir(work))
			execvp(argv[0], argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
	unsigned rounds = 2;
	uint64_t seed = 1;
	struct replay *r;
	long only = -1;
	int c, rc;

	while ((c = getopt(argc, argv, "+n:s:p:")) != -1) {
		if (c == 'n')
			rounds = (unsigned)atoi(optarg);
		else if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'p')
			only = atol(optarg);
		else
			return 2;
	}
	argv += optind;
	argc -= optind;
	if (argc < 3) {
		fprintf(stderr, "usage: replay [-n ROUNDS] [-s SEED] [-p N] LOG BASE WORK "
			"[COMMAND [ARG...]]\n");
		return 2;
	}
	r = replay_open(argv[0], argv[1]);
	if (!r)
		return 2;
	if (only >= 0) {
		rc = replay_make(r, argv[2], (size_t)only, REPLAY_PLAIN, 0);
	} else if (argc == 3) {
		rc = 0;
		printf("%zu\n", replay_count(r));
	} else {
		rc = replay_all(r, argv[2], rounds, seed, run, argv + 3);
		if (!rc)
			printf("%u states of %zu changes\n", states, replay_count(r));
	}
	replay_close(r);
	return rc < 0 ? 2 : rc;
}
