#include "serverd/revocations.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 16

struct revocations {
    struct revocation_store store;
    pthread_mutex_t change_lock; /* held over a change, the store's part included */
    pthread_rwlock_t lock;
    struct revocation *rows; /* [count], by id; guarded by lock */
    size_t count, room;
    atomic_uint_fast64_t version;
};

enum prober_error revocations_create(struct revocations **out, const struct revocation_store *store)
{
    struct revocations *r = calloc(1, sizeof(*r));

    if (!r)
        return PROBER_ERR_NOMEM;
    r->store = *store;
    pthread_mutex_init(&r->change_lock, NULL);
    pthread_rwlock_init(&r->lock, NULL);
    *out = r;
    return PROBER_OK;
}

void revocations_destroy(struct revocations *r)
{
    if (!r)
        return;
    pthread_rwlock_destroy(&r->lock);
    pthread_mutex_destroy(&r->change_lock);
    free(r->rows);
    free(r);
}

/* Where the id is, or belongs. */
static size_t place_of(const struct revocations *r, const struct prober_id *id, bool *found)
{
    size_t from = 0, to = r->count;

    *found = false;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = memcmp(r->rows[middle].agent_id.bytes, id->bytes, PROBER_ID_LEN);

        if (order == 0)
            *found = true;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Room for one more. */
static enum prober_error make_room(struct revocations *r, struct prober_failure *why)
{
    size_t room = r->room ? 2 * r->room : ROOM_FIRST;
    struct revocation *rows;

    if (r->count >= REVOCATIONS_MAX)
        return prober_fail(why, PROBER_ERR_FULL, "at most %d agents can be revoked",
                           REVOCATIONS_MAX);
    if (r->count < r->room)
        return PROBER_OK;
    rows = realloc(r->rows, room * sizeof(*rows));
    if (!rows)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for a revocation");
    r->rows = rows;
    r->room = room;
    return PROBER_OK;
}

static void insert(struct revocations *r, const struct revocation *row)
{
    bool found;
    size_t at = place_of(r, &row->agent_id, &found);

    if (found)
        return;
    memmove(&r->rows[at + 1], &r->rows[at], (r->count - at) * sizeof(r->rows[0]));
    r->rows[at] = *row;
    r->count++;
}

enum prober_error revocations_load(struct revocations *r, const struct revocation *revocation)
{
    enum prober_error err;

    pthread_rwlock_wrlock(&r->lock);
    err = make_room(r, NULL);
    if (!err)
        insert(r, revocation);
    pthread_rwlock_unlock(&r->lock);
    return err;
}

enum prober_error revocations_add(struct revocations *r, const struct prober_id *agent_id,
                                  int64_t now_s, struct prober_failure *why)
{
    const struct revocation row = {*agent_id, now_s};
    enum prober_error err;

    pthread_mutex_lock(&r->change_lock);
    if (revocations_has_id(r, agent_id)) {
        err = prober_fail(why, PROBER_ERR_EXISTS, "the agent is revoked already");
        goto out;
    }
    pthread_rwlock_wrlock(&r->lock);
    err = make_room(r, why);
    pthread_rwlock_unlock(&r->lock);
    if (!err)
        err = r->store.save(r->store.context, &row, why);
    if (err)
        goto out;
    pthread_rwlock_wrlock(&r->lock);
    insert(r, &row);
    pthread_rwlock_unlock(&r->lock);
    atomic_fetch_add(&r->version, 1);
out:
    pthread_mutex_unlock(&r->change_lock);
    return err;
}

enum prober_error revocations_remove(struct revocations *r, const struct prober_id *agent_id,
                                     struct prober_failure *why)
{
    enum prober_error err;
    bool found;
    size_t at;

    pthread_mutex_lock(&r->change_lock);
    if (revocations_has_id(r, agent_id))
        err = r->store.forget(r->store.context, agent_id, why);
    else
        err = prober_fail(why, PROBER_ERR_NOT_FOUND, "no agent of this id is revoked");
    if (err)
        goto out;
    pthread_rwlock_wrlock(&r->lock);
    at = place_of(r, agent_id, &found);
    r->count--;
    memmove(&r->rows[at], &r->rows[at + 1], (r->count - at) * sizeof(r->rows[0]));
    pthread_rwlock_unlock(&r->lock);
    atomic_fetch_add(&r->version, 1);
out:
    pthread_mutex_unlock(&r->change_lock);
    return err;
}

bool revocations_has_id(struct revocations *r, const struct prober_id *agent_id)
{
    bool found;

    pthread_rwlock_rdlock(&r->lock);
    place_of(r, agent_id, &found);
    pthread_rwlock_unlock(&r->lock);
    return found;
}

bool revocations_has(void *context, const struct pki_identity *identity)
{
    return revocations_has_id(context, &identity->agent_id);
}

uint64_t revocations_version(const struct revocations *r)
{
    return atomic_load(&r->version);
}

size_t revocations_count(struct revocations *r)
{
    size_t count;

    pthread_rwlock_rdlock(&r->lock);
    count = r->count;
    pthread_rwlock_unlock(&r->lock);
    return count;
}

void revocations_list(struct revocations *r,
                      void (*each)(void *context, const struct revocation *revocation),
                      void *context)
{
    pthread_rwlock_rdlock(&r->lock);
    for (size_t i = 0; i < r->count; i++)
        each(context, &r->rows[i]);
    pthread_rwlock_unlock(&r->lock);
}
