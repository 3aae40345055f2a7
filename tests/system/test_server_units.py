"""The units of the resident server under a real systemd: installation, upgrade, removal, and shutdown."""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.install.server_units import THIS_HOST, command_line
from ocf_systemd.sandbox import Sandbox, boot

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
AGENT = "/usr/lib/ocf/resource.d/pacemaker/systemd"
SOCKET, SERVICE = "ocf-systemd.socket", "ocf-systemd.service"

# The directories of units, sockets and agents, and what systemd keeps of the server anywhere.
LISTING = r"""
find /etc/systemd/system /usr/lib/ocf -printf '%p %M %u %l\n' | sort
find /run -maxdepth 1 | sort
find /run /sys/fs/cgroup /var/lib/systemd -name '*ocf-systemd*' | sort
systemctl list-units --all --plain --no-legend 'ocf-systemd*'
systemctl list-unit-files --no-legend 'ocf-systemd*'
"""
# In place of Pacemaker: records the state of the server while it stops.
PACEMAKER = """\
[Service]
ExecStart=sleep infinity
ExecStop=sh -c 'sleep 0.5; systemctl is-active ocf-systemd.service ocf-systemd.socket >>/run/noted; \
    test -S /run/ocf-systemd.socket && echo there >>/run/noted'
"""
MONITOR = {"OCF_RESKEY_unit": "systemd-journald", "OCF_RESKEY_CRM_meta_timeout": "20000"}


