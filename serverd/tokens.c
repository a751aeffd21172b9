#include "serverd/tokens.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/digest.h"

#define FILE_MAX (1u << 20)
#define PATH_ROOM 4096
#define HASH_PREFIX "sha256:"
#define UNTIL_PREFIX "until="
#define NEVER UINT64_MAX

struct token {
    char name[TOKEN_NAME_MAX + 1];
    enum role role;
    uint8_t digest[DIGEST_SHA256_LEN];
    uint64_t until_real_ns; /* NEVER, or when it ends */
};

struct token_set {
    struct token *tokens;
    size_t count;
};

/* ---- one line ---- */

static bool is_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@");

    return len > 0 && len <= TOKEN_NAME_MAX && text[len] == '\0';
}

/* What may follow "Bearer": token68 of RFC 9110, section 11.2. */
static bool is_token_text(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=");

    return len >= TOKEN_TEXT_MIN && len <= TOKEN_TEXT_MAX && text[len] == '\0';
}

static bool read_until(const char *text, uint64_t *until_real_ns)
{
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct tm tm = {.tm_mday = 0}, again;
        const char *end = strptime(text, formats[i], &tm);
        time_t seconds;

        if (!end || *end || !isdigit((unsigned char)text[0]))
            continue;
        again = tm;
        seconds = timegm(&again);
        if (seconds < 0 || again.tm_mday != tm.tm_mday) /* there is no 31st of February */
            return false;
        *until_real_ns = (uint64_t)seconds * CLOCK_NS_PER_S;
        return true;
    }
    return false;
}

static const char *read_digest(const char *text, uint8_t digest[DIGEST_SHA256_LEN])
{
    size_t prefix = strlen(HASH_PREFIX);

    if (strncmp(text, HASH_PREFIX, prefix) == 0)
        return digest_parse(text + prefix, digest)
                   ? NULL
                   : "'sha256:' must be followed by 64 hex digits, the digest of the token";
    if (!is_token_text(text))
        return "a token has 16 to 256 letters, digits and -._~+/=";
    digest_sha256(text, strlen(text), digest);
    return NULL;
}

/* What is wrong with the line; NULL: nothing. Never says the token. */
static const char *read_line(char *line, struct token *token)
{
    char *words[5], *save = NULL;
    size_t count = 0;

    for (char *word = strtok_r(line, " \t\r", &save); word && count < ARRAY_LEN(words);
         word = strtok_r(NULL, " \t\r", &save))
        words[count++] = word;
    if (count < 3 || count > 4)
        return "expected NAME ROLE TOKEN [until=DATE]";
    if (!is_name(words[0]))
        return "a name has 1 to 64 letters, digits and ._-@";
    if (!role_parse(words[1], &token->role))
        return "the role must be scrape, read, operate or admin";
    token->until_real_ns = NEVER;
    if (count == 4 && (strncmp(words[3], UNTIL_PREFIX, strlen(UNTIL_PREFIX)) != 0 ||
                       !read_until(words[3] + strlen(UNTIL_PREFIX), &token->until_real_ns)))
        return "expected until=YYYY-MM-DD or until=YYYY-MM-DDThh:mm:ssZ";
    snprintf(token->name, sizeof(token->name), "%s", words[0]);
    return read_digest(words[2], token->digest);
}

static const char *why_not_another(const struct token_set *set, const struct token *token)
{
    if (set->count == TOKENS_MAX)
        return "there are more than 1024 tokens";
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->tokens[i].name, token->name) == 0)
            return "another token has this name";
        if (digest_equal(set->tokens[i].digest, token->digest, DIGEST_SHA256_LEN))
            return "another name has this token";
    }
    return NULL;
}

static enum prober_error add_line(struct token_set *set, const char *file, int number, char *line,
                                  struct problems *problems)
{
    struct token token = {.role = ROLE_NONE}, *tokens;
    const char *fault;

    line += strspn(line, " \t\r");
    if (*line == '\0' || *line == '#')
        return PROBER_OK;
    fault = read_line(line, &token);
    if (!fault)
        fault = why_not_another(set, &token);
    if (fault) {
        problems_add(problems, file, number, NULL, "%s", fault);
        return PROBER_ERR_SYNTAX;
    }
    tokens = realloc(set->tokens, (set->count + 1) * sizeof(*tokens));
    if (!tokens)
        return PROBER_ERR_NOMEM;
    set->tokens = tokens;
    tokens[set->count++] = token;
    return PROBER_OK;
}

static enum prober_error add_text(struct token_set *set, const char *file, char *text, size_t len,
                                  struct problems *problems)
{
    enum prober_error err = PROBER_OK, other;
    bool nul = memchr(text, '\0', len) != NULL;
    char *rest = text;
    int number = 0;

    if (nul) {
        problems_add(problems, file, 0, NULL, "holds a NUL: not a file of tokens");
        err = PROBER_ERR_SYNTAX;
    }
    for (char *line; !nul && err != PROBER_ERR_NOMEM && (line = strsep(&rest, "\n"));) {
        other = add_line(set, file, ++number, line, problems);
        err = err && other != PROBER_ERR_NOMEM ? err : other;
    }
    explicit_bzero(text, len);
    return err;
}

/* ---- files ---- */

