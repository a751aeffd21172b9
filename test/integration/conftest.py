"""Fixtures of the integration tests: a lab of one's own, and a mesh on it.

Tests wait for what can be seen, with deadlines, and never sleep for it. Each test that is not done
after a minute and a half (or what its 'seconds' mark says) fails.
"""
import os
import re
import signal
import sys
import warnings

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lab"), os.path.dirname(HERE), HERE]
sys.dont_write_bytecode = True

import lablib  # noqa: E402
import results  # noqa: E402

USUAL_SECONDS = 90
BUILD = os.environ.get("BUILD") or os.path.join(lablib.ROOT, "build")
FINDING = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:")
INSTRUMENTED = "address" in os.path.relpath(BUILD, lablib.ROOT) or \
    "thread" in os.path.relpath(BUILD, lablib.ROOT)


@pytest.fixture(autouse=True)
def deadline(request):
    """A test that hangs fails, and what it started is taken down."""
    mark = request.node.get_closest_marker("seconds")
    allowed = mark.args[0] if mark else USUAL_SECONDS

    def give_up(*_):
        raise TimeoutError(f"the test is not done after {allowed} s")
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(allowed)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def build():
    """The build directory whose programs are tested."""
    return BUILD


def check_daemons(lab):
    """No sanitizer found anything, and nothing died by a signal of its own making."""
    findings = [f"{d.name}: {d.log()[-4000:]}" for d in lab.daemons if FINDING.search(d.log())]
    crashed = [f"{d.name}: signal {-d.process.returncode}: {lablib.last_lines(d.log(), 10)}"
               for d in lab.daemons
               if d.process.returncode in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)]
    assert not findings + crashed, "\n".join(findings + crashed)


@pytest.fixture(scope="session")
def world():
    """Web servers of every kind, see httplib."""
    import httplib  # what it needs is not needed elsewhere
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is old and weak there is so on purpose
        a_world = httplib.World(BUILD, INSTRUMENTED)
    yield a_world
    a_world.close()


@pytest.fixture(scope="module")
def outcomes(world, request):
    """{case: Outcome} of the module's cases that are to be tested; they are probed side by side."""
    import httplib
    params = [getattr(item, "callspec", None) for item in request.session.items
              if item.module is request.module]
    cases = [p.params["case"] for p in params if p and "case" in p.params]
    return httplib.probe_all(world, cases)


@pytest.fixture
def lab(build, request):
    """A Lab; what its daemons said is printed when the test fails."""
    os.environ.update({k: v for k, v in results.sanitizer_environment().items() if "SAN_" in k})
    with lablib.Lab(build, seed=7) as a_lab:
        yield a_lab
        for daemon in a_lab.daemons:
            if daemon.alive() and daemon.name != "forwarder":
                daemon.signal(signal.SIGTERM)
        for daemon in a_lab.daemons:
            if daemon.name != "forwarder" and daemon.alive():
                daemon.wait(20)
        for daemon in a_lab.daemons:
            print(f"---- {daemon.name}\n{daemon.log()[-3000:]}")
        check_daemons(a_lab)
