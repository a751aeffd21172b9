#include "agentd/region.h"

#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "fakes/http_server.h"
#include "unit.h"

#define NO_CLOUD "http://127.0.0.1:1"
#define TOKEN_HEADER "X-aws-ec2-metadata-token-ttl-seconds: 60"

enum { ALIBABA, TENCENT, GOOGLE, AZURE, VOLCENGINE, AMAZON, HUAWEI };

static const struct http_route all_clouds[] = {
    {.method = "GET", .path = "/latest/meta-data/region-id", .body = "cn-hangzhou"},
    {.method = "GET", .path = "/latest/meta-data/placement/zone", .body = "ap-guangzhou-3"},
    {.method = "GET",
     .path = "/computeMetadata/v1/instance/zone",
     .needs = "Metadata-Flavor: Google",
     .body = "projects/12345/zones/us-central1-a"},
    {.method = "GET",
     .path = "/metadata/instance/compute/location?api-version=2021-02-01&format=text",
     .needs = "Metadata: true",
     .body = "westeurope"},
    {.method = "GET", .path = "/latest/region_id", .body = "cn-beijing"},
    {.method = "PUT", .path = "/latest/api/token", .needs = TOKEN_HEADER, .body = "dG9rZW4=="},
    {.method = "GET",
     .path = "/latest/meta-data/placement/region",
     .needs = "X-aws-ec2-metadata-token: dG9rZW4==",
     .body = "eu-west-1"},
    {.method = "GET",
     .path = "/openstack/latest/meta_data.json",
     .body = "{\"uuid\": \"1\", \"availability_zone\": \"cn-north-4a\"}"},
    {0},
};

static void is_found(const struct http_route *routes, const char *name, const char *provider)
{
    struct http_server *http = http_server_start(routes);
    struct region_query query = {.metadata_base = http_server_url(http),
                                 .timeout_ns = 40 * CLOCK_NS_PER_S};
    struct region region;

    assert_int_equal(region_find(&query, &region, NULL), PROBER_OK);
    assert_string_equal(region.name, name);
    if (provider) {
        assert_int_equal(region.origin, REGION_FROM_METADATA);
        assert_string_equal(region.provider, provider);
    } else {
        assert_int_equal(region.origin, REGION_FROM_DEFAULT);
        assert_null(region.provider);
    }
    http_server_stop(http);
}

static void the_setting_outranks_the_variable_and_asks_nobody(void **state)
{
    struct http_server *http = http_server_start(all_clouds);
    struct region_query query = {
        .setting = "beijing", .environment = "tokyo", .metadata_base = http_server_url(http)};
    struct region region;

    (void)state;
    assert_int_equal(region_find(&query, &region, NULL), PROBER_OK);
    assert_string_equal(region.name, "beijing");
    assert_int_equal(region.origin, REGION_FROM_SETTING);
    query.setting = "";
    assert_int_equal(region_find(&query, &region, NULL), PROBER_OK);
    assert_string_equal(region.name, "tokyo");
    assert_int_equal(region.origin, REGION_FROM_ENVIRONMENT);
    assert_int_equal(http_server_requests(http), 0);
    http_server_stop(http);
}

static void nobody_is_asked_when_look_ups_are_off(void **state)
{
    struct http_server *http = http_server_start(all_clouds);
    struct region_query query = {.no_metadata = true, .metadata_base = http_server_url(http)};
    struct region region;

    (void)state;
    assert_int_equal(region_find(&query, &region, NULL), PROBER_OK);
    assert_string_equal(region.name, "cn-shanghai");
    assert_int_equal(http_server_requests(http), 0);
    http_server_stop(http);
}

static void a_region_may_be_named_in_any_script(void **state)
{
    struct region_query query = {.setting = "\xe5\x8d\x8e\xe4\xb8\x9c-1"};
    struct region region;

    (void)state;
    assert_int_equal(region_find(&query, &region, NULL), PROBER_OK);
    assert_string_equal(region.name, query.setting);
}

static void a_given_region_that_is_no_name_is_refused(void **state)
{
    char long_name[WIRE_REGION_MAX + 2];
    const char *bad[] = {"a\nb", "\xff", long_name};
    struct region_query query = {0};
    struct region region;
    struct prober_failure why = {0};

    (void)state;
    memset(long_name, 'a', sizeof(long_name));
    long_name[WIRE_REGION_MAX + 1] = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        query.setting = bad[i];
        assert_int_equal(region_find(&query, &region, &why), PROBER_ERR_SYNTAX);
        assert_non_null(strstr(why.text, "agent.region"));
    }
    query = (struct region_query){.environment = bad[0]};
    assert_int_equal(region_find(&query, &region, &why), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "PROBER_REGION"));
}

static void without_a_cloud_the_default_stands(void **state)
{
    struct region_query query = {.metadata_base = NO_CLOUD, .timeout_ns = 20 * CLOCK_NS_PER_S};
    struct region region;

    (void)state;
    assert_int_equal(region_find(&query, &region, NULL), PROBER_OK);
    assert_string_equal(region.name, "cn-shanghai");
    assert_int_equal(region.origin, REGION_FROM_DEFAULT);
}

