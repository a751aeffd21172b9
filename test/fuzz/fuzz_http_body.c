/*
 * fuzz_http_body - coded bodies. The first byte picks the coding, the second the size of the pieces
 * that it comes in; both must decode alike whole and in pieces, and within the limit.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libprober/http_body.h"

#define LIMIT 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_body *decode(enum compress_coding coding, const uint8_t *data, size_t size,
                                size_t step)
{
    const struct http_body_config config = {coding, LIMIT, true, 0};
    struct http_body *b;

    if (http_body_create(&b, &config))
        abort();
    for (size_t i = 0; i < size; i += step)
        http_body_feed(b, data + i, step < size - i ? step : size - i);
    if (http_body_decoded(b) > LIMIT)
        abort();
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_body *whole, *parts;
    const char *a, *b;
    size_t a_len, b_len;

    if (size < 3)
        return 0;
    whole = decode(data[0] % 4, data + 2, size - 2, size);
    parts = decode(data[0] % 4, data + 2, size - 2, data[1] + 1u);
    if (http_body_end(whole) != http_body_end(parts))
        abort();
    a = http_body_text(whole, &a_len);
    b = http_body_text(parts, &b_len);
    if (!http_body_end(whole) && (a_len != b_len || memcmp(a, b, a_len) != 0))
        abort();
    http_body_destroy(whole);
    http_body_destroy(parts);
    return 0;
}
