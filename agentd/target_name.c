#include "agentd/target_name.h"

#include <stdlib.h>
#include <string.h>

struct target_name *target_name_create(const char *region, const char *target, bool control)
{
    size_t region_len = strlen(region) + 1, target_len = strlen(target) + 1;
    struct target_name *name = calloc(1, sizeof(*name) + region_len + target_len);

    if (!name)
        return NULL;
    atomic_init(&name->references, 1);
    name->region = memcpy(name + 1, region, region_len);
    name->target = memcpy(name->region + region_len, target, target_len);
    name->control = control;
    return name;
}

struct target_name *target_name_get(struct target_name *name)
{
    atomic_fetch_add(&name->references, 1);
    return name;
}

void target_name_put(struct target_name *name)
{
    if (name && atomic_fetch_sub(&name->references, 1) == 1)
        free(name);
}
