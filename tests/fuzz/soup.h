#ifndef SOUP_H
#define SOUP_H
/* What the fuzzers of whole guests share: the image that NAME.S makes, and running it. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/le.h"
#include "fuzz.h"
#include "pc/pc.h"
#include "x86/insn.h"

/* Words in the image, and what follows it. */
enum { SOUP_PAGING = 0x20, SOUP_USER = 0x24, SOUP_CHUNKS = 0x28, SOUP_CHUNK = 64 };

/* The guest at path, up to its end; ends: counted by how it ended.  ready, if any, is
 * told of the machine before it runs, and of NULL behind it. */
static inline void soup_run(struct fuzz *f, const char *path, unsigned *ends,
			    void (*ready)(struct vm *vm))
{
	struct pc_config cfg = {
		.kernel = path, .memory = 16 << 20, .cpus = 1, .serial = "none",
		.debug_exit = true, .timeout_s = 0.3, .no_reboot = true,
		.accel = fuzz_below(f, 4) ? PC_ACCEL_BT : PC_ACCEL_INTERP,
		.bt.form = (enum bt_form)fuzz_below(f, 3),
	};
	struct err e = { 0 };
	struct pc *pc = pc_new(&cfg, &e);
	enum pc_end end;
	int code = 0;

	fuzz_check(pc && !pc_load(pc, &e), "%s", e.msg);
	if (ready)
		ready(pc_vm(pc));
	end = pc_run(pc, &code, &e);
	if (ready)
		ready(NULL);
	fuzz_check(end != PC_END_ERROR, "engine %d: %s", cfg.accel, e.msg);
	ends[end]++;
	pc_free(pc);
}

/* name, which lies beside this program */
static inline size_t soup_read(uint8_t *image, size_t max, const char *program, const char *name)
{
	char path[512];
	FILE *in;
	size_t n;

	snprintf(path, sizeof(path), "%.*s/%s", (int)(strrchr(program, '/') - program),
		 program, name);
	in = fopen(path, "re");
	fuzz_check(in, "%s", path);
	n = fread(image, 1, max, in);
	fclose(in);
	return n;
}

static inline void soup_write(int fd, const uint8_t *image, size_t len)
{
	fuzz_check(!ftruncate(fd, 0) && pwrite(fd, image, len, 0) == (ssize_t)len, "image");
}

static inline void soup_say(const unsigned *ends)
{
	printf("ended by themselves %u, reset %u, crashed %u, stopped %u\n",
	       ends[PC_END_DEBUG_EXIT] + ends[PC_END_POWEROFF], ends[PC_END_RESET],
	       ends[PC_END_CRASH], ends[PC_END_TIMEOUT]);
}
#endif