static void each_cloud_is_understood(void **state)
{
    static const struct {
        const char *name, *provider;
        size_t first, count; /* of its routes in all_clouds */
    } clouds[] = {
        {"cn-hangzhou", "Alibaba Cloud", 0, 1},  {"ap-guangzhou-3", "Tencent Cloud", 1, 1},
        {"us-central1-a", "Google Cloud", 2, 1}, {"westeurope", "Azure", 3, 1},
        {"cn-beijing", "Volcengine", 4, 1},      {"eu-west-1", "Amazon Web Services", 5, 2},
        {"cn-north-4a", "Huawei Cloud", 7, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(clouds); i++) {
        struct http_route routes[3] = {0};

        memcpy(routes, all_clouds + clouds[i].first, clouds[i].count * sizeof(routes[0]));
        is_found(routes, clouds[i].name, clouds[i].provider);
    }
}

static void of_several_answers_the_order_decides(void **state)
{
    (void)state;
    is_found(all_clouds, "cn-hangzhou", "Alibaba Cloud");
    is_found(all_clouds + 3, "westeurope", "Azure");
    is_found(all_clouds + 5, "cn-north-4a", "Huawei Cloud");
}

static void amazon_without_tokens_is_asked_the_old_way(void **state)
{
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/latest/meta-data/placement/region", .body = "us-east-1\n"},
        {0}};

    (void)state;
    is_found(routes, "us-east-1", "Amazon Web Services");
}

static void error_pages_never_become_a_region(void **state)
{
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/latest/meta-data/region-id", .body = "<html>portal</html>"},
        {.method = "GET",
         .path = "/latest/meta-data/placement/zone",
         .status = 500,
         .body = "zone"},
        {.method = "GET", .path = "/computeMetadata/v1/instance/zone", .body = "a/"},
        {.method = "GET", .path = "/latest/region_id", .status = 302, .body = "elsewhere"},
        {.method = "PUT", .path = "/latest/api/token", .body = "a b\r\nX-Evil: 1"},
        {.method = "GET",
         .path = "/latest/meta-data/placement/region",
         .needs = "X-Evil",
         .body = "x"},
        {.method = "GET", .path = "/openstack/latest/meta_data.json", .body = "{\"name\": \"x\"}"},
        {0},
    };

    (void)state;
    is_found(routes, "cn-shanghai", NULL);
}

static void a_silent_service_is_waited_for_no_longer_than_allowed(void **state)
{
    struct http_route routes[ARRAY_LEN(all_clouds)];
    struct http_server *http;
    struct region_query query = {.timeout_ns = 200 * CLOCK_NS_PER_MS};
    struct region region;
    uint64_t start;

    (void)state;
    memcpy(routes, all_clouds, sizeof(routes));
    for (size_t i = 0; i + 1 < ARRAY_LEN(routes); i++) {
        routes[i].needs = NULL;
        routes[i].behaviour = HTTP_IS_SILENT;
    }
    http = http_server_start(routes);
    query.metadata_base = http_server_url(http);
    start = clock_monotonic_ns();
    assert_int_equal(region_find(&query, &region, NULL), PROBER_OK);
    assert_true(clock_monotonic_ns() - start < 10 * CLOCK_NS_PER_S);
    assert_int_equal(region.origin, REGION_FROM_DEFAULT);
    http_server_stop(http);
}

static void a_silent_cloud_does_not_hide_another(void **state)
{
    struct http_route routes[] = {all_clouds[0], all_clouds[4], {0}};
    struct http_server *http;
    struct region_query query = {.timeout_ns = 2 * CLOCK_NS_PER_S};
    struct region region;

    (void)state;
    routes[0].behaviour = HTTP_IS_SILENT;
    http = http_server_start(routes);
    query.metadata_base = http_server_url(http);
    assert_int_equal(region_find(&query, &region, NULL), PROBER_OK);
    assert_string_equal(region.name, "cn-beijing");
    http_server_stop(http);
}

static void answers_are_read_strictly(void **state)
{
    static const struct {
        size_t provider;
        const char *body, *name; /* NULL: refused */
    } cases[] = {
        {ALIBABA, " cn-hangzhou \r\n", "cn-hangzhou"},
        {ALIBABA, "", NULL},
        {ALIBABA, "  ", NULL},
        {ALIBABA, "404", NULL},
        {ALIBABA, "-cn", NULL},
        {ALIBABA, "cn hangzhou", NULL},
        {ALIBABA, "cn/hangzhou", NULL},
        {ALIBABA, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
        {GOOGLE, "zone-a", "zone-a"},
        {GOOGLE, "a/b/", NULL},
        {HUAWEI, "{\"availability_zone\": 7}", NULL},
        {HUAWEI, "{\"availability_zone\": \"a b\"}", NULL},
        {HUAWEI, "cn-north-4a", NULL},
        {HUAWEI, "{\"availability_zone\": \"cn-north-4a\"", NULL},
    };
    char name[WIRE_REGION_MAX + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum prober_error err =
            region_read_answer(cases[i].provider, cases[i].body, strlen(cases[i].body), name);

        assert_int_equal(err, cases[i].name ? PROBER_OK : PROBER_ERR_SYNTAX);
        if (cases[i].name)
            assert_string_equal(name, cases[i].name);
    }
    assert_int_equal(region_read_answer(ALIBABA, "cn\0x", 4, name), PROBER_ERR_SYNTAX);
    assert_int_equal(region_read_answer(HUAWEI + 1, "x", 1, name), PROBER_ERR_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_setting_outranks_the_variable_and_asks_nobody),
        cmocka_unit_test(nobody_is_asked_when_look_ups_are_off),
        cmocka_unit_test(a_region_may_be_named_in_any_script),
        cmocka_unit_test(a_given_region_that_is_no_name_is_refused),
        cmocka_unit_test(without_a_cloud_the_default_stands),
        cmocka_unit_test(each_cloud_is_understood),
        cmocka_unit_test(of_several_answers_the_order_decides),
        cmocka_unit_test(amazon_without_tokens_is_asked_the_old_way),
        cmocka_unit_test(error_pages_never_become_a_region),
        cmocka_unit_test(a_silent_service_is_waited_for_no_longer_than_allowed),
        cmocka_unit_test(a_silent_cloud_does_not_hide_another),
        cmocka_unit_test(answers_are_read_strictly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
