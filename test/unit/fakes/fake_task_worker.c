#include "fake_task_worker.h"

#include <string.h>

struct task_worker {
    int unused;
};

struct fake_task_worker fake_task_worker;
static struct task_worker the_worker;

void fake_task_worker_reset(void)
{
    strbuf_free(&fake_task_worker.story);
    memset(&fake_task_worker, 0, sizeof(fake_task_worker));
}

enum prober_error task_worker_create(struct task_worker **out, const struct task_settings *settings,
                                     struct task_ledger *ledger, struct policy *policy,
                                     const struct task_listener *listener,
                                     struct prober_failure *why)
{
    (void)settings;
    (void)ledger;
    (void)policy;
    (void)why;
    fake_task_worker.listener = *listener;
    *out = &the_worker;
    return PROBER_OK;
}

enum prober_error task_worker_submit(struct task_worker *worker, const char *id, const char *line,
                                     size_t len, uint64_t deadline_ns, struct prober_failure *why)
{
    (void)worker;
    strbuf_printf(&fake_task_worker.story, "submit %s '%.*s' %llu;", id, (int)len, line,
                  (unsigned long long)(deadline_ns / 1000000000));
    if (fake_task_worker.submit_answer)
        prober_fail(why, fake_task_worker.submit_answer, "no\tmore");
    return fake_task_worker.submit_answer;
}

enum prober_error task_worker_cancel(struct task_worker *worker, const char *id)
{
    (void)worker;
    strbuf_printf(&fake_task_worker.story, "cancel %s;", id);
    return fake_task_worker.word_answer;
}

enum prober_error task_worker_told(struct task_worker *worker, const char *id)
{
    (void)worker;
    strbuf_printf(&fake_task_worker.story, "told %s;", id);
    return fake_task_worker.word_answer;
}

void task_worker_set_policy(struct task_worker *worker, struct policy *policy)
{
    (void)worker;
    (void)policy;
    strbuf_puts(&fake_task_worker.story, "policy;");
}

void task_worker_close(struct task_worker *worker)
{
    (void)worker;
    strbuf_puts(&fake_task_worker.story, "close;");
}

void task_worker_stop(struct task_worker *worker)
{
    (void)worker;
    strbuf_puts(&fake_task_worker.story, "stop;");
}

void task_worker_destroy(struct task_worker *worker)
{
    (void)worker;
}
