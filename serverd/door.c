#include "serverd/door.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel_frame.h"

struct door {
    struct door_config config; /* its tls is guarded by lock */
    pthread_mutex_t lock;
    atomic_bool plain;
    atomic_uint_fast64_t done, resumed, failed, refused; /* handshakes */
};

struct guest {
    struct door *door;
    uint64_t connection;
    struct prober_addr peer;
    pthread_mutex_t lock;    /* guards all below; not held while a channel works */
    struct channel *channel; /* of a session; NULL: none */
    bool is_trusted;         /* it had a session: no plain call any more */
    bool is_plain;           /* it had a plain call: no handshake any more */
    bool is_busy;            /* a call of the session is open */
};

enum prober_error door_create(struct door **out, const struct door_config *config)
{
    struct door *door = calloc(1, sizeof(*door));

    if (!door)
        return PROBER_ERR_NOMEM;
    door->config = *config;
    atomic_init(&door->plain, config->plain);
    pthread_mutex_init(&door->lock, NULL);
    *out = door;
    return PROBER_OK;
}

void door_set_tls(struct door *door, struct channel_server *tls)
{
    pthread_mutex_lock(&door->lock);
    door->config.tls = tls;
    pthread_mutex_unlock(&door->lock);
}

void door_set_plain(struct door *door, bool plain)
{
    atomic_store(&door->plain, plain);
}

void door_counts(struct door *door, struct door_counts *out)
{
    *out = (struct door_counts){atomic_load(&door->done), atomic_load(&door->resumed),
                                atomic_load(&door->failed), atomic_load(&door->refused)};
}

void door_destroy(struct door *door)
{
    if (!door)
        return;
    pthread_mutex_destroy(&door->lock);
    free(door);
}

struct guest *guest_create(struct door *door, uint64_t connection, const struct prober_addr *peer)
{
    struct guest *guest = calloc(1, sizeof(*guest));

    if (!guest)
        return NULL;
    guest->door = door;
    guest->connection = connection;
    guest->peer = *peer;
    pthread_mutex_init(&guest->lock, NULL);
    return guest;
}

void guest_destroy(struct guest *guest)
{
    if (!guest)
        return;
    if (guest->door->config.handshakes)
        handshakes_end(guest->door->config.handshakes, guest->connection);
    channel_destroy(guest->channel);
    pthread_mutex_destroy(&guest->lock);
    free(guest);
}

/* ---- outcomes ---- */

static void drop(struct door_entry *out, enum prober_error err, const char *why)
{
    out->outcome = DOOR_DROP;
    out->err = prober_fail(&out->why, err, "%s", why);
}

/* The peer may try a handshake; why is for our log alone. */
static void need_handshake(struct door_entry *out, enum prober_error err, const char *why)
{
    out->outcome = DOOR_ANSWER;
    out->err = prober_fail(&out->why, err, "%s", why);
    if (channel_handshake_needed(&out->answer))
        drop(out, PROBER_ERR_NOMEM, "no memory for an answer");
}

/* ---- handshakes ---- */

static enum prober_error accept_guest(struct door *door, struct channel **out)
{
    enum prober_error err = PROBER_ERR_UNSUPPORTED;

    pthread_mutex_lock(&door->lock); /* the channel holds on to what it was made from */
    if (door->config.tls)
        err = channel_server_accept(door->config.tls, out);
    pthread_mutex_unlock(&door->lock);
    return err;
}

/* The channel that takes this frame: one that waits for it, or a new one in a place of its own. */
static struct channel *find_channel(struct guest *guest, uint64_t now_ns, struct door_entry *out)
{
    struct handshakes *handshakes = guest->door->config.handshakes;
    struct channel *channel = handshakes_resume(handshakes, guest->connection, now_ns);
    enum prober_error err;

    if (channel)
        return channel;
    err = handshakes_begin(handshakes, guest->connection, &guest->peer, now_ns);
    if (err == PROBER_ERR_EXISTS) {
        drop(out, PROBER_ERR_PROTOCOL, "two handshakes at once");
        return NULL;
    }
    if (err) {
        atomic_fetch_add(&guest->door->refused, 1);
        need_handshake(out, PROBER_ERR_FULL, "too many handshakes are half open");
        return NULL;
    }
    err = accept_guest(guest->door, &channel);
    if (!err)
        return channel;
    handshakes_end(handshakes, guest->connection);
    drop(out, err,
         err == PROBER_ERR_UNSUPPORTED ? "there are no trusted connections here"
                                       : "no memory for a handshake");
    return NULL;
}

