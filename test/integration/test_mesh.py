"""The mesh on real daemons and real packets: what the network does is what the server shows."""
import time

import pytest

import lablib
from meshlib import TestMesh, assert_hardly_disturbed, rtt_series, select, total

pytestmark = pytest.mark.seconds(120)


def gauge(metrics, name, pair, **labels):
    """The one value of a pair's gauge; None when it has no series."""
    found = list(select(metrics, name, source_region=pair[0], target_region=pair[1], **labels).values())
    assert len(found) <= 1
    return found[0] if found else None


def test_every_pair_shows_its_delay_and_the_lossy_path_its_loss_in_time(lab):
    mesh = TestMesh(lab, {lablib.region_name(i): 2 for i in range(4)}, "2s", start=False)
    for a, b in mesh.ordered_pairs():
        lab.set(a, b, delay=f"{lablib.default_delay_ms(a, b)}ms")
    lab.set("us-west", "ap-singapore", loss="10%")
    mesh.start_server()
    lablib.wait_until(mesh.is_ready, 10, "the server")
    began = time.monotonic()
    for host in mesh.all_hosts():
        mesh.start_agent(host)

    def complete(pairs):
        lossy = pairs.get(("us-west", "ap-singapore"), {}).get("lost")
        return lossy and all(pairs.get(p, {}).get("received") for p in mesh.ordered_pairs())
    mesh.wait_for(complete, mesh.in_time() + 1 - (time.monotonic() - began), "the whole mesh")
    for (a, b), pair in mesh.pairs().items():
        rtt = 2 * lablib.default_delay_ms(a, b) / 1000
        assert rtt <= pair["min"] and pair["p50"] < rtt + 0.005, (a, b, pair)
    mesh.assert_lawful()


def arrivals(mesh):
    """{(source, target): requests that the target's agents saw arrive}"""
    metrics = mesh.metrics()
    return {p: gauge(metrics, "prober_icmp_packets_arrived_total", p) or 0 for p in mesh.ordered_pairs()}


@pytest.mark.address
def test_loss_one_way_shows_on_both_pairs_of_the_path_and_on_no_other(lab):
    mesh = TestMesh(lab, {"ra": 2, "rb": 2, "rc": 1})
    mesh.wait_until_formed()
    mesh.wait_until_settled()
    start, arrived = mesh.totals(), arrivals(mesh)
    assert all(t["lost"] == 0 for t in start.values())
    lab.set("ra", "rb", loss="20%")
    mesh.wait_for_sent(1200)
    shown = mesh.pairs()
    lab.set("ra", "rb", loss="0%")
    mesh.wait_until_settled()
    counted = {p: {r: t[r] - start[p][r] for r in t} for p, t in mesh.totals().items()}
    stats = lab.stats()

    def dropped(kind):
        return sum(stats[a, b].get(f"{kind}.lost", 0) for a in mesh.hosts["ra"] for b in mesh.hosts["rb"])
    for pair, t in counted.items():
        assert_hardly_disturbed(t, pair)
        if pair not in (("ra", "rb"), ("rb", "ra")):
            assert t["lost"] == 0, (pair, t)
            assert shown[pair]["loss_ratio"] == 0
    # Exactly what the emulator dropped: requests are the one pair's loss, replies the other's.
    for pair, kind in ((("ra", "rb"), "request"), (("rb", "ra"), "reply")):
        lost, unknown = counted[pair]["lost"], counted[pair]["unknown"]
        assert 0 < lost <= dropped(kind) <= lost + unknown, (pair, counted[pair])
    for pair in (("ra", "rb"), ("rb", "ra")):
        assert 0.15 <= shown[pair]["loss_ratio"] <= 0.25, shown[pair]
    # The loss has a direction: what rb sent arrived, and was lost on its way back.
    way = {p: n - arrived[p] for p, n in arrivals(mesh).items()}
    assert way["ra", "rb"] < 0.95 * way["rb", "ra"], way
    assert way["rb", "ra"] > 0.95 * counted["rb", "ra"]["sent"], (way, counted)
    mesh.assert_lawful()


