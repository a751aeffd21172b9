#!/bin/bash
# The error of RTTs in the default mode, against a capture of a veth: median at 10,000 and at 100,000
# probes a second. Makes two network namespaces and takes them away again.
. "$(dirname "$0")/lib.sh"

near=bench-near-$$ far=bench-far-$$
trap 'ip netns del $near; ip netns del $far' EXIT
ip netns add $near
ip netns add $far
ip -n $near link add veth0 type veth peer name veth0 netns $far
ip -n $near addr add 10.99.0.1/30 dev veth0
ip -n $far addr add 10.99.0.2/30 dev veth0
for n in $near $far; do
    ip -n $n link set lo up
    ip -n $n link set veth0 up
done
ip -n $near route add 10.100.0.0/14 via 10.99.0.2
ip -n $far route add local 10.100.0.0/14 dev lo

for rate in 10000:5 100000:20; do
    line=$(ip netns exec $near "$B/bench_icmp_rtt" veth0 10.100.0.1 "${rate%:*}")
    echo "icmp_rtt at ${rate%:*}/s: $line"
    verdict "icmp_rtt_error_us_at_${rate%:*}_per_s" "$(field error_p50_us "$line")" "${rate#*:}"
done
