"""The cases of HTTP probes that go another way: through proxies, and by way of tokens; see httpcases."""
from httpabuse import DNS
from httpcases import AWAY, BASIC, IP4, SECRETS, has, hasnt, no, ok, tls

# ---- proxies ----


def through(name, **more):
    return {"proxy_url": f"{{{name}}}", **more}


PLAIN, NOWHERE = "http://127.0.0.1:{port:plain}/echo", "http://none.test/echo"
USER = {"proxy_url": "http://user:pass@127.0.0.1:{port:proxy_auth}"}
HEADER = {"proxy_url": "{proxy_header}", "proxy_connect_header": {"X-Way": ["through"]}}
WAYS = [
    ok("plain HTTP goes through a proxy as it is", "{plain}/echo",
       {**through("proxy"), **has("^by proxy", r"\nGET http://127.0.0.1:{port:plain}/echo HTTP/1.1\r\n",
                                  r"Host: 127.0.0.1:{port:plain}\r\n")}),
    ok("a proxy sees the name of the host", "http://localhost:{port:plain}/echo",
       {**through("proxy"), **IP4, **has("GET http://localhost:{port:plain}/echo ",
                                         "Host: localhost:{port:plain}")}),
    ok("a proxy is asked with the method and the body", "{plain}/echo",
       {**through("proxy"), "method": "POST", "body": "b0dy", **has("POST http://", r"b0dy\z")}),
    ok("a proxy gets its credentials", "{plain}/echo",
       {**USER, **has("Proxy-Authorization: Basic dXNlcjpwYXNz")}),
    no("a proxy without its credentials", "status_code", "{plain}/echo", through("proxy_auth"), 407),
    no("a proxy that denies", "status_code", "{plain}/echo", through("proxy_deny"), 403),
    ok("TLS goes through a tunnel", "{good}/echo",
       {**through("proxy"), **tls(), **has("^sni=None", "GET /echo HTTP")},
       tls_version="TLS 1.3", ssl_earliest_cert_expiry="good"),
    ok("TLS to a name goes through a tunnel", "{good_name}/echo",
       {**through("proxy"), **tls(), **IP4, **has("^sni=localhost")}),
    ok("HTTP/2 goes through a tunnel", "{nginx_h2}/page", {**through("proxy"), **tls()}, http_version="2"),
    ok("a tunnel gets its credentials, and the target does not", "{good}/echo",
       {**USER, **tls(), **hasnt("Proxy-Authorization")}),
    no("a tunnel without its credentials", "proxy", "{good}/echo", {**through("proxy_auth"), **tls()}),
    no("a tunnel that is denied", "proxy", "{good}/echo", {**through("proxy_deny"), **tls()}),
    ok("a tunnel gets its own headers, and the target the others", "{good}/echo",
       {**HEADER, **BASIC, **tls(), "headers": {"X-Probe": "yes"},
        **has("X-Probe: yes", "Authorization: Basic"),
        **hasnt("X-Way")}),
    no("a certificate is proved through a tunnel too", "tls_verify_untrusted", "{unknown}/echo",
       {**through("proxy"), **tls()}),
    no("a proxy that nobody runs", "proxy", "{plain}/echo", through("refused")),
    no("a tunnel that nobody runs", "proxy", "{good}/echo", {**through("refused"), **tls()}),
    no("a proxy that says nothing", "timeout", "{plain}/echo", through("proxy_mute"), timeout="400ms"),
    no("a tunnel that says nothing", "proxy", "{good}/echo", {**through("proxy_mute"), **tls()},
       timeout="400ms"),
    ok("redirects go through the proxy", "{good}/redirect?to={good}/echo", {**through("proxy"), **tls()},
       redirects=1),
    ok("no_proxy keeps from the proxy", "{plain}/echo",
       {**through("proxy"), "no_proxy": "127.0.0.1", **hasnt("by proxy")},
       differs="later-key"),
    ok("no_proxy of others does not", "http://away.test:{port:plain}/echo",
       {**through("proxy"), "no_proxy": "127.9.9.9,three.test", **has("by proxy")}, **DNS),
    ok("with no_proxy the loopback is never behind the proxy", "{plain}/echo",
       {**through("proxy"), "no_proxy": "three.test", **hasnt("by proxy")}, differs="later-key"),
    ok("the environment's proxy is ignored", "http://four.test:{port:plain}/echo", hasnt("by proxy"), **DNS,
       env={"http_proxy": "{proxy}"}),
    ok("the environment's proxy is used when it is asked for", "http://away.test:{port:plain}/echo",
       {"proxy_from_environment": True, **has("by proxy")}, **DNS, env={"http_proxy": "{proxy}"}),
    ok("the environment's proxy does not serve the loopback", "{plain}/echo",
       {"proxy_from_environment": True, **hasnt("by proxy")}, **DNS, env={"http_proxy": "{proxy}"}),
    ok("the environment's no_proxy holds", "http://four.test:{port:plain}/echo",
       {"proxy_from_environment": True, **hasnt("by proxy")}, **DNS,
       env={"http_proxy": "{proxy}", "no_proxy": "four.test"}),
    no("a name is looked up before the proxy is asked", "dns_nxdomain", NOWHERE, through("proxy"), **DNS),
    ok("unless the lookup is left to the proxy", NOWHERE,
       {**through("proxy", skip_resolve_phase_with_proxy=True), **has("GET http://none.test/echo ")},
       **DNS),
    ok("a tunnel to a name that the proxy looks up", "https://first.test:{port:good}/echo",
       {**through("proxy", skip_resolve_phase_with_proxy=True), **tls(), **has("sni=first.test")}, **DNS),
    ok("without a proxy the lookup is not skipped", "http://four.test:{port:plain}/echo",
       {"skip_resolve_phase_with_proxy": True}, **DNS, address="127.0.0.1"),
    ok("proxies may stand under http_client_config", "{plain}/echo",
       {"http_client_config": through("proxy"), **has("by proxy")}, alone=True),
]

