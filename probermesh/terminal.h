/*
 * terminal - what standard output is, and a stop signal that interrupts waiting.
 *
 * Threads    main() only.
 */
#ifndef PROBERMESH_TERMINAL_H
#define PROBERMESH_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "probermesh/view.h"

enum terminal_colour { TERMINAL_AUTO, TERMINAL_ALWAYS, TERMINAL_NEVER };

/* The style that fits standard output. AUTO: colour on a terminal unless NO_COLOR is set. */
struct view_style terminal_style(enum terminal_colour colour);
bool terminal_is_tty(void);
/* Whether standard error is a terminal, to show progress on. */
bool terminal_shows_progress(void);

/* Blocks SIGINT and SIGTERM, so that terminal_wait can take them. */
void terminal_watch_signals(void);
/* The same, and a descriptor that is readable once one came; -1 with errno: there is none. */
int terminal_open_signals(void);
/* Waits for ns nanoseconds; false as soon as one of the signals came. */
bool terminal_wait(uint64_t ns);

#endif
