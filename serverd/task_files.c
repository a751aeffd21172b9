#include "serverd/task_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/file.h"
#include "common/utf8.h"

#define DIR_MODE 0750
#define FILE_MODE 0640
#define REGION_ROOM 120 /* bytes of a region as it is written */
#define ADDRESS_ROOM 50
#define SLACK 8
#define UNFINISHED ".probermesh-result" /* what is being written; one at a time */
#define SUFFIX_MAX 9999
#define STAMP_SHAPE "dddd-dd-dd_dd-dd-dd" /* d: a digit */
#define FILES_MAX 100000                  /* looked at when pruning */

struct task_files {
    char *dir;
    uint64_t size_max, age_ns;
    int fd; /* of the directory; -1: not open yet */
    atomic_uint_fast64_t written, failed, removed, bytes;
};

enum prober_error task_files_create(struct task_files **out, const struct task_files_config *config)
{
    struct task_files *files = calloc(1, sizeof(*files));

    if (!files)
        return PROBER_ERR_NOMEM;
    files->dir = strdup(config->dir);
    files->size_max = config->size_max;
    files->age_ns = config->age_ns;
    files->fd = -1;
    if (!files->dir) {
        task_files_destroy(files);
        return PROBER_ERR_NOMEM;
    }
    *out = files;
    return PROBER_OK;
}

/* ---- names ---- */

static bool stays(const char *at, size_t len, uint32_t rune, bool first)
{
    return utf8_is_shown_safely(rune) &&
           !(len == 1 && (strchr("/\\%", *at) || (first && strchr(".-", *at))));
}

/* Appends text with what has no place in a name written as %XX; of a long one the beginning, and a
 * checksum of the whole. */
static void put_name(struct strbuf *out, const char *text, size_t room)
{
    size_t len = strlen(text), start = out->len;

    for (size_t i = 0, step; i < len; i += step) {
        uint32_t rune;
        size_t width = utf8_decode(text + i, len - i, &rune);
        bool plain = width > 0 && stays(text + i, width, rune, out->len == 0);

        step = width ? width : 1;
        if (out->len - start + (plain ? step : 3 * step) > room) {
            strbuf_printf(out, "~%08x", (unsigned)crc32c(0, text, len));
            return;
        }
        if (plain)
            strbuf_put(out, text + i, step);
        for (size_t k = 0; !plain && k < step; k++)
            strbuf_printf(out, "%%%02X", (unsigned char)text[i + k]);
    }
}

void task_files_name(struct strbuf *out, const char *region, const char *address,
                     uint64_t now_real_ns)
{
    time_t now_s = (time_t)(now_real_ns / CLOCK_NS_PER_S);
    struct strbuf name = STRBUF_INIT;
    char stamp[32] = "";
    struct tm local;

    if (localtime_r(&now_s, &local))
        strftime(stamp, sizeof(stamp), "%Y-%m-%d_%H-%M-%S", &local);
    put_name(&name, region, REGION_ROOM);
    strbuf_putc(&name, '_');
    put_name(&name, address[0] ? address : "none", ADDRESS_ROOM);
    strbuf_printf(&name, "_%s", stamp);
    if (strbuf_ok(&name))
        strbuf_put(out, name.bytes, name.len);
    else
        out->failed = true;
    strbuf_free(&name);
}

/* <region>_<address>_<stamp>, and perhaps .N */
static bool is_ours(const char *name)
{
    static const char shape[] = STAMP_SHAPE;
    const char *dot = strrchr(name, '.'), *at;
    size_t len = strlen(name);

    if (dot && strlen(dot) > 1 && strspn(dot + 1, "0123456789") == strlen(dot + 1) &&
        strlen(dot) <= 5)
        len = (size_t)(dot - name);
    if (name[0] == '.' || len < sizeof(shape) - 1 + 4)
        return false;
    at = name + len - (sizeof(shape) - 1);
    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] == 'd' ? !isdigit((unsigned char)at[i]) : at[i] != shape[i])
            return false;
    return at[-1] == '_' && memchr(name + 1, '_', (size_t)(at - 1 - (name + 1))) != NULL;
}

/* ---- writing ---- */

static enum prober_error fail(struct prober_failure *why, const char *doing, const char *where,
                              int error)
{
    return prober_fail(why, error == EACCES || error == EPERM ? PROBER_ERR_DENIED : PROBER_ERR_IO,
                       "cannot %s %.200s: %s", doing, where, strerror(error));
}

static enum prober_error open_dir(struct task_files *files, struct prober_failure *why)
{
    enum prober_error err;

