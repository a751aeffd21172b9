"""What make promises: nothing is built twice."""
import os
import subprocess

import lablib


def make(*arguments):
    run = subprocess.run(["make", "-C", lablib.ROOT, *arguments], capture_output=True, text=True,
                         stdin=subprocess.DEVNULL, check=False,
                         env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    assert run.returncode == 0, run.stderr + run.stdout
    return run.stdout


def test_an_untouched_tree_rebuilds_nothing():
    make("-s", "all")
    assert [l for l in make("--no-print-directory", "all").splitlines() if "Nothing to be done" not in l] == []
