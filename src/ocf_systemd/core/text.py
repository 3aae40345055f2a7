"""Text from outside that is safe to show: in a terminal, a log, an exit reason, XML."""

import re

# Characters that could move a cursor, break a line or turn its direction: C0, C1, line and paragraph separators, bidi
# controls. Also characters that XML 1.0 does not allow ("Char" in its grammar), because Pacemaker puts reasons into the
# CIB.
_UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]+")

# CSI and OSC sequences are removed as a whole: if only the ESC were removed, "[31m" would remain as text.
_ESCAPE_SEQUENCE = re.compile("(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")


def printable(text: str | bytes) -> str:
    r"""Return text that is safe in a terminal, a log, a reason and XML 1.0: one line, no control characters.

    A byte that is not UTF-8 becomes `\xff` or the like, also if a string from the environment has a surrogate for it.
    """
    raw = _encoded(text) if isinstance(text, str) else text
    decoded = raw.decode(errors="backslashreplace")
    return _UNPRINTABLE.sub("", _ESCAPE_SEQUENCE.sub("", decoded).replace("\t", " ")).strip()


def printed_lines(stream: bytes) -> list[str]:
    """Return the lines of a command's stream that have printable text, each as `printable` returns it."""
    return list(filter(None, map(printable, stream.splitlines())))


def _encoded(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a surrogate that does not represent a byte
        return text.encode(errors="backslashreplace")
