/*
 * fuzz_task_select - operators, regions and what names of files become of them: the input is an
 * operator, a pattern and a region, each ended by a newline.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serverd/task_files.h"
#include "serverd/task_select.h"

#define INPUT_MAX 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *region, const char *address)
{
    struct strbuf name = STRBUF_INIT;

    task_files_name(&name, region, address, UINT64_C(1700000000000000000));
    if (!strbuf_ok(&name) || name.len > 210 || strlen(name.bytes) != name.len ||
        strchr(name.bytes, '/') || strchr(name.bytes, '\n') || name.bytes[0] == '.')
        abort();
    strbuf_free(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct prober_failure why = {.text = ""};
    struct task_select *select = NULL;
    char *text = malloc(size + 1), *at = text, *parts[3];
    static char none[] = "";
    bool failed = false;

    if (!text || size > INPUT_MAX) {
        free(text);
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    for (int i = 0; i < 3; i++) {
        parts[i] = at ? strsep(&at, i < 2 ? "\n" : "") : none;
        if (!parts[i])
            parts[i] = none;
    }
    if (task_select_create(&select, parts[1], parts[0], &why)) {
        if (!why.text[0] || select)
            abort();
    } else {
        task_select_has(select, parts[2], &failed);
    }
    task_select_destroy(select);
    check_name(parts[2], parts[1]);
    free(text);
    return 0;
}