@dataclass(frozen=True, slots=True)
class Host:
    """A sandbox of this module: those of other modules have the agent installed."""

    sandbox: Sandbox

    def program(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.sandbox.run(["sh", "-c", 'umask 077; exec "$0" "$@"', PROGRAM, *arguments], timeout_s=60)

    def sh(self, script: str) -> str:
        done = self.sandbox.run(["sh", "-c", script], timeout_s=60)
        return done.stdout.rstrip("\n")

    def show(self, name: str, unit: str = SERVICE) -> str:
        return self.sh(f"systemctl show --property={name} --value {unit}")

    def wait_until(self, state: str) -> None:
        """Wait until the server's unit has this state, for at most 20 s."""
        deadline = time.monotonic() + 20
        while (shown := self.show("ActiveState")) != state:
            assert time.monotonic() < deadline, shown
            time.sleep(0.02)

    def path(self, inside: str | Path) -> Path:
        return Path(f"/proc/{self.sandbox.pid}/root{inside}")

    def monitor(self) -> int:
        return self.sandbox.run([AGENT, "monitor"], env=MONITOR, timeout_s=30).returncode


@pytest.fixture(scope="module")
def booted() -> Iterator[Sandbox]:
    with boot(name="server-units") as sandbox:
        yield sandbox


@pytest.fixture
def host(booted: Sandbox) -> Iterator[Host]:
    host = Host(booted)
    yield host
    host.program("uninstall", "--force")


@pytest.fixture
def resident(host: Host) -> Host:
    done = host.program("install", "--resident")
    assert done.returncode == 0, done.stderr
    return host


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestInstall:
    def test_systemd_verifies_the_units(self, resident: Host) -> None:
        """`systemd-analyze verify` reports nothing for the units."""
        command = ["systemd-analyze", "verify", "--man=no", *map(str, THIS_HOST.files)]
        done = resident.sandbox.run(command, timeout_s=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_permissions(self, resident: Host) -> None:
        """Units are readable for every user, whatever the umask; only root can connect to the socket."""
        assert [mode(resident.path(path)) for path in THIS_HOST.files] == [0o644, 0o644]
        socket = resident.path(THIS_HOST.socket).lstat()
        assert stat.S_ISSOCK(socket.st_mode)
        assert (stat.S_IMODE(socket.st_mode), socket.st_uid, socket.st_gid) == (0o600, 0, 0)

    def test_active_and_enabled(self, resident: Host) -> None:
        """The socket is active and enabled; the server is active and responds."""
        assert resident.sh(f"systemctl is-active {SOCKET} {SERVICE}; systemctl is-enabled {SOCKET}") == (
            "active\nactive\nenabled"
        )
        assert resident.monitor() == 0

    def test_started_by_a_client(self, resident: Host) -> None:
        """The next client starts a server that has ended, as it does without work."""
        resident.sh(f"systemctl stop {SERVICE}")
        assert resident.show("ActiveState") == "inactive"
        assert resident.monitor() == 0
        resident.wait_until("active")

    def test_a_killed_server_restarts(self, resident: Host) -> None:
        """The server restarts within seconds, any number of times; actions succeed meanwhile."""
        for _ in range(7):  # more than systemd's own limit of starts in ten seconds
            before = resident.show("MainPID")
            resident.sh(f"kill -KILL {before}")
            assert resident.monitor() == 0
            deadline = time.monotonic() + 10
            while resident.show("ActiveState") != "active" or resident.show("MainPID") == before:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        assert resident.show("ActiveState", SOCKET) == "active"

    def test_environment_of_hooks(self, resident: Host) -> None:
        """Capabilities, namespaces and filters are those of an unrestricted service."""
        pid = resident.show("MainPID")
        status = resident.sh(f"grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/{pid}/status")
        assert status == resident.sh("grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/1/status")
        assert resident.sh(f"readlink /proc/{pid}/ns/*") == resident.sh("readlink /proc/1/ns/*")


WORKS = f"exec {Path(sys.executable)} -I -m ocf_systemd serve"
CANNOT_START = [
    pytest.param("[Unit]\nConditionPathExists=/run/go\n", "inactive", id="unmet-condition"),
    pytest.param("[Unit]\nAssertPathExists=/run/go\n", "inactive", id="unmet-assertion"),
    pytest.param("[Service]\nExecStart=\nExecStart=/run/go\n", "failed", id="no-interpreter"),
    pytest.param(
        f"[Service]\nExecStart=\nExecStart=/bin/sh -c 'test ! -e /run/go || {WORKS}; exit 1'\n",
        "failed",
        id="no-package",
    ),
]
STARTS = "journalctl --sync; journalctl --output=json --unit={} --grep='^(Starting|Condition|Assertion|.* was skipped)'"


class TestThatCannotStart:
    """Each agent runs its action itself, and requests the start once more; PID 1 does not try by itself."""

    @pytest.mark.parametrize(("drop_in", "state"), CANNOT_START)
    def test_no_loop(self, resident: Host, drop_in: str, state: str) -> None:
        """There are no more attempts than agents, and one succeeds as soon as the cause is gone."""
        resident.sandbox.write("/run/systemd/system/ocf-systemd.service.d/fault.conf", drop_in)
        try:
            resident.sh(f"systemctl stop {SERVICE}; systemctl daemon-reload; systemctl restart {SOCKET}")
            before = len(resident.sh(STARTS.format(SERVICE)).splitlines())
            assert [resident.monitor() for _ in range(5)] == [0] * 5
            assert len(resident.sh(STARTS.format(SERVICE)).splitlines()) - before <= 5
            assert resident.sh(f"systemctl is-active {SOCKET}") == "active"
            resident.wait_until(state)  # an agent does not wait for the end of the start that it has requested
            resident.sandbox.write("/run/go", f"#!/bin/sh\n{WORKS}\n", 0o755)
            assert resident.monitor() == 0
            resident.wait_until("active")
        finally:
            resident.sh("rm -rf /run/go /run/systemd/system/ocf-systemd.service.d; systemctl daemon-reload")


class TestUpgrade:
    @pytest.mark.parametrize(
        "arguments", [pytest.param(("--resident",), id="installed again"), pytest.param((), id="upgrade")]
    )
    def test_in_place(self, resident: Host, arguments: tuple[str, ...]) -> None:
        """A server with the installed code takes over; nothing else changes."""
        before, texts = resident.show("MainPID"), [resident.path(path).read_text() for path in THIS_HOST.files]
        assert resident.program("install", *arguments).returncode == 0
        assert resident.show("MainPID") not in {"0", before}
        assert [resident.path(path).read_text() for path in THIS_HOST.files] == texts
        assert resident.monitor() == 0

    def test_another_text_of_the_socket(self, resident: Host) -> None:
        """A socket of an older version is restarted with the newer text, and so is its server."""
        file = resident.path(THIS_HOST.socket_file)
        text = file.read_text()
        file.write_text(text.replace("SocketMode=0600", "SocketMode=0660"))
        resident.sh(f"systemctl daemon-reload; systemctl restart {SOCKET} {SERVICE}")
        assert mode(resident.path(THIS_HOST.socket)) == 0o660
        assert resident.program("install").returncode == 0
        assert file.read_text() == text
        assert mode(resident.path(THIS_HOST.socket)) == 0o600
        assert resident.sh(f"systemctl is-active {SOCKET} {SERVICE}") == "active\nactive"
        assert resident.monitor() == 0


class TestRemoval:
    def test_nothing_remains(self, host: Host) -> None:
        """No file, link, socket, cgroup or loaded unit remains, after a failure of the server as well."""
        before = host.sh(LISTING)
        assert host.program("install", "--resident").returncode == 0
        assert host.sh(LISTING) != before
        host.sh(f"kill -KILL {host.show('MainPID')}")
        done = host.program("uninstall")
        assert (done.returncode, done.stderr) == (0, "")
        assert host.sh(LISTING) == before

    def test_a_server_that_does_not_start(self, host: Host) -> None:
        """The units are rolled back with an error; the agent works without the server."""
        host.sandbox.write(
            "/run/systemd/system/ocf-systemd.service.d/fault.conf", "[Service]\nExecStart=\nExecStart=false\n"
        )
        try:
            assert host.program("install").returncode == 0
            before = host.sh(LISTING)
            done = host.program("install", "--resident")
            assert done.returncode == 1
            assert done.stderr.startswith(f"Error: systemctl restart {SERVICE} failed: Job for {SERVICE} failed")
            assert host.sh(LISTING) == before
            assert host.monitor() == 0
        finally:
            host.sh("rm -r /run/systemd/system/ocf-systemd.service.d; systemctl daemon-reload")


def test_without_a_running_systemd(host: Host) -> None:
    """In an image that is being built the socket is enabled for the next boot, and removal leaves nothing."""
    away = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"]
    before = host.sh(LISTING)
    done = host.sandbox.run([*away, PROGRAM, "install", "--resident"], timeout_s=60)
    assert done.returncode == 0
    assert f"installed {SERVICE}; systemd is not running here: enabled from the next boot on\n" in done.stdout
    assert host.path(THIS_HOST.enabling_link).readlink() == THIS_HOST.socket_file
    done = host.sandbox.run([*away, PROGRAM, "uninstall"], timeout_s=60)
    assert (done.returncode, done.stderr) == (0, "")
    host.sh("systemctl daemon-reload")
    assert host.sh(LISTING) == before


def test_command_line(host: Host) -> None:
    """The command line is executed as intended, whatever the path of the interpreter."""
    program = "/opt/a b/$HOME ${X} %n/'q' \"d\"\\\n\u00fc"
    host.sandbox.write(program, '#!/bin/sh\nprintf "%s|" "$0" "$@" >/run/arguments\n', 0o755)
    host.sandbox.write(
        "/run/systemd/system/odd.service", f"[Service]\nType=oneshot\nExecStart={command_line(program)}\n"
    )
    host.sh("systemctl daemon-reload; systemctl start odd.service")
    assert host.path("/run/arguments").read_text() == f"{program}|-I|-m|ocf_systemd|serve|"


def test_pacemaker_stops_while_the_server_does_not_run(resident: Host) -> None:
    """No server starts before Pacemaker has stopped: after a short wait the agent acts in its own process."""
    call = f"env {' '.join(f'{name}={value}' for name, value in MONITOR.items())} {AGENT} monitor; echo $? >/run/noted"
    stopping = PACEMAKER.partition("ExecStop=")[0] + f"ExecStop=sh -c '{call}'\n"
    resident.sandbox.write("/etc/systemd/system/pacemaker.service", stopping)
    try:
        resident.sh(f"systemctl daemon-reload; systemctl start pacemaker; systemctl stop {SERVICE}")
        began = time.monotonic()
        resident.sh("systemctl stop pacemaker")
        assert time.monotonic() - began < 5
        assert resident.path("/run/noted").read_text() == "0\n"
    finally:
        resident.sh("rm -f /run/noted /etc/systemd/system/pacemaker.service; systemctl daemon-reload")


@contextmanager
def kept_open(path: Path) -> Iterator[int]:
    """Yield a descriptor of a file that can be read after its host has ended."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_outlives_pacemaker_at_shutdown() -> None:
    """Server and socket are active while Pacemaker stops, and with it all its resources."""
    with boot(name="shutdown") as sandbox:
        host = Host(sandbox)
        assert host.program("install", "--resident").returncode == 0
        sandbox.write("/etc/systemd/system/pacemaker.service", PACEMAKER)
        host.sh("touch /run/noted; systemctl daemon-reload; systemctl start pacemaker")
        with kept_open(host.path("/run/noted")) as noted:
            host.sh("systemctl poweroff")
            deadline = time.monotonic() + 30
            while host.path("/run").exists():
                assert time.monotonic() < deadline, "the sandbox does not end"
                time.sleep(0.05)
            assert os.read(noted, 4096).decode() == "active\nactive\nthere\n"
