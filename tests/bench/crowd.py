"""Many clients at once: how wall and processor time grow with their number, and whether each gets its own result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.host import DOWN, SLEEPING, Variant, call_of, unit_of
from tests.bench.progress import tracked
from tests.bench.results import Run
from tests.bench.single import run_of
from tests.system.box import HOOKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.host import Host
    from tests.bench.launcher import Call
    from tests.bench.results import Memory

CALLERS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_BATCH = 500
COMPARED = (Variant.SHELL, Variant.RESIDENT)

_HURTS = 'echo "$OCF_RESOURCE_INSTANCE hurts" >&2;'
# What a caller may get: the hook's script, the code, and what the reason holds.
_KINDS = {
    "well": ("exit 0", 0, ""),
    "off": ("exit 7", 7, "hook off: not running"),
    "degraded": (f"{_HURTS} exit 190", 190, "{} hurts"),
    "failed": (f"{_HURTS} exit 1", 1, "{} hurts"),
}
MIXED_HOOKS = [(f"{HOOKS}/{name}", script) for name, (script, _, _) in _KINDS.items()]


def crowds(host: Host, rounds: int, memory: Memory) -> Mapping[Variant, Mapping[int, Sequence[Run]]]:
    """Measure monitors at once, each number of them for each variant in turn."""
    runs = {variant: {count: list[Run]() for count in CALLERS} for variant in COMPARED}
    for _ in tracked(f"{sum(CALLERS)} monitors, 1 to {CALLERS[-1]} at once, rounds", range(rounds)):
        for count in CALLERS:
            for variant in COMPARED:
                calls = [call_of(variant, "monitor", unit_of(number), SLEEPING) for number in range(count)]
                response = host.run(variant, calls, at_once=count)
                for ended in response["ended"]:
                    host.check(f"{count} at once, {variant}", ended)
                runs[variant][count].append(run_of(response))
        look(host, memory)
    return runs


def look(host: Host, memory: Memory) -> None:
    """Record the server's memory; a restarted server begins a new record."""
    pid, memory_mb = host.server()
    if pid != host.server_pid and host.server_pid:
        memory.restarts += 1
        memory.looks.clear()
        host.served = 0
    host.server_pid = pid
    memory.looks.append((host.served, memory_mb))


def mixed(host: Host, memory: Memory, actions: int, at_once: int) -> None:
    """Run so many actions of all kinds on the server, so many at once, and check each result."""
    batches = range(max(1, -(-(actions - host.served) // _BATCH)))
    for _ in tracked(f"actions of all kinds, {at_once} at once, {_BATCH} times", batches):
        requested = [_requested(number) for number in range(_BATCH)]
        response = host.run(Variant.RESIDENT, [call for call, _, _ in requested], at_once=at_once)
        for (call, code, reason), ended in zip(requested, response["ended"], strict=True):
            host.check(f"mixed, {call}", ended, code, reason)
        look(host, memory)


def _requested(number: int) -> tuple[Call, int, str]:
    """Return a call with a result of its own."""
    instance = f"caller{number}"
    if number % 6 == 4:
        return call_of(Variant.RESIDENT, "monitor", DOWN, f"{HOOKS}/well", instance=instance), 7, DOWN
    if number % 6 == 5:
        return call_of(Variant.RESIDENT, "validate-all", unit_of(number), instance=instance), 0, ""
    name, (_, code, reason) = list(_KINDS.items())[number % 6]
    call = call_of(Variant.RESIDENT, "monitor", unit_of(number), f"{HOOKS}/{name}", instance=instance)
    return call, code, reason.format(instance)
