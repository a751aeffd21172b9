"""The lab: hosts in network namespaces, joined by the forwarder, and the daemons that run on them.

What it makes is taken away again in every case, also when this process is killed: a second process,
the reaper, knows of every namespace, process and directory, and cleans up when its pipe closes.
Only Python's standard library and the ip and nsenter programs are used. Needs root.
"""

import contextlib
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DEVICE = "lab0"
CLONE_NEWNET = 0x40000000
# Packets that wait for the forwarder to read them: more than it can fall behind, since what the
# device drops would look like loss on the network.
DEVICE_QUEUE = 20000


class LabError(Exception):
    """Something that the person who runs the lab can mend: the text says what."""


def wait_until(condition, timeout, what, pause=0.05):
    """Polls until condition() is true and returns its value; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise LabError(f"gave up after {timeout} s waiting for {what() if callable(what) else what}")
        time.sleep(pause)


def seconds(text):
    """'1m30s', '1.5s', '200ms' as seconds."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "us": 1e-6}
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|us|s|m|h)", str(text))
    if not parts or "".join(n + u for n, u in parts) != str(text):
        raise LabError(f"'{text}' is no duration such as 5s or 1m30s")
    return sum(float(n) * units[u] for n, u in parts)


# ---- the reaper ----

def start_time(pid):
    """When a process started, so that a reused pid is not taken for it; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def pids_in(namespaces):
    """{pid: start time} of the processes in any of the namespaces."""
    inodes = set()
    for name in namespaces:
        with contextlib.suppress(OSError):
            inodes.add(os.stat(f"/run/netns/{name}").st_ino)
    pids = {}
    for pid in filter(str.isdigit, os.listdir("/proc") if inodes else []):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/net").st_ino in inodes:
                pids[int(pid)] = start_time(pid)
    return pids


def end_processes(pids, grace=4.0):
    """pids: {pid: start time}. SIGTERM, and SIGKILL for what stays."""
    def left():
        return {p: s for p, s in pids.items() if start_time(p) == s}
    for sig, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 2.0)):
        for pid in left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)
        deadline = time.monotonic() + patience
        while left() and time.monotonic() < deadline:
            time.sleep(0.02)


def reap(stream):
    """The reaper's life: collects '+kind value' and '-kind value' lines, cleans up at their end."""
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(sig, signal.SIG_IGN)
    things = {"pid": {}, "netns": {}, "dir": {}}
    for line in stream:
        sign, kind, value = line[0], *line[1:].rstrip("\n").split(" ", 1)
        if sign == "-":
            things[kind].pop(value, None)
        elif kind == "pid":
            things[kind][value] = start_time(value)
        else:
            things[kind][value] = None
    end_processes({int(p): s for p, s in things["pid"].items() if s})
    end_processes(pids_in(things["netns"]), 0.5)
    subprocess.run(["ip", "-force", "-batch", "-"], text=True, stderr=subprocess.DEVNULL, check=False,
                   input="".join(f"netns del {name}\n" for name in things["netns"]))
    for path in things["dir"]:
        shutil.rmtree(path, ignore_errors=True)


class Reaper:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-B", os.path.abspath(__file__), "reap"], text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _say(self, sign, kind, value):
        try:
            self.process.stdin.write(f"{sign}{kind} {value}\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass

    def add(self, kind, value):
        self._say("+", kind, value)

    def forget(self, kind, value):
        self._say("-", kind, value)

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


# ---- hosts and daemons ----

class Daemon:
    """A program that runs on a host. pid is its own, not that of a wrapper."""

    def __init__(self, lab, host, argv, name, env):
        self.lab, self.host, self.argv, self.name = lab, host, argv, name
        self.log_path = os.path.join(lab.directory, "logs", name + ".log")
        self._env = env
        self.started_at = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                host.enter + argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env={**os.environ, **(env or {})}, cwd=lab.directory)
        lab.reaper.add("pid", self.process.pid)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=10):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} does not end within {timeout} s") from None
        self.lab.reaper.forget("pid", self.process.pid)
        return code

    def stop(self, timeout=10):
        """SIGTERM; returns the exit status. SIGKILL, and an error, when it does not end in time."""
        if self.alive():
            self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except LabError:
            self.kill()
            raise

    def kill(self):
        """SIGKILL."""
        if self.alive():
            self.signal(signal.SIGKILL)
        return self.wait()

    def restarted(self):
        """The same program again, logging to the same file."""
        assert not self.alive()
        return self.lab.spawn(self.host.name, self.argv, self.name, self._env)


class Host:
    def __init__(self, name, region, netns, device, addresses):
        self.name, self.region, self.netns, self.device = name, region, netns, device
        self.addresses = addresses
        self.enter = ["nsenter", f"--net=/run/netns/{netns}", "--"] if netns else []

    @property
    def ipv4(self):
        return next(a for a in self.addresses if ":" not in a)

    @property
    def ipv6(self):
        return next(a for a in self.addresses if ":" in a)


