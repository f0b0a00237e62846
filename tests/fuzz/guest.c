/*
 * Guests made of random code under the interpreter and the translator in each of
 * its forms: the process must survive whatever they do.  A machine ends by
 * itself, crashes, or is stopped after 0.3 s; which, does not matter.
 *
 * The guest is soup.S; this program puts chunks behind it, of instructions that
 * decode but are otherwise random, or of plain random bytes.
 */
#include "soup.h"

enum { CHUNK = SOUP_CHUNK, CHUNKS_MAX = 512 };

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

int main(int argc, char **argv)
{
	static uint8_t image[65536 + CHUNKS_MAX * CHUNK];
	unsigned ends[PC_END_ERROR + 1] = { 0 };
	size_t len = soup_read(image, 65536, argv[0], "soup.bin");
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];
	struct fuzz f;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fuzz_start(&f, argc, argv);
	do {
		unsigned n = 1 + fuzz_below(&f, CHUNKS_MAX);

		le32_put(image + SOUP_PAGING, fuzz_below(&f, 2));
		le32_put(image + SOUP_USER, fuzz_below(&f, 2));
		le32_put(image + SOUP_CHUNKS, n);
		for (unsigned i = 0; i < n; i++)
			make_chunk(&f, image + len + i * CHUNK);
		soup_write(fd, image, len + n * CHUNK);
		f.runs++;
		soup_run(&f, path, ends, NULL);
	} while (clock_ns() < f.end_ns);
	soup_say(ends);
	return fuzz_done(&f);
}
