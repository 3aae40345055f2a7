"""Time spans as systemctl prints them: `1min 30s` (systemd.time(7), format_timespan() in time-util.c)."""

import re

_SECONDS_PER = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SECONDS_PER |= {"month": 2629800.0, "y": 31557600.0}
_PART = re.compile(rf"([0-9.]+)({'|'.join(_SECONDS_PER)})")


def timespan_s(text: str) -> float | None:
    """Return the seconds of a time span, `math.inf` of infinity; None: it is none."""
    if text in {"0", "infinity"}:
        return float(text)
    parts = [_PART.fullmatch(word) for word in text.split()]
    if not parts or None in parts:
        return None
    return sum(float(part[1]) * _SECONDS_PER[part[2]] for part in parts if part)
