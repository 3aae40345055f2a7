"""Chooses the directories of the host that need an overlay of their own in a sandbox, without I/O.

An overlay of `/` does not include the file systems that are mounted below it, so some of these need one as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_ROOT = PurePosixPath("/")
# The directories on which the sandbox mounts file systems of its own.
_FRESH = frozenset(map(PurePosixPath, ("/dev", "/proc", "/run", "/sys", "/tmp")))  # noqa: S108 - nothing is written
# Types of file systems that have persistent files although the kernel lists them as "nodev".
_NODEV_STORAGE = frozenset({"9p", "cifs", "nfs", "nfs4", "overlay", "virtiofs", "zfs"})


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo: the mount point and the type of the file system."""

    point: PurePosixPath
    file_system: str


def parse_mounts(mountinfo: str) -> tuple[Mount, ...]:
    """Parse the content of /proc/self/mountinfo (proc(5))."""
    # Only LF ends a line: a mount point may contain the other characters at which splitlines() would split.
    return tuple(map(_parse_mount, filter(None, mountinfo.split("\n"))))


def _parse_mount(line: str) -> Mount:
    fields = line.split(" ")
    escaped, file_system = fields[4], fields[fields.index("-", 6) + 1]
    point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)
    return Mount(PurePosixPath(point), file_system)


def cgroup2_directory(mounts: Iterable[Mount]) -> PurePosixPath | None:
    """Return the mount point of the unified cgroup hierarchy, if it is mounted."""
    return next((mount.point for mount in mounts if mount.file_system == "cgroup2"), None)


def choose_layers(
    mounts: Collection[Mount], *, file_systems: str, needed: Iterable[PurePosixPath]
) -> list[PurePosixPath]:
    """Return the directories that need an overlay, parents first.

    They are the mount points of file systems with persistent files (`file_systems` is the content of
    /proc/filesystems), and those `needed` directories that the sandbox would not show otherwise.
    """
    on_disk = {line.strip() for line in file_systems.splitlines() if not line.startswith("nodev")} | _NODEV_STORAGE
    points = {mount.point for mount in mounts}
    kept = {mount.point for mount in mounts if mount.file_system in on_disk}
    shown = {point for point in kept if _FRESH.isdisjoint((point, *point.parents))} | {_ROOT}
    for directory in sorted(needed):
        if _nearest(directory, points | _FRESH | shown) not in shown:
            shown.add(directory)
    return sorted(shown - {_ROOT})


def _nearest(path: PurePosixPath, points: Collection[PurePosixPath]) -> PurePosixPath:
    return next(ancestor for ancestor in (path, *path.parents) if ancestor in points)
