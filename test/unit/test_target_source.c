#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "libprober/spec.h"

static struct problems *problems;
static struct probe_spec *spec;

static int begin(void **state)
{
    (void)state;
    spec = NULL;
    return problems_create(&problems);
}

static int end(void **state)
{
    (void)state;
    probe_spec_destroy(spec);
    problems_destroy(problems);
    return 0;
}

static void read_text(const char *more)
{
    char text[2048];

    end(NULL);
    begin(NULL);
    snprintf(text, sizeof(text), "prober_configs:\n- prober_type: http\n%s", more);
    probe_spec_read_text(&spec, "p.yaml", text, strlen(text), problems);
}

static const struct target_source *given_source(const char *more)
{
    read_text(more);
    if (!spec)
        fail_msg("%s", problems_text(problems, 0));
    assert_int_equal(spec->entries[0].list_count, 1);
    return spec->entries[0].lists[0];
}

static void expect_problem(const char *more, const char *told)
{
    read_text(more);
    assert_null(spec);
    if (problems_count(problems) != 1 || !strstr(problems_text(problems, 0), told))
        fail_msg("%s\nwas told (%zu): %s", more, problems_count(problems),
                 problems_text(problems, 0));
}

static void an_entry_may_have_lists_instead_of_targets(void **state)
{
    (void)state;
    read_text("  file_sd_configs:\n"
              "  - files: [a.json, 'd/tg_*.yml']\n"
              "  - {files: [/b.yaml], refresh_interval: 30s}\n"
              "  http_sd_configs:\n"
              "  - url: https://sd.example/targets?key=1\n");
    assert_non_null(spec);
    assert_int_equal(spec->entries[0].target_count, 0);
    assert_int_equal(spec->entries[0].list_count, 3);
    assert_int_equal(spec->entries[0].lists[0]->file_count, 2);
    assert_string_equal(spec->entries[0].lists[0]->files[1], "d/tg_*.yml");
    assert_true(spec->entries[0].lists[0]->refresh_ns == 300 * CLOCK_NS_PER_S);
    assert_true(spec->entries[0].lists[1]->refresh_ns == 30 * CLOCK_NS_PER_S);
    assert_int_equal(spec->entries[0].lists[2]->kind, TARGET_SOURCE_HTTP);
    assert_string_equal(spec->entries[0].lists[2]->url, "https://sd.example/targets?key=1");
    assert_true(spec->entries[0].lists[2]->refresh_ns == 60 * CLOCK_NS_PER_S);
}

static void what_people_see_of_a_source_holds_no_secret(void **state)
{
    const struct target_source *source =
        given_source("  http_sd_configs:\n"
                     "  - url: http://sd.example/t?key=hush#x\n"
                     "    basic_auth: {username: me, password: hush}\n");
    struct strbuf dump = STRBUF_INIT;

    (void)state;
    assert_string_equal(source->shown, "http://sd.example/t");
    assert_string_equal(source->client->basic_auth->password.text, "hush");
    probe_spec_put(&dump, spec);
    assert_non_null(strstr(dump.bytes, "\"username\":\"me\""));
    assert_null(strstr(strstr(dump.bytes, "password"), "hush"));
    strbuf_free(&dump);
    source = given_source("  file_sd_configs: [{files: [a.json, b.yml]}]\n");
    assert_string_equal(source->shown, "a.json,b.yml");
}

static void a_dumped_source_reads_back_as_the_same(void **state)
{
    const struct target_source *source =
        given_source("  http_sd_configs:\n"
                     "  - {url: 'HTTPS://Sd.example:8443', refresh_interval: 90s,\n"
                     "     proxy_url: 'http://proxy:3128', enable_http2: false,\n"
                     "     tls_config: {insecure_skip_verify: true}}\n");
    struct strbuf dump = STRBUF_INIT;
    char *id = strdup(source->id);

    (void)state;
    probe_spec_put(&dump, spec);
    probe_spec_destroy(spec);
    spec = NULL;
    if (probe_spec_read_text(&spec, "p.yaml", dump.bytes, dump.len, problems))
        fail_msg("%s\n%s", dump.bytes, problems_text(problems, 0));
    assert_string_equal(spec->entries[0].lists[0]->id, id);
    strbuf_free(&dump);
    free(id);
}

