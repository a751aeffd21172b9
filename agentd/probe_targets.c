#include "agentd/probe_targets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/strbuf.h"

#define READ_AT_ONCE (64u << 10)

static const char blanks[] = " \t\r\v\f";

enum prober_error probe_targets_add(struct probe_targets *t, const char *name,
                                    struct prober_failure *why)
{
    if (t->count == PROBE_TARGETS_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "more than %d targets", PROBE_TARGETS_MAX);
    if (strlen(name) > PROBE_TARGET_TEXT_MAX)
        return prober_fail(why, PROBER_ERR_SYNTAX, "target %zu is too long", t->count + 1);
    if (t->count == t->room) {
        size_t room = t->room ? t->room * 2 : 64;
        struct probe_target *list = realloc(t->list, room * sizeof(*list));

        if (!list)
            return prober_fail(why, PROBER_ERR_NOMEM, "out of memory for the targets");
        t->list = list;
        t->room = room;
    }
    t->list[t->count++] = (struct probe_target){.name = name};
    return PROBER_OK;
}

/* Cuts the target out of a line, which it changes; NULL when there is none. */
static char *cut_line(char *line)
{
    size_t len = strcspn(line, "#");

    while (len > 0 && strchr(blanks, line[len - 1]))
        len--;
    line[len] = 0;
    line += strspn(line, blanks);
    return *line ? line : NULL;
}

enum prober_error probe_targets_take_text(struct probe_targets *t, const char *name, char *text,
                                          size_t len, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;
    char *line = text, *next, *target;

    t->text = text;
    if (memchr(text, 0, len))
        return prober_fail(why, PROBER_ERR_SYNTAX, "%s: not a text file", name);
    for (unsigned number = 1; line && !err; line = next, number++) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        target = cut_line(line);
        if (!target)
            continue;
        if (target[strcspn(target, blanks)])
            return prober_fail(why, PROBER_ERR_SYNTAX, "%s:%u: one target a line, got '%.80s'",
                               name, number, target);
        err = probe_targets_add(t, target, why);
    }
    return err;
}

static enum prober_error read_stdin(char **text, size_t *len, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;
    struct strbuf b = STRBUF_INIT;
    char chunk[READ_AT_ONCE];
    ssize_t n;

    while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err = prober_fail(why, PROBER_ERR_IO, "cannot read stdin: %s", strerror(errno));
            goto out;
        }
        if (b.len + (size_t)n > PROBE_TARGETS_FILE_MAX) {
            err = prober_fail(why, PROBER_ERR_RANGE, "stdin: more than %u bytes of targets",
                              PROBE_TARGETS_FILE_MAX);
            goto out;
        }
        strbuf_put(&b, chunk, (size_t)n);
    }
    *text = strbuf_take(&b, len);
    if (!*text)
        err = prober_fail(why, PROBER_ERR_NOMEM, "out of memory for the targets");
out:
    strbuf_free(&b);
    return err;
}

enum prober_error probe_targets_read(struct probe_targets *t, const char *path,
                                     struct prober_failure *why)
{
    enum prober_error err;
    char *text = NULL;
    size_t len = 0;

    if (strcmp(path, "-") == 0)
        err = read_stdin(&text, &len, why);
    else
        err = file_read(path, PROBE_TARGETS_FILE_MAX, &text, &len, why);
    if (err)
        return err;
    return probe_targets_take_text(t, strcmp(path, "-") == 0 ? "stdin" : path, text, len, why);
}

void probe_targets_free(struct probe_targets *t)
{
    free(t->list);
    free(t->text);
    memset(t, 0, sizeof(*t));
}

const char *probe_targets_name_error(enum resolver_status status)
{
    static const char *const texts[RESOLVER_STATUS_COUNT] = {
        [RESOLVER_NXDOMAIN] = "the name does not exist (nxdomain)",
        [RESOLVER_NODATA] = "the name has no address of the wanted family (nodata)",
        [RESOLVER_TIMEOUT] = "the name was not resolved in time (timeout)",
        [RESOLVER_SERVFAIL] = "the DNS server failed (servfail)",
        [RESOLVER_REFUSED] = "no DNS server takes the question (refused)",
        [RESOLVER_BAD_NAME] = "neither an address nor a host name (bad_name)",
        [RESOLVER_CANCELLED] = "interrupted",
    };

    return texts[status];
}
