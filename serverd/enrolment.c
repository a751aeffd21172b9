#include "serverd/enrolment.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "serverd/reply.h"

#define LOG_NS CLOCK_NS_PER_S /* between two refusals that are logged */

/* What becomes of a call: X(name, label value of the metric). */
#define RESULTS(X)                                                                                 \
    X(GRANTED, "granted")                                                                          \
    X(REFUSED, "refused") /* its own fault: token, request, region, revocation */                  \
    X(FAILED, "failed")   /* ours: the store, memory, no authority */                              \
    X(BUSY, "busy")       /* too many at once */
#define RESULT_NAME(name, label) RESULT_##name,
enum result { RESULTS(RESULT_NAME) RESULT_COUNT };
#undef RESULT_NAME
#define RESULT_LABEL(name, label) [RESULT_##name] = (label),
static const char *const result_labels[RESULT_COUNT] = {RESULTS(RESULT_LABEL)};
#undef RESULT_LABEL

struct job {
    struct link_call *call;
    struct wire_request request;
    bool has_identity;
    struct pki_identity identity;
    struct prober_addr peer;
};

struct enrolment {
    struct enrolment_config config;
    pthread_mutex_t lock;
    struct join_tokens *tokens; /* guarded by lock; NULL: nothing is issued */
    struct queue *queue;        /* struct job */
    pthread_t thread;
    bool started;
    uint64_t logged_ns;                            /* the last refusal; owned by the thread */
    uint64_t not_logged;                           /* since then; owned by the thread */
    atomic_uint_fast64_t results[2][RESULT_COUNT]; /* of joins, of renewals */
};

static bool can_issue(const struct enrolment *e)
{
    return e->tokens != NULL;
}

static enum prober_error fail_issue(const struct enrolment *e, struct prober_failure *why)
{
    return prober_fail(why, PROBER_ERR_STATE,
                       e->config.ca ? "this server issues no certificates: its store does not work"
                                    : "this server issues no certificates: it has not the private "
                                      "key of its authority");
}

static void count(struct enrolment *e, const struct wire_request *request, enum result result)
{
    atomic_fetch_add(&e->results[request->call == WIRE_RENEW][result], 1);
}

/* ---- what is asked, on the thread ---- */

/* What is to be issued, and for whom. */
struct grant {
    const uint8_t *request;
    size_t request_len;
    struct store_member member;
};

static enum prober_error check_revoked(struct enrolment *e, const struct prober_id *id,
                                       struct prober_failure *why)
{
    char text[PROBER_ID_TEXT_MAX];

    if (!revocations_has_id(e->config.revocations, id))
        return PROBER_OK;
    return prober_fail(why, PROBER_ERR_DENIED, "agent %s is revoked", prober_id_format(id, text));
}

/* The agent that the key of the request belongs to already, or else `fallback`. */
static enum prober_error find_owner(struct enrolment *e, struct grant *grant,
                                    const struct prober_id *fallback, struct prober_failure *why)
{
    struct store_member known;
    enum prober_error err =
        pki_check_request(grant->request, grant->request_len, grant->member.key_fingerprint, why);

    if (err)
        return err;
    grant->member.agent_id = *fallback;
    err = store_trust_find(e->config.store, grant->member.key_fingerprint, &known, why);
    if (!err)
        grant->member.agent_id = known.agent_id;
    return err == PROBER_ERR_NOT_FOUND ? PROBER_OK : err;
}

static enum prober_error check_join(struct enrolment *e, const struct wire_join *join,
                                    int64_t now_s, struct grant *grant, struct prober_failure *why)
{
    const struct prober_id fresh = prober_id_random();
    struct join_ask ask = {.region = join->region};
    struct join_grant spent;
    enum prober_error err;

    grant->request = join->request;
    grant->request_len = join->request_len;
    pthread_mutex_lock(&e->lock);
    err = join_tokens_check(e->tokens, join->secret, now_s, why);
    pthread_mutex_unlock(&e->lock);
    if (!err) /* verifying is dear: not for who guesses */
        err = find_owner(e, grant, &fresh, why);
    if (!err)
        err = check_revoked(e, &grant->member.agent_id, why);
    if (err)
        return err;
    memcpy(ask.secret, join->secret, sizeof(ask.secret));
    memcpy(ask.key_fingerprint, grant->member.key_fingerprint, sizeof(ask.key_fingerprint));
    ask.agent_id = grant->member.agent_id;
    pthread_mutex_lock(&e->lock);
    err = join_tokens_spend(e->tokens, &ask, now_s, &spent, why);
    pthread_mutex_unlock(&e->lock);
    if (!err) /* the id is that of the first spend, whose certificate may never have been noted */
        err = check_revoked(e, &spent.agent_id, why);
    if (err)
        return err;
    grant->member.agent_id = spent.agent_id;
    strcpy(grant->member.region, spent.region);
    return PROBER_OK;
}

