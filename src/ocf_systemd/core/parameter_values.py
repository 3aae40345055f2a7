"""Parses the values of parameters. Each function raises ValueError whose message completes "NAME='value' …"."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from ocf_systemd.core.durations import duration_s

UNIT_TYPES = ("service", "socket", "mount", "timer", "path", "target")
_OTHER_UNIT_TYPES = ("automount", "device", "scope", "slice", "swap")
UNIT_NAME_MAX = 255  # UNIT_NAME_MAX in unit-name.h, less the final NUL
UNIT_CHARACTERS = re.compile(r"[A-Za-z0-9:_.\\@-]+")  # unit-name.c: VALID_CHARS and "@"

# ocf_is_true() in ocf-shellfuncs, crm_str_to_boolean() in Pacemaker.
_BOOLEANS = dict.fromkeys(("yes", "true", "on", "1", "y"), True) | dict.fromkeys(
    ("no", "false", "off", "0", "n"), False
)


def unit_name(text: str) -> str:
    """Return a unit's full name; a name without a suffix gets `.service` (systemd.unit(5), unit-name.c)."""
    if not UNIT_CHARACTERS.fullmatch(text):
        raise ValueError("has characters that a unit name cannot have (allowed: letters, digits and :-_.\\@)")
    if text.startswith(("-", "@", ".")):
        raise ValueError(f"starts with {text[0]!r}, which the name of a unit must not")
    stem, _, suffix = text.rpartition(".")
    if suffix in _OTHER_UNIT_TYPES and stem:
        raise ValueError(f"is a {suffix} unit, expected one of {', '.join(UNIT_TYPES)}")
    name = text if stem and suffix in UNIT_TYPES else f"{text}.service"
    if len(name) > UNIT_NAME_MAX:
        raise ValueError(f"is longer than {UNIT_NAME_MAX} characters, the longest unit name")
    if name.rpartition(".")[0].endswith("@") and name.count("@") == 1:
        raise ValueError("is a template, expected an instance of it, as in getty@tty1")
    return name


def boolean(text: str) -> bool:
    """Return the boolean that a word stands for in ocf-shellfuncs and Pacemaker."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("is neither yes nor no") from None


def whole_number(text: str) -> int:
    """Return a non-negative integer."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError("must be a non-negative integer")
    return int(text)


def optional_duration_s(text: str) -> float | None:
    """Return the seconds of a duration, or None for an empty text."""
    return duration_s(text) if text else None


def absolute_path(text: str) -> str | None:
    """Return an absolute path, or None for an empty text."""
    if not text:
        return None
    if not PurePosixPath(text).is_absolute():
        raise ValueError("is not an absolute path")
    return text


def arguments(text: str) -> tuple[str, ...]:
    """Return arguments, split by the quoting rules of the shell."""
    if not text:
        return ()
    import shlex  # only if there are arguments: each import slows a monitor down

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"cannot be split into arguments: {error}") from None


def user(text: str) -> str | None:
    """Return a user's name or number, or None for an empty text."""
    # useradd(8) allows fewer names, but directory services allow these. Options and paths must not pass.
    if text and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,254}\$?", text):
        raise ValueError("is not a user name or number")
    return text or None


def one_of(*values: str) -> Callable[[str], str]:
    """Return a function that returns a text that is one of these values, and raises ValueError for any other."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"is not one of {', '.join(values)}")
        return text

    return parse
