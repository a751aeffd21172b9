#include "agentd/task_program.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

enum prober_error task_program_find(const char *name, const char *dirs, char out[TASK_PROGRAM_MAX],
                                    struct prober_failure *why)
{
    if (!name[0] || strchr(name, '/') || name[0] == '.')
        return prober_fail(why, PROBER_ERR_SYNTAX, "'%.60s' is not the name of a program", name);
    for (const char *dir = dirs; *dir;) {
        size_t len = strcspn(dir, ":");
        char path[TASK_PROGRAM_MAX];
        int written = snprintf(path, sizeof(path), "%.*s/%s", (int)len, dir, name);

        if (written > 0 && (size_t)written < sizeof(path) && is_program(path)) {
            strcpy(out, path);
            return PROBER_OK;
        }
        dir += len + (dir[len] == ':');
    }
    return prober_fail(why, PROBER_ERR_NOT_FOUND, "%.60s is not installed on this host (in %.160s)",
                       name, dirs);
}
