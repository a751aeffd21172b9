"""The cases of HTTP probes: what is asked of whom, under which settings, and what must come of it.

One table for ProberMesh, which must give exactly these results, and for blackbox_exporter, which must
agree on success and status unless the case says how and why it does not ('differs', a key of
DIFFERENCES: docs/http-probes.md tells each of them to people).
"""

# What we do otherwise than blackbox_exporter 0.23, on purpose.
DIFFERENCES = {
    "scheme-case": "0.23 takes a scheme in capitals for a host name",
    "credentials-stay": "0.23 sends configured credentials to any host that it is redirected to",
    "cookie-host": "0.23 keeps cookies of the target for its address, not for its name",
    "referer": "0.23 tells the next host the URL that redirected to it",
    "weak-certificates": "0.23 takes RSA keys of 1024 bits",
    "brotli-cut": "0.23 does not see that a brotli body ends early",
    "odd-head": "0.23 takes some heads that RFC 9110 and 9112 forbid",
    "chunk-newlines": "0.23 refuses chunks whose lines end in a newline alone",
    "version": "0.23 takes any version of HTTP in a status line",
    "later-key": "0.23 does not know the key",
    "goaway": "0.23 asks again where HTTP/2 was ended by a GOAWAY",
    "long-url": "0.23 sends URLs of any length",
    "search-time": "0.23 counts the time of searching the body as transfer",
    "at-load": "0.23 takes settings with which no probe can succeed",
}


class Case:
    def __init__(self, says, url, block=None, success=True, reason=None, timeout="2s", differs=None,
                 theirs=None, alone=False, words=(), env=None, **expected):
        self.says, self.url, self.block, self.timeout = says, url, block or {}, timeout
        self.expected = {"success": success, "failed_reason": reason, **expected}
        self.differs, self.theirs, self.alone = differs, theirs or {}, alone
        self.words, self.env = list(words), env or {}


def ok(says, url, block=None, status=200, **more):
    return Case(says, url, block, status_code=status, **more)


def no(says, reason, url, block=None, status=None, **more):
    """status: that of the last answer; None: there was none."""
    return Case(says, url, block, False, reason, status_code=status, **more)


def has(*regexps, **block):
    return {"fail_if_body_not_matches_regexp": list(regexps), **block}


def hasnt(*regexps, **block):
    return {"fail_if_body_matches_regexp": list(regexps), **block}


def tls(**keys):
    return {"tls_config": {"ca": "{pem:ca}", **keys}}


def matches(header, regexp, wanted=False, **more):
    key = "fail_if_header_not_matches" if wanted else "fail_if_header_matches"
    return {key: [{"header": header, "regexp": regexp, **more}]}


SKIP = {"tls_config": {"insecure_skip_verify": True}}
IP4 = {"preferred_ip_protocol": "ip4"}
KEYS = []

# ---- valid_status_codes, valid_http_versions ----

KEYS += [ok(f"{s} is a success", f"{{plain}}/answer?s={s}", status=s) for s in (200, 201, 204, 299)]
KEYS += [no(f"{s} is a failure", "status_code", f"{{plain}}/answer?s={s}", status=s)
          for s in (300, 304, 404, 500, 599)]
KEYS += [
    ok("a listed code is a success", "{plain}/answer?s=404", {"valid_status_codes": [200, 404]}, 404),
    ok("200 is a success when it is listed", "{plain}/answer", {"valid_status_codes": [200, 404]}),
    ok("599 is a success when it is listed", "{plain}/answer?s=599", {"valid_status_codes": [599]}, 599),
    no("201 fails when others are listed", "status_code", "{plain}/answer?s=201",
       {"valid_status_codes": [200, 404]}, 201),
    no("200 fails when others are listed", "status_code", "{plain}/answer", {"valid_status_codes": [404]},
       200),
    ok("an empty list means any 2xx", "{plain}/answer?s=202", {"valid_status_codes": []}, 202),
    ok("the version is told", "{plain}/answer", http_version="1.1"),
    ok("HTTP/1.0 is told", "{plain}/answer?v=1.0", http_version="1.0"),
    ok("a listed version is a success", "{plain}/answer", {"valid_http_versions": ["HTTP/1.1"]}),
    ok("one of several versions will do", "{plain}/answer",
       {"valid_http_versions": ["HTTP/2.0", "HTTP/1.1"]}),
    no("another version than listed fails", "http_version", "{plain}/answer",
       {"valid_http_versions": ["HTTP/2.0"]}, 200),
    no("HTTP/1.0 is not HTTP/1.1", "http_version", "{plain}/answer?v=1.0",
       {"valid_http_versions": ["HTTP/1.1"]}, 200),
    ok("HTTP/2 is spoken where it is offered", "{nginx_h2}/page", tls(), http_version="2",
       tls_version="TLS 1.3"),
    ok("HTTP/2 is HTTP/2.0 in the list", "{nginx_h2}/page", {**tls(), "valid_http_versions": ["HTTP/2.0"]}),
    no("HTTP/2 fails where 1.1 is wanted", "http_version", "{nginx_h2}/page",
       {**tls(), "valid_http_versions": ["HTTP/1.1"]}, 200),
    ok("without enable_http2 1.1 is spoken", "{nginx_h2}/page",
       {**tls(), "enable_http2": False, "valid_http_versions": ["HTTP/1.1"]}, http_version="1.1"),
    ok("a server without HTTP/2 gets 1.1", "{nginx_h1}/", {**tls(), **has("HTTP/1.1")}, http_version="1.1"),
    ok("HTTP/2 is offered by ALPN", "{good}/echo", tls(), http_version="1.1"),
    no("a 404 of nginx over HTTP/2", "status_code", "{nginx_h2}/none", tls(), 404, http_version="2"),
]

