#include "common/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/duration.h"
#include "common/file.h"
#include "common/json.h"
#include "common/strbuf.h"
#include "common/utf8.h"

#define VALUE_MAX 4096 /* bytes of a message or a value; the rest is cut */
#define KEEP_DAYS_DEFAULT 7
#define DAY_S 86400
#define RETRY_S 60 /* after a rotation that failed */
#define PROGRAM_MAX 32

/* Days are UTC, as the times in the lines are. */
struct log_file {
    char dir[PATH_MAX / 2];
    char program[PROGRAM_MAX];
    unsigned keep_days;
};

static struct {
    pthread_mutex_t lock;
    struct log_file file; /* guarded by lock, as all below */
    int fd;               /* of the day's file; -1: stderr alone */
    int64_t day;          /* since the Unix epoch, of the file */
    int64_t retry_s;      /* Unix time before which no rotation is tried */
    bool rotating;        /* one thread prepares the next file */
    atomic_int format;    /* not guarded, as the level */
    atomic_int level;
} self = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .level = LOG_WARN};

static const char *const level_names[] = {"panic", "fatal", "error", "warn",
                                          "info",  "debug", "trace"};

/* ---- lines ---- */

static size_t bounded_len(const char *text)
{
    size_t len = strnlen(text, VALUE_MAX + 1);

    if (len <= VALUE_MAX)
        return len;
    len = VALUE_MAX;
    while (len > VALUE_MAX - 4 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--; /* no half characters */
    return len;
}

static bool needs_quotes(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f ||
            strchr("\"\\=", text[i]))
            return true;
    return len == 0;
}

static void put_logfmt_string(struct strbuf *line, const char *text, size_t len)
{
    size_t plain;

    if (!needs_quotes(text, len)) {
        strbuf_put(line, text, len);
        return;
    }
    strbuf_putc(line, '"');
    while (len > 0) {
        for (plain = 0; plain < len && text[plain] != '"' && text[plain] != '\\';)
            plain++;
        utf8_put_escaped(line, text, plain);
        if (plain < len) {
            strbuf_putc(line, '\\');
            strbuf_putc(line, text[plain++]);
        }
        text += plain;
        len -= plain;
    }
    strbuf_putc(line, '"');
}

static void put_string(struct strbuf *line, enum log_format format, const char *text)
{
    size_t len = bounded_len(text);

    if (format == LOG_JSON)
        json_put_string(line, text, len);
    else
        put_logfmt_string(line, text, len);
}

static void put_key(struct strbuf *line, enum log_format format, const char *key)
{
    if (format == LOG_JSON) {
        strbuf_putc(line, ',');
        json_put_string(line, key, strlen(key));
        strbuf_putc(line, ':');
    } else {
        strbuf_putc(line, ' ');
        strbuf_puts(line, key);
        strbuf_putc(line, '=');
    }
}

static void put_field(struct strbuf *line, enum log_format format, const struct log_field *field)
{
    char text[DURATION_TEXT_MAX];

    put_key(line, format, field->key);
    switch (field->kind) {
    case LOG_FIELD_STRING:
        if (!field->value.string && format == LOG_JSON)
            strbuf_puts(line, "null");
        else
            put_string(line, format, field->value.string ? field->value.string : "");
        break;
    case LOG_FIELD_INT:
        strbuf_put_i64(line, field->value.i64);
        break;
    case LOG_FIELD_UINT:
        strbuf_put_u64(line, field->value.u64);
        break;
    case LOG_FIELD_DOUBLE:
        if (format == LOG_JSON && !isfinite(field->value.f64))
            strbuf_puts(line, "null");
        else
            strbuf_put_double(line, field->value.f64);
        break;
    case LOG_FIELD_DURATION:
        put_string(line, format, duration_format(field->value.u64, text));
        break;
    case LOG_FIELD_END:
        break;
    }
}

static void put_line(struct strbuf *line, enum log_format format, uint64_t real_ns,
                     enum log_level level, const char *msg, const struct log_field *fields)
{
    time_t seconds = (time_t)(real_ns / CLOCK_NS_PER_S);
    unsigned ms = (unsigned)(real_ns % CLOCK_NS_PER_S / CLOCK_NS_PER_MS);
    struct tm tm;
    char stamp[32];

    gmtime_r(&seconds, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    if (format == LOG_JSON)
        strbuf_printf(line, "{\"time\":\"%s.%03uZ\",\"level\":\"%s\"", stamp, ms,
                      level_names[level]);
    else
        strbuf_printf(line, "time=%s.%03uZ level=%s", stamp, ms, level_names[level]);
    put_key(line, format, "msg");
    put_string(line, format, msg);
    for (; fields->kind != LOG_FIELD_END; fields++)
        put_field(line, format, fields);
    strbuf_puts(line, format == LOG_JSON ? "}\n" : "\n");
}

/* ---- files: DIR/<program>-YYYYMMDD.log, and DIR/<program>.log, a link to today's ---- */

static void day_text(int64_t day, char out[9])
{
    time_t seconds = (time_t)(day * DAY_S);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(out, 9, "%Y%m%d", &tm);
}

/* Points the link at today's file. What is not a link is somebody else's and stays. */
static void relink(const struct log_file *file, const char *target)
{
    char link[PATH_MAX], temporary[PATH_MAX];
    struct stat st;

    snprintf(link, sizeof(link), "%s/%s.log", file->dir, file->program);
    snprintf(temporary, sizeof(temporary), "%s/.%s.log.%d", file->dir, file->program,
             (int)getpid());
    if (lstat(link, &st) == 0 && !S_ISLNK(st.st_mode))
        return;
    unlink(temporary);
    if (symlink(target, temporary) || rename(temporary, link))
        unlink(temporary);
}

static int open_day(const struct log_file *file, int64_t day, struct prober_failure *why)
{
    char name[PROGRAM_MAX + 16], path[PATH_MAX], date[9];
    int fd, number;

    day_text(day, date);
    snprintf(name, sizeof(name), "%s-%s.log", file->program, date);
    snprintf(path, sizeof(path), "%s/%s", file->dir, name);
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0640);
    if (fd < 0) {
        number = errno;
        prober_fail(why, number == EACCES || number == EROFS ? PROBER_ERR_DENIED : PROBER_ERR_IO,
                    "cannot open the log file %.300s: %s", path, strerror(number));
        return -1;
    }
    relink(file, name);
    return fd;
}

