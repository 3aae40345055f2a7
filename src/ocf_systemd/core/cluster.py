"""What a cluster has configured for systemd units, and in what state it is.

The CIB has what is configured (Pacemaker Explained, "Resources"). crm_mon(8) reports the state that results from it,
such as whether a resource is managed: its group, its node or the whole cluster can decide that, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ocf_systemd.core.crm_mon import Report, is_true
from ocf_systemd.core.durations import duration_s
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import INTERVAL, Operations
from ocf_systemd.core.parameter_table import UNIT
from ocf_systemd.core.parameter_values import boolean, unit_name
from ocf_systemd.core.timeouts import ADVERTISED_TIMEOUT_S, DEFAULT_TIMEOUT_S

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_UNIT_CLASSES = frozenset({"systemd", "service", "lsb"})  # the `type` of such a resource is the name of its unit
_STANDARD = ("class", "provider", "type")
_OPERATION_KEYS = frozenset({"id", "name", "interval", "timeout"})
_CLONES = frozenset({"clone", "master"})
_TIMED_ACTIONS = (Action.START, Action.STOP, Action.MONITOR, Action.RELOAD)
_FIRST_PROPERTIES = "cib-bootstrap-options"  # the set of cluster properties that precedes all others


@dataclass(frozen=True, slots=True)
class ConfiguredOperation:
    """An operation of a resource. Its times are text as configured, such as `10s`; None: not configured.

    `options` are its other attributes and parameters, such as `on-fail` and `OCF_CHECK_LEVEL`. `is_used` is False if
    the operation is disabled or is for the role Stopped.
    """

    name: str
    interval: str | None
    timeout: str | None
    check_level: str = "0"
    options: Mapping[str, str] = field(default_factory=dict)
    is_used: bool = True

    @property
    def interval_s(self) -> float:
        """The interval in seconds; 0: the operation does not recur, or the configured interval is not a time."""
        return _seconds(self.interval) or 0.0


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource, of whatever agent.

    `agent` is the full name of its agent, such as `ocf:pacemaker:systemd` or `systemd:cron`. `unit` is the full name of
    the unit that it manages, possibly an alias; empty: it manages no unit, or the configured name is not valid. `nodes`
    are the nodes on which it is active. A blocked resource has failed, and Pacemaker leaves it alone until a cleanup.
    `default_timeouts` are the timeouts of actions for which it has no operation. `clone` is the id of its clone, if it
    has one. An orphan is deleted from the CIB, but still active. `file` is the file with the CIB, if Pacemaker does not
    run on this host: then the state of the resource is unknown.
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
    clone: str = ""
    is_orphan: bool = False
    file: str = ""
    default_timeouts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def monitors(self) -> tuple[ConfiguredOperation, ...]:
        """The recurring monitors that Pacemaker runs."""
        found = (each for each in self.operations if each.name == Action.MONITOR and each.interval_s)
        return tuple(each for each in found if each.is_used)

    @property
    def is_controlled(self) -> bool:
        """Whether Pacemaker may start, stop or recover the resource; True if its state is unknown (`file`).

        This is True for a disabled resource while it is active, because Pacemaker stops it, and for a blocked resource,
        because a cleanup releases it.
        """
        if self.file:
            return True
        if self.is_in_maintenance or (self.is_disabled and not self.nodes):
            return False
        return self.is_managed or self.is_blocked

    def __str__(self) -> str:
        """Return the resource's id and state, for people."""
        if self.file:
            return (
                f"resource {self.id} ({self.agent}) is configured in {self.file}; its state on other nodes is unknown "
                "because Pacemaker does not run here"
            )
        place = f"active on {', '.join(self.nodes)}" if self.nodes else "not active"
        deleted = "deleted from the configuration, " if self.is_orphan else ""
        return f"resource {self.id} ({self.agent}) is {deleted}{self._control} and {place}"

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
    """A cluster: its properties, such as `maintenance-mode`, as configured, and its resources.

    `orphans` are active resources that are no longer configured. `file` is the CIB file if Pacemaker does not run here.
    """

    properties: Mapping[str, str]
    resources: tuple[Resource, ...]
    orphans: tuple[Resource, ...] = ()
    has_quorum: bool = True
    file: str = ""

    def managing(self, unit: str, primary_names: Mapping[str, str]) -> tuple[Resource, ...]:
        """Return the resources that manage a unit.

        `primary_names` maps names of units, aliases included, to primary names. A name that it lacks is a primary name.
        """
        wanted = primary_names.get(unit, unit)
        found = (each for each in self.resources if each.unit)
        return tuple(each for each in found if primary_names.get(each.unit, each.unit) == wanted)