# ---- method, headers, body ----

KEYS += [
    ok("GET is the method", "{plain}/echo", has(r"\AGET /echo HTTP/1\.1\r\n")),
    ok("HEAD ends with the head", "{plain}/answer?n=1000", {"method": "HEAD"}, content_length=1000),
    no("HEAD has no body to match", "body_regexp", "{plain}/answer?n=9", {"method": "HEAD", **has("x")},
       200),
    ok("HEAD of nginx", "{nginx}/page", {"method": "HEAD"}),
    ok("a POST without a body has length 0", "{plain}/echo",
       {"method": "POST", **has(r"(?m)^Content-Length: 0\r$")}),
    ok("a POST has the body", "{plain}/echo", {"method": "POST", "body": "Test Body", **has(
        r"\APOST ", r"Content-Length: 9\r\n", r"\r\n\r\nTest Body\z")}),
    ok("a POST has no Content-Type of ours", "{plain}/echo",
       {"method": "POST", "body": "b", **hasnt("(?i)content-type")}),
    ok("a GET can have a body", "{plain}/echo", {"body": "seek", **has(r"\AGET ", r"\r\n\r\nseek\z")}),
    ok("a DELETE can have a body", "{plain}/echo",
       {"method": "DELETE", "body": "it", **has(r"\ADELETE ", r"it\z")}),
    ok("a body of some size is sent whole", "{plain}/echo", {"method": "PUT", "body": "x" * 60000, **has(
        r"Content-Length: 60000\r\n", r"xxx\z")}),
    ok("a body goes over HTTP/2 as well", "{nginx_h2}/host", {**tls(), "method": "POST", "body": "b" * 2000,
                                                              **has("HTTP/2.0 .*POST")}),
    ok("nothing unasked is in a request", "{plain}/echo",
       hasnt("(?im)^(accept|accept-encoding|content-type|"
                                                                "expect|cookie|authorization|upgrade):")),
    ok("a request has a User-Agent", "{plain}/echo", has(r"User-Agent: .+\r\n")),
    ok("the connection is not kept", "{plain}/echo", has(r"(?i)connection: close\r\n")),
    ok("headers are sent", "{plain}/echo", {"headers": {
        "User-Agent": "a prober", "Accept-Language": "en-US", "X-Number": 42, "X-Truth": True}, **has(
            r"User-Agent: a prober\r\n", r"Accept-Language: en-US\r\n", r"X-Number: 42\r\n",
            r"X-Truth: true\r\n")}),
    ok("a header replaces ours", "{plain}/echo",
       {"headers": {"user-agent": "mine"}, **hasnt("probermesh|Blackbox")}),
    ok("an empty header is sent", "{plain}/echo",
       {"headers": {"X-Empty": ""}, **has(r"(?m)^X-Empty: ?\r$")}),
    ok("a Host header is the host", "{plain}/echo",
       {"headers": {"Host": "first.test"}, **has(r"Host: first\.test\r\n")}),
    ok("a host header in small letters too", "{plain}/echo", {"headers": {"host": "first.test"}, **has(
        r"Host: first\.test\r\n"), **hasnt("127.0.0.1")}),
    ok("the Host is the target's name and port", "{plain_name}/echo",
       {**IP4, **has(r"Host: localhost:{port:plain}\r\n")}),
    ok("the Host reaches nginx over HTTP/2", "{nginx_h2}/host", {**tls(), "headers": {"Host": "first.test"},
                                                                 **has("first.test HTTP/2.0")}),
    ok("headers reach nginx over HTTP/2", "{nginx_h2}/host",
       {**tls(), "headers": {"X-Probe": "seen"}, **has(" seen ")}),
    ok("a given Content-Type is sent", "{plain}/echo", {"method": "POST", "body": "{}", "headers": {
        "Content-Type": "application/json"}, **has(r"Content-Type: application/json\r\n")}),
    ok("a value of http_headers is sent", "{plain}/echo", {
        "http_headers": {"X-One": {"values": ["a"]}, "X-Two": {"values": ["b", "c"], "secrets": ["d"]}},
        **has(r"X-One: a\r\n", r"X-Two: b\r\n", r"X-Two: c\r\n", r"X-Two: d\r\n")}, differs="later-key"),
]
KEYS += [ok(f"the method {m} is sent as it is", "{plain}/echo", {"method": m, **has(rf"\A{m} /echo ")})
          for m in ("PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get")]

# ---- URLs ----

