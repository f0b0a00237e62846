#include "pc/blrom.h"

#include <string.h>

extern const uint8_t blrom_start[], blrom_end[];

enum { AT_SUM = 6 };

size_t blrom_build(uint8_t buf[BLROM_MAX])
{
	size_t len = (size_t)(blrom_end - blrom_start);
	uint8_t sum = 0;

	memcpy(buf, blrom_start, len);
	for (size_t i = 0; i < len; i++)
		sum += buf[i];
	buf[AT_SUM] -= sum;
	return len;
}
