#include "serverd/target_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/file.h"

/* A file that changed less than this before it was read may change again with the same time stamp. */
#define SETTLED_NS CLOCK_NS_PER_S

/* What tells that a file is as it was. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    uint64_t modified_ns, changed_ns;
};

struct file {
    char *path;
    size_t pattern; /* that found it */
    bool seen;      /* in this scan */
    bool settled;   /* read whole, and `stamp` tells all */
    struct stamp stamp;
    struct target_list *list; /* a reference; NULL: never read */
};

struct target_files {
    enum probe_kind kind;
    struct target_source *source; /* a reference */
    struct file *files;           /* [count] */
    size_t count;
};

/* One look at the files. */
struct scan {
    struct target_files *f;
    struct problems *problems;
    uint64_t now_real_ns;
    size_t pattern;
    bool may_be_missing;
    bool no_memory;
};

enum prober_error target_files_create(struct target_files **out, enum probe_kind kind,
                                      const struct target_source *source)
{
    struct target_files *f = calloc(1, sizeof(*f));

    if (!f)
        return PROBER_ERR_NOMEM;
    f->files = calloc(TARGET_FILES_MAX, sizeof(*f->files));
    if (!f->files) {
        free(f);
        return PROBER_ERR_NOMEM;
    }
    f->kind = kind;
    f->source = target_source_get(source);
    *out = f;
    return PROBER_OK;
}

static void complain(const struct scan *s, const char *path, const char *what)
{
    problems_add(s->problems, path, 0, NULL, "%s", what);
}

static void complain_of_errno(const struct scan *s, const char *path)
{
    if (errno != ENOENT || !s->may_be_missing)
        complain(s, path, strerror(errno));
}

/* ---- one file ---- */

static uint64_t ns_of(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * CLOCK_NS_PER_S + (uint64_t)t->tv_nsec;
}

static struct stamp stamp_of(const struct stat *about)
{
    return (struct stamp){about->st_dev, about->st_ino, about->st_size, ns_of(&about->st_mtim),
                          ns_of(&about->st_ctim)};
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

static enum target_format format_of(const char *path)
{
    const char *ending = strrchr(path, '.');

    return ending && strcasecmp(ending, ".json") == 0 ? TARGET_FORMAT_JSON : TARGET_FORMAT_YAML;
}

static void read_file(struct scan *s, struct file *file, const struct stat *about)
{
    struct stamp stamp = stamp_of(about);
    struct target_list *list = NULL;
    struct prober_failure why;
    char *text = NULL;
    size_t len = 0;
    enum prober_error err;

    if (file->settled && same_stamp(&stamp, &file->stamp))
        return;
    file->settled = false;
    err = file_read(file->path, TARGET_LIST_BYTES_MAX, &text, &len, &why);
    if (err && err != PROBER_ERR_NOMEM)
        complain(s, NULL, why.text);
    if (!err)
        err = target_list_read(&list, s->f->kind, format_of(file->path), file->path, text, len,
                               s->problems);
    free(text);
    s->no_memory = s->no_memory || err == PROBER_ERR_NOMEM;
    if (err)
        return;
    target_list_put(file->list);
    file->list = list;
    file->stamp = stamp;
    file->settled = s->now_real_ns > stamp.changed_ns + SETTLED_NS;
}

static struct file *find_file(struct target_files *f, const char *path)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->files[i].path, path) == 0)
            return &f->files[i];
    return NULL;
}

/* Takes over the path. */
static struct file *know_file(struct scan *s, char *path)
{
    struct target_files *f = s->f;
    struct file *file = find_file(f, path);

    if (!file && f->count < TARGET_FILES_MAX) {
        file = &f->files[f->count++];
        *file = (struct file){.path = path};
        path = NULL;
    }
    free(path);
    if (file && !file->seen)
        file->pattern = s->pattern;
    return file;
}

/* Takes over the path. */
static void look_at(struct scan *s, char *path)
{
    struct stat about;
    struct file *file;

    if (!path) {
        s->no_memory = true;
        return;
    }
    if (stat(path, &about)) {
        complain_of_errno(s, path);
        free(path);
        return;
    }
    if (!S_ISREG(about.st_mode)) {
        complain(s, path, "no regular file");
        free(path);
        return;
    }
    file = know_file(s, path);
    if (!file) {
        complain(s, s->f->source->shown, "more than 1000 files");
    } else if (!file->seen) {
        file->seen = true;
        read_file(s, file, &about);
    }
}

