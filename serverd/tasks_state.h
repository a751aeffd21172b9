/*
 * tasks_state - what tasks.c and tasks_thread.c share.
 *
 * Threads    Whose each member is, stands beside it.
 */
#ifndef SERVERD_TASKS_STATE_H
#define SERVERD_TASKS_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "serverd/store_tasks.h"
#include "serverd/task_book.h"
#include "serverd/task_files.h"
#include "serverd/tasks.h"

#define TASKS_QUEUED_MAX (64u << 20) /* bytes of reports that wait for the thread */
#define TASKS_OUTCOMES 3             /* enum wire_task_outcome */

enum job_kind { JOB_CREATE, JOB_CANCEL, JOB_REPORT };

/* What the thread is asked. A report is on the heap, the others are on the stack of who waits. */
struct job {
    enum job_kind kind;
    /* JOB_CREATE: the task, taken over when it is made; where its view goes */
    struct task_view view;
    struct task_view *out;
    int64_t number;
    /* JOB_CANCEL */
    const char *id;
    char *who;              /* taken over when it is done */
    struct book_task *task; /* NULL: nothing changes */
    /* both */
    enum prober_error err;
    struct prober_failure *why;
    bool done; /* guarded by tasks->lock: the last that the thread touches of it */
    /* JOB_REPORT */
    struct prober_id agent;
    struct wire_request request;
    struct wire_task_report_reply reply;
    tasks_answer_fn answer;
    void *context;
    size_t size;
};

struct batch;

struct tasks {
    struct tasks_config config;
    struct batch *batch;       /* the thread's */
    struct store_tasks *store; /* the thread's, but store_tasks_read */
    struct task_files *files;  /* the thread's, but the counts; NULL: none are written */
    struct queue *jobs;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct task_book *book; /* guarded by lock; the thread alone changes it, but for what is sent */
    size_t waiters;         /* guarded by lock */
    bool stopping;          /* guarded by lock */
    atomic_size_t queued_bytes;
    atomic_uint_fast64_t created, cancelled, write_errors, reports[TASKS_OUTCOMES];
    bool store_failing, files_failing;  /* the thread's: the log knows */
    uint64_t tick_due_ns, prune_due_ns; /* the thread's */
};

/* What is written together; NULL for lack of memory. Freed by free. */
struct batch *tasks_batch_create(void);
/* The thread; context: struct tasks. */
void *tasks_main(void *context);

#endif
