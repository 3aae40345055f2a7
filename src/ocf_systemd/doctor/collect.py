"""Collects the facts from systemctl, from files and from one run of the hook. Changes nothing on the host."""

import os
from collections.abc import Mapping
from dataclasses import replace

import anyio

from ocf_systemd.agent.environment import pacemaker_environment
from ocf_systemd.core.observations import ActiveState, HookAttempted, LoadState, NotStarted
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.core.suggestions import similar_units
from ocf_systemd.doctor import execution, parse, unit_files
from ocf_systemd.doctor.environment import (
    collect_agent,
    collect_host,
    collect_server,
    configured_options,
    with_cluster,
    with_resources,
)
from ocf_systemd.doctor.facts import Agent, Edge, Facts, Hook, RelatedUnit, Script, StartLimit, Unit
from ocf_systemd.doctor.parse import Properties, names_in
from ocf_systemd.doctor.systemctl import NoAnswerError, list_names, show, unmet_conditions
from ocf_systemd.host import processes
from ocf_systemd.host.drop_in import drop_in_path
from ocf_systemd.host.hooks import check_access, check_hooks, find_hooks, run_hooks
from ocf_systemd.host.leftovers import adopt_orphans, end_leftovers

_LAYERS = 5  # rounds of queries; each examines the units that start the units of the round before
_RELATED_MAX = 100  # units that one round examines at most
_INSTANCES_MAX = 4  # instances of a template that are proposed
_TRIGGER_TYPES = ("socket", "timer", "path")
_MANAGER = ("Version", "UnitPath", "DefaultTimeoutStopUSec")
# Properties to query of the checked unit and of others; _OF_OTHERS and _OF_THE_UNIT add to these.
_OF_BOTH = ("Id", "LoadState", "ActiveState", "UnitFileState", "StartLimitBurst", "StartLimitIntervalUSec")
# Properties of a unit that name the units that stop with it.
_STOPPED_WITH = ("RequiredBy", "BoundBy", "ConsistsOf")
_FILES = ("FragmentPath", "DropInPaths")
_OF_OTHERS = (
    *(*_OF_BOTH, *_FILES, "SourcePath", "StopWhenUnneeded", "Type", "RemainAfterExit", "ExecStart", "ConsistsOf"),
    *(*parse.STARTING, *parse.RELATIONS),
)
# Properties of the checked unit that name the units to examine.
_RELATED = (
    *("Requires", "Requisite", "BindsTo", "Wants", "Upholds", "StopPropagatedFrom", "Triggers"),
    *("OnFailure", "OnSuccess", "After"),
)
_OF_THE_UNIT = (
    *_OF_BOTH,
    *("Names", *_FILES, "SourcePath", "NeedDaemonReload"),
    *(*parse.STARTING, *parse.RELATIONS, "ConsistsOf", "RefuseManualStart", "RefuseManualStop", "StopWhenUnneeded"),
    *("Type", "RemainAfterExit", "GuessMainPID", "MainPID", "Restart", "RestartForceExitStatus", "RuntimeMaxUSec"),
    *("ExecStop", "KillMode", "Delegate", "SendSIGKILL", "TimeoutStartUSec", "TimeoutStopUSec", "Accept"),
    *(*parse.EMERGENCIES, *execution.PROPERTIES),
)


def collect(given: Facts, options: Mapping[str, str]) -> Facts:
    """Return all facts; `given` has the facts from the command line: the name, the operations and the parameters.

    `options` are these parameters as text. Before the return, processes that the hook has left running are killed.
    """
    adopt_orphans()
    try:
        return anyio.run(_collect, given, options)
    finally:
        end_leftovers()


async def _collect(facts: Facts, options: Mapping[str, str]) -> Facts:
    agent = Agent()
    in_cluster = facts
    manager: Properties = {}

    async def set_agent() -> None:
        nonlocal agent
        agent = await collect_agent()

    async def set_cluster() -> None:
        nonlocal in_cluster
        in_cluster = await with_cluster(facts)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(set_agent)
        async with anyio.create_task_group() as queries:
            queries.start_soon(set_cluster)
            try:
                manager = (await show(_MANAGER))[0]
                facts = await _with_units(facts, names_in(manager, "UnitPath"))
                facts = replace(facts, server=await collect_server())
            except NoAnswerError as error:
                facts = replace(facts, no_answer=str(error))
        facts = replace(facts, cluster=in_cluster.cluster, why_no_cluster=in_cluster.why_no_cluster)
        facts = await with_resources(facts, options)
        hook = await _run_hook(facts, configured_options(facts, options))
        host = await collect_host(manager)
    return replace(facts, agent=agent, host=host, hook=hook)


