"""What is written about the programs is what they are: man pages, settings, installation."""
import os
import re
import subprocess

import pytest

import lablib

ETC = os.path.join(lablib.ROOT, "etc")
MAN = os.path.join(lablib.ROOT, "docs", "man")
NOT_IN_A_FILE = {"config", "h", "help", "v", "version"}


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def flags_and_defaults(build, program):
    """{flag: default or None} of a daemon, as its help tells."""
    done = subprocess.run([f"{build}/bin/{program}", "-h"], capture_output=True, text=True, check=True)
    text = done.stdout + done.stderr
    flags = {}
    for name, body in re.findall(r"^  -(\S+)[^\n]*\n((?: {8}[^\n]*\n?)*)", text, re.M):
        default = re.search(r"\(default\s+([^()]+)\)\s*$", body)
        flags[name] = default and default.group(1).strip()
    assert len(flags) > 10, text
    return flags


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize("program", ["agentd", "serverd"])
def test_every_flag_is_in_the_man_page_and_no_other(build, program):
    page = read(MAN, f"{program}.8").replace("\\-", "-")
    flags = page.split(".SH FLAGS")[1].split("\n.SH")[0]
    assert set(re.findall(r"^\\fB-(\S+?)\\fR", flags, re.M)) == \
        set(flags_and_defaults(build, program))


@pytest.mark.parametrize("program", ["agentd", "serverd"])
def test_every_setting_is_in_the_sample_with_its_default(build, program):
    sample = dict(re.findall(r"^# ([a-z][\w.-]*\.[\w.-]+): (.*)$", read(ETC, f"{program}.yaml"), re.M))
    flags = {n: d for n, d in flags_and_defaults(build, program).items() if n not in NOT_IN_A_FILE}
    assert set(sample) == set(flags)
    assert {n: sample[n].strip('"') for n, d in flags.items() if d} == \
        {n: d.strip('"') for n, d in flags.items() if d}


@pytest.mark.parametrize("program, arguments", [("agentd", ["check-config", "-config"]),
                                                ("serverd", ["check-config"])])
def test_the_sample_is_accepted_as_it_is_and_with_every_key_taken_in(build, tmp_path, program, arguments):
    text = read(ETC, f"{program}.yaml")
    whole = re.sub(r"^# ([a-z][\w.-]*\.[\w.-]+: )", r"\1", text, flags=re.M)
    assert whole != text
    for name, content in (("as-it-is.yaml", text), ("whole.yaml", whole)):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        done = run(f"{build}/bin/{program}", *arguments, str(path))
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_probe_file_sample_is_accepted(build, tmp_path):
    settings = tmp_path / "serverd.yaml"
    settings.write_text(f"server.probe.file: {ETC}/probermesh.yaml\n"
                        "server.icmp.discovery: static\n", encoding="utf-8")
    done = run(f"{build}/bin/serverd", "check-config", str(settings))
    assert done.returncode == 0, done.stdout + done.stderr


