"""The drop-in of a unit under the cluster's control: a file below /run that changes settings of the unit.

A start writes the drop-in, a stop removes it. docs/design/start-and-stop.md describes when systemd loads it. Source:
systemd.unit(5).
"""

from contextlib import suppress
from pathlib import Path

from ocf_systemd.core.observations import UnitState
from ocf_systemd.host.atomic_write import write

_DROP_IN_UNIT = """\
# Written by ocf-systemd when the cluster starts this unit, removed when the cluster stops it.
[Unit]
Before=pacemaker.service pacemaker_remote.service
"""


_DROP_IN_SERVICE = """\

[Service]
Restart=no
RestartForceExitStatus=
"""


# systemd applies the drop-ins of all directories in the order of their names. This one must come after `override.conf`,
# which `systemctl edit` creates.
_DROP_IN_NAME, _OLD_DROP_IN_NAME = "zz-ocf-systemd.conf", "50-ocf-systemd.conf"


def drop_in_path(unit: str, run_directory: Path = Path("/run")) -> Path:
    """Return the path of the unit's drop-in (systemd.unit(5))."""
    return run_directory / "systemd/system" / f"{unit}.d" / _DROP_IN_NAME


def units_with_drop_in(run_directory: Path = Path("/run")) -> list[str]:
    """Return the units that have a drop-in of this agent, or of an older version of it."""
    found = (run_directory.glob(f"systemd/system/*.d/{name}") for name in (_DROP_IN_NAME, _OLD_DROP_IN_NAME))
    return sorted({path.parent.name.removesuffix(".d") for paths in found for path in paths})


def drop_in_text(unit: str) -> str:
    """Return the drop-in: at shutdown Pacemaker stops the unit before systemd does, and systemd never restarts it."""
    return _DROP_IN_UNIT + (_DROP_IN_SERVICE if unit.endswith(".service") else "")


def put_drop_in(unit: str, path: Path) -> bool:
    """Write the drop-in at `path` unless that file is up to date, and remove the drop-in of an older version.

    Returns whether anything has changed. Raises OSError.
    """
    old = _remove(path.with_name(_OLD_DROP_IN_NAME))
    text = drop_in_text(unit).encode()
    with suppress(FileNotFoundError):
        if path.read_bytes() == text:
            return old
    _make_directories(path.parent)
    # systemd ignores hidden files such as the temporary one, so it never reads half a drop-in. The mode is set
    # explicitly, because Pacemaker's umask is 0026.
    write(path, text, 0o644)
    return True


def _make_directories(directory: Path) -> None:
    if not directory.is_dir():
        _make_directories(directory.parent)
        with suppress(FileExistsError):
            directory.mkdir(0o755)
            directory.chmod(0o755)


def remove_drop_in(path: Path) -> bool:
    """Remove the drop-in at `path`, that of an older version, and their directory if it is then empty.

    Returns whether anything has changed. Raises OSError.
    """
    removed = [_remove(path), _remove(path.with_name(_OLD_DROP_IN_NAME))]
    if any(removed):
        with suppress(OSError):
            path.parent.rmdir()
    return any(removed)


def _remove(path: Path) -> bool:
    """Remove a file; return whether there was one. Raises OSError."""
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def has_loaded(unit: UnitState, path: Path, *, wanted: bool) -> bool:
    """Return whether the drop-ins that systemd has loaded are up to date.

    If the drop-in at `path` is `wanted`, systemd must have loaded that one, otherwise no drop-in of this agent.
    """
    # NeedDaemonReload alone is not enough: systemd 252 overlooks a drop-in whose directory is new.
    return loaded_drop_ins(unit, path) == ({str(path)} if wanted else set()) and not unit.needs_daemon_reload


def loaded_drop_ins(unit: UnitState, path: Path) -> set[str]:
    """Return the paths of the drop-ins of this agent that systemd has loaded, that of an older version included."""
    return {str(path), str(path.with_name(_OLD_DROP_IN_NAME))}.intersection(unit.drop_in_paths)