class Control:
    """The forwarder's line commands."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.reader = self.socket.makefile("r")
        self.lock = threading.Lock()

    def ask(self, *words):
        """Sends one command and returns the answer's lines."""
        with self.lock:
            self.socket.sendall((" ".join(map(str, words)) + "\n").encode())
            lines = []
            for line in self.reader:
                line = line.rstrip("\n")
                if line == "ok":
                    return lines
                if line.startswith("error: "):
                    raise LabError(line[len("error: "):])
                lines.append(line)
        raise LabError("the forwarder has gone")

    def close(self):
        self.reader.close()
        self.socket.close()

    # The commands, for those who hold no Lab but its socket.

    def set(self, source, target, **settings):
        """set('cn-east', 'us-west', delay='80ms', loss='20%', reorder_by='5ms')"""
        self.ask("set", source, target, *setting_words(settings))

    def set_both(self, a, b, **settings):
        self.set(a, b, **settings)
        self.set(b, a, **settings)

    def reset(self, source="*", target="*"):
        self.ask("reset", source, target)

    def get(self, source="*", target="*"):
        """{(source host, target host): {key: value}}"""
        found = {}
        for line in self.ask("get", source, target):
            a, b, *words = line.split()
            found[a, b] = dict(zip(words[::2], words[1::2]))
        return found

    def stats(self):
        """{(source host, target host): {'request.lost': n, ...}}, and under ('*', '*') the totals
        of what had no path. Counters that are 0 are absent."""
        found = {}
        for line in self.ask("stats"):
            a, b, *words = line.split()
            counters = found.setdefault((a, b), {})
            for word in words:
                name, value = word.split("=")
                counters[name] = counters.get(name, 0) + int(value)
        return found


def setting_words(settings):
    words = []
    for key, value in settings.items():
        value = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        words += [key.replace("_", "-"), str(value)]
    return words


