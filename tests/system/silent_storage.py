"""Storage that has died: a file system that takes requests and never replies to them (FUSE, as NFS without its server).

A process that waits for it can be interrupted, until a signal is to kill it: then it is in uninterruptible sleep, for
its request has been taken (request_wait_answer() in the kernel's fs/fuse/dev.c).

This module is the program that serves the file system too: in the box, with the mount point as its argument.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.box import Box

PLACE = "/srv/silent"
READ = f"ls {PLACE}"
"""A command that waits for it."""

_REQUEST_HEADER = struct.Struct("=IIQQIII4x")  # fuse_in_header in linux/fuse.h: its third field is the request's number
_INIT_REPLY = struct.Struct("=IiQ IIII HHI 36x")  # fuse_out_header, fuse_init_out
_BUFFER = 1024 * 1024  # for any request
_MOUNTED, _TAKEN = b"mounted\n", b"taken\n"  # what the server reports: once, and for each request
_FIRST_REQUEST_WITHIN_S = 10.0


@dataclass(slots=True)
class SilentStorage:
    """The file system at `path`, and the process that serves it."""

    box: Box
    server: subprocess.Popen[bytes]
    path: str = PLACE

    def wait_until_in_use(self) -> None:
        """Wait until a request of a process has been taken: from then on that process cannot be killed."""
        assert self.server.stdout is not None
        readable, _, _ = select.select([self.server.stdout], [], [], _FIRST_REQUEST_WITHIN_S)
        assert readable, f"no process uses {self.path}"
        assert self.server.stdout.readline() == _TAKEN

    def revive(self) -> None:
        """Abort all requests, which then fail, and have an empty directory in its place."""
        if self.server.poll() is None:
            self.server.kill()
        self.server.wait(10)
        self.box.sh('while umount --lazy "$1" 2>/dev/null; do :; done', self.path, check=False)


@contextmanager
def silent_storage(box: Box) -> Iterator[SilentStorage]:
    """Mount it in a box for the time of the block; after that no process waits for it, and nothing is mounted."""
    box.sh('[ -c /dev/fuse ] || mknod /dev/fuse c 10 229; mkdir -p "$1"', PLACE)
    command = box.sandbox.command([sys.executable, "-I", __file__, PLACE])
    # Unbuffered, so that select() reports every line that has not been read.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0) as server:
        storage = SilentStorage(box, server)
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == _MOUNTED
            box.cannot_be_killed = READ
            yield storage
        finally:
            box.cannot_be_killed = ""
            storage.revive()


def _serve(mount_point: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40755,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"silent", os.fsencode(mount_point), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount(2)")
    _, _, number, *_ = _REQUEST_HEADER.unpack_from(os.read(device, _BUFFER))  # FUSE_INIT
    os.write(device, _INIT_REPLY.pack(_INIT_REPLY.size, 0, number, 7, 31, 0, 0, 16, 16, _BUFFER // 2))
    os.write(1, _MOUNTED)
    while True:
        os.read(device, _BUFFER)
        os.write(1, _TAKEN)


if __name__ == "__main__":
    _serve(sys.argv[1])
