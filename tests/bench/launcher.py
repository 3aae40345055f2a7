"""Runs in the sandbox and starts agents there as Pacemaker's executor does; a program of its own, started with -I -S.

Each line on its input is a `Request`, each on its output the `Response`. What it costs itself, it costs for every
agent alike: a posix_spawn(3), which copies no memory, and a wait4(2).
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OUTPUT = "/run/bench/output"
_REST_S = 0.01  # for what others still do after the result: it counts, and must not slow the next one down
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class Call(TypedDict):
    """An agent to start: what is executed, with exactly this environment."""

    argv: list[str]
    environment: dict[str, str]


class Request(TypedDict):
    """Calls, so many of them at once; `watched` is a cgroup that works for them, `aside` a path not to be found."""

    calls: list[Call]
    at_once: int
    watched: str
    aside: str


class Ended(TypedDict):
    """What a call came to; its CPU time has that of the descendants it has waited for."""

    code: int
    wall_s: float
    cpu_s: float
    stdout: str
    stderr: str


class Response(TypedDict):
    """All calls of a request, in their order; the wall time from the first start to the last end."""

    wall_s: float
    watched_s: float
    ended: list[Ended]


def main() -> None:
    """Serve requests until the input ends."""
    os.umask(0o026)
    os.chdir("/usr")
    os.makedirs(_OUTPUT, exist_ok=True)  # noqa: PTH103  # pathlib is much to import
    while line := sys.stdin.readline():
        json.dump(respond(json.loads(line)), sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()


def respond(request: Request) -> Response:
    """Run the calls of a request."""
    with _put_aside(request["aside"]):
        used_s, began = _used_s(request["watched"]), time.monotonic()
        ended = _run(request["calls"], request["at_once"])
        wall_s = time.monotonic() - began
        time.sleep(_REST_S)
        return {"wall_s": wall_s, "watched_s": _used_s(request["watched"]) - used_s, "ended": ended}


@contextmanager
def _put_aside(path: str) -> Iterator[None]:
    if not path:
        yield
        return
    os.rename(path, f"{path}.aside")  # noqa: PTH104
    try:
        yield
    finally:
        os.rename(f"{path}.aside", path)  # noqa: PTH104


def _used_s(cgroup: str) -> float:
    """Return the processor time of a cgroup, of its processes that have ended too."""
    with suppress(FileNotFoundError), open(f"{cgroup}/cpu.stat", encoding="ascii") as lines:  # noqa: PTH123
        return int(lines.readline().split()[1]) / 1e6
    return 0.0


def _run(calls: Sequence[Call], at_once: int) -> list[Ended]:
    waiting, running = enumerate(calls), dict[int, tuple[int, float]]()
    ended = dict[int, tuple[int, float, float]]()
    while len(ended) < len(calls):
        for number, call in islice(waiting, at_once - len(running)):
            began = time.monotonic()
            running[_start(call, number)] = number, began
        pid, status, usage = os.wait4(-1, 0)
        number, began = running.pop(pid)
        cpu_s = usage.ru_utime + usage.ru_stime
        ended[number] = os.waitstatus_to_exitcode(status), time.monotonic() - began, cpu_s
    return [_ended(number, *ended[number]) for number in range(len(calls))]


def _start(call: Call, number: int) -> int:
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, f"{_OUTPUT}/{number}.out", _NEW, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, f"{_OUTPUT}/{number}.err", _NEW, 0o600),
    ]
    return os.posix_spawn(call["argv"][0], call["argv"], call["environment"], file_actions=streams, setpgroup=0)


def _ended(number: int, code: int, wall_s: float, cpu_s: float) -> Ended:
    texts = []
    for stream in ("out", "err"):
        with open(f"{_OUTPUT}/{number}.{stream}", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            texts.append(file.read())
    return {"code": code, "wall_s": wall_s, "cpu_s": cpu_s, "stdout": texts[0], "stderr": texts[1]}


if __name__ == "__main__":
    main()
