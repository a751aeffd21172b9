#!/bin/bash
# CPU per URL probe: our engine against blackbox_exporter, 1,000 URLs every second of the same nginx,
# over plain HTTP and over HTTPS (HTTP/2, verified); they run in turns, and the medians are compared.
. "$(dirname "$0")/http_lib.sh"

start_nginx
start_blackbox
block=$(http_block)
for url in "$plain" "$https"; do
    scheme=${url%%:*} ours=() theirs=() failed=0
    for _ in $(seq "${ROUNDS:-5}"); do
        line=$("$B/bench_http_engine" -block "$block" "$url" 3000 1000)
        ours+=("$(field cpu_us_per_probe "$line")")
        failed=$((failed + $(field failed "$line")))
        line=$("$here/ask_blackbox.py" "$blackbox" "$blackbox_pid" bench "$url" 3000 1000)
        theirs+=("$(field cpu_us_per_probe "$line")")
        failed=$((failed + $(field failed "$line")))
    done
    echo "$scheme: ours $(median "${ours[@]}") us, blackbox_exporter $(median "${theirs[@]}") us a probe"
    verdict "${scheme}_failed_probes" "$failed" 0
    limit=0.25
    [ "$scheme" = http ] || limit=0.8
    verdict "${scheme}_cpu_against_blackbox" \
        "$(ratio "$(median "${ours[@]}")" "$(median "${theirs[@]}")")" $limit
done
