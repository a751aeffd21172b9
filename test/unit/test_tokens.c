#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "serverd/tokens.h"

#define SECRET "0123456789abcdef"
#define OTHER "fedcba9876543210-._~+/="
/* of SECRET */
#define SECRET_SHA256 "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f"
#define NEW_YEAR (UINT64_C(1767225600) * CLOCK_NS_PER_S) /* 2026-01-01T00:00:00Z */

static struct problems *problems;
static struct token_set *set;
static char dir[64];

static int begin(void **state)
{
    (void)state;
    set = NULL;
    snprintf(dir, sizeof(dir), "/tmp/test_tokens.XXXXXX");
    return mkdtemp(dir) && problems_create(&problems) == PROBER_OK ? 0 : -1;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    tokens_free(set);
    problems_destroy(problems);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static enum prober_error read_text(const char *text)
{
    char *copy = strdup(text);
    enum prober_error err;

    tokens_free(set);
    set = NULL;
    err = tokens_read_text(&set, "file", copy, strlen(text), problems);
    for (size_t i = 0; i < strlen(text); i++)
        assert_int_equal(copy[i], 0); /* the secrets are gone from memory */
    free(copy);
    return err;
}

static enum token_verdict find(const char *token, uint64_t now_ns, struct token_owner *owner)
{
    *owner = (struct token_owner){"nobody", ROLE_NONE};
    return tokens_find(set, token, strlen(token), now_ns, owner);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static enum prober_error read_path(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s%s%s", dir, name[0] ? "/" : "", name);
    return tokens_read(&set, path, problems);
}

static void a_token_is_found_plain_or_as_its_digest(void **state)
{
    struct token_owner owner;

    (void)state;
    assert_int_equal(read_text("# who may\n\n alice\tadmin  sha256:" SECRET_SHA256 "\r\n"
                               "ci operate " OTHER "\n"),
                     PROBER_OK);
    assert_int_equal(tokens_count(set), 2);
    assert_int_equal(find(SECRET, 0, &owner), TOKEN_GOOD);
    assert_string_equal(owner.name, "alice");
    assert_int_equal(owner.role, ROLE_ADMIN);
    assert_int_equal(find(OTHER, 0, &owner), TOKEN_GOOD);
    assert_string_equal(owner.name, "ci");
    assert_int_equal(owner.role, ROLE_OPERATE);
}

static void what_is_no_token_is_unknown(void **state)
{
    static const char *const wrong[] = {"", " ", "0123456789abcdeF", "0123456789abcde",
                                        "0123456789abcdef0", ("sha256:" SECRET_SHA256),
                                        SECRET_SHA256};
    struct token_owner owner;

    (void)state;
    assert_int_equal(read_text("a read " SECRET "\n"), PROBER_OK);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(find(wrong[i], 0, &owner), TOKEN_UNKNOWN);
    assert_int_equal(read_text(""), PROBER_OK);
    assert_int_equal(tokens_count(set), 0);
    assert_int_equal(find(SECRET, 0, &owner), TOKEN_UNKNOWN);
}

static void a_token_ends_when_its_date_comes(void **state)
{
    struct token_owner owner;

    (void)state;
    assert_int_equal(read_text("a read " SECRET " until=2026-01-01\n"
                               "b read " OTHER " until=2026-01-01T00:00:01Z\n"),
                     PROBER_OK);
    assert_int_equal(find(SECRET, NEW_YEAR - 1, &owner), TOKEN_GOOD);
    assert_int_equal(find(SECRET, NEW_YEAR, &owner), TOKEN_EXPIRED);
    assert_string_equal(owner.name, "a");
    assert_int_equal(find(OTHER, NEW_YEAR, &owner), TOKEN_GOOD);
    assert_int_equal(find(OTHER, NEW_YEAR + CLOCK_NS_PER_S, &owner), TOKEN_EXPIRED);
}

static void a_faulty_line_is_told_with_its_number_and_without_the_token(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"\na read\n", "file:2: expected NAME ROLE TOKEN"},
        {"a read " SECRET " until=2026-01-01 more\n", "expected NAME ROLE TOKEN"},
        {"a root " SECRET "\n", "the role must be scrape, read, operate or admin"},
        {"a none " SECRET "\n", "the role must be"},
        {"a/b read " SECRET "\n", "a name has"},
        {"\xe5\x8d\x8e read " SECRET "\n", "a name has"},
        {"a read short\n", "a token has 16 to 256"},
        {"a read 0123456789abcdef\"\n", "a token has 16 to 256"},
        {"a read sha256:" SECRET "\n", "64 hex digits"},
        {"a read " SECRET " until=tomorrow\n", "expected until="},
        {"a read " SECRET " until=2026-02-30\n", "expected until="},
        {"a read " SECRET " until=2026-1-1x\n", "expected until="},
        {"a read " SECRET " until=-2026-01-01\n", "expected until="},
        {"a read " SECRET " for=1d\n", "expected until="},
        {"a read " SECRET "\na admin " OTHER "\n", "file:2: another token has this name"},
        {"a read " SECRET "\nb admin sha256:" SECRET_SHA256 "\n", "another name has this token"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        problems_destroy(problems);
        assert_int_equal(problems_create(&problems), PROBER_OK);
        assert_int_equal(read_text(cases[i].text), PROBER_ERR_SYNTAX);
        assert_int_equal(problems_count(problems), 1);
        if (!strstr(problems_text(problems, 0), cases[i].says))
            fail_msg("'%s' does not say '%s'", problems_text(problems, 0), cases[i].says);
        assert_null(strstr(problems_text(problems, 0), SECRET));
        assert_null(strstr(problems_text(problems, 0), "short"));
    }
}

static void every_fault_is_told(void **state)
{
    (void)state;
    assert_int_equal(read_text("a\nb read " SECRET "\nc\n"), PROBER_ERR_SYNTAX);
    assert_int_equal(problems_count(problems), 2);
}

static void more_tokens_than_allowed_are_refused(void **state)
{
    char *text = malloc(64 * (TOKENS_MAX + 1));
    size_t len = 0;

    (void)state;
    for (int i = 0; i <= TOKENS_MAX; i++)
        len += (size_t)snprintf(text + len, 64, "n%d read 0123456789abcdef%d\n", i, i);
    assert_int_equal(read_text(text), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(problems_text(problems, 0), "more than 1024"));
    free(text);
}

static void a_file_that_others_could_read_is_refused(void **state)
{
    static const mode_t modes[] = {0644, 0640, 0604, 0660, 0602, 0610};

    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        problems_destroy(problems);
        assert_int_equal(problems_create(&problems), PROBER_OK);
        write_file("tokens", "a read " SECRET "\n", modes[i]);
        assert_int_equal(read_path("tokens"), PROBER_ERR_DENIED);
        assert_non_null(strstr(problems_text(problems, 0), "chmod 600"));
    }
    write_file("tokens", "a read " SECRET "\n", 0600);
    assert_int_equal(read_path("tokens"), PROBER_OK);
    tokens_free(set);
    write_file("tokens", "a read " SECRET "\n", 0400);
    assert_int_equal(read_path("tokens"), PROBER_OK);
}

