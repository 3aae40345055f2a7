"""The drop-in of a unit under the cluster's control: written below /run by start, removed by stop.

docs/design/start-and-stop.md describes when systemd loads it. Source: systemd.unit(5).
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


# Drop-ins apply in the order of their names over all directories: it must come after `override.conf`, which
# `systemctl edit` makes.
_DROP_IN_NAME, _OLD_DROP_IN_NAME = "zz-ocf-systemd.conf", "50-ocf-systemd.conf"


def drop_in_path(unit: str, run_directory: Path = Path("/run")) -> Path:
    """Return where the unit's drop-in is (systemd.unit(5))."""
    return run_directory / "systemd/system" / f"{unit}.d" / _DROP_IN_NAME


def units_with_drop_in(run_directory: Path = Path("/run")) -> list[str]:
    """Return the units that have a drop-in of this agent, also one of an older version."""
    found = (run_directory.glob(f"systemd/system/*.d/{name}") for name in (_DROP_IN_NAME, _OLD_DROP_IN_NAME))
    return sorted({path.parent.name.removesuffix(".d") for paths in found for path in paths})


def drop_in_text(unit: str) -> str:
    """Return the drop-in: at shutdown Pacemaker stops the unit before systemd does, and systemd never restarts it."""
    return _DROP_IN_UNIT + (_DROP_IN_SERVICE if unit.endswith(".service") else "")


def put_drop_in(unit: str, path: Path) -> bool:
    """Write the drop-in at `path` unless it is there already, and remove one of an older version.

    Returns whether anything has changed. Raises OSError.
    """
    old = _remove(path.with_name(_OLD_DROP_IN_NAME))
    text = drop_in_text(unit).encode()
    with suppress(FileNotFoundError):
        if path.read_bytes() == text:
            return old
    _make_directories(path.parent)
    write(path, text, 0o644)  # systemd reads no hidden file, so never half a drop-in; Pacemaker's umask is 0026
    return True


def _make_directories(directory: Path) -> None:
    if not directory.is_dir():
        _make_directories(directory.parent)
        with suppress(FileExistsError):
            directory.mkdir(0o755)
            directory.chmod(0o755)


def remove_drop_in(path: Path) -> bool:
    """Remove the drop-in at `path`, one of an older version, and their directory if it is empty.

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
    """Return whether systemd has loaded the drop-in at `path`, or none of this agent's, as wanted."""
    # NeedDaemonReload is not enough: systemd 252 overlooks a drop-in whose directory is new.
    return loaded_drop_ins(unit, path) == ({str(path)} if wanted else set()) and not unit.needs_daemon_reload


def loaded_drop_ins(unit: UnitState, path: Path) -> set[str]:
    """Return which drop-ins of this agent systemd has loaded: that at `path`, and one of an older version."""
    return {str(path), str(path.with_name(_OLD_DROP_IN_NAME))}.intersection(unit.drop_in_paths)
