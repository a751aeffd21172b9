#include "libprober/secret_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/array.h"
#include "unit.h"

/* A directory with `secrets` in it, and something beside it that nobody must reach. */
struct fixture {
    char root[32], dir[64];
    struct strbuf out;
    struct prober_failure why;
};

static const char *at(const struct fixture *f, const char *path)
{
    static char text[2][256];
    static unsigned turn;

    snprintf(text[++turn % 2], sizeof(text[0]), "%s/%s", f->root, path);
    return text[turn % 2];
}

static void put(const struct fixture *f, const char *path, const char *content)
{
    FILE *file = fopen(at(f, path), "w");

    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    strcpy(f.root, "/tmp/secret_files.XXXXXX");
    assert_non_null(mkdtemp(f.root));
    snprintf(f.dir, sizeof(f.dir), "%s/secrets", f.root);
    assert_int_equal(mkdir(f.dir, 0700), 0);
    assert_int_equal(mkdir(at(&f, "secrets/deep"), 0700), 0);
    put(&f, "secrets/password", "open sesame\n");
    put(&f, "secrets/deep/key", "k");
    put(&f, "outside", "not yours");
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[64];

    strbuf_free(&f->out);
    snprintf(command, sizeof(command), "rm -rf %s", f->root);
    return system(command);
}

static enum prober_error read_file(struct fixture *f, const char *path)
{
    strbuf_clear(&f->out);
    return secret_file_read(f->dir, path, 64, &f->out, &f->why);
}

static void a_file_is_read_as_it_is(void **state)
{
    struct fixture *f = *state;

    strbuf_puts(&f->out, "before ");
    assert_int_equal(secret_file_read(f->dir, "password", 64, &f->out, NULL), PROBER_OK);
    assert_string_equal(f->out.bytes, "before open sesame\n");
    assert_int_equal(read_file(f, "deep/../deep/key"), PROBER_OK);
    assert_string_equal(f->out.bytes, "k");
}

static void an_absolute_path_beneath_the_directory_is_taken_as_such(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(read_file(f, at(f, "secrets/password")), PROBER_OK);
    assert_int_equal(read_file(f, at(f, "/secrets//deep///key")), PROBER_OK);
    assert_string_equal(secret_file_beneath("/a/b/", "/a/b/c"), "c");
    assert_string_equal(secret_file_beneath("/", "/c"), "c");
    assert_string_equal(secret_file_beneath("/a", "b/c"), "b/c");
    assert_null(secret_file_beneath("/a/b", "/a/b"));
    assert_null(secret_file_beneath("/a/b", "/a/bc"));
    assert_null(secret_file_beneath("/a/b", "/a"));
    assert_null(secret_file_beneath("/a/b", "/a/x/b"));
}

static void nothing_leads_out(void **state)
{
    struct fixture *f = *state;
    const char *const ways[] = {"../outside", "deep/../../outside", "absolute",
                                "relative",   "up/outside",         "self/root/etc/passwd"};

    assert_int_equal(symlink(at(f, "outside"), at(f, "secrets/absolute")), 0);
    assert_int_equal(symlink("../outside", at(f, "secrets/relative")), 0);
    assert_int_equal(symlink("..", at(f, "secrets/up")), 0);
    assert_int_equal(symlink("/proc/self", at(f, "secrets/self")), 0);
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        assert_int_equal(read_file(f, ways[i]), PROBER_ERR_DENIED);
        assert_non_null(strstr(f->why.text, "leads out"));
        assert_non_null(strstr(f->why.text, ways[i]));
        assert_int_equal(f->out.len, 0);
    }
    assert_int_equal(read_file(f, at(f, "outside")), PROBER_ERR_DENIED);
    assert_int_equal(read_file(f, at(f, "secrets/../outside")), PROBER_ERR_DENIED);
    assert_int_equal(read_file(f, "/etc/passwd"), PROBER_ERR_DENIED);
}

static void links_beneath_the_directory_are_followed(void **state)
{
    struct fixture *f = *state;

    /* as a volume of secrets is swapped: a file is a link into a directory that is a link */
    assert_int_equal(symlink("deep", at(f, "secrets/..data")), 0);
    assert_int_equal(symlink("..data/key", at(f, "secrets/key")), 0);
    assert_int_equal(read_file(f, "key"), PROBER_OK);
    assert_int_equal(mkdir(at(f, "secrets/new"), 0700), 0);
    put(f, "secrets/new/key", "n");
    assert_int_equal(symlink("new", at(f, "secrets/..tmp")), 0);
    assert_int_equal(rename(at(f, "secrets/..tmp"), at(f, "secrets/..data")), 0);
    assert_int_equal(read_file(f, "key"), PROBER_OK);
    assert_string_equal(f->out.bytes, "n");
    assert_int_equal(symlink("loop", at(f, "secrets/loop")), 0);
    assert_int_equal(read_file(f, "loop"), PROBER_ERR_DENIED);
}

static void what_is_no_regular_file_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    const char *const names[] = {"fifo", "socket", "deep", "."};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/socket", f->dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(mkfifo(at(f, "secrets/fifo"), 0600), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(read_file(f, names[i]), PROBER_ERR_UNSUPPORTED);
        assert_non_null(strstr(f->why.text, "no regular file"));
    }
    close(fd);
}

static void a_file_has_a_bound(void **state)
{
    struct fixture *f = *state;
    char full[66];

    memset(full, 'x', sizeof(full));
    full[64] = 0;
    put(f, "secrets/full", full);
    assert_int_equal(read_file(f, "full"), PROBER_OK);
    full[64] = 'x';
    full[65] = 0;
    put(f, "secrets/full", full);
    strbuf_clear(&f->out);
    strbuf_puts(&f->out, "a");
    assert_int_equal(secret_file_read(f->dir, "full", 64, &f->out, &f->why), PROBER_ERR_RANGE);
    assert_null(strstr(f->why.text, "xx"));
    assert_string_equal(f->out.bytes, "a");
}

static void what_cannot_be_read_says_why(void **state)
{
    struct fixture *f = *state;
    uid_t user = geteuid();

    assert_int_equal(read_file(f, "missing"), PROBER_ERR_NOT_FOUND);
    assert_string_equal(f->why.text, "'missing': there is no such file");
    assert_int_equal(read_file(f, "password/x"), PROBER_ERR_NOT_FOUND);
    assert_int_equal(read_file(f, ""), PROBER_ERR_NOT_FOUND);
    assert_int_equal(secret_file_read("/nonexistent", "a", 9, &f->out, NULL), PROBER_ERR_NOT_FOUND);
    assert_int_equal(chmod(at(f, "secrets/password"), 0), 0);
    if (user == 0) /* who may read all */
        assert_int_equal(seteuid(65534), 0);
    assert_int_equal(read_file(f, "password"), PROBER_ERR_DENIED);
    assert_int_equal(seteuid(user), 0);
    assert_string_equal(f->why.text, "'password': permission denied");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_read_as_it_is),
        TEST(an_absolute_path_beneath_the_directory_is_taken_as_such),
        TEST(nothing_leads_out),
        TEST(links_beneath_the_directory_are_followed),
        TEST(what_is_no_regular_file_is_refused_at_once),
        TEST(a_file_has_a_bound),
        TEST(what_cannot_be_read_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
