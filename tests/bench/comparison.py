"""Two versions of the agent, measured in turns: each in a sandbox of its own, where it has its own server."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.host import Variant, call_of, host, unit_of
from tests.bench.progress import tracked
from tests.bench.single import HOOKS, name_of, run_of, start_or_stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.bench.host import Host
    from tests.bench.results import Run

_VARIANTS = (Variant.RESIDENT, Variant.COLD)
_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """By the name of what was measured, the runs of the older and of this version, round by round; wrong results."""

    before: Mapping[str, Sequence[Run]]
    after: Mapping[str, Sequence[Run]]
    wrong: Sequence[str]


def compare(program: Path, rounds: int) -> Comparison:
    """Measure the agent that another `ocf-systemd` installs and this one's, in turns; who comes first alternates."""
    runs: tuple[dict[str, list[Run]], dict[str, list[Run]]] = (defaultdict(list), defaultdict(list))
    with ExitStack() as stack:
        hosts = (stack.enter_context(host(program=program)), stack.enter_context(host()))
        for each in hosts * _WARM_UP:
            list(_measure(each))
        for number in tracked("comparison, rounds", range(rounds)):
            order = (0, 1) if number % 2 else (1, 0)
            for measured in zip(*(_measure(hosts[side]) for side in order), strict=True):
                for side, (name, run) in zip(order, measured, strict=True):
                    runs[side][name].append(run)
        return Comparison(*runs, [wrong for each in hosts for wrong in each.wrong])


def _measure(each: Host) -> Iterator[tuple[str, Run]]:
    for variant in _VARIANTS:
        for hook_name, hook in HOOKS.items():
            response = each.run(variant, [call_of(variant, "monitor", unit_of(0), hook)])
            each.check(name_of(variant, hook_name), response["ended"][0])
            yield f"monitor, {name_of(variant, hook_name)}", run_of(response)
        for action in ("start", "stop"):
            yield f"{action}, {variant}", start_or_stop(each, variant, action)
