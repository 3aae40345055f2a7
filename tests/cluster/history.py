"""The history of operations in the CIB, which has what `crm_mon` leaves out: probes that found nothing."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an operation: the last one, or the last that failed."""

    resource: str
    node: str
    action: str
    interval_ms: int
    code: int
    reason: str

    @property
    def is_probe(self) -> bool:
        """Whether it is a monitor's that has no interval."""
        return self.action == "monitor" and not self.interval_ms


def parse_history(cib: bytes) -> tuple[Result, ...]:
    """Parse the output of `cibadmin --query`, of the whole CIB or its status section. Raises XMLSyntaxError."""
    return tuple(
        Result(
            resource=resource.get("id", ""),
            node=state.get("uname", ""),
            action=operation.get("operation", ""),
            interval_ms=int(operation.get("interval", "0")),
            code=int(operation.get("rc-code", "0")),
            reason=operation.get("exit-reason", ""),
        )
        for state in etree.fromstring(cib).iter("node_state")
        for resource in state.iter("lrm_resource")
        for operation in resource.iter("lrm_rsc_op")
    )
