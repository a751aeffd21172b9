#include "agentd/oneshot.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/problems.h"

static volatile sig_atomic_t stop;

static void split(const struct option *table, size_t count, int argc, char *const *argv,
                  struct oneshot_words *flags, struct oneshot_words *targets)
{
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        const struct option *option;

        if (strcmp(word, "--") == 0) {
            while (++i < argc)
                targets->items[targets->count++] = argv[i];
            return;
        }
        if (word[0] != '-' || word[1] == 0) {
            targets->items[targets->count++] = word;
            continue;
        }
        flags->items[flags->count++] = word;
        option = options_find(table, count, word + 1 + (word[1] == '-'));
        if (option && option->type != OPTION_BOOL && i + 1 < argc)
            flags->items[flags->count++] = argv[++i];
    }
}

static enum prober_error load(const struct option *table, size_t count, void *settings,
                              const struct oneshot_words *flags, struct prober_failure *why)
{
    struct problems *problems = NULL;
    const struct options_source source = {.table = table,
                                          .count = count,
                                          .settings = settings,
                                          .argc = flags->count,
                                          .argv = flags->items};
    enum prober_error err = problems_create(&problems);

    if (err)
        return prober_fail(why, err, "out of memory");
    err = options_load(&source, problems);
    if (err && problems_failure(problems, why) == PROBER_OK)
        prober_fail(why, err, "%s", prober_error_text(err));
    problems_destroy(problems);
    return err;
}

enum prober_error oneshot_read_words(const struct option *table, size_t count, void *settings,
                                     int argc, char *const *argv, struct oneshot_words *targets,
                                     struct prober_failure *why)
{
    struct oneshot_words flags = {.items = calloc((size_t)argc + 1, sizeof(char *))};
    enum prober_error err;

    *targets = (struct oneshot_words){.items = calloc((size_t)argc + 1, sizeof(char *))};
    if (!flags.items || !targets->items) {
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    } else {
        split(table, count, argc, argv, &flags, targets);
        err = load(table, count, settings, &flags, why);
    }
    oneshot_words_free(&flags);
    return err;
}

void oneshot_words_free(struct oneshot_words *w)
{
    free(w->items);
    memset(w, 0, sizeof(*w));
}

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

const volatile sig_atomic_t *oneshot_catch_signals(sigset_t *sleep_mask)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigset_t block;

    stop = 0;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, sleep_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to sockets that may be closed */
    return &stop;
}

void oneshot_sleep(int fd, uint64_t until_ns, uint64_t now_ns, const sigset_t *sleep_mask)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    uint64_t ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec ts = {.tv_sec = (time_t)(ns / CLOCK_NS_PER_S),
                          .tv_nsec = (long)(ns % CLOCK_NS_PER_S)};

    ppoll(&pfd, 1, until_ns == UINT64_MAX ? NULL : &ts, sleep_mask);
}

void oneshot_flush(struct strbuf *out, int fd, int *write_errno)
{
    size_t at = 0;

    while (at < out->len && !*write_errno) {
        ssize_t n = write(fd, out->bytes + at, out->len - at);

        if (n >= 0)
            at += (size_t)n;
        else if (errno != EINTR)
            *write_errno = errno;
    }
    if (strbuf_ok(out))
        strbuf_clear(out);
}