@pytest.mark.address
def test_a_blackholed_region_fails_without_an_rtt_while_its_server_link_is_whole(lab):
    mesh = TestMesh(lab, {"ra": 1, "rb": 1, "rc": 1})
    mesh.wait_until_formed()
    for other in ("ra", "rc"):
        lab.set_both("rb", other, blackhole=True, only="icmp")
    dark = [("ra", "rb"), ("rb", "ra"), ("rb", "rc"), ("rc", "rb")]
    mesh.wait_for(lambda pairs: all(pairs[p]["failed"] and pairs[p]["loss_ratio"] == 1 for p in dark),
                  mesh.in_time() + 1, "the blackhole to show")
    metrics = mesh.metrics()
    for pair in dark:
        assert gauge(metrics, "prober_icmp_failed", pair) >= 1
        assert gauge(metrics, "prober_icmp_packet_loss_rate", pair) == 100
        assert gauge(metrics, "prober_icmp_packet_loss_ratio", pair) == 1
        assert rtt_series(metrics, *pair) == []
    for pair in (("ra", "rc"), ("rc", "ra")):
        assert gauge(metrics, "prober_icmp_failed", pair) == 0
        assert gauge(metrics, "prober_icmp_packet_loss_rate", pair) == 0
    assert total(metrics, "prober_agent_is_alive") == 3
    lab.reset()
    mesh.wait_for(lambda pairs: all(not pairs[p]["failed"] and pairs[p]["loss_ratio"] == 0 for p in dark),
                  mesh.in_time() + 1, "the recovery")
    assert rtt_series(mesh.metrics(), "ra", "rb") != []
    mesh.assert_lawful()


def test_an_unreachable_route_shows_the_same_loss_as_silence(lab):
    mesh = TestMesh(lab, {"ra": 1, "rb": 1})
    mesh.wait_until_formed()
    pair = ("ra", "rb")
    lab.set(*pair, unreachable=True, only="icmp", error_rate=5)
    mesh.wait_for(lambda pairs: pairs[pair]["failed"] and pairs[pair]["loss_ratio"] == 1,
                  mesh.in_time() + 1, "the loss")
    mesh.wait_until_settled()
    metrics = mesh.metrics()
    assert gauge(metrics, "prober_icmp_packet_loss_rate", pair) == 100
    assert rtt_series(metrics, *pair) == []
    by = {b: gauge(metrics, "prober_icmp_packets_lost_total", pair, by=b) for b in ("unreachable", "timeout")}
    assert by["unreachable"] > 0, "the router's errors are told"
    assert by["timeout"] > by["unreachable"], "its rate limit is no cure"
    assert_hardly_disturbed(mesh.totals()[pair], "an error does not stop the probing")
    lab.reset()
    mesh.wait_for(lambda pairs: pairs[pair]["loss_ratio"] == 0, mesh.in_time() + 1, "the recovery")
    mesh.assert_lawful()


def test_series_of_a_region_that_has_gone_go_too(lab):
    mesh = TestMesh(lab, {"ra": 1, "rb": 1, "rc": 1}, server_flags=("-server.series.cache.ratio", "4"))
    mesh.wait_until_formed()
    mesh.agents["rc-1"].kill()
    gone = [("rc", "ra"), ("ra", "rc")]

    def stale(metrics):
        return [(pair, name) for pair in gone for name in
                ("prober_icmp_failed", "prober_icmp_packet_loss_rate", "prober_icmp_rtt_min_seconds")
                if gauge(metrics, name, pair) is not None]
    del mesh.agents["rc-1"]
    lablib.wait_until(lambda: not stale(mesh.metrics()), 20, lambda: f"{stale(mesh.metrics())} to go")
    metrics = mesh.metrics()
    assert list(select(metrics, "prober_agent_is_alive", region="rc").values()) in ([0], [])
    assert gauge(metrics, "prober_icmp_failed", ("ra", "rb")) == 0
    mesh.start_agent("rc-1")
    mesh.wait_until_formed()


@pytest.mark.thread
def test_a_new_agent_is_in_everybodys_plan_within_seconds(lab):
    """Long before -agent.sync.interval: by the server's hint."""
    mesh = TestMesh(lab, {"ra": 1, "rb": 1})
    mesh.wait_until_formed()
    mesh.regions.append("rc")
    mesh.hosts["rc"] = mesh.add_agents("rc", 1)
    began = time.monotonic()
    mesh.start_agent("rc-1")
    mesh.wait_until_formed(mesh.in_time() + 3)
    assert time.monotonic() - began < 12


