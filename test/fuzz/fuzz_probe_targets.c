/*
 * fuzz_probe_targets - lists of targets for one-shot probes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/probe_targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct probe_targets targets = {0};
    char *text = malloc(size + 1);
    enum prober_error err;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    err = probe_targets_take_text(&targets, "list", text, size, NULL);
    for (size_t i = 0; i < targets.count; i++)
        if (!targets.list[i].name[0] || strpbrk(targets.list[i].name, " \t\r\n#"))
            abort();
    if (err && err != PROBER_ERR_SYNTAX && err != PROBER_ERR_RANGE && err != PROBER_ERR_NOMEM)
        abort();
    probe_targets_free(&targets);
    return 0;
}
