"""The resident server's units: what stands in them, how they come and go, and that it is all or nothing."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ocf_systemd.install.agent_file import InstallationError
from ocf_systemd.install.server_units import Place, command_line, is_set_up, refresh, remove, set_up
from tests.unit.builders import executable

SOCKET, SERVICE = "ocf-systemd.socket", "ocf-systemd.service"

# systemctl, as far as files show it; it keeps the words it is given, and fails at those it is told to.
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
SET_UP = ["daemon-reload", f"enable --now {SOCKET}", f"restart {SERVICE}"]


@dataclass(frozen=True, slots=True)
class Host:
    """A place for units below a directory of the test's, with a systemctl that keeps what it is told."""

    place: Place
    root: Path

    def calls(self) -> list[str]:
        """Return what systemctl was told since the last time."""
        file = self.root / "calls"
        words = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return words

    def fail_at(self, *calls: str) -> None:
        (self.root / "failing").write_text("".join(f"{call}\n" for call in calls))

    def end_systemd(self) -> None:
        self.place.booted.rmdir()

    def tree(self) -> dict[str, str]:
        """Return what stands among the units."""
        paths = [path for path in sorted(self.place.units.rglob("*")) if path.is_symlink() or path.is_file()]
        return {
            str(path.relative_to(self.place.units)): str(path.readlink()) if path.is_symlink() else path.read_text()
            for path in paths
        }

    def change(self, *texts: str) -> dict[str, str]:
        """Add to the socket's unit, and to the service's, as if they were another version's; return the tree."""
        for path, text in zip(self.place.files, texts, strict=True):
            path.write_text(path.read_text() + text)
        return self.tree()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    place = Place(tmp_path / "units", tmp_path / "booted", tmp_path / "socket")
    (tmp_path / "bin").mkdir()
    place.booted.mkdir()
    script = SYSTEMCTL.format(
        calls=tmp_path / "calls", failing=tmp_path / "failing", wants=place.wish.parent, socket=SOCKET
    )
    executable(tmp_path / "bin/systemctl", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return Host(place, tmp_path)


class TestTexts:
    @pytest.mark.parametrize(
        ("unit", "line"),
        [
            pytest.param(SOCKET, "ListenStream={socket}", id="the socket"),
            pytest.param(SOCKET, "SocketMode=0600", id="root alone"),
            pytest.param(SOCKET, "RemoveOnStop=yes", id="nothing left"),
            pytest.param(SOCKET, "Backlog=4096", id="many callers at once"),
            pytest.param(SOCKET, "TriggerLimitIntervalSec=0", id="no flood ends the socket"),
            pytest.param(
                SOCKET, "Before=pacemaker.service pacemaker_remote.service", id="the socket outlives Pacemaker"
            ),
            pytest.param(SOCKET, "WantedBy=sockets.target", id="at every boot"),
            pytest.param(SERVICE, "ExecStart={command}", id="this interpreter"),
            pytest.param(SERVICE, "Type=notify", id="it says when it is ready"),
            pytest.param(SERVICE, "NotifyAccess=main", id="no hook speaks for it"),
            pytest.param(SERVICE, "Before=pacemaker.service pacemaker_remote.service", id="it outlives Pacemaker"),
            pytest.param(SERVICE, "Restart=on-failure", id="it comes again"),
            pytest.param(SERVICE, "StartLimitIntervalSec=0", id="it always comes again"),
            pytest.param(SERVICE, "WatchdogSec=30s", id="it does not hang for long"),
            pytest.param(SERVICE, "OOMPolicy=continue", id="a hook out of memory is not its end"),
            pytest.param(SERVICE, "KillMode=mixed", id="no hook outlives it, nor is one ended before"),
        ],
    )
    def test_what_others_rely_on(self, host: Host, unit: str, line: str) -> None:
        """Each line is there once."""
        set_up(host.place)
        lines = host.tree()[unit].splitlines()
        assert lines.count(line.format(socket=host.place.socket, command=command_line(sys.executable))) == 1

    @pytest.mark.parametrize(
        "word",
        [pytest.param(word, id=word) for word in ("NoNewPrivileges", "Protect", "Private", "Restrict", "Capability")],
    )
    def test_nothing_that_a_hook_would_notice(self, host: Host, word: str) -> None:
        """A hook finds in the server's service what it finds in Pacemaker's."""
        set_up(host.place)
        assert f"\n{word}" not in host.tree()[SERVICE]

    @pytest.mark.parametrize(
        ("interpreter", "line"),
        [
            pytest.param("/usr/bin/python3", ':"/usr/bin/python3" -I -m ocf_systemd serve', id="plain"),
            pytest.param("/a b/python", ':"/a b/python" -I -m ocf_systemd serve', id="a blank"),
            pytest.param("/$HOME/%n/ü", ':"/$HOME/%%n/ü" -I -m ocf_systemd serve', id="what systemd would expand"),
            pytest.param(
                "/'\"\\\n", """:/bin/sh -c 'exec "$0" "$@"' "/'\\"\\\\\\x0a" -I -m ocf_systemd serve""", id="quotes"
            ),
        ],
    )
    def test_wherever_python_stands(self, interpreter: str, line: str) -> None:
        """systemd.service(5): quotes, specifiers, and paths that it executes only by way of sh."""
        assert command_line(interpreter) == line


class TestSetUp:
    def test_units_and_calls(self, host: Host) -> None:
        """Both files for everybody to read, whatever the umask; systemd listens, and the server is seen to start."""
        umask = os.umask(0o077)
        try:
            told = set_up(host.place)
        finally:
            os.umask(umask)
        assert list(host.tree()) == [SERVICE, SOCKET, f"sockets.target.wants/{SOCKET}"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in host.place.files} == {0o644}
        assert host.calls() == SET_UP
        assert told == f"set up {SERVICE}, which listens on {host.place.socket} and runs the actions from now on"
        assert is_set_up(host.place)

    def test_where_systemd_does_not_run(self, host: Host) -> None:
        """In an image the socket is enabled for the next boot, and nothing is started."""
        host.end_systemd()
        assert set_up(host.place) == f"set up {SERVICE} for the next boot: systemd does not run here"
        assert host.calls() == [f"enable {SOCKET}"]
        assert list(host.tree()) == [SERVICE, SOCKET, f"sockets.target.wants/{SOCKET}"]

    def test_twice_is_as_good_as_once(self, host: Host) -> None:
        """The same files, no draft beside them, and a server of the code of now; the socket goes on listening."""
        set_up(host.place)
        before = host.tree()
        host.calls()
        set_up(host.place)
        assert host.tree() == before
        assert host.calls() == SET_UP

    def test_an_older_text_is_replaced(self, host: Host) -> None:
        """A socket that listens by an older one begins anew."""
        set_up(host.place)
        before = host.tree()
        host.change(*OLDER)
        host.calls()
        set_up(host.place)
        assert host.tree() == before
        assert host.calls() == [*SET_UP[:2], f"try-restart {SOCKET}", SET_UP[2]]

    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in (SOCKET, SERVICE)])
    def test_a_unit_of_somebody_elses_is_refused(self, host: Host, name: str) -> None:
        """It stays as it is, and nothing comes beside it, unless --force is given."""
        host.place.units.mkdir()
        (host.place.units / name).write_text("[Unit]\n")
        with pytest.raises(InstallationError, match="is not a unit of ocf-systemd; --force replaces it"):
            set_up(host.place)
        assert (host.tree(), host.calls()) == ({name: "[Unit]\n"}, [])
        set_up(host.place, force=True)
        assert host.tree()[name] != "[Unit]\n"

    def test_a_masked_unit_is_refused(self, host: Host) -> None:
        """The administrator's word against it stands, --force or not."""
        host.place.units.mkdir()
        host.place.service_file.symlink_to("/dev/null")
        with pytest.raises(InstallationError, match=f"is a link; remove it first, by systemctl unmask {SERVICE}"):
            set_up(host.place, force=True)
        assert (host.tree(), host.calls()) == ({SERVICE: "/dev/null"}, [])


