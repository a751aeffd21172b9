#include "agentd/http_rows.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"

struct http_rows {
    size_t rows, text; /* bytes of the rows' names */
    struct http_totals totals;
    uint64_t ended_boot_ns[BATCH_ROWS_MAX];
    struct target_name *names[BATCH_ROWS_MAX];
#define ROWS_COLUMN(type, name) type name[BATCH_ROWS_MAX];
    WIRE_HTTP_COLUMNS(ROWS_COLUMN)
#undef ROWS_COLUMN
};

enum prober_error http_rows_create(struct http_rows **out)
{
    struct http_rows *r = calloc(1, sizeof(*r));

    if (!r)
        return PROBER_ERR_NOMEM;
    *out = r;
    return PROBER_OK;
}

/* "HTTP/1.1" is 11. */
static uint32_t version_number(const char *text)
{
    const char prefix[] = "HTTP/";
    const char *digits = text + sizeof(prefix) - 1;

    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0 || strlen(digits) != 3)
        return 0;
    return (uint32_t)((digits[0] - '0') * 10 + (digits[2] - '0'));
}

/* "TLS 1.3" is 0x0304, as on the wire (RFC 8446, 4.2.1). */
static uint32_t tls_number(const char *text)
{
    const char prefix[] = "TLS 1.";

    if (!text || strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return 0;
    return 0x0301 + (uint32_t)(text[sizeof(prefix) - 1] - '0');
}

static uint64_t seconds(int64_t unix_seconds)
{
    return unix_seconds > 0 ? (uint64_t)unix_seconds : 0;
}

static void put_measured(struct http_rows *r, size_t row, const struct http_result *result)
{
    r->status[row] = (uint32_t)result->status;
    r->version[row] = version_number(result->version);
    r->tls_version[row] = tls_number(result->tls_version);
    r->redirects[row] = result->redirects;
    r->dns_answers[row] = (uint32_t)result->dns_answers;
    r->resolve_ns[row] = result->phases_ns[HTTP_PHASE_RESOLVE];
    r->connect_ns[row] = result->phases_ns[HTTP_PHASE_CONNECT];
    r->tls_ns[row] = result->phases_ns[HTTP_PHASE_TLS];
    r->processing_ns[row] = result->phases_ns[HTTP_PHASE_PROCESSING];
    r->transfer_ns[row] = result->phases_ns[HTTP_PHASE_TRANSFER];
    r->duration_ns[row] = result->duration_ns;
    r->content_length[row] = result->content_length < 0 ? 0 : (uint64_t)result->content_length + 1;
    r->body_received[row] = result->body_received;
    r->body_decoded[row] = result->body_decoded;
    r->earliest_cert_expiry[row] = seconds(result->earliest_cert_expiry);
    r->last_chain_expiry[row] = seconds(result->last_chain_expiry);
}

enum prober_error http_rows_add(struct http_rows *r, struct target_name *name,
                                const struct http_result *result, uint32_t unsent_late,
                                uint64_t ended_boot_ns)
{
    static const struct http_result nothing = {.reason = HTTP_FAILED_LOCAL, .content_length = -1};
    size_t row = r->rows, text = strlen(name->region) + strlen(name->target);

    if (row == BATCH_ROWS_MAX || (row > 0 && r->text + text > HTTP_ROWS_TEXT_MAX))
        return PROBER_ERR_FULL;
    put_measured(r, row, result->reason == HTTP_FAILED_LOCAL ? &nothing : result);
    r->reason[row] = result->reason;
    r->unsent_late[row] = unsent_late;
    r->ended_boot_ns[row] = ended_boot_ns;
    r->names[row] = target_name_get(name);
    r->totals.by_reason[result->reason]++;
    r->totals.unsent_late += unsent_late;
    r->text += text;
    r->rows++;
    return PROBER_OK;
}

size_t http_rows_count(const struct http_rows *r)
{
    return r->rows;
}

static enum prober_error make_batch(const struct http_rows *r, struct batch **out)
{
#define COLUMN(type, name)                                                                         \
    {offsetof(struct batch, http.name), r->name, r->rows * sizeof(type), false},
    const struct batch_column columns[] = {WIRE_HTTP_COLUMNS(COLUMN)};
#undef COLUMN

    return batch_create(out, r->names, r->rows, columns, ARRAY_LEN(columns));
}

static uint64_t set_ages(struct http_rows *r)
{
    uint64_t last = 0;

    for (size_t i = 0; i < r->rows; i++)
        if (r->ended_boot_ns[i] > last)
            last = r->ended_boot_ns[i];
    for (size_t i = 0; i < r->rows; i++)
        r->age_ns[i] = last - r->ended_boot_ns[i];
    return last;
}

static void empty(struct http_rows *r, bool put_names)
{
    for (size_t i = 0; put_names && i < r->rows; i++)
        target_name_put(r->names[i]);
    r->rows = r->text = 0;
    r->totals = (struct http_totals){0};
}

enum prober_error http_rows_close(struct http_rows *r, uint64_t interval_ns, struct batch **out)
{
    struct batch *batch;
    uint64_t ended_boot_ns = set_ages(r);

    *out = NULL;
    if (r->rows == 0)
        return PROBER_OK;
    if (make_batch(r, &batch)) {
        empty(r, true);
        return PROBER_ERR_NOMEM;
    }
    batch->kind = WIRE_KIND_HTTP;
    batch->window_ns = interval_ns;
    batch->ended_boot_ns = ended_boot_ns;
    batch->totals.http = r->totals;
    empty(r, false); /* the batch has the references to the names now */
    *out = batch;
    return PROBER_OK;
}

void http_rows_destroy(struct http_rows *r)
{
    if (!r)
        return;
    empty(r, true);
    free(r);
}
