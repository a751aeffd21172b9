#include "serverd/rpc_state.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "serverd/reply.h"

#define BATCH_MAX 64
#define DEFER_NS CLOCK_NS_PER_S
#define DEFER_RETRY_NS (50 * CLOCK_NS_PER_MS)
/* Longer than any turn of the control thread takes on a machine that works. */
#define STALL_NS (2 * CLOCK_NS_PER_S)

/* The connection's session if it is the one that the request names, with a reference. */
static struct session *session_of(const struct task *t)
{
    struct session *session = peer_session(t->peer);

    if (session && prober_id_equal(&session->agent_id, &t->request.agent_id) &&
        prober_id_equal(&session->boot_id, &t->request.boot_id))
        return session;
    session_put(session);
    return NULL;
}

/* Answers, and frees the task; or keeps it for later. */
static void answer(struct rpc *rpc, struct task *t, const struct clock_reading *now)
{
    struct strbuf body = STRBUF_INIT;
    struct control_call call = {
        .request = &t->request,
        .peer = link_call_peer(t->call),
        .session = session_of(t),
        .trusted = t->trusted,
        .may_wait = t->give_up_ns ? now->mono_ns < t->give_up_ns
                                  : rpc->deferred_count < RPC_DEFERRED_MAX,
    };
    enum prober_error err = control_answer(rpc->control, &call, now, &body);

    session_put(call.session);
    if (err == PROBER_ERR_EXISTS) {
        if (!t->give_up_ns)
            t->give_up_ns = now->mono_ns + DEFER_NS;
        rpc->deferred[rpc->deferred_count++] = t;
        return;
    }
    /* The session hangs on the connection before the agent can hear of it. */
    if (call.made)
        peer_set_session(t->peer, call.made);
    if (err)
        link_call_drop(t->call);
    else
        reply_send_body(t->call, &body);
    strbuf_free(&body);
    rpc_task_free(t);
}

static void retry_deferred(struct rpc *rpc, const struct clock_reading *now)
{
    struct task *waiting[RPC_DEFERRED_MAX];
    size_t count = rpc->deferred_count;

    memcpy(waiting, rpc->deferred, count * sizeof(waiting[0]));
    rpc->deferred_count = 0;
    for (size_t i = 0; i < count; i++)
        answer(rpc, waiting[i], now);
}

static void drop_deferred(struct rpc *rpc)
{
    for (size_t i = 0; i < rpc->deferred_count; i++) {
        link_call_drop(rpc->deferred[i]->call);
        rpc_task_free(rpc->deferred[i]);
    }
    rpc->deferred_count = 0;
}

/* Reads the clock. When so much more than wait_ns passed since the last reading, the whole process
 * stood still: that is seen before anybody is judged by the new time. */
static struct clock_reading read_clock(struct rpc *rpc, uint64_t wait_ns)
{
    struct clock_reading now = clock_read();
    uint64_t took_ns = now.mono_ns - rpc->turn_ns;

    rpc->turn_ns = now.mono_ns;
    if (took_ns > wait_ns && took_ns - wait_ns >= STALL_NS) {
        control_forgive(rpc->control, took_ns - wait_ns);
        log_warn("the server stood still and heard nobody; that counts against no agent",
                 LOG_D("for", took_ns - wait_ns));
    }
    return now;
}

static uint64_t step(struct rpc *rpc)
{
    struct clock_reading now = read_clock(rpc, 0);
    bool hint;
    uint64_t due_ns = control_step(rpc->control, &now, &hint), ended_ns;

    handshakes_expire(rpc->handshakes, now.mono_ns);
    if (hint) {
        atomic_fetch_add(&rpc->hints, 1);
        link_publisher_send(rpc->publisher, "plan", 4);
    }
    ended_ns = clock_monotonic_ns();
    atomic_store(&rpc->progress_ns, ended_ns);
    if (ended_ns - now.mono_ns > atomic_load(&rpc->step_max_ns))
        atomic_store(&rpc->step_max_ns, ended_ns - now.mono_ns);
    if (rpc->deferred_count && due_ns > ended_ns + DEFER_RETRY_NS)
        due_ns = ended_ns + DEFER_RETRY_NS;
    return due_ns > ended_ns ? due_ns - ended_ns : 0;
}

/* What is asked for is planned and published before its asker hears of it. */
static void apply_change(struct rpc *rpc, struct task *t, const struct clock_reading *now)
{
    struct apply *apply = t->apply;

    link_server_bound(rpc->server, rpc_connections_max(apply->change),
                      rpc_connections_per_peer(apply->change));
    link_publisher_bound(rpc->publisher, rpc_connections_max(apply->change));
    door_set_plain(rpc->door, apply->change->registry.accept_plain);
    control_apply(rpc->control, apply->change, now);
    step(rpc);
    pthread_mutex_lock(&apply->lock);
    apply->done = true;
    pthread_cond_signal(&apply->done_cond);
    pthread_mutex_unlock(&apply->lock);
    free(t);
}

static void set_lists(struct rpc *rpc, struct task *t, const struct clock_reading *now)
{
    control_set_lists(rpc->control, t->lists, now);
    free(t);
}

void *rpc_control_main(void *context)
{
    struct rpc *rpc = context;
    void *tasks[BATCH_MAX];
    bool stopped = false;

    rpc->turn_ns = clock_monotonic_ns();
    while (!stopped) {
        uint64_t wait_ns = step(rpc);
        size_t count = queue_pop(rpc->tasks, tasks, BATCH_MAX, wait_ns);
        struct clock_reading now = read_clock(rpc, wait_ns);

        stopped = count == 0 && atomic_load(&rpc->stopping);
        retry_deferred(rpc, &now);
        for (size_t i = 0; i < count; i++) {
            struct task *t = tasks[i];

            if (t->apply)
                apply_change(rpc, t, &now);
            else if (t->lists)
                set_lists(rpc, t, &now);
            else if (t->call)
                answer(rpc, t, &now);
            else
                free(t);
        }
    }
    drop_deferred(rpc);
    return NULL;
}
