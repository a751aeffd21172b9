#include "fake_secure_link.h"

#include <stdlib.h>

enum prober_error secure_link_create(struct secure_link **out, struct link_client *link)
{
    (void)link;
    *out = calloc(1, sizeof(**out));
    return *out ? PROBER_OK : PROBER_ERR_NOMEM;
}

void secure_link_trust(struct secure_link *l, struct channel_client *client)
{
    (void)client;
    l->trusted = true;
}

enum prober_error secure_link_trust_by(struct secure_link *l, const struct credentials *credentials,
                                       struct prober_failure *why)
{
    (void)credentials;
    (void)why;
    l->trusted = true;
    return PROBER_OK;
}

bool secure_link_is_trusted(const struct secure_link *l)
{
    return l->trusted;
}

enum prober_error secure_link_call(struct secure_link *l, const struct secure_call *call,
                                   struct strbuf *reply, struct prober_failure *why)
{
    struct wire_request request = {0};
    struct wire_reply answer = {.protocol = WIRE_PROTOCOL, .message = ""};
    enum prober_error err = wire_request_decode(call->body, call->len, &request, why);

    if (err)
        return err;
    err = l->serve(l->context, &request, &answer);
    strbuf_clear(reply);
    err = err ? prober_fail(why, err, "%s", prober_error_text(err))
              : wire_reply_encode(&answer, reply);
    wire_request_free(&request);
    return err;
}

uint64_t secure_link_sessions(const struct secure_link *l)
{
    (void)l;
    return 1;
}

uint64_t secure_link_answered(const struct secure_link *l)
{
    (void)l;
    return 1;
}

enum prober_error secure_link_shown_ca(const struct secure_link *l, struct strbuf *certificate)
{
    (void)l;
    (void)certificate;
    return PROBER_ERR_STATE;
}

void secure_link_interrupt(struct secure_link *l)
{
    (void)l;
}

void secure_link_counts(const struct secure_link *l, struct secure_link_counts *out)
{
    (void)l;
    *out = (struct secure_link_counts){.connections = 1};
}

void secure_link_destroy(struct secure_link *l)
{
    free(l);
}
