"""Converts durations to seconds: those of parameters and options (`20s`), and those of systemctl (`1min 30s`)."""

import re

# What crm_get_msec() in Pacemaker accepts, and fractions as well: a number, and a unit of _SECONDS_PER in either case.
# Without a unit, the number is in seconds. The caller removes blanks around the text: if the expression allowed them in
# two places, a value of 128 KiB would take a minute to match.
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]*)", re.IGNORECASE)
_DURATION_MAX_S = 24 * 3600.0
_SECONDS_PER = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6}
_SECONDS_PER |= {"m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}

# systemd.time(7), format_timespan() in time-util.c. The expression is compiled on use: a monitor reads no time span.
_TIMESPAN_SECONDS_PER = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TIMESPAN_SECONDS_PER |= {"month": 2629800.0, "y": 31557600.0}
_TIMESPAN_PART = rf"([0-9.]+)({'|'.join(_TIMESPAN_SECONDS_PER)})"


def duration_s(text: str) -> float:
    """Return the seconds of a duration such as `20`, `20s`, `1.5s`, `500ms` or `2min`: more than 0, at most a day.

    Raises ValueError, whose message completes the sentence "NAME='value' …".
    """
    match = _DURATION.fullmatch(text.strip())
    factor = _SECONDS_PER.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError("is not a duration, expected one such as 20, 20s, 1.5s, 500ms or 2min")
    seconds = float(match[1]) * factor
    if not seconds:
        raise ValueError("must be greater than zero")
    if seconds > _DURATION_MAX_S:
        raise ValueError("is longer than a day")
    return seconds


def timespan_s(text: str) -> float | None:
    """Return the seconds of a time span that systemctl printed: `math.inf` for `infinity`, None if it is not one."""
    if text in {"0", "infinity"}:
        return float(text)
    parts = [re.fullmatch(_TIMESPAN_PART, word) for word in text.split()]
    if not parts or None in parts:
        return None
    return sum(float(part[1]) * _TIMESPAN_SECONDS_PER[part[2]] for part in parts if part)
