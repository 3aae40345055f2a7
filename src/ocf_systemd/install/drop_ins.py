"""Removes the drop-ins (files with settings of a unit) that the agent wrote on this host when it started units."""

from collections.abc import Collection, Iterable
from pathlib import Path

import anyio

from ocf_systemd.core.observations import Exited
from ocf_systemd.host import processes
from ocf_systemd.host.drop_in import drop_in_path, remove_drop_in, units_with_drop_in
from ocf_systemd.host.systemctl import is_booted, systemctl_command

_SHOW_S, _RELOAD_S = 10.0, 120.0  # seconds for systemctl show; for it and daemon-reload together


def remove_drop_ins(run_directory: Path, needed: Collection[str]) -> list[str]:
    """Remove the drop-ins of all units that are not `needed`, and make systemd unload them; return these units.

    Raises OSError.
    """
    units = [unit for unit in units_with_drop_in(run_directory) if unit not in needed]
    for unit in units:
        remove_drop_in(drop_in_path(unit, run_directory))
    if units and is_booted(run_directory):
        anyio.run(_unload, units, [str(drop_in_path(unit, run_directory).parent) for unit in units])
    return units


async def _unload(units: Iterable[str], directories: Iterable[str]) -> None:
    """Call daemon-reload if systemd has loaded a drop-in from one of these directories."""
    now = anyio.current_time()
    show = systemctl_command({}, "show", "--property=DropInPaths", "--", *units)
    shown = await processes.run(show, deadline=now + _SHOW_S)
    if isinstance(shown, Exited) and any(f"{directory}/".encode() in shown.stdout for directory in directories):
        await processes.run(systemctl_command({}, "daemon-reload"), deadline=now + _RELOAD_S)
