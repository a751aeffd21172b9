/*
 * wire - the messages between agents and the server (adapter of protobuf-c).
 *
 * Purpose    Encodes and decodes requests and replies, and checks every bound on the way in, so
 *            that what comes out of a decode is safe to use: lengths, counts, UTF-8, ids, columns.
 *            The schema is wire/probermesh.proto; it is versioned by adding fields only.
 * Threads    Pure functions; a message belongs to one thread.
 * Ownership  A decoded message owns all that it points to, until wire_*_free. To encode, fill a
 *            struct whose pointers stay the caller's.
 */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/icmp_counts.h"
#include "common/id.h"
#include "common/strbuf.h"
#include "common/wire_join.h"
#include "common/wire_task.h"

#define WIRE_PROTOCOL 1
#define WIRE_BYTES_MAX (4u << 20) /* of an encoded message */
#define WIRE_REGION_MAX 128       /* bytes of a region's name */
#define WIRE_TARGET_MAX 2048      /* bytes of a target */
#define WIRE_TEXT_MAX 256         /* bytes of any other string */
#define WIRE_MESSAGE_MAX 511      /* bytes of a reply's message: a prober_failure fits */
#define WIRE_DURATION_MAX_NS (UINT64_C(366) * 86400 * 1000000000) /* of any duration */
#define WIRE_ADDRESSES_MAX 16
#define WIRE_CAPABILITIES_MAX 64
#define WIRE_REPORT_ROWS_MAX 4096
#define WIRE_REPORT_BINS_MAX (256u << 10)
#define WIRE_ARRIVALS_MAX 16384
#define WIRE_PLAN_TARGETS_MAX 200000 /* of all entries of a plan */
#define WIRE_PLAN_ENTRIES_MAX 65536
#define WIRE_HTTP_BLOCK_MAX (256u << 10) /* bytes of an http block as JSON */
#define WIRE_NAMES_MAX WIRE_REPORT_ROWS_MAX

/* Which call a request is. The values are those of the fields in the schema. */
enum wire_call {
    WIRE_CALL_NONE = 0,
    WIRE_HELLO = 10,
    WIRE_SYNC = 11,
    WIRE_REPORT = 12,
    WIRE_JOIN = 13,
    WIRE_RENEW = 14,
    WIRE_TASK_REPORT = 15
};

enum wire_status {
    WIRE_OK = 0,
    WIRE_HELLO_NEEDED = 1, /* this connection has not said hello to this server boot */
    WIRE_REFUSED = 2,      /* not wanted; the message says why and what to do */
    WIRE_MALFORMED = 3,
    WIRE_BUSY = 4,     /* a queue is full: try again later */
    WIRE_NOT_KNOWN = 5 /* a call that this server does not have */
};

enum wire_address_mode {
    WIRE_ADDRESS_INTRANET = 0,
    WIRE_ADDRESS_PUBLIC = 1,
    WIRE_ADDRESS_GIVEN = 2
};

enum wire_kind { WIRE_KIND_ICMP = 1, WIRE_KIND_HTTP = 2 };

enum wire_outcome {
    WIRE_APPLIED = 0,
    WIRE_DUPLICATE = 1,     /* applied before under this server boot */
    WIRE_BACKFILLED = 2,    /* too old for today's counters; recorded apart, now or before */
    WIRE_UNKNOWN_TABLE = 3, /* a target number that was not named: send it again with all names */
    WIRE_INVALID = 4        /* breaks a law of counts; not applied, do not send it again */
};

struct wire_hello {
    const char *region;
    const char *version;
    const char *os;
    const char *architecture;
    enum wire_address_mode address_mode;
    const char *const *addresses; /* [address_count], 0..WIRE_ADDRESSES_MAX */
    size_t address_count;
    uint64_t probe_interval_ns; /* from 1 */
    uint64_t probe_timeout_ns;  /* from 1 */
    const char *const *capabilities;
    size_t capability_count;
};

struct wire_hello_reply {
    const char *server_id;
    const char *observed_address;
    uint32_t agent_number;
    uint16_t hint_port;
    uint64_t heartbeat_ns;
    uint64_t aggregation_interval_ns;
    const char *version;
};

