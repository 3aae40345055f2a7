"""OCF_TRACE_RA: traces all that an action observes and decides, to the file that ocf-shellfuncs would use."""

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ocf_systemd.agent.events import CommandEnded, Event, Reporter
from ocf_systemd.agent.log import messages
from ocf_systemd.core.observations import NotStarted
from ocf_systemd.core.ocf import REASON_PREFIX, Action, defused
from ocf_systemd.core.parameter_table import PREFIX
from ocf_systemd.core.parameter_values import boolean
from ocf_systemd.core.records import Record
from ocf_systemd.core.text import printable, printed_lines

_DEFAULT_DIRECTORY = "/var/lib/heartbeat/trace_ra"
_STDERR = "/dev/stderr"


class TracingReporter(Record):
    """Appends every event to a trace file, with what commands printed, and passes it on."""

    path: str
    next_reporter: Reporter
    reason_prefix: str = REASON_PREFIX

    def report(self, event: Event) -> None:
        """Trace an event, then pass it on."""
        self._write([text for _, text in messages(event)] + _output(event))
        self.next_reporter.report(event)

    def write_environment(self, environment: Mapping[str, str]) -> None:
        """Begin the trace with the environment, as ocf_start_trace does."""
        self._write([printable(f"{name}={value}") for name, value in sorted(environment.items())])

    def _write(self, lines: list[str]) -> None:
        now = time.time()
        stamp = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03}"
        text = "".join(f"+ {stamp}: {defused(line, self.reason_prefix)}\n" for line in lines)
        with suppress(OSError), open(self.path, "ab", opener=_open_private) as file:  # pathlib has no opener
            file.write(text.encode(errors="backslashreplace"))


def _open_private(path: str, flags: int) -> int:
    # A trace contains the whole environment, which may contain a password.
    return os.open(path, flags, 0o600)


def _output(event: Event) -> list[str]:
    if not isinstance(event, CommandEnded) or event.outcome is None or isinstance(event.outcome, NotStarted):
        return []
    streams = {"stdout": event.outcome.stdout, "stderr": event.outcome.stderr}
    return [f"  {name}: {line}" for name, stream in streams.items() for line in printed_lines(stream)]


def traced(reporter: Reporter, environment: Mapping[str, str], action: Action, agent_name: str) -> Reporter:
    """Return a reporter that traces too, if the environment asks for it (OCF_TRACE_RA, or the parameter trace_ra)."""
    wanted = environment.get("OCF_TRACE_RA") or environment.get(f"{PREFIX}trace_ra") or "no"
    try:
        if not boolean(wanted):
            return reporter
    except ValueError:
        return reporter
    path = _destination(environment, action, agent_name)
    if path != _STDERR:
        with suppress(OSError):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    tracing = TracingReporter(path, reporter, environment.get("OCF_EXIT_REASON_PREFIX") or REASON_PREFIX)
    tracing.write_environment(environment)
    return tracing


def _destination(environment: Mapping[str, str], action: Action, agent_name: str) -> str:
    """Return where the trace goes: OCF_TRACE_FILE, a path or a descriptor, or else a file of its own."""
    file = environment.get("OCF_TRACE_FILE", "")
    if re.fullmatch("[3-9]", file):
        return f"/dev/fd/{file}"
    if file.startswith("/"):
        return file
    instance = environment.get("OCF_RESOURCE_INSTANCE")
    if os.isatty(0) or not instance:
        return _STDERR
    directory = environment.get(f"{PREFIX}trace_dir") or _DEFAULT_DIRECTORY
    return f"{directory}/{agent_name}/{instance}.{action}.{time.strftime('%Y-%m-%d.%H:%M:%S')}"
