#include "serverd/directory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "serverd/plan.h"

struct directory_board {
    pthread_mutex_t lock;
    struct directory *current; /* one reference; guarded by lock */
};

static size_t text_room(const char *text)
{
    return text ? strlen(text) + 1 : 1;
}

static size_t texts_room(const struct directory *from)
{
    size_t room = 0;

    for (size_t i = 0; i < from->agent_count; i++) {
        const struct directory_agent *a = &from->agents[i];

        room += text_room(a->region) + text_room(a->version) + text_room(a->os) +
                text_room(a->architecture);
    }
    for (size_t i = 0; i < from->pair_count; i++)
        room += text_room(from->pairs[i].source) + text_room(from->pairs[i].target);
    return room;
}

static size_t address_total(const struct directory *from)
{
    size_t total = 0;

    for (size_t i = 0; i < from->agent_count; i++)
        total += from->agents[i].address_count;
    return total;
}

static const char *copy_text(char **at, const char *text)
{
    size_t room = text_room(text);
    char *copy = *at;

    memcpy(copy, text ? text : "", room);
    *at += room;
    return copy;
}

static int compare_agents(const void *x, const void *y)
{
    const struct directory_agent *a = x, *b = y;
    int order = strcmp(a->region, b->region);

    return order ? order : (a->number > b->number) - (a->number < b->number);
}

static int compare_pairs(const void *x, const void *y)
{
    const struct directory_pair *a = x, *b = y;
    int order = strcmp(a->source, b->source);

    return order ? order : strcmp(a->target, b->target);
}

static void fill(struct directory *d, const struct directory *from, size_t addresses)
{
    struct directory_agent *agents = d->memory;
    struct directory_pair *pairs = (struct directory_pair *)(agents + from->agent_count);
    struct prober_addr *address = (struct prober_addr *)(pairs + from->pair_count);
    char *text = (char *)(address + addresses);

    for (size_t i = 0; i < from->agent_count; i++) {
        const struct directory_agent *a = &from->agents[i];

        agents[i] = *a;
        agents[i].region = copy_text(&text, a->region);
        agents[i].version = copy_text(&text, a->version);
        agents[i].os = copy_text(&text, a->os);
        agents[i].architecture = copy_text(&text, a->architecture);
        agents[i].addresses = address;
        for (size_t k = 0; k < a->address_count; k++)
            *address++ = a->addresses[k];
    }
    for (size_t i = 0; i < from->pair_count; i++) {
        pairs[i].source = copy_text(&text, from->pairs[i].source);
        pairs[i].target = copy_text(&text, from->pairs[i].target);
    }
    if (from->agent_count)
        qsort(agents, from->agent_count, sizeof(*agents), compare_agents);
    if (from->pair_count)
        qsort(pairs, from->pair_count, sizeof(*pairs), compare_pairs);
    d->agents = agents;
    d->agent_count = from->agent_count;
    d->pairs = pairs;
    d->pair_count = from->pair_count;
}

enum prober_error directory_create(struct directory **out, const struct directory *from)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    size_t addresses = address_total(from);
    struct directory *d = calloc(1, sizeof(*d));

    if (!d)
        goto out;
    d->memory = malloc(from->agent_count * sizeof(struct directory_agent) +
                       from->pair_count * sizeof(struct directory_pair) +
                       addresses * sizeof(struct prober_addr) + texts_room(from) + 1);
    if (!d->memory)
        goto out;
    atomic_init(&d->references, 1);
    fill(d, from, addresses);
    d->plan_revision = from->plan_revision;
    d->plan = from->plan ? plan_get(from->plan) : NULL;
    *out = d;
    d = NULL;
    err = PROBER_OK;
out:
    free(d);
    return err;
}

enum prober_error directory_board_create(struct directory_board **out)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    const struct directory empty = {.plan_revision = 0};
    struct directory_board *board = calloc(1, sizeof(*board));

    if (!board)
        goto out;
    err = directory_create(&board->current, &empty);
    if (err)
        goto out;
    pthread_mutex_init(&board->lock, NULL);
    *out = board;
    board = NULL;
out:
    free(board);
    return err;
}

void directory_publish(struct directory_board *board, struct directory *directory)
{
    struct directory *old;

    pthread_mutex_lock(&board->lock);
    old = board->current;
    board->current = directory;
    pthread_mutex_unlock(&board->lock);
    directory_put(old);
}

struct directory *directory_get(struct directory_board *board)
{
    struct directory *d;

    pthread_mutex_lock(&board->lock);
    d = board->current;
    atomic_fetch_add_explicit(&d->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&board->lock);
    return d;
}

void directory_put(struct directory *directory)
{
    if (!directory ||
        atomic_fetch_sub_explicit(&directory->references, 1, memory_order_acq_rel) != 1)
        return;
    plan_put(directory->plan);
    free(directory->memory);
    free(directory);
}

void directory_board_destroy(struct directory_board *board)
{
    if (!board)
        return;
    directory_put(board->current);
    pthread_mutex_destroy(&board->lock);
    free(board);
}
