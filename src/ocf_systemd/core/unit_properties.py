"""Parses the properties of a unit, as `systemctl show` prints them (org.freedesktop.systemd1(5))."""

import re
from collections.abc import Mapping

from ocf_systemd.core.observations import ActiveState, LoadState, NoAnswer, UnitDetails, UnitState, signal_name
from ocf_systemd.core.records import replace
from ocf_systemd.core.text import printable


def parse_show(unit: str, stdout: bytes) -> UnitState | NoAnswer:
    """Return the state that `systemctl show` printed; a property that it did not print has the default of the field."""
    properties = parse_units(stdout)[0]
    state = unit_state(unit, properties, split_list(properties.get("DropInPaths", "")))
    return replace(state, details=_details(unit, properties)) if isinstance(state, UnitState) else state


def parse_units(stdout: bytes) -> list[dict[str, str]]:
    """Return the properties of each unit that `systemctl show` printed, or those of the manager.

    If a property is printed on several lines, as ExecStart is for each command, its value here is one line: the values
    joined with a space. If no property was printed, the result is one empty dict.
    """
    units: list[dict[str, str]] = [{}]
    # Only LF ends a line: a value may contain other characters at which str.splitlines() would split it.
    for line in stdout.split(b"\n"):
        name, equals, value = printable(line).partition("=")
        if equals:
            properties = units[-1]
            properties[name] = f"{properties[name]} {value}" if name in properties else value
        # A blank line separates units, but may also be part of ExecStart=, which is printed before LoadState=.
        elif not line and "LoadState" in units[-1]:
            units.append({})
    return units if units[-1] or len(units) == 1 else units[:-1]


def _details(unit: str, properties: Mapping[str, str]) -> UnitDetails:
    return UnitDetails(
        id=properties.get("Id") or unit,
        names=split_list(properties.get("Names", "")),
        restart=properties.get("Restart", ""),
        restart_force=properties.get("RestartForceExitStatus", ""),
        kill_mode=properties.get("KillMode", ""),
        main_pid=_main_pid(properties),
        main_started_us=_number(properties.get("ExecMainStartTimestampMonotonic", "")),
        control_group=properties.get("ControlGroup", ""),
        slice=properties.get("Slice", ""),
    )


def _main_pid(properties: Mapping[str, str]) -> int:
    """Return the pid of the main process; 0: there is none.

    If systemd has given up on a main process that does not end, MainPID is 0, and the pid is in ExecMainPID. With
    KillMode=none, ExecMainPID does not count: systemd has not tried to end that process.
    """
    is_given_up = properties.get("KillMode") != "none" and properties.get("ExecMainCode", "0") == "0"
    return _number(properties.get("MainPID", "")) or (_number(properties.get("ExecMainPID", "")) if is_given_up else 0)


def _number(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,20}", text) else 0


def unit_state(unit: str, properties: Mapping[str, str], drop_in_paths: tuple[str, ...]) -> UnitState | NoAnswer:
    """Return the state that a unit's properties describe, each as `systemctl show` prints it."""
    if not {"LoadState", "ActiveState"} <= properties.keys():
        return NoAnswer("systemctl show printed no state")
    return UnitState(
        unit=unit,
        load_state=LoadState(properties["LoadState"]),
        active_state=ActiveState(properties["ActiveState"]),
        sub_state=properties.get("SubState", ""),
        result=properties.get("Result", ""),
        main_exit=_main_exit(properties.get("ExecMainCode", ""), _number(properties.get("ExecMainStatus", ""))),
        has_job=properties.get("Job", "0") not in {"", "0"},
        can_reload=properties.get("CanReload") == "yes",
        # ConditionResult is also "no" after systemd has unloaded and reloaded the unit; its timestamp is then 0.
        condition_met=properties.get("ConditionResult") != "no"
        or properties.get("ConditionTimestampMonotonic", "0") == "0",
        needs_daemon_reload=properties.get("NeedDaemonReload") == "yes",
        drop_in_paths=drop_in_paths,
    )


def _main_exit(code: str, status: int) -> str:
    match code:
        case "1":  # CLD_EXITED, CLD_KILLED, CLD_DUMPED (waitid(2))
            return f"status {status}"
        case "2" | "3":
            return signal_name(status)
        case _:
            return ""


def split_list(text: str) -> tuple[str, ...]:
    """Return the items of a list, of which systemctl quotes those with a backslash; empty: the list is malformed."""
    if not set(text) & {"\\", '"', "'"}:
        return tuple(text.split())
    import shlex  # quoted items are rare, and each import slows a monitor down

    try:
        return tuple(shlex.split(text))
    except ValueError:
        return ()
