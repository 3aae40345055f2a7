"""What a rehearsal shows, from records made by hand: for screens of 80 and 120 columns, for files, for programs."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

import pytest
from rich.console import Console, RenderableType

from ocf_systemd.rehearse import text
from ocf_systemd.rehearse.facts import Measured
from ocf_systemd.rehearse.json_view import JsonView
from ocf_systemd.rehearse.live_view import LiveView
from ocf_systemd.rehearse.progress import Record, Step, View
from ocf_systemd.rehearse.proposal import Proposal
from ocf_systemd.rehearse.rich_view import played, playing, report_text
from ocf_systemd.rehearse.scenarios import TITLES, Failed, Outcome, Passed, Scene, Skipped
from ocf_systemd.rehearse.text_view import PlainView
from tests.unit.builders import HOOK, UNIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WIDTHS = [80, 120]
ODD = "a[red]b[/red] :smile:"
"""What rich would take for markup, if it were told to."""

LONG = Failed(
    f"hook smtp says 0 (OCF_SUCCESS) while {UNIT} is down, {ODD} " + "and so on " * 20, "have it " + "ask " * 40
)
BAD: Mapping[Scene, Outcome] = {Scene.RELOAD: Skipped("it has no ExecReload="), Scene.HOOK_DOWN: LONG}
PROPOSAL = Proposal(
    100, 125, 20, 10, dict.fromkeys(("start", "stop", "monitor", "interval"), "so"), "pcs create x", "crm configure x"
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(outcomes: Mapping[Scene, Outcome] | None = None, *, upto: int = len(Scene), over: bool = True) -> Record:
    """Return a rehearsal in which each scene took 0.5 s and passed, but for those with an outcome of their own."""
    clock = Clock()
    made = Record(UNIT, HOOK, clock)
    for step in made.steps[:upto]:
        step.began_s, step.ended_s = clock.now, clock.now + 0.5
        step.outcome = (outcomes or {}).get(step.scene, Passed("0 0 in 0.25 s"))
        clock.now += 0.5
    if over:
        made.measured = Measured(start_s=1.25, stop_s=0.5, monitor_s=0.02, hook_s=0.015, hang_s=5.0)
        made.proposal, made.elapsed_s = PROPOSAL, clock.now
    return made


def half() -> Record:
    """Return a rehearsal that is in the middle of its ninth scene."""
    made = record(upto=9, over=False)
    made.steps[9].began_s = made.now_s
    made.count_of = "3 of 10: "
    made.tell("start")
    return made


def rendered(renderable: RenderableType, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False, color_system=None, highlight=False).print(renderable)
    return stream.getvalue()


def shown(view: Callable[[io.StringIO], View], made: Record) -> str:
    """Return what a view writes from a rehearsal's beginning to its end."""
    stream = io.StringIO()
    it = view(stream)
    it.begin(made)
    for step in made.steps:
        it.ended(made, step)
    it.close(made)
    return stream.getvalue()


class TestRecord:
    def test_code(self) -> None:
        """0 only when nothing failed, all is put back, and nobody interrupted."""
        good, bad, stuck, ended = record(), record(BAD), record(), half()
        stuck.not_put_back = "it runs no more"
        assert [each.exit_code for each in (good, bad, stuck, ended)] == [0, 1, 1, 1]
        ended.interrupted = True
        assert ended.exit_code == 130

    def test_time_stands_still_at_the_end(self) -> None:
        """What it took is what it took."""
        made = record()
        assert made.now_s == made.elapsed_s == pytest.approx(len(Scene) / 2)


class TestWords:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            pytest.param({}, f"{UNIT} is ready for a cluster: 15 passed in 7.5 s", id="good"),
            pytest.param(BAD, f"{UNIT} is not ready for a cluster: 13 passed, 1 failed, 1 skipped in 7.5 s", id="bad"),
        ],
    )
    def test_conclusion(self, change: Mapping[Scene, Outcome], told: str) -> None:
        """The last line says what it all came to."""
        assert text.conclusion(record(change)) == told

    def test_interrupted(self) -> None:
        """Whoever interrupts is told whether all is as it was."""
        made = half()
        made.interrupted = True
        assert text.conclusion(made) == "interrupted; all is as it was before"
        made.not_put_back = "it runs no more"
        assert text.conclusion(made) == "interrupted"

    def test_no_hook(self) -> None:
        """The first line says so where there is no hook."""
        assert text.headline(Record(UNIT)) == f"rehearse {UNIT}   no hook"

    def test_labels(self) -> None:
        """Each outcome has a name; none: it runs."""
        assert [text.label(outcome) for outcome in (None, Passed(""), LONG, Skipped(""))] == [
            *("running", "passed", "FAILED", "skipped")
        ]


