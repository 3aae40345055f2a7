"""Queries the cluster on this host with cibadmin(8) and crm_mon(8), for commands that people run.

Where no cluster runs, that is known without starting a process.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from ocf_systemd.core.cluster import Cluster, Resource, parse_cluster
from ocf_systemd.core.text import printable
from ocf_systemd.core.unit_properties import parse_units
from ocf_systemd.host.commands import run_to_end

# What Pacemaker's daemons listen on, also those of a remote node: abstract sockets, whose names libqb pads with NUL
# characters, shown as @, or files, if it is set up so.
_SOCKET = re.compile(r"[@/](pacemakerd|cib_ro|cib_rw)@*$", re.MULTILINE)
_TIMEOUT_S = 5.0
# Not the caller's: with CIB_file or CIB_shadow, the tools would query something other than the cluster.
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class ClusterError(Exception):
    """A cluster runs on this host, but its state is unknown; the message says why."""


def runs_cluster(sockets: Path = Path("/proc/net/unix")) -> bool:
    """Return whether Pacemaker runs on this host, in this network namespace (proc_pid_net(5))."""
    try:
        return bool(_SOCKET.search(sockets.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return False


def query_cluster() -> Cluster | None:
    """Return the cluster that runs on this host; None: none does. Raises `ClusterError`."""
    if not runs_cluster():
        return None
    try:
        return parse_cluster(_output("cibadmin", "--query"), _output("crm_mon", "--output-as=xml", "--inactive"))
    except ValueError as error:
        raise _unknown("cibadmin or crm_mon", f"printed no XML: {error}") from error


def resources_of(unit: str) -> tuple[Resource, ...]:
    """Return the cluster's resources that manage a unit, under any of its names. Raises `ClusterError`."""
    cluster = query_cluster()
    return () if cluster is None else managing(cluster, unit)


def managing(cluster: Cluster, unit: str) -> tuple[Resource, ...]:
    """Return those of a cluster's resources that manage a unit, under any of its names. Raises `ClusterError`."""
    if not cluster.resources:
        return ()
    units = dict.fromkeys((unit, *(each.unit for each in cluster.resources if each.unit)))
    return cluster.managing(unit, _primary_names(units))


def active_elsewhere(unit: str, resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """Return the active ones of a unit's resources if the unit is down here. Raises `ClusterError`."""
    active = tuple(each for each in resources if each.nodes)
    if not active:
        return ()
    shown = parse_units(_output("systemctl", "show", "--property=ActiveState", "--", unit).encode())
    return active if all(each.get("ActiveState") in {"inactive", "failed"} for each in shown) else ()


def _primary_names(units: Iterable[str]) -> dict[str, str]:
    """Return the primary name of each unit: a name may be an alias (systemd.unit(5)).

    A unit that does not exist here has only its own.
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
    return ClusterError(f"a cluster runs on this host and cannot be queried: {command} {why}")
