"""Puts the resident server's units where systemd looks for them, has systemd listen, and takes all that away again.

Only files that this program wrote are replaced or removed, unless told otherwise; what fails half-way is taken back.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ocf_systemd.client import SOCKET
from ocf_systemd.core.text import printable
from ocf_systemd.host.atomic_write import put
from ocf_systemd.install.agent_file import InstallationError, uninterrupted

SOCKET_UNIT, SERVICE_UNIT = "ocf-systemd.socket", "ocf-systemd.service"

_MARK = "# Put here by `ocf-systemd install --resident`, removed by `ocf-systemd uninstall`."
# docs/resident.md tells of each line why it is there, and what is not there.
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
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
"""
_SERVICE_TEXT = """\
{mark}

[Unit]
Description=Resident OCF resource agent
Requires=ocf-systemd.socket
# Ordered units stop in reverse: Pacemaker first, and only then this.
Before=pacemaker.service pacemaker_remote.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
Restart=on-failure
RestartSec=500ms
TimeoutStartSec=30s
WatchdogSec=30s
TimeoutStopSec=5s
KillMode=mixed
OOMPolicy=continue
TasksMax=infinity
"""
_CONTROL = re.compile(r"[\x01-\x1f\x7f]")
_NO_EXECUTABLE = re.compile(rf"""{_CONTROL.pattern}|['"\\]""")
_MODE = 0o644
_SYSTEMCTL_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the units stand, and what there is while systemd runs."""

    units: Path
    booted: Path
    """A directory that is there where systemd is the system manager (sd_booted(3))."""
    socket: Path

    @property
    def socket_file(self) -> Path:
        """The socket unit's file."""
        return self.units / SOCKET_UNIT

    @property
    def service_file(self) -> Path:
        """The service unit's file."""
        return self.units / SERVICE_UNIT

    @property
    def files(self) -> tuple[Path, Path]:
        """Both files."""
        return self.socket_file, self.service_file

    @property
    def wish(self) -> Path:
        """The link by which the socket is enabled."""
        return self.units / "sockets.target.wants" / SOCKET_UNIT


THIS_HOST = Place(Path("/etc/systemd/system"), Path("/run/systemd/system"), Path(SOCKET))
"""systemd.unit(5): the directory for units that the administrator installs."""


def set_up(place: Place, *, force: bool = False) -> str:
    """Put the units in place, enable and start them; return what was done, for people.

    Where systemd does not run, as in an image that is being built, the socket is enabled for the next boot. Units of
    ours that are there already are replaced, and the server goes on with the code of now. Raises `InstallationError`,
    and then nothing has changed. `force` replaces files of somebody else's.
    """
    for path in place.files:
        if path.is_symlink():  # as of a masked unit: the administrator's word against it
            raise InstallationError(
                f"{path} is a link; remove it first, by systemctl unmask {path.name} if it is masked"
            )
        if not force and path.exists() and not _is_ours(path):
            raise InstallationError(f"{path} is not a unit of ocf-systemd; --force replaces it")
    with _all_or_nothing(place) as before:
        _put_both(place)
        if not place.booted.is_dir():
            _systemctl("enable", SOCKET_UNIT)
            return f"set up {SERVICE_UNIT} for the next boot: systemd does not run here"
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", SOCKET_UNIT)
        _renew_socket(place, before)
        # Not by the first caller: whether the server starts at all is to show now.
        _systemctl("restart", SERVICE_UNIT)
    return f"set up {SERVICE_UNIT}, which listens on {place.socket} and runs the actions from now on"


def refresh(place: Place) -> str:
    """Bring units of ours up to date that start this interpreter; return what was done, or nothing, for people.

    What is not enabled or does not run is left so. Raises `InstallationError`, and then nothing has changed.
    """
    if not all(map(_is_ours, place.files)):
        return ""
    if _command_line_in(place.service_file) != command_line(sys.executable):
        return f"left {SERVICE_UNIT} to another installation's Python; --resident has this one serve"
    with _all_or_nothing(place) as before:
        _put_both(place)
        if not place.booted.is_dir():
            return f"renewed {SERVICE_UNIT} for the next boot: systemd does not run here"
        _systemctl("daemon-reload")
        _renew_socket(place, before)
        _systemctl("try-restart", SERVICE_UNIT)
    return f"renewed {SERVICE_UNIT}"


def is_set_up(place: Place) -> bool:
    """Return whether there is a unit of ours."""
    return any(map(_is_ours, place.files))


