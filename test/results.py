"""What the test runners share: counts on disk, the closing line, and the sanitizers' settings."""
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def closing_line(passed, failed, skipped):
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def finish(build, name, counts):
    """Writes BUILD/results/NAME, prints the closing line, and returns the exit status."""
    os.makedirs(f"{build}/results", exist_ok=True)
    with open(f"{build}/results/{name}", "w") as f:
        f.write("%d %d %d\n" % tuple(counts))
    print(closing_line(*counts), flush=True)
    return 1 if counts[1] or not counts[0] else 0


def sanitizer_environment():
    """The environment for instrumented programs: any finding ends in a status that is not 0."""
    suppressions = os.path.join(HERE, "sanitizers")
    return {**os.environ,
            "ASAN_OPTIONS": "exitcode=99:abort_on_error=0:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
            "LSAN_OPTIONS": f"suppressions={suppressions}/leak.txt:print_suppressions=0",
            "TSAN_OPTIONS": f"exitcode=66:second_deadlock_stack=1:suppressions={suppressions}/thread.txt"}
