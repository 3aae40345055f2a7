"""One action in a process of its own: results of wrong parameters, and reports of leftover processes."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.agent.events import ActionEnded, WarningNotice
from ocf_systemd.agent.log import Level, messages
from ocf_systemd.agent.run import parameters_or_result, report_leftovers
from ocf_systemd.client import SERVED
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.core.parameter_table import PREFIX, TABLE
from ocf_systemd.core.parameters import Operation, Parameters, read_leniently, read_operation
from ocf_systemd.core.records import replace
from ocf_systemd.host.leftovers import Leftover, Leftovers
from ocf_systemd.host.procfs import is_alive
from ocf_systemd.host.survivors import find_survivor, recorded_survivors
from tests.unit.builders import Heard, parameters
from tests.unit.odd_processes import entry_of, process_of, sleeping, uninterruptible, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

RECURRING = Operation(20.0, is_recurring=True)
PROBE = Operation(20.0)
STOPPED_ROLE = Operation(20.0, is_recurring=True, expects_stopped=True)
ACTIONS = [action for action in Action if action is not Action.META_DATA]
LENIENT = [
    (Action.MONITOR, PROBE),
    (Action.MONITOR, STOPPED_ROLE),
    (Action.STOP, PROBE),
    (Action.STOP, RECURRING),
]
STRICT = [row for row in product(ACTIONS, (RECURRING, PROBE)) if row not in LENIENT]
WRONG = {
    "poll_interval": "abc",
    "monitor_hook": "hooks/smtp",
    "monitor_hook_protocol": "nagios3",
    "monitor_hook_timeout": "0",
    "monitor_hook_retries": "-1",
    "stop_escalate": "perhaps",
    "order_at_shutdown": "2",
}


def ids(rows: Iterable[tuple[Action, Operation]]) -> list[object]:
    """Return rows for pytest, named after action and kind of operation."""
    kinds = {RECURRING: "recurring", PROBE: "no interval", STOPPED_ROLE: "role=Stopped"}
    return [pytest.param(action, operation, id=f"{action}, {kinds[operation]}") for action, operation in rows]


def read(action: Action, operation: Operation, **values: str) -> tuple[Parameters | ActionResult, list[object]]:
    """Return the parameters or the result that they have, and the events."""
    heard = Heard()
    environment = {PREFIX + name: value for name, value in values.items()}
    return parameters_or_result(action, operation, environment, heard), list(heard.facts)


class TestParameters:
    @pytest.mark.parametrize(("action", "operation"), ids([*STRICT, *LENIENT]))
    def test_right_ones(self, action: Action, operation: Operation) -> None:
        """The action is performed with them, without a warning."""
        values = {"unit": "nginx", "monitor_hook": "/h", "stop_verify": "yes"}
        assert read(action, operation, **values) == (parameters(**values), [])

    @pytest.mark.parametrize(("action", "operation"), ids(STRICT))
    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in WRONG])
    def test_wrong_ones_are_fatal(self, action: Action, operation: Operation, name: str) -> None:
        """Start, recurring monitors, reloads and validate-all return 6, with all problems; the result is reported."""
        values = {"unit": "nginx", name: WRONG[name], "stop_poll_limit": "many"}
        _, problems = read_leniently({PREFIX + key: value for key, value in values.items()})
        assert len(problems) == 2
        result = ActionResult(6, "; ".join(problems))
        assert read(action, operation, **values) == (result, [ActionEnded(action, result)])

    @pytest.mark.parametrize("operation", [pytest.param(PROBE, id="probe"), pytest.param(STOPPED_ROLE, id="Stopped")])
    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in WRONG])
    def test_a_probe_goes_by_the_unit_alone(self, operation: Operation, name: str) -> None:
        """A probe's 6 and the stop's 6 that follows would fence the node for a typing error: no hook, and a warning."""
        values = {"unit": "nginx", "monitor_hook": "/h", "stop_verify": "yes", name: WRONG[name]}
        lenient, problems = read_leniently({PREFIX + key: value for key, value in values.items()})
        expected = replace(lenient, monitor_hook=None, stop_verify=False)
        reported = [WarningNotice(f"{problem}: the unit's state alone counts") for problem in problems]
        assert read(Action.MONITOR, operation, **values) == (expected, reported)

    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in WRONG])
    def test_a_stop_assumes_the_defaults(self, name: str) -> None:
        """Valid values stay, wrong ones are replaced by their defaults, with a warning."""
        values = {"unit": "nginx", "monitor_hook": "/h", "start_poll_limit": "3", name: WRONG[name]}
        given = {PREFIX + key: value for key, value in values.items()}
        expected, problems = read_leniently(given)
        assert read(Action.STOP, PROBE, **values) == (
            expected,
            [WarningNotice(f"{problem}: assuming the default") for problem in problems],
        )
        assert (expected.unit, expected.start_poll_limit) == ("nginx.service", 3)

    @pytest.mark.parametrize(("action", "operation"), ids(LENIENT))
    @pytest.mark.parametrize("unit", [pytest.param(unit, id=unit or "none") for unit in ("", "a/b", "foo@", "x.slice")])
    def test_a_unit_that_systemd_cannot_have(self, action: Action, operation: Operation, unit: str) -> None:
        """Nothing of it can run: probe 7, stop 0, with a warning and no reason."""
        expected = ActionResult(0 if action is Action.STOP else 7)
        result, reported = read(action, operation, unit=unit, poll_interval="abc")
        assert result == expected
        assert reported[-1] == ActionEnded(action, expected)
        warnings = [fact.text for fact in reported if isinstance(fact, WarningNotice)]
        assert len(warnings) == 2
        assert warnings[0].startswith("unit")
        assert all(text.endswith(": treated as not running") for text in warnings)

    @pytest.mark.parametrize(("action", "operation"), ids(STRICT))
    def test_without_a_unit_nothing_else_goes_on(self, action: Action, operation: Operation) -> None:
        """6, as for any other wrong value."""
        result, _ = read(action, operation)
        assert result == ActionResult(6, "unit is not set, expected systemd unit")

    @given(
        st.sampled_from(ACTIONS),
        st.dictionaries(st.sampled_from([row.name for row in TABLE]), st.binary(max_size=40).map(os.fsdecode)),
        st.sampled_from(["", "0", "10000"]),
        st.sampled_from(["", "Started", "Stopped"]),
    )
    def test_whatever_they_are(self, action: Action, values: dict[str, str], interval: str, role: str) -> None:
        """A probe and a stop are never refused: each has a unit to go by, or is 7 and 0. All else is 6 where wrong."""
        environment = {PREFIX + name: value for name, value in values.items()}
        environment |= {f"{PREFIX}CRM_meta_interval": interval, f"{PREFIX}CRM_meta_role": role}
        operation, heard = read_operation(environment), Heard()
        result = parameters_or_result(action, operation, environment, heard)
        is_probe = action is Action.MONITOR and (interval != "10000" or role == "Stopped")
        if isinstance(result, Parameters):
            assert result.unit
            assert not (is_probe and heard.facts) or result.monitor_hook is None
        else:
            assert result.code == (7 if is_probe else 0 if action is Action.STOP else 6)
            assert (result.reason is None) == (result.code != 6)
            assert heard.facts[-1] == ActionEnded(action, result)


def warnings_about(leftovers: Leftovers, unit: str = "nginx", hook: str = "") -> list[str]:
    """Return the warnings about leftover processes."""
    heard = Heard()
    report_leftovers(heard, parameters(unit, monitor_hook=hook), leftovers)
    return [text for fact in heard.facts for level, text in messages(fact) if level is not Level.DEBUG]


class TestLeftovers:
    def test_none(self) -> None:
        """Without leftover processes there is no warning."""
        assert warnings_about(Leftovers()) == []

    def test_what_was_killed_is_reported(self) -> None:
        """By its name, one warning each; its command line may contain a password and is for the debug log."""
        with sleeping("sleep", "61") as one, sleeping("sleep", "62") as two:
            entries = [entry_of(one), entry_of(two)]
            leftovers = Leftovers()
            leftovers.kill(entries)
            wait_until(lambda: not any(map(is_alive, entries)))
            assert sorted(warnings_about(leftovers)) == [
                f"a hook left a process behind, killed now: sleep[{pid}]" for pid in sorted((one, two), key=str)
            ]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can keep a record below /run")
    def test_what_cannot_be_killed_is_reported_once_and_recorded(self, tmp_path: Path) -> None:
        """What is true of it, not that it was killed; and once: each monitor finds it again for as long as it lives."""
        unit = f"ocf-systemd-test-{os.getpid()}.service"
        record = Path("/run/ocf-systemd/survivors", unit)
        try:
            with uninterruptible(tmp_path) as pid:
                leftovers = Leftovers([Leftover(process_of(pid), "ls /srv")])  # as SIGKILL leaves what waits for a disk
                name = f"{process_of(pid)} in uninterruptible sleep"
                reported = [f"a hook left a process behind that cannot be killed: {name}"]
                assert warnings_about(leftovers, unit, "/h/smtp") == reported
                assert find_survivor(unit, ("/h/smtp",)) == process_of(pid)
                assert warnings_about(leftovers, unit, "/h/smtp") == []
                assert recorded_survivors(unit) == [(process_of(pid), "/h/smtp")]
            assert find_survivor(unit, ("/h/smtp",)) is None
        finally:
            record.unlink(missing_ok=True)


def test_what_the_server_performs_outlives_no_caller() -> None:
    """No request outlives its client: the resident server is never requested to change anything."""
    assert [action for action in Action if action in SERVED] == [Action.MONITOR, Action.VALIDATE_ALL]
    assert len(SERVED) == 2
