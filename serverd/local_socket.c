#include "serverd/local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/clock.h"
#include "serverd/local_server.h"

#define CHUNK 4096

int local_socket_address(const char *dir, struct sockaddr_un *out)
{
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    memset(out, 0, sizeof(*out));
    out->sun_family = AF_UNIX;
    snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/" LOCAL_SOCKET_FILE, fd);
    return fd;
}

static enum prober_error fail_connect(const char *dir, int fault, struct prober_failure *why)
{
    if (fault == ENOENT || fault == ENOTDIR || fault == ECONNREFUSED)
        return prober_fail(why, PROBER_ERR_NOT_FOUND,
                           "no server answers at %.300s/" LOCAL_SOCKET_FILE
                           ": is serverd running, and with this state directory? Else give its "
                           "-config or -server.state.dir",
                           dir);
    if (fault == EACCES || fault == EPERM)
        return prober_fail(why, PROBER_ERR_DENIED,
                           "%.300s/" LOCAL_SOCKET_FILE
                           " is for root and the server's own user: run this as one of them",
                           dir);
    if (fault == EAGAIN)
        return prober_fail(why, PROBER_ERR_TIMEOUT, "the server is busy with other commands");
    return prober_fail(why, PROBER_ERR_IO, "cannot reach %.300s/" LOCAL_SOCKET_FILE ": %s", dir,
                       strerror(fault));
}

static enum prober_error fail_exchange(int fault, struct prober_failure *why)
{
    if (fault == EAGAIN)
        return prober_fail(why, PROBER_ERR_TIMEOUT,
                           "the server has not answered in time: it may have done what was asked");
    return prober_fail(why, PROBER_ERR_IO,
                       "lost the server before it answered (%s): it may have done what was asked",
                       strerror(fault));
}

/* A server that has read enough may answer, and hang up, before it has the whole line. */
static enum prober_error send_line(int sock, const char *line, size_t len,
                                   struct prober_failure *why)
{
    while (len > 0) {
        ssize_t n = send(sock, line, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            break;
        if (n < 0)
            return fail_exchange(errno, why);
        line += n;
        len -= (size_t)n;
    }
    return PROBER_OK;
}

static enum prober_error receive_line(int sock, struct strbuf *answer, struct prober_failure *why)
{
    char chunk[CHUNK];

    while (answer->len <= LOCAL_ANSWER_MAX) {
        ssize_t n = recv(sock, chunk, sizeof(chunk), 0);
        const char *line_end;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_exchange(errno, why);
        if (n == 0)
            return prober_fail(why, PROBER_ERR_PROTOCOL,
                               "the server hung up without a whole answer: it may have done what "
                               "was asked");
        line_end = memchr(chunk, '\n', (size_t)n);
        strbuf_put(answer, chunk, line_end ? (size_t)(line_end - chunk) : (size_t)n);
        if (!strbuf_ok(answer))
            return prober_fail(why, PROBER_ERR_NOMEM, "no memory for the server's answer");
        if (line_end)
            return PROBER_OK;
    }
    return prober_fail(why, PROBER_ERR_PROTOCOL, "the server's answer does not end");
}

enum prober_error local_socket_ask(const char *dir, const char *line, size_t len,
                                   uint64_t timeout_ns, struct strbuf *answer,
                                   struct prober_failure *why)
{
    const struct timeval timeout = {
        .tv_sec = (time_t)(timeout_ns / CLOCK_NS_PER_S),
        .tv_usec = (suseconds_t)(timeout_ns % CLOCK_NS_PER_S / 1000),
    };
    struct sockaddr_un address;
    int dir_fd = local_socket_address(dir, &address), sock = -1;
    enum prober_error err;

    if (dir_fd < 0)
        return fail_connect(dir, errno, why);
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
        setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) ||
        connect(sock, (const struct sockaddr *)&address, sizeof(address))) {
        err = fail_connect(dir, errno, why);
        goto out;
    }
    err = send_line(sock, line, len, why);
    if (!err)
        err = send_line(sock, "\n", 1, why);
    if (!err)
        err = receive_line(sock, answer, why);
out:
    if (sock >= 0)
        close(sock);
    close(dir_fd);
    return err;
}
