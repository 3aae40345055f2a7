"""Collects the facts from this host, and changes nothing: what systemctl shows, what files say, one run of the hook."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import anyio

from ocf_systemd.agent.environment import pacemaker_environment
from ocf_systemd.core.observations import ActiveState, HookRan, LoadState, NotStarted
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameters import Parameters
from ocf_systemd.doctor import parse, unit_files
from ocf_systemd.doctor.environment import examine_agent, examine_host
from ocf_systemd.doctor.facts import Agent, Edge, Facts, Hook, Relative, Script, StartLimit, Unit
from ocf_systemd.doctor.parse import Properties, value, words
from ocf_systemd.doctor.systemctl import SilenceError, list_names, show
from ocf_systemd.host import processes
from ocf_systemd.host.drop_in import drop_in_path
from ocf_systemd.host.hooks import check_access, check_hooks, find_hooks, run_hooks
from ocf_systemd.host.leftovers import adopt_orphans, end_leftovers

_LAYERS = 5  # of units that start units that start this one
_RELATIVES_MAX = 100
_SIMILAR_MAX, _SIMILARITY = 4, 0.75
_TRIGGER_TYPES = ("socket", "timer", "path")
_MANAGER = ("Version", "UnitPath", "DefaultTimeoutStopUSec")
_OF_BOTH = ("Id", "LoadState", "ActiveState", "UnitFileState", "StartLimitBurst", "StartLimitIntervalUSec")
_OF_OTHERS = (*_OF_BOTH, "Triggers", "StopWhenUnneeded", *parse.STARTING, parse.TRIGGERING)
_OF_THE_UNIT = (
    *_OF_BOTH,
    *("Names", "FragmentPath", "SourcePath", "DropInPaths", "NeedDaemonReload"),
    *(*parse.STARTING, parse.TRIGGERING, "PartOf", "ConsistsOf", "Requires", "BindsTo"),
    *("Type", "RemainAfterExit", "PIDFile", "GuessMainPID", "MainPID", "Restart", "RestartForceExitStatus"),
    *("ExecStart", "ExecStop", "KillMode", "SendSIGKILL", "TimeoutStartUSec", "TimeoutStopUSec"),
    *parse.EMERGENCIES,
)


@dataclass(frozen=True, slots=True)
class Question:
    """What doctor is asked about: a unit's name as given, parameters by name as given and as read, the operations.

    No parameters: the name is none that the agent takes, for the reason given.
    """

    given: str
    options: Mapping[str, str]
    operations: Operations
    parameters: Parameters | None = None
    why_unusable: str = ""


def collect(question: Question) -> Facts:
    """Return the facts; what a hook leaves behind is ended."""
    adopt_orphans()
    try:
        return anyio.run(_collect, question)
    finally:
        end_leftovers()


@dataclass(frozen=True, slots=True)
class _Neighbourhood:
    """The unit, and others that have to do with it; `similar` are names that may have been meant instead."""

    unit: Unit | None = None
    relatives: Mapping[str, Relative] | None = None
    similar: tuple[str, ...] = ()
    silence: str = ""


async def _collect(question: Question) -> Facts:
    agent, seen = Agent(), _Neighbourhood()
    manager: Properties = {}

    async def look_at_agent() -> None:
        nonlocal agent
        agent = await examine_agent()

    async with anyio.create_task_group() as beside:
        beside.start_soon(look_at_agent)
        try:
            manager = (await show(_MANAGER))[0]
            seen = await _look_around(question, words(manager, "UnitPath"))
        except SilenceError as error:
            seen = _Neighbourhood(silence=str(error))
        hook = await _try_hook(question, seen.unit)
        host = await examine_host(manager)
    return Facts(
        given=question.given,
        operations=question.operations,
        agent=agent,
        host=host,
        why_unusable=question.why_unusable,
        similar=seen.similar,
        silence=seen.silence,
        parameters=question.parameters,
        unit=seen.unit,
        relatives=seen.relatives or {},
        hook=hook,
    )


async def _look_around(question: Question, unit_path: tuple[str, ...]) -> _Neighbourhood:
    if question.parameters is None:
        return _Neighbourhood(similar=await _instances(question.given, unit_path))
    name = question.parameters.unit
    properties = (await show(_OF_THE_UNIT, name))[0]
    if value(properties, "LoadState") == LoadState.NOT_FOUND:
        unit = Unit(id=name, load_state=LoadState.NOT_FOUND, active_state=ActiveState(value(properties, "ActiveState")))
        return _Neighbourhood(unit, similar=await _similar(name))
    sight = _Sight(properties, unit_path, name)
    others = await _others(sight)
    unit = _unit(sight, others)
    return _Neighbourhood(unit, {each: parse.relative(found) for each, found in others.items()})


class _Sight:
    """A unit's properties, and what of it stands on disk."""

    def __init__(self, properties: Properties, unit_path: tuple[str, ...], name: str) -> None:
        self.properties = properties
        self.unit_path = unit_path
        self.name = name
        self.id = value(properties, "Id", name)
        self.names = words(properties, "Names") or (name,)
        self.links = unit_files.starting_links(unit_path, self.names)
        stem, _, kind = self.id.rpartition(".")
        # systemd knows of a socket that would start this only once something has asked for the socket.
        self.namesakes = tuple(f"{stem}.{each}" for each in _TRIGGER_TYPES) if kind == "service" else ()
        self.required = tuple(dict.fromkeys((*words(properties, "Requires"), *words(properties, "BindsTo"))))

    def edges(self) -> tuple[Edge, ...]:
        """Return what starts the unit but for the administrator's links, of which is told apart."""
        tied = {(edge.relation, edge.by): edge for edge in self.links}
        shown = {(edge.relation, edge.by): edge for edge in parse.edges(self.properties)}
        return tuple(edge for edge in (shown | tied).values() if not unit_files.is_administrators(edge.link))


