#include "libprober/secret_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/array.h"

#define TRIES 8 /* the kernel says EAGAIN when something is renamed meanwhile */

static const char *skip_slashes(const char *path)
{
    return path + strspn(path, "/");
}

const char *secret_file_beneath(const char *dir, const char *path)
{
    if (path[0] != '/')
        return path;
    for (;;) {
        size_t len;

        dir = skip_slashes(dir);
        path = skip_slashes(path);
        len = strcspn(dir, "/");
        if (len == 0)
            return *path ? path : NULL;
        if (strcspn(path, "/") != len || memcmp(dir, path, len) != 0)
            return NULL;
        dir += len;
        path += len;
    }
}

static int open_beneath(const char *dir, const char *path)
{
    struct open_how how = {
        .flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1, number = errno;

    if (at < 0)
        return -1;
    for (int i = 0; i < TRIES && fd < 0; i++) {
        fd = (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
        number = errno;
        if (fd < 0 && number != EAGAIN && number != EINTR)
            break;
    }
    close(at);
    errno = number;
    return fd;
}

static enum prober_error explain_open(const char *path, int number, struct prober_failure *why)
{
    static const struct {
        int number;
        enum prober_error err;
        const char *text;
    } table[] = {
        {ENOENT, PROBER_ERR_NOT_FOUND, "there is no such file"},
        {ENOTDIR, PROBER_ERR_NOT_FOUND, "there is no such file"},
        {EACCES, PROBER_ERR_DENIED, "permission denied"},
        {EPERM, PROBER_ERR_DENIED, "permission denied"},
        {EXDEV, PROBER_ERR_DENIED, "leads out of the directory of secrets"},
        {ELOOP, PROBER_ERR_DENIED, "is a link that is not followed"},
        {ENXIO, PROBER_ERR_UNSUPPORTED, "is no regular file"},
        {ENOSYS, PROBER_ERR_UNSUPPORTED, "cannot be opened safely by this kernel (before 5.6)"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].number == number)
            return prober_fail(why, table[i].err, "'%.300s': %s", path, table[i].text);
    return prober_fail(why, PROBER_ERR_IO, "'%.300s': %s", path, strerror(number));
}

static enum prober_error read_all(int fd, const char *path, size_t max, struct strbuf *out,
                                  struct prober_failure *why)
{
    size_t before = out->len;
    char bytes[16384];
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return prober_fail(why, PROBER_ERR_IO, "'%.300s': %s", path, strerror(errno));
        if ((size_t)n > max - (out->len - before))
            return prober_fail(why, PROBER_ERR_RANGE, "'%.300s': is larger than %zu bytes", path,
                               max);
        strbuf_put(out, bytes, (size_t)n);
        if (!strbuf_ok(out))
            return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    }
    return PROBER_OK;
}

enum prober_error secret_file_read(const char *dir, const char *path, size_t max,
                                   struct strbuf *out, struct prober_failure *why)
{
    const char *beneath = secret_file_beneath(dir, path);
    size_t before = out->len;
    enum prober_error err;
    struct stat st;
    int fd;

    if (!beneath)
        return explain_open(path, EXDEV, why);
    fd = open_beneath(dir, beneath);
    if (fd < 0)
        return explain_open(path, errno, why);
    if (fstat(fd, &st))
        err = explain_open(path, errno, why);
    else if (!S_ISREG(st.st_mode))
        err = explain_open(path, ENXIO, why);
    else
        err = read_all(fd, path, max, out, why);
    close(fd);
    if (err && out->bytes) {
        out->len = before;
        out->bytes[before] = 0;
    }
    return err;
}
