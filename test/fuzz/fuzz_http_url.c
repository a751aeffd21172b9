/*
 * fuzz_http_url - a target, and on further lines the locations that it redirects to. What is read
 * must hold no byte that could break a request line, and must read back as the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/http_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct http_url *u)
{
    struct strbuf text = STRBUF_INIT;
    struct http_url again;
    enum prober_error err;

    if (u->path[0] != '/' || u->port == 0 || u->host[0] == 0)
        abort();
    for (const char *c = u->path; *c; c++)
        if (*c <= ' ' || *c == 0x7f)
            abort();
    http_url_put(&text, u);
    err = http_url_parse(text.bytes, &again, NULL);
    if (err && err != PROBER_ERR_RANGE)
        abort();
    if (!err && (strcmp(again.path, u->path) != 0 || again.port != u->port || again.tls != u->tls))
        abort();
    strbuf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text, *line;
    struct http_url url, next;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    line = strsep(&rest, "\n");
    if (http_url_parse(line, &url, NULL) == PROBER_OK) {
        check(&url);
        while ((line = strsep(&rest, "\n")) &&
               http_url_resolve(&url, line, &next, NULL) == PROBER_OK) {
            check(&next);
            url = next;
        }
    }
    free(text);
    return 0;
}
