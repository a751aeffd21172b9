"""The cases of HTTP probes that servers, names and URLs make difficult; see httpcases."""
from httpcases import IP4, has, hasnt, matches, no, ok, tls

ABUSE = []

# ---- answers, odd and bad ----

ABUSE += [ok(says, f"{{plain}}/bad/{name}", has("quick" if name != "length_and_chunks" else "hello"),
             **more)
          for name, says, more in (
    ("early_hints", "early hints are passed over", {}), ("continue", "an unasked 100 is passed over", {}),
    ("same_length_twice", "the same length twice", {}), ("folded", "a folded header", {}),
    ("bare_newlines", "newlines alone", {}), ("no_reason", "a status line without a reason", {}))]
ABUSE += [
    ok("a body ended by the end of the connection", "{plain}/answer?e=1", has("quick"),
       content_length=None),
    ok("a body in chunks", "{plain}/answer?c=1", has("quick.*dog"), content_length=None),
    ok("a connection that stays open is not waited for", "{plain}/answer?k=1"),
    ok("more bytes than announced", "{plain}/bad/long", has(r"\AThe\z"), content_length=3),
    ok("an empty answer with a length", "{plain}/bad/empty_with_length", status=204),
]
for name, says in (("silent", "a server that never answers"),
                   ("silent_in_head", "a server that stops in the head"),
                   ("drip_head", "a server that drips the head")):
    ABUSE.append(no(says, "timeout", f"{{plain}}/bad/{name}", timeout="400ms"))
for name, says in (("silent_in_body", "a server that stops in the body"),
                   ("drip_body", "a server that drips the body"),
                   ("endless_body", "an endless body without a limit")):
    ABUSE.append(no(says, "timeout", f"{{plain}}/bad/{name}", status=200, timeout="400ms"))
for name, says in (("close", "a connection closed without an answer"),
                   ("reset", "a connection reset without an answer"),
                   ("half_status_line", "half a status line"), ("half_head", "half a head"),
                   ("reset_in_head", "a connection reset in the head")):
    ABUSE.append(no(says, "no_response", f"{{plain}}/bad/{name}"))
for name, says in (("short", "a body shorter than announced"),
                   ("reset_in_body", "a connection reset in the body"),
                   ("chunk_size", "a chunk size that is none"),
                   ("chunk_huge", "a chunk size beyond all bounds"),
                   ("chunk_negative", "a negative chunk size"), ("chunk_cut", "chunks cut short"),
                   ("chunk_no_end", "chunks without an end"), ("chunk_no_newline", "chunks run together"),
                   ("endless_chunk_size", "an endless chunk size")):
    ABUSE.append(no(says, "truncated", f"{{plain}}/bad/{name}", status=200))
ABUSE.append(no("a truncated body fails although it matches", "truncated", "{plain}/bad/short",
                has("quick"), 200))
for name, says in (("endless_head", "an endless head"), ("endless_line", "an endless header line"),
                   ("endless_status_line", "an endless status line"), ("garbage", "garbage"),
                   ("ssh", "the banner of SSH"),
                   ("http09", "a body without a head"),
                   ("nothing_but_newlines", "newlines and nothing else"),
                   ("two_lengths", "two lengths"), ("length_negative", "a negative length"),
                   ("length_words", "a length in words"), ("length_huge", "a length beyond all bounds"),
                   ("no_colon", "a header without a colon"),
                   ("status_words", "a status in words"), ("status_long", "a status of four digits"),
                   ("status_short", "a status of two digits"),
                   ("status_lost", "a status line without a status"),
                   ("status_glued", "a status and a reason without a blank"),
                   ("chunked_twice", "chunked twice"),
                   ("folded_length", "a folded length"), ("two_returns", "lines that end in two returns"),
                   ("small_letters", "http in small letters"),
                   ("version_2", "HTTP/2 in plain text"),
                   ("unknown_coding", "a transfer coding that nobody knows"),
                   ("endless_interim", "interim answers without end")):
    ABUSE.append(no(says, "bad_response", f"{{plain}}/bad/{name}"))
