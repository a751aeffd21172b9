/*
 * fuzz_tokens - files of tokens, as -server.http.tokens takes them.
 */
#include <stdlib.h>
#include <string.h>

#include "serverd/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct problems *problems = NULL;
    struct token_set *set = NULL;
    struct token_owner owner;

    if (!text || problems_create(&problems))
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (tokens_read_text(&set, "tokens", text, size, problems) == PROBER_OK) {
        if (tokens_find(set, "", 0, 0, &owner) != TOKEN_UNKNOWN) /* no file makes that one good */
            abort();
        tokens_find(set, (const char *)data, size, UINT64_C(1700000000000000000), &owner);
    } else if (problems_count(problems) == 0) {
        abort(); /* a refusal says why */
    }
    for (size_t i = 0; i < size; i++)
        if (text[i])
            abort(); /* a secret is left in memory */
    tokens_free(set);
    problems_destroy(problems);
    free(text);
    return 0;
}
