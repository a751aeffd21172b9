#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "serverd/api.h"
#include "serverd/plan.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)
#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)

static void assert_prints(struct json *value, const char *expected)
{
    char *text = json_print(value, false);

    json_free(value);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

/* A directory of two agents, of which that of region "b" is dead, and a file that names "dns". */
static struct directory *given_directory(void)
{
    static const char yaml[] =
        "prober_configs:\n"
        "- {prober_type: icmp, region: dns, targets: [192.0.2.53]}\n"
        "- {prober_type: icmp, region: dns, targets: [192.0.2.54]}\n"
        "- {prober_type: http, region: dns, targets: [example.org, 'u:p@a/b', 'a/@']}\n";
    const struct plan_config config = {
        .dynamic = true, .full_below = 9, .agents_per_pair = 1, .targets_per_pair = 1};
    struct prober_addr addresses[2];
    struct plan_agent living = {.region = "a", .addresses = addresses, .address_count = 2};
    struct directory_agent agents[2] = {
        {.id = {{0xab}},
         .number = 4,
         .region = "a",
         .version = "1.0",
         .os = "linux",
         .architecture = "x86_64",
         .addresses = addresses,
         .address_count = 2,
         .alive = true,
         .first_seen_real_ns = S(100),
         .last_seen_real_ns = S(200),
         .probe_interval_ns = S(15),
         .spool_dropped = 3},
        {.number = 5, .region = "b"},
    };
    struct directory from = {.plan_revision = 6, .agents = agents, .agent_count = 2};
    struct problems *problems;
    struct probe_spec *spec;
    struct directory *d;
    struct plan *plan;

    assert_int_equal(prober_addr_parse("10.0.0.1", &addresses[0]), PROBER_OK);
    assert_int_equal(prober_addr_parse("fd00::1", &addresses[1]), PROBER_OK);
    agents[0].observed = addresses[0];
    assert_int_equal(problems_create(&problems), PROBER_OK);
    assert_int_equal(probe_spec_read_text(&spec, "p", yaml, strlen(yaml), problems), PROBER_OK);
    assert_int_equal(plan_create(&plan, &config, spec, &living, 1, 1), PROBER_OK);
    from.plan = plan;
    assert_int_equal(directory_create(&d, &from), PROBER_OK);
    plan_put(plan);
    probe_spec_destroy(spec);
    problems_destroy(problems);
    return d;
}

static void targets_have_the_shape_of_the_original(void **state)
{
    struct directory *d = given_directory();

    (void)state;
    assert_prints(api_targets_json(d),
                  "{\"a\":[{\"prober_type\":\"icmp\",\"targets\":[\"10.0.0.1\",\"fd00::1\"]}],"
                  "\"dns\":[{\"prober_type\":\"icmp\",\"targets\":[\"192.0.2.53\"]},"
                  "{\"prober_type\":\"icmp\",\"targets\":[\"192.0.2.54\"]},"
                  "{\"prober_type\":\"http\",\"targets\":[\"example.org\",\"http://a/b\",\"a/"
                  "@\"]}],\"b\":null}");
    directory_put(d);
}

static void agents_are_told_with_their_age(void **state)
{
    struct directory *d = given_directory();

    (void)state;
    assert_prints(
        api_agents_json(d, S(203)),
        "{\"plan_revision\":6,\"agents\":[{\"id\":\"ab000000000000000000000000000000\","
        "\"number\":4,\"region\":\"a\",\"alive\":true,\"addresses\":[\"10.0.0.1\",\"fd00::1\"],"
        "\"observed_address\":\"10.0.0.1\",\"version\":\"1.0\",\"os\":\"linux\","
        "\"architecture\":\"x86_64\",\"trust\":\"plain\",\"probe_interval\":15,\"first_seen\":100,"
        "\"last_seen\":200,\"last_seen_age\":3,\"spool_reports\":0,\"spool_dropped\":3},"
        "{\"id\":\"00000000000000000000000000000000\",\"number\":5,\"region\":\"b\","
        "\"alive\":false,\"addresses\":[],\"observed_address\":null,\"version\":\"\",\"os\":\"\","
        "\"architecture\":\"\",\"trust\":\"plain\",\"probe_interval\":0,\"first_seen\":0,"
        "\"last_seen\":0,\"last_seen_age\":203,\"spool_reports\":0,\"spool_dropped\":0}]}");
    directory_put(d);
}

static struct json *mesh_of(struct mesh_pair *pair)
{
    const struct mesh mesh = {.made_mono_ns = S(50),
                              .made_real_ns = S(1000),
                              .number = 2,
                              .pairs = pair,
                              .pair_count = 1};

    return api_mesh_json(&mesh, S(51));
}

static void a_pair_is_told_in_seconds(void **state)
{
    struct mesh_pair pair = {
        .source = "a",
        .target = "b",
        .planned = true,
        .has_gauges = true,
        .age_ns = MS(500),
        .window =
            {
                .cells = 2,
                .failed_cells = 1,
                .counts =
                    {.sent = 8, .received = 4, .lost_timeout = 3, .lost_ttl = 1, .unsent_late = 2},
                .p50_ns = 2e6,
                .p90_ns = 3e6,
                .p99_ns = 4e6,
                .jitter_ns = 1e6,
            },
        .total = {.sent = 80, .received = 70, .lost_timeout = 9, .unknown = 1},
    };

    (void)state;
    for (int i = 0; i < 2; i++) {
        moments_add(&pair.window.rtt, MS(1));
        moments_add(&pair.window.rtt, MS(3));
    }
    assert_prints(
        mesh_of(&pair),
        "{\"aggregation\":2,\"aggregated_at\":1000,\"pairs\":[{\"source\":\"a\",\"target\":\"b\","
        "\"planned\":true,\"sent\":8,\"received\":4,\"lost\":4,\"unknown\":0,\"unsent\":2,"
        "\"loss_ratio\":0.5,\"mean\":0.002,\"stddev\":0.001,\"min\":0.001,\"p50\":0.002,"
        "\"p90\":0.003,\"p99\":0.004,\"max\":0.003,\"jitter\":0.001,\"failed\":false,\"cells\":2,"
        "\"failed_cells\":1,\"age\":1.5,\"total\":{\"sent\":80,\"received\":70,\"lost\":9,"
        "\"unknown\":1,\"unsent\":0}}]}");
}

static void a_pair_that_lost_everything_is_failed_and_has_no_rtt(void **state)
{
    struct mesh_pair pair = {
        .source = "a",
        .target = "b",
        .has_gauges = true,
        .window = {.cells = 1, .failed_cells = 1, .counts = {.sent = 8, .lost_timeout = 8}},
    };

    (void)state;
    assert_prints(
        mesh_of(&pair),
        "{\"aggregation\":2,\"aggregated_at\":1000,\"pairs\":[{\"source\":\"a\",\"target\":\"b\","
        "\"planned\":false,\"sent\":8,\"received\":0,\"lost\":8,\"unknown\":0,\"unsent\":0,"
        "\"loss_ratio\":1,\"mean\":null,\"stddev\":null,\"min\":null,\"p50\":null,\"p90\":null,"
        "\"p99\":null,\"max\":null,\"jitter\":null,\"failed\":true,\"cells\":1,\"failed_cells\":1,"
        "\"age\":1,\"total\":{\"sent\":0,\"received\":0,\"lost\":0,\"unknown\":0,\"unsent\":0}}]}");
}

static void a_pair_without_a_window_has_no_values(void **state)
{
    struct mesh_pair pair = {.source = "a", .target = "b", .planned = true};

    (void)state;
    assert_prints(
        mesh_of(&pair),
        "{\"aggregation\":2,\"aggregated_at\":1000,\"pairs\":[{\"source\":\"a\",\"target\":\"b\","
        "\"planned\":true,\"sent\":null,\"received\":null,\"lost\":null,\"unknown\":null,"
        "\"unsent\":null,\"loss_ratio\":null,\"mean\":null,\"stddev\":null,\"min\":null,"
        "\"p50\":null,\"p90\":null,\"p99\":null,\"max\":null,\"jitter\":null,\"failed\":false,"
        "\"cells\":null,\"failed_cells\":null,\"age\":null,\"total\":{\"sent\":0,\"received\":0,"
        "\"lost\":0,\"unknown\":0,\"unsent\":0}}]}");
}

static struct json *http_of(struct mesh_url *url)
{
    const struct mesh mesh = {
        .made_mono_ns = S(50), .made_real_ns = S(1000), .number = 2, .urls = url, .url_count = 1};

    return api_http_json(&mesh, S(51));
}

static void a_url_is_told_in_seconds_with_its_reasons(void **state)
{
    struct mesh_url url = {
        .source = "a",
        .region = "b",
        .target = "https://example.com/",
        .planned = true,
        .has_gauges = true,
        .age_ns = MS(500),
        .window = {.agents = 3,
                   .ended = {[HTTP_SUCCEEDED] = 1, [HTTP_FAILED_STATUS_CODE] = 2},
                   .phases_ns = {1e6, 2e6, 3e6, 4e6, 5e6},
                   .duration_ns = 15e6,
                   .status = 503,
                   .version = 20,
                   .tls_version = 0x0304,
                   .redirects = 1,
                   .content_length = 1,
                   .body_length = 11,
                   .dns_answers = 2,
                   .earliest_cert_expiry = 1800000000,
                   .last_chain_expiry = 1800000001},
        .total = {.ended = {[HTTP_SUCCEEDED] = 7,
                            [HTTP_FAILED_TIMEOUT] = 1,
                            [HTTP_FAILED_LOCAL] = 2,
                            [HTTP_REASON_UNKNOWN] = 1},
                  .unsent_late = 3},
        .total_failed = 2,
    };

    (void)state;
    assert_prints(
        http_of(&url),
        "{\"aggregation\":2,\"aggregated_at\":1000,\"urls\":[{\"source\":\"a\","
        "\"target_region\":\"b\",\"target\":\"https://example.com/\",\"planned\":true,"
        "\"agents\":3,\"succeeded\":1,\"failed\":{\"status_code\":2},\"phases\":{\"resolve\":0.001,"
        "\"connect\":0.002,\"tls\":0.003,\"processing\":0.004,\"transfer\":0.005},"
        "\"duration\":0.015,\"status_code\":503,\"http_version\":\"2\",\"tls_version\":\"TLS 1.3\","
        "\"redirects\":0,\"content_length\":0,\"body_length\":10,\"dns_answers\":2,"
        "\"ssl_earliest_cert_expiry\":1800000000,\"ssl_last_chain_expiry\":1800000001,\"age\":1.5,"
        "\"total\":{\"probes\":9,\"succeeded\":7,\"failed\":2,\"unsent\":5,"
        "\"failures\":{\"timeout\":1,\"unknown\":1}}}]}");
}

static void a_url_without_a_probe_has_no_values(void **state)
{
    struct mesh_url url = {.source = "a", .region = "b", .target = "x", .planned = true};

    (void)state;
    assert_prints(
        http_of(&url),
        "{\"aggregation\":2,\"aggregated_at\":1000,\"urls\":[{\"source\":\"a\","
        "\"target_region\":\"b\",\"target\":\"x\",\"planned\":true,\"agents\":null,"
        "\"succeeded\":null,\"failed\":null,\"phases\":{\"resolve\":null,\"connect\":null,"
        "\"tls\":null,\"processing\":null,\"transfer\":null},\"duration\":null,"
        "\"status_code\":null,\"http_version\":null,\"tls_version\":null,\"redirects\":null,"
        "\"content_length\":null,\"body_length\":null,\"dns_answers\":null,"
        "\"ssl_earliest_cert_expiry\":null,\"ssl_last_chain_expiry\":null,\"age\":null,"
        "\"total\":{\"probes\":0,\"succeeded\":0,\"failed\":0,\"unsent\":0,\"failures\":{}}}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_have_the_shape_of_the_original),
        cmocka_unit_test(agents_are_told_with_their_age),
        cmocka_unit_test(a_pair_is_told_in_seconds),
        cmocka_unit_test(a_pair_that_lost_everything_is_failed_and_has_no_rtt),
        cmocka_unit_test(a_pair_without_a_window_has_no_values),
        cmocka_unit_test(a_url_is_told_in_seconds_with_its_reasons),
        cmocka_unit_test(a_url_without_a_probe_has_no_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
