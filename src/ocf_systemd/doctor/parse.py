"""What `systemctl show`, unit files and hooks' texts say, made into facts: parsers, which touch nothing."""

import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress

from ocf_systemd.core.durations import timespan_s
from ocf_systemd.core.observations import ActiveState
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.text import printable
from ocf_systemd.doctor.facts import Edge, Relative, Script, Service, StartLimit

Properties = Mapping[str, tuple[str, ...]]
"""A unit's properties: a value for each line that `systemctl show` has of one."""

# What of this unit names others that start it with them, or on whose behalf (systemd.unit(5), "Mapping of unit
# properties to their inverses").
STARTING = ("WantedBy", "RequiredBy", "BoundBy", "UpheldBy")
TRIGGERING = "TriggeredBy"

EMERGENCIES = ("FailureAction", "SuccessAction", "StartLimitAction", "JobTimeoutAction")
_ARGUMENTS = re.compile(r"argv\[\]=(.*?) ; (?:flags|ignore_errors)=", re.DOTALL)

# A bound on a run's time, as tools and languages call it: timeout(1), curl's -m, pg_isready's -t, SIGALRM.
_BOUND = re.compile(r"timeout|max-time|\balarm\b|\bcurl\b.* -\w*m ?[0-9]|\bread\b.* -t|\bping\b.* -[wW]", re.IGNORECASE)
_BOUND_ARGUMENT = re.compile(r"-t[0-9]*|--?(max-)?time(-?out)?(=.*)?|-m[0-9]*", re.IGNORECASE)
# Tools whose own exit codes are among Pacemaker's hard errors (2 to 5), or its fatal one (6).
_RAW_TOOLS = frozenset({"curl", "wget", "pg_isready", "psql", "ping", "grep", "systemctl"})
_STARTERS = frozenset({"exec", "env", "nice", "sudo", "command"})
_JOINED = re.compile(r"\|\||&&|;|\|")


def parse_units(stdout: bytes) -> tuple[Properties, ...]:
    """Return the properties of each unit that `systemctl show` printed; a blank line stands between two."""
    units: list[dict[str, tuple[str, ...]]] = [{}]
    for line in stdout.decode(errors="backslashreplace").split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            units[-1][name] = (*units[-1].get(name, ()), printable(value))
        elif not line and "LoadState" in units[-1]:
            units.append({})
    return tuple(unit for unit in units if unit)


def value(properties: Properties, name: str, otherwise: str = "") -> str:
    """Return a property's value, or what to go by where this systemd knows no such property."""
    return (properties.get(name) or (otherwise,))[-1]


def words(properties: Properties, name: str) -> tuple[str, ...]:
    """Return the words of a list, which systemctl quotes where they hold a backslash."""
    with suppress(ValueError):
        return tuple(shlex.split(value(properties, name)))
    return ()


def span_s(text: str, otherwise: float = 0.0) -> float:
    """Return the seconds of a time span as systemctl prints it, `FOREVER_S` of infinity."""
    seconds = timespan_s(text)
    return otherwise if seconds is None else seconds


def edges(properties: Properties) -> tuple[Edge, ...]:
    """Return what starts this unit, as far as systemd has loaded it."""
    return tuple(Edge(relation, by) for relation in (*STARTING, TRIGGERING) for by in words(properties, relation))


def relative(properties: Properties) -> Relative:
    """Return what matters of another unit."""
    file_state = value(properties, "UnitFileState")
    return Relative(
        value(properties, "Id"), file_state, ActiveState(value(properties, "ActiveState")), edges(properties)
    )


def service(properties: Properties) -> Service:
    """Return a service's settings; what systemd does not tell is as its manual says it is by default."""
    return Service(
        type=value(properties, "Type", "simple"),
        remain_after_exit=value(properties, "RemainAfterExit") == "yes",
        pid_file=value(properties, "PIDFile"),
        guess_main_pid=value(properties, "GuessMainPID", "yes") == "yes",
        main_pid=int(value(properties, "MainPID", "0")),
        restart=value(properties, "Restart", "no"),
        forces_restart=bool(value(properties, "RestartForceExitStatus")),
        exec_start=_commands(properties, "ExecStart"),
        exec_stop=_commands(properties, "ExecStop"),
        kill_mode=value(properties, "KillMode", "control-group"),
        send_sigkill=value(properties, "SendSIGKILL", "yes") == "yes",
        start_timeout_s=span_s(value(properties, "TimeoutStartUSec"), 90.0),
        stop_timeout_s=span_s(value(properties, "TimeoutStopUSec"), 90.0),
    )


def _commands(properties: Properties, name: str) -> tuple[str, ...]:
    found = (_ARGUMENTS.search(text) for text in properties.get(name, ()))
    return tuple(match[1] for match in found if match)


def start_limit(properties: Properties) -> StartLimit:
    """Return a unit's limit on starts."""
    burst = value(properties, "StartLimitBurst", "0")
    return StartLimit(value(properties, "Id"), int(burst), span_s(value(properties, "StartLimitIntervalUSec")))


def emergencies(properties: Properties) -> tuple[str, ...]:
    """Return the settings by which a unit has something done to the whole host, as NAME=VALUE."""
    found = ((name, value(properties, name, "none")) for name in EMERGENCIES)
    return tuple(f"{name}={action}" for name, action in found if action not in {"none", ""})


def restart_in(text: str) -> str:
    """Return the Restart= that a unit file's text, or a drop-in's, sets last; empty: none."""
    found, section = "", ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        name, equals, setting = line.partition("=")
        if equals and section == "[Service]" and name.strip() == "Restart":
            found = setting.strip()
    return found


def bus_service_unit(text: str) -> str:
    """Return the unit that a D-Bus activation file has started (SystemdService= in dbus-daemon(1))."""
    return next((line.split("=", 1)[1].strip() for line in text.splitlines() if line.startswith("SystemdService=")), "")


def script(path: str, text: str | None, parameters: Parameters) -> Script:
    """Return what a hook's text tells, and its arguments; no text: it is a program, or cannot be read."""
    arguments = parameters.monitor_hook_args
    bounded = any(_BOUND_ARGUMENT.fullmatch(word) for word in arguments)
    name = path.rpartition("/")[2]
    if text is None or not text.startswith("#!"):
        return Script(path, bounded, name if name in _RAW_TOOLS or name.startswith("check_") else "")
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    shell = bool(re.match(r"#!.*\b(ba|da|k|z)?sh\b", text))
    return Script(path, bounded or any(map(_BOUND.search, lines)), _last_tool(lines) if shell else "")


def _last_tool(lines: Iterable[str]) -> str:
    """Return the tool that a shell script ends by, where that is one whose codes should not get out."""
    script = "\n".join(lines).replace("\\\n", " ")
    last = script.rpartition("\n")[2]
    if _JOINED.search(last):
        return ""
    names = (word.rpartition("/")[2] for word in last.split() if not word.startswith("-"))
    tool = next((name for name in names if name not in _STARTERS and not re.fullmatch(r"timeout|[0-9.]+s?", name)), "")
    return tool if tool in _RAW_TOOLS or tool.startswith("check_") else ""
