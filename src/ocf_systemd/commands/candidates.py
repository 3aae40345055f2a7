"""Finds the candidates for completion: units, resources of the cluster, parameters and their values, files.

A candidate that ends in `=`, `/` or `@` is only the beginning of a word: the shell adds no space after it. Errors are
ignored, because a message would disturb the shell's prompt.
"""

import os
import pwd
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from click.shell_completion import CompletionItem

from ocf_systemd.core.operations import OPERATION_NAMES
from ocf_systemd.core.parameter_table import MONITOR_HOOK, MONITOR_HOOK_USER, TABLE, UNIT, Parameter
from ocf_systemd.core.parameter_values import UNIT_TYPES

# The directories of unit files: systemd.unit(5), "System Unit Search Path".
_UNIT_DIRECTORIES = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/run/systemd/generator"),
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
    Path("/lib/systemd/system"),
)
_QUERY_TIMEOUT_S = 1.0  # for a query of systemd or of the cluster
_DEFAULT_INSTANCE = re.compile(r"^DefaultInstance=(\S+)", re.MULTILINE)


def units(incomplete: str) -> "list[CompletionItem[str]]":
    """Return the matching units: those that systemd has loaded, and those that have a file.

    The candidates for a template are its known instances and `NAME@`, to which the user adds an instance.
    """
    found = known_units()
    wanted = sorted(name for name in found if name.startswith(incomplete) and name != incomplete)
    return [CompletionItem(name, help=found[name]) for name in wanted]


def known_units() -> dict[str, str]:
    """Return the known units by name: a loaded unit with its state and description, others with an empty text."""
    return dict.fromkeys(unit_files(_UNIT_DIRECTORIES), "") | dict(_loaded_units())


def resources(incomplete: str) -> "list[CompletionItem[str]]":
    """Return the matching resources of the cluster on this host, each with its unit."""
    from ocf_systemd.host.cluster import configured_resources

    with suppress(OSError):
        return [
            CompletionItem(each.id, help=f"{each.agent}, {each.unit}")
            for each in configured_resources(_QUERY_TIMEOUT_S)
            if each.unit and each.id.startswith(incomplete)
        ]
    return []


def operations(incomplete: str) -> "list[CompletionItem[str]]":
    """Return the matching names of operations, each with an equals sign."""
    return [CompletionItem(f"{name}=") for name in OPERATION_NAMES if name.startswith(incomplete)]


def unit_files(directories: Iterable[Path]) -> Iterator[str]:
    """Yield the names of the units that have a file in these directories, or a link in a `.wants` or `.requires` there.

    For a template it yields `NAME@` and the default instance, if the template has one.
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
    """Return the name of a template's default instance, or `NAME@` if the template has none."""
    path = Path(template)
    with suppress(OSError):
        if match := _DEFAULT_INSTANCE.search(path.read_text(encoding="utf-8", errors="replace")):
            return path.stem + match[1] + path.suffix
    return path.stem


def _loaded_units() -> Iterator[tuple[str, str]]:
    """Yield each unit that systemd has loaded, with its state and description; nothing if systemd does not run."""
    from ocf_systemd.host.commands import run_to_end

    options = ("--all", "--plain", "--no-legend", "--no-pager", "--full", f"--type={','.join(UNIT_TYPES)}")
    with suppress(OSError):
        done = run_to_end("systemctl", "list-units", *options, timeout_s=_QUERY_TIMEOUT_S)
        for name, load, active, _, *description in (
            fields for line in done.stdout.splitlines() if len(fields := line.split(maxsplit=4)) >= len("NLAS")
        ):
            if load != "not-found":
                yield name, ", ".join((active, *description))


def assignments(incomplete: str) -> "list[CompletionItem[str]]":
    """Return the matching parameters, or after `NAME=` the matching values of that parameter."""
    name, equals, value = incomplete.partition("=")
    if not equals:
        return [CompletionItem(f"{row.name}=", help=row.shortdesc) for row in TABLE if row.name.startswith(incomplete)]
    row = next((row for row in TABLE if row.name == name), None)
    found = values(row, value) if row else []
    return [CompletionItem(f"{name}={each.value}", help=each.help) for each in found]


def values(row: Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    """Return the matching values of a parameter."""
    if row is UNIT:
        return units(incomplete)
    if row is MONITOR_HOOK:
        return hooks(incomplete)
    known = sorted({user.pw_name for user in pwd.getpwall()}) if row is MONITOR_HOOK_USER else row.choices
    return [
        CompletionItem(value, help="default" if value == row.default else "")
        for value in known or filter(None, (row.default,))
        if value.startswith(incomplete)
    ]


def hooks(incomplete: str) -> "list[CompletionItem[str]]":
    """Return the executables and directories that match an absolute path."""
    return paths(incomplete, executable=True) if incomplete else [CompletionItem("/")]


def paths(incomplete: str, *, executable: bool = False, directories: bool = False) -> "list[CompletionItem[str]]":
    """Return the matching files and directories; hidden ones only if the typed name begins with a dot."""
    head, slash, tail = incomplete.rpartition("/")
    found = []
    with suppress(OSError):
        for entry in os.scandir(Path(head + slash or ".").expanduser()):
            is_hidden = entry.name.startswith(".") and not tail
            if is_hidden or not entry.name.startswith(tail) or not entry.name.isprintable():
                continue
            if entry.is_dir():
                found.append(f"{head}{slash}{entry.name}/")
            elif not directories and (not executable or os.access(entry.path, os.X_OK)):
                found.append(f"{head}{slash}{entry.name}")
    return [CompletionItem(path) for path in sorted(found)]
