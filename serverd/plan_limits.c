#include "serverd/plan_limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/wire.h"
#include "serverd/exposition_http.h"

/* Bounds of what the encoding adds: to a reply, to an entry, to a text. */
#define REPLY_BYTES 2048
#define ENTRY_BYTES 128
#define TEXT_BYTES 5

static size_t block_bytes(const struct probe_entry *e)
{
    struct strbuf block = STRBUF_INIT;
    size_t bytes = 0;

    if (e->http) {
        http_spec_put(&block, e->http, true);
        bytes = strbuf_ok(&block) ? block.len : 0;
    }
    strbuf_free(&block);
    return bytes;
}

static size_t entry_bytes(const struct probe_entry *e, size_t block)
{
    size_t bytes = ENTRY_BYTES + strlen(e->region) + block;

    for (size_t i = 0; i < e->target_count; i++)
        bytes += TEXT_BYTES + strlen(e->targets[i]);
    return bytes;
}

struct checking {
    const struct probe_spec *spec;
    size_t *bytes; /* [spec->count]: of each entry */
    bool probe_self;
    const char *file;
    struct problems *problems;
};

static void check_block(const struct checking *c, size_t i, size_t bytes)
{
    char key[PLAN_LIMITS_KEY_MAX];

    if (bytes <= WIRE_HTTP_BLOCK_MAX)
        return;
    snprintf(key, sizeof(key), "prober_configs[%zu].http", i);
    problems_add(c->problems, c->file, c->spec->entries[i].line, key,
                 "takes %zu bytes as JSON, at most %u can be sent", bytes, WIRE_HTTP_BLOCK_MAX);
}

/* Bytes of the plan of agents in `source`; NULL: in a region that the file does not name. */
static size_t plan_bytes(const struct checking *c, const char *source)
{
    size_t bytes = REPLY_BYTES;

    for (size_t i = 0; i < c->spec->count; i++) {
        const struct probe_entry *e = &c->spec->entries[i];

        if (source ? !probe_entry_takes_source(e, source) : e->source_count != 0)
            continue;
        if (c->probe_self || !source || strcmp(source, e->region) != 0)
            bytes += c->bytes[i];
    }
    return bytes;
}

/* True when it was too much, and was told. */
static bool is_too_much_for(const struct checking *c, const char *source)
{
    size_t bytes = plan_bytes(c, source);

    if (bytes <= WIRE_BYTES_MAX)
        return false;
    problems_add(c->problems, c->file, 0, "prober_configs",
                 "what agents of %s%s%s would have to be sent takes %zu bytes, at most %u can be: "
                 "fewer or shorter targets, or source_regions that spread them",
                 source ? "region '" : "any region", source ? source : "", source ? "'" : "", bytes,
                 WIRE_BYTES_MAX);
    return true;
}

/* Tells of the first one among the regions that the file names: those of targets, and names in
 * source_regions. */
static void check_named_sources(const struct checking *c)
{
    for (size_t i = 0; i < c->spec->count; i++) {
        const struct probe_entry *e = &c->spec->entries[i];

        if ((i == 0 || strcmp(e->region, e[-1].region) != 0) && is_too_much_for(c, e->region))
            return;
        for (size_t k = 0; k < e->source_count; k++)
            if (!e->sources[k].regex && is_too_much_for(c, e->sources[k].text))
                return;
    }
}

enum prober_error plan_limits_check(const struct probe_spec *spec, const char *file,
                                    bool probe_self, struct problems *problems)
{
    struct checking c = {spec, calloc(spec->count + 1, sizeof(*c.bytes)), probe_self, file,
                         problems};
    size_t all = REPLY_BYTES, before = problems_count(problems);

    if (!c.bytes)
        return PROBER_ERR_NOMEM;
    if (spec->count > WIRE_PLAN_ENTRIES_MAX)
        problems_add(problems, file, 0, "prober_configs", "%zu entries, at most %d can be sent",
                     spec->count, WIRE_PLAN_ENTRIES_MAX);
    for (size_t i = 0; i < spec->count; i++) {
        size_t block = block_bytes(&spec->entries[i]);

        check_block(&c, i, block);
        c.bytes[i] = entry_bytes(&spec->entries[i], block);
        all += c.bytes[i];
    }
    if (all > WIRE_BYTES_MAX && !is_too_much_for(&c, NULL))
        check_named_sources(&c);
    free(c.bytes);
    return problems_count(problems) > before ? PROBER_ERR_RANGE : PROBER_OK;
}

/* ---- series ---- */

static size_t count_takers(const struct probe_entry *e, const struct plan_config *config,
                           const char *const *sources, size_t count)
{
    size_t takers = 0;

    for (size_t i = 0; i < count; i++)
        takers += (config->probe_self || strcmp(sources[i], e->region) != 0) &&
                  probe_entry_takes_source(e, sources[i]);
    if (count > 0)
        return takers;
    for (size_t i = 0; i < e->source_count; i++)
        takers += !e->sources[i].regex;
    return takers ? takers : 1;
}

enum prober_error plan_limits_check_urls(const struct probe_spec *spec, const char *file,
                                         const struct plan_config *config,
                                         const char *const *sources, size_t count,
                                         struct problems *problems)
{
    uint64_t targets = 0, urls = 0;

    for (size_t i = 0; i < spec->count; i++) {
        const struct probe_entry *e = &spec->entries[i];

        if (e->kind != PROBE_HTTP)
            continue;
        targets += e->target_count;
        urls += (uint64_t)e->target_count * count_takers(e, config, sources, count);
    }
    if (config->urls_max == 0 || urls <= config->urls_max)
        return PROBER_OK;
    problems_add(problems, file, 0, "prober_configs",
                 "%" PRIu64 " HTTP targets (source regions: %s%zu) make about %" PRIu64
                 " series, more than -server.http.series.max allows: fewer targets, source_regions "
                 "that spread them, or a greater limit",
                 targets, count ? "" : "at least ", count ? count : 1,
                 urls * EXPOSITION_HTTP_SERIES);
    return PROBER_ERR_RANGE;
}
