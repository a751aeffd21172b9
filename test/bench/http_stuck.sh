#!/bin/bash
# What 1,000 targets that take the request and never answer do to 100 healthy ones, each probed once a
# second by the same engine: the 99th percentile of the healthy ones' phases beside what it is alone,
# in turns; the medians are compared. Differences up to 20 us are the scheduler's.
. "$(dirname "$0")/http_lib.sh"

phases="connect processing transfer"
# As real-time processes: what else this machine does is no part of the comparison.
start_nginx 10
ulimit -n 8192
for phase in $phases; do declare -a "alone_$phase=()" "beside_$phase=()"; done
for _ in $(seq "${ROUNDS:-5}"); do
    for how in alone beside; do
        stuck=()
        [ $how = alone ] || stuck=(-stuck "$plain/stuck" 1000)
        line=$(chrt -f 10 "$B/bench_http_engine" -block "$(http_block)" "${stuck[@]}" "$plain" 1000 100)
        echo "http_stuck: $how: $line"
        for phase in $phases; do
            eval "${how}_$phase+=($(field "${phase}_p99_us" "$line"))"
        done
    done
done
for phase in $phases; do
    eval "alone=\$(median \"\${alone_$phase[@]}\") beside=\$(median \"\${beside_$phase[@]}\")"
    echo "http_stuck: p99 of $phase alone $alone us, beside 1,000 stuck ones $beside us"
    verdict "http_stuck_${phase}_p99" "$(ratio $((beside > 20 ? beside - 20 : 0)) "$alone")" 1.1
done
