"""The units of `debian_units.toml` in a sandbox: their files, and programs that stand in for those of the packages."""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ocf_systemd.sandbox import Sandbox

    Settings = Mapping[str, str | list[str]]

SETTINGS = tomllib.loads(Path(__file__).with_name("debian_units.toml").read_text(encoding="utf-8"))
UNIT_PATH, PROGRAMS = "/usr/local/lib/systemd/system", "/usr/local/lib/programs"
HOOK = "/usr/local/lib/ocf-systemd/hooks/stopped"

# What belongs in the section [Unit] or [Install]; the rest is in the section of the unit's type (systemd.unit(5)).
_INSTALL = frozenset({"WantedBy", "RequiredBy", "UpheldBy", "Also", "Alias", "DefaultInstance"})
_UNIT = frozenset(
    {
        *("Requires", "Requisite", "BindsTo", "PartOf", "Wants", "Conflicts", "RefuseManualStart"),
        *("StartLimitBurst", "StartLimitIntervalSec", "ReloadPropagatedFrom", "DefaultDependencies"),
    }
)
_EVENTS = {"socket": "ListenStream=/run/{name}", "timer": "OnCalendar=yearly", "path": "PathExists=/none"}
_SHELLS_AND_SIGNALS = frozenset({"true", "sh", "kill", "start-stop-daemon", "mkdir", "sync"})

# The program of each service: it runs, or forks, or exits, as the unit's Type= needs it.
_PROGRAM = """#!/bin/sh
[ "$1" = stop ] && exit 0
case $TYPE in
notify) systemd-notify --ready && exec sleep infinity ;;
oneshot) exit 0 ;;
forking) sleep infinity & [ -z "$PID_FILE" ] || { mkdir -p "${PID_FILE%/*}" && echo $! >"$PID_FILE"; } ;;
*) exec sleep infinity ;;
esac
"""
# Commands for the cluster, and those that only show something or start an editor.
_SHOWING = (
    *("#", "pcs ", "ocf-systemd ", "ls ", "${EDITOR:-vi} ", "systemd-analyze "),
    *(f"systemctl {verb} " for verb in ("show", "cat", "status", "edit")),
)
_HOOK = "#!/bin/sh\n# of a stopped service, with a timeout\nexit 7\n"
# Instances that a generator starts with another unit.
_GENERATED = {"postfix@-.service": "postfix.service", "postgresql@15-main.service": "postgresql.service"}
_INIT_SCRIPT = """#!/bin/sh
### BEGIN INIT INFO
# Provides: {name}
# Required-Start:
# Required-Stop:
# Default-Start: {levels}
# Default-Stop:
### END INIT INFO
"""
# Runs the checks of units, given as JSON with the operations and the parameters, and prints the results as JSON.
_CHECK = """
import json, sys
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameters import read_parameters
from ocf_systemd.doctor.checks import run_checks
from ocf_systemd.doctor.collect import collect
from ocf_systemd.doctor.facts import Facts

names, operations, options = json.load(sys.stdin)
found = {}
for name in names:
    given = {"unit": name, **options}
    parameters = read_parameters({f"OCF_RESKEY_{key}": text for key, text in given.items()})
    facts = collect(Facts(given=name, operations=Operations(operations), parameters=parameters), given)
    found[name] = [[each.name, each.status, each.fix] for each in run_checks(facts)]
json.dump(found, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Findings:
    """The problems that doctor has found in a unit: their names, and the commands that fix them on this host."""

    names: frozenset[str]
    errors: frozenset[str] = frozenset()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DebianUnits:
    """A sandbox with the units of some packages, or of all."""

    sandbox: Sandbox
    packages: Sequence[str] = field(default_factory=lambda: tuple(SETTINGS))

    def install(self, *instances: str) -> None:
        """Write the units and their programs; enable what the packages enable, and these instances.

        multi-user.target refers to what it wants, as on a host that has booted.
        """
        self.write(f"{PROGRAMS}/.program", _PROGRAM, 0o755)
        self.write(HOOK, _HOOK, 0o755)
        self.sh("rm -rf /usr/lib/ocf")  # doctor reads all agents, which is not tested here
        self.write(f"{UNIT_PATH}/keeper.target", "[Unit]\nAfter=multi-user.target sockets.target timers.target\n")
        enabled = list(instances)
        for package in self.packages:
            settings = dict(SETTINGS[package])
            del settings["version"]
            enabled += settings.pop("enabled", "").split()
            for name, unit in settings.items():
                self._write_unit(name, unit)
        for instance in enabled:
            if by := _GENERATED.get(instance):
                self.link(f"{UNIT_PATH}/{by}.wants/{instance}", f"{UNIT_PATH}/{instance.partition('@')[0]}@.service")
        by_name = (name for name in enabled if name not in _GENERATED)
        self.sh(
            'systemctl daemon-reload; systemctl enable --quiet --force "$@"; systemctl start keeper.target', *by_name
        )

    def _write_unit(self, name: str, settings: Settings) -> None:
        if "Default-Start" in settings:
            self.write(
                f"/etc/init.d/{name}", _INIT_SCRIPT.format(name=name, levels=" ".join(settings["Default-Start"])), 0o755
            )
            for level in settings["Default-Start"]:
                self.link(f"/etc/rc{level}.d/S01{name}", f"../init.d/{name}")
            return
        for text in (line for key in ("ExecStart", "ExecStop") for line in _lines(settings.get(key, ()))):
            if (base := _program(text)) not in _SHELLS_AND_SIGNALS:
                self.link(f"{PROGRAMS}/{base}", ".program")
        self.write(f"{UNIT_PATH}/{name}", unit_file(name, settings))

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link in the sandbox; missing parents are created."""
        link = Path(f"/proc/{self.sandbox.pid}/root{path}")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in the sandbox; missing parents are created."""
        file = Path(f"/proc/{self.sandbox.pid}/root{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def sh(self, script: str, *arguments: str) -> str:
        """Run a script in the sandbox and return its output."""
        done = self.sandbox.run(["sh", "-ec", script, "sh", *arguments], timeout_s=120)
        assert done.returncode == 0, f"{script}: exit {done.returncode}, {done.stderr}"
        return done.stdout

    def apply(self, commands: Sequence[str]) -> None:
        """Run commands of doctor for many units: one `systemctl disable` for all of them, and one daemon-reload."""
        verb, reload = "systemctl disable ", "systemctl daemon-reload"
        disabled = [command for command in commands if command.startswith(verb)]
        others = [command for command in commands if command not in {*disabled, reload}]
        self.sh("\n".join([*others, verb + " ".join(each.removeprefix(verb) for each in disabled), reload]))

    def check(
        self, units: Sequence[str], checks: frozenset[str], operations: Mapping[str, float], **options: str
    ) -> dict[str, Findings]:
        """Return what these checks of doctor find in each unit."""
        given = json.dumps([units, operations, options])
        done = self.sandbox.run([sys.executable, "-c", _CHECK], input=given, timeout_s=400)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return {unit: _findings([each for each in found[unit] if each[0] in checks]) for unit in units}

    def states(self) -> dict[str, str]:
        """Return the state of each unit that is active, with its main process, and of each unit's files."""
        shown = self.sh("systemctl show --property=Id,ActiveState,MainPID '*.service' '*.socket' '*.target' '*.path'")
        units = (dict(line.partition("=")[::2] for line in block.splitlines()) for block in shown.split("\n\n"))
        active = {unit["Id"]: unit.get("MainPID", "") for unit in units if unit["ActiveState"] == "active"}
        files = self.sh("systemctl list-unit-files --plain --no-legend").splitlines()
        return active | {f"file of {line.split()[0]}": line.split()[1] for line in files}


