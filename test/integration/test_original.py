"""The command lines of the original tool, as its users have them in their scripts, form a mesh."""
import shlex

import pytest

import lablib
from meshlib import TestMesh

pytestmark = pytest.mark.seconds(150)

SERVER = """probermesh -mode server -server.rpc.listen.addr=1.1.1.1:6000
    -server.http.listen.addr=1.1.1.1:6001 -server.aggregation.interval=15s
    -server.icmp.discovery=dynamic"""
AGENT = """probermesh -mode agent -agent.region=ali-cn-shanghai -agent.probe.interval=15s
    -agent.sync.interval=1m -agent.icmp.network-type=intranet -agent.rpc.report.addr=1.1.1.1:6000"""


class OriginalMesh(TestMesh):
    """Started by the original's scenario of a mesh inside one network."""

    def __init__(self, lab, regions, in_a_hurry):
        lablib.Mesh.__init__(self, lab, "15s", "15s", http_addr="1.1.1.1:6001")
        lab.control.ask("address", "server", "1.1.1.1")
        lablib.ip_batch(lab.hosts["server"].netns, ["addr add 1.1.1.1/32 dev lo"])
        self.regions = regions
        self.hosts = {r: self.add_agents(r, 1) for r in regions}
        self.server = self.run_line("server", SERVER, in_a_hurry)
        for region in regions:
            line = AGENT.replace("ali-cn-shanghai", region)
            self.agents[region] = self.run_line(f"{region}-1", line, in_a_hurry)

    def run_line(self, host, line, in_a_hurry):
        """Through the dispatcher; only what they write to disk is kept off this machine."""
        if in_a_hurry:
            line = line.replace("15s", "1s").replace(" -", " --")
        state = f"{self.lab.directory}/state/{host}"
        argv = [self.lab.path("bin/probermesh"), *shlex.split(line)[1:]]
        environment = {"PROBERMESH_SERVER_STATE_DIR": state, "PROBERMESH_AGENT_STATE_DIR": state,
                       "PROBERMESH_SERVER_TASK_META_DIR": state + "/", "PROBERMESH_LOG_DIR": ""}
        return self.lab.spawn(host, argv, host, environment)


@pytest.mark.parametrize("in_a_hurry", [False, True], ids=["as-written", "double-dash-and-1s"])
def test_the_lines_of_scenario_two_form_a_mesh(lab, in_a_hurry):
    regions = ["ali-cn-shanghai", "ali-cn-beijing", "gcp-us-west"]
    lab.set("*", "*", delay="10ms")
    mesh = OriginalMesh(lab, regions, in_a_hurry)
    mesh.wait_until_formed(100)
    for pair in mesh.pairs().values():
        assert pair["lost"] == 0 and 0.020 <= pair["min"] < 0.025, pair
    alive = mesh.get("/metrics")[2]
    for i, region in enumerate(regions):
        assert f'region="{region}"' in alive and f'ip="10.77.{i + 1}.1"' in alive
