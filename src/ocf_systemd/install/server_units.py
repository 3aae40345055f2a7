"""Installs, upgrades and removes the systemd units of the resident server: a socket unit and a service unit.

Without `force` only units that this program installed are replaced or removed. An installation or upgrade that fails
is rolled back. If a package of the distribution contains the units, they are only enabled and disabled.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ocf_systemd import __version__
from ocf_systemd.client import SOCKET
from ocf_systemd.core.text import printable
from ocf_systemd.host.atomic_write import readable_for_all, write
from ocf_systemd.host.commands import run_to_end
from ocf_systemd.host.signals import uninterrupted
from ocf_systemd.host.systemctl import is_booted
from ocf_systemd.install.agent_file import InstallationError
from ocf_systemd.install.ownership import describe_change, is_ours, text_of, version_line

SOCKET_UNIT, SERVICE_UNIT = "ocf-systemd.socket", "ocf-systemd.service"

# Do not change the mark: units of earlier versions are recognized by it as well.
_MARK = "# Put here by `ocf-systemd install --resident`, removed by `ocf-systemd uninstall`."
# docs/resident.md explains each line, and which directives are left out.
_SOCKET_TEXT = """\
{mark}

[Unit]
Description=Socket of the resident OCF resource agent
Before=pacemaker.service pacemaker_remote.service
StartLimitIntervalSec=0

[Socket]
ListenStream={socket}
SocketUser=root
SocketGroup=root
SocketMode=0600
Backlog=4096
RemoveOnStop=yes
FlushPending=yes
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
"""
_SERVICE_TEXT = """\
{mark}
{version}