/* Errors: with a problem that says what to do. */
static enum prober_error check_owner(const char *path, const struct stat *st, mode_t forbidden,
                                     const char *mode, struct problems *problems)
{
    if (st->st_uid != 0 && st->st_uid != geteuid()) {
        problems_add(problems, path, 0, NULL,
                     "belongs to user %lu: tokens are taken from root or from the server's own user",
                     (unsigned long)st->st_uid);
        return PROBER_ERR_DENIED;
    }
    if (st->st_mode & forbidden) {
        problems_add(problems, path, 0, NULL,
                     "has mode %04o: other users could read or change the tokens; chmod %s it",
                     (unsigned)st->st_mode & 07777u, mode);
        return PROBER_ERR_DENIED;
    }
    return PROBER_OK;
}

static enum prober_error read_fd(int fd, const char *path, char *text, size_t *len,
                                 struct problems *problems)
{
    ssize_t got;

    for (*len = 0; *len <= FILE_MAX; *len += (size_t)got) {
        got = read(fd, text + *len, FILE_MAX + 1 - *len);
        if (got == 0)
            return PROBER_OK;
        if (got < 0) {
            problems_add(problems, path, 0, NULL, "cannot be read: %s", strerror(errno));
            return PROBER_ERR_IO;
        }
    }
    problems_add(problems, path, 0, NULL, "is larger than 1 MiB");
    return PROBER_ERR_RANGE;
}

static enum prober_error open_checked(const char *path, int flags, int *fd, struct stat *st,
                                      struct problems *problems)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
    if (*fd >= 0 && fstat(*fd, st) == 0)
        return PROBER_OK;
    problems_add(problems, path, 0, NULL, "cannot be opened: %s", strerror(errno));
    return errno == ENOENT ? PROBER_ERR_NOT_FOUND : PROBER_ERR_IO;
}

static enum prober_error add_file(struct token_set *set, const char *path, int fd,
                                  const struct stat *st, struct problems *problems)
{
    enum prober_error err = check_owner(path, st, 077, "600", problems);
    char *text = NULL;
    size_t len = 0;

    if (err)
        return err;
    if (!S_ISREG(st->st_mode)) {
        problems_add(problems, path, 0, NULL, "is not a file");
        return PROBER_ERR_SYNTAX;
    }
    text = malloc(FILE_MAX + 2);
    if (!text)
        return PROBER_ERR_NOMEM;
    err = read_fd(fd, path, text, &len, problems);
    text[len] = '\0';
    if (!err)
        err = add_text(set, path, text, len, problems);
    explicit_bzero(text, len);
    free(text);
    return err;
}

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static enum prober_error add_dir(struct token_set *set, const char *path, const struct stat *dir,
                                 struct problems *problems)
{
    enum prober_error err = check_owner(path, dir, 022, "700", problems);
    struct dirent **entries = NULL;
    int count = err ? 0 : scandir(path, &entries, is_shown, alphasort);

    if (count < 0) {
        problems_add(problems, path, 0, NULL, "cannot be read: %s", strerror(errno));
        return PROBER_ERR_IO;
    }
    for (int i = 0; i < count; i++) {
        char name[PATH_ROOM];
        struct stat st;
        int fd = -1;
        enum prober_error other;

        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        other = open_checked(name, 0, &fd, &st, problems);
        if (!other)
            other = add_file(set, name, fd, &st, problems);
        err = err ? err : other;
        if (fd >= 0)
            close(fd);
        free(entries[i]);
    }
    free(entries);
    return err;
}

/* ---- sets ---- */

static enum prober_error finish(struct token_set **out, struct token_set *set,
                                enum prober_error err)
{
    if (err) {
        tokens_free(set);
        return err;
    }
    *out = set;
    return PROBER_OK;
}

enum prober_error tokens_read(struct token_set **out, const char *path, struct problems *problems)
{
    struct token_set *set = calloc(1, sizeof(*set));
    enum prober_error err = set ? PROBER_OK : PROBER_ERR_NOMEM;
    struct stat st;
    int fd = -1;

    if (set && path[0]) {
        err = open_checked(path, 0, &fd, &st, problems);
        if (!err)
            err = S_ISDIR(st.st_mode) ? add_dir(set, path, &st, problems)
                                      : add_file(set, path, fd, &st, problems);
    }
    if (fd >= 0)
        close(fd);
    return finish(out, set, err);
}

enum prober_error tokens_read_text(struct token_set **out, const char *name, char *text, size_t len,
                                   struct problems *problems)
{
    struct token_set *set = calloc(1, sizeof(*set));

    return finish(out, set, set ? add_text(set, name, text, len, problems) : PROBER_ERR_NOMEM);
}

size_t tokens_count(const struct token_set *set)
{
    return set->count;
}

enum token_verdict tokens_find(const struct token_set *set, const char *text, size_t len,
                               uint64_t now_real_ns, struct token_owner *owner)
{
    const struct token *found = NULL;
    uint8_t digest[DIGEST_SHA256_LEN];

    digest_sha256(text, len, digest);
    for (size_t i = 0; i < set->count; i++) /* to the end, whatever is found */
        if (digest_equal(set->tokens[i].digest, digest, sizeof(digest)))
            found = &set->tokens[i];
    if (!found)
        return TOKEN_UNKNOWN;
    *owner = (struct token_owner){found->name, found->role};
    return now_real_ns < found->until_real_ns ? TOKEN_GOOD : TOKEN_EXPIRED;
}

void tokens_free(struct token_set *set)
{
    if (!set)
        return;
    free(set->tokens);
    free(set);
}