/* True for names like "agentd-20260101.log" from before the first day to keep. Their dates compare
 * as texts do. */
static bool is_outdated(const struct log_file *file, const char *name, const char *first_kept)
{
    size_t len = strlen(file->program);

    return strncmp(name, file->program, len) == 0 && name[len] == '-' &&
           strspn(name + len + 1, "0123456789") == 8 && strcmp(name + len + 9, ".log") == 0 &&
           strncmp(name + len + 1, first_kept, 8) < 0;
}

static void remove_outdated(const struct log_file *file, int64_t today)
{
    DIR *dir = opendir(file->dir);
    char first_kept[9];

    if (!dir)
        return;
    day_text(today - (int64_t)file->keep_days, first_kept);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (is_outdated(file, entry->d_name, first_kept))
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

static void write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, bytes, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return; /* a full disk or a closed pipe: there is nobody left to tell */
        bytes += put;
        len -= (size_t)put;
    }
}

/* Opens the file of `today` while others go on writing to the old one, then swaps them. */
static void rotate(const struct log_file *file, int64_t now_s)
{
    struct prober_failure why;
    int64_t today = now_s / DAY_S;
    int fd = open_day(file, today, &why), old = fd;

    pthread_mutex_lock(&self.lock);
    self.rotating = false;
    if (fd < 0) {
        self.retry_s = now_s + RETRY_S;
    } else if (self.fd >= 0 && strcmp(file->dir, self.file.dir) == 0 && self.day < today) {
        old = self.fd;
        self.fd = fd;
        self.day = today;
    }
    pthread_mutex_unlock(&self.lock);
    if (old >= 0)
        close(old);
    if (fd < 0)
        log_error("the log file stays yesterday's", LOG_S("error", why.text));
    else
        remove_outdated(file, today);
}

/* ---- the interface ---- */

enum prober_error log_open(const struct log_config *config, struct prober_failure *why)
{
    struct log_file file = {.keep_days = config->keep_days ? config->keep_days : KEEP_DAYS_DEFAULT};
    enum prober_error err;
    int64_t today = (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S / DAY_S);
    int fd = -1, old;

    if (config->dir && *config->dir) {
        if (strlen(config->dir) >= sizeof(file.dir) ||
            strlen(config->program) >= sizeof(file.program))
            return prober_fail(why, PROBER_ERR_IO, "the log directory's name is too long");
        strcpy(file.dir, config->dir);
        strcpy(file.program, config->program);
        err = file_make_dir(file.dir, 0750, why);
        if (err)
            return err == PROBER_ERR_DENIED ? err : PROBER_ERR_IO;
        fd = open_day(&file, today, why);
        if (fd < 0)
            return why ? why->code : PROBER_ERR_IO;
        remove_outdated(&file, today);
    }
    pthread_mutex_lock(&self.lock);
    old = self.fd;
    self.fd = fd;
    self.file = file;
    self.day = today;
    self.retry_s = 0;
    atomic_store(&self.format, (int)config->format);
    atomic_store(&self.level, (int)config->level);
    pthread_mutex_unlock(&self.lock);
    if (old >= 0)
        close(old);
    return PROBER_OK;
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
    struct strbuf line = STRBUF_INIT;
    uint64_t now_ns;
    int64_t now_s;
    struct log_file file;
    bool rotates;

    if ((int)level > atomic_load(&self.level) || (unsigned)level >= ARRAY_LEN(level_names))
        return;
    now_ns = clock_realtime_ns();
    now_s = (int64_t)(now_ns / CLOCK_NS_PER_S);
    put_line(&line, (enum log_format)atomic_load(&self.format), now_ns, level, msg, fields);

    pthread_mutex_lock(&self.lock);
    rotates = self.fd >= 0 && now_s / DAY_S > self.day && now_s >= self.retry_s && !self.rotating;
    if (rotates) {
        self.rotating = true;
        file = self.file;
        pthread_mutex_unlock(&self.lock);
        rotate(&file, now_s);
        pthread_mutex_lock(&self.lock);
    }
    write_all(STDERR_FILENO, line.bytes, line.len);
    if (self.fd >= 0)
        write_all(self.fd, line.bytes, line.len);
    pthread_mutex_unlock(&self.lock);
    strbuf_free(&line);
}

void log_close(void)
{
    int old;

    pthread_mutex_lock(&self.lock);
    old = self.fd;
    self.fd = -1;
    atomic_store(&self.format, LOG_LOGFMT);
    atomic_store(&self.level, LOG_WARN);
    pthread_mutex_unlock(&self.lock);
    if (old >= 0)
        close(old);
}
