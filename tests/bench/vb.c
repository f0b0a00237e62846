/*
 * vb: runs the tests and prints, a line each,
 *
 *	vb NAME BEST MEAN UNIT CHECKSUM
 *
 * BEST is the fastest of up to four slices (machines are shared), MEAN is over
 * all of them.  `vb [-t SECONDS] [-d DIR] [-b BUSYBOX] [TEST...]`; as process 1
 * the same comes from the kernel's command line: vb.t=SECONDS vb.tests=A,B,..
 * (vb.tests=none: boot and power off), and the last line is `vb: done SECONDS`,
 * by the guest's clock.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vb.h"

#define SLICES 4

struct vb_place vb_place = { .dir = "/tmp", .busybox = "/bin/busybox" };

static void guest_end(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

void vb_fail(const char *what)
{
	printf("vb: FAILED: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	fflush(stdout);
	if (getpid() == 1)
		guest_end();
	exit(1);
}

void *vb_alloc(uint32_t bytes, int prot)
{
	void *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		vb_fail("mmap");
	return p;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

/* One slice; checks its sum against the first one's. */
static double slice(const struct vb_test *t, uint64_t passes, bool first,
		    uint32_t *sum)
{
	double at = now();
	uint32_t s = t->run(passes);

	at = now() - at;
	if (!first && s != *sum)
		vb_fail(t->name);
	*sum = s;
	return at;
}

static void test_run(const struct vb_test *t, double seconds)
{
	double part = seconds / SLICES, took, best = 0, total = 0;
	uint64_t passes = 1;
	uint32_t sum;
	unsigned n = 0;

	if (t->how & VB_PIN) {
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET(sched_getcpu(), &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	if (t->setup)
		t->setup();
	took = slice(t, passes, true, &sum);
	while (took < part) {
		double grow = took > 0 ? 1.1 * part / took : 10;

		passes = passes * (grow < 2 ? 2 : grow > 10 ? 10 : grow);
		took = slice(t, passes, false, &sum);
	}
	for (; n < SLICES && total < 2 * seconds; n++) {
		took = slice(t, passes, false, &sum);
		total += took;
		if (n == 0 || took < best)
			best = took;
	}

	best /= (double)passes * t->amount;
	total /= (double)passes * t->amount * n;
	if (t->unit == VB_NS)
		printf("vb %s %.4g %.4g ns %08x\n", t->name, best * 1e9, total * 1e9, sum);
	else
		printf("vb %s %.4g %.4g MB/s %08x\n", t->name, 1e-6 / best, 1e-6 / total, sum);
	fflush(stdout);
}

static bool wanted(const struct vb_test *t, char *const *names)
{
	if (!*names)
		return !(t->how & VB_BY_NAME);
	for (; *names; names++)
		if (!strcmp(*names, t->name))
			return true;
	return false;
}

/* Each in a process of its own: fork's cost depends on what is mapped. */
static bool tests_run(const struct vb_test *t, unsigned n, double seconds,
		      char *const *names)
{
	bool good = true;

	for (; n; n--, t++) {
		int status = 0;
		pid_t pid;

		if (!wanted(t, names))
			continue;
		pid = fork();
		if (pid < 0)
			vb_fail("fork");
		if (pid == 0) {
			test_run(t, seconds);
			exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0) {
			printf("vb: FAILED: %s: status %#x\n", t->name, status);
			fflush(stdout);
			good = false;
		}
	}
	return good;
}

static bool run_all(double seconds, char *const *names)
{
	bool good = tests_run(vb_cpu_tests, vb_cpu_count, seconds, names);

	return tests_run(vb_os_tests, vb_os_count, seconds, names) && good;
}

/* Process 1: say so at once, then look at the command line. */
static void guest_main(void)
{
	static char line[2048], *names[64];
	double seconds = 1, began = now();
	unsigned n = 0;
	ssize_t len;
	int fd;

	printf("vb: init up\n");
	fflush(stdout);
	mkdir("/proc", 0755);
	mkdir("/tmp", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL) < 0)
		vb_fail("mount /proc");
	if (mount("tmpfs", "/tmp", "tmpfs", 0, NULL) < 0)
		vb_fail("mount /tmp");
	fd = open("/proc/cmdline", O_RDONLY);
	len = read(fd, line, sizeof(line) - 1);
	if (len < 0)
		vb_fail("/proc/cmdline");
	close(fd);
	for (char *w = strtok(line, " \n"); w; w = strtok(NULL, " \n")) {
		if (!strncmp(w, "vb.t=", 5))
			seconds = atof(w + 5);
		else if (!strncmp(w, "vb.tests=", 9))
			for (char *p = w + 9; p && *p && n < 63;) {
				names[n++] = p;
				p = strchr(p, ',');
				if (p)
					*p++ = 0;
			}
	}
	run_all(seconds, names);
	printf("vb: done %.3f\n", now() - began);
	fflush(stdout);
	guest_end();
}

int main(int argc, char **argv)
{
	double seconds = 1;
	int c;

	if (argc == 3 && !strcmp(argv[1], "exit"))
		return atoi(argv[2]);
	if (getpid() == 1)
		guest_main();
	while ((c = getopt(argc, argv, "t:d:b:")) != -1)
		switch (c) {
		case 't':
			seconds = atof(optarg);
			break;
		case 'd':
			vb_place.dir = optarg;
			break;
		case 'b':
			vb_place.busybox = optarg;
			break;
		default:
			fprintf(stderr, "usage: vb [-t seconds] [-d dir] [-b busybox] [test ...]\n");
			return 2;
		}
	return !run_all(seconds, argv + optind);
}
