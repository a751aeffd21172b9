/*
 * error - the one list of errors, and a failure told in words.
 *
 * Purpose    Every function that can fail returns enum prober_error. Where a person has to mend
 *            something, the function also fills a struct prober_failure with a sentence that says
 *            what and where ("serverd.yaml:12:server.task: expected true or false, got 'maybe'").
 * Threads    Pure functions; any thread.
 * Ownership  None: texts are constants, failures are the caller's.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include <stdarg.h>

#define PROBER_ERRORS(X)                                                                          \
    X(NOMEM, "out of memory")                                                                     \
    X(RANGE, "value out of range")                                                                \
    X(SYNTAX, "malformed input")                                                                  \
    X(UNKNOWN_KEY, "unknown configuration key")                                                   \
    X(IO, "input/output failed")                                                                  \
    X(FULL, "no room left")                                                                       \
    X(CLOSED, "closed")                                                                           \
    X(TIMEOUT, "timed out")                                                                       \
    X(NOT_FOUND, "not found")                                                                     \
    X(EXISTS, "already exists")                                                                   \
    X(DENIED, "permission denied")                                                                \
    X(IN_USE, "address already in use")                                                           \
    X(UNREACHABLE, "cannot be reached")                                                           \
    X(PROTOCOL, "the peer broke the protocol")                                                    \
    X(VERSION, "version not supported")                                                           \
    X(UNSUPPORTED, "not supported on this system")                                                \
    X(STATE, "not possible in this state")

#define PROBER_ERROR_NAME(name, text) PROBER_ERR_##name,
enum prober_error { PROBER_OK, PROBER_ERRORS(PROBER_ERROR_NAME) PROBER_ERROR_COUNT };
#undef PROBER_ERROR_NAME

/* The text of an error, a constant without a newline; "success" for PROBER_OK. */
const char *prober_error_text(enum prober_error err);

#define PROBER_FAILURE_MAX 512

/* What went wrong, for a person: one sentence, no newline, UTF-8. */
struct prober_failure {
    enum prober_error code;
    char text[PROBER_FAILURE_MAX];
};

/* Fills *why (which may be NULL) with `code` and the printf-formatted sentence, cut to fit, and
 * returns `code`, so that a failing function can end with `return prober_fail(why, …)`. */
enum prober_error prober_fail(struct prober_failure *why, enum prober_error code, const char *format,
                              ...) __attribute__((format(printf, 3, 4)));

#endif
