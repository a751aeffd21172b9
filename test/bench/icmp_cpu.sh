#!/bin/bash
# CPU per ICMP probe: agentd against fping on the same 10,000 loopback targets, and against the raw
# loop at full speed; they run in turns, and the medians are compared. What the raw loop takes at the
# engine's pace, 20,000 probes a second, is printed beside it: there the processor rests in between.
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-5}
list=$(mktemp)
trap 'rm -f "$list"' EXIT
for i in $(seq 1 10000); do echo "127.1.$((i / 250)).$((i % 250 + 1))"; done >"$list"

ours=() theirs=() raw=() paced=() whole=()
agentd=$1/bin/agentd
for _ in $(seq "$rounds"); do
    ours+=("$(cpu "$agentd" probe icmp -count 5 -interval 500ms -timeout 500ms -summary -file "$list")")
    theirs+=("$(cpu fping -q -c 5 -p 500 -i 0 -f "$list")")
    paced+=("$(field cpu_us_per_probe "$("$B/bench_raw_loop" 50000 20000)")")
    raw+=("$(field cpu_us_per_probe "$("$B/bench_raw_loop" 100000)")")
done
for s in "${ours[@]}"; do whole+=("$(awk -v s="$s" 'BEGIN { print s * 1e6 / 50000 }')"); done
echo "icmp: agentd $(median "${whole[@]}") us, raw loop $(median "${raw[@]}") us a probe," \
    "at the same pace $(median "${paced[@]}") us"
verdict icmp_cpu_against_fping "$(ratio "$(median "${ours[@]}")" "$(median "${theirs[@]}")")" 0.75
verdict icmp_cpu_against_raw_loop "$(ratio "$(median "${whole[@]}")" "$(median "${raw[@]}")")" 1.5
