"""The times of an operation: Pacemaker's timeout, the agent deadline, when a stop sends SIGKILL.

The agent must have a result by the agent deadline: Pacemaker's timeout less a reserve (`reserve_s`).
docs/design/deadlines.md describes how an action uses these times.
"""

import math
from collections.abc import Mapping

from ocf_systemd.core.ocf import Action

DEFAULT_TIMEOUT_S = 20.0
"""The timeout in seconds that the agent assumes if none is set."""

# Without ExecStop=, systemd sends SIGKILL 90 s after the start of a stop (DefaultTimeoutStopSec=). The agent's SIGKILL
# must come later; with a stop timeout of 110 s it comes 100 s after the start of the stop (`escalation_after_s`).
ADVERTISED_TIMEOUT_S: Mapping[Action, int] = {
    Action.START: 100,
    Action.STOP: 110,
    Action.MONITOR: 20,
    Action.RELOAD: 20,
    Action.RELOAD_AGENT: 20,
    Action.VALIDATE_ALL: 20,
    Action.META_DATA: 5,
}
"""The timeout in seconds that the meta-data advertise for each action."""

ADVERTISED_INTERVAL_S = 10
"""The seconds between two monitors that the meta-data advertise."""

# The reserve before Pacemaker's timeout: a share of the timeout, within these limits in seconds.
_RESERVE_SHARE, _RESERVE_MIN_S, _RESERVE_MAX_S = 0.10, 0.25, 5.0
# How long before the agent deadline a stop sends SIGKILL: a share of the time until the deadline, but at most 5 s.
_ESCALATION_SHARE, _ESCALATION_MAX_S = 0.25, 5.0

SPARE_FACTOR = 3.0
"""A measured time is multiplied by this to propose a timeout: the nodes of a cluster are busiest during a failover."""

_MULTIPLE_S = 5  # proposed timeouts are multiples of this

GRACE_S = 1.0
"""Longest time in seconds between SIGTERM and SIGKILL to a command whose time is up."""

_GRACE_SHARE = 0.2  # of the command's time, at most this share is kept between SIGTERM and SIGKILL
# Longest wait in seconds for the end of a killed command, and the largest share of the command's time for it.
_REAP_S, _REAP_SHARE = 0.1, 0.02

FIRST_PAUSE_S, PAUSE_GROWTH = 0.02, 1.15
"""The pause in seconds before an action polls unit and hooks a second time, and the factor from pause to pause."""

ESCALATION_PAUSE_MAX_S = 0.2
"""Longest pause in seconds before a stop repeats SIGKILL, because processes may have been forked meanwhile."""

SHUTDOWN_CHECK_S = 0.2
"""Seconds until a stop first checks whether Pacemaker is being stopped: in that case Pacemaker waits for this stop."""

WAITING_LINE_S = 10.0
"""Seconds between two log lines by which an action reports that it is waiting, and for what."""

LOG_LINE_S = 1.0
"""Longest time in seconds to read the last log line of a unit that failed."""

# Time that must be left when the last poll begins: a share of the polls' time, but at most this many seconds.
_LAST_POLL_SHARE, _LAST_POLL_MAX_S = 0.1, 0.5
_SINGLE_TRY_S = 2.0  # with less than these seconds left, the first try of a command gets all the time
# Time kept to observe the effect of a job that still runs: a share of the time left, but at least this many seconds.
_OBSERVE_SHARE, _OBSERVE_MIN_S = 0.1, 0.25
# Time kept to read a log line: a share of the time left, but at most this many seconds.
_LOG_LINE_SHARE, _LOG_LINE_RESERVE_S = 0.05, 0.25


def reserve_s(timeout_s: float) -> float:
    """Return how many seconds before Pacemaker's timeout the agent deadline is.

    In this time the interpreter ends or, if the action hangs, the cancel scope or the watchdog ends the action: the
    reason is written before Pacemaker sends SIGKILL.
    """
    reserve = min(max(timeout_s * _RESERVE_SHARE, _RESERVE_MIN_S), _RESERVE_MAX_S)
    return min(reserve, timeout_s / 2)


def escalation_after_s(time_to_deadline_s: float) -> float:
    """Return how many seconds after its start a stop sends SIGKILL.

    `time_to_deadline_s` is the time from that start to the agent deadline.

    SIGKILL comes as late as possible, but leaves time to observe its effect. With the advertised timeout, systemd's own
    SIGKILL must come first: it comes after TimeoutStopSec (90 s by default, without ExecStop=).
    """
    return time_to_deadline_s - min(_ESCALATION_MAX_S, time_to_deadline_s * _ESCALATION_SHARE)