def conserve(mesh, dead):
    """Waits until, for the server's running boot, what agents were told is acknowledged equals what
    its counters took in. `dead`: {server boot: {result: count}} of agents that were killed."""
    state = {}

    def conserved():
        acked = {}
        for host, daemon in mesh.agents.items():
            if daemon.alive():
                for labels, value in select(mesh.agent_metrics(host), "prober_agent_acked_packets_total").items():
                    add(acked, dict(labels), value)
        for boot, results in dead.items():
            for result, value in results.items():
                add(acked, {"server_boot": boot, "result": result}, value)
        counted = {}
        for t in mesh.totals().values():
            for result, value in t.items():
                counted[result] = counted.get(result, 0) + value
        state.update(acked=acked, counted=counted)
        return counted["sent"] and counted in acked.values()
    lablib.wait_until(conserved, 30, lambda: f"conservation: {state}", 0.02)
    return state["counted"]


def add(acked, labels, value):
    boot = acked.setdefault(labels["server_boot"], {})
    boot[labels["result"]] = boot.get(labels["result"], 0) + int(value)


def acked_of(mesh, host):
    """{server boot: {result: count}} that an agent was told is acknowledged."""
    acked = {}
    for labels, value in select(mesh.agent_metrics(host), "prober_agent_acked_packets_total").items():
        add(acked, dict(labels), value)
    return acked


@pytest.mark.address
@pytest.mark.thread
def test_nothing_acknowledged_is_lost_or_counted_twice_through_kill_9(lab):
    mesh = TestMesh(lab, {"ra": 2, "rb": 2})
    lab.set_both("ra", "rb", delay="5ms", loss="3%")
    mesh.wait_until_formed(60)
    conserve(mesh, {})
    # An agent dies; what it was told before counts on. Its spool was empty, so nothing is on the way.
    victim = "ra-1"
    windows = mesh.windows(victim)
    lablib.wait_until(lambda: mesh.windows(victim) > windows and mesh.spooled(victim) == 0, 20,
                      "a report to be acknowledged", 0.02)
    dead = acked_of(mesh, victim)
    mesh.agents[victim].kill()
    mesh.agents[victim] = mesh.agents[victim].restarted()
    lablib.wait_until(lambda: is_reporting(mesh, victim), 60, "the agent to report again")
    conserve(mesh, dead)
    # The server dies in the middle of things; agents keep what it did not acknowledge.
    before = conserve(mesh, dead)
    mesh.server.kill()
    mesh.server = mesh.server.restarted()
    mesh.wait_until_formed(60)
    after = conserve(mesh, {})
    assert after["sent"] > 0 and before["sent"] > 0
    mesh.assert_lawful()
    agents = mesh.get("/api/v1/agents")[2]
    assert agents.count('"id"') == 4, "an agent that restarts is the same agent"


def is_reporting(mesh, host):
    try:
        return bool(acked_of(mesh, host))
    except OSError:
        return False


@pytest.mark.thread
def test_a_cut_link_loses_nothing_that_the_spool_holds(lab):
    """The server cannot be reached for some seconds: the windows of that time still arrive."""
    mesh = TestMesh(lab, {"ra": 1, "rb": 1}, server_flags=("-server.series.cache.ratio", "30"))
    mesh.wait_until_formed()
    lab.set_both("ra", "server", blackhole=True)
    lablib.wait_until(lambda: mesh.spooled("ra-1") >= 4, 30, "reports to pile up")
    lab.reset("ra", "server")
    lab.reset("server", "ra")
    lablib.wait_until(lambda: mesh.spooled("ra-1") == 0, 40, "the spool to drain")
    conserve(mesh, {})
    assert total(mesh.agent_metrics("ra-1"), "prober_agent_spool_dropped_reports_total") == 0
    mesh.assert_lawful()


