#include "agentd/probe_http_output.h"

#include <string.h>
#include <time.h>

#include "agentd/oneshot_json.h"
#include "agentd/probe_http_hops.h"
#include "libprober/spec.h"

static void put_target(struct strbuf *out, const char *target)
{
    struct strbuf shown = STRBUF_INIT;

    probe_target_put(&shown, PROBE_HTTP, target);
    if (strbuf_ok(&shown))
        oneshot_json_add_string(out, "target", shown.len ? shown.bytes : "");
    else
        out->failed = true;
    strbuf_free(&shown);
}

/* "1.1" of "HTTP/1.1", and "2" of "HTTP/2.0", as people call it. */
static void put_version(struct strbuf *out, const char *version)
{
    const char *number = strchr(version, '/');

    oneshot_json_key(out, "http_version");
    number = number ? number + 1 : version;
    if (strcmp(number, "2.0") == 0)
        number = "2";
    oneshot_json_put_string(out, *version ? number : NULL);
}

static void put_phases(struct strbuf *out, const struct http_result *r)
{
    oneshot_json_key(out, "phases");
    strbuf_putc(out, '{');
    for (enum http_phase phase = 0; phase < HTTP_PHASE_COUNT; phase++) {
        if (phase == HTTP_PHASE_RESOLVE && r->is_resolve_skipped)
            oneshot_json_add_string(out, http_phase_text(phase), NULL);
        else
            oneshot_json_add_seconds(out, http_phase_text(phase), r->phases_ns[phase]);
    }
    strbuf_putc(out, '}');
}

void probe_http_output_put(struct strbuf *out, const char *target, const struct http_result *r,
                           const struct http_trace *trace, const struct http_spec *spec)
{
    bool is_answered = r->status != 0;

    strbuf_putc(out, '{');
    put_target(out, target);
    oneshot_json_key(out, "success");
    oneshot_json_put_bool(out, r->reason == HTTP_SUCCEEDED);
    oneshot_json_add_string(out, "failed_reason", http_reason_text(r->reason));
    oneshot_json_add_number(out, "status_code", is_answered, r->status);
    put_version(out, r->version);
    put_phases(out, r);
    oneshot_json_add_seconds(out, "duration", r->duration_ns);
    oneshot_json_add_number(out, "ssl_earliest_cert_expiry", r->earliest_cert_expiry != 0,
                            r->earliest_cert_expiry);
    oneshot_json_add_number(out, "last_chain_expiry", r->last_chain_expiry != 0,
                            r->last_chain_expiry);
    oneshot_json_add_count(out, "redirects", r->redirects);
    oneshot_json_add_string(out, "tls_version", r->tls_version);
    oneshot_json_key(out, "address");
    oneshot_json_put_address(out, &r->address);
    oneshot_json_add_count(out, "dns_answers", r->dns_answers);
    oneshot_json_add_number(out, "content_length", r->content_length >= 0, r->content_length);
    oneshot_json_add_number(out, "body_bytes", is_answered, (int64_t)r->body_decoded);
    oneshot_json_add_number(out, "received_bytes", is_answered, (int64_t)r->body_received);
    oneshot_json_add_string(out, "error", trace && trace->error ? trace->error : r->trouble);
    if (trace)
        probe_http_hops_put(out, trace, spec);
    strbuf_puts(out, "}\n");
}

/* ---- text ---- */

#define NS_PER_MS 1e6

static void put_verdict_text(struct strbuf *out, const struct http_result *r)
{
    if (r->status)
        strbuf_printf(out, "%d %s, ", r->status, r->version);
    if (r->reason == HTTP_SUCCEEDED)
        strbuf_puts(out, "success");
    else
        strbuf_printf(out, "failed: %s", http_reason_text(r->reason));
    strbuf_printf(out, ", %.1f ms", (double)r->duration_ns / NS_PER_MS);
    if (r->redirects)
        strbuf_printf(out, ", %u redirects", r->redirects);
    strbuf_putc(out, '\n');
}

static void put_way_text(struct strbuf *out, const struct http_result *r)
{
    char address[PROBER_ADDR_TEXT_MAX], day[32] = "";
    time_t expiry = (time_t)r->earliest_cert_expiry;
    struct tm tm;

    if (!r->address.family)
        return;
    strbuf_printf(out, "  address %s", prober_addr_format(&r->address, address));
    if (r->tls_version)
        strbuf_printf(out, ", %s", r->tls_version);
    if (expiry && gmtime_r(&expiry, &tm) && strftime(day, sizeof(day), "%Y-%m-%d %H:%M UTC", &tm))
        strbuf_printf(out, ", certificates until %s", day);
    strbuf_putc(out, '\n');
}

static void put_phases_text(struct strbuf *out, const struct http_result *r)
{
    strbuf_puts(out, " ");
    for (enum http_phase phase = 0; phase < HTTP_PHASE_COUNT; phase++)
        strbuf_printf(out, "%s %s %.1f", phase ? "," : "", http_phase_text(phase),
                      (double)r->phases_ns[phase] / NS_PER_MS);
    strbuf_puts(out, " ms");
    if (r->status)
        strbuf_printf(out, "; %llu bytes", (unsigned long long)r->body_decoded);
    strbuf_putc(out, '\n');
}

void probe_http_output_put_text(struct strbuf *out, const char *target, const struct http_result *r)
{
    struct strbuf shown = STRBUF_INIT;

    probe_target_put(&shown, PROBE_HTTP, target);
    if (!strbuf_ok(&shown))
        out->failed = true;
    else
        oneshot_text_put(out, shown.len ? shown.bytes : "");
    strbuf_free(&shown);
    strbuf_puts(out, ": ");
    put_verdict_text(out, r);
    put_way_text(out, r);
    put_phases_text(out, r);
    if (r->trouble) {
        strbuf_puts(out, "  ");
        oneshot_text_put(out, r->trouble);
        strbuf_putc(out, '\n');
    }
}
