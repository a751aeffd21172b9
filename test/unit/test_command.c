#include "test/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "serverd/command.h"

struct settings {
    bool list;
    char *name;
    int64_t uses;
};

static const struct option options[] = {
    {.name = "list",
     .type = OPTION_BOOL,
     .offset = offsetof(struct settings, list),
     .group = "G",
     .help = "H."},
    {.name = "name",
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, name),
     .group = "G",
     .help = "H."},
    {.name = "uses",
     .type = OPTION_INT,
     .offset = offsetof(struct settings, uses),
     .fallback = "1",
     .min = 1,
     .max = 9,
     .group = "G",
     .help = "H."},
};

static struct settings settings;
static struct command command;
static int stderr_copy;

/* What is wrong is told on stderr, which is nobody's concern here. */
static int begin(void **state)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)state;
    fflush(stderr);
    stderr_copy = dup(STDERR_FILENO);
    dup2(nowhere, STDERR_FILENO);
    close(nowhere);
    memset(&settings, 0, sizeof(settings));
    command = (struct command){.usage = "usage",
                               .options = options,
                               .option_count = ARRAY_LEN(options),
                               .settings = &settings};
    return 0;
}

static int end(void **state)
{
    (void)state;
    command_free(&command);
    fflush(stderr);
    dup2(stderr_copy, STDERR_FILENO);
    close(stderr_copy);
    return 0;
}

static int load(const char *variable, const char *const *words, size_t count)
{
    char *argv[16], *environment[] = {(char *)(uintptr_t)variable, NULL};

    for (size_t i = 0; i < count; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    return command_load(&command, (int)count, argv, environment);
}

#define LOAD(variable, ...)                                                                        \
    load(variable, (const char *const[]){__VA_ARGS__},                                             \
         ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static void its_own_flags_and_the_servers_are_parted(void **state)
{
    (void)state;
    assert_int_equal(
        LOAD(NULL, "-name", "-list", "--server.state.dir", "-uses", "-uses=3", "-log.level", "2"),
        COMMAND_OK);
    assert_string_equal(settings.name, "-list");
    assert_false(settings.list);
    assert_int_equal(settings.uses, 3);
    assert_string_equal(command.state_dir, "-uses");
}

static void the_state_directory_is_found_as_the_server_finds_it(void **state)
{
    char path[] = "/tmp/test_command.XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0 && write(fd, "server.state.dir: /from/file\n", 29) == 29);
    close(fd);
    assert_int_equal(LOAD(NULL, "-list", "-config", path), COMMAND_OK);
    assert_string_equal(command.state_dir, "/from/file");
    command_free(&command);
    memset(&settings, 0, sizeof(settings));
    assert_int_equal(LOAD("PROBERMESH_SERVER_STATE_DIR=/from/environment", "-config", path),
                     COMMAND_OK);
    assert_string_equal(command.state_dir, "/from/environment");
    unlink(path);
}

static void what_nobody_knows_is_wrong_usage(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NULL, "-nonsense"), COMMAND_USAGE);
    assert_null(command.state_dir);
    command_free(&command);
    assert_int_equal(LOAD(NULL, "word"), COMMAND_USAGE);
    command_free(&command);
    assert_int_equal(LOAD(NULL, "-uses", "10"), COMMAND_USAGE);
    command_free(&command);
    assert_int_equal(LOAD(NULL, "-uses"), COMMAND_USAGE);
}

static void a_server_that_does_not_run_is_told(void **state)
{
    const struct local_request request = {.command = LOCAL_TOKEN_LIST};
    struct json *answer = NULL;

    (void)state;
    assert_int_equal(LOAD(NULL, "-server.state.dir", "/nowhere"), COMMAND_OK);
    assert_int_equal(command_ask(&command, &request, &answer), COMMAND_FAULT);
    assert_null(answer);
}

static void a_word_for_a_shell_is_quoted_when_it_has_to_be(void **state)
{
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"eu-west", "eu-west"}, {"欧洲", "欧洲"},       {"", "''"},   {"a b", "'a b'"},
        {"$(x)", "'$(x)'"},     {"it's", "'it'\\''s'"}, {"-a", "-a"}, {"a;b", "'a;b'"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = NULL;
        size_t len;
        FILE *out = open_memstream(&text, &len);

        command_print_word(out, cases[i].text);
        fclose(out);
        assert_string_equal(text, cases[i].word);
        free(text);
    }
}

static void times_and_texts_are_printed_so_that_they_forge_nothing(void **state)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    command_print_time(out, 1800000000);
    command_print_text(out, " a\nb\x1b[1m");
    fclose(out);
    assert_string_equal(text, "2027-01-15T08:00:00Z a\\nb\\x1b[1m");
    free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(its_own_flags_and_the_servers_are_parted),
        TEST(the_state_directory_is_found_as_the_server_finds_it),
        TEST(what_nobody_knows_is_wrong_usage),
        TEST(a_server_that_does_not_run_is_told),
        TEST(a_word_for_a_shell_is_quoted_when_it_has_to_be),
        TEST(times_and_texts_are_printed_so_that_they_forge_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
