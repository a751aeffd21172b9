#include "agentd/joining.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agentd/secure_link.h"
#include "common/clock.h"
#include "common/join_token.h"
#include "common/link.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/random.h"
#include "common/version.h"
#include "common/wire.h"

#define CALL_TIMEOUT_NS (2 * CLOCK_NS_PER_S) /* an agent that is told to stop waits no longer */
#define PAUSE_MIN_NS (250 * CLOCK_NS_PER_MS)
#define PAUSE_MAX_NS (10 * CLOCK_NS_PER_S)

static int64_t now_s(void)
{
    return (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S);
}

/* ---- one try ---- */

/* A session of its own, which trusts what the token names. */
static enum prober_error open_session(const struct joining *joining, const struct join_token *token,
                                      struct link_client **link, struct secure_link **session,
                                      struct prober_failure *why)
{
    struct channel_client_config config = {.ca = NULL};
    struct channel_client *client;
    enum prober_error err;

    memcpy(config.ca_fingerprint, token->ca_fingerprint, sizeof(config.ca_fingerprint));
    err = link_client_open(link, joining->server, why);
    if (err)
        return err;
    err = secure_link_create(session, *link);
    if (err)
        return prober_fail(why, err, "%s", prober_error_text(err));
    err = channel_client_open(&client, &config, why);
    if (!err)
        secure_link_trust(*session, client);
    return err;
}

static enum prober_error ask(struct secure_link *session, const struct joining *joining,
                             const struct join_token *token, const struct strbuf *request,
                             struct wire_reply *reply, struct prober_failure *why)
{
    const struct wire_request join = {
        .protocol = WIRE_PROTOCOL,
        .agent_id = joining->agent_id,
        .boot_id = joining->boot_id,
        .call = WIRE_JOIN,
        .as.join = {.secret = token->secret,
                    .request = (const uint8_t *)request->bytes,
                    .request_len = request->len,
                    .region = joining->region,
                    .version = PROBER_VERSION},
    };
    struct strbuf body = STRBUF_INIT, answer = STRBUF_INIT;
    enum prober_error err = wire_request_encode(&join, &body);
    const struct secure_call call = {body.bytes, body.len, CALL_TIMEOUT_NS, now_s()};

    if (err)
        prober_fail(why, err, "cannot write the request to join: %s", prober_error_text(err));
    else
        err = secure_link_call(session, &call, &answer, why);
    if (!err)
        err = wire_reply_decode(answer.bytes, answer.len, reply, why);
    pki_forget(&body); /* it holds the secret */
    strbuf_free(&answer);
    return err;
}

static enum prober_error take(struct credentials *credentials, struct secure_link *session,
                              const struct wire_reply *reply, struct prober_failure *why)
{
    struct strbuf ca = STRBUF_INIT;
    enum prober_error err;

    if (reply->status == WIRE_BUSY)
        return prober_fail(why, PROBER_ERR_FULL, "the server is busy");
    if (reply->status == WIRE_NOT_KNOWN)
        return prober_fail(why, PROBER_ERR_DENIED, "the server is older than joining");
    if (reply->status != WIRE_OK || reply->call != WIRE_JOIN)
        return prober_fail(why, PROBER_ERR_DENIED, "the server refuses it: %s", reply->message);
    err = secure_link_shown_ca(session, &ca);
    if (err)
        prober_fail(why, err, "%s", prober_error_text(err));
    else
        err = credentials_accept(credentials, reply->as.join.certificate, ca.bytes, now_s(), why);
    strbuf_free(&ca);
    return err;
}

enum prober_error joining_try(struct credentials *credentials, const struct joining *joining,
                              struct prober_failure *why)
{
    struct join_token token = {{0}, {0}};
    struct link_client *link = NULL;
    struct secure_link *session = NULL;
    struct strbuf request = STRBUF_INIT;
    struct wire_reply reply = {0};
    enum prober_error err = join_token_parse(joining->token, strlen(joining->token), &token, why);
    if (!err)
        err = credentials_request(credentials, &request, why);
    if (!err)
        err = open_session(joining, &token, &link, &session, why);
    if (!err)
        err = ask(session, joining, &token, &request, &reply, why);
    if (!err)
        err = take(credentials, session, &reply, why);
    explicit_bzero(&token, sizeof(token));
    wire_reply_free(&reply);
    secure_link_destroy(session);
    link_client_close(link);
    strbuf_free(&request);
    return err;
}

/* ---- until it is done ---- */

static bool may_pass(enum prober_error err)
{
    switch (err) {
    case PROBER_ERR_TIMEOUT:
    case PROBER_ERR_UNREACHABLE:
    case PROBER_ERR_FULL:
    case PROBER_ERR_NOMEM:
    case PROBER_ERR_STATE: /* the connection was another in the midst of it */
        return true;
    default:
        return false;
    }
}

/* Waits; true when a signal asks for the end. */
static bool wait(uint64_t ns, const sigset_t *signals)
{
    uint64_t end_ns = clock_monotonic_ns() + ns, now_ns;

    while ((now_ns = clock_monotonic_ns()) < end_ns) {
        uint64_t rest_ns = end_ns - now_ns < CLOCK_NS_PER_S ? end_ns - now_ns : CLOCK_NS_PER_S;
        struct timespec rest = {(time_t)(rest_ns / CLOCK_NS_PER_S),
                                (long)(rest_ns % CLOCK_NS_PER_S)};
        int number = sigtimedwait(signals, NULL, &rest);

        if (number > 0 && number != SIGHUP)
            return true;
        notify_state("WATCHDOG=1");
    }
    return false;
}

static uint64_t jittered(uint64_t ns)
{
    uint64_t dice;

    random_bytes(&dice, sizeof(dice));
    return ns / 2 + dice % (ns / 2 + 1);
}

enum prober_error joining_run(struct credentials *credentials, const struct joining *joining,
                              const sigset_t *signals, struct prober_failure *why)
{
    uint64_t pause_ns = PAUSE_MIN_NS;
    bool told = false;

    for (;;) {
        enum prober_error err = joining_try(credentials, joining, why);

        if (err == PROBER_OK)
            return err;
        if (!may_pass(err))
            return err;
        if (!told) {
            log_warn("cannot join yet; trying again until the server takes us",
                     LOG_S("server", joining->server), LOG_S("cause", why->text));
            notify_state("READY=1\nSTATUS=waiting to join");
            told = true;
        }
        if (wait(jittered(pause_ns), signals))
            return prober_fail(why, PROBER_ERR_CLOSED, "told to stop before it had joined");
        pause_ns = pause_ns * 2 < PAUSE_MAX_NS ? pause_ns * 2 : PAUSE_MAX_NS;
    }
}