ABUSE += [
    no("a NUL in the head", "bad_response", "{plain}/bad/nul_in_head", differs="odd-head",
       theirs={"success": True, "status_code": 200}),
    no("a header without a name", "bad_response", "{plain}/bad/no_name", differs="odd-head",
       theirs={"success": True, "status_code": 200}),
    no("a length without a number", "bad_response", "{plain}/bad/empty_length", differs="odd-head",
       theirs={"success": True, "status_code": 200}),
    no("a length that is none beside chunks", "bad_response", "{plain}/bad/length_beside_chunks",
       differs="odd-head",
       theirs={"success": True, "status_code": 200}),
    ok("chunks with newlines alone", "{plain}/bad/chunk_newlines", has("hello"), differs="chunk-newlines",
       theirs={"success": False}),
    ok("a folded header is one value", "{plain}/bad/folded", matches("X-Folded", "^a b$", True)),
    no("a version that nobody speaks", "bad_response", "{plain}/bad/version_7", differs="version",
       theirs={"success": True, "status_code": 200}),
    ok("chunks go before a length", "{plain}/bad/length_and_chunks", has("hello")),
    ok("101 is an answer", "{plain}/bad/switching", {"valid_status_codes": [101]}, 101),
    no("endless trailers end", "truncated", "{plain}/bad/endless_trailers", status=200),
]

# ---- connections ----

ABUSE += [
    no("a port that nobody listens on", "connect_refused", "{refused}/"),
    no("a TLS server that says nothing", "timeout", "{mute}/", tls(), timeout="400ms"),
    no("a server that closes at once", "tls_handshake", "{closes}/", tls()),
    no("a server that resets at once", "tls_handshake", "{resets}/", tls()),
    no("a reset in the handshake", "tls_handshake", "{resets_in_tls}/", tls()),
    no("a close in the handshake", "tls_handshake", "{closes_in_tls}/", tls()),
    no("plain text in the handshake", "tls_handshake", "{garbage_in_tls}/", tls()),
    no("an alert in the handshake", "tls_handshake", "{alert_in_tls}/", tls()),
    no("half a handshake", "timeout", "{half_hello}/", tls(), timeout="400ms"),
    no("one timeout covers slow redirects", "timeout",
       "{plain}/redirect?w=250&to={plain}/redirect?w=250&to=/echo",
       timeout="400ms"),
    no("one timeout covers head and body", "timeout", "{plain}/answer?w=50&m=900", status=200,
       timeout="400ms"),
]

ABUSE += [
    no("garbage in place of HTTP/2", "no_response", "{h2_garbage}/", tls()),
    no("a stream of HTTP/2 that is reset", "no_response", "{h2_reset}/", tls()),
    no("a server of HTTP/2 that goes away", "bad_response", "{h2_goaway}/", tls(), differs="goaway"),
    no("a server of HTTP/2 that says nothing", "timeout", "{h2_silent}/", tls(), timeout="400ms"),
    no("a server of HTTP/2 that closes", "no_response", "{h2_close}/", tls()),
]

# ---- names ----

