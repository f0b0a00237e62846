/* vb: tests that stay in user mode. */

#include <string.h>
#include <sys/mman.h>

#include "vb.h"

#define KEEP(x) __asm__ volatile("" : : "r"(x) : "memory")

/* --- sort: quicksort of random 32-bit integers ---------------------------- */

#define SORT_N 32768
static uint32_t *sort_a;

static void sort_setup(void)
{
	sort_a = vb_alloc(SORT_N * 4, PROT_READ | PROT_WRITE);
}

static void sort_range(uint32_t *a, int lo, int hi)
{
	while (hi - lo > 16) {
		uint32_t p = a[lo + (hi - lo) / 2];
		int i = lo, j = hi;

		while (i <= j) {
			while (a[i] < p)
				i++;
			while (a[j] > p)
				j--;
			if (i <= j) {
				uint32_t t = a[i];

				a[i++] = a[j];
				a[j--] = t;
			}
		}
		sort_range(a, lo, j);
		lo = i;
	}
	for (int i = lo + 1; i <= hi; i++) {
		uint32_t t = a[i];
		int j = i;

		for (; j > lo && a[j - 1] > t; j--)
			a[j] = a[j - 1];
		a[j] = t;
	}
}

static uint32_t sort_run(uint64_t passes)
{
	uint32_t sum = 0;

	while (passes--) {
		uint32_t x = 1;

		for (int i = 0; i < SORT_N; i++)
			sort_a[i] = vb_rand(&x);
		sort_range(sort_a, 0, SORT_N - 1);
		sum = 0;
		for (int i = 0; i < SORT_N; i += 61)
			sum = vb_mix(sum, sort_a[i]);
	}
	return sum;
}

/* --- sha256 (FIPS 180-4) and crc32, both over 64 KiB ---------------------- */

#define TEXT_BYTES 65536
static uint8_t *text;

static void text_setup(void)
{
	uint32_t x = 7;

	text = vb_alloc(TEXT_BYTES, PROT_READ | PROT_WRITE);
	for (int i = 0; i < TEXT_BYTES; i++)
		text[i] = vb_rand(&x);
}

static const uint32_t sha_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t ror32(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

static void sha_block(uint32_t h[8], const uint8_t *p)
{
	uint32_t w[64], a = h[0], b = h[1], c = h[2], d = h[3];
	uint32_t e = h[4], f = h[5], g = h[6], k = h[7];

	for (int i = 0; i < 16; i++) {
		memcpy(&w[i], p + 4 * i, 4);
		w[i] = __builtin_bswap32(w[i]);
	}
	for (int i = 16; i < 64; i++) {
		uint32_t x = w[i - 15], y = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] + (ror32(x, 7) ^ ror32(x, 18) ^ x >> 3) +
			(ror32(y, 17) ^ ror32(y, 19) ^ y >> 10);
	}
	for (int i = 0; i < 64; i++) {
		uint32_t t = k + (ror32(e, 6) ^ ror32(e, 11) ^ ror32(e, 25)) +
			((e & f) ^ (~e & g)) + sha_k[i] + w[i];
		uint32_t u = (ror32(a, 2) ^ ror32(a, 13) ^ ror32(a, 22)) +
			((a & b) ^ (a & c) ^ (b & c));

		k = g, g = f, f = e, e = d + t;
		d = c, c = b, b = a, a = t + u;
	}
	h[0] += a, h[1] += b, h[2] += c, h[3] += d;
	h[4] += e, h[5] += f, h[6] += g, h[7] += k;
}

static uint32_t sha256_run(uint64_t passes)
{
	uint32_t h[8] = { 0 };

	while (passes--) {
		static const uint32_t start[8] = {
			0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
		};
		/* the padding: a one, zeros, and TEXT_BYTES * 8 */
		static const uint8_t end[64] = { [0] = 0x80, [61] = 0x08 };

		memcpy(h, start, sizeof(h));
		for (int i = 0; i < TEXT_BYTES; i += 64)
			sha_block(h, text + i);
		sha_block(h, end);
	}
	return h[0];
}

