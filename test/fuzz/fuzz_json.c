/*
 * fuzz_json - JSON: what is taken can be printed, and what is printed is taken and printed alike.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct json *value)
{
    double number;
    uint64_t whole;
    bool truth;

    json_string(value);
    json_number(value, &number);
    json_u64(value, &whole);
    json_bool(value, &truth);
    for (const struct json *m = json_first(value); m; m = json_next(m)) {
        if (json_is_object(value) && json_get(value, json_name(m)) != m)
            abort();
        walk(m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *value = NULL, *again = NULL;
    char *first, *second;

    if (json_parse(&value, (const char *)data, size, NULL))
        return 0;
    walk(value);
    first = json_print(value, size % 2);
    if (!first || json_parse(&again, first, strlen(first), NULL))
        abort();
    second = json_print(again, size % 2);
    if (!second || strcmp(first, second) != 0)
        abort();
    free(first);
    free(second);
    json_free(value);
    json_free(again);
    return 0;
}