/* False when another frame of the connection was quicker, and made something else of it. */
static bool begin_session(struct guest *guest, struct channel *channel)
{
    bool may;

    pthread_mutex_lock(&guest->lock);
    may = !guest->channel && !guest->is_plain;
    if (may) {
        guest->channel = channel;
        guest->is_trusted = true;
    }
    pthread_mutex_unlock(&guest->lock);
    return may;
}

static void count_handshake(struct door *door, const struct channel *channel)
{
    atomic_fetch_add(channel_was_resumed(channel) ? &door->resumed : &door->done, 1);
}

/* Takes over the channel. */
static void settle(struct guest *guest, struct channel *channel, struct door_entry *out)
{
    struct handshakes *handshakes = guest->door->config.handshakes;
    bool is_kept = false;

    if (!out->err && channel_is_ready(channel)) {
        is_kept = begin_session(guest, channel);
        if (!is_kept)
            drop(out, PROBER_ERR_PROTOCOL, "calls while a handshake goes on");
        else
            count_handshake(guest->door, channel);
    } else if (!out->err) {
        is_kept = handshakes_wait(handshakes, guest->connection, channel) == PROBER_OK;
        if (is_kept)
            return;
        need_handshake(out, PROBER_ERR_TIMEOUT, "a handshake that took too long");
    }
    handshakes_end(handshakes, guest->connection);
    if (!is_kept)
        channel_destroy(channel);
}

static void shake_hands(struct guest *guest, const void *frame, size_t len,
                        const struct clock_reading *now, struct door_entry *out)
{
    struct channel *channel;
    bool may;

    out->fault = DOOR_FAULT_HANDSHAKE;
    pthread_mutex_lock(&guest->lock);
    may = !guest->channel && !guest->is_plain;
    pthread_mutex_unlock(&guest->lock);
    if (!may) {
        drop(out, PROBER_ERR_PROTOCOL,
             "a handshake on a connection that has a session or is plain");
        return;
    }
    if (!guest->door->config.handshakes) {
        drop(out, PROBER_ERR_UNSUPPORTED, "there are no trusted connections here");
        return;
    }
    channel = find_channel(guest, now->mono_ns, out);
    if (!channel)
        return;
    out->outcome = DOOR_ANSWER;
    out->err = channel_handshake(channel, frame, len, (int64_t)(now->real_ns / CLOCK_NS_PER_S),
                                 &out->answer, &out->why);
    if (out->err)
        atomic_fetch_add(&guest->door->failed, 1);
    if (out->err && !out->answer.len)
        out->outcome = DOOR_DROP;
    settle(guest, channel, out);
}

/* ---- calls ---- */

static void let_in_plain(struct guest *guest, const void *frame, size_t len, struct door_entry *out)
{
    struct channel *plain;
    bool may;

    if (!atomic_load(&guest->door->plain)) {
        out->fault = DOOR_FAULT_PLAIN;
        need_handshake(out, PROBER_ERR_DENIED,
                       "an agent that has not joined, and -server.plain is refuse");
        return;
    }
    pthread_mutex_lock(&guest->lock);
    may = !guest->is_trusted;
    guest->is_plain |= may;
    pthread_mutex_unlock(&guest->lock);
    if (!may) {
        drop(out, PROBER_ERR_PROTOCOL, "a plain call on a trusted connection");
        return;
    }
    if (channel_plain_create(&plain)) {
        drop(out, PROBER_ERR_NOMEM, "no memory for a call");
        return;
    }
    out->outcome = DOOR_CALL;
    out->err = channel_open(plain, frame, len, &out->body, &out->body_len);
    if (out->err)
        drop(out, out->err, prober_error_text(out->err));
    channel_destroy(plain); /* what it opened lies in the frame */
}

/* Takes the session's channel for one call. */
static struct channel *take_session(struct guest *guest, struct door_entry *out)
{
    struct channel *channel;

