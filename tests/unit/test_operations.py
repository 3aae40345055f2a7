"""The operations of a resource: what the metadata advertise, and what was chosen instead."""

from __future__ import annotations

import pytest

from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import INTERVAL, OPERATION_NAMES, Operations
from ocf_systemd.core.timeouts import (
    ADVERTISED_INTERVAL_S,
    ADVERTISED_TIMEOUT_S,
    escalation_after_s,
    reserve_s,
)


@pytest.mark.parametrize("action", [pytest.param(action, id=action) for action in ADVERTISED_TIMEOUT_S])
def test_the_advertised_timeouts_are_the_defaults(action: Action) -> None:
    """An action has the timeout that the metadata advertise unless another was chosen."""
    assert Operations().timeout_s(action) == ADVERTISED_TIMEOUT_S[action]
    assert Operations({action: 7.5}).timeout_s(action) == 7.5
    assert Operations({INTERVAL: 7.5}).timeout_s(action) == ADVERTISED_TIMEOUT_S[action]


def test_the_interval() -> None:
    """The interval of the monitor is a time like the others."""
    assert Operations().interval_s == ADVERTISED_INTERVAL_S
    assert Operations({INTERVAL: 30.0}).interval_s == 30.0


def test_what_the_agent_has_for_itself() -> None:
    """The reserve is subtracted from the timeout, and a stop escalates within the rest."""
    operations = Operations({Action.STOP: 40.0})
    agent_deadline_s = 40.0 - reserve_s(40.0)
    assert operations.agent_deadline_s(Action.STOP) == agent_deadline_s
    assert operations.escalation_after_s == escalation_after_s(agent_deadline_s)


def test_names() -> None:
    """Every action with a timeout can be chosen, and the interval."""
    assert set(OPERATION_NAMES) == {*map(str, ADVERTISED_TIMEOUT_S), INTERVAL}
