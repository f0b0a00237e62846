/*
 * The decoder's speed: decode [FILE...]   nanoseconds an instruction, over the
 * executable sections of ELF files (default: libc and libcrypto).
 */
#include <stdbool.h>
#include <time.h>

#include "x86/insn.h"
#include "x86_code.h"

/* Processor time: other programs' load does not count. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Decodes all of a section; returns the number of instructions. */
static uint64_t section_decode(const uint8_t *text, size_t len, unsigned mode,
			       uint64_t *sum)
{
	struct x86_insn in;
	uint64_t n = 0;

	for (size_t at = 0; at < len; n++) {
		int rc = x86_decode(&in, text + at, len - at, mode);

		*sum += in.op + in.nops;
		at += rc > 0 ? rc : 1;
	}
	return n;
}

static bool file_bench(const char *path)
{
	uint64_t insns = 0, sum = 0, start, ns;
	const uint8_t *text;
	struct code c;
	size_t len;

	if (!code_open(&c, path))
		return false;
	for (int pass = 0; pass < 2; pass++) {	/* the first one warms up */
		insns = 0;
		c.next = 0;
		start = cpu_ns();
		while (code_next(&c, &text, &len))
			insns += section_decode(text, len, c.mode, &sum);
		ns = cpu_ns() - start;
	}
	printf("%-50s %8llu instructions %6.1f ns each (%llx)\n", path,
	       (unsigned long long)insns, insns ? (double)ns / insns : 0.0,
	       (unsigned long long)sum);
	code_close(&c);
	return true;
}

int main(int argc, char **argv)
{
	static const char *const files[] = {
		"/lib/x86_64-linux-gnu/libc.so.6",
		"/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
		"/usr/lib32/libc.so.6",
	};
	int done = 0;

	for (int i = 1; i < argc; i++)
		done += file_bench(argv[i]);
	for (unsigned i = 0; argc == 1 && i < sizeof(files) / sizeof(files[0]); i++)
		done += file_bench(files[i]);
	return done ? 0 : 1;
}
