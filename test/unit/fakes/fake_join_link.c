#include "test/unit/fakes/fake_join_link.h"

#include <stdlib.h>

#include "common/channel.h"
#include "common/strbuf.h"

struct fake_join_link fake_join_link;

struct link_client {
    struct channel *channel; /* of the server's end */
};

enum prober_error link_client_open(struct link_client **out, const char *address,
                                   struct prober_failure *why)
{
    (void)why;
    *out = calloc(1, sizeof(**out));
    fake_join_link.opened++;
    fake_join_link.address = address;
    return *out ? channel_server_accept(fake_join_link.server, &(*out)->channel) : PROBER_ERR_NOMEM;
}

static enum prober_error answer(struct channel *channel, const void *bytes, size_t len,
                                struct strbuf *out)
{
    struct wire_request request = {0};
    struct wire_reply reply = {.protocol = WIRE_PROTOCOL, .server_boot_id = {{1}}, .message = ""};
    struct strbuf body = STRBUF_INIT;
    const void *opened;
    size_t opened_len;
    enum prober_error err = channel_open(channel, bytes, len, &opened, &opened_len);

    if (!err)
        err = wire_request_decode(opened, opened_len, &request, NULL);
    if (!err) {
        fake_join_link.serve(&request, &reply);
        err = wire_reply_encode(&reply, &body);
    }
    if (!err)
        err = channel_seal(channel, body.bytes, body.len, out);
    wire_request_free(&request);
    strbuf_free(&body);
    return err;
}

enum prober_error link_client_call(struct link_client *client, const void *bytes, size_t len,
                                   uint64_t timeout_ns, void **reply, size_t *reply_len)
{
    struct strbuf out = STRBUF_INIT;
    enum prober_error err = PROBER_OK;

    (void)timeout_ns;
    fake_join_link.calls++;
    if (fake_join_link.failures) {
        fake_join_link.failures--;
        return fake_join_link.fail;
    }
    if (channel_is_ready(client->channel))
        err = answer(client->channel, bytes, len, &out);
    else if (channel_handshake(client->channel, bytes, len, fake_join_link.now_s, &out, NULL) &&
             !out.len)
        err = PROBER_ERR_UNREACHABLE; /* dropped */
    if (!err)
        *reply = strbuf_take(&out, reply_len);
    strbuf_free(&out);
    return err;
}

uint64_t link_client_connections(const struct link_client *client)
{
    (void)client;
    return 1;
}

void link_client_disconnect(struct link_client *client)
{
    (void)client;
}

void link_client_interrupt(struct link_client *client)
{
    (void)client;
}

void link_client_close(struct link_client *client)
{
    if (!client)
        return;
    fake_join_link.closed++;
    channel_destroy(client->channel);
    free(client);
}
