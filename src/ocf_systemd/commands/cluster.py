"""Messages of commands about resources that control a unit."""

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
        if each not in elsewhere:
            lines += [f"  pcs resource meta {each.id} maintenance=true", f"  crm resource maintenance {each.id} on"]
            lines.append("  # or, which also stops what depends on it:")
        else:
            lines.append("  # also stops what depends on it:")
        lines += [f"  pcs resource disable {each.id} --wait", f"  crm --wait resource stop {each.id}"]
    return "\n".join([*lines, "  crm_resource --wait"])