@pytest.mark.address
def test_an_interface_that_goes_away_is_no_loss_of_the_network(lab):
    mesh = TestMesh(lab, {"ra": 1, "rb": 1}, server_flags=("-server.series.cache.ratio", "30"))
    mesh.wait_until_formed()
    mesh.wait_until_settled()
    lab.set("rb", "ra", blackhole=True)  # so that nothing is on its way when the interface goes
    lablib.wait_until(lambda: mesh.pairs()["ra", "rb"]["loss_ratio"] == 1, 20, "silence")
    mesh.wait_until_settled()
    lost = total(mesh.agent_metrics("ra-1"), "prober_agent_probes_lost_total")

    def unsent():
        # The host is cut off, but its own page is served on its own address.
        return total(mesh.agent_metrics("ra-1"), "prober_agent_probes_unsent_total", reason="local")
    lab.run("ra-1", ["ip", "link", "set", "lab0", "down"], check=True)
    lablib.wait_until(lambda: unsent() > 150, 20, "unsent probes")
    lablib.ip_batch(lab.hosts["ra-1"].netns, ["link set lab0 up", "route add default dev lab0"])
    lab.reset()
    mesh.wait_for(lambda pairs: pairs["ra", "rb"]["loss_ratio"] == 0, 30, "the recovery")
    mesh.wait_until_settled()
    unsent_then, lost_then = unsent(), total(mesh.agent_metrics("ra-1"), "prober_agent_probes_lost_total")
    assert gauge(mesh.metrics(), "prober_icmp_packets_unsent_total", ("ra", "rb"), reason="local") == unsent_then
    assert lost_then - lost < 3 * 64, "only what was in flight, and before the network was whole"
    assert mesh.agents["ra-1"].alive()
    mesh.assert_lawful()


@pytest.mark.address
def test_replies_that_are_late_double_or_damaged_are_counted_as_that(lab):
    mesh = TestMesh(lab, {"ra": 1, "rb": 1}, agent_flags=("-agent.icmp.timeout", "200ms"))
    pair = ("ra", "rb")
    mesh.wait_until_formed()

    def shown(name):
        return gauge(mesh.metrics(), f"prober_icmp_{name}_total", pair)

    for settings, counter in (({"damage": "100%"}, "replies_corrupt"), ({"corrupt": "100%"}, "replies_corrupt"),
                              ({"delay": "300ms"}, "replies_late")):
        before = shown(counter)
        lab.reset()
        lab.set("rb", "ra", only="reply", **settings)
        # Two of the 64 bytes only fill up the checksum, and say nothing that could be wrong.
        mesh.wait_for(lambda pairs: pairs[pair]["loss_ratio"] > 0.9, mesh.in_time() + 2,
                      f"hardly anything received with {settings}")
        lablib.wait_until(lambda: shown(counter) > before + 64, 10, f"{counter} of {settings}")
    lab.reset()
    mesh.wait_for(lambda pairs: pairs[pair]["loss_ratio"] == 0, mesh.in_time() + 1, "the recovery")
    mesh.wait_until_settled()
    assert shown("replies_bad") > 0, "damage that hit the token"
    received, duplicates, bad = map(shown, ("packets_received", "packets_duplicate", "replies_bad"))
    lab.set("rb", "ra", only="reply", duplicate="100%", reorder="20%", reorder_by="30ms")
    mesh.wait_for_sent(200)
    lab.reset()
    mesh.wait_until_settled()
    assert shown("packets_duplicate") - duplicates == sum(
        n for (a, b), c in lab.stats().items() if (a, b) == ("rb-1", "ra-1")
        for k, n in c.items() if k == "reply.duplicated")
    assert shown("packets_received") - received >= 200
    assert mesh.pairs()[pair]["loss_ratio"] == 0
    assert shown("replies_bad") == bad
    mesh.assert_lawful()


@pytest.mark.address
def test_two_agents_of_one_host_with_one_identifier_and_mtr_beside_them_disturb_nobody(lab):
    mesh = TestMesh(lab, {"rc": 1, "rd": 1}, start=False)
    mesh.regions = ["ra", "rb", "rc", "rd"]
    lab.add_host("both", "shared", ["10.77.200.1", "10.77.200.2"])
    mesh.start_server()
    flags = ("-agent.icmp.identifier", "4242")
    for region, address, port in (("ra", "10.77.200.1", 7001), ("rb", "10.77.200.2", 7002)):
        lablib.Mesh.start_agent(mesh, "both", "-agent.icmp.address", address, "-agent.http.listen.addr",
                                f"{address}:{port}", *flags, region=region, name=region)
    for host in ("rc-1", "rd-1"):
        mesh.start_agent(host, *flags)
    mesh.agents.pop("ra"), mesh.agents.pop("rb")  # their local pages are elsewhere
    trace = ["mtr", "-n", "-r", "-c", "1000", "-i", "0.1"]
    lab.spawn("both", trace + [lab.hosts["rc-1"].ipv4], "mtr")
    lab.spawn("both", ["ping", "-n", "-q", "-i", "0.005", "-e", "4242", lab.hosts["rd-1"].ipv4], "ping")
    mesh.wait_until_formed()
    mesh.wait_for_sent(500)
    lablib.wait_until(lambda: lab.stats()["both", "rc-1"].get("request.expired", 0) > 20, 20, "mtr's trace")
    metrics = mesh.metrics()
    for pair, t in mesh.totals(metrics).items():
        assert t["lost"] == 0, (pair, t)
        assert_hardly_disturbed(t, pair)
    for name in ("replies_bad", "replies_corrupt", "replies_late", "packets_duplicate"):
        assert total(metrics, f"prober_icmp_{name}_total") == 0, name


