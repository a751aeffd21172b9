#include "agentd/uplink.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

#include "agentd/report.h"
#include "common/array.h"
#include "common/log.h"
#include "common/random.h"
#include "common/strbuf.h"
#include "common/version.h"

#define PAUSE_MIN_NS (250 * CLOCK_NS_PER_MS)
#define PAUSE_MAX_NS (10 * CLOCK_NS_PER_S)
/* Without a connection the call itself waits for one, and the link dials with pauses of its own. */
#define DIAL_PAUSE_MAX_NS CLOCK_NS_PER_S
#define HELLO_GAP_NS CLOCK_NS_PER_S /* between two that are accepted */
#define REFUSED_PAUSE_MAX_NS (60 * CLOCK_NS_PER_S)
/* Between two tries; also after one that succeeded, as an authority that is about to expire issues
 * certificates that are due at once. */
#define RENEWAL_PAUSE_MIN_NS (60 * CLOCK_NS_PER_S)
#define RENEWAL_PAUSE_MAX_NS (3600 * CLOCK_NS_PER_S)

/* A call that failed is tried again after a pause that doubles, jittered over its second half. */
struct retry {
    uint64_t not_before_ns;
    uint64_t pause_ns;
};

struct uplink {
    struct uplink_config config;
    struct utsname host;
    pthread_t thread;
    bool started;
    struct wakeup ended; /* signalled when the thread ends */
    atomic_bool hinted, draining;
    _Atomic uint64_t drain_until_ns, sync_interval_ns;
    /* owned by the link thread */
    bool greeted;                 /* hello was accepted on this connection */
    uint64_t sessions;            /* the link's number, when it was */
    int64_t now_s;                /* Unix time of this turn */
    struct prober_id server_boot; /* zero: none yet */
    struct prober_addr observed;
    struct address_set found, told; /* our addresses: as last looked for, and in the last hello */
    uint64_t heartbeat_ns;
    uint64_t plan_revision; /* of the plan that we have from this server boot; 0: none */
    uint64_t last_sync_ns, hint_due_ns, addresses_due_ns, addresses_sessions;
    bool task_was_last; /* of reports: those of tasks and of probes take turns */
    struct retry hello, sync, report, task, renewal;
    struct report_table table;
    struct agent_stats_link stats;
    bool told_down;                     /* in the log: the first time, we are down from the start */
    char refusal[WIRE_MESSAGE_MAX + 1]; /* the last one, in the log */
    struct strbuf body, answer;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t jittered(uint64_t ns)
{
    uint64_t dice;

    random_bytes(&dice, sizeof(dice));
    return ns / 2 + dice % (ns / 2 + 1);
}

static void back_off(struct retry *r, uint64_t now_ns, uint64_t max_ns)
{
    r->pause_ns = r->pause_ns ? r->pause_ns * 2 : PAUSE_MIN_NS;
    if (r->pause_ns > max_ns)
        r->pause_ns = max_ns;
    r->not_before_ns = now_ns + jittered(r->pause_ns);
}

static void clear_retry(struct retry *r)
{
    *r = (struct retry){0};
}

/* ---- what the log hears of it: once per change ---- */

static void tell_down(struct uplink *u, const char *cause)
{
    if (u->stats.state == AGENT_LINK_DOWN && u->told_down)
        return;
    u->stats.state = AGENT_LINK_DOWN;
    u->told_down = true;
    log_warn("the server does not answer; probing goes on", LOG_S("cause", cause));
}

static void tell_refused(struct uplink *u, const char *what, const char *cause)
{
    bool told = u->stats.state == AGENT_LINK_REFUSED && strcmp(cause, u->refusal) == 0;

    u->stats.state = AGENT_LINK_REFUSED;
    snprintf(u->refusal, sizeof(u->refusal), "%s", cause);
    if (!told)
        log_warn(what, LOG_S("cause", cause));
}

static void tell_online(struct uplink *u, const struct wire_hello_reply *hello)
{
    char boot[PROBER_ID_TEXT_MAX];

    u->stats.state = AGENT_LINK_UP;
    log_info("the server accepted this agent",
             LOG_S("server_boot", prober_id_format(&u->server_boot, boot)),
             LOG_S("server_version", hello->version), LOG_U("agent_number", hello->agent_number),
             LOG_S("observed_address", hello->observed_address));
}

/* ---- one exchange ---- */

static uint64_t call_timeout(const struct uplink *u, uint64_t now_ns)
{
    uint64_t until = atomic_load(&u->drain_until_ns);

    if (!atomic_load(&u->draining))
        return UPLINK_CALL_TIMEOUT_NS;
    return until > now_ns ? until - now_ns : 1;
}

/* Sends the encoded request that is in u->body; fills *reply, which the caller frees. */
static enum prober_error exchange(struct uplink *u, uint64_t now_ns, struct wire_reply *reply,
                                  struct prober_failure *why)
{
    const struct secure_call call = {u->body.bytes, u->body.len, call_timeout(u, now_ns), u->now_s};
    enum prober_error err = secure_link_call(u->config.link, &call, &u->answer, why);

