#include "libprober/spec.h"

#include <string.h>

#include "common/duration.h"
#include "common/json.h"
#include "libprober/http_url.h"

#define BLOCK_INDENT 4

void probe_target_put(struct strbuf *out, enum probe_kind kind, const char *target)
{
    struct http_url url;

    if (kind != PROBE_HTTP || !strchr(target, '@'))
        strbuf_puts(out, target);
    else if (http_url_parse(target, &url, NULL))
        strbuf_puts(out, HTTP_SPEC_SECRET_MASK);
    else if (url.has_user)
        http_url_put(out, &url);
    else
        strbuf_puts(out, target);
}

static void put_text(struct strbuf *out, const char *key, const char *text)
{
    strbuf_puts(out, key);
    json_put_string(out, text, strlen(text));
    strbuf_putc(out, '\n');
}

static void put_duration(struct strbuf *out, const char *key, uint64_t ns)
{
    char text[DURATION_TEXT_MAX];

    if (ns)
        strbuf_printf(out, "%s%s\n", key, duration_format(ns, text));
}

static void put_icmp(struct strbuf *out, const struct icmp_spec *icmp)
{
    strbuf_printf(out, "  icmp:\n    payload_size: %u\n    packet_count: %u\n", icmp->payload_size,
                  icmp->packet_count);
    put_duration(out, "    interval: ", icmp->interval_ns);
    put_duration(out, "    timeout: ", icmp->timeout_ns);
    strbuf_printf(out, "    preferred_ip_protocol: %s\n",
                  icmp->family == PROBER_FAMILY_IPV6 ? "ip6" : "ip4");
}

static void put_targets(struct strbuf *out, const struct probe_entry *entry)
{
    struct strbuf shown = STRBUF_INIT;

    if (entry->target_count)
        strbuf_puts(out, "  targets:\n");
    for (size_t i = 0; i < entry->target_count; i++) {
        strbuf_clear(&shown);
        probe_target_put(&shown, entry->kind, entry->targets[i]);
        if (strbuf_ok(&shown))
            put_text(out, "  - ", shown.bytes);
        else
            out->failed = true;
    }
    strbuf_free(&shown);
}

static void put_lists(struct strbuf *out, const struct probe_entry *entry,
                      enum target_source_kind kind)
{
    bool first = true;

    for (size_t i = 0; i < entry->list_count; i++) {
        if (entry->lists[i]->kind != kind)
            continue;
        if (first)
            strbuf_printf(out, "  %s:\n", target_source_key(kind));
        first = false;
        strbuf_puts(out, "  - ");
        target_source_write(out, entry->lists[i]);
        strbuf_putc(out, '\n');
    }
}

static void put_entry(struct strbuf *out, const struct probe_entry *entry)
{
    strbuf_printf(out, "- prober_type: %s\n", probe_kind_name(entry->kind));
    put_text(out, "  name: ", entry->name);
    put_text(out, "  region: ", entry->region);
    if (entry->source_count)
        strbuf_puts(out, "  source_regions:\n");
    for (size_t i = 0; i < entry->source_count; i++)
        put_text(out, "  - ", entry->sources[i].text);
    put_duration(out, "  timeout: ", entry->timeout_ns);
    if (entry->kind == PROBE_ICMP)
        put_icmp(out, &entry->icmp);
    if (entry->http) {
        strbuf_puts(out, "  http: ");
        http_spec_put_whole(out, entry->http, BLOCK_INDENT);
        strbuf_putc(out, '\n');
    }
    put_targets(out, entry);
    for (int kind = 0; kind < TARGET_SOURCE_KIND_COUNT; kind++)
        put_lists(out, entry, (enum target_source_kind)kind);
}

void probe_spec_put(struct strbuf *out, const struct probe_spec *spec)
{
    strbuf_printf(out, "prober_configs:%s\n", spec->count ? "" : " []");
    for (size_t i = 0; i < spec->count; i++)
        put_entry(out, &spec->entries[i]);
}
