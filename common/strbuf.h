/*
 * strbuf - a growing string of bytes.
 *
 * Purpose    Building messages, JSON, metrics. Memory failure is sticky: appends after it do
 *            nothing, and strbuf_ok() tells once at the end.
 * Threads    One thread at a time.
 * Ownership  A strbuf owns its bytes until strbuf_free or strbuf_take.
 */
#ifndef COMMON_STRBUF_H
#define COMMON_STRBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf {
    char *bytes; /* NUL-terminated when not NULL */
    size_t len;
    size_t room;
    bool failed;
};

#define STRBUF_INIT                                                                                \
    {                                                                                              \
        NULL, 0, 0, false                                                                          \
    }

/* Makes room for `more` further bytes. */
void strbuf_reserve(struct strbuf *b, size_t more);
void strbuf_put(struct strbuf *b, const void *bytes, size_t len);
void strbuf_puts(struct strbuf *b, const char *text);
void strbuf_putc(struct strbuf *b, char c);
void strbuf_printf(struct strbuf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Decimal digits of an unsigned and a signed integer: fast, no locale. */
void strbuf_put_u64(struct strbuf *b, uint64_t value);
void strbuf_put_i64(struct strbuf *b, int64_t value);
/* The shortest decimal that reads back as the same double, of up to 17 digits; "+Inf", "-Inf",
 * "NaN" as Prometheus writes them. Fast for integers and for values of few decimals. */
void strbuf_put_double(struct strbuf *b, double value);
/* Nanoseconds as seconds, exact ("0.0123", "15"), without floating point. */
void strbuf_put_seconds(struct strbuf *b, uint64_t ns);
/* Empties the buffer and keeps its memory; clears a failure. */
void strbuf_clear(struct strbuf *b);
/* False when an append failed for lack of memory: the content is then incomplete. */
bool strbuf_ok(const struct strbuf *b);
/* Hands the bytes (NUL-terminated, malloc'd) to the caller, stores their length in *len (may be
 * NULL) and empties the buffer. NULL after a failure; "" (not NULL) when empty. */
char *strbuf_take(struct strbuf *b, size_t *len);
void strbuf_free(struct strbuf *b);

#endif