    if (files->fd >= 0)
        return PROBER_OK;
    err = file_make_dir(files->dir, DIR_MODE, why);
    if (err)
        return err;
    files->fd = open(files->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return files->fd < 0 ? fail(why, "open", files->dir, errno) : PROBER_OK;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* Writes UNFINISHED: what a crash left of the one before goes. */
static bool write_unfinished(const struct task_files *files, const struct strbuf *head,
                             const struct task_files_result *result)
{
    bool good;
    int fd, error;

    unlinkat(files->fd, UNFINISHED, 0);
    fd = openat(files->fd, UNFINISHED, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                FILE_MODE);
    if (fd < 0)
        return false;
    good = write_all(fd, head->bytes, head->len) && write_all(fd, result->output, result->len);
    error = errno;
    if (close(fd) && good)
        return false;
    errno = error;
    return good;
}

/* Gives it a name that no file has. */
static bool publish(const struct task_files *files, struct strbuf *name)
{
    size_t len = name->len;

    for (unsigned n = 1; n <= SUFFIX_MAX; n++) {
        name->len = len;
        if (n > 1)
            strbuf_printf(name, ".%u", n);
        if (!strbuf_ok(name)) {
            errno = ENOMEM;
            return false;
        }
        if (linkat(files->fd, UNFINISHED, files->fd, name->bytes, 0) == 0)
            return true;
        if (errno != EEXIST)
            return false;
    }
    return false;
}

/* A file is there as a whole, or not at all. */
static enum prober_error write_named(struct task_files *files, struct strbuf *name,
                                     const struct strbuf *head,
                                     const struct task_files_result *result,
                                     struct prober_failure *why)
{
    bool good = write_unfinished(files, head, result) && publish(files, name);
    int error = errno;

    unlinkat(files->fd, UNFINISHED, 0);
    if (good) {
        atomic_fetch_add(&files->bytes, head->len + result->len);
        return PROBER_OK;
    }
    if (error == ENOENT) { /* the directory was removed: the next result makes it anew */
        close(files->fd);
        files->fd = -1;
    }
    return fail(why, "write a result file in", files->dir, error);
}

enum prober_error task_files_write(struct task_files *files, const struct task_files_result *result,
                                   uint64_t now_real_ns, struct prober_failure *why)
{
    struct strbuf name = STRBUF_INIT, head = STRBUF_INIT;
    enum prober_error err = open_dir(files, why);

    if (err)
        goto out;
    task_files_name(&name, result->region, result->address, now_real_ns);
    strbuf_printf(&head, "commond:\n%s \n\noutput:\n", result->line);
    if (!strbuf_ok(&name) || !strbuf_ok(&head))
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for a result file");
    else
        err = write_named(files, &name, &head, result, why);
    if (!err && files->size_max && atomic_load(&files->bytes) > files->size_max)
        task_files_prune(files, now_real_ns);
out:
    atomic_fetch_add(err ? &files->failed : &files->written, 1);
    strbuf_free(&name);
    strbuf_free(&head);
    return err;
}

/* ---- keeping within bounds ---- */

struct found {
    char *name;
    uint64_t size, real_ns;
};

static int by_age(const void *left, const void *right)
{
    const struct found *a = left, *b = right;

    if (a->real_ns != b->real_ns)
        return a->real_ns < b->real_ns ? -1 : 1;
    return strcmp(a->name, b->name);
}

static bool look_at(const struct task_files *files, const char *name, struct found *out)
{
    struct stat st;

    if (!is_ours(name) || fstatat(files->fd, name, &st, AT_SYMLINK_NOFOLLOW) ||
        !S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return false;
    out->size = (uint64_t)st.st_size;
    out->real_ns = (uint64_t)st.st_mtim.tv_sec * CLOCK_NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
    out->name = strdup(name);
    return out->name != NULL;
}

static struct found *list(const struct task_files *files, size_t *count)
{
    struct found *found = NULL, *larger;
    size_t room = 0;
    int fd = openat(files->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    *count = 0;
    if (!dir && fd >= 0)
        close(fd);
    while (dir && *count < FILES_MAX && (entry = readdir(dir))) {
        if (*count == room) {
            room = room ? 2 * room : 64;
            larger = reallocarray(found, room, sizeof(*found));
            if (!larger)
                break;
            found = larger;
        }
        *count += look_at(files, entry->d_name, &found[*count]);
    }
    if (dir)
        closedir(dir);
    if (*count)
        qsort(found, *count, sizeof(*found), by_age);
    return found;
}

void task_files_prune(struct task_files *files, uint64_t now_real_ns)
{
    struct prober_failure why;
    struct found *found;
    size_t count;
    uint64_t bytes = 0, limit = files->size_max;

    if (open_dir(files, &why))
        return;
    found = list(files, &count);
    for (size_t i = 0; i < count; i++)
        bytes += found[i].size;
    if (bytes > limit)
        limit -= limit / SLACK; /* so that not every further result needs it again */
    for (size_t i = 0; i < count; i++) {
        bool old = files->age_ns && found[i].real_ns + files->age_ns < now_real_ns;

        if ((old || (files->size_max && bytes > limit)) &&
            unlinkat(files->fd, found[i].name, 0) == 0) {
            bytes -= found[i].size;
            atomic_fetch_add(&files->removed, 1);
        }
        free(found[i].name);
    }
    free(found);
    atomic_store(&files->bytes, bytes);
}

void task_files_counts(const struct task_files *files, struct task_files_counts *out)
{
    out->written = atomic_load(&files->written);
    out->failed = atomic_load(&files->failed);
    out->removed = atomic_load(&files->removed);
    out->bytes = atomic_load(&files->bytes);
}

void task_files_destroy(struct task_files *files)
{
    if (!files)
        return;
    if (files->fd >= 0)
        close(files->fd);
    free(files->dir);
    free(files);
}