static uint32_t crc_table[256];

static void crc32_setup(void)
{
	text_setup();
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
		crc_table[i] = c;
	}
}

static uint32_t crc32_run(uint64_t passes)
{
	uint32_t c = 0;

	while (passes--) {
		c = ~0u;
		for (int i = 0; i < TEXT_BYTES; i++)
			c = crc_table[(c ^ text[i]) & 0xff] ^ c >> 8;
	}
	return ~c;
}

/* --- matrix: 64 x 64 doubles, by the unit for which Debian compiles C on this
 * architecture (i386: x87, amd64: SSE2), and by the other one --------------- */

#define MAT_N 64
static double (*mat)[MAT_N][MAT_N];

static void matrix_setup(void)
{
	uint32_t x = 3;

	mat = vb_alloc(3 * sizeof(*mat), PROT_READ | PROT_WRITE);
	for (int i = 0; i < MAT_N; i++)
		for (int j = 0; j < MAT_N; j++) {
			mat[0][i][j] = vb_rand(&x) % 1000;
			mat[1][i][j] = vb_rand(&x) % 1000;
		}
}

/* Small integers: the products are exact in any precision. */
#define MATRIX_BODY \
	while (passes--) { \
		for (int i = 0; i < MAT_N; i++) \
			for (int j = 0; j < MAT_N; j++) { \
				double s = 0; \
				for (int k = 0; k < MAT_N; k++) \
					s += mat[0][i][k] * mat[1][k][j]; \
				mat[2][i][j] = s; \
			} \
		KEEP(mat[2]); \
	}

static uint32_t matrix_sum(void)
{
	uint32_t sum = 0;

	for (int i = 0; i < MAT_N; i++)
		for (int j = 0; j < MAT_N; j++)
			sum = vb_mix(sum, (uint32_t)mat[2][i][j]);
	return sum;
}

__attribute__((target("fpmath=387")))
static uint32_t matx87_run(uint64_t passes)
{
	MATRIX_BODY
	return matrix_sum();
}

__attribute__((target("sse2,fpmath=sse")))
static uint32_t matsse_run(uint64_t passes)
{
	MATRIX_BODY
	return matrix_sum();
}

#ifdef __x86_64__
#define MATRIX_RUN matsse_run
#define MATRIX_OTHER "matx87", VB_NS, MAT_N * MAT_N * MAT_N, 0, matrix_setup, matx87_run
#else
#define MATRIX_RUN matx87_run
#define MATRIX_OTHER "matsse", VB_NS, MAT_N * MAT_N * MAT_N, 0, matrix_setup, matsse_run
#endif

/* --- memcpy of 64 KiB: the C library's, and rep movsl ---------------------- */

static uint8_t *copy;

static void memcpy_setup(void)
{
	text_setup();
	copy = vb_alloc(TEXT_BYTES, PROT_READ | PROT_WRITE);
}

static uint32_t copy_sum(void)
{
	uint32_t sum = 0;

	for (int i = 0; i < TEXT_BYTES; i += 4096)
		sum = vb_mix(sum, copy[i + i / 4096]);
	return sum;
}

static uint32_t memcpy_run(uint64_t passes)
{
	while (passes--) {
		memcpy(copy, text, TEXT_BYTES);
		KEEP(copy);
	}
	return copy_sum();
}

