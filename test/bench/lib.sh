# What the benchmark scripts share: sourced by them, with the build directory as $1.

B=$1/test/bench
here=$(cd "$(dirname "$0")" && pwd)

# field NAME LINE: the value after NAME in a line of `name value` pairs
field() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) { print $(i + 1); exit } }' <<<"$2"; }
# median NUMBER...
median() { printf '%s\n' "$@" | sort -g | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
# verdict NAME VALUE LIMIT: one line; the benchmark fails when a value is over its limit
verdict() {
    awk -v n="$1" -v v="$2" -v l="$3" \
        'BEGIN { printf "bench: %s %s %s %s\n", n, v, l, (v + 0 <= l + 0 && v != "") ? "ok" : "FAIL" }'
}
# ratio A B
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.3f", a / b }'; }
# cpu COMMAND...: seconds of CPU of the whole process, its output thrown away
cpu() {
    python3 - "$@" <<'PY'
import os, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
u = resource.getrusage(resource.RUSAGE_CHILDREN)
print(u.ru_utime + u.ru_stime)
PY
}