KEYS += [
    ok("http is assumed without a scheme", "127.0.0.1:{port:plain}/answer"),
    ok("a name without a scheme", "localhost:{port:plain}/answer", IP4),
    ok("HTTP in capitals is a scheme", "HTTP://127.0.0.1:{port:plain}/answer", differs="scheme-case",
       theirs={"success": False, "status_code": None}),
    ok("HtTpS in any case is a scheme", "HtTpS://127.0.0.1:{port:good}/answer", tls(),
       differs="scheme-case",
       theirs={"success": False, "status_code": None}),
    ok("a URL without a path asks for /", "{plain}", has(r"\AGET / HTTP")),
    ok("a URL without a path but a query", "{plain}?x=1", has(r"\AGET /\?x=1 HTTP")),
    ok("dot segments and escapes stay", "{plain}/a/../b%2Fc%41", has(r"\AGET /a/\.\./b%2Fc%41 HTTP")),
    ok("what no URI holds is escaped in a path", "{plain}/a<b>{c}|d",
       has(r"\AGET /a%3Cb%3E%7Bc%7D%7Cd HTTP")),
    ok("a query stays as it is", "{plain}/echo?a=1&b=%20x&c", has(r"\AGET /echo\?a=1&b=%20x&c HTTP")),
    ok("a fragment is dropped", "{plain}/echo#part", has(r"\AGET /echo HTTP")),
    ok("user information is Basic auth", "http://user:pass@127.0.0.1:{port:plain}/echo",
       has(r"Authorization: Basic dXNlcjpwYXNz\r\n")),
    ok("escapes in user information are decoded", "http://us%65r:p%61ss@127.0.0.1:{port:plain}/echo",
       has(r"Authorization: Basic dXNlcjpwYXNz\r\n")),
    ok("user information wins over basic_auth", "http://user:pass@127.0.0.1:{port:plain}/echo",
       {"basic_auth": {"username": "other", "password": "one"}, **has("Basic dXNlcjpwYXNz\r\n")}),
    ok("an IPv6 literal", "http://[::1]:{port:plain}/echo", has(r"Host: \[::1\]:{port:plain}\r\n"),
       address="::1"),
    ok("an IPv6 literal without a scheme", "[::1]:{port:plain}/answer"),
    ok("an IPv6 literal over TLS", "https://[::1]:{port:good}/answer", tls()),
    no("another scheme", "unsupported_scheme", "ftp://127.0.0.1/file"),
    no("a port that is none", "bad_url", "http://127.0.0.1:99999/"),
    no("a port of words", "bad_url", "http://127.0.0.1:http/"),
    no("a name with a blank", "bad_url", "http://no host/"),
    no("an empty host", "bad_url", "http:///path"),
    no("an IPv6 literal that is none", "bad_url", "http://[::zz]/"),
    no("an open bracket", "bad_url", "http://[::1/"),
]

# ---- addresses ----

KEYS += [
    ok("ip4 is taken where it is preferred", "{plain_name}/answer", IP4, address="127.0.0.1"),
    ok("a literal of the other family with fallback", "{plain}/answer", {"preferred_ip_protocol": "ip6"}),
    no("a literal of the other family without fallback", "dns_no_address", "{plain}/answer",
       {"preferred_ip_protocol": "ip6", "ip_protocol_fallback": False}),
    no("ip6 is the default family", "dns_no_address", "{plain}/answer", {"ip_protocol_fallback": False}),
    ok("a literal of the preferred family without fallback", "{plain}/answer",
       {**IP4, "ip_protocol_fallback": False}),
    no("an IPv6 literal where only IPv4 will do", "dns_no_address", "http://[::1]:{port:plain}/answer",
       {**IP4, "ip_protocol_fallback": False}),
]

# ---- redirects ----

REDIRECT = "{plain}/redirect?"
KEYS += [ok(f"{s} is followed", f"{REDIRECT}s={s}&to=/echo", redirects=1) for s in (301, 302, 303, 307,
    308)]
KEYS += [ok(f"the location {to} is resolved", f"{{plain}}/redirect/a/x?to={to}",
             has(rf"\AGET {want} HTTP"),
             redirects=1)
          for to, want in (("../../echo/y", "/echo/y"), ("/echo/z", "/echo/z"),
                           ("/echo?q=1", r"/echo\?q=1"),
                           ("//127.0.0.1:{port:plain}/echo", "/echo"), ("{plain}/echo#part", "/echo"),
                           ("./../../../echo/./y", "/echo/y"))]
