/*
 * Guests made of random code under the interpreter and the translator in each of
 * its forms: the process must survive whatever they do.  A machine ends by
 * itself, crashes, or is stopped after 0.3 s; which, does not matter.
 *
 * The guest is soup.S; this program puts chunks behind it, of instructions that
 * decode but are otherwise random, or of plain random bytes.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/le.h"
#include "fuzz.h"
#include "pc/pc.h"
#include "x86/insn.h"

enum { CHUNK = 64, CHUNKS_MAX = 512, PAGING = 0x20, USER = 0x24, CHUNKS = 0x28 };

/* An instruction that decodes; half of them with a plausible memory operand. */
static unsigned random_insn(struct fuzz *f, uint8_t *b, unsigned room)
{
	static const uint8_t bases[] = { 3, 6, 7 };	/* EBX, ESI, EDI */
	struct x86_insn in;

	for (unsigned tries = 0; tries < 64; tries++) {
		uint8_t t[X86_INSN_MAX];
		int len;

		for (unsigned i = 0; i < sizeof(t); i++)
			t[i] = (uint8_t)fuzz_next(f);
		len = x86_decode(&in, t, sizeof(t), 32);
		if (len > 0 && in.has_modrm && fuzz_below(f, 2)) {
			t[in.modrm_off] = (uint8_t)((t[in.modrm_off] & 0x38) | 0x40 |
						    bases[fuzz_below(f, 3)]);
			len = x86_decode(&in, t, sizeof(t), 32);
		}
		if (len < 1 || (unsigned)len > room)
			continue;
		memcpy(b, t, (size_t)len);
		return (unsigned)len;
	}
	return 0;
}

static void make_chunk(struct fuzz *f, uint8_t *b)
{
	unsigned at = 0, n;

	memset(b, 0xcc, CHUNK);
	if (!fuzz_below(f, 8)) {
		for (; at < CHUNK - 1; at++)
			b[at] = (uint8_t)fuzz_next(f);
		return;
	}
	while (at < CHUNK - 1 && (n = random_insn(f, b + at, CHUNK - 1 - at)))
		at += n;
}

static void run_guest(struct fuzz *f, const char *path, unsigned *ends)
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
	end = pc_run(pc, &code, &e);
	fuzz_check(end != PC_END_ERROR, "engine %d: %s", cfg.accel, e.msg);
	ends[end]++;
	pc_free(pc);
}

static size_t read_image(uint8_t *image, size_t max, const char *program)
{
	char path[512];
	FILE *in;
	size_t n;

	/* Beside this program. */
	snprintf(path, sizeof(path), "%.*s/soup.bin", (int)(strrchr(program, '/') - program),
		 program);
	in = fopen(path, "re");
	fuzz_check(in, "%s", path);
	n = fread(image, 1, max, in);
	fclose(in);
	return n;
}

int main(int argc, char **argv)
{
	static uint8_t image[65536 + CHUNKS_MAX * CHUNK];
	unsigned ends[PC_END_ERROR + 1] = { 0 };
	size_t len = read_image(image, 65536, argv[0]);
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];
	struct fuzz f;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fuzz_start(&f, argc, argv);
	do {
		unsigned n = 1 + fuzz_below(&f, CHUNKS_MAX);

		le32_put(image + PAGING, fuzz_below(&f, 2));
		le32_put(image + USER, fuzz_below(&f, 2));
		le32_put(image + CHUNKS, n);
		for (unsigned i = 0; i < n; i++)
			make_chunk(&f, image + len + i * CHUNK);
		if (ftruncate(fd, 0) ||
		    pwrite(fd, image, len + n * CHUNK, 0) != (ssize_t)(len + n * CHUNK))
			return 1;
		f.runs++;
		run_guest(&f, path, ends);
	} while (clock_ns() < f.end_ns);
	printf("ended by themselves %u, reset %u, crashed %u, stopped %u\n",
	       ends[PC_END_DEBUG_EXIT] + ends[PC_END_POWEROFF], ends[PC_END_RESET],
	       ends[PC_END_CRASH], ends[PC_END_TIMEOUT]);
	return fuzz_done(&f);
}