DNS = {"words": ["-dns", "127.0.0.1:{port:dns}"], "alone": True}
ABUSE += [
    ok("a name with both families is IPv6", "http://both.test:{port:plain}/echo", has("Host: both.test"),
       **DNS,
       address="::1", dns_answers=1),
    ok("a name with both families is IPv4 where that is preferred", "http://both.test:{port:plain}/echo",
       IP4, **DNS,
       address="127.0.0.1"),
    ok("a name with IPv4 alone", "http://four.test:{port:plain}/echo", **DNS, address="127.0.0.1"),
    ok("a name with IPv6 alone falls back to it", "http://six.test:{port:plain}/echo", IP4, **DNS,
       address="::1"),
    no("a name with IPv6 alone without fallback", "dns_no_address", "http://six.test:{port:plain}/echo",
       {**IP4, "ip_protocol_fallback": False}, **DNS),
    ok("a name with several addresses", "http://many.test:{port:plain}/echo", **DNS, dns_answers=3),
    ok("a slow lookup is resolve", "http://slow.test:{port:plain}/echo", **DNS,
       phases={"resolve": 0.08, "connect": 0}),
    ok("lookups of hops add up",
       "http://slow.test:{port:plain}/redirect?to=http://slower.test:{port:plain}/echo", **DNS,
       phases={"resolve": 0.16}),
    no("a name that nobody has", "dns_nxdomain", "http://none.test/", **DNS),
    no("a name without an address", "dns_no_address", "http://empty.test/", **DNS),
    no("a server of names that fails", "dns_error", "http://broken.test/", **DNS),
    no("a server of names that refuses", "dns_error", "http://refused.test/", **DNS),
    no("a server of names that says nothing", "dns_timeout", "http://silent.test/", timeout="400ms", **DNS),
    no("a server of names that talks nonsense", "dns_timeout", "http://garbage.test/", timeout="400ms",
       **DNS),
    no("no server of names", "dns_error", "http://four.test/", words=["-dns", "127.0.0.1:{port:refused}"],
       alone=True),
    no("a redirect to a name that nobody has", "dns_nxdomain", "{plain}/redirect?to=http://none.test/",
       redirects=1, **DNS),
    no("a name of other letters", "unsupported_scheme", "http://b\u00fccher.test/", **DNS),
    ok("the same name as DNS has it", "http://xn--bcher-kva.test:{port:plain}/answer", **DNS),
    no("a label that is too long", "bad_url", "http://" + "a" * 64 + ".test/", **DNS),
    no("a name that is too long", "bad_url", "http://" + "a." * 130 + "test/", **DNS),
    ok("a name with an underscore", "http://under_score.test:{port:plain}/answer", **DNS),
    ok("a name with the root's dot", "https://first.test.:{port:good}/answer", tls(), **DNS),
    no("a URL of absurd length", "bad_url", "{plain}/" + "a" * 5000, differs="long-url",
       theirs={"success": True, "status_code": 200}),
    ok("a URL of some length", "{plain}/" + "a" * 1900, has(r"\AGET /aaaa")),
]

FIRST = "http://first.test:{port:plain}/redirect?to=http://"
SECRET = {"headers": {"Cookie": "a=b"}, "bearer_token": "t0ken"}
ABUSE += [
    ok("secrets go to what is below the target's host", FIRST + "below.first.test:{port:plain}/echo",
       {**SECRET, **has("Bearer t0ken", "a=b")}, **DNS),
    ok("secrets go to another port of the target's host", FIRST + "first.test:{port:second}/echo",
       {**SECRET, **has("Bearer t0ken", "a=b")}, **DNS),
    ok("secrets do not go to a host that ends alike", FIRST + "notfirst.test:{port:plain}/echo",
       {**SECRET, **hasnt("Bearer", "a=b")}, **DNS),
    ok("secrets do not go to the target's address", FIRST + "127.0.0.1:{port:plain}/echo",
       {**SECRET, **hasnt("Bearer", "a=b")}, **DNS),
    ok("a cookie for a domain goes to a host below it",
       "http://first.test:{port:plain}/redirect?h=Set-Cookie:%20jar=full;%20Domain=first.test"
       "&to=http://below.first.test:{port:plain}/echo", has("jar=full"), **DNS),
    ok("a cookie cannot be for another domain",
       "http://first.test:{port:plain}/redirect?h=Set-Cookie:%20jar=full;%20Domain=notfirst.test"
       "&to=http://notfirst.test:{port:plain}/echo", hasnt("jar=full"), **DNS),
]

# ---- phases ----

ABUSE += [
    ok("a slow head is processing", "{plain}/answer?w=80", phases={"processing": 0.08, "transfer": 0}),
    ok("processing ends with the first byte of the head", "{plain}/bad/late_head",
       phases={"processing": 0, "transfer": 0.08}),
    ok("a slow body is transfer", "{plain}/answer?m=80", phases={"processing": 0, "transfer": 0.08}),
    ok("a slow handshake is tls", "{slow_tls}/answer", tls(),
       phases={"connect": 0, "tls": 0.08, "processing": 0}),
    ok("slow hops add up", "{plain}/redirect?w=50&to=/redirect?w=50&to=/answer?w=50&m=60",
       phases={"processing": 0.15, "transfer": 0.06}, redirects=2),
    ok("handshakes of hops add up", "{slow_tls}/redirect?to={slow_tls}/answer", tls(),
       phases={"tls": 0.16}),
    ok("plain HTTP has no tls", "{plain}/answer", phases={"tls": 0}),
    no("a failure has its phases too", "status_code", "{plain}/answer?s=500&w=80", status=500,
       phases={"processing": 0.08}),
]
