#include "test/unit/unit.h"

#include <string.h>

#include "agentd/task_command.h"
#include "agentd/task_grammar.h"
#include "common/array.h"

#define SECONDS(n) ((uint64_t)(n)*1000000000u)

static const struct task_terms root = {
    .policy = TASK_POLICY_ALLOWLIST, .root = true, .deadline_ns = SECONDS(60)};
static const struct task_terms user = {
    .policy = TASK_POLICY_ALLOWLIST, .root = false, .deadline_ns = SECONDS(60)};
static struct prober_failure why;

static struct prober_addr address_of(const char *text)
{
    struct prober_addr address;

    assert_int_equal(prober_addr_parse(text, &address), PROBER_OK);
    return address;
}

static enum prober_error parse(const struct task_terms *terms, const char *line,
                               struct task_command **out)
{
    *out = NULL;
    why.text[0] = '\0';
    return task_command_parse(out, terms, line, strlen(line), &why);
}

static struct task_command *given_command(const struct task_terms *terms, const char *line)
{
    struct task_command *c;

    if (parse(terms, line, &c))
        fail_msg("%s: %s", line, why.text);
    return c;
}

static void assert_argv(const struct task_command *c, const char *expected)
{
    const char *const *argv = task_command_argv(c);
    char text[1024] = "";

    assert_non_null(argv);
    for (; *argv; argv++) {
        strcat(text, text[0] ? " " : "");
        strcat(text, *argv);
    }
    assert_string_equal(text, expected);
}

static void assert_becomes(const struct task_terms *terms, const char *line, const char *expected)
{
    struct task_command *c = given_command(terms, line);
    const struct prober_addr there[] = {address_of("2001:db8::7"), address_of("192.0.2.7")};
    size_t count = task_command_lookup(c) ? 2 : 0;

    if (task_command_settle(c, there, count, NULL, &why))
        fail_msg("%s: %s", line, why.text);
    assert_argv(c, expected);
    task_command_destroy(c);
}

static void assert_refused(const struct task_terms *terms, const char *line)
{
    struct task_command *c;

    if (parse(terms, line, &c) == PROBER_OK)
        fail_msg("was taken: %s", line);
    assert_null(c);
    assert_true(strlen(why.text) > 10);
    assert_null(strchr(why.text, '\n'));
}

/* ---- what is taken ---- */

