"""agentd as a process: what it says, what it keeps, how it ends."""
import os
import re
import signal
import sys
import time

import pytest
from lablib import ROOT, Mesh, wait_until

pytestmark = [pytest.mark.address, pytest.mark.thread]
LOCAL = ["-agent.http.listen.addr", "127.0.0.1:9600"]


@pytest.fixture
def mesh(lab):
    return Mesh(lab, interval="500ms")


@pytest.fixture
def host(mesh):
    return mesh.add_agents("north")[0]


def agentd(mesh, host, *words, **options):
    """Runs agentd to its end: what is in order would not end."""
    return mesh.lab.run(host, [mesh.lab.path("bin/agentd"), *words], timeout=20, **options)


def local(mesh, host, path, **options):
    return mesh.lab.http(host, "http://127.0.0.1:9600" + path, **options)


def is_up(mesh, host):
    try:
        return local(mesh, host, "/-/healthy")[0] == 200
    except OSError:
        return False


def started(mesh, host, *flags):
    agent = mesh.start_agent(host, *LOCAL, *flags)
    wait_until(lambda: is_up(mesh, host), 20, "the agent is up")
    return agent


def metric(mesh, host, series):
    for line in local(mesh, host, "/metrics")[2].splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    return None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_a_server_it_stays_up_and_ends_within_five_seconds(mesh, host, number):
    agent = started(mesh, host)
    wait_until(lambda: "the server does not answer" in agent.log(), 20, "the log says so")
    status, _, text = local(mesh, host, "/-/ready")
    assert (status, text) == (503, "the server does not answer\n")
    began = time.monotonic()
    agent.signal(number)
    assert agent.wait(10) == 0
    assert time.monotonic() - began < 5
    assert agent.log().count("the server does not answer") == 1


def test_a_second_agent_on_the_same_state_is_kept_out(mesh, host):
    agent = started(mesh, host)
    ended = agentd(mesh, host, "-agent.state.dir", mesh._state(host), "-log.dir", "")
    assert ended.returncode == 1
    assert "in use by another agent" in ended.stderr
    assert "-agent.state.dir" in ended.stderr
    assert agent.alive()


def test_its_id_survives_kill_and_its_boot_id_does_not(mesh, host):
    def ids():
        return re.search(r'identity_info{agent_id="(\w+)",boot_id="(\w+)"',
                         local(mesh, host, "/metrics")[2]).groups()
    agent = started(mesh, host)
    before = ids()
    agent.kill()
    started(mesh, host)
    after = ids()
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert os.stat(mesh._state(host) + "/agent_id").st_mode & 0o777 == 0o600


@pytest.mark.parametrize("flags, status, says", [
    (["-agent.probe.interval", "soon"], 2, "agent.probe.interval"),
    (["-agent.icmp.netowrk-type", "public"], 2, "agent.icmp.netowrk-type"),
    (["-agent.icmp.network-type", "privat"], 2, "agent.icmp.network-type"),
    (["-agent.rpc.report.addr", ""], 2, "agent.rpc.report.addr"),
    (["agent"], 2, "agent"),
    (["-v"], 0, "version="),
    (["-h"], 0, "-agent.probe.interval"),
    (["-agent.state.dir", "/proc/nowhere"], 1, "/proc/nowhere"),
])
def test_its_exit_status_tells_what_was_wrong(mesh, host, flags, status, says):
    ended = agentd(mesh, host, *flags)
    assert ended.returncode == status
    assert says in ended.stderr


def test_without_the_right_to_ping_it_says_how_to_grant_it(mesh, host):
    ended = mesh.lab.run(host, ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw",
                                mesh.lab.path("bin/agentd"), "-agent.region", "x", "-agent.state.dir",
                                mesh._state("bare"), "-log.dir", ""], timeout=20)
    assert ended.returncode == 1
    assert "cap_net_raw" in ended.stderr.lower()


def test_a_port_in_use_is_told(mesh, host):
    started(mesh, host)
    ended = agentd(mesh, host, "-agent.region", "x", "-agent.state.dir", mesh._state("other"),
                   "-log.dir", "", *LOCAL)
    assert ended.returncode == 1
    assert "-agent.http.listen.addr" in ended.stderr
    assert "9600" in ended.stderr


