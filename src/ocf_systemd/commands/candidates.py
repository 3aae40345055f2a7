"""What may stand at the cursor: units of this host, parameters and their values, files; a shell asks at each TAB.

What cannot be found out is left out: at the prompt nobody wants to read of it.
"""

import os
import pwd
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ocf_systemd.core.parameter_table import MONITOR_HOOK, MONITOR_HOOK_USER, TABLE, UNIT, Parameter
from ocf_systemd.core.parameter_values import UNIT_TYPES

# systemd.unit(5), "System Unit Search Path".
_UNIT_DIRECTORIES = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/run/systemd/generator"),
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
    Path("/lib/systemd/system"),
)
_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_SYSTEMCTL_TIMEOUT_S = 1.0
_DEFAULT_INSTANCE = re.compile(r"^DefaultInstance=(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What could stand at the cursor, whole, and what it is; one that ends in `=`, `/` or `@` is to be gone on with."""

    text: str
    description: str = ""


def units(incomplete: str) -> list[Candidate]:
    """Return the units that could be meant: those that systemd has loaded, and those that have a file.

    Of a template the instances that are known, and what they begin with.
    """
    found = dict.fromkeys(unit_files(_UNIT_DIRECTORIES), "")
    if _BOOTED.is_dir():
        found |= dict(_loaded())
    wanted = sorted(name for name in found if name.startswith(incomplete) and name != incomplete)
    return [Candidate(name, found[name]) for name in wanted]


def unit_files(directories: Iterable[Path]) -> Iterator[str]:
    """Yield the names that files in these directories give to units, and the links by which units are enabled.

    A template gives `NAME@`, and its default instance if it names one.
    """
    for directory in directories:
        with suppress(OSError):
            for entry in os.scandir(directory):
                stem, _, suffix = entry.name.rpartition(".")
                if suffix in {"wants", "requires"}:
                    yield from unit_files((Path(entry.path),))
                elif suffix in UNIT_TYPES and not stem.endswith("@"):
                    yield entry.name
                elif suffix in UNIT_TYPES:
                    yield stem
                    yield _default_instance(entry.path)


def _default_instance(template: str) -> str:
    """Return the instance that a template names itself, else the template's own beginning."""
    path = Path(template)
    with suppress(OSError):
        if match := _DEFAULT_INSTANCE.search(path.read_text(encoding="utf-8", errors="replace")):
            return path.stem + match[1] + path.suffix
    return path.stem


def _loaded() -> Iterator[tuple[str, str]]:
    """Yield the units that systemd has loaded, each with how it is and what it calls itself."""
    options = ("--all", "--plain", "--no-legend", "--no-pager", "--full", f"--type={','.join(UNIT_TYPES)}")
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            ["systemctl", "list-units", *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SYSTEMCTL_TIMEOUT_S,
        )
        for name, load, active, _, *description in (
            fields for line in done.stdout.splitlines() if len(fields := line.split(maxsplit=4)) >= len("NLAS")
        ):
            if load != "not-found":
                yield name, ", ".join((active, *description))


def assignments(incomplete: str) -> list[Candidate]:
    """Return the parameters that could be meant, or after `NAME=` the values of that one."""
    name, equals, value = incomplete.partition("=")
    if not equals:
        return [Candidate(f"{row.name}=", row.shortdesc) for row in TABLE if row.name.startswith(incomplete)]
    row = next((row for row in TABLE if row.name == name), None)
    found = values(row, value) if row else []
    return [Candidate(f"{name}={each.text}", each.description) for each in found]


def values(row: Parameter, incomplete: str) -> list[Candidate]:
    """Return values that a parameter could have."""
    if row is UNIT:
        return units(incomplete)
    if row is MONITOR_HOOK:
        return hooks(incomplete)
    known = sorted({user.pw_name for user in pwd.getpwall()}) if row is MONITOR_HOOK_USER else row.choices
    return [
        Candidate(value, "default" if value == row.default else "")
        for value in known or filter(None, (row.default,))
        if value.startswith(incomplete)
    ]


def hooks(incomplete: str) -> list[Candidate]:
    """Return the executables and directories that an absolute path could lead to."""
    return paths(incomplete, executable=True) if incomplete else [Candidate("/")]


def paths(incomplete: str, *, executable: bool = False, directories: bool = False) -> list[Candidate]:
    """Return the files that a path could lead to, and the directories; hidden ones to whoever types a dot."""
    head, slash, tail = incomplete.rpartition("/")
    found = []
    with suppress(OSError):
        for entry in os.scandir(Path(head + slash or ".").expanduser()):
            if not entry.name.startswith(tail) or (entry.name.startswith(".") and not tail) or _is_odd(entry.name):
                continue
            if entry.is_dir():
                found.append(f"{head}{slash}{entry.name}/")
            elif not directories and (not executable or os.access(entry.path, os.X_OK)):
                found.append(f"{head}{slash}{entry.name}")
    return [Candidate(path) for path in sorted(found)]


def _is_odd(name: str) -> bool:
    """Tell whether a name would not go through a shell's line unharmed."""
    return not name.isprintable()
