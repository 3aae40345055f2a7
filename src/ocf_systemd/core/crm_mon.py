"""The report of crm_mon(8) on the state of nodes and resources."""

from typing import TYPE_CHECKING

from ocf_systemd.core.parameter_values import boolean

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def is_true(text: str | None) -> bool:
    """Return whether a value is a true boolean; False if the value is not set or is not a boolean."""
    try:
        return boolean(text or "no")
    except ValueError:
        return False


class Report:
    """What crm_mon reports: quorum, nodes in maintenance, globally unique clones, and each instance of a resource."""

    def __init__(self, crm_mon: "Element") -> None:
        self.has_quorum = (dc := crm_mon.find("summary/current_dc")) is None or is_true(dc.get("with_quorum"))
        nodes = crm_mon.iterfind("nodes/node")
        self.nodes_in_maintenance = {each.get("name") for each in nodes if is_true(each.get("maintenance"))}
        clones = crm_mon.iterfind("resources//clone")
        self.unique_clones = {each.get("id") for each in clones if is_true(each.get("unique"))}
        self._elements: dict[str, list[Element]] = {}
        for element in crm_mon.iterfind("resources//resource"):  # instances are called `web`, or `web:0`
            self._elements.setdefault(element.get("id", "").partition(":")[0], []).append(element)

    def values(self, resource: str, name: str) -> set[str]:
        """Return the values that an attribute has in the instances of a resource, in lower case; empty: no instance."""
        return {element.get(name, "").lower() for element in self._elements.get(resource, ())}

    def nodes(self, resource: str) -> set[str]:
        """Return the nodes on which a resource is active."""
        elements = self._elements.get(resource, ())
        return {node.get("name", "") for element in elements for node in element.iterfind("node")}

    def orphans(self) -> dict[str, str]:
        """Return the agent of each orphan, by its id: an orphan is deleted from the CIB, but still active."""
        found = ((name, element) for name, elements in self._elements.items() for element in elements)
        return {
            name: element.get("resource_agent", "")
            for name, element in found
            if is_true(element.get("orphaned")) and element.find("node") is not None
        }