def test_check_config_names_each_fault_with_its_place(mesh, host):
    path = mesh.lab.directory + "/agentd.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write("agent:\n  region: here\n  probe:\n    interval: 5s\n")
    good = agentd(mesh, host, "check-config", path)
    assert (good.returncode, good.stdout) == (0, f"{path}: ok\n")
    dumped = agentd(mesh, host, "check-config", "-dump", path)
    assert "agent.probe.interval: 5s" in dumped.stdout
    with open(path, "a", encoding="utf-8") as file:
        file.write("    intervall: 5s\n  sync.interval: x\n")
    bad = agentd(mesh, host, "check-config", path)
    assert bad.returncode == 1
    assert f"{path}:5" in bad.stderr
    assert f"{path}:6" in bad.stderr


def test_a_reload_takes_all_settings_or_none(mesh, host):
    path = mesh.lab.directory + "/agentd.yaml"

    def write(text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    write("agent.probe.deny: [10.0.0.0/8]\n")
    agent = started(mesh, host, "-config", path)
    write("agent.probe.deny: [10.0.0.0/99]\nagent.sync.interval: 5s\n")
    agent.signal(signal.SIGHUP)
    wait_until(lambda: "10.0.0.0/99" in agent.log(), 10, "the fault is told")
    assert "settings read anew" not in agent.log()
    write("agent.probe.deny: []\nagent.icmp.timeout: 200ms\n")
    agent.signal(signal.SIGHUP)
    wait_until(lambda: "settings read anew" in agent.log(), 10, "they are taken")
    assert re.search("after a restart.*agent.icmp.timeout", agent.log())


def test_what_a_policy_denies_is_not_probed_until_a_reload_permits_it(mesh, host):
    path = mesh.lab.directory + "/agentd.yaml"
    south = mesh.add_agents("south")[0]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"agent.probe.deny: {mesh.lab.hosts[south].ipv4}\n")
    mesh.start_server()
    mesh.start_agent(south)
    agent = started(mesh, host, "-config", path)
    denied = 'prober_agent_targets{state="denied"}'
    wait_until(lambda: metric(mesh, host, denied) == 1, 20, "the target is denied")
    assert metric(mesh, host, "prober_agent_probes_scheduled_total") == 0
    with open(path, "w", encoding="utf-8") as file:
        file.write("{}\n")
    agent.signal(signal.SIGHUP)
    wait_until(lambda: metric(mesh, host, denied) == 0, 10, "it is not denied any more")
    wait_until(lambda: metric(mesh, host, "prober_agent_probes_received_total") > 0, 10, "answers")


def test_a_server_that_is_away_costs_nothing_but_time(mesh, host):
    south = mesh.add_agents("south")[0]
    mesh.start_server()
    mesh.start_agent(south)
    started(mesh, host)
    wait_until(lambda: metric(mesh, host, "prober_agent_probes_received_total") > 0, 20, "answers")
    mesh.server.kill()
    wait_until(lambda: metric(mesh, host, "prober_agent_spool_reports") >= 4, 20, "results wait")
    mesh.start_server()
    wait_until(lambda: metric(mesh, host, "prober_agent_spool_reports") == 0, 20, "they are taken")
    assert metric(mesh, host, "prober_agent_spool_dropped_reports_total") == 0
    assert local(mesh, host, "/-/ready")[0] == 200


def test_an_interface_that_goes_away_is_told_twice_and_survived(mesh, host):
    south = mesh.add_agents("south")[0]
    mesh.start_server()
    mesh.start_agent(south)
    agent = started(mesh, host)
    sent = "prober_agent_probes_sent_total"
    wait_until(lambda: (metric(mesh, host, sent) or 0) > 0, 20, "probes are sent")
    device = mesh.lab.hosts[host].device
    mesh.lab.run(host, ["ip", "link", "set", device, "down"], check=True)
    wait_until(lambda: metric(mesh, host, 'prober_agent_probes_unsent_total{reason="local"}') > 64,
               20, "probes are not sent")
    assert agent.log().count("the kernel refuses probes") == 1
    before = metric(mesh, host, "prober_agent_probes_received_total")
    mesh.lab.run(host, ["ip", "link", "set", device, "up"], check=True)
    wait_until(lambda: metric(mesh, host, "prober_agent_probes_received_total") > before, 20,
               "answers come again")
    wait_until(lambda: "the kernel takes all probes again" in agent.log(), 30, "the log says so")
    assert agent.log().count("the kernel refuses probes") == 1


