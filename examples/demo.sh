#!/bin/sh
# A service hangs: systemd reports it active, the agent reports the failure. `ocf-systemd demo` runs this in a sandbox.
set -eu
trap 'exit 130' INT # a command that Ctrl-C ends may exit normally
examples=$(dirname "$0")
home=/usr/local/lib/ocf-systemd

title() {
    printf '\n\033[1m# %s\033[0m\n' "$*"
}
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || title() { printf '\n# %s\n' "$*"; }

# Prints a command and runs it; prints its exit code unless it is 0, and keeps it in $code: the last monitor must fail.
try() {
    printf '$ %s\n' "$*"
    code=0
    "$@" || code=$?
    [ "$code" = 0 ] || echo "exit code $code"
}

title "1. A web page as service: ready two seconds after systemd reports it active"
try install -D -m 0755 "$examples/units/beacon.py" "$home/beacon.py"
try install -D -m 0644 "$examples/units/beacon.service" /etc/systemd/system/beacon.service
try systemctl daemon-reload

title "2. A health hook for it: is there an answer over HTTP?"
try install -D -m 0755 "$examples/hooks/http" "$home/hooks/http"

title "3. Install the agent where Pacemaker looks for it"
try ocf-systemd install

beacon="beacon --monitor-hook $home/hooks/http -o monitor_hook_args=http://127.0.0.1:8025/"
title "4. Run every action twice: start returns when the page answers"
# shellcheck disable=SC2086  # $beacon is a list of words
try ocf-systemd debug cycle $beacon

title "5. Now the service hangs"
try systemctl kill --signal=STOP beacon
sleep 0.2

title "6. systemd reports"
try systemctl is-active beacon
active=$code

title "7. The agent reports, as Pacemaker would run it"
# shellcheck disable=SC2086
try ocf-systemd debug monitor $beacon

[ "$active $code" = "0 1" ] || {
    echo "Unexpected: the unit must be active, and the monitor must exit with 1." >&2
    exit 1
}
title "What you have seen"
cat <<'TEXT'
- The start returned when the web page answered, two seconds after systemd
  reported the unit active.
- systemd reports the hanging service as active. The health hook got no answer,
  so the monitor failed.
- In a cluster, Pacemaker would now restart the service, here or elsewhere.

Next, on each node of a cluster, as root:
  ocf-systemd install         # the agent, where Pacemaker looks for it
  ocf-systemd doctor UNIT     # checks your unit and this host, changes nothing
TEXT