KEYS += [
    no("a redirect fails when it is not followed", "status_code", REDIRECT + "to=/echo",
       {"follow_redirects": False},
       302, redirects=1),
    ok("a redirect that is not followed can be valid", REDIRECT + "to=/echo",
       {"follow_redirects": False, "valid_status_codes": [302]}, 302, redirects=1),
    ok("no_follow_redirects is the old way to say it", REDIRECT + "to=/echo",
       {"no_follow_redirects": True, "valid_status_codes": [302]}, 302, redirects=1),
    ok("no_follow_redirects decides", REDIRECT + "to=/echo",
       {"no_follow_redirects": False, "follow_redirects": False}, redirects=1),
    no("the body of a redirect that is not followed cannot match", "body_regexp", REDIRECT + "to=/echo",
       {"follow_redirects": False, "valid_status_codes": [302], **has("moved")}, 302),
    no("the header of a redirect that is not followed can match", "header_regexp", REDIRECT + "to=/echo",
       {"follow_redirects": False, "valid_status_codes": [302], **matches("Location", "/echo")}, 302),
    ok("ten redirects are followed", "{plain}/chain/10", redirects=10),
    no("the eleventh is not", "too_many_redirects", "{plain}/chain/11", status=302, redirects=11),
    no("a loop ends", "too_many_redirects", "{plain}/loop", status=302, redirects=11),
    ok("the eleventh can be valid", "{plain}/loop", {"valid_status_codes": [302]}, 302, redirects=11),
    no("a redirect without a Location is final", "status_code", REDIRECT + "s=302", status=302),
    ok("a redirect without a Location can be valid", REDIRECT + "s=302", {"valid_status_codes": [302]},
       302),
    no("300 is final", "status_code", REDIRECT + "s=300&to=/echo", status=300),
    no("304 is final", "status_code", "{plain}/answer?s=304&h=Location:%20/echo", status=304),
    no("a Location of another scheme", "bad_redirect", REDIRECT + "to=ftp://127.0.0.1/file"),
    no("a Location of a file", "bad_redirect", REDIRECT + "to=file:///etc/passwd"),
    no("a Location that is no URL", "bad_redirect", REDIRECT + "to=http://[::zz]/"),
    ok("a 201 with a Location is final", "{plain}/answer?s=201&h=Location:%20/none", status=201,
       redirects=0),
    ok("a cookie of the first answer goes with the second request",
       REDIRECT + "h=Set-Cookie:%20jar=full&to=/echo",
       has(r"(?m)^Cookie: jar=full\r$")),
    ok("a cookie goes to its path", REDIRECT + "h=Set-Cookie:%20jar=full;%20Path=/echo/x&to=/echo/x/y",
       has(r"(?m)^Cookie: jar=full\r$")),
    ok("a cookie does not go to another path",
       REDIRECT + "h=Set-Cookie:%20jar=full;%20Path=/echo/x&to=/echo/y",
       hasnt("(?m)^Cookie")),
    ok("a cookie without a path is for where it was set",
       "{plain}/redirect/a/b?h=Set-Cookie:%20jar=full&to=/echo",
       hasnt("(?m)^Cookie")),
    ok("a cookie of a host goes to it on an absolute redirect",
       "{plain_name}/redirect?h=Set-Cookie:%20jar=full&to={plain_name}/echo",
       {**IP4, **has(r"(?m)^Cookie: jar=full\r$")}, differs="cookie-host", theirs={"success": False}),
    ok("a cookie that is over is not sent", REDIRECT + "h=Set-Cookie:%20jar=full;%20Max-Age=0&to=/echo",
       hasnt("(?m)^Cookie")),
    ok("a cookie of one host does not go to another",
       REDIRECT + "h=Set-Cookie:%20jar=full&to={plain_name}/echo",
       {**IP4, **hasnt("(?m)^Cookie"), **has("localhost")}),
    ok("a cookie of a domain that it may not set is not sent",
       REDIRECT + "h=Set-Cookie:%20jar=full;%20Domain=test&to=/echo", hasnt("(?m)^Cookie")),
    ok("a secure cookie is not sent over plain HTTP",
       REDIRECT + "h=Set-Cookie:%20jar=full;%20Secure&to=/echo",
       {"headers": {"Host": "first.test"}, **hasnt("(?m)^Cookie")}),
    ok("the next host is not told where it was redirected from", REDIRECT + "to={plain_name}/echo",
       {**IP4, **hasnt("(?im)^referer")}, differs="referer", theirs={"success": False}),
    ok("headers go with every hop", REDIRECT + "to={plain_name}/echo",
       {"headers": {"X-Probe": "yes"}, **IP4,
                                                                        **has("X-Probe: yes")}),
    ok("the Host header stays on a relative redirect", REDIRECT + "to=/echo",
       {"headers": {"Host": "first.test"}, **has(r"Host: first\.test\r\n")}),
    ok("the Host header goes on an absolute redirect", REDIRECT + "to={plain}/echo",
       {"headers": {"Host": "first.test"}, **hasnt(r"Host: first\.test\r\n")}),
    ok("nginx redirects to another host", "{nginx}/away",
       {**IP4, **has("^localhost:{port:nginx} HTTP/1.1")}, redirects=1),
    ok("nginx redirects to TLS", "{nginx}/secure", {**tls(), **has("HTTP/2.0")}, http_version="2",
       tls_version="TLS 1.3",
       ssl_earliest_cert_expiry="good"),
    ok("nginx redirects from TLS to plain", "{nginx_h2}/insecure", tls(), http_version="1.1",
       tls_version=None,
       ssl_earliest_cert_expiry=None),
    ok("fail_if_not_ssl looks at the last answer", "{nginx}/secure", {**tls(), "fail_if_not_ssl": True}),
    no("fail_if_ssl looks at the last answer", "ssl", "{nginx}/secure", {**tls(), "fail_if_ssl": True},
       200),
    no("fail_if_not_ssl after a redirect to plain", "not_ssl", "{nginx_h2}/insecure",
       {**tls(), "fail_if_not_ssl": True}, 200),
    ok("fail_if_ssl after a redirect to plain", "{nginx_h2}/insecure", {**tls(), "fail_if_ssl": True}),
    no("a redirect to who refuses", "connect_refused", REDIRECT + "to={refused}/", redirects=1),
    no("a redirect to a server that hangs", "timeout", REDIRECT + "to={mute_plain}/", timeout="400ms",
       redirects=1),
    no("a redirect to a bad certificate", "tls_verify_untrusted", REDIRECT + "to={unknown}/", tls(),
       redirects=1),
]
for code in (301, 302, 303):
    KEYS += [ok(f"{m} becomes GET on {code}", f"{REDIRECT}s={code}&to=/echo",
                 {"method": m, "body": "b0dy", **has(r"\AGET "), **hasnt("b0dy|Content-Length")})
              for m in ("POST", "PUT", "DELETE")]
for code in (307, 308):
    KEYS += [ok(f"{m} stays {m} on {code}", f"{REDIRECT}s={code}&to=/echo",
                 {"method": m, "body": "b0dy", **has(rf"\A{m} ", r"\r\n\r\nb0dy\z")}) for m in ("POST",
                     "PUT")]
KEYS += [
    ok("HEAD stays HEAD", "{plain}/redirect?to=/answer?n=7", {"method": "HEAD"}, content_length=7,
       redirects=1),
    ok("a GET keeps no body on 302", REDIRECT + "to=/echo", {"body": "b0dy", **hasnt("b0dy")}),
]

# ---- credentials ----

AWAY = REDIRECT + "to={plain_name}/echo"
BASIC = {"basic_auth": {"username": "user", "password": "pass"}}
CREDENTIALS = {
    "basic_auth": (BASIC, "Authorization: Basic dXNlcjpwYXNz"),
    "bearer_token": ({"bearer_token": "t0ken"}, "Authorization: Bearer t0ken"),
    "authorization": ({"authorization": {"credentials": "t0ken"}}, "Authorization: Bearer t0ken"),
    "authorization of a type": ({"authorization": {"type": "Token", "credentials": "t0ken"}},
                                "Authorization: Token t0ken"),
}
for name, (block, line) in CREDENTIALS.items():
    KEYS += [
        ok(f"{name} is sent", "{plain}/echo", {**block, **has(line + r"\r\n")}),
        ok(f"{name} stays on the same host", REDIRECT + "to=/echo", {**block, **has(line)}),
        ok(f"{name} does not go to another host", AWAY,
           {**block, **IP4, **has("localhost"), **hasnt("Authorization")},
           differs="credentials-stay", theirs={"success": False}),
        ok(f"{name} may stand under http_client_config", "{plain}/echo",
           {"http_client_config": block, **has(line)}, alone=True),
    ]
