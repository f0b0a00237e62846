#ifndef CHECK_H
#define CHECK_H
/* Unit tests: a plain main that ends with `return check_done();`. */
#include <stdio.h>

static unsigned check_count, check_failed;

#define check(cond, ...) do { \
	check_count++; \
	if (!(cond)) { \
		check_failed++; \
		printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); \
		printf(__VA_ARGS__); \
		printf("\n"); \
	} \
} while (0)

static inline int check_done(void)
{
	printf("%u checks, %u failed\n", check_count, check_failed);
	return check_failed != 0 || check_count == 0;
}
#endif
