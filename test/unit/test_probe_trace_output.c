#include "agentd/probe_trace_output.h"

#include <errno.h>
#include <string.h>

#include "common/json.h"
#include "unit.h"

#define MS(n) ((uint64_t)(n)*1000000)

static struct trace_flow flow;
static struct trace_hop hops[3];
static struct trace_report report;
static struct probe_trace_result result;
static struct strbuf out = STRBUF_INIT;

static struct prober_addr addr(const char *text)
{
    struct prober_addr a;

    assert_int_equal(prober_addr_parse(text, &a), PROBER_OK);
    return a;
}

/* A path of three hops: a router, a silent one, the target. */
static int set_up(void **state)
{
    (void)state;
    flow = (struct trace_flow){.protocol = TRACE_UDP,
                               .source = addr("192.0.2.1"),
                               .target = addr("198.51.100.9"),
                               .identifier = 40000,
                               .port = 33434};
    memset(hops, 0, sizeof(hops));
    hops[0] = (struct trace_hop){
        .sent = 10,
        .received = 9,
        .lost = 1,
        .rtt = {.count = 9,
                .last_ns = MS(2),
                .min_ns = MS(1),
                .max_ns = MS(3),
                .p50_ns = MS(2),
                .p90_ns = MS(3),
                .p99_ns = MS(3),
                .mean_ns = 1.5e6,
                .stddev_ns = 0.5e6},
        .responders = {{.address = addr("10.0.0.1"), .answers = 9}},
        .responder_count = 1,
    };
    hops[1] = (struct trace_hop){.sent = 10, .lost = 10, .remark = TRACE_NEVER_ANSWERS};
    hops[2] = hops[0];
    hops[2].responders[0].address = flow.target;
    hops[2].is_target = true;
    report =
        (struct trace_report){.flow = &flow, .end = TRACE_END_TARGET, .hop_count = 3, .hops = hops};
    result = (struct probe_trace_result){
        .target = "example.net", .address = flow.target, .resolve_ns = MS(5), .report = &report};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&out);
    return 0;
}

static const char *text(void)
{
    strbuf_clear(&out);
    probe_trace_output_text(&out, &result);
    return out.bytes;
}

static const char *json(void)
{
    struct json *parsed = NULL;

    strbuf_clear(&out);
    probe_trace_output_json(&out, &result);
    assert_int_equal(json_parse(&parsed, out.bytes, out.len - 1, NULL), PROBER_OK);
    json_free(parsed);
    assert_ptr_equal(strchr(out.bytes, '\n'), out.bytes + out.len - 1);
    return out.bytes;
}

static void a_table_has_a_line_for_each_hop(void **state)
{
    (void)state;
    assert_string_equal(
        text(),
        "example.net (198.51.100.9) by udp from 192.0.2.1\n"
        "hop  address                    loss  sent    last     avg    best   worst   stdev\n"
        "  1  10.0.0.1                  10.0%    10    2.00    1.50    1.00    3.00    0.50\n"
        "  2  ???                      100.0%    10       -       -       -       -       -"
        "  never answers; the path goes on\n"
        "  3  198.51.100.9              10.0%    10    2.00    1.50    1.00    3.00    0.50\n");
}

static void a_hop_of_several_routers_shows_all_with_their_labels(void **state)
{
    (void)state;
    hops[0].responders[0].label_count = 2;
    hops[0].responders[0].labels[0].label = 24001;
    hops[0].responders[0].labels[1].label = 3;
    hops[0].responders[1].address = addr("10.0.0.2");
    hops[0].responder_count = 2;
    hops[0].has_more_responders = true;
    hops[0].remark = TRACE_LIMITS_ANSWERS;
    assert_non_null(strstr(text(), "0.50  mpls 24001/3  limits its answers; the path is better\n"
                                   "     10.0.0.2\n     and others\n  2  "));
    assert_non_null(
        strstr(json(), "\"mpls\":[{\"label\":24001,\"class\":0,\"ttl\":0},{\"label\":3,"));
    assert_non_null(strstr(json(), "\"more_responders\":true"));
    assert_non_null(strstr(json(), "\"remark\":\"limits_answers\""));
}