# ---- oauth2 ----


def oauth(path="/token", **more):
    return {"oauth2": {"client_id": "us", "client_secret": "hush", "token_url": "{plain}" + path, **more}}


WAYS += [
    ok("a token is fetched and sent", "{plain}/echo",
       {**oauth(), **has(r"Authorization: Bearer grant_type\.client_credentials\r\n")}),
    ok("a token of scopes", "{plain}/echo",
       {**oauth(scopes=["a", "b"]), **has(r"Bearer .*-scope\.a\+b\r\n")}),
    ok("a token with parameters", "{plain}/echo",
       {**oauth(endpoint_params={"audience": "all"}), **has(r"Bearer audience\.all-grant_type")}),
    ok("a token server that wants the credentials in the form", "{plain}/echo",
       {**oauth("/token/form"), **has("Bearer grant")}),
    ok("a token over TLS", "{plain}/echo", {"oauth2": {"client_id": "us", "client_secret": "hush", **tls(),
                                                       "token_url": "{good}/token"},
                                                       **has("Bearer grant")}),
    ok("a token does not go to another host", AWAY,
       {**oauth(), **IP4, **has("localhost"), **hasnt("Bearer")},
       differs="credentials-stay", theirs={"success": False}),
    ok("a secret of a file for the token", "{plain}/echo",
       {"oauth2": {"client_id": "us", "client_secret_file": "{dir}/hush", "token_url": "{plain}/token"},
        **has("Bearer grant")}, **SECRETS),
    no("a token that is denied", "oauth2", "{plain}/echo", oauth("/token/denied")),
    no("a token with a wrong secret", "oauth2", "{plain}/echo", oauth(client_secret="wrong")),
    no("a token that is garbage", "oauth2", "{plain}/echo", oauth("/token/garbage")),
    no("a token that is none", "oauth2", "{plain}/echo", oauth("/token/none")),
    no("a token server that says nothing", "oauth2", "{plain}/echo", oauth("/token/silent"),
       timeout="400ms", alone=True),
    no("a token server that nobody runs", "oauth2", "{plain}/echo",
       {"oauth2": {"client_id": "us", "client_secret": "hush", "token_url": "{refused}/token"}}),
    no("a token server whose certificate nobody trusts", "oauth2", "{plain}/echo",
       {"oauth2": {"client_id": "us", "client_secret": "hush", "token_url": "{unknown}/token", **tls()}}),
]
