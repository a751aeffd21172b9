#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/random.h"
#include "common/strbuf.h"

static enum prober_error error_of(int number)
{
    switch (number) {
    case ENOENT:
        return PROBER_ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return PROBER_ERR_DENIED;
    case ENOMEM:
        return PROBER_ERR_NOMEM;
    default:
        return PROBER_ERR_IO;
    }
}

static enum prober_error fail_errno(struct prober_failure *why, const char *verb, const char *path)
{
    int number = errno;

    return prober_fail(why, error_of(number), "cannot %s %.300s: %s", verb, path, strerror(number));
}

/* Reads until the end of the file, or one byte past `max`. */
static enum prober_error read_all(int fd, const char *path, size_t max, struct strbuf *out,
                                  struct prober_failure *why)
{
    char chunk[16384];

    while (out->len <= max) {
        ssize_t got = read(fd, chunk, sizeof(chunk));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(why, "read", path);
        if (got == 0)
            return PROBER_OK;
        strbuf_put(out, chunk, (size_t)got);
        if (!strbuf_ok(out))
            return prober_fail(why, PROBER_ERR_NOMEM, "no memory to read %.300s", path);
    }
    return prober_fail(why, PROBER_ERR_RANGE, "%.300s is larger than %zu bytes", path, max);
}

enum prober_error file_read(const char *path, size_t max, char **bytes, size_t *len,
                            struct prober_failure *why)
{
    enum prober_error err;
    struct strbuf content = STRBUF_INIT;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return fail_errno(why, "open", path);
    err = read_all(fd, path, max, &content, why);
    if (err)
        goto out;
    *bytes = strbuf_take(&content, len);
    if (!*bytes)
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory to read %.300s", path);
out:
    strbuf_free(&content);
    close(fd);
    return err;
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, bytes, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        bytes += put;
        len -= (size_t)put;
    }
    return 0;
}

/* Makes the rename itself survive a crash. A file system that cannot sync a directory is left. */
static void sync_parent(const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd;

    if (!slash)
        snprintf(parent, sizeof(parent), ".");
    else
        snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path) + 1, path);
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

enum prober_error file_replace(const char *path, const void *bytes, size_t len, mode_t mode,
                               struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;
    char temporary[PATH_MAX];
    uint64_t number;
    int fd;

    random_bytes(&number, sizeof(number));
    if (snprintf(temporary, sizeof(temporary), "%s.%016llx", path, (unsigned long long)number) >=
        (int)sizeof(temporary))
        return prober_fail(why, PROBER_ERR_IO, "path too long: %.300s", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return fail_errno(why, "write", path);
    if (fchmod(fd, mode) || write_all(fd, bytes, len) || fsync(fd)) {
        err = fail_errno(why, "write", path);
        goto out;
    }
    if (rename(temporary, path)) {
        err = fail_errno(why, "replace", path);
        goto out;
    }
    sync_parent(path);
out:
    close(fd);
    if (err)
        unlink(temporary);
    return err;
}

static int make_one(const char *path, mode_t mode)
{
    struct stat st;
    int number;

    if (mkdir(path, mode) == 0)
        return 0;
    number = errno;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    errno = number == EEXIST ? ENOTDIR : number;
    return -1;
}

enum prober_error file_make_dir(const char *path, mode_t mode, struct prober_failure *why)
{
    char prefix[PATH_MAX];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(prefix))
        return prober_fail(why, PROBER_ERR_IO, "not a usable directory name: '%.300s'", path);
    memcpy(prefix, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (prefix[i] != '/' && prefix[i] != '\0')
            continue;
        prefix[i] = '\0';
        if (make_one(prefix, mode))
            return fail_errno(why, "make the directory", prefix);
        if (path[i])
            prefix[i] = '/';
    }
    return PROBER_OK;
}
