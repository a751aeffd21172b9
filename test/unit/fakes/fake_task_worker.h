/*
 * fake_task_worker - stands in for task_worker: notes what it is asked, and lets the test tell.
 */
#ifndef TEST_UNIT_FAKES_FAKE_TASK_WORKER_H
#define TEST_UNIT_FAKES_FAKE_TASK_WORKER_H

#include "agentd/task_worker.h"
#include "common/strbuf.h"

extern struct fake_task_worker {
    struct strbuf story;             /* "submit a 'ping' 60;", "cancel a;", … */
    struct task_listener listener;   /* of the worker that was made */
    enum prober_error submit_answer; /* of the next submits */
    enum prober_error word_answer;   /* of the next cancels and tolds */
} fake_task_worker;

void fake_task_worker_reset(void);

#endif
