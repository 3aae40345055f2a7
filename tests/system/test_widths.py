"""Terminals of 60, 80 and 120 columns: no view loses a word, and no command is broken into lines."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.system.box import Box

PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
WIDTHS = [pytest.param(width, id=f"{width}") for width in (60, 80, 120)]
ROWS = 200  # so that nothing scrolls away
FRAMES = re.compile("[─│╭╮╰╯━╺╸]")
TIMES = re.compile(r"\d+(\.\d+)?")  # which differ from run to run, as do pids
COMMANDS = ("", "doctor", "rehearse", "debug", "sandbox", "sandbox run", "install", "uninstall", "completion", "serve")
# Longer than the widest of these terminals.
HOOK_NAME = "a-hook-whose-name-is-as-long-as-a-name-should-never-be"
ADVICE = ("-o", "monitor_hook_args='one two three four five six seven eight nine ten eleven twelve thirteen fourteen'")


def squeezed(text: str) -> str:
    """Return a text without blanks, frames and numbers."""
    return re.sub(r"\s", "", TIMES.sub("#", FRAMES.sub(" ", text)))


def missing(lines: list[str], texts: Iterable[str]) -> list[str]:
    """Return the words of these texts that a screen does not show."""
    shown = squeezed("\n".join(lines))
    return [word for text in texts for word in text.split() if squeezed(word) not in shown]


class Screens:
    """Runs the program in the box, on a terminal and in a pipe."""

    def __init__(self, box: Box, measuring: Mapping[str, str]) -> None:
        self.box, self.measuring = box, measuring

    def screen(self, width: int, *arguments: str) -> list[str]:
        """Return the last screen of a command on a terminal."""
        environment = {"TERM": "xterm-256color", **self.measuring}
        return Terminal(self.box.sandbox.command([PROGRAM, *arguments], env=environment), (ROWS, width)).watch()

    def piped(self, *arguments: str) -> str:
        """Return the output of a command in a pipe."""
        return self.box.sandbox.run([PROGRAM, *arguments], env=self.measuring, timeout_s=60).stdout


@pytest.fixture
def screens(box: Box, measuring: Mapping[str, str]) -> Screens:
    return Screens(box, measuring)


@pytest.mark.parametrize("width", WIDTHS)
class TestWidths:
    def test_doctor(self, box: Box, screens: Screens, width: int) -> None:
        """A report has all texts, with each command of a fix in one piece: the terminal alone breaks its line."""
        unit = box.started("ExecStart=sleep infinity", "KillMode=none", "TimeoutStopSec=15min")
        arguments = ("doctor", unit, "--monitor-hook", box.hook("echo hm; exit 42", HOOK_NAME), *ADVICE)
        shown = screens.screen(width, *arguments)
        lines = screens.piped(*arguments).splitlines()
        texts = [re.sub("^(ok|warning|error|skipped) |^ +(why|fix) ", "", line) for line in lines]
        assert missing(shown, texts) == []
        document = json.loads(screens.piped(*arguments, "--json"))
        fixes = [line for check in document["checks"] for line in check["fix"]]
        assert any(len(line) > width for line in fixes)
        assert [line for line in fixes if line not in "".join(shown)] == []

    def test_debug(self, box: Box, screens: Screens, width: int) -> None:
        """A failed monitor has its reason, Pacemaker's response and the output of the hook."""
        told = "a line which is longer than a narrow terminal and which the hook has printed on its standard output"
        hook = box.hook(f"echo {told}; echo 'and why it failed' >&2; exit 4", HOOK_NAME)
        arguments = ("debug", "monitor", box.started(), "--monitor-hook", hook)
        shown = screens.screen(width, *arguments)
        document = json.loads(screens.piped(*arguments, "--json"))
        texts = [document[key] for key in ("action", "unit", "name", "meaning", "reason", "pacemaker")]
        texts += [command["outcome"] for command in document["commands"]]
        assert missing(shown, [*texts, told, "and why it failed", f"hook {HOOK_NAME}", "systemctl show"]) == []

    def test_what_debug_leaves(self, box: Box, screens: Screens, width: int) -> None:
        """The command that undoes a start is in one piece."""
        unit = box.service()
        shown = screens.screen(width, "debug", "start", unit)
        assert f"ocf-systemd debug stop {unit}" in "".join(shown)

    def test_rehearse(self, box: Box, screens: Screens, width: int) -> None:
        """A rehearsal has all texts, with each command in one piece."""
        hook = box.hook("exit 0", HOOK_NAME)
        unit = box.service("Type=oneshot", "ExecStart=false")
        arguments = ("rehearse", "--on-this-host", unit, "--monitor-hook", hook, *ADVICE)
        shown = screens.screen(width, *arguments)
        lines = screens.piped(*arguments).splitlines()
        texts = [re.sub("^(ok|warning|error|skipped) |^ +(why|fix) ", "", line) for line in lines]
        assert missing(shown, texts) == []
        fixes = [line[15:] for line in lines if "ocf-systemd debug" in line]
        assert fixes
        assert [line for line in fixes if line not in "".join(shown)] == []

    def test_help(self, screens: Screens, width: int) -> None:
        """Every help has all words."""
        for command in COMMANDS:
            wide = screens.screen(200, *command.split(), "--help")
            assert missing(screens.screen(width, *command.split(), "--help"), wide) == []