class TestDrawn:
    @pytest.mark.parametrize("width", WIDTHS)
    def test_playing(self, width: int) -> None:
        """All scenes stand on a screen of 24 lines, what is being done at the moment, and how far it is."""
        lines = rendered(playing(half()), width).splitlines()
        assert len(lines) < 24
        assert max(map(len, lines)) <= width
        assert all(any(title in line for line in lines) for title in TITLES.values())
        assert lines[-1].rstrip() == "3 of 10: start"
        assert lines[-2].rstrip().endswith("9 of 15, 4.5 s")
        assert [line[0] for line in lines[1:16]] == [*"✓✓✓✓✓✓✓✓✓", lines[10][0], *"·····"]
        assert lines[10][0] not in "✓✗·"

    @pytest.mark.parametrize("width", WIDTHS)
    def test_passed(self, width: int) -> None:
        """At the end the commands stand there for the mouse: whole lines, nothing drawn around them."""
        lines = rendered(played(record()), width).splitlines()
        assert max(map(len, lines)) <= width
        assert {"pcs create x", "crm configure x"} <= {line.rstrip() for line in lines}
        assert lines[-1].rstrip().startswith(f"{UNIT} is ready for a cluster")
        assert any(re.match("start +1.25 s +100s +so", line) for line in lines)

    @pytest.mark.parametrize("width", WIDTHS)
    def test_failed(self, width: int) -> None:
        """What failed is told in full, with what to do, and nobody is handed commands."""
        text = rendered(played(record(BAD)), width)
        assert max(map(len, text.splitlines())) <= width
        assert "✗ the hook alone while it is down" in text
        assert "- reload, twice" in text
        assert "skipped: it has no ExecReload=" in text
        flat = " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())
        assert " ".join(LONG.told.replace("what", "").split()) in flat.replace(" what ", " ")
        assert " ".join(LONG.remedy.split()) in flat
        assert "pcs create" not in text
        assert "125s" in text

    def test_not_put_back(self) -> None:
        """What is not as it was before is told last but one."""
        made = record()
        made.not_put_back = f"{UNIT} ran before"
        assert rendered(played(made)).splitlines()[-2].startswith(f"not put back: {UNIT} ran before")

    def test_interrupted(self) -> None:
        """What was going on when it was interrupted spins no more."""
        made = half()
        made.interrupted, made.elapsed_s = True, made.now_s
        assert rendered(played(made)).splitlines()[10].startswith("· ten restarts in a row")


class TestReport:
    def test_html(self) -> None:
        """A page of its own, with the texts in it as they are."""
        text = report_text(record(BAD), ".html")
        assert text.startswith("<!DOCTYPE html>")
        assert "a[red]b[/red] :smile:" in text
        assert "✗" in text

    def test_svg(self) -> None:
        """A picture with the command as its title."""
        text = report_text(record(), ".svg")
        assert text.startswith("<svg")
        assert f"ocf-systemd&#160;rehearse&#160;--unit&#160;{UNIT}" in text

    def test_text(self) -> None:
        """Text without colours, and without blanks at the ends of lines."""
        text = report_text(record(), ".txt")
        assert "\x1b" not in text
        assert not re.search(" $", text, re.MULTILINE)
        assert "pcs create x\n" in text


class TestPlain:
    def test_passed(self) -> None:
        """A line for each scene, the times, the commands, the conclusion."""
        lines = shown(PlainView, record()).splitlines()
        assert lines[0] == f"rehearse {UNIT}   hook {HOOK}"
        assert lines[2] == "  passed   start, twice                       0.50 s  0 0 in 0.25 s"
        assert lines[16] == "  operation      took  propose  because"
        assert lines[17] == "  start        1.25 s     100s  so"
        assert "pcs create x" in lines
        assert lines[-1].startswith(f"{UNIT} is ready")

    def test_failed(self) -> None:
        """What failed says what to do; no commands."""
        text = shown(PlainView, record(BAD))
        assert LONG.told in text
        assert f"           what to do: {LONG.remedy}" in text
        assert "\x1b" not in text
        assert "pcs create" not in text

    def test_interrupted(self) -> None:
        """What was not played is not told; what is not put back is."""
        made = half()
        made.interrupted, made.not_put_back = True, "it runs no more"
        lines = shown(PlainView, made).splitlines()
        assert len(lines) == 12
        assert lines[-2:] == ["not put back: it runs no more", "interrupted"]


class TestJson:
    def test_keys(self) -> None:
        """One object, with keys that stay."""
        document = json.loads(shown(JsonView, record(BAD)))
        assert set(document) == {
            *("unit", "monitor_hook", "code", "passed", "interrupted", "not_put_back", "elapsed_s"),
            *("steps", "measured", "proposal"),
        }
        assert (document["code"], document["passed"], document["unit"]) == (1, False, UNIT)
        assert document["steps"][8] == {
            "name": "hook-down",
            "title": TITLES[Scene.HOOK_DOWN],
            "outcome": "failed",
            "told": LONG.told,
            "remedy": LONG.remedy,
            "elapsed_s": 0.5,
        }
        assert document["measured"]["start_s"] == 1.25
        assert document["measured"]["hook_was_cut"] is False
        assert document["proposal"]["stop_timeout_s"] == 125

    def test_interrupted(self) -> None:
        """What was not played has no outcome, and there is nothing to propose."""
        document = json.loads(shown(JsonView, half()))
        assert [step["outcome"] for step in document["steps"]][8:] == ["passed", *[None] * 6]
        assert document["steps"][9]["elapsed_s"] is None
        assert document["proposal"] is None


class TestLive:
    @pytest.mark.parametrize("width", WIDTHS)
    def test_what_stays(self, width: int) -> None:
        """Of the drawing nothing is left; what came of it is."""

        def view(stream: io.StringIO) -> View:
            return LiveView(Console(file=stream, width=width, color_system=None, highlight=False))

        assert shown(view, record(BAD)) == rendered(played(record(BAD)), width)

    def test_forced(self) -> None:
        """Where FORCE_COLOR asks for it, the last picture goes into a pipe, in colour, and nothing moves the cursor."""

        def view(stream: io.StringIO) -> View:
            return LiveView(Console(file=stream, width=80, force_terminal=True, color_system="standard"))

        text = shown(view, record(BAD))
        assert "\x1b[31m" in text
        assert not re.search(r"\x1b\[[0-9;?]*[A-Za-ln-z]", text)


def test_a_step_begins_empty() -> None:
    """A scene that has not begun has neither times nor an outcome."""
    assert Step(Scene.START) == Step(Scene.START, None, None, None)
