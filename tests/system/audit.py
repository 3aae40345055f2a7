"""The audit after every call of the agent: what must never happen."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ocf_systemd.core.parameter_values import unit_name
from tests.jobs import LIST_JOBS, queued_jobs
from tests.system.agent_result import REASON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.agent_result import AgentResult, Call
    from tests.system.box import Box

RUNNING = {"active", "reloading", "refreshing"}
DOWN = {"inactive", "failed"}
SOMETHING_LEFT_S = 0.05  # of Pacemaker's time, of which it takes some itself


def audit(box: Box, call: Call, result: AgentResult, *, leaves_job: bool = False, agrees: bool = True) -> None:
    """Fail if a call left something behind, or returned late, or in a wrong form.

    `leaves_job`: the action ended at its deadline while systemd's job goes on. Without `agrees` the unit may have
    changed since the result.
    """
    visitors = {pid: left for pid, left in box.visitors().items() if pid not in call.before}
    complaints = [f"left behind: {left}" for left in visitors.values() if left.rstrip() != box.cannot_be_killed]
    complaints += complaints_about_form(call, result)
    if not box.frozen:
        jobs = queued_jobs(box.sh(shlex.join(LIST_JOBS)))
        complaints += [f"job queued: {jobs}"] if jobs and not leaves_job else []
        complaints += _disagreement(call, result, box) if agrees else []
    assert not complaints, f"{call.action} {dict(call.parameters)}: {result}: {complaints}"


def complaints_about_form(call: Call, result: AgentResult) -> Iterator[str]:
    """Yield how a result is late, or does not have the form that Pacemaker requires."""
    if "Traceback" in result.stdout + result.stderr:
        yield "traceback"
    if result.elapsed_s >= call.timeout_s - SOMETHING_LEFT_S:
        yield f"took {result.elapsed_s:.2f} s of {call.timeout_s} s"
    if len(result.reasons) > 1:
        yield "more than one reason"
    if result.reasons and not result.stderr.splitlines()[-1].startswith(REASON):
        yield "the reason is not the last line"
    needs_none = result.code == 0 or (result.code == 7 and call.is_probe)
    if not result.reason.strip() and not needs_none:
        yield "no reason"
    if result.code == 0 and result.reasons:
        yield "a reason for success"


def _is_unit_name(text: str) -> bool:
    try:
        unit_name(text)
    except ValueError:
        return False
    return True


def _disagreement(call: Call, result: AgentResult, box: Box) -> Iterator[str]:
    """Yield how the result disagrees with the unit's state in systemd now."""
    has_hook = "monitor_hook" in call.parameters
    if not _is_unit_name(call.unit):
        return
    expected = {
        ("start", 0): RUNNING,
        ("stop", 0): DOWN,
        ("monitor", 0): RUNNING,
        ("monitor", 190): RUNNING,
        ("monitor", 7): DOWN | (RUNNING if has_hook else set()),
    }.get((call.action, result.code))
    if expected and (state := box.state(call.unit)) not in expected:
        yield f"{call.unit} is {state}"
