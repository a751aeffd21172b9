#include "serverd/handshakes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define IPV6_PREFIX_LEN 8 /* a /64 is one peer: each host has one to itself */

struct place {
    uint64_t connection;
    struct prober_addr peer; /* unmapped, and of IPv6 the prefix */
    uint64_t began_ns;
    struct channel *channel; /* that waits; NULL: it is being worked on */
};

struct handshakes {
    pthread_mutex_t lock; /* guards all of it */
    struct place places[HANDSHAKES_MAX];
    size_t count;
    struct handshake_counts counts;
};

enum prober_error handshakes_create(struct handshakes **out)
{
    struct handshakes *h = calloc(1, sizeof(*h));

    if (!h)
        return PROBER_ERR_NOMEM;
    pthread_mutex_init(&h->lock, NULL);
    *out = h;
    return PROBER_OK;
}

void handshakes_destroy(struct handshakes *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->count; i++)
        channel_destroy(h->places[i].channel);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static struct place *find(struct handshakes *h, uint64_t connection)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->places[i].connection == connection)
            return &h->places[i];
    return NULL;
}

static void give_back(struct handshakes *h, struct place *place)
{
    channel_destroy(place->channel);
    *place = h->places[--h->count];
}

static void expire(struct handshakes *h, uint64_t now_ns)
{
    for (size_t i = h->count; i-- > 0;)
        if (now_ns >= h->places[i].began_ns + HANDSHAKE_NS) {
            give_back(h, &h->places[i]);
            h->counts.expired_total++;
        }
}

static struct prober_addr peer_of(const struct prober_addr *address)
{
    struct prober_addr peer = prober_addr_unmap(address);

    if (peer.family == PROBER_FAMILY_IPV6)
        memset(peer.bytes + IPV6_PREFIX_LEN, 0, sizeof(peer.bytes) - IPV6_PREFIX_LEN);
    return peer;
}

static enum prober_error find_room(struct handshakes *h, uint64_t connection,
                                   const struct prober_addr *peer)
{
    size_t same = 0;

    if (find(h, connection))
        return PROBER_ERR_EXISTS;
    for (size_t i = 0; i < h->count; i++)
        same += prober_addr_equal(&h->places[i].peer, peer);
    if (same >= HANDSHAKES_PER_PEER) {
        h->counts.refused_peer_total++;
        return PROBER_ERR_DENIED;
    }
    if (h->count == HANDSHAKES_MAX) {
        h->counts.refused_full_total++;
        return PROBER_ERR_FULL;
    }
    return PROBER_OK;
}

enum prober_error handshakes_begin(struct handshakes *h, uint64_t connection,
                                   const struct prober_addr *peer, uint64_t now_ns)
{
    const struct place place = {
        .connection = connection, .peer = peer_of(peer), .began_ns = now_ns};
    enum prober_error err;

    pthread_mutex_lock(&h->lock);
    expire(h, now_ns);
    err = find_room(h, connection, &place.peer);
    if (!err)
        h->places[h->count++] = place;
    pthread_mutex_unlock(&h->lock);
    return err;
}

enum prober_error handshakes_wait(struct handshakes *h, uint64_t connection,
                                  struct channel *channel)
{
    struct place *place;

    pthread_mutex_lock(&h->lock);
    place = find(h, connection);
    if (place && !place->channel)
        place->channel = channel;
    else
        place = NULL;
    pthread_mutex_unlock(&h->lock);
    return place ? PROBER_OK : PROBER_ERR_NOT_FOUND;
}

struct channel *handshakes_resume(struct handshakes *h, uint64_t connection, uint64_t now_ns)
{
    struct channel *channel = NULL;
    struct place *place;

    pthread_mutex_lock(&h->lock);
    expire(h, now_ns);
    place = find(h, connection);
    if (place) {
        channel = place->channel;
        place->channel = NULL;
    }
    pthread_mutex_unlock(&h->lock);
    return channel;
}

void handshakes_end(struct handshakes *h, uint64_t connection)
{
    struct place *place;

    pthread_mutex_lock(&h->lock);
    place = find(h, connection);
    if (place)
        give_back(h, place);
    pthread_mutex_unlock(&h->lock);
}

void handshakes_expire(struct handshakes *h, uint64_t now_ns)
{
    pthread_mutex_lock(&h->lock);
    expire(h, now_ns);
    pthread_mutex_unlock(&h->lock);
}

void handshakes_counts(struct handshakes *h, struct handshake_counts *out)
{
    pthread_mutex_lock(&h->lock);
    *out = h->counts;
    out->open = h->count;
    pthread_mutex_unlock(&h->lock);
}
