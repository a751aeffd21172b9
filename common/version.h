/*
 * version - what this build is. PROBER_VERSION and PROBER_REVISION come from the Makefile.
 */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

#ifndef PROBER_VERSION
#define PROBER_VERSION "0.0.0-dev"
#endif

#endif
