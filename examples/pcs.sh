#!/bin/sh
# nginx with its own address under Pacemaker, with pcs.
#
#   pcs.sh              on a cluster node, as root: changes the cluster
#   pcs.sh CIB-FILE     changes only that file
#
# On every node first:
#   install -D -m 0755 -o root -g root examples/hooks/http /usr/local/lib/ocf-systemd/hooks/http
#   systemctl disable --now nginx               # only Pacemaker may start it
#   location = /health { return 200; }          # in nginx's configuration, or a page of your application
set -e

cib=${1:-}
if [ -z "$cib" ]; then
    # In one step: the cluster must not act on half of the configuration.
    cib=$(mktemp)
    trap 'rm -f "$cib" "$cib.before"' EXIT
    pcs cluster cib "$cib"
    cp "$cib" "$cib.before"
fi

pcs -f "$cib" resource create web-ip ocf:heartbeat:IPaddr2 \
    ip=192.0.2.25 cidr_netmask=24 \
    op monitor interval=30s timeout=20s

# start: longer than systemd's own limit (TimeoutStartSec, 90 s by default).
# stop: at least systemd's own limit (TimeoutStopSec, 90 s by default) plus 11 s; 110 s is what the
#   metadata advertise. The agent kills what is left 10 s before the timeout: a stop that fails fences
#   the node.
# monitor: every 10 s, unit and hook concurrently. The hook's own limit of 5 s is well below 20 s.
# the second monitor: the hook sees OCF_CHECK_LEVEL=10, and then requests its third argument. Two
#   monitors of one resource need different intervals.
# monitor_hook_level is not set: with 10, the monitor of every 10 s would not run the hook.
pcs -f "$cib" resource create web-server ocf:pacemaker:systemd \
    unit=nginx \
    monitor_hook=/usr/local/lib/ocf-systemd/hooks/http \
    monitor_hook_args="http://127.0.0.1/ 5 http://127.0.0.1/health" \
    op start interval=0s timeout=100s \
    stop interval=0s timeout=110s \
    monitor interval=10s timeout=20s \
    monitor interval=60s timeout=20s OCF_CHECK_LEVEL=10

# The members of a group start in this order, on one node: first the address, then the service.
pcs -f "$cib" resource group add web web-ip web-server

# After three failures within ten minutes the resource moves to another node. See
# `pcs resource failcount show`, and `pcs resource cleanup` when the cause is fixed.
pcs -f "$cib" resource meta web-server migration-threshold=3 failure-timeout=10min

if [ -z "${1:-}" ]; then
    pcs cluster cib-push "$cib" diff-against="$cib.before"
fi
