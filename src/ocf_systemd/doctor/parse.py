"""Parses the output of systemctl and systemd-analyze, unit files, and the text of hooks into facts."""

import re
from collections.abc import Iterable, Mapping

from ocf_systemd.core.durations import timespan_s
from ocf_systemd.core.observations import ActiveState, LoadState
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.unit_properties import split_list
from ocf_systemd.doctor.facts import FOREVER_S, Command, Edge, RelatedUnit, Script, Service, StartLimit

Properties = Mapping[str, str]
"""A unit's properties by name, as `core.unit_properties.parse_units` returns them."""

# Properties that name the units which start this one (systemd.unit(5), "Mapping of unit properties to their inverses").
STARTING = ("WantedBy", "RequiredBy", "BoundBy", "UpheldBy")
TRIGGERING = "TriggeredBy"

# Properties that name other units: dependencies, their order, and what a unit triggers.
RELATIONS = (
    *("Requires", "Requisite", "BindsTo", "Wants", "Upholds", "PartOf", "StopPropagatedFrom", "PropagatesStopTo"),
    *("Conflicts", "ConflictedBy", "After", "Triggers", "TriggeredBy", "OnFailure", "OnSuccess"),
)
# Settings by which the end of a unit or of its job can reboot or power off the host (systemd.unit(5)).
EMERGENCIES = ("FailureAction", "SuccessAction", "StartLimitAction", "JobTimeoutAction")
_COMMAND = re.compile(r"\{ path=(.*?) ; argv\[\]=(.*?) ; (?:flags|ignore_errors)=(.*?) ; ")
_PID_FILE = re.compile(r"(?<![\w/.}-])/[\w@./-]*\.pid\b")
# Group 1 is a tool that opens a login session or starts another unit. It matches only where a command begins: at the
# start of the text, after a separator of the shell, after -c, or after a word such as exec. Group 2 is its arguments.
_SESSION = re.compile(
    r"(?:^|[;&|(]\s*|\s-\w*c\s+|\b(?:exec|env|nice|nohup|setsid|then|do|else)\s+)(?:/\S*/)?"
    r"(su|runuser|login|sudo|systemd-run|machinectl)(?=\s|$)((?:\s+[^\s;&|'\"]+)*)"
)
_LOGIN = re.compile(r"\s(-|-[a-z]*[li]|--login)(?=\s|$)")  # the option for a login shell
_WITHOUT_SHELL = re.compile(r"\s(-u|--user)\b")
_TEST = re.compile(r"^\S+: ((?:Condition|Assert)\w+=.*) (failed|succeeded)\.$", re.MULTILINE)
_ENVIRONMENT_FILE = re.compile(r"(/.*?) \(ignore_errors=(yes|no)\)")

# How a line of a hook sets a time limit (timeout(1), curl -m, alarm(2), read -t, ping -w), and how an argument does.
_TIMEOUT = re.compile(
    r"timeout|max-time|\balarm\b|\bcurl\b.* -\w*m ?[0-9]|\bread\b.* -t|\bping\b.* -[wW]|\bpg_isready\b.* -t ?(?!0\b)\S",
    re.IGNORECASE,
)
_TIMEOUT_ARGUMENT = re.compile(r"-t[0-9]*|--?(max-)?time(-?out)?(=.*)?|-m[0-9]*", re.IGNORECASE)
# Tools whose exit codes include Pacemaker's hard errors (2 to 5) or its fatal error (6).
_RAW_TOOLS = frozenset({"curl", "wget", "pg_isready", "psql", "ping", "grep", "systemctl"})
_WRAPPERS = frozenset({"exec", "env", "nice", "sudo", "command"})  # return the exit code of the command that follows
_JOINED = re.compile(r"\|\||&&|;|\|")  # what separates several commands in one line


def names_in(properties: Properties, name: str) -> tuple[str, ...]:
    """Return the units or paths that a property lists."""
    return split_list(properties.get(name, ""))


def span_s(text: str, default: float = 0.0) -> float:
    """Return the seconds of a time span that systemctl prints (infinity: `FOREVER_S`), or `default` for other text."""
    seconds = timespan_s(text)
    return default if seconds is None else seconds


def edges(properties: Properties) -> tuple[Edge, ...]:
    """Return the dependencies by which other units start this unit, as far as systemd has loaded those units."""
    return tuple(Edge(relation, by) for relation in (*STARTING, TRIGGERING) for by in names_in(properties, relation))


