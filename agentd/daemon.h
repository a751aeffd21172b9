/*
 * daemon - the agent as a running program: everything made, supervised, and taken down.
 *
 * Purpose    Makes the parts in order of need, starts the two threads, then waits for signals:
 *            SIGHUP reads the settings anew, SIGTERM and SIGINT stop. Tells the service manager
 *            that the agent is ready, how it is, and, while all threads make progress, that it
 *            lives.
 * Threads    main() only.
 */
#ifndef AGENTD_DAEMON_H
#define AGENTD_DAEMON_H

#include "agentd/options.h"

/* Runs until a signal ends it, and returns the exit status: 0 after SIGTERM or SIGINT, 1 when it
 * could not start (the log says why). `settings` are loaded already and stay the caller's;
 * argv[argc] (without the program's name) and `environment` are where SIGHUP reads them anew. */
int daemon_run(const struct agentd_settings *settings, int argc, char *const *argv,
               char *const *environment);

#endif
