"""The result of a check of the commands doctor and rehearse: what it found, why that matters, how to fix it."""

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

    `what` is a phrase about what the check found or, if the check was skipped, about the cause of that. Only a WARNING
    or an ERROR has `why` and `fix`: `why` is one or more sentences on what the problem means for a cluster, and `fix`
    has the shell commands that fix the problem, or comments that begin with `#`.
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