struct wire_sync {
    uint64_t plan_revision;
    uint64_t spool_reports;
    uint64_t spool_dropped;
};

struct wire_icmp_spec {
    uint32_t payload_size;
    uint32_t packet_count;
    uint64_t interval_ns;
    uint64_t timeout_ns;
    uint32_t family;
};

/* How URLs are probed. The block is UTF-8 and at most WIRE_HTTP_BLOCK_MAX bytes; whether it is an
 * http block is left to who reads it. */
struct wire_http_spec {
    const char *block;   /* as http_spec_put writes it, with secrets; "" when there is none */
    uint64_t timeout_ns; /* 0: the agent's */
};

struct wire_plan_entry {
    uint32_t kind; /* enum wire_kind; a later kind is left to the caller to skip */
    const char *region;
    const char *const *targets; /* [target_count] */
    size_t target_count;
    bool control;
    struct wire_icmp_spec icmp; /* for WIRE_KIND_ICMP */
    struct wire_http_spec http; /* for WIRE_KIND_HTTP */
};

struct wire_plan {
    const struct wire_plan_entry *entries; /* [entry_count] */
    size_t entry_count;
};

struct wire_sync_reply {
    uint64_t plan_revision;
    bool has_plan;
    struct wire_plan plan;
    const struct wire_task *tasks; /* [task_count], 0..WIRE_TASKS_MAX */
    size_t task_count;
    const char *const *cancels; /* ids of tasks, [cancel_count], 0..WIRE_CANCELS_MAX */
    size_t cancel_count;
};

struct wire_target_name {
    uint32_t number;
    uint32_t kind;
    const char *region;
    const char *target;
    bool control;
};

/* One column per statistic, each NULL (all zeros) or [rows]. */
#define WIRE_COUNT_COLUMN(name, help) const uint32_t *name;
struct wire_icmp_columns {
    ICMP_COUNTS(WIRE_COUNT_COLUMN)
    const uint64_t *rtt_sum_ns;
    const uint64_t *rtt_square_low;
    const uint64_t *rtt_square_high;
    const uint64_t *rtt_min_ns;
    const uint64_t *rtt_max_ns;
    const uint64_t *jitter_ns;
    const uint64_t *resolve_ns;
    const uint32_t *histogram_bins; /* the sum over the rows is bin_total */
    const uint32_t *bin_step;       /* [bin_total] */
    const uint32_t *bin_count;      /* [bin_total] */
    size_t bin_total;
};
#undef WIRE_COUNT_COLUMN

/* The columns of HTTP rows: one row is one scheduled probe of a URL.
 * reason       0 success, else an enum http_reason of the agent's version: a number may be unknown.
 * status       of the last answer, 0: there was none. redirects: how many were followed.
 * version      10, 11, 20; 0: none. tls_version: 0x0301..0x0304; 0: plain, or no handshake.
 * dns_answers  addresses that the lookup gave.
 * unsent_late  scheduled probes of this target before this row that were not started in time.
 * *_ns         the phases, summed over all hops; duration_ns of the whole probe; age_ns from the
 *              probe's end to the end of the batch: the age of a row is that of the report + age_ns.
 * content_length  bytes + 1 as the last answer said; 0: not said. body_*: bytes that came, and what
 *              they were once decoded.
 * *_expiry     Unix seconds; 0: none. */
#define WIRE_HTTP_COLUMNS(X)                                                                       \
    X(uint32_t, reason)                                                                            \
    X(uint32_t, status)                                                                            \
    X(uint32_t, version)                                                                           \
    X(uint32_t, tls_version)                                                                       \
    X(uint32_t, redirects)                                                                         \
    X(uint32_t, dns_answers)                                                                       \
    X(uint32_t, unsent_late)                                                                       \
    X(uint64_t, resolve_ns)                                                                        \
    X(uint64_t, connect_ns)                                                                        \
    X(uint64_t, tls_ns)                                                                            \
    X(uint64_t, processing_ns)                                                                     \
    X(uint64_t, transfer_ns)                                                                       \
    X(uint64_t, duration_ns)                                                                       \
    X(uint64_t, content_length)                                                                    \
    X(uint64_t, body_received)                                                                     \
    X(uint64_t, body_decoded)                                                                      \
    X(uint64_t, earliest_cert_expiry)                                                              \
    X(uint64_t, last_chain_expiry)                                                                 \
    X(uint64_t, age_ns)

