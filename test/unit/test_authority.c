#include "test/unit/given_files.h"

#include <dirent.h>

#include "common/channel_tls.h"
#include "serverd/authority.h"

#define NOW INT64_C(1800000000)

static struct given_files files;
static struct authority *authority;
static struct prober_failure why;

static enum prober_error open_at(int64_t now_s)
{
    const struct authority_config config = {.dir = given_path(&files, "pki")};

    authority_close(authority);
    authority = NULL;
    return authority_open(&authority, &config, now_s, &why);
}

/* From what another authority made, as if an operator had brought it. */
static enum prober_error open_given(bool ca_certificate, bool ca_key, bool certificate, bool key)
{
    char paths[4][256];
    const struct authority_config config = {
        .dir = given_path(&files, "own"),
        .ca_certificate = ca_certificate ? paths[0] : "",
        .ca_key = ca_key ? paths[1] : NULL,
        .certificate = certificate ? paths[2] : NULL,
        .key = key ? paths[3] : NULL,
    };
    static const char *const names[] = {"pki/ca.crt", "pki/ca.key", "pki/server.pem",
                                        "pki/server.pem"};

    for (size_t i = 0; i < 4; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s/%s", files.dir, names[i]);
    authority_close(authority);
    authority = NULL;
    return authority_open(&authority, &config, NOW, &why);
}

static mode_t mode_of(const char *name)
{
    struct stat about;

    assert_int_equal(stat(given_path(&files, name), &about), 0);
    return about.st_mode & 0777;
}

static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = -2; /* . and .. */

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void the_first_start_makes_all_of_it(void **state)
{
    (void)state;
    assert_int_equal(open_at(NOW), PROBER_OK);
    assert_int_equal(authority_ca_identity(authority)->role, PKI_ROLE_CA);
    assert_int_equal(authority_server_identity(authority)->role, PKI_ROLE_SERVER);
    assert_non_null(authority_ca(authority));
    assert_int_equal(mode_of("pki"), 0700);
    assert_int_equal(mode_of("pki/ca.key"), 0600);
    assert_int_equal(mode_of("pki/server.pem"), 0600);
    assert_int_equal(entries(files.dir), 1);
}

static void a_restart_finds_what_was_made(void **state)
{
    struct pki_identity ca, server;
    (void)state;

    assert_int_equal(open_at(NOW), PROBER_OK);
    ca = *authority_ca_identity(authority);
    server = *authority_server_identity(authority);
    assert_int_equal(open_at(NOW + 1000), PROBER_OK);
    assert_memory_equal(authority_ca_identity(authority), &ca, sizeof(ca));
    assert_memory_equal(authority_server_identity(authority), &server, sizeof(server));
}

static void what_it_gives_serves_tls(void **state)
{
    struct channel_server_config config;
    struct channel_server *server = NULL;
    (void)state;

    for (int start = 0; start < 2; start++) {
        assert_int_equal(open_at(NOW), PROBER_OK);
        config =
            (struct channel_server_config){.certificate = authority_certificate_text(authority),
                                           .key = authority_key_text(authority),
                                           .ca = authority_ca_text(authority)};
        assert_int_equal(channel_server_open(&server, &config, &why), PROBER_OK);
        channel_server_close(server);
    }
}

static void the_servers_certificate_is_renewed_in_time(void **state)
{
    struct pki_identity first;
    bool changed;
    int64_t renewal_s;
    (void)state;

    assert_int_equal(open_at(NOW), PROBER_OK);
    first = *authority_server_identity(authority);
    renewal_s = pki_renewal_s(&first, 0);
    assert_int_equal(authority_renew(authority, renewal_s - 1, &changed, &why), PROBER_OK);
    assert_false(changed);
    assert_int_equal(authority_renew(authority, renewal_s, &changed, &why), PROBER_OK);
    assert_true(changed);
    assert_true(authority_server_identity(authority)->not_after_s > first.not_after_s);
    first = *authority_server_identity(authority);
    assert_int_equal(open_at(renewal_s), PROBER_OK);
    assert_memory_equal(authority_server_identity(authority), &first, sizeof(first));
}

static void a_damaged_or_foreign_server_certificate_is_issued_anew(void **state)
{
    static const char *const contents[] = {"", "nonsense", "-----BEGIN CERTIFICATE-----\n"};
    (void)state;

    assert_int_equal(open_at(NOW), PROBER_OK);
    for (size_t i = 0; i < 3; i++) {
        given_text(&files, "pki/server.pem", contents[i]);
        assert_int_equal(open_at(NOW), PROBER_OK);
        assert_int_equal(pki_check_key(authority_certificate_text(authority),
                                       authority_key_text(authority), &why),
                         PROBER_OK);
    }
    assert_int_equal(unlink(given_path(&files, "pki/ca.crt")), 0);
    assert_int_equal(unlink(given_path(&files, "pki/ca.key")), 0);
    assert_int_not_equal(open_at(NOW), PROBER_OK); /* the directory is not empty */
    assert_int_equal(entries(files.dir), 1);
}

static void an_authority_that_is_there_in_part_is_not_replaced(void **state)
{
    (void)state;
    assert_int_equal(open_at(NOW), PROBER_OK);
    assert_int_equal(rename(given_path(&files, "pki/ca.crt"), given_path(&files, "kept")), 0);
    assert_int_equal(open_at(NOW), PROBER_ERR_NOT_FOUND);
    assert_int_equal(rename(given_path(&files, "kept"), given_path(&files, "pki/ca.crt")), 0);
    assert_int_equal(unlink(given_path(&files, "pki/ca.key")), 0);
    assert_int_equal(open_at(NOW), PROBER_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "ca.key"));
}