def test_http_blocks_are_checked_and_dumped_without_secrets(build, tmp_path):
    path = tmp_path / "probe.yaml"
    entry = "prober_configs:\n- prober_type: http\n  targets: [a]\n  http:\n"
    path.write_text(entry + "    bearer_token: hush\n", encoding="utf-8")
    done = run(f"{build}/bin/serverd", "check-config", "-dump", str(path))
    assert done.returncode == 0, done.stderr
    assert '"method": "GET"' in done.stdout and "hush" not in done.stdout
    path.write_text(entry + "    method: a b\n    mathod: GET\n", encoding="utf-8")
    done = run(f"{build}/bin/serverd", "check-config", str(path))
    faults = [line.split(": ")[0] for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert faults == [f"{path}:5:prober_configs[0].http.method",
                      f"{path}:6:prober_configs[0].http.mathod"]


def test_the_reference_of_the_probe_file_has_every_key(build, tmp_path):
    """Those that faults and a dump name; and what it shows as an example is accepted."""
    reference = read(lablib.ROOT, "docs", "probe-file.md")
    path = tmp_path / "probe.yaml"
    path.write_text("prober_configs:\n- {prober_type: icmp, targets: [a], x: 1, icmp: {x: 1}}\n", encoding="utf-8")
    faults = run(f"{build}/bin/serverd", "check-config", str(path)).stderr
    keys = set(re.findall(r"[a-z]\w+", " ".join(re.findall(r"known are (.*)", faults)))) - {"and"}
    path.write_text("prober_configs:\n- {prober_type: http, targets: [a]}\n", encoding="utf-8")
    keys |= set(re.findall(r'"(\w+)":', run(f"{build}/bin/serverd", "check-config", "-dump", str(path)).stdout))
    assert len(keys) > 30
    assert {k for k in keys if f"`{k}`" not in reference} == set()
    for block in re.findall(r"```yaml\n(.*?)```", reference, re.S):
        path.write_text(block if "prober_configs" in block else "prober_configs:\n" + block, encoding="utf-8")
        assert run(f"{build}/bin/serverd", "check-config", str(path)).stderr == ""


def test_files_of_lists_are_checked_if_they_are_there(build, tmp_path):
    path = tmp_path / "probe.yaml"
    path.write_text("prober_configs:\n- {prober_type: http, file_sd_configs: "
                    "[{files: [gone.json, 't_*.yml', nowhere/*.json]}]}\n", encoding="utf-8")
    (tmp_path / "t_1.yml").write_text("- targets: [a]\n", encoding="utf-8")
    done = run(f"{build}/bin/serverd", "check-config", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "t_2.yml").write_text("- targets: [a]\n- tragets: [b]\n", encoding="utf-8")
    (tmp_path / "gone.json").write_text('[\n{"targets": [}]', encoding="utf-8")
    done = run(f"{build}/bin/serverd", "check-config", str(path))
    assert done.returncode == 1
    assert f"{tmp_path}/t_2.yml:2:[1].tragets: unknown key" in done.stderr
    assert f"{tmp_path}/gone.json: JSON, line 2" in done.stderr


def test_every_route_is_in_the_reference_of_the_api_with_its_methods_and_role():
    routes = set(re.findall(r'\{"(/[^"]*)", ([A-Z_| ]+), ROLE_(\w+), \w+\}', read(lablib.ROOT, "serverd", "api.c")))
    written = re.findall(r"^\| `(/[^`]+)` \| ([A-Z, ]+) \| (\w+) \|", read(lablib.ROOT, "docs", "admin-api.md"),
                         re.M)
    assert len(routes) > 8
    assert {(path, frozenset(methods.split(", ")), role) for path, methods, role in written} == \
        {(path, frozenset(m.replace("WEB_", "") for m in methods.split(" | ")), role.lower())
         for path, methods, role in routes}


def test_man_pages_are_well_formed():
    for page in sorted(os.listdir(MAN)):
        done = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", os.path.join(MAN, page))
        assert done.returncode == 0 and done.stderr == "", page + done.stderr


def test_installing_keeps_existing_settings_and_uninstalling_leaves_them(build, tmp_path):
    make = ["make", "-s", f"O={os.path.relpath(build, lablib.ROOT)}", f"DESTDIR={tmp_path}"]
    settings = tmp_path / "etc/probermesh/agentd.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("agent.region: mine\n", encoding="utf-8")
    done = run(*make, "install", cwd=lablib.ROOT)
    assert done.returncode == 0, done.stderr
    installed = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert {"usr/local/bin/agentd", "usr/local/bin/serverd", "usr/local/bin/probermesh",
            "etc/probermesh/serverd.yaml", "etc/probermesh/probermesh.yaml",
            "etc/probermesh/agentd.yaml.new", "usr/local/share/man/man8/agentd.8",
            "usr/local/share/man/man8/serverd.8", "usr/local/share/man/man1/probermesh.1",
            "lib/systemd/system/probermesh-agent.service",
            "lib/systemd/system/probermesh-server.service"} <= installed
    assert settings.read_text(encoding="utf-8") == "agent.region: mine\n"
    unit = (tmp_path / "lib/systemd/system/probermesh-agent.service").read_text(encoding="utf-8")
    assert "ExecStart=/usr/local/bin/agentd -config /etc/probermesh/agentd.yaml" in unit
    assert "@" not in re.sub(r"SystemCallFilter=@\S+", "", unit)
    assert run(f"{tmp_path}/usr/local/bin/probermesh", "-v").returncode == 0
    done = run(*make, "uninstall", cwd=lablib.ROOT)
    assert done.returncode == 0, done.stderr
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {p for p in installed if p.startswith("etc/")}


def deploy(build, root, *arguments, **environment):
    return run(f"{lablib.ROOT}/deploy/probermesh_agent_deploy.sh", *arguments,
               env={**os.environ, "DESTDIR": str(root), "AGENTD": f"{build}/bin/agentd", **environment})


def test_the_deploy_script_installs_an_agent_with_its_region_and_server(build, tmp_path):
    done = deploy(build, tmp_path, "欧洲-1", "192.0.2.1")
    assert done.returncode == 0, done.stdout + done.stderr
    settings = (tmp_path / "etc/probermesh/agentd.yaml").read_text(encoding="utf-8")
    assert 'agent.region: "欧洲-1"' in settings
    assert 'agent.rpc.report.addr: "192.0.2.1:6000"' in settings
    assert "agent.icmp.network-type: public" in settings
    assert os.access(tmp_path / "usr/local/bin/agentd", os.X_OK)


def test_the_deploy_script_keeps_the_token_to_join_with_where_only_root_reads_it(build, tmp_path):
    token = "pmj1" + "a" * 84
    (tmp_path / "token").write_text(token + "\n", encoding="utf-8")
    done = deploy(build, tmp_path, "eu", "192.0.2.1", JOIN=str(tmp_path / "token"))
    assert done.returncode == 0, done.stdout + done.stderr
    kept = tmp_path / "etc/probermesh/join.env"
    assert kept.read_text(encoding="utf-8") == f"PROBERMESH_AGENT_JOIN={token}\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert token not in done.stdout + done.stderr
    assert token not in (tmp_path / "etc/probermesh/agentd.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments, environment, part", [
    ([], {}, "REGION"),
    (["a", "b", "c"], {}, "REGION"),
    (['x"y'], {}, "quotes"),
    (["r", "host;rm"], {}, "host:port"),
    (["r"], {"NETWORK_TYPE": "netowrk"}, "public or intranet"),
    (["r"], {"INTERVAL": "1 minute"}, "duration"),
    (["r"], {"AGENTD": "/nonexistent"}, "no agentd program"),
    (["r"], {"JOIN": "/nonexistent"}, "cannot read"),
    (["r"], {"JOIN": "/dev/null"}, "no token"),
])
def test_the_deploy_script_refuses_what_it_cannot_use_and_writes_nothing(build, tmp_path, arguments,
                                                                         environment, part):
    done = deploy(build, tmp_path, *arguments, **environment)
    assert done.returncode != 0
    assert part in done.stderr
    assert list(tmp_path.iterdir()) == []