class TestFailure:
    @pytest.mark.parametrize("step", [pytest.param(step, id=step) for step in SET_UP])
    def test_afresh_nothing_is_left(self, host: Host, step: str) -> None:
        """Whatever systemctl fails at, what it said is told, and all is as it was."""
        host.fail_at(step)
        with pytest.raises(InstallationError, match=f"systemctl {step} failed: Job for .*failed. See .*journalctl"):
            set_up(host.place)
        assert host.tree() == {}
        calls = host.calls()
        assert calls[: SET_UP.index(step) + 1] == SET_UP[: SET_UP.index(step) + 1]
        assert calls[-4:] == [
            f"stop {SOCKET} {SERVICE}",
            "daemon-reload",
            f"reset-failed {SOCKET}",
            f"reset-failed {SERVICE}",
        ]
        assert (f"disable {SOCKET}" in calls) == (step == SET_UP[-1])

    @pytest.mark.parametrize("step", [pytest.param(step, id=step) for step in SET_UP])
    def test_over_another_version_that_stays(self, host: Host, step: str) -> None:
        """Its units stand as they stood, and systemd goes by them again."""
        set_up(host.place)
        before = host.change(*OLDER)
        host.calls()
        host.fail_at(step)
        with pytest.raises(InstallationError, match=f"systemctl {step} failed"):
            set_up(host.place)
        assert host.tree() == before
        assert host.calls()[-3:] == ["daemon-reload", f"try-restart {SOCKET}", f"try-restart {SERVICE}"]

    def test_disabled_stays_disabled(self, host: Host) -> None:
        """Units that were there, but not enabled, are not after a failure either."""
        set_up(host.place)
        wish = host.place.wish
        wish.unlink()
        host.fail_at(SET_UP[-1])
        with pytest.raises(InstallationError):
            set_up(host.place)
        assert not wish.is_symlink()

    def test_no_systemctl(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """Told so, and nothing is left."""
        monkeypatch.setenv("PATH", str(host.root))
        with pytest.raises(InstallationError, match="there is no systemctl here, and the server is systemd's to start"):
            set_up(host.place)
        assert host.tree() == {}

    def test_a_systemctl_that_cannot_be_run(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """Likewise, with the system's reason."""
        (host.root / "bin/systemctl").chmod(0o644)
        monkeypatch.setenv("PATH", str(host.root / "bin"))
        with pytest.raises(InstallationError, match=r"systemctl daemon-reload failed: .*Permission denied"):
            set_up(host.place)
        assert host.tree() == {}

    def test_a_place_that_cannot_be_written(self, host: Host) -> None:
        """Told with the system's reason."""
        place = Place(Path("/sys/x"), host.place.booted, host.place.socket)
        with pytest.raises(InstallationError, match=r"the units in /sys/x cannot be written: \w"):
            set_up(place)


class TestRefresh:
    def test_where_none_are(self, host: Host) -> None:
        """Who has not asked for a server gets none, nor half of one."""
        assert refresh(host.place) == ""
        set_up(host.place)
        host.place.socket_file.unlink()
        host.calls()
        assert refresh(host.place) == ""
        assert host.calls() == []

    def test_in_place(self, host: Host) -> None:
        """Texts of now and a server of the code of now; what does not run is not started."""
        set_up(host.place)
        before = host.tree()
        host.change(*OLDER)
        host.calls()
        assert refresh(host.place) == f"renewed {SERVICE}"
        assert host.tree() == before
        assert host.calls() == ["daemon-reload", f"try-restart {SOCKET}", f"try-restart {SERVICE}"]

    def test_where_systemd_does_not_run(self, host: Host) -> None:
        """The files alone."""
        set_up(host.place)
        before = host.tree()
        host.change(*OLDER)
        host.end_systemd()
        host.calls()
        assert refresh(host.place) == f"renewed {SERVICE} for the next boot: systemd does not run here"
        assert (host.tree(), host.calls()) == (before, [])

    def test_a_server_that_fails_with_it(self, host: Host) -> None:
        """Then the units stand as they stood."""
        set_up(host.place)
        before = host.change(*OLDER)
        host.fail_at(f"try-restart {SERVICE}")
        with pytest.raises(InstallationError, match=f"systemctl try-restart {SERVICE} failed"):
            refresh(host.place)
        assert host.tree() == before

    def test_another_installations(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second installation, for a try, takes nothing away from the first, unless it is told to."""
        set_up(host.place)
        before = host.tree()
        host.calls()
        monkeypatch.setattr(sys, "executable", "/opt/second/bin/python")
        told = f"left {SERVICE} to another installation's Python; --resident has this one serve"
        assert (refresh(host.place), host.tree(), host.calls()) == (told, before, [])
        set_up(host.place)
        assert "/opt/second/bin/python" in host.tree()[SERVICE]


class TestRemove:
    def test_nothing_is_left(self, host: Host) -> None:
        """Files, link and socket are gone, and systemd knows; a second time there is nothing to do."""
        set_up(host.place)
        host.place.socket.touch()
        host.calls()
        assert remove(host.place) == f"removed {host.place.socket_file} and {host.place.service_file}"
        assert (host.tree(), host.place.socket.exists()) == ({}, False)
        assert host.calls() == [
            f"disable --now {SOCKET}",
            f"stop {SOCKET} {SERVICE}",
            "daemon-reload",
            f"reset-failed {SOCKET}",
            f"reset-failed {SERVICE}",
        ]
        assert (remove(host.place), host.calls()) == ("", [])

    def test_where_systemd_does_not_run(self, host: Host) -> None:
        """Out of an image it goes as well."""
        host.end_systemd()
        set_up(host.place)
        host.calls()
        assert remove(host.place).startswith("removed ")
        assert (host.tree(), host.calls()) == ({}, [f"disable {SOCKET}"])

    def test_what_is_not_ours_stays(self, host: Host) -> None:
        """Without a word, as it is not what this program is asked to remove; --force removes it."""
        host.place.units.mkdir()
        host.place.service_file.write_text("[Unit]\n")
        assert (remove(host.place), host.calls()) == ("", [])
        assert host.tree() == {SERVICE: "[Unit]\n"}
        assert remove(host.place, force=True) == f"removed {host.place.service_file}"
        assert host.tree() == {}

    def test_what_systemd_does_not_stop_stays(self, host: Host) -> None:
        """Told, and to be tried again."""
        set_up(host.place)
        host.fail_at(f"stop {SOCKET} {SERVICE}")
        with pytest.raises(InstallationError, match=f"systemctl stop {SOCKET} {SERVICE} failed: Job for"):
            remove(host.place)
        assert is_set_up(host.place)

    def test_what_cannot_be_removed_is_told(self, host: Host) -> None:
        """A directory in its place, say."""
        host.place.service_file.mkdir(parents=True)
        with pytest.raises(InstallationError, match=f"{SERVICE} cannot be removed: Is a directory"):
            remove(host.place, force=True)