    return err ? err : wire_reply_decode(u->answer.bytes, u->answer.len, reply, why);
}

static enum prober_error ask(struct uplink *u, const struct wire_request *request, uint64_t now_ns,
                             struct wire_reply *reply, struct prober_failure *why)
{
    enum prober_error err;

    strbuf_clear(&u->body);
    err = wire_request_encode(request, &u->body);
    if (err)
        return prober_fail(why, err, "cannot encode the request: %s", prober_error_text(err));
    return exchange(u, now_ns, reply, why);
}

static struct wire_request request_of(const struct uplink *u, enum wire_call call)
{
    return (struct wire_request){.protocol = WIRE_PROTOCOL,
                                 .agent_id = u->config.agent_id,
                                 .boot_id = u->config.boot_id,
                                 .call = call};
}

static void no_answer(struct uplink *u, struct retry *retry, enum prober_error err,
                      const struct prober_failure *why, uint64_t now_ns)
{
    if (err == PROBER_ERR_CLOSED) /* interrupted: we are stopping */
        return;
    u->stats.failed_calls++;
    if (err == PROBER_ERR_STATE && secure_link_is_trusted(u->config.link) && !retry->pause_ns) {
        back_off(retry, now_ns, PAUSE_MIN_NS);
        return;
    }
    if (err == PROBER_ERR_DENIED || err == PROBER_ERR_STATE) {
        tell_refused(u,
                     secure_link_is_trusted(u->config.link)
                         ? "there is no trusted link to the server; probing goes on"
                         : "the server refuses this agent",
                     why->text);
        u->greeted = false;
        back_off(&u->hello, now_ns, REFUSED_PAUSE_MAX_NS);
        return;
    }
    tell_down(u, why->text);
    back_off(retry, now_ns, err == PROBER_ERR_UNREACHABLE ? DIAL_PAUSE_MAX_NS : PAUSE_MAX_NS);
}

static void tell_answers(struct uplink *u)
{
    if (!u->greeted || u->stats.state == AGENT_LINK_UP)
        return;
    u->stats.state = AGENT_LINK_UP;
    log_info("the server answers again");
}

/* What every call does with a status that is not OK. True when the reply is fit for use. */
static bool is_accepted(struct uplink *u, struct retry *retry, const struct wire_reply *reply,
                        uint64_t now_ns)
{
    switch (reply->status) {
    case WIRE_OK:
        tell_answers(u);
        return true;
    case WIRE_HELLO_NEEDED:
        u->greeted = false;
        back_off(&u->hello, now_ns, PAUSE_MAX_NS);
        if (u->hello.pause_ns == PAUSE_MIN_NS) /* the first time, at once */
            u->hello.not_before_ns = now_ns;
        return false;
    case WIRE_BUSY:
        u->stats.busy++;
        back_off(retry, now_ns, PAUSE_MAX_NS);
        return false;
    default:
        tell_refused(u, "the server refuses this agent", reply->message);
        u->greeted = false;
        back_off(&u->hello, now_ns, REFUSED_PAUSE_MAX_NS);
        return false;
    }
}

/* ---- hello ---- */

/* Looks for the own addresses once in a sync interval, and on a new connection; no more often, as
 * it may mean to ask services of others. */
static const struct address_set *own_addresses(struct uplink *u, uint64_t now_ns)
{
    uint64_t sessions = secure_link_sessions(u->config.link);

    if (now_ns < u->addresses_due_ns && sessions == u->addresses_sessions)
        return &u->found;
    u->found = (struct address_set){0};
    u->config.addresses(u->config.context, &u->found);
    u->addresses_due_ns = now_ns + atomic_load(&u->sync_interval_ns);
    u->addresses_sessions = sessions;
    return &u->found;
}

static bool addresses_equal(const struct address_set *a, const struct address_set *b)
{
    if (a->mode != b->mode || a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!prober_addr_equal(&a->addresses[i], &b->addresses[i]))
            return false;
    return true;
}

/* NULL unless tasks may be spoken of. */
static struct task_desk *desk_of(const struct uplink *u)
{
    return secure_link_is_trusted(u->config.link) ? u->config.tasks : NULL;
}

static enum prober_error send_hello(struct uplink *u, uint64_t now_ns, struct wire_reply *reply,
                                    struct prober_failure *why)
{
    static const char *const capabilities[] = {"icmp", "arrivals", "http", "task"};
    const char *addresses[WIRE_ADDRESSES_MAX];
    struct wire_request request = request_of(u, WIRE_HELLO);

