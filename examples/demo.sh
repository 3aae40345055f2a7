#!/bin/sh
# A service hangs: systemd reports it active, the agent reports the failure. Run it in a sandbox:
#
#   ocf-systemd sandbox run --copy examples:/root/examples -- sh /root/examples/demo.sh
set -eu
examples=$(dirname "$0")
home=/usr/local/lib/ocf-systemd

title() {
    printf '\n\033[1m# %s\033[0m\n' "$*"
}
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || title() { printf '\n# %s\n' "$*"; }

# Prints a command, runs it, and continues if it fails: the last monitor must fail.
try() {
    printf '$ %s\n' "$*"
    "$@" || echo "exit code $?"
}

title "An example service, beacon: a web page that is ready two seconds after systemd reports it active"
install -D -m 0755 "$examples/units/beacon.py" "$home/beacon.py"
install -D -m 0644 "$examples/units/beacon.service" /etc/systemd/system/beacon.service
systemctl daemon-reload

title "A health hook for it: is there an answer over HTTP?"
install -D -m 0755 "$examples/hooks/http" "$home/hooks/http"

title "Install the agent where Pacemaker looks for it"
try ocf-systemd install

beacon="--unit beacon --monitor-hook $home/hooks/http -o monitor_hook_args=http://127.0.0.1:8025/"
title "Every action, twice: start returns when the page is ready, not when systemd reports active"
# shellcheck disable=SC2086  # $beacon is a list of words
try ocf-systemd debug cycle $beacon

title "Now the service hangs"
try systemctl kill --signal=STOP beacon
sleep 0.2

title "systemd reports"
try systemctl is-active beacon

title "The agent reports"
# shellcheck disable=SC2086
try ocf-systemd debug monitor $beacon
