#include "agentd/probe_http_hops.h"

#include <string.h>
#include <time.h>

#include "agentd/oneshot_json.h"
#include "common/array.h"
#include "libprober/http_engine.h"

static void open_list(struct strbuf *out, const char *key, char bracket)
{
    oneshot_json_key(out, key);
    strbuf_putc(out, bracket);
}

static void put_text_list(struct strbuf *out, const char *key, const struct http_trace_text *first)
{
    open_list(out, key, '[');
    for (const struct http_trace_text *t = first; t; t = t->next) {
        oneshot_json_comma(out);
        oneshot_json_put_string(out, t->text);
    }
    strbuf_putc(out, ']');
}

/* ---- the check that failed ---- */

static void put_codes(struct strbuf *out, const struct http_spec *spec)
{
    open_list(out, "wanted", '[');
    for (size_t i = 0; i < spec->valid_status_codes.count; i++) {
        oneshot_json_comma(out);
        strbuf_put_i64(out, spec->valid_status_codes.items[i]);
    }
    strbuf_puts(out, spec->valid_status_codes.count ? "]" : "\"2xx\"]");
}

static void put_versions(struct strbuf *out, const struct http_spec *spec)
{
    open_list(out, "wanted", '[');
    for (size_t i = 0; i < spec->valid_http_versions.count; i++) {
        oneshot_json_comma(out);
        oneshot_json_put_string(out, spec->valid_http_versions.items[i]);
    }
    strbuf_putc(out, ']');
}

static void put_limit(struct strbuf *out, const struct http_spec *spec)
{
    oneshot_json_add_count(out, "wanted", spec->body_size_limit);
}

static void put_wanted(struct strbuf *out, const char *key, const struct http_spec *spec)
{
    static const struct {
        const char *key;
        void (*put)(struct strbuf *out, const struct http_spec *spec);
    } table[] = {{"valid_status_codes", put_codes},
                 {"valid_http_versions", put_versions},
                 {"body_size_limit", put_limit}};

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strcmp(key, table[i].key) == 0)
            table[i].put(out, spec);
}

static void put_check(struct strbuf *out, const struct http_check *check,
                      const struct http_spec *spec)
{
    oneshot_json_key(out, "failed_check");
    if (!check->key) {
        strbuf_puts(out, "null");
        return;
    }
    strbuf_putc(out, '{');
    oneshot_json_add_string(out, "key", check->key);
    put_wanted(out, check->key, spec);
    if (check->header) {
        oneshot_json_add_string(out, "header", check->header);
        oneshot_json_key(out, "is_missing");
        oneshot_json_put_bool(out, check->is_missing);
    }
    if (check->regexp) {
        oneshot_json_add_count(out, "index", check->index);
        oneshot_json_add_string(out, "regexp", check->regexp);
    }
    strbuf_putc(out, '}');
}

/* ---- hops ---- */

static void put_addresses(struct strbuf *out, const struct resolver_answer *answer)
{
    oneshot_json_key(out, "address");
    oneshot_json_put_address(out, &answer->address);
    open_list(out, "addresses", '[');
    for (size_t i = 0; i < answer->count && i < RESOLVER_SHOWN_MAX; i++) {
        oneshot_json_comma(out);
        oneshot_json_put_address(out, &answer->shown[i]);
    }
    strbuf_putc(out, ']');
    oneshot_json_add_count(out, "dns_answers", answer->count);
}

static void put_phase(struct strbuf *out, enum http_phase phase, bool is_known, uint64_t ns)
{
    if (is_known)
        oneshot_json_add_seconds(out, http_phase_text(phase), ns);
    else
        oneshot_json_add_string(out, http_phase_text(phase), NULL);
}

static void put_phases(struct strbuf *out, const struct http_trace_hop *hop)
{
    const struct http_trace_outcome *o = &hop->outcome;

    open_list(out, "phases", '{');
    put_phase(out, HTTP_PHASE_RESOLVE, hop->is_looked_up, hop->answer.elapsed_ns);
    put_phase(out, HTTP_PHASE_CONNECT, o->connect_ns > 0, o->connect_ns);
    put_phase(out, HTTP_PHASE_TLS, o->tls_ns > 0, o->tls_ns);
    put_phase(out, HTTP_PHASE_PROCESSING, o->processing_ns > 0, o->processing_ns);
    put_phase(out, HTTP_PHASE_TRANSFER, o->processing_ns > 0, o->transfer_ns);
    strbuf_putc(out, '}');
}