class Lab:
    """with Lab() as lab: ... A lab of one's own: names of namespaces carry its id."""

    def __init__(self, build=None, seed=1, name=None, directory=None):
        if os.geteuid() != 0:
            raise LabError("the lab makes network namespaces: run it as root")
        for program in ("ip", "nsenter"):
            if not shutil.which(program):
                raise LabError(f"'{program}' is not installed: run deploy/install-deps run")
        if not os.path.exists("/dev/net/tun"):
            raise LabError("/dev/net/tun is not there: the kernel's tun module is needed")
        self.build = os.path.abspath(build or os.environ.get("BUILD") or os.path.join(ROOT, "build"))
        forwarder = os.path.join(self.build, "test/lab/forwarder")
        if not os.path.exists(forwarder):
            raise LabError(f"{forwarder} is not built: run make")
        self.hosts, self.daemons, self.regions = {}, [], {}
        self.name = name or f"{os.getpid():x}{os.urandom(2).hex()}"
        self.reaper = Reaper()
        self.control = None
        try:
            self.directory = directory or tempfile.mkdtemp(prefix="probermesh-lab-")
            self.reaper.add("dir", self.directory)
            os.makedirs(os.path.join(self.directory, "logs"), exist_ok=True)
            os.makedirs(os.path.join(self.directory, "state"), exist_ok=True)
            self.socket_path = os.path.join(self.directory, "control")
            self._here = Host("forwarder", "", None, None, [])
            self.forwarder = self.spawn(None, [forwarder, self.socket_path, str(seed)], "forwarder")
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self):
        def connected():
            if not self.forwarder.alive():
                raise LabError("the forwarder does not start: " + self.forwarder.log().strip())
            try:
                return Control(self.socket_path)
            except OSError:
                return None
        self.control = wait_until(connected, 10, "the forwarder", 0.01)
        for command in ("set", "set_both", "reset", "get", "stats"):
            setattr(self, command, getattr(self.control, command))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Ends and removes everything."""
        if self.control:
            self.control.close()
            self.control = None
        self.reaper.close()
        for daemon in self.daemons:
            daemon.process.wait()

    def path(self, *parts):
        """A path below the build directory: path('bin/agentd')."""
        return os.path.join(self.build, *parts)

    # -- hosts --

    def _addresses(self, region):
        index = self.regions.setdefault(region, {"number": len(self.regions) + 1, "hosts": 0})
        index["hosts"] += 1
        r, h = index["number"], index["hosts"]
        return [f"10.77.{r}.{h}", f"fd77::{r:x}:{h:x}"]

    def add_host(self, name, region=None, addresses=None, in_host=False):
        """Adds a host, in a namespace of its own or (in_host) in the one we are in. Without
        addresses it gets 10.77.REGION.HOST and fd77::REGION:HOST, both counted from 1."""
        region = region or name
        addresses = addresses or self._addresses(region)
        netns = None if in_host else f"lab-{self.name}-{name}"
        device = f"lab-{self.name}"[:15] if in_host else DEVICE
        if in_host:
            self._check_free(addresses)
        else:
            self.reaper.add("netns", netns)
            ip(f"netns add {netns}")
        self.control.ask("host", name, region, netns or "-", device)
        for address in addresses:
            self.control.ask("address", name, address)
        host = self.hosts[name] = Host(name, region, netns, device, addresses)
        self._bring_up(host)
        return host

    @staticmethod
    def _check_free(addresses):
        for address in addresses:
            if ":" in address:
                continue
            net = ".".join(address.split(".")[:2])
            routes = subprocess.run(["ip", "-4", "route", "show", "root", f"{net}.0.0/16"],
                                    capture_output=True, text=True, check=False).stdout
            if routes.strip():
                raise LabError(f"this machine already has a route into {net}.0.0/16: "
                               + routes.splitlines()[0])

    def _bring_up(self, host):
        lines = [f"link set {host.device} txqueuelen {DEVICE_QUEUE} addrgenmode none up"]
        if host.netns:
            lines.insert(0, "link set lo up")
        for address in host.addresses:
            if ":" not in address:
                lines.append(f"addr add {address}/16 dev {host.device}")
            elif host.netns or os.path.exists(f"/proc/sys/net/ipv6/conf/{host.device}"):
                lines.append(f"-6 addr add {address}/64 dev {host.device} nodad")
        if host.netns:
            lines.append(f"route add default dev {host.device}")
            if any(":" in a for a in host.addresses):
                lines.append(f"-6 route add default dev {host.device}")
        ip_batch(host.netns, lines)

    def add_prefix(self, name, prefix):
        """Every address of the prefix is the host's too: many targets in one namespace."""
        host = self.hosts[name]
        self.control.ask("address", name, prefix)
        family = "-6" if ":" in prefix else "-4"
        ip_batch(host.netns, [f"{family} route add local {prefix} dev lo"])

    def remove_host(self, name):
        host = self.hosts.pop(name)
        for daemon in [d for d in self.daemons if d.host is host]:
            daemon.kill()
        self.control.ask("remove", name)
        if host.netns:
            ip(f"netns del {host.netns}")
            self.reaper.forget("netns", host.netns)

    def sysctl(self, name, key, value):
        """Sets net.KEY in the host's namespace: sysctl('a1', 'ipv4.ping_group_range', '0 0')."""
        self.run(name, ["sh", "-c", 'printf %s "$1" > "/proc/sys/net/$2"', "sh", str(value),
                        key.replace(".", "/")], check=True)

    def device_drops(self):
        """Packets that the devices dropped before the forwarder saw them: 0, or the counters of
        the forwarder are not the whole truth."""
        drops = 0
        for host in self.hosts.values():
            argv = ["ip", "-s", "-j", "link", "show", host.device]
            out = subprocess.run(host.enter + argv, capture_output=True, check=True).stdout
            drops += json.loads(out)[0]["stats64"]["tx"]["dropped"]
        return drops

    # -- programs --

    def spawn(self, host, argv, name=None, env=None):
        """Starts a program on a host and returns the Daemon."""
        at = self.hosts[host] if host else self._here
        name = name or f"{host}-{os.path.basename(argv[0])}"
        daemon = Daemon(self, at, [str(a) for a in argv], name, env)
        self.daemons.append(daemon)
        return daemon

    def run(self, host, argv, timeout=60, check=False, **options):
        """Runs a program on a host to its end: a subprocess.CompletedProcess with text."""
        return subprocess.run(self.hosts[host].enter + [str(a) for a in argv], timeout=timeout,
                              check=check, capture_output=True, text=True,
                              stdin=options.pop("stdin", subprocess.DEVNULL), **options)

    def connect(self, host, address, timeout=5):
        """A TCP connection to (address, port) as the host would make it."""
        return in_namespace(self.hosts[host].netns,
                            lambda: socket.create_connection(address, timeout))

    def http(self, host, url, headers=None, timeout=5, method="GET", body=None):
        """Asks a URL from the host. Returns (status, headers, body as text)."""
        parts = urllib.parse.urlsplit(url)
        address = (parts.hostname, parts.port or 80)
        connection = http.client.HTTPConnection(*address, timeout=timeout)
        try:
            connection.sock = self.connect(host, address, timeout)
            target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()


def ip(arguments):
    run = subprocess.run(["ip"] + arguments.split(), capture_output=True, text=True, check=False)
    if run.returncode:
        raise LabError(f"ip {arguments}: {run.stderr.strip()}")
    return run.stdout


