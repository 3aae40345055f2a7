"""Queries of PID 1 over its private socket and by systemctl agree on every unit that runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.core.parameter_values import UNIT_TYPES

if TYPE_CHECKING:
    from tests.system.box import Box

# Prints for each unit what the bus returns, over a connection of its own and over one that is kept, if it agrees with
# systemctl, "None" for no reply, and else both results.
ASK = """
import sys
import anyio
from ocf_systemd.server.dbus import SystemManager
from ocf_systemd.core.observations import UnitState
from ocf_systemd.host.processes import run
from ocf_systemd.core.records import replace
from ocf_systemd.host.systemctl import Systemctl

async def main():
    alone, kept = SystemManager(), SystemManager()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kept.keep_connected)
        await anyio.sleep(0.2)
        for name in sys.argv[1:]:
            deadline = anyio.current_time() + 20
            states = {await alone.unit(name, deadline), await kept.unit(name, deadline)}
            shown = await Systemctl(name, {}, run).show(deadline)
            if isinstance(shown, UnitState):
                # Details are not queried over the bus: it has the primary name apart, and only that of an alias.
                primary_name = "" if shown.id == name else shown.id
                shown = replace(shown, details=None, primary_name=primary_name)
            print(name, "None" if states == {None} else "agrees" if states == {shown} else f"{states}, not {shown}")
        tasks.cancel_scope.cancel()

anyio.run(main)
"""
TIME_OF_SILENCE = """
import anyio
from ocf_systemd.server.dbus import SystemManager

async def main():
    began = anyio.current_time()
    state = await SystemManager().unit("systemd-journald.service", began + 2)
    print(state, 0.2 <= anyio.current_time() - began < 1)

anyio.run(main)
"""
RUNNING = "systemctl list-units --all --plain --no-legend --state=active,reloading | cut -d' ' -f1"


def compare(box: Box, *units: str) -> dict[str, str]:
    """Return by unit what came of asking for it both ways: "agrees", "None" from the bus, or how they differ."""
    done = box.sandbox.run([sys.executable, "-c", ASK, *units])
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_all_that_runs(box: Box) -> None:
    """The bus returns what systemctl prints for every running unit of a type that the agent manages, and no other."""
    box.unit("probe.socket", "[Socket]\nListenStream=127.0.0.1:7777\n")
    box.unit("probe.service", "[Service]\nExecStart=sleep infinity\n")
    box.unit("probe.timer", "[Timer]\nOnActiveSec=1d\n")
    box.unit("probe.path", "[Path]\nPathExists=/no/such\n")
    box.unit("media.mount", "[Mount]\nWhat=none\nWhere=/media\nType=tmpfs\n")
    box.sh("systemctl daemon-reload; systemctl start probe.socket probe.timer probe.path media.mount")
    units = box.sh(RUNNING).split()
    types = {unit: unit.rpartition(".")[2] for unit in units}
    assert set(types.values()) >= {*UNIT_TYPES, "scope", "slice"}
    assert compare(box, *units) == {unit: "agrees" if types[unit] in UNIT_TYPES else "None" for unit in units}


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("ExecStart=sleep infinity", "ExecReload=true"), id="reloads"),
        pytest.param(("Type=oneshot", "RemainAfterExit=yes", "ExecStart=true"), id="exited"),
        pytest.param(("Type=oneshot", "RemainAfterExit=yes", "ExecStart=-false"), id="exited with 1"),
        pytest.param(("Type=simple", "RemainAfterExit=yes", "ExecStart=-sh -c 'kill $$$$'"), id="killed"),
        pytest.param(("Type=forking", "ExecStart=sh -c 'sleep infinity & sleep infinity &'"), id="no main process"),
        pytest.param(("Type=oneshot", "RemainAfterExit=yes"), id="no process"),
    ],
)
def test_services(box: Box, lines: tuple[str, ...]) -> None:
    """Both agree about a running unit whose main process has ended in any way."""
    unit = box.started(*lines, *(() if "ExecStart" in "".join(lines) else ("ExecStop=true",)))
    assert compare(box, unit) == {unit: "agrees"}


def test_names_drop_ins_and_aliases(box: Box) -> None:
    """A name that needs escapes, paths that systemctl quotes, an alias, an instance: both ways mean the same."""
    escaped = box.unit("probe-a\\x2db:c_d.service", "[Service]\nExecStart=sleep infinity\n")
    box.write(f"/etc/systemd/system/{escaped}.d/1 of \\x2d.conf", "[Unit]\nDescription=x\n")
    box.write(f"/etc/systemd/system/{escaped}.d/2.conf", "[Unit]\nDescription=y\n")
    box.unit("2probe@.service", "[Service]\nExecStart=sleep infinity\n")
    box.sh('ln -s "$1" /etc/systemd/system/alias.service', escaped)
    box.units.append("alias.service")
    units = (escaped, "alias.service", "2probe@a-b.service")
    box.sh('systemctl daemon-reload; systemctl start -- "$@"', *units)
    assert compare(box, *units) == dict.fromkeys(units, "agrees")
    box.units.append("2probe@a-b.service")


def test_a_file_that_changed_or_is_gone(box: Box) -> None:
    """Both report that systemd has not read a change, and the state of a unit that runs without a file."""
    changed, gone = box.started(), box.started()
    box.write(f"/etc/systemd/system/{changed}", "[Service]\nExecStart=sleep 1d\n")
    box.sh('rm "/etc/systemd/system/$1"', gone)
    assert compare(box, changed, gone) == {changed: "agrees", gone: "agrees"}
    box.sh("systemctl daemon-reload")
    assert box.show(gone, "LoadState") == "not-found"
    assert compare(box, changed, gone) == {changed: "agrees", gone: "agrees"}


def test_what_does_not_just_run(box: Box) -> None:
    """A unit that is down, failed, unknown, masked, starting or a template has no state over the bus."""
    down, failed, starting = (
        box.service(),
        box.service("ExecStart=false"),
        box.service("Type=notify", "ExecStart=sleep 1d"),
    )
    masked = box.service()
    box.unit("probe@.service", "[Service]\nExecStart=sleep infinity\n")
    box.sh(
        'systemctl start "$1"; systemctl start --no-block "$2"; systemctl mask --runtime "$3"', failed, starting, masked
    )
    box.wait_for(failed, "failed")  # its process may still be about to execute false(1)
    units = (down, failed, starting, masked, "unknown.service", "probe@.service")
    assert compare(box, *units) == dict.fromkeys(units, "None")
    box.sh('systemctl unmask --runtime "$1"', masked)


def test_a_mount_that_could_not_be_unmounted(box: Box) -> None:
    """It runs on with another Result, and has no state over the bus either."""
    unit = box.unit("media.mount", "[Mount]\nWhat=none\nWhere=/media\nType=tmpfs\n")
    box.sh("systemctl daemon-reload; systemctl start media.mount; cd /media; ! systemctl stop media.mount")
    assert (box.state(unit), box.show(unit, "Result")) == ("active", "exit-code")
    assert compare(box, unit) == {unit: "None"}


def test_a_pid_1_that_hangs(box: Box) -> None:
    """It takes a tenth of the time, the rest is systemctl's."""
    with box.freeze():
        done = box.sandbox.run([sys.executable, "-c", TIME_OF_SILENCE])
    assert (done.stdout, done.stderr) == ("None True\n", "")
