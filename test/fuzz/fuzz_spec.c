/*
 * fuzz_spec - probe files: what is taken keeps to the bounds that spec.h promises, and an http block
 * that is written reads back alike.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_http(const struct http_spec *http)
{
    struct strbuf first = STRBUF_INIT, second = STRBUF_INIT;
    struct http_spec *again = NULL;
    struct problems *problems = NULL;

    http_spec_put(&second, http, false);
    strbuf_clear(&second);
    http_spec_put(&first, http, true);
    if (problems_create(&problems) || !strbuf_ok(&first))
        abort();
    if (http_spec_read_text(&again, "h", first.bytes, first.len, problems))
        abort();
    http_spec_put(&second, again, true);
    if (first.len != second.len || memcmp(first.bytes, second.bytes, first.len) != 0)
        abort();
    if (http_spec_is_confidential(http) != http_spec_is_confidential(again))
        abort();
    http_spec_destroy(again);
    problems_destroy(problems);
    strbuf_free(&first);
    strbuf_free(&second);
}

static void check_entry(const struct probe_entry *entry)
{
    const struct icmp_spec *icmp = &entry->icmp;

    if (strlen(entry->region) > PROBE_SPEC_REGION_MAX ||
        entry->target_count + entry->list_count == 0 || (unsigned)entry->kind >= PROBE_KIND_COUNT)
        abort();
    for (size_t i = 0; i < entry->target_count; i++)
        if (!*entry->targets[i] || strlen(entry->targets[i]) > PROBE_SPEC_TARGET_MAX)
            abort();
    if (icmp->payload_size < ICMP_SPEC_PAYLOAD_MIN || icmp->payload_size > ICMP_SPEC_PAYLOAD_MAX ||
        icmp->packet_count < 1 || icmp->packet_count > ICMP_SPEC_COUNT_MAX)
        abort();
    if ((entry->kind == PROBE_HTTP) != (entry->http != NULL))
        abort();
    if (entry->http)
        check_http(entry->http);
    probe_entry_takes_source(entry, entry->region);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct probe_spec *spec = NULL;
    struct problems *problems = NULL;
    struct strbuf dump = STRBUF_INIT;

    if (problems_create(&problems))
        return 0;
    if (probe_spec_read_text(&spec, "f", (const char *)data, size, problems) == PROBER_OK) {
        for (size_t i = 0; i < spec->count; i++)
            check_entry(&spec->entries[i]);
        probe_spec_put(&dump, spec);
        if (!strbuf_ok(&dump))
            abort();
    }
    strbuf_free(&dump);
    probe_spec_destroy(spec);
    problems_destroy(problems);
    return 0;
}
