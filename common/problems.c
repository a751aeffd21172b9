#include "common/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"
#include "common/utf8.h"

#define MESSAGE_MAX 1024

struct problems {
    char *texts[PROBLEMS_MAX]; /* owned; NULL where memory was short */
    size_t count;              /* of all, also those not kept */
};

enum prober_error problems_create(struct problems **out)
{
    struct problems *p = calloc(1, sizeof(*p));

    if (!p)
        return PROBER_ERR_NOMEM;
    *out = p;
    return PROBER_OK;
}

void problems_add(struct problems *p, const char *file, int line, const char *key,
                  const char *format, ...)
{
    struct strbuf text = STRBUF_INIT;
    char message[MESSAGE_MAX];
    va_list args;

    if (p->count++ >= PROBLEMS_MAX)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (file)
        utf8_put_escaped(&text, file, strlen(file));
    if (line > 0)
        strbuf_printf(&text, "%s%d", text.len ? ":" : "line ", line);
    if (key && *key) {
        strbuf_puts(&text, text.len ? ":" : "");
        utf8_put_escaped(&text, key, strnlen(key, MESSAGE_MAX));
    }
    strbuf_puts(&text, text.len ? ": " : "");
    utf8_put_escaped(&text, message, strlen(message));
    p->texts[p->count - 1] = strbuf_take(&text, NULL);
}

size_t problems_count(const struct problems *p)
{
    return p->count;
}

const char *problems_text(const struct problems *p, size_t i)
{
    return p->texts[i] ? p->texts[i] : prober_error_text(PROBER_ERR_NOMEM);
}

enum prober_error problems_failure(const struct problems *p, struct prober_failure *why)
{
    if (p->count == 0)
        return PROBER_OK;
    if (p->count == 1)
        return prober_fail(why, PROBER_ERR_SYNTAX, "%s", problems_text(p, 0));
    return prober_fail(why, PROBER_ERR_SYNTAX, "%.450s (and %zu more)", problems_text(p, 0),
                       p->count - 1);
}

void problems_destroy(struct problems *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < PROBLEMS_MAX; i++)
        free(p->texts[i]);
    free(p);
}
