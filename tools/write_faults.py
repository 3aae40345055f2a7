"""Writes docs/faults.md from the `fault` marks of tests.

`nox -s docs` runs this script; a test fails if the page differs from what the script would write.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent

_HEAD = """\
# Faults

Written by `tools/write_faults.py` from the marks on the tests; do not edit.

A test causes each of these faults, in a sandbox with a real systemd (`nox -s faults`) or on three nodes with a real
Pacemaker (`nox -s cluster`). The page uses the [project's terms](../ARCHITECTURE.md#terms). A *probe* is a monitor
without interval. After every action in the sandbox, an [audit](../tests/system/audit.py) checks that

- no process of the action is left;
- no job is queued in systemd, unless the action has ended at its deadline and the job continues;
- the result agrees with the unit's state;
- the result comes more than 50 ms before Pacemaker's timeout;
- a result other than 0 has exactly one reason (the 7 of a probe may have none), and a result of 0 has none;
- the output contains no traceback.
"""

_TABLE = """\
| fault | expected outcome | test |
|---|---|---|"""

_NOT_HERE = """\
## What is not tested

- **The clock of systemd and journald jumps.** A sandbox shares the kernel's real-time clock with its host and cannot
  set this clock; Linux has no namespace for it. In the tests, libfaketime makes the clocks of the agent and of its
  `systemctl` jump.
- **The kernel refuses processes because of a limit of the host (`pids.max`, `threads-max`).** Process limits do not
  bind root, and the cgroup controller is not available on every host. In the tests, a filter of system calls makes
  every call fail that starts a process or a thread.
- **Memory or descriptors do not suffice to start the interpreter.** Then no code of the agent runs. The message and the
  exit code come from the dynamic linker or from Python; the code is neither 0 nor 7. With some memory limits Python
  starts, and fails later because it cannot allocate memory.
- **SIGKILL to the agent alone, while a process that a hook has started by a double fork is outside the agent's process
  group.** When the agent dies, the kernel kills the processes of the group, but not this process. As long as the agent
  is alive, it finds and ends such processes.
"""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A mark `fault(fault, outcome)` on a test, or on a class of tests."""

    fault: str
    outcome: str
    test: str


def faults() -> str:
    """Return the text of docs/faults.md."""
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
    """Return the string constants of a module, by name: the marks use them."""
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