static void the_end_of_a_path_is_told(void **state)
{
    (void)state;
    report.end = TRACE_END_UNREACHABLE;
    report.code = hops[2].code = 1;
    hops[2].is_unreachable = true;
    hops[2].unknown = hops[2].unsent = hops[2].duplicates = hops[2].late = 2;
    assert_non_null(strstr(text(), "0.50  !H  2 unknown  2 unsent  2 duplicates  2 late\n"
                                   "not reached: host unreachable\n"));
    assert_non_null(strstr(json(), "\"reached\":false,\"end\":\"unreachable\","
                                   "\"unreachable\":\"host unreachable\""));
    report.end = TRACE_END_SILENT;
    assert_non_null(strstr(text(), "\nnot reached: nothing answers any more\n"));
    report.end = TRACE_END_TOO_FAR;
    assert_non_null(strstr(json(), "\"end\":\"too_far\""));
    assert_non_null(strstr(text(), "\nnot reached within the highest number of hops\n"));
    report.end = TRACE_END_UNSENT;
    report.send_error = EACCES;
    assert_non_null(strstr(text(), "\nthis host refused to send: Permission denied\n"));
    assert_non_null(strstr(json(), "\"send_error\":\"Permission denied\""));
}

static void an_object_has_every_number(void **state)
{
    (void)state;
    assert_non_null(
        strstr(json(), "{\"target\":\"example.net\",\"address\":\"198.51.100.9\","
                       "\"resolve_seconds\":0.005,\"protocol\":\"udp\",\"source\":\"192.0.2.1\","
                       "\"source_port\":40000,\"port\":33434,\"reached\":true,\"end\":\"target\","
                       "\"hops\":[{\"hop\":1,\"address\":\"10.0.0.1\",\"responders\":[{\"address\":"
                       "\"10.0.0.1\",\"answers\":9}],\"is_target\":false,\"sent\":10,"
                       "\"received\":9,\"lost\":1,\"unknown\":0,\"unsent\":0,\"duplicates\":0,"
                       "\"late\":0,\"loss_ratio\":0.1,\"rtt\":{\"last\":0.002,\"min\":0.001,"
                       "\"mean\":0.0015,\"max\":0.003,\"stddev\":0.0005,\"p50\":0.002,"
                       "\"p90\":0.003,\"p99\":0.003}},{\"hop\":2,\"address\":null,"
                       "\"responders\":[]"));
}

static void what_was_not_traced_says_why(void **state)
{
    (void)state;
    result.report = NULL;
    result.address = (struct prober_addr){0};
    result.error = "the name does not exist (nxdomain)";
    result.target = "no\nsuch\x1b[2J";
    assert_string_equal(text(), "no?such?[2J: the name does not exist (nxdomain)\n");
    assert_non_null(strstr(json(), "\"reached\":false,\"hops\":[],\"error\":\"the name"));
    result.report = &report;
    report.hop_count = 0;
    hops[0].sent = 0;
    result.error = NULL;
    assert_non_null(strstr(text(), " from 192.0.2.1: nothing was sent\n"));
}

static void a_hop_without_a_known_loss_has_none(void **state)
{
    (void)state;
    hops[1].lost = 0;
    hops[1].unknown = 10;
    assert_non_null(strstr(text(), "  2  ???                           -    10"));
    assert_non_null(strstr(json(), "\"loss_ratio\":null"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_table_has_a_line_for_each_hop),
        TEST(a_hop_of_several_routers_shows_all_with_their_labels),
        TEST(the_end_of_a_path_is_told),
        TEST(an_object_has_every_number),
        TEST(what_was_not_traced_says_why),
        TEST(a_hop_without_a_known_loss_has_none),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
