/*
 * tun - a TUN device in a network namespace.
 *
 * Threads    Changes the calling thread's namespace for a moment: single-threaded programs only.
 * Ownership  The device lives as long as its file descriptor, which is the caller's.
 */
#ifndef LAB_TUN_H
#define LAB_TUN_H

#include "common/error.h"

/* Makes device `name` in the namespace called `netns` by ip-netns(8), "-" for our own, and stores a
 * non-blocking descriptor that reads and writes bare IP packets. The caller of the emulator gives
 * it addresses and brings it up. Errors: PROBER_ERR_NOT_FOUND, _DENIED, _IN_USE, _IO. */
enum prober_error tun_open(const char *netns, const char *name, int *fd,
                           struct prober_failure *why);

#endif
