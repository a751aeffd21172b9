#include "serverd/role.h"

#include <string.h>

static const char *const names[ROLE_COUNT] = {
    [ROLE_NONE] = "none",
    [ROLE_SCRAPE] = "scrape",
    [ROLE_READ] = "read",
    [ROLE_OPERATE] = "operate",
    [ROLE_ADMIN] = "admin",
};

const char *role_text(enum role role)
{
    return names[role];
}

bool role_parse(const char *text, enum role *out)
{
    for (int role = ROLE_SCRAPE; role < ROLE_COUNT; role++)
        if (strcmp(text, names[role]) == 0) {
            *out = (enum role)role;
            return true;
        }
    return false;
}
