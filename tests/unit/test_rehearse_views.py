"""The views of a rehearsal, from progress made by hand: terminals of 60, 80 and 120 columns, text, JSON."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout

import pytest
from rich.console import Console, RenderableType

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.rehearse import text
from ocf_systemd.rehearse.facts import Measured
from ocf_systemd.rehearse.json_view import JsonView
from ocf_systemd.rehearse.live_view import LiveView, frame
from ocf_systemd.rehearse.progress import Progress, View
from ocf_systemd.rehearse.proposal import Proposal
from ocf_systemd.rehearse.scenarios import RESTORED, Scenario
from ocf_systemd.rehearse.text_view import TextView
from tests.unit.builders import HOOK, UNIT

WIDTHS = [60, 80, 120]
ODD = "a[red]b[/red] :smile:"
"""What rich takes for markup, unless it is `Text`."""

SKIPPED = CheckResult("reload", Status.SKIPPED, "the unit has no ExecReload=")
ERROR = CheckResult(
    "hook-down",
    Status.ERROR,
    f"hook smtp returned 0 (OCF_SUCCESS) while {UNIT} was down, {ODD} " + "and so on " * 20,
    "It cannot " + "detect that " * 40,
    ("# Have it query", f"systemctl edit {UNIT} " + "x" * 100),
)
FAILING = (SKIPPED, ERROR)
PROPOSAL = Proposal(
    *(100, 125, 20, 10, dict.fromkeys(("start", "stop", "monitor", "interval"), "so")),
    *("x", {"unit": "y" * 150}),
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(*others: CheckResult, upto: int = len(Scenario), over: bool = True) -> Progress:
    """Return a rehearsal in which each scenario took 0.5 s and was ok, but for those with a result of their own."""
    clock, by_name = Clock(), {result.name: result for result in others}
    made = Progress(UNIT, HOOK, clock)
    for run in made.runs[:upto]:
        run.began_s, run.ended_s = clock.now, clock.now + 0.5
        run.result = by_name.get(run.scenario, CheckResult(run.scenario, Status.OK, "returned 0 and 0 in 0.25 s"))
        clock.now += 0.5
    if over:
        made.restored = by_name.get(RESTORED, CheckResult(RESTORED, Status.OK, f"{UNIT} is stopped, as before"))
        made.measured = Measured(start_s=1.25, stop_s=0.5, monitor_s=0.02, hook_s=0.015, hang_s=5.0)
        made.proposal, made.elapsed_s = PROPOSAL, clock.now
    return made


def half() -> Progress:
    """Return a rehearsal that is in the middle of its tenth scenario."""
    made = progress(upto=9, over=False)
    made.runs[9].began_s = made.now_s
    made.repetition = "3 of 10: "
    made.begin_action("start")
    return made


def rendered(renderable: RenderableType, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False, color_system=None, highlight=False).print(renderable)
    return stream.getvalue()


def shown(view: View, made: Progress) -> str:
    """Return what a view writes from a rehearsal's beginning to its end."""
    stream = io.StringIO()
    with redirect_stdout(stream):
        view.begin(made)
        for result in made.results:
            view.show(result)
        view.close(made)
    return stream.getvalue()


def rich_view(width: int) -> View:
    return LiveView(Console(width=width, color_system=None, highlight=False))


NOT_RESTORED = CheckResult(RESTORED, Status.ERROR, f"{UNIT} was running before", "Why.", ("systemctl start x",))


class TestProgress:
    def test_exit_code(self) -> None:
        """0 without an error, 1 with one, also if the state is not restored; 130 if it was interrupted."""
        made = [progress(SKIPPED), progress(*FAILING), progress(NOT_RESTORED)]
        assert [each.exit_code for each in made] == [0, 1, 1]
        (ended := half()).interrupted = True
        assert ended.exit_code == 130

    def test_time_ends_with_the_rehearsal(self) -> None:
        """Once it is over, its time does not change."""
        made = progress()
        assert made.now_s == made.elapsed_s == pytest.approx(len(Scenario) / 2)


class TestText:
    @pytest.mark.parametrize(
        ("results", "line"),
        [
            pytest.param((), "is ready for a cluster: no problems found, 16 checks passed in 7.5 s", id="ok"),
            pytest.param(FAILING, "is not ready for a cluster: 1 problem found, 14 checks passed in 7.5 s", id="error"),
        ],
    )
    def test_conclusion(self, results: tuple[CheckResult, ...], line: str) -> None:
        """The last line has the result of the whole."""
        assert text.conclusion(progress(*results)) == f"{UNIT} {line}"

    def test_no_hook(self) -> None:
        """The first line reports that there is no hook."""
        assert text.headline(Progress(UNIT)) == f"rehearse {UNIT}   no hook"


