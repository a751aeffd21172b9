/*
 * given_http_spec - a struct http_spec with the defaults, made by hand.
 */
#ifndef TEST_UNIT_GIVEN_HTTP_SPEC_H
#define TEST_UNIT_GIVEN_HTTP_SPEC_H

#include "libprober/http_spec.h"

static inline struct http_spec given_http_spec(void)
{
    return (struct http_spec){
        .method = "GET",
        .preferred_family = PROBER_FAMILY_IPV6,
        .ip_protocol_fallback = true,
        .follow_redirects = true,
        .enable_http2 = true,
    };
}

#endif
