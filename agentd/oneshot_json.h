/*
 * oneshot_json - the JSON and text that one-shot commands print, on lines that are safe to show.
 *
 * Purpose    Written as it comes, without a tree. Commas are put where they are needed, so values
 *            follow one another: oneshot_json_key, then a value. strbuf_put_* write numbers.
 * Threads    Values; pure functions.
 */
#ifndef AGENTD_ONESHOT_JSON_H
#define AGENTD_ONESHOT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/strbuf.h"

/* Appends a comma, unless an object or array was just opened. */
void oneshot_json_comma(struct strbuf *out);
/* The same, and the key with its colon. */
void oneshot_json_key(struct strbuf *out, const char *key);

/* Append text[len] as a string: what is no UTF-8 becomes U+FFFD, as does NUL, which many readers refuse;
 * what could forge a line or turn a terminal's text around is escaped. */
void oneshot_json_put_text(struct strbuf *out, const char *text, size_t len);
/* "…", null for NULL. */
void oneshot_json_put_string(struct strbuf *out, const char *text);
void oneshot_json_put_bool(struct strbuf *out, bool value);
/* The address, null for none. */
void oneshot_json_put_address(struct strbuf *out, const struct prober_addr *address);
/* A key with its value. */
void oneshot_json_add_string(struct strbuf *out, const char *key, const char *text);
void oneshot_json_add_count(struct strbuf *out, const char *key, uint64_t value);
/* null unless `is_known`. */
void oneshot_json_add_number(struct strbuf *out, const char *key, bool is_known, int64_t value);
/* Nanoseconds, as seconds. */
void oneshot_json_add_seconds(struct strbuf *out, const char *key, uint64_t ns);

/* Appends text of others to a line for people: what could forge one becomes '?'. */
void oneshot_text_put(struct strbuf *out, const char *text);

#endif
