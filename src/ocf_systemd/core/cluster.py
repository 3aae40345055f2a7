"""What a cluster has configured for systemd units, and in what state it is.

The CIB has what is configured (Pacemaker Explained, "Resources"). crm_mon(8) reports what the scheduler makes of that:
whether a resource is managed, which its group, its node or the whole cluster can decide, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocf_systemd.core.parameter_table import UNIT
from ocf_systemd.core.parameter_values import boolean, unit_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_UNIT_CLASSES = frozenset({"systemd", "service", "lsb"})  # whose resources are named after the unit
_FIRST_PROPERTIES = "cib-bootstrap-options"  # the set of cluster properties that precedes all others


@dataclass(frozen=True, slots=True)
class ConfiguredOperation:
    """An operation of a resource. Times are text as configured, such as `10s`; None: not configured."""

    name: str
    interval: str | None
    timeout: str | None


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource, of whatever agent.

    `agent` is the full name of its agent, such as `ocf:pacemaker:systemd` or `systemd:cron`; `unit` is the full name of
    the unit that it manages, as configured: it may be an alias, and is empty if there is none, or what is configured
    cannot be one. `nodes` are those on which it is active. A resource is blocked if Pacemaker does nothing with it
    after a failure, until a cleanup.
    """

    id: str
    agent: str
    unit: str
    parameters: Mapping[str, str]
    operations: tuple[ConfiguredOperation, ...] = ()
    nodes: tuple[str, ...] = ()
    is_managed: bool = True
    is_in_maintenance: bool = False
    is_disabled: bool = False
    is_blocked: bool = False
    is_globally_unique: bool = False

    @property
    def is_controlled(self) -> bool:
        """Whether Pacemaker may start, stop or recover it.

        It stops a disabled resource that is active, and a cleanup ends the block of a blocked one.
        """
        if self.is_in_maintenance or (self.is_disabled and not self.nodes):
            return False
        return self.is_managed or self.is_blocked

    def __str__(self) -> str:
        """Return its name and state, for people."""
        place = f"active on {', '.join(self.nodes)}" if self.nodes else "not active"
        return f"resource {self.id} ({self.agent}) is {self._control} and {place}"

    @property
    def _control(self) -> str:
        if self.is_in_maintenance:
            return "in maintenance"
        if self.is_blocked:
            return "blocked after a failure"
        if not self.is_managed:
            return "unmanaged"
        return "disabled" if self.is_disabled else "managed"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster: its properties, such as `maintenance-mode`, as configured, and its resources."""

    properties: Mapping[str, str]
    resources: tuple[Resource, ...]

    def managing(self, unit: str, ids: Mapping[str, str]) -> tuple[Resource, ...]:
        """Return the resources that manage a unit; `ids` has the primary name of each unit that has an alias."""
        wanted = ids.get(unit, unit)
        return tuple(each for each in self.resources if each.unit and ids.get(each.unit, each.unit) == wanted)


def parse_cluster(cib: str, crm_mon: str) -> Cluster:
    """Return the cluster that `cibadmin --query` and `crm_mon --inactive --output-as=xml` describe.

    Raises ValueError if one of them is not XML.
    """
    from xml.etree import ElementTree as ET

    try:
        # The cluster's own, which only administrators write.
        configuration = _Configuration(ET.fromstring(cib))  # noqa: S314
        report = _Report(ET.fromstring(crm_mon))  # noqa: S314
    except ET.ParseError as error:
        raise ValueError(str(error)) from None
    resources = (_resource(configuration, lineage, report) for lineage in configuration.primitives())
    return Cluster(configuration.properties, tuple(resources))


class _Configuration:
    """The CIB's configuration, with references between its elements resolved.

    Sets of attributes with a rule apply only at times or on some nodes: they come last.
    """

    def __init__(self, cib: "Element") -> None:
        self._cib = cib
        self._by_id = {name: each for each in cib.iterfind("configuration//*") if (name := each.get("id"))}

    @property
    def properties(self) -> dict[str, str]:
        sets = self._cib.findall("configuration/crm_config/cluster_property_set")
        return self._pairs(sorted(sets, key=lambda each: each.get("id") != _FIRST_PROPERTIES))

    def defaults(self, section: str) -> dict[str, str]:
        """Return the defaults of resources (`rsc_defaults`), or of operations (`op_defaults`)."""
        return self._pairs(self._cib.findall(f"configuration/{section}/meta_attributes"))

    def primitives(self) -> Iterator[tuple["Element", ...]]:
        """Yield each primitive with what it inherits from, nearest first: its template, its group, its clone.

        Those in bundles run in containers, which have units of their own.
        """
        if (resources := self._cib.find("configuration/resources")) is not None:
            yield from self._below(resources, ())

    def _below(self, parent: "Element", ancestors: tuple["Element", ...]) -> Iterator[tuple["Element", ...]]:
        for element in parent:
            if element.tag == "primitive":
                template = self._by_id.get(element.get("template", ""))
                yield (element, *(() if template is None else (template,)), *ancestors)
            elif element.tag in {"group", "clone", "master"}:
                yield from self._below(element, (element, *ancestors))

    def attributes(self, kind: str, lineage: Iterable["Element"]) -> dict[str, str]:
        """Return the `instance_attributes` or `meta_attributes`, each from the nearest that has it."""
        return self._pairs(each for element in lineage for each in element.iterfind(kind))

    def operations(self, lineage: Iterable["Element"]) -> tuple[ConfiguredOperation, ...]:
        """Return the operations of a primitive, and those of its template that it has not itself."""
        default = self.defaults("op_defaults").get("timeout")
        found: dict[tuple[str, str | None], ConfiguredOperation] = {}
        for element in lineage:
            for operation in self._resolved(element.iterfind("operations")):
                for op in operation.iterfind("op"):
                    meta = self.attributes("meta_attributes", [op])
                    name, interval = op.get("name", ""), op.get("interval") or meta.get("interval")
                    timeout = op.get("timeout") or meta.get("timeout") or default
                    found.setdefault((name, interval), ConfiguredOperation(name, interval, timeout))
        return tuple(found.values())

    def _resolved(self, elements: Iterable["Element"]) -> Iterator["Element"]:
        return (self._by_id.get(each.get("id-ref", ""), each) for each in elements)

    def _pairs(self, sets: Iterable["Element"]) -> dict[str, str]:
        pairs: dict[str, str] = {}
        for each in sorted(self._resolved(sets), key=lambda element: element.find("rule") is not None):
            for pair in self._resolved(each.iterfind("nvpair")):
                pairs.setdefault(pair.get("name", ""), pair.get("value", ""))
        return pairs


class _Report:
    """What crm_mon reports: the nodes in maintenance, and of each resource an element or, for a clone, several."""

    def __init__(self, crm_mon: "Element") -> None:
        nodes = crm_mon.iterfind("nodes/node")
        self.nodes_in_maintenance = {each.get("name") for each in nodes if _is_true(each.get("maintenance"))}
        self._elements: dict[str, list[Element]] = {}
        for element in crm_mon.iterfind("resources//resource"):  # instances are called `web`, or `web:0`
            self._elements.setdefault(element.get("id", "").partition(":")[0], []).append(element)

    def values(self, resource: str, name: str) -> set[str]:
        """Return the values of an attribute of a resource, in lower case, of all its instances."""
        return {element.get(name, "").lower() for element in self._elements.get(resource, ())}

    def nodes(self, resource: str) -> set[str]:
        """Return the nodes on which a resource is active."""
        elements = self._elements.get(resource, ())
        return {node.get("name", "") for element in elements for node in element.iterfind("node")}


def _resource(configuration: _Configuration, lineage: tuple["Element", ...], report: _Report) -> Resource:
    name = lineage[0].get("id", "")
    meta = configuration.defaults("rsc_defaults") | configuration.attributes("meta_attributes", lineage)
    parameters = configuration.attributes("instance_attributes", lineage)
    standard = [next(filter(None, (each.get(key) for each in lineage)), "") for key in ("class", "provider", "type")]
    nodes, is_managed = report.nodes(name), report.values(name, "managed") != {"false"}
    # A set of attributes with a rule may not apply now: what crm_mon reports is what the scheduler has made of it.
    in_maintenance = not is_managed and (
        _is_true(configuration.properties.get("maintenance-mode"))
        or _is_true(meta.get("maintenance"))
        or (bool(nodes) and nodes <= report.nodes_in_maintenance)
    )
    return Resource(
        id=name,
        agent=":".join(filter(None, standard)),
        unit=_unit(standard[0], standard[2], parameters),
        parameters=parameters,
        operations=configuration.operations(lineage),
        nodes=tuple(sorted(nodes)),
        is_managed=is_managed,
        is_in_maintenance=in_maintenance,
        is_disabled=report.values(name, "target_role") == {"stopped"},
        is_blocked="true" in report.values(name, "blocked"),
        is_globally_unique=_is_true(meta.get("globally-unique")),
    )


def _unit(resource_class: str, resource_type: str, parameters: Mapping[str, str]) -> str:
    """Return the full name of the unit that a resource manages; empty: none, or one that cannot be."""
    text = resource_type if resource_class in _UNIT_CLASSES else parameters.get(UNIT.name, "")
    try:
        return unit_name(text.strip())
    except ValueError:
        return ""


def _is_true(text: str | None) -> bool:
    try:
        return boolean(text or "no")
    except ValueError:
        return False
