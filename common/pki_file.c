#include "common/pki_file.h"

#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/pki.h"

enum prober_error pki_file_read(const char *path, struct strbuf *out, struct prober_failure *why)
{
    char *bytes;
    size_t len;
    enum prober_error err = file_read(path, PKI_BYTES_MAX, &bytes, &len, why);

    if (err)
        return err;
    pki_forget(out);
    *out = (struct strbuf){.bytes = bytes, .len = len, .room = len + 1};
    return strlen(bytes) == len
               ? PROBER_OK
               : prober_fail(why, PROBER_ERR_SYNTAX, "%.300s is not text (PEM)", path);
}

enum prober_error pki_file_read_secret(const char *path, const char *remedy, struct strbuf *out,
                                       struct prober_failure *why)
{
    struct stat about;

    if (stat(path, &about) == 0 && (about.st_mode & 077))
        return prober_fail(why, PROBER_ERR_STATE,
                           "%.300s can be read by others: make it mode 0600, or if somebody may "
                           "have read it, %s",
                           path, remedy);
    return pki_file_read(path, out, why);
}

enum prober_error pki_file_fault(const char *path, enum prober_error err,
                                 struct prober_failure *why)
{
    struct prober_failure reason;

    if (!err || !why)
        return err;
    reason = *why;
    return prober_fail(why, err, "%.200s: %.280s", path, reason.text);
}