def configured_operations(resource: Resource, hook_level: int) -> Operations:
    """Return the operations of a resource as Pacemaker runs them: timeouts, and the interval of the monitor.

    If several recurring monitors run a hook with this monitor_hook_level, their shortest times count. A missing timeout
    is Pacemaker's default, 20 s (Pacemaker Explained, "Resource Operations"). A timeout counts as chosen by the
    administrator if it is neither that default nor the advertised timeout.
    """
    times: dict[str, float] = {}
    monitors = [each for each in resource.monitors if _level(each.check_level) >= hook_level] or resource.monitors
    for action in _TIMED_ACTIONS:
        operations = [each for each in resource.operations if each.name == action and each.is_used]
        if action is Action.MONITOR and monitors:
            operations = [*monitors]
            times[INTERVAL] = min(each.interval_s for each in monitors)
        timeouts = [each.timeout for each in operations] or [resource.default_timeouts.get(action)]
        times[action] = min(_seconds(timeout) or DEFAULT_TIMEOUT_S for timeout in timeouts)
    usual = {(each, time_s) for each in _TIMED_ACTIONS for time_s in (DEFAULT_TIMEOUT_S, ADVERTISED_TIMEOUT_S[each])}
    return Operations(dict(times.items() - usual), times)


def _seconds(text: str | None) -> float | None:
    try:
        return duration_s(text or "")
    except ValueError:
        return None


