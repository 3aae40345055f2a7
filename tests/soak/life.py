"""One unit's life in the soak: action after action, some interrupted, each result compared with the true state."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

import psutil

from tests.system.audit import complaints_about_form

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random
    from threading import Event

    from tests.soak.mischief import Mischief
    from tests.soak.truth import Truth
    from tests.system.agent import Agent
    from tests.system.agent_result import AgentResult, Call

SERVICES = {
    "plain": ("ExecStart=sleep infinity",),
    "slow": ("ExecStartPre=sleep 0.4", "ExecStart=sleep infinity", "ExecStop=sleep 0.4"),
    "stubborn": ("""ExecStart=sh -c 'trap "" TERM; while :; do sleep 0.2; done'""", "TimeoutStopSec=2"),
    "reloading": ("ExecStart=sleep infinity", "ExecReload=sleep 0.2"),
    "restless": ("ExecStart=sleep 3", "Restart=always", "RestartSec=100ms"),
    "shy": ("ExecStartPre=sh -c '[ $$(($$(date +%%s) %% 5)) != 0 ]'", "ExecStart=sleep infinity"),
}
HOOKS = {
    "good": "exit 0",
    "slow": "sleep 0.3; exit 0",
    "degraded": "exit 190",
    "not running": "exit 7",
    "broken": "exit 42",
    "dies": "kill -SEGV $$",
    "hangs": "trap '' TERM; sleep 1000",
    "leaves a child": "sleep 1000 & exit 0",
    "leaves a session": "setsid sleep 1000 & exit 0",
    "floods": "head -c 1M /dev/zero; exit 0",
}
GOOD = {"good", "slow", "leaves a child", "leaves a session", "floods"}
# Only the agent can end a process that has left its group: nothing does when the agent is killed (README).
LEFT_WITH_A_KILLED_AGENT = "leaves a session"
ACTIONS = ("start", "stop", "monitor", "monitor", "monitor", "reload", "reload-agent", "validate-all")
TIMEOUTS_S = (5.0, 8.0, 20.0)
CUT_SHORT = 0.25  # of all actions
PATIENT_S = 60.0
LEFTOVER_S = 1.0
_KEPT = 12


@dataclass(slots=True)
class Life:
    """A unit, the agent's calls for it, and what was wrong with its results."""

    agent: Agent
    truth: Truth
    mischief: Mischief
    unit: str
    random: Random
    codes: dict[tuple[str, int], int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    _number: int = 0
    _history: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def go_on(self, enough: Event) -> None:
        """Call for one action after the other until it is enough."""
        while not enough.is_set():
            hook = self._change_hook(self.random.choice(list(HOOKS)))
            if self.random.random() < CUT_SHORT and hook != LEFT_WITH_A_KILLED_AGENT:
                self._cut_short(hook)
                self._put_right()
            else:
                self._act(self.random.choice(ACTIONS), hook)

    def begin(self) -> None:
        """Start the unit, as the first action."""
        self._change_hook("good")
        self._act("start", "good")

    def end(self) -> None:
        """Stop the unit, as the last action."""
        self._change_hook("good")
        self._expect("stop", 0)

    def _change_hook(self, kind: str) -> str:
        self.agent.box.hook(HOOKS[kind], name=self.unit)
        return kind

    def _begin(self, action: str, timeout_s: float) -> Call:
        self._number += 1
        interval_s = 0 if self.random.random() < 0.2 else 10  # some are probes
        return self.agent.begin(
            action,
            timeout_s=timeout_s,
            interval_s=interval_s,
            variables={"OCF_RESOURCE_INSTANCE": self._name},
            measured=False,
            through=("setsid",),  # the agent leads its process group, as under Pacemaker
            unit=self.unit,
            monitor_hook=f"/usr/local/lib/hooks/{self.unit}",
        )

    @property
    def _name(self) -> str:
        return f"soak-{self.unit}-{self._number}"

    def _act(self, action: str, hook: str) -> None:
        call = self._begin(action, self.random.choice(TIMEOUTS_S))
        result = call.finish()
        self._note(call, result, hook)
        ended = call.began + result.elapsed_s
        wrong = [*complaints_about_form(call, result), *self._breaches(call, result, hook, ended)]
        self._conclude(wrong)

    def _cut_short(self, hook: str) -> None:
        """End an action anywhere on its way, as Pacemaker may."""
        call = self._begin(self.random.choice(ACTIONS), 20.0)
        time.sleep(self.random.uniform(0.0, 1.0))
        how = self.random.choice(("alone", "with its group", "by SIGTERM"))
        with suppress(LookupError, ProcessLookupError):
            if how == "with its group":
                os.killpg(call.agent, SIGKILL)
            else:
                os.kill(call.agent, SIGKILL if how == "alone" else SIGTERM)
        self._note(call, call.finish(), f"{hook}, killed {how}")
        self._conclude([])

    def _put_right(self) -> None:
        """Have the next action done in peace: it is right."""
        self._change_hook("good")
        with self.mischief.peace(self.unit):
            self._expect("stop", 0)
            if self.unit != "shy.service":
                self._expect("start", 0)

    def _expect(self, action: str, code: int) -> None:
        call = self._begin(action, PATIENT_S)
        result = call.finish()
        self._note(call, result, "good, in peace")
        wrong = [] if result.code == code else [f"{action} in peace returns {result.code}, expected {code}"]
        self._conclude([*wrong, *complaints_about_form(call, result)])

    def _breaches(self, call: Call, result: AgentResult, hook: str, ended: float) -> Iterator[str]:
        """Yield how a result breaks the guarantees."""
        was_down = self.truth.was(self.unit, call.began, ended, running=False)
        was_up = self.truth.was(self.unit, call.began, ended, running=True)
        match call.action, result.code:
            case ("start", 7) | ("stop", 7):
                yield f"{call.action} returns 7"
            case "monitor" | "reload", 7:
                if not was_down and hook != "not running":
                    yield "7 of a unit that ran all the time"
            case "stop", 0:
                if not was_down:
                    yield "stop returns 0 of a unit that was never down"
            case "start" | "monitor" | "reload", 0:
                if not was_up:
                    yield f"{call.action} returns 0 of a unit that never ran"
                if hook not in GOOD | ({"degraded"} if call.action == "start" else set()):
                    yield f"{call.action} returns 0 with a hook that {hook}"
            case (("validate-all" | "reload-agent"), code) if code not in {0, 1}:
                yield f"{call.action} returns {code}"

    def _note(self, call: Call, result: AgentResult, hook: str) -> None:
        key = (call.action, result.code)
        self.codes[key] = self.codes.get(key, 0) + 1
        line = f"{call.began:.3f}+{result.elapsed_s:.3f} {call.action} (hook {hook}): {result.code} {result.reason}"
        self._history.append(line)

    def _conclude(self, wrong: list[str]) -> None:
        """Record what was wrong, leftover processes included."""
        wrong = [*wrong, *(f"left behind: {process}" for process in self._leftovers())]
        if wrong:
            line = "\n  ".join([f"{self.unit}: {'; '.join(wrong)}", *self._history])
            self.violations.append(line)
            print(f"\nVIOLATION {line}", file=sys.stderr, flush=True)  # noqa: T201  # now: the end may be far

    def _leftovers(self) -> list[str]:
        """Return what runs on of this call, known by its environment."""
        mark = f"OCF_RESOURCE_INSTANCE={self._name}\0".encode()
        deadline = time.monotonic() + LEFTOVER_S
        while (leftovers := _with_environment(mark)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return leftovers


def _with_environment(mark: bytes) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if mark in Path(f"/proc/{process.pid}/environ").read_bytes():
                found.append(" ".join(process.cmdline()))
    return found
