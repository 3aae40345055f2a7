"""A diagnosis where nobody watches a screen: a line for each check, below it how to mend; no escape codes."""

import sys
import textwrap
from collections.abc import Iterator
from typing import TextIO

from ocf_systemd.core.text import printable
from ocf_systemd.doctor import text
from ocf_systemd.doctor.checks import Diagnosis

_WIDTH = 80
_NAME_WIDTH = 16
_INDENT = " " * 6


def lines(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield the lines of a diagnosis, what is to be mended last; commands stand as they are, however long."""
    yield text.headline(diagnosis.facts)
    for name, sound in diagnosis.sound:
        yield from _filled(f"{text.SOUND:<6}{name:<{_NAME_WIDTH}}", printable(sound.told))
    for name, finding in diagnosis.findings:
        yield from _filled(f"{text.FOUND:<6}{name:<{_NAME_WIDTH}}", printable(finding.what))
        yield from _filled(f"{_INDENT}why   ", printable(finding.why))
        for number, line in enumerate(finding.mend):
            yield f"{_INDENT}{'' if number else 'mend':<6}{printable(line)}"
    yield text.summary(diagnosis)


def _filled(first: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def write(diagnosis: Diagnosis, stream: TextIO | None = None) -> None:
    """Write a diagnosis."""
    for line in lines(diagnosis):
        print(line, file=stream or sys.stdout)