static void commands_are_written_anew(void **state)
{
    static const struct {
        const char *line, *argv;
    } cases[] = {
        {"ping 192.0.2.1", "ping -c 5 -i 1 -w 58 192.0.2.1"},
        {"ping -nc3 -W 2 -i.5 ::1", "ping -n -c 3 -i 0.5 -w 58 -W 2 ::1"},
        {"ping -4 example.com", "ping -4 -c 5 -i 1 -w 58 192.0.2.7"},
        {"ping example.com -6 -I eth0.5", "ping -6 -c 5 -i 1 -w 58 -I eth0.5 2001:db8::7"},
        {"ping -w 10 -s 1472 -M do -t 9 -- 192.0.2.1",
         "ping -c 5 -i 1 -w 10 -s 1472 -t 9 -M do 192.0.2.1"},
        {"mtr -r -n -c 20 -i0.1 192.0.2.1", "mtr -r -n -c 20 -i 0.1 192.0.2.1"},
        {"mtr --report --report-cycles=20 --interval 2 --no-dns 192.0.2.1",
         "mtr -r -n -c 20 -i 2 192.0.2.1"},
        {"mtr -nrc20 192.0.2.1", "mtr -r -n -c 20 -i 1 192.0.2.1"},
        {"mtr --json -T -P 443 example.com", "mtr -r -j -T -c 10 -i 1 -P 443 2001:db8::7"},
        {"mtr -rwbz -o 'LSD' -m 12 -c 1 192.0.2.1",
         "mtr -r -w -b -z -c 1 -i 1 -m 12 -o LSD 192.0.2.1"},
        {"traceroute -n 192.0.2.1", "traceroute -n -m 30 -q 3 -w 3 192.0.2.1"},
        {"traceroute -T -p 443 --max-hops=9 --mtu 192.0.2.1 60",
         "traceroute -T --mtu -m 9 -q 3 -w 3 -p 443 192.0.2.1 60"},
        {"tracepath -b -l 1500 fe80::1", "tracepath -b -l 1500 -m 30 fe80::1"},
        {"dig example.com", "dig +time=5 +tries=2 -q example.com"},
        {"dig @192.0.2.53 +short mx example.com.",
         "dig +short +time=5 +tries=2 -q example.com. -t MX @192.0.2.53"},
        {"dig +noall +answer _sip._tcp.example.com SRV",
         "dig +noall +answer +time=5 +tries=2 -q _sip._tcp.example.com -t SRV"},
        {"dig @one.example version.bind ch txt -p53",
         "dig -p 53 +time=5 +tries=2 -q version.bind -t TXT -c CH @2001:db8::7"},
        {"dig -x 192.0.2.1", "dig -x 192.0.2.1 +time=5 +tries=2"},
        {"dig -taaaa . +tries=1 +norecurse", "dig -t AAAA +norecurse +time=5 +tries=1 -q ."},
        {"host -t ns example.com 192.0.2.53", "host -t NS -R 2 -W 5 example.com 192.0.2.53"},
        {"host 192.0.2.1", "host -R 2 -W 5 192.0.2.1"},
        {"nslookup -type=mx example.com", "nslookup -type=MX -timeout=5 -retry=2 example.com"},
        {"nslookup -q=AAAA -port=5353 example.com 192.0.2.53",
         "nslookup -type=AAAA -port=5353 -timeout=5 -retry=2 example.com 192.0.2.53"},
        {"ss -tlnp", "ss -n -l -p -t"},
        {"ss", "ss"},
        {"ss -tn state established dport = :443 and dst 192.0.2.0/24",
         "ss -n -t state established dport = :443 and dst 192.0.2.0/24"},
        {"ss --tcp --family=inet6 not sport 22", "ss -t -f inet6 not sport :22"},
        {"ip a", "ip address show"},
        {"ip -s -br link show eth0", "ip -s -br link show dev eth0"},
        {"ip -6 r", "ip -6 route show"},
        {"ip route get 192.0.2.1 from 192.0.2.2 oif eth0",
         "ip route get 192.0.2.1 from 192.0.2.2 oif eth0"},
        {"ip route show table all 192.0.2.0/24", "ip route show table all to 192.0.2.0/24"},
        {"ip neigh list dev eth0 nud stale", "ip neighbour show dev eth0 nud stale"},
        {"ip -j -p rule", "ip -j -p rule show"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_becomes(&root, cases[i].line, cases[i].argv);
}

static void the_original_s_example_runs_as_it_stands(void **state)
{
    struct task_command *c = given_command(&user, "mtr -r example.com -c 20 -i0.1");
    struct prober_addr there = address_of("192.0.2.7");

    (void)state;
    assert_string_equal(task_command_lookup(c), "example.com");
    assert_null(task_command_argv(c));
    assert_int_equal(task_command_settle(c, &there, 1, NULL, &why), PROBER_OK);
    assert_argv(c, "mtr -r -c 20 -i 1 192.0.2.7");
    assert_string_equal(task_command_notes(c),
                        "mtr: -i 0.1 is allowed to root only: it was made 1\n"
                        "mtr: example.com is 192.0.2.7\n");
    assert_true(task_command_needs_raw(c));
    assert_false(task_command_is_shell(c));
    task_command_destroy(c);
}

/* ---- built-ins ---- */

#define ALWAYS_DENIED "-deny=0.0.0.0,224.0.0.0/4,240.0.0.0/4,::,ff00::/8"

static void built_ins_are_this_program_s_own_probes(void **state)
{
    static const struct {
        const char *line, *argv;
    } cases[] = {
        {"probe icmp 192.0.2.1",
         "agentd probe icmp -text -count=5 -interval=1s -timeout=1s 192.0.2.1"},
        {"probe icmp -json -count 3 -interval=200ms -timeout 0.5s -size 100 example.com -6",
         "agentd probe icmp -text -json -6 -count=3 -interval=0.2s -timeout=0.5s -size=100 "
         "2001:db8::7"},
        {"probe icmp -nqc3 -i.5 -W 2 -s 56 -w 9 192.0.2.1",
         "agentd probe icmp -text -count=3 -interval=0.5s -timeout=2s -size=56 192.0.2.1"},
        {"trace 192.0.2.1", "agentd probe trace -count=10 -interval=1s -timeout=2s -max-hops=30 "
                            "-rate=500 192.0.2.1"},
        {"trace -json -4 -protocol UDP -c 3 -i 0.3 -m 12 -silent=2 -port 33500 example.com",
         "agentd probe trace -json -4 -protocol=udp -count=3 -interval=0.3s -timeout=2s "
         "-max-hops=12 -silent=2 -port=33500 -rate=500 192.0.2.7"},
        {"probe trace -- ::1", "agentd probe trace -count=10 -interval=1s -timeout=2s -max-hops=30 "
                               "-rate=500 ::1"},
        {"http example.com",
         "agentd probe http -text -timeout=10s http://example.com/ " ALWAYS_DENIED},
        {"http -json -4 -method head -status 301 -no-redirects -timeout 1500ms "
         "'https://Example.com:8443/a?b=c&d=(e)#f'",
         "agentd probe http -text -json -4 -method=HEAD -status=301 -no-redirects -timeout=1.5s "
         "https://Example.com:8443/a?b=c&d=(e) " ALWAYS_DENIED},
        {"probe http 'http://[2001:db8::7]/'",
         "agentd probe http -text -timeout=10s http://[2001:db8::7]/ " ALWAYS_DENIED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct task_command *c = given_command(&user, cases[i].line);

        assert_true(task_command_is_own(c));
        assert_false(task_command_is_shell(c));
        task_command_destroy(c);
        assert_becomes(&user, cases[i].line, cases[i].argv);
    }
}

static void ping_is_built_in_where_none_is_installed(void **state)
{
    const struct task_terms bare = {
        .policy = TASK_POLICY_ALLOWLIST, .deadline_ns = SECONDS(60), .own_ping = true};
    struct task_command *c = given_command(&bare, "ping -n -c 3 -w 9 ::1");

    (void)state;
    assert_true(task_command_is_own(c) && task_command_needs_raw(c));
    assert_string_equal(task_command_notes(c), "ping: -n has no effect on the built-in ping\n"
                                               "ping: -w has no effect on the built-in ping\n");
    task_command_destroy(c);
    assert_becomes(&bare, "ping -c 3 example.com -4",
                   "agentd probe icmp -text -4 -count=3 -interval=1s -timeout=1s 192.0.2.7");
    assert_refused(&bare, "ping -M do ::1");
    c = given_command(&user, "ping ::1");
    assert_false(task_command_is_own(c));
    task_command_destroy(c);
}

static void a_built_in_for_urls_is_given_networks_and_name_servers(void **state)
{
    const char *allowed[] = {"10.0.0.0/8", "2001:db8::/32"}, *denied[] = {"10.9.0.0/16"};
    const struct option_list allow = {(char **)allowed, 2}, deny = {(char **)denied, 1};
    const struct task_terms terms = {.policy = TASK_POLICY_ALLOWLIST,
                                     .deadline_ns = SECONDS(60),
                                     .servers = "192.0.2.53,[::1]:5353"};
    struct policy *policy = NULL;
    struct task_command *c = given_command(&terms, "http a.example/x -timeout 5");

    (void)state;
    assert_int_equal(policy_create(&policy, &allow, &deny, NULL), PROBER_OK);
    assert_null(task_command_lookup(c));
    assert_null(task_command_argv(c)); /* not without being judged */
    assert_int_equal(task_command_settle(c, NULL, 0, policy, &why), PROBER_OK);
    assert_argv(c,
                "agentd probe http -text -timeout=5s -dns=192.0.2.53,[::1]:5353 "
                "http://a.example/x " ALWAYS_DENIED ",10.9.0.0/16 -allow=10.0.0.0/8,2001:db8::/32");
    assert_int_equal(task_command_settle(c, NULL, 0, policy, &why), PROBER_ERR_STATE);
    assert_false(task_command_needs_raw(c));
    task_command_destroy(c);
    policy_put(policy);
}

static void built_ins_end_before_the_deadline(void **state)
{
    static const struct {
        const char *line, *part;
    } cases[] = {
        {"probe icmp -c 1000 ::1", " -count=57 "},
        {"probe icmp -c 1000 -timeout 8 ::1", " -count=50 "},
        {"trace -c 1000 -i 0.2 ::1", " -count=275 "},
        {"http -timeout 60 a.example", " -timeout=58s "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct task_command *c = given_command(&user, cases[i].line);
        char text[512] = "";

        assert_int_equal(task_command_settle(c, NULL, 0, NULL, &why), PROBER_OK);
        for (const char *const *word = task_command_argv(c); *word; word++) {
            strcat(text, *word);
            strcat(text, " ");
        }
        if (!strstr(text, cases[i].part))
            fail_msg("%s: %s", cases[i].line, text);
        task_command_destroy(c);
    }
}

static void what_built_ins_could_be_misused_for_is_refused(void **state)
{
    static const char *const lines[] = {
        "probe",
        "probe dns ::1",
        "probe icmp",
        "probe icmp ::1 ::1",
        "probe icmp -file /etc/hosts ::1",
        "probe icmp -file=/etc/hosts",
        "probe icmp -dns 192.0.2.53 ::1",
        "probe icmp -summary ::1",
        "probe icmp -count 65535x ::1",
        "probe icmp -size 65000 ::1",
        "probe icmp -interval 1h2x ::1",
        "probe icmp --count 3 ::1",
        "probe icmp -4 -6 ::1",
        "probe icmp -4 ::1",
        "probe icmp -- -json ::1",
        "trace",
        "trace -dns 192.0.2.53 ::1",
        "trace -protocol tcp ::1",
        "trace -rate 1000 ::1",
        "trace -max-hops ::1",
        "trace -port 0 ::1",
        "trace http://a.example/",
        "http",
        "http a.example b.example",
        "http -config /etc/probermesh/probes.yaml a.example",
        "http -prober x a.example",
        "http -agent.secrets.dir / a.example",
        "http -file /etc/hosts a.example",
        "http -dns 192.0.2.53 a.example",
        "http -allow 0.0.0.0/0 a.example",
        "http -deny '' a.example",
        "http -v a.example",
        "http -method POST a.example",
        "http -method GET,HEAD a.example",
        "http -status 99 a.example",
        "http -status 200,301 a.example",
        "http -timeout never a.example",
        "http file:///etc/passwd",
        "http ftp://a.example/",
        "http 'http://user:secret@a.example/'",
        "http http://user@a.example/",
        "http http:///x",
        "http http://a.example:0/",
        "http http://127.1/",
        "http http://-x/",
        "http 'http://a.example\r\nHost: b'",
        "http @a.example",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_refused(&root, lines[i]);
}

static void what_is_adjusted_is_told(void **state)
{
    static const struct {
        const char *line, *argv, *note;
    } cases[] = {
        {"ping -c 100000 ::1", "ping -c 58 -i 1 -w 58 ::1",
         "ping: -c 100000 is above what tasks may ask: it was made 1000\n"
         "ping: -c 1000 at -i 1 would outlast the 60 s of a task: it was made 58\n"},
        {"ping -c 0 ::1", "ping -c 1 -i 1 -w 58 ::1", "is below what tasks may ask"},
        {"ping -i 0 -c1 ::1", "ping -c 1 -i 0.2 -w 58 ::1", "was made 0.2"},
        {"ping ::1", "ping -c 5 -i 1 -w 58 ::1", "ping: -c 5 was added\n"},
        {"ping -c 2 -w 500 ::1", "ping -c 2 -i 1 -w 58 ::1", ""},
        {"mtr -c 500 ::1", "mtr -r -c 52 -i 1 ::1", "mtr: -c 500 at -i 1 would outlast the 60 s"},
        {"mtr -c 500 -i 0.1 ::1", "mtr -r -c 500 -i 0.1 ::1", ""},
        {"mtr -c 5 -i 1000 ::1", "mtr -r -c 1 -i 60 ::1", "was made 60"},
        {"dig +time=900 +tries=99 a.b", "dig +time=30 +tries=5 -q a.b", "+tries 99 is above"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct task_command *c = given_command(&root, cases[i].line);

        assert_int_equal(task_command_settle(c, NULL, 0, NULL, &why), PROBER_OK);
        assert_argv(c, cases[i].argv);
        if (!strstr(task_command_notes(c), cases[i].note))
            fail_msg("%s: %s", cases[i].line, task_command_notes(c));
        task_command_destroy(c);
    }
}

static void a_task_without_time_still_asks_once(void **state)
{
    const struct task_terms hurried = {
        .policy = TASK_POLICY_ALLOWLIST, .root = true, .deadline_ns = SECONDS(1)};

    (void)state;
    assert_becomes(&hurried, "mtr -c 20 ::1", "mtr -r -c 1 -i 1 ::1");
    assert_becomes(&hurried, "ping ::1", "ping -c 1 -i 1 -w 1 ::1");
}

/* ---- what is refused ---- */

static void commands_that_are_not_listed_are_refused(void **state)
{
    static const char *const lines[] = {
        "sh -c id",
        "bash",
        "cat /etc/passwd",
        "/bin/ping ::1",
        "./ping ::1",
        "../ping ::1",
        "Ping ::1",
        "ping6 ::1",
        "pingx ::1",
        "sudo ping ::1",
        "env ping ::1",
        "PATH=/tmp ping ::1",
        "nmap ::1",
        "tcpdump -c 1",
        "curl ::1",
        "nc ::1",
        "'ping ::1'",
        "''",
        "-",
        "--",
        "mtr-packet",
        "traceroute6 ::1",
        "delv a.b",
        "nsupdate",
        "tc qdisc",
        "bridge link",
        "rtmon file x",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_refused(&root, lines[i]);
}

static void what_is_for_a_shell_is_refused_for_every_command(void **state)
{
    static const char *const tails[] = {
        "; id",     "&& id",         "| sh",   "& id",  "`id`",   "$(id)",    "$HOME",
        "> /tmp/x", "< /etc/passwd", "\\; id", "\n id", "'; id'", "\"`id`\"", "'$(id)'",
        "{a,b}",    "~root",         "a*",     "a?",    "[a]",    "#",        "!!",
        "\r",       "\x1b[2J",       "\x80",   "\x7f",  "'",      "\"",       "'\n'",
        "(id)",
    };

    (void)state;
    for (size_t i = 0; i < task_tools_count; i++) {
        for (size_t k = 0; k < ARRAY_LEN(tails); k++) {
            char line[64];

            snprintf(line, sizeof(line), "%s 192.0.2.1 %s", task_tools[i].name, tails[k]);
            assert_refused(&root, line);
            snprintf(line, sizeof(line), "%s %s", task_tools[i].name, tails[k]);
            assert_refused(&root, line);
        }
    }
}

static void options_that_write_read_execute_or_flood_are_in_no_grammar(void **state)
{
    static const char *const lines[] = {
        /* ping */
        "ping -f ::1",
        "ping -nf ::1",
        "ping -l 65000 ::1",
        "ping -A ::1",
        "ping -b 192.0.2.255",
        "ping -c 3 -fn ::1",
        "ping -m 1 ::1",
        "ping -p ff ::1",
        "ping -S 9999999 ::1",
        "ping -R ::1",
        "ping -T tsonly ::1",
        "ping -N name ::1",
        "ping -L ::1",
        "ping --flood ::1",
        "ping -s 65507 ::1",
        "ping -s -1 ::1",
        "ping -c -1 ::1",
        "ping -c 1e3 ::1",
        "ping -c 0x10 ::1",
        "ping -c '' ::1",
        "ping -c ' 1' ::1",
        "ping -c 1.5 ::1",
        "ping -c",
        "ping -i nan ::1",
        "ping -i inf ::1",
        "ping -i -1 ::1",
        "ping -i 1,5 ::1",
        "ping -i . ::1",
        "ping -M probe ::1",
        "ping -I -f ::1",
        "ping -I /dev/null ::1",
        "ping -I a.very.long.name0 ::1",
        "ping -4 -6 a.b",
        "ping -4 ::1",
        "ping -6 192.0.2.1",
        "ping -c 99999999999999999999 ::1",
        /* mtr */
        "mtr -F /etc/passwd",
        "mtr --filename=/etc/passwd",
        "mtr --filename /etc/passwd ::1",
        "mtr -rF/etc/shadow",
        "mtr -t ::1",
        "mtr -p ::1",
        "mtr -l ::1",
        "mtr -g ::1",
        "mtr -s -1 ::1",
        "mtr --curses ::1",
        "mtr --split ::1",
        "mtr -B 255 ::1",
        "mtr -M 1 ::1",
        "mtr -L 53 ::1",
        "mtr --report-cycle 3 ::1",
        "mtr --rep ::1",
        "mtr -o LX9 ::1",
        "mtr -o '' ::1",
        "mtr -a eth0 ::1",
        "mtr -I 'a b' ::1",
        "mtr --report=yes ::1",
        "mtr ::1 192.0.2.1",
        "mtr -r",
        /* traceroute */
        "traceroute -g 192.0.2.9 ::1",
        "traceroute -M tcp ::1",
        "traceroute -O help ::1",
        "traceroute --module=../../tmp/x ::1",
        "traceroute -A ::1",
        "traceroute -r ::1",
        "traceroute --fwmark=1 ::1",
        "traceroute -P 50 ::1",
        "traceroute -d ::1",
        "traceroute --sport=53 ::1",
        "traceroute ::1 70000",
        "traceroute ::1 60 60",
        "traceroute -m x ::1",
        "traceroute -N 500 ::1",
        "traceroute -z 0 ::1",
        /* tracepath */
        "tracepath -V",
        "tracepath -l 9999999 ::1",
        "tracepath ::1/53",
        "tracepath -p 0 ::1",
        "tracepath -p 65536 ::1",
        "tracepath --help ::1",
        "tracepath",
        /* dig */
        "dig -f /etc/passwd",
        "dig -f/etc/passwd a.b",
        "dig -k /etc/bind/key a.b",
        "dig -y a:b a.b",
        "dig -b 192.0.2.1 a.b",
        "dig -m a.b",
        "dig +trace a.b",
        "dig +nssearch a.b",
        "dig a.b axfr",
        "dig -t axfr a.b",
        "dig -t ixfr=1 a.b",
        "dig +https a.b",
        "dig +tls a.b",
        "dig +tls-ca=/etc/passwd a.b",
        "dig +ednsopt=3:00 a.b",
        "dig +short=1 a.b",
        "dig +nonsense a.b",
        "dig +nonoall a.b",
        "dig +notries a.b",
        "dig + a.b",
        "dig @ a.b",
        "dig @-x a.b",
        "dig @. a.b",
        "dig @192.0.2.1 @192.0.2.2 a.b",
        "dig a.b c.d",
        "dig -x a.b",
        "dig -x 192.0.2.1 a.b",
        "dig",
        "dig mx",
        "dig -t mx a.b txt",
        "dig -q a.b",
        "dig -h",
        "dig -v",
        "dig a..b",
        "dig a.b mx -- -f",
        "dig @192.0.2.1#53 a.b",
        "dig 'a b'",
        "dig +bufsize=99999 a.b",
        /* host */
        "host -l a.b",
        "host -C a.b",
        "host -w a.b",
        "host -m trace a.b",
        "host -i a.b",
        "host -V",
        "host -t axfr a.b",
        "host -p 53 a.b",
        "host",
        "host a.b c.d e.f",
        "host -W 5",
        "host a.b -l",
        /* nslookup */
        "nslookup",
        "nslookup -",
        "nslookup - 192.0.2.1",
        "nslookup -type=axfr a.b",
        "nslookup -type a.b",
        "nslookup -d2 a.b",
        "nslookup -keyfile=/etc/passwd a.b",
        "nslookup --help",
        "nslookup -all a.b",
        "nslookup a.b -",
        "nslookup a.b c.d e.f",
        /* ss */
        "ss -K",
        "ss -tK dst 192.0.2.1",
        "ss --kill",
        "ss -D /tmp/x",
        "ss --diag=/tmp/x",
        "ss -F /etc/passwd",
        "ss --filter=/etc/passwd",
        "ss -tF/etc/passwd",
        "ss -N other",
        "ss -E",
        "ss --net=other",
        "ss --events",
        "ss -b",
        "ss -A tcp",
        "ss -h",
        "ss state",
        "ss state bogus",
        "ss dst example.com",
        "ss sport = :ssh",
        "ss sport",
        "ss dport = :0",
        "ss autobound",
        "ss dev eth0",
        "ss dst = 192.0.2.1:443",
        /* ip */
        "ip",
        "ip -batch /tmp/x",
        "ip -b /tmp/x",
        "ip -force link show",
        "ip -n other addr",
        "ip -netns other addr",
        "ip netns exec other id",
        "ip netns add x",
        "ip vrf exec x id",
        "ip link set eth0 down",
        "ip link add type dummy",
        "ip link del eth0",
        "ip addr add ::1 dev lo",
        "ip addr del ::1 dev lo",
        "ip addr flush dev lo",
        "ip addr save",
        "ip addr restore",
        "ip route add default via 192.0.2.1",
        "ip route del default",
        "ip route flush cache",
        "ip route save",
        "ip route replace default dev lo",
        "ip rule add pref 1",
        "ip rule flush",
        "ip neigh flush all",
        "ip neigh add ::1 dev lo",
        "ip monitor",
        "ip xfrm state",
        "ip tuntap add",
        "ip tunnel add x",
        "ip mroute",
        "ip l2tp show",
        "ip -a link",
        "ip -all netns exec id",
        "ip -rc 999999 link",
        "ip -rcvbuf 9 link",
        "ip -l 3 addr flush",
        "ip -c link",
        "ip help",
        "ip addr help",
        "ip route get",
        "ip route get a.b",
        "ip addr show dev",
        "ip addr show dev -b",
        "ip route show table ../x",
        "ip -f inet addr",
        "ip -V",
        "ip link show type",
        "ip -br=1 link",
        "ip addr show eth0 eth1",
        "ip addr show eth0 dev eth0",
        "ip route get ::1 ::2",
        "ip addr sho",
        "ip addr label x",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_refused(&root, lines[i]);
}

static void words_that_are_no_hosts_are_refused(void **state)
{
    static const char *const hosts[] = {
        "-f",          "-h",           "--help",   "''",    ".",         "..",         "a..b",
        ".a",          "-a.b",         "a.-b",     "a/b",   "../x",      "a:b",        "a_b/24",
        "[::1]",       "::1%",         "::1%eth0", "127.1", "1",         "2130706433", "a.1",
        "192.0.2.256", "192.0.2.1/24", "a@b",      "'a b'", "user@",     "http://a.b", "a.b:80",
        "a,b",         "+a",           "=",        "a=b",   "0.0.0.0.0",
    };
    char line[600];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        snprintf(line, sizeof(line), "ping -c 1 -- %s", hosts[i]);
        assert_refused(&root, line);
        snprintf(line, sizeof(line), "host a.b %s", hosts[i]);
        assert_refused(&root, line);
    }
    snprintf(line, sizeof(line), "ping %0254d.a", 0);
    assert_refused(&root, line);
    snprintf(line, sizeof(line), "ping %064d.a", 0);
    assert_refused(&root, line);
    snprintf(line, sizeof(line), "ping %063d.a", 0);
    task_command_destroy(given_command(&root, line));
}

static void a_nul_byte_hides_nothing(void **state)
{
    struct task_command *c = NULL;
    const struct task_terms shell = {
        .policy = TASK_POLICY_SHELL, .root = true, .deadline_ns = SECONDS(60)};

    (void)state;
    assert_int_equal(task_command_parse(&c, &root, "ping ::1\0; id", 13, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(task_command_parse(&c, &root, "ping ::1\0", 9, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(task_command_parse(&c, &shell, "id\0; id", 7, &why), PROBER_ERR_SYNTAX);
    assert_null(c);
}

static void every_option_is_refused_when_its_value_is_missing_or_wrong(void **state)
{
    (void)state;
    for (size_t t = 0; t < task_tools_count; t++) {
        for (size_t i = 0; i < task_tools[t].option_count; i++) {
            const struct task_option *option = &task_tools[t].options[i];
            char line[128], name[32];

            snprintf(name, sizeof(name), "%s%s", task_tools[t].kind ? "probe " : "",
                     task_tools[t].kind ? task_tools[t].kind : task_tools[t].name);
            if (option->value == TASK_VALUE_NONE || option->value == TASK_VALUE_SWITCH)
                continue;
            snprintf(line, sizeof(line), "%s 192.0.2.1 %s", name, option->spellings[0]);
            assert_refused(&root, line);
            snprintf(line, sizeof(line), "%s 192.0.2.1 %s%s/etc/passwd", name, option->spellings[0],
                     option->spellings[0][2] ? "=" : "");
            assert_refused(&root, line);
            snprintf(line, sizeof(line), "%s 192.0.2.1 %s%s", name, option->spellings[0],
                     option->spellings[0][2] ? "=" : " ''");
            assert_refused(&root, line);
        }
    }
}

/* ---- hosts ---- */

static void a_host_is_judged_by_the_networks_of_the_agent(void **state)
{
    const char *allowed[] = {"192.0.2.0/24"}, *denied[] = {"192.0.2.9"};
    const struct option_list allow = {(char **)allowed, 1}, deny = {(char **)denied, 1};
    const struct prober_addr there[] = {address_of("198.51.100.1"), address_of("192.0.2.9"),
                                        address_of("192.0.2.8"), address_of("192.0.2.7")};
    struct policy *policy = NULL;
    struct task_command *c;

    (void)state;
    assert_int_equal(policy_create(&policy, &allow, &deny, NULL), PROBER_OK);
    c = given_command(&root, "dig @ns.example a.b");
    assert_int_equal(task_command_settle(c, there, 2, policy, &why), PROBER_ERR_DENIED);
    assert_null(task_command_argv(c));
    assert_int_equal(task_command_settle(c, there, 4, policy, &why), PROBER_OK);
    assert_argv(c, "dig +time=5 +tries=2 -q a.b @192.0.2.8");
    assert_int_equal(task_command_settle(c, there, 4, policy, &why), PROBER_ERR_STATE);
    task_command_destroy(c);

    c = given_command(&root, "ping 198.51.100.1");
    assert_null(task_command_lookup(c));
    assert_int_equal(task_command_settle(c, NULL, 0, policy, &why), PROBER_ERR_DENIED);
    /* What was looked up does not matter to a literal. */
    assert_int_equal(task_command_settle(c, &there[3], 1, policy, &why), PROBER_ERR_DENIED);
    task_command_destroy(c);
    c = given_command(&root, "ping ::ffff:198.51.100.1");
    assert_int_equal(task_command_settle(c, NULL, 0, policy, &why), PROBER_ERR_DENIED);
    task_command_destroy(c);
    c = given_command(&root, "ss -t dst 198.51.100.1");
    assert_int_equal(task_command_settle(c, NULL, 0, policy, &why), PROBER_OK);
    task_command_destroy(c);
    policy_put(policy);
}

static void addresses_of_many_hosts_are_never_sent_to(void **state)
{
    static const char *const texts[] = {"224.0.0.1", "ff02::1", "255.255.255.255",
                                        "0.0.0.0",   "::",      "::ffff:224.0.0.1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct prober_addr there = address_of(texts[i]);
        struct task_command *c = given_command(&root, "ping all.example");
        char line[64];

        assert_int_equal(task_command_settle(c, &there, 1, NULL, &why), PROBER_ERR_DENIED);
        task_command_destroy(c);
        snprintf(line, sizeof(line), "traceroute %s", texts[i]);
        c = given_command(&root, line);
        assert_int_equal(task_command_settle(c, NULL, 0, NULL, &why), PROBER_ERR_DENIED);
        task_command_destroy(c);
    }
}

static void a_name_without_an_address_of_the_family_is_not_found(void **state)
{
    struct task_command *c = given_command(&root, "ping -6 a.example");
    struct prober_addr there = address_of("192.0.2.7");

    (void)state;
    assert_int_equal(task_command_family(c), PROBER_FAMILY_IPV6);
    assert_int_equal(task_command_settle(c, &there, 1, NULL, &why), PROBER_ERR_NOT_FOUND);
    assert_int_equal(task_command_settle(c, NULL, 0, NULL, &why), PROBER_ERR_NOT_FOUND);
    task_command_destroy(c);
}

/* ---- policies ---- */

static void an_agent_whose_policy_is_off_runs_nothing(void **state)
{
    const struct task_terms off = {
        .policy = TASK_POLICY_OFF, .root = true, .deadline_ns = SECONDS(60)};

    (void)state;
    assert_refused(&off, "ping ::1");
    assert_int_equal(why.code, PROBER_ERR_DENIED);
}

static void a_shell_gets_the_line_as_it_is(void **state)
{
    const struct task_terms shell = {
        .policy = TASK_POLICY_SHELL, .root = false, .deadline_ns = SECONDS(60)};
    struct task_command *c = given_command(&shell, "mtr -r x | grep -c '\xe6\xac\xa7'\n");

    (void)state;
    assert_true(task_command_is_shell(c));
    assert_null(task_command_lookup(c));
    assert_argv(c, "bash -c mtr -r x | grep -c '\xe6\xac\xa7'\n");
    task_command_destroy(c);
    assert_refused(&shell, "");
    assert_refused(&shell, " \n");
}

/* ---- what operators are told ---- */

/* The section of docs/tasks.md about a tool, between its heading and the next one. */
static char *section_of(const struct task_tool *tool)
{
    FILE *file = fopen("docs/tasks.md", "r");
    static char text[32768];
    char heading[32], *begin, *end;

    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    snprintf(heading, sizeof(heading), "\n## %s%s\n", tool->kind ? "probe " : "",
             tool->kind ? tool->kind : tool->name);
    begin = strstr(text, heading);
    if (!begin)
        fail_msg("docs/tasks.md does not tell of %s", tool->name);
    end = strstr(begin + strlen(heading), "\n## ");
    if (end)
        *end = '\0';
    return begin;
}

static void every_option_is_documented_with_its_bounds(void **state)
{
    (void)state;
    for (size_t t = 0; t < task_tools_count; t++) {
        const char *section = section_of(&task_tools[t]);

        for (size_t i = 0; i < task_tools[t].option_count; i++) {
            const struct task_option *option = &task_tools[t].options[i];
            char quoted[80];
            const char *at = NULL;

            for (size_t k = 0; k < ARRAY_LEN(option->spellings) && option->spellings[k]; k++) {
                snprintf(quoted, sizeof(quoted), "`%s`", option->spellings[k]);
                at = strstr(section, quoted);
                if (!at)
                    fail_msg("docs/tasks.md does not tell of %s %s", task_tools[t].name, quoted);
            }
            if (option->high == 0 || option->role == TASK_ROLE_DEADLINE)
                continue;
            snprintf(quoted, sizeof(quoted), "| %g to %g ", option->low, option->high);
            if (strncmp(strchr(at, '|'), quoted, strlen(quoted)) != 0)
                fail_msg("docs/tasks.md has other bounds for %s %s", task_tools[t].name,
                         option->spellings[0]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_written_anew),
        cmocka_unit_test(the_original_s_example_runs_as_it_stands),
        cmocka_unit_test(built_ins_are_this_program_s_own_probes),
        cmocka_unit_test(ping_is_built_in_where_none_is_installed),
        cmocka_unit_test(a_built_in_for_urls_is_given_networks_and_name_servers),
        cmocka_unit_test(built_ins_end_before_the_deadline),
        cmocka_unit_test(what_built_ins_could_be_misused_for_is_refused),
        cmocka_unit_test(what_is_adjusted_is_told),
        cmocka_unit_test(a_task_without_time_still_asks_once),
        cmocka_unit_test(commands_that_are_not_listed_are_refused),
        cmocka_unit_test(what_is_for_a_shell_is_refused_for_every_command),
        cmocka_unit_test(options_that_write_read_execute_or_flood_are_in_no_grammar),
        cmocka_unit_test(words_that_are_no_hosts_are_refused),
        cmocka_unit_test(a_nul_byte_hides_nothing),
        cmocka_unit_test(every_option_is_refused_when_its_value_is_missing_or_wrong),
        cmocka_unit_test(a_host_is_judged_by_the_networks_of_the_agent),
        cmocka_unit_test(addresses_of_many_hosts_are_never_sent_to),
        cmocka_unit_test(a_name_without_an_address_of_the_family_is_not_found),
        cmocka_unit_test(an_agent_whose_policy_is_off_runs_nothing),
        cmocka_unit_test(a_shell_gets_the_line_as_it_is),
        cmocka_unit_test(every_option_is_documented_with_its_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
