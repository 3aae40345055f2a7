"""Tells how far it is, on the error output: on a terminal always on the same line."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")
_TOLD_EVERY_S = 20.0


def told(what: str, items: Sequence[T]) -> Iterator[T]:
    """Yield the items, and tell how many there have been."""
    is_terminal = sys.stderr.isatty()
    began = last = time.monotonic()
    for number, item in enumerate(items):
        if not number or is_terminal or time.monotonic() - last > _TOLD_EVERY_S:
            last = time.monotonic()
            tell(f"{what}: {number} of {len(items)}", ends=not is_terminal)
        yield item
    tell(f"{what}: {len(items)} in {time.monotonic() - began:.0f} s")


def tell(text: str, *, ends: bool = True) -> None:
    """Tell something; the next thing is told in its place unless it ends the line."""
    click.echo(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, err=True, nl=ends)
