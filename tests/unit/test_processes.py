"""Real child processes: how they end, what is kept of their output, and that none is left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from signal import SIGABRT, SIGKILL, SIGSEGV, SIGTERM, Signals
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest

from ocf_systemd.core.observations import KEPT_OUTPUT, CommandOutcome, Exited, NotStarted, Signalled, TimedOut
from ocf_systemd.host import procfs
from ocf_systemd.host.processes import Command, Output, run
from tests.unit.builders import executable, open_descriptors, run_python
from tests.unit.odd_processes import (
    leased,
    marked,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def run_now(
    *arguments: str,
    time_s: float = 10.0,
    time_limit_s: float | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
) -> CommandOutcome:
    """Run a command on an event loop of its own; the deadline is `time_s` away."""
    command = Command(arguments, environment, time_limit_s=time_limit_s)

    async def main() -> CommandOutcome:
        return await run(command, deadline=anyio.current_time() + time_s)

    return anyio.run(main)


def shell(script: str, *, time_s: float = 10.0, time_limit_s: float | None = None) -> CommandOutcome:
    return run_now("/bin/sh", "-c", script, time_s=time_s, time_limit_s=time_limit_s)


@contextmanager
def took(*, at_least_s: float = 0.0, less_than_s: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert at_least_s <= time.monotonic() - began < less_than_s


class TestEnds:
    @pytest.mark.parametrize("code", [pytest.param(code, id=str(code)) for code in (0, 1, 7, 42, 127, 190, 255)])
    def test_an_exit_code(self, code: int) -> None:
        """A command that exits has its exit code as outcome."""
        outcome = shell(f"exit {code}")
        assert isinstance(outcome, Exited)
        assert (outcome.code, outcome.stdout, outcome.stderr) == (code, b"", b"")
        assert 0 < outcome.elapsed_s < 5

    @pytest.mark.parametrize(
        "signal", [pytest.param(each, id=each.name) for each in (SIGSEGV, SIGKILL, SIGTERM, SIGABRT)]
    )
    def test_a_signal(self, signal: Signals) -> None:
        """A command that dies by a signal that is not ours: which."""
        outcome = shell(f"ulimit -c 0; echo last words >&2; kill -{signal.value} $$")
        assert isinstance(outcome, Signalled)
        assert (outcome.signal_name, outcome.last_line) == (signal.name, "last words")

    def test_a_deadline_that_is_over(self) -> None:
        """Without any time left a command has no time, and is ended at once."""
        with took(less_than_s=5.0):
            assert isinstance(shell("sleep 60", time_s=-1.0), TimedOut)

    @pytest.mark.parametrize(
        ("name", "text", "mode", "why"),
        [
            pytest.param("missing", None, 0, "No such file or directory", id="missing"),
            pytest.param("closed", "#!/bin/sh\n", 0o644, "Permission denied", id="not executable"),
            pytest.param("plain", "exit 3\n", 0o755, "Exec format error", id="no shebang: never a fallback to sh"),
            pytest.param("empty", "", 0o755, "Exec format error", id="empty"),
            pytest.param("lost", "#!/no/such/sh\n", 0o755, "No such file or directory", id="no interpreter"),
            pytest.param("crlf", "#!/bin/sh\r\nexit 0\r\n", 0o755, "No such file or directory", id="CR LF"),
        ],
    )
    def test_what_cannot_be_started(self, tmp_path: Path, name: str, text: str | None, mode: int, why: str) -> None:
        """The error of execve, as text and number."""
        path = tmp_path / name
        if text is not None:
            executable(path, text, mode)
        outcome = run_now(str(path))
        assert isinstance(outcome, NotStarted)
        assert outcome.why == why
        assert os.strerror(outcome.errno) == why

    def test_a_directory_cannot_be_started(self, tmp_path: Path) -> None:
        """A directory is no command."""
        assert run_now(str(tmp_path)) == NotStarted(13, "Permission denied")

    def test_arguments_that_are_too_long(self) -> None:
        """More than execve takes is an outcome, and no exception."""
        assert run_now("/bin/true", "x" * 3_000_000) == NotStarted(7, "Argument list too long")

    def test_a_user_to_run_as(self) -> None:
        """The command has the given uid, gid and groups."""
        if os.geteuid() != 0:
            pytest.skip("only root can run a command as another user")
        command = Command(("/usr/bin/id",), {"LC_ALL": "C"}, user=(65534, 65534, (65534, 4)))

        async def main() -> CommandOutcome:
            return await run(command, deadline=anyio.current_time() + 10)

        outcome = anyio.run(main)
        assert isinstance(outcome, Exited)
        fields = dict(word.split("=") for word in outcome.stdout.decode().split())
        assert [fields[key].split("(")[0] for key in ("uid", "gid")] == ["65534", "65534"]
        assert sorted(group.split("(")[0] for group in fields["groups"].split(",")) == ["4", "65534"]


class TestStreams:
    def test_standard_input_is_empty(self) -> None:
        """A read is at the end of the file at once."""
        outcome = shell("cat; echo $?")
        assert isinstance(outcome, Exited)
        assert outcome.stdout == b"0\n"

    def test_nothing_is_inherited_but_the_standard_streams_and_the_parent_death_pipe(self) -> None:
        """A command inherits no descriptor of ours, not even an inheritable one, except the parent-death pipe."""
        reader, writer = os.pipe()
        try:
            os.set_inheritable(writer, True)  # noqa: FBT003  # os has no keyword for it
            outcome = run_now("/bin/sh", "-c", "ls -l /proc/$$/fd")
        finally:
            os.close(reader)
            os.close(writer)
        assert isinstance(outcome, Exited)
        inherited = {line.split()[8]: line.split()[10] for line in outcome.stdout.decode().splitlines()[1:]}
        assert len(inherited) == 4
        assert inherited["0"] == "/dev/null"
        (pipe,) = inherited.keys() - {"0", "1", "2"}
        assert inherited[pipe].startswith("pipe:")

    def test_the_environment_is_what_it_was_given(self) -> None:
        """And no more than that."""
        outcome = run_now("/usr/bin/env", environment={"A": "b"})
        assert isinstance(outcome, Exited)
        assert outcome.stdout == b"A=b\n"

    def test_closed_streams(self) -> None:
        """A command that closes its streams is waited for nevertheless."""
        outcome = shell("exec 0<&- 1>&- 2>&-; sleep 0.1; exit 3")
        assert isinstance(outcome, Exited)
        assert outcome.code == 3

    @pytest.mark.parametrize("stream", [pytest.param("stdout", id="stdout"), pytest.param("stderr", id="stderr")])
    @pytest.mark.parametrize(
        "size",
        [
            pytest.param(0, id="nothing"),
            pytest.param(1, id="a byte"),
            pytest.param(KEPT_OUTPUT, id="64 KiB"),
            pytest.param(KEPT_OUTPUT + 1, id="64 KiB and a byte"),
            pytest.param(70 * 1024, id="70 KiB"),
            pytest.param(1024 * 1024, id="1 MiB"),
        ],
    )
    def test_the_tail_of_64_kib_is_kept_exactly(self, stream: str, size: int) -> None:
        """The last 65,536 bytes, to the byte."""
        code = "import sys; sys.{}.buffer.write(b''.join(b'%07d\\n' % n for n in range({}))[:{}])"
        outcome = run_now(sys.executable, "-I", "-S", "-c", code.format(stream, size // 8 + 1, size))
        whole = b"".join(b"%07d\n" % number for number in range(size // 8 + 1))[:size]
        assert isinstance(outcome, Exited)
        assert outcome.code == 0
        kept = {"stdout": outcome.stdout, "stderr": outcome.stderr}
        assert kept.pop(stream) == whole[-KEPT_OUTPUT:]
        assert list(kept.values()) == [b""]

    def test_both_streams_at_once(self) -> None:
        """Neither waits for the other, each has a tail of its own."""
        outcome = shell("head -c 200000 /dev/zero & head -c 200000 /dev/zero >&2; wait; echo out; echo err >&2")
        assert isinstance(outcome, Exited)
        assert (len(outcome.stdout), len(outcome.stderr)) == (KEPT_OUTPUT, KEPT_OUTPUT)
        assert outcome.stdout.endswith(b"\0out\n")
        assert outcome.stderr.endswith(b"\0err\n")

    def test_a_flood_takes_no_memory(self) -> None:
        """256 MiB of output on both streams: a result all the same, and memory stays bounded."""
        code = """
