"""The operations of a resource as a cluster has them: their timeouts, and the interval of the monitor.

The commands debug, doctor and rehearse use the times that `--op NAME=TIME` sets, then those that the unit's resource
has configured in a cluster, and otherwise those that the agent's meta-data advertise. debug and rehearse know the
resource only if `--resource` names it; doctor finds it by the unit as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ocf_systemd.core.ocf import Action
from ocf_systemd.core.timeouts import ADVERTISED_INTERVAL_S, ADVERTISED_TIMEOUT_S, escalation_after_s, reserve_s

INTERVAL = "interval"
"""The key of the monitor's interval among the times of operations; the key of a timeout is the action's name."""

OPERATION_NAMES = (*map(str, ADVERTISED_TIMEOUT_S), INTERVAL)
"""The names that `--op NAME=TIME` accepts."""


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of a resource, with times in seconds.

    `chosen` has the times that a person has decided on, in the cluster or with `--op`: these come first. `configured`
    has all times of a resource in a cluster, defaults included. A time that neither has is as the meta-data advertise.
    """

    chosen: Mapping[str, float] = field(default_factory=dict)
    configured: Mapping[str, float] = field(default_factory=dict)

    def timeout_s(self, action: Action) -> float:
        """Return the timeout of an action, in seconds."""
        return self._time_s(action, ADVERTISED_TIMEOUT_S[action])

    @property
    def interval_s(self) -> float:
        """Seconds between two monitors."""
        return self._time_s(INTERVAL, ADVERTISED_INTERVAL_S)

    def _time_s(self, name: str, advertised_s: float) -> float:
        return self.chosen.get(name, self.configured.get(name, advertised_s))

    def agent_deadline_s(self, action: Action) -> float:
        """Return how many seconds the agent has for an action: the timeout less a reserve for reporting the result."""
        return self.timeout_s(action) - reserve_s(self.timeout_s(action))

    @property
    def escalation_after_s(self) -> float:
        """Seconds from the beginning of a stop until the agent sends SIGKILL."""
        return escalation_after_s(self.agent_deadline_s(Action.STOP))
