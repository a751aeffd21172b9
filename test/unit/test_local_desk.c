#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "serverd/local_desk.h"
#include "serverd/store.h"
#include "test/unit/fakes/fake_clock.h"
#include "test/unit/fakes/fake_log.h"
#include "test/unit/given_pki.h"

static struct given_pki pki; /* for all tests */

static struct {
    char dir[64];
    struct store *store;
    struct local_desk desk;
    struct prober_failure why;
    struct json *answer;
    unsigned woken;
    char seen[2048];
} world;

static const struct prober_id known_id = {{0xab, 1}}, plain_id = {{0xcd, 2}};
#define KNOWN "ab010000000000000000000000000000"
#define PLAIN "cd020000000000000000000000000000"
#define STRANGER "ef030000000000000000000000000000"

static void wake(void *context)
{
    (void)context;
    world.woken++;
}

static int begin_all(void **state)
{
    (void)state;
    given_pki_make(&pki);
    return 0;
}

static int end_all(void **state)
{
    (void)state;
    given_pki_free(&pki);
    return 0;
}

static void publish_agents(void)
{
    struct directory_agent agents[] = {
        {.id = known_id,
         .number = 1,
         .region = "欧洲",
         .version = "1",
         .os = "",
         .architecture = "",
         .trusted = true,
         .alive = true},
        {.id = plain_id, .number = 2, .region = "b", .version = "1", .os = "", .architecture = ""},
    };
    const struct directory from = {.agents = agents, .agent_count = 2};
    struct directory *directory;

    assert_int_equal(prober_addr_parse("192.0.2.7", &agents[0].observed), PROBER_OK);
    assert_int_equal(directory_create(&directory, &from), PROBER_OK);
    directory_publish(world.desk.board, directory);
}

static void open_enrolment(struct pki_ca *ca)
{
    struct enrolment_config config = {
        .ca = ca, .store = world.desk.store, .revocations = world.desk.revocations};

    memcpy(config.ca_fingerprint, pki_ca_identity(pki.ca)->fingerprint, DIGEST_SHA256_LEN);
    assert_int_equal(enrolment_create(&world.desk.enrolment, &config, &world.why), PROBER_OK);
}

static int begin(void **state)
{
    struct local_desk *desk = &world.desk;
    struct revocation_store kept;
    struct store_member member = {.agent_id = known_id,
                                  .region = "欧洲",
                                  .joined_s = GIVEN_NOW_S,
                                  .expires_s = GIVEN_NOW_S + 100};

    (void)state;
    memset(&world, 0, sizeof(world));
    fake_clock = (struct clock_reading){.mono_ns = CLOCK_NS_PER_S,
                                        .real_ns = (uint64_t)GIVEN_NOW_S * CLOCK_NS_PER_S};
    snprintf(world.dir, sizeof(world.dir), "/tmp/test_desk.XXXXXX");
    if (!mkdtemp(world.dir) || store_open(&world.store, world.dir, &world.why) || world.why.code ||
        store_trust_open(&desk->store, world.dir, &world.why) ||
        store_audit_open(&desk->audit, world.dir, &world.why))
        return -1;
    kept = store_trust_revocations(desk->store);
    if (revocations_create(&desk->revocations, &kept) || directory_board_create(&desk->board) ||
        store_trust_note(desk->store, &member, GIVEN_NOW_S, &world.why))
        return -1;
    open_enrolment(pki.ca);
    publish_agents();
    desk->listen = "0.0.0.0:6000";
    desk->port = 6000;
    desk->wake = wake;
    return 0;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    json_free(world.answer);
    enrolment_destroy(world.desk.enrolment);
    revocations_destroy(world.desk.revocations);
    store_trust_close(world.desk.store);
    store_audit_close(world.desk.audit);
    store_close(world.store);
    directory_board_destroy(world.desk.board);
    snprintf(command, sizeof(command), "rm -rf %s", world.dir);
    return system(command);
}

/* Asks; the answer is world.answer. */
static void ask(const char *line)
{
    struct strbuf text = STRBUF_INIT;

    json_free(world.answer);
    world.answer = NULL;
    local_desk_handle(&world.desk, 1000, line, strlen(line), &text);
    assert_true(strbuf_ok(&text));
    assert_null(strchr(text.bytes, '\n'));
    assert_int_equal(json_parse(&world.answer, text.bytes, text.len, &world.why), PROBER_OK);
    strbuf_free(&text);
}

static const char *text_of(const struct json *object, const char *key)
{
    const char *text = json_string(json_get(object, key));

    return text ? text : "-";
}

static void assert_done(void)
{
    if (json_get(world.answer, "error"))
        fail_msg("%s", text_of(world.answer, "error"));
}

static void assert_refused(const char *sentence)
{
    if (!strstr(text_of(world.answer, "error"), sentence))
        fail_msg("%s", text_of(world.answer, "error"));
}

static void note_row(void *context, const struct store_audit_row *row)
{
    (void)context;
    snprintf(world.seen, sizeof(world.seen), "%s %s %s %s %s %d", row->record.who,
             row->record.client, row->record.method, row->record.target, row->record.body,
             row->status);
}

static const char *last_change(void)
{
    strcpy(world.seen, "none");
    assert_int_equal(store_audit_read(world.desk.audit, INT64_MAX, 1, note_row, NULL, &world.why),
                     PROBER_OK);
    return world.seen;
}