import sys, anyio
from ocf_systemd.host.processes import Command, run

def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

async def main():
    before = peak_kib()
    half = "head -c 128M /dev/zero"
    command = Command(("/bin/sh", "-c", f"{half} & {half} >&2; wait; exit 42"), {"PATH": "/usr/bin:/bin"})
    outcome = await run(command, deadline=anyio.current_time() + 20)
    print(outcome.code, len(outcome.stdout), len(outcome.stderr), peak_kib() - before < 8 * 1024)

anyio.run(main)
"""
        done = run_python(code)
        assert (done.stdout, done.stderr) == (f"42 {KEPT_OUTPUT} {KEPT_OUTPUT} True\n", "")

    def test_what_was_printed_before_a_timeout_is_kept(self) -> None:
        """A hook that hangs may have printed why."""
        outcome = shell("echo connecting; echo to nowhere >&2; exec sleep 60", time_s=2.0)
        assert isinstance(outcome, TimedOut)
        assert (outcome.stdout, outcome.stderr) == (b"connecting\n", b"to nowhere\n")

    def test_the_last_line_of_one_that_handles_term(self) -> None:
        """What it prints as it is ended is kept as well."""
        script = "trap 'echo giving up; exit 0' TERM; while :; do sleep 0.02; done"
        outcome = shell(script, time_limit_s=1.0)
        assert isinstance(outcome, TimedOut)
        assert outcome.stdout == b"giving up\n"


class TestTime:
    def test_a_leader_is_judged_by_its_own_end(self, mark: str) -> None:
        """A child that keeps the pipes open delays nothing."""
        with took(less_than_s=2.0):
            outcome = shell(f"sleep {mark} & echo well; exit 7")
        assert isinstance(outcome, Exited)
        assert (outcome.code, outcome.stdout) == (7, b"well\n")
        # What it left is for end_leftovers(), once no command runs any more; it may not have executed sleep(1) yet.
        wait_until(lambda: len(marked(mark)) == 1)

    def test_a_child_that_keeps_writing_delays_nothing(self) -> None:
        """What a leader leaves behind may write for ever: only what stands in the pipe already is read."""
        with took(less_than_s=2.0):
            outcome = shell("(while echo noise 2>/dev/null; do :; done) & sleep 0.05; exit 0")
        assert isinstance(outcome, Exited)

    def test_a_timeout_ends_before_the_deadline(self) -> None:
        """The time for ending comes out of the deadline; a command that goes at once saves it."""

        def ends_in_time() -> bool:
            began = time.monotonic()
            assert isinstance(shell("exec sleep 60", time_s=2.0), TimedOut)
            elapsed_s = time.monotonic() - began
            assert elapsed_s >= 1.4
            return elapsed_s < 2.0

        assert any(ends_in_time() for _ in range(3))  # this process may get no processor for a moment

    def test_a_time_limit_of_its_own(self) -> None:
        """A command may get less time than there is until the deadline."""
        with took(at_least_s=0.2, less_than_s=5.0):
            outcome = shell("exec sleep 60", time_s=10.0, time_limit_s=0.2)
        assert isinstance(outcome, TimedOut)
        assert outcome.elapsed_s < 5.0

    def test_a_time_limit_beyond_the_deadline(self) -> None:
        """The deadline counts nevertheless."""
        with took(less_than_s=5.0):
            assert isinstance(shell("exec sleep 60", time_s=0.3, time_limit_s=99.0), TimedOut)

    def test_term_first_and_kill_after_the_grace(self) -> None:
        """A command that ignores SIGTERM gets SIGKILL after a fifth of the time, at the deadline."""
        with took(at_least_s=0.9, less_than_s=1.6):
            outcome = shell("trap '' TERM; while :; do sleep 0.02; done", time_s=1.0)
        assert isinstance(outcome, TimedOut)

    def test_a_shell_that_waits_prints_nothing(self) -> None:
        """A shell does not live to report that its child was terminated: the output is the command's own to the end."""
        others = "for i in 1 2 3 4 5 6 7 8 9; do for j in 1 2 3 4 5; do sleep 60 & done; done"  # to signal takes longer
        command = Command(("/bin/sh", "-c", f"{others}; echo waiting; sleep 60; echo ended"), ENVIRONMENT)
        outcomes = []

        async def time_out(time_s: float) -> None:
            outcomes.append(await run(command, deadline=anyio.current_time() + time_s))

        async def main() -> None:
            async with anyio.create_task_group() as together:  # a shell needs time to start all the others
                for time_s in (2.0, 2.1, 2.2, 2.3):
                    together.start_soon(time_out, time_s)

        anyio.run(main)
        assert len(outcomes) == 4
        for outcome in outcomes:
            assert isinstance(outcome, TimedOut)
            assert (outcome.stdout, outcome.stderr) == (b"waiting\n", b"")

    def test_output_of_a_cancelled_command(self) -> None:
        """What a command has printed when it is cancelled is kept, up to what it prints at SIGTERM."""
        script = "trap 'echo last >&2; exit 1' TERM; echo first; while :; do sleep 0.02; done"
        command = Command(("/bin/sh", "-c", script), ENVIRONMENT, output=Output())

        async def main() -> None:
            async with anyio.create_task_group() as together:
                together.start_soon(run_for_a_minute)
                while not command.output or not command.output.stdout:  # noqa: ASYNC110  # no event for it
                    await anyio.sleep(0.01)
                together.cancel_scope.cancel()

        async def run_for_a_minute() -> None:
            await run(command, deadline=anyio.current_time() + 60)

        anyio.run(main)
        assert command.output is not None
        assert command.output.stdout == b"first\n"
        assert command.output.stderr.endswith(b"last\n")

    def test_the_grace_is_one_second_at_most(self) -> None:
        """A command that ignores SIGTERM has a second, however much time there is."""
        with took(at_least_s=1.0, less_than_s=5.0):  # a fifth of the time would be twelve seconds
            outcome = shell("trap '' TERM; while :; do sleep 0.02; done", time_s=60.0, time_limit_s=0.1)
        assert isinstance(outcome, TimedOut)


