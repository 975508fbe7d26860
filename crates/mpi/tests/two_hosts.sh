#!/usr/bin/env bash
# Trains on two hosts that are network namespaces of this machine, connected by TCP alone, and on one: both must end with the same
# parameters. Needs root, iproute2 and Open MPI; `cargo build --release --examples` comes first.
#
#     tests/two_hosts.sh train_lenet --epochs 1 --samples 640
set -euo pipefail
cd "$(dirname "$0")/.."
example=target/release/examples/$1
shift

hosts=(ocelli1 ocelli2)
folder=$(mktemp -d)
clean() { for host in "${hosts[@]}"; do ip netns delete "$host" 2>/dev/null || true; done; rm -rf "$folder"; }
trap clean EXIT
for host in "${hosts[@]}"; do ip netns add "$host"; done
ip link add veth1 netns ocelli1 type veth peer name veth2 netns ocelli2
for number in 1 2; do
    ip netns exec "ocelli$number" ip address add "10.9.0.$number/24" dev "veth$number"
    ip netns exec "ocelli$number" ip link set "veth$number" up
    ip netns exec "ocelli$number" ip link set lo up
done

# In place of ssh: a shell in the other namespace, under another host name.
printf '#!/bin/bash\nshift\nexec ip netns exec ocelli2 unshare --uts bash -c "hostname ocelli2; $*"\n' > "$folder/agent"
chmod +x "$folder/agent"
network=(--mca btl tcp,self --mca btl_tcp_if_include 10.9.0.0/24 --mca oob_tcp_if_include 10.9.0.0/24)
job=(mpirun --allow-run-as-root --host 10.9.0.1,10.9.0.2 --mca plm_rsh_agent "$folder/agent" "${network[@]}" -n 2)
two=$(ip netns exec ocelli1 unshare --uts bash -c 'hostname ocelli1; "$@"' - "${job[@]}" "$example" "$@" --threads 1 | tail -1)
one=$("$example" "$@" --threads 1 | tail -1)
echo "two hosts: $two"
echo "one:       $one"
[ "$two" = "$one" ]
