#include "agentd/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/file.h"

static enum prober_error error_of(int number)
{
    return number == EACCES || number == EPERM || number == EROFS ? PROBER_ERR_DENIED
                                                                  : PROBER_ERR_IO;
}

static enum prober_error path_in(char path[PATH_MAX], const char *dir, const char *name,
                                 struct prober_failure *why)
{
    int len = snprintf(path, PATH_MAX, "%s/%s", dir, name);

    if (len < 0 || len >= PATH_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "the state directory's name is too long: %.100s…",
                           dir);
    return PROBER_OK;
}

static void write_pid(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    /* Only a hint for people: the lock itself is what counts. */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)len, 0) != len)
        return;
}

static enum prober_error lock(struct identity *id, const char *dir, struct prober_failure *why)
{
    char path[PATH_MAX], pid[32] = "";
    enum prober_error err = path_in(path, dir, "agentd.lock", why);
    ssize_t len;

    if (err)
        return err;
    id->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (id->lock_fd < 0)
        return prober_fail(why, error_of(errno),
                           "cannot open %s: %s; give a directory of this agent's own with "
                           "-agent.state.dir",
                           path, strerror(errno));
    if (flock(id->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        write_pid(id->lock_fd);
        return PROBER_OK;
    }
    if (errno != EWOULDBLOCK)
        return prober_fail(why, PROBER_ERR_IO, "cannot lock %s: %s", path, strerror(errno));
    len = pread(id->lock_fd, pid, sizeof(pid) - 1, 0);
    pid[len > 0 ? len : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    return prober_fail(
        why, PROBER_ERR_IN_USE,
        "%s is in use by another agent (process %s); give this one a directory of its "
        "own with -agent.state.dir",
        dir, pid[0] ? pid : "unknown");
}

static enum prober_error make_id(struct identity *id, const char *path, struct prober_failure *why)
{
    char text[PROBER_ID_TEXT_MAX + 1];

    id->agent_id = prober_id_random();
    prober_id_format(&id->agent_id, text);
    strcat(text, "\n");
    return file_replace(path, text, strlen(text), 0600, why);
}

static enum prober_error read_id(struct identity *id, const char *dir, struct prober_failure *why)
{
    char path[PATH_MAX], *text = NULL;
    size_t len = 0;
    enum prober_error err = path_in(path, dir, "agent_id", why);

    if (err)
        return err;
    err = file_read(path, 256, &text, &len, why);
    if (err == PROBER_ERR_NOT_FOUND)
        return make_id(id, path, why);
    if (err)
        return err;
    text[strcspn(text, "\r\n")] = '\0';
    if (prober_id_parse(text, &id->agent_id) || prober_id_is_zero(&id->agent_id))
        err =
            prober_fail(why, PROBER_ERR_SYNTAX,
                        "%s is damaged: expected 32 hexadecimal digits; put back the old file, or "
                        "remove it to become a new agent",
                        path);
    free(text);
    return err;
}

enum prober_error identity_open(struct identity *out, const char *state_dir,
                                struct prober_failure *why)
{
    enum prober_error err;

    *out = (struct identity){.lock_fd = -1};
    err = file_make_dir(state_dir, 0700, why);
    if (!err)
        err = lock(out, state_dir, why);
    if (!err)
        err = read_id(out, state_dir, why);
    if (err)
        identity_close(out);
    else
        out->boot_id = prober_id_random();
    return err;
}

void identity_close(struct identity *identity)
{
    if (identity->lock_fd >= 0)
        close(identity->lock_fd);
    identity->lock_fd = -1;
}