TREES = [
    pytest.param("sleep {mark}", id="a child"),
    pytest.param("(sleep {mark} & sleep {mark}; :) & sleep {mark}; :", id="children of children"),
    pytest.param("setsid sleep {mark} & wait", id="a session of its own"),
    pytest.param("trap '' TERM; sleep {mark} & wait; wait", id="all ignore TERM"),
    pytest.param("(trap '' TERM; setsid sleep {mark}; :) & sleep {mark}; :", id="a session that ignores TERM"),
]


class TestTree:
    @pytest.fixture
    def open_place(self) -> Iterator[Path]:
        """Yield a directory that every user may enter."""
        with tempfile.TemporaryDirectory(dir="/tmp") as name:
            Path(name).chmod(0o755)
            yield Path(name)

    @pytest.mark.parametrize("script", TREES)
    def test_a_timeout_ends_the_whole_tree(self, mark: str, script: str) -> None:
        """What descends from the command goes with it, sessions of their own included."""
        with took(less_than_s=2.0):
            outcome = shell(script.format(mark=mark), time_s=0.5)
        assert isinstance(outcome, TimedOut)
        wait_until(lambda: not marked(mark))  # what was killed may still be ending

    def test_cancellation_ends_the_whole_tree(self, mark: str) -> None:
        """A cancelled call leaves nothing running."""

        async def main() -> None:
            with anyio.move_on_after(0.3):
                command = Command(("/bin/sh", "-c", f"setsid sleep {mark} & sleep {mark}; :"), ENVIRONMENT)
                await run(command, deadline=anyio.current_time() + 60)

        with took(less_than_s=2.0):
            anyio.run(main)
        wait_until(lambda: not marked(mark))  # what was killed may still be ending

    @pytest.mark.parametrize(
        ("leads_group", "script"),
        [
            pytest.param(True, "sleep {mark} & sleep {mark}; :", id="of its own group, with what a hook started"),
            pytest.param(True, "trap '' TERM HUP; sleep {mark} & wait", id="of its own group, signals ignored"),
            # That command has its parent-death pipe only once it has been started.
            pytest.param(False, "sleep 0.2; exec sleep {mark}", id="in the group of others"),
        ],
    )
    def test_sigkill_of_the_agent_alone(self, mark: str, script: str, *, leads_group: bool) -> None:
        """Not even then does a command run on, nor anything in the agent's group if that is its own."""
        code = f"""
import anyio
from ocf_systemd.host import procfs, processes
command = processes.Command(("/bin/sh", "-c", {script.format(mark=mark)!r}), {{"PATH": "/usr/bin:/bin"}})
async def main():
    await processes.run(command, deadline=anyio.current_time() + 60)
anyio.run(main)
"""
        agent = subprocess.Popen([sys.executable, "-c", code], process_group=0 if leads_group else None)
        try:
            wait_until(lambda: any(process.name() == "sleep" for process in marked(mark)))
        finally:
            agent.kill()
            agent.wait()
        wait_until(lambda: not marked(mark))

    @pytest.mark.parametrize(
        "user",
        [
            pytest.param(None, id="of the agent's user"),
            pytest.param(
                (65534, 65534, ()),
                id="of another user",
                marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as another user"),
            ),
        ],
    )
    def test_sigkill_of_the_agent_while_a_command_starts(
        self, open_place: Path, user: tuple[int, int, tuple[int, ...]] | None
    ) -> None:
        """A command whose execve(2) is blocked, here by a lease on its file, ends as well, and does not run later."""
        program = executable(open_place / "program", "#!/bin/sh\nsleep 60\n")
        code = f"""
import anyio
from ocf_systemd.host import processes
command = processes.Command(({str(program)!r},), {{"PATH": "/usr/bin:/bin"}}, {user})
async def main():
    await processes.run(command, deadline=anyio.current_time() + 60)
anyio.run(main)
"""
        with leased(program):
            agent = psutil.Popen([sys.executable, "-c", code], process_group=0)
            try:
                wait_until(agent.children)
                starting = agent.children()
            finally:
                agent.kill()
                agent.wait()
            wait_until(lambda: not any(process.is_running() for process in starting))

    def test_a_leftover_has_no_parent_death_pipe(self, mark: str) -> None:
        """The end of a command that leaves a process running kills neither that process nor the agent."""
        code = f"""
import anyio
from ocf_systemd.host import procfs, processes
command = processes.Command(("/bin/sh", "-c", "sleep {mark} & exit 0"), {{"PATH": "/usr/bin:/bin"}})
async def main():
    return await processes.run(command, deadline=anyio.current_time() + 60)
print(anyio.run(main).code)
"""
        done = subprocess.run(
            [sys.executable, "-c", code], process_group=0, capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
        wait_until(lambda: len(marked(mark)) == 1)

    @pytest.mark.parametrize("script", TREES)
    def test_what_sigkill_ends_does_not_survive(self, mark: str, script: str) -> None:
        """Only processes that are alive are survivors."""
        outcome = shell(script.format(mark=mark), time_s=10.0, time_limit_s=0.2)
        assert isinstance(outcome, TimedOut)
        assert outcome.survivors == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as another user")
class TestPipesOfAnotherUser:
    SCRIPT = "echo out > /dev/stdout; echo err > /dev/stderr; echo more >> /proc/self/fd/2; exit 3"

    @pytest.mark.parametrize(
        "user", [pytest.param((65534, 65534, (65534,)), id="another"), pytest.param(None, id="own")]
    )
    def test_a_command_may_open_its_streams_again(self, user: tuple[int, int, tuple[int, ...]] | None) -> None:
        """The pipes belong to the hook's user, so that a hook may write to /dev/stderr as scripts do."""
        command = Command(("/bin/sh", "-c", self.SCRIPT), {**ENVIRONMENT, "LC_ALL": "C"}, user=user)

        async def main() -> CommandOutcome:
            return await run(command, deadline=anyio.current_time() + 10)

        outcome = anyio.run(main)
        assert isinstance(outcome, Exited)
        assert (outcome.code, outcome.stdout, outcome.stderr) == (3, b"out\n", b"err\nmore\n")


class TestDescriptors:
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("exit 0", id="ended"),
            pytest.param("kill -9 $$", id="killed"),
            pytest.param("exec sleep 60", id="timed out"),
            pytest.param("sleep 0.5 & exit 0", id="pipes held open"),
        ],
    )
    def test_none_is_left_open(self, script: str) -> None:
        """However a command ends, its pipes and its pidfd are closed."""
        before = open_descriptors()
        for _ in range(3):
            shell(script, time_s=0.2)
        assert open_descriptors() == before

    def test_none_is_left_open_by_what_does_not_start(self) -> None:
        """Not even then."""
        before = open_descriptors()
        for _ in range(3):
            assert isinstance(run_now("/no/such/command"), NotStarted)
        assert open_descriptors() == before

    @pytest.mark.parametrize("spare", [pytest.param(spare, id=f"{spare} left") for spare in range(11)])
    def test_out_of_descriptors(self, spare: int) -> None:
        """With too few of them a command is not started, or runs; there is no exception and no child left."""
        code = f"""
import anyio, os, resource
from ocf_systemd.host import procfs, processes
from ocf_systemd.host.leftovers import adopt_orphans, end_leftovers
async def main():
    # What the interpreter imports as it starts a command needs descriptors too, and is no matter of ours.
    command = processes.Command(("/bin/true",), {{}})
    await processes.run(command, deadline=anyio.current_time() + 5)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + {spare}, 9999))
    outcome = await processes.run(command, deadline=anyio.current_time() + 5)
    print(type(outcome).__name__, outcome.why if isinstance(outcome, processes.NotStarted) else outcome.code)
    resource.setrlimit(resource.RLIMIT_NOFILE, (999, 9999))
    print(end_leftovers().ended)
anyio.run(main)
"""
        done = run_python(code)
        outcome, leftovers = done.stdout.splitlines()
        assert outcome in {"NotStarted Too many open files", "Exited 0"}
        assert (leftovers, done.stderr) == ("()", "")


