/*
 * fuzz_join_token - any bytes as a join token: refused, or written again as they were, but for blanks
 * around them and capitals.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

#include "common/join_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct join_token token;
    struct prober_failure why;
    char text[JOIN_TOKEN_TEXT_MAX];
    const char *word = (const char *)data;
    enum prober_error err = join_token_parse(word, size, &token, &why);

    if (err)
        return 0;
    join_token_format(&token, text);
    for (size_t i = 0; i + JOIN_TOKEN_LEN <= size; i++)
        if (strncasecmp(word + i, text, JOIN_TOKEN_LEN) == 0)
            return 0;
    abort();
}