static enum prober_error check_renewal(struct enrolment *e, const struct wire_renew *renew,
                                       const struct pki_identity *identity, struct grant *grant,
                                       struct prober_failure *why)
{
    enum prober_error err;

    grant->request = renew->request;
    grant->request_len = renew->request_len;
    err = find_owner(e, grant, &identity->agent_id, why);
    if (!err && !prober_id_equal(&grant->member.agent_id, &identity->agent_id))
        err = prober_fail(why, PROBER_ERR_DENIED, "the key of the request is another agent's");
    if (!err)
        err = check_revoked(e, &identity->agent_id, why);
    strcpy(grant->member.region, identity->region);
    return err;
}

/* What is issued is noted before anybody has it. */
static enum prober_error issue(struct enrolment *e, struct grant *grant, int64_t now_s,
                               struct strbuf *certificate, struct prober_failure *why)
{
    struct store_member *member = &grant->member;
    struct pki_identity issued;
    enum prober_error err =
        pki_ca_issue_agent(e->config.ca, grant->request, grant->request_len, &member->agent_id,
                           member->region, now_s, PKI_AGENT_LIFE_S, certificate, why);

    if (!err)
        err = pki_read_certificate(certificate->bytes, certificate->len, &issued, why);
    if (err)
        return err;
    member->joined_s = now_s;
    member->expires_s = issued.not_after_s;
    return store_trust_note(e->config.store, member, now_s, why);
}

static enum prober_error decide(struct enrolment *e, const struct job *job, int64_t now_s,
                                struct grant *grant, struct strbuf *certificate,
                                struct prober_failure *why)
{
    bool is_join = job->request.call == WIRE_JOIN;
    enum prober_error err;

    if (is_join == job->has_identity)
        return prober_fail(why, PROBER_ERR_DENIED,
                           is_join ? "an agent that has a certificate renews it, and does not join"
                                   : "a certificate is renewed over a trusted link alone");
    if (!can_issue(e))
        return fail_issue(e, why);
    err = is_join ? check_join(e, &job->request.as.join, now_s, grant, why)
                  : check_renewal(e, &job->request.as.renew, &job->identity, grant, why);
    return err ? err : issue(e, grant, now_s, certificate, why);
}

/* ---- what is answered ---- */

static bool is_own_fault(enum prober_error err)
{
    return err == PROBER_ERR_DENIED || err == PROBER_ERR_SYNTAX || err == PROBER_ERR_RANGE;
}

static void log_grant(const struct job *job, const struct grant *grant)
{
    char peer[PROBER_ADDR_TEXT_MAX], id[PROBER_ID_TEXT_MAX];

    log_info(job->request.call == WIRE_JOIN ? "an agent has joined"
                                            : "an agent has renewed its certificate",
             LOG_S("agent", prober_id_format(&grant->member.agent_id, id)),
             LOG_S("region", grant->member.region),
             LOG_S("peer", prober_addr_format(&job->peer, peer)));
}

/* Anybody may try: the log must not grow with it. */
static void log_refusal(struct enrolment *e, const struct job *job,
                        const struct prober_failure *why, uint64_t now_ns)
{
    char peer[PROBER_ADDR_TEXT_MAX];

    if (e->logged_ns && now_ns < e->logged_ns + LOG_NS) {
        e->not_logged++;
        return;
    }
    log_warn(job->request.call == WIRE_JOIN ? "an agent could not join"
                                            : "an agent's certificate was not renewed",
             LOG_S("peer", prober_addr_format(&job->peer, peer)), LOG_S("why", why->text),
             LOG_U("not_logged", e->not_logged));
    e->logged_ns = now_ns;
    e->not_logged = 0;
}

static void send_refusal(struct enrolment *e, struct link_call *call, enum wire_status status,
                         const char *message)
{
    const struct wire_reply reply = {.protocol = WIRE_PROTOCOL,
                                     .server_boot_id = e->config.server_boot,
                                     .status = status,
                                     .message = message};

    reply_send(call, &reply);
}

static void send_certificate(struct enrolment *e, const struct job *job, const char *certificate)
{
    struct wire_reply reply = {.protocol = WIRE_PROTOCOL,
                               .server_boot_id = e->config.server_boot,
                               .call = job->request.call};

    if (reply.call == WIRE_JOIN)
        reply.as.join.certificate = certificate;
    else
        reply.as.renew.certificate = certificate;
    reply_send(job->call, &reply);
}

static void answer(struct enrolment *e, const struct job *job, const struct clock_reading *now)
{
    struct grant grant = {.request = NULL};
    struct strbuf certificate = STRBUF_INIT;
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err =
        decide(e, job, (int64_t)(now->real_ns / CLOCK_NS_PER_S), &grant, &certificate, &why);

    if (!err) {
        count(e, &job->request, RESULT_GRANTED);
        log_grant(job, &grant);
        send_certificate(e, job, certificate.bytes);
    } else {
        count(e, &job->request, is_own_fault(err) ? RESULT_REFUSED : RESULT_FAILED);
        log_refusal(e, job, &why, now->mono_ns);
        if (is_own_fault(err) || err == PROBER_ERR_STATE)
            send_refusal(e, job->call, WIRE_REFUSED, why.text);
        else /* what is wrong with our disk is not for strangers */
            send_refusal(e, job->call, WIRE_BUSY,
                         "the server cannot issue a certificate now: ask again later");
    }
    strbuf_free(&certificate);
}

