"""Polls until there is a result: short pauses at first, longer ones later, up to the deadline or a limit of polls.

docs/design/deadlines.md describes the schedule, and how an action divides the time until its deadline.
"""

from collections.abc import Awaitable, Callable

import anyio

from ocf_systemd.agent.events import Waiting
from ocf_systemd.agent.request import Request
from ocf_systemd.core import timeouts
from ocf_systemd.core.judgement import Judgement, KeepWaiting
from ocf_systemd.core.ocf import ActionResult
from ocf_systemd.core.records import replace


async def until_judged(request: Request, poll: Callable[[], Awaitable[Judgement]], limit: int = 0) -> ActionResult:
    """Poll until there is a result; at the deadline, or after `limit` polls if not 0, the last poll's result counts.

    If the deadline has cut the last poll short, and its exit code is that of the poll before, the reason is that of the
    poll before: the last one may only report that there was no time.
    """
    pauses, so_far = Pauses(request, limit), None
    while True:
        match await poll():
            case ActionResult() as result:
                return result
            case KeepWaiting(at_deadline, spaced):
                is_cut_short = anyio.current_time() >= request.deadline
                if is_cut_short and so_far is not None and so_far.code == at_deadline.code:
                    return so_far
                so_far = at_deadline
                if not await pauses.wait(so_far, spaced=spaced):
                    return so_far


class Pauses:
    """The pauses between polls, until the polls or the time are used up."""

    def __init__(self, request: Request, limit: int = 0) -> None:
        self._request = request
        self._polls_left = limit or None
        self._pause_s = timeouts.FIRST_PAUSE_S
        self._last_poll_at = timeouts.last_poll_at(anyio.current_time(), request.deadline)

    async def wait(self, so_far: ActionResult, *, spaced: bool = False) -> bool:
        """Pause before another poll, for a whole poll_interval if `spaced`; False: there must be none.

        The last pause is shortened so that one more poll fits, however long poll_interval is. So a stop observes the
        effect of its SIGKILL.
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


def attempt_deadline(deadline: float) -> float:
    """Return the deadline of a command that may run again before `deadline`."""
    return timeouts.attempt_deadline(anyio.current_time(), deadline)


def job_deadline(deadline: float) -> float:
    """Return until when to wait for a job: later polls can observe its effect if it takes longer."""
    return timeouts.job_deadline(anyio.current_time(), deadline)


def with_time_for_log_line(request: Request) -> Request:
    """Return the request with an earlier deadline, so that the unit's last log line can be read if it fails."""
    return replace(request, deadline=timeouts.polls_deadline(anyio.current_time(), request.deadline))