def ip_batch(netns, lines):
    argv = ["ip"] + (["-n", netns] if netns else [])
    for family in ("-4", "-6"):
        batch = [re.sub("^-[46] ", "", l) for l in lines if l.startswith("-6 ") == (family == "-6")]
        if not batch:
            continue
        run = subprocess.run(argv + [family, "-batch", "-"], input="\n".join(batch) + "\n",
                             capture_output=True, text=True, check=False)
        if run.returncode:
            raise LabError(f"ip: {run.stderr.strip()}")


def in_namespace(netns, function):
    """Calls function in a thread that is in the namespace: what it opens stays there."""
    result = {}

    def work():
        try:
            if netns:
                fd = os.open(f"/run/netns/{netns}", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(fd)
            result["value"] = function()
        except BaseException as error:  # handed to the caller below
            result["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    return result["value"]


# ---- a mesh on a lab ----

# One-way delays between some regions, about half of what is measured between such places.
REGIONS = ["cn-shanghai", "us-west", "eu-frankfurt", "ap-singapore", "sa-saopaulo", "af-capetown"]
DELAYS_MS = {
    ("cn-shanghai", "us-west"): 65, ("cn-shanghai", "eu-frankfurt"): 95,
    ("cn-shanghai", "ap-singapore"): 38, ("us-west", "eu-frankfurt"): 72,
    ("us-west", "ap-singapore"): 88, ("eu-frankfurt", "ap-singapore"): 80,
    ("cn-shanghai", "sa-saopaulo"): 160, ("us-west", "sa-saopaulo"): 90,
    ("eu-frankfurt", "sa-saopaulo"): 100, ("ap-singapore", "sa-saopaulo"): 165,
    ("cn-shanghai", "af-capetown"): 150, ("us-west", "af-capetown"): 140,
    ("eu-frankfurt", "af-capetown"): 75, ("ap-singapore", "af-capetown"): 120,
    ("sa-saopaulo", "af-capetown"): 170,
}


def region_name(index):
    return REGIONS[index] if index < len(REGIONS) else f"region-{index + 1}"


def default_delay_ms(a, b):
    """The one-way delay between two regions; made up, but always the same, for unknown ones."""
    known = DELAYS_MS.get((a, b)) or DELAYS_MS.get((b, a))
    return known or 10 + sum(map(ord, a + b)) % 90


class Mesh:
    """A server and agents on a lab."""

    def __init__(self, lab, interval="1s", aggregation="1s", server_host="server", in_host=False,
                 http_addr=None, env=None):
        self.lab, self.interval, self.aggregation, self.env = lab, interval, aggregation, env
        self.server_host, self.agents, self.server = server_host, {}, None
        lab.add_host(server_host, server_host, ["10.77.0.1", "fd77::1"], in_host)
        self.rpc = "10.77.0.1:6000"
        self.http_addr = http_addr or "10.77.0.1:6001"
        self.url = f"http://{self.http_addr}"

    def add_agents(self, region, count=1):
        """Hosts REGION-1.. for agents; returns their names."""
        names = [f"{region}-{i + 1}" for i in range(count)]
        for name in names:
            self.lab.add_host(name, region)
        return names

    def _state(self, name):
        return os.path.join(self.lab.directory, "state", name)

    def start_server(self, *flags):
        flags = flags or getattr(self, "_server_flags", ())
        self._server_flags = flags
        argv = [self.lab.path("bin/serverd"), "-server.rpc.listen.addr", self.rpc,
                "-server.http.listen.addr", self.http_addr,
                "-server.aggregation.interval", self.aggregation,
                "-server.state.dir", self._state("server"), "-log.dir", "", "-log.level", "4", *flags]
        self.server = self.lab.spawn(self.server_host, argv, "serverd", self.env)
        return self.server

    def start_agent(self, host, *flags, region=None, name=None, wrapper=()):
        """wrapper: words before the program's own, which execute it in the end."""
        name = name or host
        argv = [*wrapper, self.lab.path("bin/agentd"), "-agent.region", region or self.lab.hosts[host].region,
                "-agent.rpc.report.addr", self.rpc, "-agent.probe.interval", self.interval,
                "-agent.state.dir", self._state(name), "-log.dir", "", "-log.level", "4", *flags]
        self.agents[name] = self.lab.spawn(host, argv, f"agentd-{name}", self.env)
        return self.agents[name]

    def get(self, path, **options):
        """A page of the server, asked for on its own host: (status, headers, text)."""
        return self.lab.http(self.server_host, self.url + path, **options)

    def is_ready(self):
        for daemon in [self.server, *self.agents.values()]:
            if not daemon.alive():
                raise LabError(f"{daemon.name} ended: {last_lines(daemon.log())}")
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False


def last_lines(text, count=3):
    return " / ".join(text.strip().splitlines()[-count:]) or "(it said nothing)"


if __name__ == "__main__" and sys.argv[1:] == ["reap"]:
    reap(sys.stdin)
