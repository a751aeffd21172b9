#include "agentd/secure_link.h"

#include <stdlib.h>

#include "common/array.h"
#include "common/channel.h"

/* Frames of ours in a handshake: RFC 5246 has two flights of a client. */
#define FLIGHTS_MAX 3

struct secure_link {
    struct link_client *link;
    struct channel_client *client; /* NULL: plain */
    struct channel *channel;       /* of the present connection; NULL: no session yet */
    bool proved;                   /* a call of the session was answered */
    uint64_t connections;          /* the link's count, when the session was made */
    uint64_t ended;                /* sessions that were ended on a connection that stayed */
    uint64_t answered;             /* secure_link_sessions, of the last call that was */
    struct secure_link_counts counts;
    struct strbuf frame;
};

enum prober_error secure_link_create(struct secure_link **out, struct link_client *link)
{
    struct secure_link *l = calloc(1, sizeof(*l));

    if (!l)
        return PROBER_ERR_NOMEM;
    l->link = link;
    if (channel_plain_create(&l->channel)) {
        free(l);
        return PROBER_ERR_NOMEM;
    }
    *out = l;
    return PROBER_OK;
}

/* A server shakes hands on a connection once: after what ended the session here alone, another
 * connection is needed. */
static void end_session(struct secure_link *l, enum prober_error why)
{
    channel_destroy(l->channel);
    l->channel = NULL;
    l->ended++;
    if (why != PROBER_ERR_STATE)
        link_client_disconnect(l->link);
}

void secure_link_trust(struct secure_link *l, struct channel_client *client)
{
    end_session(l, PROBER_OK);
    channel_client_close(l->client);
    l->client = client;
}

enum prober_error secure_link_trust_by(struct secure_link *l, const struct credentials *credentials,
                                       struct prober_failure *why)
{
    const struct channel_client_config config = {.ca = credentials_ca(credentials),
                                                 .certificate =
                                                     credentials_certificate(credentials),
                                                 .key = credentials_key(credentials)};
    struct channel_client *client;
    enum prober_error err = channel_client_open(&client, &config, why);

    if (!err)
        secure_link_trust(l, client);
    return err;
}

bool secure_link_is_trusted(const struct secure_link *l)
{
    return l->client != NULL;
}

uint64_t secure_link_sessions(const struct secure_link *l)
{
    uint64_t connections = link_client_connections(l->link);

    return connections ? connections + l->ended : 0;
}

uint64_t secure_link_answered(const struct secure_link *l)
{
    return l->answered;
}

/* ---- a handshake ---- */

/* Sends the frame and gets the answer, malloc'd. */
static enum prober_error exchange(struct secure_link *l, uint64_t timeout_ns, void **answer,
                                  size_t *len, struct prober_failure *why)
{
    enum prober_error err =
        link_client_call(l->link, l->frame.bytes, l->frame.len, timeout_ns, answer, len);

    return err ? prober_fail(why, err, "%s", prober_error_text(err)) : PROBER_OK;
}

static enum prober_error fly(struct secure_link *l, const struct secure_call *call,
                             struct prober_failure *why)
{
    enum prober_error err = channel_handshake(l->channel, NULL, 0, call->now_s, &l->frame, why);

    for (int i = 0; !err && l->frame.len > 0; i++) {
        void *answer = NULL;
        size_t len;

        if (i == FLIGHTS_MAX)
            return prober_fail(why, PROBER_ERR_PROTOCOL, "the handshake does not end");
        if (i > 0 && l->connections != link_client_connections(l->link))
            return prober_fail(why, PROBER_ERR_STATE, "the connection was lost in a handshake");
        err = exchange(l, call->timeout_ns, &answer, &len, why);
        if (i == 0)
            l->connections = link_client_connections(l->link);
        if (!err)
            err = channel_handshake(l->channel, answer, len, call->now_s, &l->frame, why);
        free(answer);
    }
    return err;
}

static const struct {
    enum channel_trouble trouble;
    const char *advice;
} advices[] = {
    {CHANNEL_PEER_AUTHORITY,
     "is -agent.rpc.report.addr the server that this agent joined, or the token of that server? If "
     "its authority was made anew, remove STATE/credentials and join with a new token"},
    {CHANNEL_PEER_TIME, "check the clocks of this host and of the server's"},
    {CHANNEL_PEER_USE, "check that -agent.rpc.report.addr is the server, and nobody between"},
    {CHANNEL_OWN_AUTHORITY,
     "is -agent.rpc.report.addr the server that this agent joined? If its authority was made anew, "
     "remove STATE/credentials and join with a new token"},
    {CHANNEL_OWN_TIME,
     "check the clock of this host; if it is right, join with a new token (-agent.join)"},
    {CHANNEL_OWN_REVOKED, "remove STATE/credentials and join with a new token"},
    {CHANNEL_OWN_USE, "the server's log says why"},
};