def remove(place: Place, *, force: bool = False) -> str:
    """Stop and remove the units that are ours; return what was done, or nothing, for people.

    Raises `InstallationError`. `force` removes units of somebody else's too.
    """
    paths = [path for path in place.files if _is_ours(path) or (force and _is_there(path))]
    if not paths:
        return ""
    runs = place.booted.is_dir()
    if place.socket_file in paths:
        _systemctl("disable", *(["--now"] if runs else []), SOCKET_UNIT)
    if runs:
        _systemctl("stop", *(path.name for path in paths))
    try:
        for path in paths:
            path.unlink()
        if place.socket_file in paths:
            place.socket.unlink(missing_ok=True)  # systemd removes it, but for one that it has lost
    except OSError as error:
        raise InstallationError(f"{error.filename} cannot be removed: {error.strerror}") from error
    if runs:
        _systemctl("daemon-reload")
        for path in paths:
            _try_systemctl("reset-failed", path.name)  # there is nothing to forget of one that has not failed
    return f"removed {' and '.join(map(str, paths))}"


def _put_both(place: Place) -> None:
    place.units.mkdir(parents=True, exist_ok=True)
    # While they are written their names are hidden, and systemd reads no hidden file.
    put(place.socket_file, _SOCKET_TEXT.format(mark=_MARK, socket=place.socket).encode(), _MODE)
    command = command_line(sys.executable)
    text = _SERVICE_TEXT.format(mark=_MARK, command=command)
    put(place.service_file, text.encode(errors="surrogateescape"), _MODE)


def _renew_socket(place: Place, before: Mapping[Path, bytes | None]) -> None:
    """Have a socket that listens by an older text listen by the newer one."""
    if before[place.socket_file] not in {None, place.socket_file.read_bytes()}:
        _systemctl("try-restart", SOCKET_UNIT)


@contextmanager
def _all_or_nothing(place: Place) -> Iterator[Mapping[Path, bytes | None]]:
    """Yield what the files hold; when the block raises, put that back, and have systemd go by it."""
    was_enabled = place.wish.is_symlink()
    try:
        before = {path: path.read_bytes() if path.exists() else None for path in place.files}
        try:
            yield before
        except BaseException:
            with uninterrupted():  # by a second Ctrl-C, say
                _take_back(place, before, was_enabled=was_enabled)
            raise
    except OSError as error:
        raise InstallationError(f"the units in {place.units} cannot be written: {error.strerror}") from error


def _take_back(place: Place, before: Mapping[Path, bytes | None], *, was_enabled: bool) -> None:
    """Undo as much as can be undone: what has failed may fail again."""
    runs = place.booted.is_dir()
    new = [path.name for path, content in before.items() if content is None]
    if not was_enabled and place.wish.is_symlink():
        _try_systemctl("disable", SOCKET_UNIT)
    if runs and new:
        _try_systemctl("stop", *new)
    with suppress(OSError):
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                put(path, content, _MODE)
    if runs:
        _try_systemctl("daemon-reload")
        for path, content in before.items():
            _try_systemctl("reset-failed" if content is None else "try-restart", path.name)


def _try_systemctl(*words: str) -> None:
    with suppress(InstallationError):
        _systemctl(*words)


def _systemctl(*words: str) -> None:
    """Call systemctl(1), which needs no running systemd to enable and disable; raise `InstallationError`."""
    command = ["systemctl", "--no-ask-password", *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SYSTEMCTL_TIMEOUT_S,
        )
    except FileNotFoundError:
        raise InstallationError("there is no systemctl here, and the server is systemd's to start") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallationError(f"systemctl {' '.join(words)} failed: {error}") from error
    if done.returncode:
        said = printable((done.stderr.strip().splitlines() or ["it said nothing"])[0]).rstrip(".")
        raise InstallationError(
            f"systemctl {' '.join(words)} failed: {said}. See what stands in journalctl --unit={SERVICE_UNIT}"
        )


def command_line(interpreter: str) -> str:
    """Return the server's command line as systemd.service(5) wants it.

    `:` leaves a `$` alone, `%%` is a per cent sign. systemd executes no path with quotes, backslashes or control
    characters in it, but passes them as arguments.
    """
    words = f"{_quoted(interpreter)} -I -m ocf_systemd serve"
    return f""":/bin/sh -c 'exec "$0" "$@"' {words}""" if _NO_EXECUTABLE.search(interpreter) else f":{words}"


def _quoted(word: str) -> str:
    escaped = word.replace("\\", r"\\").replace('"', r"\"").replace("%", "%%")
    return '"' + _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", escaped) + '"'


def _command_line_in(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    return next((line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart=")), "")


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _is_ours(path: Path) -> bool:
    with suppress(OSError):
        return _MARK in path.read_text(encoding="utf-8", errors="replace").splitlines()
    return False