KEYS += [
    ok("what was withheld once stays withheld on the way back",
       REDIRECT + "to={plain_name}/redirect?to={plain}/echo", {**BASIC, **IP4, **hasnt("Authorization")},
       redirects=2,
       differs="credentials-stay", theirs={"success": False}),
    ok("an Authorization header does not go to another host", AWAY,
       {"headers": {"Authorization": "Secret s"}, **IP4, **has("localhost"), **hasnt("Secret")}),
    ok("a Cookie header does not go to another host", AWAY,
       {"headers": {"Cookie": "a=b"}, **IP4, **has("localhost"), **hasnt("a=b")}),
    ok("a Cookie header is sent", "{plain}/echo", {"headers": {"Cookie": "a=b"}, **has("Cookie: a=b")}),
    ok("an Authorization header wins over basic_auth", "{plain}/echo",
       {**BASIC, "headers": {"Authorization": "Secret s"}, **has("Authorization: Secret s"),
        **hasnt("Basic")}),
    ok("a secret value does not go to another host", AWAY,
       {"http_headers": {"X-Key": {"secrets": ["hush"]}}, **IP4, **hasnt("hush")}, differs="later-key"),
    ok("basic_auth without a password", "{plain}/echo",
       {"basic_auth": {"username": "user"}, **has("Basic dXNlcjo=")}),
    no("a 401 is not answered", "status_code", "{plain}/answer?s=401&h=WWW-Authenticate:%20Basic", BASIC,
       401),
]

# ---- files ----

SECRETS = {"words": ["-agent.secrets.dir", "{dir}"]}


def tls_files(**files):
    return {"tls_config": {key: "{dir}/" + name for key, name in files.items()}}


KEYS += [
    ok("a password of a file", "{plain}/echo",
       {"basic_auth": {"username": "user", "password_file": "{dir}/pass"}, **has("Basic dXNlcjpwYXNz\r\n")},
       **SECRETS),
    ok("a user name of a file", "{plain}/echo",
       {"basic_auth": {"username_file": "{dir}/user", "password": "pass"}, **has("Basic dXNlcjpwYXNz\r\n")},
       **SECRETS, differs="later-key"),
    ok("a bearer token of a file", "{plain}/echo",
       {"bearer_token_file": "{dir}/token", **has("Bearer t0ken\r\n")}, **SECRETS),
    ok("credentials of a file", "{plain}/echo",
       {"authorization": {"type": "Token", "credentials_file": "{dir}/token"}, **has("Token t0ken\r\n")},
       **SECRETS),
    ok("credentials of a file do not go to another host", AWAY,
       {"bearer_token_file": "{dir}/token", **IP4, **has("localhost"), **hasnt("t0ken")}, **SECRETS,
       differs="credentials-stay", theirs={"success": False}),
    ok("a header's value of a file", "{plain}/echo",
       {"http_headers": {"X-Key": {"files": ["{dir}/token"]}}, **has("X-Key: t0ken\r\n")}, **SECRETS,
       differs="later-key"),
    ok("a header's value of a file does not go to another host", AWAY,
       {"http_headers": {"X-Key": {"files": ["{dir}/token"]}}, **IP4, **has("localhost"), **hasnt("t0ken")},
       **SECRETS, differs="later-key"),
    ok("a body of a file is a stream", "{plain}/echo",
       {"method": "POST", "body_file": "{dir}/body.txt",
        **has("(?i)transfer-encoding: chunked", r"of a\nfile\n\z"),
        **hasnt("Content-Length")}, **SECRETS, differs="later-key"),
    no("a body of a file cannot be sent again", "status_code", REDIRECT + "s=307&to=/echo",
       {"method": "POST", "body_file": "{dir}/body.txt"}, 307, **SECRETS, differs="later-key", redirects=0),
    ok("a body of a file goes on 302", REDIRECT + "to=/echo",
       {"method": "POST", "body_file": "{dir}/body.txt", **has(r"\AGET "), **hasnt("of a")}, **SECRETS,
       differs="later-key"),
    ok("a CA of a file", "{good}/answer", tls_files(ca_file="ca.pem"), **SECRETS),
    ok("a certificate and a key of files", "{wants13}/echo",
       {**tls_files(ca_file="ca.pem", cert_file="client.pem", key_file="client.key"),
        **has("client=client")}, **SECRETS),
    ok("a path is relative to the directory of secrets", "{good}/answer",
       {"tls_config": {"ca_file": "ca.pem"}},
       **SECRETS, alone=True),
    no("a file that is not there", "local_error", "{plain}/echo", {"bearer_token_file": "{dir}/none"},
       **SECRETS),
    no("a CA file that is not there", "local_error", "{good}/echo", tls_files(ca_file="none"), **SECRETS),
    no("a CA file without a certificate", "local_error", "{good}/echo", tls_files(ca_file="text"),
       **SECRETS),
    no("a body file that is not there", "local_error", "{plain}/echo", {"body_file": "{dir}/none"},
       **SECRETS,
       differs="later-key"),
    no("a key that is not the certificate's", "local_error", "{good}/echo",
       tls_files(ca_file="ca.pem", cert_file="client.pem", key_file="stranger.key"), **SECRETS),
    no("a file that leads out of the directory", "local_error", "{plain}/echo",
       {"bearer_token_file": "{dir}/escape"}, **SECRETS, alone=True),
]