async def _with_units(facts: Facts, unit_path: tuple[str, ...]) -> Facts:
    if facts.parameters is None:
        return replace(facts, similar=await _instances(facts.given, unit_path))
    name = facts.parameters.unit
    properties = (await show(_OF_THE_UNIT, name))[0]
    if properties.get("LoadState") == LoadState.NOT_FOUND:
        unit = Unit(
            id=name, load_state=LoadState.NOT_FOUND, active_state=ActiveState(properties.get("ActiveState", ""))
        )
        return replace(facts, unit=unit, similar=await _similar(name))
    view = _View(properties, unit_path, name)
    others: dict[str, Properties] = {}
    unexamined: tuple[str, ...] = ()
    unmet: tuple[str, ...] | str = ()

    async def set_unmet() -> None:
        nonlocal unmet
        unmet = await unmet_conditions(view.id)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(set_unmet)
        others, unexamined = await _others(view)
    related = {other: view.related_unit(other, found) for other, found in others.items()}
    triggers, helpers = _triggers(view, others), _helpers(view, others)
    starting = unit_files.units_that_start(view.unit_path, (*triggers, *helpers))
    users = {name: _users(view, others, name, starting[name]) for name in triggers}
    private = tuple(name for name in triggers if not users[name])
    related |= {name: _trigger(view, related[name], others[name], users[name], private) for name in triggers}
    related |= {name: _helper(view, related[name], starting[name]) for name in helpers}
    unit = replace(_unit(view, others, private), unmet=unmet, execution=await execution.collect_execution(properties))
    return replace(facts, unit=_with_relations(unit, view), related=related, unexamined=unexamined)


def _with_relations(unit: Unit, view: "_View") -> Unit:
    return replace(
        unit,
        relations=view.relations,
        accepts=view.accepts,
        refused=parse.refused(view.properties),
        stop_when_unneeded=view.properties.get("StopWhenUnneeded") == "yes",
    )


class _View:
    """The checked unit's properties, the symbolic links that start it, and what follows from both."""

    def __init__(self, properties: Properties, unit_path: tuple[str, ...], name: str) -> None:
        self.properties = properties
        self.unit_path = unit_path
        self.name = name
        self.id = properties.get("Id", name)
        self.names = names_in(properties, "Names") or (name,)
        self.all_links = unit_files.starting_links(unit_path)
        self.links = tuple(link for each in self.names for link in self.all_links.get(each, ()))
        stem, _, kind = self.id.rpartition(".")
        # Sockets, timers and paths of the same name: systemd lists them in TriggeredBy= only after it has loaded them.
        self.namesakes = tuple(f"{stem}.{each}" for each in _TRIGGER_TYPES) if kind == "service" else ()
        self.required = tuple(dict.fromkeys((*names_in(properties, "Requires"), *names_in(properties, "BindsTo"))))
        self.accepts = kind == "socket" and properties.get("Accept") == "yes"
        self.relations = dict(parse.relations(properties))
        if self.accepts:  # systemd lists only the instances of open connections
            self.relations["Triggers"] = (f"{stem}@CONNECTION.service",)

    def edges(self) -> tuple[Edge, ...]:
        """Return the dependencies that start the unit, except those that exist only by links of the administrator."""
        edges = _merged(parse.edges(self.properties), self.links)
        return tuple(filter(None, map(self._without_link, edges)))

    def _without_link(self, edge: Edge) -> Edge | None:
        """Return a dependency as `systemctl disable` leaves it, without its link; None: it does not exist any more.

        The dependency still exists if a file of the other unit has it, too.
        """
        if not unit_files.is_from_administrator(edge.link):
            return edge
        return replace(edge, link="") if unit_files.starts(self.unit_path, edge.by, self.names) else None

    def related_unit(self, name: str, properties: Properties) -> RelatedUnit:
        """Return the facts about another unit; its edges include those of links that systemd has not loaded."""
        related = parse.related_unit(properties)
        if name in {*self.relations.get("OnFailure", ()), *self.relations.get("OnSuccess", ())}:
            commands = parse.commands(properties, "ExecStart")
            related = replace(related, commands=tuple(map(execution.script_text, commands)))
        return replace(related, edges=_merged(related.edges, self.all_links.get(name, ())))


def _merged(shown: tuple[Edge, ...], links: tuple[Edge, ...]) -> tuple[Edge, ...]:
    """Return the dependencies that systemd shows, each with its link, and those of links that are not loaded yet."""
    return tuple({(edge.relation, edge.by): edge for edge in (*shown, *links)}.values())


