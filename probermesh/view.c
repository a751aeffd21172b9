#include "probermesh/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/array.h"
#include "common/duration.h"
#include "probermesh/table.h"

#define CELL_MAX 96

/* The regions that occur in a mesh, sorted, each once. Texts belong to the JSON. */
struct regions {
    const char **names;
    size_t count;
};

char *view_seconds(double seconds, char out[VIEW_SECONDS_MAX])
{
    static const struct {
        double below, scale;
        const char *unit;
    } scales[] = {{0.0009995, 1e6, "us"}, {0.9995, 1e3, "ms"}, {1e300, 1, "s"}};
    size_t i = 0;
    double value;

    while (seconds >= scales[i].below)
        i++;
    value = seconds * scales[i].scale;
    snprintf(out, VIEW_SECONDS_MAX, "%.*f %s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value,
             scales[i].unit);
    return out;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum prober_error collect_regions(const struct json *pairs, struct regions *out)
{
    size_t count = 0, kept = 0;
    const char **names = calloc(json_count(pairs) * 2 + 1, sizeof(*names));

    if (!names)
        return PROBER_ERR_NOMEM;
    for (const struct json *pair = json_first(pairs); pair; pair = json_next(pair), count += 2) {
        names[count] = json_string(json_get(pair, "source"));
        names[count + 1] = json_string(json_get(pair, "target"));
        if (!names[count] || !names[count + 1]) {
            free(names);
            return PROBER_ERR_PROTOCOL;
        }
    }
    qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0)
            names[kept++] = names[i];
    *out = (struct regions){names, kept};
    return PROBER_OK;
}

static size_t find_region(const struct regions *regions, const char *name)
{
    const char **found =
        bsearch(&name, regions->names, regions->count, sizeof(name), compare_names);

    return (size_t)(found - regions->names);
}

static bool number(const struct json *object, const char *key, double *out)
{
    return json_number(json_get(object, key), out) == PROBER_OK;
}

static enum table_colour loss_colour(double ratio)
{
    static const struct {
        double below;
        enum table_colour colour;
    } steps[] = {{0.01, TABLE_GREEN}, {0.05, TABLE_YELLOW}, {0.2, TABLE_ORANGE}};

    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (ratio < steps[i].below)
            return steps[i].colour;
    return TABLE_RED;
}

static void add_cell(struct table *table, const struct json *pair)
{
    char text[CELL_MAX], rtt[VIEW_SECONDS_MAX];
    double loss, mean;

    if (!pair || !number(pair, "loss_ratio", &loss)) {
        double unsent = 0, unknown = 0;

        number(pair, "unsent", &unsent);
        number(pair, "unknown", &unknown);
        table_add(table, unsent > 0 ? "not sent" : unknown > 0 ? "unknown" : pair ? "-" : "",
                  unsent > 0 || unknown > 0 ? TABLE_YELLOW : TABLE_DIM);
        return;
    }
    if (number(pair, "mean", &mean))
        snprintf(text, sizeof(text), "%.3g%% %s", loss * 100, view_seconds(mean, rtt));
    else
        snprintf(text, sizeof(text), "%.3g%% lost", loss * 100);
    table_add(table, text, loss_colour(loss));
}

static enum prober_error fill_matrix(const struct json *pairs, const struct regions *regions,
                                     struct table *table)
{
    size_t n = regions->count;
    const struct json **grid = calloc(n * n + 1, sizeof(struct json *));

    if (!grid)
        return PROBER_ERR_NOMEM;
    for (const struct json *pair = json_first(pairs); pair; pair = json_next(pair))
        grid[find_region(regions, json_string(json_get(pair, "source"))) * n +
             find_region(regions, json_string(json_get(pair, "target")))] = pair;
    table_add(table, "from \\ to", TABLE_DIM);
    for (size_t i = 0; i < n; i++)
        table_add(table, regions->names[i], TABLE_BOLD);
    for (size_t row = 0; row < n; row++) {
        table_add(table, regions->names[row], TABLE_BOLD);
        for (size_t column = 0; column < n; column++)
            add_cell(table, grid[row * n + column]);
    }
    free(grid);
    return PROBER_OK;
}

static enum prober_error not_an_answer(const char *what, struct prober_failure *why)
{
    return prober_fail(why, PROBER_ERR_PROTOCOL,
                       "the server's answer has no list of %s: is it a ProberMesh server?", what);
}

enum prober_error view_matrix(const struct json *answer, struct view_style style, struct strbuf *out,
                              struct prober_failure *why)
{
    const struct json *pairs = json_get(answer, "pairs");
    struct regions regions = {0};
    struct table *table = NULL;
    enum prober_error err;

