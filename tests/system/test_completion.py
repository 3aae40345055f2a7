"""Completion in real shells, driven by TAB on a terminal."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.box import Box

PROGRAM = Path(sys.executable).with_name("ocf-systemd")
MARK = "ready to type"
# Only what a user's start-up file contains, so that shells behave the same on every machine.
SHELLS = {
    "bash": (("bash", "--norc"), "PS1='$ '; bind 'set enable-bracketed-paste off'; eval \"$({} bash)\""),
    "zsh": (("zsh", "-f"), "PS1='$ '; autoload -U compinit; compinit -u -D; eval \"$({} zsh)\""),
    "fish": (("fish", "--no-config"), "function fish_prompt; echo -n '$ '; end; {} fish | source"),
}
ESCAPES = re.compile(r"\x1b\[[0-9;?<>=]*[A-Za-z]|\x1b[=>]|\x1b[()]B|\x1b\][^\x07]*\x07|\x07|\r")
WITHIN_S = 10.0
# In place of the program: completes as it does, but only notes the arguments that it is called with.
NOTING = f"""#!/bin/sh
[ -z "$_OCF_SYSTEMD_COMPLETE" ] || exec {PROGRAM} "$@"
printf '<%s>' "$@" >/run/test/words.new; mv /run/test/words.new /run/test/words
"""
NAMES = (
    "$(touch $PWNED)",
    "`touch $PWNED`",
    "';touch $PWNED;'",
    '";touch $PWNED;"',
    ";touch $PWNED&",
    "|touch $PWNED",
    "(touch $PWNED)",
    r"\$(touch $PWNED)",
    "!!",
    "${HOME}",
    "{x,y}",
    "*",
)
QUOTES = {"bash": ("", "'", '"'), "zsh": ("", "'", '"'), "fish": ("", "'")}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A shell at its prompt."""

    child: pexpect.spawn[str]
    shell: str

    def complete(self, typed: str, *expected: str, then: str = "\x15") -> str:
        """Type this text and one or two TABs, and wait until all expected texts are shown; return the output.

        `then` is typed after that: by default Ctrl-U, which discards the line.
        """
        self.child.send(f"{typed}\t")
        shown, deadline, tabs = "", time.monotonic() + WITHIN_S, 1
        while not all(each in shown for each in expected):
            try:
                shown += ESCAPES.sub("", self.child.read_nonblocking(4096, timeout=1))
            except pexpect.TIMEOUT:
                assert time.monotonic() < deadline, f"not shown: {expected}, but {shown!r}"
                if tabs < 2:
                    self.child.send("\t")
                    tabs += 1
        self.child.send(then)
        return shown


@pytest.fixture(params=SHELLS)
def prompt(request: pytest.FixtureRequest, box: Box) -> Iterator[Prompt]:
    command, start_up = SHELLS[request.param]
    path = f"{PROGRAM.parent}:/usr/bin:/bin"
    environment = {"PATH": path, "TERM": "xterm", "HOME": "/root", "COLUMNS": "120"}
    argv = box.sandbox.command(command, env=environment, terminal=True)
    child = pexpect.spawn(argv[0], argv[1:], dimensions=(40, 120), encoding="utf-8", timeout=WITHIN_S)
    child.sendline(f"{start_up.format('ocf-systemd completion')}; echo {MARK[:5]}''{MARK[5:]}")
    child.expect_exact(MARK)
    child.expect_exact("$ ")
    yield Prompt(child, request.param)
    child.close(force=True)


def test_at_the_prompt(prompt: Prompt, box: Box) -> None:
    """Commands, parameters, values, hooks and units are completed, escaped names and instances included."""
    box.unit(r"probe-a\x2db@one.service", "[Service]\nExecStart=sleep infinity\n")
    box.hook("exit 0", "completed")
    prompt.complete("ocf-systemd unin", "uninstall ")
    prompt.complete("ocf-systemd debug -o monitor_hook_pro", "monitor_hook_protocol=")
    prompt.complete("ocf-systemd debug -o monitor_hook_protocol=", "ocf", "nagios", "plain")
    prompt.complete("ocf-systemd debug -o stop_verify=y", "yes")
    prompt.complete("ocf-systemd debug --monitor-hook=/usr/local/lib/hooks/comp", "completed")
    for command in ("debug monitor --unit", "debug monitor", "doctor", "rehearse --on-this-host", "doctor --unit"):
        shown = prompt.complete(f"ocf-systemd {command} probe-a", "@one.service")
        assert r"a\\x2db" in shown
    shown = prompt.complete(r"ocf-systemd debug monitor --unit probe-a\\x2db@", "one.service")
    assert "Traceback" not in shown


def test_nothing_is_expanded(prompt: Prompt, box: Box) -> None:
    """The name of a hook is completed to itself, whatever quotes are open; the shell neither runs nor expands it."""
    box.write("/run/test/bin/ocf-systemd", NOTING, 0o755)
    prompt.child.sendline(f"export PWNED=/run/test/pwned; echo {MARK[:5]}''{MARK[5:]}")
    prompt.child.expect_exact(MARK)
    for number, (quote, name) in enumerate(product(QUOTES[prompt.shell], NAMES)):
        path = f"/run/test/{number}_{name}end"
        box.write(path, "", 0o755)
        typed = f"/run/test/bin/ocf-systemd debug monitor --monitor-hook {quote}/run/test/{number}_"
        prompt.complete(typed, "end", then="\r")
        box.wait_for_file("/run/test/words")
        (arguments,) = box.marks("words")
        assert arguments == f"<debug><monitor><--monitor-hook><{path}>"
        box.path("/run/test/words").unlink()
    assert not box.path("/run/test/pwned").exists()
