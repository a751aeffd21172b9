fakes_test_resolver := dns_server
