"""Polls, that is observes and judges, until there is a result, the deadline is reached or a limit of polls is used up.

The pauses between polls are short at first and become longer. An action that waits reports what it waits for.
docs/design/deadlines.md describes the schedule, and how an action divides the time until its deadline.
"""

from collections.abc import Awaitable, Callable

import anyio

from ocf_systemd.agent.events import (
    CommandEnded,
    CommandStarted,
    Event,
    Observed,
    Reporter,
    StillWaiting,
    Waiting,
    command_label,
)
from ocf_systemd.agent.request import Request
from ocf_systemd.core import timeouts
from ocf_systemd.core.judgement import QUOTED_MAX, Judgement, KeepWaiting
from ocf_systemd.core.observations import Observation, UnitState
from ocf_systemd.core.ocf import ActionResult
from ocf_systemd.core.records import replace
from ocf_systemd.core.text import printed_lines

_CHANGING_VERBS = frozenset({"start", "stop", "reload", "daemon-reload"})
"""The verbs of systemctl whose command begins a new step of the action."""


async def until_judged(request: Request, poll: Callable[[], Awaitable[Judgement]], limit: int = 0) -> ActionResult:
    """Poll until there is a result; at the deadline, or after `limit` polls (0: no limit), return the result so far.

    Each poll replaces the result so far, except a poll that had too little time and has the same exit code. A poll had
    too little time if the deadline cut it short, or if its hooks timed out sooner than those of an earlier poll.
    """
    pauses, so_far = Pauses(request, limit), None
    while True:
        match await poll():
            case ActionResult() as result:
                return result
            case KeepWaiting() as waiting:
                is_cut_short = anyio.current_time() >= request.deadline
                if so_far is None or not _had_too_little_time(waiting, so_far, is_cut_short=is_cut_short):
                    so_far = waiting
                if not await pauses.wait(so_far.at_deadline, spaced=waiting.spaced):
                    return so_far.at_deadline


def _had_too_little_time(latest: KeepWaiting, before: KeepWaiting, *, is_cut_short: bool) -> bool:
    if latest.at_deadline.code != before.at_deadline.code:
        return False
    return is_cut_short or 0 < latest.timed_out_after_s < before.timed_out_after_s


class Pauses:
    """The pauses between polls, until the polls or the time are used up."""

    def __init__(self, request: Request, limit: int = 0) -> None:
        self._request = request
        self._polls_left = limit or None
        self._pause_s = timeouts.FIRST_PAUSE_S
        self._last_poll_at = timeouts.last_poll_at(anyio.current_time(), request.deadline)

    async def wait(self, so_far: ActionResult, *, spaced: bool = False) -> bool:
        """Pause before another poll, for a whole poll_interval if `spaced`; return False if no other poll must follow.

        Unless `spaced`, the last pause is shortened so that one more poll fits, however long poll_interval is. So a
        stop observes the effect of its SIGKILL.
        """
        if self._polls_left is not None:
            self._polls_left -= 1
        poll_interval_s = self._request.parameters.poll_interval_s
        time_left = self._last_poll_at - anyio.current_time()
        pause_s = poll_interval_s if spaced else min(self._pause_s, poll_interval_s, time_left)
        if self._polls_left == 0 or pause_s > time_left or time_left <= 0:
            return False
        self._request.reporter.report(Waiting(so_far, pause_s))
        await anyio.sleep(pause_s)
        self._pause_s *= timeouts.PAUSE_GROWTH
        return True


class Wait:
    """Decides, only from the events of an action and their times, when the action reports that it waits, and for what.

    A report is due at the first `Waiting` event, and whenever `timeouts.WAITING_LINE_S` seconds have passed since the
    action began or since the last report. `due_at` is when the next report is due.
    """

    __slots__ = ("_has_polled", "_observation", "_reason", "_running", "due_at")

    def __init__(self, began: float) -> None:
        self.due_at = began + timeouts.WAITING_LINE_S
        self._reason, self._has_polled = "", False
        self._observation: Observation | None = None
        self._running: dict[CommandStarted, float] = {}

    def record(self, event: Event, now: float) -> str:
        """Record an event; return what the action waits for, if a report is due."""
        match event:
            case CommandStarted(command=command):
                self._running[event] = now
                if not _CHANGING_VERBS.isdisjoint(command.arguments):
                    self._reason = ""  # that reason belongs to the step before
            case CommandEnded(began):
                self._running.pop(began, None)
            case Observed(observation):
                self._observation = observation
            case Waiting(so_far):
                self.due_at = self.due_at if self._has_polled else now
                self._has_polled = True
                self._reason, self._observation = _describe_wait(so_far, self._observation), None
                return self.reason_at(now)
            case _:
                pass
        return ""

    def reason_at(self, now: float) -> str:
        """Return what the action waits for, if a report is due at this time; else an empty string."""
        if now < self.due_at:
            return ""
        self.due_at = now + timeouts.WAITING_LINE_S
        ran_s = {command: now - began for command, began in self._running.items()}
        blocking = [
            f"{command_label(command.purpose, command.command)} has run for {seconds:.0f} s{_last_output(command)}"
            for command, seconds in ran_s.items()
            if seconds >= timeouts.WAITING_LINE_S / 2 or not self._reason
        ]
        return ", ".join(filter(None, (self._reason, *blocking[:1])))


def _last_output(began: CommandStarted) -> str:
    """Return a colon and the last line that a running hook has printed, or an empty string."""
    output = began.command.output
    lines = [line for text in (output.stdout, output.stderr) for line in printed_lines(bytes(text))] if output else []
    return f": {lines[-1][:QUOTED_MAX]}" if lines else ""


def _describe_wait(so_far: ActionResult, observation: Observation | None) -> str:
    """Return the reason of a result; if hooks have run, the state of the unit precedes the reason."""
    if observation and observation.hooks and isinstance(observation.unit, UnitState):
        return f"{observation.unit.id} is {observation.unit.active_state}, {so_far.reason}"
    return so_far.reason or ""


class WaitingReporter:
    """Passes the events of an action to the next reporter, and adds a `StillWaiting` whenever `Wait` has one due."""

    def __init__(self, next_reporter: Reporter, deadline: float, timeout_s: float) -> None:
        self._next = next_reporter
        self._deadline, self._timeout_s = deadline, timeout_s
        self._wait = Wait(anyio.current_time())

    def report(self, event: Event) -> None:
        """Pass an event on, and report what the action waits for, if such a report is due."""
        self._next.report(event)
        now = anyio.current_time()
        self._report_waiting(self._wait.record(event, now), now)

    async def report_blocked(self) -> None:
        """Report until cancelled what the action waits for, also while `systemctl start` blocks and no events come."""
        while True:
            await anyio.sleep_until(self._wait.due_at)
            now = anyio.current_time()
            self._report_waiting(self._wait.reason_at(now), now)

    def _report_waiting(self, reason: str, now: float) -> None:
        if reason:
            self._next.report(StillWaiting(reason, self._deadline - now, self._timeout_s))


def attempt_deadline(deadline: float) -> float:
    """Return the deadline of one try of a command, which normally leaves half of the time for another try."""
    return timeouts.attempt_deadline(anyio.current_time(), deadline)


def job_deadline(deadline: float) -> float:
    """Return until when to wait for a systemd job; if the job takes longer, later polls can observe its effect."""
    return timeouts.job_deadline(anyio.current_time(), deadline)


def with_time_for_log_line(request: Request) -> Request:
    """Return the request with an earlier deadline, so that the unit's last log line can be read on a failure."""
    return replace(request, deadline=timeouts.polls_deadline(anyio.current_time(), request.deadline))