# ---- TLS ----

KEYS += [
    ok("a good certificate", "{good}/answer", tls(), tls_version="TLS 1.3",
       ssl_earliest_cert_expiry="good"),
    ok("a chain shows its earliest expiry", "{chain}/answer", tls(), ssl_earliest_cert_expiry="chain"),
    ok("the target's name is proved, not the address", "{good_name}/answer", {**tls(), **IP4}),
    no("an expired certificate", "tls_verify_expired", "{expired}/answer", tls(),
       ssl_earliest_cert_expiry="expired"),
    no("a certificate of tomorrow", "tls_verify_expired", "{not_yet}/answer", tls(),
       ssl_earliest_cert_expiry="not_yet"),
    no("a self-signed certificate", "tls_verify_untrusted", "{self_signed}/answer", tls(),
       ssl_earliest_cert_expiry="self_signed"),
    no("a certificate of an unknown CA", "tls_verify_untrusted", "{unknown}/answer", tls()),
    no("the system's roots do not know our CA", "tls_verify_untrusted", "{good}/answer"),
    ok("the system's roots are trusted without a CA", "{good}/answer",
       env={"SSL_CERT_FILE": "{dir}/ca.pem"}, alone=True),
    no("a chain without its intermediate", "tls_verify_untrusted", "{gap}/answer", tls()),
    no("a certificate for another host", "tls_verify_hostname", "{other}/answer", tls(),
       ssl_earliest_cert_expiry="other"),
    no("a certificate without names", "tls_verify_hostname", "{no_san_name}/answer", {**tls(), **IP4}),
    ok("a certificate for the address", "{by_ip}/answer", tls()),
    no("a certificate for the address does not prove the name", "tls_verify_hostname",
       "{by_ip_name}/answer", {**tls(), **IP4}),
    no("a weak key", "tls_verify_untrusted", "{weak_key}/answer", tls(), differs="weak-certificates",
       theirs={"success": True, "status_code": 200}),
    no("a weak digest", "tls_verify_untrusted", "{weak_digest}/answer", tls()),
    ok("a certificate of oneself as the CA", "{self_signed}/answer",
       {"tls_config": {"ca": "{pem:self_signed}"}}),
    ok("a wildcard covers a label", "{wild}/answer", tls(server_name="a.wild.test")),
    no("a wildcard covers one label only", "tls_verify_hostname", "{wild}/answer",
       tls(server_name="b.a.wild.test")),
    no("a wildcard does not cover its domain", "tls_verify_hostname", "{wild}/answer",
       tls(server_name="wild.test")),
    ok("server_name is asked for and proved", "{other}/echo",
       {**tls(server_name="other.test"), **has("sni=other.test")}),
    ok("the Host header is asked for and proved", "{other}/echo",
       {**tls(), "headers": {"Host": "other.test"}, **has("sni=other.test", r"Host: other\.test\r\n")}),
    ok("server_name goes before the Host header", "{other}/echo",
       {**tls(server_name="other.test"), "headers": {"Host": "first.test"},
        **has("sni=other.test", "Host: first.test")}),
    ok("an address is not asked for", "{good}/echo", {**tls(), **has("sni=None")}),
    ok("a name is asked for", "{good_name}/echo", {**tls(), **IP4, **has("sni=localhost")}),
    ok("server_name does not hold for another port", REDIRECT + "to={good}/answer",
       tls(server_name="other.test")),
    no("server_name does not help another port", "tls_verify_hostname", REDIRECT + "to={other}/answer",
       tls(server_name="other.test")),
    ok("fail_if_not_ssl with TLS", "{good}/answer", {**tls(), "fail_if_not_ssl": True}),
    no("fail_if_ssl with TLS", "ssl", "{good}/answer", {**tls(), "fail_if_ssl": True}, 200),
    no("fail_if_not_ssl without TLS", "not_ssl", "{plain}/answer", {"fail_if_not_ssl": True}, 200),
    ok("fail_if_ssl without TLS", "{plain}/answer", {"fail_if_ssl": True}),
    ok("fail_if_not_ssl may be false", "{plain}/answer", {"fail_if_not_ssl": False}),
    no("without an answer fail_if_not_ssl is not the reason", "no_response", "{plain}/bad/close",
       {"fail_if_not_ssl": True}),
    ok("tls_config does no harm without TLS", "{plain}/answer", tls(), tls_version=None,
       ssl_earliest_cert_expiry=None),
    ok("TLS 1.2 is spoken", "{nginx_tls12}/", {**tls(), **has("TLSv1.2")}, tls_version="TLS 1.2"),
    ok("TLS 1.3 is spoken", "{nginx_tls13}/", {**tls(), **has("TLSv1.3")}, tls_version="TLS 1.3"),
    ok("max_version bounds", "{good}/echo", {**tls(max_version="TLS12"), **has("version=TLSv1.2")},
       tls_version="TLS 1.2"),
    no("min_version bounds", "tls_handshake", "{nginx_tls12}/", tls(min_version="TLS13")),
    ok("min_version may be the server's", "{nginx_tls12}/", tls(min_version="TLS12")),
    no("max_version below the server's", "tls_handshake", "{nginx_tls13}/", tls(max_version="TLS12")),
    no("TLS 1.1 is too old", "tls_handshake", "{tls11}/answer", tls()),
    ok("TLS 1.1 can be allowed", "{tls11}/answer", tls(min_version="TLS10"), tls_version="TLS 1.1"),
    no("plain HTTP where TLS is spoken", "tls_handshake", "https://127.0.0.1:{port:nginx}/answer", tls()),
    no("TLS where plain HTTP is spoken", "no_response", "http://127.0.0.1:{port:good}/answer"),
    no("plain HTTP to a TLS port of nginx", "status_code", "http://127.0.0.1:{port:nginx_h1}/", status=400),
]
KEYS += [ok(f"a {what} is taken without verification", f"{{{name}}}/answer", SKIP,
             ssl_earliest_cert_expiry=name)
          for name, what in (("expired", "expired certificate"), ("self_signed", "self-signed certificate"),
                             ("unknown", "certificate of an unknown CA"),
                             ("other", "certificate for another host"))]
