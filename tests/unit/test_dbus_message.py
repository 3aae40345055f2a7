"""Messages to and from PID 1: the calls for a unit, and the state that the replies describe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.observations import ActiveState, LoadState, UnitState
from ocf_systemd.core.records import replace
from ocf_systemd.core.text import printable
from ocf_systemd.server.dbus_message import UNREADABLE, is_unit_name, take_replies, unit_calls, unit_state_of
from tests.unit.builders import is_one_line
from tests.unit.dbus_messages import (
    FUZZ,
    REPLIES,
    RUNNING,
    SIGNAL,
    TEXT,
    UNIT,
    UNIT_PROPERTIES,
    UNREADABLE_REPLIES,
    Properties,
    read_calls,
    replies_with,
    returned,
    wire,
)


def state_in(data: bytes, name: str = UNIT) -> UnitState | None:
    """Return the state that these replies to the calls with serials from 1 describe."""
    try:
        replies = {reply.serial: reply for reply in take_replies(bytearray(data))}
        return unit_state_of(name, [replies[serial] for serial, _ in enumerate(unit_calls(name, 1), start=1)])
    except UNREADABLE:
        return None


class TestCalls:
    @pytest.mark.parametrize(
        ("name", "calls"),
        [
            pytest.param("a.socket", [("org.freedesktop.systemd1.Socket", "Result")], id="socket"),
            pytest.param("a.mount", [("org.freedesktop.systemd1.Mount", "Result")], id="mount"),
            pytest.param("a.timer", [("org.freedesktop.systemd1.Timer", "Result")], id="timer"),
            pytest.param("a.path", [("org.freedesktop.systemd1.Path", "Result")], id="path"),
            pytest.param("a.target", [], id="target"),
        ],
    )
    def test_each_type_of_unit(self, name: str, calls: list[tuple[str, str]]) -> None:
        """The Result is requested from the interface of the unit's type; some types have none."""
        assert [call[3:] for call in read_calls(b"".join(unit_calls(name, 1)))[1:]] == calls
        result = "success" if calls else ""
        assert state_in(wire(replies_with({"Id": ("s", name)})[: 1 + len(calls)]), name) == replace(
            RUNNING, unit=name, result=result
        )

    def test_serials(self) -> None:
        """The calls have the serial that was given and the next ones."""
        assert [call[0] for call in read_calls(b"".join(unit_calls(UNIT, 41)))] == [41, 42, 43, 44]

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("", id="nothing"),
            pytest.param("web", id="no type"),
            pytest.param("web.mp3", id="another type"),
            pytest.param("a.device", id="a type that the agent does not manage"),
            pytest.param("a/b.service", id="a path"),
            pytest.param("a b.service", id="a blank"),
            pytest.param("\xe4.service", id="not ASCII"),
            pytest.param("a\n.service", id="a line's end"),
            pytest.param(f"{'a' * 248}.service", id="too long"),
        ],
    )
    def test_a_name_of_no_unit(self, name: str) -> None:
        """PID 1 cannot have such a unit."""
        assert not is_unit_name(name)


