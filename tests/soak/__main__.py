"""`python -m tests.soak --minutes N`: units, actions and faults concurrently, each result checked."""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from threading import Event
from typing import TYPE_CHECKING

import click

from ocf_systemd.sandbox import boot
from tests.soak.growth import footprint, growth
from tests.soak.life import SERVICES, Life
from tests.soak.mischief import Mischief
from tests.soak.truth import Truth
from tests.system.agent import Agent
from tests.system.box import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.soak.growth import Footprint

PROGRAM = Path(sys.executable).with_name("ocf-systemd")
TOLD_EVERY_S = 60.0
LOOK_S = 1.0


@click.command()
@click.option("--minutes", default=30.0, show_default=True, help="How long.")
@click.option("--seed", default=0, show_default=True, help="What is done in which order; not when, on a real host.")
def main(minutes: float, seed: int) -> None:
    """Run actions on units of a real systemd in a sandbox, and cause faults; exit with 1 if a guarantee was broken."""
    with ExitStack() as stack:
        box = Box(stack.enter_context(boot(name="soak")))
        box.sh('"$@" install', str(PROGRAM))
        units = [box.unit(f"{name}.service", f"[Service]\n{chr(10).join(lines)}\n") for name, lines in SERVICES.items()]
        box.sh("systemctl daemon-reload")
        truth = stack.enter_context(Truth(box.sandbox, units))
        mischief = Mischief(box, truth, units, Random(f"{seed} mischief"))  # noqa: S311  # dice
        lives = [Life(Agent(box, {}), truth, mischief, unit, Random(f"{seed} {unit}")) for unit in units]  # noqa: S311
        warm_up(lives)
        before = footprint(box)
        try:
            soak(lives, mischief, minutes * 60)
        finally:
            for life in lives:
                life.end()
            code = report(lives, mischief, (before, footprint(box)))
    sys.exit(code)


def warm_up(lives: Sequence[Life]) -> None:
    """Have everything been done once: what systemd needs for that, it keeps."""
    for life in lives:
        life.begin()
        life.end()


def soak(lives: Sequence[Life], mischief: Mischief, seconds: float) -> None:
    """Let all go on side by side, until time is up or one of them fails. Ctrl-C ends it early."""
    began, enough = time.monotonic(), Event()
    with ThreadPoolExecutor(len(lives) + 1) as pool:
        running = [pool.submit(life.go_on, enough) for life in lives] + [pool.submit(mischief.go_on, enough)]
        try:
            while (passed_s := time.monotonic() - began) < seconds and not any(each.done() for each in running):
                show_progress(lives, mischief, passed_s, seconds)
                enough.wait(min(LOOK_S if sys.stdout.isatty() else TOLD_EVERY_S, seconds - passed_s))
        finally:
            enough.set()
    for each in running:
        each.result()


def show_progress(lives: Sequence[Life], mischief: Mischief, passed_s: float, seconds: float) -> None:
    """Print the progress, on a terminal always on the same line."""
    actions = sum(sum(life.codes.values()) for life in lives)
    violations = sum(len(life.violations) for life in lives)
    progress = f"{passed_s / 60:.1f} of {seconds / 60:.1f} min: {actions} actions, "
    progress += f"{sum(mischief.counts.values())} faults, {violations} violations"
    click.echo(f"\r\x1b[K{progress}" if sys.stdout.isatty() else progress, nl=not sys.stdout.isatty())


def report(lives: Sequence[Life], mischief: Mischief, looks: tuple[Footprint, Footprint]) -> int:
    """Print the result; return the exit code."""
    codes = sum((Counter(life.codes) for life in lives), Counter[tuple[str, int]]())
    click.echo(f"\n{codes.total()} actions, {sum(mischief.counts.values())} faults beside them:")
    for (action, code), count in sorted(codes.items()):
        click.echo(f"  {action:<12} answered {code:>3}  {count:>6} times")
    for kind, count in sorted(mischief.counts.items()):
        click.echo(f"  {kind.replace('_', ' '):<25} {count:>6} times")
    click.echo(f"before: {looks[0]}\nafter:  {looks[1]}")
    grown = growth(*looks)
    violations = sum(len(life.violations) for life in lives)
    click.echo("\n".join([f"{violations} violations", *(f"GROWN {each}" for each in grown)]))
    return 1 if violations or grown else 0


if __name__ == "__main__":
    main()
