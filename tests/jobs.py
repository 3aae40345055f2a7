"""The jobs that systemd has queued, without those of logind."""

from __future__ import annotations

import re

LIST_JOBS = ("systemctl", "list-jobs", "--no-legend")
# Ten seconds after the last session of a user, logind stops these (UserStopDelaySec= in logind.conf(5)). su(1) has
# begun such a session, for example in ocf-tester.
_OF_LOGIND = re.compile(r"(user|user-runtime-dir)@\d+\.service|run-user-\d+\.mount|user-\d+\.slice|session-\w+\.scope")


def queued_jobs(listed: str) -> list[str]:
    """Return the lines of jobs in the output of `LIST_JOBS`, without those that end a user's session."""
    return [line for line in listed.splitlines() if not _OF_LOGIND.fullmatch(line.split()[1])]
