/* A .vmsn (vmx/vmsn.h), ours, changed at random: what is found is a part of the file. */
#include <string.h>

#include "fuzz.h"
#include "vmx/vmsn.h"

#include "../unit/ramfile.h"

int main(int argc, char **argv)
{
	static const char config[] = "config.version = \"8\"\n";
	uint64_t found = 0;
	struct fuzz f;

	fuzz_start(&f, argc, argv);
	while (fuzz_more(&f)) {
		struct ram r = { 0 };
		struct disk_file *file;
		size_t len, got;
		char *text;
		uint8_t *b = vmsn_make(&len, config, sizeof(config) - 1);

		ram_set_size(&r, len);
		memcpy(r.data, b, len);
		free(b);
		for (unsigned i = fuzz_below(&f, 4); i; i--)
			r.data[fuzz_below(&f, (unsigned)len)] = fuzz_below(&f, 2) ? 0xff : (uint8_t)fuzz_next(&f);
		if (!fuzz_below(&f, 4))
			ram_set_size(&r, fuzz_below(&f, (unsigned)len + 1));
		file = ram_open(&r, false);
		if (!vmsn_config(&text, &got, file, NULL)) {
			found++;
			fuzz_check(got <= len && strlen(text) == got, "%zu", got);
			free(text);
		}
		file_close(file);
		ram_free(&r);
	}
	printf("%llu found\n", (unsigned long long)found);
	return fuzz_done(&f);
}
