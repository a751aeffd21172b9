/*
 * notify - tells the service manager how we are (sd_notify(3) protocol, one datagram each).
 *
 * Threads    main() only. Without NOTIFY_SOCKET every call does nothing.
 */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H

#include <stdint.h>

/* Sends a state such as "READY=1", "STOPPING=1", "STATUS=…"; never blocks, errors are ignored. */
void notify_state(const char *state);
/* Half of WATCHDOG_USEC in ns, or 0 when no watchdog is set for this process: how often to send
 * "WATCHDOG=1". */
uint64_t notify_watchdog_period_ns(void);

#endif
