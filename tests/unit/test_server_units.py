"""The units of the resident server: their text, installation, upgrade and removal, and the rollback of failures."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ocf_systemd.install.agent_file import InstallationError
from ocf_systemd.install.server_units import (
    UnitPaths,
    are_packaged,
    command_line,
    install,
    is_installed,
    remove,
    unit_texts,
    upgrade,
)
from tests.unit.builders import executable

SOCKET, SERVICE = "ocf-systemd.socket", "ocf-systemd.service"

# A systemctl that enables and disables by links, records its arguments, and fails for calls listed in a file.
SYSTEMCTL = """#!/bin/sh
shift # --no-ask-password
echo "$*" >>{calls}
if [ -e {failing} ] && grep --quiet --line-regexp --fixed-strings "$*" {failing}; then
    echo "Job for $2 failed." >&2
    exit 1
fi
case $1 in
enable) mkdir -p {wants} && ln -sf ../{socket} {wants}/{socket} ;;
disable) rm -rf {wants} ;;
esac
"""
OLDER = ("# older\n", "Backlog=1\n")
INSTALL = ["daemon-reload", f"enable --now {SOCKET}", f"restart {SERVICE}"]


@dataclass(frozen=True, slots=True)
class Host:
    """Directories of the test for units and run-time files, with a systemctl that records its calls."""

    paths: UnitPaths
    root: Path

    def calls(self) -> list[str]:
        """Return the calls of systemctl since the last time."""
        file = self.root / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def fail_at(self, *calls: str) -> None:
        (self.root / "failing").write_text("".join(f"{call}\n" for call in calls))

    def end_systemd(self) -> None:
        (self.paths.run_directory / "systemd/system").rmdir()

    def tree(self) -> dict[str, str]:
        """Return the unit files and links, with content and target."""
        files = [path for path in sorted(self.paths.directory.rglob("*")) if path.is_symlink() or path.is_file()]
        return {
            str(path.relative_to(self.paths.directory)): str(path.readlink()) if path.is_symlink() else path.read_text()
            for path in files
        }

    def change(self, *texts: str) -> dict[str, str]:
        """Append to the socket unit and to the service unit, as if of another version; return the tree."""
        for path, text in zip(self.paths.files, texts, strict=True):
            path.write_text(path.read_text() + text)
        return self.tree()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    paths = UnitPaths(tmp_path / "units", tmp_path / "run", tmp_path / "packages")
    (tmp_path / "bin").mkdir()
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    script = SYSTEMCTL.format(
        calls=tmp_path / "calls", failing=tmp_path / "failing", wants=paths.enabling_link.parent, socket=SOCKET
    )
    executable(tmp_path / "bin/systemctl", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Host(paths, tmp_path)


class TestTexts:
    @pytest.mark.parametrize(
        ("unit", "line"),
        [
            pytest.param(SOCKET, "ListenStream={socket}", id="the socket"),
            pytest.param(SOCKET, "SocketMode=0600", id="access for root only"),
            pytest.param(SOCKET, "RemoveOnStop=yes", id="no leftover socket"),
            pytest.param(SOCKET, "Backlog=4096", id="many clients at once"),
            pytest.param(SOCKET, "TriggerLimitIntervalSec=0", id="no trigger limit"),
            pytest.param(SOCKET, "FlushPending=yes", id="no loop if the server cannot start"),
            pytest.param(
                SOCKET, "Before=pacemaker.service pacemaker_remote.service", id="the socket outlives Pacemaker"
            ),
            pytest.param(SOCKET, "WantedBy=sockets.target", id="enabled at boot"),
            pytest.param(SERVICE, "ExecStart={command}", id="this interpreter"),
            pytest.param(SERVICE, "Type=notify", id="it notifies systemd"),
            pytest.param(SERVICE, "NotifyAccess=main", id="a hook cannot notify for it"),
            pytest.param(
                SERVICE, "Before=pacemaker.service pacemaker_remote.service", id="the server outlives Pacemaker"
            ),
            pytest.param(SERVICE, "Restart=on-abnormal", id="restarts"),
            pytest.param(SERVICE, "StartLimitIntervalSec=0", id="restarts without limit"),
            pytest.param(SERVICE, "WatchdogSec=30s", id="watchdog"),
            pytest.param(SERVICE, "OOMPolicy=continue", id="a hook killed for lack of memory"),
            pytest.param(SERVICE, "KillMode=mixed", id="hooks end with it, not before"),
        ],
    )
    def test_directives(self, host: Host, unit: str, line: str) -> None:
        """The unit has each directive once."""
        install(host.paths)
        lines = host.tree()[unit].splitlines()
        assert lines.count(line.format(socket=host.paths.socket, command=command_line(sys.executable))) == 1

    @pytest.mark.parametrize(
        "directive",
        [
            pytest.param(directive, id=directive)
            for directive in ("NoNewPrivileges", "Protect", "Private", "Restrict", "Capability")
        ],
    )
    def test_no_restrictions(self, host: Host, directive: str) -> None:
        """The service restricts nothing, so that a hook has the same environment as below Pacemaker."""
        install(host.paths)
        assert f"\n{directive}" not in host.tree()[SERVICE]

    @pytest.mark.parametrize(
        ("interpreter", "line"),
        [
            pytest.param("/usr/bin/python3", ':"/usr/bin/python3" -I -m ocf_systemd serve', id="plain"),
            pytest.param("/a b/python", ':"/a b/python" -I -m ocf_systemd serve', id="space"),
            pytest.param(
                "/$HOME/%n/ü", ':"/$HOME/%%n/ü" -I -m ocf_systemd serve', id="characters that systemd expands"
            ),
            pytest.param(
                "/'\"\\\n", """:/bin/sh -c 'exec "$0" "$@"' "/'\\"\\\\\\x0a" -I -m ocf_systemd serve""", id="quotes"
            ),
        ],
    )
    def test_command_line(self, interpreter: str, line: str) -> None:
        """systemd.service(5): quoting, specifiers, and paths that systemd does not execute itself."""
        assert command_line(interpreter) == line


