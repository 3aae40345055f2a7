"""The texts of both the text view and the rich view of a rehearsal: headline, times, commands and conclusion."""

from collections.abc import Iterator

from ocf_systemd.core.text import printable
from ocf_systemd.display.checks import summary
from ocf_systemd.rehearse.progress import Progress

TIMES_HEAD = ("operation", "took", "propose", "because")
"""The first row of `times`: the column headings."""


def headline(progress: Progress) -> str:
    """Return a line that names the unit and the hook that are rehearsed."""
    hook = f"hook {printable(progress.hook)}" if progress.hook else "no hook"
    return f"rehearse {progress.unit}   {hook}"


def conclusion(progress: Progress) -> str:
    """Return whether the unit is ready for a cluster, and how many problems were found."""
    if progress.interrupted:
        return "interrupted"
    ready = "not ready" if progress.exit_code else "ready"
    return f"{progress.unit} is {ready} for a cluster: {summary(progress.results)} in {progress.now_s:.1f} s"


def commands(progress: Progress) -> tuple[str, ...]:
    """Return the commands that create the resource; none unless all checks passed."""
    if progress.proposal is None or progress.exit_code:
        return ()
    return progress.proposal.pcs, progress.proposal.crm


def times(progress: Progress) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of a table of measured and proposed times: `TIMES_HEAD`, then the operations and the interval."""
    measured, proposal = progress.measured, progress.proposal
    if proposal is None:
        return
    yield TIMES_HEAD
    for name, measured_s, proposed_s in (
        ("start", measured.start_s, proposal.start_s),
        ("stop", measured.stop_s, proposal.stop_s),
        ("monitor", measured.monitor_s, proposal.monitor_s),
        ("interval", None, proposal.interval_s),
    ):
        took = f"{measured_s:.2f} s" if measured_s is not None else ""
        yield name, took, f"{proposed_s}s", proposal.why[name]
