"""Makes `ocf-systemd` a command of every user: links this environment's program into a directory of the usual PATH.

The link is relative. That distinguishes it from the links that pipx(1) and administrators make, which are kept.
"""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from ocf_systemd.host.atomic_write import readable_for_all
from ocf_systemd.host.programs import SEARCH_PATH
from ocf_systemd.install.ownership import is_ours

LINK = Path("/usr/local/bin/ocf-systemd")


def install() -> str:
    """Create or replace the link, unless the usual PATH leads to this program already.

    Returns a line for the user, which may be a warning; empty if no link is needed.
    """
    program = this_program()
    found = shutil.which(LINK.name, path=SEARCH_PATH)
    if program is None or (found and Path(found).resolve() == program.resolve()):
        return f"unchanged: {LINK}, a link to {program}" if _is_ours() else ""
    replace = f"ln -sfT {program} {LINK}"
    if (LINK.is_symlink() or LINK.exists()) and not _is_ours():
        return f"warning: {LINK} is another program, which ocf-systemd did not install. To replace it: {replace}"
    status = "updated:" if LINK.is_symlink() else "installed"
    try:
        _link(program)
    except OSError as error:
        return f"warning: {LINK} cannot be written: {error.strerror}. Call {program}"
    found = shutil.which(LINK.name, path=SEARCH_PATH)
    if found and Path(found) != LINK:
        return f"warning: {found} comes before {LINK} in the PATH, and is another program. Remove it, or call {LINK}"
    return f"{status} {LINK}, a link to {program}"


def remove() -> str:
    """Remove the link if it leads to this program or to nothing; return a line for the user, empty if it is kept.

    Raises OSError.
    """
    program = this_program()
    if not _is_ours() or (LINK.exists() and (program is None or LINK.resolve() != program.resolve())):
        return ""
    LINK.unlink()
    return f"removed {LINK}"


def this_program() -> Path | None:
    """Return the path of `ocf-systemd` in this environment, or else of the running program if it has that name.

    None: there is no such file, as with `python -m ocf_systemd`.
    """
    paths = (Path(sys.executable).with_name(LINK.name), Path(sys.argv[0]).absolute())
    return next((path for path in paths if path.name == LINK.name and os.access(path, os.X_OK)), None)


def _is_ours() -> bool:
    """Return whether the link is as `install` makes it, and leads to this program in any environment, or to nothing."""
    with suppress(OSError):
        target = LINK.readlink()
        if target.name == LINK.name and not target.is_absolute():
            return not LINK.exists() or is_ours(LINK, "from ocf_systemd")  # the import in its script
    return False


def _link(program: Path) -> None:
    """Create or replace the link atomically."""
    with readable_for_all():
        LINK.parent.mkdir(parents=True, exist_ok=True)
    # The kernel resolves a relative link from the directory that contains the link; LINK.parent may itself be a link to
    # that directory.
    target = os.path.relpath(program, LINK.parent.resolve())
    temporary = LINK.with_name(f".{LINK.name}.{os.urandom(8).hex()}")
    try:
        temporary.symlink_to(target)
        temporary.replace(LINK)
    finally:
        temporary.unlink(missing_ok=True)