class TestFrame:
    @pytest.mark.parametrize("width", WIDTHS)
    def test_running(self, width: int) -> None:
        """A screen of 24 lines has all scenarios, the action that runs, and how many ended."""
        lines = rendered(frame(half()), width).splitlines()
        assert len(lines) < 24
        assert max(map(len, lines)) <= width
        assert [line.split()[1] for line in lines[1:16]] == list(Scenario)
        assert lines[-1].rstrip() == "3 of 10: start"
        assert lines[-2].rstrip().endswith("9 of 15, 4.5 s")
        assert [line[0] for line in lines[1:16]] == [*"✓✓✓✓✓✓✓✓✓", lines[10][0], *"·····"]
        assert lines[10][0] not in "✓✗·"

    @pytest.mark.parametrize("width", WIDTHS)
    def test_results(self, width: int) -> None:
        """Results that are too long for a line are cut, so that the frame still fits."""
        lines = rendered(frame(progress(*FAILING, over=False)), width).splitlines()
        assert len(lines) < 24
        assert max(map(len, lines)) <= width
        assert [line[0] for line in lines[1:16]] == [*"✓✓✓-✓✓✓✓✗✓✓✓✓✓✓"]


class TestRich:
    @pytest.mark.parametrize("width", WIDTHS)
    def test_ok(self, width: int) -> None:
        """At the end the commands can be copied: whole lines without a border."""
        lines = shown(rich_view(width), progress()).splitlines()
        assert max(len(line) for line in lines if "yyy" not in line) <= width
        assert {*PROPOSAL.pcs.splitlines(), *PROPOSAL.crm.splitlines()} <= set(lines)
        assert any(line.startswith(f"{UNIT} is ready for a cluster") for line in lines[-2:])
        assert any(re.match("start +1.25 s +100s +so", line) for line in lines)

    @pytest.mark.parametrize("width", WIDTHS)
    def test_error(self, width: int) -> None:
        """An error is shown in full with its reason and fix, below all else; there are no commands."""
        shown_text = shown(rich_view(width), progress(*FAILING))
        lines = shown_text.splitlines()
        assert max(len(line) for line in lines if "xxx" not in line) <= width
        flat = " ".join(shown_text.split())
        assert all(" ".join(part.split()) in flat for part in (ERROR.what, ERROR.why, *ERROR.fix))
        assert flat.index("✗ hook-down") > flat.index("✓ frozen") > flat.index("- reload")
        assert "pcs resource create" not in shown_text
        assert "125s" in shown_text

    def test_forced(self) -> None:
        """With FORCE_COLOR a pipe gets the results in colour, and nothing moves the cursor."""
        view = LiveView(Console(width=80, force_terminal=True, color_system="standard"))
        written = shown(view, progress(*FAILING))
        assert "\x1b[31m" in written
        assert not re.search(r"\x1b\[[0-9;?]*[A-Za-ln-z]", written)

    def test_interrupted(self) -> None:
        """After an interruption there are the results so far, and no times."""
        (made := half()).interrupted = True
        lines = shown(rich_view(80), made).splitlines()
        assert sum(line.startswith("✓") for line in lines) == 9
        assert lines[-1].rstrip() == "interrupted"


class TestPlain:
    def test_ok(self) -> None:
        """There are lines for each result, then the times, the commands and the conclusion."""
        lines = shown(TextView(), progress()).splitlines()
        assert lines[0] == f"rehearse {UNIT}   hook {HOOK}"
        assert lines[2] == "ok       start             returned 0 and 0 in 0.25 s"
        assert lines[18] == "operation      took  propose  because"
        assert lines[19] == "start        1.25 s     100s  so"
        assert set(PROPOSAL.pcs.splitlines()) <= set(lines)
        assert lines[-1].startswith(f"{UNIT} is ready")

    def test_error(self) -> None:
        """An error has its reason and fix; there are no commands, and no escape codes."""
        written = shown(TextView(), progress(*FAILING))
        flat = " ".join(written.split())
        assert all(" ".join(part.split()) in flat for part in (ERROR.what, ERROR.why, *ERROR.fix))
        assert "\x1b" not in written
        assert "pcs resource create" not in written

    def test_interrupted(self) -> None:
        """After an interruption there are the results so far, and whether the state is restored."""
        made = half()
        made.interrupted, made.restored = True, NOT_RESTORED
        lines = shown(TextView(), made).splitlines()
        assert lines[10].startswith(f"error    restored          {UNIT} was running before")
        assert lines[-1] == "interrupted"


class TestJson:
    def test_keys(self) -> None:
        """One object, with keys that do not change."""
        document = json.loads(shown(JsonView(), progress(*FAILING)))
        assert set(document) == {
            *("version", "unit", "monitor_hook", "interrupted", "elapsed_s", "checks", "measured", "proposal"),
        }
        assert (document["version"], document["unit"], document["monitor_hook"]) == (1, UNIT, HOOK)
        assert [check["name"] for check in document["checks"]] == [*Scenario, RESTORED]
        assert document["checks"][8] == {
            "name": "hook-down",
            "status": "error",
            "what": ERROR.what,
            "why": ERROR.why,
            "fix": list(ERROR.fix),
        }
        assert document["measured"]["start_s"] == 1.25
        assert document["measured"]["hook_was_ended"] is False
        assert document["proposal"]["stop_timeout_s"] == 125

    def test_interrupted(self) -> None:
        """After an interruption it has the results so far, and no proposal."""
        (made := half()).interrupted = True
        document = json.loads(shown(JsonView(), made))
        assert [check["name"] for check in document["checks"]] == list(Scenario)[:9]
        assert (document["interrupted"], document["proposal"]) == (True, None)
