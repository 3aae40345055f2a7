"""Writes docs/faults.md from the marks on the tests; `nox -s docs` calls it, a test compares."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent

_HEAD = """\
# Faults

Written by `tools/write_faults.py` from the marks on the tests; do not edit.

Each of these faults is caused in a sandbox with a real systemd (`nox -s faults`), or on three nodes with a real
Pacemaker (`nox -s cluster`). After every call of the agent in the sandbox, the same
[audit](../tests/system/audit.py) checks that no process is left behind, that no job is queued in systemd, that the
result agrees with the unit's state, that it came more than 50 ms before Pacemaker's timeout, that there is no
traceback, and that there is one reason where one is due. An action that ends at its deadline while systemd's job goes
on leaves that job.
"""

_TABLE = """\
| fault | right outcome | test |
|---|---|---|"""

_NOT_HERE = """\
## What cannot be done here

- **The clock that systemd and journald see jumps.** It is the kernel's, which a sandbox shares with its host and may
  not set; nor is there a namespace for it. The agent's own, and that of the `systemctl` it runs, jump by libfaketime.
- **The kernel refuses processes by a limit of the host's (`pids.max`, `threads-max`).** No limit of its own binds root,
  and not every host lends us the cgroup controller. The calls that start processes and threads fail as they would then,
  by a filter of system calls.
- **So little memory, or so few descriptors, that the interpreter does not start.** Nothing of ours runs then: what is
  said is the dynamic linker's or Python's, and the exit code is theirs, neither 0 nor 7. At some sizes Python dies of a
  failed allocation later on as well.
- **SIGKILL of the agent alone, while something that its hook forked twice has left the process group.** The kernel
  kills the group with the agent, as Pacemaker does; nobody is left who would know of more. While the agent lives, such
  a process is found and ended.
"""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A mark `fault(fault, outcome)` on a test, or on a class of tests."""

    fault: str
    outcome: str
    test: str


def faults() -> str:
    """Return the page."""
    systemd = _table("## With a real systemd", "tests/faults")
    pacemaker = _table("## With a real Pacemaker", "tests/cluster")
    return "\n".join((_HEAD, *systemd, *pacemaker, _NOT_HERE))


def _table(heading: str, directory: str) -> list[str]:
    """Return a table of a directory's tests: a row for each fault and outcome, in the order of the tests."""
    rows: dict[tuple[str, str], list[str]] = {}
    for path in sorted((_ROOT / directory).glob("test_*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for mark in _marks(body, _constants(body)):
            link = f"[`{path.stem}::{mark.test}`](../{directory}/{path.name})"
            rows.setdefault((mark.fault, mark.outcome), []).append(link)
    table = [f"| {fault} | {outcome} | {'<br>'.join(tests)} |" for (fault, outcome), tests in rows.items()]
    return [f"{heading}\n", _TABLE, *table, ""] if table else []


def _constants(body: list[ast.stmt]) -> dict[str, str]:
    """Return a module's constants that are texts, by name."""
    return {
        statement.targets[0].id: statement.value.value
        for statement in body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    }


def _marks(body: list[ast.stmt], constants: Mapping[str, str], inside: str = "") -> Iterator[_Mark]:
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            name = f"{inside}{statement.name}"
            for decorator in statement.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
                    fault, outcome = (
                        constants[each.id] if isinstance(each, ast.Name) else ast.literal_eval(each)
                        for each in decorator.args
                    )
                    yield _Mark(fault, outcome, name)
            if isinstance(statement, ast.ClassDef):
                yield from _marks(statement.body, constants, f"{name}::")


if __name__ == "__main__":
    (Path(__file__).resolve().parents[1] / "docs/faults.md").write_text(faults(), encoding="utf-8")
