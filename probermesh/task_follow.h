/*
 * task_follow - gives a task to a server and shows what comes of it.
 *
 * Purpose    Asks for news of the task until all agents have ended, prints each region's results
 *            when it is complete, and bears a server that is away for a while. An interrupt cancels
 *            the task, a second one leaves it as it is.
 * Threads    main() only; it takes SIGINT and SIGTERM over.
 */
#ifndef PROBERMESH_TASK_FOLLOW_H
#define PROBERMESH_TASK_FOLLOW_H

#include "probermesh/client_options.h"

enum task_follow_status {
    TASK_FOLLOW_TROUBLE = 1,
    TASK_FOLLOW_TIME_IS_UP = 5, /* besides enum task_verdict */
    TASK_FOLLOW_INTERRUPTED = 130
};

/* `line`: what the agents are to run. Returns the exit status. */
int task_follow(const struct client_options *options, const char *line);

#endif
