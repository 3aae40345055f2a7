"""Reports progress on standard error; on a terminal always on the same line."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")
_REPORTED_EVERY_S = 20.0


def tracked(what: str, items: Sequence[T]) -> Iterator[T]:
    """Yield the items, and report how many there have been."""
    is_terminal = sys.stderr.isatty()
    began = last = time.monotonic()
    for number, item in enumerate(items):
        if not number or is_terminal or time.monotonic() - last > _REPORTED_EVERY_S:
            last = time.monotonic()
            report(f"{what}: {number} of {len(items)}", ends=not is_terminal)
        yield item
    report(f"{what}: {len(items)} in {time.monotonic() - began:.0f} s")


def report(text: str, *, ends: bool = True) -> None:
    """Report something; the next report replaces it unless it ends the line."""
    click.echo(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, err=True, nl=ends)