def _score(text: str) -> float:
    """Return a score as a number; it may be infinite (Pacemaker Explained, "Scores")."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _level(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def parse_cluster(cib: str, crm_mon: str) -> Cluster:
    """Return the cluster that `cibadmin --query` and `crm_mon --inactive --output-as=xml` describe.

    Raises ValueError if one of them is not XML.
    """
    configuration, report = _Configuration(_parsed(cib)), Report(_parsed(crm_mon))
    resources = tuple(_resource(configuration, lineage, report) for lineage in configuration.primitives())
    deleted = report.orphans().items() - {(each.id, each.agent) for each in resources}
    orphans = tuple(_orphan(name, agent, report) for name, agent in sorted(deleted))
    return Cluster(configuration.properties, resources, orphans, has_quorum=report.has_quorum)


def parse_stopped(cib: str, file: str) -> Cluster:
    """Return the cluster of a CIB from a `file`, while Pacemaker does not run here. Raises ValueError if not XML."""
    configuration, report = _Configuration(root := _parsed(cib)), Report(root)  # finds no resource in a CIB
    found = (_resource(configuration, lineage, report) for lineage in configuration.primitives())
    return Cluster(configuration.properties, tuple(replace(each, file=file) for each in found), file=file)


def _parsed(text: str) -> "Element":
    from xml.etree import ElementTree as ET

    try:
        return ET.fromstring(text)  # noqa: S314 - the cluster's own, which only administrators write
    except ET.ParseError as error:
        raise ValueError(str(error)) from None


class _Subject(NamedTuple):
    """What the rules of a set of attributes are evaluated for: a resource or, with `operation`, one of its operations.

    `standard` is the resource's class, provider and type.
    """

    standard: tuple[str, ...] = ()
    operation: str = ""
    interval: str | None = None


class _Configuration:
    """The CIB's configuration, with references between its elements resolved.

    If the rule of a set of attributes depends on the time or the node, that set comes last, since it may not apply.
    """

    def __init__(self, cib: "Element") -> None:
        self._cib = cib
        self._by_id = {name: each for each in cib.iterfind("configuration//*") if (name := each.get("id"))}
        self._defaults: dict[tuple[str, _Subject], dict[str, str]] = {}

    @cached_property
    def properties(self) -> dict[str, str]:
        sets = self._sets(self._cib, "configuration/crm_config/cluster_property_set")
        return self._pairs(sorted(sets, key=lambda each: each.get("id") != _FIRST_PROPERTIES))

    def defaults(self, section: str, subject: _Subject) -> dict[str, str]:
        """Return the defaults of resources (`rsc_defaults`), or of operations (`op_defaults`)."""
        if (section, subject) not in self._defaults:  # cached: many resources share few kinds of operations
            sets = self._sets(self._cib, f"configuration/{section}/meta_attributes")
            self._defaults[section, subject] = self._pairs(sets, subject)
        return self._defaults[section, subject]

    def primitives(self) -> Iterator[tuple["Element", ...]]:
        """Yield each primitive with what it inherits from, nearest first: its template, its group, its clone.

        Primitives in bundles are left out: they run in containers, which have units of their own.
        """
        if (resources := self._cib.find("configuration/resources")) is not None:
            yield from self._below(resources, ())

    def _below(self, parent: "Element", ancestors: tuple["Element", ...]) -> Iterator[tuple["Element", ...]]:
        for element in parent:
            if element.tag == "primitive":
                template = self._by_id.get(element.get("template", ""))
                yield (element, *(() if template is None else (template,)), *ancestors)
            elif element.tag in {"group", *_CLONES}:
                yield from self._below(element, (element, *ancestors))

    def attributes(self, kind: str, lineage: Iterable["Element"]) -> dict[str, str]:
        """Return the `instance_attributes` or `meta_attributes`, each from the nearest element that has it."""
        return self._pairs(each for element in lineage for each in self._sets(element, kind))

    def operations(self, lineage: Iterable["Element"], standard: tuple[str, ...]) -> Iterator[ConfiguredOperation]:
        """Yield the operations of a primitive, and those of its template whose actions it does not configure itself."""
        known: set[str] = set()
        for element in lineage:
            found = [op for each in self._resolved(element.iterfind("operations")) for op in each.iterfind("op")]
            yield from (self._operation(op, standard) for op in found if op.get("name", "") not in known)
            known |= {op.get("name", "") for op in found}
            if element.find("operations[@id-ref]") is not None:
                return  # if the operations are a reference, Pacemaker adds none of the template

    def _operation(self, op: "Element", standard: tuple[str, ...]) -> ConfiguredOperation:
        own = self.attributes("meta_attributes", [op]) | op.attrib
        name, interval = op.get("name", ""), own.get("interval")
        meta = self.defaults("op_defaults", _Subject(standard, name, interval)) | own
        parameters = self.attributes("instance_attributes", [op])
        others = {key: value for key, value in (own | parameters).items() if key not in _OPERATION_KEYS}
        level, is_used = parameters.get("OCF_CHECK_LEVEL", "0"), not is_false(meta.get("enabled"))
        is_used = is_used and own.get("role") != "Stopped"
        return ConfiguredOperation(name, interval, meta.get("timeout"), level, others, is_used)

    def default_timeouts(self, standard: tuple[str, ...]) -> dict[str, str]:
        """Return the timeouts of actions for which a resource configures no operation."""
        defaults = {each: self.defaults("op_defaults", _Subject(standard, each, "0")) for each in _TIMED_ACTIONS}
        return {action: meta["timeout"] for action, meta in defaults.items() if "timeout" in meta}

    def _resolved(self, elements: Iterable["Element"]) -> Iterator["Element"]:
        return (self._by_id.get(each.get("id-ref", ""), each) for each in elements)

    def _sets(self, parent: "Element", path: str) -> list["Element"]:
        """Return sets of attributes, the one with the highest score first."""
        return sorted(self._resolved(parent.iterfind(path)), key=lambda each: -_score(each.get("score", "0")))

    def _pairs(self, sets: Iterable["Element"], subject: _Subject | None = None) -> dict[str, str]:
        found = [(each, self._applies(each.iterfind("rule"), subject)) for each in sets]
        pairs: dict[str, str] = {}
        for each, _ in sorted((each for each in found if each[1] is not False), key=lambda each: each[1] is None):
            for pair in each.iterfind("nvpair"):
                target = self._by_id.get(pair.get("id-ref", ""), pair)
                pairs.setdefault(pair.get("name", target.get("name", "")), target.get("value", ""))
        return pairs

    def _applies(
        self, conditions: Iterable["Element"], subject: _Subject | None, *, is_any: bool = False
    ) -> bool | None:
        """Return whether all conditions of a rule hold; with `is_any`, whether any of them holds.

        None: the answer depends on the time or the node.
        """
        results = [self._holds(each, subject) for each in self._resolved(conditions)]
        if is_any in results:  # one True decides `any`, one False decides `all`
            return is_any
        return None if None in results else not is_any or not results

    def _holds(self, condition: "Element", subject: _Subject | None) -> bool | None:
        match condition.tag:
            case "rule":
                return self._applies(condition, subject, is_any=condition.get("boolean-op") == "or")
            case _ if subject is None:
                return None
            case "rsc_expression":
                wanted = (condition.get(key) for key in _STANDARD)
                return all(each in {None, own} for each, own in zip(wanted, subject.standard, strict=True))
            case "op_expression":
                interval = condition.get("interval")
                is_same = interval is None or _seconds(interval) == _seconds(subject.interval)
                return condition.get("name") == subject.operation and is_same
            case _:
                return None


def _resource(configuration: _Configuration, lineage: tuple["Element", ...], report: Report) -> Resource:
    name = lineage[0].get("id", "")
    standard = tuple(next(filter(None, (each.get(key) for each in lineage)), "") for key in _STANDARD)
    defaults = configuration.defaults("rsc_defaults", _Subject(standard))
    meta = defaults | configuration.attributes("meta_attributes", lineage)
    parameters = configuration.attributes("instance_attributes", lineage)
    clone = next((each.get("id", "") for each in lineage if each.tag in _CLONES), "")
    managed = report.values(name, "managed") or {meta.get("is-managed", "")}
    nodes, is_managed = report.nodes(name), not all(map(is_false, managed))
    # Maintenance in the CIB counts only if crm_mon reports the resource as unmanaged, too: the set of attributes that
    # has it may have a rule by which it does not apply now.
    in_maintenance = not is_managed and (
        is_true(configuration.properties.get("maintenance-mode"))
        or is_true(meta.get("maintenance"))
        or (bool(nodes) and nodes <= report.nodes_in_maintenance)
    )
    return Resource(
        id=name,
        agent=":".join(filter(None, standard)),
        unit=_unit(standard[0], standard[2], parameters),
        parameters=parameters,
        operations=tuple(configuration.operations(lineage, standard)),
        nodes=tuple(sorted(nodes)),
        is_managed=is_managed,
        is_in_maintenance=in_maintenance,
        is_disabled=(report.values(name, "target_role") or {meta.get("target-role", "").lower()}) == {"stopped"},
        is_blocked="true" in report.values(name, "blocked"),
        is_globally_unique=clone in report.unique_clones,
        clone=clone,
        default_timeouts=configuration.default_timeouts(standard),
    )


def _orphan(name: str, agent: str, report: Report) -> Resource:
    """Return a deleted resource. Its parameters are unknown; the agent may name its unit, as `systemd:cron` does."""
    resource_class, _, resource_type = agent.partition(":")
    return Resource(
        id=name,
        agent=agent,
        unit=_unit(resource_class, resource_type, {}),
        parameters={},
        nodes=tuple(sorted(report.nodes(name))),
        is_managed=report.values(name, "managed") != {"false"},
        is_blocked="true" in report.values(name, "blocked"),
        is_orphan=True,
    )


def _unit(resource_class: str, resource_type: str, parameters: Mapping[str, str]) -> str:
    """Return the full name of the unit that a resource manages; empty: there is none, or the name is not valid."""
    text = resource_type if resource_class in _UNIT_CLASSES else parameters.get(UNIT.name, "")
    try:
        return unit_name(text.strip())
    except ValueError:
        return ""


def is_false(text: str | None) -> bool:
    """Return whether a value is a boolean that is false. A value that is missing or is not a boolean gives False."""
    try:
        return not boolean(text or "yes")
    except ValueError:
        return False