    u->told = *own_addresses(u, now_ns);
    for (size_t i = 0; i < u->told.count; i++)
        addresses[i] = u->told.texts[i];
    request.as.hello =
        (struct wire_hello){.region = u->config.region,
                            .version = PROBER_VERSION,
                            .os = u->host.sysname,
                            .architecture = u->host.machine,
                            .address_mode = u->told.mode,
                            .addresses = addresses,
                            .address_count = u->told.count,
                            .probe_interval_ns = u->config.probe_interval_ns,
                            .probe_timeout_ns = u->config.probe_timeout_ns,
                            .capabilities = capabilities,
                            .capability_count = ARRAY_LEN(capabilities) - !desk_of(u)};
    return ask(u, &request, now_ns, reply, why);
}

static void take_hello(struct uplink *u, const struct wire_reply *reply, uint64_t now_ns)
{
    const struct wire_hello_reply *hello = &reply->as.hello;

    u->stats.hellos++;
    u->stats.agent_number = hello->agent_number;
    if (!prober_id_equal(&u->server_boot, &reply->server_boot_id)) {
        u->server_boot = reply->server_boot_id;
        u->plan_revision = 0;
        report_table_forget(&u->table);
    }
    if (prober_addr_parse(hello->observed_address, &u->observed))
        u->observed = (struct prober_addr){0};
    u->heartbeat_ns = hello->heartbeat_ns ? hello->heartbeat_ns : UPLINK_HEARTBEAT_NS;
    if (u->heartbeat_ns < CLOCK_NS_PER_S)
        u->heartbeat_ns = CLOCK_NS_PER_S;
    u->greeted = true;
    clear_retry(&u->sync);
    u->last_sync_ns = 0;
    tell_online(u, hello);
    u->config.presence(u->config.context, hello->agent_number, &u->observed);
    if (hello->hint_port)
        u->config.hints(u->config.context, hello->hint_port);
    u->hello.not_before_ns = now_ns + HELLO_GAP_NS;
}

static void do_hello(struct uplink *u, uint64_t now_ns)
{
    struct wire_reply reply = {0};
    struct prober_failure why;
    enum prober_error err = send_hello(u, now_ns, &reply, &why);

    if (err) {
        no_answer(u, &u->hello, err, &why, now_ns);
        return;
    }
    if (is_accepted(u, &u->hello, &reply, now_ns)) {
        if (reply.call == WIRE_HELLO) {
            u->sessions = secure_link_answered(u->config.link);
            take_hello(u, &reply, now_ns);
        } else {
            back_off(&u->hello, now_ns, REFUSED_PAUSE_MAX_NS);
        }
    }
    wire_reply_free(&reply);
}

/* ---- sync ---- */

static void take_sync(struct uplink *u, const struct wire_reply *reply, uint64_t now_ns)
{
    const struct wire_sync_reply *sync = &reply->as.sync;
    struct agent_plan *plan;

    u->stats.syncs++;
    clear_retry(&u->sync);
    u->hello.pause_ns = 0;
    u->last_sync_ns = now_ns;
    if (desk_of(u))
        task_desk_take(desk_of(u), sync);
    if (!sync->has_plan)
        return;
    if (agent_plan_create(&plan, sync->plan_revision, &sync->plan)) {
        log_error("no memory for the plan", LOG_U("revision", sync->plan_revision));
        back_off(&u->sync, now_ns, PAUSE_MAX_NS);
        return;
    }
    if (plan->bad_entries)
        log_error("http entries of the plan cannot be read; they are not probed",
                  LOG_U("revision", plan->revision), LOG_U("entries", plan->bad_entries),
                  LOG_S("cause", plan->bad.text));
    u->plan_revision = sync->plan_revision;
    u->config.plan(u->config.context, plan);
}

static void do_sync(struct uplink *u, uint64_t now_ns)
{
    struct wire_request request = request_of(u, WIRE_SYNC);
    struct wire_reply reply = {0};
    struct prober_failure why;
    struct spool_counts counts;
    enum prober_error err;

    spool_counts(u->config.spool, &counts);
    request.as.sync = (struct wire_sync){.plan_revision = u->plan_revision,
                                         .spool_reports = counts.reports,
                                         .spool_dropped = counts.dropped_total};
    u->hint_due_ns = 0;
    err = ask(u, &request, now_ns, &reply, &why);
    if (err) {
        no_answer(u, &u->sync, err, &why, now_ns);
        return;
    }
    if (is_accepted(u, &u->sync, &reply, now_ns)) {
        if (reply.call == WIRE_SYNC)
            take_sync(u, &reply, now_ns);
        else
            back_off(&u->sync, now_ns, REFUSED_PAUSE_MAX_NS);
    }
    wire_reply_free(&reply);
}

/* ---- report ---- */

static void take_outcome(struct uplink *u, const struct batch *batch,
                         const struct wire_reply *reply, const struct clock_reading *now)
{
    enum wire_outcome outcome = reply->as.report.outcome;

    if ((unsigned)outcome < AGENT_STATS_OUTCOMES)
        u->stats.outcomes[outcome]++;
    clear_retry(&u->report);
    u->hello.pause_ns = 0;
    switch (outcome) {
    case WIRE_UNKNOWN_TABLE:
        report_table_forget(&u->table);
        back_off(&u->report, now->mono_ns, PAUSE_MAX_NS);
        return;
    case WIRE_APPLIED:
    case WIRE_DUPLICATE: /* taken before; only the answer got lost */
    case WIRE_BACKFILLED:
        report_taken(&u->table, batch);
        agent_stats_add_acked(u->config.stats, &reply->server_boot_id, outcome == WIRE_BACKFILLED,
                              &batch->totals);
        u->stats.lag_ns =
            now->boot_ns > batch->ended_boot_ns ? now->boot_ns - batch->ended_boot_ns : 0;
        break;
    default:
        log_error("the server found a report invalid; it is not counted",
                  LOG_U("sequence", batch->sequence), LOG_U("rows", batch->rows));
        break;
    }
    spool_remove(u->config.spool);
}

static void reject(struct uplink *u, const struct batch *batch, const char *cause)
{
    u->stats.rejected++;
    log_error("a report cannot be delivered; it is not counted", LOG_U("sequence", batch->sequence),
              LOG_U("rows", batch->rows), LOG_S("cause", cause));
    spool_remove(u->config.spool);
}

static void do_report(struct uplink *u, const struct batch *batch, const struct clock_reading *now)
{
    struct wire_reply reply = {0};
    struct prober_failure why;
    enum prober_error err;

    strbuf_clear(&u->body);
    err = report_encode(&u->table, batch, &u->config.agent_id, &u->config.boot_id, now->boot_ns,
                        &u->body);
    if (err == PROBER_ERR_NOMEM) {
        back_off(&u->report, now->mono_ns, PAUSE_MAX_NS);
        return;
    }
    if (err) {
        reject(u, batch, prober_error_text(err));
        return;
    }
    err = exchange(u, now->mono_ns, &reply, &why);
    if (err) {
        no_answer(u, &u->report, err, &why, now->mono_ns);
        return;
    }
    if (reply.status == WIRE_MALFORMED)
        reject(u, batch, reply.message);
    else if (is_accepted(u, &u->report, &reply, now->mono_ns)) {
        if (reply.call == WIRE_REPORT && reply.as.report.sequence == batch->sequence)
            take_outcome(u, batch, &reply, now);
        else
            back_off(&u->report, now->mono_ns, PAUSE_MAX_NS);
    }
    wire_reply_free(&reply);
}

/* ---- renewal ---- */

static bool renewal_is_due(const struct uplink *u, uint64_t now_ns)
{
    return u->config.credentials && now_ns >= u->renewal.not_before_ns &&
           credentials_are_due(u->config.credentials, u->now_s);
}

/* The next session is by the new certificate. */
static enum prober_error take_renewal(struct uplink *u, const struct wire_reply *reply,
                                      struct prober_failure *why)
{
    enum prober_error err;

