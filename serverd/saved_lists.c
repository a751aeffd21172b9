#include "serverd/saved_lists.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/problems.h"
#include "common/siphash.h"

#define NAME_MAX_HERE 32

/* The name of a file must be the same after a restart, so the key is a constant. */
static const struct siphash_key name_key = {UINT64_C(0x6c69737473206f66), 0};

static void name_of(char out[NAME_MAX_HERE], enum probe_kind kind,
                    const struct target_source *source)
{
    const struct siphash_key key = {name_key.k0, (uint64_t)kind};
    uint64_t hash = siphash24(&key, source->id, strlen(source->id));

    snprintf(out, NAME_MAX_HERE, "%016llx.json", (unsigned long long)hash);
}

static void path_of(char out[PATH_MAX], const char *state_dir, const char *name)
{
    snprintf(out, PATH_MAX, "%s/lists/%s", state_dir, name);
}

enum prober_error saved_lists_write(const char *state_dir, enum probe_kind kind,
                                    const struct target_source *source,
                                    const struct target_list *list, struct prober_failure *why)
{
    struct strbuf text = STRBUF_INIT;
    char name[NAME_MAX_HERE], path[PATH_MAX];
    enum prober_error err;

    path_of(path, state_dir, "");
    err = file_make_dir(path, 0700, why);
    if (err)
        return err;
    name_of(name, kind, source);
    path_of(path, state_dir, name);
    target_list_write(&text, list);
    if (strbuf_ok(&text))
        err = file_replace(path, text.bytes, text.len, 0600, why);
    else
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    strbuf_free(&text);
    return err;
}

static enum prober_error read_text(struct target_list **out, enum probe_kind kind, const char *path,
                                   const char *text, size_t len, struct prober_failure *why)
{
    struct problems *problems;
    enum prober_error err = problems_create(&problems);

    if (err)
        return prober_fail(why, err, "out of memory");
    err = target_list_read(out, kind, TARGET_FORMAT_JSON, path, text, len, problems);
    if (err && !problems_failure(problems, why))
        prober_fail(why, err, "%s", prober_error_text(err));
    problems_destroy(problems);
    return err;
}

enum prober_error saved_lists_read(const char *state_dir, enum probe_kind kind,
                                   const struct target_source *source, struct target_list **out,
                                   uint64_t *saved_real_ns, struct prober_failure *why)
{
    char name[NAME_MAX_HERE], path[PATH_MAX], *text;
    struct stat about;
    size_t len;
    enum prober_error err;

    name_of(name, kind, source);
    path_of(path, state_dir, name);
    if (stat(path, &about))
        return prober_fail(why, PROBER_ERR_NOT_FOUND, "nothing was kept");
    err = file_read(path, TARGET_LIST_BYTES_MAX, &text, &len, why);
    if (err)
        return err;
    err = read_text(out, kind, path, text, len, why);
    free(text);
    if (!err)
        *saved_real_ns =
            (uint64_t)about.st_mtim.tv_sec * CLOCK_NS_PER_S + (uint64_t)about.st_mtim.tv_nsec;
    return err;
}

static bool is_kept(const char *name, const struct target_page *pages, size_t count)
{
    char kept[NAME_MAX_HERE];

    for (size_t i = 0; i < count; i++) {
        name_of(kept, pages[i].kind, pages[i].source);
        if (strcmp(name, kept) == 0)
            return true;
    }
    return false;
}

void saved_lists_prune(const char *state_dir, const struct target_page *pages, size_t count)
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *dir;

    path_of(path, state_dir, "");
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (!strstr(entry->d_name, ".json") || is_kept(entry->d_name, pages, count))
            continue;
        path_of(path, state_dir, entry->d_name);
        unlink(path);
    }
    if (dir)
        closedir(dir);
}
