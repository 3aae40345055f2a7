"""Installs and removes the files in this package's `share`: manual pages, completion, the journal's message catalogue.

Only files that this program installed are replaced or removed.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ocf_systemd.host import atomic_write
from ocf_systemd.host.commands import run_to_end
from ocf_systemd.host.programs import SEARCH_PATH
from ocf_systemd.install.ownership import is_ours, text_of

DEFAULT_SHARE = Path("/usr/local/share")
"""Where man(1), bash and zsh look for files that the administrator has installed."""
_FISH_COMPLETIONS = Path("/etc/fish/completions")  # fish(1) searches DEFAULT_SHARE only if XDG_DATA_DIRS has it
# journald searches this directory, and /usr/lib/systemd/catalog, which is for packages: catalog_file_dirs in catalog.c.
_CATALOG = Path("/usr/local/lib/systemd/catalog")
_CATALOG_TIMEOUT_S = 30.0

_SOURCE = Path(__file__).parent.parent / "share"
# Do not change the mark: files of earlier versions are recognized by it as well.
_MARK = "Put here by `ocf-systemd install`, removed by `ocf-systemd uninstall`"
_MANUAL_COMMENT, _SCRIPT_COMMENT = '.\\"', "#"
_CREATED_DIRECTORIES = re.compile(re.escape(_MARK) + r", with: (.*)$", re.MULTILINE)


def install(share: Path) -> tuple[str, ...]:
    """Install the files below a directory such as /usr/local/share; return warnings.

    The agent works without these files, so errors are only warnings. A file of another program is kept. If a file
    cannot be written, the remaining files are not installed.
    """
    try:
        with atomic_write.readable_for_all():
            return tuple(filter(None, [_install_file(file, share) for file in _files()]))
    except OSError as error:
        reason = f"manual pages and completion cannot be written below {share}: {error.strerror}"
        return (f"{reason}. The agent works without them; --share DIR installs them elsewhere",)


def installed_text(share: Path) -> str:
    """Return the texts of all installed files as one text, empty if there are none."""
    return "".join(text_of(path) for file in _files() if _is_ours(path := _destination(file, share)))


def remove(share: Path) -> int:
    """Remove the installed files and the directories that were created for them; return the number of files.

    Raises `OSError`.
    """
    installed = [path for file in _files() if _is_ours(path := _destination(file, share))]
    created = {directory for path in installed for directory in _created_directories(path)}
    for path in installed:
        path.unlink()
    for directory in sorted(created, reverse=True):
        with suppress(OSError):  # the directory has other files by now
            Path(directory).rmdir()
    if installed:
        update_catalog(share)
    return len(installed)


def _files() -> Iterator[Path]:
    """Yield the files, relative to `share`."""
    return (path.relative_to(_SOURCE) for path in sorted(_SOURCE.rglob("*")) if path.is_file())


def _destination(file: Path, share: Path) -> Path:
    elsewhere = {"fish": _FISH_COMPLETIONS, "systemd": _CATALOG} if share == DEFAULT_SHARE else {}
    return elsewhere[file.parts[0]] / file.name if file.parts[0] in elsewhere else share / file


def update_catalog(share: Path) -> str:
    """Make journalctl read the message catalogue again; return a warning, or an empty string.

    If this is interrupted, journalctl(1) has the messages as they were before.
    """
    if share != DEFAULT_SHARE:  # journald searches no catalogue below another directory
        return ""
    try:
        environment = {"PATH": SEARCH_PATH, "LC_ALL": "C"}
        done = run_to_end("journalctl", "--update-catalog", timeout_s=_CATALOG_TIMEOUT_S, environment=environment)
    except FileNotFoundError:  # there is no journal
        return ""
    except OSError as error:
        why = error.strerror or str(error)
    else:
        why = done.stderr.strip() if done.returncode else ""
    return f"the message catalogue is not updated, run it again: journalctl --update-catalog: {why}" if why else ""


def _install_file(file: Path, share: Path) -> str:
    """Install one file; return a warning, or an empty string."""
    path = _destination(file, share)
    if path.is_symlink() or path.exists():
        if not _is_ours(path):
            return "" if _is_link_into_this_environment(path) else f"skipped {path}: ocf-systemd did not install it"
        created = _created_directories(path)
    else:
        created = tuple(_create(path.parent))
    content = (_SOURCE / file).read_text(encoding="utf-8")
    comment = _MANUAL_COMMENT if file.parts[0] == "man" else _SCRIPT_COMMENT
    directories = f", with: {':'.join(created)}" if created else ""
    atomic_write.write(path, f"{content}{comment} {_MARK}{directories}\n".encode(), 0o644)
    return ""


def _create(directory: Path) -> Iterator[str]:
    """Create a directory and its missing parents; yield the created ones, the topmost first."""
    for each in (*reversed(directory.parents), directory):
        if not each.is_dir():
            each.mkdir()
            yield str(each)


def _created_directories(path: Path) -> tuple[str, ...]:
    """Return the directories that were created for an installed file: its mark lists them."""
    match = _CREATED_DIRECTORIES.search(path.read_text(encoding="utf-8", errors="replace"))
    return tuple(match[1].split(":")) if match else ()


def _is_ours(path: Path) -> bool:
    return not path.is_symlink() and is_ours(path, f"{_MANUAL_COMMENT} {_MARK}", f"{_SCRIPT_COMMENT} {_MARK}")


def _is_link_into_this_environment(path: Path) -> bool:
    """Return whether a file is a link into this environment, as pipx(1) creates for manual pages."""
    return path.is_symlink() and path.resolve().is_relative_to(Path(sys.prefix).resolve())
