"""The mounted file systems that can block any process that accesses them: FUSE, networks, automounts."""

import os
import re
import select

_TYPES = re.compile("fuse.*|nfs4?|cifs|smb3|9p|ceph|afs|autofs|virtiofs|gfs2|ocfs2|lustre|beegfs|gpfs|orangefs")
_OCTAL = re.compile(r"\\([0-7]{3})")


class MountTable:
    """The mount points of these file systems, read again only after a mount has changed (proc_pid_mountinfo(5))."""

    def __init__(self) -> None:
        self._descriptor = os.open("/proc/self/mountinfo", os.O_RDONLY)
        self._changes = select.poll()
        self._changes.register(self._descriptor, select.POLLPRI)
        self._mount_points: frozenset[str] | None = None

    def may_block(self) -> frozenset[str]:
        """Return the mount points of the file systems that can block, except the root."""
        if self._mount_points is None or self._changes.poll(0):
            self._mount_points = None  # poll() shows a change only once: if reading fails, the next call reads again
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            table = b""
            while chunk := os.read(self._descriptor, 64 * 1024):
                table += chunk
            self._mount_points = mount_points_that_may_block(os.fsdecode(table))
        return self._mount_points


def mount_points_that_may_block(table: str) -> frozenset[str]:
    """Return the mount points in a mountinfo whose topmost file system can block, except the root.

    If the root file system can block, every access can block, and nothing is gained by avoiding the root.
    """
    types: dict[str, str] = {}
    for line in filter(None, table.split("\n")):  # a mount point may contain the other line ends of splitlines()
        before, _, after = line.partition(" - ")
        types[before.split(" ")[4]] = after.partition(" ")[0]
    found = (mount_point for mount_point, name in types.items() if _TYPES.fullmatch(name) and mount_point != "/")
    return frozenset(_OCTAL.sub(lambda match: chr(int(match[1], 8)), mount_point) for mount_point in found)
