"""The operations of a resource as a cluster has them: their timeouts, and the interval of the monitor.

debug, doctor and rehearse assume what the agent's metadata advertise, unless `--op NAME=TIME` sets another. doctor
assumes what the unit's resource has configured, where a cluster runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ocf_systemd.core.ocf import Action
from ocf_systemd.core.timeouts import ADVERTISED_INTERVAL_S, ADVERTISED_TIMEOUT_S, escalation_after_s, reserve_s

INTERVAL = "interval"
"""The name of the monitor's interval, next to those of the actions."""

OPERATION_NAMES = (*map(str, ADVERTISED_TIMEOUT_S), INTERVAL)
"""What `--op` can set."""


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of a resource, with times in seconds.

    `chosen` has the times that someone has decided on, `configured` all those of a resource in a cluster. Others are as
    advertised.
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
        """Return how many seconds the agent has for an action: the timeout less the reserve."""
        return self.timeout_s(action) - reserve_s(self.timeout_s(action))

    @property
    def escalation_after_s(self) -> float:
        """Seconds after which a stop sends SIGKILL."""
        return escalation_after_s(self.agent_deadline_s(Action.STOP))