def test_many_at_once() -> None:
    """Twenty commands run concurrently, each with its own output and code."""

    async def one(number: int, outcomes: dict[int, CommandOutcome]) -> None:
        command = Command(("/bin/sh", "-c", f"sleep 0.2; echo {number}; exit {number}"), ENVIRONMENT)
        outcomes[number] = await run(command, deadline=anyio.current_time() + 10)

    async def main() -> dict[int, CommandOutcome]:
        outcomes: dict[int, CommandOutcome] = {}
        async with anyio.create_task_group() as together:
            for number in range(20):
                together.start_soon(one, number, outcomes)
        return outcomes

    with took(less_than_s=3.0):
        outcomes = anyio.run(main)
    for number in range(20):
        outcome = outcomes[number]
        assert isinstance(outcome, Exited)
        assert (outcome.code, outcome.stdout) == (number, f"{number}\n".encode())


def test_on_trio_as_well() -> None:
    """Nothing here depends on which event loop runs it."""

    async def main() -> CommandOutcome:
        return await run(Command(("/bin/sh", "-c", "echo out; exit 7"), ENVIRONMENT), deadline=anyio.current_time() + 9)

    outcome = anyio.run(main, backend="trio")
    assert isinstance(outcome, Exited)
    assert (outcome.code, outcome.stdout) == (7, b"out\n")


def test_the_age_counts_from_the_fork() -> None:
    """Pacemaker's timeout began before our first line ran: the interpreter's start counts as well."""
    done = run_python("import time; time.sleep(0.3)\nfrom ocf_systemd.host.procfs import age_s\nprint(age_s())")
    assert 0.3 <= float(done.stdout) < 5.0
    assert procfs.age_s() > float(done.stdout)


def test_a_command_line_is_split_by_nobody() -> None:
    """No shell between: what stands in an argument stays in it."""
    odd = ["$(id)", "a b", "*", "'", '"', "\\", "", "-n", "é"]
    outcome = run_now(sys.executable, "-I", "-S", "-c", "import sys; print(sys.argv[1:])", *odd)
    assert isinstance(outcome, Exited)
    assert outcome.stdout.decode().strip() == repr(odd)
