#include "agentd/task_service.h"

#include <unistd.h>

#include "agentd/task_program.h"
#include "common/clock.h"
#include "common/log.h"

#define LEDGER_FILE "tasks"
#define LEDGER_KEEP_NS (3600 * CLOCK_NS_PER_S)
#define GRACE_NS CLOCK_NS_PER_S /* the agent has to be gone within 5 s */
#define WAITING_MAX 64
#define OUTPUT_STOP (64u << 20)
#define HELD_MAX (64u << 20)
#define LEFT_OUT_LINE 64 /* of what is kept, for the line in the place of the rest */

static enum prober_error open_ledger(struct task_service *service, const char *state_dir,
                                     struct prober_failure *why)
{
    struct strbuf path = STRBUF_INIT;
    enum prober_error err;

    strbuf_printf(&path, "%s/" LEDGER_FILE, state_dir);
    if (strbuf_ok(&path))
        err = task_ledger_open(&service->ledger, path.bytes, TASK_LEDGER_MAX, LEDGER_KEEP_NS, why);
    else
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    strbuf_free(&path);
    return err;
}

static enum prober_error open_desk(struct task_service *service, const struct agentd_settings *s,
                                   struct policy *policy, struct wakeup *wakeup,
                                   struct prober_failure *why)
{
    struct task_desk_config config = {.settings = {.terms = {.policy = (enum task_policy)s->task,
                                                             .root = geteuid() == 0,
                                                             .deadline_ns = s->task_deadline_ns},
                                                   .grace_ns = GRACE_NS,
                                                   .output_max = s->task_output - LEFT_OUT_LINE,
                                                   .output_stop = OUTPUT_STOP,
                                                   .running_max = (size_t)s->task_running,
                                                   .waiting_max = WAITING_MAX,
                                                   .per_minute = (unsigned)s->task_rate,
                                                   .burst = (unsigned)(s->task_rate + 1) / 2,
                                                   .directories = TASK_PROGRAM_DIRS},
                                      .ledger = service->ledger,
                                      .policy = policy,
                                      .wakeup = wakeup,
                                      .held_max = HELD_MAX};

    for (size_t i = 0; i < s->dns_servers.count; i++)
        strbuf_printf(&service->servers, "%s%s", i ? "," : "", s->dns_servers.items[i]);
    if (!strbuf_ok(&service->servers))
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    config.settings.servers = service->servers.len ? service->servers.bytes : NULL;
    return task_desk_create(&service->desk, &config, why);
}

void task_service_open(struct task_service *service, const struct agentd_settings *s,
                       struct wakeup *wakeup)
{
    struct policy *policy = NULL;
    struct prober_failure why;
    enum prober_error err = policy_create(&policy, &s->allow, &s->deny, NULL);

    if (err)
        prober_fail(&why, err, "%s", prober_error_text(err));
    else
        err = open_ledger(service, s->state_dir, &why);
    if (!err)
        err = open_desk(service, s, policy, wakeup, &why);
    if (err)
        log_error("no tasks are taken", LOG_S("cause", why.text));
    policy_put(policy);
}

void task_service_set_policy(struct task_service *service, struct policy *policy)
{
    if (service->desk)
        task_desk_set_policy(service->desk, policy);
}

void task_service_close(struct task_service *service)
{
    if (service->desk)
        task_desk_close(service->desk);
}

void task_service_stop(struct task_service *service)
{
    if (service->desk)
        task_desk_stop(service->desk);
}

void task_service_destroy(struct task_service *service)
{
    struct task_desk_counts left = {0};

    if (service->desk)
        task_desk_counts(service->desk, &left);
    if (left.held)
        log_warn("the server does not know yet how these tasks ended", LOG_U("tasks", left.held));
    task_desk_destroy(service->desk);
    task_ledger_close(service->ledger);
    strbuf_free(&service->servers);
}