def related_unit(properties: Properties) -> RelatedUnit:
    """Return the facts about another unit, from its properties."""
    return RelatedUnit(
        properties.get("Id", ""),
        properties.get("UnitFileState", ""),
        ActiveState(properties.get("ActiveState", "")),
        edges(properties),
        is_unusable=properties.get("LoadState") != LoadState.LOADED,
        type=properties.get("Type", ""),
        remain_after_exit=properties.get("RemainAfterExit") == "yes",
        stop_when_unneeded=properties.get("StopWhenUnneeded") == "yes",
        path=properties.get("SourcePath") or properties.get("FragmentPath", ""),
        relations=relations(properties),
        commands=tuple(command.text for command in commands(properties, "ExecStart")),
    )


def relations(properties: Properties) -> Mapping[str, tuple[str, ...]]:
    """Return the units that each property of `RELATIONS` names."""
    return {name: units for name in RELATIONS if (units := names_in(properties, name))}


def refused(properties: Properties) -> tuple[str, ...]:
    """Return the settings because of which systemd refuses to start or stop a unit on request."""
    return tuple(name for name in ("RefuseManualStart", "RefuseManualStop") if properties.get(name) == "yes")


def commands(properties: Properties, *settings: str) -> tuple[Command, ...]:
    """Return the commands of settings such as ExecStart=; their flags are complete if systemd reports ExecStartEx."""
    return tuple(
        Command(
            setting,
            text,
            path,
            ignores_failure=flags == "yes" or "ignore-failure" in flags,
            runs_as_root="privileged" in flags or "no-setuid" in flags,
        )
        for setting in settings
        for path, text, flags in _COMMAND.findall(properties.get(f"{setting}Ex") or properties.get(setting, ""))
    )


def environment_files(properties: Properties) -> tuple[str, ...]:
    """Return the files that EnvironmentFile= names without the prefix `-`."""
    found = _ENVIRONMENT_FILE.findall(properties.get("EnvironmentFiles", ""))
    return tuple(path for path, ignored in found if ignored == "no")


def service(properties: Properties) -> Service:
    """Return a service's settings; a setting that systemd does not report has the default from systemd's manual."""
    return Service(
        type=properties.get("Type", "simple"),
        remain_after_exit=properties.get("RemainAfterExit", "") == "yes",
        pid_file=properties.get("PIDFile", ""),
        guess_main_pid=properties.get("GuessMainPID", "yes") == "yes",
        main_pid=int(properties.get("MainPID", "0")),
        restart=properties.get("Restart", "no"),
        forces_restart=bool(properties.get("RestartForceExitStatus", "")),
        exec_start=tuple(command.text for command in commands(properties, "ExecStart")),
        exec_stop=tuple(command.text for command in commands(properties, "ExecStop")),
        kill_mode=properties.get("KillMode", "control-group"),
        delegate=properties.get("Delegate", "") == "yes",
        send_sigkill=properties.get("SendSIGKILL", "yes") == "yes",
        start_timeout_s=span_s(properties.get("TimeoutStartUSec", ""), 90.0),
        stop_timeout_s=span_s(properties.get("TimeoutStopUSec", ""), 90.0),
        runtime_max_s=span_s(properties.get("RuntimeMaxUSec", ""), FOREVER_S),
    )


def pid_files(properties: Properties) -> tuple[str, ...]:
    """Return the PID files that the ExecStart= commands of a service name."""
    return tuple(dict.fromkeys(_PID_FILE.findall(properties.get("ExecStart", ""))))


def sessions(command: str) -> tuple[tuple[str, str], ...]:
    """Return the tools in a command that open a login session or start another unit, each with its PAM service.

    A tool includes the option for a login shell, as in `su -l`. The PAM service is empty for a tool such as
    systemd-run(1), which moves the process to another unit by itself.
    """
    return tuple(
        _session(tool, arguments) for tool, arguments in _SESSION.findall(command) if not _is_plain(tool, arguments)
    )


def _is_plain(tool: str, arguments: str) -> bool:
    """Return whether runuser(1) executes a command directly, without PAM's session."""
    return tool == "runuser" and bool(_WITHOUT_SHELL.search(arguments))