static void a_token_is_made_and_is_on_record_without_its_secret(void **state)
{
    struct join_token token;
    const char *text;

    (void)state;
    ask("{\"command\":\"join-token make\",\"region\":\"欧洲\",\"ttl_s\":60,\"uses\":2}");
    assert_done();
    text = text_of(world.answer, "token");
    assert_int_equal(join_token_parse(text, strlen(text), &token, &world.why), PROBER_OK);
    assert_memory_equal(token.ca_fingerprint, pki_ca_identity(pki.ca)->fingerprint,
                        DIGEST_SHA256_LEN);
    assert_string_equal(text_of(world.answer, "listen"), "0.0.0.0:6000");
    assert_string_equal(last_change(),
                        "uid:1000 local COMMAND join-token make {\"command\":\"join-token "
                        "make\",\"region\":\"欧洲\",\"ttl_s\":\"60\",\"uses\":\"2\"} 200");
}

static void a_token_is_listed_by_the_name_that_it_was_made_with(void **state)
{
    char name[64], line[128];
    const struct json *token;

    (void)state;
    ask("{\"command\":\"join-token make\",\"region\":\"a\"}");
    snprintf(name, sizeof(name), "%s", text_of(world.answer, "name"));
    ask("{\"command\":\"join-token list\"}");
    assert_done();
    assert_int_equal(json_count(json_get(world.answer, "tokens")), 1);
    token = json_at(json_get(world.answer, "tokens"), 0);
    assert_string_equal(text_of(token, "name"), name);
    assert_string_equal(text_of(token, "region"), "a");
    snprintf(line, sizeof(line), "{\"command\":\"join-token revoke\",\"name\":\"%s\"}", name);
    ask(line);
    assert_done();
    ask(line);
    assert_refused("no join token of this name");
    ask("{\"command\":\"join-token list\"}");
    assert_int_equal(json_count(json_get(world.answer, "tokens")), 0);
}

static void what_is_refused_is_on_record_as_refused(void **state)
{
    (void)state;
    ask("{\"command\":\"join-token make\",\"uses\":100000}");
    assert_refused("1 to 1000 uses");
    assert_non_null(strstr(last_change(), " 400"));
    ask("{\"command\":\"agents unrevoke\",\"agent\":\"" KNOWN "\"}");
    assert_refused("no agent of this id is revoked");
    assert_non_null(strstr(last_change(), " 404"));
}

static void what_cannot_be_recorded_is_not_done(void **state)
{
    struct store_audit *audit = world.desk.audit;

    (void)state;
    world.desk.audit = NULL;
    ask("{\"command\":\"agents revoke\",\"agent\":\"" KNOWN "\"}");
    world.desk.audit = audit;
    assert_refused("store does not work");
    assert_int_equal(revocations_count(world.desk.revocations), 0);
    assert_string_equal(last_change(), "none");
}

static void a_revoked_agent_is_revoked_at_once(void **state)
{
    bool known;

    (void)state;
    ask("{\"command\":\"agents revoke\",\"agent\":\"" KNOWN "\"}");
    assert_done();
    assert_int_equal(world.woken, 1);
    assert_int_equal(json_bool(json_get(world.answer, "known"), &known), PROBER_OK);
    assert_true(known);
    assert_true(revocations_has_id(world.desk.revocations, &known_id));
    ask("{\"command\":\"agents revoke\",\"agent\":\"" KNOWN "\"}");
    assert_refused("revoked already");
    ask("{\"command\":\"agents unrevoke\",\"agent\":\"" KNOWN "\"}");
    assert_done();
    assert_false(revocations_has_id(world.desk.revocations, &known_id));
}

static void an_agent_that_is_not_known_here_can_be_revoked_too(void **state)
{
    bool known = true;

    (void)state;
    ask("{\"command\":\"agents revoke\",\"agent\":\"" STRANGER "\"}");
    assert_done();
    assert_int_equal(json_bool(json_get(world.answer, "known"), &known), PROBER_OK);
    assert_false(known);
    assert_int_equal(revocations_count(world.desk.revocations), 1);
}

static void agents_are_listed_with_what_is_known_of_each(void **state)
{
    size_t len = 0;

    (void)state;
    ask("{\"command\":\"agents revoke\",\"agent\":\"" STRANGER "\"}");
    ask("{\"command\":\"agents list\"}");
    assert_done();
    for (const struct json *a = json_first(json_get(world.answer, "agents")); a; a = json_next(a))
        len += (size_t)snprintf(world.seen + len, sizeof(world.seen) - len, "%.2s %s %s %s%s\n",
                                text_of(a, "id"), text_of(a, "region"), text_of(a, "address"),
                                text_of(a, "trust"), json_get(a, "revoked_s") ? " revoked" : "");
    assert_string_equal(world.seen, "cd b  plain\nab 欧洲 192.0.2.7 joined\nef   joined revoked\n");
}

static void without_the_authoritys_key_no_token_is_made(void **state)
{
    (void)state;
    enrolment_destroy(world.desk.enrolment);
    open_enrolment(NULL);
    ask("{\"command\":\"join-token make\"}");
    assert_refused("private key of its authority");
    ask("{\"command\":\"join-token list\"}");
    assert_done();
}

static void what_is_no_request_is_refused_and_not_on_record(void **state)
{
    (void)state;
    ask("nonsense");
    assert_refused("line 1");
    assert_string_equal(last_change(), "none");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_made_and_is_on_record_without_its_secret),
        TEST(a_token_is_listed_by_the_name_that_it_was_made_with),
        TEST(what_is_refused_is_on_record_as_refused),
        TEST(what_cannot_be_recorded_is_not_done),
        TEST(a_revoked_agent_is_revoked_at_once),
        TEST(an_agent_that_is_not_known_here_can_be_revoked_too),
        TEST(agents_are_listed_with_what_is_known_of_each),
        TEST(without_the_authoritys_key_no_token_is_made),
        TEST(what_is_no_request_is_refused_and_not_on_record),
    };

    return cmocka_run_group_tests(tests, begin_all, end_all);
}
