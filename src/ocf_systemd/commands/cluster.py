"""What commands ask and refuse for the sake of a cluster on this host."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocf_systemd.core.cluster import Resource


def describe(unit: str, resources: "Iterable[Resource]") -> str:
    """Return a sentence, without its period, that says which resources control a unit."""
    return f"Pacemaker controls {unit}: {', '.join(map(str, resources))}"


def advice(resources: "Iterable[Resource]") -> str:
    """Return the commands after which Pacemaker leaves resources alone, one a line, for pcs and for crm."""
    lines = []
    for name in (each.id for each in resources):
        lines.append(f"  pcs resource meta {name} maintenance=true   # or: pcs resource disable {name} --wait")
        lines.append(f"  crm resource maintenance {name} on          # or: crm --wait resource stop {name}")
    return "\n".join([*lines, "  crm_resource --wait"])
