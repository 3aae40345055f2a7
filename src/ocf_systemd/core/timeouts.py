"""The times of an operation: what Pacemaker grants, what the agent keeps of it, when a stop sends SIGKILL."""

import math

DEFAULT_TIMEOUT_S = 20.0
"""What the agent assumes where no timeout is set."""

_RESERVE_SHARE, _RESERVE_MIN_S, _RESERVE_MAX_S = 0.10, 0.25, 5.0
_ESCALATION_SHARE, _ESCALATION_MAX_S = 0.25, 5.0

GRACE_S = 1.0
"""Longest time in seconds between SIGTERM and SIGKILL to a command whose time is up."""

_GRACE_SHARE = 0.2
_REAP_S, _REAP_SHARE = 0.1, 0.02  # longest wait for the end of what was killed, of the time a command has


def escalation_after_s(budget_s: float) -> float:
    """Return after how many seconds a stop sends SIGKILL that has `budget_s` seconds until its own deadline.

    As late as leaves time to observe the end: systemd's TimeoutStopSec (90 s by default) must come first under the
    advertised timeout.
    """
    return budget_s - min(_ESCALATION_MAX_S, budget_s * _ESCALATION_SHARE)


def reserve_s(timeout_s: float) -> float:
    """Return how many seconds before Pacemaker's timeout the agent's own deadline stands."""
    reserve = min(max(timeout_s * _RESERVE_SHARE, _RESERVE_MIN_S), _RESERVE_MAX_S)
    return min(reserve, timeout_s / 2)


def least_timeout_s(own_time_s: float) -> int:
    """Return the least timeout of an operation, in whole seconds, of which the agent has that much for itself."""
    timeout_s = math.ceil(own_time_s)
    while timeout_s - reserve_s(timeout_s) < own_time_s:
        timeout_s += 1
    return timeout_s


def least_stop_timeout_s(stop_time_s: float) -> int:
    """Return the least timeout of a stop, in whole seconds, that sends SIGKILL no sooner than after that much."""
    timeout_s = math.ceil(stop_time_s)
    while escalation_after_s(timeout_s - reserve_s(timeout_s)) < stop_time_s:
        timeout_s += 1
    return timeout_s


def ending_times_s(time_s: float) -> tuple[float, float]:
    """Return how many seconds of a command's time are kept for its end: for SIGTERM's grace, and after SIGKILL."""
    time_s = max(time_s, 0.0)
    return min(GRACE_S, time_s * _GRACE_SHARE), min(_REAP_S, time_s * _REAP_SHARE)
