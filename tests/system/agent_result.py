"""A call of the agent, and what it came to."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

REASON = "ocf-exit-reason:"


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What a call of the agent came to."""

    code: int
    stdout: str
    stderr: str
    elapsed_s: float

    @property
    def reasons(self) -> list[str]:
        """What Pacemaker would take for reasons."""
        return [line.partition(REASON)[2] for line in self.stderr.splitlines() if REASON in line]

    @property
    def reason(self) -> str:
        """The one that counts; empty: none was given."""
        return self.reasons[-1] if self.reasons else ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the agent that has begun."""

    action: str
    parameters: Mapping[str, str]
    process: subprocess.Popen[bytes]
    began: float
    before: Mapping[int, str]
    timeout_s: float
    is_probe: bool

    @property
    def unit(self) -> str:
        """The unit it is about."""
        return self.parameters.get("unit", "")

    @property
    def agent(self) -> int:
        """The agent's own process, as this host counts; it may be about to become that.

        Raises LookupError when the call has ended.
        """
        while self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children():
                return child.pid
        raise LookupError("the call has ended")

    def finish(self) -> AgentResult:
        """Wait for its end."""
        try:
            stdout, stderr = self.process.communicate(timeout=self.timeout_s + 10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        elapsed_s = time.monotonic() - self.began
        return AgentResult(
            self.process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"), elapsed_s
        )
