#include "test/unit/fakes/fake_link.h"

#include <stdlib.h>
#include <string.h>

#include "common/channel.h"

static enum prober_error serve(struct link_client *client, struct channel *channel,
                               const void *bytes, size_t len, struct strbuf *out)
{
    struct wire_request request = {0};
    struct wire_reply reply = {
        .protocol = WIRE_PROTOCOL, .server_boot_id = client->server_boot, .message = ""};
    struct strbuf body = STRBUF_INIT;
    const void *opened;
    size_t opened_len;
    enum prober_error err = channel_open(channel, bytes, len, &opened, &opened_len);

    if (!err)
        err = wire_request_decode(opened, opened_len, &request, NULL);
    if (!err)
        err = client->serve(client->context, &request, &reply);
    if (!err)
        err = wire_reply_encode(&reply, &body);
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
    struct channel *channel = NULL;
    enum prober_error err;

    (void)timeout_ns;
    client->calls++;
    if (client->sends_junk) {
        *reply = strdup("junk");
        *reply_len = 4;
        return *reply ? PROBER_OK : PROBER_ERR_NOMEM;
    }
    err = channel_plain_create(&channel);
    if (!err)
        err = serve(client, channel, bytes, len, &out);
    if (!err)
        *reply = strbuf_take(&out, reply_len);
    channel_destroy(channel);
    strbuf_free(&out);
    return err;
}

uint64_t link_client_connections(const struct link_client *client)
{
    return client->connections;
}

void link_client_disconnect(struct link_client *client)
{
    client->connections++;
}

void link_client_interrupt(struct link_client *client)
{
    (void)client;
}
