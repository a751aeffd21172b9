#include "serverd/peer.h"

#include <pthread.h>
#include <stdlib.h>

struct peer {
    pthread_mutex_t lock;
    struct session *session; /* one reference; guarded by lock */
    struct guest *guest;
};

struct peer *peer_create(struct guest *guest)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return NULL;
    pthread_mutex_init(&peer->lock, NULL);
    peer->guest = guest;
    return peer;
}

struct guest *peer_guest(const struct peer *peer)
{
    return peer->guest;
}

struct session *peer_session(struct peer *peer)
{
    struct session *session;

    pthread_mutex_lock(&peer->lock);
    session = peer->session ? session_get(peer->session) : NULL;
    pthread_mutex_unlock(&peer->lock);
    return session;
}

void peer_set_session(struct peer *peer, struct session *session)
{
    struct session *former;

    pthread_mutex_lock(&peer->lock);
    former = peer->session;
    peer->session = session;
    pthread_mutex_unlock(&peer->lock);
    if (former)
        atomic_store(&former->connected, false);
    session_put(former);
}

void peer_destroy(struct peer *peer)
{
    if (!peer)
        return;
    peer_set_session(peer, NULL);
    guest_destroy(peer->guest);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}