async def _others(view: _View) -> tuple[dict[str, Properties], tuple[str, ...]]:
    """Return the properties of the units related to the checked unit, by name, and the names that are not examined.

    The units that start the checked unit are examined, the units that start these, and so on, in `_LAYERS` rounds. A
    name is not examined if a round has too many names.
    """
    found: dict[str, Properties] = {}
    left: list[str] = []
    wanted = [*(edge.by for edge in view.edges()), *view.namesakes, *names_in(view.properties, "PartOf")]
    starting = frozenset(wanted)
    wanted += [name for relation in _RELATED for name in view.relations.get(relation, ())]
    for layer in range(_LAYERS):
        names = [name for name in dict.fromkeys(wanted) if name not in found]
        left += names[_RELATED_MAX:]
        del names[_RELATED_MAX:]
        if not names:
            break
        wanted = []
        for name, properties in zip(names, await show(_OF_OTHERS, *names), strict=False):
            found[name] = properties
            if not name.endswith((".mount", ".slice")) and (layer or name in starting):
                wanted += [edge.by for edge in view.related_unit(name, properties).edges]
    return found, tuple(name for name in dict.fromkeys(left) if name not in found)


def _unit(view: _View, others: Mapping[str, Properties], private: tuple[str, ...]) -> Unit:
    properties, drop_in = view.properties, drop_in_path(view.name)
    drop_ins = names_in(properties, "DropInPaths")
    alias = unit_files.alias_link(view.unit_path, view.name) if view.name != view.id else ""
    return Unit(
        id=view.id,
        names=view.names,
        load_state=LoadState(properties.get("LoadState", "")),
        active_state=ActiveState(properties.get("ActiveState", "")),
        file_state=properties.get("UnitFileState", ""),
        path=properties.get("FragmentPath", ""),
        source=properties.get("SourcePath", ""),
        needs_daemon_reload=properties.get("NeedDaemonReload") == "yes",
        unread=unit_files.unread_drop_ins(view.unit_path, view.names, drop_ins),
        links=tuple(edge.link for edge in view.links if unit_files.is_from_administrator(edge.link)),
        also=_also(view, view.id, properties, private),
        alias_link=alias,
        edges=(*view.edges(), *_triggering(view, others)),
        part_of=names_in(properties, "PartOf"),
        consists_of=names_in(properties, "ConsistsOf"),
        bus_files=unit_files.bus_files(view.names),
        has_drop_in=str(drop_in) in drop_ins,
        hidden_by=unit_files.hiding_drop_in(view.unit_path, view.names, drop_in),
        later_restarts=unit_files.later_restarts(drop_ins, drop_in),
        failure_actions=parse.failure_actions(properties),
        start_limit=parse.start_limit(properties),
        required_limits=_required_limits(view, others),
        service=parse.service(properties) if view.id.endswith(".service") else None,
    )


def _triggering(view: _View, others: Mapping[str, Properties]) -> tuple[Edge, ...]:
    """Return the dependencies on namesakes that start this unit, but are not in its TriggeredBy= yet."""
    known = names_in(view.properties, parse.TRIGGERING)
    names = (name for name in view.namesakes if name in others and name not in known)
    return tuple(Edge(parse.TRIGGERING, name) for name in names if view.id in names_in(others[name], "Triggers"))


def _triggers(view: _View, others: Mapping[str, Properties]) -> tuple[str, ...]:
    """Return the triggers: the names of the sockets, timers and so on that start this unit."""
    edges = (*parse.edges(view.properties), *_triggering(view, others))
    return tuple(edge.by for edge in edges if edge.relation == parse.TRIGGERING and edge.by in others)


def _helpers(view: _View, others: Mapping[str, Properties]) -> tuple[str, ...]:
    """Return the helpers: the names of the services that this unit starts, but does not need (Wants=)."""
    return tuple(name for name in view.relations.get("Wants", ()) if name.endswith(".service") and name in others)


def _helper(view: _View, helper: RelatedUnit, starting: tuple[str, ...]) -> RelatedUnit:
    """Return a helper with its users: the other units that start the helper, or that the helper is a part of."""
    users = (*starting, *helper.relations.get("PartOf", ()))
    return replace(helper, users=tuple(dict.fromkeys(name for name in users if name not in view.names)))


