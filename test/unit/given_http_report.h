/*
 * given_http_report - reports of HTTP rows for the tests of the server's ingest.
 *
 * Purpose    A row succeeds with given phases or fails for a given reason. Columns can then be bent.
 */
#ifndef TEST_UNIT_GIVEN_HTTP_REPORT_H
#define TEST_UNIT_GIVEN_HTTP_REPORT_H

#include "libprober/http_judge.h"
#include "test/unit/given_report.h"

struct given_http {
    struct wire_report report;
    struct wire_target_name names[GIVEN_ROWS];
    uint32_t target[GIVEN_ROWS];
#define GIVEN_HTTP_COLUMN(type, name) type name[GIVEN_ROWS];
    WIRE_HTTP_COLUMNS(GIVEN_HTTP_COLUMN)
#undef GIVEN_HTTP_COLUMN
};

static inline struct wire_report *given_http_report(struct given_http *g, uint64_t sequence)
{
    struct wire_report *r = &g->report;

    memset(g, 0, sizeof(*g));
    r->sequence = sequence;
    r->window = (uint32_t)sequence;
    r->window_ns = 15 * SECOND;
    r->kind = WIRE_KIND_HTTP;
    r->names = g->names;
    r->target = g->target;
#define GIVEN_HTTP_COLUMN(type, name) r->http.name = g->name;
    WIRE_HTTP_COLUMNS(GIVEN_HTTP_COLUMN)
#undef GIVEN_HTTP_COLUMN
    return r;
}

static inline void given_url(struct given_http *g, uint32_t number, const char *region,
                             const char *target)
{
    g->names[g->report.name_count++] =
        (struct wire_target_name){number, WIRE_KIND_HTTP, region, target, false};
}

/* A probe over TLS that took `ms` milliseconds in all, a fifth of it in each phase. */
static inline size_t given_success(struct given_http *g, uint32_t number, uint64_t ms)
{
    size_t row = g->report.rows++;

    g->target[row] = number;
    g->status[row] = 200;
    g->version[row] = 20;
    g->tls_version[row] = 0x0304;
    g->dns_answers[row] = 2;
    g->resolve_ns[row] = g->connect_ns[row] = g->tls_ns[row] = g->processing_ns[row] =
        g->transfer_ns[row] = ms * MSEC / 5;
    g->duration_ns[row] = ms * MSEC;
    g->content_length[row] = 1001;
    g->body_received[row] = g->body_decoded[row] = 1000;
    g->earliest_cert_expiry[row] = 2000000000;
    g->last_chain_expiry[row] = 2000000000;
    return row;
}

/* A probe that failed, with that status; 0: no answer. */
static inline size_t given_failure(struct given_http *g, uint32_t number, uint32_t reason,
                                   uint32_t status)
{
    size_t row = g->report.rows++;

    g->target[row] = number;
    g->reason[row] = reason;
    g->status[row] = status;
    g->version[row] = status ? 11 : 0;
    g->connect_ns[row] = 2 * MSEC;
    g->duration_ns[row] = 3 * MSEC;
    return row;
}

#endif