[Unit]
Description=Resident OCF resource agent
Requires=ocf-systemd.socket
# Units stop in the reverse of their order: Pacemaker before this unit.
Before=pacemaker.service pacemaker_remote.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
Restart=on-abnormal
RestartSec=500ms
TimeoutStartSec=30s
WatchdogSec=30s
TimeoutStopSec=5s
KillMode=mixed
OOMPolicy=continue
TasksMax=infinity
"""
_CONTROL = re.compile(r"[\x01-\x1f\x7f]")
_NOT_EXECUTABLE = re.compile(rf"""{_CONTROL.pattern}|['"\\]""")
_MODE = 0o644
_SYSTEMCTL_TIMEOUT_S = 120.0


class UnitPaths:
    """The paths of the units' files in `directory`, and of the server's socket in `run_directory` (`/run`).

    `enabling_link` is the link that exists while the socket unit is enabled. `packaged_service_file` is the service
    unit of a package of the distribution.
    """

    def __init__(self, directory: Path, run_directory: Path, packages: Path = Path("/usr/lib/systemd/system")) -> None:
        self.directory, self.run_directory = directory, run_directory
        self.packaged_service_file = packages / SERVICE_UNIT
        self.socket = run_directory / Path(SOCKET).name
        self.socket_file = directory / SOCKET_UNIT
        self.service_file = directory / SERVICE_UNIT
        self.files = (self.socket_file, self.service_file)
        self.enabling_link = directory / "sockets.target.wants" / SOCKET_UNIT


THIS_HOST = UnitPaths(Path("/etc/systemd/system"), Path(SOCKET).parent)
"""The paths on this host; systemd.unit(5): /etc/systemd/system is for units that the administrator installs."""


def install(paths: UnitPaths, *, force: bool = False) -> str:
    """Install or replace the units, enable the socket and start the server; return a message for the user.

    Where systemd is not running, as while an image is built, the socket is enabled for the next boot. A running server
    is restarted, so that it runs the installed code. Raises `InstallationError`, and then nothing has changed. `force`
    replaces units of others.
    """
    for path in paths.files:
        if path.is_symlink():  # a masked unit, for example: the administrator has decided against it
            raise InstallationError(
                f"{path} is a link. Remove it first (if the unit is masked: systemctl unmask {path.name})"
            )
        if not force and path.exists() and not _is_ours(path):
            raise InstallationError(f"{path} is not a unit of ocf-systemd; --force replaces it")
    with _rollback_on_failure(paths) as before:
        if not are_packaged(paths):
            _write_units(paths)
        if not is_booted(paths.run_directory):
            _systemctl("enable", SOCKET_UNIT)
            return f"{_change(paths, before)}; systemd is not running here: enabled from the next boot on"
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", SOCKET_UNIT)
        _restart_changed_socket(paths, before)
        # The first client would start the server, too. But a server that cannot start must fail the installation.
        _systemctl("restart", SERVICE_UNIT)
    return f"{_change(paths, before)}; the server listens on {paths.socket}"


def upgrade(paths: UnitPaths) -> str:
    """Upgrade units that this installation installed; return a message for the user, empty if there are none.

    Units of another installation are kept. A unit that is disabled or stopped stays so. Raises `InstallationError`, and
    then nothing has changed.
    """
    if not all(map(_is_ours, paths.files)):
        enabled = are_packaged(paths) and paths.enabling_link.is_symlink()
        return f"unchanged: {SOCKET_UNIT} of the package" if enabled else ""
    if _command_line_in(paths.service_file) != command_line(sys.executable):
        return f"kept {SERVICE_UNIT} of another installation; --resident replaces it"
    with _rollback_on_failure(paths) as before:
        _write_units(paths)
        if not is_booted(paths.run_directory):
            return f"{_change(paths, before)}; systemd is not running here: in effect from the next boot on"
        _systemctl("daemon-reload")
        _restart_changed_socket(paths, before)
        _systemctl("try-restart", SERVICE_UNIT)
    return _change(paths, before)


def are_packaged(paths: UnitPaths) -> bool:
    """Return whether a package contains the units of this installation, and no other units take their place."""
    no_others = not any(path.is_symlink() or path.exists() for path in paths.files)
    return no_others and _command_line_in(paths.packaged_service_file) == command_line(sys.executable)


def is_installed(paths: UnitPaths) -> bool:
    """Return whether this program installed any of the units."""
    return any(map(_is_ours, paths.files))


def remove(paths: UnitPaths, *, force: bool = False) -> str:
    """Stop and remove the units that this program installed; return a message for the user, empty if there are none.

    Raises `InstallationError`. `force` removes units of others too.
    """
    files = [path for path in paths.files if _is_ours(path) or (force and (path.is_symlink() or path.exists()))]
    packaged = are_packaged(paths) and paths.enabling_link.is_symlink()
    if not files and not packaged:
        return ""
    booted = is_booted(paths.run_directory)
    if packaged or paths.socket_file in files:
        _systemctl("disable", *(["--now"] if booted else []), SOCKET_UNIT)
    if booted:
        _systemctl("stop", *(path.name for path in (paths.files if packaged else files)))
    if packaged:
        return f"disabled {SOCKET_UNIT}"
    try:
        for path in files:
            path.unlink()
        if paths.socket_file in files:
            paths.socket.unlink(missing_ok=True)  # systemd removes the socket, unless it no longer knows the unit
    except OSError as error:
        raise InstallationError(f"{error.filename} cannot be removed: {error.strerror}") from error
    if booted:
        _systemctl("daemon-reload")
        for path in files:
            _try_systemctl("reset-failed", path.name)  # this fails for a unit that has not failed
    return f"removed {' and '.join(map(str, files))}"


def _write_units(paths: UnitPaths) -> None:
    paths.directory.mkdir(parents=True, exist_ok=True)
    # systemd reads no hidden file, so it never reads a temporary one.
    for path, text in zip(paths.files, unit_texts(_MARK, paths.socket), strict=True):
        write(path, text.encode(errors="surrogateescape"), _MODE)


def unit_texts(mark: str, socket: Path) -> tuple[str, str]:
    """Return the texts of the socket unit and of the service unit, which begin with a mark."""
    version, command = version_line(__version__), command_line(sys.executable)
    service = _SERVICE_TEXT.format(mark=mark, version=version, command=command)
    return _SOCKET_TEXT.format(mark=mark, socket=socket), service


def _change(paths: UnitPaths, before: Mapping[Path, bytes | None]) -> str:
    """Return how the service unit has changed, as the beginning of a message."""
    if are_packaged(paths):
        return f"enabled {SOCKET_UNIT} of the package"
    old = (before[paths.service_file] or b"").decode(errors="replace")
    return f"{describe_change(old, text_of(paths.service_file))} {SERVICE_UNIT}"


def _restart_changed_socket(paths: UnitPaths, before: Mapping[Path, bytes | None]) -> None:
    """Restart an active socket unit whose file has changed."""
    if before[paths.socket_file] and before[paths.socket_file] != paths.socket_file.read_bytes():
        _systemctl("try-restart", SOCKET_UNIT)


@contextmanager
def _rollback_on_failure(paths: UnitPaths) -> Iterator[Mapping[Path, bytes | None]]:
    """Yield the content of the unit files; if the block raises, restore the files and make systemd load them."""
    was_enabled = paths.enabling_link.is_symlink()
    try:
        before = {path: path.read_bytes() if path.exists() else None for path in paths.files}
        try:
            with readable_for_all():
                yield before
        except BaseException:
            with uninterrupted():  # a second Ctrl-C must not end the rollback
                _roll_back(paths, before, was_enabled=was_enabled)
            raise
    except OSError as error:
        raise InstallationError(f"the units in {paths.directory} cannot be written: {error.strerror}") from error


def _roll_back(paths: UnitPaths, before: Mapping[Path, bytes | None], *, was_enabled: bool) -> None:
    """Undo as much as possible. Errors are ignored, because what has failed once may fail again."""
    booted = is_booted(paths.run_directory)
    new = [path.name for path, content in before.items() if content is None]
    if not was_enabled and paths.enabling_link.is_symlink():
        _try_systemctl("disable", SOCKET_UNIT)
    if booted and new:
        _try_systemctl("stop", *new)
    with suppress(OSError):
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                write(path, content, _MODE)
    if booted:
        _try_systemctl("daemon-reload")
        for path, content in before.items():
            _try_systemctl("reset-failed" if content is None else "try-restart", path.name)


def _try_systemctl(*arguments: str) -> None:
    with suppress(InstallationError):
        _systemctl(*arguments)


def _systemctl(*arguments: str) -> None:
    """Call systemctl(1), which can enable and disable units without a running systemd. Raises `InstallationError`."""
    try:
        done = run_to_end("systemctl", "--no-ask-password", *arguments, timeout_s=_SYSTEMCTL_TIMEOUT_S)
    except FileNotFoundError:
        raise InstallationError("the resident server needs systemd, and systemctl is not installed here") from None
    except OSError as error:
        raise InstallationError(f"systemctl {' '.join(arguments)} failed: {error}") from error
    if done.returncode:
        reason = printable((done.stderr.strip().splitlines() or ["without a message"])[0]).rstrip(".")
        raise InstallationError(
            f"systemctl {' '.join(arguments)} failed: {reason}. See journalctl --unit={SERVICE_UNIT}"
        )


def command_line(interpreter: str) -> str:
    """Return the server's command line in the syntax of systemd.service(5).

    `:` prevents the expansion of `$`; `%%` is a per cent sign. systemd refuses to execute a path that contains
    quotes, backslashes or control characters, but accepts such a path as an argument: in that case /bin/sh executes it.
    """
    arguments = f"{_quoted(interpreter)} -I -m ocf_systemd serve"
    return f""":/bin/sh -c 'exec "$0" "$@"' {arguments}""" if _NOT_EXECUTABLE.search(interpreter) else f":{arguments}"


def _quoted(argument: str) -> str:
    escaped = argument.replace("\\", r"\\").replace('"', r"\"").replace("%", "%%")
    return '"' + _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", escaped) + '"'


def _command_line_in(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="surrogateescape").split("\n") if file.exists() else []
    return next((line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart=")), "")


def _is_ours(path: Path) -> bool:
    return is_ours(path, _MARK)
