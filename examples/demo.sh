#!/bin/sh
# The point of it all, to be run in a sandbox:
#
#   ocf-systemd sandbox run --copy examples:/root/examples -- sh /root/examples/demo.sh
#
# A service hangs, systemd says active, the agent says what is true.
set -eu
examples=$(dirname "$0")
home=/usr/local/lib/ocf-systemd

say() {
    printf '\n\033[1m# %s\033[0m\n' "$*"
}
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n# %s\n' "$*"; }

# Shows a command, runs it, and goes on whatever it answers: a monitor that fails is what we came for.
try() {
    printf '$ %s\n' "$*"
    "$@" || echo "exit code $?"
}

say "An example service, beacon: a web page that is ready two seconds after systemd calls it active"
install -D -m 0755 "$examples/units/beacon.py" "$home/beacon.py"
install -D -m 0644 "$examples/units/beacon.service" /etc/systemd/system/beacon.service
systemctl daemon-reload

say "A health hook for it: is there an answer over HTTP?"
install -D -m 0755 "$examples/hooks/http" "$home/hooks/http"

say "The agent, where Pacemaker looks for it"
try ocf-systemd install

beacon="--unit beacon --monitor-hook $home/hooks/http -o monitor_hook_args=http://127.0.0.1:8025/"
say "Every action, twice: start returns when the page is there, not when systemd says active"
# shellcheck disable=SC2086  # $beacon is a list of words
try ocf-systemd debug cycle $beacon

say "Now the service hangs"
try systemctl kill --signal=STOP beacon
sleep 0.2

say "systemd says"
try systemctl is-active beacon

say "The agent says"
# shellcheck disable=SC2086
try ocf-systemd debug monitor $beacon --timeout 8s