/* ---- patterns ---- */

char *target_files_dir(const struct target_files *f, size_t i)
{
    char *path = target_source_path(f->source, f->source->files[i]);
    char *slash = path ? strrchr(path, '/') : NULL;

    if (slash)
        slash[1] = '\0';
    else if (path)
        strcpy(path, "."); /* a pattern has more than one byte */
    return path;
}

/* True when `name` is what the last segment of a pattern describes. Hidden files must be named. */
static bool fits(const char *name, const char *segment)
{
    const char *star = strchr(segment, '*');
    size_t before = (size_t)(star - segment), after = strlen(star + 1), len = strlen(name);

    if (name[0] == '.' && segment[0] != '.')
        return false;
    return len >= before + after && memcmp(name, segment, before) == 0 &&
           strcmp(name + len - after, star + 1) == 0;
}

/* What cannot be looked at now goes on listing what it did. */
static void keep_seen(struct scan *s)
{
    for (size_t i = 0; i < s->f->count; i++)
        if (s->f->files[i].pattern == s->pattern)
            s->f->files[i].seen = true;
}

static void look_into_dir(struct scan *s, const char *pattern)
{
    const char *slash = strrchr(pattern, '/'), *segment = slash ? slash + 1 : pattern;
    const char *begin;
    char *dir = target_files_dir(s->f, s->pattern);
    DIR *entries = dir ? opendir(dir) : NULL;
    struct dirent *entry;

    s->no_memory = s->no_memory || !dir;
    if (dir && !entries)
        complain_of_errno(s, dir);
    if (!entries)
        keep_seen(s);
    begin = dir && strchr(dir, '/') ? dir : "";
    while (entries && (entry = readdir(entries))) {
        char *path;

        if (!fits(entry->d_name, segment))
            continue;
        if (asprintf(&path, "%s%s", begin, entry->d_name) < 0)
            path = NULL;
        look_at(s, path);
    }
    if (entries)
        closedir(entries);
    free(dir);
}

static void look_for(struct scan *s)
{
    const char *pattern = s->f->source->files[s->pattern];

    if (strchr(pattern, '*')) {
        look_into_dir(s, pattern);
    } else {
        look_at(s, target_source_path(s->f->source, pattern));
        keep_seen(s);
    }
}

static void forget_unseen(struct target_files *f)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->count; i++) {
        struct file *file = &f->files[i];

        if (file->seen) {
            f->files[kept++] = *file;
            continue;
        }
        target_list_put(file->list);
        free(file->path);
    }
    f->count = kept;
}

static enum prober_error run(struct scan *s)
{
    struct target_files *f = s->f;

    for (size_t i = 0; i < f->count; i++)
        f->files[i].seen = false;
    for (s->pattern = 0; s->pattern < f->source->file_count; s->pattern++)
        look_for(s);
    forget_unseen(f);
    return s->no_memory ? PROBER_ERR_NOMEM : PROBER_OK;
}

enum prober_error target_files_scan(struct target_files *f, uint64_t now_real_ns,
                                    struct problems *problems)
{
    struct scan s = {.f = f, .problems = problems, .now_real_ns = now_real_ns};

    return run(&s);
}

enum prober_error target_files_check(enum probe_kind kind, const struct target_source *source,
                                     struct problems *problems)
{
    struct target_files *f = NULL;
    size_t before = problems_count(problems);
    enum prober_error err = target_files_create(&f, kind, source);

    if (!err)
        err = run(&(struct scan){.f = f, .problems = problems, .may_be_missing = true});
    if (!err && problems_count(problems) > before)
        err = PROBER_ERR_SYNTAX;
    target_files_destroy(f);
    return err;
}

enum prober_error target_files_list(const struct target_files *f, struct target_list **out)
{
    const struct target_list *lists[TARGET_FILES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < f->count; i++)
        if (f->files[i].list)
            lists[count++] = f->files[i].list;
    return target_list_merge(out, lists, count);
}

void target_files_destroy(struct target_files *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->count; i++) {
        target_list_put(f->files[i].list);
        free(f->files[i].path);
    }
    free(f->files);
    target_source_put(f->source);
    free(f);
}
