"""Observations: a command's last line, names of signals, groups of states."""

from __future__ import annotations

from signal import SIGKILL, SIGSEGV, Signals

import pytest

from ocf_systemd.core.observations import (
    DOWN_STATES,
    RUNNING_STATES,
    ActiveState,
    Exited,
    LoadState,
    Process,
    Signalled,
    TimedOut,
    UnitDetails,
    UnitState,
    signal_name,
)
from ocf_systemd.core.records import replace


class TestLastLine:
    @pytest.mark.parametrize(
        ("stdout", "stderr", "line"),
        [
            pytest.param(b"", b"", "", id="nothing"),
            pytest.param(b"out\n", b"", "out", id="stdout alone"),
            pytest.param(b"out\n", b"one\ntwo\n", "two", id="stderr first"),
            pytest.param(b"out\n", b"\n \x1b[0m\n\t\n", "out", id="stderr without anything printable"),
            pytest.param(b"", b"two\n\n\x07\n", "two", id="empty lines at the end"),
            pytest.param(b"", b"one\r\ntwo\r\n", "two", id="CR LF"),
            pytest.param(b"", b"50%\r100%\r", "100%", id="a progress bar"),
            pytest.param(b"", b"no line end", "no line end", id="no line end"),
            pytest.param(b"", b"\xff\n", "\\xff", id="no UTF-8"),
        ],
    )
    def test_the_last_line_with_anything_in_it(self, stdout: bytes, stderr: bytes, line: str) -> None:
        """Of stderr, or else of stdout, whatever the command's end was."""
        for outcome in (Exited(0.1, stdout, stderr), Signalled(0.1, stdout, stderr), TimedOut(0.1, stdout, stderr)):
            assert outcome.last_line == line


@pytest.mark.parametrize(
    ("number", "name"),
    [
        pytest.param(SIGSEGV, "SIGSEGV", id="SEGV"),
        pytest.param(SIGKILL, "SIGKILL", id="KILL"),
        pytest.param(42, "SIG42", id="no name"),
        pytest.param(0, "SIG0", id="none"),
    ],
)
def test_signal_names(number: int, name: str) -> None:
    """A signal's name, or its number where it has none."""
    assert signal_name(number) == Signalled(0.1, signal=number).signal_name == name


def test_every_signal_of_this_host_has_a_name() -> None:
    """No number stands in a reason where a name is known."""
    assert all(Signalled(0.1, signal=each).signal_name == each.name for each in Signals)


@pytest.mark.parametrize(
    ("active", "is_running", "is_down"),
    [
        pytest.param(ActiveState.ACTIVE, True, False, id="active"),
        pytest.param(ActiveState.RELOADING, True, False, id="reloading"),
        pytest.param(ActiveState.REFRESHING, True, False, id="refreshing"),
        pytest.param(ActiveState.INACTIVE, False, True, id="inactive"),
        pytest.param(ActiveState.FAILED, False, True, id="failed"),
        pytest.param(ActiveState.ACTIVATING, False, False, id="activating"),
        pytest.param(ActiveState.DEACTIVATING, False, False, id="deactivating"),
        pytest.param(ActiveState.MAINTENANCE, False, False, id="maintenance"),
        pytest.param(ActiveState.UNRECOGNISED, False, False, id="unrecognised"),
    ],
)
def test_groups_of_states(active: ActiveState, *, is_running: bool, is_down: bool) -> None:
    """A state is running, down, or on its way; an unknown one is on its way."""
    unit = UnitState("a.service", LoadState.LOADED, active)
    assert (unit.is_running, unit.is_down) == (is_running, is_down)
    assert (active in RUNNING_STATES, active in DOWN_STATES) == (is_running, is_down)


SLEEP, LS = Process(812, 10, "sleep"), Process(813, 11, "ls", is_uninterruptible=True)


class TestProcessesOfAUnit:
    @pytest.mark.parametrize(
        ("kill_mode", "remaining", "left_running"),
        [
            pytest.param("control-group", (SLEEP, LS), (), id="control-group"),
            pytest.param("mixed", (SLEEP, LS), (), id="mixed"),
            pytest.param("process", (SLEEP,), (LS,), id="process"),
            pytest.param("none", (SLEEP,), (LS,), id="none"),
            pytest.param("of-a-later-systemd", (SLEEP,), (LS,), id="unknown"),
            pytest.param(None, (SLEEP, LS), (), id="not known"),
        ],
    )
    @pytest.mark.parametrize("active", [pytest.param(state, id=state) for state in ActiveState])
    def test_which_must_not_outlive_it(
        self,
        active: ActiveState,
        kill_mode: str | None,
        remaining: tuple[Process, ...],
        left_running: tuple[Process, ...],
    ) -> None:
        """The main process never; the others unless KillMode= spares them. While one is there, nothing is down."""
        details = None if kill_mode is None else UnitDetails("a.service", kill_mode=kill_mode)
        unit = UnitState("a.service", LoadState.LOADED, active, details=details, main_process=SLEEP, processes=(LS,))
        assert (unit.remaining, unit.left_running) == (remaining, left_running)
        assert unit.is_inactive == (active in DOWN_STATES)
        assert not unit.is_down

    def test_none_that_remain(self) -> None:
        """What KillMode= spares does not keep a unit from being down, and neither does nothing."""
        details = UnitDetails("a.service", kill_mode="process")
        unit = UnitState("a.service", LoadState.LOADED, ActiveState.INACTIVE, details=details)
        assert unit.is_down
        assert replace(unit, processes=(LS,)).is_down
        assert not replace(unit, main_process=LS).is_down

    def test_its_primary_name(self) -> None:
        """The journal and the control group have the unit's Id; without details it is the given name."""
        unit = UnitState("mysql.service", LoadState.LOADED, ActiveState.ACTIVE)
        assert unit.id == "mysql.service"
        assert replace(unit, details=UnitDetails("mariadb.service")).id == "mariadb.service"

    def test_how_a_process_is_called(self) -> None:
        """By its name and pid, as in a log."""
        assert str(SLEEP) == "sleep[812]"
