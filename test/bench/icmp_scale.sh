#!/bin/bash
# 100,000 targets, one probe a second each, for 20 s on loopback: nothing lost, unknown or unsent; CPU
# against the raw loop for as many probes; resident memory.
. "$(dirname "$0")/lib.sh"

before=$(field cpu_us_per_probe "$("$B/bench_raw_loop" 1000000)")
line=$("$B/bench_icmp_engine" 100000 "${SECONDS_EACH:-20}" 1000)
after=$(field cpu_us_per_probe "$("$B/bench_raw_loop" 1000000)")
echo "icmp_scale: $line"
echo "icmp_scale: raw loop $before $after"
for what in lost unknown unsent; do verdict "icmp_100k_$what" "$(field $what "$line")" 0; done
verdict icmp_100k_cpu_against_raw_loop \
    "$(ratio "$(field cpu_us_per_probe "$line")" "$(awk -v a="$before" -v b="$after" 'BEGIN { print (a + b) / 2 }')")" 1.5
verdict icmp_100k_rss_mb "$(field rss_mb "$line")" 150