class TestState:
    @pytest.mark.parametrize("order", [pytest.param("<", id="little"), pytest.param(">", id="big")])
    def test_a_running_unit(self, order: str) -> None:
        """Its state is read in either byte order."""
        assert state_in(wire(replies_with(), order)) == RUNNING

    def test_other_messages(self) -> None:
        """Signals and calls are passed over, and a message that has not come as a whole is left."""
        received = bytearray(wire([SIGNAL, *replies_with()])[:-1])
        assert [reply.serial for reply in take_replies(received)] == [1, 2, 3]
        assert bytes(received) == wire(replies_with()[3:])[:-1]

    @pytest.mark.parametrize(
        ("unit", "ending", "state"),
        [
            pytest.param(
                {"ActiveState": ("s", "reloading"), "SubState": ("s", "reload")},
                {},
                replace(RUNNING, active_state=ActiveState.RELOADING, sub_state="reload"),
                id="reloading",
            ),
            pytest.param(
                {"SubState": ("s", "exited"), "CanReload": ("b", 0)},
                {"ExecMainCode": ("i", 1)},
                replace(RUNNING, sub_state="exited", main_exit="status 0", can_reload=False),
                id="exited, and active for it",
            ),
            pytest.param(
                {"Id": ("s", "other.service")}, {}, replace(RUNNING, primary_name="other.service"), id="an alias"
            ),
            pytest.param(
                {"LoadState": ("s", "not-found"), "NeedDaemonReload": ("b", 1)},
                {"ExecMainCode": ("i", 2), "ExecMainStatus": ("i", 11)},
                replace(RUNNING, load_state=LoadState.NOT_FOUND, needs_daemon_reload=True, main_exit="SIGSEGV"),
                id="its file is gone",
            ),
            pytest.param(
                {"ConditionResult": ("b", 0), "DropInPaths": ("as", [])},
                {},
                replace(RUNNING, condition_met=False, drop_in_paths=()),
                id="condition not met",
            ),
            pytest.param(
                {"ConditionResult": ("b", 0), "ConditionTimestampMonotonic": ("t", 0)},
                {},
                RUNNING,
                id="condition never checked",
            ),
            pytest.param(
                {
                    "LoadState": ("s", "vanished"),
                    "SubState": ("s", "a\x1b[2J\n\u2028b"),
                    "DropInPaths": ("as", ["\n/a"]),
                },
                {},
                replace(RUNNING, load_state=LoadState.UNRECOGNISED, sub_state="ab", drop_in_paths=("/a",)),
                id="a later systemd, and no control characters",
            ),
        ],
    )
    def test_the_properties_of_a_running_unit(self, unit: Properties, ending: Properties, state: UnitState) -> None:
        """The state has each property, as from the output of systemctl."""
        assert state_in(wire(replies_with(unit, ending))) == state

    @pytest.mark.parametrize(
        ("unit", "ending"),
        [
            *(
                pytest.param({"ActiveState": ("s", state)}, {}, id=state)
                for state in ("inactive", "failed", "activating", "deactivating", "maintenance", "hibernating", "")
            ),
            pytest.param({"Job": ("(uo)", (17, "/org/freedesktop/systemd1/job/17"))}, {}, id="a job"),
            pytest.param({}, {"Result": ("s", "exit-code")}, id="a failure"),
        ],
    )
    def test_a_unit_in_another_state(self, unit: Properties, ending: Properties) -> None:
        """A unit that is not running, has a job or has failed has no state here: systemctl must be queried."""
        assert state_in(wire(replies_with(unit, ending))) is None

    @pytest.mark.parametrize(
        "name", sorted({"Id", "LoadState", "ActiveState", "Job", "DropInPaths", "ConditionResult"})
    )
    def test_a_property_that_is_missing_or_of_another_type(self, name: str) -> None:
        """There are no defaults for missing properties."""
        less = {key: value for key, value in UNIT_PROPERTIES.items() if key != name}
        missing = [returned(1, "a{sv}", [*less.items()]), *replies_with()[1:]]
        assert state_in(wire(missing)) is None
        assert state_in(wire(replies_with({name: ("u", 0)}))) is None

    @FUZZ
    @given(TEXT, st.lists(TEXT, max_size=4), st.sampled_from("<>"), st.integers(0, len(UNIT_PROPERTIES)))
    def test_any_properties(self, sub_state: str, paths: list[str], order: str, first: int) -> None:
        """Each property is read as it was written, with any text and in any order."""
        names = [*UNIT_PROPERTIES][first:] + [*UNIT_PROPERTIES][:first]
        unit = UNIT_PROPERTIES | {
            "SubState": ("s", sub_state),
            "DropInPaths": ("as", [*paths]),
        }
        replies = [returned(1, "a{sv}", [(name, unit[name]) for name in names]), *replies_with()[1:]]
        assert state_in(wire(replies, order)) == replace(
            RUNNING,
            sub_state=printable(sub_state),
            drop_in_paths=tuple(map(printable, paths)),
        )


class TestUnreadable:
    @pytest.mark.parametrize("replies", UNREADABLE_REPLIES)
    def test_replies_that_are_not_as_expected(self, replies: bytes) -> None:
        """They describe no state, and reading them raises nothing but `UNREADABLE`."""
        assert state_in(replies) is None

    @FUZZ
    @given(st.integers(0, len(REPLIES) - 1), st.binary(min_size=1, max_size=8))
    def test_bytes_that_were_changed(self, at: int, changed: bytes) -> None:
        """Replies with other bytes in them describe a valid state, or none."""
        state = state_in(REPLIES[:at] + changed + REPLIES[at + len(changed) :])
        assert state is None or (state.is_running and not state.has_job and is_one_line(state.sub_state))

    @FUZZ
    @given(st.integers(0, len(REPLIES) - 1), st.integers(1, 40))
    def test_bytes_that_are_missing(self, at: int, count: int) -> None:
        """Replies that lack bytes describe no state."""
        assert state_in(REPLIES[:at] + REPLIES[at + count :]) is None