static void sources_differ_by_where_and_how_they_are_read(void **state)
{
    static const char *const texts[] = {
        "  file_sd_configs: [{files: [a.json]}]\n",
        "  file_sd_configs: [{files: [a.json, b.json]}]\n",
        "  file_sd_configs: [{files: [b.json]}]\n",
        "  http_sd_configs: [{url: 'http://a/'}]\n",
        "  http_sd_configs: [{url: 'http://a/?x'}]\n",
        "  http_sd_configs: [{url: 'http://a/', basic_auth: {password: x}}]\n",
        "  http_sd_configs: [{url: 'http://a/', basic_auth: {password: y}}]\n",
    };
    char *ids[ARRAY_LEN(texts)];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        ids[i] = strdup(given_source(texts[i])->id);
        assert_string_equal(given_source(texts[i])->id, ids[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(ids[i], ids[k]);
    }
    assert_string_equal(
        given_source("  file_sd_configs: [{files: [a.json], refresh_interval: 1m}]\n")->id, ids[0]);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(ids[i]);
}

static void relative_paths_begin_where_the_probe_file_is(void **state)
{
    char dir[] = "/tmp/test_target_source.XXXXXX", path[128];
    const struct target_source *source;
    char *whole;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/p.yaml", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("prober_configs:\n- {prober_type: icmp, file_sd_configs: [{files: [t/a.json]}]}\n", f);
    fclose(f);
    assert_int_equal(probe_spec_read_file(&spec, path, problems), PROBER_OK);
    source = spec->entries[0].lists[0];
    whole = target_source_path(source, source->files[0]);
    assert_memory_equal(whole, dir, strlen(dir));
    assert_string_equal(whole + strlen(dir), "/t/a.json");
    free(whole);
    whole = target_source_path(source, "/elsewhere.json");
    assert_string_equal(whole, "/elsewhere.json");
    free(whole);
    unlink(path);
    rmdir(dir);
}

static void faults_say_what_and_where(void **state)
{
    static const struct {
        const char *text, *told;
    } cases[] = {
        {"  file_sd_configs: a.json\n",
         "p.yaml:3:prober_configs[0].file_sd_configs: expected a li"},
        {"  file_sd_configs: []\n", "expected a list of 1 to 100"},
        {"  file_sd_configs: [a.json]\n", "file_sd_configs[0]: expected a mapping"},
        {"  file_sd_configs: [{}]\n", "file_sd_configs[0].files: missing"},
        {"  file_sd_configs: [{files: a.json}]\n", ".files: expected a list of 1 to 100 paths"},
        {"  file_sd_configs:\n  - files: [a.json]\n    interval: 1m\n",
         "p.yaml:5:prober_configs[0].file_sd_configs[0].interval: unknown key"},
        {"  file_sd_configs: [{files: [a.txt]}]\n", ".files[0]: a path must end in"},
        {"  file_sd_configs: [{files: ['*/a.json']}]\n", "one *, in its last segment"},
        {"  file_sd_configs: [{files: ['a*b*.json']}]\n", "one *, in its last segment"},
        {"  file_sd_configs: [{files: [a.json], refresh_interval: 1ms}]\n", "must be 1s to 30d"},
        {"  http_sd_configs: [{}]\n", "http_sd_configs[0].url: missing"},
        {"  http_sd_configs: [{url: sd.example}]\n", "begins with http:// or https://"},
        {"  http_sd_configs: [{url: 'ftp://a'}]\n", "begins with http:// or https://"},
        {"  http_sd_configs: [{url: 'http://me:hush@a'}]\n", "they belong in basic_auth"},
        {"  http_sd_configs: [{url: 'http://a', refresh_interval: soon}]\n", "a duration such as"},
        {"  http_sd_configs: [{url: 'http://a', nonsense: 1}]\n",
         "http_sd_configs[0].nonsense: unknown key"},
        {"  http_sd_configs: [{url: 'http://a', method: GET}]\n", "unknown key"},
        {"  http_sd_configs: [{url: 'http://a', follow_redirects: true}]\n",
         "http_sd_configs[0].follow_redirects: not supported"},
        {"  http_sd_configs: [{url: 'http://a', proxy_from_environment: true}]\n",
         "proxy_from_environment: not supported"},
        {"  http_sd_configs: [{url: 'http://a', tls_config: {server_name: b}}]\n",
         "tls_config.server_name: not supported"},
        {"  http_sd_configs: [{url: 'http://a', oauth2: {client_id: a, token_url: 'http://b'}}]\n",
         "oauth2: not supported"},
        {"  http_sd_configs: [{url: 'http://a', basic_auth: {}, bearer_token: x}]\n", "not both"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_problem(cases[i].text, cases[i].told);
}

static void a_file_has_not_any_number_of_lists(void **state)
{
    struct strbuf text = STRBUF_INIT;

    (void)state;
    strbuf_puts(&text, "prober_configs:\n");
    for (int i = 0; i < 11; i++) {
        strbuf_puts(&text, "- prober_type: http\n  file_sd_configs:\n");
        for (int k = 0; k < 100 && (i < 10 || k < 1); k++)
            strbuf_puts(&text, "  - files: [a.json]\n");
    }
    assert_int_equal(probe_spec_read_text(&spec, "p.yaml", text.bytes, text.len, problems),
                     PROBER_ERR_SYNTAX);
    assert_int_equal(problems_count(problems), 1);
    assert_non_null(
        strstr(problems_text(problems, 0), "[10].file_sd_configs: more than 1000 lists"));
    strbuf_free(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(an_entry_may_have_lists_instead_of_targets),
        TEST(what_people_see_of_a_source_holds_no_secret),
        TEST(a_dumped_source_reads_back_as_the_same),
        TEST(sources_differ_by_where_and_how_they_are_read),
        TEST(relative_paths_begin_where_the_probe_file_is),
        TEST(faults_say_what_and_where),
        TEST(a_file_has_not_any_number_of_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
