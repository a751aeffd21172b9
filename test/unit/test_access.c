#include "test/unit/unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "serverd/access.h"
#include "test/unit/fakes/fake_socket_owner.h"

#define READER "reader-0123456789"
#define OPERATOR "operator-0123456789"
#define ADMIN "admin-0123456789"
#define EXPIRED "expired-0123456789"

static struct {
    char tokens[64];
    struct problems *problems;
    struct access_rules *rules;
    struct access_header headers[80];
    struct access_request q;
    struct access_caller caller;
} world;

static const char tokens_text[] = "reader read " READER "\n"
                                  "operator operate " OPERATOR "\n"
                                  "admin admin " ADMIN "\n"
                                  "old admin " EXPIRED " until=2001-01-01\n";

static int begin(void **state)
{
    int fd;

    (void)state;
    snprintf(world.tokens, sizeof(world.tokens), "/tmp/test_access.XXXXXX");
    fd = mkstemp(world.tokens);
    if (fd < 0 || write(fd, tokens_text, strlen(tokens_text)) < 0)
        return -1;
    close(fd);
    fake_socket_owner_known = fake_socket_owner_own_address = true;
    fake_socket_owner_uid = geteuid();
    return problems_create(&world.problems);
}

static int end(void **state)
{
    (void)state;
    access_rules_put(world.rules);
    world.rules = NULL;
    problems_destroy(world.problems);
    return unlink(world.tokens);
}

static void given_rules(bool tokens, const char *const *flags)
{
    struct serverd_settings settings = {.config = NULL};
    const char *argv[16] = {"-server.http.tokens", tokens ? world.tokens : ""};
    int argc = 2;

    for (; flags && *flags; flags++)
        argv[argc++] = *flags;
    assert_int_equal(serverd_settings_load(&settings, argc, (char *const *)argv, NULL,
                                           world.problems),
                     PROBER_OK);
    access_rules_put(world.rules);
    assert_int_equal(access_rules_create(&world.rules, &settings, world.problems), PROBER_OK);
    serverd_settings_free(&settings);
}

/* A request of `peer` for a route that needs `role`: "Name: value" each, NULL at the end. */
static void given_request(const char *peer, enum role role, ...)
{
    static char texts[80][300];
    const char *header;
    va_list list;

    world.q = (struct access_request){.peer_port = 40000,
                                      .own_port = 6001,
                                      .version = "1.1",
                                      .path = "/-/reload",
                                      .headers = world.headers,
                                      .needed = role};
    assert_int_equal(prober_addr_parse(peer, &world.q.peer), PROBER_OK);
    va_start(list, role);
    while ((header = va_arg(list, const char *))) {
        char *text = texts[world.q.header_count], *colon;

        snprintf(text, sizeof(texts[0]), "%s", header);
        colon = strchr(text, ':');
        *colon = '\0';
        world.headers[world.q.header_count++] = (struct access_header){text, colon + 2};
    }
    va_end(list);
}

static void assert_judged(enum access_refusal expected)
{
    enum access_refusal judged =
        access_judge(world.rules, &world.q, UINT64_C(1700000000000000000), &world.caller);

    if (judged != expected)
        fail_msg("judged %s, not %s", judged ? access_reason(judged) : "granted",
                 expected ? access_reason(expected) : "granted");
}

#define LOCAL_HOST "Host: localhost:6001"
#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void root_and_the_servers_user_may_all_at_the_host_while_there_is_no_token(void **state)
{
    (void)state;
    given_rules(false, NULL);
    given_request("127.0.0.1", ROLE_ADMIN, LOCAL_HOST, "User-Agent: curl", NULL);
    assert_judged(ACCESS_GRANTED);
    assert_int_equal(world.caller.role, ROLE_ADMIN);
    assert_non_null(strstr(world.caller.who, "uid:"));
    fake_socket_owner_uid = 0;
    assert_judged(ACCESS_GRANTED);
    assert_string_equal(world.caller.who, "uid:0");
    given_request("::1", ROLE_OPERATE, "Host: [::1]:6001", NULL);
    assert_judged(ACCESS_GRANTED);
}