    if (!json_is_array(pairs))
        return not_an_answer("region pairs", why);
    err = collect_regions(pairs, &regions);
    if (err == PROBER_ERR_PROTOCOL)
        return not_an_answer("region pairs", why);
    if (!err)
        err = table_create(&table, regions.count + 1, 1);
    if (!err)
        err = fill_matrix(pairs, &regions, table);
    if (!err && regions.count == 0)
        strbuf_puts(out, "no region pairs yet: they appear when agents of two regions have joined\n");
    else if (!err && !table_print(table, style.width, style.colour, out))
        err = PROBER_ERR_NOMEM;
    if (err)
        prober_fail(why, err, "%s", prober_error_text(err));
    table_destroy(table);
    free(regions.names);
    return err;
}

/* A column of a list: where the value is, and how it is shown. */
struct column {
    const char *title, *key;
    void (*add)(struct table *table, const struct json *row, const char *key);
};

static void add_text(struct table *table, const struct json *row, const char *key)
{
    const char *text = json_string(json_get(row, key));

    table_add(table, text ? text : "-", TABLE_PLAIN);
}

static void add_count(struct table *table, const struct json *row, const char *key)
{
    char text[CELL_MAX] = "-";
    uint64_t value;

    if (!json_u64(json_get(row, key), &value))
        snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    table_add(table, text, TABLE_PLAIN);
}

static void add_seconds(struct table *table, const struct json *row, const char *key)
{
    char text[VIEW_SECONDS_MAX];
    double value;

    table_add(table, number(row, key, &value) ? view_seconds(value, text) : "-", TABLE_PLAIN);
}

static void add_loss(struct table *table, const struct json *row, const char *key)
{
    char text[CELL_MAX];
    double value;

    if (!number(row, key, &value)) {
        table_add(table, "-", TABLE_DIM);
        return;
    }
    snprintf(text, sizeof(text), "%.3g%%", value * 100);
    table_add(table, text, loss_colour(value));
}

static void add_ago(struct table *table, const struct json *row, const char *key)
{
    char text[DURATION_TEXT_MAX];
    double value;

    if (number(row, key, &value) && value >= 0 && value < 1e9)
        duration_format((uint64_t)value * UINT64_C(1000000000), text);
    else
        strcpy(text, "-");
    table_add(table, text, TABLE_PLAIN);
}

static void add_alive(struct table *table, const struct json *row, const char *key)
{
    bool alive = false;

    json_bool(json_get(row, key), &alive);
    table_add(table, alive ? "alive" : "gone", alive ? TABLE_GREEN : TABLE_RED);
}

static void add_addresses(struct table *table, const struct json *row, const char *key)
{
    const struct json *list = json_get(row, key);
    struct strbuf text = STRBUF_INIT;

    for (size_t i = 0; i < json_count(list); i++) {
        const char *address = json_string(json_at(list, i));

        if (i > 0)
            strbuf_putc(&text, ' ');
        strbuf_puts(&text, address ? address : "?");
    }
    table_add(table, text.len > 0 ? text.bytes : "-", TABLE_PLAIN);
    strbuf_free(&text);
}

static void add_phase(struct table *table, const struct json *row, const char *key)
{
    add_seconds(table, json_get(row, "phases"), key);
}

#define DAY_LEN 10

/* Unix seconds, as the first `len` characters of the time in UTC. */
static void add_time(struct table *table, const struct json *row, const char *key, size_t len)
{
    char text[CELL_MAX] = "-";
    double value;
    struct tm tm;
    time_t at;

    if (number(row, key, &value) && value > 0 && value < 1e12) {
        at = (time_t)value;
        if (gmtime_r(&at, &tm))
            strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ", &tm);
        text[len] = '\0';
    }
    table_add(table, text, TABLE_PLAIN);
}

static void add_day(struct table *table, const struct json *row, const char *key)
{
    add_time(table, row, key, DAY_LEN);
}

static void add_second(struct table *table, const struct json *row, const char *key)
{
    add_time(table, row, key, CELL_MAX - 1);
}

/* What agents say of a URL: how many fail, and the reason that most of them give. */
struct verdict {
    uint64_t agents, failing, most;
    const char *reason;
};

static struct verdict judge(const struct json *url)
{
    const struct json *failed = json_get(url, "failed");
    struct verdict v = {0};

    json_u64(json_get(url, "succeeded"), &v.agents);
    for (size_t i = 0; i < json_count(failed); i++) {
        uint64_t count = 0;

        json_u64(json_at(failed, i), &count);
        v.failing += count;
        if (count > v.most) {
            v.most = count;
            v.reason = json_key(failed, i);
        }
    }
    v.agents += v.failing;
    return v;
}

bool view_url_succeeds(const struct json *url)
{
    struct verdict v = judge(url);

    return v.failing * 2 < v.agents || v.agents == 0;
}