/* Each NULL (all zeros) or [rows]. */
#define WIRE_HTTP_MEMBER(type, name) const type *name;
struct wire_http_columns {
    WIRE_HTTP_COLUMNS(WIRE_HTTP_MEMBER)
};
#undef WIRE_HTTP_MEMBER

struct wire_arrivals {
    const uint32_t *sender, *window, *count; /* [length] each */
    size_t length;
};

struct wire_report {
    uint64_t sequence; /* from 1 */
    uint32_t window;
    uint64_t window_ns; /* from 1 */
    uint64_t age_ns;
    const struct wire_target_name *names; /* [name_count] */
    size_t name_count;
    const uint32_t *target; /* [rows] */
    size_t rows;            /* 0..WIRE_REPORT_ROWS_MAX */
    uint32_t kind;          /* enum wire_kind, of all rows; 0 means ICMP and is decoded as such.
                               Only its columns are sent, others are all NULL; a later kind is left
                               to the caller to refuse */
    struct wire_icmp_columns icmp;
    struct wire_http_columns http;
    struct wire_arrivals arrivals;
};

struct wire_report_reply {
    uint64_t sequence;
    enum wire_outcome outcome;
};

struct wire_request {
    uint32_t protocol; /* WIRE_PROTOCOL, or a later one: then only known fields are read */
    struct prober_id agent_id;
    struct prober_id boot_id;
    enum wire_call call; /* WIRE_CALL_NONE when it is one that we do not know */
    union {
        struct wire_hello hello;
        struct wire_sync sync;
        struct wire_report report;
        struct wire_join join;
        struct wire_renew renew;
        struct wire_task_report task_report;
    } as;
    void *memory; /* of a decoded message */
};

struct wire_reply {
    uint32_t protocol;
    struct prober_id server_boot_id;
    uint32_t status;     /* enum wire_status; an unknown one counts as WIRE_REFUSED */
    const char *message; /* "" when there is none; cut on encoding where it is not valid text */
    enum wire_call call; /* which of the bodies is filled; WIRE_CALL_NONE on errors */
    union {
        struct wire_hello_reply hello;
        struct wire_sync_reply sync;
        struct wire_report_reply report;
        struct wire_join_reply join;
        struct wire_renew_reply renew;
        struct wire_task_report_reply task_report;
    } as;
    void *memory;
};

/* Append the encoded message to *out. Errors: PROBER_ERR_NOMEM, PROBER_ERR_RANGE (a bound above, or
 * anything else that the peer's decode would refuse). A string that is NULL counts as "". */
enum prober_error wire_request_encode(const struct wire_request *request, struct strbuf *out);
enum prober_error wire_reply_encode(const struct wire_reply *reply, struct strbuf *out);

/* Decode bytes[len] into *out. Errors: PROBER_ERR_PROTOCOL with a sentence that names the field in
 * *why; PROBER_ERR_NOMEM. *out is untouched then. */
enum prober_error wire_request_decode(const void *bytes, size_t len, struct wire_request *out,
                                      struct prober_failure *why);
enum prober_error wire_reply_decode(const void *bytes, size_t len, struct wire_reply *out,
                                    struct prober_failure *why);
/* Free what a decoded message owns; the struct itself is the caller's. Fine on a zeroed one. */
void wire_request_free(struct wire_request *request);
void wire_reply_free(struct wire_reply *reply);

/* True for a non-empty, valid UTF-8 name of at most `max` bytes without control characters. */
bool wire_name_is_valid(const char *text, size_t max);
/* The same for the region of a target, which may also be "": the probe file need not name one. */
bool wire_target_region_is_valid(const char *text);

#endif