static void job_free(struct job *job)
{
    wire_request_free(&job->request);
    free(job);
}

static void *run(void *context)
{
    struct enrolment *e = context;
    void *job;

    while (queue_pop(e->queue, &job, 1, UINT64_MAX) == 1) {
        const struct clock_reading now = clock_read();

        answer(e, job, &now);
        job_free(job);
    }
    return NULL;
}

void enrolment_submit(struct enrolment *e, const struct enrolment_call *call)
{
    struct job *job = calloc(1, sizeof(*job));
    struct wire_request request = call->request;

    if (job) {
        job->call = call->call;
        job->request = request;
        job->peer = call->peer;
        job->has_identity = call->identity != NULL;
        if (call->identity)
            job->identity = *call->identity;
        if (queue_push(e->queue, job) == PROBER_OK)
            return;
        free(job);
    }
    count(e, &request, RESULT_BUSY);
    send_refusal(e, call->call, WIRE_BUSY, "the server is busy: ask again later");
    wire_request_free(&request);
}

/* ---- tokens ---- */

enum prober_error enrolment_make_token(struct enrolment *e, const struct join_order *order,
                                       int64_t now_s, char text[JOIN_TOKEN_TEXT_MAX],
                                       struct prober_failure *why)
{
    enum prober_error err;

    if (!can_issue(e))
        return fail_issue(e, why);
    pthread_mutex_lock(&e->lock);
    err = join_tokens_make(e->tokens, order, now_s, text, why);
    pthread_mutex_unlock(&e->lock);
    return err;
}

enum prober_error enrolment_revoke_token(struct enrolment *e, const char *name,
                                         struct prober_failure *why)
{
    enum prober_error err;

    if (!can_issue(e))
        return fail_issue(e, why);
    pthread_mutex_lock(&e->lock);
    err = join_tokens_revoke(e->tokens, name, why);
    pthread_mutex_unlock(&e->lock);
    return err;
}

void enrolment_list_tokens(struct enrolment *e,
                           void (*each)(void *context, const struct join_record *record),
                           void *context)
{
    if (!can_issue(e))
        return;
    pthread_mutex_lock(&e->lock);
    join_tokens_list(e->tokens, each, context);
    pthread_mutex_unlock(&e->lock);
}

/* ---- life ---- */

static enum prober_error load_tokens(struct enrolment *e, struct prober_failure *why)
{
    const struct join_store store = store_trust_tokens(e->config.store);
    enum prober_error err = join_tokens_create(&e->tokens, e->config.ca_fingerprint, &store);

    if (err)
        return prober_fail(why, err, "no memory for join tokens");
    return store_trust_load_tokens(e->config.store, e->tokens, why);
}

enum prober_error enrolment_create(struct enrolment **out, const struct enrolment_config *config,
                                   struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;
    struct enrolment *e = calloc(1, sizeof(*e));

    if (!e)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory to issue certificates");
    e->config = *config;
    pthread_mutex_init(&e->lock, NULL);
    if (config->ca && config->store)
        err = load_tokens(e, why);
    if (err)
        goto out;
    if (queue_create(&e->queue, ENROLMENT_QUEUE) || pthread_create(&e->thread, NULL, run, e)) {
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory to issue certificates");
        goto out;
    }
    e->started = true;
    *out = e;
    e = NULL;
out:
    enrolment_destroy(e);
    return err;
}

void enrolment_stop(struct enrolment *e)
{
    if (!e || !e->started)
        return;
    queue_close(e->queue);
    pthread_join(e->thread, NULL);
    e->started = false;
}

void enrolment_destroy(struct enrolment *e)
{
    if (!e)
        return;
    enrolment_stop(e);
    queue_destroy(e->queue);
    join_tokens_destroy(e->tokens);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* ---- metrics ---- */

void enrolment_write_metrics(struct enrolment *e, struct metrics_writer *w)
{
    static const struct metric_family families[] = {
        {"prober_server_joins_total", METRIC_COUNTER, NULL,
         "Agents that came to join, by what became of it."},
        {"prober_server_renewals_total", METRIC_COUNTER, NULL,
         "Agents that asked for a new certificate, by what became of it."},
    };
    uint64_t numbers[RESULT_COUNT];

    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        for (size_t k = 0; k < RESULT_COUNT; k++)
            numbers[k] = atomic_load(&e->results[i][k]);
        metrics_by(w, &families[i], "result", result_labels, numbers, RESULT_COUNT);
    }
    metrics_one(w, "prober_server_revoked_agents", METRIC_GAUGE, "Agents that are revoked.",
                revocations_count(e->config.revocations));
}