static void a_key_that_others_can_read_is_refused(void **state)
{
    (void)state;
    assert_int_equal(open_at(NOW), PROBER_OK);
    assert_int_equal(chmod(given_path(&files, "pki/ca.key"), 0644), 0);
    assert_int_equal(open_at(NOW), PROBER_ERR_STATE);
    assert_non_null(strstr(why.text, "can be read by others"));
    assert_null(authority);
}

static void an_authority_that_has_expired_is_told(void **state)
{
    (void)state;
    assert_int_equal(open_at(NOW), PROBER_OK);
    assert_int_equal(open_at(NOW + PKI_CA_LIFE_S + 1), PROBER_ERR_STATE);
    assert_non_null(strstr(why.text, "certificate authority: the certificate expired on"));
}

static void without_a_place_nothing_is_made(void **state)
{
    const struct authority_config config = {.dir = given_path(&files, "no/such/place")};
    (void)state;

    assert_int_not_equal(authority_open(&authority, &config, NOW, &why), PROBER_OK);
    assert_null(authority);
    assert_int_equal(entries(files.dir), 0);
}

static void files_that_exist_are_used(void **state)
{
    struct pki_identity ca, server;
    bool changed;
    (void)state;

    assert_int_equal(open_at(NOW), PROBER_OK);
    ca = *authority_ca_identity(authority);
    server = *authority_server_identity(authority);
    assert_int_equal(open_given(true, true, true, true), PROBER_OK);
    assert_memory_equal(authority_ca_identity(authority), &ca, sizeof(ca));
    assert_memory_equal(authority_server_identity(authority), &server, sizeof(server));
    assert_non_null(authority_ca(authority));
    assert_int_equal(authority_renew(authority, NOW + PKI_SERVER_LIFE_S, &changed, &why),
                     PROBER_OK);
    assert_false(changed);
    assert_int_equal(open_given(true, false, true, true), PROBER_OK);
    assert_null(authority_ca(authority));
    assert_int_equal(entries(files.dir), 1); /* no directory of our own was needed */
    assert_int_equal(open_given(true, true, false, false), PROBER_OK);
    assert_memory_equal(authority_ca_identity(authority), &ca, sizeof(ca));
    assert_memory_not_equal(authority_server_identity(authority), &server, sizeof(server));
}

static void files_that_do_not_make_a_whole_are_refused(void **state)
{
    (void)state;
    assert_int_equal(open_at(NOW), PROBER_OK);
    assert_int_equal(open_given(true, false, false, false), PROBER_ERR_STATE);
    assert_int_equal(open_given(false, true, false, false), PROBER_ERR_STATE);
    assert_int_equal(open_given(true, true, true, false), PROBER_ERR_STATE);
    assert_int_equal(open_given(true, true, false, true), PROBER_ERR_STATE);
    given_text(&files, "pki/ca.key", "no key");
    assert_int_equal(open_given(true, true, false, false), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "ca.key"));
    given_text(&files, "pki/ca.crt", "");
    assert_int_equal(open_given(true, true, false, false), PROBER_ERR_SYNTAX);
}

static int set_up(void **state)
{
    (void)state;
    given_dir(&files);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    authority_close(authority);
    authority = NULL;
    given_dir_ends(&files);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_first_start_makes_all_of_it),
        TEST(a_restart_finds_what_was_made),
        TEST(what_it_gives_serves_tls),
        TEST(the_servers_certificate_is_renewed_in_time),
        TEST(a_damaged_or_foreign_server_certificate_is_issued_anew),
        TEST(an_authority_that_is_there_in_part_is_not_replaced),
        TEST(a_key_that_others_can_read_is_refused),
        TEST(an_authority_that_has_expired_is_told),
        TEST(without_a_place_nothing_is_made),
        TEST(files_that_exist_are_used),
        TEST(files_that_do_not_make_a_whole_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