static uint32_t repmovs_run(uint64_t passes)
{
	while (passes--) {
		void *d = copy;
		const void *s = text;
		size_t n = TEXT_BYTES / 4;

		__asm__ volatile("rep movsl" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	}
	return copy_sum();
}

/* --- chase: dependent loads through 16 MiB in random order ----------------- */

#define CHASE_BYTES (16u << 20)
#define CHASE_N (CHASE_BYTES / 64)
static uint32_t *chase;

/* One cycle through all lines (Sattolo's shuffle). */
static void chase_setup(void)
{
	uint32_t *order = vb_alloc(CHASE_N * 4, PROT_READ | PROT_WRITE), x = 5;

	chase = vb_alloc(CHASE_BYTES, PROT_READ | PROT_WRITE);
	for (uint32_t i = 0; i < CHASE_N; i++)
		order[i] = i;
	for (uint32_t i = CHASE_N - 1; i > 0; i--) {
		uint32_t j = vb_rand(&x) % i, t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	for (uint32_t i = 0; i < CHASE_N; i++)
		chase[order[i] * 16] = order[(i + 1) % CHASE_N] * 16;
	munmap(order, CHASE_N * 4);
}

/* A pass is the whole cycle, so that it ends where it began. */
static uint32_t chase_run(uint64_t passes)
{
	uint32_t sum = 0, at = 0;

	while (passes--) {
		sum = 0;
		do {
			at = chase[at];
			sum = vb_mix(sum, at);
		} while (at);
	}
	return sum;
}

/* --- calls: direct recursive, and through pointers ------------------------- */

#define FIB_N 22
#define FIB_CALLS 57313		/* calls of fib(22) */

static __attribute__((noinline, optimize("no-optimize-sibling-calls", "O1")))
uint32_t fib(uint32_t n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint32_t call_run(uint64_t passes)
{
	uint32_t sum = 0;

	while (passes--)
		sum = fib(FIB_N);
	return sum;
}

#define ICALL_FN(n) static __attribute__((noinline)) \
	uint32_t icall_##n(uint32_t v) { return v * (2 * n + 3) + n; }
ICALL_FN(0) ICALL_FN(1) ICALL_FN(2) ICALL_FN(3)
ICALL_FN(4) ICALL_FN(5) ICALL_FN(6) ICALL_FN(7)
static uint32_t (*const icall_fn[8])(uint32_t) = {
	icall_0, icall_1, icall_2, icall_3, icall_4, icall_5, icall_6, icall_7,
};
#define ICALL_N 16384

static uint32_t icall_run(uint64_t passes)
{
	uint32_t v = 0;

	while (passes--) {
		v = 1;
		for (int i = 0; i < ICALL_N; i++)
			v = icall_fn[(v >> 16) & 7](v);
	}
	return v;
}

/* --- smc: a function whose constant is rewritten before each call ---------- */

#define SMC_N 1024
static uint8_t *smc;

static void smc_setup(void)
{
	static const uint8_t code[] = { 0xb8, 0, 0, 0, 0, 0xc3 };	/* mov eax, imm32; ret */

	smc = vb_alloc(4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	memcpy(smc, code, sizeof(code));
}

static uint32_t smc_run(uint64_t passes)
{
	uint32_t sum = 0;

	while (passes--) {
		sum = 0;
		for (uint32_t i = 0; i < SMC_N; i++) {
			uint32_t (*fn)(void) = (uint32_t (*)(void))smc, v = i * 0x9e3779b9u;

			memcpy(smc + 1, &v, 4);
			KEEP(smc);
			sum = vb_mix(sum, fn());
		}
	}
	return sum;
}

const struct vb_test vb_cpu_tests[] = {
	{ "sort", VB_NS, SORT_N, 0, sort_setup, sort_run },
	{ "sha256", VB_MBS, TEXT_BYTES, 0, text_setup, sha256_run },
	{ "crc32", VB_MBS, TEXT_BYTES, 0, crc32_setup, crc32_run },
	{ "matrix", VB_NS, MAT_N * MAT_N * MAT_N, 0, matrix_setup, MATRIX_RUN },
	{ MATRIX_OTHER },
	{ "memcpy", VB_MBS, TEXT_BYTES, 0, memcpy_setup, memcpy_run },
	{ "repmovs", VB_MBS, TEXT_BYTES, 0, memcpy_setup, repmovs_run },
	{ "chase", VB_NS, CHASE_N, 0, chase_setup, chase_run },
	{ "call", VB_NS, FIB_CALLS, 0, NULL, call_run },
	{ "icall", VB_NS, ICALL_N, 0, NULL, icall_run },
	{ "smc", VB_NS, SMC_N, 0, smc_setup, smc_run },
};
const unsigned vb_cpu_count = sizeof(vb_cpu_tests) / sizeof(*vb_cpu_tests);