def _session(tool: str, arguments: str) -> tuple[str, str]:
    if tool in {"systemd-run", "machinectl"}:
        return tool, ""
    if not _LOGIN.search(arguments):
        return tool, tool
    return (f"{tool} -i", f"{tool}-i") if tool == "sudo" else (f"{tool} -l", f"{tool}-l")


def unmet_conditions(output: str) -> tuple[str, ...]:
    """Return the conditions and assertions that are not met, from the output of `systemd-analyze condition`.

    Of the conditions with the prefix `|`, it is enough that one is met, and likewise of the assertions
    (systemd.unit(5)).
    """
    unmet: list[str] = []
    for kind in ("Condition", "Assert"):
        tests = [(text, outcome) for text, outcome in _TEST.findall(output) if text.startswith(kind)]
        one_is_met = any("=|" in text and outcome == "succeeded" for text, outcome in tests)
        failed = [text for text, outcome in tests if outcome == "failed"]
        unmet += [text for text in failed if "=|" not in text or not one_is_met]
    return tuple(unmet)


def start_limit(properties: Properties) -> StartLimit:
    """Return a unit's limit on starts."""
    burst = properties.get("StartLimitBurst", "0")
    return StartLimit(properties.get("Id", ""), int(burst), span_s(properties.get("StartLimitIntervalUSec", "")))


def failure_actions(properties: Properties) -> tuple[str, ...]:
    """Return the settings by which the end of the unit or of its job affects the whole host, as NAME=VALUE."""
    found = ((name, properties.get(name, "none")) for name in EMERGENCIES)
    return tuple(f"{name}={action}" for name, action in found if action not in {"none", ""})


def restart_in(text: str) -> str:
    """Return the value of the last Restart= in the text of a unit file or drop-in; empty: there is none."""
    return next(reversed(_settings(text, "[Service]", "Restart")), "")


def also_in(text: str) -> tuple[str, ...]:
    """Return the units that the text of a unit file names in Also=: `systemctl disable` disables them as well."""
    return tuple(unit for setting in _settings(text, "[Install]", "Also") for unit in setting.split())


def started_in(text: str) -> tuple[str, ...]:
    """Return the units that the text of a unit file or drop-in starts with its unit, by Wants=, Requires= and so on."""
    settings = (_settings(text, "[Unit]", name) for name in ("Wants", "Requires", "BindsTo", "Upholds"))
    return tuple(unit for each in settings for setting in each for unit in setting.split())


def _settings(text: str, section: str, name: str) -> list[str]:
    """Return the values that the text of a unit file assigns to a setting of a section, in the order of the lines."""
    found, current = [], ""
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if line.startswith("["):
            current = line
        key, equals, setting = line.partition("=")
        if equals and current == section and key.strip() == name:
            found.append(setting.strip())
    return found


def bus_service_unit(text: str) -> str:
    """Return the unit that a D-Bus activation file starts (SystemdService= in dbus-daemon(1)); empty: none."""
    return next((line.split("=", 1)[1].strip() for line in text.splitlines() if line.startswith("SystemdService=")), "")


def script(path: str, text: str | None, parameters: Parameters) -> Script:
    """Return the facts about a hook from its text and its arguments; `text` is None for a binary or unreadable file."""
    arguments = parameters.monitor_hook_args
    is_bounded = any(map(_TIMEOUT_ARGUMENT.fullmatch, arguments))
    name = path.rpartition("/")[2]
    if text is None or not text.startswith("#!"):
        return Script(path, is_bounded, name if name in _RAW_TOOLS or name.startswith("check_") else "")
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    is_shell = bool(re.match(r"#!.*\b(ba|da|k|z)?sh\b", text))
    return Script(path, is_bounded or any(map(_TIMEOUT.search, lines)), _last_tool(lines) if is_shell else "")


def _last_tool(lines: Iterable[str]) -> str:
    """Return the tool whose exit code a shell script returns, if it is a plugin or one of `_RAW_TOOLS`; else empty."""
    last = "\n".join(lines).replace("\\\n", " ").rpartition("\n")[2]
    if _JOINED.search(last):
        return ""
    names = (token.rpartition("/")[2] for token in last.split() if not token.startswith("-"))
    tool = next((name for name in names if name not in _WRAPPERS and not re.fullmatch(r"timeout|[0-9.]+s?", name)), "")
    return tool if tool in _RAW_TOOLS or tool.startswith("check_") else ""
