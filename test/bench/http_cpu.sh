#!/bin/bash
# CPU per URL probe: a whole agentd against blackbox_exporter, 1,000 URLs every second of the same nginx,
# over plain HTTP and over HTTPS (HTTP/2, verified); they run in turns, and the medians are compared. How
# many of the thousand each manages in a second is printed too: it is bounded by what the machine is.
. "$(dirname "$0")/http_lib.sh"

start_nginx
start_blackbox
block=$(http_block)
for url in "$plain" "$https"; do
    scheme=${url%%:*} ours=() theirs=() rate_ours=() rate_theirs=() failed=0
    for _ in $(seq "${ROUNDS:-5}"); do
        read -r -a ports <<<"$(free_ports 3)"
        line=$("$here/probe_with_agent.py" "$1" "$(mktemp -d -p "$dir")" "$url" 4 "$block" "${ports[@]}")
        ours+=("$(field cpu_us_per_probe "$line")")
        rate_ours+=("$(field per_s "$line")")
        failed=$((failed + $(field failed "$line")))
        line=$("$here/ask_blackbox.py" "$blackbox" "$blackbox_pid" bench "$url" 3000 1000)
        theirs+=("$(field cpu_us_per_probe "$line")")
        rate_theirs+=("$(field per_s "$line")")
    done
    echo "$scheme: agentd $(median "${ours[@]}") us a probe, $(median "${rate_ours[@]}") a second;" \
        "blackbox_exporter $(median "${theirs[@]}") us, $(median "${rate_theirs[@]}") a second"
    verdict "${scheme}_failed_probes" "$failed" 0
    limit=0.25
    [ "$scheme" = http ] || limit=0.8
    verdict "${scheme}_cpu_against_blackbox" \
        "$(ratio "$(median "${ours[@]}")" "$(median "${theirs[@]}")")" $limit
done
