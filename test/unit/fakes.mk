fakes_test_resolver := dns_server
fakes_test_log := fake_clock
fakes_test_http_fetch := http_server
fakes_test_address := fake_routes dns_server http_server
fakes_test_region := http_server
fakes_test_targets := fake_icmp_engine fake_resolver
fakes_test_uplink := fake_link