def test_two_hundred_targets_an_agent_on_a_lossless_path_show_zero_loss(lab):
    """Where the original shows 75 %: its socket buffers overflow under its own bursts."""
    mesh = TestMesh(lab, {"ra": 1, "rb": 1}, "4s", start=False)
    lab.add_host("far", "far", ["10.77.100.1"])
    lab.add_prefix("far", "10.77.101.0/24")
    probe_file = lab.directory + "/probermesh.yaml"
    with open(probe_file, "w") as f:
        f.write("prober_configs:\n  - prober_type: icmp\n    region: far\n    targets:\n")
        f.writelines(f"      - 10.77.101.{i}\n" for i in range(1, 201))
    mesh.start_server("-server.icmp.discovery", "static", "-server.probe.file", probe_file)
    for host in mesh.all_hosts():
        mesh.start_agent(host)

    def enough(pairs):
        wanted = 3 * 200 * 64
        return all(pairs.get((r, "far"), {"total": {"sent": 0}})["total"]["sent"] >= wanted for r in ("ra", "rb"))
    mesh.wait_for(enough, 60, "three windows")
    pairs = mesh.pairs()
    assert set(pairs) == {("ra", "far"), ("rb", "far")}
    for name, pair in pairs.items():
        assert pair["total"]["lost"] == 0, pair
        assert pair["cells"] == 200 and pair["loss_ratio"] == 0
        assert_hardly_disturbed(pair["total"], name)
    assert lab.device_drops() == 0
    mesh.assert_lawful()


def test_the_probe_files_entries_of_one_region_are_all_kept_and_names_resolve(lab):
    mesh = TestMesh(lab, {"ra": 1}, start=False)
    lab.add_host("far", "far", ["10.77.100.1", "10.77.100.2"])
    table = lab.directory + "/names"
    with open(table, "w") as f:
        f.write("two.test 10.77.100.2\n")
    lab.spawn("far", ["/usr/bin/python3", lablib.HERE + "/dns.py", table, "10.77.100.1"], "dns")
    probe_file = lab.directory + "/probermesh.yaml"
    entry = "  - prober_type: icmp\n    region: far\n    targets: [{}]\n"
    with open(probe_file, "w") as f:
        f.write("prober_configs:\n" + "".join(map(entry.format, ("10.77.100.1", "two.test", "no.test"))))
    mesh.start_server("-server.icmp.discovery", "static", "-server.probe.file", probe_file)
    mesh.start_agent("ra-1", "-agent.dns.servers", "10.77.100.1")
    pair = ("ra", "far")
    mesh.wait_for(lambda pairs: pairs.get(pair, {}).get("cells") == 3 and (pairs[pair]["unsent"] or 0) > 0,
                  30, "three targets")
    shown = mesh.pairs()[pair]
    assert shown["failed_cells"] == 1 and shown["loss_ratio"] == 0 and not shown["failed"]
    assert gauge(mesh.metrics(), "prober_icmp_duration_seconds", pair, phase="resolve") is not None
    mesh.assert_lawful()


def test_ipv6_regions_see_each_other(lab):
    mesh = TestMesh(lab, {"ra": 1, "rb": 1}, start=False)
    lab.set_both("ra", "rb", delay="10ms")
    mesh.start_server()
    for host in mesh.all_hosts():
        mesh.start_agent(host, "-agent.icmp.address", lab.hosts[host].ipv6)
    mesh.wait_until_formed()
    assert lab.stats()["ra-1", "rb-1"]["request.seen"] > 0
    for pair in mesh.pairs().values():
        assert 0.020 <= pair["min"] < 0.025 and pair["lost"] == 0
    assert "fd77::" in mesh.get("/-/targets")[2]