def test_names_are_followed_and_one_that_is_gone_is_a_failure_that_says_so(mesh, host):
    north, south = host, mesh.add_agents("south", 2)
    first, second = (mesh.lab.hosts[name].ipv4 for name in south)
    table, targets = mesh.lab.directory + "/names", mesh.lab.directory + "/probe.yaml"

    def write(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    write(table, f"host.test {first}\n")
    write(targets, "prober_configs:\n"
                   "- {prober_type: icmp, region: far, targets: [host.test, gone.test]}\n")
    names = mesh.lab.spawn(north, [sys.executable, "-B", os.path.join(ROOT, "test/lab/dns.py"), table,
                                   "127.0.0.1", "5353"], "dns")
    wait_until(lambda: "ready" in names.log(), 10, "the name server is ready")
    mesh.start_server("-server.icmp.discovery", "static", "-server.probe.file", targets)
    agent = started(mesh, north, "-agent.dns.servers", "127.0.0.1:5353")

    def arrived(target):
        found = mesh.lab.control.stats().get((north, target), {})
        return sum(n for key, n in found.items() if key.startswith("request"))
    wait_until(lambda: arrived(south[0]) > 5, 20, "the first address is probed")
    wait_until(lambda: metric(mesh, north, 'prober_agent_probes_unsent_total{reason="name"}') > 0, 20,
               "what does not resolve is unsent")
    assert arrived(south[1]) == 0
    assert agent.log().count("names of targets do not resolve") == 1
    write(table, f"host.test {second}\n")
    wait_until(lambda: arrived(south[1]) > 5, 20, "the name is followed")
    wait_until(lambda: 'prober_icmp_duration_seconds{phase="resolve",source_region="north"'
               in mesh.get("/metrics")[2], 10, "the time to resolve is shown")


def acked(mesh, host):
    """(server boot, result) -> packets, as the agent counts what was acknowledged."""
    return {(boot, result): float(value) for result, boot, value in re.findall(
        r'^prober_agent_acked_packets_total{result="(\w+)",server_boot="(\w+)"} (\S+)$',
        local(mesh, host, "/metrics")[2], re.MULTILINE)}


def counted(mesh, host):
    """result -> packets, as the server counts those of the host's region."""
    families = {"sent": "sent", "received": "received", "lost": "lost", "unknown": "unknown",
                "unsent": "unsent"}
    source = mesh.lab.hosts[host].region
    text = mesh.get("/metrics")[2]
    return {result: sum(float(value) for labels, value in re.findall(
        rf'^prober_icmp_packets_{name}_total{{(.*)}} (\S+)$', text, re.MULTILINE)
        if f'source_region="{source}"' in labels) for result, name in families.items()}


def server_boot(mesh):
    return re.search(r'prober_server_boot_info{server_boot="(\w+)"}', mesh.get("/metrics")[2]).group(1)


def agree(mesh, host):
    """What the agent had acknowledged by this server boot is what the server counts."""
    if metric(mesh, host, "prober_agent_spool_reports"):
        return False
    before = acked(mesh, host)
    boot = server_boot(mesh)
    now = counted(mesh, host)
    mine = {result: before.get((boot, result), 0) for result in now}
    return mine == now and mine["sent"] > 0 and before == acked(mesh, host)


@pytest.mark.seconds(150)
def test_what_a_server_boot_acknowledged_is_what_it_counts_through_kill(mesh):
    # Windows of two seconds leave a time in which the server has merged what it acknowledged.
    mesh.interval, mesh.aggregation = "2s", "500ms"
    names = mesh.add_agents("north") + mesh.add_agents("south")
    mesh.lab.control.set("north", "south", loss="20%")
    mesh.start_server("-server.series.cache.ratio", "20")
    agents = {name: started(mesh, name) for name in names}
    for kill in (None, "server", names[0], "server"):
        if kill == "server":
            mesh.server.kill()
            mesh.start_server()
        elif kill:
            # The boots of an agent are counted apart by the server's side of the law: start anew.
            agents.pop(kill).kill()
            mesh.server.kill()
            mesh.start_server()
            agents[kill] = started(mesh, kill)
        wait_until(mesh.is_ready, 20, "the server is ready")
        for name in names:
            wait_until(lambda: agree(mesh, name), 30, f"{name} and the server agree", 0.1)