for version in ("12", "13"):
    KEYS += [
        ok(f"our certificate is shown in TLS 1.{version[1]}", f"{{wants{version}}}/echo",
           {**tls(cert="{pem:client}", key="{key:client}"), **has("client=client")}),
        no(f"without a certificate we are refused in TLS 1.{version[1]}", "tls_handshake",
           f"{{wants{version}}}/echo", tls()),
        no(f"with a stranger's certificate we are refused in TLS 1.{version[1]}", "tls_handshake",
           f"{{wants{version}}}/echo", tls(cert="{pem:stranger}", key="{key:stranger}")),
    ]
KEYS += [
    ok("nginx sees our certificate", "{nginx_client}/",
       {**tls(cert="{pem:client}", key="{key:client}"), **has("CN=client")}),
    no("nginx without our certificate", "status_code", "{nginx_client}/", tls(), 400),
]

# ---- bodies and headers ----

KEYS += [
    ok("a body may match nothing", "{plain}/answer?b=fine", hasnt("bad")),
    no("a body must not match", "body_regexp", "{plain}/answer?b=bad%20news", hasnt("bad"), 200,
       content_length=8),
    no("a body must match none of several", "body_regexp", "{plain}/answer?b=second",
       hasnt("first", "second"), 200),
    ok("a body that matches none of several", "{plain}/answer?b=third", hasnt("first", "second")),
    ok("a body must match", "{plain}/answer?b=good", has("good")),
    no("a body that does not match", "body_regexp", "{plain}/answer?b=bad", has("good"), 200),
    no("a body must match all of several", "body_regexp", "{plain}/answer?b=good", has("good", "bread"),
       200),
    ok("a body that matches all of several", "{plain}/answer?b=good%20bread", has("good", "bread")),
    ok("a single regexp needs no list", "{plain}/answer?b=good",
       {"fail_if_body_not_matches_regexp": "good"}, alone=True),
    no("a single regexp that must not match", "body_regexp", "{plain}/answer?b=good",
       {"fail_if_body_matches_regexp": "good"}, 200, alone=True),
    ok("a body of 10 MiB is searched to its end", "{nginx}/big", has(r"0123456789abcde\n\z"), timeout="9s",
       content_length=10 << 20, differs="search-time"),
    no("a 404 with a bad body is a 404", "status_code", "{plain}/answer?s=404&b=bad", hasnt("bad"), 404,
       content_length=3),
]
KEYS += [ok(f"{says}", f"{{plain}}/answer?b={body}", has(regexp)) for says, body, regexp in (
    ("(?s) lets . match a newline", "a%0Ab", "(?s)a.b"),
    ("(?m) lets ^ and $ match at lines", "a%0Ab", "(?m)^b$"),
    ("a rune is a character", "%C3%A9", "^.$"),
    ("invalid UTF-8 does not stop a match", "%FF%FEneedle", "needle"),
    ("a NUL does not stop a match", "a%00needle", "needle"),
    ("case can be ignored", "NEEDLE", "(?i)needle"),
    ("a class of Unicode", "%CE%B1", r"^\p{Greek}$"), ("an empty body matches an empty regexp", "", "^$"))]
KEYS += [no(f"{says}", "body_regexp", f"{{plain}}/answer?b={body}", has(regexp), 200) for says, body,
          regexp in (
    (". does not match a newline", "a%0Ab", "a.b"), ("^ is the beginning of all", "a%0Ab", "^b"),
    ("$ is the very end", "abc%0A", "abc$"), (r"\w is ASCII", "%C3%A9", r"^\w+$"),
    ("nested repeats end at once", "a" * 40 + "!", "^(a+)+$"))]
JS, COOKIES = "{plain}/answer?h=Content-Type:%20text/javascript", \
    "{plain}/answer?h=Set-Cookie:%20a=1&h=Set-Cookie:%20b=2;%20Domain=.example.com"
DOMAIN = r".*Domain=\.example\.com.*"
KEYS += [
    no("a header must not match", "header_regexp", JS, matches("Content-Type", "text/javascript"), 200),
    ok("a header that does not match", JS, matches("Content-Type", "octet-stream")),
    no("names of headers have no case", "header_regexp", JS, matches("content-TYPE", "javascript"), 200),
    no("an empty header is there", "header_regexp", "{plain}/answer?h=X-Empty:", matches("X-Empty", ".*"),
       200),
    no("a missing header fails", "header_regexp", "{plain}/answer", matches("X-None", ".*"), 200),
    ok("a missing header may be allowed", "{plain}/answer", matches("X-None", ".*", allow_missing=True)),
    no("an empty header is not missing", "header_regexp", "{plain}/answer?h=X-Empty:",
       matches("X-Empty", ".*", allow_missing=True), 200),
    no("the second of two headers must not match either", "header_regexp", COOKIES,
       matches("Set-Cookie", DOMAIN), 200),
    ok("a header must match", JS, matches("Content-Type", "text/javascript", True)),
    no("a header that does not match as it must", "header_regexp", JS,
       matches("Content-Type", "octet-stream", True), 200),
    ok("an empty header matches what is empty", "{plain}/answer?h=X-Empty:",
       matches("X-Empty", "^$", True)),
    no("a missing header does not match", "header_regexp", "{plain}/answer", matches("X-None", ".*", True),
       200),
    ok("a missing header may be allowed not to match", "{plain}/answer",
       matches("X-None", ".*", True, allow_missing=True)),
    ok("one of two headers must match", COOKIES, matches("Set-Cookie", DOMAIN, True)),
    no("none of two headers matches as one must", "header_regexp", COOKIES,
       matches("Set-Cookie", "c=3", True), 200),
    no("a header goes before the body", "header_regexp", JS + "&b=bad",
       {**matches("Content-Type", "java"), **hasnt("bad")}, 200),
    no("a header of HTTP/2 matches", "header_regexp", "{nginx_h2}/page",
       {**tls(), **matches("Content-Type", "plain")}, 200),
]

