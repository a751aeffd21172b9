#!/bin/bash
# Bodies of 10 MiB that a regexp must search to their end: resident memory for each of 10 probes at once,
# beside the limit on bodies; and what is resident when all have ended, beside what it is after a hundred.
. "$(dirname "$0")/http_lib.sh"

start_nginx
python3 - "$dir/files" <<'PY'
import os, sys
line = b'what a body says when it has nothing to say, over and over: 0123456789\n'
body = (line * (10 * 2**20 // len(line) + 1))[:10 * 2**20 - 6] + b'needle'
for i in range(1000):
    path = f'{sys.argv[1]}/{i}'
    if i == 0:
        with open(path, 'wb') as f:
            f.write(body)
    else:
        os.link(f'{sys.argv[1]}/0', path)
PY
block=$(http_block '{"body_size_limit": "10MB", "fail_if_body_not_matches_regexp": ["nee?dle"]}')
few=$("$B/bench_http_engine" -block "$block" -at-once 10 "$plain/files" 100 0)
base=$(field rss_mb "$("$B/bench_http_engine" "$plain" 10 0)")
line=$("$B/bench_http_engine" -block "$block" -at-once 10 "$plain/files" "${PROBES:-10000}" 0)
echo "http_bodies: $line"
verdict http_bodies_failed "$(field failed "$line")" 0
verdict http_bodies_mb_per_probe_against_limit \
    "$(awk -v a="$(field rss_mb "$line")" -v b="$base" 'BEGIN { printf "%.3f", (a - b) / 10 / 10 }')" 1.1
verdict http_bodies_growth "$(ratio "$(field idle_rss_mb "$line")" "$(field idle_rss_mb "$few")")" 1.05