static void add_verdict(struct table *table, const struct json *row, const char *key)
{
    struct verdict v = judge(row);
    char text[CELL_MAX];

    (void)key;
    if (v.agents == 0) {
        table_add(table, "-", TABLE_DIM);
    } else if (v.failing == 0) {
        table_add(table, "ok", TABLE_GREEN);
    } else {
        snprintf(text, sizeof(text), "%s %llu/%llu", v.reason, (unsigned long long)v.failing,
                 (unsigned long long)v.agents);
        table_add(table, text, view_url_succeeds(row) ? TABLE_YELLOW : TABLE_RED);
    }
}

static enum prober_error view_list(const struct json *rows, const struct column *columns, size_t count,
                                   size_t left, struct view_style style, struct strbuf *out,
                                   struct prober_failure *why)
{
    struct table *table;

    if (table_create(&table, count, left))
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        table_add(table, columns[i].title, TABLE_DIM);
    for (const struct json *row = json_first(rows); row; row = json_next(row))
        for (size_t i = 0; i < count; i++)
            columns[i].add(table, row, columns[i].key);
    if (!table_print(table, 0, style.colour, out)) {
        table_destroy(table);
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    }
    table_destroy(table);
    return PROBER_OK;
}

enum prober_error view_pairs(const struct json *answer, struct view_style style, struct strbuf *out,
                             struct prober_failure *why)
{
    static const struct column columns[] = {
        {"SOURCE", "source", add_text},      {"TARGET", "target", add_text},
        {"LOSS", "loss_ratio", add_loss},    {"SENT", "sent", add_count},
        {"RECEIVED", "received", add_count}, {"LOST", "lost", add_count},
        {"UNKNOWN", "unknown", add_count},   {"UNSENT", "unsent", add_count},
        {"MIN", "min", add_seconds},         {"MEAN", "mean", add_seconds},
        {"P50", "p50", add_seconds},         {"P90", "p90", add_seconds},
        {"P99", "p99", add_seconds},         {"MAX", "max", add_seconds},
        {"STDDEV", "stddev", add_seconds},   {"AGE", "age", add_seconds},
    };
    const struct json *pairs = json_get(answer, "pairs");

    if (!json_is_array(pairs))
        return not_an_answer("region pairs", why);
    return view_list(pairs, columns, ARRAY_LEN(columns), 2, style, out, why);
}

enum prober_error view_urls(const struct json *answer, struct view_style style, struct strbuf *out,
                            struct prober_failure *why)
{
    static const struct column columns[] = {
        {"FROM", "source", add_text},        {"REGION", "target_region", add_text},
        {"URL", "target", add_text},         {"STATE", "", add_verdict},
        {"STATUS", "status_code", add_count}, {"TOTAL", "duration", add_seconds},
        {"RESOLVE", "resolve", add_phase},   {"CONNECT", "connect", add_phase},
        {"TLS", "tls", add_phase},           {"PROCESSING", "processing", add_phase},
        {"TRANSFER", "transfer", add_phase}, {"CERTIFICATE", "ssl_earliest_cert_expiry", add_day},
        {"AGE", "age", add_seconds},
    };
    const struct json *urls = json_get(answer, "urls");

    if (!json_is_array(urls))
        return not_an_answer("URLs", why);
    if (json_count(urls) == 0) {
        strbuf_puts(out, "no URLs: the server's probe file (-server.probe.file) names them\n");
        return PROBER_OK;
    }
    return view_list(urls, columns, ARRAY_LEN(columns), 4, style, out, why);
}

enum prober_error view_agents(const struct json *answer, struct view_style style, struct strbuf *out,
                              struct prober_failure *why)
{
    static const struct column columns[] = {
        {"REGION", "region", add_text},         {"STATE", "alive", add_alive},
        {"ADDRESSES", "addresses", add_addresses}, {"VERSION", "version", add_text},
        {"TRUST", "trust", add_text},           {"LINK FROM", "observed_address", add_text},
        {"ID", "id", add_text},                 {"LAST SEEN", "last_seen_age", add_ago},
    };
    const struct json *agents = json_get(answer, "agents");

    if (!json_is_array(agents))
        return not_an_answer("agents", why);
    return view_list(agents, columns, ARRAY_LEN(columns), 7, style, out, why);
}

enum prober_error view_audit(const struct json *answer, struct view_style style, struct strbuf *out,
                             struct prober_failure *why)
{
    static const struct column columns[] = {
        {"TIME", "time", add_second},   {"WHO", "who", add_text},       {"FROM", "client", add_text},
        {"METHOD", "method", add_text}, {"TARGET", "target", add_text}, {"STATUS", "status", add_count},
    };
    const struct json *records = json_get(answer, "records");

    if (!json_is_array(records))
        return not_an_answer("changes", why);
    return view_list(records, columns, ARRAY_LEN(columns), 5, style, out, why);
}
