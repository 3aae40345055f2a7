"""Debug mode in the box, as users run it: piped, as JSON, in a real terminal."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.system.terminal import Terminal
from tests.versions import RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import CompletedProcess

    from tests.system.box import Box
    from tests.system.requirements import Requirements

    class Debug(Protocol):
        def __call__(self, *arguments: str, **variables: str) -> CompletedProcess[str]: ...

    class Opener(Protocol):
        def __call__(
            self,
            *arguments: str,
            size: tuple[int, int] = ...,
            variables: Mapping[str, str] | None = None,
            measured: bool = ...,
        ) -> Terminal: ...


PROGRAM = str(Path(sys.executable).with_name("ocf-systemd"))
SMTP = Path(__file__).parent.parent.parent / "examples" / "hooks" / "smtp"
SIZES = [pytest.param((40, 60), id="60x40"), pytest.param((30, 80), id="80x30"), pytest.param((40, 120), id="120x40")]


@pytest.fixture
def debug(box: Box, measuring: Mapping[str, str]) -> Debug:
    def run(*arguments: str, **variables: str) -> CompletedProcess[str]:
        return box.sandbox.run([PROGRAM, "debug", *arguments], env={**measuring, **variables}, timeout_s=60)

    return run


@pytest.fixture
def postfix(box: Box, require: Requirements) -> Iterator[str]:
    require.package("/lib/systemd/system/postfix.service", "postfix")
    yield RELEASE.postfix
    box.put_back(f"{RELEASE.postfix}.service")


class TestPiped:
    def test_start(self, debug: Debug, postfix: str) -> None:
        """Without options, `debug start` starts a unit with the advertised timeout, and shows how that went."""
        done = debug("start", "--unit", postfix)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"start {postfix}.service   timeout 100 s")
        assert "OCF_SUCCESS (0)" in done.stdout
        assert "records the start as done" in done.stdout
        assert "\x1b" not in done.stdout

    @pytest.mark.parametrize("code", [0, 7, 42, 190])
    def test_exit_code(self, debug: Debug, box: Box, code: int) -> None:
        """The exit code is the action's, and the hook's output is shown."""
        hook = box.hook(f"echo told >&2; exit {code}")
        done = debug("monitor", "--unit", box.started(), "--monitor-hook", hook)
        assert done.returncode == code
        assert "| told" in done.stdout
        assert f"hook hook: exit {code}, took" in done.stdout

    @pytest.mark.parametrize("script", ["exit 0", "sleep 60"])
    def test_output_in_order(self, debug: Debug, box: Box, script: str) -> None:
        """The output of a hook is shown whether it succeeds or times out; no line is earlier than the one before."""
        hook = box.hook(f"echo hello; {script}")
        given = ("-o", "monitor_hook_timeout=500ms", "--monitor-hook", hook)
        done = debug("monitor", "--unit", box.started(), *given)
        assert "             | hello\n" in done.stdout
        times = [float(time) for time in re.findall(r"^ +([0-9.]+) s  ", done.stdout, re.MULTILINE)]
        assert len(times) >= 3
        assert times == sorted(times)

    def test_failed_start(self, debug: Debug, box: Box) -> None:
        """A failed start shows the last lines of the unit's journal, and Pacemaker's response."""
        done = debug("start", "--unit", box.service("Type=oneshot", "ExecStart=sh -c 'echo last words; exit 3'"))
        assert done.returncode == 1
        assert "failed: exit-code, status 3" in done.stdout
        assert "tries another node" in done.stdout
        assert any("journal" in line and "last words" in line for line in done.stdout.splitlines())

    def test_cycle(self, debug: Debug, box: Box) -> None:
        """`debug cycle` of a unit that is down has the codes 7 7 0 0 7 7 0 0 0 0, and exit code 0."""
        done = debug("cycle", "--unit", box.service(), "--monitor-hook", box.hook("exit 0"))
        assert done.returncode == 0
        assert done.stdout.splitlines()[-1] == "cycle: 7 7 0 0 7 7 0 0 0 0 (as expected)"

    def test_cycle_that_fails(self, debug: Debug, box: Box) -> None:
        """The exit code of a cycle is the first that is not as expected."""
        done = debug("cycle", "--unit", box.service(), "--monitor-hook", box.hook("exit 42"), "--op", "start=2s")
        assert done.returncode == 1
        assert "not as expected" in done.stdout.splitlines()[-1]

    def test_wrong_value(self, debug: Debug) -> None:
        """A wrong value has the result that Pacemaker gets."""
        done = debug("monitor", "--unit", "*")
        assert done.returncode == 6
        assert "unit='*'" in done.stdout
        assert "OCF_ERR_CONFIGURED (6)" in done.stdout

    def test_meta_data(self, debug: Debug) -> None:
        """meta-data is printed as it is."""
        done = debug("meta-data", "--unit", "any")
        assert done.returncode == 0
        assert done.stdout.rstrip().endswith("</resource-agent>")

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            pytest.param(("frobnicate", "--unit", "x"), "frobnicate", id="action"),
            pytest.param(("monitor",), "'UNIT'", id="no-unit"),
            pytest.param(("monitor", "--unit", "x", "--op", "monitor=soon"), "soon", id="time"),
            pytest.param(("monitor", "--unit", "x", "-o", "speed=1"), "speed", id="parameter"),
        ],
    )
    def test_usage(self, debug: Debug, arguments: tuple[str, ...], error: str) -> None:
        """A wrong command line is an error with exit code 2."""
        done = debug(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert error in done.stderr.splitlines()[-1]


class TestJson:
    def test_action(self, debug: Debug, box: Box) -> None:
        """--json prints one object with the exit code, and exits with that."""
        done = debug("monitor", "--unit", box.started(), "--monitor-hook", box.hook("exit 42"), "--json")
        document = json.loads(done.stdout)
        assert (done.returncode, document["code"], document["action"]) == (42, 42, "monitor")
        assert document["reason"] == "hook hook: failed (exit 42)"

    def test_cycle(self, debug: Debug, box: Box) -> None:
        """A cycle's object has its actions as steps."""
        done = debug("cycle", "--unit", box.service(), "--json")
        document = json.loads(done.stdout)
        assert (done.returncode, document["code"]) == (0, 0)
        assert [step["code"] for step in document["steps"]] == [7, 7, 0, 0, 7, 7, 0, 0, 0, 0]


