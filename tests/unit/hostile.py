"""Hostile text for hypothesis to combine, and a check that none of it is in the output."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.unit.builders import is_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

FORGED = "ocf-exit-reason:forged"

# Line ends of all kinds, sequences with their ends and without, directions, other alphabets; and what one of the many
# parsers on the way might take for its own: quotes, formats, markup, assignments, units, lists.
_PIECES = (
    *(FORGED, "ocf-exit-", "reason:", "ERROR: forged", "\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"),
    *("\x1b", "\x1b[31m", "\x1b[2J", "\x1b]0;title\x07", "\x1bP1$r\x1b\\", "\x9b", "\x9b2J", "\x07", "\x08", "\x7f"),
    *("\u202e", "\u2066", "\u200f", "\u061c", "ü", "世", "🎉", "\ufffe", "\U000e0001", "\t", " ", "'", '"', "\\", "`"),
    *(
        "$(id)",
        ";",
        "%s",
        "{0}",
        "[red]",
        "[/red]",
        ":smile:",
        "&amp;",
        "<x>",
        "a",
        "0",
        "9",
        "-",
        "@",
        ".",
        "/",
        "../",
    ),
    *("LoadState=", "ActiveState=", "=", ",", "Job for ", " failed.", "x" * 300, " " * 300, "9" * 300),
)

TEXT_AS_BYTES: st.SearchStrategy[bytes] = st.one_of(
    st.lists(st.sampled_from(_PIECES), max_size=10).map(lambda pieces: "".join(pieces).encode()),
    st.binary(max_size=60),
)
"""What a program may print."""

VALUE: st.SearchStrategy[str] = TEXT_AS_BYTES.map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
"""What an environment variable may hold: any bytes but NUL, and those that are no UTF-8 as surrogates."""


def unclean(lines: Iterable[str]) -> list[str]:
    """Return the lines that are not one line, or that could move a cursor or turn a direction."""
    return [line for line in lines if not is_one_line(line)]
