/*
 * oneshot - what all one-shot commands share: words, signals, sleeping, printing.
 *
 * Threads    main() alone. The signals are the process's.
 */
#ifndef AGENTD_ONESHOT_H
#define AGENTD_ONESHOT_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/options.h"
#include "common/strbuf.h"

struct oneshot_words {
    char **items; /* [count]; the texts are argv's */
    int count;
};

/* Fills a zeroed *settings by `table` from the flags in argv[argc], and *targets with the other
 * words. Flags may stand before, between and after the targets; after "--" all are targets.
 * Errors, with a sentence in *why: PROBER_ERR_SYNTAX, _NOMEM; free both in any case. */
enum prober_error oneshot_read_words(const struct option *table, size_t count, void *settings,
                                     int argc, char *const *argv, struct oneshot_words *targets,
                                     struct prober_failure *why);
void oneshot_words_free(struct oneshot_words *w);

/* From now on the first SIGINT or SIGTERM sets what is returned, and a second one kills. Both are
 * blocked but while the process sleeps with *sleep_mask. SIGPIPE is ignored. */
const volatile sig_atomic_t *oneshot_catch_signals(sigset_t *sleep_mask);
/* Sleeps until until_ns (UINT64_MAX: for ever), a signal, or until `fd` (-1: none) is readable. */
void oneshot_sleep(int fd, uint64_t until_ns, uint64_t now_ns, const sigset_t *sleep_mask);

/* Writes what `out` holds to `fd` and empties it. After a failed write *write_errno says why, and
 * nothing is written any more. A failure of memory stays in `out`. */
void oneshot_flush(struct strbuf *out, int fd, int *write_errno);

#endif