async def _others(sight: _Sight) -> dict[str, Properties]:
    """Return the properties of the units that have to do with this one, and of those that start them."""
    found: dict[str, Properties] = {}
    wanted = [edge.by for edge in sight.edges()]
    wanted += [*sight.namesakes, *words(sight.properties, "PartOf"), *sight.required]
    for _ in range(_LAYERS):
        names = [name for name in dict.fromkeys(wanted) if name not in found][:_RELATIVES_MAX]
        if not names:
            break
        wanted = []
        for name, properties in zip(names, await show(_OF_OTHERS, *names), strict=False):
            found[name] = properties
            if not name.endswith((".mount", ".slice")) and name not in sight.required:
                wanted += [edge.by for edge in parse.edges(properties)]
    return found


def _unit(sight: _Sight, others: Mapping[str, Properties]) -> Unit:
    properties, drop_in = sight.properties, drop_in_path(sight.name)
    drop_ins = words(properties, "DropInPaths")
    alias = unit_files.alias_link(sight.unit_path, sight.name) if sight.name != sight.id else ""
    return Unit(
        id=sight.id,
        names=sight.names,
        load_state=LoadState(value(properties, "LoadState")),
        active_state=ActiveState(value(properties, "ActiveState")),
        file_state=value(properties, "UnitFileState"),
        path=value(properties, "FragmentPath"),
        source=value(properties, "SourcePath"),
        needs_daemon_reload=value(properties, "NeedDaemonReload") == "yes",
        unread=unit_files.unread_drop_ins(sight.unit_path, sight.names, drop_ins),
        links=tuple(edge.link for edge in sight.links if unit_files.is_administrators(edge.link)),
        alias_link=alias,
        edges=(*sight.edges(), *_triggering(sight, others)),
        part_of=words(properties, "PartOf"),
        consists_of=words(properties, "ConsistsOf"),
        bus_files=unit_files.bus_files(sight.names),
        has_drop_in=str(drop_in) in drop_ins,
        shadow=unit_files.shadowing_drop_in(sight.unit_path, sight.names, drop_in),
        later_restarts=unit_files.later_restarts(drop_ins, drop_in),
        emergencies=parse.emergencies(properties),
        start_limit=parse.start_limit(properties),
        helpers=_helpers(sight, others),
        service=parse.service(properties) if sight.id.endswith(".service") else None,
    )