class TestInstall:
    def test_files_and_calls(self, host: Host) -> None:
        """Both files are readable for every user, whatever the umask; the socket is enabled and the server started."""
        umask = os.umask(0o077)
        try:
            message = install(host.paths)
        finally:
            os.umask(umask)
        assert list(host.tree()) == [SERVICE, SOCKET, f"sockets.target.wants/{SOCKET}"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in host.paths.files} == {0o644}
        assert host.calls() == INSTALL
        assert message == f"installed {SERVICE}; the server listens on {host.paths.socket}"
        assert is_installed(host.paths)

    def test_without_a_running_systemd(self, host: Host) -> None:
        """In an image the socket is enabled for the next boot, and nothing is started."""
        host.end_systemd()
        assert install(host.paths) == f"installed {SERVICE}; systemd is not running here: enabled from the next boot on"
        assert host.calls() == [f"enable {SOCKET}"]
        assert list(host.tree()) == [SERVICE, SOCKET, f"sockets.target.wants/{SOCKET}"]

    def test_twice(self, host: Host) -> None:
        """The same files without a temporary one, and a restarted server; the socket is not restarted."""
        install(host.paths)
        before = host.tree()
        host.calls()
        install(host.paths)
        assert host.tree() == before
        assert host.calls() == INSTALL

    def test_over_another_version(self, host: Host) -> None:
        """Files are replaced, and a socket whose file has changed is restarted."""
        install(host.paths)
        before = host.tree()
        host.change(*OLDER)
        host.calls()
        install(host.paths)
        assert host.tree() == before
        assert host.calls() == [*INSTALL[:2], f"try-restart {SOCKET}", INSTALL[2]]

    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in (SOCKET, SERVICE)])
    def test_a_unit_of_another_program(self, host: Host, name: str) -> None:
        """It is an error, and nothing changes; `force` replaces the unit."""
        host.paths.directory.mkdir()
        (host.paths.directory / name).write_text("[Unit]\n")
        with pytest.raises(InstallationError, match="is not a unit of ocf-systemd; --force replaces it"):
            install(host.paths)
        assert (host.tree(), host.calls()) == ({name: "[Unit]\n"}, [])
        install(host.paths, force=True)
        assert host.tree()[name] != "[Unit]\n"

    def test_a_masked_unit(self, host: Host) -> None:
        """It is an error, with `force` as well: the administrator has decided against the unit."""
        host.paths.directory.mkdir()
        host.paths.service_file.symlink_to("/dev/null")
        with pytest.raises(InstallationError, match=f"is a link. Remove it first .*systemctl unmask {SERVICE}"):
            install(host.paths, force=True)
        assert (host.tree(), host.calls()) == ({SERVICE: "/dev/null"}, [])


