"""Short constructors of observations: units, hooks, commands; and Python in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ocf_systemd.core.observations import (
    ActiveState,
    CommandOutcome,
    Exited,
    HookAttempted,
    LoadState,
    NotStarted,
    Signalled,
    TimedOut,
    UnitState,
)
from ocf_systemd.core.parameter_table import PREFIX
from ocf_systemd.core.parameters import Parameters, read_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from signal import Signals

    from ocf_systemd.agent.events import Event

UNIT = "postfix@-.service"
HOOK = "/usr/local/lib/hooks/smtp"
UNTIL_ASLEEP = "until head -c 5 /proc/$!/cmdline | grep -q ^sleep; do sleep 0.02; done"
"""For a hook: wait until the last process that it started in the background has executed sleep(1).

Before that the process has the command line of the hook's shell.
"""

BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Unicode's Bidi_Control property, all of it."""


def unit_in(
    active: ActiveState, load: LoadState = LoadState.LOADED, *, has_job: bool = False, can_reload: bool = False
) -> UnitState:
    return UnitState(UNIT, load, active, has_job=has_job, can_reload=can_reload)


def exited(code: int, stderr: bytes = b"", hook: str = HOOK) -> HookAttempted:
    return HookAttempted(hook, Exited(0.1, stderr=stderr, code=code))


def died(signal: Signals, hook: str = HOOK) -> HookAttempted:
    return HookAttempted(hook, Signalled(0.1, signal=signal))


def timed_out(elapsed_s: float = 9.0, hook: str = HOOK) -> HookAttempted:
    return HookAttempted(hook, TimedOut(elapsed_s))


def not_started(hook: str = HOOK) -> HookAttempted:
    return HookAttempted(hook, NotStarted(11, "Resource temporarily unavailable"))


def parameters(unit: str = UNIT, **values: str) -> Parameters:
    """Return what Pacemaker's environment would give, parsed."""
    return read_parameters({f"{PREFIX}unit": unit, **{PREFIX + name: value for name, value in values.items()}})


def printed(text: str, code: int = 0) -> CommandOutcome:
    return Exited(0.01, stdout=text.encode(), code=code)


@cache
def is_one_line(text: str) -> bool:
    """Return whether a text is one line that moves no cursor and turns no writing direction."""
    unwanted = {"Cc", "Cs", "Zl", "Zp"}  # control characters, surrogates, line and paragraph separators
    return not set(text) & set(BIDI_CONTROLS) and unwanted.isdisjoint(map(unicodedata.category, text))


def is_xml_character(character: str) -> bool:
    """Return whether XML 1.0 allows a character ("Char" in its grammar)."""
    code = ord(character)
    return code in {0x9, 0xA, 0xD} or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


@dataclass
class Heard:
    """A reporter that keeps all events."""

    facts: list[Event] = field(default_factory=list)

    def report(self, fact: Event) -> None:
        self.facts.append(fact)


def executable(path: Path, text: str, mode: int = 0o755) -> Path:
    """Write a file that can be run."""
    path.write_text(text)
    path.chmod(mode)
    return path


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def run_python(
    code: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    prefix: Sequence[str] = (),
    timeout_s: float = 30.0,
) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own, by a command if need be; its output is text whatever bytes come."""
    return subprocess.run(
        [*prefix, sys.executable, *options, "-c", code, *arguments],
        env={"PATH": os.defpath} if env is None else env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
        timeout=timeout_s,
    )