    if (reply->status != WIRE_OK || reply->call != WIRE_RENEW)
        return prober_fail(why, PROBER_ERR_DENIED, "the server does not renew it: %s",
                           reply->message);
    err =
        credentials_accept(u->config.credentials, reply->as.renew.certificate, NULL, u->now_s, why);
    return err ? err : secure_link_trust_by(u->config.link, u->config.credentials, why);
}

static void do_renewal(struct uplink *u, uint64_t now_ns)
{
    struct wire_request request = request_of(u, WIRE_RENEW);
    struct strbuf asked = STRBUF_INIT;
    struct wire_reply reply = {0};
    struct prober_failure why;
    enum prober_error err = credentials_request(u->config.credentials, &asked, &why);

    request.as.renew = (struct wire_renew){(const uint8_t *)asked.bytes, asked.len};
    if (!err)
        err = ask(u, &request, now_ns, &reply, &why);
    if (!err)
        err = take_renewal(u, &reply, &why);
    if (err) {
        if (!u->renewal.pause_ns)
            u->renewal.pause_ns = RENEWAL_PAUSE_MIN_NS / 2;
        back_off(&u->renewal, now_ns, RENEWAL_PAUSE_MAX_NS);
        log_warn("the certificate of this agent is not renewed yet; trying again",
                 LOG_S("cause", why.text));
    } else {
        u->renewal = (struct retry){.not_before_ns = now_ns + RENEWAL_PAUSE_MIN_NS};
        log_info("the certificate of this agent was renewed");
    }
    wire_reply_free(&reply);
    strbuf_free(&asked);
}

/* ---- reports of tasks ---- */

static void do_task_report(struct uplink *u, const struct wire_task_report *report, uint64_t now_ns)
{
    struct wire_request request = request_of(u, WIRE_TASK_REPORT);
    struct task_desk *desk = desk_of(u);
    struct wire_reply reply = {0};
    struct prober_failure why;
    enum prober_error err;

    request.as.task_report = *report;
    err = ask(u, &request, now_ns, &reply, &why);
    if (err == PROBER_ERR_RANGE) { /* of our own encoding */
        task_desk_reject(desk, why.text);
        return;
    }
    if (err) {
        no_answer(u, &u->task, err, &why, now_ns);
        return;
    }
    if (reply.status == WIRE_MALFORMED || reply.status == WIRE_NOT_KNOWN) {
        task_desk_reject(desk, reply.message);
    } else if (is_accepted(u, &u->task, &reply, now_ns)) {
        clear_retry(&u->task);
        u->hello.pause_ns = 0;
        if (reply.call == WIRE_TASK_REPORT)
            task_desk_answer(desk, &reply.as.task_report, now_ns);
        else
            back_off(&u->task, now_ns, PAUSE_MAX_NS);
    }
    wire_reply_free(&reply);
}

/* True when it reported; else *due_ns becomes sooner, if there will be something sooner. */
static bool turn_tasks(struct uplink *u, uint64_t now_ns, uint64_t *due_ns)
{
    struct task_desk *desk = desk_of(u);
    struct wire_task_report report;
    uint64_t next_ns = u->task.not_before_ns;

    if (!desk)
        return false;
    if (now_ns >= next_ns && task_desk_next(desk, now_ns, &report, &next_ns)) {
        do_task_report(u, &report, now_ns);
        return true;
    }
    *due_ns = min_u64(*due_ns, next_ns);
    return false;
}

/* ---- what is due ---- */

static uint64_t sync_due(const struct uplink *u)
{
    uint64_t interval = atomic_load(&u->sync_interval_ns), due;

    if (interval > u->heartbeat_ns)
        interval = u->heartbeat_ns;
    due = u->last_sync_ns ? u->last_sync_ns + interval : 0;
    if (u->hint_due_ns && u->hint_due_ns < due)
        due = u->hint_due_ns;
    return due > u->sync.not_before_ns ? due : u->sync.not_before_ns;
}

/* A hint means a sync within a second, but never two in one: the rest of the second is jitter, so
 * that agents do not all come at once. */
static void take_hint(struct uplink *u, uint64_t now_ns)
{
    uint64_t due;

    if (!atomic_exchange(&u->hinted, false))
        return;
    u->stats.hints++;
    if (u->hint_due_ns)
        return;
    due = now_ns + jittered(UPLINK_HINT_GAP_NS / 2);
    if (u->last_sync_ns && due < u->last_sync_ns + UPLINK_HINT_GAP_NS)
        due = u->last_sync_ns + UPLINK_HINT_GAP_NS;
    u->hint_due_ns = due;
}

static void tell_link(struct uplink *u)
{
    struct secure_link_counts counts;

    secure_link_counts(u->config.link, &counts);
    u->stats.connections = counts.connections;
    u->stats.handshakes = counts.handshakes;
    u->stats.resumed = counts.resumed;
    u->stats.failed_handshakes = counts.failed;
}

static uint64_t turn_reports(struct uplink *u, const struct clock_reading *now, uint64_t due)
{
    struct batch *batch = spool_oldest(u->config.spool);
    bool ready = batch && now->mono_ns >= u->report.not_before_ns;

    if ((!ready || !u->task_was_last) && turn_tasks(u, now->mono_ns, &due)) {
        u->task_was_last = true;
        return now->mono_ns;
    }
    u->task_was_last = false;
    if (!batch)
        return due;
    if (!ready)
        return min_u64(due, u->report.not_before_ns);
    do_report(u, batch, now);
    return now->mono_ns;
}

uint64_t uplink_turn(struct uplink *u, const struct clock_reading *now)
{
    bool draining = atomic_load(&u->draining);
    uint64_t now_ns = now->mono_ns, due;

    take_hint(u, now_ns);
    u->now_s = (int64_t)(now->real_ns / CLOCK_NS_PER_S);
    tell_link(u);
    if (u->greeted && secure_link_sessions(u->config.link) != u->sessions)
        u->greeted = false;
    if (u->greeted && !draining && !addresses_equal(own_addresses(u, now_ns), &u->told))
        u->greeted = false;
    if (!u->greeted) {
        if (now_ns >= u->hello.not_before_ns)
            do_hello(u, now_ns);
        return u->greeted ? now_ns : u->hello.not_before_ns;
    }
    due = sync_due(u);
    if (!draining && now_ns >= due) {
        do_sync(u, now_ns);
        return u->greeted ? now_ns : u->hello.not_before_ns;
    }
    if (!draining && renewal_is_due(u, now_ns)) {
        do_renewal(u, now_ns);
        return now_ns;
    }
    return turn_reports(u, now, due);
}

bool uplink_is_drained(const struct uplink *u)
{
    struct spool_counts counts;

    spool_counts(u->config.spool, &counts);
    return counts.reports == 0 && (!u->config.tasks || task_desk_is_empty(u->config.tasks));
}

/* ---- life ---- */

enum prober_error uplink_create(struct uplink **out, const struct uplink_config *config)
{
    struct uplink *u = calloc(1, sizeof(*u));
    enum prober_error err;

