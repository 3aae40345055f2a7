"""`ocf-systemd install` and `uninstall` on a host with systemd and without a cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ocf_systemd.agent.journal import MessageId

PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
# A unit that runs, with the drop-in of a start in force; and the drop-in of an older version, without a unit.
SCRIPT = """\
set -e
printf '[Service]\\nExecStart=sleep infinity\\n' >/run/systemd/system/runs.service
"$1" install >/dev/null 2>&1
"$1" debug start --unit runs >/dev/null
mkdir /run/systemd/system/old.service.d
touch /run/systemd/system/old.service.d/50-ocf-systemd.conf /run/systemd/system/runs.service.d/own.conf
systemctl show --property=DropInPaths --value runs
"$1" uninstall --share /none
systemctl show --property=DropInPaths --value runs
systemctl is-active runs
ls -d /run/systemd/system/*.d/*
"""


def test_drop_ins() -> None:
    """Drop-ins of starts are removed, and systemd forgets them; the unit runs on, and files of others stay."""
    command = [PROGRAM, "sandbox", "run", "--", "sh", "-c", SCRIPT, "sh", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    directory = "/run/systemd/system/runs.service.d"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{directory}/zz-ocf-systemd.conf",
        "removed /usr/lib/ocf/resource.d/pacemaker/systemd",
        "removed /usr/local/bin/ocf-systemd",
        "removed the drop-ins of old.service, runs.service",
        f"{directory}/own.conf",
        "active",
        f"{directory}/own.conf",
    ]


CATALOG = "/usr/local/lib/systemd/catalog/ocf-systemd.catalog"
WITH_CATALOG = """\
set -e
"$1" install >/dev/null 2>&1
ls "$2"
journalctl --dump-catalog "$3" | grep -c ^Subject:
"$1" uninstall
! ls "$2" 2>/dev/null
! journalctl --dump-catalog "$3" 2>/dev/null | grep ^Subject:
ls -d "${2%/*}" 2>/dev/null || echo no directory
"""


def test_message_catalogue() -> None:
    """`journalctl` knows the agent's messages after `install`, and no longer after `uninstall`; nothing is left."""
    arguments = ["sh", PROGRAM, CATALOG, MessageId.FAILED]
    command = [PROGRAM, "sandbox", "run", "--", "sh", "-c", WITH_CATALOG, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        CATALOG,
        "1",
        "removed /usr/lib/ocf/resource.d/pacemaker/systemd",
        "removed manual pages and completion below /usr/local/share",
        "removed /usr/local/bin/ocf-systemd",
        "no directory",
    ]


INTERRUPTED = """\
printf '#!/bin/sh\\n: >/run/called; exec sleep 60\\n' >/usr/local/bin/journalctl
chmod +x /usr/local/bin/journalctl
"$1" install 2>/dev/null &
until [ -e /run/called ]; do sleep 0.01; done
kill -TERM $!
wait $!
echo $?
readlink -f /usr/local/bin/ocf-systemd
ls "$2"
"""


def test_interrupted_update_of_the_catalogue() -> None:
    """`install` can be interrupted while journalctl hangs: all else is installed and reported by then."""
    command = [PROGRAM, "sandbox", "run", "--", "sh", "-c", INTERRUPTED, "sh", PROGRAM, CATALOG]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
    agent, files, link, server, *others = done.stdout.splitlines()
    assert (agent.split()[0], files.split()[0], link.split()[0]) == ("installed", "installed", "installed")
    assert server.startswith("no resident server")
    assert others == ["130", PROGRAM, CATALOG]