def _triggering(sight: _Sight, others: Mapping[str, Properties]) -> tuple[Edge, ...]:
    """Return the namesakes that start this unit, of which its own properties do not know yet."""
    known = words(sight.properties, parse.TRIGGERING)
    names = (name for name in sight.namesakes if name in others and name not in known)
    return tuple(Edge(parse.TRIGGERING, name) for name in names if sight.id in words(others[name], "Triggers"))


def _helpers(sight: _Sight, others: Mapping[str, Properties]) -> tuple[StartLimit, ...]:
    """Return the limits of the services it requires that stop with it, and so start with it each time."""
    with_it = {*words(sight.properties, "ConsistsOf"), *words(sight.properties, "BoundBy")}
    names = (name for name in sight.required if name.endswith(".service") and name in others)
    return tuple(
        parse.start_limit(others[name])
        for name in names
        if name in with_it or value(others[name], "StopWhenUnneeded") == "yes"
    )


async def _instances(given: str, unit_path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the instances of a template that there are."""
    stem, at, _ = given.partition("@")
    if not at or not stem or any(character in stem for character in "*?[\\ "):
        return ()
    names = (*await list_names("list-units", f"{stem}@*"), *unit_files.linked_instances(unit_path, f"{stem}@"))
    return tuple(dict.fromkeys(name for name in names if not name.startswith(f"{stem}@.")))[:_SIMILAR_MAX]


async def _similar(name: str) -> tuple[str, ...]:
    """Return the names of units that may have been meant."""
    stem, _, kind = name.rpartition(".")
    names = (each.rpartition(".") for each in await list_names("list-unit-files"))
    stems = [other for other, _, its_kind in names if its_kind == kind and not other.endswith("@")]
    containing = [other for other in stems if stem.partition("@")[0] in other]
    close = get_close_matches(stem, stems, cutoff=_SIMILARITY)
    return tuple(f"{other}.{kind}" for other in dict.fromkeys((*close, *containing)))[:_SIMILAR_MAX]


async def _try_hook(question: Question, unit: Unit | None) -> Hook | None:
    """Run the hook once, as a monitor would, unless that would tell nothing or do harm."""
    parameters = question.parameters
    if parameters is None or parameters.monitor_hook is None:
        return None
    environment = pacemaker_environment(Action.MONITOR, question.options, question.operations.timeout_s(Action.MONITOR))
    deadline = anyio.current_time() + question.operations.own_time_s(Action.MONITOR)
    problems, not_run = check_hooks(parameters), _why_not_run(parameters, unit)
    if not problems and not not_run:
        problems = await check_access(parameters, environment, processes.run, deadline)
    if problems or not_run:
        return Hook(problems, not_run, () if problems else _scripts(parameters))
    outcomes = await run_hooks(parameters, environment, processes.run, deadline)
    times_s = [
        ran.outcome.elapsed_s
        for ran in outcomes
        if isinstance(ran, HookRan) and not isinstance(ran.outcome, NotStarted)
    ]
    return Hook(outcomes, "", _scripts(parameters), max(times_s, default=0.0))


def _why_not_run(parameters: Parameters, unit: Unit | None) -> str:
    if os.geteuid() != 0:
        return "only root can run it as the cluster does"
    if unit is None:
        return "systemd does not say whether the unit runs"
    if parameters.gated and not unit.is_running:
        return "monitor_hook_order=gated, and the unit does not run"
    return "" if unit.is_running or unit.is_down else f"the unit is {unit.active_state} at the moment"


def _scripts(parameters: Parameters) -> tuple[Script, ...]:
    hooks = find_hooks(parameters.monitor_hook or "")
    names = hooks if isinstance(hooks, tuple) else ()
    return tuple(parse.script(name, unit_files.read_text(name), parameters) for name in names)