static void nobody_else_may_change_anything_without_tokens(void **state)
{
    (void)state;
    given_rules(false, NULL);
    given_request("10.0.0.1", ROLE_OPERATE, LOCAL_HOST, NULL);
    assert_judged(ACCESS_LOCAL);
    given_request("127.0.0.1", ROLE_OPERATE, LOCAL_HOST, NULL);
    fake_socket_owner_uid = geteuid() + 1;
    assert_judged(ACCESS_LOCAL);
    fake_socket_owner_uid = geteuid();
    fake_socket_owner_known = false;
    assert_judged(ACCESS_LOCAL);
    fake_socket_owner_known = true;
    given_request("127.0.0.1", ROLE_OPERATE, LOCAL_HOST, "Authorization: Bearer " ADMIN, NULL);
    assert_judged(ACCESS_GRANTED); /* not because of the header */
    given_request("127.0.0.1", ROLE_OPERATE, NULL);
    world.q.version = "1.0";
    assert_judged(ACCESS_LOCAL);
}

static void a_page_or_a_proxy_is_nobody_at_the_host(void **state)
{
    static const char *const headers[] = {
        "Origin: http://localhost",    "origin: null",
        "Referer: http://localhost/",  "Sec-Fetch-Site: same-origin",
        "Forwarded: for=127.0.0.1",    "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: https",    "X-Real-IP: 127.0.0.1",
        "Via: 1.1 proxy"};

    (void)state;
    given_rules(false, NULL);
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        given_request("127.0.0.1", ROLE_OPERATE, LOCAL_HOST, headers[i], NULL);
        assert_judged(ACCESS_LOCAL);
    }
}