    if (!u)
        return PROBER_ERR_NOMEM;
    u->config = *config;
    u->ended.fd = -1;
    u->heartbeat_ns = UPLINK_HEARTBEAT_NS;
    atomic_store(&u->sync_interval_ns, config->sync_interval_ns);
    report_table_init(&u->table);
    uname(&u->host);
    err = wakeup_open(&u->ended, NULL);
    if (err) {
        uplink_destroy(u);
        return err;
    }
    *out = u;
    return PROBER_OK;
}

static bool is_over(const struct uplink *u, uint64_t now_ns)
{
    return atomic_load(&u->draining) &&
           (uplink_is_drained(u) || now_ns >= atomic_load(&u->drain_until_ns));
}

static void *run(void *context)
{
    struct uplink *u = context;
    uint64_t now_ns = clock_monotonic_ns();

    prctl(PR_SET_NAME, "link");
    while (!is_over(u, now_ns)) {
        struct clock_reading now = clock_read();
        uint64_t next = uplink_turn(u, &now);

        agent_stats_set_link(u->config.stats, &u->stats);
        now_ns = clock_monotonic_ns();
        agent_stats_link_beat(u->config.stats, now_ns);
        if (atomic_load(&u->draining))
            next = min_u64(next, atomic_load(&u->drain_until_ns));
        if (next > now_ns)
            wakeup_wait(u->config.wakeup, -1, next - now_ns);
    }
    wakeup_signal(&u->ended);
    return NULL;
}

enum prober_error uplink_start(struct uplink *u, struct prober_failure *why)
{
    int number = pthread_create(&u->thread, NULL, run, u);

    if (number)
        return prober_fail(why, PROBER_ERR_IO, "cannot start the link thread: %s",
                           strerror(number));
    u->started = true;
    return PROBER_OK;
}

void uplink_hint(struct uplink *u)
{
    atomic_store(&u->hinted, true);
    wakeup_signal(u->config.wakeup);
}

void uplink_set_sync_interval(struct uplink *u, uint64_t interval_ns)
{
    atomic_store(&u->sync_interval_ns, interval_ns);
    wakeup_signal(u->config.wakeup);
}

void uplink_drain(struct uplink *u, uint64_t patience_ns)
{
    if (!u || !u->started)
        return;
    atomic_store(&u->drain_until_ns, clock_monotonic_ns() + patience_ns);
    atomic_store(&u->draining, true);
    wakeup_signal(u->config.wakeup);
    if (!uplink_is_drained(u))
        wakeup_wait(&u->ended, -1, patience_ns);
    secure_link_interrupt(u->config.link); /* a call that is still open has had its time */
    pthread_join(u->thread, NULL);
    u->started = false;
}

void uplink_destroy(struct uplink *u)
{
    if (!u)
        return;
    wakeup_close(&u->ended);
    strbuf_free(&u->body);
    strbuf_free(&u->answer);
    free(u);
}
