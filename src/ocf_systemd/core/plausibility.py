"""Finds times that are valid but hardly meant: seconds where milliseconds were meant, and the other way round.

The commands warn people who configure a resource of such times; the agent accepts them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ocf_systemd.core.durations import duration_s
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import INTERVAL, OPERATION_NAMES, Operations

PLAUSIBLE_S: Mapping[str, tuple[float, float]] = {"monitor_hook_timeout": (0.05, 600.0), "poll_interval": (0.01, 60.0)}
"""The range of plausible values, in seconds, of each parameter that is a duration."""

# The ranges of plausible values, in seconds. A timeout below 2 s is too short: Python must start, and the agent must
# report a reason (README).
_INTERVAL_S = (1.0, 3600.0)
_TIMEOUT_S = (2.0, 3600.0)
_MILLISECONDS_FROM = 1000  # a number without a unit looks like milliseconds if it is at least this
_PARTS = re.compile(r"([0-9.]+)\s*([a-z]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FarOff:
    """A time that is hardly meant: outside of its plausible range, or a large number without a unit.

    `name` is for people, as in `poll_interval` or `start timeout`, and `text` is the value. `meant` is the value that
    was probably meant, or empty: `SETTING=MEANT` sets it. `least_s` is the shortest timeout in seconds that the agent
    needs, if this timeout is shorter; otherwise it is 0.
    """

    name: str
    text: str
    seconds: float
    meant: str
    setting: str
    least_s: float = 0.0

    def __str__(self) -> str:
        """Return what was understood, and what may have been meant."""
        question = f"; did you mean {self.meant}?" if self.meant else ""
        least = f", less than the {self.least_s:g} s that the agent needs" if self.least_s else ""
        return f"{self.name}={self.text} is {_span(self.seconds)}{least}{question}"


def far_off(options: Mapping[str, str], operations: Operations, times: Mapping[str, str]) -> tuple[FarOff, ...]:
    """Return the parameters and the times of operations that are hardly meant; values that are no time are left out.

    `times` has the times of operations as text, where the text is known.
    """
    return (*_parameters(options), *_operations(operations, times))


def ineffective_hook_timeout(options: Mapping[str, str], operations: Operations) -> str:
    """Return a warning if monitor_hook_timeout has no effect, since the monitor's timeout is not longer; else empty."""
    text, timeout_s = options.get("monitor_hook_timeout", "").strip(), operations.timeout_s(Action.MONITOR)
    seconds = _seconds(text)
    if seconds is None or seconds < timeout_s:
        return ""
    return f"monitor_hook_timeout={text} is not below the monitor's timeout, {_span(timeout_s)}: it has no effect"


def _parameters(options: Mapping[str, str]) -> Iterator[FarOff]:
    for name, range_s in PLAUSIBLE_S.items():
        text = options.get(name, "").strip()
        if (seconds := _seconds(text)) is not None and not _is_plausible(text, seconds, range_s):
            yield FarOff(name, text, seconds, _meant(text, range_s), name)


def _operations(operations: Operations, times: Mapping[str, str]) -> Iterator[FarOff]:
    chosen = {**operations.configured, **operations.chosen}
    for name in (each for each in OPERATION_NAMES if each in chosen):
        seconds = chosen[name]
        text = times.get(name, f"{seconds:g}s").strip()
        is_interval = name == INTERVAL
        range_s = _INTERVAL_S if is_interval else _TIMEOUT_S
        if not _is_plausible(text, seconds, range_s):
            label = f"{Action.MONITOR} {INTERVAL}" if is_interval else f"{name} timeout"
            least_s = range_s[0] if seconds < range_s[0] and not is_interval else 0.0
            yield FarOff(label, text, seconds, _meant(text, range_s), f"op {label}", least_s)


def _seconds(text: str) -> float | None:
    try:
        return duration_s(text)
    except ValueError:
        return None


def _is_plausible(text: str, seconds: float, range_s: tuple[float, float]) -> bool:
    is_bare = text.isdigit() and int(text) >= _MILLISECONDS_FROM
    return range_s[0] <= seconds <= range_s[1] and not is_bare


def _meant(text: str, range_s: tuple[float, float]) -> str:
    """Return the same number in the unit that was probably meant; empty: that value would be out of range, too."""
    match = _PARTS.fullmatch(text)
    number, unit = (match[1], match[2].lower()) if match else ("", "")
    other = {"": "ms", "s": "ms", "sec": "ms", "ms": "s", "msec": "s"}.get(unit, "")
    seconds = _seconds(f"{number}{other}") if other else None
    return f"{number}{other}" if seconds is not None and range_s[0] <= seconds <= range_s[1] else ""


def _span(seconds: float) -> str:
    """Return a time in seconds, and a long one in minutes or hours as well."""
    for size_s, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size_s:
            return f"{seconds:g} s ({seconds / size_s:.0f} {unit})"
    return f"{seconds:g} s"
