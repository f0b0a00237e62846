#ifndef VMRUN_H
#define VMRUN_H
/* The commands of vmrun, one file each. */
#include "base/cli.h"

extern const struct cli_opt run_opts[], disk_opts[], disas_opts[];
int run_main(struct cli *c, int argc, char **argv);
int disk_main(struct cli *c, int argc, char **argv);
int disas_main(struct cli *c, int argc, char **argv);

/* `--version -v`: one line on stdout for each engine, can it run here? */
void run_print_engines(void);
#endif
