/*
 * fuzz_region - answers of metadata services. The first byte picks the provider.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/region.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[WIRE_REGION_MAX + 1];

    if (size == 0)
        return 0;
    if (region_read_answer(data[0] % 8, (const char *)data + 1, size - 1, name) == PROBER_OK &&
        !wire_name_is_valid(name, WIRE_REGION_MAX))
        abort();
    return 0;
}
