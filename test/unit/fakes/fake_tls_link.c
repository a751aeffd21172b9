#include "test/unit/fakes/fake_tls_link.h"

#include "common/channel.h"
#include "common/strbuf.h"

void fake_tls_link_forget(struct link_client *client)
{
    channel_destroy(client->channel);
    client->channel = NULL;
}

static enum prober_error shake_hands(struct link_client *client, const void *bytes, size_t len,
                                     struct strbuf *out)
{
    enum prober_error err;

    if (client->channel && channel_is_ready(client->channel)) {
        link_client_disconnect(client);
        return PROBER_ERR_UNREACHABLE;
    }
    if (!client->channel) {
        client->handshakes++;
        err = channel_server_accept(client->server, &client->channel);
        if (err)
            return err;
    }
    err = channel_handshake(client->channel, bytes, len, client->now_s, out, NULL);
    if (err && out->len == 0)
        return channel_handshake_needed(out);
    return PROBER_OK;
}

static enum prober_error echo(struct channel *channel, const void *bytes, size_t len,
                              struct strbuf *out)
{
    const void *body;
    size_t body_len;
    enum prober_error err = channel_open(channel, bytes, len, &body, &body_len);

    return err ? channel_handshake_needed(out) : channel_seal(channel, body, body_len, out);
}

static enum prober_error serve_plain(const void *bytes, size_t len, struct strbuf *out)
{
    struct channel *channel;
    enum prober_error err = channel_plain_create(&channel);

    if (!err) {
        err = echo(channel, bytes, len, out);
        channel_destroy(channel);
    }
    return err;
}

static enum prober_error serve(struct link_client *client, const void *bytes, size_t len,
                               struct strbuf *out)
{
    enum channel_kind kind;
    enum prober_error err = channel_frame_kind(bytes, len, &kind);

    if (err)
        return err;
    if (kind == CHANNEL_PLAIN && !client->server)
        return serve_plain(bytes, len, out);
    if (kind == CHANNEL_HANDSHAKE && client->server)
        return shake_hands(client, bytes, len, out);
    if (kind == CHANNEL_DATA && client->takes_none)
        fake_tls_link_forget(client);
    if (kind == CHANNEL_DATA && client->channel && channel_is_ready(client->channel))
        return echo(client->channel, bytes, len, out);
    return channel_handshake_needed(out);
}

enum prober_error link_client_call(struct link_client *client, const void *bytes, size_t len,
                                   uint64_t timeout_ns, void **reply, size_t *reply_len)
{
    struct strbuf out = STRBUF_INIT;
    enum prober_error err = client->fail;

    (void)timeout_ns;
    client->calls++;
    client->fail = PROBER_OK;
    if (!client->is_connected || client->reconnects) {
        client->connections++;
        client->is_connected = true;
        client->reconnects = false;
        fake_tls_link_forget(client);
    }
    if (!err)
        err = serve(client, bytes, len, &out);
    if (!err)
        *reply = strbuf_take(&out, reply_len);
    strbuf_free(&out);
    return err;
}

uint64_t link_client_connections(const struct link_client *client)
{
    return client->connections;
}

void link_client_disconnect(struct link_client *client)
{
    client->is_connected = false;
}

void link_client_interrupt(struct link_client *client)
{
    client->is_interrupted = true;
}
