"""http blocks that are refused at load, each with what the message says, and some that are taken.

A fourth member tells that blackbox_exporter 0.23 takes the block: why, is a key of httpcases.DIFFERENCES.
"""


def _accept(compression, accept):
    return {"compression": compression, "headers": {"Accept-Encoding": accept}}


HEADER = {"header": "X-A", "regexp": ":["}
PAIR = {"basic_auth": {"username": "u"}}
REFUSED = [
    ("an unknown key", {"methods": "GET"}, "http.methods", None),
    ("an unknown key of tls_config", {"tls_config": {"caa": "x"}}, "tls_config.caa", None),
    ("a method of two words", {"method": "GET IT"}, "http.method", "at-load"),
    ("a status code that is a word", {"valid_status_codes": ["ok"]}, "valid_status_codes", None),
    ("HTTP/3 in the list of versions", {"valid_http_versions": ["HTTP/3.0"]}, "valid_http_versions",
     "at-load"),
    ("versions that nothing can have", {"valid_http_versions": ["HTTP/2"]}, "valid_http_versions",
     "at-load"),
    ("HTTP/3", {"enable_http3": True, "enable_http2": False}, "not supported", None),
    ("CEL", {"fail_if_body_json_matches_cel": "body.a == 1"}, "not supported", None),
    ("body and body_file", {"body": "a", "body_file": "b"}, "body_file", None),
    ("a header with a newline", {"headers": {"X-A": "a\r\nb"}}, "X-A", "at-load"),
    ("a matcher without a header", {"fail_if_header_matches": [{"regexp": "a"}]}, "header", None),
    ("a matcher without a regexp", {"fail_if_header_matches": [{"header": "a"}]}, "regexp", None),
    ("a header regexp that is none", {"fail_if_header_matches": [HEADER]}, "fail_if_header_matches", None),
    ("a header regexp that is none, the other way", {"fail_if_header_not_matches": [HEADER]},
     "fail_if_header_not_matches", None),
    ("an unknown compression", {"compression": "zip"}, "compression", "at-load"),
    ("a limit without a unit", {"body_size_limit": "128"}, "body_size_limit", None),
    ("a limit with an unknown unit", {"body_size_limit": "1kB"}, "body_size_limit", None),
    ("an unknown family", {"preferred_ip_protocol": "ip5"}, "preferred_ip_protocol", "at-load"),
    ("an unknown TLS version", {"tls_config": {"min_version": "TLS9"}}, "min_version", None),
    ("TLS versions that exclude each other",
     {"tls_config": {"min_version": "TLS13", "max_version": "TLS12"}},
     "min_version", "at-load"),
    ("ca and ca_file", {"tls_config": {"ca": "{pem:ca}", "ca_file": "b"}}, "ca", None),
    ("a certificate without a key", {"tls_config": {"cert_file": "b"}}, "key", "at-load"),
    ("a key without a certificate", {"tls_config": {"key_file": "b"}}, "cert", "at-load"),
    ("bearer_token and bearer_token_file", {"bearer_token": "a", "bearer_token_file": "b"}, "bearer_token",
     None),
    ("bearer_token and basic_auth", {"bearer_token": "a", **PAIR}, "basic_auth", None),
    ("authorization and basic_auth", {"authorization": {"credentials": "a"}, **PAIR}, "basic_auth", None),
    ("authorization and bearer_token", {"authorization": {"credentials": "a"}, "bearer_token": "b"},
     "bearer_token", None),
    ("authorization of the type basic", {"authorization": {"type": "Basic", "credentials": "a"}}, "type",
     None),
    ("credentials and credentials_file", {"authorization": {"credentials": "a", "credentials_file": "b"}},
     "credentials", None),
    ("password and password_file", {"basic_auth": {"username": "u", "password": "a", "password_file": "b"}},
     "password", None),
    ("username and username_file", {"basic_auth": {"username": "u", "username_file": "b"}}, "username",
     None),
    ("oauth2 without a client_id", {"oauth2": {"token_url": "http://a/", "client_secret": "s"}},
     "client_id", None),
    ("oauth2 without a token_url", {"oauth2": {"client_id": "a", "client_secret": "s"}}, "token_url", None),
    ("oauth2 with two secrets", {"oauth2": {"client_id": "a", "token_url": "http://a/",
                                            "client_secret": "s",
                                            "client_secret_file": "f"}}, "client_secret", None),
    ("oauth2 and basic_auth", {"oauth2": {"client_id": "a", "token_url": "http://a/", "client_secret": "s"},
                               **PAIR},
     "oauth2", None),
    ("a proxy_url that is none", {"proxy_url": "http://[::zz]/"}, "proxy_url", "at-load"),
    ("no_proxy without a proxy", {"no_proxy": "a"}, "no_proxy", None),
    ("proxy_connect_header without a proxy", {"proxy_connect_header": {"A": ["b"]}}, "proxy_connect_header",
     None),
    ("proxy_from_environment and proxy_url", {"proxy_from_environment": True, "proxy_url": "http://a/"},
     "proxy_from_environment", None),
    ("a reserved name in http_headers", {"http_headers": {"Host": {"values": ["a"]}}}, "Host", None),
    ("client keys at both places", {"http_client_config": {"bearer_token": "a"}, "enable_http2": True},
     "http_client_config", None),
    ("headers that are a list", {"headers": ["a"]}, "headers", None),
    ("a truth value that is a word", {"fail_if_ssl": "perhaps"}, "fail_if_ssl", None),
]
REFUSED += [(f"the body regexp {r}", {key: [r]}, key, None) for key, r in (
    ("fail_if_body_matches_regexp", ":["), ("fail_if_body_not_matches_regexp", ":["),
    ("fail_if_body_matches_regexp", "(?=a)"), ("fail_if_body_matches_regexp", r"(a)\1"),
    ("fail_if_body_matches_regexp", "a++"), ("fail_if_body_matches_regexp", "a{1001}"),
    ("fail_if_body_matches_regexp", r"a\Z"), ("fail_if_body_matches_regexp", "(?x)a"),
    ("fail_if_body_matches_regexp", "(?>a)"), ("fail_if_body_matches_regexp", "[z-a]"),
    ("fail_if_body_matches_regexp", r"\p{Nope}"))]
REFUSED += [(f"{c} and Accept-Encoding {a}", _accept(c, a), "Accept-Encoding", None) for c, a in (
    ("gzip", "deflate"), ("gzip", "*;q=0.0"), ("br", "gzip, compress"), ("br", "gzip, compress, br;q=0.0"),
    ("br", "gzip, compress, *;q=0.0"))]
REFUSED.append(("gzip and accEpt-enCoding deflate",
                {"compression": "gzip", "headers": {"accEpt-enCoding": "deflate"}},
                "does not accept", None))

# (what, block): what must load, in both
TAKEN = [(f"{c or 'no compression'} and Accept-Encoding {a}", _accept(c, a)) for c, a in (
    ("", "gzip"), ("gzip", "gzip"), ("gzip", "gzip;q=1.0"), ("gzip", "gzip, compress"),
    ("gzip", "compress, gzip"),
    ("br", "gzip, compress, *"), ("br", "gzip, compress, *;q=0.1"),
    ("br", "gzip;q=1.0, compress;q=0.5, br;q=0.1, *;q=0.0"),
    ("br", "*;q=0.0, compress;q=0.5, br;q=0.1, gzip;q=1.0"),
    ("br", " gzip;q=1.0,  compress ; q=0.5, br;q=0.1 , *;q=0.0 "))]
