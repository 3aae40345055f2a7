"""Reads the links that start a unit, unit files, drop-ins, D-Bus activation files and hooks. Changes nothing.

`unit_path` in these functions is systemd's list of the directories of unit files: the first one has precedence.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ocf_systemd.core.suggestions import most_similar
from ocf_systemd.doctor.facts import Edge
from ocf_systemd.doctor.parse import bus_service_unit, restart_in, started_in

_ADMINISTRATOR_PATHS = ("/etc/systemd/system", "/run/systemd/system")
# The suffix of a directory of links, and the property in which a linked unit names the unit that starts it.
_RELATIONS = {"wants": "WantedBy", "requires": "RequiredBy", "upholds": "UpheldBy"}
_STARTING_TYPES = (".service", ".socket", ".target", ".timer", ".path", ".mount")
_DEV_NULL = Path("/dev/null")
_TEXT_MAX = 64 * 1024  # bytes

# Of several files with the same name, D-Bus uses the one in the first of these directories (dbus-daemon(1),
# <standard_system_servicedirs/>).
_BUS_DIRECTORIES = tuple(
    Path(root, "dbus-1/system-services") for root in ("/etc", "/run", "/usr/local/share", "/usr/share", "/lib")
)


def starting_links(unit_path: Sequence[str]) -> Mapping[str, tuple[Edge, ...]]:
    """Return the links in .wants/ and similar directories, by the name of the unit that they start.

    A link to /dev/null hides the same link in the directories that follow in `unit_path`.
    """
    found: dict[str, dict[tuple[str, str], Edge | None]] = {}
    for wants in (entry for directory in unit_path for entry in _entries(Path(directory), *_RELATIONS)):
        by, _, kind = wants.name.rpartition(".")
        for link in filter(Path.is_symlink, _entries(wants)):
            edge = None if link.readlink() == _DEV_NULL else Edge(_RELATIONS[kind], by, str(link))
            found.setdefault(link.name, {}).setdefault((by, kind), edge)
    return {name: tuple(filter(None, edges.values())) for name, edges in found.items()}


def linked_instances(unit_path: Sequence[str], prefix: str) -> tuple[str, ...]:
    """Return the instances of a template that links in .wants/ directories start: their names begin with `prefix`."""
    wants = (entry for directory in unit_path for entry in _entries(Path(directory)) if entry.suffix == ".wants")
    return tuple(link.name for entry in wants for link in _entries(entry) if link.name.startswith(prefix))


def starts(unit_path: Sequence[str], by: str, names: Iterable[str]) -> bool:
    """Return whether the unit file or a drop-in of the unit `by` starts a unit with one of these names."""
    stem, at, rest = by.partition("@")
    template = f"{stem}@.{rest.rpartition('.')[2]}" if at else by
    paths = [Path(directory, name) for directory in unit_path for name in {by, template}]
    files = (file for path in paths for file in (path, *_entries(path.with_name(f"{path.name}.d"))))
    return not frozenset(names).isdisjoint(name for file in files for name in started_in(read_text(str(file)) or ""))


def units_that_start(unit_path: Sequence[str], names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return for each of these units the units whose files start it, whether or not systemd has loaded the files."""
    found: dict[str, dict[str, None]] = {name: {} for name in names}
    files = (file for directory in unit_path for file in _entries(Path(directory), *_STARTING_TYPES))
    for file in files if found else ():
        text = read_text(str(file)) or ""
        if any(name in text for name in found):
            for name in found.keys() & set(started_in(text)):
                found[name][file.name] = None
    return {name: tuple(units) for name, units in found.items()}


def is_from_administrator(link: str) -> bool:
    """Return whether `systemctl disable` removes a link, because it is not from a package or a generator."""
    return any(link.startswith(f"{directory}/") for directory in _ADMINISTRATOR_PATHS)


def alias_link(unit_path: Sequence[str], name: str) -> str:
    """Return the link that makes a name an alias, if `systemctl disable` removes the link; else empty."""
    links = (f"{directory}/{name}" for directory in unit_path)
    link = next((link for link in links if Path(link).is_symlink()), "")
    return link if is_from_administrator(link) else ""


def hiding_drop_in(unit_path: Sequence[str], names: Sequence[str], drop_in: Path) -> str:
    """Return a file that hides the agent's drop-in: it has the same name in an earlier directory; empty: none."""
    before = unit_path[: unit_path.index(str(drop_in.parent.parent))] if str(drop_in.parent.parent) in unit_path else ()
    paths = (Path(directory, f"{name}.d", drop_in.name) for directory in before for name in names)
    return next((str(path) for path in paths if path.is_symlink() or path.exists()), "")


def later_restarts(drop_ins: Sequence[str], drop_in: Path) -> tuple[str, ...]:
    """Return the drop-in whose Restart= replaces the agent's Restart=no; empty: there is none.

    This is the last drop-in that sorts after the agent's and sets Restart=, unless it sets `no`.
    """
    last: tuple[str, ...] = ()
    for path in drop_ins:
        if Path(path).name > drop_in.name and (setting := restart_in(read_text(path) or "")):
            last = () if setting == "no" else (path,)
    return last


def unread_drop_ins(unit_path: Sequence[str], names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the drop-ins of the unit's names that systemd has not loaded, except for empty files."""
    loaded = {Path(path).name for path in known}
    found: dict[str, str] = {}
    for directory in unit_path:
        for name in names:
            for path in _entries(Path(directory, f"{name}.d")):
                if path.suffix == ".conf" and path.name not in loaded:
                    found.setdefault(path.name, str(path))
    return tuple(path for path in found.values() if read_text(path))


def bus_files(names: Iterable[str]) -> tuple[str, ...]:
    """Return the D-Bus activation files that start one of these units."""
    effective: dict[str, Path] = {}
    for directory in _BUS_DIRECTORIES:
        for path in _entries(directory):
            effective.setdefault(path.name, path)
    wanted = frozenset(names)
    return tuple(str(path) for path in effective.values() if bus_service_unit(read_text(str(path)) or "") in wanted)


def read_text(path: str) -> str | None:
    """Return the first 64 KiB of a text file.

    None: the file is binary, it is not a regular file, or it cannot be read without waiting.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            head = file.read(_TEXT_MAX) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b"\0"
    except OSError:
        return None
    return None if b"\0" in head else head.decode(errors="replace")


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a named pipe, or for the holder of a lease."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def is_directory(path: str) -> bool:
    """Return whether a path is a directory."""
    return Path(path).is_dir()


def similar_executable(path: str) -> str:
    """Return the executable with the most similar name in the directory of a missing path; empty: there is none."""
    if os.path.lexists(path):
        return ""
    files = (each for each in _entries(Path(path).parent) if each.is_file() and os.access(each, os.X_OK))
    found = {file.name: str(file) for file in files}
    return found.get(most_similar(Path(path).name, found), "")


def _entries(directory: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the entries of a directory, sorted by name; if suffixes are given, only the entries with one of them."""
    with suppress(OSError):
        names = os.listdir(directory)  # noqa: PTH208 - names sort many times faster than paths
        yield from (directory / name for name in sorted(names) if not suffixes or name.endswith(suffixes))
