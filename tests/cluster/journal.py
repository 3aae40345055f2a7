"""A node's journal, read from outside, where it outlives the node."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocf_systemd.sandbox import Sandbox

_FIELDS = ("MESSAGE", "SYSLOG_IDENTIFIER", "_PID", "_SYSTEMD_UNIT", "UNIT")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the journal; `unit` is the unit that logged it, or that systemd logged it about."""

    time_s: float
    identifier: str
    pid: str
    unit: str
    message: str

    def __str__(self) -> str:
        return f"{self.time_s:.3f} {self.identifier}[{self.pid}]: {self.message}"


class Journal:
    """A sandbox's journal: an open directory, which keeps its file system when the sandbox has ended.

    No process of ours follows it from within: at the end PID 1 would wait for that, a stranger's child, until it
    loses patience.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._directory: int | None = os.open(f"/proc/{sandbox.pid}/root/run/log/journal", os.O_RDONLY)
        self._kept: list[Entry] = []

    def read(self, since_s: float = 0.0) -> list[Entry]:
        """Return the entries from then up to now, in order; in seconds since the epoch."""
        if self._directory is None:
            return [entry for entry in self._kept if entry.time_s >= since_s]
        place = (f"--directory=/proc/self/fd/{self._directory}", f"--since=@{since_s:.6f}")
        form = ("--output=json", f"--output-fields={','.join(_FIELDS)}")
        lines = subprocess.run(
            ["journalctl", "--quiet", "--no-pager", *place, *form],
            pass_fds=(self._directory,),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        return [_entry(line) for line in lines.splitlines()]

    def close(self) -> None:
        """Let go of the file system, and keep what it held."""
        if self._directory is not None:
            self._kept = self.read()
            os.close(self._directory)
            self._directory = None


def _entry(line: bytes) -> Entry:
    fields: dict[str, object] = json.loads(line)
    message = fields.get("MESSAGE")
    if isinstance(message, list):  # journal-export-formats: what is no UTF-8 is a list of bytes
        message = bytes(message).decode(errors="replace")
    return Entry(
        time_s=int(str(fields.get("__REALTIME_TIMESTAMP", "0"))) / 1e6,
        identifier=str(fields.get("SYSLOG_IDENTIFIER", "")),
        pid=str(fields.get("_PID", "")),
        unit=str(fields.get("UNIT") or fields.get("_SYSTEMD_UNIT") or ""),
        message=str(message or ""),
    )
