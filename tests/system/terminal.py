"""A terminal that a test watches: what somebody sees who runs a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pexpect
import pyte
import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence


class Terminal:
    """What somebody sees who runs a command: the screens one after the other, and what was written to draw them."""

    def __init__(self, command: Sequence[str], size: tuple[int, int]) -> None:
        rows, columns = size
        self.raw = ""
        self.frames: list[list[str]] = []
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)
        self.child = pexpect.spawn(command[0], list(command[1:]), dimensions=size, encoding="utf-8", timeout=20)

    def look(self) -> bool:
        """Take in what comes next; False: it has ended."""
        try:
            text = self.child.read_nonblocking(4096, timeout=10)
        except pexpect.EOF:
            self.child.close()
            return False
        self.raw += text
        self._stream.feed(text)
        self.frames.append(list(self.screen.display))
        return True

    def look_for(self, *texts: str) -> list[str]:
        """Watch until one screen shows all these texts, and return that."""
        while self.look():
            if all(any(text in line for line in self.frames[-1]) for text in texts):
                return self.frames[-1]
        pytest.fail(f"{texts} were not shown together; the last screen: {self.frames[-1:]}")

    def watch(self) -> list[str]:
        """Watch to the end; return the last screen."""
        while self.look():
            pass
        return self.frames[-1]
