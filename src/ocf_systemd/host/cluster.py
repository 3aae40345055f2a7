"""Queries the cluster on this host with cibadmin(8) and crm_mon(8), for commands that people run.

If Pacemaker does not run on this host, these functions find that out without starting a process. Other nodes of its
cluster may nevertheless run resources: these are then read from the CIB on this host's disk.
"""

import grp
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ocf_systemd.core.cluster import Cluster, Resource, parse_cluster, parse_stopped
from ocf_systemd.core.text import printable
from ocf_systemd.core.unit_properties import parse_units
from ocf_systemd.host.commands import run_to_end

# The sockets of Pacemaker's daemons, on a remote node as well. By default they are abstract sockets, whose names libqb
# pads with NUL characters, shown as @; libqb can be configured to use files instead.
_SOCKET = re.compile(r"[@/](pacemakerd|cib_ro|cib_rw)@*$", re.MULTILINE)
_CIB = Path("/var/lib/pacemaker/cib/cib.xml")  # only root and Pacemaker can read it
_GROUP = "haclient"
_TIMEOUT_S = 5.0  # for each command
# The caller's environment is not used: with CIB_file or CIB_shadow, the tools would not query the running cluster.
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class ClusterError(Exception):
    """This host is in a cluster, but its state is unknown; the message says why."""


class MayNotQueryError(ClusterError):
    """This host is in a cluster that this user may not query."""


class Active(NamedTuple):
    """The resources of a unit that the cluster believes active.

    `here` are those that are active on this node only, `elsewhere` all others.
    """

    here: tuple[Resource, ...] = ()
    elsewhere: tuple[Resource, ...] = ()


def runs_cluster(sockets: Path = Path("/proc/net/unix")) -> bool:
    """Return whether Pacemaker runs on this host, in this network namespace (proc_pid_net(5))."""
    try:
        return bool(_SOCKET.search(sockets.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return False


def query_cluster() -> Cluster | None:
    """Return the cluster of this host; while Pacemaker does not run here, as the CIB on the disk describes it.

    None: Pacemaker does not run here, and there is no CIB that this user can read. Raises `ClusterError`.
    """
    if not runs_cluster():
        return _query_stopped()
    try:
        return parse_cluster(_output("cibadmin", "--query"), _output("crm_mon", "--output-as=xml", "--inactive"))
    except ValueError as error:
        raise _unknown("cibadmin or crm_mon", f"printed no XML: {error}") from error
    except ClusterError:
        if _may_query():
            raise
        only = f"only root and members of the group {_GROUP} may"
        raise MayNotQueryError(f"this user may not query the cluster: {only}") from None


def _may_query() -> bool:
    """Return whether Pacemaker lets this user query the cluster."""
    try:
        return os.geteuid() == 0 or grp.getgrnam(_GROUP).gr_gid in {os.getegid(), *os.getgroups()}
    except KeyError:
        return False


def _query_stopped() -> Cluster | None:
    try:
        return parse_stopped(_CIB.read_text(encoding="utf-8"), str(_CIB))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not XML: {error}"
        raise ClusterError(f"Pacemaker does not run here, and its {_CIB} cannot be read: {reason}") from error


def is_stopped_cib_hidden() -> bool:
    """Return whether this user may not read the CIB on this host's disk, if there is one."""
    try:
        _CIB.open("rb").close()
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def resources_of(unit: str, agents: Collection[str] = ()) -> tuple[Resource, ...]:
    """Return the cluster's resources that manage a unit, under any of its names. Raises `ClusterError`.

    The result includes orphans, which are active resources that are no longer configured: those that manage the unit,
    and those of `agents` whose unit is unknown.
    """
    if (cluster := query_cluster()) is None:
        return ()
    unknown = tuple(each for each in cluster.orphans if not each.unit and each.agent in agents)
    return managing(replace(cluster, resources=cluster.resources + cluster.orphans), unit) + unknown


def managing(cluster: Cluster, unit: str) -> tuple[Resource, ...]:
    """Return those of a cluster's resources that manage a unit, under any of its names. Raises `ClusterError`."""
    if not cluster.resources:
        return ()
    units = dict.fromkeys((unit, *(each.unit for each in cluster.resources if each.unit)))
    return cluster.managing(unit, _primary_names(units))


def active_while_down(unit: str, resources: Iterable[Resource]) -> Active:
    """Return which of a unit's resources the cluster believes active although the unit is down on this host.

    The result is empty if the unit is not down. Resources whose unit is unknown are left out. Raises `ClusterError`.
    """
    active = tuple(each for each in resources if each.nodes and each.unit)
    if not active:
        return Active()
    shown = parse_units(_output("systemctl", "show", "--property=ActiveState", "--", unit).encode())
    if not all(each.get("ActiveState") in {"inactive", "failed"} for each in shown):
        return Active()
    node = node_name()
    here = tuple(each for each in active if each.nodes == (node,))
    return Active(here, tuple(each for each in active if each not in here))


def node_name() -> str:
    """Return the name of this node in the cluster. Raises `ClusterError`."""
    return _output("crm_node", "--name").strip()


def _primary_names(units: Iterable[str]) -> dict[str, str]:
    """Map the name of each unit to the unit's primary name: a name may be an alias (systemd.unit(5)).

    The name of a unit that does not exist here maps to itself.
    """
    shown = parse_units(_output("systemctl", "show", "--property=Id,LoadState", "--", *units).encode())
    return {unit: properties.get("Id", unit) for unit, properties in zip(units, shown, strict=False)}


def _output(*command: str) -> str:
    try:
        done = run_to_end(*command, timeout_s=_TIMEOUT_S, environment=_ENVIRONMENT)
    except TimeoutError:
        raise _unknown(command[0], f"does not answer within {_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise _unknown(command[0], f"cannot be started: {error.strerror}") from error
    if done.returncode:
        lines = [line for line in map(printable, (done.stderr or done.stdout).splitlines()) if line]
        raise _unknown(command[0], f"failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return done.stdout


def _unknown(command: str, why: str) -> ClusterError:
    return ClusterError(f"this host is in a cluster that cannot be queried: {command} {why}")


def configured_resources(timeout_s: float) -> tuple[Resource, ...]:
    """Return the configured resources of the cluster that runs on this host, without their states.

    The result is empty if no cluster runs here, or if cibadmin(8) prints no CIB. Raises OSError, which is TimeoutError
    after `timeout_s`.
    """
    if not runs_cluster():
        return ()
    done = run_to_end("cibadmin", "--query", timeout_s=timeout_s, environment=_ENVIRONMENT)
    try:
        return parse_cluster(done.stdout, "<unknown/>").resources
    except ValueError:
        return ()
