#include "serverd/local_agents.h"

#include <stdlib.h>
#include <string.h>

/* Rows by agent id. */
struct table {
    void *rows; /* each begins with what `id_at` finds */
    size_t size, id_at;
    size_t count, room;
    bool failed;
};

struct gathered {
    struct table members;     /* struct store_member */
    struct table revocations; /* struct revocation */
};

static void add_row(struct table *t, const void *row)
{
    size_t room = t->room ? 2 * t->room : 64;

    if (t->count == t->room) {
        void *rows = realloc(t->rows, room * t->size);

        if (!rows) {
            t->failed = true;
            return;
        }
        t->rows = rows;
        t->room = room;
    }
    memcpy((char *)t->rows + t->count++ * t->size, row, t->size);
}

static const void *row_at(const struct table *t, size_t i)
{
    return (const char *)t->rows + i * t->size;
}

static const struct prober_id *id_of(const struct table *t, size_t i)
{
    return (const struct prober_id *)((const char *)row_at(t, i) + t->id_at);
}

static const void *find_row(const struct table *t, const struct prober_id *id)
{
    size_t from = 0, to = t->count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = memcmp(id_of(t, middle)->bytes, id->bytes, PROBER_ID_LEN);

        if (order == 0)
            return row_at(t, middle);
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

static void take_member(void *context, const struct store_member *member)
{
    add_row(context, member);
}

static void take_revocation(void *context, const struct revocation *revocation)
{
    add_row(context, revocation);
}

/* Both come by id. */
static enum prober_error gather(struct store_trust *store, struct revocations *revocations,
                                struct gathered *out, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    out->members = (struct table){.size = sizeof(struct store_member),
                                  .id_at = offsetof(struct store_member, agent_id)};
    out->revocations = (struct table){.size = sizeof(struct revocation),
                                      .id_at = offsetof(struct revocation, agent_id)};
    revocations_list(revocations, take_revocation, &out->revocations);
    if (store)
        err = store_trust_list(store, take_member, &out->members, why);
    if (!err && (out->members.failed || out->revocations.failed))
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for a list of agents");
    return err;
}

/* Any of the two may be NULL. */
static void append(struct json *array, const struct gathered *g, const struct prober_id *id,
                   const struct directory_agent *agent, const struct store_member *member)
{
    const struct revocation *revoked = find_row(&g->revocations, id);
    char address[PROBER_ADDR_TEXT_MAX], id_text[PROBER_ID_TEXT_MAX];
    struct json *row = json_object();

    json_add_string(row, "id", prober_id_format(id, id_text));
    json_add_string(row, "region", agent ? agent->region : member ? member->region : "");
    json_add_string(row, "address",
                    agent && agent->observed.family ? prober_addr_format(&agent->observed, address)
                                                    : "");
    json_add_string(row, "version", agent ? agent->version : "");
    json_add_bool(row, "alive", agent && agent->alive);
    json_add_string(row, "trust", agent && !agent->trusted ? "plain" : "joined");
    if (member) {
        json_add_u64(row, "joined_s", (uint64_t)member->joined_s);
        json_add_u64(row, "certificate_expires_s", (uint64_t)member->expires_s);
    }
    if (revoked)
        json_add_u64(row, "revoked_s", (uint64_t)revoked->at_s);
    json_append(array, row);
}

static bool is_in(const struct directory *directory, const struct prober_id *id)
{
    for (size_t i = 0; i < directory->agent_count; i++)
        if (prober_id_equal(&directory->agents[i].id, id))
            return true;
    return false;
}

static int by_id(const void *left, const void *right)
{
    return memcmp(left, right, PROBER_ID_LEN);
}

/* The ids of the directory, sorted; malloc'd. */
static struct prober_id *sorted_ids(const struct directory *directory)
{
    struct prober_id *ids = calloc(directory->agent_count + 1, sizeof(*ids));

    for (size_t i = 0; ids && i < directory->agent_count; i++)
        ids[i] = directory->agents[i].id;
    if (ids)
        qsort(ids, directory->agent_count, sizeof(*ids), by_id);
    return ids;
}

enum prober_error local_agents_list(const struct directory *directory, struct store_trust *store,
                                    struct revocations *revocations, struct json *array,
                                    struct prober_failure *why)
{
    struct gathered g = {.members = {.rows = NULL}};
    struct prober_id *ids = NULL;
    size_t count = directory->agent_count;
    enum prober_error err = gather(store, revocations, &g, why);

    if (err)
        goto out;
    ids = sorted_ids(directory);
    if (!ids) {
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for a list of agents");
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        append(array, &g, &directory->agents[i].id, &directory->agents[i],
               find_row(&g.members, &directory->agents[i].id));
    for (size_t i = 0; i < g.members.count; i++)
        if (!bsearch(id_of(&g.members, i), ids, count, sizeof(*ids), by_id))
            append(array, &g, id_of(&g.members, i), NULL, row_at(&g.members, i));
    for (size_t i = 0; i < g.revocations.count; i++) {
        const struct prober_id *id = id_of(&g.revocations, i);

        if (!bsearch(id, ids, count, sizeof(*ids), by_id) && !find_row(&g.members, id))
            append(array, &g, id, NULL, NULL);
    }
out:
    free(ids);
    free(g.members.rows);
    free(g.revocations.rows);
    return err;
}

struct search {
    const struct prober_id *id;
    bool found;
};

static void look(void *context, const struct store_member *member)
{
    struct search *search = context;

    search->found |= prober_id_equal(&member->agent_id, search->id);
}

bool local_agents_know(const struct directory *directory, struct store_trust *store,
                       const struct prober_id *id)
{
    struct search search = {.id = id};

    if (is_in(directory, id))
        return true;
    if (store && store_trust_list(store, look, &search, NULL))
        return false;
    return search.found;
}