/* Says what to do, behind what is wrong. */
static void advise(const struct channel *c, enum prober_error err, struct prober_failure *why)
{
    const enum channel_trouble trouble = channel_trouble(c);
    const struct prober_failure reason = *why;

    for (size_t i = 0; i < ARRAY_LEN(advices); i++)
        if (advices[i].trouble == trouble)
            prober_fail(why, err, "%.240s; %s", reason.text, advices[i].advice);
}

static enum prober_error shake_hands(struct secure_link *l, const struct secure_call *call,
                                     struct prober_failure *why)
{
    enum prober_error err = channel_client_connect(l->client, &l->channel);

    if (err)
        return prober_fail(why, err, "%s", prober_error_text(err));
    l->counts.handshakes++;
    l->proved = false;
    err = fly(l, call, why);
    if (!err && !channel_is_ready(l->channel))
        err = prober_fail(why, PROBER_ERR_PROTOCOL, "the handshake ended too early");
    if (err) {
        l->counts.failed++;
        advise(l->channel, err, why);
        end_session(l, err);
        return err;
    }
    l->counts.resumed += channel_was_resumed(l->channel);
    return PROBER_OK;
}

/* ---- calls ---- */

static enum prober_error open_session(struct secure_link *l, const struct secure_call *call,
                                      struct prober_failure *why)
{
    if (!l->client) {
        /* It may be lost before the call is sent: then it counts as another, to be on the safe side. */
        l->connections = link_client_connections(l->link);
        return PROBER_OK;
    }
    if (l->channel && l->connections != link_client_connections(l->link)) {
        channel_destroy(l->channel);
        l->channel = NULL;
    }
    return l->channel ? PROBER_OK : shake_hands(l, call, why);
}

/* What "handshake needed" means. */
static const char *needed_text(const struct secure_link *l)
{
    if (!l->client)
        return "the server takes only agents that have joined: make a token there (serverd "
               "join-token) and start this agent with -agent.join TOKEN";
    return l->proved ? "the server needs another handshake"
                     : "the server takes no call of this agent's certificate: was it revoked there "
                       "(serverd agents), or is a clock wrong? Who was revoked joins as another "
                       "agent: remove STATE/credentials and give it a new token";
}

static enum prober_error take_answer(struct secure_link *l, const void *answer, size_t len,
                                     struct strbuf *reply, struct prober_failure *why)
{
    const void *body;
    size_t body_len;
    enum prober_error err = channel_open(l->channel, answer, len, &body, &body_len);

    if (err == PROBER_ERR_STATE)
        return prober_fail(why, err, "%s", needed_text(l));
    if (err)
        return prober_fail(why, err, "the answer is no frame of this protocol: %s",
                           prober_error_text(err));
    l->proved = true;
    strbuf_clear(reply);
    strbuf_put(reply, body, body_len);
    return strbuf_ok(reply) ? PROBER_OK : prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
}

enum prober_error secure_link_call(struct secure_link *l, const struct secure_call *call,
                                   struct strbuf *reply, struct prober_failure *why)
{
    void *answer = NULL;
    size_t len;
    enum prober_error err = open_session(l, call, why);

    if (err)
        return err;
    err = channel_seal(l->channel, call->body, call->len, &l->frame);
    if (err)
        prober_fail(why, err, "cannot seal a request: %s", prober_error_text(err));
    else
        err = exchange(l, call->timeout_ns, &answer, &len, why);
    if (!l->client && !l->connections) /* the call itself waited for it */
        l->connections = link_client_connections(l->link);
    if (!err)
        err = take_answer(l, answer, len, reply, why);
    free(answer);
    if (!err)
        l->answered = l->connections + l->ended;
    /* Both ends count what they sealed: after a call that failed they may differ. */
    if (err && l->client)
        end_session(l, err);
    return err;
}

enum prober_error secure_link_shown_ca(const struct secure_link *l, struct strbuf *certificate)
{
    return l->channel ? channel_shown_ca(l->channel, certificate) : PROBER_ERR_STATE;
}

void secure_link_counts(const struct secure_link *l, struct secure_link_counts *out)
{
    *out = l->counts;
    out->connections = link_client_connections(l->link);
}

void secure_link_interrupt(struct secure_link *l)
{
    link_client_interrupt(l->link);
}

void secure_link_destroy(struct secure_link *l)
{
    if (!l)
        return;
    channel_destroy(l->channel);
    channel_client_close(l->client);
    strbuf_free(&l->frame);
    free(l);
}