def left(done: CompletedProcess[str]) -> dict[str, object]:
    """Return what debug mode reports as left, from its JSON."""
    found = json.loads(done.stdout)["left"]
    assert isinstance(found, dict)
    return found


def drop_in(unit: str) -> str:
    return f"/run/systemd/system/{unit}.d/zz-ocf-systemd.conf"


NOTHING = {"started": False, "stopped": False, "drop_in": None, "unknown": False}


class TestLeft:
    def test_start_and_stop(self, debug: Debug, box: Box) -> None:
        """A start leaves the unit and its drop-in, and reports that; after a stop there is nothing."""
        unit = box.service()
        started = debug("start", "--unit", unit)
        assert drop_in(unit) in started.stdout
        assert f"debug stop {unit}" in started.stdout
        assert box.path(drop_in(unit)).exists()
        assert left(debug("stop", "--unit", unit, "--json")) == NOTHING
        assert not box.path(drop_in(unit)).parent.exists()

    def test_start_of_a_unit_that_runs(self, debug: Debug, box: Box) -> None:
        """Only the drop-in is new."""
        unit = box.started()
        assert left(debug("start", "--unit", unit, "--json")) == NOTHING | {"drop_in": drop_in(unit)}

    def test_cycle(self, debug: Debug, box: Box) -> None:
        """A cycle leaves what its start leaves."""
        unit = box.service()
        done = debug("cycle", "--unit", unit, "--json")
        assert left(done) == NOTHING | {"started": True, "drop_in": drop_in(unit)}
        assert box.path(drop_in(unit)).exists()

    def test_cycle_of_a_unit_that_runs(self, debug: Debug, box: Box) -> None:
        """A unit that ran before runs afterwards as before: systemd has no drop-in."""
        unit = box.started()
        assert left(debug("cycle", "--unit", unit, "--json")) == NOTHING
        assert (box.state(unit), box.show(unit, "DropInPaths")) == ("active", "")
        assert not box.path(drop_in(unit)).parent.exists()

    def test_what_a_cluster_has_started(self, debug: Debug, box: Box) -> None:
        """The drop-in of a cluster's start stays, in force."""
        unit = box.started()
        box.write(drop_in(unit), "[Service]\nRestart=no\n")
        box.sh("systemctl daemon-reload")
        assert left(debug("cycle", "--unit", unit, "--json")) == NOTHING
        assert box.show(unit, "DropInPaths") == drop_in(unit)

    @pytest.mark.parametrize("action", ["start", "cycle"])
    def test_failed_start(self, debug: Debug, box: Box, action: str) -> None:
        """A start that fails leaves neither the drop-in, nor systemd with it."""
        unit = box.service("Type=oneshot", "ExecStart=false")
        box.remember(unit)
        assert left(debug(action, "--unit", unit, "--json")) == NOTHING
        assert not box.path(drop_in(unit)).parent.exists()
        assert box.show(unit, "DropInPaths") == ""

    def test_failed_start_after_a_crash(self, debug: Debug, box: Box) -> None:
        """A unit that a cluster has started keeps its drop-in, although it is down and cannot be started."""
        unit = box.service("Type=oneshot", "ExecStart=false")
        box.write(drop_in(unit), "[Service]\nRestart=no\n")
        assert left(debug("start", "--unit", unit, "--json")) == NOTHING
        assert box.path(drop_in(unit)).exists()

    def test_cycle_that_cannot_start_again(self, debug: Debug, box: Box) -> None:
        """A cycle reports a unit that ran before and is stopped at its end."""
        box.sh("mkdir -p /run/test")
        once = "ExecStart=sh -c '! [ -e /run/test/stale ] && touch /run/test/stale && exec sleep infinity'"
        unit = box.started("Type=exec", once)
        box.wait_for_file("/run/test/stale")
        done = debug("cycle", "--unit", unit, "--json")
        assert done.returncode == 1
        assert left(done) == NOTHING | {"stopped": True}
        assert not box.path(drop_in(unit)).parent.exists()

    def test_no_drop_in_wanted(self, debug: Debug, box: Box) -> None:
        """Without order_at_shutdown only the unit is left."""
        unit = box.service()
        done = debug("start", "--unit", unit, "--json", "-o", "order_at_shutdown=no")
        assert left(done) == NOTHING | {"started": True}

    @pytest.mark.parametrize("action", ["monitor", "validate-all", "reload-agent", "meta-data"])
    def test_what_changes_nothing(self, debug: Debug, box: Box, action: str) -> None:
        """Other actions leave nothing."""
        assert left(debug(action, "--unit", box.started(), "--json")) == NOTHING

    def test_interrupted_start(self, box: Box, terminal: Opener) -> None:
        """After Ctrl-C the start goes on in systemd: what it leaves is shown."""
        unit = box.service("Type=oneshot", "ExecStart=sleep infinity")
        screen = terminal("start", "--unit", unit)
        box.wait_for(unit, "activating")
        screen.look_for("activating")
        screen.child.sendintr()
        last = " ".join("\n".join(screen.watch()).split())
        assert screen.child.exitstatus == 130
        assert "is running or starting, and was stopped before" in last
        assert box.path(drop_in(unit)).exists()