static void another_users_file_is_refused(void **state)
{
    char path[256];

    (void)state;
    if (geteuid() != 0)
        skip();
    write_file("tokens", "a read " SECRET "\n", 0600);
    snprintf(path, sizeof(path), "%s/tokens", dir);
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(read_path("tokens"), PROBER_ERR_DENIED);
    assert_non_null(strstr(problems_text(problems, 0), "belongs to user 65534"));
}

static void every_file_of_a_directory_is_read_but_hidden_ones(void **state)
{
    struct token_owner owner;

    (void)state;
    write_file("one", "a read " SECRET "\n", 0600);
    write_file("two", "b admin " OTHER "\n", 0600);
    write_file(".two.swp", "garbage", 0644);
    assert_int_equal(read_path(""), PROBER_OK);
    assert_int_equal(tokens_count(set), 2);
    assert_int_equal(find(OTHER, 0, &owner), TOKEN_GOOD);
    tokens_free(set);
    set = NULL;
    write_file("three", "a read 0123456789abcdeg\n", 0600);
    assert_int_equal(read_path(""), PROBER_ERR_SYNTAX); /* a name of another file */
    assert_int_equal(chmod(dir, 0770), 0);
    assert_int_equal(read_path(""), PROBER_ERR_DENIED);
    assert_non_null(strstr(problems_text(problems, 1), "chmod 700"));
}

static void what_is_no_file_of_tokens_is_refused(void **state)
{
    char *large = malloc((1 << 20) + 2), path[256];

    (void)state;
    assert_int_equal(read_path("none"), PROBER_ERR_NOT_FOUND);
    snprintf(path, sizeof(path), "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(read_path("fifo"), PROBER_ERR_SYNTAX);
    memset(large, '#', (1 << 20) + 1);
    large[(1 << 20) + 1] = '\0';
    write_file("large", large, 0600);
    assert_int_equal(read_path("large"), PROBER_ERR_RANGE);
    free(large);
    assert_int_equal(tokens_read_text(&set, "nul", (char[]){'#', '\0', '#', '\0'}, 3, problems),
                     PROBER_ERR_SYNTAX);
    assert_int_equal(tokens_read(&set, "", problems), PROBER_OK); /* none at all */
    assert_int_equal(tokens_count(set), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_found_plain_or_as_its_digest),
        TEST(what_is_no_token_is_unknown),
        TEST(a_token_ends_when_its_date_comes),
        TEST(a_faulty_line_is_told_with_its_number_and_without_the_token),
        TEST(every_fault_is_told),
        TEST(more_tokens_than_allowed_are_refused),
        TEST(a_file_that_others_could_read_is_refused),
        TEST(another_users_file_is_refused),
        TEST(every_file_of_a_directory_is_read_but_hidden_ones),
        TEST(what_is_no_file_of_tokens_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