def _users(view: _View, others: Mapping[str, Properties], name: str, starting: tuple[str, ...]) -> tuple[str, ...]:
    """Return the users of a trigger: other units that start it or stop with it, except targets and other triggers."""
    users = [user for each in (*parse.STARTING, *_STOPPED_WITH) for user in names_in(others[name], each)]
    users += [unit for unit in starting if unit.endswith(".service")]
    own = {*view.names, *_triggers(view, others)}
    return tuple(dict.fromkeys(name for name in users if name not in own and not name.endswith(".target")))


def _trigger(
    view: _View, trigger: RelatedUnit, properties: Properties, users: tuple[str, ...], private: tuple[str, ...]
) -> RelatedUnit:
    """Return a trigger with what a fix needs: its links, its users, and what `systemctl disable` disables with it."""
    return replace(
        trigger,
        links=tuple(edge.link for edge in trigger.edges if unit_files.is_from_administrator(edge.link)),
        also=_also(view, trigger.name, properties, private),
        users=users,
    )


def _also(view: _View, name: str, properties: Properties, private: tuple[str, ...]) -> tuple[str, ...]:
    """Return the other units that `systemctl disable` of a unit disables (Also=).

    Left out are the checked unit and its `private` triggers, those that no other unit uses.
    """
    texts = (unit_files.read_text(path) or "" for each in _FILES for path in names_in(properties, each))
    own = {name, *view.names, *private}
    return tuple(unit for text in texts for unit in parse.also_in(text) if unit not in own)


def _required_limits(view: _View, others: Mapping[str, Properties]) -> tuple[StartLimit, ...]:
    """Return the start limits of the required services that stop and start whenever the unit stops and starts."""
    with_it = {*names_in(view.properties, "ConsistsOf"), *names_in(view.properties, "BoundBy")}
    names = (name for name in view.required if name.endswith(".service") and name in others)
    return tuple(
        parse.start_limit(others[name])
        for name in names
        if name in with_it or others[name].get("StopWhenUnneeded") == "yes"
    )


async def _instances(given: str, unit_path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of some instances of the template that is given; empty if it is not a template."""
    stem, at, _ = given.partition("@")
    if not at or not stem or any(character in stem for character in "*?[\\ "):
        return ()
    names = (*await list_names("list-units", f"{stem}@*"), *unit_files.linked_instances(unit_path, f"{stem}@"))
    return tuple(dict.fromkeys(name for name in names if not name.startswith(f"{stem}@.")))[:_INSTANCES_MAX]


async def _similar(name: str) -> tuple[str, ...]:
    """Return the names of similar units."""
    return similar_units(name, await list_names("list-unit-files"))


async def _run_hook(facts: Facts, options: Mapping[str, str]) -> Hook | None:
    """Run the hook once, as a monitor does, unless something prevents it; return the facts. None: there is no hook."""
    parameters, operations = facts.parameters, facts.operations
    if parameters is None or parameters.monitor_hook is None:
        return None
    environment = pacemaker_environment(Action.MONITOR, options, operations)
    deadline = anyio.current_time() + operations.agent_deadline_s(Action.MONITOR)
    failures, not_run = check_hooks(parameters, environment), _why_not_run(parameters, facts.unit)
    if not failures and not not_run:
        failures = await check_access(parameters, environment, processes.run, deadline)
    if failures or not_run:
        scripts = () if failures else _scripts(parameters)
        path = parameters.monitor_hook
        similar = unit_files.similar_executable(path)
        return Hook(failures, not_run, scripts, is_directory=unit_files.is_directory(path), similar=similar)
    outcomes = await run_hooks(parameters, environment, processes.run, deadline)
    times_s = [
        ran.outcome.elapsed_s
        for ran in outcomes
        if isinstance(ran, HookAttempted) and not isinstance(ran.outcome, NotStarted)
    ]
    return Hook(outcomes, "", _scripts(parameters), max(times_s, default=0.0))


def _why_not_run(parameters: Parameters, unit: Unit | None) -> str:
    """Return why a run of the hook may do harm, or its result means nothing; empty: run it."""
    if os.geteuid() != 0:
        return "only root can run it as the cluster does"
    if unit is None:
        return "the state of the unit is unknown"
    if parameters.gated and not unit.is_running:
        return "monitor_hook_order=gated, and the unit is not running"
    return "" if unit.is_running or unit.is_inactive else f"the unit is {unit.active_state}"


def _scripts(parameters: Parameters) -> tuple[Script, ...]:
    hooks = find_hooks(parameters.monitor_hook or "")
    names = hooks if isinstance(hooks, tuple) else ()
    return tuple(parse.script(name, unit_files.read_text(name), parameters) for name in names)