static void put_heads(struct strbuf *out, const char *key, const struct http_trace_head *first)
{
    open_list(out, key, '[');
    for (const struct http_trace_head *head = first; head; head = head->next) {
        const struct http_trace_text *line = head->lines.first;

        oneshot_json_comma(out);
        strbuf_putc(out, '{');
        oneshot_json_add_string(out, "line", line ? line->text : NULL);
        put_text_list(out, "headers", line ? line->next : NULL);
        strbuf_putc(out, '}');
    }
    strbuf_putc(out, ']');
}

static void put_date(struct strbuf *out, const char *key, int64_t seconds)
{
    time_t time = (time_t)seconds;
    char text[64] = "";
    struct tm tm;

    if (seconds && gmtime_r(&time, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    oneshot_json_add_string(out, key, text[0] ? text : NULL);
}

static void put_certificate(struct strbuf *out, const struct http_trace_certificate *c)
{
    oneshot_json_comma(out);
    strbuf_putc(out, '{');
    oneshot_json_add_string(out, "subject", c->subject);
    oneshot_json_add_string(out, "issuer", c->issuer);
    put_date(out, "not_before", c->not_before);
    put_date(out, "not_after", c->not_after);
    put_text_list(out, "names", c->names.first);
    oneshot_json_add_string(out, "key", c->key);
    oneshot_json_add_string(out, "signature", c->signature);
    oneshot_json_add_string(out, "serial", c->serial);
    oneshot_json_add_string(out, "sha256", c->sha256);
    strbuf_putc(out, '}');
}

static void put_tls(struct strbuf *out, const char *key, const struct http_trace_tls *tls)
{
    oneshot_json_key(out, key);
    if (!tls) {
        strbuf_puts(out, "null");
        return;
    }
    strbuf_putc(out, '{');
    oneshot_json_add_string(out, "server_name", tls->server_name);
    oneshot_json_add_string(out, "version", tls->version);
    oneshot_json_add_string(out, "cipher", tls->cipher);
    oneshot_json_add_string(out, "alpn", tls->alpn);
    oneshot_json_key(out, "is_verified");
    if (tls->verdict == HTTP_TRACE_UNVERIFIED)
        strbuf_puts(out, "null");
    else
        oneshot_json_put_bool(out, tls->verdict == HTTP_TRACE_TRUSTED);
    oneshot_json_add_string(out, "verify_error", tls->verify_error);
    oneshot_json_add_number(out, "verify_depth", tls->verdict == HTTP_TRACE_REFUSED,
                            tls->verify_depth);
    open_list(out, "certificates", '[');
    for (const struct http_trace_certificate *c = tls->first; c; c = c->next)
        put_certificate(out, c);
    strbuf_puts(out, "]}");
}

static void put_proxy(struct strbuf *out, const struct http_trace_hop *hop)
{
    oneshot_json_key(out, "proxy");
    if (!hop->proxy) {
        strbuf_puts(out, "null");
        return;
    }
    strbuf_putc(out, '{');
    oneshot_json_add_string(out, "host", hop->proxy);
    oneshot_json_key(out, "address");
    oneshot_json_put_address(out, &hop->proxy_address);
    put_tls(out, "tls", hop->proxy_tls);
    strbuf_putc(out, '}');
}

static void put_hop(struct strbuf *out, const struct http_trace_hop *hop)
{
    const struct http_trace_outcome *o = &hop->outcome;

    oneshot_json_comma(out);
    strbuf_putc(out, '{');
    oneshot_json_add_string(out, "url", hop->url);
    oneshot_json_add_seconds(out, "began", hop->began_ns);
    put_addresses(out, &hop->answer);
    put_proxy(out, hop);
    oneshot_json_add_string(out, "local_address", o->local);
    put_phases(out, hop);
    put_tls(out, "tls", hop->tls);
    put_heads(out, "requests", hop->requests.first);
    put_heads(out, "responses", hop->responses.first);
    oneshot_json_add_count(out, "received_bytes", o->body_received);
    oneshot_json_add_count(out, "body_bytes", o->body_decoded);
    oneshot_json_key(out, "body");
    oneshot_json_put_text(out, o->body ? o->body : "", o->body_len);
    oneshot_json_add_string(out, "failure", http_reason_text(hop->failure));
    oneshot_json_add_string(out, "error", hop->error);
    strbuf_putc(out, '}');
}

void probe_http_hops_put(struct strbuf *out, const struct http_trace *trace,
                         const struct http_spec *spec)
{
    put_check(out, &trace->check, spec);
    open_list(out, "hops", '[');
    for (const struct http_trace_hop *hop = trace->first; hop; hop = hop->next)
        put_hop(out, hop);
    strbuf_putc(out, ']');
    if (trace->is_cut) {
        oneshot_json_key(out, "is_cut");
        oneshot_json_put_bool(out, true);
    }
}
