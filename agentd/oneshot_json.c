#include "agentd/oneshot_json.h"

#include <string.h>

#include "common/utf8.h"

void oneshot_json_comma(struct strbuf *out)
{
    if (out->len > 0 && !strchr("{[\n", out->bytes[out->len - 1]))
        strbuf_putc(out, ',');
}

void oneshot_json_key(struct strbuf *out, const char *key)
{
    oneshot_json_comma(out);
    oneshot_json_put_string(out, key);
    strbuf_putc(out, ':');
}

/* JSON text must be UTF-8 (RFC 8259). */
void oneshot_json_put_text(struct strbuf *out, const char *text, size_t len)
{
    uint32_t rune;

    strbuf_putc(out, '"');
    for (size_t n; len > 0; text += n, len -= n) {
        n = utf8_decode(text, len, &rune);
        if (n == 0 || rune == 0) {
            strbuf_puts(out, "\\ufffd");
            n = 1;
        } else if (!utf8_is_shown_safely(rune)) {
            strbuf_printf(out, "\\u%04x", rune);
        } else {
            if (rune == '"' || rune == '\\')
                strbuf_putc(out, '\\');
            strbuf_put(out, text, n);
        }
    }
    strbuf_putc(out, '"');
}

void oneshot_json_put_string(struct strbuf *out, const char *text)
{
    if (text)
        oneshot_json_put_text(out, text, strlen(text));
    else
        strbuf_puts(out, "null");
}

void oneshot_json_put_bool(struct strbuf *out, bool value)
{
    strbuf_puts(out, value ? "true" : "false");
}

void oneshot_json_put_address(struct strbuf *out, const struct prober_addr *address)
{
    char text[PROBER_ADDR_TEXT_MAX];

    if (address->family == PROBER_FAMILY_NONE)
        strbuf_puts(out, "null");
    else
        oneshot_json_put_string(out, prober_addr_format(address, text));
}

void oneshot_json_add_string(struct strbuf *out, const char *key, const char *text)
{
    oneshot_json_key(out, key);
    oneshot_json_put_string(out, text);
}

void oneshot_json_add_count(struct strbuf *out, const char *key, uint64_t value)
{
    oneshot_json_key(out, key);
    strbuf_put_u64(out, value);
}

void oneshot_json_add_number(struct strbuf *out, const char *key, bool is_known, int64_t value)
{
    oneshot_json_key(out, key);
    if (is_known)
        strbuf_put_i64(out, value);
    else
        strbuf_puts(out, "null");
}

void oneshot_json_add_seconds(struct strbuf *out, const char *key, uint64_t ns)
{
    oneshot_json_key(out, key);
    strbuf_put_seconds(out, ns);
}

void oneshot_text_put(struct strbuf *out, const char *text)
{
    size_t len = strlen(text);
    uint32_t rune;

    for (size_t n; len > 0; text += n, len -= n) {
        n = utf8_decode(text, len, &rune);
        if (n == 0 || !utf8_is_shown_safely(rune)) {
            n = n ? n : 1;
            strbuf_putc(out, '?');
        } else {
            strbuf_put(out, text, n);
        }
    }
}
