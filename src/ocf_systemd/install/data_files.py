"""Puts manual pages and completion where manual readers and shells look for them, and takes them away again.

The files are those below this package's `share`. Only what this program has put there is replaced or removed.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ocf_systemd.host import atomic_write

DEFAULT_SHARE = Path("/usr/local/share")
"""Where man(1), bash and zsh look for what the administrator has installed."""
_FISH_COMPLETIONS = Path(
    "/etc/fish/completions"
)  # where fish(1) does, which knows that directory by XDG_DATA_DIRS alone

_SOURCE = Path(__file__).parent.parent / "share"
_MARK = "Put here by `ocf-systemd install`, removed by `ocf-systemd uninstall`"
_MADE = re.compile(re.escape(_MARK) + r", with: (.*)$", re.MULTILINE)


def put(share: Path) -> tuple[str, ...]:
    """Put the files below a directory such as /usr/local/share; return warnings.

    Nothing hangs on them: what cannot be written, or is somebody else's, is left, and told.
    """
    umask = os.umask(0o022)  # everybody is to read them
    try:
        return tuple(filter(None, (_put(place, share) for place in _places())))
    except OSError as error:
        return (f"manual pages and completion cannot be written below {share}: {error.strerror}",)
    finally:
        os.umask(umask)


def take_away(share: Path) -> int:
    """Remove the files that are ours, with the directories that were made for them; return how many there were.

    Raises `OSError`.
    """
    ours = [path for place in _places() if _is_ours(path := _destination(place, share))]
    made = {each for path in ours for each in _made_for(path)}
    for path in ours:
        path.unlink()
    for directory in sorted(made, reverse=True):
        with suppress(OSError):  # somebody else has put something there
            Path(directory).rmdir()
    return len(ours)


def _places() -> Iterator[Path]:
    """Yield the files' places below `share`."""
    return (path.relative_to(_SOURCE) for path in sorted(_SOURCE.rglob("*")) if path.is_file())


def _destination(place: Path, share: Path) -> Path:
    is_fish = share == DEFAULT_SHARE and place.parts[0] == "fish"
    return _FISH_COMPLETIONS / place.name if is_fish else share / place


def _put(place: Path, share: Path) -> str:
    """Put one file in place, in one step; return a warning, or nothing."""
    path = _destination(place, share)
    if path.is_symlink() or path.exists():
        if not _is_ours(path):
            return "" if _leads_here(path) else f"left {path} as it is, which is not ours"
        made = _made_for(path)
    else:
        made = tuple(_make(path.parent))
    content = (_SOURCE / place).read_text(encoding="utf-8")
    comment = '.\\"' if place.parts[0] == "man" else "#"
    with_directories = f", with: {':'.join(made)}" if made else ""
    atomic_write.put(path, f"{content}{comment} {_MARK}{with_directories}\n".encode(), 0o644)
    return ""


def _make(directory: Path) -> Iterator[str]:
    """Make a directory and those above it that are missing; yield them, the topmost first."""
    for each in (*reversed(directory.parents), directory):
        if not each.is_dir():
            each.mkdir()
            yield str(each)


def _made_for(path: Path) -> tuple[str, ...]:
    """Return the directories that were made for a file of ours, as it says itself."""
    match = _MADE.search(path.read_text(encoding="utf-8"))
    return tuple(match[1].split(":")) if match else ()


def _is_ours(path: Path) -> bool:
    with suppress(OSError, UnicodeDecodeError):
        return not path.is_symlink() and _MARK in path.read_text(encoding="utf-8")
    return False


def _leads_here(path: Path) -> bool:
    """Tell whether a file is a link to this environment's own, as pipx(1) makes for manual pages."""
    return path.is_symlink() and path.resolve().is_relative_to(Path(sys.prefix).resolve())