class TestFailure:
    @pytest.mark.parametrize("step", [pytest.param(step, id=step) for step in INSTALL])
    def test_first_installation(self, host: Host, step: str) -> None:
        """Whichever call of systemctl fails, its message is reported and nothing remains."""
        host.fail_at(step)
        with pytest.raises(InstallationError, match=f"systemctl {step} failed: Job for .*failed. See .*journalctl"):
            install(host.paths)
        assert host.tree() == {}
        calls = host.calls()
        assert calls[: INSTALL.index(step) + 1] == INSTALL[: INSTALL.index(step) + 1]
        assert calls[-4:] == [
            f"stop {SOCKET} {SERVICE}",
            "daemon-reload",
            f"reset-failed {SOCKET}",
            f"reset-failed {SERVICE}",
        ]
        assert (f"disable {SOCKET}" in calls) == (step == INSTALL[-1])

    @pytest.mark.parametrize("step", [pytest.param(step, id=step) for step in INSTALL])
    def test_rollback_to_another_version(self, host: Host, step: str) -> None:
        """Its units are restored, and systemd loads them again."""
        install(host.paths)
        before = host.change(*OLDER)
        host.calls()
        host.fail_at(step)
        with pytest.raises(InstallationError, match=f"systemctl {step} failed"):
            install(host.paths)
        assert host.tree() == before
        assert host.calls()[-3:] == ["daemon-reload", f"try-restart {SOCKET}", f"try-restart {SERVICE}"]

    def test_disabled_stays_disabled(self, host: Host) -> None:
        """Units that existed but were not enabled are not enabled after a failure."""
        install(host.paths)
        link = host.paths.enabling_link
        link.unlink()
        host.fail_at(INSTALL[-1])
        with pytest.raises(InstallationError):
            install(host.paths)
        assert not link.is_symlink()

    def test_no_systemctl(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error names it, and nothing remains."""
        monkeypatch.setenv("PATH", str(host.root))
        with pytest.raises(InstallationError, match="systemctl is not installed here"):
            install(host.paths)
        assert host.tree() == {}

    def test_systemctl_without_permission(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error has the system's message, and nothing remains."""
        (host.root / "bin/systemctl").chmod(0o644)
        monkeypatch.setenv("PATH", str(host.root / "bin"))
        with pytest.raises(InstallationError, match=r"systemctl daemon-reload failed: .*Permission denied"):
            install(host.paths)
        assert host.tree() == {}

    def test_a_directory_that_cannot_be_written(self, host: Host) -> None:
        """The error has the directory and the system's message."""
        paths = UnitPaths(Path("/sys/x"), host.paths.run_directory)
        with pytest.raises(InstallationError, match=r"the units in /sys/x cannot be written: \w"):
            install(paths)


class TestUpgrade:
    def test_without_units(self, host: Host) -> None:
        """Neither without units nor with one of the two is anything installed."""
        assert upgrade(host.paths) == ""
        install(host.paths)
        host.paths.socket_file.unlink()
        host.calls()
        assert upgrade(host.paths) == ""
        assert host.calls() == []

    def test_calls(self, host: Host) -> None:
        """The files are replaced and active units restarted; inactive ones are not started."""
        install(host.paths)
        before = host.tree()
        host.change(*OLDER)
        host.calls()
        assert upgrade(host.paths) == f"updated: {SERVICE}"
        assert host.tree() == before
        assert host.calls() == ["daemon-reload", f"try-restart {SOCKET}", f"try-restart {SERVICE}"]

    def test_without_a_running_systemd(self, host: Host) -> None:
        """Only the files are replaced."""
        install(host.paths)
        before = host.tree()
        host.change(*OLDER)
        host.end_systemd()
        host.calls()
        assert (
            upgrade(host.paths) == f"updated: {SERVICE}; systemd is not running here: in effect from the next boot on"
        )
        assert (host.tree(), host.calls()) == (before, [])

    def test_a_server_that_fails(self, host: Host) -> None:
        """The units are restored."""
        install(host.paths)
        before = host.change(*OLDER)
        host.fail_at(f"try-restart {SERVICE}")
        with pytest.raises(InstallationError, match=f"systemctl try-restart {SERVICE} failed"):
            upgrade(host.paths)
        assert host.tree() == before

    def test_units_of_another_installation(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are kept; only an explicit installation replaces them."""
        install(host.paths)
        before = host.tree()
        host.calls()
        monkeypatch.setattr(sys, "executable", "/opt/second/bin/python")
        message = f"kept {SERVICE} of another installation; --resident replaces it"
        assert (upgrade(host.paths), host.tree(), host.calls()) == (message, before, [])
        install(host.paths)
        assert "/opt/second/bin/python" in host.tree()[SERVICE]


class TestRemove:
    def test_nothing_remains(self, host: Host) -> None:
        """Files, link and socket are removed, and systemd is reloaded; a second removal does nothing."""
        install(host.paths)
        host.paths.socket.touch()
        host.calls()
        assert remove(host.paths) == f"removed {host.paths.socket_file} and {host.paths.service_file}"
        assert (host.tree(), host.paths.socket.exists()) == ({}, False)
        assert host.calls() == [
            f"disable --now {SOCKET}",
            f"stop {SOCKET} {SERVICE}",
            "daemon-reload",
            f"reset-failed {SOCKET}",
            f"reset-failed {SERVICE}",
        ]
        assert (remove(host.paths), host.calls()) == ("", [])

    def test_without_a_running_systemd(self, host: Host) -> None:
        """The units are removed from an image as well."""
        host.end_systemd()
        install(host.paths)
        host.calls()
        assert remove(host.paths).startswith("removed ")
        assert (host.tree(), host.calls()) == ({}, [f"disable {SOCKET}"])

    def test_a_unit_of_another_program(self, host: Host) -> None:
        """It is kept silently; `force` removes it."""
        host.paths.directory.mkdir()
        host.paths.service_file.write_text("[Unit]\n")
        assert (remove(host.paths), host.calls()) == ("", [])
        assert host.tree() == {SERVICE: "[Unit]\n"}
        assert remove(host.paths, force=True) == f"removed {host.paths.service_file}"
        assert host.tree() == {}

    def test_systemd_cannot_stop_the_units(self, host: Host) -> None:
        """It is an error, and the units are kept, so that removal can be repeated."""
        install(host.paths)
        host.fail_at(f"stop {SOCKET} {SERVICE}")
        with pytest.raises(InstallationError, match=f"systemctl stop {SOCKET} {SERVICE} failed: Job for"):
            remove(host.paths)
        assert is_installed(host.paths)

    def test_a_file_that_cannot_be_removed(self, host: Host) -> None:
        """The error has the path and the system's message."""
        host.paths.service_file.mkdir(parents=True)
        with pytest.raises(InstallationError, match=f"{SERVICE} cannot be removed: Is a directory"):
            remove(host.paths, force=True)


class TestPackaged:
    """The units that a package of the distribution has installed in the directory for packages."""

    @pytest.fixture
    def packaged(self, host: Host) -> Host:
        host.paths.packaged_service_file.parent.mkdir()
        _, text = unit_texts("# Part of a package.", host.paths.socket)
        host.paths.packaged_service_file.write_text(text)
        return host

    def test_enabled_and_disabled(self, packaged: Host) -> None:
        """No file is written: the units are enabled, restarted and disabled."""
        assert upgrade(packaged.paths) == ""
        enabled = f"enabled {SOCKET} of the package"
        assert install(packaged.paths) == f"{enabled}; the server listens on {packaged.paths.socket}"
        assert list(packaged.tree()) == [f"sockets.target.wants/{SOCKET}"]
        assert packaged.calls() == INSTALL
        assert upgrade(packaged.paths) == f"unchanged: {SOCKET} of the package"
        assert packaged.calls() == []
        assert remove(packaged.paths) == f"disabled {SOCKET}"
        assert packaged.calls() == [f"disable --now {SOCKET}", f"stop {SOCKET} {SERVICE}"]
        assert (packaged.tree(), remove(packaged.paths)) == ({}, "")

    @pytest.mark.parametrize("step", [pytest.param(step, id=step) for step in INSTALL])
    def test_failure(self, packaged: Host, step: str) -> None:
        """The units are not enabled."""
        packaged.fail_at(step)
        with pytest.raises(InstallationError, match=f"systemctl {step} failed"):
            install(packaged.paths)
        assert packaged.tree() == {}
        assert are_packaged(packaged.paths)

    def test_of_another_installation(self, packaged: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another installation installs units of its own, which systemd prefers to those of the package."""
        monkeypatch.setattr(sys, "executable", "/opt/second/bin/python")
        install(packaged.paths)
        assert {SERVICE, SOCKET} < set(packaged.tree())

    def test_masked(self, packaged: Host) -> None:
        """It is an error."""
        packaged.paths.directory.mkdir()
        packaged.paths.service_file.symlink_to("/dev/null")
        with pytest.raises(InstallationError, match="systemctl unmask"):
            install(packaged.paths)
