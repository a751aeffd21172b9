#!/usr/bin/python3 -B
"""Lets a whole agentd, with a serverd that gives it the plan, probe URL/0 … URL/999 once every second for
some seconds, and prints the CPU that its process took for each probe.

  probe_with_agent.py BUILD DIRECTORY URL SECONDS HTTP_BLOCK PORT PORT PORT

The programs keep what they write in DIRECTORY, and listen at the ports. HTTP_BLOCK is JSON.
"""
import os
import re
import subprocess
import sys
import time
import urllib.request

BUILD, DIRECTORY, URL, SECONDS, BLOCK, *PORTS = sys.argv[1:]


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat') as stat:
        fields = stat.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def counts(port):
    """Probes of the agent so far: succeeded, failed, unsent."""
    try:
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics', timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0, 0, 0
    patterns = ('probes_total{result="success"}', 'probes_total{result="failed"}', 'probes_unsent_total{')
    return tuple(sum(float(line.rsplit(' ', 1)[1]) for line in text.splitlines()
                     if re.match('prober_agent_http_' + re.escape(pattern), line)) for pattern in patterns)


def measure(agent, port):
    deadline = time.monotonic() + 20
    while sum(counts(port)) < 1000:
        if time.monotonic() > deadline:
            sys.exit('the agent does not probe')
        time.sleep(0.2)
    before, cpu = counts(port), cpu_seconds(agent.pid)
    time.sleep(float(SECONDS))
    cpu = cpu_seconds(agent.pid) - cpu
    ok, failed, unsent = (b - a for a, b in zip(before, counts(port)))
    print(f'cpu_us_per_probe {cpu * 1e6 / (ok + failed):.1f} succeeded {ok:.0f} failed {failed:.0f} '
          f'unsent {unsent:.0f} per_s {(ok + failed) / float(SECONDS):.0f}')


def main():
    plan = f'{DIRECTORY}/plan.yaml'
    rpc, admin, web = PORTS
    with open(plan, 'w') as f:
        f.write(f'prober_configs:\n- prober_type: http\n  region: far\n  http: {BLOCK}\n  targets:\n')
        f.writelines(f'  - {URL}/{i}\n' for i in range(1000))
    common = ['-log.level', '2']
    server = [f'{BUILD}/bin/serverd', '-server.rpc.listen.addr', f'127.0.0.1:{rpc}',
              '-server.http.listen.addr', f'127.0.0.1:{admin}', '-server.probe.file', plan,
              '-server.icmp.discovery', 'static', '-server.state.dir', f'{DIRECTORY}/server']
    agent = [f'{BUILD}/bin/agentd', '-agent.region', 'near', '-agent.rpc.report.addr', f'127.0.0.1:{rpc}',
             '-agent.icmp.address', '127.0.0.1', '-agent.probe.interval', '1s',
             '-agent.http.listen.addr', f'127.0.0.1:{web}', '-agent.state.dir', f'{DIRECTORY}/agent']
    children = []
    try:
        for argv in server, agent:
            children.append(subprocess.Popen(argv + common))
        measure(children[1], web)
    finally:
        for child in reversed(children):
            child.terminate()
            child.wait()


main()