static void a_change_at_the_host_names_loopback(void **state)
{
    static const struct {
        const char *host;
        enum access_refusal judged;
    } cases[] = {{"Host: LocalHost", ACCESS_GRANTED},   {"Host: 127.0.0.1:6001", ACCESS_GRANTED},
                 {"Host: 127.9.9.9", ACCESS_GRANTED},   {"Host: localhost.", ACCESS_GRANTED},
                 {"Host: 192.0.2.1", ACCESS_LOCAL},     {"Host: localhost.evil", ACCESS_HOST},
                 {"Host: 127.0.0.1.evil", ACCESS_HOST}, {"Host: admin.example", ACCESS_LOCAL}};

    (void)state;
    given_rules(false, FLAGS("-server.http.hosts", "admin.example"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        given_request("127.0.0.1", ROLE_OPERATE, cases[i].host, NULL);
        assert_judged(cases[i].judged);
    }
}

static void any_request_but_a_scrape_names_a_host_that_is_served(void **state)
{
    static const struct {
        const char *host;
        bool served;
    } cases[] = {{"Host: 10.0.0.1:6001", true},     {"Host: [2001:db8::1]", true},
                 {"Host: localhost", true},         {"Host: mesh.example:6001", true},
                 {"Host: MESH.example.", true},     {"Host: a.example", true},
                 {"Host: m.example:9", true},       {"Host: evil.example", false},
                 {"Host: mesh.example.evil", false}, {"Host: ", false},
                 {"Host: .", false},                {"Host: mesh.example@evil", false},
                 {"Host: evil/mesh.example", false}, {"Host: mesh.example:port", false},
                 {"Host: 10.0.0.1.evil.example", false}};

    (void)state;
    given_rules(true, FLAGS("-server.http.listen.addr", "mesh.example:6001",
                            "-server.http.metrics.addr", "m.example:6003", "-server.http.hosts",
                            "a.example,b.example"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        given_request("10.0.0.2", ROLE_READ, cases[i].host, NULL);
        assert_judged(cases[i].served ? ACCESS_GRANTED : ACCESS_HOST);
    }
    given_request("10.0.0.2", ROLE_SCRAPE, "Host: prober.of-ours.example:6001", NULL);
    assert_judged(ACCESS_GRANTED);
    given_request("10.0.0.2", ROLE_SCRAPE, "Host: evil/mesh.example", NULL);
    assert_judged(ACCESS_HOST);
    given_request("10.0.0.2", ROLE_NONE, "Host: a.example", "Host: a.example", NULL);
    assert_judged(ACCESS_HOST);
    given_request("10.0.0.2", ROLE_NONE, NULL);
    assert_judged(ACCESS_HOST);
    world.q.version = "1.0";
    assert_judged(ACCESS_GRANTED);
    given_request("10.0.0.2", ROLE_NONE, "Host: a.example", NULL);
    world.q.path = "http://a.example/-/ready";
    assert_judged(ACCESS_TARGET);
}

static void the_hosts_own_name_is_served(void **state)
{
    char name[200] = "", header[256];

    (void)state;
    given_rules(false, NULL);
    assert_int_equal(gethostname(name, sizeof(name) - 1), 0);
    snprintf(header, sizeof(header), "Host: %s:6001", name);
    given_request("10.0.0.2", ROLE_READ, header, NULL);
    assert_judged(ACCESS_GRANTED);
}

static void reading_is_open_or_closed(void **state)
{
    (void)state;
    given_rules(true, NULL);
    given_request("10.0.0.2", ROLE_READ, "Host: 10.0.0.1", NULL);
    assert_judged(ACCESS_GRANTED);
    given_rules(true, FLAGS("-server.http.read", "token"));
    assert_judged(ACCESS_MISSING);
    world.q.needed = ROLE_NONE;
    assert_judged(ACCESS_GRANTED);
    given_request("127.0.0.1", ROLE_READ, LOCAL_HOST, "Authorization: Bearer " READER, NULL);
    assert_judged(ACCESS_GRANTED);
    assert_string_equal(world.caller.who, "token:reader");
    given_rules(false, FLAGS("-server.http.read", "token"));
    given_request("10.0.0.2", ROLE_READ, "Host: 10.0.0.1", NULL);
    assert_judged(ACCESS_LOCAL);
    given_request("127.0.0.1", ROLE_READ, LOCAL_HOST, NULL);
    assert_judged(ACCESS_GRANTED);
}

static void with_tokens_a_change_needs_one_also_at_the_host(void **state)
{
    (void)state;
    given_rules(true, NULL);
    given_request("127.0.0.1", ROLE_OPERATE, LOCAL_HOST, NULL);
    assert_judged(ACCESS_MISSING);
    assert_int_equal(access_status(ACCESS_MISSING), 401);
}

#define ALL_BUT_HEALTH(refusal) {0, refusal, refusal, refusal, refusal}

static void the_role_of_a_token_decides(void **state)
{
    static const struct {
        const char *header;
        enum access_refusal judged[ROLE_COUNT];
    } cases[] = {
        {"Authorization: Bearer " READER, {0, 0, 0, ACCESS_ROLE, ACCESS_ROLE}},
        {"Authorization: bearer " OPERATOR, {0, 0, 0, 0, ACCESS_ROLE}},
        {"AUTHORIZATION: Bearer   " ADMIN, {0}},
        {"Authorization: Bearer " EXPIRED, ALL_BUT_HEALTH(ACCESS_EXPIRED)},
        {"Authorization: Bearer wrong", ALL_BUT_HEALTH(ACCESS_UNKNOWN)},
        {"Authorization: Bearer", ALL_BUT_HEALTH(ACCESS_UNKNOWN)},
        {"Authorization: Bearer " ADMIN " ", ALL_BUT_HEALTH(ACCESS_UNKNOWN)},
        {"Authorization: Bearer" ADMIN, ALL_BUT_HEALTH(ACCESS_MISSING)},
        {"Authorization: Basic " ADMIN, ALL_BUT_HEALTH(ACCESS_MISSING)},
        {"X-Authorization: Bearer " ADMIN, ALL_BUT_HEALTH(ACCESS_MISSING)}};

    (void)state;
    given_rules(true, FLAGS("-server.http.read", "token"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int role = ROLE_NONE; role < ROLE_COUNT; role++) {
            given_request("127.0.0.1", (enum role)role, LOCAL_HOST, cases[i].header, NULL);
            assert_judged(cases[i].judged[role]);
        }
    given_request("127.0.0.1", ROLE_READ, LOCAL_HOST, "Authorization: Bearer " ADMIN,
                  "Authorization: Bearer " READER, NULL);
    assert_judged(ACCESS_MISSING);
    given_request("127.0.0.1", ROLE_ADMIN, LOCAL_HOST, "Authorization: Bearer " OPERATOR, NULL);
    assert_judged(ACCESS_ROLE);
    assert_string_equal(world.caller.who, "token:operator"); /* for the log */
}

static void a_token_comes_in_the_clear_from_this_host_alone(void **state)
{
    (void)state;
    given_rules(true, NULL);
    given_request("10.0.0.2", ROLE_OPERATE, "Host: 10.0.0.1", "Authorization: Bearer " ADMIN, NULL);
    assert_judged(ACCESS_GRANTED); /* the address is this host's */
    fake_socket_owner_own_address = false;
    assert_judged(ACCESS_PLAIN);
    given_request("10.0.0.2", ROLE_OPERATE, "Host: 10.0.0.1", "Authorization: Bearer " ADMIN,
                  "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https", NULL);
    assert_judged(ACCESS_PLAIN); /* of no trusted proxy */
    given_rules(true, FLAGS("-server.http.plain-tokens"));
    assert_judged(ACCESS_GRANTED);
    assert_int_equal(world.caller.client.bytes[3], 2);
}

static void a_trusted_proxy_is_believed(void **state)
{
    static const struct {
        const char *headers[3];
        const char *client; /* NULL: refused as it makes no sense */
        bool secure;
    } cases[] = {
        {{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"}, "203.0.113.9", true},
        {{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http"}, "203.0.113.9", false},
        {{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9", false},
        {{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Proto: https"},
         "203.0.113.9",
         false},
        {{"X-Forwarded-For: 1.2.3.4, 203.0.113.9, 10.0.0.7", "X-Forwarded-Proto: HTTPS"},
         "203.0.113.9",
         true},
        {{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 203.0.113.9,10.0.0.7"},
         "203.0.113.9",
         false},
        {{"X-Forwarded-For: 10.0.0.8, 10.0.0.7"}, "10.0.0.8", false},
        {{"X-Forwarded-For: [2001:db8::1]:99, 10.0.0.7"}, "2001:db8::1", false},
        {{"X-Forwarded-For: ::ffff:203.0.113.9"}, "203.0.113.9", false},
        {{"X-Forwarded-For: 203.0.113.9", "Forwarded: for=1.2.3.4;proto=https"},
         "203.0.113.9",
         false},
        {{"Forwarded: for=203.0.113.9;proto=https"}, "203.0.113.9", true},
        {{"Forwarded: for=1.2.3.4, By=x; FOR=\"[2001:db8::1]:7\" ;Proto=\"https\""},
         "2001:db8::1",
         true},
        {{"Forwarded: for=203.0.113.9;proto=http"}, "203.0.113.9", false},
        {{"Forwarded: for=_hidden;proto=https"}, NULL, false},
        {{"Forwarded: proto=https"}, NULL, false},
        {{"Forwarded: for="}, NULL, false},
        {{"Forwarded: for=1.2.3.4", "Forwarded: for=1.2.3.4"}, NULL, false},
        {{"X-Forwarded-For: "}, NULL, false},
        {{"X-Forwarded-For: unknown"}, NULL, false},
        {{"X-Forwarded-For: 203.0.113.9,"}, NULL, false},
        {{"X-Forwarded-For: evil, 203.0.113.9"}, NULL, false},
        {{"X-Forwarded-For: 203.0.113.9 evil"}, NULL, false},
    };

    (void)state;
    given_rules(true, FLAGS("-server.http.trusted-proxies", "10.0.0.0/8,2001:db8:1::/48"));
    fake_socket_owner_own_address = false;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[PROBER_ADDR_TEXT_MAX];

        given_request("10.0.0.5", ROLE_OPERATE, "Host: 10.0.0.1", "Authorization: Bearer " ADMIN,
                      cases[i].headers[0], cases[i].headers[1],
                      cases[i].headers[1] ? cases[i].headers[2] : NULL, NULL);
        assert_judged(!cases[i].client ? ACCESS_FORWARDED
                      : cases[i].secure ? ACCESS_GRANTED
                                        : ACCESS_PLAIN);
        if (cases[i].client)
            assert_string_equal(prober_addr_format(&world.caller.client, text), cases[i].client);
    }
}

static void nobody_else_is_believed(void **state)
{
    char text[PROBER_ADDR_TEXT_MAX];

    (void)state;
    given_rules(true, FLAGS("-server.http.trusted-proxies", "10.0.0.0/8"));
    given_request("192.0.2.9", ROLE_READ, "Host: 10.0.0.1", "X-Forwarded-For: 127.0.0.1", NULL);
    assert_judged(ACCESS_GRANTED);
    assert_string_equal(prober_addr_format(&world.caller.client, text), "192.0.2.9");
    given_request("192.0.2.9", ROLE_READ, "Host: 10.0.0.1", "X-Forwarded-For: rubbish", NULL);
    assert_judged(ACCESS_GRANTED);
    given_rules(false, FLAGS("-server.http.trusted-proxies", "127.0.0.1"));
    given_request("127.0.0.1", ROLE_OPERATE, LOCAL_HOST, "X-Forwarded-For: 127.0.0.1",
                  "X-Forwarded-Proto: https", NULL);
    assert_judged(ACCESS_LOCAL); /* a proxy at this host is not this host's user */
}

static void endless_hops_make_no_sense(void **state)
{
    static char many[300] = "X-Forwarded-For: ";

    (void)state;
    given_rules(true, FLAGS("-server.http.trusted-proxies", "10.0.0.0/8"));
    while (strlen(many) < 280)
        strcat(many, "1.1.1.1,");
    strcat(many, "1.1.1.1");
    given_request("10.0.0.5", ROLE_READ, "Host: 10.0.0.1", many, many, many, NULL);
    assert_judged(ACCESS_FORWARDED);
}

static void what_makes_no_rules_is_told(void **state)
{
    static const struct {
        const char *flag, *value, *says;
    } cases[] = {{"-server.http.hosts", "a.example:6001", "'a.example:6001' is no name"},
                 {"-server.http.hosts", "http://a.example", "is no name"},
                 {"-server.http.trusted-proxies", "10.0.0.0/33", "10.0.0.0/33"},
                 {"-server.http.trusted-proxies", "proxy.example", "proxy.example"},
                 {"-server.http.tokens", "/nowhere/tokens", "/nowhere/tokens"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *argv[] = {(char *)(uintptr_t)cases[i].flag, (char *)(uintptr_t)cases[i].value};
        struct serverd_settings settings = {.config = NULL};

        problems_destroy(world.problems);
        assert_int_equal(problems_create(&world.problems), PROBER_OK);
        assert_int_equal(serverd_settings_load(&settings, 2, argv, NULL, world.problems),
                         PROBER_OK);
        assert_int_not_equal(access_rules_create(&world.rules, &settings, world.problems),
                             PROBER_OK);
        if (!strstr(problems_text(world.problems, 0), cases[i].says))
            fail_msg("'%s' does not say '%s'", problems_text(world.problems, 0), cases[i].says);
        serverd_settings_free(&settings);
    }
}

static void every_refusal_has_a_status_a_reason_and_a_text(void **state)
{
    (void)state;
    for (int i = ACCESS_GRANTED + 1; i < ACCESS_REFUSAL_COUNT; i++) {
        assert_in_range(access_status((enum access_refusal)i), 400, 403);
        assert_true(strlen(access_text((enum access_refusal)i)) > 10);
        assert_non_null(access_reason((enum access_refusal)i));
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(root_and_the_servers_user_may_all_at_the_host_while_there_is_no_token),
        TEST(nobody_else_may_change_anything_without_tokens),
        TEST(a_page_or_a_proxy_is_nobody_at_the_host),
        TEST(a_change_at_the_host_names_loopback),
        TEST(any_request_but_a_scrape_names_a_host_that_is_served),
        TEST(the_hosts_own_name_is_served),
        TEST(reading_is_open_or_closed),
        TEST(with_tokens_a_change_needs_one_also_at_the_host),
        TEST(the_role_of_a_token_decides),
        TEST(a_token_comes_in_the_clear_from_this_host_alone),
        TEST(a_trusted_proxy_is_believed),
        TEST(nobody_else_is_believed),
        TEST(endless_hops_make_no_sense),
        TEST(what_makes_no_rules_is_told),
        TEST(every_refusal_has_a_status_a_reason_and_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
