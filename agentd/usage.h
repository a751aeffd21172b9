/*
 * usage - the help of agentd, and what it says to a wrong command line.
 *
 * Threads    main() only.
 */
#ifndef AGENTD_USAGE_H
#define AGENTD_USAGE_H

#include <stdio.h>

#include "common/problems.h"

/* Prints the whole help, with every flag and its default. */
void usage_print(FILE *out);
/* Prints every problem to stderr, one a line, and where help is to be had. */
void usage_complain(const struct problems *problems);

#endif
