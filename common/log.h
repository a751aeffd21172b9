/*
 * log - structured log lines, at the original's levels.
 *
 * Purpose    One line per event, logfmt or JSON: time, level, msg, then key=value fields. Values
 *            are escaped, so nothing from the network can forge a line. Goes to stderr, and when a
 *            directory is given, to DIR/<program>-YYYYMMDD.log, a file a day (UTC), to today's of
 *            which DIR/<program>.log is a link.
 * Threads    log_write is safe from any thread; log_open and log_close belong to main().
 * Ownership  One log per process; libprober never logs.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdint.h>

#include "common/error.h"

/* The original's numbers: a line is written when its level <= the configured one. */
enum log_level { LOG_PANIC, LOG_FATAL, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_config {
    const char *program; /* "agentd" or "serverd": names the file */
    const char *dir;     /* NULL or "": stderr alone */
    enum log_level level;
    enum log_format format;
    unsigned keep_days; /* rotated files older than this are removed; 0: 7 */
};

enum log_field_kind {
    LOG_FIELD_END,
    LOG_FIELD_STRING,
    LOG_FIELD_INT,
    LOG_FIELD_UINT,
    LOG_FIELD_DOUBLE,
    LOG_FIELD_DURATION
};

struct log_field {
    const char *key;
    enum log_field_kind kind;
    union {
        const char *string;
        int64_t i64;
        uint64_t u64;
        double f64;
    } value;
};

#define LOG_S(k, v) ((struct log_field){k, LOG_FIELD_STRING, {.string = (v)}})
#define LOG_I(k, v) ((struct log_field){k, LOG_FIELD_INT, {.i64 = (v)}})
#define LOG_U(k, v) ((struct log_field){k, LOG_FIELD_UINT, {.u64 = (v)}})
#define LOG_F(k, v) ((struct log_field){k, LOG_FIELD_DOUBLE, {.f64 = (v)}})
/* Nanoseconds, printed as a duration ("1m30s"). */
#define LOG_D(k, v) ((struct log_field){k, LOG_FIELD_DURATION, {.u64 = (v)}})

/* log_error("cannot bind", LOG_S("addr", addr), LOG_I("errno", e)): msg says what happened and,
 * where it helps, what to do; fields hold what varies. */
#define log_at(level, ...) log_at_(level, __VA_ARGS__, (struct log_field){0})
#define log_at_(level, msg, ...) log_write(level, msg, (const struct log_field[]){__VA_ARGS__})
#define log_fatal(...) log_at(LOG_FATAL, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_TRACE, __VA_ARGS__)

/* Opens the process's log; before it, and after log_close, lines go to stderr as logfmt at
 * LOG_WARN. Called again (SIGHUP) it takes the new settings, or keeps the old ones on error.
 * Errors: PROBER_ERR_IO or _DENIED with a sentence in *why. */
enum prober_error log_open(const struct log_config *config, struct prober_failure *why);
/* Writes one line. `fields` ends with a field whose kind is LOG_FIELD_END; a text over 4096 bytes
 * is cut. What cannot be written (a full disk) is lost without a word. */
void log_write(enum log_level level, const char *msg, const struct log_field *fields);
void log_close(void);

#endif
