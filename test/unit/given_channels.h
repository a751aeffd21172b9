/*
 * given_channels - both ends of TLS channels, without a link between them: frames are carried by the
 * test.
 */
#ifndef TEST_UNIT_GIVEN_CHANNELS_H
#define TEST_UNIT_GIVEN_CHANNELS_H

#include "common/channel_frame.h"
#include "common/channel_tls.h"
#include "test/unit/given_pki.h"

struct given_ends {
    struct given_pki pki;
    struct ticket_keys *tickets;
    struct channel_server *server;
    struct channel_client *client;
};

/* One connection. */
struct given_pair {
    struct channel *server, *client;
    struct strbuf up, down; /* the last frames of each direction */
    enum prober_error server_err, client_err;
    struct prober_failure server_why, client_why;
    unsigned exchanges;
};

static inline struct channel_server *given_server(const struct given_pki *pki, const char *ca,
                                                  struct ticket_keys *tickets)
{
    const struct channel_server_config config = {.certificate = pki->server_certificate.bytes,
                                                 .key = pki->server_key.bytes,
                                                 .ca = ca,
                                                 .tickets = tickets};
    struct channel_server *server = NULL;

    assert_int_equal(channel_server_open(&server, &config, NULL), PROBER_OK);
    return server;
}

static inline struct channel_client *given_client(const char *ca, const struct strbuf *certificate,
                                                  const struct strbuf *key)
{
    const struct channel_client_config config = {
        .ca = ca, .certificate = certificate->bytes, .key = key->bytes};
    struct channel_client *client = NULL;

    assert_int_equal(channel_client_open(&client, &config, NULL), PROBER_OK);
    return client;
}

static inline struct channel_client *given_joiner(const uint8_t fingerprint[DIGEST_SHA256_LEN])
{
    struct channel_client_config config = {.ca = NULL};
    struct channel_client *client = NULL;

    memcpy(config.ca_fingerprint, fingerprint, sizeof(config.ca_fingerprint));
    assert_int_equal(channel_client_open(&client, &config, NULL), PROBER_OK);
    return client;
}

static inline void given_ends_make(struct given_ends *g)
{
    given_pki_make(&g->pki);
    assert_int_equal(ticket_keys_open(&g->tickets, NULL, GIVEN_NOW_S, NULL), PROBER_OK);
    g->server = given_server(&g->pki, g->pki.ca_certificate.bytes, g->tickets);
    g->client =
        given_client(g->pki.ca_certificate.bytes, &g->pki.agent_certificate, &g->pki.agent_key);
}

static inline void given_ends_free(struct given_ends *g)
{
    channel_client_close(g->client);
    channel_server_close(g->server);
    ticket_keys_close(g->tickets);
    given_pki_free(&g->pki);
}

static inline void given_pair_open(struct given_pair *p, struct channel_server *server,
                                   struct channel_client *client)
{
    memset(p, 0, sizeof(*p));
    assert_int_equal(channel_server_accept(server, &p->server), PROBER_OK);
    assert_int_equal(channel_client_connect(client, &p->client), PROBER_OK);
}

static inline void given_pair_close(struct given_pair *p)
{
    channel_destroy(p->server);
    channel_destroy(p->client);
    strbuf_free(&p->up);
    strbuf_free(&p->down);
}

/* The client's next frame: in `up`. */
static inline enum prober_error given_client_turn(struct given_pair *p, int64_t now_s)
{
    const char *answer = p->client_err || p->down.len ? p->down.bytes : NULL;

    p->client_err =
        channel_handshake(p->client, answer, p->down.len, now_s, &p->up, &p->client_why);
    return p->client_err;
}

static inline enum prober_error given_server_turn(struct given_pair *p, int64_t now_s)
{
    p->exchanges++;
    p->server_err =
        channel_handshake(p->server, p->up.bytes, p->up.len, now_s, &p->down, &p->server_why);
    return p->server_err;
}

/* Carries frames until one end fails or the client has no more to say; true when both are ready. */
static inline bool given_handshake(struct given_pair *p, int64_t now_s)
{
    while (!given_client_turn(p, now_s) && p->up.len) {
        if (given_server_turn(p, now_s) && p->down.len == 0)
            return false;
        assert_true(p->exchanges < 10);
    }
    return channel_is_ready(p->client) && channel_is_ready(p->server);
}

static inline void given_connection(struct given_pair *p, struct channel_server *server,
                                    struct channel_client *client, int64_t now_s)
{
    given_pair_open(p, server, client);
    if (!given_handshake(p, now_s))
        fail_msg("client: %s; server: %s", p->client_why.text, p->server_why.text);
}

/* Makes a frame of the bytes in *content, with a right checksum: that is no secret. */
static inline void given_frame(struct strbuf *content, enum channel_kind kind)
{
    struct strbuf made = STRBUF_INIT;

    channel_frame_begin(&made, content->len);
    strbuf_put(&made, content->bytes, content->len);
    assert_int_equal(channel_frame_end(&made, kind), PROBER_OK);
    strbuf_free(content);
    *content = made;
}

#endif
