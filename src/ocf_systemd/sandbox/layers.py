"""Decides which of the host's directories a sandbox lays over its root one by one; no I/O.

It is needed because an overlay of `/` does not cross into what is mounted below it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_ROOT = PurePosixPath("/")
# The sandbox mounts file systems of its own there.
_FRESH = frozenset(map(PurePosixPath, ("/dev", "/proc", "/run", "/sys", "/tmp")))  # noqa: S108 - nothing is written
# What keeps files as a disk does, though the kernel lists it as "nodev".
_STORED_ELSEWHERE = frozenset({"9p", "cifs", "nfs", "nfs4", "overlay", "virtiofs", "zfs"})


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo: where something is mounted, and the type of its file system."""

    point: PurePosixPath
    file_system: str


def parse_mounts(mountinfo: str) -> tuple[Mount, ...]:
    """Read what /proc/self/mountinfo holds; proc(5) has its form."""
    return tuple(_parse_mount(line) for line in mountinfo.splitlines())


def _parse_mount(line: str) -> Mount:
    fields = line.split(" ")
    escaped, file_system = fields[4], fields[fields.index("-", 6) + 1]
    point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)
    return Mount(PurePosixPath(point), file_system)


def cgroup2_directory(mounts: Iterable[Mount]) -> PurePosixPath | None:
    """Return where the unified cgroup hierarchy is mounted, if it is."""
    return next((mount.point for mount in mounts if mount.file_system == "cgroup2"), None)


def choose_layers(
    mounts: Collection[Mount], *, file_systems: str, needed: Iterable[PurePosixPath]
) -> list[PurePosixPath]:
    """Return the directories to lay over the root, parents first.

    They are the mounts that keep files (`file_systems` is what /proc/filesystems holds), and those of the `needed`
    directories that would not be seen all the same.
    """
    on_disk = {line.strip() for line in file_systems.splitlines() if not line.startswith("nodev")} | _STORED_ELSEWHERE
    points = {mount.point for mount in mounts}
    kept = {mount.point for mount in mounts if mount.file_system in on_disk}
    shown = {point for point in kept if _FRESH.isdisjoint((point, *point.parents))} | {_ROOT}
    for directory in sorted(needed):
        if _nearest(directory, points | _FRESH | shown) not in shown:
            shown.add(directory)
    return sorted(shown - {_ROOT})


def _nearest(path: PurePosixPath, points: Collection[PurePosixPath]) -> PurePosixPath:
    return next(ancestor for ancestor in (path, *path.parents) if ancestor in points)
