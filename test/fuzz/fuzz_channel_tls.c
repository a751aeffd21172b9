/*
 * fuzz_channel_tls - any frames into TLS channels, with headers and checksums made right, as those
 * keep nobody out: nobody is authenticated, and nothing is opened.
 *
 * The first byte says into what: a server's new channel, a client's, or both in turn after a
 * handshake that was good. Then each frame is a byte of its kind, two bytes of its length
 * (big-endian), and its body.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel_frame.h"
#include "common/channel_tls.h"

#define NOW INT64_C(1800000000)
#define FRAMES_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum target { INTO_SERVER, INTO_CLIENT, INTO_SESSION, TARGETS };

static struct channel_server *server;
static struct channel_client *client;
static struct ticket_keys *tickets;

static void must(enum prober_error err)
{
    if (err)
        abort();
}

/* Once for all inputs: certificates cost milliseconds. */
static void make_ends(void)
{
    struct strbuf ca_key = STRBUF_INIT, ca = STRBUF_INIT, key = STRBUF_INIT, own = STRBUF_INIT;
    struct strbuf agent_key = STRBUF_INIT, agent = STRBUF_INIT, request = STRBUF_INIT;
    const struct prober_id id = {{1}};
    struct pki_ca *authority;

    must(pki_ca_make(NOW, PKI_CA_LIFE_S, &ca_key, &ca));
    must(pki_ca_open(&authority, ca.bytes, ca_key.bytes, NULL));
    must(pki_ca_issue_server(authority, NOW, PKI_SERVER_LIFE_S, &key, &own, NULL));
    must(pki_make_key(&agent_key));
    must(pki_make_request(agent_key.bytes, &request, NULL));
    must(pki_ca_issue_agent(authority, request.bytes, request.len, &id, "eu", NOW, PKI_AGENT_LIFE_S,
                            &agent, NULL));
    must(ticket_keys_open(&tickets, NULL, NOW, NULL));
    must(channel_server_open(
        &server,
        &(struct channel_server_config){
            .certificate = own.bytes, .key = key.bytes, .ca = ca.bytes, .tickets = tickets},
        NULL));
    must(channel_client_open(&client,
                             &(struct channel_client_config){.ca = ca.bytes,
                                                             .certificate = agent.bytes,
                                                             .key = agent_key.bytes},
                             NULL));
    pki_ca_close(authority);
    pki_forget(&ca_key);
    pki_forget(&key);
    pki_forget(&agent_key);
    strbuf_free(&ca);
    strbuf_free(&own);
    strbuf_free(&agent);
    strbuf_free(&request);
}

static void shake_hands(struct channel *at_server, struct channel *at_client)
{
    struct strbuf up = STRBUF_INIT, down = STRBUF_INIT;

    for (must(channel_handshake(at_client, NULL, 0, NOW, &up, NULL)); up.len;
         must(channel_handshake(at_client, down.bytes, down.len, NOW, &up, NULL)))
        must(channel_handshake(at_server, up.bytes, up.len, NOW, &down, NULL));
    strbuf_free(&up);
    strbuf_free(&down);
}

static void give(struct channel *c, enum target target, const struct strbuf *frame)
{
    struct strbuf answer = STRBUF_INIT;
    struct prober_failure why;
    const void *body;
    size_t len;

    if (channel_open(c, frame->bytes, frame->len, &body, &len) == PROBER_OK)
        abort();
    if (target != INTO_SESSION)
        channel_handshake(c, frame->bytes, frame->len, NOW, &answer, &why);
    if (channel_is_authenticated(c))
        abort();
    strbuf_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const enum target target = size ? (enum target)(data[0] % TARGETS) : INTO_SERVER;
    struct channel *at_server, *at_client;
    struct strbuf frame = STRBUF_INIT;
    size_t used = 1;

    if (!server)
        make_ends();
    must(channel_server_accept(server, &at_server));
    must(channel_client_connect(client, &at_client));
    if (target == INTO_SESSION)
        shake_hands(at_server, at_client);
    else if (target == INTO_CLIENT)
        must(channel_handshake(at_client, NULL, 0, NOW, &frame, NULL));
    for (int i = 0; i < FRAMES_MAX && used + 3 <= size; i++) {
        const enum channel_kind kind = (enum channel_kind)(data[used] % 4);
        size_t len = (size_t)data[used + 1] << 8 | data[used + 2];

        used += 3;
        if (len > size - used)
            len = size - used;
        channel_frame_begin(&frame, len);
        strbuf_put(&frame, data + used, len);
        must(channel_frame_end(&frame, kind));
        used += len;
        give(target == INTO_CLIENT || (target == INTO_SESSION && i % 2) ? at_client : at_server,
             target, &frame);
    }
    channel_destroy(at_server);
    channel_destroy(at_client);
    strbuf_free(&frame);
    return 0;
}