# ---- compression and limits ----

KEYS += [ok(f"a body of {z} is decoded", f"{{plain}}/answer?z={z}",
             {"compression": z, **has("^The quick")}, body_bytes=45)
          for z in ("gzip", "deflate", "br")]
KEYS += [ok(f"a body of {z} stays as it is when nobody asks",
             f"{{plain}}/answer?z={z}&h=Content-Encoding:%20{z}")
          for z in ("gzip", "deflate", "br")]
KEYS += [
    no("a body of gzip does not match without compression", "body_regexp",
       "{plain}/answer?z=gzip&h=Content-Encoding:%20gzip",
       has("quick"), 200),
    ok("an unknown coding passes", "{plain}/answer?h=Content-Encoding:%20xxx", has("quick"),
       content_length=45),
    ok("identity is no coding", "{plain}/answer", {"compression": "identity", **has("quick")}),
    ok("a wrong Content-Encoding does not matter", "{plain}/answer?z=gzip&h=Content-Encoding:%20br",
       {"compression": "gzip", **has("quick")}),
    ok("gzip of several members", "{plain}/answer?z=gzips", {"compression": "gzip", **has("quick.*dog")}),
    no("gzip with a tail", "body_encoding", "{plain}/answer?z=gzip_tail", {"compression": "gzip"}, 200),
    no("gzip cut short", "body_encoding", "{plain}/answer?z=gzip_cut", {"compression": "gzip"}, 200),
    no("gzip with a wrong sum", "body_encoding", "{plain}/answer?z=gzip_crc", {"compression": "gzip"}, 200),
    no("an empty body is no gzip", "body_encoding", "{plain}/answer?z=empty", {"compression": "gzip"}, 200),
    no("HEAD has no gzip", "body_encoding", "{plain}/answer?z=gzip",
       {"compression": "gzip", "method": "HEAD"}, 200),
    no("gzip is no deflate", "body_encoding", "{plain}/answer?z=gzip", {"compression": "deflate"}, 200),
    no("a zlib header is no deflate", "body_encoding", "{plain}/answer?z=zlib", {"compression": "deflate"},
       200),
    no("text is no gzip", "body_encoding", "{plain}/answer", {"compression": "gzip"}, 200),
    no("br cut short", "body_encoding", "{plain}/answer?z=br_cut", {"compression": "br"}, 200,
       differs="brotli-cut",
       theirs={"success": True}),
    ok("Accept-Encoding is sent when it is given", "{plain}/echo", {"headers": {"Accept-Encoding": "gzip"},
                                                                     **has("Accept-Encoding: gzip")}),
    ok("gzip of nginx is decoded", "{nginx}/gzip/page",
       {"compression": "gzip", "headers": {"Accept-Encoding": "gzip"},
                                                         **has("a page of nginx")}),
    ok("gzip of nginx over HTTP/2", "{nginx_h2}/gzip/page", {**tls(), "compression": "gzip", "headers": {
        "Accept-Encoding": "gzip"}, **has("a page of nginx")}),
    ok("10 MiB of gzip by nginx", "{nginx}/gzip/big",
       {"compression": "gzip", "headers": {"Accept-Encoding": "gzip"}},
       timeout="9s", body_bytes=10 << 20),
    ok("a body of exactly the limit", "{plain}/answer?n=1024", {"body_size_limit": "1KB"}, body_bytes=1024),
    no("a byte more than the limit", "body_too_large", "{plain}/answer?n=1025", {"body_size_limit": "1KB"},
       200,
       content_length=1025),
    ok("a limit counts decoded bytes", "{plain}/answer?n=1024&z=gzip",
       {"body_size_limit": "1KB", "compression": "gzip"}),
    no("a byte more than the limit when decoded", "body_too_large", "{plain}/answer?n=1025&z=gzip",
       {"body_size_limit": "1KB", "compression": "gzip"}, 200),
    no("a bomb of gzip", "body_too_large", "{plain}/answer?z=bomb",
       {"body_size_limit": "1MB", "compression": "gzip"}, 200),
    no("an endless body", "body_too_large", "{plain}/bad/endless_body", {"body_size_limit": "64KB"}, 200),
    no("endless chunks", "body_too_large", "{plain}/bad/endless_chunks", {"body_size_limit": "64KB"}, 200),
    no("a limit is a failure of regexps too", "body_too_large", "{plain}/answer?n=2000",
       {"body_size_limit": "1KB", **has("x")}, 200),
    ok("no limit", "{plain}/answer?n=100000", {"body_size_limit": 0}, body_bytes=100000),
    ok("a limit of nginx over HTTP/2", "{nginx_h2}/big", {**tls(), "body_size_limit": "10MB"}, timeout="9s",
       body_bytes=10 << 20),
    no("more than a limit over HTTP/2", "body_too_large", "{nginx_h2}/big",
       {**tls(), "body_size_limit": "1MB"}, 200),
]
