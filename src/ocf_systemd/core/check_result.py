"""The result of a check, as doctor and rehearse have it: what is so, why that matters, how to fix it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check went, from best to worst; SKIPPED is a check that does not apply."""

    SKIPPED = "skipped"
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: its name, which does not change, and what it found.

    `what` is one sentence about what is so, `why` what it means for a cluster, `fix` lines of a shell, or comments with
    `#`, that fix it. Only a WARNING or an ERROR has `why` and `fix`; `what` of SKIPPED says why it was skipped.
    """

    name: str
    status: Status
    what: str
    why: str = ""
    fix: tuple[str, ...] = ()

    @property
    def is_problem(self) -> bool:
        """Whether there is something to fix."""
        return self.status in {Status.WARNING, Status.ERROR}


def exit_code(results: Iterable[CheckResult]) -> int:
    """Return the exit code of a command that has these results: 1 if any is an error, else 0."""
    return int(any(result.status is Status.ERROR for result in results))