def _findings(results: Iterable[tuple[str, str, Sequence[str]]]) -> Findings:
    found = [result for result in results if result[1] in {"warning", "error"}]
    lines = (line.partition("   # ")[0] for _, _, fix in found for line in fix)
    return Findings(
        frozenset(name for name, _, _ in found),
        frozenset(name for name, status, _ in found if status == "error"),
        tuple(line for line in lines if not line.startswith(_SHOWING)),
    )


def _lines(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def unit_file(name: str, settings: Settings) -> str:
    """Return the text of a unit file with these settings."""
    kind = name.rpartition(".")[2]
    sections: dict[str, list[str]] = {"Unit": [], kind.capitalize(): [], "Install": []}
    for key, value in settings.items():
        section = "Unit" if key in _UNIT else "Install" if key in _INSTALL else kind.capitalize()
        sections[section] += [f"{key}={_command(key, text)}" for text in _lines(value)]
    if kind == "service":
        main = sections["Service"]
        main += [f"Environment=TYPE={settings.get('Type', 'simple')} PID_FILE={settings.get('PIDFile', '')}"]
        main += ["NotifyAccess=all"] if settings.get("Type") == "notify" else []
    elif kind in _EVENTS:
        sections[kind.capitalize()].append(_EVENTS[kind].format(name=name))
    return "".join(f"[{section}]\n" + "".join(f"{line}\n" for line in lines) for section, lines in sections.items())


def _program(command: str) -> str:
    return command.partition(" ")[0].rpartition("/")[2]


def _command(key: str, text: str) -> str:
    """Return a setting; a package's program is one of ours, which gets `stop` as argument if it is to stop."""
    if key not in {"ExecStart", "ExecStop"}:
        return text
    base = _program(text)
    if base == "sh":
        return "/bin/sh -c 'exit 0'" if key == "ExecStop" else f"{PROGRAMS}/.program"
    if base in _SHELLS_AND_SIGNALS:
        return text if "/" in text else f"/bin/{text} /run"
    return f"{PROGRAMS}/{base}" + (" stop" if key == "ExecStop" else "")