@pytest.fixture
def terminal(box: Box, measuring: Mapping[str, str]) -> Opener:
    def open_one(
        *arguments: str,
        size: tuple[int, int] = (30, 80),
        variables: Mapping[str, str] | None = None,
        measured: bool = True,
    ) -> Terminal:
        environment = {"TERM": "xterm-256color", **(measuring if measured else {}), **(variables or {})}
        return Terminal(box.sandbox.command([PROGRAM, "debug", *arguments], env=environment), size)

    return open_one


class TestTerminal:
    @pytest.mark.parametrize("size", SIZES)
    def test_live(self, box: Box, terminal: Opener, size: tuple[int, int]) -> None:
        """While it runs it shows hook and deadline; at the end the result and Pacemaker's response."""
        unit, hook = box.started(), box.hook("sleep 1; echo fine", "slow-hook")
        screen = terminal("monitor", "--unit", unit, "--monitor-hook", hook, size=size)
        live = screen.look_for("hook slow-hook", "running", "s left of")
        assert any(line.startswith(f"monitor {unit}") and "timeout 20 s" in line for line in live)
        last = "\n".join(screen.watch())
        assert "OCF_SUCCESS (0)" in last
        assert "Pacemaker  does nothing" in last
        assert "│ fine" in last
        assert screen.child.exitstatus == 0
        assert all(len(line) == size[1] for line in screen.frames[-1])

    @pytest.mark.parametrize("size", SIZES)
    def test_starting(self, box: Box, terminal: Opener, size: tuple[int, int]) -> None:
        """A start that waits for its hook shows what it waits for, and fits on the screen."""
        hook = box.hook("echo not yet >&2; exit 7", "ready")
        screen = terminal("start", "--unit", box.service(), "--monitor-hook", hook, "--op", "start=3s", size=size)
        screen.look_for("waiting", "not yet (exit 7)", "s left of")
        last = "\n".join(screen.watch())
        assert "OCF_ERR_GENERIC (1)" in last
        assert "start-failure-is-fatal" in last
        assert screen.child.exitstatus == 1

    @pytest.mark.parametrize("size", SIZES)
    def test_systemctl_waits(self, box: Box, terminal: Opener, size: tuple[int, int]) -> None:
        """A start whose `systemctl start` blocks shows that it waits for that."""
        screen = terminal("start", box.service("Type=oneshot", "ExecStart=sleep infinity"), size=size)
        live = screen.look_for("waiting")
        assert any(re.search("waiting +systemctl start has run for 1[0-9] s", line) for line in live)
        screen.child.sendintr()
        screen.watch()

    def test_cycle(self, box: Box, terminal: Opener) -> None:
        """A cycle leaves a line for each action, and the codes."""
        screen = terminal("cycle", "--unit", box.service(), "--monitor-hook", box.hook("exit 0"))
        last = screen.watch()
        assert any("7 7 0 0 7 7 0 0 0 0   as expected" in line for line in last)
        assert sum("OCF_" in line for line in last) == 10
        assert screen.child.exitstatus == 0

    def test_names_are_no_markup(self, box: Box, terminal: Opener) -> None:
        """The output of a hook is shown as it is, and cannot move the cursor."""
        hook = box.hook("printf '[red]x[/red] \\033[2Jy\\n'; exit 1")
        screen = terminal("monitor", "--unit", box.started(), "--monitor-hook", hook)
        last = screen.watch()
        assert any("│ [red]x[/red] y" in line for line in last)
        assert any("monitor" in line for line in last)

    def test_dumb(self, box: Box, terminal: Opener) -> None:
        """In a terminal that is dumb there is no escape code."""
        screen = terminal("monitor", "--unit", box.started(), variables={"TERM": "dumb"})
        screen.watch()
        assert "OCF_SUCCESS (0)" in screen.raw
        assert "\x1b" not in screen.raw

    def test_no_colour(self, box: Box, terminal: Opener) -> None:
        """With NO_COLOR frames are drawn without colours."""
        hook = box.hook("sleep 0.5; exit 42", "slow-hook")
        arguments = ("monitor", "--unit", box.started(), "--monitor-hook", hook)
        screen = terminal(*arguments, variables={"NO_COLOR": "1"})
        screen.look_for("hook slow-hook", "running", "s left of")
        assert any(line.startswith("╭─ ") and "42" in line for line in screen.watch())
        parameters = {each for codes in re.findall(r"\x1b\[([0-9;]*)m", screen.raw) for each in codes.split(";")}
        assert parameters <= {"", "0", "1", "2"}  # ECMA-48, 8.3.117: as it was, bold, faint

    @pytest.mark.parametrize("columns", [40, 200])
    def test_narrow_and_wide(self, box: Box, terminal: Opener, columns: int) -> None:
        """With few columns no result is cut off, and no line is longer than the screen."""
        hook = box.hook("echo told; exit 4", "h")
        arguments = ("monitor", "--unit", box.started(), "--monitor-hook", hook)
        last = terminal(*arguments, size=(30, columns)).watch()
        shown = "".join(last).replace(" ", "").replace("│", "")
        for text in ("exit4", "told", "OCF_ERR_PERM(4):notpermitted,ornotsafe,after", "untilcleanup"):
            assert text in shown, last

    def test_forced(self, debug: Debug, box: Box) -> None:
        """With FORCE_COLOR a pipe gets the last frame in colour, and nothing moves the cursor."""
        done = debug("monitor", "--unit", box.started(), FORCE_COLOR="1", TERM="xterm")
        assert "╭─" in done.stdout
        assert "\x1b[32m" in done.stdout
        assert not re.search(r"\x1b\[[0-9;?]*[A-Za-ln-z]", done.stdout)

    @pytest.mark.parametrize("action", ["monitor", "start", "cycle"])
    def test_interrupted(self, box: Box, terminal: Opener, action: str) -> None:
        """Ctrl-C during a hang ends it within 2 s with 130; no process and no part of a frame is left."""
        before = box.visitors()
        unit, hook = box.started(), box.hook("trap '' TERM INT; while :; do sleep 1; done", "hanging")

        def ends_in_time() -> bool:
            screen = terminal(action, "--unit", unit, "--monitor-hook", hook, measured=False)
            screen.look_for("hook hanging", "running", "s left of")
            began = time.monotonic()
            screen.child.sendintr()
            last = "\n".join(screen.watch())
            elapsed_s = time.monotonic() - began
            assert screen.child.exitstatus == 130
            assert "interrupted by SIGINT" in last.replace("\n", " ")
            assert "Traceback" not in screen.raw
            assert screen.raw.rfind("\x1b[?25h") > screen.raw.rfind("\x1b[?25l")
            assert not screen.screen.cursor.hidden
            assert {pid: process for pid, process in box.visitors().items() if pid not in before} == {}
            return elapsed_s < 2

        assert any(ends_in_time() for _ in range(3))  # a busy machine gets another chance

    @pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
    def test_output_of_an_interrupted_hook(self, box: Box, terminal: Opener, term: str) -> None:
        """What a hook has printed is shown although Ctrl-C ended it."""
        unit, hook = box.started(), box.hook("echo hello; trap '' INT; sleep 61", "hanging")
        screen = terminal("monitor", "--unit", unit, "--monitor-hook", hook, variables={"TERM": term})
        box.wait_for_visitor("sleep 61")
        screen.child.sendintr()
        last = "\n".join(screen.watch())
        assert screen.child.exitstatus == 130
        assert re.search(r"[|│] hello", last)
