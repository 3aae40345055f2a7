"""The words that all views of a rehearsal use for what they show."""

from collections.abc import Iterator
from typing import assert_never

from ocf_systemd.core.text import printable
from ocf_systemd.rehearse.progress import Record
from ocf_systemd.rehearse.scenarios import Failed, Outcome, Passed, Skipped


def headline(record: Record) -> str:
    """Return what is rehearsed."""
    hook = f"   hook {printable(record.hook)}" if record.hook else "   no hook"
    return f"rehearse {record.unit}{hook}"


def label(outcome: Outcome | None) -> str:
    """Return what an outcome is called; none yet: that it runs."""
    match outcome:
        case None:
            return "running"
        case Passed():
            return "passed"
        case Failed():
            return "FAILED"
        case Skipped():
            return "skipped"
        case _:
            assert_never(outcome)


def told(outcome: Outcome) -> str:
    """Return what an outcome says, without its remedy."""
    match outcome:
        case Passed(told) | Failed(told, _):
            return told
        case Skipped(why):
            return why
        case _:
            assert_never(outcome)


def conclusion(record: Record) -> str:
    """Return what the whole came to."""
    if record.interrupted:
        return "interrupted" + ("" if record.not_put_back else "; all is as it was before")
    kinds = ((record.count(Passed), "passed"), (record.count(Failed), "failed"), (record.count(Skipped), "skipped"))
    counts = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
    result = "ready for a cluster" if record.exit_code == 0 else "not ready for a cluster"
    return f"{record.unit} is {result}: {counts} in {record.now_s:.1f} s"


TIMES_HEAD = ("operation", "took", "propose", "because")


def times(record: Record) -> Iterator[tuple[str, str, str, str]]:
    """Yield what was measured and what is proposed, a row below `TIMES_HEAD` for each operation."""
    measured, proposal = record.measured, record.proposal
    if proposal is None:
        return
    for name, seen_s, proposed_s in (
        ("start", measured.start_s, proposal.start_s),
        ("stop", measured.stop_s, proposal.stop_s),
        ("monitor", measured.monitor_s, proposal.monitor_s),
        ("interval", None, proposal.interval_s),
    ):
        seen = f"{seen_s:.2f} s" if seen_s is not None else ""
        yield name, seen, f"{proposed_s}s", proposal.why[name]
