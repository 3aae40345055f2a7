"""Bugs to be planted in the agent, each of another kind: what a search is worth shows in how soon it finds them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from ocf_systemd import actions
from ocf_systemd.judgement import Judgement, judge_hooks, judge_monitor, judge_start, judge_stop
from ocf_systemd.observations import JobOutcome, JobResult, NoAnswer, Observation, UnitState
from ocf_systemd.ocf import ExitCode, Verdict
from ocf_systemd.systemd import drop_in_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocf_systemd.actions import Request
    from ocf_systemd.judgement import HookProtocol


@dataclass(frozen=True, slots=True)
class Bug:
    """What to put in place of one of the names in `ocf_systemd.actions`."""

    promise: str
    name: str
    instead: object

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug in the agent."""
        right = getattr(actions, self.name)
        setattr(actions, self.name, self.instead)
        try:
            yield
        finally:
            setattr(actions, self.name, right)


def _judge_silence_as_stopped(seen: Observation, *, probe: bool, protocol: HookProtocol) -> Judgement:
    if isinstance(seen.unit, NoAnswer):
        return Verdict(ExitCode.NOT_RUNNING, seen.unit.why)
    return judge_monitor(seen, probe=probe, protocol=protocol)


class _EndlessPatience:
    def __init__(self, request: Request, limit: int = 0) -> None:
        self._request, self._looks_left = request, limit or None

    async def lasts(self, so_far: Verdict) -> bool:  # noqa: ARG002
        if self._looks_left is not None:
            self._looks_left -= 1
        await anyio.sleep(self._request.parameters.poll_interval_s)
        return self._looks_left != 0


def _judge_stop_by_exit_code(seen: Observation, job: JobOutcome, *, verify: bool, protocol: HookProtocol) -> Judgement:
    if job.result is JobResult.DONE:
        return Verdict(ExitCode.SUCCESS)
    return judge_stop(seen, job, verify=verify, protocol=protocol)


def _judge_probe_as_monitor(seen: Observation, *, probe: bool, protocol: HookProtocol) -> Judgement:
    is_running = isinstance(seen.unit, UnitState) and seen.unit.is_running
    return judge_monitor(seen, probe=probe and not is_running, protocol=protocol)


def _judge_start_by_hook(seen: Observation, job: JobOutcome, protocol: HookProtocol) -> Judgement:
    if isinstance(seen.unit, UnitState) and seen.unit.is_running:
        return judge_hooks(seen.hooks, protocol)
    return judge_start(seen, job, protocol)


def _judge_start_by_request(seen: Observation, job: JobOutcome, protocol: HookProtocol) -> Judgement:
    lost = job.result is JobResult.LOST
    return judge_start(seen, JobOutcome(JobResult.FAILED, job.said) if lost else job, protocol)


def _settle_by_disk(request: Request, unit: UnitState | NoAnswer, *, wanted: bool) -> bool | Verdict:
    path = drop_in_path(request.parameters.unit, request.run_directory)
    was_so = path.exists() is wanted
    return was_so or _settle_drop_in(request, unit, wanted=wanted)


async def _reload_daemon_carelessly(request: Request) -> str:
    await _reload_daemon(request)
    return ""


async def _never_escalate(request: Request, at: float) -> None:
    pass


def _share_beyond(deadline: float) -> float:
    return deadline + 0.5


_settle_drop_in = actions._settle_drop_in  # noqa: SLF001
_reload_daemon = actions._reload_daemon  # noqa: SLF001

BUGS = {
    "a 7 while systemd does not answer": Bug("systemd had not answered", "judge_monitor", _judge_silence_as_stopped),
    "a poll past the deadline": Bug("after its own deadline", "_Patience", _EndlessPatience),
    "a stop that trusts systemctl's exit code": Bug("told the unit to be down", "judge_stop", _judge_stop_by_exit_code),
    "a probe that answers 5 for a running unit": Bug("the last look means 1", "judge_monitor", _judge_probe_as_monitor),
    "a start that answers what the hook says": Bug("", "judge_start", _judge_start_by_hook),
    "a start that takes a lost request for a failed job": Bug("gave up", "judge_start", _judge_start_by_request),
    "a drop-in of which systemd is never told after a kill": Bug("drop-in", "_settle_drop_in", _settle_by_disk),
    "a daemon-reload whose failure does not matter": Bug(
        "before the drop-in was in force", "_reload_daemon", _reload_daemon_carelessly
    ),
    "a stop that never escalates": Bug("expected 0", "_escalate", _never_escalate),
    "a command that may outlast its action": Bug("was given until", "_share", _share_beyond),
}
"""By what they do; `promise` is part of what a broken promise is told by."""
