#!/bin/sh
# Postfix with its own address under Pacemaker, with pcs.
#
#   pcs.sh              on a cluster node, as root: changes the cluster
#   pcs.sh CIB-FILE     changes only that file
#
# On every node first:
#   install -D -m 0755 -o root -g root examples/hooks/smtp /usr/local/lib/ocf-systemd/hooks/smtp
#   systemctl disable --now postfix.service     # only Pacemaker may start it
#   inet_interfaces = all                       # in main.cf: the address moves, loopback stays
#
# On Debian postfix@-.service is the daemon; postfix.service only groups its instances. On other
# distributions use unit=postfix.
set -e

cib=${1:-}
if [ -z "$cib" ]; then
    # In one step: the cluster must not act on half of the configuration.
    cib=$(mktemp)
    trap 'rm -f "$cib" "$cib.before"' EXIT
    pcs cluster cib "$cib"
    cp "$cib" "$cib.before"
fi

# The members of a group start in this order, on one node: first the address, then the service.
pcs -f "$cib" resource create mail-ip ocf:heartbeat:IPaddr2 \
    ip=192.0.2.25 cidr_netmask=24 \
    op monitor interval=30s timeout=20s \
    --group mail

# start: longer than systemd's own limit (TimeoutStartSec, 90 s by default).
# stop: at least systemd's own limit (TimeoutStopSec, 90 s by default) plus 11 s; 110 s is what the
#   metadata advertise. The agent kills what is left 10 s before the timeout: a stop that fails fences
#   the node.
# monitor: every 10 s, unit and hook concurrently. The hook's own limit of 5 s is well below 20 s.
# the second monitor: the hook sees OCF_CHECK_LEVEL=10, and then also tests whether mail is taken.
#   Two monitors of one resource need different intervals.
# monitor_hook_level is not set: with 10, the monitor of every 10 s would not run the hook.
pcs -f "$cib" resource create mail-server ocf:pacemaker:systemd \
    unit=postfix@- \
    monitor_hook=/usr/local/lib/ocf-systemd/hooks/smtp \
    monitor_hook_args="127.0.0.1 25 5" \
    op start interval=0s timeout=100s \
    stop interval=0s timeout=110s \
    monitor interval=10s timeout=20s \
    monitor interval=60s timeout=20s OCF_CHECK_LEVEL=10 \
    --group mail

# After three failures within ten minutes the resource moves to another node. See
# `pcs resource failcount show`, and `pcs resource cleanup` when the cause is fixed.
pcs -f "$cib" resource meta mail-server migration-threshold=3 failure-timeout=10min

if [ -z "${1:-}" ]; then
    pcs cluster cib-push "$cib" diff-against="$cib.before"
fi