def least_timeout_s(time_to_deadline_s: float) -> int:
    """Return the least timeout, in whole seconds, that gives an operation `time_to_deadline_s` until its deadline."""
    timeout_s = math.ceil(time_to_deadline_s)
    while timeout_s - reserve_s(timeout_s) < time_to_deadline_s:
        timeout_s += 1
    return timeout_s


def least_stop_timeout_s(stop_time_s: float) -> int:
    """Return the least timeout of a stop, in whole seconds, whose SIGKILL comes at `stop_time_s` or later."""
    timeout_s = math.ceil(stop_time_s)
    while escalation_after_s(timeout_s - reserve_s(timeout_s)) < stop_time_s:
        timeout_s += 1
    return timeout_s


def propose_start_timeout_s(unit_limit_s: float, *, start_s: float = 0.0, hook_wait_s: float = 0.0) -> int:
    """Return the timeout to propose for a start, in whole seconds.

    `unit_limit_s` is the unit's TimeoutStartSec (`math.inf`: none). `start_s` and `hook_wait_s` are measured values:
    the longest start, and the part of it after systemd reports active. Both are tripled, for a node under load.
    """
    if unit_limit_s == math.inf:
        return rounded_up_s(max(start_s * SPARE_FACTOR + _RESERVE_MAX_S, ADVERTISED_TIMEOUT_S[Action.START]))
    # One second more than the sum: systemd must give up a start first, since systemd knows the reason.
    longest_s = max(unit_limit_s + hook_wait_s * SPARE_FACTOR, start_s * SPARE_FACTOR)
    return rounded_up_s(longest_s + _RESERVE_MAX_S + 1)


def propose_stop_timeout_s(unit_limit_s: float, *, escalates: bool, commands: int = 0, stop_s: float = 0.0) -> int:
    """Return the timeout to propose for a stop, in whole seconds.

    `unit_limit_s` is the unit's TimeoutStopSec (`math.inf`: none), `commands` the number of its ExecStop= commands and
    `stop_s` the longest stop that was measured, which is tripled, for a node under load. `escalates` means that the
    agent sends SIGKILL near its deadline: as long as no command hangs, this must come after systemd's own SIGKILL. If
    the agent does not escalate, it must wait as long as systemd may take: TimeoutStopSec holds for each command, and
    once more for the processes (systemd.service(5)).
    """
    timeout_for = least_stop_timeout_s if escalates else least_timeout_s
    if unit_limit_s == math.inf:
        return rounded_up_s(max(timeout_for(stop_s * SPARE_FACTOR), ADVERTISED_TIMEOUT_S[Action.STOP]))
    longest_s = unit_limit_s + 1 if escalates else unit_limit_s * (1 + commands)
    return rounded_up_s(timeout_for(max(longest_s, stop_s * SPARE_FACTOR)))


def rounded_up_s(seconds: float) -> int:
    """Return a time as it is proposed: the next multiple of five seconds."""
    return math.ceil(round(seconds / _MULTIPLE_S, 6)) * _MULTIPLE_S


def ending_times_s(time_s: float) -> tuple[float, float]:
    """Return the seconds of a command's time that are kept for its end: from SIGTERM to SIGKILL, and after SIGKILL."""
    time_s = max(time_s, 0.0)
    return min(GRACE_S, time_s * _GRACE_SHARE), min(_REAP_S, time_s * _REAP_SHARE)


def last_poll_at(now: float, deadline: float) -> float:
    """Return the time after which an action begins no further poll; its first poll begins now."""
    return deadline - min((deadline - now) * _LAST_POLL_SHARE, _LAST_POLL_MAX_S)


def attempt_deadline(now: float, deadline: float) -> float:
    """Return the deadline of a command that may run again: after half of the time left, or all if little is left."""
    time_left = deadline - now
    return deadline if time_left < _SINGLE_TRY_S else deadline - time_left / 2


def job_deadline(now: float, deadline: float) -> float:
    """Return until when to wait for a systemd job; the rest of the time is for polls that observe its effect."""
    time_left = deadline - now
    return deadline - max(_OBSERVE_SHARE * time_left, min(_OBSERVE_MIN_S, time_left / 2))


def polls_deadline(now: float, deadline: float) -> float:
    """Return the deadline of an action's polls, which leaves time to read the unit's last log line after a failure."""
    return deadline - min((deadline - now) * _LOG_LINE_SHARE, _LOG_LINE_RESERVE_S)


def stop_post_kill_time(now: float, deadline: float) -> float:
    """Return when a stop kills an ExecStopPost= command that it first sees now: halfway to the last poll."""
    return now + max(deadline - _LAST_POLL_MAX_S - now, 0.0) / 2
