"""One call at a time, the variants in turn: what a monitor and a start take."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.host import NO_HOOK, SLEEPING, SLOW, SLOW_HOOK, TRIVIAL, Variant, call_of, unit_of
from tests.bench.progress import tracked
from tests.bench.results import Run, Single

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.host import Host
    from tests.bench.launcher import Call, Ended, Response

HOOKS = {"no hook": NO_HOOK, "trivial hook": TRIVIAL, "hook of 20 ms": SLEEPING}
FLOOR, BARE = "anyio and click", "bare interpreter"
_ALONE = {
    FLOOR: ("-I", "-c", "import click, anyio; anyio.run(anyio.sleep, 0)"),
    BARE: ("-I", "-S", "-c", "pass"),
}
_WARM_UP = 3


def name_of(variant: Variant, hook: str) -> str:
    """Return how a monitor with a hook is called among the results."""
    return f"{variant}, {hook}"


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    variant: Variant | None
    call: Call


def monitors(host: Host, rounds: int) -> Single:
    """Measure monitors, and separately the commands that they start."""
    subjects, others = _monitors(host)
    for subject in subjects * _WARM_UP:
        _measure(host, subject)
    host.fell_back = 0  # the first calls found a server that was being started
    runs = defaultdict[str, list[Run]](list)
    for _ in tracked("monitors, rounds", range(rounds)):
        for subject in subjects:
            runs[subject.name].append(_measure(host, subject))
    return Single(runs, others)


def _monitors(host: Host) -> tuple[list[_Subject], dict[str, list[str]]]:
    """Return what is measured in each round, and for each agent's call what of it others did."""
    agents, alone, others = list[_Subject](), dict[str, _Subject](), dict[str, list[str]]()
    for hook_name, hook in HOOKS.items():
        for variant in Variant:
            call = call_of(variant, "monitor", unit_of(0), hook)
            subject = _Subject(name_of(variant, hook_name), variant, call)
            agents.append(subject)
            started = host.systemctl_of(variant, call)
            started += [{"argv": [hook], "environment": call["environment"]}] if hook else []
            parts = [_Subject(" ".join(each["argv"]), None, each) for each in started]
            others[subject.name] = [part.name for part in parts]
            alone |= {part.name: part for part in parts}
    environment = call_of(Variant.COLD, "monitor", unit_of(0))["environment"]
    interpreters = [
        _Subject(name, None, {"argv": [sys.executable, *arguments], "environment": environment})
        for name, arguments in _ALONE.items()
    ]
    return [*agents, *alone.values(), *interpreters], others | {each.name: [] for each in interpreters}


def _measure(host: Host, subject: _Subject) -> Run:
    response = host.run(subject.variant, [subject.call])
    ended = response["ended"][0]
    if subject.variant:
        host.check(subject.name, ended)
    elif ended["code"]:
        host.wrong.append(f"{subject.name}: {ended}")
    return run_of(response)


def run_of(response: Response) -> Run:
    """Return what a response cost, the server's part included; one call's own wall time."""
    ended = response["ended"]
    wall_s = ended[0]["wall_s"] if len(ended) == 1 else response["wall_s"]
    server_s = response["watched_s"]
    return Run(wall_s, sum(_cpu_s(ended)) + server_s, server_s)


def _cpu_s(ended: Sequence[Ended]) -> Iterable[float]:
    return (each["cpu_s"] for each in ended)


def starts_and_stops(host: Host, rounds: int) -> Single:
    """Measure starts of a unit that is active at once, and whose hook reports running 0.3 s later, and stops of it."""
    runs = defaultdict[str, list[Run]](list)
    for _ in tracked("starts and stops, rounds", range(rounds)):
        for variant in Variant:
            for action in ("start", "stop"):
                runs[f"{action}, {variant}"].append(start_or_stop(host, variant, action))
    return Single(runs, {})


def start_or_stop(host: Host, variant: Variant, action: str) -> Run:
    """Measure one start or stop of the unit that is slow to be ready."""
    response = host.run(variant, [call_of(variant, action, SLOW, SLOW_HOOK)])
    # Before the hook first reports running, the shell agent gives its result as a reason.
    reason = "says 7" if (variant, action) == (Variant.SHELL, "start") else ""
    host.check(f"{action}, {variant}", response["ended"][0], reason=reason)
    return run_of(response)
