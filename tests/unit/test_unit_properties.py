"""What `systemctl show` prints is parsed into the state of a unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.observations import (
    ActiveState,
    LoadState,
    NoAnswer,
    UnitDetails,
    UnitState,
)
from ocf_systemd.core.records import replace
from ocf_systemd.core.unit_properties import parse_show
from tests.unit.builders import UNIT
from tests.unit.show_output import ACTIVE, ALL_DETAILS, DETAILS, FAILED, NOT_FOUND, STARTING


class TestShow:
    @pytest.mark.parametrize(
        ("stdout", "state"),
        [
            pytest.param(
                ACTIVE,
                UnitState(
                    UNIT,
                    LoadState.LOADED,
                    ActiveState.ACTIVE,
                    "running",
                    "success",
                    can_reload=True,
                    drop_in_paths=("/run/systemd/system/a.d/1.conf", "/etc/systemd/system/a.d/2.conf"),
                ),
                id="active",
            ),
            pytest.param(
                FAILED,
                UnitState(
                    UNIT,
                    LoadState.LOADED,
                    ActiveState.FAILED,
                    "failed",
                    "exit-code",
                    "status 3",
                    needs_daemon_reload=True,
                ),
                id="failed, drop-in not in force",
            ),
            pytest.param(
                NOT_FOUND,
                UnitState(UNIT, LoadState.NOT_FOUND, ActiveState.INACTIVE, "dead"),
                id="not found",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=inactive\nConditionResult=no\nConditionTimestampMonotonic=4711\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE, condition_met=False),
                id="condition not met",
            ),
            pytest.param(
                STARTING,
                UnitState(UNIT, LoadState.LOADED, ActiveState.ACTIVATING, "start", "success", has_job=True),
                id="starting, with a job",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=failed\nExecMainCode=2\nExecMainStatus=11\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="SIGSEGV"),
                id="main process killed",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=failed\nExecMainCode=3\nExecMainStatus=6\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="SIGABRT"),
                id="main process dumped core",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=failed\nExecMainCode=2\nExecMainStatus=63\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="SIG63"),
                id="main process killed by a signal without a name",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=failed\nExecMainCode=1\nExecMainStatus=x\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="status 0"),
                id="a status that is no number",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=inactive\nJob=0\nExecMainCode=9\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE),
                id="no job, a code that means nothing",
            ),
            pytest.param(
                b"LoadState=vanished\nActiveState=hibernating\nNewProperty=a=b\n",
                UnitState(UNIT, LoadState.UNRECOGNISED, ActiveState.UNRECOGNISED),
                id="a later systemd",
            ),
            pytest.param(
                b"LoadState=masked\r\nActiveState=inactive\r\n",
                UnitState(UNIT, LoadState.MASKED, ActiveState.INACTIVE),
                id="CR LF",
            ),
            pytest.param(
                "LoadState=loaded\nActiveState=active\nDropInPaths=/a\u2028ActiveState=inactive\nSubState=a\x1b[2Jb".encode(),
                UnitState(UNIT, LoadState.LOADED, ActiveState.ACTIVE, "ab", drop_in_paths=("/aActiveState=inactive",)),
                id="what is a line's end to others",
            ),
        ],
    )
    def test_what_systemctl_prints(self, stdout: bytes, state: UnitState) -> None:
        """Each property finds its place; what is missing is at its default, what is unknown is unrecognised."""
        assert parse_show(UNIT, stdout) == replace(state, details=UnitDetails(UNIT))

    @pytest.mark.parametrize(
        ("properties", "details"),
        [
            pytest.param("", UnitDetails(UNIT), id="none"),
            pytest.param(DETAILS, ALL_DETAILS, id="all"),
            pytest.param("Id=\nNames=\nMainPID=\nControlGroup=\n", UnitDetails(UNIT), id="empty"),
            pytest.param("MainPID=0\n", UnitDetails(UNIT), id="no main process"),
            pytest.param("MainPID=812\nExecMainPID=4711\nExecMainCode=0\n", UnitDetails(UNIT, main_pid=812), id="both"),
            pytest.param(
                "MainPID=0\nExecMainPID=812\nExecMainCode=0\nKillMode=process\n",
                UnitDetails(UNIT, main_pid=812, kill_mode="process"),
                id="a main process that systemd has given up on",
            ),
            pytest.param(
                "MainPID=0\nExecMainPID=812\nExecMainCode=0\nKillMode=none\n",
                UnitDetails(UNIT, kill_mode="none"),
                id="one that was not asked to end",
            ),
            pytest.param(
                "MainPID=0\nExecMainPID=812\nExecMainCode=2\nKillMode=mixed\n",
                UnitDetails(UNIT, kill_mode="mixed"),
                id="one that has ended",
            ),
            pytest.param("MainPID=-1\nExecMainStartTimestampMonotonic=n/a\n", UnitDetails(UNIT), id="no numbers"),
            pytest.param("MainPID=" + "9" * 21 + "\n", UnitDetails(UNIT), id="a number that is too long"),
            pytest.param("MainPID=\uff11\n", UnitDetails(UNIT), id="a digit of another script"),
            pytest.param("Names='a\n", UnitDetails(UNIT), id="a quote without an end"),
            pytest.param(
                r"""Names="dev-disk-by\\x2dlabel.mount" b.service""",
                UnitDetails(UNIT, (r"dev-disk-by\x2dlabel.mount", "b.service")),
                id="a name with a backslash, which systemctl quotes",
            ),
        ],
    )
    def test_what_describes_its_processes(self, properties: str, details: UnitDetails) -> None:
        """Its real name, what restarts it, how it is killed, and where its processes are; what is missing is empty."""
        state = parse_show(UNIT, f"LoadState=loaded\nActiveState=inactive\n{properties}\n".encode())
        assert isinstance(state, UnitState)
        assert state.details == details

    @pytest.mark.parametrize(
        "stdout",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"\n\n", id="empty lines"),
            pytest.param(b"LoadState=loaded\n", id="no ActiveState"),
            pytest.param(b"ActiveState=inactive\n", id="no LoadState"),
            pytest.param(b"LoadState\nActiveState\n", id="no values"),
            pytest.param(b"\xff\0\xfe", id="garbage"),
        ],
    )
    def test_output_without_a_state(self, stdout: bytes) -> None:
        """In doubt is not stopped."""
        assert parse_show(UNIT, stdout) == NoAnswer("systemctl show printed no state")

    @given(st.binary(max_size=300))
    def test_bytes_never_raise(self, stdout: bytes) -> None:
        """Any bytes result in a state or in NoAnswer; alone they are never a stopped unit."""
        assert isinstance(parse_show(UNIT, stdout), UnitState | NoAnswer)
        state = parse_show(UNIT, b"LoadState=loaded\nActiveState=active\n" + stdout)
        assert isinstance(state, UnitState)

    @given(st.sampled_from(list(LoadState)), st.sampled_from(list(ActiveState)))
    def test_every_state_is_read_as_itself(self, load: LoadState, active: ActiveState) -> None:
        """Each state has systemd's own name."""
        state = parse_show(UNIT, f"ActiveState={active}\nLoadState={load}\n".encode())
        assert state == UnitState(UNIT, load, active, details=UnitDetails(UNIT))
