/*
 * store - what the server remembers over restarts (adapter of SQLite).
 *
 * Purpose    Agents, what ever joined, the server's id, and the record of outages: the windows that agents delivered
 *            too late for today's counters. One SQLite file (WAL) in the state directory, which a
 *            lock keeps from a second server. When the file cannot be opened or written (full disk,
 *            damage), serving goes on from memory: writes wait and are tried again, what does not
 *            fit in the queue is refused and counted.
 * Threads    Writes from any thread: they only queue. One thread of its own executes them.
 *            store_open, store_load_agents, store_start and store_close are main()'s.
 * Ownership  Copies what it is given.
 */
#ifndef SERVERD_STORE_H
#define SERVERD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/icmp_counts.h"
#include "common/id.h"
#include "serverd/registry.h"

struct store;

/* The file in the state directory. */
#define STORE_FILE "server.db"

/* Opens (and makes, mode 0700, files 0600) the store in directory `dir`.
 * Errors: PROBER_ERR_STATE when another server uses the directory: this one must not run.
 * Whatever else is wrong does not fail: *out is then a store that keeps nothing, why->code is not
 * PROBER_OK and why->text says what is wrong, and store_counts tells it. */
enum prober_error store_open(struct store **out, const char *dir, struct prober_failure *why);
/* The server's id: the same for as long as the store lives. */
struct prober_id store_server_id(const struct store *store);
/* The first number that no agent ever had. Numbers up to it + STORE_NUMBERS are then reserved:
 * after a kill -9 none is given a second time. */
#define STORE_NUMBERS 65536
uint32_t store_next_number(const struct store *store);
/* Calls `each` for every agent, by number. Rows that make no sense are skipped and counted. */
void store_load_agents(struct store *store,
                       void (*each)(void *context, const struct registry_agent *agent),
                       void *context);
/* Calls `each` for all that ever joined. */
void store_load_joined(struct store *store,
                       void (*each)(void *context, const struct joined_row *row), void *context);
/* Starts the thread. Errors: PROBER_ERR_NOMEM, _IO. */
enum prober_error store_start(struct store *store);

/* Each queues a write. */
void store_save_joined(struct store *store, const struct joined_row *row);
void store_save_agent(struct store *store, const struct registry_agent *agent);
void store_forget_agent(struct store *store, const struct prober_id *id);
/* Adds windows of a region pair that came too late, and lie within from..to (wall clock, Unix ns),
 * to the record of the pair's outage: one record as long as the gaps are short. */
void store_add_backfill(struct store *store, const char *source, const char *target,
                        uint64_t from_real_ns, uint64_t to_real_ns,
                        const struct icmp_totals *totals);

struct store_counts {
    bool works;           /* the last thing that was tried succeeded */
    uint64_t queue_depth;
    uint64_t writes;      /* done */
    uint64_t refused;     /* the queue was full, or there was no memory */
    uint64_t errors;      /* attempts that failed; they are repeated */
    uint64_t bad_rows;    /* skipped by store_load_agents */
};
void store_counts(const struct store *store, struct store_counts *out);
/* Writes what is queued, giving up at the first failure, stops and frees. NULL is fine. */
void store_close(struct store *store);

#endif
