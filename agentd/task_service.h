/*
 * task_service - the tasks of a running agent: ledger and desk, made by the settings.
 *
 * Purpose    What keeps tasks from being taken (a damaged ledger, no memory) is told to the log, and
 *            keeps nothing else: the agent probes without tasks then.
 * Threads    main(); the desk has rules of its own (task_desk.h).
 * Ownership  Owns ledger and desk.
 */
#ifndef AGENTD_TASK_SERVICE_H
#define AGENTD_TASK_SERVICE_H

#include "agentd/options.h"
#include "agentd/policy.h"
#include "agentd/task_desk.h"
#include "agentd/task_ledger.h"
#include "agentd/wakeup.h"
#include "common/strbuf.h"

struct task_service {
    struct task_desk *desk; /* NULL: no tasks are taken */
    struct task_ledger *ledger;
    struct strbuf servers; /* of names */
};

/* Fills a zeroed *service. The wakeup is the link thread's, and has to stay. */
void task_service_open(struct task_service *service, const struct agentd_settings *settings,
                       struct wakeup *wakeup);
/* By the networks of other settings from the next task on. */
void task_service_set_policy(struct task_service *service, struct policy *policy);
/* Takes no more tasks and ends what runs; task_service_stop waits for that. */
void task_service_close(struct task_service *service);
void task_service_stop(struct task_service *service);
/* When nothing delivers results any more. */
void task_service_destroy(struct task_service *service);

#endif
