"""What commands ask and refuse for the sake of a cluster on this host."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ocf_systemd.core.cluster import Resource


def describe(unit: str, resources: "Iterable[Resource]") -> str:
    """Return a sentence, without its period, that says which resources control a unit."""
    return f"Pacemaker controls {unit}: {', '.join(map(str, resources))}"


def describe_elsewhere(unit: str, resources: "Iterable[Resource]") -> str:
    """Return a sentence, without its period, that says that another node runs a unit that is down here."""
    return f"{unit} is down here, but {', '.join(map(str, resources))}: a start here would run it on two nodes"


def advice(resources: "Iterable[Resource]", elsewhere: "Collection[Resource]") -> str:
    """Return the commands after which Pacemaker leaves resources alone, one a line, for pcs and for crm.

    Those active `elsewhere` must be stopped: in maintenance, the service would run on there.
    """
    lines = []
    for each in resources:
        name = each.id
        if each in elsewhere:
            lines.append(f"  pcs resource disable {name} --wait")
            lines.append(f"  crm --wait resource stop {name}")
            continue
        lines.append(f"  pcs resource meta {name} maintenance=true   # or: pcs resource disable {name} --wait")
        lines.append(f"  crm resource maintenance {name} on          # or: crm --wait resource stop {name}")
    return "\n".join([*lines, "  crm_resource --wait"])