    pthread_mutex_lock(&guest->lock);
    channel = guest->is_busy ? NULL : guest->channel;
    if (channel)
        guest->is_busy = true;
    else if (guest->is_busy)
        drop(out, PROBER_ERR_PROTOCOL, "two calls at once on a trusted connection");
    else
        need_handshake(out, PROBER_ERR_STATE, "a sealed call without a session");
    pthread_mutex_unlock(&guest->lock);
    return channel;
}

static void end_session(struct guest *guest)
{
    struct channel *channel;

    pthread_mutex_lock(&guest->lock);
    channel = guest->channel;
    guest->channel = NULL;
    guest->is_busy = false;
    pthread_mutex_unlock(&guest->lock);
    channel_destroy(channel);
}

static enum prober_error check_identity(const struct door *door, const struct channel *channel,
                                        const struct clock_reading *now, struct prober_failure *why)
{
    const struct pki_identity *identity = channel_peer(channel);

    if (!identity)
        return PROBER_OK;
    if (door->config.is_revoked && door->config.is_revoked(door->config.context, identity))
        return prober_fail(why, PROBER_ERR_DENIED, "the certificate was revoked");
    return pki_check_time(identity, (int64_t)(now->real_ns / CLOCK_NS_PER_S), why);
}

static void let_in_sealed(struct guest *guest, const void *frame, size_t len,
                          const struct clock_reading *now, struct door_entry *out)
{
    struct channel *channel = take_session(guest, out);
    struct prober_failure why;
    enum prober_error err;

    out->fault = DOOR_FAULT_SESSION;
    if (!channel)
        return;
    err = channel_open(channel, frame, len, &out->body, &out->body_len);
    if (err) {
        prober_fail(&why, err, "a sealed frame that cannot be opened: %s", prober_error_text(err));
    } else {
        err = check_identity(guest->door, channel, now, &why);
        out->fault = DOOR_FAULT_CERTIFICATE;
    }
    if (err) {
        end_session(guest);
        need_handshake(out, err, why.text);
        return;
    }
    out->outcome = DOOR_CALL;
    out->identity = channel_peer(channel);
    out->is_secret = true;
}

bool door_is_handshake(const void *frame, size_t len)
{
    enum channel_kind kind;

    return len <= CHANNEL_HEADER_LEN + CHANNEL_HANDSHAKE_MAX &&
           channel_frame_kind(frame, len, &kind) == PROBER_OK && kind == CHANNEL_HANDSHAKE;
}

void door_enter(struct guest *guest, const void *frame, size_t len, const struct clock_reading *now,
                struct door_entry *out)
{
    enum channel_kind kind;
    enum prober_error err = channel_frame_kind(frame, len, &kind);

    memset(out, 0, sizeof(*out));
    if (err)
        drop(out, err, prober_error_text(err));
    else if (kind == CHANNEL_HANDSHAKE)
        shake_hands(guest, frame, len, now, out);
    else if (kind == CHANNEL_PLAIN)
        let_in_plain(guest, frame, len, out);
    else if (kind == CHANNEL_DATA)
        let_in_sealed(guest, frame, len, now, out);
    else
        drop(out, PROBER_ERR_PROTOCOL, "a frame that only servers send");
    if (out->err == PROBER_ERR_VERSION)
        out->fault = DOOR_FAULT_VERSION;
    if (out->outcome != DOOR_CALL)
        out->body = NULL;
}

static enum prober_error seal_plain(const void *body, size_t len, struct strbuf *frame)
{
    struct channel *plain;
    enum prober_error err = channel_plain_create(&plain);

    if (err)
        return err;
    err = channel_seal(plain, body, len, frame);
    channel_destroy(plain);
    return err;
}

enum prober_error door_answer(struct guest *guest, const void *body, size_t len,
                              struct strbuf *frame)
{
    struct channel *channel;
    bool is_trusted;
    enum prober_error err;

    pthread_mutex_lock(&guest->lock);
    channel = guest->is_busy ? guest->channel : NULL;
    is_trusted = guest->is_trusted;
    pthread_mutex_unlock(&guest->lock);
    if (!channel)
        return is_trusted ? PROBER_ERR_STATE : seal_plain(body, len, frame);
    err = channel_seal(channel, body, len, frame);
    pthread_mutex_lock(&guest->lock);
    guest->is_busy = false;
    pthread_mutex_unlock(&guest->lock);
    return err;
}
