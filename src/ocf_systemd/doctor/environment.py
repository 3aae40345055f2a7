"""Collects facts about the agent's file, the resident server, the cluster, and the versions on this host.

The resident server performs the monitors of many resources in one process, if it is installed.
"""

import os
import pwd
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from ocf_systemd import __version__
from ocf_systemd.agent.log import describe_outcome
from ocf_systemd.core.cluster import Resource, configured_operations
from ocf_systemd.core.named_resource import override
from ocf_systemd.core.observations import ActiveState, CommandOutcome, Exited, LoadState, NotStarted
from ocf_systemd.core.parameter_table import PREFIX
from ocf_systemd.core.parameters import read_leniently
from ocf_systemd.doctor.facts import Agent, Facts, Host
from ocf_systemd.doctor.parse import Properties, span_s
from ocf_systemd.doctor.systemctl import run, show
from ocf_systemd.host.cluster import ClusterError, managing, query_cluster
from ocf_systemd.host.programs import SEARCH_PATH, executed_files, why_unsafe
from ocf_systemd.host.threads import run_in_thread
from ocf_systemd.install.agent_file import (
    DEFAULT_OCF_ROOT,
    AgentFile,
    agents_below,
    imported_packages,
    is_outdated,
    why_unreadable,
)
from ocf_systemd.install.server_units import SERVICE_UNIT, SOCKET_UNIT

_OTHER_USER = "nobody"  # runs the agent, to find out whether users other than root can read its files
_VERSION = re.compile(r'<resource-agent\b[^>]*\bversion="([^"]*)"')
_PACEMAKER_TOOLS = ("pacemakerd", "pacemaker-remoted", "crm_resource")  # a remote node has no pacemakerd


async def collect_agent() -> Agent:
    """Return the facts about the agent's file.

    The agent's action meta-data runs as a user other than root. If that fails, the action runs as this process's user.
    """
    default, ours = AgentFile().path, agents_below(DEFAULT_OCF_ROOT)
    if not ours:
        return Agent(path=str(default), is_foreign=True) if default.exists() else Agent()
    path = default if default in ours else ours[0]
    standard = f"ocf:{path.parent.name}:{path.name}"
    agent = Agent(str(path), standard, is_current=not is_outdated(path), unsafe=_why_unsafe(path))
    outcome = await run(agent.path, "meta-data", user=_other_user())
    if version := _version(outcome):
        return replace(agent, version=version)
    as_root = await run(agent.path, "meta-data")
    if version := _version(as_root):
        return replace(agent, version=version, unreadable=why_unreadable() or _why(outcome))
    return replace(agent, failure=_why(as_root))


def _why_unsafe(agent: Path) -> str:
    """Return why users other than root could change a file that root executes; empty: they cannot.

    Root executes the agent, its interpreter, the standard library and the packages that the agent imports.
    """
    paths = list(imported_packages(agent))
    with ExitStack() as opened, suppress(OSError):
        paths[:0] = executed_files(str(agent), SEARCH_PATH, opened)
    for path in paths:
        with suppress(OSError):
            if why := why_unsafe(path, frozenset({0})):
                return why
    return ""


def _other_user() -> tuple[int, int, Sequence[int]] | None:
    """Return uid, gid and groups of a user other than root; None: this process is not root, or no such user exists."""
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(_OTHER_USER)
    except KeyError:
        return None
    return account.pw_uid, account.pw_gid, ()


def _version(outcome: CommandOutcome) -> str:
    if not isinstance(outcome, Exited) or outcome.code:
        return ""
    match = _VERSION.search(outcome.stdout.decode(errors="replace"))
    return match[1] if match else ""


def _why(outcome: CommandOutcome) -> str:
    last_line = "" if isinstance(outcome, NotStarted) else outcome.last_line
    return last_line or describe_outcome(outcome)


async def collect_host(manager: Properties) -> Host:
    """Return the versions of systemd, Pacemaker and this program on this host, and DefaultTimeoutStopSec=."""
    default_s = span_s(manager.get("DefaultTimeoutStopUSec", ""), 90.0)
    return Host(manager.get("Version", ""), await _pacemaker_version(), __version__, default_s)


async def collect_server() -> dict[str, ActiveState]:
    """Return the state of each unit of the resident server that is installed, by name. Raises `NoAnswerError`."""
    units = (SOCKET_UNIT, SERVICE_UNIT)
    shown = await show(("LoadState", "ActiveState"), *units)
    return {
        name: ActiveState(properties.get("ActiveState", ""))
        for name, properties in zip(units, shown, strict=False)
        if properties.get("LoadState") == LoadState.LOADED
    }


async def with_cluster(facts: Facts) -> Facts:
    """Return the facts with the cluster of this host, if there is one, or with why it cannot be queried."""
    try:
        return replace(facts, cluster=await run_in_thread(query_cluster))
    except ClusterError as error:
        return replace(facts, why_no_cluster=str(error))


async def with_resources(facts: Facts, options: Mapping[str, str]) -> Facts:
    """Return the facts with the cluster's resources that manage the unit.

    The parameters and operations of `Facts.resource` apply, except where the command line sets others. `options` are
    the parameters that the command line sets, as text.
    """
    if facts.cluster is None or facts.unit is None:
        return facts
    try:
        resources = await run_in_thread(partial(managing, facts.cluster, facts.unit.id))
    except ClusterError as error:
        return replace(facts, cluster=None, why_no_cluster=str(error))
    facts = replace(facts, resources=resources)
    return facts if facts.resource is None else _configured(facts, facts.resource, options)


def _configured(facts: Facts, resource: Resource, options: Mapping[str, str]) -> Facts:
    given = configured_options(facts, options)
    parameters, _ = read_leniently({PREFIX + name: text for name, text in given.items()})
    configured = configured_operations(resource, parameters.monitor_hook_level)
    chosen = {**configured.chosen, **facts.operations.chosen}
    return replace(facts, parameters=parameters, operations=replace(configured, chosen=chosen))


def configured_options(facts: Facts, options: Mapping[str, str]) -> Mapping[str, str]:
    """Return the parameters that apply, as text: those of the resource, unless `options` override them."""
    return options if facts.resource is None else override(facts.resource.parameters, options)


async def _pacemaker_version() -> str:
    tool = next((path for name in _PACEMAKER_TOOLS if (path := shutil.which(name, path=SEARCH_PATH))), None)
    if tool is None:
        return ""
    outcome = await run(tool, "--version")
    stdout = outcome.stdout.decode(errors="replace") if isinstance(outcome, Exited) else ""
    match = re.match(r"Pacemaker (\S+)", stdout)
    return match[1] if match else ""
