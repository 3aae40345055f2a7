"""The result of a check of doctor or rehearse: what it found, why that matters, how to fix it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The status of a check, from best to worst; SKIPPED means that the check does not apply."""

    SKIPPED = "skipped"
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check; `name` is part of the interface and does not change.

    `what` is a phrase about what the check found or, if it was skipped, why. `why` is one or more sentences on what a
    problem means for a cluster, `fix` the commands for a shell, or comments with `#`, that fix it. Only a WARNING or an
    ERROR has `why` and `fix`.
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
